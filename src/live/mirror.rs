//! The model beside what is real. It makes every change that a kernel made, and is asked about those
//! that a kernel refused, so that the run can hold the two against each other.

use super::engine::Lab;
use super::node::Real;
use crate::addr::Side;
use crate::choice::Chooser;
use crate::control::Refusal;
use crate::gateway::{Gateway, SmoltcpOutside};
use crate::host::{HostState, Link, Mutation, Refused};
use crate::pair::{Between, Devices, LinkNews, Veth};
use crate::time::Time;

/// The pod's namespace and the pair, as the model has them.
pub(super) struct Mirror {
    pub(super) pod: HostState,
    pub(super) veth: Veth,
    pub(super) news: LinkNews,
}

impl Mirror {
    pub(super) fn new(pod: HostState, veth: Veth) -> Mirror {
        Mirror { pod, veth, news: LinkNews::new() }
    }
}

/// The node, as the model has it.
pub(super) enum NodeModel<'a> {
    Gateway(&'a mut Gateway<SmoltcpOutside>),
    State(&'a mut HostState),
}

impl NodeModel<'_> {
    fn state(&self) -> &HostState {
        match self {
            NodeModel::Gateway(gateway) => gateway.state(),
            NodeModel::State(state) => state,
        }
    }
}

/// All of it.
pub(super) struct Model<'a> {
    node: NodeModel<'a>,
    mirror: &'a mut Mirror,
}

impl Devices for Model<'_> {
    fn state(&self, side: Side) -> &HostState {
        if side == Side::Host { self.node.state() } else { &self.mirror.pod }
    }

    fn veth(&self) -> &Veth {
        &self.mirror.veth
    }

    fn between(&mut self) -> Between<'_> {
        let Mirror { pod, veth, news } = &mut *self.mirror;
        Between { host: self.node.state(), pod, veth, news }
    }

    fn set(&mut self, now: Time, side: Side, m: &Mutation, by: &mut dyn Chooser) -> Result<(), Refused> {
        match (side, &mut self.node) {
            (Side::Host, NodeModel::Gateway(gateway)) => gateway.apply(now, m, by),
            (Side::Host, NodeModel::State(state)) => state.apply(m).map(|_| ()),
            (Side::Pod, _) => self.mirror.pod.apply(m).map(|_| ()),
        }
    }
}

/// A change of the model.
pub(super) type ModelChange<'a> = &'a dyn Fn(&mut Model<'_>, Time, &mut dyn Chooser) -> Result<(), Refused>;

impl Lab {
    /// A namespace as the model has it.
    pub(super) fn state(&self, side: Side) -> &HostState {
        if side == Side::Host { self.node.state() } else { &self.mirror.pod }
    }

    /// The host end is up, wherever it is.
    pub(super) fn far_end_up(&self) -> bool {
        self.mirror.veth.far(self.node.state(), &self.mirror.pod).is_some_and(Link::is_up)
    }

    /// A change of the model alone.
    pub(super) fn model(&mut self, act: ModelChange<'_>) -> Result<(), Refused> {
        let now = self.now();
        let mut model = Model { node: self.node.model(), mirror: &mut self.mirror };
        act(&mut model, now, &mut self.chooser)
    }

    /// What the model would make of this, if it were asked.
    fn would(&self, act: ModelChange<'_>) -> Result<(), Refused> {
        let mut node = self.node.state().clone();
        let mut mirror = Mirror::new(self.mirror.pod.clone(), self.mirror.veth.clone());
        let mut model = Model { node: NodeModel::State(&mut node), mirror: &mut mirror };
        act(&mut model, self.now(), &mut self.chooser.clone())
    }

    /// The model does what became of an order where things are real; what it would have done
    /// otherwise is told. What the actor hears is what is real.
    pub(super) fn follow(&mut self, real: Real, act: ModelChange<'_>) -> Result<(), Refusal> {
        let now = self.now();
        let (kernel, model) = match real {
            Real::Outside => return Ok(()),
            Real::Modelled => return self.model(act).map_err(Refusal::from),
            Real::Done => (Ok(()), self.model(act)),
            Real::Refused(why) => (Err(why), self.would(act)),
        };
        self.run.compare(now, &kernel, model, &mut self.events);
        kernel
    }
}
