//! Why a recording is not replayed, and in what a trial of the pod differs from it.

use crate::host::Refused;
use crate::host::command::CommandError;
use core::fmt;

/// Why a recording cannot be held against the model.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RecordError {
    /// Nothing was recorded.
    #[error("it holds no trials")]
    Empty,
    /// It is about programs in the pod, and not of a group that [`super::pod`] replays.
    #[error("it needs the pod's clients")]
    Clients,
    /// What it holds is of no kind that is known.
    #[error("it is of a kind that is not replayed yet")]
    Kind,
    /// A command of the recorder that the model has no term for.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The model refuses what the recorded kernel did.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A value that the replay needs is not there.
    #[error("it does not say {0}")]
    Lacks(&'static str),
    /// A value is there, and nothing that the replay could use.
    #[error("{0}")]
    Value(String),
}

impl RecordError {
    pub(super) fn value(e: impl fmt::Display) -> RecordError {
        RecordError::Value(e.to_string())
    }
}

/// Why the pod's model and a recording do not agree.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PodMismatch {
    /// The record cannot be replayed at all.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The model does otherwise, in words.
    #[error("{0}")]
    Differs(String),
}

impl From<String> for PodMismatch {
    fn from(why: String) -> PodMismatch {
        PodMismatch::Differs(why)
    }
}
