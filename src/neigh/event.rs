//! What the neighbour table wants done or known.

use super::nud::Nud;
use crate::addr::Mac;
use crate::host::IfIndex;
use crate::packet::Packet;
use crate::time::Time;
use std::net::IpAddr;

/// Why an entry changed.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Debug,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// A packet wanted out.
    Output,
    /// Its timer.
    Timer,
    /// A received frame.
    Frame,
    /// A command.
    Command,
    /// The device lost its carrier, went down, or changed its MAC.
    Flush,
    /// Nobody used it for long and the kernel has many entries (neigh_periodic_work,
    /// neigh_forced_gc).
    Collected,
}

/// Why a waiting packet was dropped without a word.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Discarded {
    /// More than unres_qlen_bytes wait.
    QueueOverflow,
    /// mcast_solicit and app_solicit are 0.
    NoRequestsAllowed,
    /// The entry went away with its device's carrier.
    EntryFlushed,
    /// A new resolution began while the old one was failing (see the race in neigh_invalidate).
    FailureRaced,
}

/// What the timer that goes off next would end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Failing {
    /// When that timer goes off.
    pub at: Time,
    /// How many packets wait whose senders would hear of it.
    pub waiting: usize,
}

/// What the table wants done or known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NeighEvent {
    /// A request must be sent.
    Solicit {
        /// Out of that device.
        dev: IfIndex,
        /// Who is wanted.
        ip: IpAddr,
        /// To that MAC, or to all.
        to: Option<Mac>,
        /// Source address of the packet that wants out, which the request uses if it can.
        src: Option<IpAddr>,
    },
    /// A packet leaves.
    Send {
        /// Out of that device.
        dev: IfIndex,
        /// To that MAC.
        mac: Mac,
        /// The packet.
        packet: Packet,
    },
    /// A packet cannot be delivered: "host unreachable" goes to its sender.
    Unreachable {
        /// The device.
        dev: IfIndex,
        /// Who did not answer.
        ip: IpAddr,
        /// The packet.
        packet: Packet,
    },
    /// A packet is lost without a word.
    Discard {
        /// The packet.
        packet: Packet,
        /// What ended their wait.
        why: Discarded,
    },
    /// An entry changed its state or address.
    Changed {
        /// The device.
        dev: IfIndex,
        /// The address.
        ip: IpAddr,
        /// State before; `None` when the entry is new.
        old: Option<Nud>,
        /// State after; `None` when the entry is gone.
        new: Option<Nud>,
        /// The MAC it holds now.
        lladdr: Option<Mac>,
        /// What changed the entry.
        cause: Cause,
    },
}
