//! `ip route` and `ip rule`, from text.

use super::parse::{Why, Words, net, of_family, op, rt_scope};
use crate::host::apply::mutation::{Family, HopSpec, Mutation, Op, RouteFilter, RouteSpec, RuleSpec};
use crate::host::state::route::{RouteKind, RtProto, RuleAction, TABLE_DEFAULT, TABLE_LOCAL, TABLE_MAIN};
use crate::host::state::selectors::Upper;
use ipnet::IpNet;
use smallvec::SmallVec;

fn table(w: &mut Words<'_>) -> Result<u32, Why> {
    Ok(match w.next("a table")? {
        "local" => TABLE_LOCAL,
        "main" => TABLE_MAIN,
        "default" => TABLE_DEFAULT,
        n => n.parse().map_err(|_| format!("{n:?} is no table"))?,
    })
}

/// `ip route flush`, with one condition at least.
fn route_flush(w: &mut Words<'_>, said: Option<Family>) -> Result<Mutation, Why> {
    let family = said.unwrap_or(Family::Inet);
    let mut filter = RouteFilter { family, table: None, dev: None, proto: None, dst: None };
    let nothing = filter;
    while let Some(word) = w.rest.next() {
        match word {
            "dev" => filter.dev = Some(w.parse("an interface")?),
            "table" => filter.table = Some(table(w)?),
            "proto" | "protocol" => filter.proto = Some(proto(w)?),
            _ if filter.dst.is_none() => {
                let word = if word == "exact" || word == "to" { w.next("a prefix")? } else { word };
                let dst = net(word, family == Family::Inet6)?;
                if said.is_none() && dst.addr().is_ipv6() {
                    filter.family = Family::Inet6;
                }
                of_family(dst.addr(), Some(filter.family))?;
                filter.dst = Some(dst);
            }
            other => return Err(format!("{other:?} is not understood in a flush")),
        }
    }
    if filter == nothing {
        return Err("`dev INTERFACE`, `table TABLE`, `proto PROTOCOL` or a prefix is wanted".into());
    }
    Ok(Mutation::RouteFlush(filter))
}

fn proto(w: &mut Words<'_>) -> Result<RtProto, Why> {
    let word = w.next("a protocol")?;
    RtProto::by_name(word).ok_or_else(|| format!("{word:?} is no protocol"))
}

pub(super) fn route(w: &mut Words<'_>, said: Option<Family>) -> Result<Mutation, Why> {
    if w.accept("flush") {
        return route_flush(w, said);
    }
    let op = match w.rest.next_if(|word| matches!(*word, "append" | "prepend")) {
        Some("append") => Op::Append,
        Some(_) => Op::Prepend,
        None => op(w)?,
    };
    let mut word = w.next("a destination")?;
    let kind = RouteKind::by_name(word);
    if kind.is_some() {
        word = w.next("a destination")?;
    }
    let dst = net(word, said == Some(Family::Inet6))?;
    of_family(dst.addr(), said)?;
    if matches!(op, Op::Append | Op::Prepend) && dst.addr().is_ipv6() {
        return Err("IPv6 routes of one prefix side by side are not modelled".into());
    }
    let mut spec = RouteSpec::reject(kind.unwrap_or(RouteKind::Unicast), dst);
    let mut hop = HopSpec { via: None, dev: None, onlink: false, weight: 1 };
    let mut plain_hop = false;
    while let Some(word) = w.rest.next() {
        if !spec.hops.is_empty() && word != "nexthop" {
            return Err(format!("\"nexthop\" or the end is wanted behind a nexthop instead of {word:?}"));
        }
        match word {
            "via" => (hop.via, plain_hop) = (Some(w.parse("a gateway address")?), true),
            "dev" => (hop.dev, plain_hop) = (Some(w.parse("an interface")?), true),
            "onlink" => hop.onlink = true,
            "src" => spec.src = Some(w.parse("a source address")?),
            "metric" => spec.metric = Some(w.parse("a metric")?),
            "scope" => spec.scope = Some(rt_scope(w)?),
            "table" => spec.table = Some(table(w)?),
            "proto" | "protocol" => spec.proto = Some(proto(w)?),
            "nexthop" => spec.hops.push(nexthop(w)?),
            other => return Err(format!("{other:?} is not understood in a route")),
        }
    }
    if plain_hop && !spec.hops.is_empty() {
        return Err("either `via`/`dev` or `nexthop`, not both".into());
    }
    if plain_hop {
        spec.hops = SmallVec::from_iter([hop]);
    }
    if spec.kind.is_reject() && !spec.hops.is_empty() {
        return Err(format!("a {} route has no way", spec.kind.name()));
    }
    Ok(Mutation::Route { op, spec })
}

fn nexthop(w: &mut Words<'_>) -> Result<HopSpec, Why> {
    let mut hop = HopSpec { via: None, dev: None, onlink: false, weight: 1 };
    loop {
        if w.accept("via") {
            hop.via = Some(w.parse("a gateway address")?);
        } else if w.accept("dev") {
            hop.dev = Some(w.parse("an interface")?);
        } else if w.accept("weight") {
            hop.weight = w.parse("a weight")?;
        } else if w.accept("onlink") {
            hop.onlink = true;
        } else {
            return Ok(hop);
        }
    }
}

pub(super) fn rule(w: &mut Words<'_>, said: Option<Family>) -> Result<Mutation, Why> {
    let family = said.unwrap_or(Family::Inet);
    if w.accept("flush") {
        return Ok(Mutation::RuleFlush(family));
    }
    let op = match op(w)? {
        op @ (Op::Add | Op::Del) => op,
        other => return Err(format!("{:?} where add or del is wanted", other.to_string())),
    };
    let nothing = RuleSpec::any(family);
    let mut rule = nothing;
    while let Some(word) = w.rest.next() {
        match word {
            "priority" | "pref" | "preference" => rule.priority = Some(w.parse("a priority")?),
            "not" => rule.invert = true,
            "from" => rule.from = selector(w, family)?,
            "to" => rule.to = selector(w, family)?,
            "iif" | "dev" => rule.iif = Some(w.parse("an interface")?),
            "fwmark" => rule.fwmark = fwmark(w)?,
            "lookup" | "table" => rule.action = Some(RuleAction::Lookup(table(w)?)),
            "unreachable" => rule.action = Some(RuleAction::Unreachable),
            "blackhole" => rule.action = Some(RuleAction::Blackhole),
            "prohibit" => rule.action = Some(RuleAction::Prohibit),
            "goto" => rule.action = Some(RuleAction::Goto(w.parse("a priority")?)),
            "nop" => rule.action = Some(RuleAction::Nop),
            "l3mdev" if rule.action.is_none() => rule.action = Some(RuleAction::L3mdev),
            "tos" | "dsfield" => rule.more.tos = dsfield(w)?,
            "oif" if family == Family::Inet => rule.more.oif = Some(w.parse("an interface")?),
            "uidrange" if family == Family::Inet => {
                if !w.rest.peek().is_some_and(|word| word.contains('-')) {
                    return Err("`uidrange FIRST-LAST` is wanted".into());
                }
                rule.more.uids = Some(range(w, "users")?);
            }
            "ipproto" if family == Family::Inet => {
                let word = w.next("a protocol")?;
                let number = Upper::by_name(word).ok_or_else(|| format!("{word:?} is no IP protocol"))?;
                rule.more.ipproto = Some(number);
            }
            "sport" if family == Family::Inet => rule.more.sport = Some(range(w, "ports")?),
            "dport" if family == Family::Inet => rule.more.dport = Some(range(w, "ports")?),
            "oif" | "uidrange" | "ipproto" | "sport" | "dport" => {
                return Err(format!("{word:?} is modelled in rules of IPv4 only"));
            }
            "suppress_ifgroup" => {
                rule.suppress_ifgroup = match w.next("a group")? {
                    "default" => Some(0),
                    n => Some(n.parse().map_err(|_| format!("{n:?} is no number of a group"))?),
                };
            }
            "suppress_prefixlength" => rule.suppress_prefixlength = Some(w.parse("a prefix length")?),
            other => return Err(format!("{other:?} is not understood in a rule")),
        }
    }
    if rule == nothing {
        return Err("a selector, a priority or an action is wanted".into());
    }
    Ok(Mutation::Rule { op, rule })
}

/// Whom a rule is about; everybody is nobody in particular.
fn selector(w: &mut Words<'_>, family: Family) -> Result<Option<IpNet>, Why> {
    let net = net(w.next("a prefix")?, family == Family::Inet6)?;
    of_family(net.addr(), Some(family))?;
    Ok(Some(net).filter(|n| n.prefix_len() > 0))
}

/// A dsfield by number, as ip(8) reads it: hexadecimal.
fn dsfield(w: &mut Words<'_>) -> Result<u8, Why> {
    let word = w.next("a dsfield")?;
    let hex = word.strip_prefix("0x").unwrap_or(word);
    let tos = u8::from_str_radix(hex, 16).map_err(|_| format!("{word:?} is no dsfield in hexadecimal"))?;
    if tos & 3 != 0 {
        return Err(format!("{word:?} sets bits of ECN, which no rule or route may ask for"));
    }
    Ok(tos)
}

/// `FIRST-LAST`, or one.
fn range<T: core::str::FromStr + Copy + PartialOrd>(w: &mut Words<'_>, what: &str) -> Result<(T, T), Why> {
    let word = w.next(what)?;
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if first <= last => Ok((first, last)),
        _ => Err(format!("{word:?} is no range of {what}")),
    }
}

/// A mark of 0 without a mask selects every packet, as if nothing were said: only a mark that is not 0
/// is compared in all its bits unless a mask is given (fib_nl2rule, net/core/fib_rules.c).
fn fwmark(w: &mut Words<'_>) -> Result<Option<(u32, u32)>, Why> {
    let word = w.next("a mark")?;
    let number = |s: &str| {
        let parsed = s.strip_prefix("0x").map_or_else(|| s.parse(), |hex| u32::from_str_radix(hex, 16));
        parsed.map_err(|_| format!("{word:?} is no mark"))
    };
    let (value, mask) = match word.split_once('/') {
        Some((value, mask)) => (number(value)?, number(mask)?),
        None => (number(word)?, u32::MAX),
    };
    let nothing = value == 0 && (mask == 0 || !word.contains('/'));
    Ok((!nothing).then_some((value, mask)))
}
