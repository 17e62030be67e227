//! Events as JSON lines. The schema is printed by `arplab schema --events`.

use super::event::Event;
use std::io::{self, Write};

/// Writes one line per event.
pub fn write_json(events: &[Event], out: &mut dyn Write) -> io::Result<()> {
    for event in events {
        serde_json::to_writer(&mut *out, event)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}
