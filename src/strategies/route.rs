//! Routes and policy rules, added, replaced and deleted.

use super::place::{CALI, GATEWAY, NEIGHBOUR, UP0, UP1, address, device, prefix};
use crate::addr::IfName;
use crate::host::{
    Family, HopSpec, Mutation, Op, RouteFilter, RouteKind, RouteSpec, RtProto, RtScope, Rule, RuleAction,
    RuleSpec, Selectors,
};
use ipnet::IpNet;
use proptest::prelude::*;
use proptest::sample::select;
use std::net::{IpAddr, Ipv4Addr};

/// A table that nobody asks unless a rule says so.
const TABLE: u32 = 100;

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => Just(Op::Add),
        3 => Just(Op::Replace),
        1 => Just(Op::Change),
        2 => Just(Op::Append),
        2 => Just(Op::Prepend),
        2 => Just(Op::Del),
    ]
}

fn table() -> impl Strategy<Value = Option<u32>> {
    prop_oneof![
        12 => Just(None),
        5 => Just(Some(TABLE)),
        1 => Just(Some(crate::host::TABLE_DEFAULT)),
        1 => Just(Some(crate::host::TABLE_LOCAL)),
    ]
}

fn hop() -> impl Strategy<Value = HopSpec> {
    let via = prop_oneof![
        4 => Just(None),
        4 => select(vec![NEIGHBOUR, Ipv4Addr::new(203, 0, 113, 1), GATEWAY]).prop_map(Some),
        1 => address().prop_map(Some),
    ];
    let dev = prop_oneof![9 => device().prop_map(Some), 2 => Just(None)];
    (via, dev, prop::bool::weighted(0.1), 1u16..3).prop_map(|(via, dev, onlink, weight)| HopSpec {
        via: via.map(IpAddr::V4),
        dev,
        onlink,
        weight,
    })
}

fn kind() -> impl Strategy<Value = RouteKind> {
    use RouteKind::{Blackhole, Broadcast, Local, Prohibit, Throw, Unicast, Unreachable};
    prop_oneof![
        12 => Just(Unicast),
        5 => select(vec![Blackhole, Unreachable, Prohibit, Throw]),
        1 => select(vec![Local, Broadcast]),
    ]
}

fn spec() -> impl Strategy<Value = RouteSpec> {
    let leg = hop().prop_filter("a leg leads somewhere", |h| h.via.is_some() || h.dev.is_some());
    let hops = prop_oneof![9 => prop::collection::vec(hop(), 1), 1 => prop::collection::vec(leg, 2)];
    let metric = prop_oneof![4 => Just(None), 2 => (0u32..3).prop_map(|m| Some(m * 50))];
    let scope = prop_oneof![
        10 => Just(None),
        1 => select(vec![RtScope::UNIVERSE, RtScope::LINK, RtScope::HOST]).prop_map(Some),
    ];
    let src = prop_oneof![10 => Just(None), 1 => address().prop_map(|ip| Some(IpAddr::V4(ip)))];
    (kind(), prefix(), hops, table(), metric, scope, src).prop_map(
        |(kind, dst, hops, table, metric, scope, src)| {
            let mut spec = RouteSpec::reject(kind, IpNet::V4(dst));
            if !kind.is_reject() {
                spec.hops = hops.into_iter().collect();
                (spec.scope, spec.src) = (scope, src);
                if spec.hops.len() == 1 {
                    spec.hops[0].weight = 1;
                }
            }
            (spec.table, spec.metric) = (table, metric);
            spec
        },
    )
}

/// A way out for somebody who matters: likely to be taken, and to change an answer.
fn telling() -> impl Strategy<Value = RouteSpec> {
    let dev = prop_oneof![3 => Just(CALI), 3 => Just(UP0), 2 => Just(UP1)];
    let direct = (prefix(), dev, table()).prop_map(|(dst, dev, table)| {
        let mut spec = RouteSpec::direct(IpNet::V4(dst), dev);
        spec.table = table;
        spec
    });
    let reject = (kind(), prefix(), table()).prop_map(|(kind, dst, table)| {
        let kind = if kind.is_reject() { kind } else { RouteKind::Blackhole };
        let mut spec = RouteSpec::reject(kind, IpNet::V4(dst));
        spec.table = table;
        spec
    });
    let through = (prefix(), table()).prop_map(|(dst, table)| {
        let mut spec = RouteSpec::through(IpNet::V4(dst), IpAddr::V4(NEIGHBOUR), Some(UP0));
        spec.table = table;
        spec
    });
    prop_oneof![4 => direct, 3 => reject, 2 => through]
}

/// A change of the routes: likely ones, and any at all.
pub fn route_change() -> impl Strategy<Value = Mutation> {
    let likely = (prop_oneof![4 => Just(Op::Replace), 1 => Just(Op::Del)], telling());
    let any = (op(), spec());
    let change = prop_oneof![3 => likely.boxed(), 2 => any.boxed()]
        .prop_map(|(op, spec)| Mutation::Route { op, spec });
    prop_oneof![12 => change.boxed(), 1 => flush().boxed()]
}

fn flush() -> impl Strategy<Value = Mutation> {
    let dev = prop_oneof![1 => Just(None), 2 => device().prop_map(Some)];
    let proto =
        prop_oneof![4 => Just(None), 1 => select(vec![RtProto::BOOT, RtProto::KERNEL]).prop_map(Some)];
    let dst = prop_oneof![2 => Just(None), 1 => prefix().prop_map(|n| Some(IpNet::V4(n)))];
    (table(), dev, proto, dst)
        .prop_filter("something is said", |(t, d, p, n)| {
            t.is_some() || d.is_some() || p.is_some() || n.is_some()
        })
        .prop_map(|(table, dev, proto, dst)| {
            Mutation::RouteFlush(RouteFilter { family: Family::Inet, table, dev, proto, dst })
        })
}

fn selector() -> impl Strategy<Value = Option<IpNet>> {
    // a selector that is given is never 0/0: the kernel does not keep that apart from none
    let some =
        prefix().prop_filter("0/0 selects nothing", |n| n.prefix_len() > 0).prop_map(|n| Some(IpNet::V4(n)));
    prop_oneof![2 => Just(None), 1 => some]
}

fn action() -> impl Strategy<Value = RuleAction> {
    use crate::host::{TABLE_DEFAULT, TABLE_LOCAL, TABLE_MAIN};
    prop_oneof![
        6 => select(vec![TABLE, TABLE, TABLE_MAIN, TABLE_LOCAL, TABLE_DEFAULT]).prop_map(RuleAction::Lookup),
        2 => select(vec![RuleAction::Unreachable, RuleAction::Blackhole, RuleAction::Prohibit]),
        2 => onward(),
    ]
}

/// What leads on to another rule, if anywhere.
pub(super) fn onward() -> impl Strategy<Value = RuleAction> {
    prop_oneof![
        4 => select(vec![50u32, 100, 200, 32_766, 40_000]).prop_map(RuleAction::Goto),
        1 => Just(RuleAction::Nop),
        1 => Just(RuleAction::L3mdev),
    ]
}

/// What a rule asks of a packet that ARP has not, but for the device of a gateway.
fn more() -> impl Strategy<Value = Selectors> {
    let ports = || {
        prop_oneof![3 => Just(None), 1 => select(vec![(0, 0), (0, 65_535), (53, 53), (80, 90)]).prop_map(Some)]
        .prop_map(|ports| ports.filter(|p| *p != (0, 0)))
    };
    let some = (
        prop_oneof![4 => Just(0u8), 1 => select(vec![0x08, 0x10, 0xb8])],
        prop_oneof![3 => Just(None), 2 => select(vec![CALI, UP0, IfName::LO]).prop_map(Some)],
        prop_oneof![3 => Just(None), 2 => select(vec![(0, 0), (0, 1000), (1, 1000)]).prop_map(Some)],
        prop_oneof![4 => Just(None), 1 => select(vec![1u8, 6, 17, 132]).prop_map(Some)],
        ports(),
        ports(),
    )
        .prop_map(|(tos, oif, uids, ipproto, sport, dport)| Selectors {
            tos,
            oif,
            uids,
            ipproto,
            sport,
            dport,
        });
    prop_oneof![3 => Just(Selectors::NONE), 1 => some.boxed()]
}

/// A policy rule comes or goes; seldom one of the kernel's own three.
pub fn rule_change() -> impl Strategy<Value = Mutation> {
    let iif = prop_oneof![
        4 => Just(None),
        4 => select(vec![CALI, UP0, IfName::LO]).prop_map(Some),
    ];
    let mark = prop_oneof![8 => Just(None), 1 => select(vec![(0, 1), (1, 1), (1, 0xff)]).prop_map(Some)];
    let priority =
        prop_oneof![5 => select(vec![50u32, 100, 200, 32_766, 40_000]).prop_map(Some), 1 => Just(None)];
    let action = prop_oneof![8 => action().prop_map(Some), 1 => Just(None)];
    let short = prop_oneof![8 => Just(None), 1 => select(vec![0u8, 16]).prop_map(Some)];
    let group = prop_oneof![10 => Just(None), 1 => (0..=1u32).prop_map(Some)];
    let rest = (short, group, more()).boxed();
    let selectors = (prop::bool::weighted(0.1), selector(), selector(), iif, mark, rest);
    let custom = (priority, selectors, action)
        .prop_map(|(priority, (invert, from, to, iif, fwmark, rest), action)| RuleSpec {
            family: Family::Inet,
            priority,
            invert,
            from,
            to,
            iif,
            fwmark,
            more: rest.2,
            action,
            suppress_prefixlength: rest.0,
            suppress_ifgroup: rest.1,
        })
        .prop_filter("something is said", |rule| *rule != RuleSpec::any(Family::Inet));
    let own = select(Rule::defaults().to_vec())
        .prop_map(|rule| Mutation::Rule { op: Op::Del, rule: RuleSpec::of(Family::Inet, &rule) });
    let op = prop_oneof![4 => Just(Op::Add), 1 => Just(Op::Del)];
    prop_oneof![
        30 => (op, custom.boxed()).prop_map(|(op, rule)| Mutation::Rule { op, rule }).boxed(),
        2 => own,
        1 => Just(Mutation::RuleFlush(Family::Inet)),
    ]
}
