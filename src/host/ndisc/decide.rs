//! [`decide_ns`]: would Linux answer this neighbour solicitation, when, how, and if not, why; and
//! [`judge_na`]: what it takes from an advertisement (net/ipv6/ndisc.c).
//!
//! # Theory of operation
//!
//! The gateway of a pod is the link-local address of the host end, one of the host's own: it is
//! answered without forwarding, route, proxy switch or delay, as soon as it is no longer tested
//! for duplicates. Proxying is another matter, and the opposite of ARP's: it needs forwarding, a
//! switch *and* an explicit entry, but neither a route nor a credible sender.
//!
//! A solicitation must get as far as the message parser first. That takes a group somebody here
//! has joined, or an own unicast address. A unicast solicitation for a proxied address, as sent
//! to confirm an entry, is neither; it is taken in passing only with `all.proxy_ndp`.

use super::reason::NsReason;
use crate::host::arp::decide::After;
use crate::host::state::HostState;
use crate::host::state::conf::{Conf6, NeighVar};
use crate::host::state::link::{IfIndex, Ifa6, Link};
use crate::wire::{
    Cast,
    nd::{self, ALL_NODES, Advert, Solicit},
};
use ipnet::Ipv6Net;
use std::net::Ipv6Addr;

/// One solicitation as it reached the host.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct NsRequest {
    /// The interface it came in by.
    pub dev: IfIndex,
    /// Whom the frame was for.
    pub cast: Cast,
    /// Source address; `::` in a test for duplicates.
    pub src: Ipv6Addr,
    /// Destination address.
    pub dst: Ipv6Addr,
    /// Hop limit.
    pub hop_limit: u8,
    /// The message.
    pub ns: Solicit,
    /// It carries the nonce of a test the host itself runs: its own, come back.
    pub own_nonce: bool,
    /// The host has an entry for the sender on that interface.
    pub sender_known: bool,
    /// It has waited out its delay and is looked at again (LOCALLY_ENQUEUED).
    pub again: bool,
}

/// The advertisement that answers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct NsReply {
    /// From that address.
    pub src: Ipv6Addr,
    /// To that one.
    pub dst: Ipv6Addr,
    /// The message.
    pub advert: Advert,
}

/// Whether a solicitation is answered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum NsDecision {
    /// Answered.
    Reply {
        /// With that.
        reply: NsReply,
        /// At once, or drawn.
        after: After,
    },
    /// Not answered.
    Silent(NsReason),
}

impl NsDecision {
    /// The reason, when it is silence.
    #[must_use]
    pub fn reason(&self) -> Option<NsReason> {
        match self {
            NsDecision::Reply { .. } => None,
            NsDecision::Silent(reason) => Some(*reason),
        }
    }
}

/// A decision with its side effects.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct NsOutcome {
    /// Answered or not.
    pub decision: NsDecision,
    /// The sender is learned as STALE, with the MAC it gave, if it gave one.
    pub learn: bool,
}

/// Would Linux answer this solicitation, when, how, and if not, why?
#[must_use]
pub fn decide_ns(state: &HostState, request: &NsRequest) -> NsDecision {
    process_ns(state, request).decision
}

/// As [`decide_ns`], with what is learned (`ipv6_rcv` to `ndisc_recv_ns`).
#[must_use]
pub fn process_ns(state: &HostState, request: &NsRequest) -> NsOutcome {
    let silent = |reason, learn| NsOutcome { decision: NsDecision::Silent(reason), learn };
    let Some(link) = state.link(request.dev) else { return silent(NsReason::NoInterface, false) };
    let (after, own) = match judge(state, link, request) {
        Ok(judged) => judged,
        Err(reason) => return silent(reason, false),
    };
    // a test teaches nothing, and what waits is learned from when its time has come
    let learn = after == After::Now && !request.src.is_unspecified();
    match reply(state, link, request, own) {
        Ok(reply) => NsOutcome { decision: NsDecision::Reply { reply, after }, learn },
        Err(reason) => silent(reason, learn),
    }
}

/// Whether it is answered, when, and for an own address or not.
fn judge(state: &HostState, link: &Link, request: &NsRequest) -> Result<(After, bool), NsReason> {
    receive(state, link, request)?;
    check(request)?;
    let own = link.addrs6().iter().find(|a| a.net.addr() == request.ns.target);
    if let Some(ifa) = own {
        not_tentative(ifa, request)?;
    }
    let after = if own.is_some() { After::Now } else { on_behalf(state, link, request)? };
    let anonymous = request.dst.is_multicast()
        && request.ns.source.is_none()
        && !request.src.is_unspecified()
        && !request.sender_known;
    // only after the wait does the kernel look at that
    if anonymous && after == After::Now {
        return Err(NsReason::SenderUnknown);
    }
    Ok((after, own.is_some()))
}

/// What keeps a packet from neighbour discovery altogether.
fn receive(state: &HostState, link: &Link, request: &NsRequest) -> Result<(), NsReason> {
    if !link.is_up() {
        return Err(NsReason::LinkDown);
    }
    if link.master().is_some() {
        return Err(NsReason::BridgePort);
    }
    if link.conf6().get(Conf6::DisableIpv6) != 0 {
        return Err(NsReason::Ipv6Disabled);
    }
    if request.cast == Cast::OtherHost {
        return Err(NsReason::OtherHost);
    }
    if request.src.is_multicast() || request.src.is_loopback() {
        return Err(NsReason::SourceInvalid);
    }
    if request.dst.is_loopback() {
        return Err(NsReason::DestinationInvalid);
    }
    let delivered = state.delivers6(link, request.src, request.dst);
    if request.dst.is_multicast() && delivered {
        let joined = state.joined6(link, request.dst);
        return if joined { Ok(()) } else { Err(NsReason::NotListening { group: request.dst }) };
    }
    let taken = delivered || state.takes_in_passing(link, request.src, request.dst);
    if taken { Ok(()) } else { Err(NsReason::NotDelivered) }
}

/// RFC 4861 section 7.1.1, as ndisc_rcv() and ndisc_recv_ns() do it.
fn check(request: &NsRequest) -> Result<(), NsReason> {
    let NsRequest { hop_limit, ns, .. } = *request;
    if hop_limit != nd::HOP_LIMIT {
        return Err(NsReason::HopLimit { hop_limit });
    }
    if ns.target.is_multicast() {
        return Err(NsReason::TargetMulticast);
    }
    let test = request.src.is_unspecified();
    if test && (!nd::is_solicited_node(request.dst) || ns.source.is_some()) {
        return Err(NsReason::BadTest);
    }
    Ok(())
}

fn not_tentative(ifa: &Ifa6, request: &NsRequest) -> Result<(), NsReason> {
    if !ifa.tentative {
        return Ok(());
    }
    let rival = request.src.is_unspecified() && !request.own_nonce && !ifa.dad_failed;
    Err(if rival { NsReason::Rival } else { NsReason::Tentative { failed: ifa.dad_failed } })
}

/// The target is not the interface's own: an anycast address of a router, or proxied.
fn on_behalf(state: &HostState, link: &Link, request: &NsRequest) -> Result<After, NsReason> {
    let target = request.ns.target;
    if !HostState::anycast6(link, target) {
        if !state.proxies6(link, target) {
            return Err(NsReason::NoProxyEntry);
        }
        if link.conf6().get(Conf6::Forwarding) == 0 {
            return Err(NsReason::ForwardingOff);
        }
        if state.effective6(link, Conf6::ProxyNdp) == 0 {
            return Err(NsReason::ProxyNdpOff);
        }
    }
    let delay = link.neigh6().get(NeighVar::ProxyDelay);
    if request.again || request.cast == Cast::Host || !request.dst.is_multicast() || delay <= 0 {
        return Ok(After::Now);
    }
    let limit = link.neigh6().get(NeighVar::ProxyQlen);
    if i64::from(link.delayed_solicits()) > i64::from(limit) {
        return Err(NsReason::QueueFull { limit });
    }
    Ok(After::Delay { below: delay.unsigned_abs() })
}

fn reply(state: &HostState, link: &Link, request: &NsRequest, own: bool) -> Result<NsReply, NsReason> {
    let target = request.ns.target;
    let test = request.src.is_unspecified();
    let dst = if test { ALL_NODES } else { request.src };
    let src = if own { Some(target) } else { state.select_src6(link.index(), dst) };
    let routes = link.conf6().get(Conf6::Forwarding) != 0;
    let grouped = request.dst.is_multicast();
    let advert = Advert {
        target,
        // a proxy entry tells itself whether it stands for a router; `ip neigh` entries do not
        router: routes && (own || HostState::anycast6(link, target)),
        solicited: !test,
        replace: own && grouped,
        mac: grouped.then(|| link.mac()),
    };
    Ok(NsReply { src: src.ok_or(NsReason::NoSource)?, dst, advert })
}

/// What an advertisement means to a host.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum NaVerdict {
    /// Nothing.
    Ignored,
    /// It claims an address the host is testing: the test fails.
    Rival(Ipv6Net),
    /// The entry of the target, if it exists and has not failed, is updated.
    Update {
        /// To REACHABLE rather than STALE.
        reachable: bool,
        /// Another MAC replaces the known one.
        replace: bool,
        /// An entry is made when there is none, STALE in any case (accept_untracked_na).
        create: bool,
    },
}

/// What a host takes from an advertisement between two `ends`, source and destination
/// (ndisc_recv_na).
#[must_use]
pub fn judge_na(
    state: &HostState,
    dev: IfIndex,
    ends: (Ipv6Addr, Ipv6Addr),
    hop_limit: u8,
    na: &Advert,
) -> NaVerdict {
    let (src, dst) = ends;
    let Some(link) = state.link(dev) else { return NaVerdict::Ignored };
    let unsolicited_dropped = !na.solicited && link.conf6().get(Conf6::DropUnsolicitedNa) != 0;
    let shouted = dst.is_multicast() && na.solicited;
    let nobody = src.is_multicast() || src.is_loopback();
    let invalid = hop_limit != nd::HOP_LIMIT || na.target.is_multicast() || shouted || nobody;
    if invalid || unsolicited_dropped {
        return NaVerdict::Ignored;
    }
    if let Some(own) = link.addrs6().iter().find(|a| a.net.addr() == na.target) {
        return if own.tentative { NaVerdict::Rival(own.net) } else { NaVerdict::Ignored };
    }
    // the host's own proxy answer, come back to it
    if na.mac == Some(link.mac()) && state.proxies_for_all(link, na.target) {
        return NaVerdict::Ignored;
    }
    let accepts = match link.conf6().get(Conf6::AcceptUntrackedNa) {
        1 => true,
        2 => link.addrs6().iter().any(|a| a.net.contains(&src)),
        _ => false,
    };
    let create = accepts && na.mac.is_some() && link.conf6().get(Conf6::Forwarding) != 0;
    NaVerdict::Update { reachable: na.solicited, replace: na.replace, create }
}
