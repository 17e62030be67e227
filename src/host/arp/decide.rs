//! [`decide`]: would Linux answer this ARP request, when, with which MAC, and if not, why.
//!
//! # Theory of operation
//!
//! The order of the tests is that of the kernel (`arp_rcv`, `arp_process` in net/ipv4/arp.c),
//! because the first that fails is the reason a person wants to read, and because some side
//! effects happen on the way: the sender is learned before a proxied answer is delayed, and even
//! when the answer is then lost. Three facts surprise:
//!
//! * The question proxy ARP asks is the *input route*: could a packet from the sender to the
//!   target be forwarded from here? So every routable target is answered, not only 169.254.1.1,
//!   and a missing default route is silence.
//! * The input route includes the reverse path check. With `rp_filter` 1 or 2 on an interface
//!   without an address, the host is silent until its route to the pod points at the interface.
//! * `arp_ignore` and `arp_filter` concern only addresses the host owns.
//!
//! * The conditions themselves, in order, are in process.rs; here is what goes in and what comes
//!   out.
//!
//! The function is pure. What it needs beyond the namespace's state is in the [`Request`];
//! what follows from it beyond the answer is in [`Processed::learn`].

use super::condition::Nobody;
use super::process::process_with;
use super::reason::Reason;
use crate::addr::Mac;
use crate::host::state::HostState;
use crate::host::state::link::IfIndex;
use crate::wire::{Arp, Cast, ETHERTYPE_ARP, EthFrame};
use std::net::Ipv4Addr;

/// One ARP packet as it reached the host.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Request {
    /// The interface it came in by.
    pub dev: IfIndex,
    /// Whom the frame was for.
    pub cast: Cast,
    /// The packet.
    pub arp: Arp,
    /// The host has an entry for the sender on that interface.
    pub sender_known: bool,
    /// It has waited out its delay and is looked at again (LOCALLY_ENQUEUED).
    pub again: bool,
    /// Which leg a multipath route uses for it; the kernel takes a hash.
    pub leg: u32,
}

/// When a reply leaves.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum After {
    /// At once.
    Now,
    /// After a wait drawn evenly from 0 up to this, exclusive, in 1/100 s (USER_HZ); when the
    /// wait is over the request is decided again.
    Delay {
        /// `proxy_delay`, above 0.
        below: u32,
    },
}

/// Whether a request is answered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Decision {
    /// Answered: "`tpa` is at `mac`", sent to the sender hardware address of the request.
    Reply {
        /// The MAC that is told.
        mac: Mac,
        /// At once, or drawn.
        after: After,
    },
    /// No answer, for the first condition that does not hold.
    Silent(Reason),
}

impl Decision {
    /// The reason, when it is silence.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Decision::Reply { .. } => None,
            Decision::Silent(reason) => Some(*reason),
        }
    }
}

/// What the host's own neighbour table takes from the packet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Learn {
    /// Nothing.
    Nothing,
    /// The sender, STALE, whatever was known before (neigh_event_ns).
    Sender,
    /// The sender, if an entry exists (or one may be made): reply to us REACHABLE, else STALE;
    /// another MAC only after locktime or when gratuitous.
    Update {
        /// op 2 addressed to us.
        reachable: bool,
        /// sip == tip, and for a reply tha == sha.
        gratuitous: bool,
        /// arp_accept lets an entry be made.
        create: bool,
    },
}

/// A decision with its side effects.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Processed {
    /// Answered or not.
    pub decision: Decision,
    /// What is learned.
    pub learn: Learn,
}

impl Processed {
    pub(in crate::host) fn silent(reason: Reason) -> Processed {
        Processed { decision: Decision::Silent(reason), learn: Learn::Nothing }
    }
}

/// Would Linux answer this request, when, with which MAC, and if not, why?
#[must_use]
pub fn decide(state: &HostState, request: &Request) -> Decision {
    process(state, request).decision
}

/// As [`decide`], with what is learned (`arp_rcv`, `arp_process`).
#[must_use]
pub fn process(state: &HostState, request: &Request) -> Processed {
    process_with(state, request, &mut Nobody)
}

/// Decides about a whole frame: reception first, then [`process`]. `None` when the frame is
/// sound but not ARP, so that it is for IP to deal with.
#[must_use]
pub fn process_frame(
    state: &HostState,
    dev: IfIndex,
    frame: &[u8],
    sender_known: impl Fn(Ipv4Addr) -> bool,
) -> Option<(Processed, Option<Request>)> {
    let fault = |f| Some((Processed::silent(Reason::Frame(f)), None));
    let Some(link) = state.link(dev) else { return Some((Processed::silent(Reason::NoInterface), None)) };
    let eth = match EthFrame::parse(frame) {
        Ok(eth) => eth,
        Err(f) => return fault(f),
    };
    if eth.ethertype != ETHERTYPE_ARP {
        return None;
    }
    let arp = match Arp::parse(eth.payload) {
        Ok(arp) => arp,
        Err(f) => return fault(f),
    };
    let cast = Cast::of(eth.dst, link.mac());
    let request = Request { dev, cast, arp, sender_known: sender_known(arp.spa), again: false, leg: 0 };
    Some((process(state, &request), Some(request)))
}
