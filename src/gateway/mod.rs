//! The software gateway: stands in for the host's proxy ARP and plays the world behind it.
//!
//! # Theory of operation
//!
//! A frame from the pod first meets a [`Stack`]: the model of the node's namespace. There
//! [`decide`](crate::host::decide()) judges ARP, and IP takes the input route of a real node,
//! reverse path check and all. What the route sends out of the uplink comes to the outside world,
//! a smoltcp `Interface` on a [`phy::Device`](smoltcp::phy::Device) of IP packets that answers
//! echo requests, accepts TCP connections and echoes UDP at the addresses a scenario names. Its
//! answers go back through the stack, so a missing route to the pod loses them as it does in
//! life.
//!
//! Because the interface behind the stack speaks plain IP, smoltcp's own ARP is never asked and
//! cannot answer for anyone; its neighbour cache is not a model of Linux and is not used.
//!
//! The gateway is sans-IO; the simulator and the live lab drive the same object.

mod outside;
mod reflex;
mod responder;
pub mod router;

pub use outside::{Outside, OutsideSpec, SmoltcpOutside};
pub use reflex::{Endpoint, Reflex, ReflexOutside, Service};
pub use responder::{Answer, Responder};

use crate::addr::{IfName, Mac};
use crate::choice::Chooser;
use crate::host::{AddrType, HostState, IfIndex, Mutation, Reason, Refused};
use crate::neigh::KernelClock;
use crate::packet::{Frame, IpBytes, Packet};
use crate::pod::{ClientEvent, ClientId, ClientSpec, Outcome, Processes, Wanted};
use crate::stack::{DropWhy, Note, Output, Stack};
use crate::time::{Span, Time};
use crate::wire;
use router::{Beyond, beyond};
use std::collections::VecDeque;

/// What the gateway wants done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GatewayOutput {
    /// A frame leaves by an interface of the node.
    Transmit {
        /// The interface it leaves by.
        dev: IfIndex,
        /// The frame.
        frame: Frame,
    },
    /// Something to watch.
    Note(Note),
    /// Something a client that runs on the node did or saw.
    Client(ClientId, ClientEvent),
}

/// A node's namespace with the world behind its uplink.
#[derive(Clone, Debug)]
pub struct Gateway<O> {
    stack: Stack,
    /// The clients that run on the node; none on most.
    processes: Option<Box<Processes>>,
    uplink: IfIndex,
    outside: O,
    /// Time from a packet's leaving by the uplink to the answer's coming in.
    rtt: Span,
    returning: VecDeque<(Time, IpBytes)>,
    out: VecDeque<GatewayOutput>,
}

impl<O: core::hash::Hash> core::hash::Hash for Gateway<O> {
    fn hash<H: core::hash::Hasher>(&self, h: &mut H) {
        self.stack.hash(h);
        self.processes.hash(h);
        self.outside.hash(h);
        self.returning.hash(h);
    }
}

impl<O: Outside> Gateway<O> {
    /// A node in `state`, whose interface `uplink` leads to `outside`, `rtt` away.
    pub fn new(
        state: HostState,
        uplink: IfName,
        outside: O,
        rtt: Span,
        clock: KernelClock,
        chooser: &mut dyn Chooser,
    ) -> Gateway<O> {
        let mut stack = Stack::new(state, clock, chooser);
        // without such an interface nothing is ever sent to it
        let uplink = stack.state().link_named(uplink).map_or(IfIndex(0), crate::host::Link::index);
        stack.set_uplink(uplink);
        Gateway {
            stack,
            processes: None,
            uplink,
            outside,
            rtt,
            returning: VecDeque::new(),
            out: VecDeque::new(),
        }
    }

    /// The node's namespace.
    #[must_use]
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// The node's configuration.
    #[must_use]
    pub fn state(&self) -> &HostState {
        self.stack.state()
    }

    /// The world behind the uplink.
    #[must_use]
    pub fn outside(&self) -> &O {
        &self.outside
    }

    /// Changes the node's configuration.
    pub fn apply(&mut self, now: Time, change: &Mutation, chooser: &mut dyn Chooser) -> Result<(), Refused> {
        let done = self.stack.apply(now, change, chooser);
        self.settle(now, chooser);
        done
    }

    /// A frame arrived at an interface of the node.
    pub fn receive(&mut self, now: Time, dev: IfIndex, frame: &[u8], chooser: &mut dyn Chooser) {
        self.stack.receive(now, dev, frame, chooser);
        self.settle(now, chooser);
    }

    /// A frame never reached the node, and the link knows why.
    pub fn note_unheard(&mut self, dev: IfIndex, arp: Option<crate::wire::Arp>, reason: Reason) {
        self.stack.note_unheard(dev, arp, reason);
        self.collect();
    }

    /// Every delayed answer of the node is thrown away (pneigh_queue_purge).
    pub fn purge_delayed(&mut self) {
        self.stack.purge_all_delayed();
        self.collect();
    }

    /// Adds a client that runs on the node, which does nothing until it is started. Its sockets are the
    /// node's; what they do not wait for goes to the world, which stands in for the node's others.
    pub fn add_client(&mut self, spec: ClientSpec) -> ClientId {
        self.processes.get_or_insert_with(|| Box::new(Processes::new(IfIndex(0)))).add(spec)
    }

    /// Starts a client of the node; a second start does nothing.
    pub fn start_client(&mut self, now: Time, id: ClientId, chooser: &mut dyn Chooser) {
        if let Some(processes) = &mut self.processes {
            processes.start(now, id, &mut self.stack, chooser);
        }
        self.settle(now, chooser);
    }

    /// Ends a client of the node, as a signal would.
    pub fn stop_client(&mut self, now: Time, id: ClientId, chooser: &mut dyn Chooser) {
        if let Some(processes) = &mut self.processes {
            processes.stop(now, id, &mut self.stack, chooser);
        }
        self.settle(now, chooser);
    }

    /// Makes a client of the node that has ended ready to be started again.
    pub fn renew_client(&mut self, id: ClientId) {
        if let Some(processes) = &mut self.processes {
            processes.renew(id);
        }
    }

    /// What a client of the node has seen so far; `None` when the node has no clients.
    #[must_use]
    pub fn outcome(&self, id: ClientId) -> Option<&Outcome> {
        self.processes.as_ref().map(|p| p.outcome(id))
    }

    /// True when every client of the node that was started has ended.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.processes.as_ref().is_none_or(|p| p.finished())
    }

    /// When [`Gateway::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let back = self.returning.front().map(|r| r.0);
        [self.poll_kernel(), self.outside.poll_timeout(), back].into_iter().flatten().min()
    }

    fn poll_kernel(&self) -> Option<Time> {
        match &self.processes {
            None => self.stack.poll_timeout(),
            Some(processes) => processes.poll_timeout(&self.stack),
        }
    }

    /// Runs what is due.
    pub fn handle_timeout(&mut self, now: Time, chooser: &mut dyn Chooser) {
        if self.poll_kernel().is_some_and(|t| t <= now) {
            match &mut self.processes {
                None => self.stack.handle_timeout(now, chooser),
                Some(processes) => processes.handle_timeout(now, &mut self.stack, chooser),
            }
        }
        if self.outside.poll_timeout().is_some_and(|t| t <= now) {
            self.outside.handle_timeout(now);
        }
        self.settle(now, chooser);
    }

    /// The next thing it wants done.
    pub fn poll_output(&mut self) -> Option<GatewayOutput> {
        self.out.pop_front()
    }

    /// Passes packets between the stack and the world until both are still.
    fn settle(&mut self, now: Time, chooser: &mut dyn Chooser) {
        loop {
            self.collect_with(now, chooser);
            while let Some(packet) = self.outside.poll_packet() {
                if self.is_own(&packet) {
                    self.answer_locally(now, packet, chooser);
                } else {
                    self.returning.push_back((now + self.rtt, packet));
                }
            }
            match self.returning.front() {
                Some((due, _)) if *due <= now => {}
                _ => return,
            }
            if let Some((_, packet)) = self.returning.pop_front() {
                self.stack.receive_packet(now, self.uplink, packet, chooser);
            }
        }
    }

    /// The world stands in for the node's own sockets too: what it says in the name of an address
    /// of the node comes from the node, not from the uplink, where it would be a martian.
    fn is_own(&self, packet: &[u8]) -> bool {
        match wire::ip_parts(packet) {
            Some((wire::Ends::V4(src, _), ..)) => self.stack.state().addr_type(src) == AddrType::Local,
            Some((wire::Ends::V6(src, _), ..)) => self.stack.state().owns6(src),
            None => false,
        }
    }

    fn answer_locally(&mut self, now: Time, packet: IpBytes, chooser: &mut dyn Chooser) {
        if let Err(error) = self.stack.send(now, Packet { bytes: packet, owner: None }, chooser) {
            tracing::trace!(%error, "an answer of the node's own is lost");
        }
        self.collect_with(now, chooser);
    }

    fn collect_with(&mut self, now: Time, chooser: &mut dyn Chooser) {
        while let Some(wanted) = self.poll_wanted(now, chooser) {
            let output = match wanted {
                Wanted::Kernel(output) => output,
                Wanted::Client(id, event) => {
                    self.out.push_back(GatewayOutput::Client(id, event));
                    continue;
                }
            };
            match output {
                Output::Uplink { packet } => self.outside.handle_packet(now, &packet, false),
                Output::Deliver { packet, .. } => self.outside.handle_packet(now, &packet, true),
                Output::Transmit { dev, frame } if dev == self.uplink => self.beyond(now, &frame, chooser),
                Output::Transmit { dev, frame } => self.out.push_back(GatewayOutput::Transmit { dev, frame }),
                Output::Note(note) => self.out.push_back(GatewayOutput::Note(note)),
            }
        }
    }

    fn poll_wanted(&mut self, now: Time, chooser: &mut dyn Chooser) -> Option<Wanted> {
        match &mut self.processes {
            None => self.stack.poll_output().map(Wanted::Kernel),
            Some(processes) => {
                processes.deliver(now, &mut self.stack, chooser);
                processes.poll_wanted()
            }
        }
    }

    /// A frame left by the uplink: somebody is asked for there, or the node knows whom to send to.
    fn beyond(&mut self, now: Time, frame: &[u8], chooser: &mut dyn Chooser) {
        let node = self.stack.state().link(self.uplink).map_or(Mac::ZERO, crate::host::Link::mac);
        match beyond(frame, node) {
            Beyond::Answer(answer) => self.stack.receive(now, self.uplink, &answer, chooser),
            Beyond::Packet(packet) => self.outside.handle_packet(now, &packet, false),
            Beyond::Astray(packet) => {
                let lost = Note::Dropped { packet, why: DropWhy::OtherHost };
                self.out.push_back(GatewayOutput::Note(lost));
            }
            Beyond::Ignored => {}
        }
    }

    fn collect(&mut self) {
        while let Some(output) = self.stack.poll_output() {
            match output {
                Output::Transmit { dev, frame } if dev != self.uplink => {
                    self.out.push_back(GatewayOutput::Transmit { dev, frame });
                }
                Output::Note(note) => self.out.push_back(GatewayOutput::Note(note)),
                Output::Transmit { .. } | Output::Uplink { .. } | Output::Deliver { .. } => {}
            }
        }
    }
}
