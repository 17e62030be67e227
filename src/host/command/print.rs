//! From [`Mutation`] to text.

use crate::host::apply::mutation::{
    AddrDelBy, Family, HookSpec, HopSpec, KernelChange, LinkChange, Mutation, Op, RouteFilter, RouteSpec,
    RuleSpec,
};
use crate::host::state::hook::HookPoint;
use crate::host::state::link::LinkKind;
use crate::host::state::route::{RouteKind, RuleAction, TABLE_DEFAULT, TABLE_LOCAL, TABLE_MAIN};
use core::fmt::{self, Display, Formatter};
use ipnet::IpNet;

impl Display for Op {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Op::Add => "add",
            Op::Replace => "replace",
            Op::Change => "change",
            Op::Append => "append",
            Op::Prepend => "prepend",
            Op::Del => "del",
        })
    }
}

impl Display for Mutation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Mutation::Sysctl { key, value } => write!(f, "sysctl -w {key}={value}"),
            Mutation::LinkAdd { name, kind, mac } => {
                write!(f, "ip link add {name}")?;
                if let Some(mac) = mac {
                    write!(f, " address {mac}")?;
                }
                f.write_str(match kind {
                    LinkKind::Veth => " type veth",
                    LinkKind::Bridge => " type bridge",
                    LinkKind::Ethernet | LinkKind::Loopback => " type ethernet",
                })
            }
            Mutation::LinkDel { dev } => write!(f, "ip link del {dev}"),
            Mutation::LinkSet { dev, change } => write!(f, "ip link set {dev} {change}"),
            Mutation::AddrAdd { dev, net, scope, nodad, broadcast, terms } => {
                let verb = if terms.replace { "replace" } else { "add" };
                match terms.peer {
                    Some(peer) => {
                        write!(f, "ip addr {verb} {} peer {peer}/{}", net.addr(), net.prefix_len())?;
                    }
                    None => write!(f, "ip addr {verb} {net}")?,
                }
                if let Some(b) = broadcast {
                    write!(f, " brd {b}")?;
                }
                if let Some(s) = scope {
                    write!(f, " scope {s}")?;
                }
                if terms.metric != 0 {
                    write!(f, " metric {}", terms.metric)?;
                }
                let flag = |on, word| if on { word } else { "" };
                write!(
                    f,
                    " dev {dev}{}{}",
                    flag(*nodad, " nodad"),
                    flag(terms.noprefixroute, " noprefixroute")
                )
            }
            Mutation::AddrDel { dev, net, by } => match by {
                AddrDelBy::Prefix => write!(f, "ip addr del {net} dev {dev}"),
                AddrDelBy::Peer(peer) => {
                    write!(f, "ip addr del {} peer {peer}/{} dev {dev}", net.addr(), net.prefix_len())
                }
                AddrDelBy::Address => write!(f, "ip addr del {} dev {dev}", net.addr()),
            },
            Mutation::AddrFlush { dev, family } => write!(f, "ip {}addr flush dev {dev}", option(*family)),
            Mutation::Route { op, spec } => route(f, *op, spec),
            Mutation::RouteFlush(filter) => write!(f, "ip {}route flush{filter}", six(filter.family)),
            Mutation::Rule { op, rule } => write!(f, "ip {}rule {op}{rule}", six(rule.family)),
            Mutation::RuleFlush(family) => write!(f, "ip {}rule flush", six(*family)),
            Mutation::Neigh { op: Op::Del, dev, ip, .. } => write!(f, "ip neigh del {ip} dev {dev}"),
            Mutation::Neigh { op, dev, ip, lladdr, nud, extern_learn } => {
                write!(f, "ip neigh {op} {ip} dev {dev}")?;
                if let Some(mac) = lladdr {
                    write!(f, " lladdr {mac}")?;
                }
                write!(f, " nud {}{}", nud.name(), if *extern_learn { " extern_learn" } else { "" })
            }
            Mutation::NeighFlush { dev } => write!(f, "ip neigh flush dev {dev}"),
            Mutation::Proxy { op, dev, ip } => write!(f, "ip neigh {op} proxy {ip} dev {dev}"),
            Mutation::Hook { op, hook } => nft(f, *op, hook),
            Mutation::NeighboursElsewhere(n) => write!(f, "lab neighbours-elsewhere {n}"),
            Mutation::Kernel(KernelChange::DadDone(dev, net)) => {
                write!(f, "(kernel) {net} on {dev} is no duplicate")
            }
            Mutation::Kernel(KernelChange::DadFailed(dev, net)) => {
                write!(f, "(kernel) {net} on {dev} is a duplicate")
            }
        }
    }
}

impl Display for LinkChange {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let word = |on: &bool| if *on { "on" } else { "off" };
        match self {
            LinkChange::Up(on) => f.write_str(if *on { "up" } else { "down" }),
            LinkChange::Address(mac) => write!(f, "address {mac}"),
            LinkChange::Arp(on) => write!(f, "arp {}", word(on)),
            LinkChange::Promisc(on) => write!(f, "promisc {}", word(on)),
            LinkChange::Master(Some(m)) => write!(f, "master {m}"),
            LinkChange::Master(None) => f.write_str("nomaster"),
            LinkChange::Carrier(on) => write!(f, "carrier {}", word(on)),
            LinkChange::Name(n) => write!(f, "name {n}"),
        }
    }
}

/// A destination as iproute2 prints it: `default`, a bare address for a full-length prefix.
pub(crate) struct Dst(pub(crate) IpNet);

impl Display for Dst {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let net = self.0;
        if net.prefix_len() == 0 && net.addr().is_unspecified() {
            f.write_str("default")
        } else if net.prefix_len() == net.max_prefix_len() {
            write!(f, "{}", net.addr())
        } else {
            write!(f, "{net}")
        }
    }
}

/// A table by name where it has one.
pub(crate) struct Table(pub(crate) u32);

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            TABLE_LOCAL => f.write_str("local"),
            TABLE_MAIN => f.write_str("main"),
            TABLE_DEFAULT => f.write_str("default"),
            n => write!(f, "{n}"),
        }
    }
}

fn route(f: &mut Formatter<'_>, op: Op, spec: &RouteSpec) -> fmt::Result {
    let family = if matches!(spec.dst, IpNet::V6(_)) { "-6 " } else { "" };
    write!(f, "ip {family}route {op} ")?;
    if spec.kind != RouteKind::Unicast {
        write!(f, "{} ", spec.kind.name())?;
    }
    write!(f, "{}", Dst(spec.dst))?;
    if let [hop] = &spec.hops[..] {
        hop_words(f, hop)?;
        if hop.onlink {
            f.write_str(" onlink")?;
        }
    }
    if let Some(proto) = spec.proto {
        write!(f, " proto {proto}")?;
    }
    if let Some(scope) = spec.scope {
        write!(f, " scope {scope}")?;
    }
    if let Some(src) = spec.src {
        write!(f, " src {src}")?;
    }
    if let Some(metric) = spec.metric {
        write!(f, " metric {metric}")?;
    }
    if let Some(table) = spec.table {
        write!(f, " table {}", Table(table))?;
    }
    if spec.hops.len() > 1 {
        for hop in &spec.hops {
            f.write_str(" nexthop")?;
            hop_words(f, hop)?;
            write!(f, " weight {}", hop.weight)?;
            if hop.onlink {
                f.write_str(" onlink")?;
            }
        }
    }
    Ok(())
}

fn hop_words(f: &mut Formatter<'_>, hop: &HopSpec) -> fmt::Result {
    if let Some(via) = hop.via {
        write!(f, " via {via}")?;
    }
    if let Some(dev) = hop.dev {
        write!(f, " dev {dev}")?;
    }
    Ok(())
}

/// The option that asks for IPv6; IPv4 is what ip(8) takes of its own accord.
fn six(family: Family) -> &'static str {
    if family == Family::Inet6 { "-6 " } else { "" }
}

/// The option that asks for one family, where both are meant without.
fn option(family: Option<Family>) -> &'static str {
    match family {
        None => "",
        Some(Family::Inet) => "-4 ",
        Some(Family::Inet6) => "-6 ",
    }
}

impl Display for RouteFilter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(dst) = self.dst {
            write!(f, " {}", Dst(dst))?;
        }
        if let Some(dev) = self.dev {
            write!(f, " dev {dev}")?;
        }
        if let Some(table) = self.table {
            write!(f, " table {}", Table(table))?;
        }
        if let Some(proto) = self.proto {
            write!(f, " proto {proto}")?;
        }
        Ok(())
    }
}

impl Display for RuleSpec {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(priority) = self.priority {
            write!(f, " priority {priority}")?;
        }
        if self.invert {
            f.write_str(" not")?;
        }
        if let Some(from) = self.from {
            write!(f, " from {}", Dst(from))?;
        }
        if let Some(to) = self.to {
            write!(f, " to {}", Dst(to))?;
        }
        if let Some(iif) = self.iif {
            write!(f, " iif {iif}")?;
        }
        match self.fwmark {
            Some((value, u32::MAX)) => write!(f, " fwmark {value:#x}")?,
            Some((value, mask)) => write!(f, " fwmark {value:#x}/{mask:#x}")?,
            None => {}
        }
        write!(f, "{}", self.more)?;
        match self.action {
            Some(RuleAction::Lookup(table)) => write!(f, " lookup {}", Table(table))?,
            Some(RuleAction::Unreachable) => f.write_str(" unreachable")?,
            Some(RuleAction::Blackhole) => f.write_str(" blackhole")?,
            Some(RuleAction::Prohibit) => f.write_str(" prohibit")?,
            Some(RuleAction::Goto(priority)) => write!(f, " goto {priority}")?,
            Some(RuleAction::Nop) => f.write_str(" nop")?,
            Some(RuleAction::L3mdev) => f.write_str(" l3mdev")?,
            None => {}
        }
        if let Some(n) = self.suppress_prefixlength {
            write!(f, " suppress_prefixlength {n}")?;
        }
        if let Some(group) = self.suppress_ifgroup {
            write!(f, " suppress_ifgroup {group}")?;
        }
        Ok(())
    }
}

fn nft(f: &mut Formatter<'_>, op: Op, hook: &HookSpec) -> fmt::Result {
    let verb = if op == Op::Del { "delete" } else { "add" };
    write!(f, "nft {verb} rule arp filter {}", hook.point)?;
    if let Some(dev) = hook.dev {
        write!(f, " {} {dev}", if hook.point == HookPoint::Input { "iifname" } else { "oifname" })?;
    }
    match hook.op {
        Some(1) => f.write_str(" arp operation request")?,
        Some(_) => f.write_str(" arp operation reply")?,
        None => {}
    }
    if let Some(ip) = hook.sender {
        write!(f, " arp saddr ip {ip}")?;
    }
    if let Some(ip) = hook.target {
        write!(f, " arp daddr ip {ip}")?;
    }
    f.write_str(" drop")
}
