//! IPv6 routes, in the plain form the lab needs: longest prefix, then metric, one table.

use super::link::IfIndex;
use super::route::{RouteKind, RtProto};
use ipnet::Ipv6Net;
use std::net::Ipv6Addr;

/// An IPv6 route of the main table.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Route6 {
    /// Destinations.
    pub dst: Ipv6Net,
    /// What it does.
    pub kind: RouteKind,
    /// Smaller is preferred among equal prefixes; 1024 when none is given, 256 for the kernel's.
    pub metric: u32,
    /// Origin.
    pub proto: RtProto,
    /// The gateway, if any.
    pub via: Option<Ipv6Addr>,
    /// The device; `None` for reject kinds.
    pub dev: Option<IfIndex>,
}

impl crate::host::HostState {
    /// The route to an address: longest prefix, then smallest metric.
    #[must_use]
    pub fn lookup6(&self, dst: Ipv6Addr) -> Option<&Route6> {
        best(self.routes6.iter().filter(|r| r.dst.contains(&dst)))
    }

    /// The route to an address out of one device.
    #[must_use]
    pub fn lookup6_on(&self, dst: Ipv6Addr, dev: IfIndex) -> Option<&Route6> {
        best(self.routes6.iter().filter(|r| r.dev == Some(dev) && r.dst.contains(&dst)))
    }
}

fn best<'a>(routes: impl Iterator<Item = &'a Route6>) -> Option<&'a Route6> {
    routes.min_by_key(|r| (core::cmp::Reverse(r.dst.prefix_len()), r.metric))
}
