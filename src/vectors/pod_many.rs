//! Group Q: many connections at once. Which of them hears of the failed resolution is drawn by
//! the kernel, so the model is drawn many times and its numbers make the range.

use super::command::parse as command;
use super::error::RecordError;
use super::pod::PodFault;
use super::pod_fit::{at, rel};
use super::pod_record::{PodRecord, PodTrial};
use super::pod_setup::build;
use crate::choice::{ChoiceKind, Chooser, Seeded};
use crate::gateway::{Endpoint, Reflex, ReflexOutside, Service};
use crate::neigh::{HZ_DEFAULT, KernelClock};
use crate::pair::Input;
use crate::pair::lab::{PORT, SERVER, bench};
use crate::pod::{ClientSpec, ConnectSpec, Fate};
use core::ops::ControlFlow;
use std::collections::{BTreeMap, BTreeSet};

/// Runs of the model; the recordings have three trials.
const DRAWS: u64 = 40;
/// After this nothing is dialling any more: the last SYN's timer at the latest phase.
const END_S: f64 = 140.0;
/// A recorded number may lie this far beyond the model's, in the model's standard deviations.
const DEVIATIONS: f64 = 4.0;

/// How many connections had that outcome in that second.
type Groups = BTreeMap<(String, i64), f64>;

/// Compares, over all trials at once, each group "outcome at second".
pub(super) fn replay(record: &PodRecord) -> Vec<PodFault> {
    let drawn: Result<Vec<Groups>, RecordError> = (0..DRAWS).map(|seed| groups(record, seed)).collect();
    let mut drawn = match drawn {
        Ok(drawn) => drawn,
        Err(why) => return vec![PodFault { trial: None, why: why.into() }],
    };
    let mut recorded: Vec<Groups> = record.trials.iter().map(recorded_groups).collect();
    join_seconds(&mut drawn, &mut recorded);
    let names: BTreeSet<_> = drawn.iter().chain(&recorded).flat_map(Groups::keys).cloned().collect();
    let mut faults = Vec::new();
    for (at, theirs) in recorded.iter().enumerate() {
        for name in &names {
            let count = |g: &Groups| g.get(name).copied().unwrap_or(0.0);
            let ours: Vec<f64> = drawn.iter().map(count).collect();
            if let Some(why) = plausible(count(theirs), &ours) {
                let why = format!("{} at {} s: {why}", name.0, name.1).into();
                faults.push(PodFault { trial: Some(at), why });
            }
        }
    }
    faults
}

/// The recorder's groups, such as `EHOSTUNREACH@3`.
fn recorded_groups(trial: &PodTrial) -> Groups {
    let group = |(name, count): (&String, &u32)| {
        let (outcome, second) = name.split_once('@')?;
        Some(((outcome.to_owned(), second.parse().ok()?), f64::from(*count)))
    };
    trial.outcome_groups.iter().filter_map(group).collect()
}

/// The phase of the wheel spreads what belongs together over neighbouring seconds: seconds that
/// touch, over all runs, are one group, named after the first.
fn join_seconds(drawn: &mut [Groups], recorded: &mut [Groups]) {
    let keys: BTreeSet<_> = drawn.iter().chain(&*recorded).flat_map(Groups::keys).cloned().collect();
    let mut names: BTreeMap<(String, i64), i64> = BTreeMap::new();
    let mut before: Option<(String, i64)> = None;
    for (outcome, second) in keys {
        let follows = before.as_ref().is_some_and(|(o, s)| *o == outcome && second - s <= 1);
        let last = before.as_ref().and_then(|b| names.get(b)).copied();
        let name = last.filter(|_| follows).unwrap_or(second);
        names.insert((outcome.clone(), second), name);
        before = Some((outcome, second));
    }
    for groups in drawn.iter_mut().chain(recorded) {
        let mut joined = Groups::new();
        for (key, count) in core::mem::take(groups) {
            let name = names[&key];
            *joined.entry((key.0, name)).or_default() += count;
        }
        *groups = joined;
    }
}

/// A recorded number fits numbers that were drawn.
/// A complaint, if not.
fn plausible(theirs: f64, ours: &[f64]) -> Option<String> {
    let n = ours.len() as f64;
    let mean = ours.iter().sum::<f64>() / n;
    let deviation = (ours.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
    let (low, high) = ours.iter().fold((f64::MAX, f64::MIN), |(l, h), x| (l.min(*x), h.max(*x)));
    let slack = DEVIATIONS * deviation;
    let fits = (low..=high).contains(&theirs) || (mean - slack..=mean + slack).contains(&theirs);
    (!fits).then(|| format!("{low} to {high}, mean {mean:.1}; recorded {theirs}"))
}

fn groups(record: &PodRecord, seed: u64) -> Result<Groups, RecordError> {
    let setup = build(record)?;
    let mut chooser = Seeded::new(seed);
    let phase = chooser.choose(ChoiceKind::WheelPhase, KernelClock::phases_ns(HZ_DEFAULT));
    let clock = KernelClock::new(HZ_DEFAULT, phase);
    let endpoints = [Service::Host, Service::Tcp(PORT)].map(|service| Endpoint { addr: SERVER, service });
    let world: ReflexOutside = Reflex::new(&endpoints).into();
    let mut lab = bench(setup.node, setup.pod, world, clock, &mut chooser);
    let parallel = record.number("n").ok_or(RecordError::Lacks("how many there were (n)"))? as u32;
    let spec = ConnectSpec { parallel, ..ConnectSpec::once((SERVER, PORT).into()) };
    let id = lab.pair.add_client(ClientSpec::TcpConnect(spec));
    lab.at(at(0.0), Input::Start(id));
    if let Some(answers) = record.number("T") {
        lab.at(at(answers), Input::Host(command("sysctl -w net.ipv4.conf.cali0.proxy_arp=1")?));
    }
    lab.run_clients(at(END_S), &mut chooser, &mut |_, _| ControlFlow::Continue(()));
    let mut groups = Groups::new();
    for attempt in &lab.pair.outcome(id).attempts {
        let outcome = match attempt.fate {
            Fate::Answered => "connected",
            Fate::Failed(failure) => failure.name(),
            Fate::Pending => "nothing",
        };
        let second = attempt.ended.map_or(0.0, rel).round() as i64;
        *groups.entry((outcome.to_owned(), second)).or_default() += 1.0;
    }
    Ok(groups)
}
