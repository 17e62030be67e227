//! What a step does, and what can be seen of it.

pub use crate::addr::Side;
use crate::addr::{IfName, Mac};
pub use crate::host::LinkEvent;
use crate::host::command::Tool;
use crate::host::{LinkKind, Mutation};
use core::fmt;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One effect of a step.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Act {
    /// A change in one namespace.
    Change(Side, Mutation),
    /// A change that may fail without consequence: the program logs a warning and goes on.
    Try(Side, Mutation),
    /// A command that the model has no term for, in one namespace; only a kernel can carry it out.
    Tool {
        /// In which namespace.
        side: Side,
        /// The command.
        tool: Tool,
        /// It may fail without consequence.
        may_fail: bool,
    },
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
    /// The interface with the name of that side's end is deleted in that side's namespace, if there
    /// is one: `eth0` in the pod's (DEL), or the host end's name in the node's (ADD's first step).
    /// What goes along is said at [`crate::pair`].
    VethDelete {
        /// In which namespace, and so by which name.
        from: Side,
    },
    /// The pod's namespace is thrown away with all in it, and a new one made.
    PodReset,
    /// An actor is asked to do something that is more than one step.
    Ask(Ask),
    /// An interface in some other namespace of this kernel goes down. Before Linux 6.0 that took
    /// the delayed answers of every namespace with it (commit 66ba215cb513).
    DownElsewhere,
    /// The pod is told where its gateway is, out of the host end and to all.
    AnnounceGateway(Announcement),
    /// Somebody looks at the pod's entry for its gateway, and the actors hear of its state.
    LookAtEntry,
    /// A real plugin is run.
    Plugin(Errand),
    /// A request of a real plugin, which waits, is let go to the kernel.
    Request {
        /// Its number among all requests of the run, from 1.
        number: u32,
        /// What is asked, as ip(8), sysctl(8) or a shell would take it.
        words: Arc<str>,
    },
    /// Nothing but the news that it happened.
    Mark,
}

/// What a real plugin is run for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Errand {
    /// To connect the pod.
    Add,
    /// To undo that.
    Del,
}

impl fmt::Display for Errand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Errand::Add => "ADD",
            Errand::Del => "DEL",
        })
    }
}

/// What an actor can be asked for from outside its program.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    /// The kubelet deletes the pod and creates one of the same name: CNI DEL, a new namespace,
    /// CNI ADD, new containers.
    PodRecreate,
    /// The WorkloadEndpoint disappears from the datastore.
    EndpointDelete,
    /// The WorkloadEndpoint is written again.
    EndpointWrite,
    /// Felix is restarted: it lists everything and configures every interface anew.
    FelixRestart,
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Ask::PodRecreate => "delete the pod and create it anew under its name",
            Ask::EndpointDelete => "the WorkloadEndpoint is deleted from the datastore",
            Ask::EndpointWrite => "the WorkloadEndpoint is written to the datastore",
            Ask::FelixRestart => "restart Felix",
        })
    }
}

impl Act {
    /// The change of the host's namespace that the act is, where `cali` is the host end's name;
    /// `None` when it changes something else.
    #[must_use]
    pub fn on_host(&self, cali: IfName) -> Option<Mutation> {
        match self {
            Act::Change(Side::Host, change) | Act::Try(Side::Host, change) => Some(change.clone()),
            Act::VethCreate { host_end: Side::Host, .. } | Act::VethMove => {
                Some(Mutation::LinkAdd { name: cali, kind: LinkKind::Veth, mac: None })
            }
            Act::VethDelete { .. } | Act::PodReset => Some(Mutation::LinkDel { dev: cali }),
            _ => None,
        }
    }
}

/// How the gateway is announced.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Announcement {
    /// The gateway asks for itself, as RFC 5227 and `arping -U` have it: a kernel changes the entry
    /// that it has and makes none (`arp_accept` 0). Else the gateway asks for the pod, which makes
    /// an entry where there is none.
    pub gratuitous: bool,
    /// The MAC that is announced; the host end's when none is said.
    pub mac: Option<Mac>,
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Act::Change(Side::Host, m) | Act::Try(Side::Host, m) => write!(f, "{m}"),
            Act::Change(Side::Pod, m) | Act::Try(Side::Pod, m) => write!(f, "[pod] {m}"),
            Act::Tool { side: Side::Host, tool, .. } => write!(f, "{tool}"),
            Act::Tool { side: Side::Pod, tool, .. } => write!(f, "[pod] {tool}"),
            Act::VethCreate { host_end: Side::Host, .. } => {
                f.write_str("create the veth pair, host end in the host's namespace")
            }
            Act::VethCreate { .. } => f.write_str("create the veth pair, both ends in the pod's namespace"),
            Act::VethMove => f.write_str("move the host end to the host's namespace"),
            Act::VethDelete { .. } => f.write_str("delete the veth pair, if it exists"),
            Act::PodReset => f.write_str("throw the pod's namespace away and make a new one"),
            Act::Ask(ask) => write!(f, "{ask}"),
            Act::DownElsewhere => f.write_str("an interface of another namespace goes down"),
            Act::AnnounceGateway(Announcement { gratuitous, mac }) => {
                f.write_str("announce 169.254.1.1 to the pod")?;
                f.write_str(if *gratuitous { " in a gratuitous request" } else { "" })?;
                mac.map_or(Ok(()), |mac| write!(f, " at {mac}"))
            }
            Act::LookAtEntry => f.write_str("[pod] ip neigh show 169.254.1.1"),
            Act::Plugin(errand) => write!(f, "run the plugin: {errand}"),
            Act::Request { words, .. } => f.write_str(words),
            Act::Mark => Ok(()),
        }
    }
}
