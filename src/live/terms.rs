//! What a live run is asked for, and what it can come to.

use super::link::{LinkFault, PodLinkKind};
use super::signals::Interrupt;
use crate::trace::Trace;
use std::ops::Range;

/// What a live run is told beyond the plan.
#[derive(Clone, Copy, Debug)]
pub struct LiveOptions {
    /// Who answers for the gateway.
    pub responder: LiveNode,
    /// Seed of what the actors draw.
    pub seed: u64,
    /// How the device is made whose wire this program holds: the pod's `eth0`, or the uplink of a
    /// real node; the best there is by default.
    pub link: Option<PodLinkKind>,
    /// Show a line while waiting, if standard error is a terminal.
    pub progress: bool,
}

/// Who answers for the gateway in a live run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LiveNode {
    /// The software gateway.
    Smoltcp,
    /// The proxy ARP of the running kernel, in a namespace that stands for the node.
    Kernel,
}

/// Who is told of a live run while it goes on.
pub trait Audience {
    /// `trace.events[fresh]` are known now, in the order of their times: some 20 ms after they happened,
    /// when no news of something earlier is to be expected any more. What a kernel tells later still
    /// comes with the next ones.
    fn hear(&mut self, trace: &Trace, fresh: Range<usize>);
}

/// Why a live run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LiveEnd {
    /// Every client was done.
    ClientsDone,
    /// Its time was up.
    TimeUp,
    /// Every client was done, and an ADD that had been begun beside others did not come to an end.
    NotAdded,
    /// A visitor of its desk said so.
    Told,
    /// A signal came first.
    Interrupted(Interrupt),
}

/// Why a live run could not go on.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The lab could not be built.
    #[error("the live lab cannot be built: {0}")]
    Build(String),
    /// This kernel, or any, has no means for what the scenario wants.
    #[error("the scenario cannot be staged here: {0}")]
    NotHere(String),
    /// A real plugin, or what the scenario says of it, cannot be used.
    #[error("the plugin cannot be run: {0}")]
    Input(String),
    /// Something broke on the way.
    #[error("the live run broke off: {0}")]
    Broke(String),
}

impl From<LinkFault> for LiveError {
    fn from(e: LinkFault) -> LiveError {
        LiveError::Broke(e.to_string())
    }
}

pub(super) fn broke(e: impl core::fmt::Display) -> LiveError {
    LiveError::Broke(e.to_string())
}
