//! From text to [`Mutation`].

use super::{Changes, ways};
use crate::addr::{IfName, Mac};
use crate::host::apply::mutation::{
    AddrDelBy, AddrTerms, Family, HookSpec, LinkChange, Mutation, Op, SetNud,
};
use crate::host::state::conf::SysctlKey;
use crate::host::state::hook::HookPoint;
use crate::host::state::link::LinkKind;
use crate::host::state::route::RtScope;
use core::str::FromStr;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use smallvec::SmallVec;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(super) type Why = String;

/// The words of a command, taken one by one.
pub(super) struct Words<'a> {
    pub(super) rest: core::iter::Peekable<core::str::SplitWhitespace<'a>>,
}

impl<'a> Words<'a> {
    pub(super) fn next(&mut self, wanted: &str) -> Result<&'a str, Why> {
        self.rest.next().ok_or_else(|| format!("ends where {wanted} is wanted"))
    }
    pub(super) fn parse<T: FromStr<Err: core::fmt::Display>>(&mut self, wanted: &str) -> Result<T, Why> {
        let word = self.next(wanted)?;
        word.parse().map_err(|e| format!("{word:?} where {wanted} is wanted: {e}"))
    }
    pub(super) fn accept(&mut self, word: &str) -> bool {
        self.rest.next_if_eq(&word).is_some()
    }
    fn end(&mut self) -> Result<(), Why> {
        self.rest.next().map_or(Ok(()), |w| Err(format!("{w:?} is not understood here")))
    }
}

pub(super) fn commands(text: &str) -> Result<Changes, Why> {
    let mut w = Words { rest: text.split_whitespace().peekable() };
    let first = w.rest.next().ok_or("an empty command")?;
    let changes = match first {
        "sysctl" => sysctl(&mut w)?,
        "echo" => Changes::from_iter([echo(text)?]),
        "ip" => Changes::from_iter([ip(&mut w)?]),
        "arp" => Changes::from_iter([arp(&mut w)?]),
        "nft" => Changes::from_iter([nft(&mut w)?]),
        "lab" => Changes::from_iter([lab(&mut w)?]),
        other => return Err(format!("{other:?} is none of the commands ip, sysctl, echo, arp, nft, lab")),
    };
    if first != "echo" {
        w.end()?;
    }
    Ok(changes)
}

/// `sysctl [-q] [-w] KEY=VALUE ...`, written one after the other.
fn sysctl(w: &mut Words<'_>) -> Result<Changes, Why> {
    while w.rest.next_if(|word| matches!(*word, "-w" | "-q" | "--write" | "--quiet")).is_some() {}
    let mut changes = Changes::from_iter([assignment(w.next("KEY=VALUE")?)?]);
    for word in w.rest.by_ref() {
        changes.push(assignment(word)?);
    }
    Ok(changes)
}

fn assignment(word: &str) -> Result<Mutation, Why> {
    let (key, value) = word.split_once('=').ok_or_else(|| format!("{word:?} has no ="))?;
    let key: SysctlKey = key.parse().map_err(|e| format!("{e}"))?;
    let value = value.parse().map_err(|_| format!("{value:?} is not a whole number"))?;
    Ok(Mutation::Sysctl { key, value })
}

/// `echo VALUE > /proc/sys/PATH`, with or without spaces around the arrow.
fn echo(text: &str) -> Result<Mutation, Why> {
    let words = text.replace('>', " > ");
    let (value, path) =
        redirection(words.split_whitespace()).ok_or("`echo VALUE > /proc/sys/net/...` is wanted")?;
    assignment(&format!("{path}={value}"))
}

/// Value and path (below `/proc/sys`) of `echo VALUE > /proc/sys/PATH`.
pub(super) fn redirection<'a>(words: impl Iterator<Item = &'a str>) -> Option<(&'a str, &'a str)> {
    let words: SmallVec<[&str; 5]> = words.filter(|w| *w != "-n").collect();
    match words[..] {
        ["echo", value, ">", path] => Some((value, path.strip_prefix("/proc/sys/")?)),
        _ => None,
    }
}

/// arp(8) of net-tools, where it names its interface: `arp -i DEV -d ADDRESS`.
fn arp(w: &mut Words<'_>) -> Result<Mutation, Why> {
    let (mut dev, mut ip) = (None, None);
    while let Some(word) = w.rest.next() {
        match word {
            "-n" | "--numeric" => {}
            "-i" | "--device" => dev = Some(w.parse("an interface")?),
            "-d" | "--delete" => ip = Some(w.parse::<Ipv4Addr>("an IPv4 address")?),
            other => return Err(format!("{other:?} is not understood here; `ip neigh` says the same")),
        }
    }
    let ip = ip.ok_or("`arp -i INTERFACE -d ADDRESS` is wanted, or `ip neigh`")?;
    let dev = dev.ok_or_else(|| format!("`-i INTERFACE` is wanted, as in `ip neigh del {ip} dev eth0`"))?;
    Ok(Mutation::Neigh {
        op: Op::Del,
        dev,
        ip: ip.into(),
        lladdr: None,
        nud: SetNud::Permanent,
        extern_learn: false,
    })
}

fn lab(w: &mut Words<'_>) -> Result<Mutation, Why> {
    match w.next("neighbours-elsewhere")? {
        "neighbours-elsewhere" => Ok(Mutation::NeighboursElsewhere(w.parse("a number of entries")?)),
        other => Err(format!("{other:?} where neighbours-elsewhere is wanted")),
    }
}

fn ip(w: &mut Words<'_>) -> Result<Mutation, Why> {
    let said = match w.rest.next_if(|word| matches!(*word, "-4" | "-6")) {
        Some("-6") => Some(Family::Inet6),
        Some(_) => Some(Family::Inet),
        None => None,
    };
    let change = match w.next("one of link, addr, route, rule, neigh")? {
        "link" | "l" => link(w)?,
        "addr" | "address" | "a" => addr(w, said)?,
        "route" | "r" => ways::route(w, said)?,
        "rule" | "ru" => ways::rule(w, said)?,
        "neigh" | "neighbour" | "n" => neigh(w, said)?,
        other => return Err(format!("{other:?} where one of link, addr, route, rule, neigh is wanted")),
    };
    Ok(change)
}

/// What a command is about must be of the family that its option names, if it names one.
pub(super) fn of_family(ip: IpAddr, said: Option<Family>) -> Result<(), Why> {
    let (family, word) = if ip.is_ipv6() { (Family::Inet6, "-4") } else { (Family::Inet, "-6") };
    match said {
        Some(said) if said != family => Err(format!("{ip} is not of the family that {word} asks for")),
        _ => Ok(()),
    }
}

pub(super) fn op(w: &mut Words<'_>) -> Result<Op, Why> {
    match w.next("add, replace or del")? {
        "add" => Ok(Op::Add),
        "replace" => Ok(Op::Replace),
        "change" => Ok(Op::Change),
        "del" | "delete" => Ok(Op::Del),
        other => Err(format!("{other:?} where add, replace or del is wanted")),
    }
}

fn link(w: &mut Words<'_>) -> Result<Mutation, Why> {
    match w.next("add, del or set")? {
        "add" => link_add(w),
        "del" | "delete" => {
            w.accept("dev");
            Ok(Mutation::LinkDel { dev: w.parse("an interface")? })
        }
        "set" => link_set(w),
        other => Err(format!("{other:?} where add, del or set is wanted")),
    }
}

fn link_add(w: &mut Words<'_>) -> Result<Mutation, Why> {
    w.accept("dev");
    w.accept("name");
    let name = w.parse("an interface name")?;
    let mac = if w.accept("address") { Some(w.parse::<Mac>("a MAC")?) } else { None };
    if !w.accept("type") {
        return Err("`type veth`, `type bridge` or `type ethernet` is wanted".into());
    }
    let kind = match w.next("a type")? {
        "veth" => LinkKind::Veth,
        "bridge" => LinkKind::Bridge,
        "ethernet" | "dummy" => LinkKind::Ethernet,
        other => return Err(format!("type {other:?} where veth, bridge or ethernet is wanted")),
    };
    Ok(Mutation::LinkAdd { name, kind, mac })
}

fn on_off(w: &mut Words<'_>) -> Result<bool, Why> {
    match w.next("on or off")? {
        "on" => Ok(true),
        "off" => Ok(false),
        other => Err(format!("{other:?} where on or off is wanted")),
    }
}

fn link_set(w: &mut Words<'_>) -> Result<Mutation, Why> {
    w.accept("dev");
    let dev = w.parse("an interface")?;
    let change = match w.next("up, down, address, arp, promisc, master, nomaster, carrier or name")? {
        "up" => LinkChange::Up(true),
        "down" => LinkChange::Up(false),
        "address" => LinkChange::Address(w.parse("a MAC")?),
        "arp" => LinkChange::Arp(on_off(w)?),
        "promisc" => LinkChange::Promisc(on_off(w)?),
        "master" => LinkChange::Master(Some(w.parse("a bridge")?)),
        "nomaster" => LinkChange::Master(None),
        "carrier" => LinkChange::Carrier(on_off(w)?),
        "name" => LinkChange::Name(w.parse("a name")?),
        other => return Err(format!("{other:?} is no attribute that can be set here")),
    };
    Ok(Mutation::LinkSet { dev, change })
}

/// A prefix; a bare address is one of full length, `default` is everything.
pub(super) fn net(word: &str, v6: bool) -> Result<IpNet, Why> {
    if word == "default" || word == "all" {
        return Ok(if v6 {
            Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0).into()
        } else {
            Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0).into()
        });
    }
    if let Ok(ip) = word.parse::<IpAddr>() {
        return Ok(ip.into());
    }
    word.parse().map_err(|_| format!("{word:?} is no address or prefix"))
}

fn addr(w: &mut Words<'_>, said: Option<Family>) -> Result<Mutation, Why> {
    if w.accept("flush") {
        w.accept("dev");
        return Ok(Mutation::AddrFlush { dev: w.parse("an interface")?, family: said });
    }
    let op = op(w)?;
    let word = w.next("an address")?;
    let mut prefix = net(word, said == Some(Family::Inet6))?;
    of_family(prefix.addr(), said)?;
    let four = prefix.addr().is_ipv4();
    // a length of its own, or that of the far end
    let mut long = word.contains('/');
    let (mut dev, mut scope, mut nodad, mut broadcast) = (None, None, false, None);
    let mut terms = AddrTerms { replace: matches!(op, Op::Replace | Op::Change), ..AddrTerms::default() };
    while let Some(word) = w.rest.next() {
        match word {
            "dev" => dev = Some(w.parse("an interface")?),
            "scope" => scope = Some(rt_scope(w)?),
            "nodad" => nodad = true,
            "brd" | "broadcast" => broadcast = Some(w.parse("a broadcast address")?),
            "peer" | "remote" if four => {
                let IpNet::V4(peer) = net(w.next("the far end")?, false)? else {
                    return Err("the far end is of another family".into());
                };
                prefix = IpNet::V4(Ipv4Net::new_assert(v4(prefix.addr())?, peer.prefix_len()));
                (terms.peer, long) = (Some(peer.addr()), true);
            }
            "noprefixroute" if four => terms.noprefixroute = true,
            "metric" | "priority" | "preference" if four => terms.metric = w.parse("a metric")?,
            other => return Err(format!("{other:?} is not understood in an address")),
        }
    }
    let dev = dev.ok_or("`dev INTERFACE` is wanted")?;
    Ok(match op {
        Op::Del => {
            let by = match terms.peer {
                Some(peer) => AddrDelBy::Peer(peer),
                None if long || !four => AddrDelBy::Prefix,
                None => AddrDelBy::Address,
            };
            Mutation::AddrDel { dev, net: prefix, by }
        }
        _ => Mutation::AddrAdd { dev, net: prefix, scope, nodad, broadcast, terms },
    })
}

fn v4(ip: IpAddr) -> Result<Ipv4Addr, Why> {
    match ip {
        IpAddr::V4(ip) => Ok(ip),
        IpAddr::V6(ip) => Err(format!("{ip} is not of IPv4")),
    }
}

pub(super) fn rt_scope(w: &mut Words<'_>) -> Result<RtScope, Why> {
    let word = w.next("a scope")?;
    RtScope::by_name(word).ok_or_else(|| format!("{word:?} is no scope"))
}

fn neigh(w: &mut Words<'_>, said: Option<Family>) -> Result<Mutation, Why> {
    if w.accept("flush") {
        if said.is_some() {
            return Err("`ip neigh flush` is modelled for both families at once; leave -4 or -6 out".into());
        }
        w.accept("dev");
        return Ok(Mutation::NeighFlush { dev: w.parse("an interface")? });
    }
    let op = op(w)?;
    let proxy = w.accept("proxy");
    w.accept("to");
    let ip = w.parse("an address")?;
    of_family(ip, said)?;
    let (mut dev, mut lladdr, mut nud, mut extern_learn) = (None, None, None, false);
    while let Some(word) = w.rest.next() {
        match word {
            "dev" => dev = Some(w.parse::<IfName>("an interface")?),
            "lladdr" if !proxy => lladdr = Some(w.parse("a MAC")?),
            "nud" if !proxy => {
                let word = w.next("a state")?;
                nud = Some(SetNud::by_name(word).ok_or_else(|| format!("{word:?} is no state"))?);
            }
            "extern_learn" if !proxy => extern_learn = true,
            other => return Err(format!("{other:?} is not understood in a neighbour entry")),
        }
    }
    let dev = dev.ok_or("`dev INTERFACE` is wanted")?;
    if proxy {
        return Ok(Mutation::Proxy { op, dev, ip });
    }
    Ok(Mutation::Neigh { op, dev, ip, lladdr, nud: nud.unwrap_or(SetNud::Permanent), extern_learn })
}

fn nft(w: &mut Words<'_>) -> Result<Mutation, Why> {
    let op = op(w)?;
    for word in ["rule", "arp", "filter"] {
        if !w.accept(word) {
            return Err(
                "`nft add|delete rule arp filter input|output ... drop` is what the model knows".into()
            );
        }
    }
    let point = match w.next("input or output")? {
        "input" => HookPoint::Input,
        "output" => HookPoint::Output,
        other => return Err(format!("{other:?} where input or output is wanted")),
    };
    let mut hook = HookSpec { point, dev: None, op: None, sender: None, target: None };
    loop {
        match w.next("drop")? {
            "drop" => return Ok(Mutation::Hook { op, hook }),
            "iifname" | "oifname" | "iif" | "oif" => {
                let word = w.next("an interface")?;
                hook.dev = Some(word.trim_matches('"').parse().map_err(|e| format!("{e}"))?);
            }
            "arp" => match w.next("operation, saddr or daddr")? {
                "operation" => {
                    hook.op = Some(match w.next("request or reply")? {
                        "request" => 1,
                        "reply" => 2,
                        other => return Err(format!("{other:?} where request or reply is wanted")),
                    });
                }
                side @ ("saddr" | "daddr") => {
                    if !w.accept("ip") {
                        return Err(format!("`arp {side} ip ADDRESS` is wanted"));
                    }
                    let ip = Some(w.parse("an IPv4 address")?);
                    if side == "saddr" { hook.sender = ip } else { hook.target = ip }
                }
                other => return Err(format!("{other:?} where operation, saddr or daddr is wanted")),
            },
            other => return Err(format!("{other:?} is not understood in an arp rule")),
        }
    }
}
