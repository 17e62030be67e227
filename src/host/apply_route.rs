//! Routes added, replaced and deleted (fib_table_insert, fib_table_delete, fib_check_nh; the
//! defaults that `ip route` fills in are in iproute2's iproute.c).

use super::apply::Fault;
use super::fib::Flow;
use super::link::IfIndex;
use super::mutation::{Errno, HopSpec, Op, RouteSpec};
use super::route::{NextHop, Route, RouteKind, RtProto, RtScope, TABLE_LOCAL, TABLE_MAIN};
use super::route6::Route6;
use super::state::HostState;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use smallvec::SmallVec;
use std::net::{IpAddr, Ipv4Addr};

const BAD_FAMILY: Fault = (Errno::Einval, "addresses of two families in one route");

impl HostState {
    pub(super) fn route_change(&mut self, op: Op, spec: &RouteSpec) -> Result<(), Fault> {
        match (op, spec.dst) {
            (Op::Del, IpNet::V4(dst)) => self.route_del(dst, spec),
            (_, IpNet::V4(dst)) => self.route_add(op, dst, spec),
            (Op::Del, IpNet::V6(dst)) => self.route_del6(dst, spec),
            (_, IpNet::V6(dst)) => self.route_add6(op, dst, spec),
        }
    }

    fn route_add(&mut self, op: Op, dst: Ipv4Net, spec: &RouteSpec) -> Result<(), Fault> {
        if dst != dst.trunc() {
            return Err((Errno::Einval, "bits are set beyond the prefix length"));
        }
        let route = self.build_route(dst, spec)?;
        let table = table_of(spec);
        let routes = self.table_mut(table);
        let at = routes.iter().position(|r| r.dst == dst && r.metric == route.metric);
        match (op, at) {
            (Op::Add, Some(_)) => {
                return Err((Errno::Eexist, "the table has a route of that prefix and metric"));
            }
            (_, Some(at)) => routes[at] = route,
            (_, None) => routes.push(route),
        }
        // fib_has_custom_local_routes: anything but what the kernel itself keeps there
        self.custom_local_routes |= table == TABLE_LOCAL && spec.proto != Some(RtProto::KERNEL);
        Ok(())
    }

    fn build_route(&self, dst: Ipv4Net, spec: &RouteSpec) -> Result<Route, Fault> {
        let scope = scope_of(spec);
        let mut hops = SmallVec::new();
        if !spec.kind.is_reject() {
            if spec.hops.is_empty() {
                return Err((Errno::Enodev, "a device or a gateway is wanted"));
            }
            for hop in &spec.hops {
                hops.push(self.check_hop(hop, scope)?);
            }
        }
        let src = match spec.src {
            None => None,
            Some(IpAddr::V4(src)) if self.owns(src) => Some(src),
            Some(IpAddr::V4(_)) => return Err((Errno::Einval, "the preferred source is not an own address")),
            Some(IpAddr::V6(_)) => return Err(BAD_FAMILY),
        };
        let metric = spec.metric.unwrap_or(0);
        let proto = spec.proto.unwrap_or(RtProto::BOOT);
        Ok(Route { dst, kind: spec.kind, metric, scope, proto, src, hops })
    }

    fn check_hop(&self, hop: &HopSpec, scope: RtScope) -> Result<NextHop, Fault> {
        let dev = hop.dev.map(|d| self.index_of(d)).transpose()?;
        let via = match hop.via {
            None => None,
            Some(IpAddr::V4(via)) => Some(via),
            Some(IpAddr::V6(_)) => return Err(BAD_FAMILY),
        };
        let out = match (via, dev) {
            (None, None) => return Err((Errno::Enodev, "a device or a gateway is wanted")),
            (None, Some(dev)) => dev,
            (Some(_), Some(dev)) if hop.onlink => dev,
            (Some(_), None) if hop.onlink => return Err((Errno::Einval, "onlink wants a device")),
            (Some(via), dev) => self.resolve_gateway(via, dev, scope)?,
        };
        let link = self.link(out).ok_or((Errno::Enodev, "there is no such interface"))?;
        if !link.is_up() && scope < RtScope::HOST {
            return Err((Errno::Enetdown, "the device of the next hop is not up"));
        }
        let linkdown = !link.has_carrier() && scope < RtScope::HOST;
        Ok(NextHop { dev: out, via, weight: hop.weight.max(1), linkdown, dead: false })
    }

    /// A gateway must itself be on a link (fib_check_nh_v4_gw).
    fn resolve_gateway(&self, via: Ipv4Addr, dev: Option<IfIndex>, scope: RtScope) -> Result<IfIndex, Fault> {
        if scope >= RtScope::LINK {
            return Err((Errno::Einval, "a route of scope link or narrower cannot have a gateway"));
        }
        let flow = Flow { oif: dev, scope: RtScope::LINK, ..Flow::output(via, Ipv4Addr::UNSPECIFIED) };
        let hit = self.fib_lookup(&flow).map_err(|_| (Errno::Enetunreach, "the gateway is not on a link"))?;
        match hit.route.kind {
            RouteKind::Unicast => Ok(hit.hop.dev),
            _ => Err((Errno::Einval, "the gateway is no neighbour's address")),
        }
    }

    fn route_del(&mut self, dst: Ipv4Net, spec: &RouteSpec) -> Result<(), Fault> {
        let devs: SmallVec<[Option<IfIndex>; 1]> = spec
            .hops
            .iter()
            .map(|h| h.dev.map(|d| self.index_of(d)).transpose())
            .collect::<Result<_, _>>()?;
        let wanted_kind = (spec.kind != RouteKind::Unicast).then_some(spec.kind);
        let routes = self.table_mut(table_of(spec));
        let fits = |r: &Route| {
            r.dst == dst
                && wanted_kind.is_none_or(|k| k == r.kind)
                && spec.metric.is_none_or(|m| m == r.metric)
                && spec.scope.is_none_or(|s| s == r.scope)
                && spec.proto.is_none_or(|p| p == r.proto)
                && spec.hops.iter().zip(&devs).all(|(h, dev)| {
                    r.hops.iter().any(|rh| {
                        dev.is_none_or(|d| d == rh.dev)
                            && h.via.is_none_or(|v| Some(v) == rh.via.map(IpAddr::V4))
                    })
                })
        };
        let at = (0..routes.len()).filter(|i| fits(&routes[*i])).min_by_key(|i| routes[*i].metric);
        let at = at.ok_or((Errno::Esrch, "no such route"))?;
        routes.remove(at);
        Ok(())
    }

    fn route_add6(&mut self, op: Op, dst: Ipv6Net, spec: &RouteSpec) -> Result<(), Fault> {
        let (via, dev) = match spec.hops.first() {
            None if spec.kind.is_reject() => (None, None),
            None => return Err((Errno::Enodev, "a device or a gateway is wanted")),
            Some(hop) => {
                let via = match hop.via {
                    None => None,
                    Some(IpAddr::V6(via)) => Some(via),
                    Some(IpAddr::V4(_)) => return Err(BAD_FAMILY),
                };
                let dev = match (hop.dev, via) {
                    (Some(dev), _) => self.index_of(dev)?,
                    (None, Some(via)) => self
                        .lookup6(via)
                        .and_then(|r| r.dev)
                        .ok_or((Errno::Enetunreach, "the gateway is not on a link"))?,
                    (None, None) => return Err((Errno::Enodev, "a device or a gateway is wanted")),
                };
                if !self.link(dev).is_some_and(super::Link::is_up) {
                    return Err((Errno::Enetdown, "the device of the next hop is not up"));
                }
                (via, Some(dev))
            }
        };
        let metric = spec.metric.unwrap_or(1024);
        let route =
            Route6 { dst, kind: spec.kind, metric, proto: spec.proto.unwrap_or(RtProto::BOOT), via, dev };
        let at = self.routes6.iter().position(|r| r.dst == dst && r.metric == metric);
        match (op, at) {
            (Op::Add, Some(_)) => return Err((Errno::Eexist, "a route of that prefix and metric exists")),
            (_, Some(at)) => self.routes6[at] = route,
            (_, None) => self.routes6.push(route),
        }
        Ok(())
    }

    fn route_del6(&mut self, dst: Ipv6Net, spec: &RouteSpec) -> Result<(), Fault> {
        let hop = spec.hops.first();
        let dev = hop.and_then(|h| h.dev).map(|d| self.index_of(d)).transpose()?;
        let fits = |r: &Route6| {
            r.dst == dst
                && dev.is_none_or(|d| r.dev == Some(d))
                && spec.metric.is_none_or(|m| m == r.metric)
                && hop.and_then(|h| h.via).is_none_or(|v| r.via.map(IpAddr::V6) == Some(v))
        };
        let at = self.routes6.iter().position(fits).ok_or((Errno::Esrch, "no such route"))?;
        self.routes6.remove(at);
        Ok(())
    }
}

fn table_of(spec: &RouteSpec) -> u32 {
    let local = matches!(spec.kind, RouteKind::Local | RouteKind::Broadcast);
    spec.table.unwrap_or(if local { TABLE_LOCAL } else { TABLE_MAIN })
}

/// The scope `ip route add` gives when none is asked for.
fn scope_of(spec: &RouteSpec) -> RtScope {
    spec.scope.unwrap_or(match spec.kind {
        RouteKind::Local => RtScope::HOST,
        RouteKind::Broadcast => RtScope::LINK,
        RouteKind::Unicast if spec.hops.iter().all(|h| h.via.is_none()) => RtScope::LINK,
        _ => RtScope::UNIVERSE,
    })
}
