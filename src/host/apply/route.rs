//! Routes added, replaced and deleted (fib_table_insert, fib_table_delete, fib_check_nh; the
//! defaults that `ip route` fills in are in iproute2's iproute.c).

use super::Fault;
use super::mutation::{Errno, HopSpec, Op, RouteSpec};
use crate::host::fib::{AddrType, FibMiss, Flow};
use crate::host::state::HostState;
use crate::host::state::link::IfIndex;
use crate::host::state::route::{
    NextHop, Route, RouteKind, RtProto, RtScope, RuleAction, TABLE_LOCAL, TABLE_MAIN,
};
use ipnet::{IpNet, Ipv4Net};
use smallvec::SmallVec;
use std::net::{IpAddr, Ipv4Addr};

pub(in crate::host) const BAD_FAMILY: Fault = (Errno::Einval, "addresses of two families in one route");

impl HostState {
    pub(in crate::host) fn route_change(&mut self, op: Op, spec: &RouteSpec) -> Result<(), Fault> {
        match (op, spec.dst) {
            (Op::Del, IpNet::V4(dst)) => self.route_del(dst, spec),
            (_, IpNet::V4(dst)) => self.route_add(op, dst, spec),
            (Op::Del, IpNet::V6(dst)) => self.route_del6(dst, spec),
            (_, IpNet::V6(dst)) => self.route_add6(op, dst, spec),
        }
    }

    fn route_add(&mut self, op: Op, dst: Ipv4Net, spec: &RouteSpec) -> Result<(), Fault> {
        // names are turned into numbers before the kernel hears of the route
        for dev in spec.hops.iter().filter_map(|h| h.dev) {
            self.index_of(dev)?;
        }
        if dst != dst.trunc() {
            return Err((Errno::Einval, "bits are set beyond the prefix length"));
        }
        let table = table_of(spec);
        let route = self.build_route(dst, spec, table)?;
        let routes = self.table_mut(table);
        let at = routes.iter().position(|r| r.dst == dst && r.metric == route.metric);
        let same = routes.iter().position(|r| is_same(r, &route));
        match (op, at) {
            (Op::Add, Some(_)) => {
                return Err((Errno::Eexist, "the table has a route of that prefix and metric"));
            }
            (Op::Append | Op::Prepend, Some(_)) if same.is_some() => {
                return Err((Errno::Eexist, "the table has that route"));
            }
            // the first of them goes, and the new one would stand beside its equal
            (Op::Replace | Op::Change, Some(at)) if same.is_some_and(|s| s != at) => {
                return Err((Errno::Eexist, "the table has that route behind another of its prefix"));
            }
            (Op::Change, None) => return Err((Errno::Enoent, "the table has no such route to change")),
            (Op::Prepend, Some(at)) => routes.insert(at, route),
            (Op::Replace | Op::Change, Some(at)) => routes[at] = route,
            _ => routes.push(route),
        }
        // inet_rtm_newroute(): fib_has_custom_local_routes, whichever table it is
        self.custom_local_routes |= spec.kind == RouteKind::Local;
        Ok(())
    }

    fn build_route(&self, dst: Ipv4Net, spec: &RouteSpec, table: u32) -> Result<Route, Fault> {
        let scope = scope_of(spec);
        if scope < least_scope(spec.kind) {
            return Err((Errno::Einval, "the scope is too wide for that kind of route"));
        }
        let src = match spec.src {
            None => None,
            // 0.0.0.0 is no preference (fib_create_info)
            Some(IpAddr::V4(src)) => Some(src).filter(|src| !src.is_unspecified()),
            Some(IpAddr::V6(_)) => return Err(BAD_FAMILY),
        };
        let mut hops = SmallVec::new();
        // of a reject route nothing else is looked at, not even its preferred source
        if !spec.kind.is_reject() {
            check_hop_count(spec, scope)?;
            for hop in &spec.hops {
                hops.push(self.check_hop(hop, scope, table)?);
            }
            let own = |ip| self.addr_type(ip) == AddrType::Local;
            let itself = |ip| spec.kind == RouteKind::Local && ip == dst.addr();
            if src.is_some_and(|ip| !itself(ip) && !own(ip)) {
                return Err((Errno::Einval, "the preferred source is not an own address"));
            }
        }
        let metric = spec.metric.unwrap_or(0);
        let proto = spec.proto.unwrap_or(RtProto::BOOT);
        Ok(Route { dst, kind: spec.kind, metric, scope, proto, src, hops })
    }

    /// fib_check_nh(): a device that is up, and a gateway that is on a link.
    fn check_hop(&self, hop: &HopSpec, scope: RtScope, table: u32) -> Result<NextHop, Fault> {
        let dev = hop.dev.map(|d| self.index_of(d)).transpose()?;
        let via = match hop.via {
            None => None,
            // 0.0.0.0 is no gateway (rtm_to_fib_config)
            Some(IpAddr::V4(via)) => Some(via).filter(|via| !via.is_unspecified()),
            Some(IpAddr::V6(_)) => return Err(BAD_FAMILY),
        };
        if via.is_none() && hop.onlink && scope < RtScope::HOST {
            return Err((Errno::Einval, "onlink is said of a gateway, and there is none"));
        }
        let out = match (via, dev) {
            (None, None) => return Err((Errno::Enodev, "a device or a gateway is wanted")),
            (None, Some(dev)) => dev,
            (Some(via), dev) if hop.onlink => self.check_onlink(via, dev, scope)?,
            (Some(via), dev) => self.resolve_gateway(via, dev, scope, table)?,
        };
        let link = self.link(out).ok_or((Errno::Enodev, "there is no such interface"))?;
        if !link.is_up() && scope < RtScope::HOST {
            return Err((Errno::Enetdown, "the device of the next hop is not up"));
        }
        let linkdown = !link.has_carrier() && scope < RtScope::HOST;
        Ok(NextHop { dev: out, via, weight: hop.weight.max(1), linkdown, dead: false })
    }

    /// A gateway that is said to be on the link (fib_check_nh_v4_gw, in its order).
    fn check_onlink(&self, via: Ipv4Addr, dev: Option<IfIndex>, scope: RtScope) -> Result<IfIndex, Fault> {
        if scope >= RtScope::LINK {
            return Err((Errno::Einval, "the scope is too narrow for a gateway"));
        }
        let dev = dev.ok_or((Errno::Enodev, "onlink wants a device"))?;
        if !self.link(dev).is_some_and(crate::host::Link::is_up) {
            return Err((Errno::Enetdown, "the device of the next hop is not up"));
        }
        if self.addr_type(via) != AddrType::Unicast {
            return Err((Errno::Einval, "the gateway is no neighbour's address"));
        }
        Ok(dev)
    }

    /// A gateway must itself be on a link, or be one of the host's own addresses
    /// (fib_check_nh_v4_gw). It is looked for in the route's table first, then everywhere.
    fn resolve_gateway(
        &self,
        via: Ipv4Addr,
        dev: Option<IfIndex>,
        scope: RtScope,
        table: u32,
    ) -> Result<IfIndex, Fault> {
        let at_least = RtScope(scope.0.saturating_add(1)).max(RtScope::LINK);
        let flow = Flow {
            oif: dev,
            scope: at_least,
            ignore_linkstate: true,
            ..Flow::output(via, Ipv4Addr::UNSPECIFIED)
        };
        let in_table = (table != TABLE_MAIN).then(|| self.table_lookup(table, &flow)).flatten();
        let hit = match in_table {
            Some(hit) => hit,
            None => self.fib_lookup(&flow).map_err(|miss| no_gateway(&miss))?,
        };
        match hit.route.kind {
            RouteKind::Unicast | RouteKind::Local => Ok(hit.hop.dev),
            _ => Err((Errno::Einval, "the gateway is no neighbour's address")),
        }
    }

    fn route_del(&mut self, dst: Ipv4Net, spec: &RouteSpec) -> Result<(), Fault> {
        let devs: SmallVec<[Option<IfIndex>; 1]> = spec
            .hops
            .iter()
            .map(|h| h.dev.map(|d| self.index_of(d)).transpose())
            .collect::<Result<_, _>>()?;
        let (wanted_src, wanted_kind) = (spec.src, (spec.kind != RouteKind::Unicast).then_some(spec.kind));
        let table = table_of(spec);
        if !self.has_table(table) {
            return Err((Errno::Esrch, "no such route"));
        }
        let routes = self.table_mut(table);
        let fits = |r: &Route| {
            r.dst == dst
                && wanted_kind.is_none_or(|k| k == r.kind)
                && spec.metric.is_none_or(|m| m == r.metric)
                && spec.scope.is_none_or(|s| s == r.scope)
                && spec.proto.is_none_or(|p| p == r.proto)
                && wanted_src.is_none_or(|s| Some(s) == r.src.map(IpAddr::V4))
                && hops_fit(&spec.hops, &devs, &r.hops)
        };
        let at = (0..routes.len()).filter(|i| fits(&routes[*i])).min_by_key(|i| routes[*i].metric);
        let at = at.ok_or((Errno::Esrch, "no such route"))?;
        routes.remove(at);
        Ok(())
    }
}

/// All that makes a route what it is (struct fib_info): its hops may be in another state.
fn is_same(a: &Route, b: &Route) -> bool {
    let ways = |r: &Route| -> SmallVec<[(IfIndex, Option<Ipv4Addr>, u16); 2]> {
        r.hops.iter().map(|h| (h.dev, h.via, h.weight)).collect()
    };
    (a.dst, a.kind, a.metric, a.scope, a.proto, a.src) == (b.dst, b.kind, b.metric, b.scope, b.proto, b.src)
        && ways(a) == ways(b)
}

/// The lookup's own error is the answer to whoever wanted the route (fib_check_nh_v4_gw).
fn no_gateway(miss: &FibMiss) -> Fault {
    let errno = match miss {
        FibMiss::Rejected { kind: RouteKind::Prohibit, .. }
        | FibMiss::Rule { action: RuleAction::Prohibit, .. } => Errno::Eacces,
        FibMiss::Rejected { kind: RouteKind::Blackhole, .. }
        | FibMiss::Rule { action: RuleAction::Blackhole, .. } => Errno::Einval,
        FibMiss::Rejected { kind: RouteKind::Unreachable, .. } => Errno::Ehostunreach,
        _ => Errno::Enetunreach,
    };
    (errno, "the gateway is not on a link")
}

fn table_of(spec: &RouteSpec) -> u32 {
    let local = matches!(spec.kind, RouteKind::Local | RouteKind::Broadcast);
    spec.table.unwrap_or(if local { TABLE_LOCAL } else { TABLE_MAIN })
}

/// Whether the ways named for a deletion are those of a route (fib_nh_match): one is compared with
/// the route's first, several one by one, and more than the route has do not matter.
fn hops_fit(wanted: &[HopSpec], devs: &[Option<IfIndex>], hops: &[NextHop]) -> bool {
    let fits = |(want, dev): (&HopSpec, &Option<IfIndex>), hop: &NextHop| {
        dev.is_none_or(|d| d == hop.dev) && want.via.is_none_or(|v| Some(v) == hop.via.map(IpAddr::V4))
    };
    match wanted.len() {
        0 => true,
        1 => hops.first().is_some_and(|hop| fits((&wanted[0], &devs[0]), hop)),
        n => {
            let pairs = wanted.iter().zip(devs).zip(hops);
            (1..=n).contains(&hops.len()) && pairs.into_iter().all(|(want, hop)| fits(want, hop))
        }
    }
}

/// The widest scope a kind of route may have (fib_props).
fn least_scope(kind: RouteKind) -> RtScope {
    match kind {
        RouteKind::Local => RtScope::HOST,
        RouteKind::Broadcast => RtScope::LINK,
        _ => RtScope::UNIVERSE,
    }
}

fn check_hop_count(spec: &RouteSpec, scope: RtScope) -> Result<(), Fault> {
    if spec.hops.is_empty() {
        return Err((Errno::Enodev, "a device or a gateway is wanted"));
    }
    if scope > RtScope::HOST {
        return Err((Errno::Einval, "a scope narrower than host leads nowhere"));
    }
    if scope == RtScope::HOST && (spec.hops.len() > 1 || spec.hops.iter().any(|h| h.via.is_some())) {
        return Err((Errno::Einval, "a route of scope host has one way and no gateway"));
    }
    Ok(())
}

/// The scope `ip route add` gives when none is asked for.
fn scope_of(spec: &RouteSpec) -> RtScope {
    spec.scope.unwrap_or(match spec.kind {
        RouteKind::Local => RtScope::HOST,
        RouteKind::Broadcast => RtScope::LINK,
        RouteKind::Unicast if spec.hops.len() == 1 && spec.hops[0].via.is_none() => RtScope::LINK,
        _ => RtScope::UNIVERSE,
    })
}
