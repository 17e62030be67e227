//! What can become of a raw socket.

use std::io;

use crate::{Errno, ExecError};

/// A raw socket could not be opened, or has something to say other than frames.
#[derive(Debug, thiserror::Error)]
pub enum PacketError {
    /// The socket could not be opened on the interface.
    #[error("cannot open an AF_PACKET socket on {dev} in namespace `{label}`: {step}: {source}; {}", advice(.source))]
    Open {
        /// The interface.
        dev: String,
        /// The namespace's label.
        label: String,
        /// The system call or option that failed.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The interface went down, or is about to go away (`ENETDOWN`). The socket stays bound and
    /// goes on by itself once the interface is up again; continue to read.
    #[error("{dev} is down")]
    LinkDown {
        /// The interface.
        dev: String,
    },
    /// The interface is gone from the namespace, deleted or moved. The socket is of no more use.
    #[error("{dev} is gone from its namespace")]
    LinkGone {
        /// The interface.
        dev: String,
    },
    /// The kernel took the frame and then threw it away (`ENOBUFS`): a veth whose far end is
    /// down, or a full queue.
    #[error("{dev} dropped the frame: its far end is down, or its queue is full")]
    Dropped {
        /// The interface.
        dev: String,
    },
    /// The frame is longer than the interface's MTU allows (`EMSGSIZE`), or has no whole
    /// Ethernet header (`EINVAL`).
    #[error("{dev} does not take a frame of {length} bytes")]
    Length {
        /// The interface.
        dev: String,
        /// The frame's length, in bytes.
        length: usize,
    },
    /// Anything else.
    #[error("{call} on {dev}: {errno}")]
    Io {
        /// The interface.
        dev: String,
        /// The system call.
        call: &'static str,
        /// What the kernel said.
        errno: Errno,
    },
    /// The namespace's thread could not open it.
    #[error(transparent)]
    Exec(#[from] ExecError),
}

impl PacketError {
    /// Whether this is a state of the interface, which a lab brings about on purpose, and not a
    /// failure.
    #[must_use]
    pub fn is_link_event(&self) -> bool {
        matches!(self, Self::LinkDown { .. } | Self::LinkGone { .. } | Self::Dropped { .. })
    }
}

pub(crate) fn advice(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            "it takes CAP_NET_RAW: run as root, or call netns_lab::rootless::enter() at the start of main"
        }
        Some(libc::ENODEV | libc::ENXIO) => "there is no such interface in this namespace",
        Some(libc::EAFNOSUPPORT | libc::EPROTONOSUPPORT) => {
            "this kernel has no packet sockets (CONFIG_PACKET)"
        }
        Some(libc::ENOPROTOOPT) => "this kernel is too old for that option",
        _ => "see packet(7)",
    }
}
