//! One recording of whatever kind, held against the model.

use super::{Record, Replayed, pod, replay};
use serde::Serialize;

/// Groups of recordings that were made with programs in the pod; all others are frames at a host's
/// interface (see tests/vectors/README.md).
const OF_THE_POD: [&str; 5] = ["X", "W", "K", "E", "Q"];

/// What came of one recording.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ConformCase {
    /// The record's name.
    pub name: String,
    /// What it shows.
    pub title: String,
    /// Agreement.
    pub result: CaseResult,
    /// What differs, or why it was not replayed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub why: Vec<String>,
}

/// Whether a recording and the model agree.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CaseResult {
    /// The model does what the kernel did.
    Agrees,
    /// It does not.
    Differs,
    /// It cannot be replayed.
    NotReplayed,
}

/// Replays the recording of one line. Nothing for an empty line and for the line that says how the
/// file was made; an error's text when the line is no recording.
pub fn conform_line(line: &str) -> Result<Option<ConformCase>, String> {
    if line.trim().is_empty() {
        return Ok(None);
    }
    let record: Record = serde_json::from_str(line).map_err(|e| e.to_string())?;
    if record.name == "_meta" {
        return Ok(None);
    }
    let (result, why) = if OF_THE_POD.contains(&record.group.as_str()) {
        let verdicts = pod::conform(line, |_| true).map_err(|e| e.why)?;
        let faults: Vec<String> = verdicts.into_iter().flat_map(|v| v.faults).collect();
        (if faults.is_empty() { CaseResult::Agrees } else { CaseResult::Differs }, faults)
    } else {
        match replay(&record).verdict {
            Replayed::Agrees => (CaseResult::Agrees, Vec::new()),
            Replayed::Differs(d) => (CaseResult::Differs, d.iter().map(ToString::to_string).collect()),
            Replayed::NotReplayed(why) => (CaseResult::NotReplayed, vec![why]),
        }
    };
    Ok(Some(ConformCase { name: record.name, title: record.title, result, why }))
}
