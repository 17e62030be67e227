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
    /// Whether model and recording agree.
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
/// file was made; an error when it is no recording.
pub fn conform_line(line: &str) -> Result<Option<ConformCase>, serde_json::Error> {
    if line.trim().is_empty() {
        return Ok(None);
    }
    let record: Record = serde_json::from_str(line)?;
    if record.name == "_meta" {
        return Ok(None);
    }
    let (result, why) = if OF_THE_POD.contains(&record.group.as_str()) {
        let faults = pod::judge(&serde_json::from_str(line)?).faults;
        let result = match &faults[..] {
            [] => CaseResult::Agrees,
            all if all.iter().all(pod::PodFault::is_of_the_record) => CaseResult::NotReplayed,
            _ => CaseResult::Differs,
        };
        (result, faults.iter().map(ToString::to_string).collect())
    } else {
        match replay(&record).verdict {
            Replayed::Agrees => (CaseResult::Agrees, Vec::new()),
            Replayed::Differs(d) => (CaseResult::Differs, d.iter().map(ToString::to_string).collect()),
            Replayed::NotReplayed(why) => (CaseResult::NotReplayed, vec![why.to_string()]),
        }
    };
    Ok(Some(ConformCase { name: record.name, title: record.title, result, why }))
}
