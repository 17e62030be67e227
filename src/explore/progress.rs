//! How far a search is, for whoever waits for it.

use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// What a search does at the moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Looks at states.
    Exhaustive,
    /// Draws schedules.
    Drawing,
    /// Makes a failing schedule smaller.
    Shortening,
}

/// How far a search is. It is written by the search and may be read from any thread; the numbers
/// are no result: they depend on the moment.
#[derive(Debug, Default)]
pub struct Progress {
    count: AtomicU64,
    phase: AtomicU8,
}

impl Progress {
    /// What the search does.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Exhaustive,
            1 => Phase::Drawing,
            _ => Phase::Shortening,
        }
    }

    /// States or schedules looked at in this phase, about.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    pub(super) fn begin(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
        self.count.store(0, Ordering::Relaxed);
    }

    pub(super) fn add(&self, n: u64) {
        self.count.fetch_add(n, Ordering::Relaxed);
    }
}
