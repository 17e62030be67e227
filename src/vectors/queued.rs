//! Something changes while an answer waits: is it still given, and with which MAC?

use super::build::build;
use super::delay::{longest_wait, pause};
use super::error::RecordError;
use super::record::{Record, Trial};
use super::rig::{HOST_END, POD_END, Rig, Side, UPLINK};
use super::spread::{Spread, unlikely};
use super::{Compared, Deviation};
use crate::addr::{IfName, Mac};
use crate::host::{IfIndex, LinkChange, Mutation};
use crate::time::{Span, Time};
use crate::wire::{Arp, EthFrame};
use std::net::Ipv4Addr;

/// The change followed the request after that time.
const CHANGE_AFTER: Span = Span::from_us(4_100);
/// From here on the recordings counted an answer as one after the change.
const COUNTED_AFTER: Span = Span::from_ms(55);
/// `proxy_delay` of these cases, where what was read back is from after the change.
const DELAY_DEFAULT: i32 = 80;
/// Moments closer than that are one.
const GRAIN: Span = Span::from_ms(16);
/// Requests the model's shares are taken of.
const REQUESTS: u64 = 400;
/// The gateway everybody asks for.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
/// The MAC that takes the place of the host end's.
const OTHER_MAC: &str = "02:de:ad:be:ef:01";

/// What was done while the answer waited.
enum Deed {
    Change(Vec<String>),
    FarEndDown(IfName),
    PodEndDown,
    AskAgain { unicast: bool },
    Nothing,
}

/// What came of one request.
struct QueuedAsk {
    latencies: Vec<Span>,
    macs_after: Vec<Mac>,
    entry: Option<&'static str>,
}

pub(super) fn replay(record: &Record) -> Result<Compared, RecordError> {
    let what = record.params.get("what").and_then(serde_json::Value::as_str).unwrap_or_default();
    let mut model = Vec::new();
    for seed in 0..REQUESTS / 20 {
        let mut rig = build(record, seed, false)?.rig;
        wait_by_default(&mut rig)?;
        let deed =
            deed(what, &rig).ok_or_else(|| RecordError::Value(format!("what {what:?} does is not known")))?;
        for _ in 0..20 {
            pause(&mut rig);
            model.push(ask(rig.clone(), &deed)?);
        }
    }
    let mut differences = Vec::new();
    for (at, trial) in record.trials.iter().enumerate() {
        compare(trial, at, &model, &mut differences);
    }
    let kernel = record.trials.iter().flat_map(|t| t.reply_latencies.iter().flatten());
    let kernel = Spread::new(kernel.map(|t| coarse(super::span(*t))));
    let model = Spread::new(model.iter().flat_map(|a| a.latencies.iter().map(|l| coarse(*l))));
    // a few may slip out before the change
    let few = |s: &Spread| s.len() * 20 < REQUESTS as usize;
    if !(few(&model) && kernel.len() <= 2) && model.contradicts(&kernel) {
        let (kernel, model) = (kernel.to_string(), model.to_string());
        differences.push(Deviation { trial: None, what: "delays", kernel, model });
    }
    Ok((differences, Vec::new()))
}

/// Answers given at once pile up at one moment, which is not the same to the microsecond on a
/// real machine.
fn coarse(latency: Span) -> Span {
    Span::from_ns(latency.as_ns() / GRAIN.as_ns() * GRAIN.as_ns())
}

fn wait_by_default(rig: &mut Rig) -> Result<(), RecordError> {
    let host = rig.state(Side::Host);
    let delay = host.link_named(HOST_END).map(|l| l.neigh4().get(crate::host::conf::NeighVar::ProxyDelay));
    if delay == Some(0) {
        super::build::set(rig, "net.ipv4.neigh.cali0.proxy_delay", DELAY_DEFAULT.into())?;
    }
    Ok(())
}

/// The words of the recordings, as what an operator would do.
fn deed(what: &str, rig: &Rig) -> Option<Deed> {
    let change = |command: &str| Some(Deed::Change(vec![command.to_owned()]));
    let dev = |parts: &[&str]| interface(parts, rig);
    let parts: Vec<&str> = what.split(['-', '_', ' ']).collect();
    match parts[..] {
        ["forwarding", "off"] => change("sysctl -w net.ipv4.conf.cali0.forwarding=0"),
        ["forwarding", "off", "all"] | ["ip", "forward", "off"] => change("sysctl -w net.ipv4.ip_forward=0"),
        ["proxy", "arp", "off"] => change("sysctl -w net.ipv4.conf.cali0.proxy_arp=0"),
        ["proxy", "delay", "0" | "off" | "zero"] | ["delay", "0" | "off" | "zero"] => {
            change("sysctl -w net.ipv4.neigh.cali0.proxy_delay=0")
        }
        ["route" | "default", .., "removed" | "deleted" | "del" | "gone"]
        | ["no", "default", ..]
        | ["route", "del", ..] => change("ip route del default"),
        ["podroute", "removed" | "deleted" | "del" | "gone"] | ["pod", "route", ..] => {
            change("ip route del 10.65.0.2")
        }
        ["mac", ..] => change(&format!("ip link set {HOST_END} address {OTHER_MAC}")),
        ["addr" | "address", ..] => change(&format!("ip addr add {GATEWAY}/32 dev {HOST_END}")),
        ["rpf" | "rp", ..] => change("sysctl -w net.ipv4.conf.cali0.rp_filter=2"),
        ["arp", "off"] | ["noarp"] => change(&format!("ip link set {HOST_END} arp off")),
        ["nft", .., "in" | "input", "drop"] | ["nft", "in" | "input", ..] => {
            change("nft add rule arp filter input drop")
        }
        ["nft", .., "out" | "output", "drop"] | ["nft", "out" | "output", ..] => {
            change("nft add rule arp filter output drop")
        }
        ["second", "request"] | ["second", "request", "broadcast"] => Some(Deed::AskAgain { unicast: false }),
        ["second", "request", "unicast"] => Some(Deed::AskAgain { unicast: true }),
        ["nothing" | "none" | "control"] | ["other", "namespace" | "netns" | "ns", ..] => Some(Deed::Nothing),
        [.., "down"] => change(&format!("ip link set {} down", dev(&parts)?)),
        [.., "carrier"] => match dev(&parts)? {
            HOST_END => Some(Deed::PodEndDown),
            other => Some(Deed::FarEndDown(other)),
        },
        _ => None,
    }
}

/// "Other" is an interface that is neither the pod's nor the uplink, if there is one.
fn interface(words: &[&str], rig: &Rig) -> Option<IfName> {
    let links = rig.state(Side::Host).links();
    let called = links.iter().map(crate::host::Link::name).find(|n| words.contains(&n.as_str()));
    let third = || {
        let mut names = links.iter().map(crate::host::Link::name);
        names.find(|n| ![HOST_END, UPLINK, IfName::LO].contains(n))
    };
    called.or_else(|| match words {
        ["other", ..] => Some(third().unwrap_or(UPLINK)),
        ["uplink" | "up", ..] => Some(UPLINK),
        ["same" | "iface" | "cali" | "link" | "own", ..] => Some(HOST_END),
        _ => None,
    })
}

fn ask(mut rig: Rig, deed: &Deed) -> Result<QueuedAsk, RecordError> {
    let (start, request) = (rig.now(), request(&rig, false)?);
    rig.forget();
    rig.inject(Side::Host, &request);
    rig.run_until(start + CHANGE_AFTER);
    let changed = rig.now();
    do_it(&mut rig, deed)?;
    rig.run_for(Span::from_ms(10));
    let entry = entry(&rig);
    rig.run_for(longest_wait(&rig) + Span::from_secs(1));
    let replies: Vec<(Time, Mac)> = rig
        .seen()
        .iter()
        .filter(|s| s.from == Side::Host)
        .filter_map(|s| {
            let arp = EthFrame::parse(&s.frame).and_then(|e| Arp::parse(e.payload)).ok()?;
            (arp.op == crate::wire::OP_REPLY).then_some((s.at, arp.sha))
        })
        .collect();
    let after = |at: Time| at >= changed && at.since(start) >= COUNTED_AFTER;
    Ok(QueuedAsk {
        latencies: replies.iter().map(|(at, _)| at.since(start)).collect(),
        macs_after: replies.iter().filter(|(at, _)| after(*at)).map(|r| r.1).collect(),
        entry,
    })
}

/// Does what was done.
fn do_it(rig: &mut Rig, deed: &Deed) -> Result<(), RecordError> {
    match deed {
        Deed::Change(commands) => {
            for command in commands {
                rig.apply(Side::Host, &command.parse()?)?;
            }
        }
        Deed::FarEndDown(dev) => rig.set_far_end(*dev, false),
        Deed::PodEndDown => {
            let down = Mutation::LinkSet { dev: POD_END, change: LinkChange::Up(false) };
            rig.apply(Side::Pod, &down)?;
        }
        Deed::AskAgain { unicast } => {
            let again = request(rig, *unicast)?;
            rig.inject(Side::Host, &again);
        }
        Deed::Nothing => {}
    }
    Ok(())
}

fn pod_address(rig: &Rig) -> Result<(Mac, Ipv4Addr), RecordError> {
    let link =
        rig.state(Side::Pod).link_named(POD_END).ok_or(RecordError::Lacks("what interface the pod has"))?;
    let addr = link.addrs().first().ok_or(RecordError::Lacks("what address the pod has"))?;
    Ok((link.mac(), addr.net.addr()))
}

fn request(rig: &Rig, unicast: bool) -> Result<[u8; 42], RecordError> {
    let (mac, ip) = pod_address(rig)?;
    let host = rig.state(Side::Host).link_named(HOST_END).map(crate::host::Link::mac);
    let dst = if unicast { host.unwrap_or(Mac::BROADCAST) } else { Mac::BROADCAST };
    Ok(Arp::request(mac, ip, GATEWAY).frame(dst, mac))
}

fn entry(rig: &Rig) -> Option<&'static str> {
    let dev: IfIndex = rig.index(Side::Host, HOST_END)?;
    let (_, ip) = pod_address(rig).ok()?;
    rig.neighbours(Side::Host).get(dev, ip.into()).map(|e| e.state().name())
}

fn compare(trial: &Trial, at: usize, model: &[QueuedAsk], out: &mut Vec<Deviation>) {
    let of = model.len() as u64;
    let requests = trial.counted("requests").unwrap_or(0);
    let answered = model.iter().filter(|a| !a.latencies.is_empty()).count() as u64;
    let after = model.iter().filter(|a| !a.macs_after.is_empty()).count() as u64;
    let shares = [
        ("answered", "answered", answered),
        ("answered after the change", "answered_after_the_change", after),
    ];
    for (what, key, hits) in shares {
        let Some(kernel) = trial.counted(key) else { continue };
        if unlikely(kernel, requests, hits, of) {
            let kernel = format!("{kernel} of {requests}");
            out.push(Deviation { trial: Some(at), what, kernel, model: format!("{hits} of {of}") });
        }
    }
    let mut macs: Vec<String> = model.iter().flat_map(|a| &a.macs_after).map(Mac::to_string).collect();
    macs.sort();
    macs.dedup();
    let kernel = trial.noted("macs_after_change").unwrap_or_default().to_owned();
    if macs.join(" ") != kernel && trial.counted("answered_after_the_change") != Some(0) {
        out.push(Deviation { trial: Some(at), what: "MACs after the change", kernel, model: macs.join(" ") });
    }
    if let Some(kernel) = trial.noted("host_entry_while_waiting")
        && model.iter().all(|a| a.entry != Some(kernel))
    {
        let model = model.first().and_then(|a| a.entry).unwrap_or("none").to_owned();
        let kernel = kernel.to_owned();
        out.push(Deviation { trial: Some(at), what: "entry while waiting", kernel, model });
    }
}
