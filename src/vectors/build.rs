//! From a recording to the laboratory in the state it describes: the commands are played, then
//! what the kernel reported afterwards is compared, and where the two differ the report wins (some
//! steps of the recordings were not written down).

use super::command;
use super::error::RecordError;
use super::record::{Config, Record};
use super::rig::{HOST_END, POD_END, Rig, Side, UPLINK};
use crate::addr::{IfName, Mac};
use crate::host::conf::SysctlKey;
use crate::host::{LinkChange, Mutation, Op, Route, RouteSpec, TABLE_MAIN};
use crate::time::Span;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv6Addr};

/// Long enough for every address test to end before the stimulus.
const SETTLE: Span = Span::from_secs(8);
/// How soon the frames follow the commands where nothing was read back in between.
const FOLLOW: Span = Span::from_ms(50);
/// The pod of the recordings.
pub(super) const POD_MAC: Mac = Mac([0x02, 0x00, 0x0a, 0x41, 0x00, 0x02]);

/// A laboratory in the recorded state.
#[derive(Clone)]
pub(super) struct Built {
    pub(super) rig: Rig,
    /// Where the kernel's report differs from what the commands led the model to.
    pub(super) adjusted: Vec<String>,
}

/// Which of the two address families the report of a recording is about.
pub(super) fn is_v6(record: &Record) -> bool {
    let mut lines = record.config.values().flat_map(|c| &c.addresses);
    lines.any(|line| line.contains(" inet6 "))
}

/// Builds the laboratory. With `host_down` the host end stays down and without addresses: what
/// happens when it comes up is the case.
pub(super) fn build(record: &Record, seed: u64, host_down: bool) -> Result<Built, RecordError> {
    let mut rig = Rig::new(seed, &interfaces(record));
    let mut adjusted = Vec::new();
    match &record.commands {
        Some(commands) => {
            play(&mut rig, Side::Pod, commands.get("pod"))?;
            play(&mut rig, Side::Host, commands.get("node"))?;
        }
        None => base(&mut rig, record, host_down)?,
    }
    let v6 = is_v6(record);
    for (side, name) in [(Side::Pod, "pod"), (Side::Host, "node")] {
        let Some(config) = record.config.get(name) else { continue };
        adopt_sysctls(&mut rig, side, config, v6, &mut adjusted)?;
    }
    if record.config.is_empty() {
        // nothing was reported, so the frames follow the commands
        rig.run_for(FOLLOW);
        return Ok(Built { rig, adjusted });
    }
    // what the switches set off (a test of an address, say) is over when the kernel reports
    rig.run_for(SETTLE);
    for (side, name) in [(Side::Pod, "pod"), (Side::Host, "node")] {
        let Some(config) = record.config.get(name) else { continue };
        adopt_addresses(&mut rig, side, config, v6, &mut adjusted)?;
        adopt_carriers(&mut rig, side, config, &mut adjusted);
        adopt_routes(&mut rig, side, config, v6, &mut adjusted)?;
        adopt_proxies(&mut rig, side, config, &mut adjusted)?;
    }
    rig.run_for(SETTLE);
    rig.forget();
    if record.commands.is_none() {
        // without commands everything comes from the report
        adjusted.clear();
    }
    Ok(Built { rig, adjusted })
}

/// The host's interfaces besides the pod's: the uplink, and others that are mentioned.
fn interfaces(record: &Record) -> Vec<IfName> {
    let commands = record.commands.iter().filter_map(|c| c.get("node")).flatten();
    let config = record.config.get("node");
    let lines = config.iter().flat_map(|c| c.routes.iter().chain(&c.addresses).chain(&c.proxy_neigh));
    let mut names = vec![UPLINK];
    for word in commands.chain(lines).flat_map(|line| line.split([' ', '/', '.'])) {
        let other = word.strip_prefix("cali").is_some_and(|n| n.parse::<u32>().is_ok());
        if let Ok(name) = word.parse::<IfName>()
            && other
            && name != HOST_END
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
    names
}

fn play(rig: &mut Rig, side: Side, commands: Option<&Vec<String>>) -> Result<(), RecordError> {
    for text in commands.into_iter().flatten() {
        let change = command::parse(text)?;
        rig.apply(side, &change)?;
    }
    Ok(())
}

fn apply(rig: &mut Rig, side: Side, command: &str) -> Result<(), RecordError> {
    let change: Mutation = command.parse()?;
    Ok(rig.apply(side, &change)?)
}

/// Interfaces up with their MACs: what every recording starts from.
fn base(rig: &mut Rig, record: &Record, host_down: bool) -> Result<(), RecordError> {
    let mac = |side: &str, dev: IfName| {
        let lines = record.config.get(side).map(|c| &c.addresses[..]).unwrap_or_default();
        lines.iter().find_map(|line| mac_of_line(line, dev))
    };
    let pod_mac = mac("pod", POD_END).unwrap_or(POD_MAC);
    let host_mac = mac("node", HOST_END).unwrap_or(Mac::CALICO);
    apply(rig, Side::Pod, "ip link set lo up")?;
    apply(rig, Side::Pod, &format!("ip link set {POD_END} address {pod_mac}"))?;
    apply(rig, Side::Pod, &format!("ip link set {POD_END} up"))?;
    apply(rig, Side::Host, "ip link set lo up")?;
    let names: Vec<IfName> = rig.state(Side::Host).links().iter().map(crate::host::Link::name).collect();
    for name in names.into_iter().filter(|n| *n != IfName::LO) {
        if name.as_str().starts_with("cali") {
            apply(rig, Side::Host, &format!("ip link set {name} address {host_mac}"))?;
        }
        if !(host_down && name == HOST_END) {
            apply(rig, Side::Host, &format!("ip link set {name} up"))?;
        }
    }
    Ok(())
}

/// The MAC that a link-local address was formed from.
fn mac_of_line(line: &str, dev: IfName) -> Option<Mac> {
    let (name, ip) = address_of(line)?;
    match ip.addr() {
        IpAddr::V6(ip) if name == dev && ip.is_unicast_link_local() => {
            let o = ip.octets();
            let eui = o[11] == 0xff && o[12] == 0xfe;
            eui.then_some(Mac([o[8] ^ 2, o[9], o[10], o[13], o[14], o[15]]))
        }
        _ => None,
    }
}

fn address_of(line: &str) -> Option<(IfName, IpNet)> {
    let mut words = line.split_whitespace();
    let name = words.next()?.parse().ok()?;
    words.next()?;
    Some((name, words.next()?.parse().ok()?))
}

/// Sets every switch that was read back; those that overwrite others come first.
fn adopt_sysctls(
    rig: &mut Rig,
    side: Side,
    config: &Config,
    v6: bool,
    adjusted: &mut Vec<String>,
) -> Result<(), RecordError> {
    let family = if v6 { "ipv6" } else { "ipv4" };
    let path = |key: &str| match key.split('.').collect::<Vec<_>>()[..] {
        [dev, "neigh", var] => format!("net.{family}.neigh.{dev}.{var}"),
        [scope, var] => format!("net.{family}.conf.{scope}.{var}"),
        _ => format!("net.ipv4.{key}"),
    };
    let mut writes: Vec<(String, &String)> = config.sysctls.iter().map(|(k, v)| (path(k), v)).collect();
    writes.sort_by_key(|(path, _)| !(path.ends_with("ip_forward") || path.contains(".all.")));
    for (path, value) in writes {
        let key: SysctlKey = path.parse().map_err(RecordError::value)?;
        let value: i32 =
            value.parse().map_err(|_| RecordError::Value(format!("{path} is {value:?}, no number")))?;
        if rig.state(side).sysctl(&key) != Some(value) {
            adjusted.push(format!("sysctl -w {key}={value}"));
            rig.apply(side, &Mutation::Sysctl { key, value })?;
        }
    }
    Ok(())
}

fn adopt_addresses(
    rig: &mut Rig,
    side: Side,
    config: &Config,
    v6: bool,
    adjusted: &mut Vec<String>,
) -> Result<(), RecordError> {
    let wanted: Vec<(IfName, IpNet)> = config.addresses.iter().filter_map(|l| address_of(l)).collect();
    let has: Vec<(IfName, IpNet)> = addresses(rig, side, v6);
    let drawn = |dev: IfName, net: &IpNet| is_link_local(net) && !known_mac(dev);
    for (dev, net) in has.iter().filter(|a| !wanted.contains(a) && !drawn(a.0, &a.1)) {
        adjusted.push(format!("ip addr del {net} dev {dev}"));
        apply(rig, side, &format!("ip addr del {net} dev {dev}"))?;
    }
    for (dev, net) in wanted.iter().filter(|a| !has.contains(a) && !drawn(a.0, &a.1)) {
        let nodad = if net.addr().is_ipv6() { " nodad" } else { "" };
        adjusted.push(format!("ip addr add {net} dev {dev}"));
        apply(rig, side, &format!("ip addr add {net} dev {dev}{nodad}"))?;
    }
    Ok(())
}

/// The MACs of the other interfaces are drawn by the kernel, so their link-local addresses differ
/// from recording to recording.
fn known_mac(dev: IfName) -> bool {
    dev == HOST_END || dev == POD_END
}

fn is_link_local(net: &IpNet) -> bool {
    matches!(net.addr(), IpAddr::V6(ip) if ip.is_unicast_link_local())
}

fn addresses(rig: &Rig, side: Side, v6: bool) -> Vec<(IfName, IpNet)> {
    let mut found = Vec::new();
    for link in rig.state(side).links() {
        if v6 {
            found.extend(link.addrs6().iter().map(|a| (link.name(), IpNet::V6(a.net))));
        } else {
            found.extend(link.addrs().iter().map(|a| (link.name(), IpNet::V4(a.net))));
        }
    }
    found
}

/// A route marked `linkdown` tells that its device has lost the carrier: the far end is down.
fn adopt_carriers(rig: &mut Rig, side: Side, config: &Config, adjusted: &mut Vec<String>) {
    for line in config.routes.iter().filter(|l| l.split_whitespace().any(|w| w == "linkdown")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let dev = words.iter().position(|w| *w == "dev").and_then(|at| words.get(at + 1)?.parse().ok());
        let Some(dev): Option<IfName> = dev else { continue };
        let has = rig.state(side).link_named(dev).is_some_and(crate::host::Link::has_carrier);
        if has {
            adjusted.push(format!("ip link set {dev} carrier off"));
            rig.set_far_end(dev, false);
        }
    }
}

fn adopt_routes(
    rig: &mut Rig,
    side: Side,
    config: &Config,
    v6: bool,
    adjusted: &mut Vec<String>,
) -> Result<(), RecordError> {
    let wanted: Vec<String> = config.routes.iter().map(|l| route_line(l)).collect();
    let has = routes(rig, side, v6);
    for line in has.iter().filter(|l| !wanted.contains(l)) {
        adjusted.push(format!("ip route del {line}"));
        apply(rig, side, &command::ip(&format!("route del {line}")))?;
    }
    let mut missing: Vec<&String> = wanted.iter().filter(|l| !has.contains(l)).collect();
    // a gateway must be on a link before a route can go through it
    missing.sort_by_key(|line| line.contains(" via "));
    for line in missing {
        adjusted.push(format!("ip route add {line}"));
        apply(rig, side, &command::ip(&format!("route add {line}")))?;
    }
    Ok(())
}

/// A route of the main table as both the kernel's report and the model write it, without marks
/// that tell of the moment.
fn route_line(line: &str) -> String {
    let mut words = Vec::new();
    let mut all = line.split_whitespace();
    while let Some(word) = all.next() {
        match word {
            "linkdown" | "dead" | "onlink" => {}
            "pref" => {
                all.next();
            }
            word => words.push(word),
        }
    }
    words.join(" ")
}

fn routes(rig: &Rig, side: Side, v6: bool) -> Vec<String> {
    let state = rig.state(side);
    if v6 {
        let lines = state.routes6().iter().filter(|r| r.table == TABLE_MAIN).map(|r| {
            let via = r.via.map(|v| format!(" via {v}")).unwrap_or_default();
            let dev = r.dev.map(|d| format!(" dev {}", state.name_of(d))).unwrap_or_default();
            let proto = if r.proto == crate::host::RtProto::KERNEL { " proto kernel" } else { "" };
            let kind = if r.dev.is_none() { format!("{} ", r.kind.name()) } else { String::new() };
            format!("{kind}{}{via}{dev}{proto} metric {}", net6(r.dst), r.metric)
        });
        return lines.collect();
    }
    state.table(TABLE_MAIN).iter().map(|r| route4(state, r)).collect()
}

fn net6(net: ipnet::Ipv6Net) -> String {
    match net.prefix_len() {
        0 if net.addr() == Ipv6Addr::UNSPECIFIED => "default".into(),
        128 => net.addr().to_string(),
        _ => net.to_string(),
    }
}

/// As `ip route` prints it: what follows from the rest is left out.
fn route4(state: &crate::host::HostState, route: &Route) -> String {
    let hops = route.hops.iter().map(|h| crate::host::HopSpec {
        via: h.via.map(IpAddr::V4),
        dev: Some(state.name_of(h.dev)),
        onlink: false,
        weight: h.weight,
    });
    let boot = crate::host::RtProto::BOOT;
    let wide = crate::host::RtScope::UNIVERSE;
    let spec = RouteSpec {
        kind: route.kind,
        dst: route.dst.into(),
        table: None,
        metric: Some(route.metric).filter(|m| *m != 0),
        scope: Some(route.scope).filter(|s| *s != wide),
        proto: Some(route.proto).filter(|p| *p != boot),
        src: route.src.map(IpAddr::V4),
        hops: hops.collect(),
    };
    let text = Mutation::Route { op: Op::Add, spec }.to_string();
    text.trim_start_matches("ip route add ").to_owned()
}

fn adopt_proxies(
    rig: &mut Rig,
    side: Side,
    config: &Config,
    adjusted: &mut Vec<String>,
) -> Result<(), RecordError> {
    let wanted: Vec<(IpAddr, IfName)> = config.proxy_neigh.iter().filter_map(|l| proxy_of(l)).collect();
    let state = rig.state(side);
    let has: Vec<(IpAddr, IfName)> = state.proxies().iter().map(|p| (p.ip, state.name_of(p.dev))).collect();
    for (ip, dev) in wanted.iter().filter(|p| !has.contains(p)) {
        adjusted.push(format!("ip neigh add proxy {ip} dev {dev}"));
        apply(rig, side, &format!("ip neigh add proxy {ip} dev {dev}"))?;
    }
    Ok(())
}

fn proxy_of(line: &str) -> Option<(IpAddr, IfName)> {
    let mut words = line.split_whitespace();
    let ip = words.next()?.parse().ok()?;
    words.find(|w| *w == "dev")?;
    Some((ip, words.next()?.parse().ok()?))
}

/// Sets a host-end switch by hand.
pub(super) fn set(rig: &mut Rig, key: &str, value: i64) -> Result<(), RecordError> {
    apply(rig, Side::Host, &format!("sysctl -w {key}={value}"))
}

/// Takes an interface of the host up or down.
pub(super) fn set_up(rig: &mut Rig, dev: IfName, up: bool) -> Result<(), RecordError> {
    let change = Mutation::LinkSet { dev, change: LinkChange::Up(up) };
    Ok(rig.apply(Side::Host, &change)?)
}
