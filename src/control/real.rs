//! A CNI plugin that is no program of this crate: whoever owns the run runs its binary, and each of its
//! requests to the kernel is a task here, so that holds, gates and news know no difference.

use super::act::{Act, Errand};
use super::actor::{Cx, Happening, Lane, Task};
use super::step::{ActorName, StepId, StepTable};
use crate::time::Span;
use smallvec::SmallVec;
use std::sync::Arc;

/// The steps of a real plugin's runs that are no requests.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RealSteps {
    /// ADD is begun.
    pub start: StepId,
    /// DEL is begun.
    pub del_start: StepId,
    /// DEL failed.
    pub del_fail: StepId,
}

impl RealSteps {
    /// The same, in the table.
    #[must_use]
    pub fn declare(steps: &mut StepTable) -> RealSteps {
        let mut add = |name, title| steps.add(name, ActorName::Cni, title);
        RealSteps {
            start: add("cni.add-start", "the runtime runs the plugin's ADD"),
            del_start: add("cni.del-start", "the runtime runs the plugin's DEL"),
            del_fail: add("cni.del-fail", "DEL returns with an error"),
        }
    }
}

/// What a request waits for its turn with.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Asked {
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
}

/// A plugin asks for one thing at a time; what several of its processes ask goes in the order of
/// arrival.
const MAIN: Lane = Lane(0);
/// The endpoint's way to the datastore, as that of Calico's plugin.
const WRITE: (Span, Span) = (Span::from_ms(4), Span::from_ms(25));
const AT_ONCE: (Span, Span) = (Span::ZERO, Span::ZERO);

impl RealCni {
    /// The plugin before its first run.
    #[must_use]
    pub fn new(steps: RealSteps, writes_endpoint: bool) -> RealCni {
        RealCni { steps, writes_endpoint, asked: Vec::new() }
    }

    pub(super) fn notice(&mut self, what: Happening, cx: &mut Cx<'_>) {
        let step = match what {
            Happening::Done(step) if step == StepTable::built_in("kubelet.sandbox-create") => {
                self.steps.start
            }
            Happening::Done(step) if step == StepTable::built_in("kubelet.sandbox-delete") => {
                self.steps.del_start
            }
            Happening::Done(step) if step == StepTable::built_in("cni.wep-write") => {
                StepTable::built_in("cni.add-return")
            }
            _ => return,
        };
        push(step, 0, AT_ONCE, cx);
    }

    /// The plugin asks the kernel for something, and waits.
    pub(super) fn request(&mut self, step: StepId, (number, words): (u32, Arc<str>), cx: &mut Cx<'_>) {
        self.asked.push(Asked { number, words });
        push(step, number, AT_ONCE, cx);
    }

    /// The plugin has ended.
    pub(super) fn over(&mut self, errand: Errand, well: bool, cx: &mut Cx<'_>) {
        // what its processes asked ended with them
        self.asked.clear();
        let (step, takes) = match (errand, well) {
            (Errand::Add, true) if self.writes_endpoint => (StepTable::built_in("cni.wep-write"), WRITE),
            (Errand::Add, true) => (StepTable::built_in("cni.add-return"), AT_ONCE),
            (Errand::Add, false) => (StepTable::built_in("cni.add-fail"), AT_ONCE),
            (Errand::Del, true) => (StepTable::built_in("cni.del"), AT_ONCE),
            (Errand::Del, false) => (self.steps.del_fail, AT_ONCE),
        };
        push(step, 0, takes, cx);
    }

    pub(super) fn acts(&self, task: &Task, _: &Cx<'_>) -> SmallVec<[Act; 2]> {
        let asked = self.asked.iter().find(|a| task.arg != 0 && a.number == task.arg);
        SmallVec::from_iter([match asked {
            Some(a) => Act::Request { number: a.number, words: Arc::clone(&a.words) },
            None if task.step == self.steps.start => Act::Plugin(Errand::Add),
            None if task.step == self.steps.del_start => Act::Plugin(Errand::Del),
            None => Act::Mark,
        }])
    }

    pub(super) fn done(&mut self, task: &Task) {
        self.asked.retain(|a| a.number != task.arg);
    }
}

fn push(step: StepId, arg: u32, takes: (Span, Span), cx: &mut Cx<'_>) {
    cx.push(Task { step, lane: MAIN, arg, takes, wait: None });
}
