//! What a run wants done, and what comes of it.

use crate::addr::Side;
pub use crate::control::PodId;
use crate::control::{Errand, Refusal, StepId, Taken, TaskResult};
use crate::host::command::Tool;
use crate::host::{Mutation, Refused};
use crate::neigh::Nud;
use crate::packet::Frame;
use crate::pod::ClientId;

/// Something to be done to a pod and its node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Order<'a> {
    /// Whose pair of namespaces.
    pub pod: PodId,
    /// What is to be done to or for the pod.
    pub deed: Deed<'a>,
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Deed<'a> {
    /// A change in one namespace. A deletion of one end of the pair takes the other along.
    Change(Side, &'a Mutation),
    /// A command that only a kernel can carry out.
    Tool(Side, &'a Tool),
    /// Both ends of the pair are made, or none.
    Create {
        /// Where the host end is born.
        host_end: Side,
        /// The pod's end is born up.
        pod_up: bool,
    },
    /// The host end goes from the pod's namespace to the node's.
    Move,
    /// What has the name of that side's end in that side's namespace is deleted.
    Delete(Side),
    /// The pod's namespace ends with all in it, and a new one begins.
    Reset,
    /// This frame leaves the host end.
    Send(Frame),
    /// An interface of another namespace goes down.
    DownElsewhere,
    /// The state of the pod's entry for its gateway is wanted: [`Came::Entry`].
    LookAtEntry,
    /// A real plugin is run.
    Plugin(Errand),
    /// The request of that number, of a real plugin, is let go. What comes of it may come late.
    Request(u32),
    /// A client starts.
    Start(ClientId),
    /// A client is ended, as a signal ends it.
    Stop(ClientId),
    /// A client that has ended can be started again.
    Renew(ClientId),
}

/// What came of an order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Came {
    /// It is done.
    Done,
    /// It is not.
    Refused(Refusal),
    /// The pod's entry for its gateway is in this state, or not there.
    Entry(Option<Nud>),
}

impl From<Result<(), Refused>> for Came {
    fn from(done: Result<(), Refused>) -> Came {
        done.map_or_else(|e| Came::Refused(e.into()), |()| Came::Done)
    }
}

impl From<Result<(), Refusal>> for Came {
    fn from(done: Result<(), Refusal>) -> Came {
        done.map_or_else(Came::Refused, |()| Came::Done)
    }
}

/// A step that is being carried out, act by act: an actor's, whose time has come.
#[derive(Debug)]
pub struct Doing {
    pub(super) pod: PodId,
    pub(super) taken: Taken,
    /// How many of its acts are done with.
    pub(super) at: usize,
    pub(super) result: TaskResult,
}

impl Doing {
    /// Which step it is.
    #[must_use]
    pub fn step(&self) -> StepId {
        self.taken.task.step
    }

    /// A step of which nothing is done yet.
    #[must_use]
    pub fn new(pod: PodId, taken: Taken) -> Doing {
        Doing { pod, taken, at: 0, result: TaskResult::Done }
    }
}
