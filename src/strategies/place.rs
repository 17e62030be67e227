//! The place where random states play: a node with a pod behind `cali...` and two uplinks.

use crate::addr::IfName;
use ipnet::Ipv4Net;
use proptest::prelude::*;
use proptest::sample::select;
use std::net::Ipv4Addr;

/// The host end of the pod's veth, named as Calico names that of the pod `default/web-0`
/// (libcalico-go/lib/names, `cali` and 11 digits of SHA-1).
pub const CALI: IfName = IfName::literal("cali0d7763386da");
/// The first uplink.
pub const UP0: IfName = IfName::literal("up0");
/// The second uplink.
pub const UP1: IfName = IfName::literal("up1");
/// The interfaces that have a far end to ask from.
pub const DEVICES: [IfName; 3] = [CALI, UP0, UP1];

/// The pods' gateway.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
/// The pod that asks.
pub const POD: Ipv4Addr = Ipv4Addr::new(10, 42, 0, 7);
/// Another pod of the node's block.
pub const OTHER_POD: Ipv4Addr = Ipv4Addr::new(10, 42, 0, 8);
/// A service.
pub const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 43, 0, 10);
/// The node on its first uplink, 198.51.100.0/24.
pub const NODE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
/// The router on that uplink.
pub const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// Somebody far away.
pub const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 77);

/// Addresses that mean something to somebody, each kind of them.
const ODD: [Ipv4Addr; 14] = [
    Ipv4Addr::UNSPECIFIED,
    Ipv4Addr::BROADCAST,
    Ipv4Addr::LOCALHOST,
    Ipv4Addr::new(127, 1, 2, 3),
    Ipv4Addr::new(127, 255, 255, 255),
    Ipv4Addr::new(224, 0, 0, 5),
    Ipv4Addr::new(239, 255, 255, 250),
    Ipv4Addr::new(198, 51, 100, 0),
    Ipv4Addr::new(198, 51, 100, 255),
    Ipv4Addr::new(10, 42, 0, 63),
    Ipv4Addr::new(0, 1, 2, 3),
    Ipv4Addr::new(240, 0, 0, 1),
    Ipv4Addr::new(169, 254, 7, 7),
    Ipv4Addr::new(198, 51, 100, 3),
];

/// Any address: mostly one of the place's own, sometimes an odd one, seldom just any.
pub fn address() -> impl Strategy<Value = Ipv4Addr> {
    prop_oneof![
        12 => select(vec![GATEWAY, POD, OTHER_POD, SERVICE, NODE, NEIGHBOUR, OUTSIDE]),
        4 => select(ODD.to_vec()),
        1 => any::<u32>().prop_map(Ipv4Addr::from),
    ]
}

/// Prefixes that hold some of those addresses, from everything to a single one.
pub fn prefix() -> impl Strategy<Value = Ipv4Net> {
    let net = |ip: [u8; 4], len| Ipv4Net::new_assert(ip.into(), len);
    prop_oneof![
        6 => select(vec![
            net([0, 0, 0, 0], 0),
            net([169, 254, 0, 0], 16),
            net([10, 42, 0, 0], 16),
            net([10, 42, 0, 0], 26),
            net([10, 43, 0, 0], 16),
            net([198, 51, 100, 0], 24),
            net([198, 51, 100, 0], 25),
            net([203, 0, 113, 0], 24),
            net([128, 0, 0, 0], 1),
        ]),
        5 => select(vec![GATEWAY, POD, OTHER_POD, NEIGHBOUR, OUTSIDE, NODE])
            .prop_map(|ip| Ipv4Net::new_assert(ip, 32)),
        1 => (address(), 0u8..=32).prop_map(|(ip, len)| Ipv4Net::new_assert(ip, len).trunc()),
    ]
}

/// An interface, the pod's most of all.
pub fn device() -> impl Strategy<Value = IfName> {
    prop_oneof![6 => Just(CALI), 3 => Just(UP0), 2 => Just(UP1), 1 => Just(IfName::LO)]
}
