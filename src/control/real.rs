//! A CNI plugin that is no program of this crate: whoever owns the run runs its binary, and each of its
//! requests to the kernel is a task here, so that holds, gates and news know no difference.
//!
//! It can do other pods' ADDs beside that of the pod that the run is about. Each pod has a lane of its own, as each
//! is another process of the runtime's. An other pod is added once, with the first ADD of all; if its ADD
//! fails, DEL follows at once, and nobody tries again.

use super::act::{Act, Errand};
use super::actor::{Cx, Happening, Lane, Task};
use super::step::{ActorName, PodId, StepId, StepTable};
use crate::time::Span;
use smallvec::SmallVec;
use std::sync::Arc;

/// The steps of a real plugin's runs for one pod that are no requests.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct VerbSteps {
    /// ADD is begun.
    pub start: StepId,
    /// ADD has succeeded.
    pub add_return: StepId,
    /// ADD failed.
    pub add_fail: StepId,
    /// DEL is begun.
    pub del_start: StepId,
    /// DEL has succeeded.
    pub del: StepId,
    /// DEL failed.
    pub del_fail: StepId,
}

/// Those of all pods.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RealSteps {
    /// By the pods' numbers; the first is the one that the run is about.
    pub pods: Arc<[VerbSteps]>,
}

impl RealSteps {
    /// The same, in the table; with so many other pods.
    #[must_use]
    pub fn declare(steps: &mut StepTable, others: u16) -> RealSteps {
        let mut add = |name, title| steps.add(name, ActorName::Cni, title);
        let judged = VerbSteps {
            start: add("cni.add-start", "the runtime runs the plugin's ADD"),
            add_return: StepTable::built_in("cni.add-return"),
            add_fail: StepTable::built_in("cni.add-fail"),
            del_start: add("cni.del-start", "the runtime runs the plugin's DEL"),
            del: StepTable::built_in("cni.del"),
            del_fail: add("cni.del-fail", "DEL returns with an error"),
        };
        let mut of_other = |pod: PodId| {
            let mut add = |what: &str, title: &str| {
                steps.add_request_of(pod, &format!("cni.{pod}/{what}"), title, false)
            };
            VerbSteps {
                start: add("add-start", "the runtime runs the plugin's ADD for another pod"),
                add_return: add("add-return", "ADD of another pod returns with success"),
                add_fail: add("add-fail", "ADD of another pod returns with an error"),
                del_start: add("del-start", "the runtime runs the plugin's DEL for another pod"),
                del: add("del", "another pod is taken away"),
                del_fail: add("del-fail", "DEL of another pod returns with an error"),
            }
        };
        let others: Vec<VerbSteps> = (1..=others).map(|pod| of_other(PodId(pod))).collect();
        RealSteps { pods: [judged].into_iter().chain(others).collect() }
    }

    /// Those of the pod that the run is about.
    #[must_use]
    pub fn judged(&self) -> VerbSteps {
        self.pods[0]
    }

    /// The steps of a pod.
    fn of(&self, pod: PodId) -> VerbSteps {
        self.pods.get(usize::from(pod.0)).copied().unwrap_or_else(|| self.judged())
    }

    fn others(&self) -> impl Iterator<Item = (PodId, VerbSteps)> + '_ {
        (0..).map(PodId).zip(self.pods.iter().copied()).skip(1)
    }
}

/// What a request waits for its turn with.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Asked {
    pod: PodId,
    number: u32,
    words: Arc<str>,
}

/// A real plugin, as an actor.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RealCni {
    steps: RealSteps,
    /// Somebody waits for the endpoint: it is written for the plugin, which finds no datastore here.
    writes_endpoint: bool,
    /// Requests whose turn has not come.
    asked: Vec<Asked>,
    /// The other pods' ADDs have been asked for.
    others_asked_for: bool,
    /// The pods whose ADD is asked for and not over; a bit each.
    adding: u64,
}

/// The endpoint's way to the datastore, as that of Calico's plugin.
const WRITE: (Span, Span) = (Span::from_ms(4), Span::from_ms(25));
const AT_ONCE: (Span, Span) = (Span::ZERO, Span::ZERO);

impl RealCni {
    /// The plugin before its first run.
    #[must_use]
    pub fn new(steps: RealSteps, writes_endpoint: bool) -> RealCni {
        RealCni { steps, writes_endpoint, asked: Vec::new(), others_asked_for: false, adding: 0 }
    }

    pub(super) fn notice(&mut self, what: Happening, cx: &mut Cx<'_>) {
        let judged = self.steps.judged();
        let Happening::Done(step) = what else { return };
        if step == StepTable::built_in("kubelet.sandbox-create") {
            self.add(PodId::default(), judged, cx);
            if !core::mem::replace(&mut self.others_asked_for, true) {
                for (pod, steps) in Arc::clone(&self.steps.pods).iter().copied().enumerate().skip(1) {
                    self.add(PodId(pod as u16), steps, cx);
                }
            }
        } else if step == StepTable::built_in("kubelet.sandbox-delete") {
            push(PodId::default(), judged.del_start, 0, AT_ONCE, cx);
        } else if step == StepTable::built_in("cni.wep-write") {
            push(PodId::default(), judged.add_return, 0, AT_ONCE, cx);
        } else if let Some((pod, steps)) = self.steps.others().find(|(_, it)| it.add_fail == step) {
            push(pod, steps.del_start, 0, AT_ONCE, cx);
        }
    }

    fn add(&mut self, pod: PodId, steps: VerbSteps, cx: &mut Cx<'_>) {
        self.adding |= bit(pod);
        push(pod, steps.start, 0, AT_ONCE, cx);
    }

    /// The pods whose ADD is asked for and not over.
    pub(super) fn adding(&self) -> impl Iterator<Item = PodId> + '_ {
        (0..self.steps.pods.len() as u16).map(PodId).filter(|pod| self.adding & bit(*pod) != 0)
    }

    /// The plugin asks the kernel for something, and waits.
    pub(super) fn request(
        &mut self,
        (pod, step): (PodId, StepId),
        (number, words): (u32, Arc<str>),
        cx: &mut Cx<'_>,
    ) {
        self.asked.push(Asked { pod, number, words });
        push(pod, step, number, AT_ONCE, cx);
    }

    /// The plugin has ended.
    pub(super) fn over(&mut self, pod: PodId, errand: Errand, well: bool, cx: &mut Cx<'_>) {
        // what its processes asked ended with them
        self.asked.retain(|asked| asked.pod != pod);
        let (steps, writes) = (self.steps.of(pod), self.writes_endpoint && !pod.is_other());
        let (step, takes) = match (errand, well) {
            (Errand::Add, true) if writes => (StepTable::built_in("cni.wep-write"), WRITE),
            (Errand::Add, true) => (steps.add_return, AT_ONCE),
            (Errand::Add, false) => (steps.add_fail, AT_ONCE),
            (Errand::Del, true) => (steps.del, AT_ONCE),
            (Errand::Del, false) => (steps.del_fail, AT_ONCE),
        };
        push(pod, step, 0, takes, cx);
    }

    pub(super) fn acts(&self, task: &Task, _: &Cx<'_>) -> SmallVec<[Act; 2]> {
        let asked = self.asked.iter().find(|a| task.arg != 0 && a.number == task.arg);
        let is = |step: fn(&VerbSteps) -> StepId| self.steps.pods.iter().any(|it| step(it) == task.step);
        SmallVec::from_iter([match asked {
            Some(a) => Act::Request { number: a.number, words: Arc::clone(&a.words) },
            None if is(|it| it.start) => Act::Plugin(Errand::Add),
            None if is(|it| it.del_start) => Act::Plugin(Errand::Del),
            None => Act::Mark,
        }])
    }

    pub(super) fn done(&mut self, task: &Task) {
        self.asked.retain(|a| a.number != task.arg);
        for (pod, steps) in (0..).map(PodId).zip(self.steps.pods.iter()) {
            // of an other pod whose ADD failed DEL belongs to it
            let ends = if pod.is_other() {
                [steps.add_return, steps.del, steps.del_fail]
            } else {
                [steps.add_return, steps.add_fail, steps.add_fail]
            };
            if ends.contains(&task.step) {
                self.adding &= !bit(pod);
            }
        }
    }
}

/// Each pod has a lane: a plugin asks for one thing at a time for it, and what several of its processes ask
/// goes in the order of arrival.
pub(super) fn lane(pod: PodId) -> Lane {
    Lane(pod.0 as u8)
}

fn bit(pod: PodId) -> u64 {
    1 << (pod.0 & 63)
}

fn push(pod: PodId, step: StepId, arg: u32, takes: (Span, Span), cx: &mut Cx<'_>) {
    cx.push(Task { step, lane: lane(pod), arg, takes, wait: None });
}
