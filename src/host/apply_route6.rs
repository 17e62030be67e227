//! IPv6 routes added, replaced and deleted (net/ipv6/route.c).

use super::apply::Fault;
use super::apply_route::BAD_FAMILY;
use super::conf::Conf6;
use super::mutation::{Errno, Op, RouteSpec};
use super::route::RtProto;
use super::route6::Route6;
use super::state::HostState;
use ipnet::Ipv6Net;
use std::net::IpAddr;

impl HostState {
    pub(super) fn route_add6(&mut self, op: Op, dst: Ipv6Net, spec: &RouteSpec) -> Result<(), Fault> {
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
                // fib6_nh_init() looks at that first
                if self.link(dev).is_some_and(|l| l.conf6.get(Conf6::DisableIpv6) != 0) {
                    return Err((Errno::Eacces, "IPv6 is disabled on the device of the next hop"));
                }
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

    pub(super) fn route_del6(&mut self, dst: Ipv6Net, spec: &RouteSpec) -> Result<(), Fault> {
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
