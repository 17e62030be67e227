//! The kubelet, as far as it gates the pod: sandbox, CNI ADD, containers, and the way back.

use super::act::{Act, Ask};
use super::actor::{Cx, Happening, Lane, Task};
use super::step::{StepId, StepTable};
use crate::time::Span;
use smallvec::SmallVec;

/// Starts the pod.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Kubelet {
    sandbox: StepId,
    container: StepId,
    add_return: StepId,
    delete: StepId,
    del: StepId,
}

impl Default for Kubelet {
    fn default() -> Self {
        Kubelet {
            sandbox: StepTable::built_in("kubelet.sandbox-create"),
            container: StepTable::built_in("kubelet.container-start"),
            add_return: StepTable::built_in("cni.add-return"),
            delete: StepTable::built_in("kubelet.sandbox-delete"),
            del: StepTable::built_in("cni.del"),
        }
    }
}

const MAIN: Lane = Lane(0);

impl Kubelet {
    pub(super) fn notice(&mut self, what: Happening, cx: &mut Cx<'_>) {
        // image present, container made and started: a few hundred milliseconds
        let (step, from, to) = match what {
            Happening::Start => (self.sandbox, 0, 0),
            Happening::Done(step) if step == self.add_return => (self.container, 150, 450),
            // the containers are asked to end, and do so within a second or two
            Happening::Asked(Ask::PodRecreate) => (self.delete, 1_000, 2_000),
            // the controller writes a new pod, the scheduler places it
            Happening::Done(step) if step == self.del => (self.sandbox, 500, 1_500),
            _ => return,
        };
        let takes = (Span::from_ms(from), Span::from_ms(to));
        cx.push(Task { step, lane: MAIN, arg: 0, takes, wait: None });
    }

    pub(super) fn acts(&self, task: &Task, _: &Cx<'_>) -> SmallVec<[Act; 2]> {
        SmallVec::from_iter([if task.step == self.sandbox { Act::PodReset } else { Act::Mark }])
    }
}
