//! [`World`]: the parts of a run and the loop that drives them.

mod acts;
mod extra;
mod frames;

use super::emit::Emitter;
use super::link::Link;
use super::veth::Veth;
use crate::choice::{ChoiceKind, Chooser};
use crate::control::{Act, Control, Gate, Side, Taken, TaskResult};
use crate::gateway::{Gateway, GatewayOutput, Outside};
use crate::host::{IfIndex, Reason};
use crate::neigh::KernelClock;
use crate::packet::Frame;
use crate::pod::{ClientEvent, ClientId, Pod, PodOutput};
use crate::scenario::Plan;
use crate::time::{Span, Time};
use crate::trace::{Seen, Sink, What};
use std::sync::Arc;

/// Events after which a run is given up: far above any scenario of an hour, so only a loop that
/// never lets time go on meets it.
const EVENTS_MAX: u64 = 2_000_000;

/// From a packet's leaving by the uplink to the answer's coming in.
const OUTSIDE_RTT: Span = Span::from_us(400);

/// The number of `eth0` in the pod: the first device after `lo`.
pub(super) const POD_DEV: IfIndex = IfIndex(2);

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
    pub(super) gateway: Gateway<O>,
    pub(super) pod: Pod,
    pub(super) veth: Veth,
    pub(super) link: Link,
    pub(super) starts: Vec<Start>,
    /// Frames that a step sends from the host end.
    announcements: Vec<Frame>,
    pub(super) frames: u32,
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
        self.gateway.hash(h);
        self.pod.hash(h);
        self.veth.hash(h);
        self.link.hash(h);
        self.starts.hash(h);
    }
}

/// Runs a plan to its end.
pub fn run<O: Outside, S: Sink>(plan: Plan, outside: O, chooser: &mut dyn Chooser, sink: &mut S) -> Ended {
    let mut world = World::new(Arc::new(plan), outside, chooser);
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
        let veth = Veth::new(plan.eth_is_plain);
        let phase = chooser.choose(ChoiceKind::WheelPhase, KernelClock::phases_ns(plan.hz));
        let clock = KernelClock::new(plan.hz, phase);
        let control = Control::new(
            Arc::clone(&plan.setting),
            Arc::clone(&plan.steps),
            plan.holds.clone(),
            plan.actors.clone(),
        );
        let host = plan.host.clone();
        let gateway = Gateway::new(host, plan.setting.uplink, outside, OUTSIDE_RTT, clock, chooser);
        let mut pod = Pod::new(plan.pod.clone(), POD_DEV, clock, chooser);
        pod.filter_icmp_errors(plan.icmp_errors_filtered);
        let starts = plan
            .every_client()
            .map(|c| {
                let client = pod.add_client(c.spec());
                Start { gate: c.gate, delay: c.delay, due: None, begun: false, client }
            })
            .collect();
        let link = Link::new(plan.faults.clone());
        let emit = Emitter::new(&plan);
        World {
            now: Time::ZERO,
            plan,
            control,
            gateway,
            pod,
            veth,
            link,
            starts,
            announcements: Vec::new(),
            frames: 0,
            events: 0,
            verdict: None,
            emit,
        }
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
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
        self.control.start(self.now, self.gateway.state(), chooser);
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
            && self.pod.finished()
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
        [
            self.link.poll_timeout(),
            self.pod.poll_timeout(),
            self.gateway.poll_timeout(),
            self.control.poll_timeout(),
            self.veth.poll_timeout(),
            starts,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// One event of this moment, in the order that the module's documentation gives.
    fn happen<S: Sink>(&mut self, chooser: &mut dyn Chooser, sink: &mut S) {
        if !self.frames_and_timers(chooser, sink) {
            if self.control.poll_timeout().is_some_and(|t| t <= self.now) {
                if let Some(taken) = self.control.take_due(self.now, self.gateway.state(), chooser) {
                    self.carry_out(&taken, chooser, sink);
                }
            } else {
                self.start_clients(chooser, sink);
            }
        }
        self.settle(chooser, sink);
    }

    /// The first thing due of what is not an actor's or a client's; false when nothing is.
    pub(super) fn frames_and_timers<S: Sink>(&mut self, chooser: &mut dyn Chooser, sink: &mut S) -> bool {
        let now = self.now;
        if let Some(flight) = self.link.take_due(now) {
            self.arrive(&flight, chooser, sink);
        } else if self.pod.poll_timeout().is_some_and(|t| t <= now) {
            self.pod.handle_timeout(now, chooser);
        } else if self.gateway.poll_timeout().is_some_and(|t| t <= now) {
            self.gateway.handle_timeout(now, chooser);
        } else if let Some(changes) = self.take_notice(now) {
            for (side, change) in changes {
                // an end that is gone by now has no carrier to notice
                let _ = self.change(side, &change, chooser);
            }
        } else {
            return false;
        }
        true
    }

    pub(super) fn start_clients<S: Sink>(&mut self, chooser: &mut dyn Chooser, sink: &mut S) {
        for at in 0..self.starts.len() {
            if self.starts[at].due.is_some_and(|t| t <= self.now) {
                self.starts[at].due = None;
                self.starts[at].begun = true;
                self.emit.client_start(self.now, at, sink);
                self.pod.start_client(self.now, self.starts[at].client, chooser);
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
        loop {
            if let Some(output) = self.pod.poll_output() {
                match output {
                    PodOutput::Transmit(frame) => self.send_from_pod(&frame, chooser, sink),
                    PodOutput::Note(note) => {
                        sink.see(self.now, Seen::Note(Side::Pod, &note));
                        self.emit.stack_note(self.now, Side::Pod, self.pod.stack().state(), note, sink);
                    }
                    PodOutput::Client(id, event) => {
                        if !self.is_waiter(id) {
                            sink.see(self.now, Seen::Client(id, &event));
                        }
                        self.emit.client(self.now, id, &event, sink);
                        if matches!(event, ClientEvent::Began { .. }) {
                            self.control.count_try(self.now, chooser);
                        }
                        self.stop_if_served(id, chooser);
                        if matches!(event, ClientEvent::Finished) && self.is_waiter(id) {
                            self.waited(id, chooser);
                        }
                    }
                }
            } else if let Some(output) = self.gateway.poll_output() {
                match output {
                    GatewayOutput::Transmit { dev, frame } => self.send_from_host(dev, &frame, chooser, sink),
                    GatewayOutput::Note(note) => {
                        sink.see(self.now, Seen::Note(Side::Host, &note));
                        self.emit.stack_note(self.now, Side::Host, self.gateway.state(), note, sink);
                    }
                }
            } else if let Some(frame) = self.announcements.pop() {
                self.put_on_link(Side::Host, &frame, chooser, sink);
            } else {
                break;
            }
        }
        self.report(sink);
    }

    /// A client that has had as many answers as it wants stops.
    fn stop_if_served(&mut self, id: ClientId, chooser: &mut dyn Chooser) {
        let wants = self.plan.client(id.0 as usize).and_then(|c| c.stop_after);
        let outcome = self.pod.outcome(id);
        if outcome.ended.is_none() && wants.is_some_and(|n| outcome.received >= n) {
            self.pod.stop_client(self.now, id, chooser);
        }
    }

    /// A step is done: its acts, then the news.
    pub(super) fn carry_out<S: Sink>(&mut self, taken: &Taken, chooser: &mut dyn Chooser, sink: &mut S) {
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
        let done = matches!(result, TaskResult::Done);
        sink.see(self.now, Seen::Step { step: taken.task.step, done });
        self.emit.step(self.now, taken, &result, sink);
        self.control.finish(self.now, taken, &result, self.gateway.state(), chooser);
        if matches!(result, TaskResult::Done) {
            self.open_gates(Gate::After(taken.task.step), chooser);
        }
    }

    /// Tells of holds, and of a change in what the gateway would say.
    fn report<S: Sink>(&mut self, sink: &mut S) {
        while let Some(news) = self.control.poll_news() {
            self.emit.hold(self.now, news, sink);
        }
        // a responder of one's own is asked request by request
        if !S::WANTED || self.plan.own_responder.is_some() {
            return;
        }
        let verdict = self.silence();
        if self.verdict != Some(verdict) {
            self.verdict = Some(verdict);
            self.emit.gateway(self.now, verdict, sink);
        }
    }

    /// Says the last word.
    pub fn finish<S: Sink>(&mut self, sink: &mut S) {
        for start in &self.starts {
            let id = start.client;
            self.emit.client_end(self.now, id, self.pod.outcome(id), sink);
        }
        if S::WANTED {
            sink.take(self.now, What::End { steps: Some(self.events) });
        }
    }
}
