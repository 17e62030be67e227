//! The control side: who changes what, in which order, and what can be held up.
//!
//! # Theory of operation
//!
//! An *actor* (the CNI plugin, Felix, the kubelet, a script from a scenario file) does *tasks*.
//! A task is one named *step* on one of the actor's *lanes*; a lane does one task at a time, in
//! the order they were put there, as one goroutine does. Every task takes a while, drawn from
//! its range, and has its effect at the end: a list of [`Act`]s on the host's and the pod's
//! namespaces.
//!
//! [`Control`] runs the actors without a clock: the owner asks when something is due
//! ([`Control::poll_timeout`]), takes the task ([`Control::take_due`]), carries out its acts on
//! whatever stands for the two namespaces (the model, a real kernel), and reports back
//! ([`Control::finish`]). Between tasks it passes on what happened ([`Control::notice`]).
//!
//! A [`Hold`] keeps a task from starting: for a time, until another step is done, until so many
//! requests were seen. Everything behind it on the lane waits too, as in life.

mod act;
mod actor;
mod actors;
pub(crate) mod alike;
mod cni;
mod engine;
mod felix;
mod felix_config;
mod hold;
mod kubelet;
mod monitor;
mod moves;
mod pattern;
mod real;
mod script;
mod setting;
mod step;
mod version;

pub use act::{Act, Announcement, Ask, Errand, LinkEvent, Side};
pub use actor::{Actor, Cx, Happening, Lane, Refusal, Task, TaskResult, Wait};
pub use actors::Actors;
pub use alike::Shapes;
pub use cni::{Cni, CniOptions};
pub use engine::{Control, HoldNews, Taken};
pub use felix::Felix;
pub use felix_config::FelixOptions;
pub use hold::{Hold, Until};
pub use kubelet::Kubelet;
pub use monitor::Monitor;
pub use moves::UnderWay;
pub use pattern::{Pattern, pod_in_front};
pub use real::{RealCni, RealSteps, VerbSteps};
pub use script::{Gate, Script, ScriptStep};
pub use setting::{GATEWAY, Setting};
pub use step::{ActorName, PodId, StepId, StepInfo, StepOrigin, StepTable};
pub use version::CalicoVersion;
