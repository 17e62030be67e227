//! Steps of a plugin, and how they are known again in another run.

use super::CutAction;
use super::action;
use crate::cni::{Operation, Verb};
use crate::control::alike::{fits, merge, without_values};
use netns_lab::supervise::{Answer, Kind};
use std::fmt;

/// A step, known by where it is made and what it does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CutStepName {
    /// ADD, CHECK or DEL.
    pub verb: Verb,
    /// How many plugins ran before within the verb.
    pub turn: usize,
    /// The `type` of the plugin whose step it is.
    pub plugin: String,
    /// The network namespace that it is for.
    pub netns: String,
    /// Its words; `*` stands for what differs from run to run, such as a name that is drawn.
    pub words: String,
    /// Which one, of those with the same words, from 1.
    pub nth: usize,
    /// It is made for the first pod of a node; else for one beside another pod.
    pub alone: bool,
}

impl CutStepName {
    /// Whether a request is one of those.
    pub(super) fn fits(&self, netns: &str, words: &str) -> bool {
        self.netns == netns && fits(&self.words, words)
    }
}

impl fmt::Display for CutStepName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}: {}", self.verb.word(), self.plugin, self.netns, self.words)?;
        if self.nth > 1 {
            write!(f, " (#{})", self.nth)?;
        }
        if self.alone { f.write_str(" (a node's first pod)") } else { Ok(()) }
    }
}

/// One place at which a run is disturbed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cut {
    /// The step that is disturbed.
    pub step: CutStepName,
    /// What is done there.
    pub action: CutAction,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.action, self.step)
    }
}

/// A step with what can be done to it.
#[derive(Clone, Debug)]
pub struct CutStep {
    /// By which it is found again in another run.
    pub name: CutStepName,
    /// What is done to it in turn.
    pub actions: Vec<CutAction>,
}

/// A request of a run, as far as steps want it.
#[derive(Clone, Debug)]
struct Seen {
    turn: usize,
    plugin: String,
    netns: String,
    words: String,
    kind: Kind,
}

fn seen(operation: &Operation) -> Vec<Seen> {
    let mut found = Vec::new();
    for (turn, invocation) in operation.invocations.iter().enumerate() {
        // the first is the plugin's own execve
        for step in invocation.steps.iter().skip(1) {
            let request = &step.record.request;
            // what the kernel refuses anyway is no step
            let refused = matches!(step.record.answer, Answer::Refused { .. });
            if !refused && action::may_fail(&request.kind) {
                found.push(Seen {
                    turn,
                    plugin: invocation.plugin.clone(),
                    netns: step.place.netns.clone(),
                    words: request.to_string(),
                    kind: request.kind.clone(),
                });
            }
        }
    }
    found
}

/// The steps of an operation, from two runs of it: where they differ, the words have a `*`.
pub(super) fn steps(first: &Operation, second: &Operation, alone: bool, asks: Asks) -> Vec<CutStep> {
    let (runs, again) = (seen(first), seen(second));
    let mut from = 0;
    let mut steps: Vec<CutStep> = Vec::new();
    for it in runs {
        let alike = |other: &Seen| {
            other.turn == it.turn && other.netns == it.netns && are_alike(&it.words, &other.words)
        };
        let place = again[from..].iter().position(alike).map(|place| from + place);
        let words = place.map_or_else(|| it.words.clone(), |place| merge(&it.words, &again[place].words));
        from = place.map_or(from, |place| place + 1);
        let name = CutStepName {
            verb: first.verb,
            turn: it.turn,
            plugin: it.plugin,
            netns: it.netns,
            words,
            nth: 1,
            alone,
        };
        let before = steps.iter().filter(|step| CutStepName { nth: 1, ..step.name.clone() } == name).count();
        let actions = actions(&it.kind, first.verb, asks);
        steps.push(CutStep { name: CutStepName { nth: before + 1, ..name }, actions });
    }
    steps
}

/// What a runtime asks of a configuration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asks {
    /// CHECK.
    pub(super) check: bool,
    /// GC.
    pub(super) gc: bool,
    /// STATUS.
    pub(super) status: bool,
}

fn actions(kind: &Kind, verb: Verb, asks: Asks) -> Vec<CutAction> {
    let mut actions: Vec<CutAction> = action::errors(kind).into_iter().map(CutAction::Fail).collect();
    if action::changes(kind) {
        actions.extend([CutAction::KillBefore, CutAction::KillAfter]);
        if asks.gc && matches!(verb, Verb::Add | Verb::Del) {
            actions.push(CutAction::Orphan);
        }
        actions.push(CutAction::Hold);
        // a runtime adds no pod while GC runs: it could not say whether that one is valid
        if !matches!(verb, Verb::Gc | Verb::Status) {
            actions.push(CutAction::OtherFirst);
        }
    }
    if verb == Verb::Add && asks.check && action::can_be_undone(kind) {
        actions.push(CutAction::Undo);
    }
    actions
}

/// Those steps of a node's first pod that a pod beside another does not take.
pub(super) fn only_first(alone: Vec<CutStep>, beside: &[CutStep]) -> Vec<CutStep> {
    let alike = |step: &CutStep| {
        let name = &step.name;
        (name.verb, name.turn, name.netns.clone(), without_values(&name.words))
    };
    let mut there: Vec<_> = beside.iter().map(alike).collect();
    let mut left = alone;
    left.retain(|step| match there.iter().position(|it| *it == alike(step)) {
        Some(place) => {
            there.swap_remove(place);
            false
        }
        None => true,
    });
    left
}

/// Whether two texts may be of the same step: as many words, and the same ones at first.
fn are_alike(one: &str, other: &str) -> bool {
    let (one, other): (Vec<_>, Vec<_>) = (one.split(' ').collect(), other.split(' ').collect());
    one.len() == other.len()
        && one.iter().zip(&other).take(2).all(|(a, b)| fits(&merge(a, b), b) && merge(a, b) != "*")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_a_star() {
        let merged = merge("ip link set veth88533e41 up", "ip link set veth8e0fa9be up");
        assert_eq!(merged, "ip link set veth* up");
        assert!(fits(&merged, "ip link set veth0123 up") && !fits(&merged, "ip link set eth0 up"));
        let sysctl = merge("sysctl -w a.veth11.accept_ra=0", "sysctl -w a.veth12.accept_ra=0");
        assert_eq!(sysctl, "sysctl -w a.veth*.accept_ra=0");
        assert_eq!(merge("address ae:fe:1", "address ae:0e:1"), "address *");
        assert!(
            !are_alike("ip link del eth0", "ip route del x y") && are_alike("unlink /a/b1", "unlink /a/b2")
        );
        assert!(are_alike("sysctl -w x=1", "sysctl -w y=1") && !are_alike("ip a", "sysctl b"));
    }
}
