//! The stream of a run: events with their times, who takes them, and the plan that names their numbers.

use super::event::What;
use crate::control::StepId;
use crate::pod::ClientId;
use crate::scenario::Plan;
use crate::time::Time;
use std::net::Ipv4Addr;
use std::ops::{BitOr, Deref};
use std::sync::Arc;
use std::time::Duration;

/// Kinds of event, a set of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kinds(u16);

impl Kinds {
    /// None of them.
    pub const NONE: Kinds = Kinds(0);
    /// All of them.
    pub const ALL: Kinds = Kinds(u16::MAX);
    /// The run begins.
    pub const START: Kinds = Kinds(1);
    /// Steps.
    pub const STEP: Kinds = Kinds(1 << 1);
    /// Holds that begin and end.
    pub const HOLD: Kinds = Kinds(1 << 2);
    /// Frames between pod and host.
    pub const FRAME: Kinds = Kinds(1 << 3);
    /// Questions judged, and frames ignored.
    pub const JUDGED: Kinds = Kinds(1 << 4);
    /// Changes of neighbour entries.
    pub const NEIGH: Kinds = Kinds(1 << 5);
    /// Packets dropped.
    pub const DROPPED: Kinds = Kinds(1 << 6);
    /// What the gateway would say.
    pub const GATEWAY: Kinds = Kinds(1 << 7);
    /// News of clients.
    pub const CLIENT: Kinds = Kinds(1 << 8);
    /// What only a live run tells.
    pub const LIVE: Kinds = Kinds(1 << 9);
    /// The run ends.
    pub const END: Kinds = Kinds(1 << 10);

    /// Both sets together.
    #[must_use]
    pub const fn and(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }

    /// Whether one of `kinds` is among them.
    #[must_use]
    pub const fn has(self, kinds: Kinds) -> bool {
        self.0 & kinds.0 != 0
    }
}

impl BitOr for Kinds {
    type Output = Kinds;
    fn bitor(self, other: Kinds) -> Kinds {
        self.and(other)
    }
}

/// An event with its time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// From the run's start.
    pub t_ns: Time,
    /// What happened.
    pub what: What,
}

/// Where events go. What a sink does not want is not even built.
pub trait Sink {
    /// The kinds it wants.
    const WANTS: Kinds;
    /// Takes an event. One of another kind may come, too, and is not meant.
    fn take(&mut self, t: Time, what: What);
}

impl Sink for Vec<Event> {
    const WANTS: Kinds = Kinds::ALL;
    fn take(&mut self, t: Time, what: What) {
        self.push(Event { t_ns: t, what });
    }
}

impl Sink for () {
    const WANTS: Kinds = Kinds::NONE;
    fn take(&mut self, _: Time, _: What) {}
}

/// The events of a run, in their order, and the plan that gives their numbers names.
#[derive(Clone, Debug)]
pub struct Trace {
    /// What was run.
    pub plan: Arc<Plan>,
    /// When a live run began, since 1970-01-01T00:00:00Z by the machine's clock; a run in virtual time
    /// has no such moment.
    pub began: Option<Duration>,
    /// In the order in which it happened; times never go back.
    pub events: Vec<Event>,
}

impl Trace {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new(plan: &Arc<Plan>) -> Trace {
        Trace { plan: Arc::clone(plan), began: None, events: Vec::new() }
    }

    /// A client's name.
    #[must_use]
    pub fn client_name(&self, client: ClientId) -> &str {
        self.plan.client(client.0 as usize).map_or("?", |c| c.name.as_str())
    }

    /// The pod's gateway of IPv4.
    #[must_use]
    pub fn gateway4(&self) -> Ipv4Addr {
        self.plan.setting.gateway
    }

    /// A step's name.
    #[must_use]
    pub fn step_name(&self, step: StepId) -> &str {
        &self.plan.steps.info(step).name
    }
}

impl Deref for Trace {
    type Target = [Event];
    fn deref(&self) -> &[Event] {
        &self.events
    }
}

impl Sink for Trace {
    const WANTS: Kinds = Kinds::ALL;
    fn take(&mut self, t: Time, what: What) {
        self.events.take(t, what);
    }
}
