//! `arplab list`.

use super::fail::Fail;
use crate::control::StepTable;
use crate::scenario::file::ScenarioFile;
use crate::scenario::{Scenario, catalogue};
use serde::Serialize;
use std::io::Write;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// An issue number, a catalogue number (M01 to M38) or an id
    about: Option<String>,
    /// List the steps that can be held instead
    #[arg(long, conflicts_with = "about")]
    steps: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    title: &'a str,
    aliases: &'a [String],
    certainty: String,
    look_alike: bool,
    fixes: Vec<&'a str>,
}

pub(super) fn run(args: &Args) -> Result<u8, Fail> {
    let mut out = std::io::stdout().lock();
    if args.steps {
        return steps(args.json, &mut out);
    }
    let found = match &args.about {
        Some(word) => catalogue::find(word)?,
        None => catalogue::all()?,
    };
    if found.is_empty() {
        let word = args.about.as_deref().unwrap_or_default();
        return Err(Fail::usage(format!("no scenario answers to {word:?}; `arplab list` shows all")));
    }
    for s in &found {
        if args.json {
            serde_json::to_writer(&mut out, &line(s))?;
            writeln!(out)?;
        } else {
            let f = s.file();
            writeln!(out, "{:<24} {}", s.id(), f.title)?;
            let kind = if f.look_alike { "not ARP; " } else { "" };
            writeln!(out, "{:<24} {kind}{}; {}", "", level(f), f.aliases.join(", "))?;
        }
    }
    Ok(super::AS_EXPECTED)
}

fn line(s: &Scenario) -> Line<'_> {
    let f = s.file();
    Line {
        id: s.id(),
        title: &f.title,
        aliases: &f.aliases,
        certainty: level(f),
        look_alike: f.look_alike,
        fixes: f.fixes.iter().map(|x| x.name.get_ref().as_str()).collect(),
    }
}

fn steps(json: bool, out: &mut dyn Write) -> Result<u8, Fail> {
    for (_, info) in StepTable::default().iter() {
        if json {
            let line = serde_json::json!({ "step": info.name, "actor": info.actor, "title": info.title });
            writeln!(out, "{line}")?;
        } else {
            writeln!(out, "{:<30} {}", info.name, info.title)?;
        }
    }
    Ok(super::AS_EXPECTED)
}

/// How sure the cause is.
fn level(file: &ScenarioFile) -> String {
    file.certainty.as_ref().map_or_else(String::new, |c| c.level.to_string())
}
