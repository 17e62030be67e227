//! TAP devices: an interface whose wire is this program.
//!
//! Made by the crate tun-tap, of which only the opening is used: its descriptor is then owned
//! here. The kernel's answers, as measured: writing while the interface is down is `EIO`, reading
//! or writing after its deletion is `EBADFD`. Reading while it is down is merely quiet.

mod asynchronous;

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd},
    time::Duration,
};

use nix::{
    poll::PollFlags,
    unistd::{read, write},
};
use tun_tap::{Iface, Mode};

pub use asynchronous::AsyncTap;

use crate::{
    Errno, ExecError, Netns,
    reactor::OwnsOneDescriptor,
    rtnl::name_fault,
    wait::{Deadline, wait_for},
};

nix::ioctl_write_ptr!(tun_set_carrier, b'T', 226, libc::c_int);

/// A TAP could not be opened, or has something to say other than frames.
#[derive(Debug, thiserror::Error)]
pub enum TapError {
    /// The device could not be opened or made.
    #[error("cannot make TAP {name} in namespace `{label}`: {source}; {}", advice(.source))]
    Open {
        /// The name asked for.
        name: String,
        /// The namespace's label.
        label: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The name cannot be one.
    #[error("cannot make a TAP in namespace `{label}`: {why}")]
    Name {
        /// The namespace's label.
        label: String,
        /// What is wrong with it.
        why: String,
    },
    /// The interface is down, and the frame was not taken (`EIO`). Once it is up again, sending
    /// works as before.
    #[error("{name} is down")]
    LinkDown {
        /// The interface.
        name: String,
    },
    /// The interface was deleted (`EBADFD`). The descriptor is of no more use.
    #[error("{name} was deleted")]
    Deleted {
        /// The interface.
        name: String,
    },
    /// Anything else.
    #[error("{call} on {name}: {errno}")]
    Io {
        /// The interface.
        name: String,
        /// The system call.
        call: &'static str,
        /// What the kernel said.
        errno: Errno,
    },
    /// The namespace's thread could not open it.
    #[error(transparent)]
    Exec(#[from] ExecError),
}

impl TapError {
    /// Whether this is a state of the interface, which a lab brings about on purpose, and not a
    /// failure.
    #[must_use]
    pub fn is_link_event(&self) -> bool {
        matches!(self, Self::LinkDown { .. } | Self::Deleted { .. })
    }
}

pub(crate) fn advice(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::ENOENT) => {
            "there is no /dev/net/tun: load the module tun, or give the container --device /dev/net/tun"
        }
        Some(libc::ENODEV | libc::ENXIO) => "this kernel has no TUN/TAP (CONFIG_TUN)",
        Some(libc::EACCES) => {
            "this user may not open /dev/net/tun; as root: chmod 0666 /dev/net/tun (the usual mode), \
             or use a veth and netns_lab::PacketSocket instead"
        }
        Some(libc::EPERM) => "it takes CAP_NET_ADMIN in the namespace's user namespace",
        Some(libc::EBUSY) => "an interface of that name is there already",
        _ => "see tun(4) and Documentation/networking/tuntap.rst",
    }
}

/// A TAP device. It is there as long as this value is, and frames that the namespace sends over
/// the interface are received here, and the other way round.
///
/// It begins down, with a MAC address of the kernel's choice; see [`Rtnl`](crate::Rtnl). All
/// methods take `&self`: one thread may send while another receives.
#[derive(Debug)]
pub struct Tap {
    fd: OwnedFd,
    name: String,
}

impl Tap {
    /// Makes a TAP device of this name in `netns`; `%d` in the name is replaced by a number.
    ///
    /// # Errors
    /// [`TapError::Open`], with `EACCES` for ordinary users on machines where /dev/net/tun
    /// belongs to root alone, even in a user namespace.
    pub fn open(netns: &Netns, name: &str) -> Result<Self, TapError> {
        let label = netns.label();
        if let Some(why) = name_fault(name) {
            return Err(TapError::Name { label: label.to_owned(), why });
        }
        // The device belongs to the namespace of the thread that opens /dev/net/tun.
        let opened = netns.exec(|| {
            let device = Iface::without_packet_info(name, Mode::Tap)?;
            device.set_non_blocking()?;
            Ok(device)
        })?;
        let device = opened.map_err(|source| TapError::Open {
            name: name.to_owned(),
            label: label.to_owned(),
            source,
        })?;
        let name = device.name().to_owned();
        // SAFETY: the descriptor was just released by `device`, so it is open and owned by
        // nobody else.
        let fd = unsafe { OwnedFd::from_raw_fd(device.into_raw_fd()) };
        Ok(Self { fd, name })
    }

    /// The interface's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Takes one frame into `buffer`, from its destination address on, and says how long it is.
    /// `Ok(None)` if none is waiting. A frame that is longer than `buffer` loses its end, and
    /// nothing tells: give it the MTU and 18 bytes.
    ///
    /// # Errors
    /// [`TapError::Deleted`].
    pub fn try_recv(&self, buffer: &mut [u8]) -> Result<Option<usize>, TapError> {
        match read(&self.fd, buffer).map_err(Errno::from) {
            Ok(length) => Ok(Some(length)),
            Err(Errno::EAGAIN) => Ok(None),
            Err(errno) if errno.raw() == libc::EINTR => Ok(None),
            // The buffer is good, so this is `tun_ring_recv()` saying that the device is going.
            Err(errno) if errno.raw() == libc::EFAULT => Err(self.deleted()),
            Err(errno) => Err(self.fault("read", errno)),
        }
    }

    /// Waits for a frame, at most `timeout` or for ever if that is `None`. `Ok(None)` means that
    /// the time is over.
    ///
    /// # Errors
    /// [`TapError::Deleted`].
    pub fn recv(&self, buffer: &mut [u8], timeout: Option<Duration>) -> Result<Option<usize>, TapError> {
        let deadline = Deadline::within(timeout);
        loop {
            let received = self.try_recv(buffer)?;
            if received.is_some() || deadline.passed() {
                return Ok(received);
            }
            wait_for(&self.fd, PollFlags::POLLIN, deadline, None)
                .map_err(|source| self.fault("poll", Errno::of(&source)))?;
        }
    }

    /// Gives the namespace one frame, from the destination address on. `Ok(false)` if the kernel
    /// has no room for it now.
    ///
    /// # Errors
    /// [`TapError::LinkDown`], [`TapError::Deleted`].
    pub fn try_send(&self, frame: &[u8]) -> Result<bool, TapError> {
        match write(&self.fd, frame).map_err(Errno::from) {
            Ok(_taken_whole) => Ok(true),
            Err(Errno::EAGAIN) => Ok(false),
            Err(errno) if errno.raw() == libc::EINTR => Ok(false),
            Err(errno) => Err(self.fault("write", errno)),
        }
    }

    /// Gives the namespace one frame, waiting for room.
    ///
    /// # Errors
    /// As [`Tap::try_send`].
    pub fn send(&self, frame: &[u8]) -> Result<(), TapError> {
        while !self.try_send(frame)? {
            wait_for(&self.fd, PollFlags::POLLOUT, Deadline::within(None), None)
                .map_err(|source| self.fault("poll", Errno::of(&source)))?;
        }
        Ok(())
    }

    /// Pulls the cable out (`false`) or puts it back (`true`): the interface loses or regains its
    /// carrier, as when the far end of a veth goes down. A new TAP has carrier (`TUNSETCARRIER`).
    ///
    /// # Errors
    /// [`TapError::Deleted`] when the interface is gone; [`TapError::Io`] on kernels before 5.0.
    pub fn set_carrier(&self, carrier: bool) -> Result<(), TapError> {
        let value = libc::c_int::from(carrier);
        // SAFETY: the descriptor is an open TAP, and the kernel reads one int through the pointer
        // before the call returns.
        let done = unsafe { tun_set_carrier(self.fd.as_raw_fd(), &raw const value) };
        done.map(drop).map_err(|errno| match Errno::from(errno) {
            gone if gone.raw() == libc::EBADFD => self.deleted(),
            errno => self.fault("ioctl(TUNSETCARRIER)", errno),
        })
    }

    /// The same device for async use in the current tokio runtime.
    ///
    /// # Errors
    /// If the descriptor cannot be registered with the runtime.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O enabled.
    pub fn into_async(self) -> io::Result<AsyncTap> {
        AsyncTap::new(self)
    }

    fn deleted(&self) -> TapError {
        TapError::Deleted { name: self.name.clone() }
    }

    fn fault(&self, call: &'static str, errno: Errno) -> TapError {
        match errno.raw() {
            libc::EIO => TapError::LinkDown { name: self.name.clone() },
            libc::EBADFD => self.deleted(),
            _ => TapError::Io { name: self.name.clone(), call, errno },
        }
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Tap {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl OwnsOneDescriptor for Tap {}
