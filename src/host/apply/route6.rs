//! IPv6 routes added, replaced and deleted (net/ipv6/route.c).

use super::Fault;
use super::mutation::{Errno, Op, RouteSpec};
use super::route::BAD_FAMILY;
use crate::host::fib::six::Flow6;
use crate::host::state::HostState;
use crate::host::state::conf::Conf6;
use crate::host::state::route::{RtProto, TABLE_MAIN};
use crate::host::state::route6::Route6;
use ipnet::Ipv6Net;
use std::net::IpAddr;

impl HostState {
    pub(in crate::host) fn route_add6(
        &mut self,
        op: Op,
        dst: Ipv6Net,
        spec: &RouteSpec,
    ) -> Result<(), Fault> {
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
                        .route6(&Flow6::output(via, None))
                        .and_then(|r| r.dev)
                        .ok_or((Errno::Enetunreach, "the gateway is not on a link"))?,
                    (None, None) => return Err((Errno::Enodev, "a device or a gateway is wanted")),
                };
                // fib6_nh_init() looks at that first
                if self.link(dev).is_some_and(|l| l.conf6.get(Conf6::DisableIpv6) != 0) {
                    return Err((Errno::Eacces, "IPv6 is disabled on the device of the next hop"));
                }
                if !self.link(dev).is_some_and(crate::host::Link::is_up) {
                    return Err((Errno::Enetdown, "the device of the next hop is not up"));
                }
                (via, Some(dev))
            }
        };
        let metric = spec.metric.unwrap_or(1024);
        let table = spec.table.unwrap_or(TABLE_MAIN);
        let proto = spec.proto.unwrap_or(RtProto::BOOT);
        let route = Route6 { table, dst, kind: spec.kind, metric, proto, via, dev };
        if matches!(op, Op::Append | Op::Prepend) {
            return Err((Errno::Eopnotsupp, "the model has no IPv6 routes side by side"));
        }
        let at = self.routes6.iter().position(|r| r.table == table && r.dst == dst && r.metric == metric);
        match (op, at) {
            (Op::Add, Some(_)) => return Err((Errno::Eexist, "a route of that prefix and metric exists")),
            (Op::Change, None) => return Err((Errno::Enoent, "there is no such route to change")),
            (_, Some(at)) => self.routes6[at] = route,
            (_, None) => self.routes6.push(route),
        }
        self.keep_table6(table);
        Ok(())
    }

    pub(in crate::host) fn route_del6(&mut self, dst: Ipv6Net, spec: &RouteSpec) -> Result<(), Fault> {
        let hop = spec.hops.first();
        let dev = hop.and_then(|h| h.dev).map(|d| self.index_of(d)).transpose()?;
        let table = spec.table.unwrap_or(TABLE_MAIN);
        let fits = |r: &Route6| {
            r.table == table
                && r.dst == dst
                && dev.is_none_or(|d| r.dev == Some(d))
                && spec.metric.is_none_or(|m| m == r.metric)
                && hop.and_then(|h| h.via).is_none_or(|v| r.via.map(IpAddr::V6) == Some(v))
        };
        let at = self.routes6.iter().position(fits).ok_or((Errno::Esrch, "no such route"))?;
        self.routes6.remove(at);
        Ok(())
    }
}
