//! The kubelet, as far as it gates the pod: sandbox, CNI ADD, an init container that waits for the
//! gateway, containers, and the way back.

use super::act::{Act, Ask};
use super::actor::{Cx, Happening, Lane, Task};
use super::step::{StepId, StepTable};
use crate::time::{Span, Time};
use smallvec::SmallVec;

/// Starts the pod.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Kubelet {
    sandbox: StepId,
    init: StepId,
    init_fail: StepId,
    container: StepId,
    add_return: StepId,
    delete: StepId,
    del: StepId,
    /// An init container waits for the gateway before the containers start.
    waits: bool,
    /// What a real plugin's failures come to: ADD's, and that of DEL.
    failures: Option<(StepId, StepId)>,
    /// ADD failed, and what it left is being taken away.
    failed: bool,
    /// How often it gave up in this pod's life.
    given_up: u8,
    /// The pod is being deleted: its init container is none of the next pod's.
    leaving: bool,
}

const MAIN: Lane = Lane(0);
/// The timer of the init container's next start.
const RESTART: u8 = 0;

/// Image present, container made and started: a few hundred milliseconds.
const START: (Span, Span) = (Span::from_ms(150), Span::from_ms(450));
/// That a container has ended is noticed when the kubelet next asks the runtime, once a second
/// (`genericPlegRelistPeriod`).
const RELIST: Span = Span::from_secs(1);
/// A container that failed is started again at once the first time, then after 10 s, and twice as
/// long each time, up to five minutes (`doBackOff`, `MaxContainerBackOff`). Counted from when the
/// kubelet notices; a real one looks at the pod again at intervals, and may be some seconds later.
const BACK_OFF: Span = Span::from_secs(10);
const BACK_OFF_MAX: Span = Span::from_secs(300);
/// A pod that could not be brought about is looked at again after ten seconds and up to half as long
/// (`backOffPeriod`, `workerBackOffPeriodJitterFactor`).
const AGAIN: (Span, Span) = (Span::from_secs(10), Span::from_secs(15));
/// The runtime calls DEL as soon as ADD has failed.
const TEAR_DOWN: (Span, Span) = (Span::ZERO, Span::from_ms(5));

impl Kubelet {
    /// The kubelet of a pod, with an init container that waits for the gateway or without.
    #[must_use]
    pub fn new(waits: bool) -> Kubelet {
        Kubelet {
            sandbox: StepTable::built_in("kubelet.sandbox-create"),
            init: StepTable::built_in("kubelet.init-start"),
            init_fail: StepTable::built_in("kubelet.init-fail"),
            container: StepTable::built_in("kubelet.container-start"),
            add_return: StepTable::built_in("cni.add-return"),
            delete: StepTable::built_in("kubelet.sandbox-delete"),
            del: StepTable::built_in("cni.del"),
            waits,
            failures: None,
            failed: false,
            given_up: 0,
            leaving: false,
        }
    }

    /// The same, where ADD and DEL can fail of themselves: what ADD left is taken away, and both are
    /// tried again.
    #[must_use]
    pub fn that_retries(self, del_fail: StepId) -> Kubelet {
        Kubelet { failures: Some((StepTable::built_in("cni.add-fail"), del_fail)), ..self }
    }

    pub(super) fn notice(&mut self, what: Happening, cx: &mut Cx<'_>) {
        let (step, takes) = match what {
            Happening::Start => (self.sandbox, (Span::ZERO, Span::ZERO)),
            Happening::Done(step) if step == self.sandbox => return self.begin_life(cx),
            Happening::Done(step) if step == self.add_return && self.waits => (self.init, START),
            Happening::Done(step) if step == self.add_return => (self.container, START),
            Happening::Done(step) if step == self.init_fail && !self.leaving => {
                return cx.arm(RESTART, cx.now + back_off(self.given_up));
            }
            Happening::Timer(RESTART) if !self.leaving => (self.init, START),
            Happening::Waited(true) if !self.leaving => (self.container, (START.0, START.1 + RELIST)),
            Happening::Waited(false) if !self.leaving => {
                self.given_up = self.given_up.saturating_add(1);
                (self.init_fail, (Span::ZERO, RELIST))
            }
            // the containers are asked to end, and do so within a second or two; who asks again
            // meanwhile finds the pod terminating
            Happening::Asked(Ask::PodRecreate) if !self.leaving => {
                self.leaving = true;
                (self.delete, (Span::from_secs(1), Span::from_secs(2)))
            }
            Happening::Done(step) if self.failures.is_some_and(|(add, _)| add == step) => {
                self.failed = true;
                (self.delete, TEAR_DOWN)
            }
            Happening::Done(step) if self.failures.is_some_and(|(_, del)| del == step) => {
                (self.delete, AGAIN)
            }
            Happening::Done(step) if step == self.del && self.failed => {
                self.failed = false;
                (self.sandbox, AGAIN)
            }
            // the controller writes a new pod, the scheduler places it
            Happening::Done(step) if step == self.del => {
                (self.sandbox, (Span::from_ms(500), Span::from_ms(1_500)))
            }
            _ => return,
        };
        cx.push(Task { step, lane: MAIN, arg: 0, takes, wait: None });
    }

    /// A new pod knows nothing of how its forerunner's init container fared.
    fn begin_life(&mut self, cx: &mut Cx<'_>) {
        self.leaving = false;
        if self.given_up > 0 {
            self.given_up = 0;
            cx.arm(RESTART, Time::FOREVER);
        }
    }

    pub(super) fn acts(&self, task: &Task, _: &Cx<'_>) -> SmallVec<[Act; 2]> {
        SmallVec::from_iter([if task.step == self.sandbox { Act::PodReset } else { Act::Mark }])
    }
}

/// The wait before the start that follows the `n`th failure.
fn back_off(n: u8) -> Span {
    match n {
        0 | 1 => Span::ZERO,
        n => {
            let doubled = BACK_OFF.as_ns().saturating_mul(1 << u32::from(n - 2).min(16));
            Span::from_ns(doubled).min(BACK_OFF_MAX)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_back_off_doubles_from_ten_seconds_to_five_minutes() {
        let seconds: Vec<u64> = (1..9).map(|n| back_off(n).as_ns() / 1_000_000_000).collect();
        assert_eq!(seconds, [0, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(back_off(u8::MAX), BACK_OFF_MAX);
    }
}
