//! `arplab matrix`.

use super::capture::OutFile;
use super::fail::Fail;
use super::output::fold;
use super::show;
use crate::explore::Effort;
use crate::matrix::{Cell, Matrix, matrix, settled_matrix, write_csv, write_html, write_json, write_text};
use crate::scenario::file::FixEffect;
use crate::scenario::{Mitigation, Scenario, catalogue, mitigations};
use std::fmt::Write as _;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only these scenarios: ids, issue numbers, catalogue numbers, scenario files [default: all]
    scenarios: Vec<String>,
    /// Only these mitigations; may be given several times [default: all]
    #[arg(long = "with", value_name = "MITIGATION")]
    with: Vec<String>,
    /// One JSON object
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Comma-separated values, a line for each cell
    #[arg(long)]
    csv: bool,
    /// Write a self-contained HTML page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Tell why one cell is as it is; a fix of the scenario's own will do, too
    #[arg(long, num_args = 2, value_names = ["SCENARIO", "MITIGATION"], conflicts_with_all = ["scenarios", "with"])]
    why: Option<Vec<String>>,
    /// Settle each cell over all schedules around the expected course, within a small bound that is
    /// printed, instead of a few runs
    #[arg(long)]
    explore: bool,
    /// Threads [default: one for each processor]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    threads: Option<NonZeroUsize>,
}

fn at_least_one(text: &str) -> Result<NonZeroUsize, &'static str> {
    text.parse().map_err(|_| "a number of threads is wanted, 1 at least")
}

pub(super) fn run(args: &Args) -> Result<u8, Fail> {
    let (scenarios, mitigations) = match args.why.as_deref() {
        Some([scenario, mitigation]) => {
            let scenarios = chosen(std::slice::from_ref(scenario))?;
            // a fix of the scenario's own is judged beside the mitigations, and has no column
            let own = scenarios.iter().any(|s| s.file().fixes.iter().any(|x| x.name.get_ref() == mitigation));
            let columns = if own { Vec::new() } else { with(std::slice::from_ref(mitigation))? };
            (scenarios, columns)
        }
        _ => (chosen(&args.scenarios)?, with(&args.with)?),
    };
    let page = args.html.as_deref().map(|path| OutFile::at(path, "page")).transpose()?;
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let threads = args.threads.unwrap_or(cores).get();
    let result = if args.explore {
        settled(&scenarios, &mitigations, threads)?
    } else {
        matrix(&scenarios, &mitigations, threads)?
    };
    if let Some(page) = &page {
        let mut bytes = Vec::new();
        write_html(&result, &mut bytes)?;
        page.write(&bytes)?;
    }
    let mut out = super::output::Report::new();
    if args.json {
        write_json(&result, &mut out)?;
    } else if args.csv {
        write_csv(&result, &mut out)?;
    } else if let Some([word, name]) = args.why.as_deref() {
        why(&result, word, &mut out)?;
        why_own(&result, &scenarios, (word, name), &mut out)?;
    } else if args.html.is_none() {
        write_text(&result, &mut out)?;
    }
    Ok(super::AS_EXPECTED)
}

/// The matrix over schedules, with a line on the terminal that shows how far it is.
fn settled(
    scenarios: &[Scenario],
    mitigations: &[Mitigation],
    threads: usize,
) -> Result<Matrix, crate::scenario::PlanError> {
    let bar = super::output::spinner();
    let told = |done: usize, of: usize| {
        if let Some(bar) = &bar {
            bar.set_message(format!("{done} of {of} plans settled"));
            bar.tick();
        }
    };
    let result = settled_matrix(scenarios, mitigations, &Effort::default(), threads, &told);
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    result
}

/// The command that settles the same and shows the shortest schedule that fails.
fn command(scenario: &str, change: &str, late: Option<u16>) -> String {
    let effort = Effort::default();
    let mut text = format!("arplab explore {scenario}{change}");
    let b = &effort.bounds;
    let number = |n: Option<u32>| n.map_or("any".to_owned(), |n| n.to_string());
    let (late, detours) = (number(late.map(u32::from)), number(b.detours));
    let _ =
        write!(text, " --late {late} --late-max {} --detours {detours} --horizon {}", b.late_max, b.horizon);
    let _ = write!(text, " --budget {}", effort.states);
    for property in &effort.properties {
        let _ = write!(text, " --property {property}");
    }
    text
}

/// Where the schedules of a settled cell that fail can be seen.
fn see_schedules(cell: &Cell, scenario: &str, option: &str, out: &mut dyn Write) -> Result<(), Fail> {
    let Some(s) = &cell.schedules else { return Ok(()) };
    let Some(within) = &s.within else { return Ok(()) };
    writeln!(out, "\nWithin: {within}.")?;
    let with = format!(" {option} {}", cell.mitigation);
    match s.fails.as_str() {
        "0" => writeln!(out, "Settle it: {}", command(scenario, &with, s.late))?,
        _ => writeln!(out, "The shortest that fails: {}", command(scenario, &with, s.late))?,
    }
    Ok(writeln!(out, "Without it: {}", command(scenario, "", s.late))?)
}

fn chosen(words: &[String]) -> Result<Vec<Scenario>, Fail> {
    if words.is_empty() {
        return Ok(catalogue::all()?);
    }
    let mut all: Vec<Scenario> = Vec::new();
    for word in words {
        if show::is_path(word) {
            all.push(show::load(word)?);
            continue;
        }
        let found = catalogue::find(word)?;
        if found.is_empty() {
            return Err(super::unknown::no_scenario(word));
        }
        all.extend(found);
    }
    all.sort_by(|a, b| a.id().cmp(b.id()));
    all.dedup_by(|a, b| a.id() == b.id());
    Ok(all)
}

fn with(names: &[String]) -> Result<Vec<Mitigation>, Fail> {
    if names.is_empty() {
        return Ok(mitigations().to_vec());
    }
    let mut chosen: Vec<Mitigation> = Vec::new();
    for name in names {
        let found = find(name)?;
        if chosen.iter().all(|m| m.name != found.name) {
            chosen.push(found.clone());
        }
    }
    Ok(chosen)
}

/// The mitigation of that name, or an error that lists all.
pub(super) fn find(name: &str) -> Result<&'static Mitigation, Fail> {
    crate::scenario::mitigation(name).ok_or_else(|| {
        let all: Vec<&str> = mitigations().iter().map(|m| m.name.as_str()).collect();
        let near = crate::near::meant(name, all.iter().copied());
        Fail::usage(format!("there is no mitigation {name:?}{near}; there are: {}", all.join(", ")))
    })
}

fn says(effect: FixEffect) -> &'static str {
    match effect {
        FixEffect::Nothing => "does nothing for",
        FixEffect::Cures => "cures",
        FixEffect::Shortens => "shortens",
        FixEffect::Breaks => "breaks something else in",
    }
}

/// What a cell says, in words.
fn says_of(cell: &Cell) -> &'static str {
    match cell.effect {
        FixEffect::Nothing | FixEffect::Shortens if cell.cures_only_runs() => {
            "cures the single runs, but not every schedule, of"
        }
        effect => says(effect),
    }
}

/// The same of a scenario's own fix.
fn why_own(
    matrix: &Matrix,
    scenarios: &[Scenario],
    (word, name): (&str, &str),
    out: &mut dyn Write,
) -> Result<(), Fail> {
    for (row, scenario) in matrix.rows.iter().zip(scenarios) {
        let fixes = &scenario.file().fixes;
        for (cell, fix) in row.own.iter().zip(fixes).filter(|(c, _)| c.mitigation == name) {
            writeln!(out, "{name} {} {}: {}.", says_of(cell), row.scenario, cell.reason)?;
            if cell.schedules.is_none() && fix.effect != cell.effect {
                writeln!(out, "The file claims otherwise: that it {} {}.", says(fix.effect), row.scenario)?;
            }
            writeln!(out, "\nWithout it: {}.", row.without)?;
            writeln!(out, "The fix, of this scenario only: {}.", fix.title)?;
            write!(out, "{}", fold(&fix.why, 2, 96))?;
            let scenario = if show::is_path(word) { word } else { &row.scenario };
            see_schedules(cell, scenario, "--fix", out)?;
            writeln!(out, "\nSee it: arplab run {scenario} --fix {name}")?;
        }
    }
    Ok(())
}

/// `word` is what the scenario was called by.
fn why(matrix: &Matrix, word: &str, out: &mut dyn Write) -> Result<(), Fail> {
    for (at, row) in matrix.rows.iter().enumerate() {
        if at > 0 {
            writeln!(out)?;
        }
        for (cell, column) in row.cells.iter().zip(&matrix.columns) {
            let effect = says_of(cell);
            writeln!(out, "{} {effect} {}: {}.", cell.mitigation, row.scenario, cell.reason)?;
            if let Some(also) = &cell.also {
                writeln!(out, "It leaves something behind: {also}.")?;
            }
            writeln!(out, "\nWithout it: {}.", row.without)?;
            writeln!(out, "The mitigation: {}.", column.title)?;
            write!(out, "{}", fold(&column.why, 2, 96))?;
            if !column.unknown_settings.is_empty() {
                writeln!(out, "Settings that no release knows: {}.", column.unknown_settings.join(", "))?;
            }
            let scenario = if show::is_path(word) { word } else { &row.scenario };
            see_schedules(cell, scenario, "--with", out)?;
            writeln!(out, "\nSee it: arplab run {scenario} --with {}", cell.mitigation)?;
        }
    }
    Ok(())
}
