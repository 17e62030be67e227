//! `arplab compare`.

use super::fail::Fail;
use super::picture::{PictureFile, begun};
use super::show;
use crate::choice::Seeded;
use crate::gateway::SmoltcpOutside;
use crate::scenario::{Corner, HoldOverride, Overrides, Plan, Scenario};
use crate::sim;
use crate::trace::{Comparison, Difference, Told, Trace, compare, many, outcome};
use core::fmt::Write as _;
use serde::Serialize;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Draws of the model that are tried at most. Reachable times are drawn from 30 s, the wheel's phase
/// from 2 s, and a request must be met within 0.1 s.
const SEEDS: u64 = 6000;
/// So many are tried even when one fits, in the hope of one that fits all.
const SEEDS_LEAST: u64 = 200;
/// The search ends after this time: a model of a thousand connections is slow, and a run that is
/// like none of the draws so far is hardly like the next.
const SEARCH: Duration = Duration::from_secs(15);

/// Run every corner this machine can, and show them side by side
///
/// The simulator, a real pod against the software gateway, and a real pod against the kernel's own
/// proxy ARP run the same scenario; the live ones at the same time, each in namespaces of its own.
/// All times count from the start of the pod's first container, an init container included.
///
/// What is random in the model (reachable times, how long a step takes) is drawn by a seed. A live
/// run agrees with the model if there is a seed (of 6000) with which the model does the same: each
/// ARP request within 0.1 s, and 0.03 s more for every request before it; broadcast or unicast,
/// answered or not, and for the same reason; the first success of each client within that
/// tolerance; what clients sent, got and lost within 1; the same errors, the same states of the
/// pod's entry as far as a kernel announces them, the same MAC and state at the end. A request
/// within tolerance of the moment when the gateway begins or ceases to answer may fall on either
/// side, and what hangs on it with it. What the scenario expects is not checked here but by `run`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit status: 0 the corners agree, 1 they differ, 2 usage or bad input, \
                        3 this machine has not even two corners (and what is missing).")]
pub(super) struct Args {
    /// Id, issue number, catalogue number, or a scenario file
    scenario: String,
    /// Apply a fix of the scenario; may be given several times
    #[arg(long, value_name = "NAME")]
    fix: Vec<String>,
    /// Apply a mitigation; `arplab list --mitigations` lists them
    #[arg(long, value_name = "NAME")]
    with: Vec<String>,
    /// Hold a step for a time (0s lifts a hold), such as felix.iface-seen=5s
    #[arg(long, value_name = "STEP=DURATION")]
    hold: Vec<HoldOverride>,
    /// The scenario at its full length, not in the shorter form that its file has for this
    #[arg(long)]
    full: bool,
    /// Of a scenario with a real plugin ([cni]): the scenario without one that the model runs beside it.
    /// Times count from the start of the first client, and the gateway's MAC is not compared
    #[arg(long, value_name = "SCENARIO", conflicts_with_all = ["fix", "with", "hold", "html", "full"])]
    model: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Write the runs as a page to look at, one below the other: one file, no network needed
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Seed of what the actors draw in the live runs
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// A corner and what came of it.
struct Column {
    live: Told,
    /// The model's run that is nearest to it.
    twin: Told,
    comparison: Comparison,
    /// The model's pod has a TAP.
    plain: bool,
}

/// A corner that could not be run.
#[derive(Serialize)]
struct Missing {
    corner: Corner,
    why: String,
}

/// Everything, for `--json`.
#[derive(Serialize)]
struct Whole<'a> {
    scenario: &'a str,
    agree: bool,
    shortened: &'a [String],
    corners: Vec<CornerOut<'a>>,
    missing: &'a [Missing],
}

#[derive(Serialize)]
struct CornerOut<'a> {
    live: &'a Told,
    model: &'a Told,
    differences: &'a [Difference],
}

pub(super) fn run(args: &Args) -> Result<u8, Fail> {
    let scenario = show::load(&args.scenario)?;
    if let Some(model) = &args.model {
        return beside_model(args, &scenario, &show::load(model)?);
    }
    let mut overrides =
        Overrides { holds: args.hold.clone(), fixes: args.fix.clone(), ..Overrides::default() };
    for name in &args.with {
        overrides.with(&super::matrix::find(name)?.name);
    }
    let (plan, shortened) =
        if args.full { (scenario.plan(&overrides)?, Vec::new()) } else { scenario.short_plan(&overrides)? };
    let plan = Arc::new(plan);
    let page = args.html.as_deref().map(PictureFile::at).transpose()?;
    let (runs, missing) = live_runs(args, &scenario, &plan, &overrides)?;
    if runs.is_empty() {
        let why: Vec<String> = missing.iter().map(|m| format!("{}: {}", m.corner, m.why)).collect();
        return Err(Fail::cannot(format!("there is nothing to compare the model with; {}", why.join("; "))));
    }
    let (runs, traces) = runs.into_iter().unzip();
    let (columns, tried) = pair(&plan, runs, Told::new);
    let agree = columns.iter().all(|c| c.comparison.differences.is_empty());
    let found = Found { columns: &columns, missing: &missing, shortened: &shortened, tried };
    tell(args, &scenario, &found, "container start")?;
    if let Some(mut page) = page {
        draw(&mut page, &scenario, (&plan, &overrides), &columns, traces)?;
    }
    Ok(if agree { super::AS_EXPECTED } else { super::UNEXPECTED })
}

/// What there is to tell.
struct Found<'a> {
    columns: &'a [Column],
    missing: &'a [Missing],
    shortened: &'a [String],
    /// Draws of the model.
    tried: u64,
}

fn tell(args: &Args, scenario: &Scenario, found: &Found<'_>, from: &str) -> Result<(), Fail> {
    let agree = found.columns.iter().all(|c| c.comparison.differences.is_empty());
    let mut out = super::output::Report::new();
    if args.json {
        let corners = found.columns.iter().map(|c| CornerOut {
            live: &c.live,
            model: &c.twin,
            differences: &c.comparison.differences,
        });
        let whole = Whole {
            scenario: scenario.id(),
            agree,
            shortened: found.shortened,
            corners: corners.collect(),
            missing: found.missing,
        };
        serde_json::to_writer_pretty(&mut out, &whole)?;
        writeln!(out)?;
    } else {
        writeln!(out, "{}: {}", scenario.id(), scenario.file().title)?;
        for line in found.shortened {
            writeln!(out, "for this comparison {line} (--full for the whole)")?;
        }
        out.write_all(render(found, agree, from).as_bytes())?;
    }
    Ok(())
}

/// A run beside that of another scenario: what comes before the clients takes each its own time, and
/// the host end's MAC is the plugin's choice.
fn from_client(corner: Corner, seed: u64, trace: &Trace) -> Told {
    let mut told = Told::from_first_client(corner, seed, trace);
    told.seen.gateway.lladdr = None;
    told
}

/// A scenario with a real plugin, run with the kernel as responder, beside the model's run of one that
/// is said to be the same.
fn beside_model(args: &Args, scenario: &Scenario, model: &Scenario) -> Result<u8, Fail> {
    if scenario.file().cni.is_none() {
        let id = scenario.id();
        let why = "has no real plugin ([cni]), and the model runs it as it is";
        return Err(Fail::usage(format!("--model: scenario {id} {why}")));
    }
    let plan = Arc::new(model.plan(&Overrides::default())?);
    let run = super::run::plugin_run(scenario, args.seed, !args.json)?;
    let (columns, tried) = pair(&plan, vec![from_client(Corner::LiveKernel, args.seed, &run)], from_client);
    let found = Found { columns: &columns, missing: &[], shortened: &[], tried };
    tell(args, scenario, &found, "first client")?;
    let agree = columns.iter().all(|c| c.comparison.differences.is_empty());
    Ok(if agree { super::AS_EXPECTED } else { super::UNEXPECTED })
}

/// The model's run with one seed, after what `events` has already.
fn simulate(plan: &Arc<Plan>, seed: u64, mut events: Trace) -> Trace {
    let outside = SmoltcpOutside::new(plan.outside.clone(), seed);
    let _ = sim::run(Arc::clone(plan), outside, &mut Seeded::new(seed), &mut events);
    events
}

/// How a run is read.
type Reading = fn(Corner, u64, &Trace) -> Told;

fn model_run(plan: &Arc<Plan>, seed: u64, read: Reading) -> Told {
    read(Corner::Sim, seed, &simulate(plan, seed, Trace::new(plan)))
}

/// The live runs, and below them the model's that are nearest to them.
fn draw(
    page: &mut PictureFile,
    scenario: &Scenario,
    (plan, overrides): (&Arc<Plan>, &Overrides),
    columns: &[Column],
    traces: Vec<Trace>,
) -> Result<(), Fail> {
    let mut runs: Vec<(String, Trace)> = Vec::new();
    for (column, trace) in columns.iter().zip(traces) {
        runs.push((column.live.corner.to_string(), trace));
        let name = format!("sim, seed {}", column.twin.seed);
        let name = if column.plain { format!("{name}, with the pod's end as a TAP") } else { name };
        if !runs.iter().any(|(there, _)| *there == name) {
            let plan = Arc::new(Plan { eth_is_plain: column.plain, ..(**plan).clone() });
            let begun = begun(scenario, &plan, overrides, Corner::Sim, column.twin.seed);
            runs.push((name, simulate(&plan, column.twin.seed, begun)));
        }
    }
    let mut runs = runs.into_iter();
    let Some((name, first)) = runs.next() else { return Ok(()) };
    runs.for_each(|(name, trace)| page.add(name, trace));
    page.write(&name, &first)
}

/// The better of two comparisons has fewer differences, then smaller ones.
fn score(c: &Comparison) -> (usize, u64) {
    (c.differences.len(), c.distance)
}

/// Gives each live run the model's run that is nearest to it: one for all where one agrees with all.
fn pair(plan: &Arc<Plan>, runs: Vec<Told>, read: Reading) -> (Vec<Column>, u64) {
    let mut best: Vec<Option<(Told, Comparison)>> = vec![None; runs.len()];
    let mut common: Option<(Told, Vec<Comparison>)> = None;
    let begun = Instant::now();
    let mut tried = 0;
    for seed in 1..=SEEDS {
        if seed > 1 && begun.elapsed() > SEARCH {
            break;
        }
        let found = best.iter().all(|b| b.as_ref().is_some_and(|(_, c)| c.differences.is_empty()));
        if found && seed > SEEDS_LEAST {
            break;
        }
        tried = seed;
        let twin = model_run(plan, seed, read);
        let row: Vec<Comparison> = runs.iter().map(|live| compare(&twin, live)).collect();
        for (slot, c) in best.iter_mut().zip(&row) {
            if slot.as_ref().is_none_or(|(_, old)| score(c) < score(old)) {
                *slot = Some((twin.clone(), c.clone()));
            }
        }
        let far = |row: &[Comparison]| row.iter().map(|c| c.distance).sum::<u64>();
        if row.iter().all(|c| c.differences.is_empty())
            && common.as_ref().is_none_or(|(_, old)| far(&row) < far(old))
        {
            common = Some((twin, row));
        }
    }
    let own = best.into_iter().flatten();
    let chosen: Vec<(Told, Comparison)> = match common {
        Some((twin, row)) => row.into_iter().map(|c| (twin.clone(), c)).collect(),
        None => own.collect(),
    };
    let columns = runs.into_iter().zip(chosen);
    let columns = columns
        .map(|(live, (twin, comparison))| Column { live, twin, comparison, plain: false })
        .map(|column| as_plain(plan, column))
        .collect();
    (columns, tried)
}

/// The pod of the software gateway may have a TAP, of whose carrier its kernel hears late; a
/// difference that this explains is none.
fn as_plain(plan: &Arc<Plan>, column: Column) -> Column {
    if column.live.corner != Corner::LiveSmoltcp || column.comparison.differences.is_empty() {
        return column;
    }
    let plan = Arc::new(Plan { eth_is_plain: true, ..(**plan).clone() });
    let begun = Instant::now();
    let mut best = column;
    for seed in 1..=SEEDS {
        if best.comparison.differences.is_empty() || begun.elapsed() > SEARCH {
            break;
        }
        let twin = model_run(&plan, seed, Told::new);
        let comparison = compare(&twin, &best.live);
        if score(&comparison) < score(&best.comparison) {
            best = Column { twin, comparison, plain: true, ..best };
        }
    }
    best
}

/// The live runs, as they are compared and as they were, and what could not be run.
type LiveRuns = (Vec<(Told, Trace)>, Vec<Missing>);

/// Runs the live corners at the same time.
#[cfg(feature = "live")]
fn live_runs(
    args: &Args,
    scenario: &Scenario,
    plan: &Arc<Plan>,
    overrides: &Overrides,
) -> Result<LiveRuns, Fail> {
    use crate::live::{self, LiveEnd, LiveError, LiveNode, LiveOptions};
    let (mut runs, mut missing) = (Vec::new(), Vec::new());
    let mut wanted = vec![(Corner::LiveSmoltcp, LiveNode::Smoltcp), (Corner::LiveKernel, LiveNode::Kernel)];
    wanted.retain(|(corner, _)| match scenario.file().not_live.get(corner) {
        Some(why) => {
            missing.push(Missing { corner: *corner, why: why.clone() });
            false
        }
        None => true,
    });
    // before anything else that starts a thread: it wants a process with one
    if let Err(e) = netns_lab::rootless::enter() {
        missing.extend(wanted.iter().map(|(corner, _)| Missing { corner: *corner, why: e.to_string() }));
        return Ok((runs, missing));
    }
    let threads: Vec<_> = wanted
        .into_iter()
        .enumerate()
        .map(|(at, (corner, responder))| {
            let (plan, seed) = (Arc::clone(plan), args.seed);
            let options = LiveOptions { responder, seed, link: None, progress: at == 0 && !args.json };
            let mut events = begun(scenario, &plan, overrides, corner, seed);
            let run = move || {
                let end = live::run(&options, &mut events)?;
                Ok((end, Told::new(corner, seed, &events), events))
            };
            (corner, std::thread::spawn::<_, Result<_, LiveError>>(run))
        })
        .collect();
    let mut interrupted = None;
    for (corner, thread) in threads {
        match thread.join() {
            Ok(Ok((end, told, events))) => {
                if let LiveEnd::Interrupted(by) = end {
                    interrupted = Some(by);
                }
                runs.push((told, events));
            }
            Ok(Err(e)) => missing.push(Missing { corner, why: e.to_string() }),
            Err(_) => missing.push(Missing { corner, why: "it panicked; this is a bug of arplab".into() }),
        }
    }
    if let Some(by) = interrupted {
        return Err(Fail::interrupted(by, "interrupted; half a run is not compared"));
    }
    Ok((runs, missing))
}

#[cfg(not(feature = "live"))]
fn live_runs(_: &Args, _: &Scenario, _: &Arc<Plan>, _: &Overrides) -> Result<LiveRuns, Fail> {
    Err(Fail::cannot("this arplab was built without live namespaces (feature `live`)"))
}

/// Width of a column.
const CELL: usize = 22;
/// Width of the first one.
const LABEL: usize = 32;

fn line(o: &mut String, label: &str, cells: &[String]) {
    let mut text = format!("{label:<LABEL$}");
    for cell in cells {
        let _ = write!(text, "{cell:<CELL$}  ");
    }
    let _ = writeln!(o, "{}", text.trim_end());
}

/// The runs that are shown: each model's run once, then the live ones.
fn shown(columns: &[Column]) -> Vec<&Told> {
    let mut runs: Vec<&Told> = Vec::new();
    for (at, c) in columns.iter().enumerate() {
        if !columns[..at].iter().any(|x| x.twin.seed == c.twin.seed && x.plain == c.plain) {
            runs.push(&c.twin);
        }
        runs.push(&c.live);
    }
    runs
}

fn render(found: &Found<'_>, agree: bool, from: &str) -> String {
    let Found { columns, missing, tried, .. } = *found;
    let runs = shown(columns);
    let mut o = String::new();
    let cells = |f: &dyn Fn(&Told) -> String| -> Vec<String> { runs.iter().map(|r| f(r)).collect() };
    let title = |r: &Told| match r.corner {
        Corner::Sim => format!("sim (seed {})", r.seed),
        live => live.to_string(),
    };
    o.push('\n');
    line(&mut o, &format!("from {from}"), &cells(&title));
    let most = runs.iter().map(|r| r.seen.asked.len()).max().unwrap_or(0);
    for at in 0..most {
        let request = |r: &Told| match r.seen.asked.get(at) {
            None => "-".to_owned(),
            Some(a) => {
                let mark = if a.answered_ns.is_some() { "✓" } else { "✗" };
                let cast = if a.broadcast { "" } else { " unicast" };
                format!("{} {mark}{cast}", r.time(a.t_ns))
            }
        };
        line(&mut o, &format!("request {}", at + 1), &cells(&request));
    }
    reasons(&mut o, &runs);
    let empty = crate::trace::ClientSeen::default();
    let mut names: Vec<&String> = runs.iter().flat_map(|r| r.seen.clients.keys()).collect();
    names.sort();
    names.dedup();
    for name in names {
        let seen = |r: &Told| r.seen.clients.get(name).unwrap_or(&empty).clone();
        let first = |r: &Told| seen(r).first_success_ns.map_or("never".into(), |t| r.time(t).to_string());
        line(&mut o, &format!("{name}: first success"), &cells(&first));
        let count = |r: &Told| {
            let c = seen(r);
            format!("{} / {} / {}", c.sent, c.answered, c.failures)
        };
        line(&mut o, "  sent / answered / failed", &cells(&count));
    }
    line(&mut o, "entry at the end", &cells(&|r| r.states().last().copied().unwrap_or("absent").to_owned()));
    for r in &runs {
        line(&mut o, &format!("states, {}", title(r)), &[r.states().join(" > ")]);
    }
    o.push('\n');
    let mut seeds: Vec<String> = columns.iter().map(|c| c.twin.seed.to_string()).collect();
    seeds.dedup();
    let _ = writeln!(
        o,
        "What a live run draws is its kernel's; of {tried} draws of the model the nearest to it is shown (seed {}).",
        seeds.join(", ")
    );
    if let Some(c) = columns.iter().find(|c| c.plain) {
        let _ = writeln!(
            o,
            "The model's run beside {} has a TAP, of whose carrier a kernel hears once a second at most.",
            c.live.corner
        );
    }
    for m in missing {
        let _ = writeln!(o, "NOT compared: {}: {}", m.corner, m.why);
    }
    verdict(&mut o, columns, agree);
    o
}

/// Why requests were not answered, with the number of each.
fn reasons(o: &mut String, runs: &[&Told]) {
    let of = |r: &Told| -> Vec<String> {
        r.seen.asked.iter().filter(|a| a.answered_ns.is_none()).map(|a| outcome(a).to_owned()).collect()
    };
    let mut all: Vec<String> = runs.iter().flat_map(|r| of(r)).collect();
    all.sort();
    all.dedup();
    for reason in all {
        let count = |r: &&Told| many(of(r).iter().filter(|x| **x == reason).count(), "request");
        let cells: Vec<String> = runs.iter().map(count).collect();
        line(o, &format!("✗ {reason}"), &cells);
    }
}

fn verdict(o: &mut String, columns: &[Column], agree: bool) {
    if agree {
        let names: Vec<String> = columns.iter().map(|c| c.live.corner.to_string()).collect();
        let _ = writeln!(o, "The model and {} agree.", names.join(" and "));
        return;
    }
    for c in columns.iter().filter(|c| !c.comparison.differences.is_empty()) {
        let _ = writeln!(o, "{} DIFFERS from the model; seed {} comes nearest:", c.live.corner, c.twin.seed);
        for d in &c.comparison.differences {
            let _ = writeln!(o, "  ≠ {}: model {}, live {}", d.what, d.model, d.live);
        }
    }
}
