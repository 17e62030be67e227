//! Recordings of a real kernel, and whether the model answers as the kernel did.
//!
//! # Theory of operation
//!
//! A record holds a state (as commands, as what the kernel reported afterwards, or both), frames
//! that were sent into it with their times, and what came back. [`replay`] builds the state in two
//! namespaces joined by a veth (`rig`), sends the same frames at the same times, and compares
//! what can be compared: how many answers, their bytes, whether at once or delayed and how the
//! delays are spread, and how the neighbour entries changed. Nothing is looked up by a record's
//! name.
//!
//! Times of a real machine carry noise, so "at once" means within [`AT_ONCE`], and drawn delays
//! are compared as distributions (`spread`), never one by one.

// the recordings hold seconds as floating-point numbers; what is lost in them is far below a tick
#![allow(clippy::cast_precision_loss, clippy::cast_sign_loss)]

mod build;
mod burst;
mod command;
mod conform;
mod craft;
mod delay;
mod error;
pub mod pod;
mod pod_client;
mod pod_fit;
mod pod_frame;
mod pod_many;
mod pod_plan;
mod pod_queue;
mod pod_record;
mod pod_setup;
mod pod_trace;
mod queued;
mod record;
mod rig;
mod spread;
mod start6;

pub use conform::{CaseResult, ConformCase, conform_line};
pub use error::{PodMismatch, RecordError};
pub use record::{Config, ReadError, Record, Shot, Transition, Trial, read};

use crate::time::Span;
use core::fmt;

/// An answer within that time left at once; the slowest on the shared recording machine took
/// 7.5 ms.
pub const AT_ONCE: Span = Span::from_ms(50);

/// One way in which the model differs from a recording.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Deviation {
    /// In which repetition, from 0; `None` when it shows only over all of them.
    pub trial: Option<usize>,
    /// The name of what was compared.
    pub what: &'static str,
    /// What the kernel did.
    pub kernel: String,
    /// What the model does.
    pub model: String,
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        if let Some(trial) = self.trial {
            write!(f, " (trial {trial})")?;
        }
        write!(f, ": kernel {}, model {}", self.kernel, self.model)
    }
}

/// How a replay ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Replayed {
    /// The model answers as the kernel did.
    Agrees,
    /// It does not.
    Differs(Vec<Deviation>),
    /// The record cannot be replayed, and why: it needs the pod's clients, or says something the
    /// model does not understand.
    NotReplayed(RecordError),
}

/// The outcome of one replay.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReplayReport {
    /// The record's name.
    pub name: String,
    /// How it ended.
    pub verdict: Replayed,
    /// Where the kernel's report of its state differs from what the recorded commands led the
    /// model to. Some steps were not recorded; anything else here is a fault of the model.
    pub adjusted: Vec<String>,
}

impl fmt::Display for ReplayReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.verdict {
            Replayed::Agrees => write!(f, "agree   {}", self.name),
            Replayed::NotReplayed(why) => write!(f, "skip    {}: {why}", self.name),
            Replayed::Differs(differences) => {
                write!(f, "differ  {}", self.name)?;
                for difference in differences {
                    write!(f, "\n        {difference}")?;
                }
                Ok(())
            }
        }
    }
}

/// What comparing a record gave: the differences, and the adjustments of its state.
type Compared = (Vec<Deviation>, Vec<String>);

/// Replays a record on the model.
#[must_use]
pub fn replay(record: &Record) -> ReplayReport {
    let (verdict, adjusted) = match dispatch(record) {
        Ok((differences, adjusted)) if differences.is_empty() => (Replayed::Agrees, adjusted),
        Ok((differences, adjusted)) => (Replayed::Differs(differences), adjusted),
        // the recorded kernel did it
        Err(RecordError::Refused(refused)) => (Replayed::Differs(vec![refusal(&refused)]), Vec::new()),
        Err(why) => (Replayed::NotReplayed(why), Vec::new()),
    };
    ReplayReport { name: record.name.clone(), verdict, adjusted }
}

/// A command that the recorded kernel took and the model does not.
fn refusal(refused: &crate::host::Refused) -> Deviation {
    let kernel = format!("took `{}`", refused.command);
    let model = format!("refuses it with {}: {}", refused.errno.text(), refused.why);
    Deviation { trial: None, what: "a command of the recorder", kernel, model }
}

/// What kind of case a record is, by what it holds.
fn dispatch(record: &Record) -> Result<Compared, RecordError> {
    let has = |key: &str| record.params.contains_key(key);
    let trials = &record.trials;
    if trials.is_empty() {
        return Err(RecordError::Empty);
    }
    if has("client") || has("nodad") {
        return Err(RecordError::Clients);
    }
    if has("accept") && has("transmits") {
        return start6::replay(record);
    }
    if has("what") {
        return queued::replay(record);
    }
    if has("qlen") {
        return burst::replay(record);
    }
    if trials.iter().any(|t| !t.requests_per_resolution.is_empty()) {
        return delay::replay_resolutions(record);
    }
    if trials.iter().any(|t| !t.samples.is_empty()) {
        return delay::replay_requests(record);
    }
    if trials.iter().all(|t| !t.stimulus.is_empty()) {
        return craft::replay(record);
    }
    Err(RecordError::Kind)
}

/// Seconds of a recording as a length of time.
fn span(seconds: f64) -> Span {
    // recordings have microseconds; a negative time is one before the stimulus
    core::time::Duration::try_from_secs_f64(seconds.abs()).map_or(Span::ZERO, Span::from)
}
