//! `arplab identify`.

use super::fail::Fail;
use crate::addr::Mac;
use crate::matrix::{Candidate, Observation, Sight, Value, Vantage, identify, next_looks, symptoms};
use crate::near::WordError;
use crate::neigh::Nud;
use crate::regular;
use crate::scenario::catalogue;
use crate::time::Span;
use crate::trace::many;
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// State of the pod's entry for its gateway while it fails: FAILED, INCOMPLETE, absent, ...
    #[arg(long, value_name = "STATE", value_parser = state)]
    entry: Option<String>,
    /// Are requests seen on the pod's eth0?
    #[arg(long, value_enum)]
    asked: Option<YesNo>,
    /// Are requests seen on the host's cali interface?
    #[arg(long, value_enum)]
    heard: Option<YesNo>,
    /// Are replies seen there?
    #[arg(long, value_enum)]
    answered: Option<YesNo>,
    /// How long it lasts, such as 60s
    #[arg(long, value_name = "DURATION")]
    lasts: Option<Span>,
    /// Does it end by itself or otherwise while you watch?
    #[arg(long, value_enum)]
    ends: Option<YesNo>,
    /// The MAC in the pod's entry
    #[arg(long)]
    mac: Option<Mac>,
    /// Is it another than that of the host's cali interface?
    #[arg(long, value_enum)]
    wrong_mac: Option<YesNo>,
    /// Do two MACs claim one address: the entry's MAC alternates, or one request gets two replies?
    #[arg(long, value_enum)]
    two_macs: Option<YesNo>,
    /// Do replies come late, up to 0.8 s after the request?
    #[arg(long, value_enum)]
    held_back: Option<YesNo>,
    /// State of the HOST's entry for the pod: PERMANENT, INCOMPLETE, absent, ...
    #[arg(long, value_name = "STATE", value_parser = state)]
    host_entry: Option<String>,
    /// Part of what a client says, such as "No route to host"
    #[arg(long, value_name = "TEXT", value_parser = some_text)]
    error: Option<String>,
    /// A capture of the pod's link, pcap or pcapng, Ethernet: `tcpdump -ni eth0 -w FILE` in the pod
    /// or on its cali interface. Frames and times are used, comments are not
    #[arg(long, value_name = "FILE", conflicts_with = "trace")]
    pcap: Option<PathBuf>,
    /// Where it was taken [default: either may be]
    #[arg(long, value_enum, requires = "pcap")]
    pcap_at: Option<Place>,
    /// The JSON lines of `arplab run --json`, - for standard input; of them the frames at both
    /// ends, the neighbour entries and what clients said are used, the reasons are not
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// One JSON object a line, best first
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum YesNo {
    Yes,
    No,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Place {
    /// The pod's eth0
    Pod,
    /// The host's cali interface
    Host,
}

/// Reads what the person brings.
fn sight(args: &Args) -> Result<Option<Sight>, Fail> {
    if let Some(path) = &args.pcap {
        let vantage = args.pcap_at.map(|at| match at {
            Place::Pod => Vantage::Pod,
            Place::Host => Vantage::Host,
        });
        let fail = |why: &dyn core::fmt::Display| {
            Fail::usage(format!("reading the capture {} failed: {why}", path.display()))
        };
        let file = regular::open_or_stream(path).map_err(|e| fail(&e))?;
        let sight = Sight::from_capture(file, vantage).map_err(|e| fail(&e))?;
        for warning in &sight.warnings {
            super::complain(&format!("{}: {warning}", path.display()));
        }
        return Ok(Some(sight));
    }
    let Some(path) = &args.trace else { return Ok(None) };
    let fail = |why: &dyn core::fmt::Display| {
        Fail::usage(format!("reading the trace {} failed: {why}", path.display()))
    };
    let read = if path == Path::new("-") {
        Sight::from_trace(std::io::stdin().lock())
    } else {
        Sight::from_trace(BufReader::new(regular::open_or_stream(path).map_err(|e| fail(&e))?))
    };
    read.map(Some).map_err(|e| fail(&e))
}

/// What was read, so that a person sees on what the answer stands.
fn print_sight(sight: &Sight, out: &mut dyn Write) -> Result<(), Fail> {
    let c = sight.counts();
    writeln!(
        out,
        "Seen in {}: {} for the gateway ({} at most in a row without a reply), {}, {} of the pod, {} to it.",
        sight.watched(),
        many(c.asked, "request"),
        c.burst,
        if c.replies == 1 { "1 reply".to_owned() } else { format!("{} replies", c.replies) },
        many(c.sent, "packet"),
        c.back
    )?;
    let telling = |value: &Value| match value {
        Value::Word(word) => !matches!(word.as_str(), "none" | "false" | "{}"),
        Value::Length(length) => length.is_some(),
    };
    for (name, value) in sight.features().iter().filter(|f| telling(&f.1)) {
        match value {
            Value::Word(word) if word == "true" => writeln!(out, "  {name}")?,
            Value::Word(word) => writeln!(out, "  {name}: {word}")?,
            Value::Length(length) => writeln!(out, "  {name}: {}", length.unwrap_or_default())?,
        }
    }
    Ok(writeln!(out)?)
}

/// A state as `ip neigh` names it, or the word for none.
fn state(text: &str) -> Result<String, WordError> {
    const ABSENT: &str = "absent";
    let known = Nud::ALL.map(|n| n.name().to_owned());
    let upper = text.to_uppercase();
    if text.eq_ignore_ascii_case(ABSENT) || known.contains(&upper) {
        return Ok(upper);
    }
    Err(format!("{ABSENT}, {} is wanted", known.join(", ")).into())
}

fn some_text(text: &str) -> Result<String, &'static str> {
    if text.trim().is_empty() { Err("part of a message is wanted") } else { Ok(text.to_owned()) }
}

pub(super) fn run(args: &Args) -> Result<u8, Fail> {
    let yes = |a: Option<YesNo>| a.map(|a| a == YesNo::Yes);
    let seen = Observation {
        entry: args.entry.clone(),
        asked: yes(args.asked),
        heard: yes(args.heard),
        answered: yes(args.answered),
        lasts: args.lasts,
        ends: yes(args.ends),
        mac: args.mac,
        wrong_mac: yes(args.wrong_mac),
        two_macs: yes(args.two_macs),
        held_back: yes(args.held_back),
        host_entry: args.host_entry.clone(),
        error: args.error.clone(),
        sight: sight(args)?,
    };
    if seen.sight.as_ref().is_some_and(Sight::is_empty) {
        return Err(nothing(args));
    }
    if seen.is_empty() {
        return Err(Fail::usage(
            "nothing was seen, so everything fits: give --pcap, --trace, or what you see with --entry, --asked, \
             --heard, --answered and their like (`arplab identify --help`)",
        ));
    }
    let found = identify(&catalogue::all()?, &seen)?;
    let mut out = std::io::stdout().lock();
    if let (Some(sight), false) = (&seen.sight, args.json) {
        print_sight(sight, &mut out)?;
    }
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
    if seen.sight.as_ref().is_some_and(Sight::is_sound) {
        writeln!(
            out,
            "Nothing fails in it: whoever asked was answered at once, and packets came back. What fits looks so \
             too, before, after or beside its trouble; to tell more, capture while it lasts.\n"
        )?;
    }
    print_count(&best, found.len(), &mut out)?;
    for candidate in &best {
        print(candidate, &mut out)?;
    }
    if best.len() > 1 {
        print_next(&best, &seen, &mut out)?;
    }
    print_later(&found, &mut out)?;
    Ok(super::AS_EXPECTED)
}

/// How many fit, and whether that is a tie.
fn print_count(best: &[Candidate], of: usize, out: &mut dyn Write) -> Result<(), Fail> {
    let tie = best.len() > 1;
    let fits = best.first().is_some_and(|c| c.against.is_empty());
    Ok(match (fits, tie) {
        (true, false) => writeln!(out, "1 of {of} mechanisms fits.\n"),
        (true, true) => writeln!(
            out,
            "{} of {of} mechanisms fit. It is a tie: from this observation they cannot be told apart.\n",
            best.len()
        ),
        (false, false) => writeln!(out, "No mechanism fits all of it. The nearest:\n"),
        (false, true) => writeln!(
            out,
            "No mechanism fits all of it. The nearest are {}, a tie: each misses as much.\n",
            best.len()
        ),
    }?)
}

/// Scenarios whose cause is there from the start, where what was seen began later.
fn print_later(found: &[Candidate], out: &mut dyn Write) -> Result<(), Fail> {
    let later: Vec<&str> = found.iter().filter(|c| c.later).map(|c| c.signature.scenario.as_str()).collect();
    if later.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\nThe gateway answered at first. A cause that other scenarios have from the pod's start would look like \
         this, too, if it came later; these differ in nothing but that:"
    )?;
    for some in later.chunks(4) {
        writeln!(out, "  {}", some.join(", "))?;
    }
    Ok(())
}

/// How to tell the tied ones apart.
fn print_next(best: &[Candidate], seen: &Observation, out: &mut dyn Write) -> Result<(), Fail> {
    if seen.sight.as_ref().is_some_and(Sight::is_open) {
        writeln!(out, "It was not over when the watching ended; a longer capture may tell more.")?;
    }
    let looks = next_looks(best, seen);
    if looks.is_empty() {
        return Ok(writeln!(
            out,
            "Nothing that this command asks for tells them apart. The line under each says what to look at on \
             the node: it is the one whose line is true there."
        )?);
    }
    writeln!(out, "To tell them apart, look at one of these and give the answer with the flag behind it:")?;
    for look in looks {
        writeln!(out, "  {look}")?;
    }
    Ok(writeln!(out, "The line under each candidate says where its cause shows on the node.")?)
}

/// A capture without a frame that tells anything.
fn nothing(args: &Args) -> Fail {
    let file = args.pcap.as_deref().unwrap_or(Path::new("")).display();
    Fail::usage(format!(
        "there is nothing to identify in {file}: no ARP, no neighbour discovery, no packet to one station. \
         Capture while a client in the pod tries, without a filter, on the pod's eth0 or its cali interface; \
         if that stays empty the pod does not even ask: say so with --asked no"
    ))
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
