//! A [`Mutation`] played on a real namespace, through rtnetlink, `/proc/sys` and nf_tables.

mod error;

pub use error::StageError;

use crate::addr::{IfName, Mac};
use crate::host::conf::{Global, SysctlKey};
use crate::host::hook::HookPoint;
use crate::host::{
    AddrDelBy, Family, HopSpec, LinkChange, LinkKind, Mutation, Op, RouteFilter, RouteKind, RouteSpec,
    RtScope, RuleAction, RuleSpec, SetNud,
};
use ipnet::IpNet;
use netns_lab::nft::{ArpDrop, ArpHook, ArpOperation, InstalledArpDrop};
use netns_lab::rtnl::{self, Address, Dev, Neighbour, NudState, Route, VethEnd};
use netns_lab::{MacAddr, Netns, Rtnl, RtnlError, SysctlError};
use std::net::IpAddr;

/// There is no such file.
const ENOENT: i32 = 2;

/// Why a change could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The kernel refused it.
    #[error("`{command}` is refused: {source}")]
    Netlink {
        /// The change as a command line.
        command: String,
        /// In the words of rtnetlink.
        source: RtnlError,
    },
    /// The sysctl could not be written.
    #[error("`{command}`: {source}")]
    Sysctl {
        /// The change as a command line.
        command: String,
        /// What the system said to the write.
        source: SysctlError,
    },
    /// The filter could not be changed.
    #[error("`{command}`: {why}")]
    Filter {
        /// The change as a command line.
        command: String,
        /// What nf_tables said.
        why: String,
    },
    /// There is no such routing table, which ip(8) complains of.
    #[error("`{command}` is refused: there is no such routing table")]
    NoTable {
        /// The change.
        command: String,
    },
    /// The kernel could not be asked whether there is such a table.
    #[error("`{command}`: {source}")]
    Table {
        /// The change.
        command: String,
        /// Why.
        source: std::io::Error,
    },
    /// A real kernel has no such change.
    #[error("`{command}` cannot be played on a real kernel: {why}")]
    NotHere {
        /// The change as a command line.
        command: String,
        /// What a kernel has instead.
        why: &'static str,
    },
}

impl ApplyError {
    /// The kernel's error number, where it was the kernel that refused.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match self {
            ApplyError::Netlink { source, .. } => source.errno().map(netns_lab::Errno::raw),
            ApplyError::NoTable { .. } => Some(ENOENT),
            ApplyError::Sysctl { source: SysctlError::Write { source, .. }, .. } => source.raw_os_error(),
            _ => None,
        }
    }
}

/// A namespace with the handle to change it, and the filters put into it.
pub struct RealNamespace<'a> {
    /// The namespace.
    pub netns: &'a Netns,
    /// Its netlink handle.
    pub rtnl: &'a Rtnl,
    /// Filters put in, so that they can be taken out.
    pub filters: &'a mut Vec<(Mutation, InstalledArpDrop)>,
}

/// Makes one change in a namespace.
pub async fn apply(place: &mut RealNamespace<'_>, change: &Mutation) -> Result<(), ApplyError> {
    let netlink = |done: Result<(), RtnlError>| {
        done.map_err(|source| ApplyError::Netlink { command: change.to_string(), source })
    };
    let not_here = |why| Err(ApplyError::NotHere { command: change.to_string(), why });
    let rtnl = place.rtnl;
    match change {
        Mutation::Sysctl { key, value } => sysctl(place.netns, change, *key, *value).await,
        Mutation::LinkAdd { name, kind, mac } => netlink(link_add(rtnl, *name, *kind, *mac).await),
        Mutation::LinkDel { dev } => netlink(rtnl.delete_link(dev.as_str()).await),
        Mutation::LinkSet { dev, change: what } => match link_change(*what) {
            Some(what) => netlink(rtnl.change_link(dev.as_str(), &what).await),
            None => not_here("the carrier of a real device follows from its other end"),
        },
        Mutation::AddrAdd { dev, net, scope, nodad, broadcast, terms } => {
            let mut address = Address::new(dev.as_str(), *net);
            if let Some(scope) = scope {
                address = address.scope(scope_of(*scope));
            }
            if let Some(broadcast) = broadcast {
                address = address.broadcast(*broadcast);
            }
            if *nodad && matches!(net, IpNet::V6(_)) {
                address = address.no_dad();
            }
            address.peer = terms.peer.map(IpAddr::V4);
            address.no_prefix_route = terms.noprefixroute;
            address.metric = Some(terms.metric).filter(|m| *m != 0);
            netlink(if terms.replace {
                rtnl.replace_address(&address).await
            } else {
                rtnl.add_address(&address).await
            })
        }
        Mutation::AddrDel { dev, net, by } => {
            let mut address = Address::new(dev.as_str(), *net);
            netlink(match by {
                AddrDelBy::Prefix => rtnl.delete_address(&address).await,
                AddrDelBy::Peer(peer) => {
                    address.peer = Some(IpAddr::V4(*peer));
                    rtnl.delete_address(&address).await
                }
                AddrDelBy::Address => rtnl.delete_address_of(&Dev::from(dev.as_str()), net.addr()).await,
            })
        }
        Mutation::AddrFlush { dev, family } => netlink(addr_flush(rtnl, *dev, *family).await),
        Mutation::Route { op, spec } => netlink(route(rtnl, *op, spec).await),
        Mutation::RouteFlush(filter) => {
            let table = filter.table.unwrap_or(rtnl::table::MAIN);
            if let Some(dev) = filter.dev {
                // iproute2 looks the name up first
                netlink(rtnl.link(dev.as_str()).await.map(drop))?;
            }
            match place.netns.has_route_table(filter.family == Family::Inet6, table) {
                Ok(true) => netlink(route_flush(rtnl, filter).await),
                Ok(false) => Err(ApplyError::NoTable { command: change.to_string() }),
                Err(source) => Err(ApplyError::Table { command: change.to_string(), source }),
            }
        }
        Mutation::RuleFlush(family) => netlink(rule_flush(rtnl, *family).await),
        Mutation::Rule { op, rule } => {
            let rule = rule_of(rule, *op);
            netlink(match op {
                Op::Del => rtnl.delete_rule(&rule).await,
                _ => rtnl.add_rule(&rule).await,
            })
        }
        Mutation::Neigh { op, dev, ip, lladdr, nud, extern_learn } => {
            let mac = mac_of(lladdr.unwrap_or(Mac::ZERO));
            let mut entry = Neighbour::new(dev.as_str(), *ip, mac, nud_of(*nud));
            entry.mac = lladdr.map(mac_of);
            entry.extern_learn = *extern_learn;
            netlink(neigh(rtnl, *op, &entry).await)
        }
        Mutation::NeighFlush { dev } => netlink(flush(rtnl, *dev).await),
        Mutation::Proxy { op, dev, ip } => {
            let mut entry = Neighbour::proxy(dev.as_str(), *ip);
            // as ip(8) does: others are lost with the carrier (pneigh_ifdown_and_unlock)
            entry.state = NudState::Permanent;
            netlink(match op {
                Op::Del => rtnl.delete_neighbour(&entry).await,
                _ => rtnl.replace_neighbour(&entry).await,
            })
        }
        Mutation::Hook { op, .. } => filter(place, *op, change),
        Mutation::NeighboursElsewhere(_) => not_here("the lab does not fill other namespaces' tables"),
        Mutation::Kernel(_) => not_here("a real kernel does it itself"),
    }
}

async fn sysctl(netns: &Netns, change: &Mutation, key: SysctlKey, value: i32) -> Result<(), ApplyError> {
    // a write takes a moment on the namespace's thread; nothing else waits for this task then
    tokio::task::yield_now().await;
    let missing = |e: &SysctlError| matches!(e, SysctlError::Write { source, .. } if source.raw_os_error() == Some(ENOENT));
    match netns.sysctl().poke(key.path().as_str(), value) {
        // what a kernel does not have yet it does not do, which is what 0 says
        Err(e)
            if value == 0
                && matches!(key, SysctlKey::Global(Global::TcpSynLinearTimeouts))
                && missing(&e) =>
        {
            Ok(())
        }
        done => done.map_err(|source| ApplyError::Sysctl { command: change.to_string(), source }),
    }
}

pub(crate) fn mac_of(mac: Mac) -> MacAddr {
    MacAddr::new(mac.0)
}

async fn link_add(rtnl: &Rtnl, name: IfName, kind: LinkKind, mac: Option<Mac>) -> Result<(), RtnlError> {
    if kind == LinkKind::Bridge {
        rtnl.add_bridge(name.as_str()).await?;
        return match mac {
            Some(mac) => rtnl.change_link(name.as_str(), &rtnl::LinkChange::new().mac(mac_of(mac))).await,
            None => Ok(()),
        };
    }
    // a plain device is half a veth pair whose other half stays beside it
    let mut end = VethEnd::new(name.as_str());
    if let Some(mac) = mac {
        end = end.mac(mac_of(mac));
    }
    let peer = name_beside(name);
    rtnl.add_veth(&end, &VethEnd::new(peer.as_str())).await?;
    rtnl.set_up(peer.as_str()).await
}

/// A name for the other half of a pair: what the kernel allows of it, and unlike its neighbours'.
fn name_beside(name: IfName) -> String {
    let sum =
        name.as_str().bytes().fold(0x811c_9dc5_u32, |h, b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193));
    format!("peer-{sum:08x}")
}

fn link_change(what: LinkChange) -> Option<rtnl::LinkChange> {
    let change = rtnl::LinkChange::new();
    Some(match what {
        LinkChange::Up(up) => change.up(up),
        LinkChange::Address(mac) => change.mac(mac_of(mac)),
        LinkChange::Arp(on) => change.arp(on),
        LinkChange::Promisc(on) => change.promiscuous(on),
        LinkChange::Master(Some(master)) => change.master(master.as_str()),
        LinkChange::Master(None) => change.no_master(),
        LinkChange::Name(name) => change.name(name.as_str()),
        LinkChange::Carrier(_) => return None,
    })
}

fn scope_of(scope: RtScope) -> rtnl::Scope {
    rtnl::Scope::from(scope.0)
}

fn kind_of(kind: RouteKind) -> rtnl::RouteKind {
    match kind {
        RouteKind::Unicast => rtnl::RouteKind::Unicast,
        RouteKind::Local => rtnl::RouteKind::Local,
        RouteKind::Broadcast => rtnl::RouteKind::Broadcast,
        RouteKind::Unreachable => rtnl::RouteKind::Unreachable,
        RouteKind::Prohibit => rtnl::RouteKind::Prohibit,
        RouteKind::Blackhole => rtnl::RouteKind::Blackhole,
        RouteKind::Throw => rtnl::RouteKind::Throw,
    }
}

async fn route(rtnl: &Rtnl, op: Op, spec: &RouteSpec) -> Result<(), RtnlError> {
    let mut route = Route::new(kind_of(spec.kind), spec.dst);
    if op == Op::Del && spec.kind == RouteKind::Unicast {
        // iproute2 names no kind unless told, and the kernel then takes any (fib_table_delete)
        route.kind = rtnl::RouteKind::Other(0);
    }
    if let [hop] = &spec.hops[..] {
        if let Some(via) = hop.via {
            route = route.via(via);
        }
        if let Some(dev) = hop.dev {
            route = route.dev(dev.as_str());
        }
        if hop.onlink {
            route = route.onlink();
        }
    } else {
        for hop in &spec.hops {
            route = route.next_hop(next_hop(hop));
        }
        // iproute2 takes several ways as leading far, gateways or not
        if spec.kind == RouteKind::Unicast && spec.hops.len() > 1 && op != Op::Del {
            route = route.scope(rtnl::Scope::Global);
        }
    }
    if let Some(table) = spec.table {
        route = route.table(table);
    }
    if let Some(metric) = spec.metric {
        route = route.metric(metric);
    }
    if let Some(scope) = spec.scope {
        route = route.scope(scope_of(scope));
    }
    if let Some(proto) = spec.proto {
        route = route.protocol(rtnl::RouteProtocol(proto.0));
    }
    if let Some(src) = spec.src {
        route = route.preferred_source(src);
    }
    match op {
        Op::Add => rtnl.add_route(&route).await,
        Op::Replace => rtnl.replace_route(&route).await,
        Op::Change => rtnl.change_route(&route).await,
        Op::Append => rtnl.append_route(&route).await,
        Op::Prepend => rtnl.prepend_route(&route).await,
        Op::Del => rtnl.delete_route(&route).await,
    }
}

fn next_hop(hop: &HopSpec) -> rtnl::NextHop {
    let dev = hop.dev.map(|d| d.as_str().to_owned());
    let next = match (hop.via, dev) {
        (Some(via), Some(dev)) => rtnl::NextHop::via(via).over(dev),
        (Some(via), None) => rtnl::NextHop::via(via),
        (None, dev) => rtnl::NextHop::dev(dev.unwrap_or_default()),
    };
    rtnl::NextHop { onlink: hop.onlink, ..next.weight(hop.weight) }
}

fn rule_of(spec: &RuleSpec, op: Op) -> rtnl::Rule {
    let action = match spec.action {
        Some(RuleAction::Lookup(table)) => rtnl::RuleAction::Table(table),
        Some(RuleAction::Unreachable) => rtnl::RuleAction::Unreachable,
        Some(RuleAction::Blackhole) => rtnl::RuleAction::Blackhole,
        Some(RuleAction::Prohibit) => rtnl::RuleAction::Prohibit,
        Some(RuleAction::Goto(priority)) => rtnl::RuleAction::Goto(priority),
        Some(RuleAction::Nop) => rtnl::RuleAction::Nop,
        Some(RuleAction::L3mdev) => rtnl::RuleAction::L3mdev,
        // ip(8) names no action when it deletes, and the kernel then takes any (rule_find)
        None if op == Op::Del => rtnl::RuleAction::Other(0),
        None => rtnl::RuleAction::Table(rtnl::table::MAIN),
    };
    rtnl::Rule {
        v6: spec.family == Family::Inet6,
        priority: spec.priority,
        from: spec.from,
        to: spec.to,
        iif: spec.iif.map(|name| name.to_string()),
        mark: spec.fwmark,
        invert: spec.invert,
        suppress_prefix_len: spec.suppress_prefixlength.map(u32::from),
        suppress_ifgroup: spec.suppress_ifgroup,
        oif: spec.more.oif.map(|name| name.to_string()),
        tos: spec.more.tos,
        uids: spec.more.uids,
        ip_proto: spec.more.ipproto,
        sport: spec.more.sport,
        dport: spec.more.dport,
        ..rtnl::Rule::v4(action)
    }
}

/// `ip rule flush`: all that have a priority in the kernel's list, which leaves out 0.
async fn rule_flush(rtnl: &Rtnl, family: Family) -> Result<(), RtnlError> {
    for rule in rtnl.rules().await? {
        if rule.v6 == (family == Family::Inet6) && rule.priority != Some(0) {
            rtnl.delete_rule(&rule).await?;
        }
    }
    Ok(())
}

/// `ip addr flush dev`: a secondary that is promoted meanwhile is met in the next round.
async fn addr_flush(rtnl: &Rtnl, dev: IfName, family: Option<Family>) -> Result<(), RtnlError> {
    // iproute2 looks the name up first
    rtnl.link(dev.as_str()).await?;
    loop {
        let all = rtnl.addresses().await?;
        let goes = |a: &&Address| {
            let of = if a.net.addr().is_ipv6() { Family::Inet6 } else { Family::Inet };
            a.dev.name() == Some(dev.as_str()) && family.is_none_or(|f| f == of)
        };
        let Some(first) = all.iter().find(goes) else { return Ok(()) };
        rtnl.delete_address(first).await?;
    }
}

/// `ip route flush`: what is listed and fits is deleted.
async fn route_flush(rtnl: &Rtnl, filter: &RouteFilter) -> Result<(), RtnlError> {
    let six = filter.family == Family::Inet6;
    let table = filter.table.unwrap_or(rtnl::table::MAIN);
    let mut routes = rtnl.routes().await?;
    routes.retain(|r| r.table == table && r.destination.addr().is_ipv6() == six);
    routes.retain(|r| {
        // a route of several ways has no device of its own
        let out_of = |dev: IfName| match &r.next_hops[..] {
            [hop] => hop.dev.as_ref().and_then(rtnl::Dev::name) == Some(dev.as_str()),
            _ => false,
        };
        filter.dev.is_none_or(out_of)
            && filter.proto.is_none_or(|p| r.protocol == Some(rtnl::RouteProtocol(p.0)))
            && filter.dst.is_none_or(|dst| dst == r.destination)
    });
    for route in &routes {
        rtnl.delete_route(route).await?;
    }
    Ok(())
}

fn nud_of(nud: SetNud) -> NudState {
    match nud {
        SetNud::Permanent => NudState::Permanent,
        SetNud::Noarp => NudState::NoArp,
        SetNud::Reachable => NudState::Reachable,
        SetNud::Stale => NudState::Stale,
        SetNud::Delay => NudState::Delay,
        SetNud::Probe => NudState::Probe,
        SetNud::Failed => NudState::Failed,
    }
}

async fn neigh(rtnl: &Rtnl, op: Op, entry: &Neighbour) -> Result<(), RtnlError> {
    match op {
        Op::Add => rtnl.add_neighbour(entry).await,
        Op::Replace => rtnl.replace_neighbour(entry).await,
        Op::Change | Op::Append | Op::Prepend => rtnl.change_neighbour(entry).await,
        Op::Del => rtnl.delete_neighbour(entry).await,
    }
}

/// `ip neigh flush dev`: every entry but the PERMANENT and NOARP ones.
async fn flush(rtnl: &Rtnl, dev: IfName) -> Result<(), RtnlError> {
    for entry in rtnl.neighbours().await? {
        let kept = matches!(entry.state, NudState::Permanent | NudState::NoArp);
        if entry.dev.name() == Some(dev.as_str()) && !kept {
            match rtnl.delete_neighbour(&entry).await {
                Err(e) if e.not_found() => {}
                done => done?,
            }
        }
    }
    Ok(())
}

fn filter(place: &mut RealNamespace<'_>, op: Op, change: &Mutation) -> Result<(), ApplyError> {
    let fail = |why: String| ApplyError::Filter { command: change.to_string(), why };
    let Mutation::Hook { hook, .. } = change else { return Ok(()) };
    if op == Op::Del {
        let same = |m: &Mutation| matches!(m, Mutation::Hook { hook: other, .. } if other == hook);
        let at = place.filters.iter().position(|(m, _)| same(m));
        let at = at.ok_or_else(|| fail("no such rule was put in".into()))?;
        return place.filters.swap_remove(at).1.remove(place.netns).map_err(|e| fail(e.to_string()));
    }
    let point = match hook.point {
        HookPoint::Input => ArpHook::Input,
        HookPoint::Output => ArpHook::Output,
    };
    let mut drop = ArpDrop::new(point, hook.dev.map_or_else(|| "*".to_owned(), |dev| dev.to_string()));
    drop = match hook.op {
        Some(1) => drop.operation(ArpOperation::Request),
        Some(_) => drop.operation(ArpOperation::Reply),
        None => drop,
    };
    if let Some(sender) = hook.sender {
        drop = drop.sender(sender);
    }
    if let Some(target) = hook.target {
        drop = drop.target(target);
    }
    let installed = drop.install(place.netns).map_err(|e| fail(e.to_string()))?;
    place.filters.push((change.clone(), installed));
    Ok(())
}
