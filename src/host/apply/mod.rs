//! [`HostState::apply`]: what the kernel does when it is told to change something.

mod addr;
mod addr6;
mod flush;
mod link;
pub(super) mod mutation;
mod route;
mod route6;
mod rule;
mod spec;
mod sysctl;

use self::mutation::{
    Effect, Effects, Errno, Family, HookSpec, KernelChange, LinkChange, Mutation, Op, Refused, SetNud,
};
use crate::addr::{IfName, Mac};
use crate::host::state::conf::Conf4;
use crate::host::state::hook::ArpHook;
use crate::host::state::link::{AddrAssign, IfIndex, LinkKind};
use crate::host::state::{HostState, ProxyEntry};
use ipnet::IpNet;
use std::net::IpAddr;

/// What the kernel says of an entry that is to be valid and has no address (__neigh_update).
pub(crate) const NO_LLADDR: &str = "a valid entry needs a link-layer address";

/// A refusal before it knows which command it belongs to.
pub(super) type Fault = (Errno, &'static str);

impl HostState {
    /// Makes one change, with all the kernel does along with it, or refuses it with the kernel's
    /// error and leaves the state as it was.
    pub fn apply(&mut self, change: &Mutation) -> Result<Effects, Refused> {
        let mut effects = Effects::new();
        match self.apply_inner(change, &mut effects) {
            Ok(()) => Ok(effects),
            Err((errno, why)) => Err(Refused { command: change.to_string(), errno, why }),
        }
    }

    fn apply_inner(&mut self, change: &Mutation, fx: &mut Effects) -> Result<(), Fault> {
        match change {
            Mutation::Sysctl { key, value } => self.set_sysctl(*key, *value, fx),
            Mutation::LinkAdd { name, kind, mac } => self.link_add(*name, *kind, *mac, fx),
            Mutation::LinkDel { dev } => self.link_del(*dev, fx),
            Mutation::LinkSet { dev, change } => self.link_set(*dev, *change, fx),
            Mutation::AddrAdd { dev, net, scope, nodad, broadcast, terms } => match net {
                IpNet::V4(net) => self.addr_add(*dev, *net, *scope, *broadcast, terms),
                IpNet::V6(net) => self.addr_add6(*dev, *net, *nodad, terms.replace, fx),
            },
            Mutation::AddrDel { dev, net, by } => match net {
                IpNet::V4(net) => self.addr_del(*dev, *net, *by, fx),
                IpNet::V6(net) => self.addr_del6(*dev, *net),
            },
            Mutation::AddrFlush { dev, family } => self.addr_flush(*dev, *family, fx),
            Mutation::Route { op, spec } => self.route_change(*op, spec),
            Mutation::RouteFlush(filter) => self.route_flush(filter),
            Mutation::Rule { op, rule } => self.rule_change(*op, rule),
            Mutation::RuleFlush(family) => {
                self.flush_rules(*family);
                Ok(())
            }
            Mutation::Neigh { op, dev, ip, lladdr, nud, extern_learn } => {
                let dev = self.index_of(*dev)?;
                neigh_change(*op, Effect::NeighSet(dev, *ip, *lladdr, *nud, *extern_learn), fx)
            }
            Mutation::NeighFlush { dev } => {
                let index = self.index_of(*dev)?;
                fx.push(Effect::NeighSweep(index));
                Ok(())
            }
            Mutation::Proxy { op, dev, ip } => self.proxy_change(*op, *dev, *ip),
            Mutation::Hook { op, hook } => self.hook_change(*op, hook),
            Mutation::NeighboursElsewhere(n) => {
                self.neighbours_elsewhere = *n;
                Ok(())
            }
            Mutation::Kernel(change) => self.kernel_change(*change, fx),
        }
    }

    pub(super) fn index_of(&self, dev: IfName) -> Result<IfIndex, Fault> {
        self.link_named(dev)
            .map(crate::host::Link::index)
            .ok_or((Errno::Enodev, "there is no interface of that name"))
    }

    fn link_add(
        &mut self,
        name: IfName,
        kind: LinkKind,
        mac: Option<Mac>,
        fx: &mut Effects,
    ) -> Result<(), Fault> {
        if self.link_named(name).is_some() {
            return Err((Errno::Eexist, "an interface of that name exists"));
        }
        let assign = if mac.is_some() { AddrAssign::Set } else { AddrAssign::Random };
        // a drawn MAC only has to be unlike Calico's; a fixed one keeps runs repeatable
        let drawn = Mac([0x02, 0x61, 0x72, 0x70, 0x00, self.next_index as u8]);
        let index = self.push_link(name, kind, mac.unwrap_or(drawn), assign);
        fx.push(Effect::LinkNew(index));
        Ok(())
    }

    fn link_del(&mut self, dev: IfName, fx: &mut Effects) -> Result<(), Fault> {
        let index = self.index_of(dev)?;
        if index == crate::host::fib::LOOPBACK {
            return Err((Errno::Eopnotsupp, "the loopback device cannot be deleted"));
        }
        self.link_down(index, fx);
        self.disable_ip4(index, true, fx);
        self.disable_ip6(index, fx);
        self.forget_device(index);
        self.links.retain(|l| l.index != index);
        for link in &mut self.links {
            link.master = link.master.filter(|m| *m != index);
        }
        fx.push(Effect::LinkGone(index));
        Ok(())
    }

    fn link_set(&mut self, dev: IfName, change: LinkChange, fx: &mut Effects) -> Result<(), Fault> {
        let index = self.index_of(dev)?;
        match change {
            LinkChange::Up(true) => self.link_up(index, fx),
            LinkChange::Up(false) => self.link_down(index, fx),
            LinkChange::Carrier(on) => self.set_carrier(index, on, fx),
            LinkChange::Address(mac) => {
                if mac.is_group() || mac == Mac::ZERO {
                    return Err((
                        Errno::Eaddrnotavail,
                        "a group or zero address cannot be an interface's own",
                    ));
                }
                self.set_mac(index, mac, fx);
                if let Some(bridge) = self.link(index).and_then(|l| l.master) {
                    self.adopt_port_mac(bridge, fx);
                }
            }
            LinkChange::Arp(on) => {
                if let Some(link) = self.link_mut(index).filter(|l| l.noarp == on) {
                    link.noarp = !on;
                    fx.push(Effect::NeighFlush(index, Family::Inet, true));
                    fx.push(Effect::NeighFlush(index, Family::Inet6, true));
                }
            }
            LinkChange::Promisc(on) => {
                if let Some(link) = self.link_mut(index) {
                    link.promisc = on;
                }
            }
            LinkChange::Master(master) => {
                let master = master.map(|m| self.index_of(m)).transpose()?;
                if master.is_some_and(|m| self.link(m).is_none_or(|l| l.kind != LinkKind::Bridge)) {
                    return Err((Errno::Eopnotsupp, "the master is no bridge"));
                }
                let old = self.link_mut(index).and_then(|l| core::mem::replace(&mut l.master, master));
                for bridge in [old, master].into_iter().flatten() {
                    self.adopt_port_mac(bridge, fx);
                }
            }
            LinkChange::Name(name) => {
                if self.link_named(name).is_some() {
                    return Err((Errno::Eexist, "an interface of that name exists"));
                }
                if let Some(link) = self.link_mut(index) {
                    link.name = name;
                }
            }
        }
        Ok(())
    }

    /// A bridge without a MAC of its own takes the lowest of its ports'
    /// (br_stp_recalculate_bridge_id).
    fn adopt_port_mac(&mut self, bridge: IfIndex, fx: &mut Effects) {
        let lowest = self.links.iter().filter(|l| l.master == Some(bridge)).map(|l| l.mac).min();
        let lowest = lowest.unwrap_or(Mac::ZERO);
        if let Some(link) = self.link(bridge)
            && link.addr_assign == AddrAssign::Random
            && link.mac != lowest
        {
            self.set_mac(bridge, lowest, fx);
            if let Some(link) = self.link_mut(bridge) {
                link.addr_assign = AddrAssign::Random;
            }
        }
    }

    fn set_mac(&mut self, index: IfIndex, mac: Mac, fx: &mut Effects) {
        let Some(link) = self.link_mut(index) else { return };
        link.mac = mac;
        link.addr_assign = AddrAssign::Set;
        fx.push(Effect::MacChanged(index));
        // neigh_changeaddr() drops every entry of the device, PERMANENT ones too
        fx.push(Effect::NeighFlush(index, Family::Inet, true));
        fx.push(Effect::NeighFlush(index, Family::Inet6, true));
        self.announce_addresses(index, fx);
        self.announce_all6(index, fx);
    }

    /// Announcements of arp_notify: only for addresses the device itself has.
    pub(super) fn announce_addresses(&self, index: IfIndex, fx: &mut Effects) {
        let Some(link) = self.link(index) else { return };
        if link.up && self.on4(link, Conf4::ArpNotify) {
            fx.extend(link.addrs.iter().map(|a| Effect::Announce(index, a.net.addr())));
        }
    }

    fn proxy_change(&mut self, op: Op, dev: IfName, ip: IpAddr) -> Result<(), Fault> {
        let entry = ProxyEntry { dev: self.index_of(dev)?, ip };
        let at = self.proxies.iter().position(|p| *p == entry);
        match (op, at) {
            (Op::Del, None) => Err((Errno::Enoent, "no such proxy entry")),
            (Op::Del, Some(at)) => {
                self.proxies.remove(at);
                Ok(())
            }
            // `ip neigh add proxy` of an existing entry succeeds: pneigh_lookup(.., creat=1)
            (_, Some(_)) => Ok(()),
            (_, None) => {
                self.proxies.push(entry);
                Ok(())
            }
        }
    }

    fn hook_change(&mut self, op: Op, spec: &HookSpec) -> Result<(), Fault> {
        let HookSpec { point, dev, op: operation, sender, target } = *spec;
        let hook = ArpHook { point, dev, op: operation, sender, target };
        let at = self.hooks.iter().position(|h| *h == hook);
        match (op, at) {
            (Op::Del, None) => return Err((Errno::Enoent, "no such rule")),
            (Op::Del, Some(at)) => {
                self.hooks.remove(at);
            }
            // nft keeps a rule as often as it is added
            (_, _) => self.hooks.push(hook),
        }
        Ok(())
    }

    fn kernel_change(&mut self, change: KernelChange, fx: &mut Effects) -> Result<(), Fault> {
        match change {
            KernelChange::DadDone(dev, net) => self.dad_end(self.index_of(dev)?, net, false, fx),
            KernelChange::DadFailed(dev, net) => self.dad_end(self.index_of(dev)?, net, true, fx),
        }
        Ok(())
    }

    /// Books that a proxied request of an interface began (+1) or ended (−1) its wait.
    pub fn count_delayed(&mut self, index: IfIndex, family: Family, began: bool) {
        if let Some(link) = self.link_mut(index) {
            let count = link.delayed_mut(family);
            *count = if began { *count + 1 } else { count.saturating_sub(1) };
        }
    }

    /// Books that no proxied request of a family waits any more.
    pub fn clear_delayed(&mut self, family: Family) {
        for link in &mut self.links {
            *link.delayed_mut(family) = 0;
        }
    }
}

fn neigh_change(op: Op, set: Effect, fx: &mut Effects) -> Result<(), Fault> {
    let Effect::NeighSet(dev, ip, lladdr, nud, _) = set else { return Ok(()) };
    if op == Op::Del {
        fx.push(Effect::NeighDel(dev, ip));
        return Ok(());
    }
    // an entry that exists may have one already, which only the neighbour table knows
    if op == Op::Add && lladdr.is_none() && nud != SetNud::Failed {
        return Err((Errno::Einval, NO_LLADDR));
    }
    fx.push(set);
    Ok(())
}
