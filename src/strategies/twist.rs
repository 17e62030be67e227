//! Changes that belong together: each makes a state in which one of the rarer conditions decides.

use super::place::{CALI, GATEWAY, NEIGHBOUR, NODE, OUTSIDE, POD, UP0};
use crate::addr::IfName;
use crate::host::conf::{Conf4, Global, NeighVar, Scope, SysctlKey};
use crate::host::{
    AddrDelBy, AddrTerms, Family, LinkChange, Mutation, Op, RouteKind, RouteSpec, RtScope, Rule, RuleAction,
    RuleSpec,
};
use ipnet::{IpNet, Ipv4Net};
use proptest::prelude::*;
use proptest::sample::select;
use std::net::{IpAddr, Ipv4Addr};

const TABLE: u32 = 100;

fn set(scope: Scope, key: Conf4, value: i32) -> Mutation {
    Mutation::Sysctl { key: SysctlKey::Conf4(scope, key), value }
}

fn host(ip: Ipv4Addr) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(ip, 32))
}

fn own(dev: IfName, ip: Ipv4Addr, len: u8, scope: Option<RtScope>) -> Mutation {
    let net = IpNet::V4(Ipv4Net::new_assert(ip, len));
    Mutation::AddrAdd { dev, net, scope, nodad: false, broadcast: None, terms: AddrTerms::default() }
}

fn route(table: Option<u32>, spec: RouteSpec) -> Mutation {
    Mutation::Route { op: Op::Replace, spec: RouteSpec { table, ..spec } }
}

/// Here or in `all`.
fn here_or_all() -> impl Strategy<Value = Scope> {
    prop_oneof![Just(Scope::Dev(CALI)), Just(Scope::All)]
}

/// The gateway lies behind the pod's own interface: proxy_arp_pvlan decides.
fn pvlan() -> impl Strategy<Value = Vec<Mutation>> {
    (here_or_all(), 0..=1i32).prop_map(|(scope, on)| {
        vec![route(None, RouteSpec::direct(host(GATEWAY), CALI)), set(scope, Conf4::ProxyArpPvlan, on)]
    })
}

/// The gateway is an address of the node: arp_ignore and arp_filter decide.
fn address() -> impl Strategy<Value = Vec<Mutation>> {
    let dev = select(vec![CALI, UP0, IfName::LO]);
    let scope = prop_oneof![3 => Just(None), 1 => Just(Some(RtScope::LINK)), 2 => Just(Some(RtScope::HOST))];
    let ignore = select(vec![0, 1, 2, 3, 8]);
    let filter = prop::bool::weighted(0.4);
    let place = (dev, select(vec![32, 16]), scope);
    (place, here_or_all(), ignore, filter, 0..=1i32).prop_map(
        |((dev, len, scope), here, ignore, filter, localnet)| {
            vec![
                own(dev, GATEWAY, len, scope),
                set(here, Conf4::ArpIgnore, ignore),
                set(Scope::Dev(CALI), Conf4::RouteLocalnet, localnet),
                set(here, Conf4::ArpFilter, i32::from(filter)),
            ]
        },
    )
}

/// proxy_arp gives way to an entry, here or elsewhere.
fn entry() -> impl Strategy<Value = Vec<Mutation>> {
    (select(vec![CALI, CALI, UP0]), select(vec![GATEWAY, OUTSIDE])).prop_map(|(dev, ip)| {
        vec![
            set(Scope::Dev(CALI), Conf4::ProxyArp, 0),
            Mutation::Proxy { op: Op::Add, dev, ip: IpAddr::V4(ip) },
        ]
    })
}

fn medium() -> impl Strategy<Value = Vec<Mutation>> {
    (-1..=2i32, -1..=2i32).prop_map(|(here, there)| {
        vec![set(Scope::Dev(CALI), Conf4::MediumId, here), set(Scope::Dev(UP0), Conf4::MediumId, there)]
    })
}

/// A rule sends the pod's packets to a table with another idea of the world.
fn policy() -> impl Strategy<Value = Vec<Mutation>> {
    let pods = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(10, 42, 0, 0), 16));
    let rules = vec![
        Rule { iif: Some(CALI), ..Rule::plain(100, RuleAction::Lookup(TABLE)) },
        Rule { from: Some(pods), ..Rule::plain(100, RuleAction::Lookup(TABLE)) },
        Rule { invert: true, from: Some(pods), ..Rule::plain(100, RuleAction::Lookup(TABLE)) },
        Rule { iif: Some(UP0), ..Rule::plain(100, RuleAction::Lookup(TABLE)) },
        Rule { fwmark: Some((1, 1)), ..Rule::plain(100, RuleAction::Lookup(TABLE)) },
    ];
    let everything = IpNet::V4(Ipv4Net::default());
    let ways = vec![
        RouteSpec::reject(RouteKind::Throw, everything),
        RouteSpec::reject(RouteKind::Blackhole, everything),
        RouteSpec::direct(everything, CALI),
        RouteSpec::through(everything, IpAddr::V4(NEIGHBOUR), Some(UP0)),
    ];
    (select(rules), select(ways)).prop_map(|(rule, way)| {
        let rule = RuleSpec::of(Family::Inet, &rule);
        vec![Mutation::Rule { op: Op::Add, rule }, route(Some(TABLE), way)]
    })
}

/// The way out has lost its carrier, which counts or does not.
fn linkdown() -> impl Strategy<Value = Vec<Mutation>> {
    (prop_oneof![Just(Scope::Dev(UP0)), Just(Scope::All), Just(Scope::Dev(CALI))], 0..=1i32).prop_map(
        |(scope, on)| {
            vec![
                Mutation::LinkSet { dev: UP0, change: LinkChange::Carrier(false) },
                set(scope, Conf4::IgnoreRoutesWithLinkdown, on),
            ]
        },
    )
}

/// The way back: another interface, none, or one with addresses of its own.
fn back() -> impl Strategy<Value = Vec<Mutation>> {
    let away = prop_oneof![
        Just(None),
        Just(Some(route(None, RouteSpec::direct(host(POD), UP0)))),
        Just(Some(Mutation::Route { op: Op::Del, spec: RouteSpec::direct(host(POD), CALI) })),
    ];
    (here_or_all(), 0..=2i32, away, any::<bool>()).prop_map(|(scope, level, away, numbered)| {
        let addr = numbered.then(|| own(CALI, Ipv4Addr::new(10, 42, 0, 1), 32, None));
        let level = set(scope, Conf4::RpFilter, level);
        addr.into_iter().chain(away).chain([level]).collect()
    })
}

/// The sender's address is the node's own.
fn own_sender() -> impl Strategy<Value = Vec<Mutation>> {
    (here_or_all(), 0..=1i32, 0..=2i32).prop_map(|(scope, accept, level)| {
        vec![
            own(IfName::LO, POD, 32, None),
            set(scope, Conf4::AcceptLocal, accept),
            set(Scope::Dev(CALI), Conf4::RpFilter, level),
        ]
    })
}

/// Answers wait, and few may.
fn queue() -> impl Strategy<Value = Vec<Mutation>> {
    let neigh = |key, value| Mutation::Sysctl { key: SysctlKey::Neigh4(Scope::Dev(CALI), key), value };
    (1..=3i32, 0..=2i32).prop_map(move |(delay, qlen)| {
        vec![neigh(NeighVar::ProxyDelay, delay), neigh(NeighVar::ProxyQlen, qlen)]
    })
}

/// The last address of an interface goes, and its routes with it.
fn bereft() -> impl Strategy<Value = Vec<Mutation>> {
    select(vec![(CALI, OUTSIDE, 32), (UP0, NODE, 24)]).prop_map(|(dev, ip, len)| {
        let net = IpNet::V4(Ipv4Net::new_assert(ip, len));
        let added = (dev == CALI).then(|| own(dev, ip, len, None));
        added.into_iter().chain([Mutation::AddrDel { dev, net, by: AddrDelBy::Prefix }]).collect()
    })
}

/// The node routes, but not from this interface, or only from it: `all` does not count.
fn routing() -> impl Strategy<Value = Vec<Mutation>> {
    (0..=1i32).prop_map(|all| {
        let node = Mutation::Sysctl { key: SysctlKey::Global(Global::IpForward), value: all };
        vec![node, set(Scope::Dev(CALI), Conf4::Forwarding, 1 - all)]
    })
}

/// A gratuitous frame for an own address, which is dropped or not.
fn gratuitous() -> impl Strategy<Value = Vec<Mutation>> {
    (here_or_all(), 0..=1i32, select(vec![GATEWAY, OUTSIDE])).prop_map(|(scope, drop, ip)| {
        vec![
            set(scope, Conf4::DropGratuitousArp, drop),
            own(IfName::LO, ip, 32, None),
            set(Scope::Dev(CALI), Conf4::AcceptLocal, 1),
            set(Scope::Dev(CALI), Conf4::RpFilter, 0),
        ]
    })
}

/// An address of scope host counts as one of the link where 127/8 may be routed.
fn host_scope() -> impl Strategy<Value = Vec<Mutation>> {
    (select(vec![CALI, UP0, IfName::LO]), 0..=1i32).prop_map(|(dev, localnet)| {
        vec![
            own(dev, GATEWAY, 32, Some(RtScope::HOST)),
            set(Scope::All, Conf4::ArpIgnore, 3),
            set(Scope::Dev(CALI), Conf4::RouteLocalnet, localnet),
            set(Scope::Dev(dev), Conf4::RouteLocalnet, localnet),
        ]
    })
}

/// One of them.
pub(super) fn twist() -> impl Strategy<Value = Vec<Mutation>> {
    prop_oneof![
        3 => pvlan().boxed(),
        3 => routing().boxed(),
        2 => gratuitous().boxed(),
        2 => host_scope().boxed(),
        4 => address().boxed(),
        2 => entry().boxed(),
        2 => medium().boxed(),
        4 => policy().boxed(),
        2 => linkdown().boxed(),
        3 => back().boxed(),
        2 => own_sender().boxed(),
        2 => queue().boxed(),
        1 => bereft().boxed(),
    ]
}
