//! arplab: a lab for the gateway ARP of Kubernetes pods under Calico.
#![forbid(unsafe_code)]

pub mod addr;
pub mod choice;
pub mod cli;
pub mod control;
#[cfg(all(feature = "live", feature = "proptest"))]
pub mod differential;
pub mod explore;
pub mod fuzzing;
pub mod gateway;
pub mod host;
#[cfg(feature = "live")]
pub mod live;
pub mod matrix;
#[cfg(feature = "live")]
pub mod namespace;
pub mod neigh;
pub mod packet;
pub mod pair;
pub mod pod;
pub mod probe;
pub mod scenario;
pub mod sim;
pub mod stack;
#[cfg(feature = "proptest")]
pub mod strategies;
pub mod time;
pub mod trace;
pub mod vectors;
pub mod wire;
