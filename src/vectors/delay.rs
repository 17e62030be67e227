//! How long proxied answers wait: one request after the other, crafted or made by the pod's own
//! resolution.

use super::build::{build, set};
use super::error::RecordError;
use super::record::Record;
use super::rig::{POD_END, Rig, Side};
use super::spread::{Spread, unlikely};
use super::{AT_ONCE, Compared, Deviation};
use crate::choice::{ChoiceKind, Chooser};
use crate::host::Mutation;
use crate::neigh::Nud;
use crate::packet::{Owner, Packet};
use crate::time::{Span, Time};
use crate::wire::{self, Ends, nd};
use std::net::{IpAddr, Ipv4Addr};

/// Runs that tell how the model's delays are spread, each of as many requests as were recorded.
const RUNS: u64 = 6;
/// A resolution ends, one way or the other, within that time.
const RESOLUTION_MAX: Span = Span::from_secs(10);
/// Longest random pause between two requests.
const PAUSE_MAX: Span = Span::from_ms(100);

/// Sets `proxy_delay` to what the case is about.
pub(super) fn set_delay(rig: &mut Rig, record: &Record) -> Result<(), RecordError> {
    match record.params.get("delay").and_then(serde_json::Value::as_i64) {
        Some(delay) => set(rig, "net.ipv4.neigh.cali0.proxy_delay", delay),
        None => Ok(()),
    }
}

/// The longest a proxied answer can wait: `proxy_delay` and the timer's lateness.
pub(super) fn longest_wait(rig: &Rig) -> Span {
    let delay = rig
        .state(Side::Host)
        .link_named(super::rig::HOST_END)
        .map_or(0, |l| l.neigh4().get(crate::host::conf::NeighVar::ProxyDelay));
    Span::from_ms(u64::from(delay.unsigned_abs()) * 10 * 9 / 8 + 100)
}

/// Fresh requests, one at a time.
pub(super) fn replay_requests(record: &Record) -> Result<Compared, RecordError> {
    let frame = &record.trials[0].stimulus.first().ok_or(RecordError::Lacks("what was sent"))?.hex;
    let count = record.trials[0].samples.len();
    let (mut delays, mut missing) = (Vec::new(), 0u64);
    for seed in 0..RUNS {
        let mut rig = build(record, seed, false)?.rig;
        set_delay(&mut rig, record)?;
        for _ in 0..count {
            pause(&mut rig);
            let start = rig.now();
            rig.forget();
            rig.inject(Side::Host, frame);
            rig.run_for(longest_wait(&rig));
            match rig.seen().iter().find(|s| s.from == Side::Host) {
                Some(reply) => delays.push(reply.at.since(start)),
                None => missing += 1,
            }
        }
    }
    let kernel = Spread::of_seconds(record.trials.iter().flat_map(|t| &t.samples));
    let mut differences = compare_delays(&delays, &kernel);
    let lost: u64 = record.trials.iter().filter_map(|t| t.counted("missing")).sum();
    if (lost > 0) != (missing > 0) {
        differences.push(difference("unanswered requests", lost, missing));
    }
    Ok((differences, Vec::new()))
}

fn compare_delays(model: &[Span], kernel: &Spread) -> Vec<Deviation> {
    let at_once = model.iter().all(|d| d.as_ns() == 0);
    let model = Spread::new(model.iter().copied());
    let differs = if at_once { kernel.exceeds(AT_ONCE) } else { model.contradicts(kernel) };
    let model = if at_once { "at once".into() } else { model.to_string() };
    let difference = Deviation { trial: None, what: "delays", kernel: kernel.to_string(), model };
    differs.then_some(difference).into_iter().collect()
}

fn difference(what: &'static str, kernel: u64, model: u64) -> Deviation {
    Deviation { trial: None, what, kernel: kernel.to_string(), model: model.to_string() }
}

/// A random while, so that requests meet every phase of the tick.
pub(super) fn pause(rig: &mut Rig) {
    let ns = rig.draws.choose(ChoiceKind::ClientStart, PAUSE_MAX.as_ns());
    rig.run_for(Span::from_ns(ns + 1));
}

/// One resolution by the pod's own neighbour machine.
struct Resolution {
    took: Option<Span>,
    requests: u32,
}

/// Fresh resolutions of the gateway by the pod.
pub(super) fn replay_resolutions(record: &Record) -> Result<Compared, RecordError> {
    let count = record.trials[0].requests_per_resolution.len();
    let mut all = Vec::new();
    for seed in 0..RUNS * 4 {
        let mut rig = build(record, seed, false)?.rig;
        set_delay(&mut rig, record)?;
        for _ in 0..count {
            all.push(resolve(&mut rig)?);
        }
    }
    let model = Spread::new(all.iter().filter_map(|r| r.took));
    let kernel = Spread::of_seconds(record.trials.iter().flat_map(|t| &t.samples));
    let mut differences = Vec::new();
    if model.contradicts(&kernel) {
        let (kernel, model) = (kernel.to_string(), model.to_string());
        differences.push(Deviation { trial: None, what: "time to resolve", kernel, model });
    }
    let failed = all.iter().filter(|r| r.took.is_none()).count() as u64;
    let failures: u64 = record.trials.iter().filter_map(|t| t.counted("failures")).sum();
    if unlikely(failures, (count * record.trials.len()) as u64, failed, all.len() as u64) {
        differences.push(difference("failed resolutions", failures, failed));
    }
    let odd = record.trials.iter().flat_map(|t| &t.requests_per_resolution);
    if let Some(odd) = odd.into_iter().find(|n| all.iter().all(|r| r.requests != **n)) {
        differences.push(difference("requests in a resolution", u64::from(*odd), 0));
    }
    Ok((differences, Vec::new()))
}

fn resolve(rig: &mut Rig) -> Result<Resolution, RecordError> {
    pause(rig);
    let dev = rig.index(Side::Pod, POD_END).ok_or(RecordError::Lacks("what interface the pod has"))?;
    let flush = Mutation::NeighFlush { dev: POD_END };
    rig.apply(Side::Pod, &flush)?;
    let (start, packet) = (rig.now(), pod_packet(rig)?);
    rig.forget();
    rig.pod_sends(packet);
    rig.run_for(RESOLUTION_MAX);
    let ended = rig.changes().iter().find(|c| {
        let done = |s: Nud| s == Nud::Failed || s.is_valid();
        c.side == Side::Pod && c.at >= start && c.state.is_some_and(done)
    });
    let (end, state) = ended.map_or((Time::FOREVER, None), |c| (c.at, c.state));
    let asked = |s: &&super::rig::SeenFrame| s.from == Side::Pod && s.at <= end && is_request(&s.frame);
    let requests = rig.seen().iter().filter(asked).count() as u32;
    let gateway = rig.neighbours(Side::Pod).iter().any(|(d, ..)| d == dev);
    let took = state.filter(|s| s.is_valid() && gateway).map(|_| end.since(start));
    rig.run_for(longest_wait(rig));
    Ok(Resolution { took, requests })
}

fn is_request(frame: &[u8]) -> bool {
    frame.get(12..14) == Some(&[8, 6]) || frame.get(54) == Some(&nd::TYPE_SOLICIT)
}

fn pod_packet(rig: &Rig) -> Result<Packet, RecordError> {
    let link =
        rig.state(Side::Pod).link_named(POD_END).ok_or(RecordError::Lacks("what interface the pod has"))?;
    let src = link.addrs().first().map(|a| IpAddr::V4(a.net.addr()));
    let dst = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 8));
    let ends =
        src.and_then(|src| Ends::new(src, dst)).ok_or(RecordError::Lacks("what address the pod has"))?;
    Ok(Packet { bytes: wire::udp(ends, 40_000, 9, b"x"), owner: Some(Owner(0)) })
}
