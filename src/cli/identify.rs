//! `arplab identify`.

use super::fail::Fail;
use crate::addr::Mac;
use crate::matrix::{Candidate, Observation, identify, next_looks, symptoms};
use crate::scenario::catalogue;
use crate::time::Span;
use std::io::Write;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// State of the pod's entry for its gateway while it fails: FAILED, INCOMPLETE, absent, ...
    #[arg(long, value_name = "STATE")]
    entry: Option<String>,
    /// Are requests seen on the pod's eth0?
    #[arg(long, value_enum)]
    asked: Option<Answer>,
    /// Are requests seen on the host's cali interface?
    #[arg(long, value_enum)]
    heard: Option<Answer>,
    /// Are replies seen there?
    #[arg(long, value_enum)]
    answered: Option<Answer>,
    /// How long it lasts, such as 60s
    #[arg(long, value_name = "DURATION")]
    lasts: Option<Span>,
    /// Does it end by itself or otherwise while you watch?
    #[arg(long, value_enum)]
    ends: Option<Answer>,
    /// The MAC in the pod's entry
    #[arg(long)]
    mac: Option<Mac>,
    /// Part of what a client says, such as "No route to host"
    #[arg(long, value_name = "TEXT")]
    error: Option<String>,
    /// One JSON object a line, best first
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Answer {
    Yes,
    No,
}

pub(super) fn run(args: &Args) -> Result<u8, Fail> {
    let yes = |a: Option<Answer>| a.map(|a| a == Answer::Yes);
    let seen = Observation {
        entry: args.entry.clone(),
        asked: yes(args.asked),
        heard: yes(args.heard),
        answered: yes(args.answered),
        lasts: args.lasts,
        ends: yes(args.ends),
        mac: args.mac,
        error: args.error.clone(),
        sight: None,
    };
    let found = identify(&catalogue::all()?, &seen)?;
    let mut out = std::io::stdout().lock();
    if args.json {
        for candidate in &found {
            serde_json::to_writer(&mut out, candidate)?;
            writeln!(out)?;
        }
        return Ok(super::AS_EXPECTED);
    }
    let rank = |c: &Candidate| (c.against.len(), c.fits.len());
    let best: Vec<Candidate> =
        found.iter().filter(|c| Some(rank(c)) == found.first().map(rank)).cloned().collect();
    if best.first().is_some_and(|c| !c.against.is_empty()) {
        writeln!(out, "No mechanism fits all of it. The nearest:\n")?;
    } else {
        writeln!(out, "{} of {} mechanisms fit.\n", best.len(), found.len())?;
    }
    for candidate in &best {
        print(candidate, &mut out)?;
    }
    let looks = next_looks(&best, &seen);
    if best.len() > 1 && looks.is_empty() {
        writeln!(
            out,
            "Nothing that this command asks for tells these apart; the lines above say where to look."
        )?;
    } else if best.len() > 1 {
        writeln!(out, "To tell them apart, look at:")?;
        for look in looks {
            writeln!(out, "  {look}")?;
        }
    }
    Ok(super::AS_EXPECTED)
}

fn print(candidate: &Candidate, out: &mut dyn Write) -> Result<(), Fail> {
    let id = &candidate.signature.scenario;
    let Some(scenario) = catalogue::find(id)?.into_iter().next() else { return Ok(()) };
    writeln!(out, "{id}: {}", scenario.file().title)?;
    if !candidate.against.is_empty() {
        writeln!(out, "    does not fit: {}", candidate.against.join(", "))?;
    }
    for line in symptoms(&scenario)?.look_at {
        writeln!(out, "    {line}")?;
    }
    Ok(())
}
