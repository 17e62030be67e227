//! Who stands at the host's end: the model behind a wire, or a kernel in a namespace. The rest of
//! the lab does not ask which.

use super::capture::Captured;
use super::kernel_node::KernelNode;
use super::link::LinkFault;
use super::mirror::NodeModel;
use super::model_node::ModelNode;
use super::space::{Space, Tables};
use super::terms::LiveError;
use super::watch::EntryNews;
use crate::addr::{IfName, Side};
use crate::choice::Chooser;
use crate::control::{LinkEvent, Refusal, Setting};
use crate::gateway::GatewayOutput;
use crate::host::conf::SysctlKey;
use crate::host::{HostState, IfIndex, Mutation};
use crate::packet::FrameId;
use crate::pair::Veth;
use crate::pod::ClientId;
use crate::run::Judged;
use crate::time::Time;
use smallvec::SmallVec;

/// The host's side of a run.
pub(super) enum Node {
    /// The software gateway; the pod's `eth0` is the near end of its wire.
    Model(Box<ModelNode>),
    /// A namespace of the node, joined to the pod's by a veth pair.
    Kernel(Box<KernelNode>),
}

/// Something that reached the lab from the host's side or the wire.
pub(super) enum NodeEvent {
    /// The pod's frame for the modelled node.
    FromPod(Vec<u8>),
    /// A frame on the veth pair.
    Captured(Captured),
    /// The wire, or the pair, is gone.
    Gone,
    /// A frame out of the real node's uplink.
    Uplink(Vec<u8>),
    /// The real node's netlink news.
    Netlink(netns_lab::Event),
}

/// What the node's netlink has told.
pub(super) enum NodeNews {
    /// Of the host end, which the actors hear.
    Link(LinkEvent),
    /// Of a neighbour entry.
    Entry(EntryNews),
    /// Of something that may change what the node answers.
    Turned,
    /// Nothing that matters here.
    Nothing,
}

/// What became of an order where things are real.
pub(super) enum Real {
    /// A kernel has done it.
    Done,
    /// A kernel has refused it.
    Refused(Refusal),
    /// Nothing real has such a thing; the model does it alone.
    Modelled,
    /// It is done outside of both, and the kernel will tell when it has noticed.
    Outside,
}

/// The pair of devices as the model sees it.
#[derive(Clone, Copy)]
pub(super) struct PairNow {
    /// It is there.
    pub(super) there: bool,
    /// The host end is up.
    pub(super) host_up: bool,
    /// Both ends are.
    pub(super) carries: bool,
}

/// What the node's kernel shows: its tables, its switches.
pub(super) type Shown = (Tables, Vec<(SysctlKey, i32)>);

macro_rules! each {
    ($self:expr, $n:ident => $model:expr, $k:ident => $kernel:expr) => {
        match $self {
            Node::Model($n) => $model,
            Node::Kernel($k) => $kernel,
        }
    };
}

impl Node {
    /// The node's state as the model has it.
    pub(super) fn state(&self) -> &HostState {
        each!(self, m => m.gateway.state(), k => &k.state)
    }

    /// A kernel answers.
    pub(super) fn is_kernel(&self) -> bool {
        matches!(self, Node::Kernel(_))
    }

    /// The node's namespace, where it is real.
    pub(super) fn space(&self) -> Option<&Space> {
        each!(self, _m => None, k => Some(&k.space))
    }

    /// A real pair's frames are watched from now on, at the pod's end.
    pub(super) fn watch(&mut self, pod: &Space, eth: IfName) -> Result<(), LinkFault> {
        each!(self, _m => Ok(()), k => {
            k.capture = Some(super::capture::Capture::open(&pod.netns, eth.as_str())?);
            Ok(())
        })
    }

    /// The same, to be changed.
    pub(super) fn model(&mut self) -> NodeModel<'_> {
        each!(self, m => NodeModel::Gateway(&mut m.gateway), k => NodeModel::State(&mut k.state))
    }

    /// What the modelled node has to say.
    pub(super) fn model_output(&mut self) -> Option<GatewayOutput> {
        each!(self, m => m.gateway.poll_output(), _k => None)
    }

    /// When its timers want to run.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        each!(self, m => m.gateway.poll_timeout(), k => k.uplink.poll_timeout())
    }

    /// Runs them.
    pub(super) async fn handle_timeout(&mut self, now: Time, by: &mut dyn Chooser) -> Result<(), LinkFault> {
        each!(self, m => m.gateway.handle_timeout(now, by), k => k.uplink.handle_timeout(now).await?);
        Ok(())
    }

    /// When a request is given up, once nothing else waits.
    pub(super) fn deadline(&self) -> Option<Time> {
        each!(self, _m => None, k => k.judge.deadline())
    }

    /// When the modelled node notices its carrier; a real one says so by netlink.
    pub(super) fn carrier_timeout(&self, veth: &Veth) -> Option<Time> {
        each!(self, _m => veth.poll_timeout(), _k => None)
    }

    /// The next thing to come. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> NodeEvent {
        each!(self, m => m.next().await, k => k.next().await)
    }

    /// What a real node has said until now, and nobody has taken in.
    pub(super) async fn said(&mut self) -> Option<NodeEvent> {
        let now = std::time::Duration::ZERO;
        each!(self, _m => None, k => tokio::time::timeout(now, k.next()).await.ok())
    }

    /// The wire, or the pair, is gone.
    pub(super) fn lost(&mut self) {
        each!(self, m => m.wire = None, k => k.capture = None);
    }

    /// A change where it is real.
    pub(super) async fn change(
        &mut self,
        pod: &mut Space,
        side: Side,
        change: &Mutation,
        s: &Setting,
    ) -> Result<Real, LiveError> {
        match each!(self, _m => ModelNode::change(side, change, s), k => k.change(side, change, s).await?) {
            Some(real) => Ok(real),
            None => pod.apply(change).await.map(Real::from),
        }
    }

    /// The pair, where it is real.
    pub(super) async fn create(&mut self, pod: &Space, born: Side, s: &Setting) -> Result<Real, LiveError> {
        each!(self, _m => Ok(Real::Modelled), k => k.create(pod, born, s).await)
    }

    /// The host end moves, where it is real.
    pub(super) async fn move_host_end(&mut self, pod: &Space, s: &Setting) -> Result<Real, LiveError> {
        each!(self, _m => Ok(Real::Modelled), k => k.move_host_end(pod, s.cali).await)
    }

    /// The pair goes; `eth` is what the pod's end is called by now.
    pub(super) async fn delete(&mut self, pod: &Space, eth: IfName) -> Result<Real, LiveError> {
        each!(self, m => m.delete(pod, eth).await, _k => KernelNode::delete(pod, eth).await)
    }

    /// Brings what is real up to what the model made of the pair. Says why there is no TAP, where one was wanted and could not be had.
    pub(super) async fn align(
        &mut self,
        pod: &Space,
        now: PairNow,
        s: &Setting,
    ) -> Result<Option<String>, LiveError> {
        each!(self, m => m.align(pod, now, s).await, k => {
            k.align(now, s.cali).await;
            Ok(None)
        })
    }

    /// What a listener on the node hears by the model's word; of a real node netlink tells.
    pub(super) fn heard(&self, news: SmallVec<[LinkEvent; 2]>) -> SmallVec<[LinkEvent; 2]> {
        each!(self, _m => news, _k => SmallVec::new())
    }

    /// A frame for the pod's end, on a wire that the lab holds: whether it got there.
    pub(super) async fn put(&self, frame: &[u8]) -> Result<bool, LinkFault> {
        match self {
            Node::Model(m) => match &m.wire {
                Some(wire) => wire.send(frame).await,
                None => Ok(false),
            },
            Node::Kernel(_) => Ok(false),
        }
    }

    /// A frame out of a real host end, as a program on the node sends it; `None` where the lab holds
    /// the wire.
    pub(super) fn send_by_hand(&self, frame: &[u8], cali: IfName) -> Option<Real> {
        each!(self, _m => None, k => Some(k.send_by_hand(frame, cali)))
    }

    /// A client of the modelled node starts; those of a real one have sockets of their own.
    pub(super) fn start_client(&mut self, now: Time, there: ClientId, by: &mut dyn Chooser) {
        each!(self, m => m.gateway.start_client(now, there, by), _k => ());
    }

    /// A client of the modelled node ends.
    pub(super) fn stop_client(&mut self, now: Time, there: ClientId, by: &mut dyn Chooser) {
        each!(self, m => m.gateway.stop_client(now, there, by), _k => ());
    }

    /// The modelled node's kernel gets a frame.
    pub(super) fn receive(&mut self, now: Time, dev: IfIndex, frame: &[u8], by: &mut dyn Chooser) {
        each!(self, m => m.gateway.receive(now, dev, frame, by), _k => ());
    }

    /// A frame out of the uplink.
    pub(super) async fn uplink(&mut self, now: Time, frame: &[u8]) -> Result<(), LinkFault> {
        each!(self, _m => Ok(()), k => k.uplink.receive(now, frame).await)
    }

    /// The node's netlink has told something.
    pub(super) fn netlink(&mut self, change: &netns_lab::Change, cali: IfName) -> NodeNews {
        each!(self, _m => NodeNews::Nothing, k => k.netlink(change, cali))
    }

    /// What the pod's netlink says of its end's carrier, for the model of a pod whose node is real.
    pub(super) fn pod_carrier(&self, change: &netns_lab::Change, eth: IfName) -> Option<Mutation> {
        each!(self, _m => None, _k => KernelNode::pod_carrier(change, eth))
    }

    /// A frame on the pair is looked at: the answer to a question may have come.
    pub(super) fn judge(&mut self, at: Time, id: FrameId, frame: &Captured, s: &Setting) -> Option<Judged> {
        each!(self, _m => None, k => k.judge_frame(at, id, frame, s))
    }

    /// Questions that have waited too long; all that are open, when the run is over.
    pub(super) fn judge_late(&mut self, now: Option<Time>) -> Vec<Judged> {
        each!(self, _m => Vec::new(), k => match now {
            Some(now) => k.judge.expire(now),
            None => k.judge.finish(),
        })
    }

    /// The node was changed between these two moments; requests from then on meet it as it is now.
    pub(super) fn turned(&mut self, begin: Time, end: Time, veth: &Veth) {
        each!(self, _m => (), k => k.turned(begin, end, veth));
    }

    /// The node may be changed from here on, until [`Node::settled`] is told so.
    pub(super) fn begun(&mut self, begin: Time) {
        each!(self, _m => (), k => k.judge.begun(begin));
    }

    /// What was begun then is over; says what of the frames seen meanwhile is judged now.
    pub(super) fn settled(&mut self, begin: Time) -> Vec<Judged> {
        each!(self, _m => Vec::new(), k => k.judge.over(begin))
    }

    /// An interface of the node went down.
    pub(super) fn purged(&mut self, at: Time) {
        each!(self, _m => (), k => k.judge.purged(at));
    }

    /// What its kernel has at the end; nothing of a model.
    pub(super) async fn shown(&self, cali: IfName) -> Option<Shown> {
        match self {
            Node::Model(_) => None,
            Node::Kernel(k) => Some((k.space.view().await?, k.sysctls(cali))),
        }
    }
}

impl From<Result<(), Refusal>> for Real {
    fn from(done: Result<(), Refusal>) -> Real {
        done.map_or_else(Real::Refused, |()| Real::Done)
    }
}

impl From<Result<(), netns_lab::RtnlError>> for Real {
    fn from(done: Result<(), netns_lab::RtnlError>) -> Real {
        let refused = |e: netns_lab::RtnlError| {
            Real::Refused(super::space::refusal(e.errno().map(netns_lab::Errno::raw), &e))
        };
        done.map_or_else(refused, |()| Real::Done)
    }
}
