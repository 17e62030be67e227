//! `arplab list`.

use super::fail::Fail;
use super::output::fold;
use super::unknown;
use crate::control::{CalicoVersion, StepTable};
use crate::matrix::{Hit, Query, Searched, Symptoms, search, symptoms};
use crate::scenario::file::ScenarioFile;
use crate::scenario::{Scenario, catalogue, mechanism};
use crate::time::Span;
use serde::Serialize;
use std::io::Write;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// An issue (its number or address), a catalogue number (M01 to M38), an id or an alias; or words,
    /// which are searched for in everything that scenarios say, and all of which have to be there
    words: Vec<String>,
    /// Only scenarios in which a request stays unanswered for that reason; `arplab schema --reasons`
    /// lists them
    #[arg(long, value_name = "REASON")]
    reason: Vec<String>,
    /// Only those with these words in one line of what a person sees, such as "host unreachable"
    #[arg(long, value_name = "WORDS", value_parser = some_words)]
    symptom: Vec<String>,
    /// Only those that are set in that release of Calico, or whose run with its programs is as expected,
    /// too
    #[arg(long, value_name = "VERSION")]
    calico: Option<CalicoVersion>,
    /// List the steps that can be held instead
    #[arg(long, conflicts_with_all = ["words", "reason", "symptom", "calico"])]
    steps: bool,
    /// List the mitigations that `arplab run --with` and `arplab matrix` know instead
    #[arg(long, conflicts_with_all = ["words", "reason", "symptom", "calico", "steps"])]
    mitigations: bool,
    /// List the catalogue's mechanisms, M01 to M38, and which scenarios stage them instead
    #[arg(long, conflicts_with_all = ["words", "reason", "symptom", "calico", "steps", "mitigations"])]
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
    /// Where a search found it.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    found_in: &'a [String],
}

fn some_words(text: &str) -> Result<String, &'static str> {
    if text.trim().is_empty() {
        Err("words are wanted, such as \"host unreachable\"")
    } else {
        Ok(text.to_owned())
    }
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
    let query = args.query();
    if query.words.is_empty() && !args.words.is_empty() {
        return Err(Fail::usage("there is no word to look for; `arplab list` shows all"));
    }
    let looked_up = match &args.words[..] {
        [word] => catalogue::find(word)?,
        _ => Vec::new(),
    };
    let number = args.words.first().filter(|_| args.words.len() == 1).and_then(|word| mechanism(word));
    if let ([word], true) = (&args.words[..], looked_up.is_empty() && number.is_none())
        && (catalogue::is_address(word) || unknown::is_number(word))
    {
        return Err(unknown::no_scenario(word));
    }
    let named = number.is_some() || !looked_up.is_empty();
    let among = if named { looked_up } else { catalogue::all()? };
    let query = if named { Query { words: Vec::new(), ..query } } else { query };
    if among.is_empty() && query != Query::default() {
        let word = args.words.join(" ");
        return Err(Fail::usage(format!("no scenario stages {word}; `arplab show {word}` says what it is")));
    }
    let found = match search(&among, &query)? {
        Searched::Found(found) => found,
        Searched::Nearest(_) if query == Query::default() => Vec::new(),
        Searched::Nearest(near) => return Err(unknown::nothing_found(&query, &near)),
    };
    if !args.json && named {
        above(&args.words[0], number, found.is_empty(), &mut out)?;
    }
    for hit in &found {
        print(hit, named, args.json, &mut out)?;
    }
    Ok(super::AS_EXPECTED)
}

impl Args {
    fn query(&self) -> Query {
        let words = self.words.iter().flat_map(|w| w.split_whitespace());
        Query {
            words: words.map(|w| w.trim_start_matches('#').to_owned()).collect(),
            reasons: self.reason.clone(),
            symptoms: self.symptom.clone(),
            calico: self.calico,
        }
    }
}

/// What is said once, above the scenarios that an issue or a mechanism leads to.
fn above(
    word: &str,
    number: Option<&crate::scenario::Mechanism>,
    nothing: bool,
    out: &mut dyn Write,
) -> Result<(), Fail> {
    if catalogue::issue(word) == Some("8689") {
        writeln!(out, "{}\n", fold(ESTABLISHED, 0, 96).trim_end())?;
    }
    if let Some(number) = number {
        writeln!(out, "{}", super::mechanism::paragraph(number))?;
        if nothing {
            writeln!(out, "No scenario stages it.")?;
        }
    }
    Ok(())
}

/// A scenario, where the search found it, and, of one that was asked for by name, what it looks like.
fn print(hit: &Hit<'_>, named: bool, json: bool, out: &mut dyn Write) -> Result<(), Fail> {
    let s = hit.scenario;
    let symptoms = named.then(|| symptoms(s)).transpose()?;
    if json {
        serde_json::to_writer(&mut *out, &Line { symptoms, found_in: &hit.places, ..line(s) })?;
        return Ok(writeln!(out)?);
    }
    let f = s.file();
    writeln!(out, "{:<24} {}", s.id(), f.title)?;
    let kind = if f.look_alike { "not ARP; " } else { "" };
    writeln!(out, "{:<24} {kind}{}; {}", "", level(f), f.aliases.join(", "))?;
    if !hit.places.is_empty() {
        writeln!(out, "{:<24} found: {}", "", hit.places.join(", "))?;
    }
    symptoms.map_or(Ok(()), |seen| looks_like(&seen, out))
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
        found_in: &[],
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
