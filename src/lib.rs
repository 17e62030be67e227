//! arplab: a lab for the gateway ARP of Kubernetes pods under Calico.
#![forbid(unsafe_code)]

pub mod addr;
pub mod choice;
pub mod cli;
pub mod control;
pub mod explore;
pub mod fuzzing;
pub mod gateway;
pub mod host;
#[cfg(feature = "live")]
pub mod live;
pub mod neigh;
pub mod packet;
pub mod pod;
pub mod scenario;
pub mod sim;
pub mod stack;
pub mod time;
pub mod trace;
pub mod vectors;
pub mod wire;
