//! Raw frames on an interface, through packet(7).
//!
//! What an ordinary user has instead of a TAP: a packet socket on one end of a veth sees and
//! makes every frame on it. Three things are put right here. The kernel takes the outermost
//! VLAN tag out of a frame before a packet socket sees it (`skb_vlan_untag()`), and tells of it
//! only on the side (`PACKET_AUXDATA`); here the tag is back in its place. Times come on the
//! wall clock and are shown on the monotonic one as well. And an interface that goes down or
//! away is an event with a name, not an errno that ends the reading.
//!
//! A socket is nonblocking underneath. [`PacketSocket::try_recv`] is the form for busy polling,
//! [`PacketSocket::recv`] sleeps in poll(2), [`AsyncPacketSocket`] sleeps in tokio.

mod asynchronous;
mod batch;
mod control;
mod error;
mod sys;

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use nix::{
    poll::PollFlags,
    sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, sockopt},
};

pub use asynchronous::AsyncPacketSocket;
pub use batch::{Direction, Frame, RecvBatch, Stamp};
pub use error::PacketError;
pub(crate) use error::advice;

use crate::{
    Errno, Netns,
    reactor::OwnsOneDescriptor,
    rtnl::{Dev, index_here},
    wait::{Deadline, wait_for},
};

/// How often a reader looks whether an interface that is down is gone by now. The kernel says
/// nothing when an interface that is down goes away, and this is the only way to learn it.
const GONE_CHECK: Duration = Duration::from_millis(10);

/// How a packet socket is opened.
#[derive(Clone, Debug)]
#[must_use]
pub struct PacketOptions {
    ignore_outgoing: bool,
    promiscuous: bool,
    ethertype: u16,
    receive_buffer_bytes: usize,
}

impl PacketOptions {
    /// Everything in both directions, with a receive buffer of 4 MiB: some five thousand short
    /// frames.
    pub fn new() -> Self {
        Self {
            ignore_outgoing: false,
            promiscuous: false,
            ethertype: libc::ETH_P_ALL as u16,
            receive_buffer_bytes: 4 * 1024 * 1024,
        }
    }

    /// Without what leaves by the interface, one's own frames included
    /// (`PACKET_IGNORE_OUTGOING`, since Linux 4.20).
    pub fn ignore_outgoing(mut self, ignore: bool) -> Self {
        self.ignore_outgoing = ignore;
        self
    }

    /// Makes the interface take frames for other MAC addresses, as long as the socket is open
    /// (`PACKET_MR_PROMISC`). A veth takes them anyway.
    pub fn promiscuous(mut self, promiscuous: bool) -> Self {
        self.promiscuous = promiscuous;
        self
    }

    /// Only frames of this ethertype, such as 0x0806, and of those only incoming ones. Frames
    /// within a VLAN count by what is under the tag.
    pub fn ethertype(mut self, ethertype: u16) -> Self {
        self.ethertype = ethertype;
        self
    }

    /// Size of the receive buffer in bytes, which the kernel doubles for its own use. Ordinary
    /// users get no more than `net.core.rmem_max`.
    pub fn receive_buffer_bytes(mut self, bytes: usize) -> Self {
        self.receive_buffer_bytes = bytes;
        self
    }
}

impl Default for PacketOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// How many frames a socket saw since this was last asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketStatistics {
    /// Frames that came to the socket, those that were dropped included.
    pub seen: u32,
    /// Frames that found its buffer full and are lost.
    pub dropped: u32,
}

/// A packet socket on one interface of one namespace.
///
/// All methods take `&self`: one thread may send while another receives.
#[derive(Debug)]
pub struct PacketSocket {
    fd: OwnedFd,
    dev: String,
    /// The last word was that the interface is down.
    down: AtomicBool,
}

impl PacketSocket {
    /// Opens a socket on `dev` in `netns`. It sees nothing from before this returns, and nothing
    /// from other interfaces. The interface may be down, which the first reading will tell.
    ///
    /// # Errors
    /// [`PacketError::Open`], with the step that failed.
    pub fn open(netns: &Netns, dev: impl Into<Dev>, options: &PacketOptions) -> Result<Self, PacketError> {
        let dev = dev.into();
        let opened = netns.exec(|| open_here(&dev, options))?;
        let fd = opened.map_err(|(step, source)| PacketError::Open {
            dev: dev.to_string(),
            label: netns.label().to_owned(),
            step,
            source,
        })?;
        Ok(Self { fd, dev: dev.to_string(), down: AtomicBool::new(false) })
    }

    /// The interface, as it was named at the opening.
    #[must_use]
    pub fn dev(&self) -> &str {
        &self.dev
    }

    /// Takes in the frames that are waiting, and says how many: 0 if none are.
    ///
    /// # Errors
    /// [`PacketError::LinkDown`] once for each time the interface goes down, ahead of frames that
    /// came before; after those, [`PacketError::LinkGone`] if it is gone. The kernel tells the
    /// first who asks, so a sender may take the `LinkDown` from the reader, but not the rest.
    pub fn try_recv(&self, batch: &mut RecvBatch) -> Result<usize, PacketError> {
        batch.clear();
        match sys::receive(self.as_fd(), &mut batch.slots) {
            Ok(received) => {
                self.down.store(false, Ordering::Relaxed);
                batch.finish(received);
                Ok(received)
            }
            Err(Errno::EAGAIN) if self.is_down() && self.is_gone() => Err(self.gone()),
            Err(Errno::EAGAIN) => Ok(0),
            Err(errno) if errno.raw() == libc::EINTR => Ok(0),
            Err(errno) => Err(self.fault("recvmmsg", errno, 0)),
        }
    }

    /// Waits for frames, at most `timeout` or for ever if that is `None`, and takes in those
    /// that are there. `Ok(0)` means that the time is over.
    ///
    /// # Errors
    /// As [`PacketSocket::try_recv`].
    pub fn recv(&self, batch: &mut RecvBatch, timeout: Option<Duration>) -> Result<usize, PacketError> {
        let deadline = Deadline::within(timeout);
        loop {
            let received = self.try_recv(batch)?;
            if received > 0 || deadline.passed() {
                return Ok(received);
            }
            let slice = self.is_down().then_some(GONE_CHECK);
            wait_for(&self.fd, PollFlags::POLLIN, deadline, slice)
                .map_err(|source| self.fault("poll", Errno::of(&source), 0))?;
        }
    }

    /// Sends frames, from the destination address on and with VLAN tags in place, in one system
    /// call (at most 64). Says how many the kernel took: fewer than given if its buffer is full
    /// or the next one is refused, which the next call will tell.
    ///
    /// # Errors
    /// About the first frame: [`PacketError::LinkDown`], [`PacketError::LinkGone`],
    /// [`PacketError::Dropped`], [`PacketError::Length`].
    pub fn try_send(&self, frames: &[impl AsRef<[u8]>]) -> Result<usize, PacketError> {
        if frames.is_empty() {
            return Ok(0);
        }
        match sys::send(self.as_fd(), frames) {
            Ok(sent) => Ok(sent),
            Err(Errno::EAGAIN) => Ok(0),
            Err(errno) if errno.raw() == libc::EINTR => Ok(0),
            Err(errno) => Err(self.fault("sendmmsg", errno, frames[0].as_ref().len())),
        }
    }

    /// Sends one frame, waiting for room.
    ///
    /// # Errors
    /// As [`PacketSocket::try_send`].
    pub fn send(&self, frame: &[u8]) -> Result<(), PacketError> {
        while self.try_send(&[frame])? == 0 {
            wait_for(&self.fd, PollFlags::POLLOUT, Deadline::within(None), None)
                .map_err(|source| self.fault("poll", Errno::of(&source), 0))?;
        }
        Ok(())
    }

    /// How many frames were seen and dropped since this was last called (`PACKET_STATISTICS`).
    ///
    /// # Errors
    /// [`PacketError::Io`].
    pub fn statistics(&self) -> Result<PacketStatistics, PacketError> {
        let counts: libc::tpacket_stats = sys::get_option(self.as_fd(), libc::PACKET_STATISTICS)
            .map_err(|errno| self.fault("getsockopt(PACKET_STATISTICS)", errno, 0))?;
        Ok(PacketStatistics { seen: counts.tp_packets, dropped: counts.tp_drops })
    }

    /// The same socket for async use in the current tokio runtime.
    ///
    /// # Errors
    /// If the descriptor cannot be registered with the runtime.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time enabled.
    pub fn into_async(self) -> io::Result<AsyncPacketSocket> {
        AsyncPacketSocket::new(self)
    }

    fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    /// The kernel sets the index to -1 when the interface leaves (`packet_notifier()`).
    fn is_gone(&self) -> bool {
        sys::bound_index(self.as_fd()) == Ok(-1)
    }

    fn gone(&self) -> PacketError {
        PacketError::LinkGone { dev: self.dev.clone() }
    }

    fn fault(&self, call: &'static str, errno: Errno, length: usize) -> PacketError {
        let dev = self.dev.clone();
        match errno.raw() {
            // Gone or only down, what was received before is still to be read: LinkGone follows
            // when that is done.
            libc::ENETDOWN => {
                self.down.store(true, Ordering::Relaxed);
                PacketError::LinkDown { dev }
            }
            libc::ENXIO | libc::ENODEV => self.gone(),
            libc::ENOBUFS => PacketError::Dropped { dev },
            libc::EMSGSIZE | libc::EINVAL => PacketError::Length { dev, length },
            _ => PacketError::Io { dev, call, errno },
        }
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for PacketSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl OwnsOneDescriptor for PacketSocket {}

/// On the namespace's thread. Protocol 0 keeps the socket deaf until it is bound, when all
/// options are set.
fn open_here(dev: &Dev, options: &PacketOptions) -> Result<OwnedFd, (&'static str, io::Error)> {
    let at = |step| move |errno: nix::errno::Errno| (step, errno.into());
    let at_option = |step| move |errno: Errno| (step, errno.into());
    let index = index_here(dev).map_err(|source| ("looking up the interface", source))?;
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let fd = nix::sys::socket::socket(AddressFamily::Packet, SockType::Raw, flags, None)
        .map_err(at("socket(AF_PACKET)"))?;
    let on: libc::c_int = 1;
    let bytes = options.receive_buffer_bytes;
    // Beyond the limit for ordinary users if allowed, else as far as the limit.
    if setsockopt(&fd, sockopt::RcvBufForce, &bytes).is_err() {
        setsockopt(&fd, sockopt::RcvBuf, &bytes).map_err(at("SO_RCVBUF"))?;
    }
    setsockopt(&fd, sockopt::ReceiveTimestampns, &true).map_err(at("SO_TIMESTAMPNS"))?;
    sys::set_option(fd.as_fd(), libc::PACKET_AUXDATA, &on).map_err(at_option("PACKET_AUXDATA"))?;
    if options.ignore_outgoing {
        sys::set_option(fd.as_fd(), libc::PACKET_IGNORE_OUTGOING, &on)
            .map_err(at_option("PACKET_IGNORE_OUTGOING"))?;
    }
    if options.promiscuous {
        let membership = libc::packet_mreq {
            mr_ifindex: index.cast_signed(),
            mr_type: libc::PACKET_MR_PROMISC as u16,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        sys::set_option(fd.as_fd(), libc::PACKET_ADD_MEMBERSHIP, &membership)
            .map_err(at_option("PACKET_MR_PROMISC"))?;
    }
    sys::bind(fd.as_fd(), index, options.ethertype).map_err(at_option("bind"))?;
    Ok(fd)
}
