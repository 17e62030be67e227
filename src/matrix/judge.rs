//! What a mitigation does to a scenario, from their runs.

use super::outage::{FOR_GOOD, Outage, outages};
use super::play::Played;
use crate::control::StepTable;
use crate::scenario::file::FixEffect;
use crate::scenario::{PlanError, Scenario, WAITER};
use crate::time::{Span, Time};
use crate::trace::{What, check};
use serde::Serialize;
use std::collections::BTreeSet;

/// First contact within this time is "at once": far above a veth's round trip, far below the
/// smallest delay a person would complain about.
const AT_ONCE: Span = Span::from_ms(60);
/// What a mitigation must save to count as shortening: more than the kernel's rounding of timers.
const SAVED_MIN: Span = Span::from_ms(300);

/// A start of the containers later by this is worth a word.
const START_LATER: Span = Span::from_secs(2);

/// A cell of the matrix.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Cell {
    /// The mitigation's name.
    pub mitigation: String,
    /// What it does.
    pub effect: FixEffect,
    /// Mean of the longest outage without it.
    pub before: Span,
    /// And with it.
    pub after: Span,
    /// One line.
    pub reason: String,
    /// What it breaks beside; empty when nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub also: Option<String>,
    /// What is known of all its schedules, where they were looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedules: Option<super::Schedules>,
}

impl Cell {
    /// The single runs are cured, and some schedule still fails.
    #[must_use]
    pub fn cures_only_runs(&self) -> bool {
        self.schedules.as_ref().is_some_and(|s| s.runs == FixEffect::Cures && s.fails != "0")
    }

    /// The mitigation cannot be made in that scenario.
    pub(super) fn refused(mitigation: &str, why: &PlanError) -> Cell {
        Cell {
            mitigation: mitigation.to_owned(),
            effect: FixEffect::Nothing,
            before: Span::ZERO,
            after: Span::ZERO,
            reason: format!("it cannot be made here: {why}").replace('\n', " "),
            also: None,
            schedules: None,
        }
    }
}

/// What runs with the same switches have in common.
struct Summary {
    healthy: bool,
    /// The mean of the longest outage.
    outage: Span,
    /// The longest outage of each run.
    each: Vec<Span>,
    reasons: BTreeSet<String>,
    errors: BTreeSet<String>,
    unserved: BTreeSet<String>,
    add_failed: bool,
    /// In every run the containers started.
    started: bool,
}

fn summary(scenario: &Scenario, runs: &[Played]) -> Summary {
    let lost: Vec<Vec<Outage>> = runs.iter().map(outages).collect();
    let worst = |l: &Vec<Outage>| l.iter().map(|o| o.longest).max().unwrap_or(Span::ZERO);
    let each: Vec<Span> = lost.iter().map(worst).collect();
    let total: u64 = each.iter().map(|s| s.as_ns()).sum();
    let started = runs.iter().all(|r| started(r).is_some());
    let healthy = match &scenario.file().healthy {
        // nothing is served that never runs, whatever else is expected
        _ if !started => false,
        Some(expect) => runs.iter().all(|r| check(expect, &r.seen, false).iter().all(|c| c.ok)),
        None => lost.iter().flatten().all(|o| o.served && o.longest <= AT_ONCE),
    };
    let refused = |r: &Played| {
        let failed = StepTable::built_in("cni.add-fail");
        r.events.iter().any(|e| matches!(&e.what, What::Step { step, .. } if *step == failed))
    };
    Summary {
        healthy,
        outage: Span::from_ns(total / runs.len().max(1) as u64),
        each,
        reasons: runs.iter().flat_map(|r| r.seen.reasons.iter().map(|r| (*r).to_owned())).collect(),
        errors: runs
            .iter()
            .flat_map(|r| r.seen.clients.iter().filter(|(name, _)| *name != WAITER))
            .flat_map(|(_, c)| c.errors.keys().cloned())
            .collect(),
        unserved: lost.iter().flatten().filter(|o| !o.served).map(|o| o.client.clone()).collect(),
        add_failed: runs.iter().any(refused),
        started,
    }
}

/// Compares a scenario's runs with a mitigation with those without.
#[must_use]
pub fn judge(scenario: &Scenario, base: &[Played], with: &[Played], mitigation: &str) -> Cell {
    let (b, w) = (summary(scenario, base), summary(scenario, with));
    let effect = effect_of(&b, &w);
    let same = base.iter().zip(with).all(|(x, y)| frames(x).eq(frames(y)));
    let reason = reason_of(effect, &b, &w, same);
    Cell {
        mitigation: mitigation.to_owned(),
        effect,
        before: b.outage,
        after: w.outage,
        reason,
        also: also(base, with),
        schedules: None,
    }
}

fn effect_of(b: &Summary, w: &Summary) -> FixEffect {
    if w.healthy {
        return if b.healthy { FixEffect::Nothing } else { FixEffect::Cures };
    }
    // a mitigation shifts the dice; only what every throw shows counts
    let pairs = || b.each.iter().zip(&w.each);
    let worse = pairs().all(|(b, w)| saves(*w, *b));
    let lost_for_good = !w.unserved.is_subset(&b.unserved);
    if b.healthy || (w.add_failed && !b.add_failed) || worse || lost_for_good {
        return FixEffect::Breaks;
    }
    if pairs().all(|(b, w)| saves(*b, *w)) {
        return FixEffect::Shortens;
    }
    // as long, but with another symptom than before
    let other = !w.errors.is_empty() && !b.errors.is_empty() && w.errors.is_disjoint(&b.errors);
    if other { FixEffect::Breaks } else { FixEffect::Nothing }
}

/// `after` is less than `before` by more than rounding and by a fifth.
pub(super) fn saves(before: Span, after: Span) -> bool {
    let saved = Span::from_ns(before.as_ns().saturating_sub(after.as_ns()));
    saved > SAVED_MIN && saved.as_ns() >= before.as_ns() / 5
}

fn frames(run: &Played) -> impl Iterator<Item = (u64, &[u8])> {
    run.events.iter().filter_map(|e| match &e.what {
        What::Frame { bytes, .. } => Some((e.t_ns.0, bytes.as_slice())),
        _ => None,
    })
}

fn list(codes: &BTreeSet<String>) -> String {
    codes.iter().cloned().collect::<Vec<_>>().join(", ")
}

pub(super) fn rounded(span: Span) -> String {
    if span >= FOR_GOOD {
        return "everything from then on".to_owned();
    }
    if span.as_ns() > FOR_GOOD.as_ns() / 10 {
        return "in some runs everything from then on".to_owned();
    }
    let ms = span.as_ns() / 1_000_000;
    if ms >= 10_000 { format!("{} s", ms / 1000) } else { format!("{}.{} s", ms / 1000, ms % 1000 / 100) }
}

fn reason_of(effect: FixEffect, b: &Summary, w: &Summary, same: bool) -> String {
    let gone: BTreeSet<String> = b.reasons.difference(&w.reasons).cloned().collect();
    let new: BTreeSet<String> = w.reasons.difference(&b.reasons).cloned().collect();
    let errors: BTreeSet<String> = w.errors.difference(&b.errors).cloned().collect();
    match effect {
        FixEffect::Cures if gone.is_empty() => {
            format!("the clients are served at once; before, {} were lost", rounded(b.outage))
        }
        FixEffect::Cures => format!("{} no longer keeps the gateway silent", list(&gone)),
        FixEffect::Shortens => {
            let rest = if w.reasons.is_empty() {
                String::new()
            } else {
                format!("; what is left: {}", list(&w.reasons))
            };
            format!("{} lost instead of {}{rest}", rounded(w.outage), rounded(b.outage))
        }
        FixEffect::Nothing if b.started && !w.started => {
            format!("still silent: {}; nothing was served before either", list(&w.reasons))
        }
        FixEffect::Nothing if same => {
            "not a frame of the run is different: it touches nothing here".to_owned()
        }
        FixEffect::Nothing if b.healthy => "there is nothing to cure".to_owned(),
        FixEffect::Nothing if w.reasons.is_empty() && !gone.is_empty() => format!(
            "the gateway answers now, yet {} are lost: {}",
            rounded(w.outage),
            if w.errors.is_empty() { "nothing comes back".to_owned() } else { list(&w.errors) }
        ),
        FixEffect::Nothing if w.reasons.is_empty() => {
            format!("{} lost as before; the gateway's answer was not what was missing", rounded(w.outage))
        }
        FixEffect::Nothing => format!("still silent: {}; {} lost", list(&w.reasons), rounded(w.outage)),
        FixEffect::Breaks if w.add_failed && !b.add_failed => "CNI ADD fails".to_owned(),
        FixEffect::Breaks => {
            let (now, before) = (rounded(w.outage), rounded(b.outage));
            let instead = if now == before { "as before".to_owned() } else { format!("instead of {before}") };
            let mut parts = vec![format!("{now} lost {instead}")];
            parts.extend((!new.is_empty()).then(|| format!("now silent: {}", list(&new))));
            parts.extend((!errors.is_empty()).then(|| format!("now {}", list(&errors))));
            let never: Vec<String> = w.unserved.difference(&b.unserved).cloned().collect();
            parts.extend((!never.is_empty()).then(|| format!("never served: {}", never.join(", "))));
            parts.join("; ")
        }
    }
}

/// When the pod's containers started.
fn started(run: &Played) -> Option<Time> {
    let start = StepTable::built_in("kubelet.container-start");
    let is_start = |w: &What| matches!(w, What::Step { step, .. } if *step == start);
    run.events.iter().find(|e| is_start(&e.what)).map(|e| e.t_ns)
}

/// What the mitigation leaves behind that was not there without it.
fn also(base: &[Played], with: &[Played]) -> Option<String> {
    let any = |runs: &[Played], f: fn(&Played) -> bool| runs.iter().any(f);
    let mut parts: Vec<String> = Vec::new();
    if any(with, |r| r.claims_pod_address) && !any(base, |r| r.claims_pod_address) {
        parts.push("the host answers for the pod's own address".to_owned());
    }
    if any(with, |r| r.gateway_is_local) && !any(base, |r| r.gateway_is_local) {
        parts.push("packets for 169.254.1.1 end in the node's local branch".to_owned());
    }
    if any(with, |r| started(r).is_none()) && base.iter().all(|r| started(r).is_some()) {
        parts.push("the containers never start".to_owned());
    }
    let later = |(b, w): (&Played, &Played)| Some(started(w)?.0.saturating_sub(started(b)?.0));
    let delay = base.iter().zip(with).filter_map(later).min().map_or(Span::ZERO, Span::from_ns);
    if delay > START_LATER {
        parts.push(format!("the containers start {} later", rounded(delay)));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// A scenario's runs without a mitigation, in a line.
pub(super) fn describe(scenario: &Scenario, base: &[Played]) -> String {
    let b = summary(scenario, base);
    if b.healthy {
        return "nothing is lost".to_owned();
    }
    let reasons = if b.reasons.is_empty() { "the gateway answers".to_owned() } else { list(&b.reasons) };
    if b.outage <= AT_ONCE {
        return format!("no time is lost, yet it is not as it should be; {reasons}");
    }
    format!("{} lost; {reasons}", rounded(b.outage))
}
