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
        CutAction::Orphan => 'g',
        CutAction::Hold => 'h',
        CutAction::OtherFirst => 'o',
        CutAction::Undo => 'u',
    }
}

const LEGEND: &str = "\
A cell has ok, or what was done where the property was not kept: f the step failed, b and a the plugin was
killed before and after it, g after it with GC in the place of DEL, h it was held, o another pod's ADD went first,
u its work was undone, x nothing; - is not concerned, and ? did not come to the step again.";

/// The table of steps and properties, and what was wrong.
#[must_use]
pub fn table(report: &CutReport, properties: &[PluginProperty]) -> String {
    let mut out = String::new();
    let mut part = None;
    let heads: Vec<&str> = properties.iter().map(|property| property.name()).collect();
    row(&mut out, "", "", &heads);
    for plain in report.played.iter().filter(|it| it.cut.is_none()) {
        let cells: Vec<String> = properties.iter().map(|it| cell(&[plain], *it)).collect();
        row(&mut out, "", plain.what().as_str(), &cells);
    }
    for step in &report.steps {
        let here = Some((step.name.verb, step.name.alone));
        if part != here {
            part = here;
            let whose = if step.name.alone { ": what only a node's first pod takes" } else { "" };
            let _ = writeln!(out, "{}{whose}", step.name.verb.word());
        }
        let of_step = |it: &&PlayedCut| it.cut.as_ref().is_some_and(|cut| cut.step == step.name);
        let cases: Vec<&PlayedCut> = report.played.iter().filter(of_step).collect();
        let cells: Vec<String> = properties.iter().map(|it| cell(&cases, *it)).collect();
        row(&mut out, &step.name.netns, &words(step), &cells);
    }
    let _ = writeln!(out, "\n{LEGEND}");
    if !report.keeps.is_empty() {
        let _ = writeln!(
            out,
            "\nA node keeps, once its only pod was added and deleted, and nobody held against it:"
        );
        for line in &report.keeps {
            let _ = writeln!(out, "  {}", short(line.strip_prefix("left ").unwrap_or(line), WHY_MAX));
        }
    }
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
            let _ = writeln!(out, "    {}", short(&case.what(), WHY_MAX));
        }
        if let Some(more) = cases.len().checked_sub(TOLD_MAX).filter(|more| *more > 0) {
            let _ = writeln!(out, "    and {more} more; --json has them all");
        }
    }
}

/// A text with a `*` for what is drawn anew in every run: parts of names, MACs, handles.
pub(super) fn shape(text: &str) -> String {
    let mut out = String::new();
    let mut run = String::new();
    for c in text.chars().chain(std::iter::once(' ')) {
        if c.is_ascii_digit() || ('a'..='f').contains(&c) || c == ':' {
            run.push(c);
            continue;
        }
        let is_drawn = run.chars().filter(|c| *c != ':').count() >= 8
            || out.ends_with("handle ") && run.parse::<u64>().is_ok();
        out.push_str(if is_drawn { "*" } else { &run });
        run.clear();
        out.push(c);
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// One line of at most so many characters.
pub(super) fn short(text: &str, max: usize) -> String {
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
        "steps": {
            "ADD": count(Verb::Add),
            "CHECK": count(Verb::Check),
            "DEL": count(Verb::Del),
            "GC": count(Verb::Gc),
            "STATUS": count(Verb::Status),
        },
        "node_keeps": report.keeps,
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
        "first_pod": played.alone,
        "action": played.cut.as_ref().map(|cut| cut.action.to_string()),
        "reached": played.outcome.reached,
        "window_us": played.outcome.window.map(|it| it.as_ns() / 1000),
        "properties": verdicts,
        "wavering": played.wavering.iter().map(|it| it.name()).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::shape;

    #[test]
    fn what_is_drawn_anew_is_no_difference() {
        assert_eq!(shape("left link veth4f66d6a4 type veth up"), "left link veth* type veth up");
        assert_eq!(shape("rule ip nat CNI-a83aba3233310ddd1523ee43 handle 9"), "rule ip nat CNI-* handle *");
        assert_eq!(shape("lladdr ae:fe:01:02:03:04 dev eth0"), "lladdr * dev eth0");
        let address = "left file /var/lib/cni/networks/net/10.88.0.3";
        assert_eq!(shape(address), address);
    }
}
