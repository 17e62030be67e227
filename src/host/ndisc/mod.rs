//! The IPv6 twin: whether Linux answers a neighbour solicitation, and what it makes of an
//! advertisement (`ndisc_recv_ns`, `ndisc_recv_na`).

pub(super) mod decide;
mod own;
pub(super) mod reason;
