//! `arplab explore`.

mod args;
mod replay;
mod tell;
mod watch;

use super::capture::OutFile;
use super::fail::Fail;
use super::{change, output, show};
use crate::explore::{
    Budget, Case, Covered, Explorer, FailingSchedule, KNOWN, LeftOut, PROPERTIES_MAX, Property, Stands,
    Strategy, basic,
};
use crate::scenario::{Overrides, Plan, Scenario};
pub(super) use args::Args;
#[cfg(feature = "live")]
pub(super) use args::some_time;
use args::{SearchWay, bounds};
#[cfg(feature = "live")]
pub(super) use replay::verdict;
pub(super) use replay::{Shown, load_case, replay, warn_unfit};
use std::io::Write;

pub(super) fn run(args: &Args) -> Result<u8, Fail> {
    if args.list_properties {
        return list();
    }
    if let Some(path) = &args.replay {
        return replay(path, Shown { full: args.full, json: args.json, capture: None, html: None });
    }
    let word = args.scenario.as_deref().unwrap_or_default();
    let (scenario, race) = load(word)?;
    let overrides = change::overrides(&scenario, &args.hold, &args.fix, &args.with)?;
    if race.is_some() && overrides != Overrides::default() {
        let why = "its plan is made in code; arplab::explore::basic changes it";
        return Err(Fail::usage(format!("{word} takes no --hold, --fix or --with: {why}")));
    }
    let mut plan = race.map_or_else(|| scenario.plan(&overrides), Ok)?;
    let lifted = lift(args, &mut plan);
    // looked at before a long search
    let file = args.out.as_deref().map(|path| OutFile::at(path, "schedule")).transpose()?;
    let properties = properties(args)?;
    let mut explorer = Explorer::new(plan)
        .bounds(bounds(args))
        .properties(properties.clone())
        .strategy(strategy(args))
        .budget(Budget { count: args.budget, time: args.budget_time })
        .shard(args.shard.0, args.shard.1)
        .shrink(!args.no_shrink);
    if let Some(threads) = args.threads {
        explorer = explorer.threads(threads);
    }
    let report = watch::watched(explorer, args.budget);
    // what a search found is told even where it cannot be kept
    let kept = match (&file, &report.failing) {
        (Some(file), Some(failing)) => {
            write_case(file, &case(args, &overrides, lifted, &properties, failing))
        }
        _ => Ok(()),
    };
    let mut out = output::Report::new();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &tell::json(&scenario, args, &report))?;
        writeln!(out)?;
    } else {
        tell::print(args, &scenario, &report, &mut out)?;
    }
    kept?;
    Ok(match &report.covered {
        Covered::Nothing => super::UNEXPECTED,
        Covered::Every(within) if args.strict && within.late != args.late.0 => super::UNEXPECTED,
        _ if report.ok() => super::AS_EXPECTED,
        _ => super::UNEXPECTED,
    })
}

/// What is asked for, each once. A deadline that no run can miss is refused: it would hold of everything.
fn properties(args: &Args) -> Result<Vec<Property>, Fail> {
    let mut all: Vec<Property> = Vec::new();
    for property in &args.property {
        let beyond = property.limit().filter(|l| !property.is_sometimes() && *l >= args.horizon);
        if beyond.is_some() {
            return Err(Fail::usage(format!(
                "{property} cannot be lacked by a run of {} at most; raise --horizon",
                args.horizon
            )));
        }
        if !all.contains(property) {
            all.push(property.clone());
        }
    }
    if all.len() > PROPERTIES_MAX {
        let n = all.len();
        return Err(Fail::usage(format!("{n} properties; a search has at most {PROPERTIES_MAX}")));
    }
    Ok(if all.is_empty() { Property::usual() } else { all })
}

/// The scenario of that name; with its plan when it is the race that is made in code.
fn load(word: &str) -> Result<(Scenario, Option<Plan>), Fail> {
    if word == basic::ID {
        return Ok((basic::scenario(), Some(basic::race(1))));
    }
    Ok((show::load(word)?, None))
}

fn strategy(args: &Args) -> Strategy {
    match args.strategy {
        SearchWay::Exhaustive => Strategy::Exhaustive,
        SearchWay::Random => Strategy::Random { seed: args.seed },
        SearchWay::Pct => Strategy::Pct { seed: args.seed, depth: args.depth },
    }
}

/// Lifts the scenario's holds if that is wanted, and says which.
fn lift(args: &Args, plan: &mut Plan) -> Vec<String> {
    if !args.no_holds {
        return Vec::new();
    }
    let set = |step: &str| args.hold.iter().any(|h| h.step == step);
    let names = plan.holds.iter().map(|h| plan.steps.info(h.step).name.clone());
    let lifted: Vec<String> = names.filter(|n| !set(n)).collect();
    LeftOut { holds: lifted.clone(), ..LeftOut::default() }.apply(plan);
    lifted
}

/// The failing schedule as a file's case.
fn case(
    args: &Args,
    overrides: &Overrides,
    lifted: Vec<String>,
    properties: &[Property],
    failing: &FailingSchedule,
) -> Case {
    let mut left_out = failing.left_out.clone();
    left_out.holds.extend(lifted);
    Case::new(&failing.schedule, &failing.bounds, properties, Stands::Fails)
        .lacking_these(&failing.lacks)
        .of_scenario(args.scenario.as_deref().unwrap_or_default(), overrides, &left_out)
}

fn write_case(file: &OutFile, case: &Case) -> Result<(), Fail> {
    let text = case.to_text().map_err(|e| Fail::usage(e.to_string()))?;
    file.write(text.as_bytes())
}

fn list() -> Result<u8, Fail> {
    let mut out = output::Report::new();
    writeln!(
        out,
        "A time after = is the one taken when none is given; * is looked at without --property.\n"
    )?;
    let usual = Property::usual();
    for (name, limit, text) in KNOWN {
        let head = limit.map_or((*name).to_owned(), |l| format!("{name}={l}"));
        let mark = if usual.iter().any(|p| p.name() == *name) { " *" } else { "" };
        writeln!(out, "{head}{mark}\n{}", output::fold(text, 8, 96).trim_end())?;
    }
    Ok(super::AS_EXPECTED)
}
