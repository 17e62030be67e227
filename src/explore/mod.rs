//! Every order of events up to a bound: no schedule fails, or here is the shortest that does.
//!
//! # Theory of operation
//!
//! Who does something when is decided in three places: which of the steps under way is done
//! next, whether something else happens before (a frame, a timer of the kernel, a client's
//! start), and what is drawn (jitter, faults). A *schedule* is the list of those decisions. With
//! a plan it makes the same run every time, so a run can be cut off at a decision and gone on
//! with in every other way.
//!
//! Frames and timers have their moments and cannot be put off. Steps can: a goroutine waits for
//! the processor, a write for the API server. A step has a range of durations; within it nothing
//! is late, beyond it the step is *late*, and [`Bounds::late`] says how many may be in one
//! schedule. One late step is one [hold](crate::control::Hold), which is how a schedule is
//! played to a real kernel. Time passes only where something happens in it, so the points at
//! which a late step may be done are those that the pod can notice: before or after each of its
//! timers, requests, starts.
//!
//! [`Explorer`] searches: [exhaustively](Strategy::Exhaustive) with each state looked at once,
//! or by drawing. [`Property`] says what must hold. [`Case`] keeps a schedule in a file.
//!
//! # Testing one's own change
//!
//! ```
//! use arplab::explore::{Bounds, Case, Explorer, Property, Stands, basic};
//! use arplab::time::Span;
//!
//! // Felix writes the route before the switches; nothing tells the plugin to wait for Felix
//! let felix = basic::felix().without_rule("felix.sysctl.forwarding", "felix.host-route-add");
//! let plan = basic::race_of(&basic::plugin(), &felix, 2)?;
//! let bounds = Bounds { late_max: Span::from_secs(3), ..Bounds::default() };
//! let properties = vec![Property::first_packet_within(Span::from_ms(500))];
//! let report = Explorer::new(plan.clone()).bounds(bounds.clone()).properties(properties.clone()).run();
//! assert!(!report.ok());
//! let failing = report.failing.expect("there is a shortest one");
//! assert_eq!(failing.cost.late, 0, "without any step late");
//!
//! // keep it; the file names steps, so it survives releases
//! let case = Case::new(&failing.schedule, &bounds, &properties, Stands::Fails);
//! let text = case.to_text()?;
//! Case::parse(&text)?.check(plan, &properties)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
pub mod basic;
mod bounds;
mod case;
mod draws;
mod explorer;
mod facts;
mod fingerprint;
mod node;
mod path;
mod program;
mod progress;
mod property;
mod random;
mod replay;
mod schedule;
mod settle;
mod shrink;
mod tally;
mod tree;
mod tried;
mod window;

pub use crate::gateway::{Answer, ReflexOutside, Responder};
pub use bounds::{Bounds, Complete, Grid};
pub use case::{Case, CaseError, Stands};
pub use draws::Draw;
pub use explorer::{
    Budget, Covered, DelayClass, Explorer, FailingSchedule, Fared, PROPERTIES_MAX, Report, Strategy,
};
pub use facts::Facts;
pub use node::Cost;
pub use program::{Program, ProgramError};
pub use progress::{Phase, Progress};
pub use property::{KNOWN, Property, PropertyError};
pub use replay::{Replayed, replay};
pub use schedule::{Schedule, ScheduleEntry};
pub use settle::{Effort, Settled, settle};
pub use shrink::LeftOut;
pub use tally::Worst;
pub use tried::{Runner, Tried};
