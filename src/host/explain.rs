//! [`explain`]: a decision taken apart into its conditions, each with the values it met.

use super::condition::{Branch, Condition, Witness};
use super::decide::Request;
use super::process::process_with;
use super::reason::{Pointer, Reason};
use super::state::HostState;
use core::fmt;

/// What became of a condition.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Status {
    /// It held.
    Held,
    /// It failed: the request stays unanswered.
    Failed,
    /// An earlier one failed, so it was not looked at.
    NotReached,
}

/// One condition of one decision.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Term {
    /// Which.
    pub condition: Condition,
    /// Held, failed or not reached.
    pub status: Status,
    /// The values it met; empty when it was not reached.
    pub met: String,
    /// Why it failed, when it did.
    pub reason: Option<Reason>,
    /// Where the condition is written down; that of the reason when it failed.
    pub pointer: Pointer,
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = match self.status {
            Status::Held => "held",
            Status::Failed => "FAILED",
            Status::NotReached => "-",
        };
        write!(f, "{status:<6}  {}", self.condition.text())?;
        if !self.met.is_empty() {
            write!(f, ": {}", self.met)?;
        }
        Ok(())
    }
}

/// Takes the decision about a request apart: the conditions in the order the kernel tests them,
/// up to the one that failed, and then those of the same way that were not reached.
///
/// It runs the code of [`decide`](super::decide()) itself, listening.
#[must_use]
pub fn explain(state: &HostState, request: &Request) -> Vec<Term> {
    let mut book = Book { terms: Vec::new(), branch: None };
    process_with(state, request, &mut book);
    let Book { mut terms, branch } = book;
    if terms.iter().any(|t| t.status == Status::Failed) {
        let way = way(branch.unwrap_or(guess(request)));
        let left = way.iter().filter(|c| terms.iter().all(|t| t.condition != **c)).map(|c| Term {
            condition: *c,
            status: Status::NotReached,
            met: String::new(),
            reason: None,
            pointer: c.pointer(),
        });
        let left: Vec<Term> = left.collect();
        terms.extend(left);
    }
    terms
}

struct Book {
    terms: Vec<Term>,
    branch: Option<Branch>,
}

impl Witness for Book {
    fn saw(&mut self, condition: Condition, failed: Option<Reason>, met: impl FnOnce() -> String) {
        let status = if failed.is_some() { Status::Failed } else { Status::Held };
        let pointer = failed.map_or(condition.pointer(), |r| r.pointer());
        self.terms.push(Term { condition, status, met: met(), reason: failed, pointer });
    }
    fn branch(&mut self, branch: Branch) {
        self.branch = Some(branch);
    }
}

/// The way a request would have taken had it got further: the ordinary one under Calico.
fn guess(request: &Request) -> Branch {
    if request.arp.spa.is_unspecified() { Branch::Probe } else { Branch::Proxied }
}

/// The conditions of each way.
fn way(branch: Branch) -> &'static [Condition] {
    use Condition::{
        Addressed, ArpFilter, ArpIgnore, ArpOn, Forwarding, GratuitousAllowed, Header, InputHook, Interface,
        IsRequest, LinkUp, Medium, NotBridged, NotBroadcast, NotItself, OtherInterface, OutputHook,
        ProbeLocal, Proxying, QueueRoom, RouteToTarget, SenderCredible, SenderPlausible, TableRoom, Target,
        TargetPlausible,
    };
    match branch {
        Branch::Probe => &[
            Interface,
            LinkUp,
            NotBridged,
            ArpOn,
            Addressed,
            InputHook,
            Header,
            Target,
            GratuitousAllowed,
            IsRequest,
            ProbeLocal,
            ArpIgnore,
            OutputHook,
        ],
        Branch::Local => &[
            Interface,
            LinkUp,
            NotBridged,
            ArpOn,
            Addressed,
            InputHook,
            Header,
            Target,
            GratuitousAllowed,
            IsRequest,
            SenderPlausible,
            TargetPlausible,
            RouteToTarget,
            NotBroadcast,
            SenderCredible,
            ArpIgnore,
            ArpFilter,
            TableRoom,
            OutputHook,
        ],
        Branch::Proxied => &[
            Interface,
            LinkUp,
            NotBridged,
            ArpOn,
            Addressed,
            InputHook,
            Header,
            Target,
            GratuitousAllowed,
            IsRequest,
            SenderPlausible,
            TargetPlausible,
            RouteToTarget,
            NotBroadcast,
            Forwarding,
            SenderCredible,
            OtherInterface,
            Proxying,
            Medium,
            QueueRoom,
            OutputHook,
        ],
        Branch::Pvlan => &[
            Interface,
            LinkUp,
            NotBridged,
            ArpOn,
            Addressed,
            InputHook,
            Header,
            Target,
            GratuitousAllowed,
            IsRequest,
            SenderPlausible,
            TargetPlausible,
            RouteToTarget,
            NotBroadcast,
            Forwarding,
            SenderCredible,
            OtherInterface,
            NotItself,
            QueueRoom,
            OutputHook,
        ],
    }
}
