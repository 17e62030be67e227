//! Scenarios: a public report as a file that can be read, run, and checked.
//!
//! [`mod@file`] is the format, [`Scenario`] what a valid file means, [`catalogue`] the files that are
//! built in.

mod actors;
pub mod catalogue;
mod change;
mod citation;
mod clients;
mod compile;
mod error;
mod expect;
mod faults;
pub mod file;
mod hygiene;
mod layers;
mod meant;
mod mechanism;
mod mitigation;
mod monitor;
mod overrides;
mod plan;
mod plugin;
mod read;
mod sense;
mod setup;
mod steps;
mod text;
mod unmodelled;
mod wait;

pub use crate::pair::{FaultAction, FaultMatch, FaultRule, FrameKind};
pub use compile::Scenario;
pub use error::{Flaw, PlanError, ScenarioError};
pub use expect::{ClientExpect, Corner, Expect, Range};
#[cfg(feature = "cli")]
pub(crate) use hygiene::codes;
pub(crate) use hygiene::{LOST_ON_LINK, UNMODELLED};
pub use mechanism::{Mechanism, mechanism, mechanisms};
pub use mitigation::{Mitigation, MitigationKind, mitigation, mitigations};
pub use overrides::{HoldOverride, Overrides};
pub use plan::{ClientPlan, InFront, Plan, Target, WAITER};
#[cfg(feature = "live")]
pub(crate) use plugin::step_of;
pub use plugin::{ConflistText, KillFile, RealPlugin, Rehearsal, Requested, StepFault, StepFaultKind};
pub use text::{CommandText, TextError};
