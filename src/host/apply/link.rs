//! Interfaces going up and down, gaining and losing carrier, and what that does to addresses,
//! routes, proxy entries and neighbours (net/ipv4/fib_frontend.c: fib_netdev_event;
//! net/ipv4/fib_semantics.c: fib_sync_up, fib_sync_down_dev; net/core/neighbour.c: neigh_ifdown,
//! neigh_carrier_down; net/ipv6/addrconf.c: addrconf_notify).

use super::mutation::AddrTerms;
use super::mutation::{Effect, Effects, Family};
use crate::host::state::HostState;
use crate::host::state::conf::{Conf4, Conf6};
use crate::host::state::link::{IfIndex, LinkKind};
use crate::host::state::route::RtScope;
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;

impl HostState {
    pub(in crate::host) fn link_up(&mut self, index: IfIndex, fx: &mut Effects) {
        let Some(link) = self.link_mut(index) else { return };
        if core::mem::replace(&mut link.up, true) {
            return;
        }
        if link.kind == LinkKind::Loopback {
            self.loopback_addresses(index);
        }
        let Some(link) = self.link(index) else { return };
        let (addrs, addrs6) = (link.addrs.clone(), link.addrs6.clone());
        for ifa in &addrs {
            self.add_address_routes(index, ifa);
        }
        for ifa in addrs6.iter().filter(|a| !a.net.addr().is_loopback()) {
            self.add_prefix6(index, ifa.net);
        }
        self.revive_hops(index);
        fx.push(Effect::LinkUp(index));
        self.announce_addresses(index, fx);
        self.ipv6_start(index, fx);
    }

    /// inetdev_event() and init_loopback(): the loopback device has its addresses when it is up.
    fn loopback_addresses(&mut self, index: IfIndex) {
        let net4 = Ipv4Net::new_assert(Ipv4Addr::LOCALHOST, 8);
        // an address that is there already is no error here
        let _ = self.insert_ifa(index, net4, RtScope::HOST, None, &AddrTerms::default());
        self.loopback_address6(index);
    }

    pub(in crate::host) fn link_down(&mut self, index: IfIndex, fx: &mut Effects) {
        let Some(link) = self.link_mut(index) else { return };
        if !core::mem::replace(&mut link.up, false) {
            return;
        }
        fx.push(Effect::LinkDown(index));
        self.disable_ip4(index, false, fx);
        self.disable_ip6(index, fx);
    }

    /// fib_disable_ip() and arp_ifdown(). By force the routes to own addresses go too.
    pub(in crate::host) fn disable_ip4(&mut self, index: IfIndex, force: bool, fx: &mut Effects) {
        self.drop_routes_of(index, force);
        self.proxies.retain(|p| p.dev != index || p.ip.is_ipv6());
        fx.push(Effect::NeighFlush(index, Family::Inet, true));
        fx.push(Effect::PurgeDelayed(Family::Inet));
    }

    /// The kernel notices a carrier change: hops are marked; neighbours but PERMANENT ones go,
    /// and so do answers that wait, in the whole namespace.
    pub(in crate::host) fn set_carrier(&mut self, index: IfIndex, on: bool, fx: &mut Effects) {
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
        if !on && up {
            self.evict_neighbours(index, fx);
        }
        self.ipv6_start(index, fx);
    }

    /// neigh_carrier_down(), unless `arp_evict_nocarrier` (or its IPv6 twin) says otherwise.
    fn evict_neighbours(&self, index: IfIndex, fx: &mut Effects) {
        let Some(link) = self.link(index) else { return };
        if self.on4(link, Conf4::ArpEvictNocarrier) {
            fx.push(Effect::NeighFlush(index, Family::Inet, false));
            fx.push(Effect::PurgeDelayed(Family::Inet));
        }
        if self.effective6(link, Conf6::NdiscEvictNocarrier) != 0 {
            fx.push(Effect::NeighFlush(index, Family::Inet6, false));
            fx.push(Effect::PurgeDelayed(Family::Inet6));
        }
    }

    /// Removes the routes that leave by a device. Those of scope host (to own addresses) stay
    /// unless `force`d; a route with another way left only loses this one.
    pub(in crate::host) fn drop_routes_of(&mut self, index: IfIndex, force: bool) {
        for (_, routes) in &mut self.tables {
            routes.retain_mut(|route| {
                if route.hops.is_empty() || (route.scope >= RtScope::HOST && !force) {
                    return true;
                }
                for hop in route.hops.iter_mut().filter(|h| h.dev == index) {
                    (hop.dead, hop.linkdown) = (true, true);
                }
                !route.hops.iter().all(|h| h.dead)
            });
        }
    }

    fn revive_hops(&mut self, index: IfIndex) {
        let carrier = self.link(index).is_some_and(|l| l.carrier);
        for hop in self.tables.iter_mut().flat_map(|(_, r)| r).flat_map(|r| &mut r.hops) {
            if hop.dev == index && hop.dead {
                (hop.dead, hop.linkdown) = (false, !carrier);
            }
        }
    }

    pub(in crate::host) fn forget_device(&mut self, index: IfIndex) {
        self.drop_routes_of(index, true);
        // a device that is unregistered takes multipath routes along, other ways or not
        for (_, routes) in &mut self.tables {
            routes.retain(|r| r.hops.iter().all(|h| h.dev != index));
        }
        self.routes6.retain(|r| r.dev != Some(index));
        self.proxies.retain(|p| p.dev != index);
        if let Some(link) = self.link_mut(index) {
            link.addrs.clear();
            link.addrs6.clear();
        }
    }
}
