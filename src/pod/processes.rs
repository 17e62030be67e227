//! The processes of a namespace: its clients, and what comes in and goes out between them and the kernel.

use super::client::{Client, ClientCx};
use super::event::{ClientEvent, ClientId};
use super::outcome::Outcome;
use super::spec::ClientSpec;
use crate::choice::{ChoiceKind, Chooser};
use crate::host::IfIndex;
use crate::neigh::KTimer;
use crate::packet::{IpBytes, Owner, Packet};
use crate::stack::{Output, Stack};
use crate::time::Time;
use crate::wire::{self, Arp, Ends, Payload, Segment, SegmentFlag, Unreachable};
use smallvec::SmallVec;
use std::collections::VecDeque;

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

/// What a namespace with its processes wants done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// What its kernel wants. A packet that is delivered here is none of the clients'.
    Kernel(Output),
    /// Something a client did or saw.
    Client(ClientId, ClientEvent),
}

/// The clients that run in a namespace; whoever owns them owns its [`Stack`], too.
#[derive(Clone, Hash, Debug)]
pub struct Processes {
    /// The device that a client means which sends bare frames.
    dev: IfIndex,
    clients: SmallVec<[Client; 1]>,
    owners: u32,
    /// What the kernel says to a packet that no client waits for; without it that is handed on.
    ports: Option<Ports>,
    queues: Queues,
}

/// Ports of a namespace that somebody serves: TCP accepts and sends back what it gets, and so does UDP.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Ports {
    /// Of TCP.
    pub tcp: SmallVec<[u16; 1]>,
    /// Of UDP.
    pub udp: SmallVec<[u16; 1]>,
}

/// What waits to be taken from here or given to the clients. Both are empty between calls of
/// a driver that polls, so they never count for equality.
#[derive(Clone, Debug, Default)]
pub(super) struct Queues {
    pub(super) out: VecDeque<Wanted>,
    inbox: VecDeque<(IfIndex, IpBytes)>,
}

impl core::hash::Hash for Queues {
    fn hash<H: core::hash::Hasher>(&self, _: &mut H) {}
}

impl Processes {
    /// No process yet. What no client waits for is handed on.
    #[must_use]
    pub fn new(dev: IfIndex) -> Processes {
        Processes { dev, clients: SmallVec::new(), owners: 0, ports: None, queues: Queues::default() }
    }

    /// The kernel answers what no client waits for, and somebody serves these ports.
    pub(super) fn serve(&mut self, ports: Ports) {
        self.ports = Some(ports);
    }

    pub(super) fn dev(&self) -> IfIndex {
        self.dev
    }

    /// Ends every client and puts new ones of the same kind in their places.
    pub(super) fn reset(&mut self) {
        for client in &mut self.clients {
            *client = Client::new(client.spec().clone());
        }
    }

    /// Puts a new client of the same kind in the place of one that has ended, so that it can be
    /// started again.
    pub fn renew(&mut self, id: ClientId) {
        if let Some(client) = self.clients.get_mut(id.0 as usize) {
            *client = Client::new(client.spec().clone());
        }
    }

    /// Adds a client, which does nothing until it is started.
    pub fn add(&mut self, spec: ClientSpec) -> ClientId {
        self.clients.push(Client::new(spec));
        ClientId(self.clients.len() as u32 - 1)
    }

    pub(super) fn spec(&self, id: ClientId) -> &ClientSpec {
        self.clients[id.0 as usize].spec()
    }

    /// What a client has seen so far.
    ///
    /// # Panics
    /// When there is no such client.
    #[must_use]
    pub fn outcome(&self, id: ClientId) -> &Outcome {
        self.clients[id.0 as usize].outcome()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = ClientId> + use<> {
        (0..self.clients.len() as u32).map(ClientId)
    }

    /// True when every client that was started has ended.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.clients.iter().all(|c| c.outcome().started.is_none() || c.outcome().ended.is_some())
    }

    /// Starts a client; a second start does nothing.
    pub fn start(&mut self, now: Time, id: ClientId, stack: &mut Stack, chooser: &mut dyn Chooser) {
        if self.clients.get(id.0 as usize).is_some_and(|c| c.outcome().started.is_none()) {
            self.with_client(now, id, stack, chooser, Client::start);
            self.deliver(now, stack, chooser);
        }
    }

    /// Ends a client, as a signal would; what it has in flight is not answered any more.
    pub fn stop(&mut self, now: Time, id: ClientId, stack: &mut Stack, chooser: &mut dyn Chooser) {
        if self.clients.get(id.0 as usize).is_some_and(|c| c.outcome().ended.is_none()) {
            self.with_client(now, id, stack, chooser, Client::stop);
        }
    }

    /// An ARP reply on the device that bare frames go out of.
    pub(super) fn arp(&mut self, now: Time, arp: &Arp, stack: &mut Stack, chooser: &mut dyn Chooser) {
        for id in self.ids() {
            self.with_client(now, id, stack, chooser, |client, cx| client.arp(cx, arp));
        }
    }

    /// The next thing that is wanted.
    pub fn poll_wanted(&mut self) -> Option<Wanted> {
        self.queues.out.pop_front()
    }

    /// When the namespace wants [`Processes::handle_timeout`] to be called.
    #[must_use]
    pub fn poll_timeout(&self, stack: &Stack) -> Option<Time> {
        let client = self.clients.iter().filter_map(Client::wake).map(|w| w.timer.at).min();
        [stack.poll_timeout(), client].into_iter().flatten().min()
    }

    /// Runs what is due in the namespace, as the kernel does: first all timers of a tick, then the
    /// errors they caused are delivered, then processes wake up.
    pub fn handle_timeout(&mut self, now: Time, stack: &mut Stack, chooser: &mut dyn Chooser) {
        loop {
            self.settle_race(now, stack, chooser);
            while self.run_kernel_timer(now, stack, chooser) {}
            stack.run_other_timers(now, chooser);
            self.deliver(now, stack, chooser);
            let due = |c: &Client| c.wake().filter(|w| !w.kernel && w.timer.at <= now);
            let woken = self.clients.iter().enumerate().filter_map(|(at, c)| Some((due(c)?, at))).min();
            let Some((_, at)) = woken else { return };
            self.with_client(now, ClientId(at as u32), stack, chooser, Client::wake_up);
            self.deliver(now, stack, chooser);
        }
    }

    /// Runs the kernel timer that is due first: the neighbour table's or a socket's.
    fn run_kernel_timer(&mut self, now: Time, stack: &mut Stack, chooser: &mut dyn Chooser) -> bool {
        let due = |t: KTimer| (t.at <= now).then_some(t);
        let neighbour = stack.next_neighbour_timer().and_then(due);
        let sockets = self.clients.iter().enumerate().filter_map(|(at, c)| {
            let wake = c.wake().filter(|w| w.kernel)?;
            Some((due(wake.timer)?, at))
        });
        match (neighbour, sockets.min()) {
            (None, None) => return false,
            (Some(n), Some((s, at))) if s < n => self.run_socket_timer(now, at, stack, chooser),
            (None, Some((_, at))) => self.run_socket_timer(now, at, stack, chooser),
            (Some(_), _) => {
                stack.run_neighbour_timer(now, chooser);
                self.queues.take(stack);
            }
        }
        true
    }

    fn run_socket_timer(&mut self, now: Time, at: usize, stack: &mut Stack, chooser: &mut dyn Chooser) {
        self.with_client(now, ClientId(at as u32), stack, chooser, Client::wake_up);
    }

    /// A process that sleeps on the wheel may wake in the very tick in which a resolution fails,
    /// on another processor. Who is faster decides whether its packet dies with the queue, begins
    /// the next resolution, or takes the rest of the queue with it.
    fn settle_race(&mut self, now: Time, stack: &mut Stack, chooser: &mut dyn Chooser) {
        let waking = |c: &Client| c.wake().filter(|w| w.races && w.timer.at <= now).map(|w| w.timer.at);
        let rival = self.clients.iter().enumerate().find_map(|(at, c)| Some((at, waking(c)?)));
        let Some((at, when)) = rival else { return };
        let Some(failing) = stack.failing().filter(|f| f.at == when) else { return };
        let id = ClientId(at as u32);
        match chooser.weigh(ChoiceKind::CpuRace, &race_weights(failing.waiting)) {
            0 => {}
            1 => self.with_client(now, id, stack, chooser, Client::wake_up),
            raced_by => {
                let behind = raced_by as usize - 1;
                let mut raced = None;
                self.with_client(now, id, stack, chooser, |client, cx| raced = client.race(cx));
                if let Some(packet) = raced {
                    stack.run_neighbour_timer_amid(now, packet, behind, chooser);
                    self.queues.take(stack);
                }
            }
        }
    }

    fn with_client(
        &mut self,
        now: Time,
        id: ClientId,
        stack: &mut Stack,
        chooser: &mut dyn Chooser,
        work: impl FnOnce(&mut Client, &mut ClientCx<'_>),
    ) {
        let client = &mut self.clients[id.0 as usize];
        let (queues, owners, dev) = (&mut self.queues, &mut self.owners, self.dev);
        let mut cx = ClientCx { now, id, dev, stack, queues, owners, chooser };
        work(client, &mut cx);
        cx.flush();
    }

    /// Gives the packets that arrived for this namespace to whom they belong, and then lets the
    /// connections look after their segments that waited.
    pub fn deliver(&mut self, now: Time, stack: &mut Stack, chooser: &mut dyn Chooser) {
        self.hand_out(now, stack, chooser);
        for id in self.ids() {
            if self.clients[id.0 as usize].watches_queue() {
                self.with_client(now, id, stack, chooser, Client::queue_moved);
                self.hand_out(now, stack, chooser);
            }
        }
    }

    fn hand_out(&mut self, now: Time, stack: &mut Stack, chooser: &mut dyn Chooser) {
        loop {
            self.queues.take(stack);
            let Some((dev, packet)) = self.queues.inbox.pop_front() else { return };
            let Some((ends, payload)) = wire::parse(&packet) else {
                if self.ports.is_none() {
                    self.queues.out.push_back(Wanted::Kernel(Output::Deliver { dev, packet }));
                }
                continue;
            };
            let mut taken = false;
            for id in self.ids() {
                self.with_client(now, id, stack, chooser, |client, cx| {
                    taken |= client.packet(cx, ends, &payload);
                });
                if taken {
                    break;
                }
            }
            match &self.ports {
                _ if taken => {}
                Some(ports) => answer(now, ports, (ends, &payload, &packet), stack, chooser),
                None => self.queues.out.push_back(Wanted::Kernel(Output::Deliver { dev, packet })),
            }
        }
    }
}

/// What the kernel answers itself: echo requests, and packets for ports nobody has open; and what comes of
/// those that somebody has.
fn answer(
    now: Time,
    ports: &Ports,
    (ends, payload, packet): (Ends, &Payload<'_>, &[u8]),
    stack: &mut Stack,
    chooser: &mut dyn Chooser,
) {
    let back = ends.reversed();
    let bytes = match *payload {
        Payload::Echo { reply: false, ident, seq, data } => wire::echo(back, true, ident, seq, data),
        Payload::Tcp(ref s) if ports.tcp.contains(&s.dst_port) => match wire::answer_tcp(back, s, true) {
            Some(bytes) => bytes,
            None => return,
        },
        Payload::Tcp(s) if s.control != SegmentFlag::Rst => wire::tcp(back, &reset(&s)),
        Payload::Udp { src_port, dst_port, data } if ports.udp.contains(&dst_port) => {
            wire::udp(back, dst_port, src_port, data)
        }
        Payload::Udp { .. } => wire::unreachable(back, Unreachable::Port, packet),
        _ => return,
    };
    if let Err(error) = stack.send(now, Packet { bytes, owner: None }, chooser) {
        tracing::trace!(%error, "the answer has no way back");
    }
}

impl Queues {
    /// Takes over what the namespace wants done.
    pub(super) fn take(&mut self, stack: &mut Stack) {
        while let Some(output) = stack.poll_output() {
            match output {
                Output::Deliver { dev, packet } => self.inbox.push_back((dev, packet)),
                output => self.out.push_back(Wanted::Kernel(output)),
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

impl ClientCx<'_> {
    /// A name for a sender that wants to find its packet again.
    pub(super) fn next_owner(&mut self) -> Owner {
        *self.owners += 1;
        Owner(*self.owners)
    }
}
