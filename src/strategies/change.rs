//! One change to a host, of those that can be staged in a namespace.

use super::place::{CALI, GATEWAY, NODE, OTHER_POD, OUTSIDE, POD, SERVICE, UP0, UP1, address, device};
use super::route::{route_change, rule_change};
use super::state::Offer;
use crate::addr::{IfName, Mac};
use crate::host::conf::{Conf4, Global, NeighVar, Scope, SysctlKey};
use crate::host::hook::HookPoint;
use crate::host::{AddrDelBy, AddrTerms, Family, HookSpec, LinkChange, Mutation, Op, RtScope};
use ipnet::{IpNet, Ipv4Net};
use proptest::prelude::*;
use proptest::sample::select;
use std::net::{IpAddr, Ipv4Addr};

/// A change of any kind, of those that `offer` allows.
pub fn change(offer: Offer) -> impl Strategy<Value = Mutation> {
    let hooks = if offer.hooks { 2 } else { 0 };
    prop_oneof![
        10 => sysctl(),
        8 => route_change().boxed(),
        4 => rule_change().boxed(),
        3 => link(),
        5 => addr(),
        2 => proxy(),
        hooks => hook(),
    ]
}

/// The switches that an answer depends on, each with values that matter.
fn switch() -> impl Strategy<Value = (Conf4, i32)> {
    let bool = |key| (Just(key), 0..=1i32);
    prop_oneof![
        4 => bool(Conf4::ProxyArp),
        4 => bool(Conf4::Forwarding),
        4 => (Just(Conf4::RpFilter), 0..=2i32),
        3 => (Just(Conf4::ArpIgnore), select(vec![0, 1, 2, 3, 4, 8])),
        2 => bool(Conf4::ArpFilter),
        3 => (Just(Conf4::MediumId), -1..=2i32),
        3 => bool(Conf4::ProxyArpPvlan),
        2 => bool(Conf4::AcceptLocal),
        2 => bool(Conf4::RouteLocalnet),
        2 => bool(Conf4::DropGratuitousArp),
        2 => bool(Conf4::IgnoreRoutesWithLinkdown),
        1 => bool(Conf4::SendRedirects),
        1 => bool(Conf4::SrcValidMark),
        1 => bool(Conf4::BcForwarding),
        1 => bool(Conf4::PromoteSecondaries),
        2 => (Just(Conf4::ArpAccept), 0..=2i32),
        1 => bool(Conf4::ArpNotify),
        1 => bool(Conf4::ArpEvictNocarrier),
    ]
}

fn scope() -> impl Strategy<Value = Scope> {
    prop_oneof![
        6 => device().prop_map(Scope::Dev),
        2 => Just(Scope::All),
        1 => Just(Scope::Default),
    ]
}

fn sysctl() -> impl Strategy<Value = Mutation> {
    let conf = (scope(), switch()).prop_map(|(scope, (key, value))| (SysctlKey::Conf4(scope, key), value));
    let router = (0..=1i32).prop_map(|value| (SysctlKey::Global(Global::IpForward), value));
    let queue = (
        prop_oneof![4 => Just(CALI), 1 => Just(UP0)],
        prop_oneof![
            3 => (Just(NeighVar::ProxyDelay), 0..=3i32),
            1 => (Just(NeighVar::ProxyQlen), 0..=2i32),
        ],
    )
        .prop_map(|(dev, (key, value))| (SysctlKey::Neigh4(Scope::Dev(dev), key), value));
    // values that some files refuse
    let odd = prop_oneof![
        select(vec![
            NeighVar::McastSolicit,
            NeighVar::UnresQlenBytes,
            NeighVar::ProxyQlen,
            NeighVar::Locktime
        ])
        .prop_map(|key| SysctlKey::Neigh4(Scope::Dev(CALI), key)),
        select(vec![Global::TcpSynRetries, Global::TcpSynLinearTimeouts, Global::IcmpMsgsBurst])
            .prop_map(SysctlKey::Global),
    ];
    let odd = (odd, select(vec![-1, 0, 128]));
    prop_oneof![20 => conf, 2 => router, 3 => queue, 1 => odd]
        .prop_map(|(key, value)| Mutation::Sysctl { key, value })
}

fn link() -> impl Strategy<Value = Mutation> {
    let up = (device(), any::<bool>()).prop_map(|(dev, up)| (dev, LinkChange::Up(up)));
    let carrier = (prop_oneof![1 => Just(CALI), 4 => Just(UP0), 3 => Just(UP1)], any::<bool>())
        .prop_map(|(dev, on)| (dev, LinkChange::Carrier(on)));
    let arp = (device(), any::<bool>()).prop_map(|(dev, on)| (dev, LinkChange::Arp(on)));
    let mac = (prop_oneof![3 => Just(CALI), 1 => Just(UP0)], 1u8..4)
        .prop_map(|(dev, n)| (dev, LinkChange::Address(Mac([2, 0xaa, 0, 0, 0, n]))));
    let promisc = (device(), any::<bool>()).prop_map(|(dev, on)| (dev, LinkChange::Promisc(on)));
    let change = prop_oneof![4 => up, 6 => carrier, 2 => arp, 1 => mac, 1 => promisc]
        .prop_map(|(dev, change)| Mutation::LinkSet { dev, change });
    prop_oneof![30 => change, 1 => Just(Mutation::LinkDel { dev: UP1 })]
}

fn own_address() -> impl Strategy<Value = Ipv4Net> {
    let net = |ip: Ipv4Addr, len| Ipv4Net::new_assert(ip, len);
    prop_oneof![
        8 => select(vec![
            net(GATEWAY, 32),
            net(GATEWAY, 16),
            net(NODE, 24),
            net(Ipv4Addr::new(198, 51, 100, 3), 24),
            net(Ipv4Addr::new(198, 51, 100, 3), 32),
            net(Ipv4Addr::new(10, 42, 0, 1), 26),
            net(OTHER_POD, 32),
            net(POD, 32),
            net(OUTSIDE, 24),
            net(SERVICE, 32),
        ]),
        1 => (address(), 8u8..=32).prop_map(|(ip, len)| Ipv4Net::new_assert(ip, len)),
    ]
}

fn addr() -> impl Strategy<Value = Mutation> {
    // addresses that the kernel does not take at all are no state
    let net = own_address().prop_filter("an address of somebody", |n| {
        let ip = n.addr();
        !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast() && ip.octets()[0] != 0
    });
    let scope = prop_oneof![
        6 => Just(None),
        2 => select(vec![RtScope::LINK, RtScope::HOST, RtScope::UNIVERSE]).prop_map(Some),
    ];
    let broadcast = prop_oneof![
        5 => Just(None),
        1 => Just(Some(Ipv4Addr::new(198, 51, 100, 255))),
    ];
    let far = || {
        prop_oneof![
            6 => Just(None),
            1 => select(vec![POD, OTHER_POD, NODE, GATEWAY]).prop_map(Some),
        ]
    };
    let metric = prop_oneof![8 => Just(0u32), 1 => select(vec![50, 100])];
    let terms = (prop::bool::weighted(0.12), far(), prop::bool::weighted(0.1), metric).prop_map(
        |(replace, peer, noprefixroute, metric)| AddrTerms { replace, peer, noprefixroute, metric },
    );
    let by = prop_oneof![4 => Just(AddrDelBy::Prefix), 1 => Just(AddrDelBy::Address), 1 => far().prop_map(|far| far.map_or(AddrDelBy::Address, AddrDelBy::Peer))];
    let said = (terms, by).boxed();
    let change = (device(), net, scope, broadcast, said, prop::bool::weighted(0.35)).prop_map(
        |(dev, net, scope, broadcast, (terms, by), goes)| {
            let net = IpNet::V4(net);
            if goes {
                Mutation::AddrDel { dev, net, by }
            } else {
                Mutation::AddrAdd { dev, net, scope, nodad: false, broadcast, terms }
            }
        },
    );
    let flush = device().prop_map(|dev| Mutation::AddrFlush { dev, family: Some(Family::Inet) });
    prop_oneof![20 => change, 1 => flush]
}

fn proxy() -> impl Strategy<Value = Mutation> {
    let op = prop_oneof![5 => Just(Op::Add), 1 => Just(Op::Del)];
    let ip = prop_oneof![3 => Just(GATEWAY), 2 => Just(OUTSIDE), 1 => address()];
    (op, device(), ip).prop_map(|(op, dev, ip)| Mutation::Proxy { op, dev, ip: IpAddr::V4(ip) })
}

fn hook() -> impl Strategy<Value = Mutation> {
    let point = prop_oneof![Just(HookPoint::Input), Just(HookPoint::Output)];
    let star = IfName::literal("cali*");
    let dev =
        prop_oneof![4 => Just(Some(CALI)), 1 => Just(Some(UP0)), 1 => Just(Some(star)), 1 => Just(None)];
    let op = prop_oneof![2 => Just(None), 1 => Just(Some(1)), 1 => Just(Some(2))];
    let ip = || prop_oneof![2 => Just(None), 1 => Just(Some(GATEWAY)), 1 => Just(Some(POD))];
    (point, dev, op, ip(), ip()).prop_map(|(point, dev, op, sender, target)| Mutation::Hook {
        op: Op::Add,
        hook: HookSpec { point, dev, op, sender, target },
    })
}
