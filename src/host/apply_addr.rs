//! Addresses and links coming and going, with the routes the kernel keeps for them
//! (net/ipv4/fib_frontend.c: fib_add_ifaddr, fib_del_ifaddr, fib_disable_ip; devinet.c;
//! net/ipv6/addrconf.c).

use super::apply::Fault;
use super::conf::{Conf4, Conf6};
use super::fib::LOOPBACK;
use super::link::{IfIndex, Ifa4, Ifa6, LinkKind};
use super::mutation::{Effect, Effects, Errno};
use super::route::{NextHop, Route, RouteKind, RtProto, RtScope, TABLE_LOCAL, TABLE_MAIN};
use super::route6::Route6;
use super::state::HostState;
use crate::addr::IfName;
use ipnet::{Ipv4Net, Ipv6Net};
use smallvec::SmallVec;
use std::net::Ipv4Addr;

impl HostState {
    pub(super) fn link_up(&mut self, index: IfIndex, fx: &mut Effects) {
        let Some(link) = self.link_mut(index) else { return };
        if core::mem::replace(&mut link.up, true) {
            return;
        }
        if link.kind == LinkKind::Loopback && link.addrs.is_empty() {
            // inetdev_event() gives the loopback device its address when it first comes up
            let net = Ipv4Net::new_assert(Ipv4Addr::LOCALHOST, 8);
            link.addrs.push(Ifa4 { net, scope: RtScope::HOST, secondary: false, broadcast: None });
        }
        let addrs = link.addrs.clone();
        for ifa in &addrs {
            self.add_address_routes(index, ifa);
        }
        self.revive_hops(index);
        fx.push(Effect::LinkUp(index));
        self.announce_addresses(index, fx);
    }

    pub(super) fn link_down(&mut self, index: IfIndex, fx: &mut Effects) {
        let Some(link) = self.link_mut(index) else { return };
        if !core::mem::replace(&mut link.up, false) {
            return;
        }
        link.addrs6.clear();
        self.drop_routes_of(index, false);
        self.routes6.retain(|r| r.dev != Some(index));
        self.proxies.retain(|p| p.dev != index);
        fx.push(Effect::LinkDown(index));
        fx.push(Effect::NeighFlush(index, true));
        fx.push(Effect::PurgeDelayed);
    }

    /// The kernel notices a carrier change: hops are marked, entries without PERMANENT go.
    pub(super) fn set_carrier(&mut self, index: IfIndex, on: bool, fx: &mut Effects) {
        let Some(link) = self.link_mut(index) else { return };
        if core::mem::replace(&mut link.carrier, on) == on {
            return;
        }
        let up = link.up;
        for (_, routes) in &mut self.tables {
            for hop in routes.iter_mut().filter(|r| r.scope < RtScope::HOST).flat_map(|r| &mut r.hops) {
                if hop.dev == index {
                    hop.linkdown = !on;
                }
            }
        }
        fx.push(Effect::Carrier(index, on));
        let evict = self.link(index).is_some_and(|l| self.on4(l, Conf4::ArpEvictNocarrier));
        if !on && up && evict {
            fx.push(Effect::NeighFlush(index, false));
            fx.push(Effect::PurgeDelayed);
        }
    }

    /// Removes the routes that leave by a device; the local ones only if `all`.
    fn drop_routes_of(&mut self, index: IfIndex, all: bool) {
        for (_, routes) in &mut self.tables {
            routes.retain_mut(|route| {
                if route.hops.is_empty() || (route.kind == RouteKind::Local && !all) {
                    return true;
                }
                for hop in &mut route.hops {
                    hop.dead |= hop.dev == index;
                }
                !route.hops.iter().all(|h| h.dead)
            });
        }
    }

    fn revive_hops(&mut self, index: IfIndex) {
        for hop in self.tables.iter_mut().flat_map(|(_, r)| r).flat_map(|r| &mut r.hops) {
            if hop.dev == index {
                hop.dead = false;
            }
        }
    }

    pub(super) fn forget_device(&mut self, index: IfIndex) {
        self.drop_routes_of(index, true);
        self.routes6.retain(|r| r.dev != Some(index));
        self.proxies.retain(|p| p.dev != index);
        self.hooks.retain(|h| h.dev != Some(index));
        if let Some(link) = self.link_mut(index) {
            link.addrs.clear();
            link.addrs6.clear();
        }
    }

    pub(super) fn addr_add(
        &mut self,
        dev: IfName,
        net: Ipv4Net,
        scope: Option<RtScope>,
        broadcast: Option<Ipv4Addr>,
    ) -> Result<(), Fault> {
        let index = self.index_of(dev)?;
        let Some(link) = self.link_mut(index) else { return Ok(()) };
        if link.addrs.iter().any(|a| a.net == net) {
            return Err((Errno::Eexist, "the interface has that address"));
        }
        let same_subnet = |a: &Ifa4| a.net.prefix_len() == net.prefix_len() && a.net.contains(&net.addr());
        let secondary = link.addrs.iter().any(|a| !a.secondary && same_subnet(a));
        let ifa = Ifa4 { net, scope: scope.unwrap_or(RtScope::UNIVERSE), secondary, broadcast };
        link.addrs.push(ifa);
        self.add_address_routes(index, &ifa);
        Ok(())
    }

    /// The routes that come with an address: local always, the subnet and its broadcast when the
    /// device is up.
    fn add_address_routes(&mut self, index: IfIndex, ifa: &Ifa4) {
        let Some(link) = self.link(index) else { return };
        let (up, carrier, loopback) = (link.up, link.carrier, index == LOOPBACK);
        let addr = ifa.net.addr();
        let prefer = if ifa.secondary { self.primary_for(index, ifa) } else { addr };
        let hop = |linkdown| NextHop { dev: index, via: None, weight: 1, linkdown, dead: false };
        let mut add = |table: u32, kind: RouteKind, dst: Ipv4Net| {
            let scope = if kind == RouteKind::Local { RtScope::HOST } else { RtScope::LINK };
            let linkdown = !carrier && kind != RouteKind::Local;
            let hops = SmallVec::from_iter([hop(linkdown)]);
            let route =
                Route { dst, kind, metric: 0, scope, proto: RtProto::KERNEL, src: Some(prefer), hops };
            let routes = self.table_mut(table);
            if !routes
                .iter()
                .any(|r| (r.dst, r.kind, r.src, &r.hops) == (route.dst, kind, route.src, &route.hops))
            {
                routes.push(route);
            }
        };
        add(TABLE_LOCAL, RouteKind::Local, host_net(addr));
        if !up {
            return;
        }
        if let Some(b) = ifa.broadcast.filter(|b| !b.is_broadcast()) {
            add(TABLE_LOCAL, RouteKind::Broadcast, host_net(b));
        }
        let (subnet, len) = (ifa.net.trunc(), ifa.net.prefix_len());
        if subnet.addr().is_unspecified() || ifa.secondary || (subnet.addr() == addr && len == 32) {
            return;
        }
        if loopback {
            add(TABLE_LOCAL, RouteKind::Local, subnet);
        } else {
            add(TABLE_MAIN, RouteKind::Unicast, subnet);
        }
        if len < 31 {
            add(TABLE_LOCAL, RouteKind::Broadcast, host_net(ifa.net.broadcast()));
        }
    }

    fn primary_for(&self, index: IfIndex, ifa: &Ifa4) -> Ipv4Addr {
        let addrs = self.link(index).map_or(&[][..], |l| &l.addrs);
        let primary = addrs.iter().find(|a| {
            !a.secondary && a.net.prefix_len() == ifa.net.prefix_len() && a.net.contains(&ifa.net.addr())
        });
        primary.map_or(ifa.net.addr(), |p| p.net.addr())
    }

    pub(super) fn addr_del(&mut self, dev: IfName, net: Ipv4Net, fx: &mut Effects) -> Result<(), Fault> {
        let index = self.index_of(dev)?;
        let Some(link) = self.link(index) else { return Ok(()) };
        let Some(at) = link.addrs.iter().position(|a| a.net == net) else {
            return Err((Errno::Eaddrnotavail, "the interface has no such address"));
        };
        let gone = link.addrs[at];
        let promote = self.on4(link, Conf4::PromoteSecondaries);
        let mut removed: SmallVec<[Ifa4; 2]> = SmallVec::from_iter([gone]);
        let in_subnet = |a: &Ifa4| {
            a.secondary && a.net.prefix_len() == gone.net.prefix_len() && gone.net.contains(&a.net.addr())
        };
        let Some(link) = self.link_mut(index) else { return Ok(()) };
        link.addrs.remove(at);
        if !gone.secondary {
            let heir = link.addrs.iter().position(in_subnet).filter(|_| promote);
            match heir {
                Some(heir) => link.addrs[heir].secondary = false,
                None => {
                    removed.extend(link.addrs.iter().copied().filter(in_subnet));
                    link.addrs.retain(|a| !in_subnet(a));
                }
            }
        }
        for ifa in &removed {
            self.remove_address_routes(index, ifa);
        }
        let rest = self.link(index).map(|l| l.addrs.clone()).unwrap_or_default();
        for ifa in &rest {
            // a promoted secondary brings the subnet's routes back, now with its own address
            self.add_address_routes(index, ifa);
        }
        if rest.is_empty() {
            // fib_disable_ip(dev, event, force): without an address the device loses every route
            self.drop_routes_of(index, true);
            fx.push(Effect::NeighFlush(index, true));
            fx.push(Effect::PurgeDelayed);
            self.proxies.retain(|p| p.dev != index || p.ip.is_ipv6());
        }
        Ok(())
    }

    fn remove_address_routes(&mut self, index: IfIndex, ifa: &Ifa4) {
        let addr = ifa.net.addr();
        let still_owned = self.owns(addr);
        for (table, routes) in &mut self.tables {
            routes.retain(|r| {
                let own = r.proto == RtProto::KERNEL
                    && r.src == Some(addr)
                    && r.hops.iter().any(|h| h.dev == index);
                // fib_sync_down_addr(): routes that prefer a source that is gone go too
                let prefers = !still_owned && r.src == Some(addr) && *table != TABLE_LOCAL;
                !(own || prefers)
            });
        }
    }

    pub(super) fn addr_add6(
        &mut self,
        dev: IfName,
        net: Ipv6Net,
        nodad: bool,
        fx: &mut Effects,
    ) -> Result<(), Fault> {
        let index = self.index_of(dev)?;
        let dad = self.needs_dad(index, nodad);
        let Some(link) = self.link_mut(index) else { return Ok(()) };
        if link.conf6.get(Conf6::DisableIpv6) != 0 {
            return Err((Errno::Eaddrnotavail, "IPv6 is disabled on the interface"));
        }
        if link.addrs6.iter().any(|a| a.net.addr() == net.addr()) {
            return Err((Errno::Eexist, "the interface has that address"));
        }
        link.addrs6.push(Ifa6 { net, tentative: dad, dad_failed: false, nodad });
        if link.up {
            self.add_prefix6(index, net);
        }
        if dad {
            fx.push(Effect::DadStart(index, net));
        }
        Ok(())
    }

    /// An address is tested unless told otherwise, on loopback, without ARP, or where
    /// `accept_dad` is 0 both here and in `all` (addrconf_dad_begin).
    fn needs_dad(&self, index: IfIndex, nodad: bool) -> bool {
        self.link(index).is_some_and(|l| {
            !nodad && l.kind != LinkKind::Loopback && !l.noarp && self.effective6(l, Conf6::AcceptDad) > 0
        })
    }

    fn add_prefix6(&mut self, index: IfIndex, net: Ipv6Net) {
        let dst = net.trunc();
        if self.routes6.iter().any(|r| r.dst == dst && r.dev == Some(index)) {
            return;
        }
        self.routes6.push(Route6 {
            dst,
            kind: RouteKind::Unicast,
            metric: 256,
            proto: RtProto::KERNEL,
            via: None,
            dev: Some(index),
        });
    }

    pub(super) fn addr_del6(&mut self, dev: IfName, net: Ipv6Net) -> Result<(), Fault> {
        let index = self.index_of(dev)?;
        let Some(link) = self.link_mut(index) else { return Ok(()) };
        let before = link.addrs6.len();
        link.addrs6.retain(|a| a.net != net);
        if link.addrs6.len() == before {
            return Err((Errno::Eaddrnotavail, "the interface has no such address"));
        }
        let shared = link.addrs6.iter().any(|a| a.net.trunc() == net.trunc());
        if !shared {
            self.routes6
                .retain(|r| !(r.dst == net.trunc() && r.dev == Some(index) && r.proto == RtProto::KERNEL));
        }
        Ok(())
    }

    /// The link-local address appears, formed from the MAC of this moment.
    pub(super) fn ipv6_start(&mut self, index: IfIndex, fx: &mut Effects) {
        let dad = self.needs_dad(index, false);
        let Some(link) = self.link_mut(index) else { return };
        let has_local = link.addrs6.iter().any(|a| a.net.addr().is_unicast_link_local());
        if !link.up || has_local || link.conf6.get(Conf6::DisableIpv6) != 0 || link.kind == LinkKind::Loopback
        {
            return;
        }
        let net = Ipv6Net::new_assert(link.mac.link_local(), 64);
        link.addrs6.push(Ifa6 { net, tentative: dad, dad_failed: false, nodad: false });
        self.add_prefix6(index, net);
        if dad {
            fx.push(Effect::DadStart(index, net));
        }
    }

    pub(super) fn dad_end(&mut self, index: IfIndex, net: Ipv6Net, failed: bool) {
        let Some(link) = self.link_mut(index) else { return };
        if let Some(ifa) = link.addrs6.iter_mut().find(|a| a.net == net) {
            ifa.tentative = failed;
            ifa.dad_failed = failed;
        }
    }
}

pub(super) fn host_net(ip: Ipv4Addr) -> Ipv4Net {
    Ipv4Net::new_assert(ip, 32)
}
