//! Events as JSON lines. The schema is printed by `arplab schema --events`.

use super::check::Check;
use super::event::Event;
use super::observe::Observed;
use serde::Serialize;
use std::io::{self, Write};

/// Writes one line per event.
pub fn write_json(events: &[Event], out: &mut dyn Write) -> io::Result<()> {
    for event in events {
        serde_json::to_writer(&mut *out, event)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// The last line of `run --json`.
#[derive(Serialize)]
#[serde(tag = "event", rename = "verdict")]
pub struct Verdict<'a> {
    /// `as expected` or `unexpected`.
    pub result: &'a str,
    /// Each expectation.
    pub checks: &'a [Check],
    /// What was seen.
    pub seen: &'a Observed,
}
