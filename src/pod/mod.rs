//! The pod side as a pure model: the pod's namespace with Linux's neighbour machine, and the
//! clients that run in it and suffer.
//!
//! # Theory of operation
//!
//! What a client sees of a gateway that does not answer is decided in three places, and the
//! surprises come from their meeting in one tick of the kernel's clock:
//!
//! * The *neighbour entry* ([`crate::neigh`]) queues packets while it asks, for three requests,
//!   then fails all of them together. It has no memory: the next packet asks again at once.
//! * The *error path*: each packet that fails turns into an ICMP "host unreachable" from the pod
//!   to itself, through `lo`, rationed to about fifty in a burst. A TCP connection that is still
//!   dialling dies of it; an established one takes it as a hint to try again at once; a datagram
//!   socket does not hear of it; ping prints a line.
//! * The *senders' own timers*: SYN retransmissions, ping's sleep. They sit on the same wheel as
//!   the entry's timer, were armed in the same moment, and go off in the same tick, in an order
//!   that alternates (see [`crate::neigh::KTimer`]). Within a tick all timers run first, then the
//!   errors are delivered, then processes wake up; [`Pod::handle_timeout`] keeps that order.
//!
//! Packets wait in the entry's queue with the name of their sender on them, because TCP looks
//! there: it adds no second copy of a segment whose first copy has not left the host.
//!
//! The pod is sans-IO, like [`Stack`]: frames, changes and the time go in, frames and reports
//! come out of [`Pod::poll_output`].

mod arping;
mod client;
mod connect;
mod event;
mod lanes;
mod outcome;
mod ping;
mod rtt;
mod spec;
mod stream;
mod tcp;
mod udp;

use crate::choice::{ChoiceKind, Chooser};
use crate::host::{HostState, IfIndex, Mutation, Refused};
use crate::neigh::{KTimer, KernelClock};
use crate::packet::{Frame, IpBytes, Owner, Packet};
use crate::stack::{Note, Output, SendError, Stack};
use crate::time::Time;
use crate::wire::{
    self, Arp, ETHERTYPE_ARP, Ends, EthFrame, OP_REPLY, Payload, Segment, SegmentFlag, Unreachable,
};
use client::{Client, ClientCx};
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::sync::Arc;

pub use event::{ClientEvent, ClientId, ToolLine};
pub use outcome::{Attempt, Attempts, Failure, Fate, Outcome, SocketError};
pub use spec::{ArpingSpec, ClientSpec, ConnectSpec, PingSpec, StreamSpec, UdpSpec};

/// What the pod wants done or known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PodOutput {
    /// A frame leaves by the pod's device.
    Transmit(Frame),
    /// Something in the namespace to watch.
    Note(Note),
    /// Something a client did or saw.
    Client(ClientId, ClientEvent),
}

/// How often each of two processors that work on the same tick is the faster one, by kind: the
/// resolution fails first; the process sends first; the process sends in the middle of the
/// failing. Of some fifty failures under a ping the recordings show three and one of the latter.
const RACE_WEIGHTS: [u32; 3] = [45, 3, 1];
/// Into so many parts these weights are cut. One part each of the last goes to every error report
/// but the first behind which the process may be in time: in 1,880 failures that was the second or
/// third three times.
const RACE_PARTS: u32 = 24;
/// Error reports that are told apart.
const REPORTS_MAX: usize = 8;

/// The weights where so many packets wait: that the resolution fails first, that the process sends
/// first, and that it sends behind the first error report, the second, and so on.
fn race_weights(waiting: usize) -> SmallVec<[u32; 10]> {
    let reports = waiting.min(REPORTS_MAX);
    let mut weights: SmallVec<[u32; 10]> = RACE_WEIGHTS[..2].iter().map(|w| w * RACE_PARTS).collect();
    if let Some(later) = reports.checked_sub(1) {
        weights.push(RACE_WEIGHTS[2] * RACE_PARTS - later as u32);
        weights.extend(std::iter::repeat_n(1, later));
    }
    weights
}

/// A pod: its namespace and its clients.
#[derive(Clone, Hash, Debug)]
pub struct Pod {
    stack: Stack,
    dev: IfIndex,
    clients: SmallVec<[Client; 1]>,
    owners: u32,
    queues: Queues,
}

/// What waits to be taken from the pod or given to its clients. Both are empty between calls of
/// a driver that polls, so they never count for equality.
#[derive(Clone, Debug, Default)]
struct Queues {
    out: VecDeque<PodOutput>,
    inbox: VecDeque<IpBytes>,
}

impl core::hash::Hash for Queues {
    fn hash<H: core::hash::Hasher>(&self, _: &mut H) {}
}

impl Pod {
    /// A pod whose namespace is in `state`, with `dev` as its way out.
    pub fn new(
        state: impl Into<Arc<HostState>>,
        dev: IfIndex,
        clock: KernelClock,
        chooser: &mut dyn Chooser,
    ) -> Pod {
        Pod {
            stack: Stack::new(state, clock, chooser),
            dev,
            clients: SmallVec::new(),
            owners: 0,
            queues: Queues::default(),
        }
    }

    /// Its namespace.
    #[must_use]
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// Throws the namespace away and takes a new one in `state`; what its kernel knew is gone.
    pub fn reset_namespace(&mut self, state: HostState, chooser: &mut dyn Chooser) {
        let filtered = self.stack.filters_icmp_errors();
        self.stack = Stack::new(state, *self.stack.clock(), chooser);
        self.stack.filter_icmp_errors(filtered);
    }

    /// Ends every client and puts new ones of the same kind in their places.
    pub fn reset_clients(&mut self) {
        for client in &mut self.clients {
            *client = Client::new(client.spec().clone());
        }
    }

    /// Puts a new client of the same kind in the place of one that has ended, so that it can be
    /// started again.
    pub fn renew_client(&mut self, id: ClientId) {
        if let Some(client) = self.clients.get_mut(id.0 as usize) {
            *client = Client::new(client.spec().clone());
        }
    }

    /// Its way out.
    #[must_use]
    pub fn dev(&self) -> IfIndex {
        self.dev
    }

    /// The namespace filters the ICMP errors it sends itself (a netfilter rule in the pod).
    pub fn filter_icmp_errors(&mut self, on: bool) {
        self.stack.filter_icmp_errors(on);
    }

    /// Adds a client, which does nothing until it is started.
    pub fn add_client(&mut self, spec: ClientSpec) -> ClientId {
        self.clients.push(Client::new(spec));
        ClientId(self.clients.len() as u32 - 1)
    }

    /// The client's task.
    ///
    /// # Panics
    /// When the pod has no such client.
    #[must_use]
    pub fn spec(&self, id: ClientId) -> &ClientSpec {
        self.clients[id.0 as usize].spec()
    }

    /// What a client has seen so far.
    ///
    /// # Panics
    /// When the pod has no such client.
    #[must_use]
    pub fn outcome(&self, id: ClientId) -> &Outcome {
        self.clients[id.0 as usize].outcome()
    }

    /// Every client.
    pub fn clients(&self) -> impl Iterator<Item = ClientId> + use<> {
        (0..self.clients.len() as u32).map(ClientId)
    }

    /// True when every client that was started has ended.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.clients.iter().all(|c| c.outcome().started.is_none() || c.outcome().ended.is_some())
    }

    /// Starts a client; a second start does nothing.
    pub fn start_client(&mut self, now: Time, id: ClientId, chooser: &mut dyn Chooser) {
        if self.clients.get(id.0 as usize).is_some_and(|c| c.outcome().started.is_none()) {
            self.with_client(now, id, chooser, Client::start);
            self.deliver(now, chooser);
        }
    }

    /// Ends a client, as a signal would; what it has in flight is not answered any more.
    pub fn stop_client(&mut self, now: Time, id: ClientId, chooser: &mut dyn Chooser) {
        if self.clients.get(id.0 as usize).is_some_and(|c| c.outcome().ended.is_none()) {
            self.with_client(now, id, chooser, Client::stop);
        }
    }

    /// A packet leaves a socket that is none of the clients'.
    pub fn send(&mut self, now: Time, packet: Packet, chooser: &mut dyn Chooser) -> Result<(), SendError> {
        let done = self.stack.send(now, packet, chooser);
        self.deliver(now, chooser);
        done
    }

    /// A frame arrived at the pod's device.
    pub fn receive(&mut self, now: Time, frame: &[u8], chooser: &mut dyn Chooser) {
        if let Some(arp) = arp_reply(frame) {
            for id in self.clients() {
                self.with_client(now, id, chooser, |client, cx| client.arp(cx, &arp));
            }
        }
        self.stack.receive(now, self.dev, frame, chooser);
        self.deliver(now, chooser);
    }

    /// Changes the namespace's configuration.
    pub fn apply(&mut self, now: Time, change: &Mutation, chooser: &mut dyn Chooser) -> Result<(), Refused> {
        let done = self.stack.apply(now, change, chooser);
        self.deliver(now, chooser);
        done
    }

    /// The next thing it wants done.
    pub fn poll_output(&mut self) -> Option<PodOutput> {
        self.queues.out.pop_front()
    }

    /// When it wants [`Pod::handle_timeout`] to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let client = self.clients.iter().filter_map(Client::wake).map(|w| w.timer.at).min();
        [self.stack.poll_timeout(), client].into_iter().flatten().min()
    }

    /// Runs what is due, as the kernel does: first all timers of a tick, then the errors they
    /// caused are delivered, then processes wake up.
    pub fn handle_timeout(&mut self, now: Time, chooser: &mut dyn Chooser) {
        loop {
            self.settle_race(now, chooser);
            while self.run_kernel_timer(now, chooser) {}
            self.stack.run_other_timers(now, chooser);
            self.deliver(now, chooser);
            let due = |c: &Client| c.wake().filter(|w| !w.kernel && w.timer.at <= now);
            let woken = self.clients.iter().enumerate().filter_map(|(at, c)| Some((due(c)?, at))).min();
            let Some((_, at)) = woken else { return };
            self.with_client(now, ClientId(at as u32), chooser, Client::wake_up);
            self.deliver(now, chooser);
        }
    }

    /// Runs the kernel timer that is due first: the neighbour table's or a socket's.
    fn run_kernel_timer(&mut self, now: Time, chooser: &mut dyn Chooser) -> bool {
        let due = |t: KTimer| (t.at <= now).then_some(t);
        let neighbour = self.stack.next_neighbour_timer().and_then(due);
        let sockets = self.clients.iter().enumerate().filter_map(|(at, c)| {
            let wake = c.wake().filter(|w| w.kernel)?;
            Some((due(wake.timer)?, at))
        });
        match (neighbour, sockets.min()) {
            (None, None) => return false,
            (Some(n), Some((s, at))) if s < n => self.run_socket_timer(now, at, chooser),
            (None, Some((_, at))) => self.run_socket_timer(now, at, chooser),
            (Some(_), _) => {
                self.stack.run_neighbour_timer(now, chooser);
                self.queues.take(&mut self.stack, self.dev);
            }
        }
        true
    }

    fn run_socket_timer(&mut self, now: Time, at: usize, chooser: &mut dyn Chooser) {
        self.with_client(now, ClientId(at as u32), chooser, Client::wake_up);
    }

    /// A process that sleeps on the wheel may wake in the very tick in which a resolution fails,
    /// on another processor. Who is faster decides whether its packet dies with the queue, begins
    /// the next resolution, or takes the rest of the queue with it.
    fn settle_race(&mut self, now: Time, chooser: &mut dyn Chooser) {
        let waking = |c: &Client| c.wake().filter(|w| w.races && w.timer.at <= now).map(|w| w.timer.at);
        let rival = self.clients.iter().enumerate().find_map(|(at, c)| Some((at, waking(c)?)));
        let Some((at, when)) = rival else { return };
        let Some(failing) = self.stack.failing().filter(|f| f.at == when) else { return };
        let id = ClientId(at as u32);
        match chooser.weigh(ChoiceKind::CpuRace, &race_weights(failing.waiting)) {
            0 => {}
            1 => self.with_client(now, id, chooser, Client::wake_up),
            raced_by => {
                let behind = raced_by as usize - 1;
                let mut raced = None;
                self.with_client(now, id, chooser, |client, cx| raced = client.race(cx));
                if let Some(packet) = raced {
                    self.stack.run_neighbour_timer_amid(now, packet, behind, chooser);
                    self.queues.take(&mut self.stack, self.dev);
                }
            }
        }
    }

    fn with_client(
        &mut self,
        now: Time,
        id: ClientId,
        chooser: &mut dyn Chooser,
        work: impl FnOnce(&mut Client, &mut ClientCx<'_>),
    ) {
        let client = &mut self.clients[id.0 as usize];
        let (stack, queues, owners, dev) = (&mut self.stack, &mut self.queues, &mut self.owners, self.dev);
        let mut cx = ClientCx { now, id, dev, stack, queues, owners, chooser };
        work(client, &mut cx);
        cx.flush();
    }

    /// Gives the packets that arrived for this namespace to whom they belong, and then lets the
    /// connections look after their segments that waited.
    fn deliver(&mut self, now: Time, chooser: &mut dyn Chooser) {
        self.hand_out(now, chooser);
        for id in self.clients() {
            if self.clients[id.0 as usize].watches_queue() {
                self.with_client(now, id, chooser, Client::queue_moved);
                self.hand_out(now, chooser);
            }
        }
    }

    fn hand_out(&mut self, now: Time, chooser: &mut dyn Chooser) {
        loop {
            self.queues.take(&mut self.stack, self.dev);
            let Some(packet) = self.queues.inbox.pop_front() else { return };
            let Some((ends, payload)) = wire::parse(&packet) else { continue };
            let mut taken = false;
            for id in self.clients() {
                self.with_client(now, id, chooser, |client, cx| taken |= client.packet(cx, ends, &payload));
                if taken {
                    break;
                }
            }
            if !taken {
                self.answer(now, ends, &payload, &packet, chooser);
            }
        }
    }

    /// What the kernel answers itself: echo requests, and packets for ports nobody has open.
    fn answer(
        &mut self,
        now: Time,
        ends: Ends,
        payload: &Payload<'_>,
        packet: &[u8],
        chooser: &mut dyn Chooser,
    ) {
        let back = ends.reversed();
        let bytes = match *payload {
            Payload::Echo { reply: false, ident, seq, data } => wire::echo(back, true, ident, seq, data),
            Payload::Tcp(s) if s.control != SegmentFlag::Rst => wire::tcp(back, &reset(&s)),
            Payload::Udp { .. } => wire::unreachable(back, Unreachable::Port, packet),
            _ => return,
        };
        if let Err(error) = self.stack.send(now, Packet { bytes, owner: None }, chooser) {
            tracing::trace!(%error, "the pod's answer has no way back");
        }
    }
}

impl Queues {
    /// Takes over what the namespace wants done.
    fn take(&mut self, stack: &mut Stack, dev: IfIndex) {
        while let Some(output) = stack.poll_output() {
            match output {
                Output::Transmit { dev: by, frame } if by == dev => {
                    self.out.push_back(PodOutput::Transmit(frame));
                }
                Output::Deliver { packet, .. } => self.inbox.push_back(packet),
                Output::Note(note) => self.out.push_back(PodOutput::Note(note)),
                Output::Transmit { .. } | Output::Uplink { .. } => {}
            }
        }
    }
}

/// The reset of a segment that belongs to no connection (tcp_v4_send_reset).
fn reset(segment: &Segment<'_>) -> Segment<'static> {
    let length = segment.data.len() as u32 + u32::from(segment.control != SegmentFlag::None);
    Segment {
        src_port: segment.dst_port,
        dst_port: segment.src_port,
        control: SegmentFlag::Rst,
        seq: segment.ack.unwrap_or(0),
        ack: segment.ack.is_none().then(|| segment.seq.wrapping_add(length)),
        data: &[],
    }
}

fn arp_reply(frame: &[u8]) -> Option<Arp> {
    let eth = EthFrame::parse(frame).ok().filter(|e| e.ethertype == ETHERTYPE_ARP)?;
    Arp::parse(eth.payload).ok().filter(|a| a.op == OP_REPLY)
}

impl ClientCx<'_> {
    /// A name for a sender that wants to find its packet again.
    fn next_owner(&mut self) -> Owner {
        *self.owners += 1;
        Owner(*self.owners)
    }
}
