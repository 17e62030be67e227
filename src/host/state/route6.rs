//! IPv6 routes, in the plain form the lab needs: longest prefix, then metric.

use super::link::IfIndex;
use super::route::{RouteKind, RtProto};
use ipnet::Ipv6Net;
use std::net::Ipv6Addr;

/// An IPv6 route. Those that the kernel keeps for own addresses and groups in its local table are no
/// values: the addresses tell.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Route6 {
    /// The table it stands in.
    pub table: u32,
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
