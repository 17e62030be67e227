//! The live lab: the same plan against a real kernel, in real time.
//!
//! # Theory of operation
//!
//! The pod is a network namespace with exactly what Calico leaves in it. Its `eth0` is a TAP (or,
//! where /dev/net/tun is refused, one end of a veth whose other end is read by a packet socket),
//! served by the software gateway: the object that the simulator runs, driven by the wall clock.
//!
//! One task owns everything that happens: the actors, the gateway, the link. It waits for the
//! first of a frame from the pod, a timer of the gateway, a step that is due, news of a client,
//! news of the pod's neighbour table, and acts on it. Steps change the pod's namespace through
//! netlink and `/proc/sys`, and the gateway's state as in the simulator. Nothing sleeps in the
//! hope that something else is done by then.
//!
//! Clients are tasks with real sockets, opened by the namespace's own thread. Namespaces are
//! held by descriptors and threads of this process, never by names: whatever ends the process
//! ends them.

mod capture;
mod client;
mod desk;
mod differences;
mod engine;
mod hands;
mod kernel_node;
mod link;
mod look;
mod mirror;
mod model_node;
mod news;
mod node;
mod plugin;
mod progress;
mod rehearse;
mod requests;
mod serve;
mod signals;
mod space;
mod stage;
mod stay;
mod steps;
mod terms;
mod tool;
mod uplink;
mod watch;

pub use desk::{Answer, Desk, Feed, Served, Wish, Wishes, names, visit};
pub use engine::{run, run_before, stay};
pub use link::PodLinkKind;
pub use rehearse::rehearse;
pub use signals::{Interrupt, on_interrupt};
pub use terms::{Audience, LiveEnd, LiveError, LiveNode, LiveOptions};
