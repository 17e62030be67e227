//! [`World`]: the parts of a run and the loop that drives them.

mod acts;
mod extra;
mod frames;

use super::emit::Emitter;
use crate::choice::{ChoiceKind, Chooser};
use crate::control::{Act, Control, Gate, Side, Taken, TaskResult};
use crate::gateway::{Gateway, Outside};
use crate::host::Reason;
use crate::neigh::KernelClock;
use crate::pair::{Due, LATENCY, Pair, PairOutput, PairSpec, Wire};
use crate::pod::{ClientEvent, ClientId, Pod};
use crate::scenario::Plan;
use crate::time::{Span, Time};
use crate::trace::{Kinds, Sink, What};
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

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Start {
    gate: Gate,
    delay: (Span, Span),
    pub(super) due: Option<Time>,
    pub(super) begun: bool,
    client: ClientId,
}

/// A run.
#[derive(Clone, Debug)]
pub struct World<O> {
    pub(super) now: Time,
    pub(super) plan: Arc<Plan>,
    pub(super) control: Control,
    pub(super) pair: Pair<O>,
    pub(super) starts: Vec<Start>,
    pub(super) events: u64,
    /// What the gateway would say to the pod's request, as last reported.
    #[expect(clippy::option_option, reason = "nothing told yet, or told that it answers, or why not")]
    pub(super) verdict: Option<Option<Reason>>,
    pub(super) emit: Emitter,
}

impl<O: core::hash::Hash> core::hash::Hash for World<O> {
    fn hash<H: core::hash::Hasher>(&self, h: &mut H) {
        self.now.hash(h);
        self.control.hash(h);
        self.pair.hash(h);
        self.starts.hash(h);
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
        let control = Control::new(
            Arc::clone(&plan.setting),
            Arc::clone(&plan.steps),
            plan.holds.clone(),
            plan.actors.clone(),
        );
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
        let starts = plan
            .every_client()
            .map(|c| {
                let client = pair.add_client(c.spec());
                Start { gate: c.gate, delay: c.delay, due: None, begun: false, client }
            })
            .collect();
        let emit = Emitter::default();
        World { now: Time::ZERO, plan, control, pair, starts, events: 0, verdict: None, emit }
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
    }

    /// The pod.
    #[must_use]
    pub fn pod(&self) -> &Pod {
        self.pair.pod()
    }

    /// The node.
    #[must_use]
    pub fn gateway(&self) -> &Gateway<O> {
        self.pair.gateway()
    }

    /// The actors.
    #[must_use]
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// How many events happened.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Lets the run begin.
    pub fn start<S: Sink>(&mut self, chooser: &mut dyn Chooser, sink: &mut S) {
        self.open_gates(Gate::Start, chooser);
        self.control.start(self.now, self.pair.state(Side::Host), chooser);
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
        self.plan.until_clients_done
            && !self.starts.is_empty()
            && self.starts.iter().all(|s| s.begun)
            && self.pair.pod().finished()
    }

    /// Lets time go on to that moment. `Some` when the run's time is up before.
    pub(super) fn advance(&mut self, next: Time) -> Option<Ended> {
        if next > Time::ZERO + self.plan.duration {
            self.now = Time::ZERO + self.plan.duration;
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
        let starts = self.starts.iter().filter_map(|s| s.due).min();
        [self.pair.poll_timeout(), self.control.poll_timeout(), starts].into_iter().flatten().min()
    }

    /// One event of this moment, in the order that the module's documentation gives.
    fn happen<S: Sink>(&mut self, chooser: &mut dyn Chooser, sink: &mut S) {
        if !self.frames_and_timers(chooser, sink) {
            if self.control.poll_timeout().is_some_and(|t| t <= self.now) {
                if let Some(taken) = self.control.take_due(self.now, self.pair.state(Side::Host), chooser) {
                    self.carry_out(taken, chooser, sink);
                }
            } else {
                self.start_clients(chooser, sink);
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

    pub(super) fn start_clients<S: Sink>(&mut self, chooser: &mut dyn Chooser, sink: &mut S) {
        for at in 0..self.starts.len() {
            if self.starts[at].due.is_some_and(|t| t <= self.now) {
                self.starts[at].due = None;
                self.starts[at].begun = true;
                Emitter::client_start(self.now, at, sink);
                self.pair.start_client(self.now, self.starts[at].client, chooser);
                return;
            }
        }
    }

    fn open_gates(&mut self, gate: Gate, chooser: &mut dyn Chooser) {
        let now = self.now;
        for s in self.starts.iter_mut().filter(|s| s.gate == gate && s.due.is_none() && !s.begun) {
            let grains = (s.delay.1 - s.delay.0).as_ns() / 1_000 + 1;
            let extra = Span::from_ns(chooser.choose(ChoiceKind::ClientStart, grains) * 1_000);
            s.due = Some(now + s.delay.0 + extra);
        }
    }

    /// Carries frames and notes until both sides are still.
    pub(super) fn settle<S: Sink>(&mut self, chooser: &mut dyn Chooser, sink: &mut S) {
        while let Some(output) = self.pair.poll_output() {
            match output {
                PairOutput::Transmit { from, frame } => self.send(from, &frame, chooser, sink),
                PairOutput::Note(side, note) => {
                    self.emit.stack_note(self.now, side, self.pair.state(side), note, sink);
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
        if matches!(event, ClientEvent::Began { .. }) {
            self.control.count_try(self.now, chooser);
        }
        self.stop_if_served(id, chooser);
        if matches!(event, ClientEvent::Finished) && self.is_waiter(id) {
            self.waited(id, chooser);
        }
    }

    /// A client that has had as many answers as it wants stops.
    fn stop_if_served(&mut self, id: ClientId, chooser: &mut dyn Chooser) {
        let wants = self.plan.client(id.0 as usize).and_then(|c| c.stop_after);
        let outcome = self.pair.outcome(id);
        if outcome.ended.is_none() && wants.is_some_and(|n| outcome.received >= n) {
            self.pair.stop_client(self.now, id, chooser);
        }
    }

    /// A step is done: its acts, then the news.
    pub(super) fn carry_out<S: Sink>(&mut self, mut taken: Taken, chooser: &mut dyn Chooser, sink: &mut S) {
        let mut result = TaskResult::Done;
        for act in &taken.acts {
            match (self.act(act, chooser), act) {
                (Ok(()), _) | (Err(_), Act::Try(..)) => {}
                (Err(why), _) => {
                    result = TaskResult::Refused(why);
                    break;
                }
            }
        }
        Emitter::step(self.now, &mut taken, &result, sink);
        self.control.finish(self.now, &taken, &result, self.pair.state(Side::Host), chooser);
        if matches!(result, TaskResult::Done) {
            self.open_gates(Gate::After(taken.task.step), chooser);
        }
    }

    /// Tells of holds, and of a change in what the gateway would say.
    fn report<S: Sink>(&mut self, sink: &mut S) {
        while let Some(news) = self.control.poll_news() {
            Emitter::hold(self.now, news, sink);
        }
        // a responder of one's own is asked request by request
        if !S::WANTS.has(Kinds::GATEWAY) || self.plan.own_responder.is_some() {
            return;
        }
        let verdict = self.silence();
        if self.verdict != Some(verdict) {
            self.verdict = Some(verdict);
            Emitter::gateway(self.now, verdict, sink);
        }
    }

    /// Says the last word.
    pub fn finish<S: Sink>(&mut self, sink: &mut S) {
        for start in &self.starts {
            let id = start.client;
            Emitter::client_end(self.now, id, self.pair.outcome(id), sink);
        }
        if S::WANTS.has(Kinds::END) {
            sink.take(self.now, What::End { steps: Some(self.events) });
        }
    }
}
