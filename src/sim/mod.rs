//! The simulator: pod, gateway and actors in virtual time.
//!
//! # Theory of operation
//!
//! The [`World`] holds five parts: the pod, the gateway, the actors, the veth between pod and
//! host, and the faults of the link. Each says when it next wants to be called. The world jumps
//! to the earliest of those moments, calls whoever is due, carries frames from one side to the
//! other and changes from the actors to the namespaces, and goes on until everybody is still at
//! that moment. Then it jumps again; a minute of silence costs as little as a millisecond.
//!
//! Events of one moment have an order: frames that arrive, then timers of the two stacks, then
//! steps of the actors, then clients that start; within each, first come first served. Where real
//! life could go either way the [`Chooser`](crate::choice::Chooser) decides. So a run is a
//! function of the plan and the choices, and gives the same bytes everywhere.

mod moves;
mod world;

pub use moves::{Move, Moves, Possible};
pub use world::{Ended, World, run};
