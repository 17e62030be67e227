//! `arplab why-a-minute`.

use super::fail::Fail;
use crate::matrix::{Minute, minutes};
use crate::scenario::catalogue;
use std::io::Write;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<u8, Fail> {
    let found = minutes(&catalogue::all()?)?;
    let mut out = std::io::stdout().lock();
    if args.json {
        for minute in &found {
            serde_json::to_writer(&mut out, minute)?;
            writeln!(out)?;
        }
        return Ok(super::AS_EXPECTED);
    }
    writeln!(out, "Every scenario and client that loses 55 to 75 s in the simulator, and what makes it.\n")?;
    for minute in &found {
        print(minute, &mut out)?;
    }
    writeln!(
        out,
        "An unanswered gateway alone gives an ordinary client \"No route to host\" after 3 s, again and again,\n\
         and it is back within a second or two of the gateway: then the minute is the gateway's. A single\n\
         connect() that waits longer than its gateway waits for its own next SYN: then the minute is TCP's."
    )?;
    Ok(super::AS_EXPECTED)
}

fn print(m: &Minute, out: &mut dyn Write) -> Result<(), Fail> {
    let tenths = |s: crate::time::Span| {
        let ms = s.as_ns() / 1_000_000;
        format!("{}.{}", ms / 1000, ms % 1000 / 100)
    };
    let (from, to) = (tenths(m.outage.0), tenths(m.outage.1));
    let outage = if from == to { from } else { format!("{from} to {to}") };
    let fits = if m.fits_8689 { "  [fits what 8689 established]" } else { "" };
    writeln!(out, "{} / {} ({}): {outage} s{fits}", m.scenario, m.client, m.kind)?;
    if !m.reasons.is_empty() {
        let reasons: Vec<&str> = m.reasons.iter().map(String::as_str).collect();
        writeln!(out, "    silent because of {}", reasons.join(", "))?;
    }
    for timer in &m.timers {
        writeln!(out, "    {timer}")?;
    }
    Ok(writeln!(out)?)
}
