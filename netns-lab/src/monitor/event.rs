//! What a monitor reports.

use std::fmt;

use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage, link::LinkMessage};

use crate::rtnl::{Address, Link, Names, Neighbour, Route, Rule};

/// A change in a namespace, and when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When the notification was read, on `CLOCK_MONOTONIC`, in nanoseconds. The kernel puts no
    /// time into notifications, so this is as late as the reader is.
    pub at_ns: u64,
    /// What changed.
    pub change: Change,
}

/// What changed in a namespace, shown as `ip monitor` does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A neighbour entry came or changed its state or MAC address. The kernel does not announce
    /// an entry that is merely made and asked for (`INCOMPLETE`).
    Neighbour(Neighbour),
    /// A neighbour entry went.
    NeighbourGone(Neighbour),
    /// A link came or changed.
    Link(Link),
    /// A link went: deleted, or moved to another namespace.
    LinkGone(Link),
    /// An address came or changed.
    Address(Address),
    /// An address went.
    AddressGone(Address),
    /// A route came or changed. IPv4 routes that go with their link are not announced as gone.
    Route(Route),
    /// A route went.
    RouteGone(Route),
    /// A rule came.
    Rule(Rule),
    /// A rule went.
    RuleGone(Rule),
    /// The socket's buffer was full and the kernel threw notifications away (`ENOBUFS`), it does
    /// not say how many. What is known from events before is no longer sure: read the tables
    /// anew.
    Overrun,
    /// A notification that could not be understood.
    Unknown {
        /// Its number (`RTM_*`).
        message_type: u16,
        /// What the reader stumbled over.
        why: String,
    },
}

impl Change {
    /// The change in a message; `None` for what is no change of one of these kinds, such as the
    /// forwarding entries and port states of bridges.
    pub(super) fn of(message: NetlinkMessage<RouteNetlinkMessage>, names: &mut Names) -> Option<Self> {
        let NetlinkPayload::InnerMessage(inner) = message.payload else { return None };
        if let RouteNetlinkMessage::NewLink(link) | RouteNetlinkMessage::DelLink(link) = &inner
            && of_bridge(link)
        {
            return None;
        }
        // A link that goes is still known by name to what is said of it.
        let change = Self::of_inner(&inner, names);
        names.learn(&inner);
        change
    }

    fn of_inner(inner: &RouteNetlinkMessage, names: &Names) -> Option<Self> {
        Some(match inner {
            RouteNetlinkMessage::NewNeighbour(one) => Self::Neighbour(Neighbour::from_message(one, names)?),
            RouteNetlinkMessage::DelNeighbour(one) => {
                Self::NeighbourGone(Neighbour::from_message(one, names)?)
            }
            RouteNetlinkMessage::NewLink(one) => Self::Link(Link::from_message(one)),
            RouteNetlinkMessage::DelLink(one) => Self::LinkGone(Link::from_message(one)),
            RouteNetlinkMessage::NewAddress(one) => Self::Address(Address::from_message(one, names)?),
            RouteNetlinkMessage::DelAddress(one) => Self::AddressGone(Address::from_message(one, names)?),
            RouteNetlinkMessage::NewRoute(one) => Self::Route(Route::from_message(one, names)?),
            RouteNetlinkMessage::DelRoute(one) => Self::RouteGone(Route::from_message(one, names)?),
            RouteNetlinkMessage::NewRule(one) => Self::Rule(Rule::from_message(one)?),
            RouteNetlinkMessage::DelRule(one) => Self::RuleGone(Rule::from_message(one)?),
            _ => return None,
        })
    }
}

/// A bridge speaks of its ports in messages that look like those of links coming and going.
fn of_bridge(link: &LinkMessage) -> bool {
    link.header.interface_family != AddressFamily::Unspec
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Neighbour(one) => write!(f, "{one}"),
            Self::NeighbourGone(one) => write!(f, "Deleted {one}"),
            Self::Link(one) => write!(f, "{one}"),
            Self::LinkGone(one) => write!(f, "Deleted {one}"),
            Self::Address(one) => write!(f, "{one}"),
            Self::AddressGone(one) => write!(f, "Deleted {one}"),
            Self::Route(one) => write!(f, "{one}"),
            Self::RouteGone(one) => write!(f, "Deleted {one}"),
            Self::Rule(one) => write!(f, "{one}"),
            Self::RuleGone(one) => write!(f, "Deleted {one}"),
            Self::Overrun => f.write_str("notifications were lost: the reader was too slow"),
            Self::Unknown { message_type, why } => write!(f, "message of type {message_type}: {why}"),
        }
    }
}

/// Its time in seconds and the change.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, rest) = (self.at_ns / 1_000_000_000, self.at_ns % 1_000_000_000);
        write!(f, "{seconds}.{rest:09} {}", self.change)
    }
}
