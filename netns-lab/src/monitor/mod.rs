//! What happens to links, addresses, routes, rules and neighbours, as it happens.
//!
//! A socket of its own joins rtnetlink's multicast groups (rtnetlink(7)). It is read without the
//! crate rtnetlink, because of two things that matter here: the time is taken when a datagram
//! is read and not when a task comes round to it, and a full buffer becomes an event in its
//! place in the stream.

mod asynchronous;
mod event;

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    time::Duration,
};

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage};
use netlink_packet_route::{RouteNetlinkMessage, link::LinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::{
    poll::PollFlags,
    sys::socket::{MsgFlags, recv, setsockopt, sockopt},
};
use rtnetlink::MulticastGroup;

pub use asynchronous::AsyncMonitor;
pub use event::{Change, Event};

use crate::{
    Errno, ExecError, Netns,
    clock::monotonic_ns,
    reactor::OwnsOneDescriptor,
    rtnl::Names,
    wait::{Deadline, wait_for},
};

/// Groups whose news are wanted. All have numbers below 32 and so a bit in the address.
const GROUPS: [MulticastGroup; 8] = [
    MulticastGroup::Link,
    MulticastGroup::Neigh,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Ipv4Rule,
    MulticastGroup::Ipv6Rule,
];
/// Receive buffer that is asked for, in bytes: a burst of some five thousand notifications.
const BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// The kernel makes notifications smaller than this, and answers of a dump no larger than half.
const DATAGRAM_BYTES_MAX: usize = 64 * 1024;
/// Number of the one request that this socket sends.
const LINKS_SEQUENCE: u32 = 1;

/// A monitor could not be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum MonitorError {
    /// No socket in the groups.
    #[error("cannot watch namespace `{label}` through rtnetlink: {source}")]
    Open {
        /// The namespace's label.
        label: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// Reading failed, and not for want of buffer space, which is an event.
    #[error("cannot read notifications of namespace `{label}`: {errno}")]
    Read {
        /// The namespace's label.
        label: String,
        /// What the kernel said.
        errno: Errno,
    },
    /// The namespace's thread could not open it.
    #[error(transparent)]
    Exec(#[from] ExecError),
}

/// The notifications of one namespace, in the order in which the kernel sent them.
///
/// Nothing that happens after [`Monitor::open`] has returned is missed, unless an
/// [`Overrun`](Change::Overrun) says so.
pub struct Monitor {
    socket: Socket,
    /// The socket's own address, by which the answers to its request are known.
    port: u32,
    label: String,
    names: Names,
    ready: VecDeque<Event>,
    buffer: Vec<u8>,
}

impl std::fmt::Debug for Monitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Monitor({:?})", self.label)
    }
}

impl Monitor {
    /// Begins to watch `netns`, with room for some thousands of unread notifications (fewer for
    /// an ordinary user: `net.core.rmem_max`).
    ///
    /// # Errors
    /// [`MonitorError::Open`] when out of descriptors.
    pub fn open(netns: &Netns) -> Result<Self, MonitorError> {
        Self::with_buffer_bytes(netns, BUFFER_BYTES)
    }

    /// Begins to watch `netns` with a receive buffer of this size, in bytes, which the kernel
    /// doubles for its own use and keeps above some 2 KiB.
    ///
    /// # Errors
    /// As [`Monitor::open`].
    pub fn with_buffer_bytes(netns: &Netns, buffer_bytes: usize) -> Result<Self, MonitorError> {
        let label = netns.label().to_owned();
        let (socket, port) = netns
            .exec(|| join(buffer_bytes))?
            .map_err(|source| MonitorError::Open { label: label.clone(), source })?;
        Ok(Self {
            socket,
            port,
            label,
            names: Names::default(),
            ready: VecDeque::new(),
            buffer: vec![0; DATAGRAM_BYTES_MAX],
        })
    }

    /// The next event if one is there now.
    ///
    /// # Errors
    /// [`MonitorError::Read`].
    pub fn try_next(&mut self) -> Result<Option<Event>, MonitorError> {
        while self.ready.is_empty() {
            let received = recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::MSG_DONTWAIT);
            let at_ns = monotonic_ns();
            match received.map_err(Errno::from) {
                Ok(length) => self.take_in(at_ns, length),
                Err(Errno::EAGAIN) => return Ok(None),
                Err(errno) if errno.raw() == libc::ENOBUFS => {
                    self.ready.push_back(Event { at_ns, change: Change::Overrun });
                }
                Err(errno) if errno.raw() == libc::EINTR => {}
                Err(errno) => return Err(MonitorError::Read { label: self.label.clone(), errno }),
            }
        }
        Ok(self.ready.pop_front())
    }

    /// The next event, waiting for it at most `timeout`, or for ever if that is `None`.
    /// `Ok(None)` means that the time is over.
    ///
    /// # Errors
    /// [`MonitorError::Read`].
    pub fn next(&mut self, timeout: Option<Duration>) -> Result<Option<Event>, MonitorError> {
        let deadline = Deadline::within(timeout);
        loop {
            if let Some(event) = self.try_next()? {
                return Ok(Some(event));
            }
            if deadline.passed() {
                return Ok(None);
            }
            wait_for(&self.socket, PollFlags::POLLIN, deadline, None).map_err(|source| {
                MonitorError::Read { label: self.label.clone(), errno: Errno::of(&source) }
            })?;
        }
    }

    /// The same monitor for async use in the current tokio runtime.
    ///
    /// # Errors
    /// If the descriptor cannot be registered with the runtime.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O enabled.
    pub fn into_async(self) -> io::Result<AsyncMonitor> {
        AsyncMonitor::new(self)
    }

    /// Takes a datagram of one or several messages apart.
    fn take_in(&mut self, at_ns: u64, length: usize) {
        let mut rest = &self.buffer[..length];
        while let Some(header) = rest.first_chunk::<HEADER_BYTES>() {
            let (size, message_type) = size_and_type(header);
            let Some(bytes) = rest.get(..size).filter(|_| size >= HEADER_BYTES) else { return };
            let change = match NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes) {
                Ok(message) if is_answer(&message.header, self.port) => {
                    learn(&mut self.names, message);
                    None
                }
                Ok(message) => Change::of(message, &mut self.names),
                Err(error) => Some(Change::Unknown { message_type, why: error.to_string() }),
            };
            self.ready.extend(change.map(|change| Event { at_ns, change }));
            // Messages begin on multiples of four.
            rest = rest.get(size.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

const HEADER_BYTES: usize = 16;

/// Length and type from a message's header.
fn size_and_type(header: &[u8; HEADER_BYTES]) -> (usize, u16) {
    let [len0, len1, len2, len3, type0, type1, ..] = *header;
    (u32::from_ne_bytes([len0, len1, len2, len3]) as usize, u16::from_ne_bytes([type0, type1]))
}

/// Whether a message answers this socket's own request. Notifications carry the number and the
/// port of whoever made the change, so the number alone would not do.
fn is_answer(header: &NetlinkHeader, port: u32) -> bool {
    header.sequence_number == LINKS_SEQUENCE && header.port_number == port
}

fn learn(names: &mut Names, message: NetlinkMessage<RouteNetlinkMessage>) {
    if let netlink_packet_core::NetlinkPayload::InnerMessage(inner) = message.payload {
        names.learn(&inner);
    }
}

/// On the namespace's thread: join the groups, then ask for all links. In that order nothing is
/// missed in between, and the answers arrive in the stream before news that need their names.
fn join(buffer_bytes: usize) -> io::Result<(Socket, u32)> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    // Beyond the limit for ordinary users if allowed, else as far as the limit.
    if setsockopt(&socket, sockopt::RcvBufForce, &buffer_bytes).is_err() {
        setsockopt(&socket, sockopt::RcvBuf, &buffer_bytes)?;
    }
    let groups = GROUPS.iter().fold(0, |mask, group| mask | 1 << (*group as u32 - 1));
    socket.bind(&SocketAddr::new(0, groups))?;
    let mut own = SocketAddr::new(0, 0);
    socket.get_address(&mut own)?;
    let mut request = NetlinkMessage::from(RouteNetlinkMessage::GetLink(LinkMessage::default()));
    request.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    request.header.sequence_number = LINKS_SEQUENCE;
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    Ok((socket, own.port_number()))
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Monitor {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl OwnsOneDescriptor for Monitor {}
