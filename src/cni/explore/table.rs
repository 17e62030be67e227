//! A report as a table, and as JSON.

use super::{CutAction, CutReport, CutStep, PlayedCut, PluginProperty};
use crate::cni::Verb;
use serde_json::{Value, json as value};
use std::fmt::Write;

/// The most columns that a step's words take.
const WORDS_MAX: usize = 72;
/// The most characters of what was wrong.
const WHY_MAX: usize = 240;
/// The most cases that are told of one thing that was wrong.
const TOLD_MAX: usize = 8;

/// One letter for what was done.
fn letter(action: CutAction) -> char {
    match action {
        CutAction::Fail(_) => 'f',
        CutAction::KillBefore => 'b',
        CutAction::KillAfter => 'a',
        CutAction::Hold => 'h',
        CutAction::OtherFirst => 'o',
        CutAction::Undo => 'u',
    }
}

const LEGEND: &str = "\
A cell has ok, or what was done where the property was not kept: f the step failed, b and a the plugin was
killed before and after it, h it was held, o another pod's ADD went first, u its work was undone, x nothing;
- is not concerned, and ? did not come to the step again.";

/// The table of steps and properties, and what was wrong.
#[must_use]
pub fn table(report: &CutReport, properties: &[PluginProperty]) -> String {
    let mut out = String::new();
    let mut verb = None;
    let heads: Vec<&str> = properties.iter().map(|property| property.name()).collect();
    let undisturbed = report.played.first().filter(|it| it.cut.is_none());
    row(&mut out, "", "", &heads);
    if let Some(plain) = undisturbed {
        let cells: Vec<String> = properties.iter().map(|it| cell(&[plain], *it)).collect();
        row(&mut out, "", "nothing is done", &cells);
    }
    for step in &report.steps {
        if verb != Some(step.name.verb) {
            verb = Some(step.name.verb);
            let _ = writeln!(out, "{}", step.name.verb.word());
        }
        let of_step = |it: &&PlayedCut| it.cut.as_ref().is_some_and(|cut| cut.step == step.name);
        let cases: Vec<&PlayedCut> = report.played.iter().filter(of_step).collect();
        let cells: Vec<String> = properties.iter().map(|it| cell(&cases, *it)).collect();
        row(&mut out, &step.name.netns, &words(step), &cells);
    }
    let _ = writeln!(out, "\n{LEGEND}");
    for property in properties {
        tell(&mut out, report, *property);
    }
    out
}

fn row(out: &mut String, netns: &str, words: &str, cells: &[impl AsRef<str>]) {
    let mut line = format!("  {netns:<5} {words:<WORDS_MAX$}");
    for cell in cells {
        let _ = write!(line, " {:<9}", cell.as_ref());
    }
    out.push_str(line.trim_end());
    out.push('\n');
}

fn words(step: &CutStep) -> String {
    let nth = if step.name.nth > 1 { format!(" (#{})", step.name.nth) } else { String::new() };
    let room = WORDS_MAX - nth.len();
    format!("{}{nth}", short(&step.name.words, room))
}

fn cell(cases: &[&PlayedCut], property: PluginProperty) -> String {
    let mut letters = String::new();
    let mut told = false;
    for case in cases {
        let action = case.cut.as_ref().map(|cut| cut.action);
        match case.outcome.verdicts.get(&property) {
            Some(Ok(())) => told = true,
            Some(Err(_)) => {
                let letter = action.map_or('x', letter);
                if !letters.contains(letter) {
                    letters.push(letter);
                }
            }
            None => {}
        }
    }
    match (letters.is_empty(), told) {
        (false, _) => letters,
        (true, true) => "ok".into(),
        (true, false) if !cases.is_empty() && cases.iter().all(|case| !case.outcome.reached) => "?".into(),
        (true, false) => "-".into(),
    }
}

fn tell(out: &mut String, report: &CutReport, property: PluginProperty) {
    let wrong = report.played.iter().filter_map(|case| {
        let why = case.outcome.verdicts.get(&property)?.as_ref().err()?;
        Some((case, why))
    });
    let wrong: Vec<_> = wrong.collect();
    if wrong.is_empty() {
        return;
    }
    let plural = if wrong.len() == 1 { "case" } else { "cases" };
    let _ = writeln!(out, "\n`{property}` is not kept in {} {plural}:", wrong.len());
    let mut groups: Vec<(&str, Vec<&PlayedCut>)> = Vec::new();
    for (case, why) in wrong {
        match groups.iter_mut().find(|(told, _)| shape(told) == shape(why)) {
            Some((_, cases)) => cases.push(case),
            None => groups.push((why, vec![case])),
        }
    }
    for (why, cases) in groups {
        let _ = writeln!(out, "  {}", short(why, WHY_MAX));
        for case in cases.iter().take(TOLD_MAX) {
            let what = case.cut.as_ref().map_or_else(|| "nothing is done".into(), ToString::to_string);
            let _ = writeln!(out, "    {}", short(&what, WHY_MAX));
        }
        if let Some(more) = cases.len().checked_sub(TOLD_MAX).filter(|more| *more > 0) {
            let _ = writeln!(out, "    and {more} more; --json has them all");
        }
    }
}

/// A text without what is drawn anew in every run.
fn shape(text: &str) -> String {
    let is_drawn = |word: &str| word.chars().filter(char::is_ascii_hexdigit).count() >= 8;
    text.split_whitespace().map(|word| if is_drawn(word) { "*" } else { word }).collect::<Vec<_>>().join(" ")
}

/// One line of at most so many characters.
fn short(text: &str, max: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= max {
        return line;
    }
    let begin: String = line.chars().take(max - 3).collect();
    format!("{begin}...")
}

/// One JSON object a case, then one of them all.
#[must_use]
pub fn json(report: &CutReport) -> Vec<Value> {
    let mut lines: Vec<Value> = report.played.iter().map(case).collect();
    let fails = report.played.iter().filter(|it| it.outcome.lacks().next().is_some()).count();
    let count = |verb: Verb| report.steps.iter().filter(|step| step.name.verb == verb).count();
    lines.push(value!({
        "event": "explored",
        "ok": report.is_well(),
        "steps": { "ADD": count(Verb::Add), "CHECK": count(Verb::Check), "DEL": count(Verb::Del) },
        "cases": report.played.len(),
        "left_out": report.left_out,
        "failing": fails,
    }));
    lines
}

fn case(played: &PlayedCut) -> Value {
    let verdicts = played.outcome.verdicts.iter().map(|(property, kept)| {
        let verdict = match kept {
            Ok(()) => value!({ "kept": true }),
            Err(why) => value!({ "kept": false, "why": why }),
        };
        (property.name().to_owned(), verdict)
    });
    let verdicts: serde_json::Map<String, Value> = verdicts.collect();
    let step = played.cut.as_ref().map(|cut| &cut.step);
    value!({
        "event": "case",
        "verb": step.map(|it| it.verb.word()),
        "plugin": step.map(|it| &it.plugin),
        "netns": step.map(|it| &it.netns),
        "step": step.map(|it| &it.words),
        "nth": step.map(|it| it.nth),
        "action": played.cut.as_ref().map(|cut| cut.action.to_string()),
        "reached": played.outcome.reached,
        "window_us": played.outcome.window.map(|it| it.as_ns() / 1000),
        "properties": verdicts,
        "wavering": played.wavering.iter().map(|it| it.name()).collect::<Vec<_>>(),
    })
}
