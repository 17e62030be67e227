//! What a step does, and what can be seen of it.

use crate::host::Mutation;
use core::fmt;
use serde::{Deserialize, Serialize};

/// Which of the two namespaces.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The node's.
    Host,
    /// The pod's.
    Pod,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Side::Host => "host",
            Side::Pod => "pod",
        })
    }
}

/// One effect of a step.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Act {
    /// A change in one namespace.
    Change(Side, Mutation),
    /// A change that may fail without consequence: the program logs a warning and goes on.
    Try(Side, Mutation),
    /// The veth pair is made: the pod end in the pod's namespace, the host end where told.
    VethCreate {
        /// Where the host end is born.
        host_end: Side,
        /// The pod end is created up (v3.13).
        pod_up: bool,
    },
    /// The host end is moved from the pod's namespace to the host's; the kernel closes it on the
    /// way and gives it the host's default switches.
    VethMove,
    /// The pair is deleted from the host's side, if it is there.
    VethDelete,
    /// The pod's namespace is thrown away with all in it, and a new one made.
    PodReset,
    /// Nothing but the news that it happened.
    Mark,
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Act::Change(Side::Host, m) | Act::Try(Side::Host, m) => write!(f, "{m}"),
            Act::Change(Side::Pod, m) | Act::Try(Side::Pod, m) => write!(f, "[pod] {m}"),
            Act::VethCreate { host_end: Side::Host, .. } => {
                f.write_str("create the veth pair, host end in the host's namespace")
            }
            Act::VethCreate { .. } => f.write_str("create the veth pair, both ends in the pod's namespace"),
            Act::VethMove => f.write_str("move the host end to the host's namespace"),
            Act::VethDelete => f.write_str("delete the veth pair, if it exists"),
            Act::PodReset => f.write_str("throw the pod's namespace away and make a new one"),
            Act::Mark => Ok(()),
        }
    }
}

/// What happened to an interface of the host's namespace, as a netlink listener there sees it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum LinkEvent {
    /// It appeared, down.
    New,
    /// IFF_RUNNING: administratively up, with carrier.
    Running,
    /// Not running any more.
    Stopped,
    /// It is gone.
    Gone,
    /// Its MAC changed.
    Address,
}
