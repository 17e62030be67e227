//! Group Q: many connections at once. Which of them hears of the failed resolution is drawn by
//! the kernel, so the model is drawn many times and its numbers make the range.

use super::pod_fit::{at, rel};
use super::pod_plan::command;
use super::pod_record::Record;
use super::pod_setup::build;
use crate::choice::{ChoiceKind, Chooser, Seeded};
use crate::gateway::lab::{PORT, SERVER, pair};
use crate::gateway::{Act, Endpoint, Reflex, Service};
use crate::neigh::{HZ_DEFAULT, KernelClock};
use crate::pod::{ClientSpec, ConnectSpec, Fate};
use core::ops::ControlFlow;
use std::collections::BTreeMap;

/// Runs of the model; the recordings have three trials.
const DRAWS: u64 = 40;
/// After this nothing is dialling any more: the last SYN's timer at the latest phase.
const END_S: f64 = 140.0;
/// A recorded number may lie this far beyond the model's, in the model's standard deviations.
const DEVIATIONS: f64 = 4.0;

type Groups = BTreeMap<String, f64>;

/// Compares, over all trials at once, each group "outcome at second".
pub(super) fn replay(record: &Record) -> Vec<String> {
    let drawn: Result<Vec<Groups>, String> = (0..DRAWS).map(|seed| groups(record, seed)).collect();
    let drawn = match drawn {
        Ok(drawn) => drawn,
        Err(why) => return vec![why],
    };
    let mut faults = Vec::new();
    for (at, trial) in record.trials.iter().enumerate() {
        let mut theirs: Groups =
            trial.outcome_groups.iter().map(|(k, n)| (k.clone(), f64::from(*n))).collect();
        merge_seconds(&mut theirs);
        let names = theirs.keys().chain(drawn.iter().flat_map(Groups::keys));
        for name in names.collect::<std::collections::BTreeSet<_>>() {
            let count = |g: &Groups| g.get(name).copied().unwrap_or(0.0);
            let ours: Vec<f64> = drawn.iter().map(count).collect();
            if let Err(why) = plausible(count(&theirs), &ours) {
                faults.push(format!("trial {at}: {name}: {why}"));
            }
        }
    }
    faults
}

/// A recorded number fits numbers that were drawn.
fn plausible(theirs: f64, ours: &[f64]) -> Result<(), String> {
    let n = ours.len() as f64;
    let mean = ours.iter().sum::<f64>() / n;
    let deviation = (ours.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
    let (low, high) = ours.iter().fold((f64::MAX, f64::MIN), |(l, h), x| (l.min(*x), h.max(*x)));
    let slack = DEVIATIONS * deviation;
    let fits = (low..=high).contains(&theirs) || (mean - slack..=mean + slack).contains(&theirs);
    if fits { Ok(()) } else { Err(format!("{low} to {high}, mean {mean:.1}; recorded {theirs}")) }
}

/// A time near a full second falls to either side of it with the phase of the wheel; neighbours
/// are one group, named after the first.
fn merge_seconds(groups: &mut Groups) {
    let mut merged = Groups::new();
    for (name, count) in core::mem::take(groups) {
        let Some((outcome, second)) = name.split_once('@') else { continue };
        let second: i64 = second.parse().unwrap_or(0);
        let near = merged.keys().find(|k| {
            k.split_once('@')
                .is_some_and(|(o, s)| o == outcome && s.parse::<i64>().is_ok_and(|s| (s - second).abs() <= 1))
        });
        let name = near.cloned().unwrap_or(name);
        *merged.entry(name).or_default() += count;
    }
    *groups = merged;
}

fn groups(record: &Record, seed: u64) -> Result<Groups, String> {
    let setup = build(record)?;
    let mut chooser = Seeded::new(seed);
    let phase = chooser.choose(ChoiceKind::WheelPhase, KernelClock::phases_ns(HZ_DEFAULT));
    let clock = KernelClock::new(HZ_DEFAULT, phase);
    let endpoints = [Service::Host, Service::Tcp(PORT)].map(|service| Endpoint { addr: SERVER, service });
    let mut lab = pair(setup.node, setup.pod, Reflex::new(&endpoints), clock, &mut chooser);
    let parallel = record.number("n").ok_or("no n")? as u32;
    let spec = ConnectSpec { parallel, ..ConnectSpec::once((SERVER, PORT).into()) };
    let id = lab.pod.add_client(ClientSpec::TcpConnect(spec));
    lab.at(at(0.0), Act::Start(id));
    if let Some(answers) = record.number("T") {
        lab.at(at(answers), Act::Host(command("sysctl -w net.ipv4.conf.cali0.proxy_arp=1")?));
    }
    lab.run_clients(at(END_S), &mut chooser, &mut |_, _| ControlFlow::Continue(()));
    let mut groups = Groups::new();
    for attempt in &lab.pod.outcome(id).attempts {
        let outcome = match attempt.fate {
            Fate::Answered => "connected",
            Fate::Failed(failure) => failure.name(),
            Fate::Pending => "nothing",
        };
        let second = attempt.ended.map_or(0.0, rel).round();
        *groups.entry(format!("{outcome}@{second}")).or_default() += 1.0;
    }
    merge_seconds(&mut groups);
    Ok(groups)
}
