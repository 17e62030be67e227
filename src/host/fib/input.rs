//! The input route: may a packet that came in by a device go where it wants to go?
//! (ip_route_input_slow and __mkroute_input in net/ipv4/route.c, fib_validate_source in
//! net/ipv4/fib_frontend.c). Proxy ARP asks this question for every request.

use super::{FibHit, FibMiss, Flow, LOOPBACK};
use crate::host::arp::condition::{Branch, Condition, Nobody, Witness};
use crate::host::arp::met;
use crate::host::arp::reason::Reason;
use crate::host::state::HostState;
use crate::host::state::conf::Conf4;
use crate::host::state::link::{IfIndex, Link};
use crate::host::state::route::RouteKind;
use crate::host::state::selectors::Upper;
use std::net::Ipv4Addr;

/// The packet whose way is sought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InputPacket {
    /// Destination; for ARP the target address.
    pub dst: Ipv4Addr,
    /// Source; for ARP the sender address.
    pub src: Ipv4Addr,
    /// The device it came in by.
    pub dev: IfIndex,
    /// Packet mark.
    pub mark: u32,
    /// What the layer above gives; nothing for ARP.
    pub upper: Upper,
    /// ARP rather than IP: a way back out of the same device is refused unless
    /// proxy_arp_pvlan is on.
    pub is_arp: bool,
    /// Which leg of a multipath route the flow hash picks, modulo their number.
    pub leg: u32,
}

/// Where the packet goes.
#[derive(Clone, Copy, Debug)]
pub enum InputRoute<'a> {
    /// To the host itself.
    Local(FibHit<'a>),
    /// Out of another (or, with pvlan, the same) device.
    Unicast(FibHit<'a>),
    /// A broadcast.
    Broadcast,
}

/// Why it goes nowhere.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum InputFault {
    /// The source can be nobody's address.
    MartianSource,
    /// The destination can be nobody's address.
    MartianDestination,
    /// The routing tables have no way.
    NoRoute(FibMiss),
    /// `forwarding` of the receiving device is 0.
    ForwardingOff,
    /// The reverse path check refuses the source.
    Source(SourceFault),
    /// The way leads out of the device the packet came in by.
    SameDevice,
}

/// Why the reverse path check refuses a source.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SourceFault {
    /// The source is one of the host's own addresses and accept_local is off.
    OwnAddress,
    /// The route back is not a unicast route.
    NotUnicast(RouteKind),
    /// There is no route back; `level` is the rp_filter that counts.
    NoRouteBack {
        /// What the lookup met.
        miss: FibMiss,
        /// The effective rp_filter.
        level: i32,
    },
    /// The route back leaves by another device.
    OtherDevice {
        /// That device.
        dev: IfIndex,
        /// The effective rp_filter.
        level: i32,
    },
}

impl HostState {
    /// The input route of a packet, or why there is none.
    pub fn route_input(&self, input: &InputPacket) -> Result<InputRoute<'_>, InputFault> {
        self.route_input_with(input, &mut Nobody)
    }

    /// [`HostState::route_input`], with a listener.
    pub(in crate::host) fn route_input_with<W: Witness>(
        &self,
        input: &InputPacket,
        w: &mut W,
    ) -> Result<InputRoute<'_>, InputFault> {
        let link = self.link(input.dev).ok_or(InputFault::MartianDestination)?;
        self.plausible(link, input, w)?;
        if input.dst.is_broadcast() {
            return Ok(broadcast(input, w));
        }
        let flow = Flow { upper: input.upper, ..Flow::input(input.dst, input.src, input.dev, input.mark) };
        let hit = self.fib_lookup(&flow).map_err(InputFault::NoRoute);
        w.saw(Condition::RouteToTarget, hit.as_ref().err().map(unroutable), || match &hit {
            Ok(hit) => met::hit_text(self, hit),
            Err(_) => format!("none to {}", input.dst),
        });
        let hit = hit?;
        if hit.route.kind == RouteKind::Broadcast && !self.on4(link, Conf4::BcForwarding) {
            return Ok(broadcast(input, w));
        }
        w.saw(Condition::NotBroadcast, None, || format!("{} is none", input.dst));
        if hit.route.kind == RouteKind::Local {
            w.branch(Branch::Local);
            self.credible(link, input, None, w)?;
            return Ok(InputRoute::Local(hit));
        }
        let forwarding = link.conf4().get(Conf4::Forwarding) != 0;
        let fault = (!forwarding).then_some(InputFault::ForwardingOff);
        w.saw(Condition::Forwarding, fault.as_ref().map(unroutable), || {
            met::conf4_dev(link, Conf4::Forwarding)
        });
        fault.map_or(Ok(()), Err)?;
        let hit = self.choose_leg(hit, &flow, input.leg);
        self.credible(link, input, Some(hit.hop.dev), w)?;
        if input.is_arp {
            self.leaves_elsewhere(link, &hit, w)?;
        }
        match hit.route.kind {
            RouteKind::Broadcast => Ok(InputRoute::Broadcast),
            _ => Ok(InputRoute::Unicast(hit)),
        }
    }

    /// Can these be anybody's addresses?
    fn plausible<W: Witness>(&self, link: &Link, input: &InputPacket, w: &mut W) -> Result<(), InputFault> {
        let InputPacket { src, dst, .. } = *input;
        let localnet = self.on4(link, Conf4::RouteLocalnet);
        let to_all = dst.is_broadcast();
        let bad_src = src.is_multicast()
            || src.is_broadcast()
            || (!to_all && (src.is_unspecified() || (src.is_loopback() && !localnet)));
        let bad_dst = dst.is_unspecified() || (dst.is_loopback() && !localnet);
        let fault = bad_src.then_some(InputFault::MartianSource);
        w.saw(Condition::SenderPlausible, fault.as_ref().map(unroutable), || format!("sender {src}"));
        fault.map_or(Ok(()), Err)?;
        let fault = bad_dst.then_some(InputFault::MartianDestination);
        w.saw(Condition::TargetPlausible, fault.as_ref().map(unroutable), || format!("target {dst}"));
        fault.map_or(Ok(()), Err)
    }

    fn credible<W: Witness>(
        &self,
        link: &Link,
        input: &InputPacket,
        out: Option<IfIndex>,
        w: &mut W,
    ) -> Result<(), InputFault> {
        let checked = self.validate_source(link, input, out).map_err(InputFault::Source);
        w.saw(Condition::SenderCredible, checked.as_ref().err().map(unroutable), || {
            let back = match self.fib_lookup(&self.reverse_flow(link, input, out)) {
                Ok(hit) => met::hit_text(self, &hit),
                Err(miss) => met::miss_text(&miss),
            };
            format!("{}; back to {}: {back}", met::conf4(self, link, Conf4::RpFilter), input.src)
        });
        checked
    }

    /// Proxy ARP answers for what lies behind another interface.
    fn leaves_elsewhere<W: Witness>(
        &self,
        link: &Link,
        hit: &FibHit<'_>,
        w: &mut W,
    ) -> Result<(), InputFault> {
        let same = hit.hop.dev == link.index() && !self.on4(link, Conf4::ProxyArpPvlan);
        let fault = same.then_some(InputFault::SameDevice);
        w.saw(Condition::OtherInterface, fault.as_ref().map(unroutable), || {
            let pvlan = met::conf4(self, link, Conf4::ProxyArpPvlan);
            format!("out of {}, {pvlan}", self.name_of(hit.hop.dev))
        });
        fault.map_or(Ok(()), Err)
    }

    /// The way of a multipath route that the flow's hash picks.
    pub(in crate::host) fn choose_leg<'a>(&'a self, hit: FibHit<'a>, flow: &Flow, leg: u32) -> FibHit<'a> {
        if hit.route.hops.len() < 2 {
            return hit;
        }
        let count = self.usable_hops(hit.route, flow).count().max(1);
        let hop = self.usable_hops(hit.route, flow).nth(leg as usize % count).unwrap_or(hit.hop);
        FibHit { hop, ..hit }
    }

    /// The reverse path check (fib_validate_source). `out` is the device the packet would leave
    /// by, `None` when it is for the host itself.
    pub fn validate_source(
        &self,
        link: &Link,
        input: &InputPacket,
        out: Option<IfIndex>,
    ) -> Result<(), SourceFault> {
        let level = self.effective4(link, Conf4::RpFilter);
        let accept_local = self.on4(link, Conf4::AcceptLocal);
        let redirects = out == Some(link.index()) && self.on4(link, Conf4::SendRedirects);
        if level == 0 && !redirects {
            if accept_local {
                return Ok(());
            }
            if !self.rules.custom && !self.custom_local_routes {
                return if self.owns(input.src) { Err(SourceFault::OwnAddress) } else { Ok(()) };
            }
        }
        self.full_source_check(link, input, out, level, accept_local)
    }

    /// The lookup of the way back: as if the answer came in by the way out.
    fn reverse_flow(&self, link: &Link, input: &InputPacket, out: Option<IfIndex>) -> Flow {
        let mark = if self.on4(link, Conf4::SrcValidMark) { input.mark } else { 0 };
        let upper = input.upper.reversed();
        Flow { iif: out.unwrap_or(LOOPBACK), mark, upper, ..Flow::output(input.src, input.dst) }
    }

    fn full_source_check(
        &self,
        link: &Link,
        input: &InputPacket,
        out: Option<IfIndex>,
        level: i32,
        accept_local: bool,
    ) -> Result<(), SourceFault> {
        let hit = match self.fib_lookup(&self.reverse_flow(link, input, out)) {
            Ok(hit) => hit,
            Err(_) if level == 0 => return Ok(()),
            Err(miss) => return Err(SourceFault::NoRouteBack { miss, level }),
        };
        match hit.route.kind {
            RouteKind::Unicast => {}
            RouteKind::Local if accept_local => {}
            RouteKind::Local => return Err(SourceFault::OwnAddress),
            kind => return Err(SourceFault::NotUnicast(kind)),
        }
        if hit.route.hops.iter().any(|h| h.dev == link.index()) {
            return Ok(());
        }
        // no_addr: an interface without an IPv4 address has no "any interface" fallback, so
        // loose mode is as strict as strict mode there
        let refused = if link.addrs().is_empty() { level != 0 } else { level == 1 };
        if refused { Err(SourceFault::OtherDevice { dev: hit.hop.dev, level }) } else { Ok(()) }
    }
}

fn unroutable(fault: &InputFault) -> Reason {
    Reason::Unroutable(*fault)
}

fn broadcast<W: Witness>(input: &InputPacket, w: &mut W) -> InputRoute<'static> {
    w.saw(Condition::NotBroadcast, Some(Reason::TargetBroadcast), || format!("{} is one", input.dst));
    InputRoute::Broadcast
}
