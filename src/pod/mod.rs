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
mod processes;
mod rtt;
mod spec;
mod stream;
mod tcp;
mod udp;

use crate::choice::Chooser;
use crate::host::{HostState, IfIndex, Mutation, Refused};
use crate::neigh::KernelClock;
use crate::packet::{Frame, Packet};
use crate::stack::{Note, Output, SendError, Stack};
use crate::time::Time;
use crate::wire::{Arp, ETHERTYPE_ARP, EthFrame, OP_REPLY};
use std::sync::Arc;

pub use event::{ClientEvent, ClientId, ToolLine};
pub use outcome::{Attempt, Attempts, Failure, Fate, Outcome, SocketError};
pub use processes::{Ports, Processes, Wanted};
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

/// A pod: its namespace and its clients.
#[derive(Clone, Hash, Debug)]
pub struct Pod {
    stack: Stack,
    processes: Processes,
}

impl Pod {
    /// A pod whose namespace is in `state`, with `dev` as its way out.
    pub fn new(
        state: impl Into<Arc<HostState>>,
        dev: IfIndex,
        clock: KernelClock,
        chooser: &mut dyn Chooser,
    ) -> Pod {
        let mut processes = Processes::new(dev);
        processes.serve(Ports::default());
        Pod { stack: Stack::new(state, clock, chooser), processes }
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
        self.processes.reset();
    }

    /// Puts a new client of the same kind in the place of one that has ended, so that it can be
    /// started again.
    pub fn renew_client(&mut self, id: ClientId) {
        self.processes.renew(id);
    }

    /// Its way out.
    #[must_use]
    pub fn dev(&self) -> IfIndex {
        self.processes.dev()
    }

    /// The namespace filters the ICMP errors it sends itself (a netfilter rule in the pod).
    pub fn filter_icmp_errors(&mut self, on: bool) {
        self.stack.filter_icmp_errors(on);
    }

    /// Somebody in the pod serves these ports, in this container and in every later one.
    pub fn serve(&mut self, ports: Ports) {
        self.processes.serve(ports);
    }

    /// Adds a client, which does nothing until it is started.
    pub fn add_client(&mut self, spec: ClientSpec) -> ClientId {
        self.processes.add(spec)
    }

    /// The client's task.
    ///
    /// # Panics
    /// When the pod has no such client.
    #[must_use]
    pub fn spec(&self, id: ClientId) -> &ClientSpec {
        self.processes.spec(id)
    }

    /// What a client has seen so far.
    ///
    /// # Panics
    /// When the pod has no such client.
    #[must_use]
    pub fn outcome(&self, id: ClientId) -> &Outcome {
        self.processes.outcome(id)
    }

    /// Every client.
    pub fn clients(&self) -> impl Iterator<Item = ClientId> + use<> {
        self.processes.ids()
    }

    /// True when every client that was started has ended.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.processes.finished()
    }

    /// Starts a client; a second start does nothing.
    pub fn start_client(&mut self, now: Time, id: ClientId, chooser: &mut dyn Chooser) {
        self.processes.start(now, id, &mut self.stack, chooser);
    }

    /// Ends a client, as a signal would; what it has in flight is not answered any more.
    pub fn stop_client(&mut self, now: Time, id: ClientId, chooser: &mut dyn Chooser) {
        self.processes.stop(now, id, &mut self.stack, chooser);
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
            self.processes.arp(now, &arp, &mut self.stack, chooser);
        }
        self.stack.receive(now, self.dev(), frame, chooser);
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
        loop {
            match self.processes.poll_wanted()? {
                Wanted::Client(id, event) => return Some(PodOutput::Client(id, event)),
                Wanted::Kernel(Output::Note(note)) => return Some(PodOutput::Note(note)),
                Wanted::Kernel(Output::Transmit { dev, frame }) if dev == self.dev() => {
                    return Some(PodOutput::Transmit(frame));
                }
                Wanted::Kernel(_) => {}
            }
        }
    }

    /// When it wants [`Pod::handle_timeout`] to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        self.processes.poll_timeout(&self.stack)
    }

    /// Runs what is due, as the kernel does: first all timers of a tick, then the errors they
    /// caused are delivered, then processes wake up.
    pub fn handle_timeout(&mut self, now: Time, chooser: &mut dyn Chooser) {
        self.processes.handle_timeout(now, &mut self.stack, chooser);
    }

    fn deliver(&mut self, now: Time, chooser: &mut dyn Chooser) {
        self.processes.deliver(now, &mut self.stack, chooser);
    }
}

fn arp_reply(frame: &[u8]) -> Option<Arp> {
    let eth = EthFrame::parse(frame).ok().filter(|e| e.ethertype == ETHERTYPE_ARP)?;
    Arp::parse(eth.payload).ok().filter(|a| a.op == OP_REPLY)
}
