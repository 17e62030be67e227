//! [`World`]: the parts of a run and the loop that drives them.

mod frames;
mod orders;

use crate::addr::Side;
use crate::choice::{ChoiceKind, Chooser};
use crate::control::Control;
use crate::gateway::{Gateway, Outside};
use crate::host::Reason;
use crate::neigh::KernelClock;
use crate::pair::{Due, LATENCY, Pair, PairOutput, PairSpec, Wire};
use crate::pod::{ClientEvent, ClientId, Pod};
use crate::run::{ClientDid, Doing, Emitter, PodId, Run};
use crate::scenario::Plan;
use crate::time::{Span, Time};
use crate::trace::Sink;
use std::sync::Arc;

/// Events after which a run is given up: far above any scenario of an hour, so only a loop that
/// never lets time go on meets it.
const EVENTS_MAX: u64 = 2_000_000;

/// From a packet's leaving by the uplink to the answer's coming in.
const OUTSIDE_RTT: Span = Span::from_us(400);

/// Why a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// Every client was done.
    ClientsDone,
    /// Its time was up.
    TimeUp,
    /// Nothing was left to happen.
    Quiet,
    /// Two million events happened: the scenario never comes to rest.
    TooManyEvents,
}

/// A run.
#[derive(Clone, Debug)]
pub struct World<O> {
    pub(super) now: Time,
    pub(super) run: Run,
    pub(super) pair: Pair<O>,
    pub(super) events: u64,
}

impl<O: core::hash::Hash> core::hash::Hash for World<O> {
    fn hash<H: core::hash::Hasher>(&self, h: &mut H) {
        self.now.hash(h);
        self.run.hash(h);
        self.pair.hash(h);
    }
}

/// Runs a plan to its end.
pub fn run<O: Outside, S: Sink>(
    plan: impl Into<Arc<Plan>>,
    outside: O,
    chooser: &mut dyn Chooser,
    sink: &mut S,
) -> Ended {
    let mut world = World::new(plan.into(), outside, chooser);
    world.start(chooser, sink);
    let ended = loop {
        if let Some(ended) = world.step(chooser, sink) {
            break ended;
        }
    };
    world.finish(sink);
    ended
}

impl<O: Outside> World<O> {
    /// The parts of a run, before it begins.
    pub fn new(plan: Arc<Plan>, outside: O, chooser: &mut dyn Chooser) -> World<O> {
        let phase = chooser.choose(ChoiceKind::WheelPhase, KernelClock::phases_ns(plan.hz));
        let wire = Wire {
            ends: plan.setting.ends(),
            latency: LATENCY,
            plain: plan.eth_is_plain,
            purged_by_all: plan.queue_purged_by_all,
            faults: plan.faults.clone(),
        };
        let spec = PairSpec {
            wire,
            node: plan.host.clone(),
            pod: plan.pod.clone(),
            uplink: plan.setting.uplink,
            rtt: OUTSIDE_RTT,
            clock: KernelClock::new(plan.hz, phase),
            icmp_errors_filtered: plan.icmp_errors_filtered,
        };
        let mut pair = Pair::new(spec, outside, chooser);
        for client in plan.every_client() {
            pair.add_client_at(client.from, client.spec());
        }
        pair.serve(plan.pod_ports());
        World { now: Time::ZERO, run: Run::new(plan), pair, events: 0 }
    }

    /// The virtual time that the run has come to.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
    }

    /// The pod's side of the pair.
    #[must_use]
    pub fn pod(&self) -> &Pod {
        self.pair.pod()
    }

    /// The node's side of the pair.
    #[must_use]
    pub fn gateway(&self) -> &Gateway<O> {
        self.pair.gateway()
    }

    /// The actors, with what each does next.
    #[must_use]
    pub fn control(&self) -> &Control {
        self.run.control()
    }

    /// How many events happened.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Lets the run begin.
    pub fn start<S: Sink>(&mut self, chooser: &mut dyn Chooser, sink: &mut S) {
        self.run.start(self.now, self.pair.state(Side::Host), chooser);
        self.report(sink);
    }

    /// Lets whatever is due next happen. `Some` when the run has ended.
    pub fn step<S: Sink>(&mut self, chooser: &mut dyn Chooser, sink: &mut S) -> Option<Ended> {
        if self.is_served() {
            return Some(Ended::ClientsDone);
        }
        let Some(next) = self.poll_timeout() else { return Some(Ended::Quiet) };
        if let Some(ended) = self.advance(next) {
            return Some(ended);
        }
        self.happen(chooser, sink);
        None
    }

    /// Every client is done, and the plan says that this is the end.
    pub(crate) fn is_served(&self) -> bool {
        let plan = self.run.plan();
        plan.until_clients_done && plan.every_client().next().is_some() && self.clients_done()
    }

    /// Lets time go on to that moment. `Some` when the run's time is up before.
    pub(super) fn advance(&mut self, next: Time) -> Option<Ended> {
        if next > Time::ZERO + self.run.plan().duration {
            self.now = Time::ZERO + self.run.plan().duration;
            return Some(Ended::TimeUp);
        }
        self.events += 1;
        if self.events > EVENTS_MAX {
            return Some(Ended::TooManyEvents);
        }
        debug_assert!(next >= self.now, "time runs backwards: {next:?} after {:?}", self.now);
        self.now = self.now.max(next);
        None
    }

    /// When something happens next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        [self.pair.poll_timeout(), self.run.poll_timeout()].into_iter().flatten().min()
    }

    /// One event of this moment, in the order that the module's documentation gives.
    fn happen<S: Sink>(&mut self, chooser: &mut dyn Chooser, sink: &mut S) {
        if !self.frames_and_timers(chooser, sink) {
            if self.run.has_step(self.now) {
                if let Some(doing) = self.run.take_due(self.now, self.pair.state(Side::Host), chooser) {
                    self.carry_out(doing, chooser, sink);
                }
            } else {
                self.start_client(chooser, sink);
            }
        }
        self.settle(chooser, sink);
    }

    /// The first thing due of what is not an actor's or a client's; false when nothing is.
    pub(super) fn frames_and_timers<S: Sink>(&mut self, chooser: &mut dyn Chooser, sink: &mut S) -> bool {
        match self.pair.handle_timeout(self.now, chooser) {
            None => return false,
            Some(Due::Timers) => {}
            Some(Due::Frame(flight)) => self.arrive(&flight, chooser, sink),
            Some(Due::Carrier(changes)) => {
                for (side, change) in changes {
                    // an end that is gone by now has no carrier to notice
                    let _ = self.change(side, &change, chooser);
                }
            }
        }
        true
    }

    pub(super) fn start_client<S: Sink>(&mut self, chooser: &mut dyn Chooser, sink: &mut S) {
        if let Some(order) = self.run.start_due(self.now, sink) {
            self.obey(&order, chooser);
        }
    }

    /// Carries frames and notes until both sides are still.
    pub(super) fn settle<S: Sink>(&mut self, chooser: &mut dyn Chooser, sink: &mut S) {
        while let Some(output) = self.pair.poll_output() {
            match output {
                PairOutput::Transmit { from, frame } => self.send(from, &frame, chooser, sink),
                PairOutput::Note(side, note) => {
                    self.run.emit.stack_note(self.now, side, self.pair.state(side), note, sink);
                }
                PairOutput::Client(id, event) => self.hear_client(id, &event, chooser, sink),
            }
        }
        self.report(sink);
    }

    fn hear_client<S: Sink>(
        &mut self,
        id: ClientId,
        event: &ClientEvent,
        chooser: &mut dyn Chooser,
        sink: &mut S,
    ) {
        Emitter::client(self.now, id, event, sink);
        let what = match event {
            ClientEvent::Began { .. } => ClientDid::Began,
            ClientEvent::Finished => ClientDid::Finished,
            _ => ClientDid::Other,
        };
        let (from, what) = ((PodId::default(), id), (what, self.pair.outcome(id).received));
        if let Some(order) = self.run.heard(self.now, from, what, self.pair.state(Side::Host), chooser) {
            self.obey(&order, chooser);
        }
    }

    /// A step is done, order by order.
    pub(super) fn carry_out<S: Sink>(&mut self, mut doing: Doing, chooser: &mut dyn Chooser, sink: &mut S) {
        let now = self.now;
        while let Some(order) = self.run.next_order(&mut doing, now, self.pair.state(Side::Host), chooser) {
            let came = self.obey(&order, chooser);
            self.run.came(&mut doing, came, now, self.pair.state(Side::Host), chooser);
        }
        self.run.finish(doing, now, self.pair.state(Side::Host), chooser, sink);
    }

    /// Tells of holds, and of a change in what the gateway would say.
    fn report<S: Sink>(&mut self, sink: &mut S) {
        let pair = &self.pair;
        let silence = |run: &Run| run.silence(pair.state(Side::Host), pair.host_index(), pair.carries());
        self.run.report(self.now, silence, sink);
    }

    /// Says the last word.
    pub fn finish<S: Sink>(&mut self, sink: &mut S) {
        let count = |id| {
            let outcome = self.pair.outcome(id);
            outcome.started.map(|_| (outcome.sent, outcome.received))
        };
        self.run.end(self.now, count, Some(self.events), sink);
    }

    /// Why a request of the pod for its gateway would go unanswered now; `None` when it would not.
    #[must_use]
    pub fn silence(&self) -> Option<Reason> {
        self.run.silence(self.pair.state(Side::Host), self.pair.host_index(), self.pair.carries())
    }

    /// Whether a request of the pod for its gateway would be answered now.
    #[must_use]
    pub fn answers(&self) -> bool {
        self.run.answers(self.pair.state(Side::Host), self.pair.host_index(), self.pair.carries())
    }
}
