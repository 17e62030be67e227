//! What `arplab list` and `arplab show` say of the catalogue's mechanisms.

use super::fail::Fail;
use super::output::fold;
use crate::scenario::{Mechanism, Scenario, catalogue, mechanisms};
use std::fmt::Write as _;
use std::io::Write;

/// Columns of prose.
const WIDTH: usize = 96;

/// A mechanism in a paragraph, to stand above the scenarios that stage it.
pub(super) fn paragraph(m: &Mechanism) -> String {
    let text = format!(
        "{}, {} ({}): {} (arplab show {})",
        m.number,
        m.name,
        m.certainty.level,
        m.fails.trim(),
        m.number
    );
    fold(&text, 0, WIDTH)
}

/// All that is known of a mechanism, with the scenarios that stage it.
pub(super) fn page(m: &Mechanism) -> Result<String, Fail> {
    let mut o = format!("{}: {}\n\n", m.number, m.name);
    let certainty = format!("{}: {}", m.certainty.level, m.certainty.why);
    let sources = m.sources.join(", ");
    for (head, text) in [
        ("What fails", &m.fails),
        ("Versions", &m.versions),
        ("Certainty", &certainty),
        ("Sources", &sources),
    ] {
        let _ = writeln!(o, "{head}\n{}", fold(text, 2, WIDTH));
    }
    let staged = m.scenarios()?;
    let _ = writeln!(o, "{}", if staged.is_empty() { "No scenario stages it." } else { "See it" });
    for s in staged {
        let _ = writeln!(o, "  arplab run {}\n{}", s.id(), fold(&s.file().title, 6, WIDTH).trim_end());
    }
    Ok(o)
}

/// Every mechanism, a line each, or a JSON object each.
pub(super) fn list(json: bool, out: &mut dyn Write) -> Result<u8, Fail> {
    let all = catalogue::all()?;
    for m in mechanisms() {
        let staged = |s: &&Scenario| s.file().aliases.contains(&m.number);
        let staged: Vec<&str> = all.iter().filter(staged).map(Scenario::id).collect();
        if json {
            let line = serde_json::json!({
                "number": m.number, "name": m.name, "fails": m.fails.trim(), "versions": m.versions,
                "certainty": m.certainty.level, "why": m.certainty.why, "sources": m.sources,
                "scenarios": staged,
            });
            writeln!(out, "{line}")?;
        } else {
            let staged = if staged.is_empty() { "no scenario".to_owned() } else { staged.join(", ") };
            writeln!(out, "{} {:<46} {:<9} {staged}", m.number, m.name, m.certainty.level)?;
        }
    }
    Ok(super::AS_EXPECTED)
}
