//! IPv6 on an interface: when it starts, addresses with and without duplicate address detection,
//! and their routes (net/ipv6/addrconf.c).

use super::Fault;
use super::mutation::{Effect, Effects, Errno, Family};
use crate::addr::IfName;
use crate::host::state::HostState;
use crate::host::state::conf::Conf6;
use crate::host::state::link::{IfIndex, Ifa6, LinkKind};
use crate::host::state::route::{RouteKind, RtProto, TABLE_MAIN};
use crate::host::state::route6::Route6;
use ipnet::Ipv6Net;
use std::net::Ipv6Addr;

/// Preference of the routes that come with an address (IP6_RT_PRIO_ADDRCONF).
const METRIC_ADDRCONF: u32 = 256;

impl HostState {
    pub(in crate::host) fn addr_add6(
        &mut self,
        dev: IfName,
        net: Ipv6Net,
        nodad: bool,
        replace: bool,
        fx: &mut Effects,
    ) -> Result<(), Fault> {
        let index = self.index_of(dev)?;
        let Some(link) = self.link(index) else { return Ok(()) };
        if link.conf6.get(Conf6::DisableIpv6) != 0 {
            return Err((Errno::Eacces, "IPv6 is disabled on the interface"));
        }
        if link.addrs6.iter().any(|a| a.net.addr() == net.addr()) {
            if replace {
                return Ok(());
            }
            return Err((Errno::Eexist, "the interface has that address"));
        }
        let ready = link.ready6;
        let dad = !nodad && self.needs_dad(index);
        self.own6(index, net, dad, nodad);
        if dad && ready {
            fx.push(Effect::DadStart(index, net));
        }
        Ok(())
    }

    /// Puts an address on an interface, with the route to its prefix when the device is up.
    pub(in crate::host) fn own6(&mut self, index: IfIndex, net: Ipv6Net, tentative: bool, nodad: bool) {
        let Some(link) = self.link_mut(index) else { return };
        if link.addrs6.iter().any(|a| a.net.addr() == net.addr()) {
            return;
        }
        link.addrs6.push(Ifa6 { net, tentative, dad_failed: false, nodad });
        // ::1 alone is put there without its prefix (init_loopback)
        if link.up && !net.addr().is_loopback() {
            self.add_prefix6(index, net);
        }
    }

    /// An address is tested unless told otherwise, on loopback, without ARP, or where
    /// `accept_dad` is 0 both here and in `all` (addrconf_dad_begin).
    fn needs_dad(&self, index: IfIndex) -> bool {
        self.link(index).is_some_and(|l| {
            l.kind != LinkKind::Loopback && !l.noarp && self.effective6(l, Conf6::AcceptDad) > 0
        })
    }

    pub(in crate::host) fn add_prefix6(&mut self, index: IfIndex, net: Ipv6Net) {
        let dst = net.trunc();
        let same = |r: &Route6| {
            r.table == TABLE_MAIN && r.dst == dst && r.dev == Some(index) && r.metric == METRIC_ADDRCONF
        };
        if self.routes6.iter().any(same) {
            return;
        }
        self.routes6.push(Route6 {
            table: TABLE_MAIN,
            dst,
            kind: RouteKind::Unicast,
            metric: METRIC_ADDRCONF,
            proto: RtProto::KERNEL,
            via: None,
            dev: Some(index),
        });
    }

    pub(in crate::host) fn addr_del6(&mut self, dev: IfName, net: Ipv6Net) -> Result<(), Fault> {
        let index = self.index_of(dev)?;
        let Some(link) = self.link_mut(index) else { return Ok(()) };
        let before = link.addrs6.len();
        link.addrs6.retain(|a| a.net != net);
        if link.addrs6.len() == before {
            return Err((Errno::Eaddrnotavail, "the interface has no such address"));
        }
        let shared = link.addrs6.iter().any(|a| a.net.trunc() == net.trunc());
        if !shared {
            let kept =
                |r: &Route6| r.dst == net.trunc() && r.dev == Some(index) && r.proto == RtProto::KERNEL;
            self.routes6.retain(|r| !kept(r));
        }
        Ok(())
    }

    /// IPv6 starts as soon as the link is up, the kernel has noticed its carrier, and nobody
    /// disabled it: the link-local address appears, formed from the MAC of this moment, and
    /// addresses that waited for the link are tested.
    pub(in crate::host) fn ipv6_start(&mut self, index: IfIndex, fx: &mut Effects) {
        let dad = self.needs_dad(index);
        let Some(link) = self.link_mut(index) else { return };
        let may = link.up
            && link.carrier
            && !link.ready6
            && link.kind != LinkKind::Loopback
            && link.conf6.get(Conf6::DisableIpv6) == 0;
        if !may {
            return;
        }
        link.ready6 = true;
        let net = Ipv6Net::new_assert(link.mac.link_local(), 64);
        if !link.addrs6.iter().any(|a| a.net.addr().is_unicast_link_local()) {
            self.own6(index, net, dad, false);
        }
        let Some(link) = self.link_mut(index) else { return };
        let waiting = link.addrs6.iter_mut().filter(|a| a.tentative && !a.dad_failed);
        for ifa in waiting {
            ifa.tentative = dad;
            if dad {
                fx.push(Effect::DadStart(index, ifa.net));
            }
        }
    }

    pub(in crate::host) fn dad_end(&mut self, index: IfIndex, net: Ipv6Net, failed: bool, fx: &mut Effects) {
        let Some(link) = self.link_mut(index) else { return };
        if let Some(ifa) = link.addrs6.iter_mut().find(|a| a.net == net && a.tentative) {
            ifa.tentative = failed;
            ifa.dad_failed = failed;
            if !failed {
                self.announce6(index, net.addr(), fx);
            }
        }
    }

    /// ndisc_notify: an address that has passed its test is told to all.
    fn announce6(&self, index: IfIndex, ip: Ipv6Addr, fx: &mut Effects) {
        if self.link(index).is_some_and(|l| l.ready6 && self.effective6(l, Conf6::NdiscNotify) != 0) {
            fx.push(Effect::Announce6(index, ip));
        }
    }

    /// A changed MAC is told for every address (ndisc_send_unsol_na).
    pub(in crate::host) fn announce_all6(&self, index: IfIndex, fx: &mut Effects) {
        let Some(link) = self.link(index).filter(|l| l.up) else { return };
        for ifa in link.addrs6.iter().filter(|a| !a.tentative) {
            self.announce6(index, ifa.net.addr(), fx);
        }
    }

    /// addrconf_ifdown(): addresses, routes, neighbours and proxy entries go.
    pub(in crate::host) fn disable_ip6(&mut self, index: IfIndex, fx: &mut Effects) {
        if let Some(link) = self.link_mut(index) {
            link.addrs6.clear();
            link.ready6 = false;
        }
        self.routes6.retain(|r| r.dev != Some(index));
        self.proxies.retain(|p| p.dev != index || p.ip.is_ipv4());
        fx.push(Effect::NeighFlush(index, Family::Inet6, true));
        fx.push(Effect::PurgeDelayed(Family::Inet6));
    }

    /// A write to `disable_ipv6` acts at once (addrconf_disable_change, dev_disable_change).
    pub(in crate::host) fn set_disable_ipv6(&mut self, index: IfIndex, value: i32, fx: &mut Effects) {
        let Some(link) = self.link_mut(index) else { return };
        let (was, up, loopback) =
            (link.conf6.get(Conf6::DisableIpv6) != 0, link.up, link.kind == LinkKind::Loopback);
        link.conf6.set(Conf6::DisableIpv6, value);
        match (was, value != 0) {
            (false, true) => self.disable_ip6(index, fx),
            (true, false) if loopback && up => self.loopback_address6(index),
            (true, false) => self.ipv6_start(index, fx),
            _ => {}
        }
    }

    /// init_loopback(): `::1`, needing no test.
    pub(in crate::host) fn loopback_address6(&mut self, index: IfIndex) {
        if self.link(index).is_some_and(|l| l.conf6.get(Conf6::DisableIpv6) == 0) {
            self.own6(index, Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128), false, true);
        }
    }
}
