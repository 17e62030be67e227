//! `arplab list`.

use super::fail::Fail;
use super::output::fold;
use crate::control::StepTable;
use crate::matrix::{Symptoms, symptoms};
use crate::scenario::file::ScenarioFile;
use crate::scenario::{Scenario, catalogue, mechanism};
use crate::time::Span;
use serde::Serialize;
use std::io::Write;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// An issue (its number or address), a catalogue number (M01 to M38) or an id
    about: Option<String>,
    /// List the steps that can be held instead
    #[arg(long, conflicts_with = "about")]
    steps: bool,
    /// List the mitigations that `arplab run --with` and `arplab matrix` know instead
    #[arg(long, conflicts_with_all = ["about", "steps"])]
    mitigations: bool,
    /// List the catalogue's mechanisms, M01 to M38, and which scenarios stage them instead
    #[arg(long, conflicts_with_all = ["about", "steps", "mitigations"])]
    mechanisms: bool,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    symptoms: Option<Symptoms>,
}

/// What the readers of issue 8689 can hold a mechanism against.
const ESTABLISHED: &str = "Issue 8689 established: the gateway's entry is absent, for about a minute, then it \
                           heals alone; the pod's routes are right all the time; removing an invalid custom \
                           udev rule cured it. It did not establish the cause. Each candidate was run in the \
                           simulator; here is what of this it shows, and what would tell it from the others.";

fn looks_like(seen: &Symptoms, out: &mut dyn Write) -> Result<(), Fail> {
    let seconds = |s: Span| {
        let ms = s.as_ns() / 1_000_000;
        format!("{}.{}", ms / 1000, ms % 1000 / 100)
    };
    let (from, to) = (seconds(seen.outage.0), seconds(seen.outage.1));
    let outage = if from == to { from } else { format!("{from} to {to}") };
    writeln!(
        out,
        "{:<24} entry absent: {}; about a minute: {} ({outage} s); heals alone: {}; pod routes right: {}",
        "", seen.entry_absent, seen.about_a_minute, seen.heals_alone, seen.routes_right
    )?;
    for line in &seen.look_at {
        writeln!(out, "{:<24} look: {line}", "")?;
    }
    Ok(writeln!(out)?)
}

fn mitigations(json: bool, out: &mut dyn Write) -> Result<u8, Fail> {
    for m in crate::scenario::mitigations() {
        if json {
            let line = serde_json::json!({
                "name": m.name, "kind": m.kind, "title": m.title, "why": m.why,
                "unknown_settings": m.unknown_settings,
            });
            writeln!(out, "{line}")?;
        } else {
            writeln!(out, "{:<32} {}", m.name, m.title)?;
            if !m.unknown_settings.is_empty() {
                writeln!(out, "{:32} no release knows {}", "", m.unknown_settings.join(", "))?;
            }
        }
    }
    Ok(super::AS_EXPECTED)
}

pub(super) fn run(args: &Args) -> Result<u8, Fail> {
    let mut out = std::io::stdout().lock();
    if args.steps {
        return steps(args.json, &mut out);
    }
    if args.mitigations {
        return mitigations(args.json, &mut out);
    }
    if args.mechanisms {
        return super::mechanism::list(args.json, &mut out);
    }
    let found = match &args.about {
        Some(word) => catalogue::find(word)?,
        None => catalogue::all()?,
    };
    let number = args.about.as_deref().and_then(mechanism);
    if found.is_empty() && number.is_none() {
        return Err(super::unknown::no_scenario(args.about.as_deref().unwrap_or_default()));
    }
    if let Some(word) = &args.about
        && !args.json
        && catalogue::issue(word) == Some("8689")
    {
        writeln!(out, "{}\n", fold(ESTABLISHED, 0, 96).trim_end())?;
    }
    if let (Some(number), false) = (number, args.json) {
        writeln!(out, "{}", super::mechanism::paragraph(number))?;
        if found.is_empty() {
            writeln!(out, "No scenario stages it.")?;
        }
    }
    for s in &found {
        let symptoms = args.about.is_some().then(|| symptoms(s)).transpose()?;
        if args.json {
            serde_json::to_writer(&mut out, &Line { symptoms, ..line(s) })?;
            writeln!(out)?;
        } else {
            let f = s.file();
            writeln!(out, "{:<24} {}", s.id(), f.title)?;
            let kind = if f.look_alike { "not ARP; " } else { "" };
            writeln!(out, "{:<24} {kind}{}; {}", "", level(f), f.aliases.join(", "))?;
            if let Some(seen) = &symptoms {
                looks_like(seen, &mut out)?;
            }
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
        symptoms: None,
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
