//! Scenarios against mitigations: which cures, which shortens, which does nothing, which breaks
//! something else, and why.
//!
//! Nothing here is written down beforehand. Each cell is the simulator's run of a scenario with a
//! mitigation, over a few seeds, against its run without; [`judge`] compares what the clients and
//! the gateway did. Cells are independent, so they are spread over threads; each result has its
//! place, and the matrix is the same however many threads there are. [`settled_matrix`] does the same
//! over all schedules within a bound.

mod html;
mod identify;
mod judge;
mod minute;
mod outage;
mod play;
mod render;
mod search;
mod settle;
mod symptoms;

pub use html::write_html;
pub use identify::{
    Candidate, CaptureError, Counts, Course, Holder, Library, Look, MOST_FRAMES, Observation, Sight,
    Signature, TraceError, Value, Vantage, identify, next_looks, signature,
};
pub use judge::{Cell, judge};
pub use minute::{ABOUT, Minute, minutes};
pub use outage::{FOR_GOOD, Outage, outages};
pub use play::{Played, play};
pub use render::{write_csv, write_json, write_text};
pub use search::{Hit, Miss, Query, Searched, search};
pub use settle::{Schedules, Settling, settled_matrix};
pub use symptoms::{Fits, Symptoms, symptoms};

use crate::scenario::file::FixEffect;
use crate::scenario::{Mitigation, Overrides, PlanError, Scenario};
use serde::Serialize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The seeds a cell is run with: enough to see that a verdict does not hang on one throw of the
/// dice, few enough for the whole matrix to run in seconds.
pub const SEEDS: [u64; 3] = [1, 2, 3];

/// A line of the matrix.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The scenario's id.
    pub scenario: String,
    /// Its title.
    pub title: String,
    /// It is not about ARP.
    pub look_alike: bool,
    /// What the scenario is like without any mitigation.
    pub without: String,
    /// One cell for each mitigation, in their order.
    pub cells: Vec<Cell>,
    /// One cell for each fix of the scenario's own file, in their order.
    pub own: Vec<Cell>,
}

/// A column's head.
#[derive(Clone, Debug, Serialize)]
pub struct Column {
    /// The mitigation's name.
    pub name: String,
    /// Its title.
    pub title: String,
    /// How it works, in its own words.
    pub why: String,
    /// Settings that no release knows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unknown_settings: Vec<String>,
}

/// The matrix.
#[derive(Clone, Debug, Serialize)]
pub struct Matrix {
    /// The mitigations.
    pub columns: Vec<Column>,
    /// The scenarios.
    pub rows: Vec<Row>,
    /// What it was settled with, where its cells are verdicts over schedules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settled: Option<Settling>,
}

impl Matrix {
    /// How many cells have that effect.
    #[must_use]
    pub fn count(&self, effect: FixEffect) -> usize {
        self.rows.iter().flat_map(|r| &r.cells).filter(|c| c.effect == effect).count()
    }
}

/// Runs every scenario with every mitigation on up to `threads` threads.
pub fn matrix(
    scenarios: &[Scenario],
    mitigations: &[Mitigation],
    threads: usize,
) -> Result<Matrix, PlanError> {
    // the runs without a mitigation come first: every cell of a row is compared with them
    let bases = spread(scenarios.len(), threads, |at| runs(&scenarios[at], None))?;
    let columns = mitigations.len();
    let cells = spread(scenarios.len() * columns, threads, |at| {
        let (row, mitigation) = (at / columns.max(1), &mitigations[at % columns.max(1)]);
        Ok(match runs(&scenarios[row], Some(mitigation)) {
            Ok(with) => judge(&scenarios[row], &bases[row], &with, &mitigation.name),
            // the kernel would refuse it here, or the scenario has no place for it
            Err(why) => Cell::refused(&mitigation.name, &why),
        })
    })?;
    let own = spread(scenarios.len(), threads, |at| own_cells(&scenarios[at], &bases[at]))?;
    let mut cells = cells.into_iter();
    let rows = scenarios
        .iter()
        .zip(&bases)
        .zip(own)
        .map(|((s, base), own)| Row {
            scenario: s.id().to_owned(),
            title: s.file().title.clone(),
            look_alike: s.file().look_alike,
            without: judge::describe(s, base),
            cells: cells.by_ref().take(columns).collect(),
            own,
        })
        .collect();
    let heads = mitigations
        .iter()
        .map(|m| Column {
            name: m.name.clone(),
            title: m.title.clone(),
            why: m.why.clone(),
            unknown_settings: m.unknown_settings.clone(),
        })
        .collect();
    Ok(Matrix { columns: heads, rows, settled: None })
}

/// What the fixes of the scenario's own file do for it.
fn own_cells(scenario: &Scenario, base: &[Played]) -> Result<Vec<Cell>, PlanError> {
    let cell = |name: &String| {
        let overrides = Overrides { fixes: vec![name.clone()], ..Overrides::default() };
        let with: Result<Vec<Played>, PlanError> =
            SEEDS.iter().map(|seed| play(scenario, &overrides, *seed)).collect();
        Ok(judge(scenario, base, &with?, name))
    };
    scenario.file().fixes.iter().map(|fix| cell(fix.name.get_ref())).collect()
}

fn runs(scenario: &Scenario, mitigation: Option<&Mitigation>) -> Result<Vec<Played>, PlanError> {
    let mut overrides = Overrides::default();
    if let Some(m) = mitigation {
        overrides.with(&m.name);
    }
    SEEDS.iter().map(|seed| play(scenario, &overrides, *seed)).collect()
}

/// Does `count` pieces of work on some threads; results come in the order of the work.
fn spread<T: Send>(
    count: usize,
    threads: usize,
    work: impl Fn(usize) -> Result<T, PlanError> + Sync,
) -> Result<Vec<T>, PlanError> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Result<T, PlanError>)>> = Mutex::new(Vec::with_capacity(count));
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, count.max(1)) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count {
                        return;
                    }
                    let result = work(at);
                    done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((at, result));
                }
            });
        }
    });
    let mut all = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    all.sort_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, result)| result).collect()
}
