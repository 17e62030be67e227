//! One plugin, run once.

use super::execution;
use super::{CniFault, PluginStage};
use crate::time::Span;
use netns_lab::supervise::{Ended, Lever, Outcome, Rules, SuperviseError};
use serde_json::Value;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::Duration;

/// What a plugin is asked to do (`CNI_COMMAND`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    /// Connect the pod.
    Add,
    /// Say whether it is still connected.
    Check,
    /// Undo it.
    Del,
    /// Take away what belongs to attachments that the runtime does not know.
    Gc,
    /// Say whether an ADD could succeed.
    Status,
    /// Say which versions it speaks.
    Version,
}

impl Verb {
    /// As the specification writes it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Verb::Add => "ADD",
            Verb::Check => "CHECK",
            Verb::Del => "DEL",
            Verb::Gc => "GC",
            Verb::Status => "STATUS",
            Verb::Version => "VERSION",
        }
    }

    /// Whether it is about one container's interface.
    fn is_of_attachment(self) -> bool {
        matches!(self, Verb::Add | Verb::Check | Verb::Del)
    }
}

/// A plugin could not be run, or its answer is none.
#[derive(Debug, thiserror::Error)]
pub enum InvokeError {
    /// It could not be started, or the machine cannot supervise it.
    #[error("{0}")]
    Supervise(#[from] SuperviseError),
    /// A descriptor could not be had.
    #[error("out of descriptors: {0}")]
    Io(#[from] std::io::Error),
}

/// What every plugin of a chain is told in the same words.
#[derive(Clone, Debug)]
pub(super) struct PluginSetting {
    /// `CNI_CONTAINERID`.
    pub(super) container: String,
    /// `CNI_IFNAME`.
    pub(super) ifname: String,
    /// `CNI_ARGS`, if there are any.
    pub(super) args: Option<String>,
    /// `CNI_PATH`.
    pub(super) path: String,
    /// How long a plugin may take.
    pub(super) timeout: Span,
    /// Where it takes orders from, if anybody gives them.
    pub(super) lever: Option<Lever>,
}

/// Where plugins find programs such as iptables (`PATH`).
pub(super) const PROGRAM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How long a plugin's children may go on after it. A runtime does not wait for them at all.
const LINGER: Duration = Duration::from_millis(200);

/// Runs a plugin; what it did, and its answer: for ADD the result.
pub(super) fn invoke(
    stage: &PluginStage,
    program: &Path,
    verb: Verb,
    setting: &PluginSetting,
    configuration: &Value,
    rules: &mut dyn Rules,
) -> Result<(Outcome, Result<Option<Value>, CniFault>), InvokeError> {
    let mut command = stage
        .command(program, setting.timeout)?
        .linger(LINGER)
        .env("PATH", PROGRAM_PATH)
        .env("CNI_COMMAND", verb.word())
        .env("CNI_PATH", &setting.path)
        .input(configuration.to_string());
    if verb.is_of_attachment() {
        command = command
            .env("CNI_CONTAINERID", &setting.container)
            .env("CNI_NETNS", stage.pod_file())
            .env("CNI_IFNAME", &setting.ifname);
        if let Some(args) = &setting.args {
            command = command.env("CNI_ARGS", args);
        }
    }
    if let Some(lever) = &setting.lever {
        command = command.lever(lever);
    }
    let outcome = command.run(rules)?;
    let answer = answer(verb, &outcome);
    Ok((outcome, answer))
}

fn answer(verb: Verb, outcome: &Outcome) -> Result<Option<Value>, CniFault> {
    if outcome.ended == Ended::TimedOut {
        return Err(CniFault::TimedOut);
    }
    if outcome.stdout.lost > 0 {
        return Err(CniFault::TooMuch(outcome.stdout.bytes.len() as u64 + outcome.stdout.lost));
    }
    match outcome.status {
        Some(status) if status.success() => match verb {
            Verb::Add | Verb::Version => execution::result(&outcome.stdout.bytes).map(Some),
            Verb::Check | Verb::Del | Verb::Gc | Verb::Status => Ok(None),
        },
        Some(status) => match status.signal() {
            Some(signal) => Err(CniFault::Signal(signal)),
            None => Err(execution::error(&outcome.stdout.bytes, &outcome.stderr.bytes)),
        },
        None => Err(CniFault::Signal(9)),
    }
}
