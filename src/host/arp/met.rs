//! What an explanation says of the values a condition met: switches under their sysctl names,
//! routes as `ip route` prints them.

use crate::host::command::Dst;
use crate::host::fib::{AddrType, FibHit, FibMiss};
use crate::host::state::HostState;
use crate::host::state::conf::{Conf4, Global, NeighVar};
use crate::host::state::hook::HookPoint;
use crate::host::state::link::{IfIndex, Link};
use crate::host::state::route::{NextHop, Route};
use crate::wire::Cast;
use core::fmt::Write;
use std::net::Ipv4Addr;

pub(in crate::host) fn interface(state: &HostState, dev: IfIndex) -> String {
    match state.link(dev) {
        Some(link) => link.name().to_string(),
        None => format!("no interface number {}", dev.0),
    }
}

pub(in crate::host) fn up(link: &Link) -> String {
    format!("{} is {}", link.name(), if link.is_up() { "up" } else { "down" })
}

pub(in crate::host) fn master(state: &HostState, link: &Link) -> String {
    match link.master() {
        Some(bridge) => format!("{} is a port of {}", link.name(), state.name_of(bridge)),
        None => format!("{} is no port", link.name()),
    }
}

pub(in crate::host) fn arp_flag(link: &Link) -> String {
    format!("{} has ARP {}", link.name(), if link.is_noarp() { "off" } else { "on" })
}

pub(in crate::host) fn cast(cast: Cast, link: &Link) -> String {
    match cast {
        Cast::Host => format!("to {}", link.mac()),
        Cast::Broadcast => "to everybody".into(),
        Cast::Multicast => "to a group".into(),
        Cast::OtherHost => format!("to another MAC than {}", link.mac()),
    }
}

pub(in crate::host) fn hooks(state: &HostState, link: &Link, point: HookPoint) -> String {
    let fits = |h: &&crate::host::state::hook::ArpHook| {
        h.point == point && h.dev.is_none_or(|d| crate::host::hook::names(d, link.name()))
    };
    let count = state.hooks().iter().filter(fits).count();
    format!("{count} {point} rules concern {}", link.name())
}

pub(in crate::host) fn header(hrd: u16, pro: u16, op: u16) -> String {
    format!("hardware {hrd}, protocol {pro:#06x}, operation {op}")
}

pub(in crate::host) fn gratuitous(state: &HostState, link: &Link, spa: Ipv4Addr, tpa: Ipv4Addr) -> String {
    if spa == tpa { conf4(state, link, Conf4::DropGratuitousArp) } else { format!("{spa} asks for {tpa}") }
}

pub(in crate::host) fn addr_type(ip: Ipv4Addr, kind: AddrType) -> String {
    let what = match kind {
        AddrType::Unicast => "somebody else's",
        AddrType::Local => "the host's own",
        AddrType::Broadcast => "a broadcast address",
        AddrType::Multicast => "a group",
    };
    format!("{ip} is {what}")
}

/// A switch: what counts, and what it is made of.
pub(in crate::host) fn conf4(state: &HostState, link: &Link, key: Conf4) -> String {
    let all = state
        .sysctl(&crate::host::state::conf::SysctlKey::Conf4(crate::host::state::conf::Scope::All, key))
        .unwrap_or(0);
    format!(
        "{} {} ({} {}, all {all})",
        key.name(),
        state.effective4(link, key),
        link.name(),
        link.conf4().get(key)
    )
}

/// A switch that only counts per interface.
pub(in crate::host) fn conf4_dev(link: &Link, key: Conf4) -> String {
    format!("net.ipv4.conf.{}.{} is {}", link.name(), key.name(), link.conf4().get(key))
}

pub(in crate::host) fn arp_filter(state: &HostState, link: &Link, spa: Ipv4Addr, tpa: Ipv4Addr) -> String {
    let mut text = conf4(state, link, Conf4::ArpFilter);
    if state.on4(link, Conf4::ArpFilter) {
        let way = match state.fib_lookup(&crate::host::fib::Flow::output(spa, tpa)) {
            Ok(hit) => hit_text(state, &hit),
            Err(miss) => miss_text(&miss),
        };
        let _ = write!(text, "; from {tpa} to {spa}: {way}");
    }
    text
}

pub(in crate::host) fn table(state: &HostState) -> String {
    let limit = state.global(Global::GcThresh3);
    format!("{} entries elsewhere, gc_thresh3 {limit}", state.neighbours_elsewhere())
}

pub(in crate::host) fn proxying(state: &HostState, link: &Link, tpa: Ipv4Addr, entry: bool) -> String {
    if entry {
        return format!("proxy entry for {tpa} on {}", link.name());
    }
    conf4(state, link, Conf4::ProxyArp)
}

pub(in crate::host) fn queue(link: &Link, at_once: bool) -> String {
    let delay = link.neigh4().get(NeighVar::ProxyDelay);
    if at_once {
        return format!("proxy_delay {delay}, answered at once");
    }
    let (waiting, limit) = (link.delayed_requests(), link.neigh4().get(NeighVar::ProxyQlen));
    format!("proxy_delay {delay}, {waiting} wait, proxy_qlen {limit}")
}

/// A route as `ip route` prints it, with its table.
pub(in crate::host) fn hit_text(state: &HostState, hit: &FibHit<'_>) -> String {
    format!("{} in table {}", route_text(state, hit.route), crate::host::command::Table(hit.table))
}

fn route_text(state: &HostState, route: &Route) -> String {
    let mut text = String::new();
    if route.kind != crate::host::RouteKind::Unicast {
        let _ = write!(text, "{} ", route.kind.name());
    }
    let _ = write!(text, "{}", Dst(route.dst.into()));
    for hop in &route.hops {
        hop_text(state, hop, route.hops.len() > 1, &mut text);
    }
    if route.metric != 0 {
        let _ = write!(text, " metric {}", route.metric);
    }
    text
}

fn hop_text(state: &HostState, hop: &NextHop, several: bool, text: &mut String) {
    if several {
        text.push_str(" nexthop");
    }
    if let Some(via) = hop.via {
        let _ = write!(text, " via {via}");
    }
    let _ = write!(text, " dev {}", state.name_of(hop.dev));
    if hop.linkdown {
        text.push_str(" linkdown");
    }
}

pub(in crate::host) fn miss_text(miss: &FibMiss) -> String {
    crate::host::arp::reason::MissText(miss).to_string()
}
