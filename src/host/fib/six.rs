//! The IPv6 lookup: rules, tables, longest prefix (net/ipv6/fib6_rules.c, net/ipv6/route.c).

use super::{FibMiss, LOOPBACK};
use crate::addr::IfName;
use crate::host::state::HostState;
use crate::host::state::link::{IfIndex, Link};
use crate::host::state::route::{RouteKind, Rule, RuleAction, TABLE_LOCAL};
use crate::host::state::route6::Route6;
use std::net::{IpAddr, Ipv6Addr};

/// What an IPv6 lookup is asked (struct flowi6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flow6 {
    /// Destination.
    pub dst: Ipv6Addr,
    /// Source; `None` when not chosen yet, and then no rule that asks for one matches.
    pub src: Option<Ipv6Addr>,
    /// The device it came in by; [`LOOPBACK`] for what the host sends.
    pub iif: IfIndex,
    /// The device that the way must lead over: to groups and link-local addresses there is no other
    /// (rt6_need_strict).
    pub over: Option<IfIndex>,
}

impl Flow6 {
    /// A packet the host sends itself.
    #[must_use]
    pub const fn output(dst: Ipv6Addr, src: Option<Ipv6Addr>) -> Flow6 {
        Flow6 { dst, src, iif: LOOPBACK, over: None }
    }

    /// A packet that came in by `iif`.
    #[must_use]
    pub fn input(dst: Ipv6Addr, src: Ipv6Addr, iif: IfIndex) -> Flow6 {
        let near = dst.is_multicast() || dst.is_unicast_link_local();
        Flow6 { dst, src: Some(src), iif, over: near.then_some(iif) }
    }
}

/// Where a lookup ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way6<'a> {
    /// At the namespace itself, or at a group.
    Local,
    /// At a route, which may be one that rejects.
    Route(&'a Route6),
}

impl HostState {
    /// Looks the way of an IPv6 packet up, as `fib6_rule_lookup()` does: the rules in their order,
    /// in each table the longest prefix, then the smallest metric.
    pub fn fib6_lookup(&self, flow: &Flow6) -> Result<Way6<'_>, FibMiss> {
        // the kernel's own lead to its two tables even when they are gone, until one is added
        let own = Rule::defaults6();
        let rules = if self.rules6.custom { &self.rules6.list[..] } else { &own[..] };
        for rule in super::walk(rules, |r| self.rule_matches6(r, flow)) {
            let table = match rule.table() {
                Ok(table) => table,
                Err(action) => return Err(FibMiss::Rule { priority: rule.priority, action }),
            };
            if table == TABLE_LOCAL && self.is_local6(flow) {
                // its routes all lead over a device
                if rule.suppress_ifgroup == Some(0) {
                    continue;
                }
                return Ok(Way6::Local);
            }
            let fits = |r: &&Route6| {
                r.table == table && r.dst.contains(&flow.dst) && flow.over.is_none_or(|o| r.dev == Some(o))
            };
            let best = self.routes6.iter().filter(fits);
            let best = best.min_by_key(|r| (core::cmp::Reverse(r.dst.prefix_len()), r.metric));
            match best {
                // a throw route ends its table, and the next rule is asked
                None => {}
                Some(route) if route.kind == RouteKind::Throw => {}
                // a way is passed over for a short prefix, a rejection is not
                Some(route) if !route.kind.is_reject() && rule.suppresses(route.dst.prefix_len(), true) => {}
                Some(route) => return Ok(Way6::Route(route)),
            }
        }
        Err(FibMiss::NoRoute)
    }

    /// The unicast route that a packet takes, if there is one.
    #[must_use]
    pub fn route6(&self, flow: &Flow6) -> Option<&Route6> {
        match self.fib6_lookup(flow) {
            Ok(Way6::Route(route)) => Some(route),
            Ok(Way6::Local) | Err(_) => None,
        }
    }

    /// What the kernel itself keeps in the local table: own addresses, and a route for groups on
    /// every link.
    fn is_local6(&self, flow: &Flow6) -> bool {
        if flow.dst.is_multicast() {
            return true;
        }
        match self.link(flow.iif).filter(|_| flow.iif != LOOPBACK) {
            Some(link) => self.accepts6(link, flow.dst),
            None => self.owns6(flow.dst),
        }
    }

    /// A packet that came in by the link ends in this namespace, or at a group: the local table is
    /// asked before something else is found.
    pub(crate) fn delivers6(&self, link: &Link, src: Ipv6Addr, dst: Ipv6Addr) -> bool {
        // nobody has added a rule, and the local table is the first
        if !self.rules6.custom {
            return dst.is_multicast() || self.accepts6(link, dst);
        }
        self.fib6_lookup(&Flow6::input(dst, src, link.index())) == Ok(Way6::Local)
    }

    fn rule_matches6(&self, rule: &Rule, flow: &Flow6) -> bool {
        let iif = rule.iif.is_none_or(|name| {
            let index =
                if name == IfName::LO { Some(LOOPBACK) } else { self.link_named(name).map(Link::index) };
            index == Some(flow.iif)
        });
        let from = rule.from.is_none_or(|n| flow.src.is_some_and(|src| n.contains(&IpAddr::V6(src))));
        let hit = iif
            && from
            && rule.to.is_none_or(|n| n.contains(&IpAddr::V6(flow.dst)))
            // packets of the lab carry no mark in IPv6
            && rule.fwmark.is_none_or(|(mark, mask)| mark & mask == 0)
            && rule.action != RuleAction::L3mdev
            // its other selectors are IPv4's alone; see `rule` in host/command/ways.rs
            && rule.more.tos == 0;
        hit != rule.invert
    }
}
