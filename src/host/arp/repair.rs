//! The smallest change to a host that removes one reason for silence, alone: what a person would
//! type who has just read the reason. Another reason may stand behind it.

use super::decide::{Request, decide};
use super::reason::Reason;
use crate::addr::IfName;
use crate::host::apply::mutation::{
    AddrDelBy, Family, HookSpec, LinkChange, Mutation, Op, RouteSpec, RuleSpec,
};
use crate::host::fib::input::{InputFault, SourceFault};
use crate::host::fib::{FibMiss, Flow};
use crate::host::state::HostState;
use crate::host::state::conf::{Conf4, Global, NeighVar, Scope, SysctlKey};
use crate::host::state::hook::{HookFrame, HookPoint};
use crate::host::state::link::{IfIndex, Link, LinkKind};
use crate::host::state::route::{RouteKind, Rule, TABLE_LOCAL, TABLE_MAIN};
use ipnet::{IpNet, Ipv4Net};
use std::net::Ipv4Addr;

/// Causes of one reason that are removed together.
const CAUSES_MAX: usize = 8;

impl Reason {
    /// The smallest change that removes this reason; `None` when the reason lies in the frame, or
    /// when no change to the host would help.
    #[must_use]
    pub fn repair(&self, state: &HostState, request: &Request) -> Option<Vec<Mutation>> {
        let mut trial = state.clone();
        let mut changes = Vec::new();
        // the same reason may have several causes, such as two routes one behind the other
        for _ in 0..CAUSES_MAX {
            let step = self.step(&trial, request)?;
            for change in &step {
                trial.apply(change).ok()?;
            }
            changes.extend(step);
            if decide(&trial, request).reason() != Some(*self) {
                return Some(changes);
            }
        }
        None
    }

    /// Removes one cause.
    fn step(&self, state: &HostState, request: &Request) -> Option<Vec<Mutation>> {
        let link = state.link(request.dev)?;
        let mend = Mend { state, link, request };
        Some(match *self {
            Reason::LinkDown => mend.link(LinkChange::Up(true)),
            Reason::NoCarrier => mend.link(LinkChange::Carrier(true)),
            Reason::BridgePort => mend.link(LinkChange::Master(None)),
            Reason::NoArp => mend.link(LinkChange::Arp(true)),
            Reason::Filtered(point) => mend.unhook(point),
            Reason::GratuitousDropped => mend.switch_off(Conf4::DropGratuitousArp),
            Reason::TargetInvalid if request.arp.tpa.is_loopback() => mend.set(Conf4::RouteLocalnet, 1),
            Reason::ArpIgnore { .. } => mend.switch_off(Conf4::ArpIgnore),
            Reason::ArpFilter => mend.switch_off(Conf4::ArpFilter),
            Reason::Unroutable(fault) => return mend.route(&fault),
            Reason::ProxyArpOff => mend.set(Conf4::ProxyArp, 1),
            Reason::MediumId { .. } => mend.set(Conf4::MediumId, 0),
            Reason::QueueFull { .. } | Reason::QueuePurged => mend.answer_at_once(),
            Reason::TableFull { .. } => mend.make_room(),
            Reason::Frame(_)
            | Reason::NotForUs { .. }
            | Reason::NoInterface
            | Reason::OtherHost
            | Reason::Header { .. }
            | Reason::TargetInvalid
            | Reason::NotARequest
            | Reason::ProbeNotLocal
            | Reason::TargetBroadcast
            | Reason::PvlanSelf => return None,
        })
    }
}

struct Mend<'a> {
    state: &'a HostState,
    link: &'a Link,
    request: &'a Request,
}

impl Mend<'_> {
    fn link(&self, change: LinkChange) -> Vec<Mutation> {
        vec![Mutation::LinkSet { dev: self.link.name(), change }]
    }

    fn set(&self, key: Conf4, value: i32) -> Vec<Mutation> {
        let key = SysctlKey::Conf4(Scope::Dev(self.link.name()), key);
        vec![Mutation::Sysctl { key, value }]
    }

    /// Of a switch that counts here and in `all`, whichever is on goes off.
    fn switch_off(&self, key: Conf4) -> Vec<Mutation> {
        self.switch_off_on(self.link.index(), key)
    }

    fn switch_off_on(&self, dev: IfIndex, key: Conf4) -> Vec<Mutation> {
        [Scope::Dev(self.state.name_of(dev)), Scope::All]
            .map(|scope| SysctlKey::Conf4(scope, key))
            .into_iter()
            .filter(|key| self.state.sysctl(key).is_some_and(|value| value != 0))
            .map(|key| Mutation::Sysctl { key, value: 0 })
            .collect()
    }

    fn answer_at_once(&self) -> Vec<Mutation> {
        let key = SysctlKey::Neigh4(Scope::Dev(self.link.name()), NeighVar::ProxyDelay);
        vec![Mutation::Sysctl { key, value: 0 }]
    }

    fn make_room(&self) -> Vec<Mutation> {
        let room = self.state.neighbours_elsewhere().saturating_add(1);
        let value = i32::try_from(room).unwrap_or(i32::MAX);
        vec![Mutation::Sysctl { key: SysctlKey::Global(Global::GcThresh3), value }]
    }

    /// Every rule of that point which drops the frame.
    fn unhook(&self, point: HookPoint) -> Vec<Mutation> {
        let asked = self.request.arp;
        let (op, sender, target) = match point {
            HookPoint::Input => (asked.op, asked.spa, asked.tpa),
            HookPoint::Output => (crate::wire::OP_REPLY, asked.tpa, asked.spa),
        };
        let frame = HookFrame { point, dev: self.link.name(), op, sender, target };
        let dropping = self.state.hooks().iter().filter(|h| h.drops(&frame));
        let spec = |h: &crate::host::state::hook::ArpHook| HookSpec {
            point: h.point,
            dev: h.dev,
            op: h.op,
            sender: h.sender,
            target: h.target,
        };
        dropping.map(|h| Mutation::Hook { op: Op::Del, hook: spec(h) }).collect()
    }

    fn route(&self, fault: &InputFault) -> Option<Vec<Mutation>> {
        let (spa, tpa) = (self.request.arp.spa, self.request.arp.tpa);
        match *fault {
            InputFault::MartianSource if spa.is_loopback() => Some(self.set(Conf4::RouteLocalnet, 1)),
            InputFault::ForwardingOff => Some(self.set(Conf4::Forwarding, 1)),
            InputFault::NoRoute(miss) => self.lead(&miss, tpa, self.elsewhere()?, &self.forward_flow()),
            // the way must lead elsewhere; where there is no elsewhere, it may lead back
            InputFault::SameDevice => match self.elsewhere() {
                Some(dev) => self.lead(&FibMiss::NoRoute, tpa, dev, &self.forward_flow()),
                None => Some(self.set(Conf4::ProxyArpPvlan, 1)),
            },
            // nothing can be done for a sender that says it is the loopback, or nobody
            InputFault::MartianSource | InputFault::MartianDestination => None,
            InputFault::Source(_) if spa.is_loopback() => None,
            InputFault::Source(SourceFault::OwnAddress) => self.disown(spa),
            InputFault::Source(SourceFault::NoRouteBack { miss, .. }) => {
                self.lead(&miss, spa, self.link.name(), &self.reverse_flow()?)
            }
            InputFault::Source(SourceFault::NotUnicast(_) | SourceFault::OtherDevice { .. }) => {
                self.lead_back_over(spa)
            }
        }
    }

    fn forward_flow(&self) -> Flow {
        let arp = self.request.arp;
        Flow::input(arp.tpa, arp.spa, self.link.index(), 0)
    }

    /// The lookup of the way back; what the target resolves to now decides its input device.
    fn reverse_flow(&self) -> Option<Flow> {
        let arp = self.request.arp;
        let hit = self.state.fib_lookup(&self.forward_flow()).ok()?;
        let iif = if hit.route.kind == RouteKind::Local { crate::host::fib::LOOPBACK } else { hit.hop.dev };
        Some(Flow { iif, ..Flow::output(arp.spa, arp.tpa) })
    }

    /// Another interface that can carry packets: one with a carrier and an address first.
    fn elsewhere(&self) -> Option<IfName> {
        let usable = |l: &&Link| {
            l.index() != self.link.index()
                && l.kind() != LinkKind::Loopback
                && l.is_up()
                && l.master().is_none()
        };
        let links = self.state.links().iter().filter(usable);
        links.min_by_key(|l| (!l.has_carrier(), l.addrs().is_empty())).map(Link::name)
    }

    /// Makes `ip` lead out of `dev` where a lookup missed: a host route in the table that should
    /// have had one, or one rule less.
    fn lead(&self, miss: &FibMiss, ip: Ipv4Addr, dev: IfName, flow: &Flow) -> Option<Vec<Mutation>> {
        let table = match *miss {
            FibMiss::Rule { priority, action } => {
                let fits = |r: &&Rule| r.priority == priority && r.action == action;
                let rule = self.state.rules().iter().find(fits)?;
                let rule = RuleSpec::of(Family::Inet, rule);
                return Some(vec![Mutation::Rule { op: Op::Del, rule }]);
            }
            FibMiss::Rejected { table, .. } => table,
            FibMiss::NoRoute => {
                // a route may be there, but its device has no carrier and that counts
                let unheeding = Flow { ignore_linkstate: true, ..*flow };
                if let (Err(_), Ok(hit)) = (self.state.fib_lookup(flow), self.state.fib_lookup(&unheeding)) {
                    return Some(self.switch_off_on(hit.hop.dev, Conf4::IgnoreRoutesWithLinkdown));
                }
                self.asked_table(flow)?
            }
        };
        Some(host_route(table, ip, dev))
    }

    /// The first table a lookup goes to that is not the kernel's own.
    fn asked_table(&self, flow: &Flow) -> Option<u32> {
        if !self.state.has_custom_rules() {
            return Some(TABLE_MAIN);
        }
        // a host route is too long to be passed over, unless its device is what matters
        let takes = |rule: &&Rule| rule.suppress_prefixlength < Some(32) && rule.suppress_ifgroup != Some(0);
        let tables = self.state.rules_for(flow).filter(takes).map_while(|rule| rule.table().ok());
        tables.into_iter().find(|table| *table != TABLE_LOCAL)
    }

    /// Something else than a way out of this interface stands where the way back should: a host
    /// route in its table, or, where it is one itself, in its place.
    fn lead_back_over(&self, spa: Ipv4Addr) -> Option<Vec<Mutation>> {
        let flow = self.reverse_flow()?;
        let hit = self.state.fib_lookup(&flow).ok()?;
        let own = self.link.name();
        if hit.route.kind == RouteKind::Local {
            return self.disown(spa);
        }
        if hit.route.dst.prefix_len() < 32 {
            return Some(host_route(hit.table, spa, own));
        }
        let device = (!hit.route.hops.is_empty()).then(|| self.state.name_of(hit.hop.dev));
        let mut del = match device {
            Some(dev) => RouteSpec::direct(hit.route.dst, dev),
            None => RouteSpec::reject(hit.route.kind, hit.route.dst),
        };
        (del.kind, del.table) = (hit.route.kind, Some(hit.table));
        del.metric = Some(hit.route.metric).filter(|m| *m != 0);
        let mut changes = vec![Mutation::Route { op: Op::Del, spec: del }];
        if hit.table != TABLE_LOCAL {
            changes.extend(host_route(hit.table, spa, own));
        }
        Some(changes)
    }

    /// The sender's address is the host's own: it is taken away from whoever has it, or from the
    /// local table.
    fn disown(&self, ip: Ipv4Addr) -> Option<Vec<Mutation>> {
        let mut changes = Vec::new();
        for link in self.state.links() {
            let has = link.addrs().iter().filter(|a| a.net.addr() == ip);
            changes.extend(has.map(|a| Mutation::AddrDel {
                dev: link.name(),
                net: IpNet::V4(a.net),
                by: a.peer.map_or(AddrDelBy::Prefix, AddrDelBy::Peer),
            }));
        }
        if !changes.is_empty() {
            return Some(changes);
        }
        let hit = self.state.fib_lookup(&self.reverse_flow()?).ok()?;
        let mut spec = RouteSpec::direct(hit.route.dst, self.state.name_of(hit.hop.dev));
        (spec.kind, spec.table) = (RouteKind::Local, Some(hit.table));
        Some(vec![Mutation::Route { op: Op::Del, spec }])
    }
}

fn host_route(table: u32, ip: Ipv4Addr, dev: IfName) -> Vec<Mutation> {
    let mut spec = RouteSpec::direct(IpNet::V4(Ipv4Net::new_assert(ip, 32)), dev);
    spec.table = Some(table).filter(|t| *t != TABLE_MAIN);
    vec![Mutation::Route { op: Op::Replace, spec }]
}
