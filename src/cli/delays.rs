//! `arplab delays`.

use super::fail::Fail;
use crate::pair::crowd::{Crowd, crowd};
use crate::pair::delay::{DelayCase, DelayCell, ToldFailure, Trouble, delay_table, standard_cases};
use crate::time::Span;
use std::fmt::Write as _;
use std::io::Write;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How long the gateway does not answer; several with commas
    #[arg(long, value_name = "DURATION", value_delimiter = ',',
          default_values = ["1s", "2s", "3s", "5s", "10s", "20s", "40s", "60s", "100s"])]
    window: Vec<Span>,
    /// Phases of the kernel's timer wheel that each cell is run over
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    phases: u32,
    /// One JSON object a cell
    #[arg(long)]
    json: bool,
}

/// The longest window: a connect() gives up after 135 s.
const WINDOW_MAX: Span = Span::from_secs(600);
/// How many connections are dialled at once in the second table.
const CROWDS: [u32; 4] = [10, 40, 100, 400];

pub(super) fn run(args: &Args) -> Result<u8, Fail> {
    if let Some(long) = args.window.iter().find(|w| **w > WINDOW_MAX) {
        return Err(Fail::usage(format!("a window of {long}; at most {WINDOW_MAX}")));
    }
    let table = delay_table(&standard_cases(), &args.window, args.phases);
    let crowds = crowds(&args.window);
    let mut out = std::io::stdout().lock();
    if args.json {
        json(&table, &crowds, &mut out)?;
    } else {
        out.write_all(markdown(args, &table, &crowds).as_bytes())?;
    }
    Ok(super::AS_EXPECTED)
}

type Table = [(DelayCase, Vec<DelayCell>)];
type Crowds = [(u32, Vec<(Span, Crowd)>)];

fn crowds(windows: &[Span]) -> Vec<(u32, Vec<(Span, Crowd)>)> {
    CROWDS.map(|n| (n, windows.iter().map(|w| (*w, crowd(n, *w, 1))).collect())).to_vec()
}

fn json(table: &Table, crowds: &Crowds, out: &mut dyn Write) -> Result<(), Fail> {
    for (case, cell) in table.iter().flat_map(|(case, cells)| cells.iter().map(move |c| (case, c))) {
        let told =
            |t: &ToldFailure| serde_json::json!({ "error": t.failure.name(), "min": t.min, "max": t.max });
        let failures: Vec<_> = cell.failures.iter().map(told).collect();
        let line = serde_json::json!({
            "case": name_of(table, case), "window": cell.window, "runs": cell.runs, "answered": cell.answered,
            "min": cell.min, "median": cell.median, "max": cell.max, "failures": failures,
        });
        writeln!(out, "{line}")?;
    }
    for (window, c) in crowds.iter().flat_map(|(_, cells)| cells) {
        let line = serde_json::json!({
            "connections": c.dialled, "window": window, "failed": c.failed, "first_failure": c.first_failure,
            "connected": c.connected, "last_success": c.last_success,
        });
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// "The same" stands for the case above it.
fn name_of(table: &Table, case: &DelayCase) -> String {
    let at = table.iter().position(|(c, _)| c == case).unwrap_or_default();
    match (case.name.strip_prefix("the same"), at.checked_sub(1).map(|i| &table[i].0.name)) {
        (Some(rest), Some(above)) => format!("{above}{rest}"),
        _ => case.name.clone(),
    }
}

/// Seconds with two digits.
fn seconds(span: Span) -> String {
    let hundredths = (span.as_ns() + 5_000_000) / 10_000_000;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

fn range(min: Span, max: Span) -> String {
    let (min, max) = (seconds(min), seconds(max));
    if min == max { min } else { format!("{min} to {max}") }
}

fn cell(c: &DelayCell) -> String {
    let told = |t: &ToldFailure| format!("{} at {}", t.failure.name(), range(t.min, t.max));
    let failures = match &c.failures[..] {
        [] => "never".to_owned(),
        failures => failures.iter().map(told).collect::<Vec<_>>().join(" or "),
    };
    match c.min.zip(c.max).map(|(min, max)| range(min, max)) {
        None => failures,
        Some(times) if c.answered == c.runs => times,
        Some(times) => format!("{times} ({} of {}), else {failures}", c.answered, c.runs),
    }
}

fn row(out: &mut String, first: &str, cells: impl Iterator<Item = String>) {
    let _ = write!(out, "| {first} |");
    for cell in cells {
        let _ = write!(out, " {cell} |");
    }
    out.push('\n');
}

fn head(out: &mut String, first: &str, windows: &[Span]) {
    row(out, first, windows.iter().map(ToString::to_string));
    row(out, "---", windows.iter().map(|_| "---".to_owned()));
}

fn markdown(args: &Args, table: &Table, crowds: &Crowds) -> String {
    let mut o = String::new();
    let _ = writeln!(o, "First answer, in seconds from the client's start, by the length of the window:\n");
    head(&mut o, "client", &args.window);
    let timeless =
        |case: &DelayCase| matches!(case.trouble, Trouble::MacChangedStale | Trouble::MacChangedReachable);
    for (case, cells) in table.iter().filter(|(case, _)| !timeless(case)) {
        row(&mut o, &name_of(table, case), cells.iter().map(cell));
    }
    let _ =
        writeln!(o, "\nThe same where the window plays no part, because the gateway answers all the time:\n");
    row(&mut o, "client", ["first answer".to_owned()].into_iter());
    row(&mut o, "---", ["---".to_owned()].into_iter());
    for (case, cells) in table.iter().filter(|(case, _)| timeless(case)) {
        row(&mut o, &name_of(table, case), cells.iter().take(1).map(cell));
    }
    let _ = writeln!(
        o,
        "\nMany connections dialled at once, once each: how many connect and when the last one does:\n"
    );
    head(&mut o, "connections", &args.window);
    for (n, cells) in crowds {
        let text = |(_, c): &(Span, Crowd)| match c.last_success {
            Some(at) => format!("{}, the last at {}", c.connected, seconds(at)),
            None => format!("none; failed from {}", c.first_failure.map_or("never".into(), seconds)),
        };
        row(&mut o, &n.to_string(), cells.iter().map(text));
    }
    o
}
