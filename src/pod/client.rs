//! The clients behind one face, and what they may touch.

use super::arping::Arping;
use super::connect::Connect;
use super::event::{ClientEvent, ClientId};
use super::outcome::Outcome;
use super::ping::Ping;
use super::processes::{Queues, Wanted};
use super::spec::ClientSpec;
use super::stream::Stream;
use super::udp::Udp;
use crate::choice::Chooser;
use crate::host::IfIndex;
use crate::host::conf::Global;
use crate::neigh::{KTimer, KernelClock};
use crate::packet::{Frame, IpBytes, Owner, Packet};
use crate::stack::{SendError, Stack};
use crate::time::Time;
use crate::wire::{Arp, Ends, Payload};
use std::net::IpAddr;

/// What a client may touch while it works.
pub(super) struct ClientCx<'a> {
    pub(super) now: Time,
    pub(super) id: ClientId,
    pub(super) dev: IfIndex,
    pub(super) stack: &'a mut Stack,
    pub(super) queues: &'a mut Queues,
    pub(super) owners: &'a mut u32,
    pub(super) chooser: &'a mut dyn Chooser,
}

impl ClientCx<'_> {
    pub(super) fn clock(&self) -> KernelClock {
        *self.stack.clock()
    }

    /// Takes what the namespace wants done now, so that reports keep their place in the order.
    pub(super) fn flush(&mut self) {
        self.queues.take(self.stack);
    }

    pub(super) fn report(&mut self, event: ClientEvent) {
        self.flush();
        self.queues.out.push_back(Wanted::Client(self.id, event));
    }

    pub(super) fn send(&mut self, bytes: IpBytes, owner: Option<Owner>) -> Result<(), SendError> {
        self.stack.send(self.now, Packet { bytes, owner }, self.chooser)
    }

    /// The packet that is sent next vouches for its neighbour (sock_confirm_neigh).
    pub(super) fn confirm(&mut self, dst: IpAddr) {
        self.stack.confirm(self.now, dst);
    }

    pub(super) fn send_frame(&mut self, frame: Frame) {
        self.stack.send_frame(self.dev, frame);
    }

    /// A switch of the namespace that counts something.
    pub(super) fn count(&self, key: Global) -> u32 {
        u32::try_from(self.stack.state().global(key)).unwrap_or(0)
    }
}

/// When a client wants to be called.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Wake {
    pub(super) timer: KTimer,
    /// A timer of its socket, which the kernel runs; else the process itself wakes up.
    pub(super) kernel: bool,
    /// The process sleeps on the timer wheel, so that it may wake in one tick with the failing of
    /// a resolution, and will send.
    pub(super) races: bool,
}

impl Wake {
    pub(super) const fn kernel(timer: KTimer) -> Wake {
        Wake { timer, kernel: true, races: false }
    }

    /// A process that sleeps exactly (a high-resolution timer), or has nothing to wait for.
    pub(super) const fn process(at: Time) -> Wake {
        Wake { timer: KTimer::last(at), kernel: false, races: false }
    }

    /// A process that sleeps on the timer wheel (schedule_timeout).
    pub(super) const fn sleeper(at: Time) -> Wake {
        Wake { races: true, ..Wake::process(at) }
    }
}

/// What every client can do.
pub(super) trait Behaviour {
    fn outcome(&self) -> &Outcome;
    fn outcome_mut(&mut self) -> &mut Outcome;
    /// When it wants to be called.
    fn wake(&self) -> Option<Wake>;
    fn start(&mut self, cx: &mut ClientCx<'_>);
    fn wake_up(&mut self, cx: &mut ClientCx<'_>);
    /// Stops its timers.
    fn halt(&mut self);
    /// A packet for this namespace; true when it was this client's.
    fn packet(&mut self, _: &mut ClientCx<'_>, _: Ends, _: &Payload<'_>) -> bool {
        false
    }
    /// An ARP reply on the pod's device.
    fn arp(&mut self, _: &mut ClientCx<'_>, _: &Arp) {}
    /// It wants to hear of packets that leave the neighbour's queue.
    fn watches_queue(&self) -> bool {
        false
    }
    /// Packets may have left the neighbour's queue, or been thrown out of it.
    fn queue_moved(&mut self, _: &mut ClientCx<'_>) {}
    /// Makes the packet it would send on waking, without sending it.
    fn race(&mut self, _: &mut ClientCx<'_>) -> Option<Packet> {
        None
    }

    fn finish(&mut self, cx: &mut ClientCx<'_>) {
        self.halt();
        if self.outcome().ended.is_none() {
            self.outcome_mut().ended = Some(cx.now);
            cx.report(ClientEvent::Finished);
        }
    }
}

#[derive(Clone, Hash, Debug)]
enum Kind {
    Ping(Ping),
    Connect(Connect),
    Stream(Stream),
    Udp(Udp),
    Arping(Arping),
}

#[derive(Clone, Hash, Debug)]
pub(super) struct Client {
    spec: ClientSpec,
    kind: Kind,
}

impl Client {
    pub(super) fn new(spec: ClientSpec) -> Client {
        let kind = match &spec {
            ClientSpec::Ping(spec) => Kind::Ping(Ping::new(*spec)),
            ClientSpec::TcpConnect(spec) => Kind::Connect(Connect::new(*spec)),
            ClientSpec::TcpStream(spec) => Kind::Stream(Stream::new(*spec)),
            ClientSpec::Udp(spec) => Kind::Udp(Udp::new(*spec)),
            ClientSpec::Arping(spec) => Kind::Arping(Arping::new(*spec)),
        };
        Client { spec, kind }
    }

    pub(super) fn spec(&self) -> &ClientSpec {
        &self.spec
    }

    fn behaviour(&self) -> &dyn Behaviour {
        match &self.kind {
            Kind::Ping(c) => c,
            Kind::Connect(c) => c,
            Kind::Stream(c) => c,
            Kind::Udp(c) => c,
            Kind::Arping(c) => c,
        }
    }

    fn behaviour_mut(&mut self) -> &mut dyn Behaviour {
        match &mut self.kind {
            Kind::Ping(c) => c,
            Kind::Connect(c) => c,
            Kind::Stream(c) => c,
            Kind::Udp(c) => c,
            Kind::Arping(c) => c,
        }
    }

    pub(super) fn outcome(&self) -> &Outcome {
        self.behaviour().outcome()
    }

    pub(super) fn wake(&self) -> Option<Wake> {
        self.behaviour().wake()
    }

    pub(super) fn start(&mut self, cx: &mut ClientCx<'_>) {
        let client = self.behaviour_mut();
        client.outcome_mut().started = Some(cx.now);
        client.start(cx);
    }

    pub(super) fn stop(&mut self, cx: &mut ClientCx<'_>) {
        self.behaviour_mut().finish(cx);
    }

    pub(super) fn wake_up(&mut self, cx: &mut ClientCx<'_>) {
        self.behaviour_mut().wake_up(cx);
    }

    pub(super) fn watches_queue(&self) -> bool {
        self.behaviour().watches_queue()
    }

    pub(super) fn queue_moved(&mut self, cx: &mut ClientCx<'_>) {
        self.behaviour_mut().queue_moved(cx);
    }

    pub(super) fn race(&mut self, cx: &mut ClientCx<'_>) -> Option<Packet> {
        self.behaviour_mut().race(cx)
    }

    /// Hands a packet over, unless the client is not running.
    pub(super) fn packet(&mut self, cx: &mut ClientCx<'_>, ends: Ends, payload: &Payload<'_>) -> bool {
        let running = self.outcome().started.is_some() && self.outcome().ended.is_none();
        running && self.behaviour_mut().packet(cx, ends, payload)
    }

    pub(super) fn arp(&mut self, cx: &mut ClientCx<'_>, arp: &Arp) {
        if self.outcome().started.is_some() && self.outcome().ended.is_none() {
            self.behaviour_mut().arp(cx, arp);
        }
    }
}
