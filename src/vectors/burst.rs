//! Many requests at once: how many are held back, which are answered, in what order.

use super::build::{build, set};
use super::delay::{longest_wait, pause, set_delay};
use super::error::RecordError;
use super::record::{Record, Trial};
use super::rig::{HOST_END, Rig, Side};
use super::spread::Spread;
use super::{Compared, Deviation};
use crate::time::Span;
use crate::wire::{Arp, EthFrame};
use std::net::Ipv4Addr;

/// Runs of the model for each trial.
const RUNS: u64 = 8;

/// What came of a burst.
struct Burst {
    replies: usize,
    first_answered: bool,
    in_order: bool,
    entries: usize,
    times: Vec<Span>,
}

pub(super) fn replay(record: &Record) -> Result<Compared, RecordError> {
    let mut differences = Vec::new();
    let (mut times, mut runs) = (Vec::new(), Vec::new());
    for seed in 0..RUNS {
        let mut rig = build(record, seed, false)?.rig;
        set_delay(&mut rig, record)?;
        if let Some(limit) = record.params.get("qlen").and_then(serde_json::Value::as_i64) {
            set(&mut rig, "net.ipv4.neigh.cali0.proxy_qlen", limit)?;
        }
        let run = shoot(&mut rig, &record.trials[0])?;
        times.extend(run.times.iter().copied());
        runs.push(run);
    }
    for (at, trial) in record.trials.iter().enumerate() {
        compare(trial, at, &runs, &mut differences);
    }
    let kernel = Spread::of_seconds(record.trials.iter().flat_map(|t| &t.reply_times));
    let model = Spread::new(times);
    // answered at once, they come as they were sent, which the machine's speed decides
    let delayed = runs.iter().any(|r| !r.in_order);
    if model.leaves_out(&kernel) || (delayed && model.contradicts(&kernel)) {
        let (kernel, model) = (kernel.to_string(), model.to_string());
        differences.push(Deviation { trial: None, what: "times of answers", kernel, model });
    }
    Ok((differences, Vec::new()))
}

/// Sends as many requests as were recorded, from senders that follow one another.
fn shoot(rig: &mut Rig, trial: &Trial) -> Result<Burst, RecordError> {
    let frame = &trial.stimulus.first().ok_or(RecordError::Lacks("what was sent"))?.hex;
    let eth = EthFrame::parse(frame).map_err(RecordError::value)?;
    let arp = Arp::parse(eth.payload).map_err(RecordError::value)?;
    let sent = trial.counted("sent").ok_or(RecordError::Lacks("how many were sent"))?;
    let seconds = trial.client.get("send_span_s").and_then(serde_json::Value::as_f64).unwrap_or(0.0);
    let gap = Span::from_ns(super::span(seconds).as_ns() / sent.max(1));
    pause(rig);
    let start = rig.now();
    rig.forget();
    let first = u32::from(arp.spa);
    for i in 0..sent as u32 {
        let request = Arp { spa: Ipv4Addr::from(first.wrapping_add(i)), ..arp };
        rig.inject(Side::Host, &request.frame(eth.dst, eth.src));
        rig.run_for(gap);
    }
    rig.run_for(longest_wait(rig));
    let mut order = Vec::new();
    let mut times = Vec::new();
    for seen in rig.seen().iter().filter(|s| s.from == Side::Host) {
        if let Ok(reply) = EthFrame::parse(&seen.frame).and_then(|e| Arp::parse(e.payload)) {
            order.push(u32::from(reply.tpa).wrapping_sub(first));
            times.push(seen.at.since(start));
        }
    }
    let dev = rig.index(Side::Host, HOST_END);
    let entries = rig.neighbours(Side::Host).iter().filter(|(d, ..)| Some(*d) == dev).count();
    let count = order.len() as u32;
    Ok(Burst {
        replies: order.len(),
        first_answered: order.iter().all(|i| *i < count),
        in_order: order.is_sorted(),
        entries,
        times,
    })
}

fn compare(trial: &Trial, at: usize, runs: &[Burst], out: &mut Vec<Deviation>) {
    let mut check = |what, kernel: Option<String>, model: &dyn Fn(&Burst) -> String| {
        let Some(kernel) = kernel else { return };
        if runs.iter().all(|r| model(r) != kernel) {
            out.push(Deviation { trial: Some(at), what, kernel, model: model(&runs[0]) });
        }
    };
    let flag = |key: &str| trial.client.get(key).and_then(serde_json::Value::as_bool).map(|b| b.to_string());
    let number = |key: &str| trial.counted(key).map(|n| n.to_string());
    check("number of answers", number("replies"), &|r| r.replies.to_string());
    check("the first are answered", flag("answered_are_first"), &|r| r.first_answered.to_string());
    check("answers in order", flag("fifo"), &|r| r.in_order.to_string());
    check("entries", number("host_entries"), &|r| r.entries.to_string());
}
