//! The states of a neighbour entry.

use core::fmt;
use serde::{Deserialize, Serialize};

/// The state of an entry (NUD_*, include/uapi/linux/neighbour.h).
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "UPPERCASE")]
pub enum Nud {
    /// Made, not used yet.
    None,
    /// Asking; packets wait.
    Incomplete,
    /// Confirmed lately.
    Reachable,
    /// Not confirmed for a while; still used.
    Stale,
    /// Used while stale; waits for a confirmation from above before asking.
    Delay,
    /// Asking the known address for confirmation.
    Probe,
    /// Nobody answered.
    Failed,
    /// Needs no resolution.
    Noarp,
    /// Set by hand, for ever.
    Permanent,
}

impl Nud {
    /// Every state.
    pub const ALL: [Nud; 9] = [
        Nud::None,
        Nud::Incomplete,
        Nud::Reachable,
        Nud::Stale,
        Nud::Delay,
        Nud::Probe,
        Nud::Failed,
        Nud::Noarp,
        Nud::Permanent,
    ];

    /// NUD_VALID: packets are sent to the stored address.
    #[must_use]
    pub const fn is_valid(self) -> bool {
        !matches!(self, Nud::None | Nud::Incomplete | Nud::Failed)
    }
    /// NUD_CONNECTED: packets are sent without a thought.
    #[must_use]
    pub const fn is_connected(self) -> bool {
        matches!(self, Nud::Reachable | Nud::Permanent | Nud::Noarp)
    }
    /// NUD_IN_TIMER: a timer is running.
    #[must_use]
    pub const fn is_timed(self) -> bool {
        matches!(self, Nud::Incomplete | Nud::Reachable | Nud::Delay | Nud::Probe)
    }
    /// The word `ip neigh` prints.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Nud::None => "NONE",
            Nud::Incomplete => "INCOMPLETE",
            Nud::Reachable => "REACHABLE",
            Nud::Stale => "STALE",
            Nud::Delay => "DELAY",
            Nud::Probe => "PROBE",
            Nud::Failed => "FAILED",
            Nud::Noarp => "NOARP",
            Nud::Permanent => "PERMANENT",
        }
    }
    /// The state of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Nud> {
        Nud::ALL.into_iter().find(|n| n.name() == name)
    }
    /// True for the states rtnetlink reports when they are entered; INCOMPLETE and DELAY pass
    /// unseen by `ip monitor neigh`.
    #[must_use]
    pub const fn is_notified(self) -> bool {
        !matches!(self, Nud::None | Nud::Incomplete | Nud::Delay)
    }
}

impl fmt::Display for Nud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How an update treats what is already known (NEIGH_UPDATE_F_*).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct UpdateFlags {
    /// Another address replaces the known one.
    pub replace: bool,
    /// Neighbour discovery: another address makes a connected entry STALE instead.
    pub weak: bool,
    /// By hand: PERMANENT entries too.
    pub admin: bool,
    /// By hand, and marked as an agent's (NTF_EXT_LEARNED).
    pub learned: bool,
}
