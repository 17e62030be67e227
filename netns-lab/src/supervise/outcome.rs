//! What came of a command.

use std::process::ExitStatus;

use super::{Answer, Captured, Request};
use crate::Errno;

/// What became of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// The kernel carried it out, or refused it.
    LetGo,
    /// The rules had it fail, and the kernel did not see it.
    Failed(Errno),
    /// Whoever made it was killed before it was carried out.
    KilledBefore,
    /// It was carried out, and whoever made it was killed then.
    KilledAfter,
    /// Whoever made it ended while it waited, for another reason.
    Gone,
    /// It still waits.
    Waiting,
}

/// A request and what became of it.
#[derive(Clone, Debug)]
pub struct Record {
    /// What was asked.
    pub request: Request,
    /// What became of it.
    pub fate: Fate,
    /// When that was decided, on `CLOCK_MONOTONIC`, in nanoseconds. A request that was held has
    /// waited from [`Request::at_ns`] to here.
    pub decided_ns: u64,
    /// What the kernel said, if it was asked.
    pub answer: Answer,
}

/// How a command came to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// Its first process ended by itself, or was killed by the rules.
    ByItself,
    /// Its time was over.
    TimedOut,
    /// [`Lever::end`](super::Lever::end), or a rule that killed everything.
    Told,
}

/// A command that has ended. None of its processes is left.
#[derive(Debug)]
pub struct Outcome {
    /// How its first process ended; `None` if it was killed with all others.
    pub status: Option<ExitStatus>,
    /// Whether it ended by itself, was killed, or was out of time.
    pub ended: Ended,
    /// Children were alive when the time that they had after the first process was over.
    pub left_behind: bool,
    /// Its standard output.
    pub stdout: Captured,
    /// Its standard error.
    pub stderr: Captured,
    /// Every request, in the order of arrival. The first is the execve(2) that began it.
    pub records: Vec<Record>,
    /// When its execve(2) was let go, on `CLOCK_MONOTONIC`, in nanoseconds.
    pub started_ns: u64,
    /// When its first process had ended.
    pub ended_ns: u64,
}

impl Outcome {
    /// Whether it ended by itself, with status 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.ended == Ended::ByItself && self.status.is_some_and(|status| status.success())
    }
}
