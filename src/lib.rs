//! A lab for the gateway ARP of Kubernetes pods under Calico.
//!
//! A pod under Calico sends everything to 169.254.1.1, which nobody has; the host end of its veth answers
//! for it by proxy ARP. This library plays what happens when that answer is late, missing or wrong: in
//! virtual time, the same way each time, or with a real pod in namespaces of this machine. It says of each
//! request why it stayed unanswered.
//!
//! ```
//! use arplab::matrix::play;
//! use arplab::scenario::{Overrides, catalogue};
//! use arplab::time::Span;
//!
//! let scenario = catalogue::find("late-responder")?.remove(0);
//! let run = play(&scenario, &Overrides::default(), 1)?;
//! assert!(run.seen.window.is_some_and(|silent| silent >= Span::from_secs(59)));
//! assert!(run.seen.reasons.contains("rp-filter-other-device"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where to enter
//!
//! * [`scenario`]: the catalogue, files of your own, fixes and mitigations, and the `Plan` they come to;
//! * [`sim`]: a plan in virtual time; [`trace`]: what happened, what it shows, and whether it was expected;
//! * [`matrix`]: many plans against many mitigations; [`explore`]: every order of events up to a bound;
//! * [`host`]: would Linux answer this request, and if not, which condition failed: a pure function;
//! * `live` (feature `live`): a plan in real time; [`probe`]: question whoever answers behind an interface;
//!   `cni` (feature `live`): a real CNI plugin with every request of it seen; `plugin` (feature `live`): the lab
//!   as a CNI plugin, `arplab-cni`;
//! * `cli` (feature `cli`): the program, `arplab`.
//!
//! # What it does not do
//!
//! It is no part of Calico, and changes nothing outside namespaces that it makes itself, but for `arplab-cni`,
//! which wires the containers that a runtime hands to it.
//! It models what decides about ARP and neighbour discovery: no iptables chains, no IP sets, no datastore.
//! Where a modelled kernel and a real one disagree, the real one is right and the model has a fault.
//!
//! # Features
//!
//! `cli`, `live` and `proptest` (strategies for host states and scenarios) are there by default; without them
//! the simulator, the explorer and the matrix remain. `testing` adds what this project's own tests and fuzz
//! targets want; nothing of it is promised to stay.
#![forbid(unsafe_code)]

pub mod addr;
pub mod choice;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "live")]
pub mod cni;
pub mod control;
#[cfg(all(feature = "live", feature = "proptest"))]
pub mod differential;
pub mod explore;
#[cfg(feature = "testing")]
pub mod fuzzing;
pub mod gateway;
pub mod host;
pub mod lesson;
#[cfg(feature = "live")]
pub mod live;
pub mod matrix;
#[cfg(feature = "live")]
pub mod namespace;
mod near;
pub mod neigh;
pub mod packet;
pub mod pair;
#[cfg(feature = "live")]
pub mod plugin;
pub mod pod;
pub mod probe;
#[cfg(any(feature = "cli", feature = "live"))]
mod regular;
pub mod run;
pub mod scenario;
pub mod sim;
pub mod stack;
#[cfg(feature = "proptest")]
pub mod strategies;
pub mod time;
pub mod trace;
#[cfg(any(feature = "cli", feature = "testing"))]
pub mod vectors;
pub mod wire;

pub use near::WordError;
