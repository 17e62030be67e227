//! Routes to and from the kernel.

use std::net::IpAddr;

use futures_util::future::try_join_all;
use ipnet::IpNet;
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    route::{
        RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteNextHop, RouteNextHopFlags,
        RouteVia,
    },
};

use super::{
    NextHop, Route, RouteKind, RouteProtocol, Rtnl, RtnlError, Scope,
    addr::family,
    request::{Mode, Names, invalid},
};

/// Largest weight of a way; on the wire it is one less, in one byte.
const WEIGHT_MAX: u16 = 256;

/// A way whose link is known by index.
struct Hop<'a> {
    hop: &'a NextHop,
    index: Option<u32>,
}

impl Hop<'_> {
    fn gateway(&self, family: AddressFamily) -> Option<RouteAttribute> {
        Some(match (family, self.hop.gateway?) {
            (AddressFamily::Inet, IpAddr::V6(gateway)) => RouteAttribute::Via(RouteVia::Inet6(gateway)),
            (_, gateway) => RouteAttribute::Gateway(gateway.into()),
        })
    }

    fn wire(&self, family: AddressFamily) -> RouteNextHop {
        let mut wire = RouteNextHop::default();
        wire.interface_index = self.index.unwrap_or(0);
        wire.hops = u8::try_from(self.hop.weight.max(1) - 1).unwrap_or(u8::MAX);
        wire.flags.set(RouteNextHopFlags::Onlink, self.hop.onlink);
        wire.attributes.extend(self.gateway(family));
        wire
    }
}

impl Route {
    /// What contradicts itself, before the kernel says only `EINVAL`.
    fn fault(&self) -> Option<&'static str> {
        let v4 = self.destination.addr().is_ipv4();
        let drops = matches!(
            self.kind,
            RouteKind::Blackhole | RouteKind::Unreachable | RouteKind::Prohibit | RouteKind::Throw
        );
        let foreign_gateway = |hop: &NextHop| !v4 && hop.gateway.is_some_and(|gateway| gateway.is_ipv4());
        if self.preferred_source.is_some_and(|source| source.is_ipv4() != v4) {
            Some("the preferred source is of the other family")
        } else if self.next_hops.iter().any(foreign_gateway) {
            Some("an IPv6 route cannot have an IPv4 gateway")
        } else if self.next_hops.iter().any(|hop| hop.weight > WEIGHT_MAX) {
            Some("a weight is 1 to 256")
        } else if drops && self.next_hops.iter().any(|hop| hop.gateway.is_some()) {
            Some("a route that drops has no gateway")
        } else {
            None
        }
    }

    /// What ip(8) would choose.
    fn usual_scope(&self) -> Scope {
        let direct = |hop: &NextHop| hop.gateway.is_none();
        match self.kind {
            RouteKind::Local => Scope::Host,
            RouteKind::Broadcast | RouteKind::Multicast | RouteKind::Anycast => Scope::Link,
            RouteKind::Unicast if self.next_hops.iter().all(direct) => Scope::Link,
            _ => Scope::Global,
        }
    }

    fn header(&self, mode: Mode) -> RouteHeader {
        let destination = self.destination.addr();
        let deleting = matches!(mode, Mode::Existing);
        // In a deletion "nowhere" and 0 match any.
        let (any_scope, any_protocol) = match deleting {
            true => (Scope::Nowhere, RouteProtocol(0)),
            false if destination.is_ipv6() => (Scope::Global, RouteProtocol::BOOT),
            false => (self.usual_scope(), RouteProtocol::BOOT),
        };
        RouteHeader {
            address_family: family(destination),
            destination_prefix_length: self.destination.prefix_len(),
            // A number above 255 is in RTA_TABLE only.
            table: u8::try_from(self.table).unwrap_or(RouteHeader::RT_TABLE_UNSPEC),
            protocol: self.protocol.unwrap_or(any_protocol).0.into(),
            scope: u8::from(self.scope.unwrap_or(any_scope)).into(),
            kind: u8::from(self.kind).into(),
            ..RouteHeader::default()
        }
    }

    fn message(&self, mode: Mode, hops: &[Hop<'_>]) -> RouteMessage {
        let mut message = RouteMessage::default();
        message.header = self.header(mode);
        let family = message.header.address_family;
        let attributes = &mut message.attributes;
        attributes.push(RouteAttribute::Destination(self.destination.addr().into()));
        attributes.push(RouteAttribute::Table(self.table));
        attributes.extend(self.metric.map(RouteAttribute::Priority));
        attributes.extend(self.preferred_source.map(|source| RouteAttribute::PrefSource(source.into())));
        match hops {
            [only] => {
                attributes.extend(only.index.map(RouteAttribute::Oif));
                attributes.extend(only.gateway(family));
                message.header.flags.set(RouteFlags::Onlink, only.hop.onlink);
            }
            [] => {}
            several => {
                let wire = several.iter().map(|hop| hop.wire(family)).collect();
                attributes.push(RouteAttribute::MultiPath(wire));
            }
        }
        message
    }

    pub(crate) fn from_message(message: &RouteMessage, names: &Names) -> Option<Self> {
        let header = &message.header;
        let mut route = Self::new(u8::from(header.kind).into(), any_address(header)?);
        route.table = header.table.into();
        route.scope = Some(u8::from(header.scope).into());
        route.protocol = Some(RouteProtocol(header.protocol.into()));
        let mut only = NextHop::default();
        for attribute in &message.attributes {
            match attribute {
                RouteAttribute::Destination(address) => {
                    route.destination = IpNet::new(ip(address)?, header.destination_prefix_length).ok()?;
                }
                RouteAttribute::Table(table) => route.table = *table,
                RouteAttribute::Priority(metric) => route.metric = Some(*metric),
                RouteAttribute::PrefSource(source) => route.preferred_source = ip(source),
                RouteAttribute::Oif(index) => only.dev = Some(names.dev(*index)),
                RouteAttribute::MultiPath(hops) => {
                    route.next_hops = hops.iter().map(|hop| next_hop(hop, names)).collect();
                }
                other => only.gateway = gateway(other).or(only.gateway),
            }
        }
        only.onlink = header.flags.contains(RouteFlags::Onlink);
        only.link_down = header.flags.contains(RouteFlags::Linkdown);
        if only.dev.is_some() || only.gateway.is_some() {
            route.next_hops.push(only);
        }
        Some(route)
    }
}

/// The default route's destination, which the kernel leaves out.
fn any_address(header: &RouteHeader) -> Option<IpNet> {
    let any = match header.address_family {
        AddressFamily::Inet => IpAddr::from([0; 4]),
        AddressFamily::Inet6 => IpAddr::from([0; 16]),
        _ => return None,
    };
    IpNet::new(any, header.destination_prefix_length).ok()
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(ip) => Some((*ip).into()),
        RouteAddress::Inet6(ip) => Some((*ip).into()),
        _ => None,
    }
}

fn gateway(attribute: &RouteAttribute) -> Option<IpAddr> {
    match attribute {
        RouteAttribute::Gateway(gateway) => ip(gateway),
        RouteAttribute::Via(RouteVia::Inet(gateway)) => Some((*gateway).into()),
        RouteAttribute::Via(RouteVia::Inet6(gateway)) => Some((*gateway).into()),
        _ => None,
    }
}

fn next_hop(wire: &RouteNextHop, names: &Names) -> NextHop {
    NextHop {
        dev: Some(names.dev(wire.interface_index)),
        gateway: wire.attributes.iter().find_map(gateway),
        onlink: wire.flags.contains(RouteNextHopFlags::Onlink),
        weight: u16::from(wire.hops) + 1,
        link_down: wire.flags.contains(RouteNextHopFlags::Linkdown),
    }
}

impl Rtnl {
    /// Makes a route (`RTM_NEWROUTE`); see ip-route(8).
    ///
    /// # Errors
    /// `EEXIST` if there is one of the same destination, metric and table; `ENETUNREACH` if the
    /// gateway is not on the link; `ENETDOWN` if the link is down; [`RtnlError::Invalid`] for a
    /// route that contradicts itself.
    pub async fn add_route(&self, route: &Route) -> Result<(), RtnlError> {
        self.write_route(route, Mode::Create).await
    }

    /// Makes a route, or overwrites the one of the same destination, metric and table.
    ///
    /// # Errors
    /// As [`Rtnl::add_route`], without `EEXIST`.
    pub async fn replace_route(&self, route: &Route) -> Result<(), RtnlError> {
        self.write_route(route, Mode::Replace).await
    }

    /// Overwrites the route of the same destination, metric and table.
    ///
    /// # Errors
    /// `ENOENT` if there is none; else as [`Rtnl::add_route`].
    pub async fn change_route(&self, route: &Route) -> Result<(), RtnlError> {
        self.write_route(route, Mode::Overwrite).await
    }

    /// Makes a route, behind those of the same destination, metric and table.
    ///
    /// # Errors
    /// `EEXIST` if there is just such a one; else as [`Rtnl::add_route`].
    pub async fn append_route(&self, route: &Route) -> Result<(), RtnlError> {
        self.write_route(route, Mode::Append).await
    }

    /// Makes a route, before those of the same destination, metric and table.
    ///
    /// # Errors
    /// `EEXIST` if there is just such a one; else as [`Rtnl::add_route`].
    pub async fn prepend_route(&self, route: &Route) -> Result<(), RtnlError> {
        self.write_route(route, Mode::Prepend).await
    }

    /// Deletes the first route that has the destination, kind and table, and whatever else is
    /// given.
    ///
    /// # Errors
    /// `ESRCH` if there is none.
    pub async fn delete_route(&self, route: &Route) -> Result<(), RtnlError> {
        self.write_route(route, Mode::Existing).await
    }

    async fn write_route(&self, route: &Route, mode: Mode) -> Result<(), RtnlError> {
        let asked = format!("ip route {} {route}", mode.verb());
        if let Some(fault) = route.fault() {
            return Err(invalid(&asked, fault));
        }
        let hops = route.next_hops.iter().map(async |hop| {
            let index = match &hop.dev {
                Some(dev) => Some(self.index_of(&asked, dev).await?),
                None => None,
            };
            Ok::<_, RtnlError>(Hop { hop, index })
        });
        let message = route.message(mode, &try_join_all(hops).await?);
        let request = match mode {
            Mode::Existing => RouteNetlinkMessage::DelRoute(message),
            Mode::Create | Mode::Replace | Mode::Overwrite | Mode::Append | Mode::Prepend => {
                RouteNetlinkMessage::NewRoute(message)
            }
        };
        self.change(&asked, request, mode).await
    }

    /// All routes of all tables of the namespace, IPv4 first.
    pub async fn routes(&self) -> Result<Vec<Route>, RtnlError> {
        let names = self.names().await?;
        let mut routes = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut message = RouteMessage::default();
            message.header.address_family = family;
            let messages =
                self.dump("ip route show table all", &RouteNetlinkMessage::GetRoute(message)).await?;
            routes.extend(messages.iter().filter_map(|message| match message {
                RouteNetlinkMessage::NewRoute(route) => Route::from_message(route, &names),
                _ => None,
            }));
        }
        Ok(routes)
    }
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;
