//! Makes a failing schedule smaller: first its decisions, then the scenario around it.

use super::bounds::Bounds;
use super::explorer::FailingSchedule;
use super::facts::Facts;
use super::node::{Cost, Ground};
use super::path::{Path, PathDraws};
use super::property::Property;
use super::replay::replay;
use super::tally::Tally;
use crate::scenario::Plan;
use crate::time::Time;
use std::sync::Arc;

/// Runs spent on a schedule, at most.
const TRIALS_MAX: u32 = 20_000;

/// The cost of a path if it fails, for comparison: fewer late steps first.
fn fails(ground: &Ground, properties: &[Property], path: &Path) -> Option<Cost> {
    let ran = ground.run(path, &mut ());
    Tally::leaf(&ran.facts, properties).best.map(|_| ran.cost)
}

/// Turns decisions back to the expected way as long as the schedule fails and gets no dearer:
/// whole tails first, then single ones, then draws.
pub(super) fn shrink(ground: &Ground, properties: &[Property], path: Path) -> Path {
    let mut best = path;
    let Some(mut cost) = fails(ground, properties, &best) else { return best };
    let mut trials = 0;
    let mut attempt = |candidate: Path, best: &mut Path, cost: &mut Cost| {
        trials += 1;
        if trials > TRIALS_MAX {
            return None;
        }
        match fails(ground, properties, &candidate) {
            Some(c) if c < *cost || (c == *cost && candidate.decisions.len() < best.decisions.len()) => {
                (*best, *cost) = (candidate, c);
                Some(true)
            }
            _ => Some(false),
        }
    };
    loop {
        let before = best.clone();
        for keep in (0..best.decisions.len()).rev() {
            if best.decisions.get(keep).is_none_or(|d| *d == 0) {
                continue;
            }
            let mut tail = best.clone();
            tail.decisions.truncate(keep);
            let mut one = best.clone();
            one.decisions[keep] = 0;
            let mut less = best.clone();
            less.decisions[keep] -= 1;
            for candidate in [tail, one, less] {
                match attempt(candidate, &mut best, &mut cost) {
                    None => return best,
                    Some(true) => break,
                    Some(false) => {}
                }
            }
        }
        if best == before {
            break;
        }
    }
    plain_draws(ground, properties, best)
}

/// The expected values of all draws, if the schedule fails with them as well.
fn plain_draws(ground: &Ground, properties: &[Property], path: Path) -> Path {
    let plain = Path { draws: PathDraws::Points(Vec::new()), ..path.clone() };
    let (with, without) = (fails(ground, properties, &path), fails(ground, properties, &plain));
    match (with, without) {
        (Some(with), Some(without)) if without <= with => plain,
        _ => path,
    }
}

/// Ends a failing schedule where its failure is certain: at the first event after which nothing
/// can mend it. What follows would only make a replay longer.
pub(super) fn ending(found: FailingSchedule, lacks: &dyn Fn(&Facts) -> Vec<String>) -> FailingSchedule {
    let ended = |at: Time| {
        let bounds = Bounds { horizon: at.since(Time::ZERO), ..found.bounds.clone() };
        let ran = replay(found.plan.clone(), &found.schedule, &bounds);
        let same = found.schedule.entries.starts_with(&ran.schedule.entries);
        (same && lacks(&ran.facts) == found.lacks).then_some((bounds, ran))
    };
    let mut times: Vec<Time> = found.events.iter().map(|e| e.t_ns).collect();
    times.dedup();
    let least = times.partition_point(|t| ended(*t).is_none());
    match times.get(least).and_then(|t| ended(*t)) {
        Some((bounds, ran)) => {
            FailingSchedule { bounds, schedule: ran.schedule, facts: ran.facts, events: ran.events, ..found }
        }
        None => found,
    }
}

/// What was left out of a scenario without losing the failure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Clients, by name.
    pub clients: Vec<String>,
    /// Holds, by step.
    pub holds: Vec<String>,
    /// Faults of the link, by place in the file, from 1.
    pub faults: Vec<usize>,
}

impl LeftOut {
    /// Nothing could be left out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty() && self.holds.is_empty() && self.faults.is_empty()
    }

    /// Leaves the same out of a plan.
    pub fn apply(&self, plan: &mut Plan) {
        let steps = Arc::clone(&plan.steps);
        plan.clients.retain(|c| !self.clients.contains(&c.name));
        plan.holds.retain(|h| !self.holds.contains(&steps.info(h.step).name));
        let mut number = 0;
        plan.faults.retain(|_| {
            number += 1;
            !self.faults.contains(&number)
        });
    }
}

/// Leaves out of the scenario what the failure does not need. `still` tells whether a plan still
/// has a failing schedule no dearer than the one found.
pub(super) fn content(plan: &Plan, still: &mut dyn FnMut(Plan) -> bool) -> LeftOut {
    let mut out = LeftOut::default();
    let mut attempt = |candidate: LeftOut, out: &mut LeftOut| {
        let mut smaller = plan.clone();
        candidate.apply(&mut smaller);
        if still(smaller) {
            *out = candidate;
        }
    };
    for client in &plan.clients {
        // without any client nothing suffers
        if out.clients.len() + 1 < plan.clients.len() {
            let mut candidate = out.clone();
            candidate.clients.push(client.name.clone());
            attempt(candidate, &mut out);
        }
    }
    for hold in &plan.holds {
        let mut candidate = out.clone();
        candidate.holds.push(plan.steps.info(hold.step).name.clone());
        attempt(candidate, &mut out);
    }
    for number in 1..=plan.faults.len() {
        let mut candidate = out.clone();
        candidate.faults.push(number);
        attempt(candidate, &mut out);
    }
    out
}
