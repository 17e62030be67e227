//! What it takes to bring the model of a namespace up to what its kernel has, table by table.

use super::look::{Look, mac, name};
use crate::addr::IfName;
use crate::host::{
    AddrDelBy, AddrTerms, Family, HopSpec, HostState, LinkChange, LinkKind, Mutation, Op, RouteKind,
    RouteSpec, RtProto, RtScope, Rule, RuleAction, RuleSpec, Selectors,
};
use ipnet::IpNet;
use netns_lab::rtnl;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

/// The table of local addresses, which the kernel keeps by itself.
const TABLE_LOCAL: u32 = rtnl::table::LOCAL;

pub(super) fn links(state: &HostState, look: &Look) -> Vec<Mutation> {
    let there: Vec<IfName> = look.links.iter().filter_map(name).collect();
    let gone = state.links().iter().map(crate::host::Link::name).filter(|n| !there.contains(n));
    let gone = gone.map(|dev| Mutation::LinkDel { dev });
    let new = look.links.iter().filter_map(|l| Some((name(l)?, l)));
    let new = new.filter(|(name, _)| state.link_named(*name).is_none()).map(|(name, link)| {
        let kind = match link.kind.as_deref() {
            Some("bridge") => LinkKind::Bridge,
            Some("veth") => LinkKind::Veth,
            _ => LinkKind::Ethernet,
        };
        Mutation::LinkAdd { name, kind, mac: Some(mac(link)) }
    });
    gone.chain(new).collect()
}

pub(super) fn attributes(state: &HostState, look: &Look) -> Vec<Mutation> {
    let mut changes = Vec::new();
    for (dev, link) in look.links.iter().filter_map(|l| Some((name(l)?, l))) {
        let Some(model) = state.link_named(dev) else { continue };
        let mut set = |change| changes.push(Mutation::LinkSet { dev, change });
        if dev != IfName::LO && model.mac() != mac(link) {
            set(LinkChange::Address(mac(link)));
        }
        let master = link.master_index.and_then(|index| look.indexed(index)).and_then(name);
        if model.master().map(|index| state.name_of(index)) != master {
            set(LinkChange::Master(master));
        }
        if model.is_noarp() != link.no_arp && dev != IfName::LO {
            set(LinkChange::Arp(!link.no_arp));
        }
        if model.is_up() != link.up {
            set(LinkChange::Up(link.up));
        }
        if link.up && model.has_carrier() != link.running {
            set(LinkChange::Carrier(link.running));
        }
    }
    changes
}

/// An address that the kernel does not make by itself.
fn is_given(net: &IpNet) -> bool {
    match net {
        IpNet::V4(_) => true,
        IpNet::V6(net) => !net.addr().is_unicast_link_local(),
    }
}

/// The far end of an IPv4 address.
fn peer_of(address: &rtnl::Address) -> Option<Ipv4Addr> {
    match address.peer {
        Some(IpAddr::V4(peer)) => Some(peer),
        _ => None,
    }
}

pub(super) fn addresses(state: &HostState, look: &Look) -> Vec<Mutation> {
    let dev_of = |a: &rtnl::Address| a.dev.name().and_then(|name| name.parse::<IfName>().ok());
    let there: Vec<(IfName, &rtnl::Address)> =
        look.addresses.iter().filter(|a| is_given(&a.net)).filter_map(|a| Some((dev_of(a)?, a))).collect();
    let mut changes = Vec::new();
    let mut known: Vec<(IfName, IpNet, Option<Ipv4Addr>)> = Vec::new();
    for link in state.links() {
        let nets = link.addrs().iter().map(|a| (IpNet::V4(a.net), a.peer));
        let nets = nets.chain(link.addrs6().iter().map(|a| (IpNet::V6(a.net), None)));
        known.extend(nets.filter(|(net, _)| is_given(net)).map(|(net, peer)| (link.name(), net, peer)));
    }
    for (dev, net, peer) in &known {
        if !there.iter().any(|(d, a)| d == dev && a.net == *net && peer_of(a) == *peer) {
            changes.push(Mutation::AddrDel {
                dev: *dev,
                net: *net,
                by: peer.map_or(AddrDelBy::Prefix, AddrDelBy::Peer),
            });
        }
    }
    for (dev, a) in there {
        if state.link_named(dev).is_some() && !known.contains(&(dev, a.net, peer_of(a))) {
            changes.push(Mutation::AddrAdd {
                dev,
                net: a.net,
                scope: Some(RtScope(u8::from(a.scope))),
                nodad: a.no_dad || !a.tentative,
                broadcast: a.broadcast,
                terms: AddrTerms {
                    replace: false,
                    peer: peer_of(a),
                    noprefixroute: a.no_prefix_route && a.net.addr().is_ipv4(),
                    metric: a.metric.unwrap_or(0),
                },
            });
        }
    }
    changes
}

/// A route of a kernel, as the model would be asked for it; `None` for kinds that it has not.
fn spec(route: &rtnl::Route) -> Option<RouteSpec> {
    let hops = route.next_hops.iter().map(|hop| {
        let dev = hop.dev.as_ref().and_then(|dev| dev.name()).and_then(|name| name.parse().ok());
        HopSpec { via: hop.gateway, dev, onlink: hop.onlink, weight: hop.weight.max(1) }
    });
    let scope = route.scope.map(|scope| RtScope(u8::from(scope)));
    Some(RouteSpec {
        kind: RouteKind::by_name(&route.kind.to_string())?,
        dst: route.destination,
        table: Some(route.table),
        metric: Some(route.metric.unwrap_or(0)),
        scope: scope.filter(|_| route.destination.addr().is_ipv4()),
        proto: Some(RtProto(route.protocol.map_or(RtProto::BOOT.0, |p| p.0))),
        src: route.preferred_source,
        hops: hops.collect(),
    })
}

/// The model's routes in the same words.
fn known_routes(state: &HostState) -> Vec<RouteSpec> {
    let mut known = Vec::new();
    for (table, routes) in state.tables().iter().filter(|(table, _)| *table != TABLE_LOCAL) {
        for route in routes {
            let hops = route.hops.iter().map(|hop| HopSpec {
                via: hop.via.map(IpAddr::V4),
                dev: Some(state.name_of(hop.dev)),
                onlink: false,
                weight: hop.weight,
            });
            known.push(RouteSpec {
                kind: route.kind,
                dst: route.dst.into(),
                table: Some(*table),
                metric: Some(route.metric),
                scope: Some(route.scope),
                proto: Some(route.proto),
                src: route.src.map(IpAddr::V4),
                hops: hops.collect(),
            });
        }
    }
    for route in state.routes6() {
        let dev = route.dev.map(|dev| state.name_of(dev));
        let hop = HopSpec { via: route.via.map(IpAddr::V6), dev, onlink: false, weight: 1 };
        known.push(RouteSpec {
            table: Some(rtnl::table::MAIN),
            metric: Some(route.metric),
            proto: Some(route.proto),
            hops: SmallVec::from_iter([hop]),
            ..RouteSpec::reject(route.kind, route.dst)
        });
    }
    known
}

/// Whether it is one that the kernel makes of an address, in IPv6: the model's own differ in what they
/// leave out.
fn is_made6(route: &RouteSpec) -> bool {
    /// `RTPROT_RA`.
    const BY_ADVERTISEMENT: u8 = 9;
    route.dst.addr().is_ipv6() && route.proto.is_some_and(|p| p == RtProto::KERNEL || p.0 == BY_ADVERTISEMENT)
}

/// What tells one route from another.
fn same(a: &RouteSpec, b: &RouteSpec) -> bool {
    let hops = |r: &RouteSpec| r.hops.iter().map(|hop| (hop.via, hop.dev)).collect::<Vec<_>>();
    (a.kind, a.dst, a.table, a.metric, a.src) == (b.kind, b.dst, b.table, b.metric, b.src)
        && (a.scope == b.scope || a.dst.addr().is_ipv6())
        && (hops(a) == hops(b) || a.kind.is_reject())
}

fn by_destination(routes: &[RouteSpec]) -> BTreeMap<IpNet, Vec<&RouteSpec>> {
    let mut map: BTreeMap<IpNet, Vec<&RouteSpec>> = BTreeMap::new();
    for route in routes {
        map.entry(route.dst).or_default().push(route);
    }
    map
}

pub(super) fn routes(state: &HostState, look: &Look) -> Vec<Mutation> {
    let there = look.routes.iter().filter(|r| r.table != TABLE_LOCAL).filter_map(spec);
    let there: Vec<RouteSpec> = there.filter(|r| !is_made6(r) && !is_multicast(&r.dst)).collect();
    let known: Vec<RouteSpec> = known_routes(state).into_iter().filter(|r| !is_made6(r)).collect();
    let (in_kernel, in_model) = (by_destination(&there), by_destination(&known));
    let has = |routes: &BTreeMap<IpNet, Vec<&RouteSpec>>, route: &RouteSpec| {
        routes.get(&route.dst).is_some_and(|there| there.iter().any(|it| same(it, route)))
    };
    let gone = known.iter().filter(|k| !has(&in_kernel, k));
    let gone = gone.map(|spec| Mutation::Route { op: Op::Del, spec: spec.clone() });
    let mut new: Vec<&RouteSpec> = there.iter().filter(|t| !has(&in_model, t)).collect();
    // gateways want to be on a link first
    new.sort_by_key(|spec| spec.hops.iter().any(|hop| hop.via.is_some()));
    let new = new.into_iter().map(|spec| Mutation::Route { op: Op::Add, spec: spec.clone() });
    gone.chain(new).collect()
}

fn is_multicast(net: &IpNet) -> bool {
    net.addr().is_multicast()
}

fn rule(rule: &rtnl::Rule) -> Option<Rule> {
    let action = match rule.action {
        rtnl::RuleAction::Table(table) => RuleAction::Lookup(table),
        rtnl::RuleAction::Unreachable => RuleAction::Unreachable,
        rtnl::RuleAction::Blackhole => RuleAction::Blackhole,
        rtnl::RuleAction::Prohibit => RuleAction::Prohibit,
        rtnl::RuleAction::Goto(priority) => RuleAction::Goto(priority),
        rtnl::RuleAction::Nop => RuleAction::Nop,
        rtnl::RuleAction::L3mdev => RuleAction::L3mdev,
        rtnl::RuleAction::Other(_) => return None,
    };
    Some(Rule {
        invert: rule.invert,
        from: rule.from,
        to: rule.to,
        iif: rule.iif.as_ref().and_then(|name| name.parse().ok()),
        fwmark: rule.mark,
        more: Selectors {
            tos: rule.tos,
            oif: rule.oif.as_ref().and_then(|name| name.parse().ok()),
            uids: rule.uids,
            ipproto: rule.ip_proto,
            sport: rule.sport,
            dport: rule.dport,
        },
        suppress_prefixlength: rule.suppress_prefix_len.and_then(|n| u8::try_from(n).ok()),
        suppress_ifgroup: rule.suppress_ifgroup,
        ..Rule::plain(rule.priority.unwrap_or(0), action)
    })
}

pub(super) fn rules(state: &HostState, look: &Look) -> Vec<Mutation> {
    let mut changes = Vec::new();
    for (family, known) in [(Family::Inet, state.rules()), (Family::Inet6, state.rules6())] {
        let of_family = look.rules.iter().filter(|r| r.v6 == (family == Family::Inet6));
        let there: Vec<Rule> = of_family.filter_map(rule).collect();
        let change = |op, rule: &Rule| Mutation::Rule { op, rule: RuleSpec::of(family, rule) };
        let gone = known.iter().filter(|k| !there.contains(k));
        changes.extend(gone.map(|rule| change(Op::Del, rule)));
        let new = there.iter().filter(|t| !known.contains(t));
        changes.extend(new.map(|rule| change(Op::Add, rule)));
    }
    changes
}

pub(super) fn proxies(state: &HostState, look: &Look) -> Vec<Mutation> {
    let dev_of = |n: &rtnl::Neighbour| n.dev.name().and_then(|name| name.parse::<IfName>().ok());
    let there: Vec<(IfName, IpAddr)> =
        look.proxies.iter().filter_map(|n| Some((dev_of(n)?, n.address))).collect();
    let known: Vec<(IfName, IpAddr)> = state.proxies().iter().map(|p| (state.name_of(p.dev), p.ip)).collect();
    let change = |op, (dev, ip): &(IfName, IpAddr)| Mutation::Proxy { op, dev: *dev, ip: *ip };
    let gone = known.iter().filter(|k| !there.contains(k)).map(|k| change(Op::Del, k));
    gone.chain(there.iter().filter(|t| !known.contains(t)).map(|t| change(Op::Add, t))).collect()
}
