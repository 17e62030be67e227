//! Every step of a plugin disturbed in turn, and what becomes of the pod, of other pods and of
//! the node.
//!
//! `step` finds the steps of ADD, CHECK, DEL, GC and STATUS in two undisturbed runs and names them, beside
//! another pod and where they differ for a node's first one; `action` says what can be done to a step, `cutter`
//! does it; `case` is one run on a stage of its own with what a runtime does afterwards, `stale` what GC has to
//! do with it, held against the properties of `property`; `client` asks for
//! gateways, `snapshot` compares what is left (`xtables`: of the old iptables); `search` plays all cases; `table`,
//! `rows`, `junit` and `keep` tell and keep what came of them.

mod action;
mod case;
mod client;
mod cutter;
#[cfg(feature = "cli")]
mod junit;
mod keep;
mod property;
mod rows;
mod search;
mod snapshot;
mod stale;
mod step;
mod table;
mod xtables;

pub use action::CutAction;
pub use case::CutOutcome;
#[cfg(feature = "cli")]
pub use junit::junit;
pub use keep::{KeepError, Kept, ReplayError, ReplayedCut, TestLanguage};
pub use property::PluginProperty;
pub use rows::markdown;
pub use search::{CutProgress, CutReport, PlayedCut, explore};
pub use step::{Cut, CutStep, CutStepName};
pub use table::{json, table};

use super::{CniFault, Conflist, PluginTraceError, Verb};
use crate::namespace::StageError;
use crate::time::Span;
use std::fmt;

/// How plugins are disturbed.
#[derive(Clone, Debug)]
pub struct CutOptions {
    /// How plugins are run; `check`, `del` and `patience` are not looked at.
    pub cni: super::TraceOptions,
    /// How long a step is held.
    pub hold: Span,
    /// How long the gateway may take to answer after ADD.
    pub within: Span,
    /// What runs are held against.
    pub properties: Vec<PluginProperty>,
    /// The most cases to play.
    pub budget: Option<usize>,
    /// When to stop playing cases.
    pub budget_time: Option<Span>,
    /// How many cases are played at once.
    pub threads: usize,
}

/// What went wrong in an operation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CutFault {
    /// What was asked.
    pub verb: Verb,
    /// The plugin that failed.
    pub plugin: String,
    /// Why; `None` if it left processes behind.
    pub why: Option<CniFault>,
}

impl fmt::Display for CutFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of plugin `{}`: ", self.verb.word(), self.plugin)?;
        match &self.why {
            Some(why) => write!(f, "{why}"),
            None => f.write_str("left processes behind, which were killed"),
        }
    }
}

/// The plugins could not be explored.
#[derive(Debug, thiserror::Error)]
pub enum CutError {
    /// They fail when nothing is done to them.
    #[error("{0}; nothing was disturbed there, so there is nothing to explore")]
    Undisturbed(CutFault),
    /// They could not be run.
    #[error(transparent)]
    Trace(#[from] PluginTraceError),
    /// No stage.
    #[error("setting up the node and the pod failed: {0}")]
    Stage(#[from] StageError),
    /// Descriptors, threads or files ran out.
    #[error("this machine gave out: {0}")]
    Io(#[from] std::io::Error),
}

/// What is asked of a configuration.
fn asks(list: &Conflist) -> step::Asks {
    let latest = list.is_at_least("1.1.0");
    step::Asks {
        check: list.is_at_least("0.4.0") && !list.disable_check,
        gc: latest && !list.disable_gc,
        status: latest,
    }
}
