//! Whether Linux answers an ARP request, why not, and what would have to change (`arp_process`).

pub(super) mod condition;
pub(super) mod decide;
pub(super) mod explain;
mod local;
pub(super) mod met;
mod process;
mod proxy;
pub(super) mod reason;
mod repair;
