//! `arplab explore`.

use super::fail::Fail;
use super::{output, show};
use crate::choice::ChoiceKind;
use crate::explore::{
    Bounds, Budget, Case, Complete, Covered, Explorer, Failing, Grid, KNOWN, Property, Report, Stands,
    Strategy,
};
use crate::scenario::{HoldOverride, Overrides, Plan, Scenario};
use crate::time::Span;
use crate::trace::{Event, Timeline};
use std::io::Write;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Id, issue number, catalogue number, or a scenario file
    #[arg(required_unless_present_any = ["replay", "list_properties"])]
    scenario: Option<String>,
    /// Apply a fix of the scenario; may be given several times
    #[arg(long, value_name = "NAME")]
    fix: Vec<String>,
    /// Hold a step for a time in every schedule (0s lifts a hold of the scenario)
    #[arg(long, value_name = "STEP=DURATION")]
    hold: Vec<HoldOverride>,
    /// What every schedule must keep; may be given several times
    #[arg(long, value_name = "NAME[=DURATION]")]
    property: Vec<Property>,
    /// List the properties
    #[arg(long)]
    list_properties: bool,
    /// How schedules are picked
    #[arg(long, value_enum, default_value_t = Way::Exhaustive)]
    strategy: Way,
    /// How many steps may be late in one schedule, or "any"
    #[arg(long, value_name = "N", default_value = "1", value_parser = bound)]
    late: Bound,
    /// How late a step may be
    #[arg(long, value_name = "DURATION", default_value = "15s")]
    late_max: Span,
    /// How often a schedule may turn away from an actor that could go on, or "any"
    #[arg(long, value_name = "N", default_value = "any", value_parser = bound)]
    preemptions: Bound,
    /// When a run ends at the latest
    #[arg(long, value_name = "DURATION", default_value = "90s")]
    horizon: Span,
    /// Steps that take less than this may take no time
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    instant: Span,
    /// Let steps come between a frame's leaving and its arrival
    #[arg(long)]
    fine: bool,
    /// Go on until no actor has anything left to do, not only until the clients are done
    #[arg(long)]
    to_rest: bool,
    /// Try so many values of something that is drawn, such as cpu-race=3 or wheel-phase=8
    #[arg(long, value_name = "KIND=N", value_parser = grid)]
    grid: Vec<(ChoiceKind, u32)>,
    /// States (exhaustive) or schedules (otherwise) to spend
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    budget: u64,
    /// Time to spend; the result then depends on the machine
    #[arg(long, value_name = "DURATION")]
    budget_time: Option<Span>,
    /// Seed of the strategies that draw
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Changes of priority in one schedule (pct)
    #[arg(long, default_value_t = 3)]
    depth: u32,
    /// Threads; the result does not depend on them [default: all processors]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Do part I of N only
    #[arg(long, value_name = "I/N", value_parser = shard, default_value = "0/1")]
    shard: (u32, u32),
    /// Leave a failing schedule as it was found
    #[arg(long)]
    no_shrink: bool,
    /// Write the failing schedule to a file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Run a schedule from a file
    #[arg(long, value_name = "FILE", conflicts_with = "scenario")]
    replay: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// Every event of the schedule on a line of its own
    #[arg(long)]
    full: bool,
}

/// How schedules are picked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Way {
    /// Every one within the bounds
    Exhaustive,
    /// Every decision is drawn
    Random,
    /// Priorities that change at a few places
    Pct,
}

/// A number, or none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Bound(Option<u16>);

fn bound(text: &str) -> Result<Bound, String> {
    if text == "any" {
        return Ok(Bound(None));
    }
    text.parse().map(|n| Bound(Some(n))).map_err(|_| "a number or \"any\" is wanted".to_owned())
}

fn shard(text: &str) -> Result<(u32, u32), String> {
    let parts = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
    match parts {
        Some((i, n)) if i < n => Ok((i, n)),
        _ => Err("I/N is wanted, with I from 0 to N-1, such as 0/4".to_owned()),
    }
}

fn grid(text: &str) -> Result<(ChoiceKind, u32), String> {
    let (kind, points) = text.split_once('=').ok_or("KIND=N is wanted, such as cpu-race=3")?;
    let kind: ChoiceKind = serde_json::from_value(kind.into()).map_err(|e| e.to_string())?;
    let points: u32 = points.parse().map_err(|_| "the number of values is no number".to_owned())?;
    if kind == ChoiceKind::StepDelay || kind == ChoiceKind::Order {
        return Err("orders and delays of steps are explored anyway; see --late and --instant".to_owned());
    }
    if points == 0 || points > 4096 { Err("1 to 4096 values".to_owned()) } else { Ok((kind, points)) }
}

pub(super) fn run(args: &Args) -> Result<u8, Fail> {
    if args.list_properties {
        return list();
    }
    if let Some(path) = &args.replay {
        return replay(path, args.full);
    }
    let scenario = show::load(args.scenario.as_deref().unwrap_or_default())?;
    let overrides = Overrides { holds: args.hold.clone(), fixes: args.fix.clone() };
    let plan = scenario.plan(&overrides)?;
    let properties = if args.property.is_empty() { Property::usual() } else { args.property.clone() };
    let strategy = match args.strategy {
        Way::Exhaustive => Strategy::Exhaustive,
        Way::Random => Strategy::Random { seed: args.seed },
        Way::Pct => Strategy::Pct { seed: args.seed, depth: args.depth },
    };
    let mut explorer = Explorer::new(plan)
        .bounds(bounds(args))
        .properties(properties.clone())
        .strategy(strategy)
        .budget(Budget { count: args.budget, time: args.budget_time })
        .shard(args.shard.0, args.shard.1)
        .shrink(!args.no_shrink);
    if let Some(threads) = args.threads {
        explorer = explorer.threads(threads);
    }
    let report = explorer.run();
    let case = report.failing.as_ref().map(|f| {
        Case::new(&f.schedule, &bounds(args), &properties, Stands::Fails).of_scenario(
            args.scenario.as_deref().unwrap_or_default(),
            &args.fix,
            &f.left_out,
        )
    });
    if let (Some(path), Some(case)) = (&args.out, &case) {
        let text = case.to_text().map_err(|e| Fail::usage(e.to_string()))?;
        std::fs::write(path, text)
            .map_err(|e| Fail::usage(format!("writing the schedule {} failed: {e}", path.display())))?;
    }
    let mut out = std::io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &json(&scenario, args, &report))?;
        writeln!(out)?;
    } else {
        print(args, &scenario, &report, &mut out)?;
    }
    Ok(match report.covered {
        Covered::Nothing => super::UNEXPECTED,
        _ if report.ok() => super::AS_EXPECTED,
        _ => super::UNEXPECTED,
    })
}

fn bounds(args: &Args) -> Bounds {
    let grid = args.grid.iter().fold(Grid::default(), |g, (kind, n)| g.with(*kind, *n));
    Bounds {
        late: args.late.0,
        preemptions: args.preemptions.0,
        detours: None,
        late_max: args.late_max,
        instant: args.instant,
        horizon: args.horizon,
        complete: if args.to_rest { Complete::AtRest } else { Complete::AsPlanned },
        fine: args.fine,
        grid,
    }
}

fn list() -> Result<u8, Fail> {
    let mut out = std::io::stdout().lock();
    for (name, limit, text) in KNOWN {
        let head = limit.map_or((*name).to_owned(), |l| format!("{name}={l}"));
        writeln!(out, "{head}\n{}", output::fold(text, 8, 96).trim_end())?;
    }
    Ok(super::AS_EXPECTED)
}

/// A file's case, and the plan of its scenario.
pub(super) fn load_case(path: &std::path::Path) -> Result<(Case, Scenario, Plan), Fail> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|e| Fail::usage(format!("reading the schedule {shown} failed: {e}")))?;
    let case = Case::parse(&text).map_err(|e| Fail::usage(format!("{shown}: {e}")))?;
    if case.scenario.is_empty() {
        let why = "it belongs to a plan built in code; replay it there with Case::check";
        return Err(Fail::usage(format!("{shown} names no scenario: {why}")));
    }
    let scenario = show::load(&case.scenario)?;
    let overrides = Overrides { holds: Vec::new(), fixes: case.fixes.clone() };
    let plan = scenario.plan(&overrides)?;
    Ok((case, scenario, plan))
}

/// Runs the schedule of a file in the simulator, move by move.
pub(super) fn replay(path: &std::path::Path, full: bool) -> Result<u8, Fail> {
    let (case, scenario, plan) = load_case(path)?;
    let replayed = case.replay(plan);
    let lacking = case.lacking(&replayed, &[]).map_err(|e| Fail::usage(e.to_string()))?;
    if replayed.misfits > 0 {
        eprintln!("arplab: the program has changed: {} recorded moves or draws do not fit", replayed.misfits);
    }
    tell(&case, &scenario, &replayed.events, &lacking, full)
}

/// Holds the events of a live run of a case against its properties.
#[cfg(feature = "live")]
pub(super) fn verdict(case: &Case, scenario: &Scenario, events: &[Event], full: bool) -> Result<u8, Fail> {
    let lacking = case
        .lacking_facts(&crate::explore::Facts::of_events(events), &[])
        .map_err(|e| Fail::usage(e.to_string()))?;
    tell(case, scenario, events, &lacking, full)
}

fn tell(
    case: &Case,
    scenario: &Scenario,
    events: &[Event],
    lacking: &[String],
    full: bool,
) -> Result<u8, Fail> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}: {}", scenario.id(), scenario.file().title)?;
    out.write_all(Timeline::render(events, output::style(full)).as_bytes())?;
    match lacking {
        [] => writeln!(out, "\nIt has every property: {}.", case.properties.join(", "))?,
        _ => writeln!(out, "\nIt lacks: {}.", lacking.join(", "))?,
    }
    let as_recorded = lacking.is_empty() == (case.outcome == Stands::Holds);
    writeln!(out, "{}", if as_recorded { "As recorded." } else { "NOT as recorded." })?;
    Ok(if as_recorded { super::AS_EXPECTED } else { super::UNEXPECTED })
}

fn print(args: &Args, scenario: &Scenario, r: &Report, out: &mut dyn Write) -> Result<(), Fail> {
    let fixes = if args.fix.is_empty() { String::new() } else { format!(" with {}", args.fix.join(", ")) };
    writeln!(out, "{}{fixes}: {}\n", scenario.id(), scenario.file().title)?;
    let style = output::style(args.full);
    let (good, bad) = if style.unicode { ("✓", "✗") } else { ("v", "x") };
    covered(args, r, out)?;
    for p in &r.properties {
        let mark = if p.ok() { good } else { bad };
        let text = match (p.sometimes, p.kept, p.lacking) {
            (true, 0, _) => "never reached".to_owned(),
            (true, n, _) => format!("reached in {}", number(n)),
            (false, _, 0) => "holds in all".to_owned(),
            (false, _, n) => format!("fails in {}", number(n)),
        };
        writeln!(out, "  {mark} {:<34} {text}", p.property)?;
    }
    writeln!(out, "\nFirst answer after the containers start:")?;
    for (class, n) in &r.delays {
        writeln!(out, "  {:<12} {:>24}", class.to_string(), number(*n))?;
    }
    match &r.failing {
        Some(failing) => shortest(args, r, failing, out),
        None => Ok(()),
    }
}

fn covered(args: &Args, r: &Report, out: &mut dyn Write) -> Result<(), Fail> {
    let (i, n) = args.shard;
    let part = if n > 1 { format!(" (part {i} of {n})") } else { String::new() };
    match &r.covered {
        Covered::Nothing => {
            let why = "not even the narrowest bounds fit into the budget; raise --budget, lower --horizon, \
                       or use --strategy random";
            writeln!(out, "Nothing is settled: {why}.")?;
        }
        Covered::Drawn(n) => {
            writeln!(out, "{} schedules drawn{part}, seed {}.", number(u128::from(*n)), args.seed)?;
        }
        Covered::Every(bounds) => {
            let schedules = number(r.schedules);
            writeln!(out, "Every schedule{part} with {bounds}:")?;
            if bounds.late != args.late.0 {
                writeln!(out, "(the bounds asked for do not fit into the budget of {} states)", args.budget)?;
            }
            let (states, avoided) = (number(u128::from(r.states)), number(u128::from(r.avoided)));
            writeln!(
                out,
                "{schedules} schedules through {states} states; {avoided} arrivals at a known state."
            )?;
        }
    }
    Ok(())
}

fn shortest(args: &Args, r: &Report, f: &Failing, out: &mut dyn Write) -> Result<(), Fail> {
    let which = if matches!(r.covered, Covered::Every(_)) { "The shortest" } else { "A" };
    let steps = match f.cost.late {
        0 => "no step late".to_owned(),
        1 => "one step late".to_owned(),
        n => format!("{n} steps late"),
    };
    writeln!(out, "\n{which} failing schedule has {steps} and lacks {}:", f.lacks.join(", "))?;
    let left = [&f.left_out.clients, &f.left_out.holds].into_iter().flatten().cloned().collect::<Vec<_>>();
    if !left.is_empty() {
        writeln!(out, "(it fails without these parts of the scenario too: {})", left.join(", "))?;
    }
    out.write_all(Timeline::render(&f.events, output::style(args.full)).as_bytes())?;
    match &args.out {
        Some(path) => writeln!(out, "\nReplay it: arplab explore --replay {}", path.display())?,
        None => writeln!(out, "\nKeep it with --out FILE.")?,
    }
    Ok(())
}

/// A number with its thousands apart.
fn number(n: u128) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

fn json(scenario: &Scenario, args: &Args, r: &Report) -> serde_json::Value {
    let properties: Vec<_> = r
        .properties
        .iter()
        .map(|p| {
            serde_json::json!({
                "property": p.property, "sometimes": p.sometimes, "ok": p.ok(),
                "kept": p.kept.to_string(), "lacking": p.lacking.to_string(),
            })
        })
        .collect();
    let delays: Vec<_> = r
        .delays
        .iter()
        .map(|(c, n)| serde_json::json!({ "class": c.to_string(), "schedules": n.to_string() }))
        .collect();
    let covered = match &r.covered {
        Covered::Every(bounds) => serde_json::json!({ "every": bounds.to_string() }),
        Covered::Drawn(n) => serde_json::json!({ "drawn": n }),
        Covered::Nothing => serde_json::json!("nothing"),
    };
    serde_json::json!({
        "scenario": scenario.id(), "fixes": args.fix, "ok": r.ok(), "covered": covered,
        "schedules": r.schedules.to_string(), "states": r.states, "avoided": r.avoided,
        "properties": properties, "delays": delays,
        "failing": r.failing.as_ref().map(|f| serde_json::json!({
            "late": f.cost.late, "detours": f.cost.detours, "lacks": f.lacks,
            "steps": f.schedule.steps().map(|(s, n)| format!("{s} #{n}")).collect::<Vec<_>>(),
        })),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(number(0), "0");
        assert_eq!(number(999), "999");
        assert_eq!(number(471_251_631_022), "471 251 631 022");
    }

    #[test]
    fn options_refuse_what_they_cannot_mean() {
        assert!(shard("4/4").is_err() && shard("1").is_err());
        assert_eq!(shard("1/2"), Ok((1, 2)));
        assert!(grid("step-delay=3").is_err() && grid("luck=3").is_err() && grid("cpu-race=0").is_err());
        assert_eq!(grid("cpu-race=3"), Ok((ChoiceKind::CpuRace, 3)));
        assert_eq!(bound("any"), Ok(Bound(None)));
    }
}
