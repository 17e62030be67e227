//! [`Bench`]: a pair to which things happen at set times, for whoever wants to know what follows
//! and needs no actors. Virtual time jumps from event to event.
//!
//! Where the wire takes no time, frames still never overtake the kernel: all that is due at a
//! moment on both sides happens before the frames it caused arrive. Four hundred SYNs that leave in
//! one tick are queued before the answer to the first one's request is seen, as on a real machine.

use super::{Due, Pair, PairOutput};
use crate::addr::Side;
use crate::choice::Chooser;
use crate::gateway::Outside;
use crate::host::{Mutation, Refused};
use crate::packet::{Frame, Packet};
use crate::pod::ClientId;
use crate::time::{Span, Time};
use crate::wire::{Arp, ETHERTYPE_ARP, EthFrame, OP_REQUEST};
use core::ops::ControlFlow;
use smallvec::SmallVec;
use std::collections::VecDeque;

/// Something that happens to a pair.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Input {
    /// The node is changed.
    Host(Mutation),
    /// The pod is changed.
    Pod(Mutation),
    /// A frame reaches that side's end, as if the other end had sent it.
    Frame(Side, Frame),
    /// A packet leaves a socket of the pod.
    Packet(Packet),
    /// A client starts.
    Start(ClientId),
    /// A client is stopped.
    Stop(ClientId),
    /// The pod's own ICMP errors are filtered, or not any more.
    FilterIcmp(bool),
}

/// A watcher of all that comes out of a pair; it may end the run.
pub type Watch<'a> = dyn FnMut(Time, &PairOutput) -> ControlFlow<()> + 'a;

/// A pair, the time, and what is going to happen to it.
#[derive(Clone, Debug)]
pub struct Bench<O> {
    /// The pair.
    pub pair: Pair<O>,
    now: Time,
    inputs: VecDeque<(Time, Input)>,
    late_answers: Option<Span>,
}

impl<O: Outside> Bench<O> {
    /// A pair at that time.
    #[must_use]
    pub fn new(pair: Pair<O>, now: Time) -> Bench<O> {
        Bench { pair, now, inputs: VecDeque::new(), late_answers: None }
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
    pub fn at(&mut self, time: Time, input: Input) {
        let place = self.inputs.partition_point(|(t, _)| *t <= time);
        self.inputs.insert(place, (time, input));
    }

    /// When something happens next.
    #[must_use]
    pub fn next_event(&self) -> Option<Time> {
        let input = self.inputs.front().map(|(t, _)| *t);
        [input, self.pair.poll_timeout()].into_iter().flatten().min()
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

    /// Runs until every client that was started has ended, and everything has happened.
    pub fn run_clients(&mut self, until: Time, chooser: &mut dyn Chooser, watch: &mut Watch<'_>) -> bool {
        while !(self.inputs.is_empty() && self.pair.finished()) {
            let Some(at) = self.next_event().filter(|t| *t <= until) else { break };
            if self.step(at, chooser, watch).is_break() {
                return false;
            }
        }
        true
    }

    /// Makes a change now, with all that follows from it in this moment.
    pub fn apply(
        &mut self,
        side: Side,
        change: &Mutation,
        chooser: &mut dyn Chooser,
        watch: &mut Watch<'_>,
    ) -> Result<(), Refused> {
        self.pair.apply(self.now, side, change, chooser)?;
        // who ends the run here has nothing left to end
        let _ = self.exchange(chooser, watch);
        Ok(())
    }

    /// Lets something happen now, with all that follows from it in this moment. A change that is
    /// refused changes nothing.
    pub fn put(&mut self, input: Input, chooser: &mut dyn Chooser, watch: &mut Watch<'_>) {
        let _ = self.perform(input, chooser, watch);
        let _ = self.exchange(chooser, watch);
    }

    fn step(&mut self, at: Time, chooser: &mut dyn Chooser, watch: &mut Watch<'_>) -> ControlFlow<()> {
        self.now = self.now.max(at);
        while self.inputs.front().is_some_and(|(t, _)| *t <= self.now) {
            if let Some((_, input)) = self.inputs.pop_front() {
                self.perform(input, chooser, watch)?;
            }
        }
        while self.happen(chooser) {}
        self.exchange(chooser, watch)
    }

    fn perform(&mut self, input: Input, chooser: &mut dyn Chooser, watch: &mut Watch<'_>) -> ControlFlow<()> {
        let now = self.now;
        let refused = |e: Refused| tracing::warn!(error = %e, "a change is refused");
        match input {
            Input::Host(change) => {
                self.pair.apply(now, Side::Host, &change, chooser).unwrap_or_else(refused);
            }
            Input::Pod(change) => {
                self.pair.apply(now, Side::Pod, &change, chooser).unwrap_or_else(refused);
            }
            Input::Frame(to, frame) => {
                let from = if to == Side::Pod { Side::Host } else { Side::Pod };
                watch(now, &PairOutput::Transmit { from, frame: frame.clone() })?;
                self.pair.receive(now, to, &frame, chooser);
            }
            Input::Packet(packet) => {
                // what cannot be sent shows in what does not happen
                let _ = self.pair.send_from_pod(now, packet, chooser);
            }
            Input::Start(id) => self.pair.start_client(now, id, chooser),
            Input::Stop(id) => self.pair.stop_client(now, id, chooser),
            Input::FilterIcmp(on) => self.pair.filter_icmp_errors(on),
        }
        ControlFlow::Continue(())
    }

    /// Lets the first thing due happen; false when nothing is.
    fn happen(&mut self, chooser: &mut dyn Chooser) -> bool {
        match self.pair.handle_timeout(self.now, chooser) {
            None => return false,
            Some(Due::Timers) => {}
            Some(Due::Frame(flight)) => self.pair.receive(self.now, flight.to, &flight.frame, chooser),
            Some(Due::Carrier(changes)) => {
                for (side, change) in changes {
                    // an end that is gone by now has no carrier to notice
                    let _ = self.pair.apply(self.now, side, &change, chooser);
                }
            }
        }
        true
    }

    /// Carries frames to and fro until nobody has anything more to say.
    fn exchange(&mut self, chooser: &mut dyn Chooser, watch: &mut Watch<'_>) -> ControlFlow<()> {
        loop {
            while let Some(output) = self.pair.poll_output() {
                watch(self.now, &output)?;
                if let PairOutput::Transmit { from, frame } = &output {
                    if *from == Side::Pod {
                        self.schedule_late_answer(frame);
                    }
                    self.pair.carry(self.now, *from, frame, chooser);
                }
            }
            // nobody on a bench listens to netlink
            while self.pair.poll_link_event().is_some() {}
            if !self.happen(chooser) {
                return ControlFlow::Continue(());
            }
        }
    }

    fn schedule_late_answer(&mut self, frame: &[u8]) {
        let Some(after) = self.late_answers else { return };
        let eth = EthFrame::parse(frame).ok().filter(|e| e.ethertype == ETHERTYPE_ARP);
        let request = eth.and_then(|e| Arp::parse(e.payload).ok()).filter(|a| a.op == OP_REQUEST);
        if let (Some(arp), Some(mac)) = (request, self.pair.host_mac()) {
            let reply = Arp::reply(mac, arp.tpa, arp.sha, arp.spa).frame(arp.sha, mac);
            self.at(self.now + after, Input::Frame(Side::Pod, SmallVec::from_slice(&reply)));
        }
    }
}
