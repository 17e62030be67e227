//! [`explain`]: a decision taken apart into its conditions, each with the values it met.

use super::condition::{Branch, Condition, Witness};
use super::decide::Request;
use super::process::process_with;
use super::reason::{Pointer, Reason};
use crate::host::state::HostState;
use core::fmt;

/// What became of a condition.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Status {
    /// It held, so the next one was asked.
    Held,
    /// It failed: the request stays unanswered.
    Failed,
    /// An earlier one failed, so it was not looked at.
    NotReached,
}

/// One condition of one decision.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Term {
    /// The condition that was asked for.
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
/// It runs the code of [`decide`](crate::host::decide()) itself, listening.
#[must_use]
pub fn explain(state: &HostState, request: &Request) -> Vec<Term> {
    let mut book = Book { terms: Vec::new(), branch: None };
    process_with(state, request, &mut book);
    let Book { mut terms, branch } = book;
    if terms.iter().any(|t| t.status == Status::Failed) {
        let met: Vec<Condition> = terms.iter().map(|t| t.condition).collect();
        let left = way(branch.unwrap_or(guess(request))).filter(|c| !met.contains(c));
        terms.extend(left.map(|condition| Term {
            condition,
            status: Status::NotReached,
            met: String::new(),
            reason: None,
            pointer: condition.pointer(),
        }));
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

/// The conditions of each way, in order.
fn way(branch: Branch) -> impl Iterator<Item = Condition> {
    use Condition as C;
    const RECEPTION: &[Condition] = &[
        C::Interface,
        C::LinkUp,
        C::NotBridged,
        C::ArpOn,
        C::Addressed,
        C::InputHook,
        C::Header,
        C::Target,
        C::GratuitousAllowed,
        C::IsRequest,
    ];
    const ROUTE: &[Condition] = &[C::SenderPlausible, C::TargetPlausible, C::RouteToTarget, C::NotBroadcast];
    const FORWARD: &[Condition] = &[C::Forwarding, C::SenderCredible, C::OtherInterface];
    let (route, forward, rest): (&[Condition], &[Condition], &[Condition]) = match branch {
        Branch::Probe => (&[], &[], &[C::ProbeLocal, C::ArpIgnore]),
        Branch::Local => (ROUTE, &[], &[C::SenderCredible, C::ArpIgnore, C::ArpFilter, C::TableRoom]),
        Branch::Proxied => (ROUTE, FORWARD, &[C::Proxying, C::Medium, C::QueueRoom]),
        Branch::Pvlan => (ROUTE, FORWARD, &[C::NotItself, C::QueueRoom]),
    };
    let parts = [RECEPTION, route, forward, rest, &[C::OutputHook]];
    parts.into_iter().flatten().copied()
}
