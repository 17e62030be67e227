//! The actors of a run behind one face.

use super::act::Act;
use super::actor::{Actor, Cx, Happening, Task, TaskResult};
use super::cni::Cni;
use super::felix::Felix;
use super::kubelet::Kubelet;
use super::monitor::Monitor;
use super::real::RealCni;
use super::script::Script;
use super::step::ActorName;
use smallvec::SmallVec;

/// The built-in actors, and whatever else implements [`Actor`].
#[derive(Debug)]
#[allow(missing_docs)]
pub enum Actors {
    Kubelet(Kubelet),
    Cni(Cni),
    RealCni(RealCni),
    Felix(Box<Felix>),
    Script(Script),
    Monitor(Monitor),
    Custom(Box<dyn Actor>),
}

impl Clone for Actors {
    fn clone(&self) -> Self {
        match self {
            Actors::Kubelet(a) => Actors::Kubelet(a.clone()),
            Actors::Cni(a) => Actors::Cni(a.clone()),
            Actors::RealCni(a) => Actors::RealCni(a.clone()),
            Actors::Felix(a) => Actors::Felix(a.clone()),
            Actors::Script(a) => Actors::Script(a.clone()),
            Actors::Monitor(a) => Actors::Monitor(a.clone()),
            Actors::Custom(a) => Actors::Custom(a.boxed()),
        }
    }
}

impl core::hash::Hash for Actors {
    fn hash<H: core::hash::Hasher>(&self, h: &mut H) {
        core::mem::discriminant(self).hash(h);
        match self {
            Actors::Kubelet(a) => a.hash(h),
            Actors::Cni(a) => a.hash(h),
            Actors::RealCni(a) => a.hash(h),
            Actors::Felix(a) => a.hash(h),
            Actors::Script(a) => a.hash(h),
            Actors::Monitor(a) => a.hash(h),
            Actors::Custom(a) => {
                let mut bytes = Vec::new();
                a.fingerprint(&mut bytes);
                bytes.hash(h);
            }
        }
    }
}

macro_rules! each {
    ($self:expr, $a:ident => $e:expr) => {
        match $self {
            Actors::Kubelet($a) => $e,
            Actors::Cni($a) => $e,
            Actors::RealCni($a) => $e,
            Actors::Felix($a) => $e,
            Actors::Script($a) => $e,
            Actors::Monitor($a) => $e,
            Actors::Custom($a) => $e,
        }
    };
}

impl Actors {
    /// Who it is.
    #[must_use]
    pub fn name(&self) -> ActorName {
        match self {
            Actors::Kubelet(_) => ActorName::Kubelet,
            Actors::Cni(_) | Actors::RealCni(_) => ActorName::Cni,
            Actors::Felix(_) => ActorName::Felix,
            Actors::Script(a) => a.name(),
            Actors::Monitor(_) => ActorName::Operator,
            Actors::Custom(a) => a.name(),
        }
    }
    pub(super) fn notice(&mut self, what: Happening, cx: &mut Cx<'_>) {
        each!(self, a => a.notice(what, cx));
    }
    pub(super) fn acts(&self, task: &Task, cx: &Cx<'_>) -> SmallVec<[Act; 2]> {
        each!(self, a => a.acts(task, cx))
    }
    pub(super) fn done(&mut self, task: &Task, result: &TaskResult, cx: &mut Cx<'_>) {
        match self {
            // what the kubelet waits for it hears as news
            Actors::Kubelet(_) => {}
            Actors::Cni(a) => a.done(task, result, cx),
            Actors::RealCni(a) => a.done(task),
            Actors::Felix(a) => a.done(task, result, cx),
            Actors::Script(a) => a.done(task, result, cx),
            Actors::Monitor(a) => a.done(task, result, cx),
            Actors::Custom(a) => a.done(task, result, cx),
        }
    }
}
