//! The actors' steps one by one, for whoever decides their order himself (the explorer).
//!
//! [`Control::take_due`](super::Control::take_due) goes by the clock: what is due first is done
//! first. Here the steps under way are listed, each with the earliest and the latest moment at
//! which it would be done of its own accord, and any of them can be taken.

use super::engine::{Control, Taken, TaskState};
use super::step::StepId;
use crate::choice::Chooser;
use crate::host::HostState;
use crate::time::Time;

/// A step that was begun and has not had its effect yet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct UnderWay {
    /// When it was begun.
    pub begun: Time,
    /// It has its effect at this moment at the earliest.
    pub from: Time,
    /// Later than this it is late.
    pub to: Time,
    /// Its actor, by place.
    pub slot: u16,
    /// Its lane, by number: places change when a lane is added.
    pub lane: u8,
    /// The step that is under way.
    pub step: StepId,
}

impl Control {
    /// Every step under way. Expects durations drawn as the least of their range, as by a chooser
    /// that answers 0 to [`crate::choice::ChoiceKind::StepDelay`].
    pub fn under_way(&self) -> impl Iterator<Item = UnderWay> + '_ {
        self.slots.iter().enumerate().flat_map(|(s, slot)| {
            slot.lanes.iter().filter_map(move |lane| {
                let (Some(TaskState::Busy(from)), Some(task)) = (&lane.run, lane.queue.front()) else {
                    return None;
                };
                let slack = task.takes.1 - task.takes.0;
                Some(UnderWay {
                    begun: Time(from.0 - task.takes.0.as_ns()),
                    from: *from,
                    to: *from + slack,
                    slot: s as u16,
                    lane: lane.lane.0,
                    step: task.step,
                })
            })
        })
    }

    /// When something is due that is no step under way: a hold ends, a wait is over, a timer.
    #[must_use]
    pub fn poll_other(&self) -> Option<Time> {
        let lanes = self.slots.iter().flat_map(|s| &s.lanes).filter_map(|l| match l.run {
            Some(TaskState::Held(_, t) | TaskState::Waiting(_, t)) => Some(t),
            _ => None,
        });
        let timers = self.slots.iter().flat_map(|s| &s.timers).map(|t| t.1);
        lanes.chain(timers).filter(|t| *t != Time::FOREVER).min()
    }

    /// Lets timers and holds that are due take their course, and takes a step whose wait is over.
    pub fn take_other(&mut self, now: Time, host: &HostState, chooser: &mut dyn Chooser) -> Option<Taken> {
        self.fire_timers(now, host, chooser);
        self.release(now, chooser);
        let waits =
            |lane: &super::engine::LaneState| matches!(lane.run, Some(TaskState::Waiting(_, t)) if t <= now);
        let (slot, lane) = self
            .slots
            .iter()
            .enumerate()
            .find_map(|(s, slot)| Some((s, slot.lanes.iter().position(waits)?)))?;
        self.take(slot, lane, now, host)
    }

    /// Takes a step under way now. `None` when it turns out to wait for something.
    pub fn take_step(&mut self, which: UnderWay, now: Time, host: &HostState) -> Option<Taken> {
        let slot = usize::from(which.slot);
        let lane = self.slots.get(slot)?.lanes.iter().position(|l| l.lane.0 == which.lane)?;
        self.take(slot, lane, now, host)
    }
}
