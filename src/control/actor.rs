//! What an actor is: what it is told, what it sees, and the tasks that it does.

use super::act::{Act, Ask, LinkEvent};
use super::setting::Setting;
use super::step::{ActorName, StepId};
use crate::addr::IfName;
use crate::host::{HostState, Refused};
use crate::neigh::Nud;
use crate::time::{Span, Time};
use core::fmt;
use smallvec::SmallVec;

/// One of an actor's threads of work.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Lane(pub u8);

/// What a task waits for, on top of its turn, before it is done.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Wait {
    /// Until this step is done,
    pub step: StepId,
    /// or this long at most.
    pub timeout: Span,
}

/// A step to be done.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Task {
    /// The step that the task is.
    pub step: StepId,
    /// On which lane.
    pub lane: Lane,
    /// The actor's own note.
    pub arg: u32,
    /// How long it takes: from, to.
    pub takes: (Span, Span),
    /// What it waits for.
    pub wait: Option<Wait>,
}

/// What actors are told.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Happening {
    /// The run begins.
    Start,
    /// A step is done.
    Done(StepId),
    /// An interface of the host changed.
    Link(IfName, LinkEvent),
    /// Somebody asks an actor for something.
    Asked(Ask),
    /// A timer that the actor armed.
    Timer(u8),
    /// The init container that waits for the gateway has ended: the gateway answered, or it gave up.
    Waited(bool),
    /// Somebody looked at the pod's entry for the gateway: its state, or none.
    Entry(Option<Nud>),
}

/// How a task's acts went.
#[derive(Clone, Debug)]
pub enum TaskResult {
    /// All done.
    Done,
    /// One was refused.
    Refused(Refusal),
}

/// Why an act was not carried out.
#[derive(Clone, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum Refusal {
    /// The model of a kernel refuses the change.
    #[error("{0}")]
    Model(#[from] Refused),
    /// A real kernel does.
    #[error("{words}")]
    Kernel {
        /// Its error number, where it has told one.
        errno: Option<i32>,
        /// Its own words.
        words: String,
    },
    /// The node has no host end to send from.
    #[error("the host end does not exist")]
    NoHostEnd,
    /// The model has no term for the command, and no kernel is there to carry it out.
    #[error("the model does not know this command")]
    Unmodelled,
    /// A real plugin where no kernel is real.
    #[error("a real plugin runs beside a real kernel only")]
    NoPlugin,
}

/// What an actor sees and can ask for.
pub struct Cx<'a> {
    /// The moment at which the actor is asked.
    pub now: Time,
    /// Names and addresses.
    pub setting: &'a Setting,
    /// The host's namespace as it is.
    pub host: &'a HostState,
    pub(super) tasks: SmallVec<[Task; 8]>,
    pub(super) timers: SmallVec<[(u8, Time); 2]>,
}

impl<'a> Cx<'a> {
    pub(super) fn new(now: Time, setting: &'a Setting, host: &'a HostState) -> Cx<'a> {
        Cx { now, setting, host, tasks: SmallVec::new(), timers: SmallVec::new() }
    }
    /// Puts a task at the end of its lane.
    pub fn push(&mut self, task: Task) {
        self.tasks.push(task);
    }
    /// Asks for [`Happening::Timer`] at a moment; an earlier request for that timer is dropped.
    pub fn arm(&mut self, timer: u8, at: Time) {
        self.timers.push((timer, at));
    }
}

/// Somebody who does steps. Implement it to test a changed program of your own.
pub trait Actor: fmt::Debug + Send + Sync {
    /// Whose lane its steps are drawn in.
    fn name(&self) -> ActorName;
    /// Something happened; tasks may be pushed, timers armed.
    fn notice(&mut self, what: Happening, cx: &mut Cx<'_>);
    /// What a task of its does, at the moment it is done.
    fn acts(&self, task: &Task, cx: &Cx<'_>) -> SmallVec<[Act; 2]>;
    /// A task of its was carried out.
    fn done(&mut self, task: &Task, result: &TaskResult, cx: &mut Cx<'_>);
    /// A copy of its state, for a world that is copied.
    fn boxed(&self) -> Box<dyn Actor>;
    /// Two actors in the same state give the same bytes; the explorer tells states apart by it.
    fn fingerprint(&self, into: &mut Vec<u8>);
}
