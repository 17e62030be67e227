//! A pod and its host joined by a veth, with the world behind the host: the smallest thing in
//! which a scenario can run. Virtual time jumps from event to event.
//!
//! Frames cross the link in no time, but never overtake the kernel: all that is due at a moment
//! on both sides happens before the frames it caused arrive. Four hundred SYNs that leave in one
//! tick are queued before the answer to the first one's request is seen, as on a real machine.

use super::reflex::Reflex;
use crate::choice::{ChoiceKind, Chooser};
use crate::host::{IfIndex, Link, LinkChange, Mutation, Refused};
use crate::packet::{Frame, Packet};
use crate::pod::{ClientEvent, ClientId, Pod, PodOutput};
use crate::stack::{Note, Output, Stack};
use crate::time::{Span, Time};
use crate::wire::{Arp, ETHERTYPE_ARP, EthFrame, OP_REQUEST};
use core::ops::ControlFlow;
use smallvec::SmallVec;
use std::collections::VecDeque;

/// A lost carrier is noticed within this time: carrier events are handled at most once a second
/// (linkwatch). In milliseconds.
const CARRIER_NOTICE_MS: u64 = 1000;

/// A change from outside.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Act {
    /// The host is changed.
    Host(Mutation),
    /// The pod is changed.
    Pod(Mutation),
    /// A frame reaches the pod.
    Frame(Frame),
    /// A client starts.
    Start(ClientId),
    /// A client is stopped.
    Stop(ClientId),
    /// The pod's own ICMP errors are filtered, or not any more.
    FilterIcmp(bool),
}

/// One of the two ends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Side {
    /// The pod.
    Pod,
    /// The host.
    Host,
}

/// What can be watched.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Seen<'a> {
    /// A frame left that end of the link.
    Frame(Side, &'a [u8]),
    /// A note of that side.
    Note(Side, &'a Note),
    /// A client's report.
    Client(ClientId, ClientEvent),
    /// A packet reached the world behind the host.
    Served(&'a [u8]),
}

/// A watcher; it may end the run.
pub type Watch<'a> = dyn FnMut(Time, Seen<'_>) -> ControlFlow<()> + 'a;

/// A pod, its host and the world.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The pod.
    pub pod: Pod,
    /// The host.
    pub host: Stack,
    end: IfIndex,
    uplink: IfIndex,
    world: Reflex,
    now: Time,
    acts: VecDeque<(Time, Act)>,
    late_answers: Option<Span>,
}

impl Pair {
    /// Joins a pod to the interface `end` of a host whose way to `world` is `uplink`.
    #[must_use]
    pub fn new(pod: Pod, mut host: Stack, end: IfIndex, uplink: IfIndex, world: Reflex) -> Pair {
        host.set_uplink(uplink);
        Pair { pod, host, end, uplink, world, now: Time::ZERO, acts: VecDeque::new(), late_answers: None }
    }

    /// Besides the host somebody answers every ARP request of the pod, so much later, with the
    /// MAC of the host's end.
    pub fn answer_late(&mut self, after: Option<Span>) {
        self.late_answers = after;
    }

    /// The time it is.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
    }

    /// Has something happen at a time; of two at one time the first that was asked for goes first.
    pub fn at(&mut self, time: Time, act: Act) {
        let place = self.acts.partition_point(|(t, _)| *t <= time);
        self.acts.insert(place, (time, act));
    }

    /// When something happens next.
    #[must_use]
    pub fn next_event(&self) -> Option<Time> {
        let act = self.acts.front().map(|(t, _)| *t);
        [act, self.pod.poll_timeout(), self.host.poll_timeout()].into_iter().flatten().min()
    }

    /// Runs to that time. False when the watcher ended the run before.
    pub fn run(&mut self, until: Time, chooser: &mut dyn Chooser, watch: &mut Watch<'_>) -> bool {
        while let Some(at) = self.next_event().filter(|t| *t <= until) {
            if self.step(at, chooser, watch).is_break() {
                return false;
            }
        }
        self.now = self.now.max(until);
        true
    }

    /// Runs until every client that was started has ended, and every act was performed.
    pub fn run_clients(&mut self, until: Time, chooser: &mut dyn Chooser, watch: &mut Watch<'_>) -> bool {
        while !(self.acts.is_empty() && self.pod.finished()) {
            let Some(at) = self.next_event().filter(|t| *t <= until) else { break };
            if self.step(at, chooser, watch).is_break() {
                return false;
            }
        }
        true
    }

    fn step(&mut self, at: Time, chooser: &mut dyn Chooser, watch: &mut Watch<'_>) -> ControlFlow<()> {
        self.now = self.now.max(at);
        while self.acts.front().is_some_and(|(t, _)| *t <= self.now) {
            if let Some((_, act)) = self.acts.pop_front() {
                self.perform(act, chooser, watch)?;
            }
        }
        self.pod.handle_timeout(self.now, chooser);
        self.host.handle_timeout(self.now, chooser);
        self.exchange(chooser, watch)
    }

    fn perform(&mut self, act: Act, chooser: &mut dyn Chooser, watch: &mut Watch<'_>) -> ControlFlow<()> {
        let now = self.now;
        let refused = |e: Refused| tracing::warn!(error = %e, "a change is refused");
        match act {
            Act::Host(change) => {
                let was_up = self.is_up(Side::Host);
                self.host.apply(now, &change, chooser).unwrap_or_else(refused);
                self.tell_carrier(was_up, chooser);
            }
            Act::Pod(change) => self.pod.apply(now, &change, chooser).unwrap_or_else(refused),
            Act::Frame(frame) => {
                watch(now, Seen::Frame(Side::Host, &frame))?;
                self.pod.receive(now, &frame, chooser);
            }
            Act::Start(id) => self.pod.start_client(now, id, chooser),
            Act::Stop(id) => self.pod.stop_client(now, id, chooser),
            Act::FilterIcmp(on) => self.pod.filter_icmp_errors(on),
        }
        ControlFlow::Continue(())
    }

    fn is_up(&self, side: Side) -> bool {
        match side {
            Side::Host => self.host.state().link(self.end).is_some_and(Link::is_up),
            Side::Pod => self.pod.stack().state().link(self.pod.dev()).is_some_and(Link::is_up),
        }
    }

    /// The pod's carrier follows the host's end: up at once, down when it is noticed.
    fn tell_carrier(&mut self, was_up: bool, chooser: &mut dyn Chooser) {
        let up = self.is_up(Side::Host);
        if up == was_up {
            return;
        }
        let notice = if up { 0 } else { chooser.choose(ChoiceKind::CarrierNotice, CARRIER_NOTICE_MS + 1) };
        let dev = self.pod.stack().state().name_of(self.pod.dev());
        let change = Mutation::LinkSet { dev, change: LinkChange::Carrier(up) };
        // an event that was not noticed when the next one comes never is
        self.acts.retain(|(_, act)| {
            !matches!(act, Act::Pod(Mutation::LinkSet { change: LinkChange::Carrier(_), .. }))
        });
        self.at(self.now + Span::from_ms(notice), Act::Pod(change));
    }

    /// Carries frames to and fro until nobody has anything more to say.
    fn exchange(&mut self, chooser: &mut dyn Chooser, watch: &mut Watch<'_>) -> ControlFlow<()> {
        loop {
            let mut quiet = true;
            while let Some(output) = self.pod.poll_output() {
                quiet = false;
                self.take_from_pod(output, chooser, watch)?;
            }
            while let Some(output) = self.host.poll_output() {
                quiet = false;
                self.take_from_host(output, chooser, watch)?;
            }
            if quiet {
                return ControlFlow::Continue(());
            }
        }
    }

    fn take_from_pod(
        &mut self,
        output: PodOutput,
        chooser: &mut dyn Chooser,
        watch: &mut Watch<'_>,
    ) -> ControlFlow<()> {
        let now = self.now;
        match output {
            PodOutput::Transmit(frame) => {
                watch(now, Seen::Frame(Side::Pod, &frame))?;
                self.schedule_late_answer(&frame);
                if self.is_up(Side::Host) {
                    self.host.receive(now, self.end, &frame, chooser);
                }
                ControlFlow::Continue(())
            }
            PodOutput::Note(note) => watch(now, Seen::Note(Side::Pod, &note)),
            PodOutput::Client(id, event) => watch(now, Seen::Client(id, event)),
        }
    }

    fn take_from_host(
        &mut self,
        output: Output,
        chooser: &mut dyn Chooser,
        watch: &mut Watch<'_>,
    ) -> ControlFlow<()> {
        let now = self.now;
        match output {
            Output::Transmit { dev, frame } if dev == self.end => {
                watch(now, Seen::Frame(Side::Host, &frame))?;
                if self.is_up(Side::Pod) {
                    self.pod.receive(now, &frame, chooser);
                }
            }
            Output::Transmit { .. } => {}
            Output::Uplink { packet } => {
                watch(now, Seen::Served(&packet))?;
                if let Some(answer) = self.world.answer(&packet) {
                    self.host.receive_packet(now, self.uplink, answer, chooser);
                }
            }
            Output::Deliver { packet, .. } => self.served_by_host(&packet, chooser),
            Output::Note(note) => watch(now, Seen::Note(Side::Host, &note))?,
        }
        ControlFlow::Continue(())
    }

    /// The host's own services are those of its addresses in the world.
    fn served_by_host(&mut self, packet: &[u8], chooser: &mut dyn Chooser) {
        if let Some(bytes) = self.world.answer(packet)
            && let Err(error) = self.host.send(self.now, Packet { bytes, owner: None }, chooser)
        {
            tracing::trace!(%error, "the host's answer has no way back");
        }
    }

    fn schedule_late_answer(&mut self, frame: &[u8]) {
        let Some(after) = self.late_answers else { return };
        let eth = EthFrame::parse(frame).ok().filter(|e| e.ethertype == ETHERTYPE_ARP);
        let request = eth.and_then(|e| Arp::parse(e.payload).ok()).filter(|a| a.op == OP_REQUEST);
        let mac = self.host.state().link(self.end).map(Link::mac);
        if let (Some(arp), Some(mac)) = (request, mac) {
            let reply = Arp::reply(mac, arp.tpa, arp.sha, arp.spa).frame(arp.sha, mac);
            self.at(self.now + after, Act::Frame(SmallVec::from_slice(&reply)));
        }
    }
}
