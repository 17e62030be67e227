//! The model of the pod held against recordings of a kernel (files of the groups X, K, W, Q, E).
//!
//! # When the model agrees
//!
//! A recording is one or three trials in an unknown phase of the kernel's timer wheel, on a busy
//! machine with two processors. Three rules follow; all three must hold:
//!
//! * **Every trial is reproduced.** There is a phase of the wheel in which the model shows the same
//!   requests, replies, SYNs, retransmissions, states and client outcome, each time within −2.5 ms
//!   and +10 ms of the recorded one (a process and a timer may be late by two ticks; the recorder's
//!   zero may be early). A ping that was scheduled late keeps its lateness, because it arms each
//!   sleep when it wakes from the last, and a timer that ran late may be armed again in another
//!   bucket. Such a trial may be off by 100 ms, three buckets, and is counted
//!   ([`PodVerdict::late`]).
//! * **The model stays within the recording's range.** Over drawn phases, each outcome of a kind
//!   that was recorded lies within the recorded times widened by a twentieth and 50 ms, which is
//!   what the wheel rounds.
//! * **What was recorded is not improbable.** Over drawn phases and races, the kinds of outcome
//!   that were recorded make up enough of all that so many trials showed nothing else, at a level
//!   of one in a thousand, and each recorded kind occurs.
//!
//! Records with random numbers in them (how many of 200 connections hear of an error) are compared
//! with the range over many seeds instead.

use super::error::PodMismatch;
use super::error::RecordError;
use super::pod_client::same_client;
use super::pod_fit::{FittedRun, draw, fit, rel};
use super::pod_plan::{PodPlan, plan};
use super::pod_record::{PodRecord, PodTrial};
use super::pod_trace::{EXACT, LATE_PROCESS, MarkKind, PodMarks, Tolerance, same_states};
use super::record::ReadError;
use super::{pod_frame, pod_many, pod_queue};
use crate::neigh::Nud;
use crate::pod::{ClientSpec, Fate};
use core::fmt;

/// Runs with drawn phases for each record.
const DRAWS: u64 = 48;
/// How improbable the recording may be under the model.
const LEVEL: f64 = 1e-3;

/// What came of one record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PodVerdict {
    /// The record's name.
    pub name: String,
    /// Trials that were compared.
    pub trials: usize,
    /// Those among them that fit only a machine that ran late.
    pub late: usize,
    /// What differs; empty when the model agrees.
    pub faults: Vec<PodFault>,
}

impl PodVerdict {
    /// True when nothing differs.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.faults.is_empty()
    }
}

/// One way in which the model and a recording of the pod do not agree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PodFault {
    /// In which trial, from 0; `None` when it is about all of them.
    pub trial: Option<usize>,
    /// What it is.
    pub why: PodMismatch,
}

impl PodFault {
    /// The record says nothing that could be replayed; a change that the model alone refuses is a difference.
    pub(super) fn is_of_the_record(&self) -> bool {
        matches!(&self.why, PodMismatch::Record(e) if !matches!(e, RecordError::Refused(_)))
    }
}

impl fmt::Display for PodFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.trial {
            Some(trial) => write!(f, "trial {trial}: {}", self.why),
            None => self.why.fmt(f),
        }
    }
}

/// Holds the model against every record of a file's text. `wanted` chooses records by name.
pub fn conform(text: &str, wanted: impl Fn(&str) -> bool) -> Result<Vec<PodVerdict>, ReadError> {
    let mut verdicts = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
        let record: PodRecord =
            serde_json::from_str(line).map_err(|source| ReadError::Json { line: at + 1, source })?;
        if record.name != "_meta" && wanted(&record.name) {
            verdicts.push(judge(&record));
        }
    }
    Ok(verdicts)
}

/// Holds the model against one record.
pub(super) fn judge(record: &PodRecord) -> PodVerdict {
    let mut late = 0;
    let faults = match (&*record.group, record.kind()) {
        ("X", _) => each_trial(record, pod_frame::replay),
        ("Q", _) => pod_many::replay(record),
        ("K", "unres") => each_trial(record, pod_queue::replay_queue),
        ("K", "reachable") if record.says("distribution") => {
            each_trial(record, pod_queue::replay_distribution)
        }
        ("W" | "K" | "E", _) => replay(record, &mut late),
        (group, _) => {
            let why = RecordError::Value(format!("group {group:?} is not the pod's"));
            vec![PodFault { trial: None, why: why.into() }]
        }
    };
    PodVerdict { name: record.name.clone(), trials: record.trials.len(), late, faults }
}

fn each_trial(
    record: &PodRecord,
    replay: impl Fn(&PodRecord, &PodTrial) -> Result<(), PodMismatch>,
) -> Vec<PodFault> {
    let trial = |(at, trial)| replay(record, trial).err().map(|why| PodFault { trial: Some(at), why });
    record.trials.iter().enumerate().filter_map(trial).collect()
}

fn replay(record: &PodRecord, late: &mut usize) -> Vec<PodFault> {
    let (mut faults, mut recorded) = (Vec::new(), Vec::new());
    for (at, trial) in record.trials.iter().enumerate() {
        match replay_trial(record, trial) {
            Ok((seen, was_late)) => {
                recorded.push(seen);
                *late += usize::from(was_late);
            }
            Err(why) => faults.push(PodFault { trial: Some(at), why }),
        }
    }
    if faults.is_empty()
        && let Err(why) = replay_range(record, &recorded)
    {
        faults.push(PodFault { trial: None, why });
    }
    faults
}

/// The first rule: some phase reproduces the trial. Gives the outcome in the model's words, and
/// whether only a late process explains it.
fn replay_trial(record: &PodRecord, trial: &PodTrial) -> Result<(SeenEnd, bool), PodMismatch> {
    let plan = plan(record, trial)?;
    match reproduce(&plan, trial, EXACT) {
        Ok(seen) => Ok((seen, false)),
        Err(why) => {
            let late = reproduce(&plan, trial, LATE_PROCESS).map(|seen| (seen, true));
            late.map_err(|late| if late == why { why } else { format!("{why}; with lateness {late}").into() })
        }
    }
}

fn reproduce(plan: &PodPlan, trial: &PodTrial, tolerance: Tolerance) -> Result<SeenEnd, PodMismatch> {
    let recorded = PodMarks::recorded(trial);
    let mut compared = [true; 6];
    compared[MarkKind::Syn as usize] = plan.has_syns;
    compared[MarkKind::Retransmit as usize] = !trial.untraced;
    compared[MarkKind::Datagram as usize] = !trial.udp_on_wire.is_empty();
    // an answer crosses two namespaces in no time; only late ones have times of their own
    compared[MarkKind::Reply as usize] = plan.late_answers.is_some() || !plan.delays.is_empty();
    let states = |run: &FittedRun| {
        if trial.untraced {
            return Ok(());
        }
        same_states(&recorded.states, &run.trace.states, plan.before, plan.until - 0.05, tolerance)
    };
    let client = |run: &FittedRun| same_client(plan, &trial.client, run, tolerance);
    fit(plan, trial, compared, tolerance, &[&states, &client]).map(|run| seen(plan, &run))
}

/// The kind of an outcome, and the time that tells runs of one kind apart.
#[derive(Clone, PartialEq, Debug)]
struct SeenEnd {
    kind: String,
    at: Option<f64>,
}

/// The second and the third rule, over drawn phases.
fn replay_range(record: &PodRecord, recorded: &[SeenEnd]) -> Result<(), PodMismatch> {
    let Some(first) = record.trials.first() else { return Ok(()) };
    let mut plan = plan(record, first)?;
    // as long as the longest trial: the first may have been a lucky one
    for trial in &record.trials {
        let other = self::plan(record, trial)?;
        plan.until = plan.until.max(other.until);
        plan.client_until = plan.client_until.max(other.client_until);
    }
    let drawn: Vec<SeenEnd> =
        (0..DRAWS).map(|seed| draw(&plan, seed).map(|run| seen(&plan, &run))).collect::<Result<_, _>>()?;
    // a time that the kernel draws anew each time has the range of its draw
    if plan.before != Some(Nud::Reachable) && plan.delays.is_empty() {
        check_range(recorded, &drawn)?;
    }
    check_share(recorded, &drawn)
}

fn seen(plan: &PodPlan, run: &FittedRun) -> SeenEnd {
    let until = plan.client_until;
    let ended = |a: &&crate::pod::Attempt| a.ended.is_some_and(|t| rel(t) <= until);
    let answered = run.outcome.attempts.iter().filter(ended).find(|a| a.fate == Fate::Answered);
    let failed = run.outcome.attempts.iter().filter(ended).find_map(|a| match a.fate {
        Fate::Failed(failure) => Some((failure.name(), a.ended)),
        _ => None,
    });
    let requests = |kind| run.trace.list(kind).iter().filter(|t| **t < until).count();
    let retransmits = requests(MarkKind::Retransmit);
    let at = answered.and_then(|a| a.ended).or(failed.and_then(|f| f.1)).map(rel);
    // how many echoes a drawn REACHABLE time takes is no kind of outcome
    let drawn = plan.before == Some(Nud::Reachable) && matches!(plan.spec, ClientSpec::Ping(_));
    let number = answered.map(|a| if drawn { 0 } else { a.number });
    let kind = format!(
        "answered {number:?}, first failure {:?}, {retransmits} retransmissions",
        failed.map(|f| f.0)
    );
    SeenEnd { kind, at }
}

fn check_range(recorded: &[SeenEnd], drawn: &[SeenEnd]) -> Result<(), PodMismatch> {
    for ours in drawn {
        let of_kind = || recorded.iter().filter(|r| r.kind == ours.kind).filter_map(|r| r.at);
        let Some(at) = ours.at else { continue };
        let (low, high) = of_kind().fold((f64::MAX, f64::MIN), |(l, h), t| (l.min(t), h.max(t)));
        let slack = 0.05 + high.abs() / 20.0;
        if low <= high && !(low - slack..=high + slack).contains(&at) {
            return Err(format!("{} at {at:.3}, recorded within {low:.3} to {high:.3}", ours.kind).into());
        }
    }
    Ok(())
}

fn check_share(recorded: &[SeenEnd], drawn: &[SeenEnd]) -> Result<(), PodMismatch> {
    let share = |wanted: &dyn Fn(&SeenEnd) -> bool| {
        drawn.iter().filter(|d| wanted(d)).count() as f64 / drawn.len() as f64
    };
    let known = share(&|d| recorded.iter().any(|r| r.kind == d.kind));
    let chance = known.powi(i32::try_from(recorded.len()).unwrap_or(i32::MAX));
    if chance < LEVEL {
        let strange = drawn.iter().find(|d| recorded.iter().all(|r| r.kind != d.kind));
        return Err(
            format!("only {known:.2} of the runs are of a recorded kind; another is {strange:?}").into()
        );
    }
    Ok(())
}
