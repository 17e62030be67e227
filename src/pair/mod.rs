//! A pod and its node, joined by a veth: the one machine in which both stand.
//!
//! # Theory of operation
//!
//! A [`Pair`] holds the pod, the node with the outside world behind it, the veth between them and
//! what the link does to frames. It is sans-IO: changes go in by [`Pair::apply`] and its kin,
//! frames come out by [`Pair::poll_output`] and go over the wire by [`Pair::carry`], and
//! [`Pair::handle_timeout`] lets the first thing due happen. It knows no actors, no plan and no
//! trace; who owns it says what happens when and tells of it.
//!
//! Of the things due at one moment a frame's arrival goes first, then the pod's timers, then the
//! node's, then the kernel notices a change of the carrier.
//!
//! # The devices
//!
//! The pair of devices is made, moved and deleted in one place (`devices`). What it does there is
//! what rtnetlink does, and a real kernel in the place of the model must be led the same way:
//!
//! * [`Pair::create`] makes both ends or none.
//! * [`Pair::move_host_end`] is refused, with everything as it was, where the node has an
//!   interface of that name.
//! * A deletion goes by a name in one namespace, `ip link del NAME` there, whoever asks for it.
//!   Is that device an end of the pair, the other end goes along, wherever it is. Is it
//!   somebody else's, that one is deleted and the pair stays as it was. Is there none, it is
//!   ENODEV. So a plugin's ADD, which begins by deleting the host end's name in the node's
//!   namespace, takes a stranger's interface of that name; its DEL, which deletes `eth0` in the
//!   pod's namespace, never does.
//! * [`Pair::end_pod`] ends the pod's namespace: its end of the pair goes with it, and so the
//!   other. What else has the host end's name stays.

mod bench;
pub mod crowd;
pub mod delay;
mod devices;
mod fault;
pub mod lab;
mod link;
mod veth;

pub use crate::addr::VethEnds;
pub use bench::{Bench, Input, Watch};
#[cfg(any(feature = "cli", feature = "testing"))]
pub(crate) use devices::veth_end;
pub(crate) use devices::{Between, Devices, LinkNews};
pub use fault::{FaultAction, FaultMatch, FaultRule, FrameKind};
pub use link::{InFlight, LATENCY};
pub(crate) use veth::Veth;

use crate::addr::{IfName, Mac, Side};
use crate::choice::Chooser;
use crate::gateway::{Gateway, GatewayOutput, Outside};
use crate::host::{HostState, IfIndex, LinkEvent, Mutation, Reason, Refused};
use crate::neigh::KernelClock;
use crate::packet::{Frame, FrameId, Packet};
use crate::pod::{ClientEvent, ClientId, ClientSpec, Outcome, Pod, PodOutput, Ports};
use crate::stack::{Note, SendError};
use crate::time::{Span, Time};
use link::Cable;
use smallvec::SmallVec;

/// The number of `eth0` in the pod: the first device after `lo`.
pub const POD_DEV: IfIndex = IfIndex(2);

/// What joins the two namespaces.
#[derive(Clone, Debug)]
pub struct Wire {
    /// The names of the two ends, and the MAC that the pod's end is born with.
    pub ends: VethEnds,
    /// How long a frame takes, faults aside: [`LATENCY`], or no time at all.
    pub latency: Span,
    /// The pod's end has no peer that its kernel knows, as a TAP: its carrier is noticed as that of
    /// a pair whose ends have the same number.
    pub plain: bool,
    /// An interface that goes down in any namespace throws the node's delayed answers away (before
    /// Linux 6.0, commit 66ba215cb513).
    pub purged_by_all: bool,
    /// What the link does to frames.
    pub faults: Vec<FaultRule>,
}

/// What a pair is made of.
#[derive(Clone, Debug)]
pub struct PairSpec {
    /// What joins the two.
    pub wire: Wire,
    /// The node's namespace at the start.
    pub node: HostState,
    /// A new namespace of the pod.
    pub pod: HostState,
    /// The node's interface to the world.
    pub uplink: IfName,
    /// From a packet's leaving by the uplink to the answer's coming in.
    pub rtt: Span,
    /// The kernel's clock, the same for both namespaces.
    pub clock: KernelClock,
    /// The pod filters the errors its kernel sends to it.
    pub icmp_errors_filtered: bool,
}

/// What a pair wants done, or has to tell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PairOutput {
    /// A frame leaves an end; [`Pair::carry`] puts it on the wire.
    Transmit {
        /// Whose end.
        from: Side,
        /// The frame.
        frame: Frame,
    },
    /// Something in that namespace to watch.
    Note(Side, Note),
    /// Something a client did or saw.
    Client(ClientId, ClientEvent),
}

/// What becomes of a frame that is put on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Passage {
    /// It will arrive, perhaps late, twice or damaged.
    Arrives,
    /// The wire carries nothing, and why.
    NoCarrier(Reason),
    /// It is lost to a fault of the link.
    Lost,
}

/// What was due.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Due {
    /// A frame arrives; [`Pair::receive`] gives it to whom it is for.
    Frame(InFlight),
    /// Timers of one of the namespaces have run.
    Timers,
    /// The kernels notice the carrier: these changes are to be applied, in this order.
    Carrier(SmallVec<[(Side, Mutation); 2]>),
}

/// A pod and its node, joined by a veth.
#[derive(Clone, Debug)]
pub struct Pair<O> {
    gateway: Gateway<O>,
    pod: Pod,
    veth: Veth,
    link: Cable,
    news: LinkNews,
    /// Frames that are sent from the host end by hand.
    by_hand: Vec<Frame>,
    frames: u32,
    purged_by_all: bool,
    /// Where each client runs, and which of those there it is.
    clients: SmallVec<[(Side, ClientId); 2]>,
}

impl<O: core::hash::Hash> core::hash::Hash for Pair<O> {
    fn hash<H: core::hash::Hasher>(&self, h: &mut H) {
        self.gateway.hash(h);
        self.pod.hash(h);
        self.veth.hash(h);
        self.link.hash(h);
    }
}

impl<O: Outside> Pair<O> {
    /// The two namespaces, with no veth between them yet.
    pub fn new(spec: PairSpec, outside: O, chooser: &mut dyn Chooser) -> Pair<O> {
        let gateway = Gateway::new(spec.node, spec.uplink, outside, spec.rtt, spec.clock, chooser);
        let mut pod = Pod::new(spec.pod, POD_DEV, spec.clock, chooser);
        pod.filter_icmp_errors(spec.icmp_errors_filtered);
        Pair::of(gateway, pod, spec.wire)
    }

    /// The two of them, with no veth between them yet.
    #[must_use]
    pub fn of(gateway: Gateway<O>, pod: Pod, wire: Wire) -> Pair<O> {
        Pair {
            gateway,
            pod,
            veth: Veth::new(wire.ends, wire.plain),
            link: Cable::new(wire.latency, wire.faults),
            news: SmallVec::new(),
            by_hand: Vec::new(),
            frames: 0,
            purged_by_all: wire.purged_by_all,
            clients: SmallVec::new(),
        }
    }

    /// Takes the two interfaces of the ends' names, which are there already, for the pair. Their
    /// carrier is as the states say.
    pub fn adopt(&mut self) {
        self.veth.adopt(self.gateway.state(), self.pod.stack().state());
    }

    /// The configuration of a namespace.
    #[must_use]
    pub fn state(&self, side: Side) -> &HostState {
        match side {
            Side::Host => self.gateway.state(),
            Side::Pod => self.pod.stack().state(),
        }
    }

    /// The pod.
    #[must_use]
    pub fn pod(&self) -> &Pod {
        &self.pod
    }

    /// The node.
    #[must_use]
    pub fn gateway(&self) -> &Gateway<O> {
        &self.gateway
    }

    /// True when frames pass: both ends are up.
    #[must_use]
    pub fn carries(&self) -> bool {
        self.veth.carries()
    }

    /// The number of the host end, if it is in the node's namespace.
    #[must_use]
    pub fn host_index(&self) -> Option<IfIndex> {
        self.veth.host_index(self.gateway.state())
    }

    /// The MAC of the node's interface of the host end's name.
    #[must_use]
    pub fn host_mac(&self) -> Option<Mac> {
        Some(self.gateway.state().link_named(self.veth.ends().cali)?.mac())
    }

    /// Makes a change in one namespace, with what the wire and the other namespace notice of it.
    /// A deletion of one end of the pair deletes both.
    pub fn apply(
        &mut self,
        now: Time,
        side: Side,
        change: &Mutation,
        chooser: &mut dyn Chooser,
    ) -> Result<(), Refused> {
        Devices::apply(self, now, side, change, chooser)
    }

    /// The next thing that a listener on the node hears of interfaces of the host end's name.
    pub fn poll_link_event(&mut self) -> Option<LinkEvent> {
        if self.news.is_empty() { None } else { Some(self.news.remove(0)) }
    }

    /// An interface of another namespace than the node's went down. That matters to the node only
    /// before Linux 6.0.
    pub fn down_elsewhere(&mut self) {
        if self.purged_by_all {
            self.gateway.purge_delayed();
        }
    }

    /// A frame is sent from the host end by hand, when everything else has been said.
    pub fn send_by_hand(&mut self, frame: Frame) {
        self.by_hand.push(frame);
    }

    /// The next thing to do or to tell: the pod's, then the node's, then what is sent by hand.
    pub fn poll_output(&mut self) -> Option<PairOutput> {
        if let Some(output) = self.pod.poll_output() {
            return Some(match output {
                PodOutput::Transmit(frame) => PairOutput::Transmit { from: Side::Pod, frame },
                PodOutput::Note(note) => PairOutput::Note(Side::Pod, note),
                PodOutput::Client(id, event) => PairOutput::Client(self.client_of(Side::Pod, id), event),
            });
        }
        while let Some(output) = self.gateway.poll_output() {
            match output {
                GatewayOutput::Note(note) => return Some(PairOutput::Note(Side::Host, note)),
                GatewayOutput::Client(id, event) => {
                    return Some(PairOutput::Client(self.client_of(Side::Host, id), event));
                }
                GatewayOutput::Transmit { dev, frame } if self.host_index() == Some(dev) => {
                    return Some(PairOutput::Transmit { from: Side::Host, frame });
                }
                // it leaves by another interface of the node
                GatewayOutput::Transmit { .. } => {}
            }
        }
        self.by_hand.pop().map(|frame| PairOutput::Transmit { from: Side::Host, frame })
    }

    /// Puts a frame on the wire, and says what becomes of it.
    pub fn carry(
        &mut self,
        now: Time,
        from: Side,
        frame: &Frame,
        chooser: &mut dyn Chooser,
    ) -> (FrameId, Passage) {
        self.frames += 1;
        let id = FrameId(self.frames);
        let passage = if !self.veth.carries() {
            Passage::NoCarrier(no_carrier(self.gateway.state(), self.veth.ends().cali))
        } else if self.link.send(now, from, id, frame, chooser) {
            Passage::Arrives
        } else {
            Passage::Lost
        };
        (id, passage)
    }

    /// A frame arrives at one end.
    pub fn receive(&mut self, now: Time, side: Side, frame: &[u8], chooser: &mut dyn Chooser) {
        match (side, self.host_index()) {
            (Side::Pod, _) => self.pod.receive(now, frame, chooser),
            (Side::Host, Some(dev)) => self.gateway.receive(now, dev, frame, chooser),
            (Side::Host, None) => self.gateway.note_unheard(IfIndex(0), None, Reason::NoInterface),
        }
    }

    /// When [`Pair::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        [self.poll_wire(), self.poll_pod()].into_iter().flatten().min()
    }

    /// When something is due that is on its way between the two kernels, or within the node.
    #[must_use]
    pub fn poll_wire(&self) -> Option<Time> {
        let due = [self.link.poll_timeout(), self.gateway.poll_timeout(), self.veth.poll_timeout()];
        due.into_iter().flatten().min()
    }

    /// When a timer of the pod is due.
    #[must_use]
    pub fn poll_pod(&self) -> Option<Time> {
        self.pod.poll_timeout()
    }

    /// Lets the first thing due happen; `None` when nothing is.
    pub fn handle_timeout(&mut self, now: Time, chooser: &mut dyn Chooser) -> Option<Due> {
        if let Some(flight) = self.link.take_due(now) {
            return Some(Due::Frame(flight));
        }
        if self.pod.poll_timeout().is_some_and(|t| t <= now) {
            self.pod.handle_timeout(now, chooser);
            return Some(Due::Timers);
        }
        if self.gateway.poll_timeout().is_some_and(|t| t <= now) {
            self.gateway.handle_timeout(now, chooser);
            return Some(Due::Timers);
        }
        let changes = self.veth.take_notice(now, self.gateway.state(), self.pod.stack().state());
        changes.map(Due::Carrier)
    }

    /// Adds a client to the pod, which does nothing until it is started.
    pub fn add_client(&mut self, spec: ClientSpec) -> ClientId {
        self.add_client_at(Side::Pod, spec)
    }

    /// Adds a client that runs on either side.
    pub fn add_client_at(&mut self, side: Side, spec: ClientSpec) -> ClientId {
        let there = match side {
            Side::Pod => self.pod.add_client(spec),
            Side::Host => self.gateway.add_client(spec),
        };
        self.clients.push((side, there));
        ClientId(self.clients.len() as u32 - 1)
    }

    /// Somebody in the pod serves these ports.
    pub fn serve(&mut self, ports: Ports) {
        self.pod.serve(ports);
    }

    fn client_at(&self, id: ClientId) -> Option<(Side, ClientId)> {
        self.clients.get(id.0 as usize).copied()
    }

    /// The pair's number of a client that a side has.
    fn client_of(&self, side: Side, there: ClientId) -> ClientId {
        let at = self.clients.iter().position(|c| *c == (side, there));
        at.map_or(there, |at| ClientId(at as u32))
    }

    /// Starts a client; a second start does nothing.
    pub fn start_client(&mut self, now: Time, id: ClientId, chooser: &mut dyn Chooser) {
        match self.client_at(id) {
            Some((Side::Pod, id)) => self.pod.start_client(now, id, chooser),
            Some((Side::Host, id)) => self.gateway.start_client(now, id, chooser),
            None => {}
        }
    }

    /// Ends a client, as a signal would.
    pub fn stop_client(&mut self, now: Time, id: ClientId, chooser: &mut dyn Chooser) {
        match self.client_at(id) {
            Some((Side::Pod, id)) => self.pod.stop_client(now, id, chooser),
            Some((Side::Host, id)) => self.gateway.stop_client(now, id, chooser),
            None => {}
        }
    }

    /// Makes a client that has ended ready to be started again.
    pub fn renew_client(&mut self, id: ClientId) {
        match self.client_at(id) {
            Some((Side::Pod, id)) => self.pod.renew_client(id),
            Some((Side::Host, id)) => self.gateway.renew_client(id),
            None => {}
        }
    }

    /// True when every client that was started has ended.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.pod.finished() && self.gateway.finished()
    }

    /// The pod filters the ICMP errors that its kernel sends to it, or not any more.
    pub fn filter_icmp_errors(&mut self, on: bool) {
        self.pod.filter_icmp_errors(on);
    }

    /// A packet leaves a socket of the pod that is none of the clients'.
    pub fn send_from_pod(
        &mut self,
        now: Time,
        packet: Packet,
        chooser: &mut dyn Chooser,
    ) -> Result<(), SendError> {
        self.pod.send(now, packet, chooser)
    }

    /// What a client has seen so far.
    ///
    /// # Panics
    /// When there is no such client.
    #[must_use]
    pub fn outcome(&self, id: ClientId) -> &Outcome {
        let (side, there) = self.clients[id.0 as usize];
        let of_node = if side == Side::Host { self.gateway.outcome(there) } else { None };
        of_node.unwrap_or_else(|| self.pod.outcome(there))
    }
}

impl<O: Outside> Devices for Pair<O> {
    fn state(&self, side: Side) -> &HostState {
        Pair::state(self, side)
    }

    fn veth(&self) -> &Veth {
        &self.veth
    }

    fn between(&mut self) -> Between<'_> {
        let (host, pod) = (self.gateway.state(), self.pod.stack().state());
        Between { host, pod, veth: &mut self.veth, news: &mut self.news }
    }

    fn set(&mut self, now: Time, side: Side, m: &Mutation, by: &mut dyn Chooser) -> Result<(), Refused> {
        match side {
            Side::Host => self.gateway.apply(now, m, by)?,
            Side::Pod => self.pod.apply(now, m, by)?,
        }
        if side == Side::Pod && m.takes_down() {
            self.down_elsewhere();
        }
        Ok(())
    }
}

/// Why a wire without carrier has none, as the node sees it.
pub(crate) fn no_carrier(node: &HostState, cali: IfName) -> Reason {
    match node.link_named(cali) {
        None => Reason::NoInterface,
        Some(l) if !l.is_up() => Reason::LinkDown,
        Some(_) => Reason::NoCarrier,
    }
}
