//! What was found, as the rows of a table in Markdown.

use super::table::{shape, short};
use super::{CutReport, PlayedCut, PluginProperty};
use std::fmt::Write;

/// The most cases that a row names.
const NAMED_MAX: usize = 3;
/// The most characters of what was wrong, and of a case.
const CELL_MAX: usize = 160;

/// A row for each property and each thing that was wrong with it, in the order in which they were found. What
/// is drawn anew in every run is a `*`, so two searches of the same plugins print the same.
#[must_use]
pub fn markdown(report: &CutReport, properties: &[PluginProperty]) -> String {
    let mut out = String::from("| Property | What was wrong | When |\n|---|---|---|\n");
    for property in properties {
        for (why, cases) in groups(report, *property) {
            let mut named: Vec<String> = Vec::new();
            for case in &cases {
                let words = format!("`{}`", short(&shape(&case.what()), CELL_MAX));
                if !named.contains(&words) {
                    named.push(words);
                }
            }
            let more = named.len().saturating_sub(NAMED_MAX);
            named.truncate(NAMED_MAX);
            if more > 0 {
                named.push(format!("and {more} more"));
            }
            let (why, when) = (cell(&short(&why, CELL_MAX)), cell(&named.join("<br>")));
            let _ = writeln!(out, "| `{property}` | {why} | {when} |");
        }
    }
    out
}

/// The cases that lack a property, by what was wrong.
fn groups(report: &CutReport, property: PluginProperty) -> Vec<(String, Vec<&PlayedCut>)> {
    let mut groups: Vec<(String, Vec<&PlayedCut>)> = Vec::new();
    for case in &report.played {
        let Some(Err(why)) = case.outcome.verdicts.get(&property) else { continue };
        let why = shape(why);
        match groups.iter_mut().find(|(told, _)| *told == why) {
            Some((_, cases)) => cases.push(case),
            None => groups.push((why, vec![case])),
        }
    }
    groups
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
