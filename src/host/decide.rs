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
//! The function is pure. What it needs beyond the namespace's state is in the [`Request`];
//! what follows from it beyond the answer is in [`Outcome::learn`].

use super::conf::{Conf4, Global, NeighVar};
use super::fib::{AddrType, FibHit, Flow};
use super::frame::{Arp, Cast, ETHERTYPE_ARP, ETHERTYPE_IPV4, EthFrame, OP_REPLY, OP_REQUEST};
use super::hook::{HookFrame, HookPoint};
use super::input::{Input, InputFault, InputRoute};
use super::link::{IfIndex, Link};
use super::reason::Reason;
use super::route::RtScope;
use super::state::HostState;
use crate::addr::Mac;
use std::net::{IpAddr, Ipv4Addr};

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
        /// When.
        after: After,
    },
    /// Not answered.
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
pub struct Outcome {
    /// Answered or not.
    pub decision: Decision,
    /// What is learned.
    pub learn: Learn,
}

impl Outcome {
    fn silent(reason: Reason) -> Outcome {
        Outcome { decision: Decision::Silent(reason), learn: Learn::Nothing }
    }
}

/// Would Linux answer this request, when, with which MAC, and if not, why?
#[must_use]
pub fn decide(state: &HostState, request: &Request) -> Decision {
    process(state, request).decision
}

/// As [`decide`], with what is learned (`arp_rcv`, `arp_process`).
#[must_use]
pub fn process(state: &HostState, request: &Request) -> Outcome {
    let Some(link) = state.link(request.dev) else { return Outcome::silent(Reason::NoInterface) };
    if let Err(reason) = receive(state, link, request).and_then(|()| check_header(state, link, request)) {
        return Outcome::silent(reason);
    }
    if request.arp.spa.is_unspecified() {
        return probe(state, link, request);
    }
    if request.arp.op != OP_REQUEST {
        return update(state, link, request, Reason::NotARequest);
    }
    let input = Input {
        dst: request.arp.tpa,
        src: request.arp.spa,
        dev: request.dev,
        mark: 0,
        is_arp: true,
        leg: request.leg,
    };
    match state.route_input(&input) {
        Ok(InputRoute::Local(_)) => local(state, link, request),
        Ok(InputRoute::Unicast(hit)) => proxied(state, link, request, &hit),
        Ok(InputRoute::Broadcast) => update(state, link, request, Reason::TargetBroadcast),
        Err(fault) => update(state, link, request, Reason::Unroutable(fault)),
    }
}

/// Decides about a whole frame: reception first, then [`process`]. `None` when the frame is
/// sound but not ARP, so that it is for IP to deal with.
#[must_use]
pub fn process_frame(
    state: &HostState,
    dev: IfIndex,
    frame: &[u8],
    sender_known: impl Fn(Ipv4Addr) -> bool,
) -> Option<(Outcome, Option<Request>)> {
    let fault = |f| Some((Outcome::silent(Reason::Frame(f)), None));
    let Some(link) = state.link(dev) else { return Some((Outcome::silent(Reason::NoInterface), None)) };
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

/// Reception: rule 0 of the order of tests.
fn receive(state: &HostState, link: &Link, request: &Request) -> Result<(), Reason> {
    if !link.is_up() {
        return Err(Reason::LinkDown);
    }
    if link.master().is_some() {
        return Err(Reason::BridgePort);
    }
    if link.is_noarp() {
        return Err(Reason::NoArp);
    }
    if request.cast == Cast::OtherHost {
        return Err(Reason::OtherHost);
    }
    // the hook is not asked again when a delayed request is taken up
    if !request.again && hooked(state, HookPoint::Input, link, &request.arp) {
        return Err(Reason::Filtered(HookPoint::Input));
    }
    Ok(())
}

fn hooked(state: &HostState, point: HookPoint, link: &Link, arp: &Arp) -> bool {
    let frame = HookFrame { point, dev: link.index(), op: arp.op, sender: arp.spa, target: arp.tpa };
    state.hooks().iter().any(|h| h.drops(&frame))
}

fn check_header(state: &HostState, link: &Link, request: &Request) -> Result<(), Reason> {
    let Arp { hrd, pro, op, spa, tpa, .. } = request.arp;
    if !matches!(hrd, 1 | 6) || pro != ETHERTYPE_IPV4 || !matches!(op, OP_REQUEST | OP_REPLY) {
        return Err(Reason::Header { hrd, pro, op });
    }
    if tpa.is_multicast() || (tpa.is_loopback() && !state.on4(link, Conf4::RouteLocalnet)) {
        return Err(Reason::TargetInvalid);
    }
    if spa == tpa && state.on4(link, Conf4::DropGratuitousArp) {
        return Err(Reason::GratuitousDropped);
    }
    Ok(())
}

/// A probe of duplicate-address detection (RFC 5227; RFC 2131 section 4.4.1).
fn probe(state: &HostState, link: &Link, request: &Request) -> Outcome {
    if request.arp.op != OP_REQUEST {
        return Outcome::silent(Reason::NotARequest);
    }
    if state.addr_type(request.arp.tpa) != AddrType::Local {
        return Outcome::silent(Reason::ProbeNotLocal);
    }
    if let Err(reason) = arp_ignore(state, link, request) {
        return Outcome::silent(reason);
    }
    Outcome { decision: reply(state, link, request, After::Now), learn: Learn::Nothing }
}

fn local(state: &HostState, link: &Link, request: &Request) -> Outcome {
    if let Err(reason) = arp_ignore(state, link, request) {
        return Outcome::silent(reason);
    }
    if state.on4(link, Conf4::ArpFilter) && !way_back_is(state, link, request) {
        return Outcome::silent(Reason::ArpFilter);
    }
    if !request.sender_known && table_full(state) {
        return Outcome::silent(Reason::TableFull { limit: state.global(Global::GcThresh3) });
    }
    Outcome { decision: reply(state, link, request, After::Now), learn: Learn::Sender }
}

/// neigh_alloc() refuses at gc_thresh3 when nothing can be collected; entries younger than five
/// seconds cannot, so a table filled from elsewhere counts as full.
fn table_full(state: &HostState) -> bool {
    i64::from(state.neighbours_elsewhere()) >= i64::from(state.global(Global::GcThresh3))
}

fn proxied(state: &HostState, link: &Link, request: &Request, hit: &FibHit<'_>) -> Outcome {
    if let Err(reason) = may_proxy(state, link, request, hit) {
        return update(state, link, request, reason);
    }
    let delay = link.neigh4().get(NeighVar::ProxyDelay);
    let at_once = request.again || request.cast == Cast::Host || delay <= 0;
    if at_once {
        return Outcome { decision: reply(state, link, request, After::Now), learn: Learn::Sender };
    }
    let limit = link.neigh4().get(NeighVar::ProxyQlen);
    let decision = if i64::from(link.delayed_requests()) > i64::from(limit) {
        Decision::Silent(Reason::QueueFull { limit })
    } else {
        Decision::Reply { mac: link.mac(), after: After::Delay { below: delay as u32 } }
    };
    Outcome { decision, learn: Learn::Sender }
}

/// arp_fwd_proxy, arp_fwd_pvlan and the explicit entry, in the kernel's order.
fn may_proxy(state: &HostState, link: &Link, request: &Request, hit: &FibHit<'_>) -> Result<(), Reason> {
    let Arp { spa, tpa, .. } = request.arp;
    if hit.hop.dev == link.index() {
        // only proxy_arp_pvlan lets the input route end here
        return if spa == tpa { Err(Reason::PvlanSelf) } else { Ok(()) };
    }
    let entry = state.proxies().iter().any(|p| p.dev == link.index() && p.ip == IpAddr::V4(tpa));
    if entry {
        return Ok(());
    }
    if !state.on4(link, Conf4::ProxyArp) {
        return Err(Reason::ProxyArpOff);
    }
    let in_id = link.conf4().get(Conf4::MediumId);
    let out_id = state.link(hit.hop.dev).map_or(0, |l| l.conf4().get(Conf4::MediumId));
    match in_id {
        0 => Ok(()),
        -1 => Err(Reason::MediumId { in_id, out_id }),
        _ if out_id != in_id && out_id != -1 => Ok(()),
        _ => Err(Reason::MediumId { in_id, out_id }),
    }
}

fn reply(state: &HostState, link: &Link, request: &Request, after: After) -> Decision {
    let Arp { sha, spa, tpa, .. } = request.arp;
    let answer = Arp::reply(link.mac(), tpa, sha, spa);
    if hooked(state, HookPoint::Output, link, &answer) {
        return Decision::Silent(Reason::Filtered(HookPoint::Output));
    }
    Decision::Reply { mac: link.mac(), after }
}

/// Which local addresses arp_ignore lets through (arp_ignore, inet_confirm_addr).
fn arp_ignore(state: &HostState, link: &Link, request: &Request) -> Result<(), Reason> {
    let level = state.effective4(link, Conf4::ArpIgnore);
    let Arp { spa, tpa, .. } = request.arp;
    let known = match level {
        1 => confirm_addr(state, link, None, Some(tpa), RtScope::HOST),
        2 => confirm_addr(state, link, Some(spa).filter(|s| !s.is_unspecified()), Some(tpa), RtScope::HOST),
        3 => state.links().iter().any(|l| confirm_addr(state, l, None, Some(tpa), RtScope::LINK)),
        8 => false,
        _ => true,
    };
    if known { Ok(()) } else { Err(Reason::ArpIgnore { level }) }
}

/// confirm_addr_indev(): is `local` an address of the device, of at most that scope, and (when
/// asked) in one subnet with `dst`?
fn confirm_addr(
    state: &HostState,
    link: &Link,
    dst: Option<Ipv4Addr>,
    local: Option<Ipv4Addr>,
    scope: RtScope,
) -> bool {
    let host_scope = if state.on4(link, Conf4::RouteLocalnet) { RtScope::LINK } else { RtScope::HOST };
    let fits = |ifa: &super::Ifa4| ifa.scope.min(host_scope) <= scope;
    if local.is_none() {
        // any address of the device will do, as long as `dst` lies in one of its subnets
        return link.addrs().iter().any(fits)
            && dst.is_none_or(|d| link.addrs().iter().any(|a| fits(a) && a.net.contains(&d)));
    }
    let (mut found, mut same) = (false, false);
    for ifa in link.addrs() {
        if !found && local.is_none_or(|l| l == ifa.net.addr()) && fits(ifa) {
            found = true;
            if same {
                break;
            }
        }
        if !same {
            same = local.is_none_or(|l| ifa.net.contains(&l)) && dst.is_none_or(|d| ifa.net.contains(&d));
            if same && found {
                break;
            }
        }
    }
    same && found
}

/// arp_filter(): does a packet from the target's address to the sender leave by the interface?
fn way_back_is(state: &HostState, link: &Link, request: &Request) -> bool {
    let flow = Flow::output(request.arp.spa, request.arp.tpa);
    state
        .fib_lookup(&flow)
        .is_ok_and(|hit| hit.route.kind != super::RouteKind::Local && hit.hop.dev == link.index())
}

/// Everything not answered may still refresh an entry ("Update our ARP tables").
fn update(state: &HostState, link: &Link, request: &Request, reason: Reason) -> Outcome {
    let Arp { op, sha, spa, tha, tpa, .. } = request.arp;
    let accept = match state.effective4(link, Conf4::ArpAccept) {
        0 => false,
        1 => true,
        2 => confirm_addr(state, link, Some(spa), None, RtScope::LINK),
        _ => false,
    };
    let unicast = state.addr_type(spa) == AddrType::Unicast;
    let gratuitous = spa == tpa && (op != OP_REPLY || tha == sha) && unicast;
    let create = accept && (gratuitous || (op == OP_REPLY && unicast));
    let reachable = op == OP_REPLY && request.cast == Cast::Host;
    let learn = Learn::Update { reachable, gratuitous, create };
    Outcome { decision: Decision::Silent(reason), learn }
}

impl Reason {
    /// True when the silence is about the state of the host, not about the frame: the kind that
    /// a late CNI plugin or Felix causes.
    #[must_use]
    pub fn is_host_state(&self) -> bool {
        !matches!(
            self,
            Reason::Frame(_)
                | Reason::NotForUs { .. }
                | Reason::Header { .. }
                | Reason::TargetInvalid
                | Reason::NotARequest
                | Reason::ProbeNotLocal
                | Reason::PvlanSelf
                | Reason::Unroutable(InputFault::MartianSource | InputFault::MartianDestination)
        )
    }
}
