//! The options of `arplab explore`.

use crate::choice::ChoiceKind;
use crate::explore::{Bounds, Complete, Grid, Property};
use crate::near::WordError;
use crate::scenario::HoldOverride;
use crate::time::Span;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Id, issue number, catalogue number, or a scenario file; basic-race is the small race of plugin,
    /// Felix and pod whose orders are confirmed by counting
    #[arg(required_unless_present_any = ["replay", "list_properties"])]
    pub(super) scenario: Option<String>,
    /// Apply a fix of the scenario; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(super) fix: Vec<String>,
    /// Apply a mitigation, which any scenario can have; may be given several times;
    /// `arplab list --mitigations` lists them
    #[arg(long, value_name = "NAME")]
    pub(super) with: Vec<String>,
    /// Hold a step for a time in every schedule (0s lifts a hold of the scenario)
    #[arg(long, value_name = "STEP=DURATION")]
    pub(super) hold: Vec<HoldOverride>,
    /// Lift every hold of the scenario: the search itself finds which step has to be late
    #[arg(long)]
    pub(super) no_holds: bool,
    /// What every schedule must keep; may be given several times
    #[arg(long, value_name = "NAME[=DURATION]")]
    pub(super) property: Vec<Property>,
    /// List the properties
    #[arg(long)]
    pub(super) list_properties: bool,
    /// How schedules are picked
    #[arg(long, value_enum, default_value_t = SearchWay::Exhaustive)]
    pub(super) strategy: SearchWay,
    /// How many steps may be late in one schedule, or "any"
    #[arg(long, value_name = "N", default_value = "1", value_parser = bound)]
    pub(super) late: Bound,
    /// How late a step may be
    #[arg(long, value_name = "DURATION", default_value = "15s")]
    pub(super) late_max: Span,
    /// How often a schedule may turn away from an actor that could go on, or "any"
    #[arg(long, value_name = "N", default_value = "any", value_parser = bound)]
    pub(super) preemptions: Bound,
    /// How many choices, draws included, may differ from the expected ones, or "any"
    #[arg(long, value_name = "N", default_value = "any", value_parser = bound)]
    pub(super) detours: Bound,
    /// When a run ends at the latest
    #[arg(long, value_name = "DURATION", default_value = "90s", value_parser = some_time)]
    pub(super) horizon: Span,
    /// Steps that take less than this may take no time
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    pub(super) instant: Span,
    /// Let steps come between a frame's leaving and its arrival
    #[arg(long)]
    pub(super) fine: bool,
    /// Go on until no actor has anything left to do, not only until the clients are done
    #[arg(long)]
    pub(super) to_rest: bool,
    /// Try so many values of something that is drawn: carrier-notice, cpu-race, flow-hash,
    /// icmp-credit, link-fault, proxy-delay, reachable-time, wheel-phase, such as wheel-phase=8
    #[arg(long, value_name = "KIND=N", value_parser = grid)]
    pub(super) grid: Vec<(ChoiceKind, u32)>,
    /// States (exhaustive) or schedules (otherwise) to spend
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = count)]
    pub(super) budget: u64,
    /// Time to spend on the search; to shorten what it finds comes on top. The result then depends
    /// on the machine
    #[arg(long, value_name = "DURATION", value_parser = some_time)]
    pub(super) budget_time: Option<Span>,
    /// Seed of the strategies that draw
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// Changes of priority in one schedule (pct)
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(..=DEPTH_MAX))]
    pub(super) depth: u32,
    /// Threads; the result does not depend on them [default: all processors]
    #[arg(long, value_name = "N", value_parser = threads)]
    pub(super) threads: Option<usize>,
    /// Do part I of N only
    #[arg(long, value_name = "I/N", value_parser = shard, default_value = "0/1")]
    pub(super) shard: (u32, u32),
    /// Exit with 1 also when the bounds asked for do not fit into the budget
    #[arg(long)]
    pub(super) strict: bool,
    /// Leave a failing schedule as it was found
    #[arg(long)]
    pub(super) no_shrink: bool,
    /// Write the failing schedule to a file
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
    /// Run a schedule from a file, move by move
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "scenario", "fix", "with", "hold", "no_holds", "out", "property", "strategy", "late", "late_max",
        "preemptions", "detours", "horizon", "instant", "fine", "to_rest", "grid", "budget", "budget_time",
        "seed", "depth", "threads", "shard", "no_shrink", "strict",
    ])]
    pub(super) replay: Option<PathBuf>,
    /// Print the result as JSON; of a replay the events as lines, and the verdict as the last one
    #[arg(long)]
    pub(super) json: bool,
    /// Every event of the schedule on a line of its own
    #[arg(long)]
    pub(super) full: bool,
}

/// How schedules are picked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(super) enum SearchWay {
    /// Every one within the bounds
    Exhaustive,
    /// Every decision is drawn
    Random,
    /// Priorities that change at a few places
    Pct,
}

/// A number, or none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Bound(pub(super) Option<u16>);

fn bound(text: &str) -> Result<Bound, WordError> {
    if text == "any" {
        return Ok(Bound(None));
    }
    text.parse().map(|n| Bound(Some(n))).map_err(|_| "a number or \"any\" is wanted".into())
}

/// So many of something of which there must be one.
fn count(text: &str) -> Result<u64, WordError> {
    match text.parse() {
        Ok(0) => Err("with none nothing can be looked at; 1 at least is wanted".into()),
        Ok(n) => Ok(n),
        Err(_) => Err("a whole number is wanted".into()),
    }
}

/// A schedule has a few hundred decisions; more changes of priority than that are none.
const DEPTH_MAX: i64 = 1_000;

/// More threads than this help nobody.
const THREADS_MAX: usize = 1_024;

fn threads(text: &str) -> Result<usize, WordError> {
    let n = text.parse().ok().filter(|n| (1..=THREADS_MAX).contains(n));
    n.ok_or_else(|| format!("1 to {THREADS_MAX} is wanted").into())
}

pub(in crate::cli) fn some_time(text: &str) -> Result<Span, WordError> {
    match text.parse::<Span>() {
        Ok(Span::ZERO) => Err("in no time nothing happens; more than 0s is wanted".into()),
        Ok(span) => Ok(span),
        Err(e) => Err(e.to_string().into()),
    }
}

fn shard(text: &str) -> Result<(u32, u32), WordError> {
    let parts = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
    match parts {
        Some((i, n)) if i < n => Ok((i, n)),
        _ => Err("I/N is wanted, with I from 0 to N-1, such as 0/4".into()),
    }
}

fn grid(text: &str) -> Result<(ChoiceKind, u32), WordError> {
    let (kind, points) = text.split_once('=').ok_or("KIND=N is wanted, such as cpu-race=3")?;
    let kind: ChoiceKind = kind.parse().map_err(|e: serde::de::value::Error| e.to_string())?;
    let points: u32 = points.parse().map_err(|_| "the number of values is no number")?;
    if kind == ChoiceKind::StepDelay || kind == ChoiceKind::Order {
        return Err("orders and delays of steps are explored anyway; see --late and --instant".into());
    }
    if points == 0 || points > 4096 { Err("1 to 4096 values".into()) } else { Ok((kind, points)) }
}

pub(super) fn bounds(args: &Args) -> Bounds {
    let grid = args.grid.iter().fold(Grid::default(), |g, (kind, n)| g.with(*kind, *n));
    Bounds {
        late: args.late.0,
        preemptions: args.preemptions.0,
        detours: args.detours.0.map(u32::from),
        late_max: args.late_max,
        instant: args.instant,
        horizon: args.horizon,
        complete: if args.to_rest { Complete::AtRest } else { Complete::AsPlanned },
        fine: args.fine,
        grid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_refuse_what_they_cannot_mean() {
        assert!(shard("4/4").is_err() && shard("1").is_err());
        assert_eq!(shard("1/2"), Ok((1, 2)));
        assert!(grid("step-delay=3").is_err() && grid("luck=3").is_err() && grid("cpu-race=0").is_err());
        assert_eq!(grid("cpu-race=3"), Ok((ChoiceKind::CpuRace, 3)));
        assert!(count("0").is_err() && threads("0").is_err() && some_time("0s").is_err());
        assert_eq!(bound("any"), Ok(Bound(None)));
    }
}
