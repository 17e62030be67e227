//! The model beside what is real. It makes every change that a kernel made, and would make those
//! that a kernel refused; here, and nowhere else, the two are held against each other.

use super::engine::Lab;
use super::node::Real;
use crate::addr::Side;
use crate::choice::Chooser;
use crate::control::{LinkEvent, Refusal};
use crate::gateway::{Gateway, SmoltcpOutside};
use crate::host::{HostState, Link, Mutation, Refused};
use crate::pair::{Devices, Veth};
use crate::time::Time;
use crate::trace::{Sink, What};
use smallvec::SmallVec;

/// The pod's namespace and the pair, as the model has them.
pub(super) struct Mirror {
    pub(super) pod: HostState,
    pub(super) veth: Veth,
    /// What a listener on the node would hear of the host end.
    pub(super) news: SmallVec<[LinkEvent; 2]>,
}

impl Mirror {
    pub(super) fn new(pod: HostState, veth: Veth) -> Mirror {
        Mirror { pod, veth, news: SmallVec::new() }
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

impl Model<'_> {
    fn running(&self) -> Option<bool> {
        let link = self.node.state().link_named(self.mirror.veth.ends().cali)?;
        Some(link.is_up() && link.has_carrier())
    }
}

impl Devices for Model<'_> {
    fn state(&self, side: Side) -> &HostState {
        if side == Side::Host { self.node.state() } else { &self.mirror.pod }
    }

    fn veth(&self) -> &Veth {
        &self.mirror.veth
    }

    fn veth_mut(&mut self) -> &mut Veth {
        &mut self.mirror.veth
    }

    fn change(
        &mut self,
        now: Time,
        side: Side,
        change: &Mutation,
        chooser: &mut dyn Chooser,
    ) -> Result<(), Refused> {
        let before = self.running();
        match (side, &mut self.node) {
            (Side::Host, NodeModel::Gateway(gateway)) => gateway.apply(now, change, chooser)?,
            (Side::Host, NodeModel::State(state)) => state.apply(change).map(|_| ())?,
            (Side::Pod, _) => self.mirror.pod.apply(change).map(|_| ())?,
        }
        self.mirror.veth.update(now, self.node.state(), &self.mirror.pod, chooser);
        self.mirror.news.extend(LinkEvent::between(before, self.running()));
        Ok(())
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

    /// The model would do this, if it were asked.
    fn would(&self, act: ModelChange<'_>) -> bool {
        let mut node = self.node.state().clone();
        let mut mirror = Mirror::new(self.mirror.pod.clone(), self.mirror.veth.clone());
        let mut model = Model { node: NodeModel::State(&mut node), mirror: &mut mirror };
        act(&mut model, self.now(), &mut self.chooser.clone()).is_ok()
    }

    /// The model does what became of an order where things are real; what it would have done
    /// otherwise is told. What the actor hears is what is real.
    pub(super) fn follow(&mut self, real: Real, act: ModelChange<'_>) -> Result<(), Refusal> {
        let differs = match &real {
            Real::Outside => None,
            Real::Modelled => return self.model(act).map_err(Refusal::from),
            Real::Done => {
                let refused = self.model(act).err();
                refused.map(|e| format!("the kernel made a change that the model refuses: {e}"))
            }
            Real::Refused(why) => {
                let text = || format!("the kernel refuses a change that the model makes: {why}");
                self.would(act).then(text)
            }
        };
        if let Some(text) = differs.filter(|_| self.beyond.is_none()) {
            let now = self.now();
            self.events.take(now, What::Differs { text });
        }
        match real {
            Real::Refused(why) => Err(why),
            _ => Ok(()),
        }
    }
}
