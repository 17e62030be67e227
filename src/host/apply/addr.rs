//! IPv4 addresses coming and going, with the routes the kernel keeps for them
//! (net/ipv4/devinet.c: inet_insert_ifa, __inet_del_ifa; net/ipv4/fib_frontend.c:
//! fib_add_ifaddr, fib_del_ifaddr).

use super::Fault;
use super::mutation::{AddrDelBy, AddrTerms, Effects, Errno};
use crate::addr::IfName;
use crate::host::fib::{AddrType, LOOPBACK};
use crate::host::state::HostState;
use crate::host::state::conf::Conf4;
use crate::host::state::link::{IfIndex, Ifa4};
use crate::host::state::route::{NextHop, Route, RouteKind, RtProto, RtScope, TABLE_LOCAL, TABLE_MAIN};
use ipnet::Ipv4Net;
use smallvec::SmallVec;
use std::net::Ipv4Addr;

/// A route that comes and goes with an address: table, kind, destinations.
type Kept = (u32, RouteKind, Ipv4Net);

impl HostState {
    pub(in crate::host) fn addr_add(
        &mut self,
        dev: IfName,
        net: Ipv4Net,
        scope: Option<RtScope>,
        broadcast: Option<Ipv4Addr>,
        terms: &AddrTerms,
    ) -> Result<(), Fault> {
        let index = self.index_of(dev)?;
        // iproute2's default_scope(): 127/8 stays on the host, everything else is global
        let wide = if net.addr().is_loopback() { RtScope::HOST } else { RtScope::UNIVERSE };
        self.insert_ifa(index, net, scope.unwrap_or(wide), broadcast, terms)
    }

    /// Primaries stand before secondaries, and among themselves from narrow to wide scope; the
    /// first that fits is what the kernel chooses as a source.
    pub(in crate::host) fn insert_ifa(
        &mut self,
        index: IfIndex,
        net: Ipv4Net,
        scope: RtScope,
        broadcast: Option<Ipv4Addr>,
        terms: &AddrTerms,
    ) -> Result<(), Fault> {
        // a far end that is the address itself is none
        let peer = terms.peer.filter(|peer| *peer != net.addr());
        let AddrTerms { noprefixroute, metric, .. } = *terms;
        let new = Ifa4 { net, scope, secondary: false, broadcast, peer, noprefixroute, metric };
        let Some(link) = self.link_mut(index) else { return Ok(()) };
        let same_subnet = |a: &&Ifa4| in_one_subnet(a.on_link(), new.on_link());
        if let Some(at) = link.addrs.iter().position(|a| same_subnet(&a) && a.net.addr() == net.addr()) {
            if terms.replace {
                let old = core::mem::replace(&mut link.addrs[at].metric, metric);
                let ifa = link.addrs[at];
                self.change_prefix_metric(index, &ifa, old);
                return Ok(());
            }
            return Err((Errno::Eexist, "the interface has that address"));
        }
        if link.addrs.iter().filter(same_subnet).any(|a| a.scope != scope) {
            return Err((Errno::Einval, "the other addresses of the subnet have another scope"));
        }
        let secondary = link.addrs.iter().any(|a| same_subnet(&a));
        let ifa = Ifa4 { secondary, ..new };
        let at = if secondary { link.addrs.len() } else { place_of_primary(&link.addrs, scope) };
        link.addrs.insert(at, ifa);
        // inet_set_ifa(): an interface that ever had an address no longer follows `default`
        (link.given4, link.given_neigh4) = (u32::MAX, u32::MAX);
        self.add_address_routes(index, &ifa);
        Ok(())
    }

    /// The routes that come with an address: local always; the subnet and its broadcast only
    /// while the device is up.
    pub(in crate::host) fn add_address_routes(&mut self, index: IfIndex, ifa: &Ifa4) {
        let Some(link) = self.link(index) else { return };
        let (up, carrier) = (link.up, link.carrier);
        let prefer = self.primary_of(index, ifa);
        for (table, kind, dst) in kept_routes(index, ifa) {
            let prefix = kind != RouteKind::Broadcast && dst != host_net(ifa.net.addr());
            if prefix && ifa.noprefixroute {
                continue;
            }
            if !up && (kind != RouteKind::Local || dst.prefix_len() < 32) {
                continue;
            }
            let local = kind == RouteKind::Local;
            // fib_valid_prefsrc(): where an older route takes the address for a broadcast or
            // rejects it, only the route to the address itself is made
            let itself = local && dst == host_net(prefer);
            if !itself && self.addr_type(prefer) != AddrType::Local {
                continue;
            }
            let linkdown = !carrier && !local;
            let hop = NextHop { dev: index, via: None, weight: 1, linkdown, dead: false };
            let route = Route {
                dst,
                kind,
                metric: if prefix { ifa.metric } else { 0 },
                scope: if local { RtScope::HOST } else { RtScope::LINK },
                proto: RtProto::KERNEL,
                src: Some(prefer),
                hops: SmallVec::from_iter([hop]),
            };
            let routes = self.table_mut(table);
            if !routes.iter().any(|r| r.is_kernels(kind, dst, prefer, index) && r.metric == route.metric) {
                routes.push(route);
            }
        }
    }

    /// The address that routes of `ifa` prefer as a source: its own, or that of the primary it is
    /// a second to.
    fn primary_of(&self, index: IfIndex, ifa: &Ifa4) -> Ipv4Addr {
        let addrs = self.link(index).map_or(&[][..], |l| &l.addrs);
        let primary =
            addrs.iter().find(|a| ifa.secondary && !a.secondary && in_one_subnet(a.on_link(), ifa.on_link()));
        primary.unwrap_or(ifa).net.addr()
    }

    pub(in crate::host) fn addr_del(
        &mut self,
        dev: IfName,
        net: Ipv4Net,
        by: AddrDelBy,
        fx: &mut Effects,
    ) -> Result<(), Fault> {
        let index = self.index_of(dev)?;
        let fits = |a: &&Ifa4| {
            a.net.addr() == net.addr()
                && match by {
                    AddrDelBy::Address => true,
                    AddrDelBy::Prefix => a.net == net && a.contains(net.addr()),
                    AddrDelBy::Peer(peer) => a.net == net && a.contains(peer),
                }
        };
        let gone = self.link(index).and_then(|l| l.addrs.iter().find(fits).copied());
        let gone = gone.ok_or((Errno::Eaddrnotavail, "the interface has no such address"))?;
        self.addr_gone(index, &gone, fx);
        Ok(())
    }

    /// An address goes, and its seconds with it, unless one of them takes its place.
    pub(in crate::host) fn addr_gone(&mut self, index: IfIndex, gone: &Ifa4, fx: &mut Effects) {
        let Some(link) = self.link(index) else { return };
        let promote = self.on4(link, Conf4::PromoteSecondaries);
        let seconds: SmallVec<[Ifa4; 2]> = link
            .addrs
            .iter()
            .filter(|a| !gone.secondary && a.secondary && in_one_subnet(a.on_link(), gone.on_link()))
            .copied()
            .collect();
        match seconds.first() {
            Some(heir) if promote => self.replace_primary(index, gone, heir, &seconds, fx),
            _ => {
                for ifa in seconds.iter().chain([gone]) {
                    self.remove_ifa(index, ifa, fx);
                }
            }
        }
    }

    /// The first secondary takes the place of a primary that goes: the routes of the whole subnet
    /// go and come back with the heir as their preferred source.
    fn replace_primary(
        &mut self,
        index: IfIndex,
        gone: &Ifa4,
        heir: &Ifa4,
        seconds: &[Ifa4],
        fx: &mut Effects,
    ) {
        let old = gone.net.addr();
        for second in seconds {
            self.drop_kept(index, TABLE_LOCAL, RouteKind::Local, host_net(second.net.addr()), old);
        }
        self.remove_ifa(index, gone, fx);
        if let Some(link) = self.link_mut(index) {
            link.addrs.retain(|a| !a.is(heir));
            let at = place_of_primary(&link.addrs, heir.scope);
            link.addrs.insert(at, Ifa4 { secondary: false, ..*heir });
        }
        let rest = self.link(index).map(|l| l.addrs.clone()).unwrap_or_default();
        for ifa in rest.iter().filter(|a| in_one_subnet(a.on_link(), heir.on_link())) {
            self.add_address_routes(index, ifa);
        }
    }

    fn remove_ifa(&mut self, index: IfIndex, ifa: &Ifa4, fx: &mut Effects) {
        let prefer = self.primary_of(index, ifa);
        if let Some(link) = self.link_mut(index) {
            link.addrs.retain(|a| !a.is(ifa));
        }
        for (table, kind, dst) in kept_routes(index, ifa) {
            if !self.still_kept(index, (table, kind, dst), prefer) {
                self.drop_kept(index, table, kind, dst, prefer);
            }
        }
        let addr = ifa.net.addr();
        if self.addr_type(addr) != AddrType::Local {
            self.drop_routes_preferring(addr);
        }
        if self.link(index).is_some_and(|l| l.addrs.is_empty()) {
            // fib_disable_ip() by force: without an address the device loses every IPv4 route
            self.disable_ip4(index, true, fx);
        }
    }

    /// fib_modify_prefix_metric(): the route to the prefix moves to another preference.
    fn change_prefix_metric(&mut self, index: IfIndex, ifa: &Ifa4, old: u32) {
        if ifa.metric == old || ifa.secondary || ifa.noprefixroute {
            return;
        }
        self.add_address_routes(index, ifa);
        let prefer = ifa.net.addr();
        for (table, kind, dst) in kept_routes(index, ifa) {
            if kind != RouteKind::Broadcast && dst != host_net(prefer) {
                let goes = |r: &Route| r.is_kernels(kind, dst, prefer, index) && r.metric == old;
                self.table_mut(table).retain(|r| !goes(r));
            }
        }
    }

    fn drop_kept(&mut self, index: IfIndex, table: u32, kind: RouteKind, dst: Ipv4Net, prefer: Ipv4Addr) {
        if self.has_table(table) {
            self.table_mut(table).retain(|r| !r.is_kernels(kind, dst, prefer, index));
        }
    }

    /// Another address of the device brings the same route along.
    fn still_kept(&self, index: IfIndex, kept: Kept, prefer: Ipv4Addr) -> bool {
        let addrs = self.link(index).map_or(&[][..], |l| &l.addrs);
        addrs.iter().any(|a| {
            self.primary_of(index, a) == prefer && kept_routes(index, a).into_iter().any(|k| k == kept)
        })
    }

    /// fib_sync_down_addr(): routes of the main table that prefer a source address which is no
    /// longer the host's go with it.
    fn drop_routes_preferring(&mut self, addr: Ipv4Addr) {
        if self.has_table(TABLE_MAIN) {
            self.table_mut(TABLE_MAIN).retain(|r| r.src != Some(addr));
        }
    }
}

impl Route {
    /// True for the route the kernel itself made for an address.
    fn is_kernels(&self, kind: RouteKind, dst: Ipv4Net, prefer: Ipv4Addr, dev: IfIndex) -> bool {
        (self.kind, self.dst, self.src, self.proto) == (kind, dst, Some(prefer), RtProto::KERNEL)
            && self.hops.iter().all(|h| h.dev == dev && h.via.is_none())
    }
}

/// What fib_add_ifaddr() adds for an address.
fn kept_routes(index: IfIndex, ifa: &Ifa4) -> SmallVec<[Kept; 4]> {
    let mut kept = SmallVec::new();
    let (addr, subnet, len) = (ifa.net.addr(), ifa.on_link().trunc(), ifa.net.prefix_len());
    kept.push((TABLE_LOCAL, RouteKind::Local, host_net(addr)));
    if let Some(b) = ifa.broadcast.filter(|b| !b.is_broadcast()) {
        kept.push((TABLE_LOCAL, RouteKind::Broadcast, host_net(b)));
    }
    if subnet.addr().is_unspecified() || ifa.secondary || (subnet.addr() == addr && len == 32) {
        return kept;
    }
    if index == LOOPBACK {
        kept.push((TABLE_LOCAL, RouteKind::Local, subnet));
    } else {
        kept.push((TABLE_MAIN, RouteKind::Unicast, subnet));
    }
    if len < 31 {
        kept.push((TABLE_LOCAL, RouteKind::Broadcast, host_net(subnet.broadcast())));
    }
    kept
}

fn in_one_subnet(a: Ipv4Net, b: Ipv4Net) -> bool {
    a.prefix_len() == b.prefix_len() && a.contains(&b.addr())
}

/// Behind the last primary whose scope is at least as narrow.
fn place_of_primary(addrs: &[Ifa4], scope: RtScope) -> usize {
    addrs.iter().rposition(|a| !a.secondary && scope <= a.scope).map_or(0, |at| at + 1)
}

pub(in crate::host) fn host_net(ip: Ipv4Addr) -> Ipv4Net {
    Ipv4Net::new_assert(ip, 32)
}
