//! `arplab matrix --explore`: verdicts over schedules in the place of single runs.

use super::fail::Fail;
use crate::explore::{Effort, Settled, settle};
use crate::scenario::{Mitigation, Overrides, Scenario};
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// A scenario with a mitigation, or without one.
pub(super) struct Cell {
    scenario: String,
    mitigation: Option<String>,
    /// The verdict, or why there can be none.
    settled: Result<Settled, String>,
}

/// Every scenario without and with every mitigation, in order, however many threads there are.
pub(super) fn cells(scenarios: &[Scenario], mitigations: &[Mitigation], threads: usize) -> Vec<Cell> {
    let effort = Effort::default();
    let begun = Instant::now();
    let with: Vec<Option<&Mitigation>> = std::iter::once(None).chain(mitigations.iter().map(Some)).collect();
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Cell)>> = Mutex::new(Vec::new());
    let bar = super::output::spinner();
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(scenario) = scenarios.get(at / with.len()) else { return };
                    let cell = cell(scenario, with[at % with.len()], &effort);
                    let mut done = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    done.push((at, cell));
                    if let Some(bar) = &bar {
                        bar.set_message(format!("{} of {} cells", done.len(), scenarios.len() * with.len()));
                        bar.tick();
                    }
                }
            });
        }
    });
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    tracing::info!(seconds = begun.elapsed().as_secs(), "settled");
    let mut all = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    all.sort_by_key(|c| c.0);
    all.into_iter().map(|c| c.1).collect()
}

fn cell(scenario: &Scenario, mitigation: Option<&Mitigation>, effort: &Effort) -> Cell {
    let mut overrides = Overrides::default();
    if let Some(m) = mitigation {
        overrides.with(&m.name);
    }
    Cell {
        scenario: scenario.id().to_owned(),
        mitigation: mitigation.map(|m| m.name.clone()),
        settled: scenario.plan(&overrides).map(|plan| settle(plan, effort)).map_err(|e| e.to_string()),
    }
}

/// Prints the cells.
pub(super) fn print(cells: &[Cell], json: bool) -> Result<u8, Fail> {
    let effort = Effort::default();
    let mut out = std::io::stdout().lock();
    let properties: Vec<String> = effort.properties.iter().map(ToString::to_string).collect();
    if json {
        let all: Vec<_> = cells.iter().map(as_json).collect();
        let whole = serde_json::json!({
            "bounds": effort.bounds.to_string(), "states": effort.states, "properties": properties, "cells": all,
        });
        writeln!(out, "{whole}")?;
        return Ok(super::AS_EXPECTED);
    }
    writeln!(out, "Each cell: every schedule with {},", effort.bounds)?;
    writeln!(out, "or with no step late where these take more than {} states (*);", effort.states)?;
    writeln!(out, "held against {}.", properties.join(", "))?;
    for cell in cells {
        match &cell.mitigation {
            None => write!(out, "\n{}: ", cell.scenario)?,
            Some(m) => write!(out, "  {m:<28} ")?,
        }
        match &cell.settled {
            Err(why) => writeln!(out, "not possible: {why}")?,
            Ok(s) => {
                let narrowed = s.within.as_ref().is_some_and(|w| w.late != effort.bounds.late);
                let lacks =
                    if s.lacks.is_empty() { String::new() } else { format!(": {}", s.lacks.join(", ")) };
                writeln!(out, "{s}{}{lacks}", if narrowed { " *" } else { "" })?;
            }
        }
    }
    Ok(super::AS_EXPECTED)
}

fn as_json(cell: &Cell) -> serde_json::Value {
    let (scenario, with) = (&cell.scenario, &cell.mitigation);
    match &cell.settled {
        Err(why) => serde_json::json!({ "scenario": scenario, "with": with, "refused": why }),
        Ok(s) => serde_json::json!({
            "scenario": scenario, "with": with, "ok": s.ok(),
            "within": s.within.as_ref().map(ToString::to_string),
            "schedules": s.schedules.to_string(), "fails": s.fails.to_string(), "lacks": s.lacks,
        }),
    }
}
