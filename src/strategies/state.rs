//! A host state as the list of changes that leads to it, from an untouched namespace on.

use super::ask::{Inquiry, ask};
use super::change::change;
use super::place::{CALI, NEIGHBOUR, NODE, POD, UP0, UP1};
use super::six::{Solicitation, host_changes6, solicitation};
use super::twist::twist;
use crate::addr::{IfName, Mac};
use crate::host::conf::{Conf4, NeighVar, Scope, SysctlKey};
use crate::host::{AddrTerms, LinkChange, LinkKind, Mutation, Op, RouteSpec};
use ipnet::{IpNet, Ipv4Net};
use proptest::prelude::*;
use proptest::sample::Index;
use std::net::{IpAddr, Ipv4Addr};

/// What a kernel can stage beyond the ordinary.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Offer {
    /// nf_tables of family arp.
    pub hooks: bool,
}

/// A state, and what it is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostCase {
    /// The changes, in order.
    pub changes: Vec<Mutation>,
    /// The ARP requests, in order.
    pub asks: Vec<Inquiry>,
    /// The neighbour solicitations, in order. Without any the host has no IPv6.
    pub solicits: Vec<Solicitation>,
}

/// How often a step of the plugin, of Felix or of the administrator is missing.
const MISSING: f64 = 0.04;

/// The most changes strewn into a state.
const STREWN_MAX: usize = 8;

/// The wait before proxied answers until Calico does away with it, in 1/100 s.
const PROXY_DELAY: i32 = 2;

fn set(scope: Scope, key: Conf4, value: i32) -> Mutation {
    Mutation::Sysctl { key: SysctlKey::Conf4(scope, key), value }
}

/// The three interfaces, up.
fn interfaces() -> Vec<Mutation> {
    let macs =
        [(CALI, Mac::CALICO), (UP0, Mac([2, 0, 0xc6, 0x33, 0x64, 2])), (UP1, Mac([2, 0, 0xcb, 0, 0x71, 2]))];
    let add = macs.map(|(name, mac)| Mutation::LinkAdd { name, kind: LinkKind::Veth, mac: Some(mac) });
    // nobody waits 0.8 s for an answer that proves no more than one after 0.02 s
    let soon = [CALI, UP0, UP1].map(|dev| Mutation::Sysctl {
        key: SysctlKey::Neigh4(Scope::Dev(dev), NeighVar::ProxyDelay),
        value: PROXY_DELAY,
    });
    let up = [IfName::LO, CALI, UP0, UP1];
    let up = up.map(|dev| Mutation::LinkSet { dev, change: LinkChange::Up(true) });
    add.into_iter().chain(soon).chain(up).collect()
}

/// What makes the node answer for 169.254.1.1, in the order of Calico's plugin and Felix.
fn steps() -> Vec<Mutation> {
    let addr = |dev, ip: Ipv4Addr, len| Mutation::AddrAdd {
        dev,
        net: IpNet::V4(Ipv4Net::new_assert(ip, len)),
        scope: None,
        nodad: false,
        broadcast: None,
        terms: AddrTerms::default(),
    };
    let replace = |spec| Mutation::Route { op: Op::Replace, spec };
    let host = IpNet::V4(Ipv4Net::new_assert(POD, 32));
    let everything = IpNet::V4(Ipv4Net::default());
    let cali = Scope::Dev(CALI);
    vec![
        addr(UP0, NODE, 24),
        replace(RouteSpec::through(everything, IpAddr::V4(NEIGHBOUR), Some(UP0))),
        set(cali, Conf4::RouteLocalnet, 1),
        Mutation::Sysctl { key: SysctlKey::Neigh4(cali, NeighVar::ProxyDelay), value: 0 },
        set(cali, Conf4::ProxyArp, 1),
        set(cali, Conf4::Forwarding, 1),
        replace(RouteSpec::direct(host, CALI)),
        set(cali, Conf4::RpFilter, 1),
    ]
}

/// Changes that lead from a new namespace to a state near the one that answers: what Calico does,
/// with a step missing now and then, a twist or two that bring a rare condition into play, and up
/// to eight changes more, anywhere among them.
pub fn host_changes(offer: Offer) -> impl Strategy<Value = Vec<Mutation>> {
    let steps = steps();
    let kept = prop::collection::vec(prop::bool::weighted(1.0 - MISSING), steps.len());
    let before = prop::collection::vec(change(offer), 0..2);
    let twists = prop_oneof![
        2 => Just(Vec::new()),
        3 => prop::collection::vec(twist(), 1),
        1 => prop::collection::vec(twist(), 2),
    ];
    let strewn = prop_oneof![
        3 => prop::collection::vec((any::<Index>(), change(offer)), 0..=2),
        4 => prop::collection::vec((any::<Index>(), change(offer)), 3..=STREWN_MAX),
    ];
    // a namespace in which nobody ever brought `lo` up has no local table before its first address
    let lo_up = prop::bool::weighted(0.94);
    (kept, before, twists, strewn, lo_up).prop_map(move |(kept, before, twists, strewn, lo_up)| {
        let steps = steps.iter().zip(kept).filter(|(_, kept)| *kept).map(|(step, _)| step.clone());
        let mut rest: Vec<Mutation> = steps.chain(twists.into_iter().flatten()).collect();
        for (at, change) in strewn {
            rest.insert(at.index(rest.len() + 1), change);
        }
        let early = before.into_iter().filter(|c| matches!(c, Mutation::Sysctl { .. }));
        let lo = Mutation::LinkSet { dev: IfName::LO, change: LinkChange::Up(true) };
        let interfaces = interfaces().into_iter().filter(|change| lo_up || *change != lo);
        early.chain(interfaces).chain(rest).collect()
    })
}

/// A state, and two to five requests.
pub fn host_case(offer: Offer) -> impl Strategy<Value = HostCase> {
    (host_changes(offer), prop::collection::vec(ask(), 2..6)).prop_map(|(changes, asks)| HostCase {
        changes,
        asks,
        solicits: Vec::new(),
    })
}

/// A state of IPv6, and two to six solicitations.
pub fn host_case6() -> impl Strategy<Value = HostCase> {
    (host_changes6(), prop::collection::vec(solicitation(), 2..7)).prop_map(|(changes, solicits)| HostCase {
        changes,
        asks: Vec::new(),
        solicits,
    })
}
