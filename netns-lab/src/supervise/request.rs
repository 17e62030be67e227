//! What a process asked of the kernel.

use std::{fmt, path::PathBuf};

use super::Message;
use crate::{Errno, NetnsId};

/// One system call that asks the kernel to change or to tell something.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its place in the order in which requests arrived, from 1.
    pub number: usize,
    /// When it arrived, on `CLOCK_MONOTONIC`, in nanoseconds.
    pub at_ns: u64,
    /// The process, as this process's namespace numbers it.
    pub pid: i32,
    /// The thread. Of a process with one thread it is the process.
    pub tid: i32,
    /// The process's name (`comm`), at most 15 bytes: of an execve(2) the old one.
    pub program: String,
    /// The network namespace that the thread is in.
    pub thread_netns: Option<NetnsId>,
    /// The network namespace that the request is for: of a netlink message that in which its
    /// socket was opened, of a write to a sysctl that in which the file was opened, else the
    /// thread's. A thread may have moved on since.
    pub netns: Option<NetnsId>,
    /// What is asked.
    pub kind: Kind,
}

/// What a request is about.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Messages on a netlink socket, of one system call: those of one datagram, or of all datagrams of a
    /// sendmmsg(2). The call waits, fails or is a process's last as a whole, since only a whole call can be
    /// answered; so what rules do about any of its messages they do to all.
    Netlink {
        /// `NETLINK_ROUTE` (0), `NETLINK_NETFILTER` (12), ...
        protocol: i32,
        /// The messages, in order.
        messages: Vec<Message>,
    },
    /// Text written to a file below /proc/sys.
    Sysctl {
        /// The path below /proc/sys, with slashes.
        path: String,
        /// What is written, without white space at its end.
        value: String,
    },
    /// A file below /proc/sys is opened for writing.
    OpenSysctl {
        /// The path below /proc/sys, with slashes.
        path: String,
    },
    /// A file is opened to be written, made or emptied.
    Open {
        /// Where, as the process sees it.
        path: PathBuf,
        /// The flags of open(2).
        flags: u32,
    },
    /// A name in the file system is made, moved or taken away.
    Name {
        /// The system call.
        call: &'static str,
        /// The names, in the order of its arguments.
        paths: Vec<PathBuf>,
    },
    /// The thread goes into another namespace, setns(2).
    Enter {
        /// `CLONE_NEWNET`, ...; 0 for whatever the descriptor is.
        flags: u32,
        /// The namespace, if it is one of the network.
        netns: Option<NetnsId>,
        /// What the descriptor is: the namespace's label, if it has one, or what /proc shows.
        descriptor: String,
    },
    /// New namespaces are made.
    NewNamespaces {
        /// clone, clone3 or unshare.
        call: &'static str,
        /// `CLONE_NEWNET`, ...
        flags: u32,
    },
    /// Another program takes the place of this one, execve(2).
    Exec {
        /// Its file.
        program: PathBuf,
        /// Its arguments, the first being its name.
        arguments: Vec<String>,
    },
    /// An old request about an interface (`SIOC*`); see netdevice(7).
    DeviceIoctl {
        /// The command.
        command: u32,
        /// The interface, where the command has one.
        device: String,
    },
    /// The old iptables replaces a table or its counters, setsockopt(2).
    ReplaceTable {
        /// For IPv6.
        v6: bool,
        /// The option, 64 to replace a table.
        option: u32,
        /// The table.
        table: String,
    },
    /// Something that can be named but not read.
    Other {
        /// The system call, or `system call N`.
        call: String,
        /// How many bytes it passes, if it passes any.
        length: usize,
    },
    /// A system call of another architecture, whose numbers mean something else. It fails with
    /// `ENOSYS`, since nothing would be seen of such a program.
    Foreign {
        /// Its `AUDIT_ARCH_*`.
        architecture: u32,
        /// The system call's number there.
        number: i32,
    },
}

impl Request {
    /// Whether it only asks, and changes nothing.
    #[must_use]
    pub fn is_question(&self) -> bool {
        match &self.kind {
            Kind::Netlink { messages, .. } => messages.iter().all(|message| !message.changes),
            // The even commands below 0x8970 are mostly those that get; what they are exactly is
            // in include/uapi/linux/sockios.h.
            Kind::DeviceIoctl { command, .. } => super::words::ioctl(*command).is_some_and(|(_, gets)| gets),
            _ => false,
        }
    }

    /// Namespaces of the network that it names besides its own: where a link is moved to, which
    /// one a thread enters.
    pub fn other_netns(&self) -> impl Iterator<Item = NetnsId> {
        let (moved, entered) = match &self.kind {
            Kind::Netlink { messages, .. } => (messages.as_slice(), None),
            Kind::Enter { netns, .. } => (&[][..], *netns),
            _ => (&[][..], None),
        };
        moved.iter().filter_map(|message| message.moves_to).chain(entered)
    }
}

/// As ip(8), sysctl(8), nft(8) or a shell would take it.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::words::kind(f, &self.kind)
    }
}

/// What the kernel said to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was done.
    Done,
    /// It was refused.
    Refused {
        /// The error.
        errno: Errno,
        /// The kernel's own explanation, if it gave one. Of a call with several messages it begins with the one
        /// that was refused first: messages before it were carried out, and those after it may have been.
        kernel_says: Option<String>,
    },
    /// Nothing was heard: the answer went by a way that is not watched, or the process ended
    /// before it asked for it.
    Unknown,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("ok"),
            Self::Refused { errno, kernel_says: None } => write!(f, "{errno}"),
            Self::Refused { errno, kernel_says: Some(says) } => write!(f, "{errno}: {says}"),
            Self::Unknown => f.write_str("?"),
        }
    }
}
