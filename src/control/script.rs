//! Steps that a scenario file spells out: what udev, a network manager or a person does, and when.

use super::act::Act;
use super::actor::{Cx, Happening, Lane, Task, TaskResult};
use super::step::{ActorName, StepId};
use crate::time::{Span, Time};
use smallvec::SmallVec;
use std::sync::Arc;

/// When a scripted step may begin.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Gate {
    /// At the start of the run.
    Start,
    /// When another step is done, the first time.
    After(StepId),
}

/// A step of a scenario file.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ScriptStep {
    /// Its number.
    pub step: StepId,
    /// What lets it begin.
    pub gate: Gate,
    /// How long after that it is done: from, to.
    pub delay: (Span, Span),
    /// Done again so long after its end,
    pub every: Option<Span>,
    /// and so many times in all.
    pub times: u32,
    /// It is done whenever its gate opens, as for every new pod, and not only the first time.
    pub anew: bool,
    /// What it does.
    pub acts: Vec<Act>,
}

/// Plays the steps of one actor that a scenario file spells out. Steps of different gates do not
/// wait for each other: each has a lane.
#[derive(Clone, Debug)]
pub struct Script {
    actor: ActorName,
    steps: Arc<[ScriptStep]>,
    /// How often each was begun.
    begun: SmallVec<[u32; 4]>,
    /// When each that is repeated was, or should have been, done last.
    last: SmallVec<[Time; 4]>,
}

impl core::hash::Hash for Script {
    fn hash<H: core::hash::Hasher>(&self, h: &mut H) {
        self.begun.hash(h);
        self.last.hash(h);
    }
}

impl Script {
    /// The actor `actor` with these steps.
    #[must_use]
    pub fn new(actor: ActorName, steps: Vec<ScriptStep>) -> Script {
        let begun = SmallVec::from_elem(0, steps.len());
        let last = SmallVec::from_elem(Time::ZERO, steps.len());
        Script { actor, steps: steps.into(), begun, last }
    }

    /// Gives a step that comes later than `to` that delay, and returns the one it had.
    pub(crate) fn shorten(&mut self, step: StepId, to: Span) -> Option<Span> {
        let at = self.steps.iter().position(|s| s.step == step && s.delay.1 > to)?;
        let mut steps = self.steps.to_vec();
        let whole = core::mem::replace(&mut steps[at].delay, (to, to)).1;
        self.steps = steps.into();
        Some(whole)
    }

    pub(super) fn name(&self) -> ActorName {
        self.actor
    }

    /// Everything its steps do.
    pub fn all_acts(&self) -> impl Iterator<Item = &Act> {
        self.steps.iter().flat_map(|s| &s.acts)
    }

    pub(super) fn notice(&mut self, what: Happening, cx: &mut Cx<'_>) {
        for at in 0..self.steps.len() {
            let open = match (self.steps[at].gate, what) {
                (Gate::Start, Happening::Start) => true,
                (Gate::After(gate), Happening::Done(step)) => gate == step,
                _ => false,
            };
            if (open && (self.begun[at] == 0 || self.steps[at].anew)) || what == Happening::Timer(at as u8) {
                self.begin(at, cx);
            }
        }
    }

    fn begin(&mut self, at: usize, cx: &mut Cx<'_>) {
        self.begun[at] = self.begun[at].saturating_add(1);
        let step = &self.steps[at];
        // repetitions follow at their interval; the delay counts once
        let takes = if self.begun[at] == 1 { step.delay } else { (Span::ZERO, Span::ZERO) };
        cx.push(Task { step: step.step, lane: Lane(at as u8), arg: at as u32, takes, wait: None });
    }

    pub(super) fn acts(&self, task: &Task, _: &Cx<'_>) -> SmallVec<[Act; 2]> {
        self.steps.get(task.arg as usize).map(|s| s.acts.iter().cloned().collect()).unwrap_or_default()
    }

    pub(super) fn done(&mut self, task: &Task, _: &TaskResult, cx: &mut Cx<'_>) {
        let at = task.arg as usize;
        let Some(step) = self.steps.get(at) else { return };
        if let Some(every) = step.every
            && self.begun[at] < step.times
        {
            // what took time does not put off all that follow
            let last = if self.begun[at] == 1 { cx.now } else { self.last[at] + every };
            self.last[at] = last;
            cx.arm(at as u8, (last + every).max(cx.now));
        }
    }
}
