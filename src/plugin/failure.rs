//! Errors as the specification has them: a code, a sentence, and what helps.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// An error by section 5 of the specification.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Failure {
    pub(super) code: u64,
    pub(super) msg: String,
    #[serde(default)]
    pub(super) details: String,
}

impl Failure {
    fn new(code: u64, msg: impl Into<String>, details: impl Into<String>) -> Failure {
        Failure { code, msg: msg.into(), details: details.into() }
    }
    /// The version of the configuration is not spoken here.
    pub(super) fn version(msg: impl Into<String>, details: impl Into<String>) -> Failure {
        Failure::new(1, msg, details)
    }
    /// A field of the configuration is not known.
    pub(super) fn field(msg: impl Into<String>, details: impl Into<String>) -> Failure {
        Failure::new(2, msg, details)
    }
    /// There is no such container, and so nothing to clean up.
    pub(super) fn unknown(msg: impl Into<String>, details: impl Into<String>) -> Failure {
        Failure::new(3, msg, details)
    }
    /// A variable of the environment is missing or wrong.
    pub(super) fn environment(msg: impl Into<String>, details: impl Into<String>) -> Failure {
        Failure::new(4, msg, details)
    }
    /// Reading, writing or starting something failed.
    pub(super) fn io(msg: impl Into<String>, details: impl core::fmt::Display) -> Failure {
        Failure::new(5, msg, details.to_string())
    }
    /// What was read is no JSON.
    pub(super) fn decode(msg: impl Into<String>, details: impl Into<String>) -> Failure {
        Failure::new(6, msg, details)
    }
    /// The configuration does not hold together.
    pub(super) fn config(msg: impl Into<String>, details: impl Into<String>) -> Failure {
        Failure::new(7, msg, details)
    }
    /// STATUS: no container can be connected.
    pub(super) fn unavailable(msg: impl Into<String>, details: impl Into<String>) -> Failure {
        Failure::new(50, msg, details)
    }
    /// This plugin's own: the kernel refused a step.
    pub(super) fn refused(msg: impl Into<String>, details: impl Into<String>) -> Failure {
        Failure::new(100, msg, details)
    }
    /// This plugin's own: there is an interface of that name already.
    pub(super) fn taken(msg: impl Into<String>, details: impl Into<String>) -> Failure {
        Failure::new(101, msg, details)
    }
    /// This plugin's own: CHECK found something undone.
    pub(super) fn undone(msg: impl Into<String>, details: impl Into<String>) -> Failure {
        Failure::new(102, msg, details)
    }

    /// As it is printed.
    pub(super) fn json(&self, version: &str) -> Value {
        json!({ "cniVersion": version, "code": self.code, "msg": self.msg, "details": self.details })
    }
}
