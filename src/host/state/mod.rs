//! The networking state of one namespace, as far as ARP and neighbour discovery read it.

pub mod conf;
pub mod hook;
mod inherit;
pub(super) mod link;
pub(super) mod route;
pub(super) mod route6;
pub(super) mod selectors;

use self::conf::{Conf4, Conf4Set, Conf6, Conf6Set, Global, NeighSet, Scope, SysctlKey};
use self::hook::ArpHook;
use self::link::{AddrAssign, IfIndex, Link, LinkKind};
use self::route::{Route, Rule, Rules, TABLE_LOCAL, TABLE_MAIN};
use self::route6::Route6;
use crate::addr::{IfName, Mac};
use smallvec::SmallVec;
use std::net::{IpAddr, Ipv4Addr};

/// An entry made by `ip neigh add proxy ADDRESS dev DEVICE` (struct pneigh_entry).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ProxyEntry {
    /// The interface on which it is answered.
    pub dev: IfIndex,
    /// The address answered for.
    pub ip: IpAddr,
}

/// Everything a Linux network namespace holds that decides whether and how it answers a
/// neighbour request: interfaces, switches, addresses, routes, rules, proxy entries, ARP
/// filters. The host's namespace is one; so is the pod's.
///
/// It changes only through [`HostState::apply`], which also does what the kernel does of its
/// own accord (an interface going down loses its routes, and so on).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct HostState {
    pub(super) links: Vec<Link>,
    pub(super) next_index: u32,
    pub(super) all4: Conf4Set,
    pub(super) default4: Conf4Set,
    /// What was written to `default`: interfaces made later do not follow later writes.
    pub(super) default_given4: u32,
    pub(super) all6: Conf6Set,
    pub(super) default6: Conf6Set,
    pub(super) default_neigh4: NeighSet,
    pub(super) default_neigh6: NeighSet,
    pub(super) globals: [i32; Global::ALL.len()],
    pub(super) rules: Rules,
    pub(super) rules6: Rules,
    /// Someone added a route of kind local (fib_has_custom_local_routes); sticky as well.
    pub(super) custom_local_routes: bool,
    pub(super) tables: Vec<(u32, Vec<Route>)>,
    pub(super) routes6: Vec<Route6>,
    /// IPv6 tables that the kernel keeps beside its own two, in the order of their numbers.
    pub(super) tables6: Vec<u32>,
    pub(super) proxies: Vec<ProxyEntry>,
    pub(super) hooks: Vec<ArpHook>,
    pub(super) neighbours_elsewhere: u32,
}

impl Default for HostState {
    fn default() -> Self {
        Self::new()
    }
}

impl HostState {
    /// A new namespace of an untouched kernel: `lo`, down, and the three default rules.
    #[must_use]
    pub fn new() -> HostState {
        let mut state = HostState {
            links: Vec::new(),
            next_index: 1,
            all4: Conf4Set::KERNEL,
            default4: Conf4Set::KERNEL,
            default_given4: 0,
            all6: Conf6Set::kernel_all(),
            default6: Conf6Set::KERNEL,
            default_neigh4: NeighSet::KERNEL,
            default_neigh6: NeighSet::kernel6(),
            globals: core::array::from_fn(|i| Global::ALL[i].kernel_default()),
            rules: Rules::new(&Rule::defaults(), true),
            rules6: Rules::new(&Rule::defaults6(), false),
            custom_local_routes: false,
            tables: Vec::new(),
            routes6: Vec::new(),
            tables6: Vec::new(),
            proxies: Vec::new(),
            hooks: Vec::new(),
            neighbours_elsewhere: 0,
        };
        state.push_link(IfName::LO, LinkKind::Loopback, Mac::ZERO, AddrAssign::Random);
        state
    }

    pub(super) fn push_link(
        &mut self,
        name: IfName,
        kind: LinkKind,
        mac: Mac,
        assign: AddrAssign,
    ) -> IfIndex {
        let index = IfIndex(self.next_index);
        self.next_index += 1;
        self.links.push(Link {
            index,
            name,
            kind,
            mac,
            addr_assign: assign,
            up: false,
            carrier: kind != LinkKind::Veth,
            noarp: false,
            promisc: false,
            master: None,
            addrs: SmallVec::new(),
            addrs6: SmallVec::new(),
            conf4: self.default4,
            conf6: self.default6,
            neigh4: self.default_neigh4,
            neigh6: self.default_neigh6,
            given4: self.default_given4,
            given_neigh4: 0,
            given_neigh6: 0,
            ready6: false,
            delayed: 0,
            delayed6: 0,
        });
        index
    }

    /// Every interface, in the order of their numbers.
    #[must_use]
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// The interface of that number.
    #[must_use]
    pub fn link(&self, index: IfIndex) -> Option<&Link> {
        // numbers only grow, so the list is in their order
        let at = self.links.binary_search_by_key(&index, |l| l.index).ok()?;
        Some(&self.links[at])
    }

    /// The interface of that name.
    #[must_use]
    pub fn link_named(&self, name: IfName) -> Option<&Link> {
        self.links.iter().find(|l| l.name == name)
    }

    pub(super) fn link_mut(&mut self, index: IfIndex) -> Option<&mut Link> {
        let at = self.links.binary_search_by_key(&index, |l| l.index).ok()?;
        Some(&mut self.links[at])
    }

    /// The name of an interface; `?` when it is gone.
    #[must_use]
    pub fn name_of(&self, index: IfIndex) -> IfName {
        self.link(index).map_or(IfName::literal("?"), Link::name)
    }

    /// The policy rules of IPv4, in the order they are asked.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules.list
    }

    /// The policy rules of IPv6, in the order they are asked.
    #[must_use]
    pub fn rules6(&self) -> &[Rule] {
        &self.rules6.list
    }

    /// Somebody added or deleted a policy rule of IPv4, so that rules are walked at all.
    #[must_use]
    pub fn has_custom_rules(&self) -> bool {
        self.rules.custom
    }

    /// The IPv4 tables that have routes, with their numbers.
    #[must_use]
    pub fn tables(&self) -> &[(u32, Vec<Route>)] {
        &self.tables
    }

    /// The routes of one table.
    #[must_use]
    pub fn table(&self, id: u32) -> &[Route] {
        self.tables.iter().find(|(t, _)| *t == id).map_or(&[], |(_, r)| r)
    }

    /// The kernel keeps that table: it does from the first route on that was put into it.
    pub(super) fn has_table(&self, id: u32) -> bool {
        self.tables.iter().any(|(t, _)| *t == id)
    }

    /// As [`HostState::has_table`], in IPv6.
    pub(super) fn has_table6(&self, id: u32) -> bool {
        matches!(id, TABLE_LOCAL | TABLE_MAIN) || self.tables6.contains(&id)
    }

    /// A route was put into an IPv6 table, or a rule leads to it.
    pub(super) fn keep_table6(&mut self, id: u32) {
        if !self.has_table6(id) {
            let at = self.tables6.partition_point(|known| *known < id);
            self.tables6.insert(at, id);
        }
    }

    pub(super) fn table_mut(&mut self, id: u32) -> &mut Vec<Route> {
        let at = match self.tables.binary_search_by_key(&id, |(t, _)| *t) {
            Ok(at) => at,
            Err(at) => {
                self.tables.insert(at, (id, Vec::new()));
                // fib_new_table(): while there are no rules to walk the local table lives in the main one
                if id == TABLE_LOCAL && !self.rules.custom {
                    self.table_mut(TABLE_MAIN);
                }
                return self.table_mut(id);
            }
        };
        &mut self.tables[at].1
    }

    /// The IPv6 routes.
    #[must_use]
    pub fn routes6(&self) -> &[Route6] {
        &self.routes6
    }

    /// The explicit proxy entries.
    #[must_use]
    pub fn proxies(&self) -> &[ProxyEntry] {
        &self.proxies
    }

    /// The netfilter ARP rules.
    #[must_use]
    pub fn hooks(&self) -> &[ArpHook] {
        &self.hooks
    }

    /// Neighbour entries of other namespaces: the kernel counts all against one limit.
    #[must_use]
    pub fn neighbours_elsewhere(&self) -> u32 {
        self.neighbours_elsewhere
    }

    /// A namespace-wide switch.
    #[must_use]
    pub fn global(&self, key: Global) -> i32 {
        match key {
            Global::IpForward => self.all4.get(Conf4::Forwarding),
            _ => self.globals[key as usize],
        }
    }

    /// The value a read of that file would give; `None` when the interface does not exist.
    #[must_use]
    pub fn sysctl(&self, key: &SysctlKey) -> Option<i32> {
        Some(match *key {
            SysctlKey::Global(g) => self.global(g),
            SysctlKey::Conf4(Scope::All, k) => self.all4.get(k),
            SysctlKey::Conf4(Scope::Default, k) => self.default4.get(k),
            SysctlKey::Conf4(Scope::Dev(d), k) => self.link_named(d)?.conf4.get(k),
            SysctlKey::Conf6(Scope::All, k) => self.all6.get(k),
            SysctlKey::Conf6(Scope::Default, k) => self.default6.get(k),
            SysctlKey::Conf6(Scope::Dev(d), k) => self.link_named(d)?.conf6.get(k),
            SysctlKey::Neigh4(Scope::Dev(d), k) => self.link_named(d)?.neigh4.get(k),
            SysctlKey::Neigh4(_, k) => self.default_neigh4.get(k),
            SysctlKey::Neigh6(Scope::Dev(d), k) => self.link_named(d)?.neigh6.get(k),
            SysctlKey::Neigh6(_, k) => self.default_neigh6.get(k),
        })
    }

    /// The value that counts for an interface, by the rule of that key.
    ///
    /// `IN_DEV_*` in include/linux/inetdevice.h: some keys hold if set on the device *or* in
    /// `all`, some take the larger of both, some need both, some ignore `all`.
    #[must_use]
    pub fn effective4(&self, link: &Link, key: Conf4) -> i32 {
        let (all, dev) = (self.all4.get(key), link.conf4.get(key));
        match key {
            Conf4::Forwarding | Conf4::MediumId => dev,
            Conf4::RpFilter | Conf4::ArpIgnore | Conf4::ArpAccept | Conf4::ArpAnnounce | Conf4::ArpNotify => {
                all.max(dev)
            }
            Conf4::ArpEvictNocarrier | Conf4::BcForwarding => i32::from(all != 0 && dev != 0),
            Conf4::ProxyArp
            | Conf4::ProxyArpPvlan
            | Conf4::ArpFilter
            | Conf4::RouteLocalnet
            | Conf4::DropGratuitousArp
            | Conf4::AcceptLocal
            | Conf4::IgnoreRoutesWithLinkdown
            | Conf4::SrcValidMark
            | Conf4::PromoteSecondaries => i32::from(all != 0 || dev != 0),
            Conf4::SendRedirects => {
                // IN_DEV_TX_REDIRECTS: both when forwarding, either when not
                i32::from(match link.conf4.get(Conf4::Forwarding) {
                    0 => all != 0 || dev != 0,
                    _ => all.max(dev) != 0,
                })
            }
        }
    }

    /// As [`HostState::effective4`], for a switch that is on or off.
    #[must_use]
    pub fn on4(&self, link: &Link, key: Conf4) -> bool {
        self.effective4(link, key) != 0
    }

    /// True when any interface owns the address (inet_lookup_ifaddr_rcu).
    #[must_use]
    pub fn owns(&self, ip: Ipv4Addr) -> bool {
        self.links.iter().any(|l| l.addrs.iter().any(|a| a.net.addr() == ip))
    }

    /// IPv6 switches combine as IPv4 ones do, with their own rules: `forwarding` is per
    /// interface, `proxy_ndp` either, `accept_dad` the larger.
    #[must_use]
    pub fn effective6(&self, link: &Link, key: Conf6) -> i32 {
        let (all, dev) = (self.all6.get(key), link.conf6.get(key));
        match key {
            Conf6::Forwarding
            | Conf6::DadTransmits
            | Conf6::DisableIpv6
            | Conf6::AcceptRa
            | Conf6::AcceptUntrackedNa
            | Conf6::DropUnsolicitedNa => dev,
            Conf6::ProxyNdp | Conf6::NdiscNotify => i32::from(all != 0 || dev != 0),
            Conf6::NdiscEvictNocarrier => i32::from(all != 0 && dev != 0),
            Conf6::AcceptDad => all.max(dev),
        }
    }
}
