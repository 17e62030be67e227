//! An operator's monitor: looks at the pod's neighbour table at an interval, and has the pod made
//! anew when the gateway's entry there has been bad for some looks in a row.
//!
//! What it can tell apart is what `ip neigh` shows. FAILED and INCOMPLETE say that somebody asked
//! and has no answer. No entry at all says that nobody has asked yet, or that the entry was thrown
//! away since; a monitor that took this for a fault would restart every pod that is idle.

use super::act::{Act, Ask};
use super::actor::{Cx, Happening, Lane, Task, TaskResult};
use super::step::{StepId, StepTable};
use crate::neigh::Nud;
use crate::time::Span;
use smallvec::SmallVec;

/// A monitor and what it has seen.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Monitor {
    look: StepId,
    alarm: StepId,
    container: StepId,
    init: StepId,
    every: Span,
    /// So many bad looks in a row are an alarm.
    looks: u8,
    bad: u8,
    at_work: bool,
}

const LOOK: Lane = Lane(0);
const ALARM: Lane = Lane(1);
/// The timer of the next look.
const NEXT: u8 = 0;

impl Monitor {
    /// A monitor that looks at an interval and restarts the pod after so many bad looks in a row.
    #[must_use]
    pub fn new(every: Span, looks: u8, look: StepId, alarm: StepId) -> Monitor {
        let built_in = StepTable::built_in;
        let (container, init) = (built_in("kubelet.container-start"), built_in("kubelet.init-start"));
        Monitor { look, alarm, container, init, every, looks, bad: 0, at_work: false }
    }

    pub(super) fn notice(&mut self, what: Happening, cx: &mut Cx<'_>) {
        let (step, lane) = match what {
            // the first pod that runs is the first to be looked at
            Happening::Done(step) if !self.at_work && (step == self.container || step == self.init) => {
                self.at_work = true;
                return cx.arm(NEXT, cx.now + self.every);
            }
            Happening::Timer(NEXT) => (self.look, LOOK),
            Happening::Entry(state) => {
                let bad = matches!(state, Some(Nud::Failed | Nud::Incomplete));
                self.bad = if bad { self.bad + 1 } else { 0 };
                if self.bad < self.looks {
                    return;
                }
                self.bad = 0;
                (self.alarm, ALARM)
            }
            _ => return,
        };
        cx.push(Task { step, lane, arg: 0, takes: (Span::ZERO, Span::ZERO), wait: None });
    }

    pub(super) fn acts(&self, task: &Task, _: &Cx<'_>) -> SmallVec<[Act; 2]> {
        SmallVec::from_iter([if task.step == self.look {
            Act::LookAtEntry
        } else {
            Act::Ask(Ask::PodRecreate)
        }])
    }

    pub(super) fn done(&mut self, task: &Task, _: &TaskResult, cx: &mut Cx<'_>) {
        if task.step == self.look {
            cx.arm(NEXT, cx.now + self.every);
        }
    }
}
