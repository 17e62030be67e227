//! Route lookup: rules, tables, longest prefix (net/ipv4/fib_rules.c, fib_trie.c).

pub(super) mod input;
pub(super) mod six;

use crate::addr::IfName;
use crate::host::state::HostState;
use crate::host::state::conf::Conf4;
use crate::host::state::link::IfIndex;
use crate::host::state::route::{
    NextHop, Route, RouteKind, RtScope, Rule, RuleAction, TABLE_DEFAULT, TABLE_LOCAL, TABLE_MAIN,
};
use crate::host::state::selectors::Upper;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr};

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
    /// What the layer above gives.
    pub upper: Upper,
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
            upper: Upper::default(),
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
        dst: IpNet,
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

/// Where a route stands among those that match: prefix length (longer first), table (higher
/// first), metric, age.
type Rank = (u8, u32, u32, usize);

enum Step<'a> {
    Found(FibHit<'a>),
    Fail(FibMiss),
    Again,
}

impl HostState {
    /// Looks a route up as `fib_lookup()` does.
    ///
    /// Without custom rules the kernel keeps the local table inside the main one, so the longest
    /// prefix of both wins; table `default` is asked when they have nothing or say throw.
    pub fn fib_lookup(&self, flow: &Flow) -> Result<FibHit<'_>, FibMiss> {
        if self.rules.custom {
            return self.lookup_by_rules(flow);
        }
        let mut step = self.lookup_tables(&[TABLE_LOCAL, TABLE_MAIN], flow);
        if matches!(step, Step::Again) {
            step = self.lookup_tables(&[TABLE_DEFAULT], flow);
        }
        match step {
            Step::Found(hit) => Ok(hit),
            Step::Fail(miss) => Err(miss),
            Step::Again => Err(FibMiss::NoRoute),
        }
    }

    /// What one table has for a flow; nothing when it has no usable route, or rejects.
    pub(super) fn table_lookup(&self, table: u32, flow: &Flow) -> Option<FibHit<'_>> {
        match self.lookup_tables(&[table], flow) {
            Step::Found(hit) => Some(hit),
            Step::Fail(_) | Step::Again => None,
        }
    }

    fn lookup_by_rules(&self, flow: &Flow) -> Result<FibHit<'_>, FibMiss> {
        for rule in self.rules_for(flow) {
            let table = match rule.table() {
                Ok(table) => table,
                Err(action) => return Err(FibMiss::Rule { priority: rule.priority, action }),
            };
            match self.lookup_tables(&[table], flow) {
                Step::Found(hit)
                    if rule.suppresses(hit.route.dst.prefix_len(), !hit.route.hops.is_empty()) => {}
                Step::Found(hit) => return Ok(hit),
                Step::Fail(miss) => return Err(miss),
                Step::Again => {}
            }
        }
        Err(FibMiss::NoRoute)
    }

    /// The policy rules that concern a flow and ask a table or refuse, in the order they are walked.
    pub(super) fn rules_for<'a>(&'a self, flow: &'a Flow) -> impl Iterator<Item = &'a Rule> {
        walk(&self.rules.list, move |r| self.rule_matches(r, flow))
    }

    fn rule_matches(&self, rule: &Rule, flow: &Flow) -> bool {
        let iif = rule.iif.is_none_or(|name| {
            let index = if name == IfName::LO {
                Some(LOOPBACK)
            } else {
                self.link_named(name).map(crate::host::Link::index)
            };
            index == Some(flow.iif)
        });
        let hit = iif
            && rule.from.is_none_or(|n| n.contains(&IpAddr::V4(flow.src)))
            && rule.to.is_none_or(|n| n.contains(&IpAddr::V4(flow.dst)))
            && rule.fwmark.is_none_or(|(mark, mask)| flow.mark & mask == mark & mask)
            && rule.action != RuleAction::L3mdev
            && rule.more.match_packet(flow.upper, |oif| flow.oif.is_some_and(|dev| self.is_named(dev, oif)));
        hit != rule.invert
    }

    fn is_named(&self, dev: IfIndex, name: IfName) -> bool {
        self.link(dev).is_some_and(|l| l.name() == name)
    }

    /// Looks through tables as if they were one trie: longest prefix first, then the higher table
    /// (the local one), then the smaller metric, then the older route. A route none of whose hops
    /// may be used is passed over; a reject or throw route ends the search.
    fn lookup_tables(&self, tables: &[u32], flow: &Flow) -> Step<'_> {
        let mut after = None;
        // almost always one round: only unusable routes make another
        while let Some((rank, route, table)) = self.next_match(tables, flow, after) {
            after = Some(rank);
            match route.kind {
                RouteKind::Throw => return Step::Again,
                kind if kind.is_reject() => {
                    return Step::Fail(FibMiss::Rejected { kind, dst: IpNet::V4(route.dst), table });
                }
                _ => {}
            }
            if let Some(hop) = self.usable_hops(route, flow).next() {
                return Step::Found(FibHit { route, hop, table });
            }
        }
        Step::Again
    }

    /// The best matching route that ranks behind `after`.
    fn next_match(&self, tables: &[u32], flow: &Flow, after: Option<Rank>) -> Option<(Rank, &Route, u32)> {
        let mut best: Option<(Rank, &Route, u32)> = None;
        for &table in tables {
            for (age, route) in self.table(table).iter().enumerate() {
                if !route.dst.contains(&flow.dst) || route.scope < flow.scope {
                    continue;
                }
                let rank = (32 - route.dst.prefix_len(), u32::MAX - table, route.metric, age);
                if after.is_none_or(|a| rank > a) && best.is_none_or(|(b, ..)| rank < b) {
                    best = Some((rank, route, table));
                }
            }
        }
        best
    }

    /// The most legs that a route has which concerns one of two addresses; 1 where there is no
    /// choice.
    #[must_use]
    pub fn legs(&self, a: Ipv4Addr, b: Ipv4Addr) -> u32 {
        let routes = self.tables().iter().flat_map(|(_, routes)| routes);
        let concerns = |r: &&Route| r.dst.contains(&a) || r.dst.contains(&b);
        routes.filter(concerns).map(|r| r.hops.len()).max().unwrap_or(0).max(1) as u32
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
    ///
    /// While the local table still lives inside the main one, a main route with a longer prefix
    /// hides a local one: a probe for such an address is nobody's. A namespace that never had a
    /// local route has no local table, and takes every address for a broadcast.
    #[must_use]
    pub fn addr_type(&self, ip: Ipv4Addr) -> AddrType {
        if ip.is_unspecified() || ip.is_broadcast() {
            return AddrType::Broadcast;
        }
        if ip.is_multicast() {
            return AddrType::Multicast;
        }
        // before `lo` is up and an address is there, there is no table that could say otherwise
        if !self.has_table(TABLE_LOCAL) {
            return AddrType::Broadcast;
        }
        let tables: &[u32] = if self.rules.custom { &[TABLE_LOCAL] } else { &[TABLE_LOCAL, TABLE_MAIN] };
        match self.lookup_tables(tables, &Flow::output(ip, Ipv4Addr::UNSPECIFIED)) {
            Step::Found(hit) if hit.route.kind == RouteKind::Local => AddrType::Local,
            Step::Found(hit) if hit.route.kind == RouteKind::Broadcast => AddrType::Broadcast,
            _ => AddrType::Unicast,
        }
    }
}

/// The rules that fit, as fib_rules_lookup() walks them: a `goto` leads on to the first of its
/// priority.
pub(super) fn walk<'a>(
    rules: &'a [Rule],
    fits: impl Fn(&Rule) -> bool + 'a,
) -> impl Iterator<Item = &'a Rule> {
    let mut at = 0;
    core::iter::from_fn(move || {
        while let Some(rule) = rules.get(at) {
            at += 1;
            match rule.action {
                _ if !fits(rule) => {}
                RuleAction::Nop => {}
                // forward only: whoever adds one is refused another
                RuleAction::Goto(priority) => {
                    at = rules.iter().position(|r| r.priority == priority).unwrap_or(at);
                }
                _ => return Some(rule),
            }
        }
        None
    })
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
