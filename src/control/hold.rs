//! Holds: what keeps a step from starting, and for how long.

use super::step::StepId;
use crate::time::{Span, Time};

/// What ends a hold.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Until {
    /// A length of time, from the moment the step could have started.
    Elapsed(Span),
    /// A moment of the run.
    At(Time),
    /// Another step is done.
    Done(StepId),
    /// Another step is done so many times.
    Nth(StepId, u16),
    /// The pod has sent so many requests for its gateway.
    Requests(u32),
    /// The pod's clients have sent or attempted so often, all together.
    Tries(u32),
    /// Somebody at the lab says so (`arplab release`).
    Told,
    /// Nothing: the step never happens.
    Never,
}

/// A step held up.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Hold {
    /// The step that is held back when it is due.
    pub step: StepId,
    /// Which occurrence of it, from 1; `None` for every one.
    pub nth: Option<u16>,
    /// What ends it.
    pub until: Until,
}
