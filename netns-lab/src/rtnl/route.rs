//! What a route is, and how it is written.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;

use super::{Dev, RouteKind, RouteProtocol, Scope, table};

/// One way that a route may take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct NextHop {
    /// Over this link.
    pub dev: Option<Dev>,
    /// To this router; of the other family only for IPv4 routes over IPv6.
    pub gateway: Option<IpAddr>,
    /// The router is on the link, though no other route says so (`RTNH_F_ONLINK`).
    pub onlink: bool,
    /// Share of the traffic in a multipath route, 1 to 256; 0 counts as 1.
    pub weight: u16,
    /// The link has no carrier (`RTNH_F_LINKDOWN`); in dumps only.
    pub link_down: bool,
}

impl NextHop {
    /// Over a link.
    pub fn dev(dev: impl Into<Dev>) -> Self {
        Self { dev: Some(dev.into()), ..Self::default() }
    }

    /// To a router.
    pub fn via(gateway: impl Into<IpAddr>) -> Self {
        Self { gateway: Some(gateway.into()), ..Self::default() }
    }

    /// Over this link.
    pub fn over(mut self, dev: impl Into<Dev>) -> Self {
        self.dev = Some(dev.into());
        self
    }

    /// Share of the traffic, 1 to 256.
    pub fn weight(mut self, weight: u16) -> Self {
        self.weight = weight;
        self
    }
}

/// A route, shown as `10.42.0.7 dev cali0 scope link`.
///
/// What is `None` is left to the kernel when the route is made, as ip(8) would, and matches
/// anything when it is deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Route {
    /// What it does.
    pub kind: RouteKind,
    /// Where to; 0.0.0.0/0 and ::/0 are the default route.
    pub destination: IpNet,
    /// In which table; see [`table`].
    pub table: u32,
    /// Of several to the same destination the lowest wins; 0 for IPv4 and 1024 for IPv6 if not
    /// said.
    pub metric: Option<u32>,
    /// How far away (IPv4; always global for IPv6): link without a gateway, else global, and
    /// host for local routes, if not said.
    pub scope: Option<Scope>,
    /// Who made it; `boot` if not said.
    pub protocol: Option<RouteProtocol>,
    /// Source address for packets of this host that take it.
    pub preferred_source: Option<IpAddr>,
    /// The ways: none for kinds that drop, one as a rule, more for multipath.
    pub next_hops: Vec<NextHop>,
}

impl Route {
    /// A route of some kind, in the table that ip(8) would choose: `local` for local and
    /// broadcast routes, else `main`.
    pub fn new(kind: RouteKind, destination: IpNet) -> Self {
        let table = match kind {
            RouteKind::Local | RouteKind::Broadcast | RouteKind::Anycast => table::LOCAL,
            _ => table::MAIN,
        };
        Self {
            kind,
            // The kernel refuses host bits.
            destination: destination.trunc(),
            table,
            metric: None,
            scope: None,
            protocol: None,
            preferred_source: None,
            next_hops: Vec::new(),
        }
    }

    /// A route that sends packets on; add [`Route::dev`] or [`Route::via`].
    pub fn unicast(destination: IpNet) -> Self {
        Self::new(RouteKind::Unicast, destination)
    }

    /// A route that delivers here; add [`Route::dev`], usually `lo`.
    pub fn local(destination: IpNet) -> Self {
        Self::new(RouteKind::Local, destination)
    }

    /// A route that drops.
    pub fn blackhole(destination: IpNet) -> Self {
        Self::new(RouteKind::Blackhole, destination)
    }

    /// Over this link. Applies to the last way, or makes the first.
    pub fn dev(mut self, dev: impl Into<Dev>) -> Self {
        self.last_hop().dev = Some(dev.into());
        self
    }

    /// To this router. Applies to the last way, or makes the first.
    pub fn via(mut self, gateway: impl Into<IpAddr>) -> Self {
        self.last_hop().gateway = Some(gateway.into());
        self
    }

    /// The router is on the link, though no other route says so.
    pub fn onlink(mut self) -> Self {
        self.last_hop().onlink = true;
        self
    }

    /// One more way.
    pub fn next_hop(mut self, next_hop: NextHop) -> Self {
        self.next_hops.push(next_hop);
        self
    }

    /// In this table.
    pub fn table(mut self, table: u32) -> Self {
        self.table = table;
        self
    }

    /// With this metric.
    pub fn metric(mut self, metric: u32) -> Self {
        self.metric = Some(metric);
        self
    }

    /// With this scope.
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = Some(scope);
        self
    }

    /// Made by this.
    pub fn protocol(mut self, protocol: RouteProtocol) -> Self {
        self.protocol = Some(protocol);
        self
    }

    /// With this source address for packets of this host.
    pub fn preferred_source(mut self, source: impl Into<IpAddr>) -> Self {
        self.preferred_source = Some(source.into());
        self
    }

    fn last_hop(&mut self) -> &mut NextHop {
        if self.next_hops.is_empty() {
            self.next_hops.push(NextHop::default());
        }
        let last = self.next_hops.len() - 1;
        &mut self.next_hops[last]
    }
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(gateway) = self.gateway {
            write!(f, " via {gateway}")?;
        }
        if let Some(dev) = &self.dev {
            write!(f, " dev {dev}")?;
        }
        Ok(())
    }
}

/// In the manner and order of `ip route show`. Unlike there, the /32 of a host route is
/// written out.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind != RouteKind::Unicast {
            write!(f, "{} ", self.kind)?;
        }
        let net = self.destination;
        match (net.prefix_len(), net.addr().is_unspecified()) {
            (0, true) => f.write_str("default")?,
            // as ip(8) prints one address
            (length, _) if length == net.max_prefix_len() => write!(f, "{}", net.addr())?,
            _ => write!(f, "{net}")?,
        }
        let only = if let [only] = self.next_hops.as_slice() { Some(only) } else { None };
        if let Some(hop) = only {
            write!(f, "{hop}")?;
        }
        match self.table {
            table::MAIN => {}
            table::LOCAL => f.write_str(" table local")?,
            other => write!(f, " table {other}")?,
        }
        if let Some(protocol) = self.protocol.filter(|protocol| *protocol != RouteProtocol::BOOT) {
            write!(f, " proto {protocol}")?;
        }
        if let Some(scope) = self.scope.filter(|scope| *scope != Scope::Global) {
            write!(f, " scope {scope}")?;
        }
        if let Some(source) = self.preferred_source {
            write!(f, " src {source}")?;
        }
        if let Some(metric) = self.metric.filter(|metric| *metric != 0) {
            write!(f, " metric {metric}")?;
        }
        match only {
            Some(hop) => f.write_str(HopFlags(hop).text()),
            None => self.next_hops.iter().try_for_each(|hop| {
                write!(f, " nexthop{hop} weight {}{}", hop.weight.max(1), HopFlags(hop).text())
            }),
        }
    }
}

struct HopFlags<'a>(&'a NextHop);

impl HopFlags<'_> {
    fn text(&self) -> &'static str {
        match (self.0.onlink, self.0.link_down) {
            (false, false) => "",
            (true, false) => " onlink",
            (false, true) => " linkdown",
            (true, true) => " onlink linkdown",
        }
    }
}
