//! Schedules from files, replayed.

use crate::cli::fail::Fail;
use crate::cli::picture::Files;
use crate::cli::{AS_EXPECTED, UNEXPECTED, complain, matrix, output};
#[cfg(feature = "live")]
use crate::explore::Facts;
use crate::explore::{Case, Replayed};
use crate::regular;
use crate::scenario::{Plan, Scenario};
use crate::trace::{Timeline, Trace, observe, write_json};
use std::io::Write;
use std::path::Path;

/// How a replay is shown.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Shown<'a> {
    /// Every event on a line of its own.
    pub(in crate::cli) full: bool,
    /// Events as JSON lines.
    pub(in crate::cli) json: bool,
    /// Where the frames go.
    pub(in crate::cli) capture: Option<&'a Path>,
    /// Where the page goes.
    pub(in crate::cli) html: Option<&'a Path>,
}

/// Bytes of a schedule's file at most.
const FILE_MAX: u64 = 8 << 20;

fn read(path: &Path) -> Result<String, Fail> {
    let fail = |why| Fail::usage(format!("reading the schedule {} failed: {why}", path.display()));
    regular::text(path, FILE_MAX).map_err(fail)
}

/// A file's case, and the plan of its scenario.
pub(in crate::cli) fn load_case(path: &Path) -> Result<(Case, Scenario, Plan), Fail> {
    let shown = path.display();
    let case = Case::parse(&read(path)?)
        .map_err(|e| Fail::usage(format!("{shown}: {e}; `arplab explore --out FILE` writes such files")))?;
    if case.scenario.is_empty() {
        let why = "it belongs to a plan built in code; replay it there with Case::check";
        return Err(Fail::usage(format!("{shown} names no scenario: {why}")));
    }
    let (scenario, race) = super::load(&case.scenario)?;
    for name in &case.with {
        matrix::find(name)?;
    }
    let plan = race.map_or_else(|| scenario.plan(&case.overrides()), Ok)?;
    known_names(&case, &plan).map_err(|why| Fail::usage(format!("{shown}: {why}")))?;
    Ok((case, scenario, plan))
}

/// Says so when the program has changed since the schedule was kept.
pub(in crate::cli) fn warn_unfit(replayed: &Replayed) {
    if let Some(text) = replayed.unfit() {
        complain(&text);
    }
}

/// Names of what was left out that the scenario does not have.
fn known_names(case: &Case, plan: &Plan) -> Result<(), String> {
    let clients: Vec<&str> = plan.clients.iter().map(|c| c.name.as_str()).collect();
    let holds: Vec<&str> = plan.holds.iter().map(|h| plan.steps.info(h.step).name.as_str()).collect();
    for (what, named, there) in
        [("client", &case.without_clients, clients), ("hold on", &case.without_holds, holds)]
    {
        if let Some(name) = named.iter().find(|n| !there.contains(&n.as_str())) {
            let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
            return Err(format!("it leaves out the {what} {name:?}, and the scenario has: {there}"));
        }
    }
    Ok(())
}

/// Runs the schedule of a file in the simulator, move by move.
pub(in crate::cli) fn replay(path: &Path, how: Shown<'_>) -> Result<u8, Fail> {
    let (case, scenario, plan) = load_case(path)?;
    let replayed = case.replay(plan);
    let lacking = case.lacking(&replayed, &[]).map_err(|e| Fail::usage(e.to_string()))?;
    warn_unfit(&replayed);
    tell(&case, &scenario, &replayed.events, &lacking, how)
}

/// Holds the events of a live run of a case against its properties.
#[cfg(feature = "live")]
pub(in crate::cli) fn verdict(
    case: &Case,
    scenario: &Scenario,
    events: &Trace,
    how: Shown<'_>,
) -> Result<u8, Fail> {
    let facts = Facts::of_events(events);
    let lacking = case.lacking_facts(&facts, &[]).map_err(|e| Fail::usage(e.to_string()))?;
    tell(case, scenario, events, &lacking, how)
}

fn tell(
    case: &Case,
    scenario: &Scenario,
    events: &Trace,
    lacking: &[String],
    how: Shown<'_>,
) -> Result<u8, Fail> {
    let files = Files::at(how.capture, how.html)?;
    let as_recorded = case.is_as_recorded(lacking);
    // a kernel of which the model is wrong has not been shown the schedule of the model
    let differs = observe(events).differs;
    let mut out = output::Report::new();
    if how.json {
        write_json(events, &mut out)?;
        let result = if as_recorded { "as recorded" } else { "not as recorded" };
        let mut verdict = serde_json::json!({ "event": "verdict", "result": result, "lacks": lacking });
        if !differs.is_empty() {
            verdict["differs"] = serde_json::json!(differs);
        }
        writeln!(out, "{verdict}")?;
    } else {
        let changes = [&case.fixes[..], &case.with[..]].concat();
        let with = if changes.is_empty() { String::new() } else { format!(" with {}", changes.join(", ")) };
        writeln!(out, "{}{with}: {}", scenario.id(), scenario.file().title)?;
        out.write_all(Timeline::render(events, output::style(how.full)).as_bytes())?;
        match lacking {
            [] => writeln!(out, "\nIt has every property: {}.", case.properties.join(", "))?,
            _ => writeln!(out, "\nIt lacks {}.", lacking.join(", "))?,
        }
        for text in &differs {
            writeln!(out, "The model is WRONG about the kernel: {text}")?;
        }
        writeln!(out, "{}", if as_recorded { "As recorded." } else { "NOT as recorded." })?;
    }
    files.write("the schedule, replayed", events)?;
    Ok(if as_recorded && differs.is_empty() { AS_EXPECTED } else { UNEXPECTED })
}
