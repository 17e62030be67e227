//! Errors of the command line: for people, with an exit status.

use crate::scenario::{PlanError, ScenarioError};
use core::fmt;
use std::io;

/// Why a command could not do its work.
#[derive(Debug)]
pub(super) struct Fail {
    pub(super) code: u8,
    message: String,
    broken_pipe: bool,
}

impl Fail {
    /// Wrong usage or bad input.
    pub(super) fn usage(message: impl Into<String>) -> Fail {
        Fail { code: super::USAGE, message: message.into(), broken_pipe: false }
    }

    /// With the exit status that another process of this command had.
    #[cfg(feature = "live")]
    pub(super) fn of_code(code: u8, message: impl Into<String>) -> Fail {
        Fail { code, message: message.into(), broken_pipe: false }
    }

    /// Something came out otherwise than it should, and that ends the command.
    #[cfg(feature = "live")]
    pub(super) fn unexpected(message: impl Into<String>) -> Fail {
        Fail { code: super::UNEXPECTED, message: message.into(), broken_pipe: false }
    }

    /// This machine cannot do it.
    pub(super) fn cannot(message: impl Into<String>) -> Fail {
        Fail { code: super::CANNOT, message: message.into(), broken_pipe: false }
    }

    /// Ctrl-C or SIGTERM came first.
    #[cfg(feature = "live")]
    pub(super) fn interrupted(by: crate::live::Interrupt, message: impl Into<String>) -> Fail {
        Fail { code: super::interrupted(by), message: message.into(), broken_pipe: false }
    }

    /// The reader of our output went away: no error of ours.
    pub(super) fn is_broken_pipe(&self) -> bool {
        self.broken_pipe
    }
}

impl fmt::Display for Fail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<ScenarioError> for Fail {
    fn from(e: ScenarioError) -> Fail {
        Fail::usage(format!("the scenario file cannot be used\n{e}"))
    }
}

impl From<PlanError> for Fail {
    fn from(e: PlanError) -> Fail {
        Fail::usage(e.to_string())
    }
}

impl From<io::Error> for Fail {
    fn from(e: io::Error) -> Fail {
        let broken_pipe = e.kind() == io::ErrorKind::BrokenPipe;
        Fail { code: super::USAGE, message: format!("writing the output failed: {e}"), broken_pipe }
    }
}

impl From<serde_json::Error> for Fail {
    fn from(e: serde_json::Error) -> Fail {
        io::Error::from(e).into()
    }
}
