//! The IPv6 twin: states and neighbour solicitations. The gateway is the link-local address of the
//! host end; other addresses are the host's own, or proxied by explicit entries.

use super::place::{CALI, UP0};
use crate::addr::{IfName, Mac};
use crate::host::conf::{Conf4, Conf6, NeighVar, Scope, SysctlKey};
use crate::host::{
    AddrDelBy, AddrTerms, Family, HostState, LinkChange, LinkKind, Mutation, Op, RouteFilter, RouteKind,
    RouteSpec, Rule, RuleAction, RuleSpec, Selectors, TABLE_LOCAL, TABLE_MAIN,
};
use crate::wire::nd::{self, Solicit};
use core::fmt;
use ipnet::{IpNet, Ipv6Net};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use std::net::{IpAddr, Ipv6Addr};

/// The pods' gateway: the link-local address made of `ee:ee:ee:ee:ee:ee`.
pub const GATEWAY6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0xecee, 0xeeff, 0xfeee, 0xeeee);
const OWN: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x42, 0, 0, 0, 0, 1);
const POD6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x42, 0, 0, 0, 0, 7);
const PROXIED: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0xa, 0, 0, 0, 0xb);
const UPLINK: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x51, 0, 0, 0, 0, 2);
/// The all-zeros address of the pod's subnet (RFC 4291 2.6.1).
const ANYCAST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x42, 0, 0, 0, 0, 0);

/// Where a solicitation is sent: as an IPv6 packet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Toward {
    /// To the solicited-node group of the target.
    Group,
    /// To the target itself.
    Target,
    /// To all nodes.
    AllNodes,
    /// To the gateway.
    Gateway,
}

/// A neighbour solicitation as it leaves the far end of an interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Solicitation {
    /// The interface of the host that it reaches.
    pub dev: IfName,
    /// To the MAC that fits, or to one that nobody has.
    pub astray: bool,
    /// Source address.
    pub src: Ipv6Addr,
    /// Destination address.
    pub toward: Toward,
    /// Who is asked for.
    pub target: Ipv6Addr,
    /// With a source link-layer address option.
    pub source: bool,
    /// Hop limit.
    pub hop_limit: u8,
}

impl Solicitation {
    /// Its destination address.
    #[must_use]
    pub fn dst(&self) -> Ipv6Addr {
        match self.toward {
            Toward::Group => nd::solicited_node(self.target),
            Toward::Target => self.target,
            Toward::AllNodes => nd::ALL_NODES,
            Toward::Gateway => GATEWAY6,
        }
    }

    /// The message, from that MAC.
    #[must_use]
    pub fn message(&self, asker: Mac) -> Solicit {
        Solicit { target: self.target, source: self.source.then_some(asker), nonce: None }
    }

    /// The destination MAC, for a host in that state.
    #[must_use]
    pub fn eth_dst(&self, host: &HostState) -> Mac {
        let dst = self.dst();
        if self.astray {
            Mac([2, 0xdd, 0, 0, 0, 1])
        } else if dst.is_multicast() {
            Mac::ipv6_multicast(dst)
        } else {
            host.link_named(self.dev).map_or(Mac::ZERO, crate::host::Link::mac)
        }
    }

    /// The frame, from that MAC, for a host in that state.
    #[must_use]
    pub fn frame(&self, host: &HostState, asker: Mac) -> Vec<u8> {
        let mut frame = self.eth_dst(host).0.to_vec();
        frame.extend(asker.0);
        frame.extend(crate::wire::ETHERTYPE_IPV6.to_be_bytes());
        let start = frame.len();
        frame.extend(nd::solicit_packet(self.src, self.dst(), &self.message(asker)));
        // the checksum does not cover it
        frame[start + 7] = self.hop_limit;
        frame
    }
}

impl fmt::Display for Solicitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} > {}: who has {}, at {}", self.src, self.dst(), self.target, self.dev)?;
        if !self.source {
            f.write_str(", without its MAC")?;
        }
        if self.astray {
            f.write_str(", to a MAC nobody has")?;
        }
        if self.hop_limit != nd::HOP_LIMIT {
            write!(f, ", hop limit {}", self.hop_limit)?;
        }
        Ok(())
    }
}

fn target() -> impl Strategy<Value = Ipv6Addr> {
    prop_oneof![
        6 => Just(GATEWAY6),
        5 => Just(PROXIED),
        3 => select(vec![OWN, UPLINK, ANYCAST]),
        2 => select(vec![POD6, Ipv6Addr::LOCALHOST, Ipv6Addr::UNSPECIFIED, nd::ALL_NODES]),
        1 => any::<u16>().prop_map(|n| Ipv6Addr::new(0x2001, 0xdb8, 0x42, 0, 0, 0, 0, n)),
    ]
}

/// A solicitation: mostly a good one.
pub fn solicitation() -> impl Strategy<Value = Solicitation> {
    let near = any::<u16>().prop_map(|n| Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x42, n));
    let far = any::<u16>().prop_map(|n| Ipv6Addr::new(0x2001, 0xdb8, 0x42, 0, 0, 0, 0x42, n));
    let src = prop_oneof![
        8 => near,
        4 => far,
        2 => Just(Ipv6Addr::UNSPECIFIED),
        1 => select(vec![Ipv6Addr::LOCALHOST, nd::ALL_NODES]),
    ];
    let toward = prop_oneof![
        8 => Just(Toward::Group),
        4 => Just(Toward::Target),
        1 => select(vec![Toward::AllNodes, Toward::Gateway]),
    ];
    let dev = prop_oneof![8 => Just(CALI), 1 => Just(UP0)];
    let hop_limit = prop_oneof![20 => Just(nd::HOP_LIMIT), 1 => select(vec![0, 1, 64, 254])];
    let parts =
        (dev, prop::bool::weighted(0.05), src, toward, target(), prop::bool::weighted(0.85), hop_limit);
    parts.prop_map(|(dev, astray, src, toward, target, source, hop_limit)| {
        let mut one = Solicitation { dev, astray, src, toward, target, source, hop_limit };
        // a unicast one without its MAC makes the host resolve the sender first, who is nobody
        one.source |= !one.dst().is_multicast();
        one.source &= !src.is_unspecified() || target == UPLINK;
        one
    })
}

fn set(scope: Scope, key: Conf6, value: i32) -> Mutation {
    Mutation::Sysctl { key: SysctlKey::Conf6(scope, key), value }
}

fn own(dev: IfName, ip: Ipv6Addr, len: u8) -> Mutation {
    let net = IpNet::V6(Ipv6Net::new_assert(ip, len));
    Mutation::AddrAdd { dev, net, scope: None, nodad: true, broadcast: None, terms: AddrTerms::default() }
}

fn change6() -> impl Strategy<Value = Mutation> {
    let scope = || prop_oneof![4 => Just(Scope::Dev(CALI)), 3 => Just(Scope::All), 1 => Just(Scope::Dev(UP0)), 1 => Just(Scope::Default)];
    let bool = |key| (Just(key), 0..=1i32);
    let key = prop_oneof![
        5 => bool(Conf6::Forwarding),
        5 => bool(Conf6::ProxyNdp),
        1 => bool(Conf6::NdiscEvictNocarrier),
        1 => bool(Conf6::AcceptUntrackedNa),
        1 => bool(Conf6::DropUnsolicitedNa),
    ];
    let sysctl = (scope(), key).prop_map(|(scope, (key, value))| set(scope, key, value));
    let off = (scope(), 0..=1i32).prop_map(|(scope, value)| set(scope, Conf6::DisableIpv6, value));
    let addr =
        (select(vec![CALI, UP0]), select(vec![OWN, PROXIED, UPLINK, GATEWAY6]), select(vec![64, 128, 126]))
            .prop_map(|(dev, ip, len)| own(dev, ip, len));
    let gone = select(vec![(CALI, GATEWAY6, 64), (CALI, OWN, 64), (CALI, OWN, 128), (UP0, UPLINK, 64)])
        .prop_map(|(dev, ip, len)| Mutation::AddrDel {
            dev,
            net: IpNet::V6(Ipv6Net::new_assert(ip, len)),
            by: AddrDelBy::Prefix,
        });
    let proxy =
        (prop_oneof![3 => Just(Op::Add), 1 => Just(Op::Del)], select(vec![CALI, CALI, UP0]), target())
            .prop_filter("an address", |(_, _, ip)| !ip.is_multicast() && !ip.is_unspecified())
            .prop_map(|(op, dev, ip)| Mutation::Proxy { op, dev, ip: IpAddr::V6(ip) });
    let queue = prop_oneof![
        2 => (0..=3i32).prop_map(|v| (NeighVar::ProxyDelay, v)),
        1 => (0..=1i32).prop_map(|v| (NeighVar::ProxyQlen, v)),
    ]
    .prop_map(|(key, value)| Mutation::Sysctl { key: SysctlKey::Neigh6(Scope::Dev(CALI), key), value });
    let link = (
        select(vec![CALI, UP0]),
        prop_oneof![
            3 => any::<bool>().prop_map(LinkChange::Up),
            2 => any::<bool>().prop_map(LinkChange::Carrier),
            1 => (1u8..4).prop_map(|n| LinkChange::Address(Mac([2, 0xaa, 0, 0, 0, n]))),
        ],
    )
        .prop_map(|(dev, change)| Mutation::LinkSet { dev, change });
    prop_oneof![8 => sysctl, 2 => off, 3 => addr, 2 => gone, 4 => proxy, 2 => queue, 3 => link, 2 => rule6(), 1 => route6()]
}

/// The table that only rules lead to.
const TABLE: u32 = 100;

fn prefix6() -> impl Strategy<Value = Ipv6Net> {
    let net = |ip: Ipv6Addr, len| Ipv6Net::new_assert(ip, len).trunc();
    let groups = Ipv6Net::new_assert(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0), 16);
    let near = Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10);
    select(vec![
        groups,
        near,
        net(GATEWAY6, 128),
        net(POD6, 64),
        net(PROXIED, 128),
        net(PROXIED, 64),
        Ipv6Net::default(),
    ])
}

fn selector6() -> impl Strategy<Value = Option<IpNet>> {
    let some = prefix6().prop_map(|n| Some(IpNet::V6(n)).filter(|n| n.prefix_len() > 0));
    prop_oneof![2 => Just(None), 1 => some]
}

/// A policy rule comes or goes, the kernel's own among them.
fn rule6() -> impl Strategy<Value = Mutation> {
    let action = select(vec![
        RuleAction::Lookup(TABLE_LOCAL),
        RuleAction::Lookup(TABLE_MAIN),
        RuleAction::Lookup(TABLE),
        RuleAction::Unreachable,
        RuleAction::Blackhole,
        RuleAction::Prohibit,
    ]);
    let action = prop_oneof![6 => action, 1 => super::route::onward()];
    let mark = prop_oneof![6 => Just(None), 1 => select(vec![(0, 1), (1, 1), (1, 0xff)]).prop_map(Some)];
    let group = prop_oneof![8 => Just(None), 1 => (0..=1u32).prop_map(Some)];
    let tos = prop_oneof![9 => Just(0u8), 1 => Just(0x10)];
    let rest = (mark, group, tos).boxed();
    let iif = prop_oneof![2 => Just(None), 2 => select(vec![CALI, UP0, IfName::LO]).prop_map(Some)];
    let priority = select(vec![None, Some(0), Some(50), Some(100), Some(40_000)]);
    let rule = (priority, prop::bool::weighted(0.1), selector6(), selector6(), iif, action, rest).prop_map(
        |(priority, invert, from, to, iif, action, (fwmark, suppress_ifgroup, tos))| RuleSpec {
            fwmark,
            suppress_ifgroup,
            more: Selectors { tos, ..Selectors::NONE },
            priority,
            invert,
            from,
            to,
            iif,
            action: Some(action),
            ..RuleSpec::any(Family::Inet6)
        },
    );
    let op = prop_oneof![4 => Just(Op::Add), 1 => Just(Op::Del)];
    let rule = (op, rule).prop_map(|(op, rule)| Mutation::Rule { op, rule });
    let own = select(Rule::defaults6().to_vec())
        .prop_map(|rule| Mutation::Rule { op: Op::Del, rule: RuleSpec::of(Family::Inet6, &rule) });
    let flush = select(vec![Some(TABLE), Some(TABLE), Some(77)]).prop_map(|table| {
        Mutation::RouteFlush(RouteFilter { family: Family::Inet6, table, dev: None, proto: None, dst: None })
    });
    prop_oneof![8 => rule, 6 => own, 2 => Just(Mutation::RuleFlush(Family::Inet6)), 1 => flush.boxed()]
}

fn route6() -> impl Strategy<Value = Mutation> {
    let kind = prop_oneof![
        3 => Just(RouteKind::Unicast),
        2 => select(vec![RouteKind::Blackhole, RouteKind::Unreachable, RouteKind::Prohibit, RouteKind::Throw]),
    ];
    (kind, prefix6(), select(vec![CALI, UP0]), select(vec![None, Some(TABLE)])).prop_map(
        |(kind, dst, dev, table)| {
            let dst = IpNet::V6(dst);
            let spec = match kind {
                RouteKind::Unicast => RouteSpec::direct(dst, dev),
                kind => RouteSpec::reject(kind, dst),
            };
            Mutation::Route { op: Op::Replace, spec: RouteSpec { table, ..spec } }
        },
    )
}

/// Changes that lead to a node of an IPv6 cluster, with some more strewn in.
pub fn host_changes6() -> impl Strategy<Value = Vec<Mutation>> {
    let add = |(name, mac)| Mutation::LinkAdd { name, kind: LinkKind::Veth, mac: Some(mac) };
    let up = |dev| Mutation::LinkSet { dev, change: LinkChange::Up(true) };
    let first: Vec<Mutation> = vec![
        // Calico turns the test for duplicates off, which here saves the seconds it takes
        set(Scope::All, Conf6::AcceptDad, 0),
        set(Scope::Default, Conf6::AcceptDad, 0),
        add((CALI, Mac::CALICO)),
        add((UP0, Mac([2, 0, 0xc6, 0x33, 0x64, 2]))),
        Mutation::Sysctl { key: SysctlKey::Neigh6(Scope::Dev(CALI), NeighVar::ProxyDelay), value: 2 },
        Mutation::Sysctl { key: SysctlKey::Neigh6(Scope::Dev(UP0), NeighVar::ProxyDelay), value: 2 },
        up(IfName::LO),
        up(CALI),
        up(UP0),
    ];
    let steps = [
        own(CALI, OWN, 64),
        own(UP0, UPLINK, 64),
        Mutation::Route { op: Op::Replace, spec: RouteSpec::direct(IpNet::V6(Ipv6Net::default()), UP0) },
        Mutation::Proxy { op: Op::Add, dev: CALI, ip: IpAddr::V6(PROXIED) },
        set(Scope::All, Conf6::Forwarding, 1),
        set(Scope::Dev(CALI), Conf6::ProxyNdp, 1),
        set(Scope::All, Conf6::ProxyNdp, 1),
        Mutation::Sysctl { key: SysctlKey::Conf4(Scope::Dev(CALI), Conf4::ProxyArp), value: 1 },
    ];
    // of the three switches any may be missing, as often as not
    let odds = [0.7, 0.7, 0.8, 0.9, 0.75, 0.5, 0.5, 0.5];
    let kept: Vec<_> = odds.into_iter().map(prop::bool::weighted).collect();
    let strewn = prop::collection::vec((any::<Index>(), change6()), 0..=6);
    (kept, strewn).prop_map(move |(kept, strewn)| {
        let kept = steps.iter().zip(kept).filter(|(_, kept)| *kept);
        let mut rest: Vec<Mutation> = kept.map(|(step, _)| step.clone()).collect();
        for (at, change) in strewn {
            rest.insert(at.index(rest.len() + 1), change);
        }
        first.iter().cloned().chain(rest).collect()
    })
}
