//! The matrix over schedules: each cell compares all schedules of a scenario, within a small bound, with
//! all of those with the mitigation.
//!
//! # Theory of operation
//!
//! The single runs of [`matrix`](super::matrix()) come first: they tell what a mitigation leaves behind,
//! and whether it cures them. Then every plan is settled once, however many cells it serves: most
//! mitigations leave most scenarios as they are. Where the two sides of a cell could be settled
//! within different bounds only, the one with the wider bounds is settled within the narrower too, so
//! that what is compared is alike.

use super::judge::saves;
use super::outage::FOR_GOOD;
use super::{Cell, Column, Matrix, matrix, spread};
use crate::explore::{Bounds, Effort, Settled, settle};
use crate::scenario::file::FixEffect;
use crate::scenario::{Mitigation, Overrides, Plan, PlanError, Scenario};
use crate::time::Span;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What is known of all schedules of a cell.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Schedules {
    /// The bounds within which both sides were settled; `None` when one of them was not.
    pub within: Option<String>,
    /// They are narrower than those that were asked for.
    pub narrowed: bool,
    /// How many steps may be late within them.
    #[serde(skip)]
    pub late: Option<u16>,
    /// How many schedules there are with the mitigation. A decimal number, as it may exceed 64 bits.
    pub count: String,
    /// Those of them that lack a property.
    pub fails: String,
    /// The properties that some of them lack.
    pub lacks: Vec<String>,
    /// What the single runs say.
    pub runs: FixEffect,
}

/// What every cell was settled with.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Settling {
    /// The bounds.
    pub bounds: String,
    /// States at most, of each plan.
    pub states: u64,
    /// What must hold.
    pub properties: Vec<String>,
}

/// Where a plan's verdict is kept, or why there is no plan.
type Place = Result<usize, String>;

/// The plans of all cells, each different one once.
#[derive(Default)]
struct Plans {
    plans: Vec<Plan>,
    /// By all that a plan consists of.
    places: BTreeMap<String, usize>,
}

impl Plans {
    fn add(&mut self, plan: Result<Plan, PlanError>) -> Place {
        let plan = plan.map_err(|why| why.to_string())?;
        let next = self.plans.len();
        let place = *self.places.entry(format!("{plan:?}")).or_insert(next);
        if place == next {
            self.plans.push(plan);
        }
        Ok(place)
    }
}

/// A row's plans: without anything, with each mitigation, with each fix of the scenario's own.
struct RowPlans {
    without: Place,
    with: Vec<Place>,
}

/// Settles every scenario with every mitigation on up to `threads` threads; `told` hears how many of
/// how many plans are done.
pub fn settled_matrix(
    scenarios: &[Scenario],
    mitigations: &[Mitigation],
    effort: &Effort,
    threads: usize,
    told: &(dyn Fn(usize, usize) + Sync),
) -> Result<Matrix, PlanError> {
    let mut result = matrix(scenarios, mitigations, threads)?;
    let mut plans = Plans::default();
    let rows: Vec<RowPlans> = scenarios.iter().map(|s| row_plans(s, &result.columns, &mut plans)).collect();
    let done = AtomicUsize::new(0);
    let settled = spread(plans.plans.len(), threads, |at| {
        let settled = settle(plans.plans[at].clone(), effort);
        told(done.fetch_add(1, Ordering::Relaxed) + 1, plans.plans.len());
        Ok(settled)
    })?;
    let again = again(&rows, &settled, &plans, effort, threads)?;
    let at = |place: usize, bounds: Option<&Bounds>| match bounds {
        Some(b) => again.get(&(place, b.late)).unwrap_or(&settled[place]),
        None => &settled[place],
    };
    for (row, places) in result.rows.iter_mut().zip(&rows) {
        let Ok(without) = &places.without else { continue };
        let without = *without;
        row.without = describe(&settled[without]);
        for (cell, with) in row.cells.iter_mut().chain(&mut row.own).zip(&places.with) {
            let Ok(with) = with else { continue };
            let with = *with;
            let common = narrower(&settled[without], &settled[with]);
            let (b, w) = (at(without, common.as_ref()), at(with, common.as_ref()));
            settle_cell(cell, b, w, without == with, effort);
        }
    }
    result.settled = Some(Settling {
        bounds: effort.bounds.to_string(),
        states: effort.states,
        properties: effort.properties.iter().map(ToString::to_string).collect(),
    });
    Ok(result)
}

fn row_plans(scenario: &Scenario, columns: &[Column], plans: &mut Plans) -> RowPlans {
    let without = plans.add(scenario.plan(&Overrides::default()));
    let mut with = Vec::new();
    for column in columns {
        let mut overrides = Overrides::default();
        overrides.with(&column.name);
        with.push(plans.add(scenario.plan(&overrides)));
    }
    for fix in &scenario.file().fixes {
        let overrides = Overrides { fixes: vec![fix.name.get_ref().clone()], ..Overrides::default() };
        with.push(plans.add(scenario.plan(&overrides)));
    }
    RowPlans { without, with }
}

/// The narrower bounds of two that were settled within different ones.
fn narrower(b: &Settled, w: &Settled) -> Option<Bounds> {
    let (b, w) = (b.within.as_ref()?, w.within.as_ref()?);
    // no limit is the widest
    let late = |x: &Bounds| x.late.unwrap_or(u16::MAX);
    (b.late != w.late).then(|| if late(b) < late(w) { b.clone() } else { w.clone() })
}

/// Verdicts within bounds narrower than a plan's own, for comparison, by place and steps late.
fn again(
    rows: &[RowPlans],
    settled: &[Settled],
    plans: &Plans,
    effort: &Effort,
    threads: usize,
) -> Result<BTreeMap<(usize, Option<u16>), Settled>, PlanError> {
    let mut wanted: BTreeMap<(usize, Option<u16>), Bounds> = BTreeMap::new();
    for row in rows {
        let Ok(without) = &row.without else { continue };
        for with in row.with.iter().flatten() {
            let Some(bounds) = narrower(&settled[*without], &settled[*with]) else { continue };
            for place in [*without, *with] {
                if settled[place].within.as_ref() != Some(&bounds) {
                    wanted.insert((place, bounds.late), bounds.clone());
                }
            }
        }
    }
    let wanted: Vec<((usize, Option<u16>), Bounds)> = wanted.into_iter().collect();
    let found = spread(wanted.len(), threads, |at| {
        let ((place, _), bounds) = &wanted[at];
        Ok(settle(plans.plans[*place].clone(), &Effort { bounds: bounds.clone(), ..effort.clone() }))
    })?;
    Ok(wanted.iter().map(|w| w.0).zip(found).collect())
}

/// Puts the verdict over schedules in the place of that of the single runs.
fn settle_cell(cell: &mut Cell, b: &Settled, w: &Settled, same: bool, effort: &Effort) {
    let runs = cell.effect;
    let within = b.within.as_ref().and(w.within.as_ref());
    cell.effect = if within.is_some() { effect_of(b, w) } else { FixEffect::Nothing };
    cell.reason = reason_of(cell.effect, b, w, same);
    if within.is_some() && runs == FixEffect::Cures && w.fails > 0 {
        cell.reason.push_str("; the single runs are cured");
    }
    (cell.before, cell.after) = (worst(b), worst(w));
    cell.schedules = Some(Schedules {
        within: within.map(ToString::to_string),
        narrowed: within.is_some_and(|x| x.late != effort.bounds.late),
        late: within.and_then(|x| x.late),
        count: w.schedules.to_string(),
        fails: w.fails.to_string(),
        lacks: w.lacks.clone(),
        runs,
    });
}

/// The longest that anything took in any schedule: the first answer, or a silence after it.
fn worst(s: &Settled) -> Span {
    s.first_answer.unwrap_or(FOR_GOOD).max(s.silence)
}

/// Properties about waiting. They are one and the same lack: a first answer that comes at once and is
/// followed by a minute of silence is no other fault than a first answer after a minute.
const WAITING: [&str; 3] = ["first-packet-within", "no-silence-longer-than", "is-served"];

/// What is lacked that nothing of its kind was before.
fn new<'w>(b: &Settled, w: &'w Settled) -> Vec<&'w str> {
    let waits = |l: &str| WAITING.iter().any(|name| l.split('=').next() == Some(name));
    let waited = b.lacks.iter().any(|l| waits(l));
    let is_new = |l: &&str| if waits(l) { !waited } else { b.lacks.iter().all(|x| x != l) };
    w.lacks.iter().map(String::as_str).filter(is_new).collect()
}

fn effect_of(b: &Settled, w: &Settled) -> FixEffect {
    if w.fails == 0 {
        return if b.fails == 0 { FixEffect::Nothing } else { FixEffect::Cures };
    }
    let (before, after) = (worst(b), worst(w));
    if !new(b, w).is_empty() || saves(after, before) {
        return FixEffect::Breaks;
    }
    if saves(before, after) {
        return FixEffect::Shortens;
    }
    // no schedule is left that is well, and some were
    let all = |s: &Settled| s.fails == s.schedules;
    if all(w) && !all(b) { FixEffect::Breaks } else { FixEffect::Nothing }
}

fn reason_of(effect: FixEffect, b: &Settled, w: &Settled, same: bool) -> String {
    if b.within.is_none() || w.within.is_none() {
        let which = if b.within.is_none() { "without it" } else { "with it" };
        return format!("not settled {which}: not even the narrowest bounds fit");
    }
    if same {
        return format!("nothing that runs is different; {b}");
    }
    let instead = || {
        let (before, after) = (worst(b), worst(w));
        if before == after {
            String::new()
        } else {
            format!("; the worst is {} instead of {}", long(after), long(before))
        }
    };
    match effect {
        FixEffect::Cures => format!("{w}; before, {b}: {}", b.lacks.join(", ")),
        FixEffect::Nothing if w.fails == 0 => format!("there is nothing to cure: {w}"),
        FixEffect::Nothing | FixEffect::Shortens => {
            let before = if (b.fails == b.schedules) == (w.fails == w.schedules) {
                String::new()
            } else {
                format!("; before, {b}")
            };
            format!("{w}: {}{}{before}", w.lacks.join(", "), instead())
        }
        FixEffect::Breaks => {
            let new = new(b, w);
            let what =
                if new.is_empty() { w.lacks.join(", ") } else { format!("now also {}", new.join(", ")) };
            format!("{w}: {what}{}; before, {b}", instead())
        }
    }
}

fn long(span: Span) -> String {
    if span >= FOR_GOOD { "no answer at all".to_owned() } else { super::judge::rounded(span) }
}

/// A scenario's schedules without a mitigation, in a line.
fn describe(b: &Settled) -> String {
    match (&b.within, b.fails) {
        (None, _) | (_, 0) => b.to_string(),
        _ => format!("{b}: {}; the worst is {}", b.lacks.join(", "), long(worst(b))),
    }
}
