//! What `arplab explore` prints.

use super::args::{Args, bounds};
use crate::cli::fail::Fail;
use crate::cli::output;
use crate::explore::{Covered, FailingSchedule, Report};
use crate::scenario::Scenario;
use crate::trace::{HeldUntil, Timeline, What};
use std::io::Write;

pub(super) fn print(args: &Args, scenario: &Scenario, r: &Report, out: &mut dyn Write) -> Result<(), Fail> {
    let changes: Vec<&str> = args.fix.iter().chain(&args.with).map(String::as_str).collect();
    let fixes = if changes.is_empty() { String::new() } else { format!(" with {}", changes.join(", ")) };
    writeln!(out, "{}{fixes}: {}\n", scenario.id(), scenario.file().title)?;
    let style = output::style(args.full);
    let (good, bad) = if style.unicode { ("✓", "✗") } else { ("v", "x") };
    covered(args, r, out)?;
    if r.covered == Covered::Nothing {
        return Ok(());
    }
    for p in &r.properties {
        let mark = if p.ok() { good } else { bad };
        let text = match (p.sometimes, p.kept, p.lacking) {
            (true, 0, _) => "never reached".to_owned(),
            (true, n, _) => format!("reached in {}", number(n)),
            (false, _, 0) if r.schedules == 0 => "no schedule here".to_owned(),
            (false, _, 0) => "holds in all".to_owned(),
            (false, _, n) => format!("fails in {}", number(n)),
        };
        writeln!(out, "  {mark} {:<34} {text}", p.property)?;
    }
    writeln!(out, "\nFirst answer after the first client's start:")?;
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
            let late = args.budget_time.is_some_and(|t| r.elapsed.as_nanos() >= u128::from(t.as_ns()));
            let why = if late {
                "the time was up before the search was over; raise --budget-time, lower --late or --horizon, or \
                 use --strategy random"
            } else {
                "not even the narrowest bounds fit into the budget, or its schedules have too many moments; \
                 raise --budget, lower --horizon, leave out clients, or use --strategy random"
            };
            writeln!(out, "Nothing is settled: {why}.")?;
        }
        Covered::Drawn(n) => {
            let drawn = number(u128::from(*n));
            writeln!(out, "{drawn} schedules drawn{part}, seed {}, with {}:", args.seed, bounds(args))?;
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

fn shortest(args: &Args, r: &Report, f: &FailingSchedule, out: &mut dyn Write) -> Result<(), Fail> {
    let which = if matches!(r.covered, Covered::Every(_)) { "The shortest" } else { "A" };
    let steps = match f.cost.late {
        0 => "no step late".to_owned(),
        1 => "one step late".to_owned(),
        n => format!("{n} steps late"),
    };
    let held = f.events.iter().filter_map(|e| match &e.what {
        What::Held { step, until: HeldUntil::Schedule } => Some(f.events.step_name(*step)),
        _ => None,
    });
    let mut named: Vec<&str> = Vec::new();
    for step in held {
        if !named.contains(&step) {
            named.push(step);
        }
    }
    let steps = match (f.cost.late, &named[..]) {
        (0, _) | (_, []) => steps,
        _ => format!("{steps} ({})", named.join(", ")),
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

pub(super) fn json(scenario: &Scenario, args: &Args, r: &Report) -> serde_json::Value {
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
        "scenario": scenario.id(), "fixes": args.fix, "with": args.with, "ok": r.ok(), "covered": covered,
        "schedules": r.schedules.to_string(), "fails": r.fails.to_string(), "states": r.states, "avoided": r.avoided,
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
}
