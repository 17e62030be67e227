//! Which IPv6 addresses and groups a namespace takes as its own (ip6_input, net/ipv6/anycast.c,
//! net/ipv6/mcast.c), and from which of them it speaks (ipv6_dev_get_saddr, RFC 6724).

use crate::host::fib::six::Flow6;
use crate::host::state::HostState;
use crate::host::state::conf::{Conf6, Scope, SysctlKey};
use crate::host::state::link::{IfIndex, Ifa6, Link};
use crate::host::state::route::RouteKind;
use crate::wire::nd::{ALL_NODES, ALL_ROUTERS, solicited_node};
use std::net::{IpAddr, Ipv6Addr};

/// Prefixes this long or longer have no subnet-router anycast address (addrconf_join_anycast).
const ANYCAST_PREFIX_MAX: u8 = 126;

impl HostState {
    /// The address is the namespace's own and past its test.
    #[must_use]
    pub fn owns6(&self, ip: Ipv6Addr) -> bool {
        self.links().iter().any(|l| l.addrs6().iter().any(|a| usable(a) && a.net.addr() == ip))
    }

    /// A packet to that unicast address that came in by the link is for the host. A link-local
    /// address counts only on its own link.
    #[must_use]
    pub fn accepts6(&self, link: &Link, ip: Ipv6Addr) -> bool {
        let on =
            |l: &Link| l.addrs6().iter().any(|a| usable(a) && a.net.addr() == ip) || Self::anycast6(l, ip);
        on(link) || (!ip.is_unicast_link_local() && self.links().iter().any(on))
    }

    /// A router answers for the all-zeros address of each subnet on the link (RFC 4291 2.6.1).
    pub(in crate::host) fn anycast6(link: &Link, ip: Ipv6Addr) -> bool {
        let zero = |a: &Ifa6| a.net.prefix_len() <= ANYCAST_PREFIX_MAX && a.net.network() == ip;
        link.conf6().get(Conf6::Forwarding) != 0 && link.addrs6().iter().any(|a| usable(a) && zero(a))
    }

    /// There is a proxy entry for the address on the link.
    pub(in crate::host) fn proxies6(&self, link: &Link, ip: Ipv6Addr) -> bool {
        self.proxies().iter().any(|p| p.dev == link.index() && p.ip == IpAddr::V6(ip))
    }

    /// `all.proxy_ndp` with `all.forwarding`, and an entry: the proxying that also concerns
    /// unicast packets.
    pub(in crate::host) fn proxies_for_all(&self, link: &Link, ip: Ipv6Addr) -> bool {
        let all = |key| self.sysctl(&SysctlKey::Conf6(Scope::All, key)).unwrap_or(0) != 0;
        all(Conf6::ProxyNdp) && all(Conf6::Forwarding) && self.proxies6(link, ip)
    }

    /// ip6_forward(): neighbour discovery for a proxied address is taken out of what passes by.
    /// It must be on its way somewhere to pass by at all.
    pub(crate) fn takes_in_passing(&self, link: &Link, src: Ipv6Addr, ip: Ipv6Addr) -> bool {
        if !self.proxies_for_all(link, ip) {
            return false;
        }
        let way = self.route6(&Flow6::input(ip, src, link.index()));
        way.is_some_and(|r| r.kind == RouteKind::Unicast)
    }

    /// The link listens to a group.
    pub(crate) fn joined6(&self, link: &Link, group: Ipv6Addr) -> bool {
        if group == ALL_NODES || (group == ALL_ROUTERS && link.conf6().get(Conf6::Forwarding) != 0) {
            return true;
        }
        let routes = link.conf6().get(Conf6::Forwarding) != 0;
        let own = link.addrs6().iter().any(|a| {
            let zero = routes && usable(a) && a.net.prefix_len() <= ANYCAST_PREFIX_MAX;
            solicited_node(a.net.addr()) == group || (zero && solicited_node(a.net.network()) == group)
        });
        let on_behalf = |p: &crate::host::ProxyEntry| match p.ip {
            IpAddr::V6(ip) => p.dev == link.index() && solicited_node(ip) == group,
            IpAddr::V4(_) => false,
        };
        own || self.proxies().iter().any(on_behalf)
    }

    /// The link-local address a solicitation out of the link carries (ipv6_get_lladdr).
    #[must_use]
    pub fn link_local6(&self, dev: IfIndex) -> Option<Ipv6Addr> {
        let addrs = self.link(dev)?.addrs6();
        addrs.iter().filter(|a| usable(a)).map(|a| a.net.addr()).find(Ipv6Addr::is_unicast_link_local)
    }

    /// The address a packet out of `dev` to `dst` is sent from: of fitting scope, on the same
    /// device if possible, with the longest common prefix. The kernel does not ask whether the
    /// device is up (ipv6_dev_get_saddr).
    #[must_use]
    pub fn select_src6(&self, dev: IfIndex, dst: Ipv6Addr) -> Option<Ipv6Addr> {
        let near = dst.is_multicast() || dst.is_unicast_link_local();
        let mut best = None;
        for link in self.links().iter().filter(|l| !near || l.index() == dev) {
            // of equals the address added last stands first
            for ifa in link.addrs6().iter().rev().filter(|a| usable(a)) {
                let ip = ifa.net.addr();
                let common = (u128::from(ip) ^ u128::from(dst)).leading_zeros();
                let score = (
                    ip == dst,
                    scope_distance(ip, dst),
                    link.index() == dev,
                    label(ip) == label(dst),
                    common.min(u32::from(ifa.net.prefix_len())),
                );
                if best.is_none_or(|(least, _)| score > least) {
                    best = Some((score, ip));
                }
            }
        }
        best.map(|(_, ip)| ip)
    }
}

fn usable(ifa: &Ifa6) -> bool {
    !ifa.tentative
}

/// Scope as a number (RFC 4291 section 2.7).
fn scope(ip: Ipv6Addr) -> i32 {
    if ip.is_multicast() {
        i32::from(ip.octets()[1] & 0xf)
    } else if ip.is_unicast_link_local() || ip.is_loopback() {
        2
    } else {
        14
    }
}

/// The label of an address in the kernel's table as it starts (ip6addrlbl_init_table); RFC 6724
/// rule 6 prefers a source of the destination's label.
fn label(ip: Ipv6Addr) -> u8 {
    let s = ip.segments();
    match (s[0], s[1]) {
        _ if ip.is_loopback() => 0,
        (0, 0) if s[2..6] == [0, 0, 0, 0] => 3,
        (0, 0) if s[2..6] == [0, 0, 0, 0xffff] => 4,
        (0x2002, _) => 2,
        (0x2001, 0) => 6,
        (0x2001, 0x10..=0x1f) => 7,
        (0xfc00..=0xfdff, _) => 5,
        _ => 1,
    }
}

/// RFC 6724 rule 2: the smallest scope that still reaches; the larger the better.
fn scope_distance(ip: Ipv6Addr, dst: Ipv6Addr) -> i32 {
    let own = scope(ip);
    if own >= scope(dst) { -own } else { own - 128 }
}
