//! Route lookup: rules, tables, longest prefix (net/ipv4/fib_rules.c, fib_trie.c).

use super::conf::Conf4;
use super::link::IfIndex;
use super::route::{
    NextHop, Route, RouteKind, RtScope, Rule, RuleAction, TABLE_DEFAULT, TABLE_LOCAL, TABLE_MAIN,
};
use super::state::HostState;
use crate::addr::IfName;
use core::cmp::Reverse;
use ipnet::Ipv4Net;
use smallvec::SmallVec;
use std::net::Ipv4Addr;

/// The loopback device's number, which stands for "sent by this host" in a lookup.
pub const LOOPBACK: IfIndex = IfIndex(1);

/// What a lookup is asked (struct flowi4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flow {
    /// Destination.
    pub dst: Ipv4Addr,
    /// Source; 0.0.0.0 when not chosen yet.
    pub src: Ipv4Addr,
    /// The device it came in by; [`LOOPBACK`] for what the host sends.
    pub iif: IfIndex,
    /// The device it must leave by.
    pub oif: Option<IfIndex>,
    /// Packet mark.
    pub mark: u32,
    /// Routes of a wider scope are passed over.
    pub scope: RtScope,
    /// Take linkdown hops even where the device ignores them (FIB_LOOKUP_IGNORE_LINKSTATE).
    pub ignore_linkstate: bool,
}

impl Flow {
    /// A packet the host sends itself.
    #[must_use]
    pub fn output(dst: Ipv4Addr, src: Ipv4Addr) -> Flow {
        Flow {
            dst,
            src,
            iif: LOOPBACK,
            oif: None,
            mark: 0,
            scope: RtScope::UNIVERSE,
            ignore_linkstate: false,
        }
    }
    /// A packet that came in by `iif`.
    #[must_use]
    pub fn input(dst: Ipv4Addr, src: Ipv4Addr, iif: IfIndex, mark: u32) -> Flow {
        Flow { iif, mark, ..Flow::output(dst, src) }
    }
}

/// A route that was found.
#[derive(Clone, Copy, Debug)]
pub struct FibHit<'a> {
    /// The route.
    pub route: &'a Route,
    /// The first of its hops that may be used.
    pub hop: NextHop,
    /// The table it stands in.
    pub table: u32,
}

/// Why a lookup found nothing to go by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FibMiss {
    /// No route matches (ENETUNREACH).
    NoRoute,
    /// A reject route matches.
    Rejected {
        /// unreachable, prohibit or blackhole.
        kind: RouteKind,
        /// Its destinations.
        dst: Ipv4Net,
        /// Its table.
        table: u32,
    },
    /// A policy rule refuses.
    Rule {
        /// The rule's priority.
        priority: u32,
        /// What it does.
        action: RuleAction,
    },
}

enum Step<'a> {
    Found(FibHit<'a>),
    Fail(FibMiss),
    Again,
}

impl HostState {
    /// Looks a route up as `fib_lookup()` does.
    ///
    /// Without custom rules the kernel keeps the local table inside the main one, so the longest
    /// prefix of both wins, and only then asks table `default`, even after a reject route.
    pub fn fib_lookup(&self, flow: &Flow) -> Result<FibHit<'_>, FibMiss> {
        if self.custom_rules {
            return self.lookup_by_rules(flow);
        }
        let merged = self.lookup_tables(&[TABLE_LOCAL, TABLE_MAIN], flow);
        let last = match merged {
            Step::Found(hit) => return Ok(hit),
            _ if self.table(TABLE_DEFAULT).is_empty() => merged,
            _ => self.lookup_tables(&[TABLE_DEFAULT], flow),
        };
        match last {
            Step::Found(hit) => Ok(hit),
            Step::Fail(miss) => Err(miss),
            Step::Again => Err(FibMiss::NoRoute),
        }
    }

    fn lookup_by_rules(&self, flow: &Flow) -> Result<FibHit<'_>, FibMiss> {
        for rule in self.rules.iter().filter(|r| self.rule_matches(r, flow)) {
            let table = match rule.action {
                RuleAction::Lookup(table) => table,
                action => return Err(FibMiss::Rule { priority: rule.priority, action }),
            };
            match self.lookup_tables(&[table], flow) {
                Step::Found(hit)
                    if rule.suppress_prefixlength.is_some_and(|n| hit.route.dst.prefix_len() <= n) => {}
                Step::Found(hit) => return Ok(hit),
                Step::Fail(miss) => return Err(miss),
                Step::Again => {}
            }
        }
        Err(FibMiss::NoRoute)
    }

    fn rule_matches(&self, rule: &Rule, flow: &Flow) -> bool {
        let iif = rule.iif.is_none_or(|name| {
            let index =
                if name == IfName::LO { Some(LOOPBACK) } else { self.link_named(name).map(|l| l.index()) };
            index == Some(flow.iif)
        });
        let hit = iif
            && rule.from.is_none_or(|n| n.contains(&flow.src))
            && rule.to.is_none_or(|n| n.contains(&flow.dst))
            && rule.fwmark.is_none_or(|(mark, mask)| flow.mark & mask == mark & mask);
        hit != rule.invert
    }

    fn lookup_tables(&self, tables: &[u32], flow: &Flow) -> Step<'_> {
        let mut matching: SmallVec<[(&Route, u32); 8]> = SmallVec::new();
        for id in tables {
            let routes = self.table(*id).iter().filter(|r| r.dst.contains(&flow.dst));
            matching.extend(routes.map(|r| (r, *id)));
        }
        // stable: equal prefixes of the local table come first, then by metric, then by age
        matching.sort_by_key(|(r, table)| (Reverse(r.dst.prefix_len()), Reverse(*table), r.metric));
        for (route, table) in matching {
            if route.scope < flow.scope {
                continue;
            }
            match route.kind {
                RouteKind::Throw => return Step::Again,
                kind if kind.is_reject() => {
                    return Step::Fail(FibMiss::Rejected { kind, dst: route.dst, table });
                }
                _ => {}
            }
            if let Some(hop) = self.usable_hop(route, flow) {
                return Step::Found(FibHit { route, hop, table });
            }
        }
        Step::Again
    }

    fn usable_hop(&self, route: &Route, flow: &Flow) -> Option<NextHop> {
        self.usable_hops(route, flow).next()
    }

    /// The hops of a route that a lookup may choose from, in their order.
    pub(super) fn usable_hops<'a>(
        &'a self,
        route: &'a Route,
        flow: &'a Flow,
    ) -> impl Iterator<Item = NextHop> + 'a {
        route.hops.iter().copied().filter(move |hop| {
            let ignored = hop.linkdown && !flow.ignore_linkstate && self.ignores_linkdown(hop.dev);
            !hop.dead && !ignored && flow.oif.is_none_or(|oif| oif == hop.dev)
        })
    }

    fn ignores_linkdown(&self, dev: IfIndex) -> bool {
        self.link(dev).is_some_and(|l| self.on4(l, Conf4::IgnoreRoutesWithLinkdown))
    }

    /// The kind of an address as the local table knows it (inet_addr_type_dev_table).
    #[must_use]
    pub fn addr_type(&self, ip: Ipv4Addr) -> AddrType {
        if ip.is_unspecified() || ip.is_broadcast() {
            return AddrType::Broadcast;
        }
        if ip.is_multicast() {
            return AddrType::Multicast;
        }
        match self.lookup_tables(&[TABLE_LOCAL], &Flow::output(ip, Ipv4Addr::UNSPECIFIED)) {
            Step::Found(hit) if hit.route.kind == RouteKind::Local => AddrType::Local,
            Step::Found(hit) if hit.route.kind == RouteKind::Broadcast => AddrType::Broadcast,
            _ => AddrType::Unicast,
        }
    }
}

/// What kind of address an address is to a host.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AddrType {
    /// Somebody's.
    Unicast,
    /// The host's own.
    Local,
    /// A broadcast address.
    Broadcast,
    /// A group.
    Multicast,
}
