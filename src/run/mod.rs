//! One run: what the actors do and hear, when clients start and stop, what is told of it.
//!
//! # Theory of operation
//!
//! A [`Run`] is the half of a run that has no world. It holds the actors, the gates at which clients
//! wait, and what the gateway was last said to do. It is sans-IO: it says when it wants to be called
//! ([`Run::poll_timeout`]), puts out [`Order`]s and hears what came of them ([`Came`]). The simulator
//! carries an order out at once on a [`crate::pair::Pair`]; a live run carries it out in namespaces.
//! Neither knows what an actor is.
//!
//! A step that is due is taken ([`Run::take_due`]) and carried out order by order:
//! [`Run::next_order`], then [`Run::came`], until there is none left, then [`Run::finish`]. Whoever
//! owns the run passes on what happens meanwhile: interfaces ([`Run::link`]), the pod's requests
//! ([`Run::asked`]), what clients do ([`Run::heard`]). All that is told of it goes to a
//! [`crate::trace::Sink`].
//!
//! What a real plugin asks of a kernel is a task of the actor that stands for it ([`Run::plugin_asks`]), and
//! becomes a [`Doing`] like any other. It can do other pods' ADDs as well, and its orders and news carry the
//! pod's number; all else is about the first pod.

#[cfg(feature = "live")]
mod differs;
mod emit;
mod front;
#[cfg(feature = "live")]
mod judge;
mod order;

pub(crate) use emit::Emitter;
#[cfg(feature = "live")]
pub(crate) use judge::{Judge, Judged, NodeView, Question};
pub use order::{Came, Deed, Doing, Order, PodId};

use crate::addr::Side;
use crate::choice::{ChoiceKind, Chooser};
use crate::control::{
    Act, Announcement, Control, Errand, Gate, Happening, LinkEvent, Refusal, Setting, StepId, Taken,
    TaskResult, UnderWay,
};
use crate::host::{HostState, Reason};
use crate::packet::Frame;
use crate::pod::ClientId;
use crate::scenario::Plan;
use crate::time::{Span, Time};
use crate::trace::{Kinds, Sink, What};
use crate::wire::Arp;
use std::sync::Arc;

/// A client waits for its gate, then for its time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Start {
    pod: PodId,
    gate: Gate,
    delay: (Span, Span),
    due: Option<Time>,
    begun: bool,
    client: ClientId,
    /// It ends with the pod's namespace.
    in_pod: bool,
}

/// What a client of a pod has done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClientDid {
    /// It sent, or began an attempt.
    Began,
    /// It is done.
    Finished,
    /// Something else.
    Other,
}

/// One run; see the module's documentation.
#[derive(Clone, Debug)]
pub struct Run {
    plan: Arc<Plan>,
    control: Control,
    starts: Vec<Start>,
    /// What the gateway would say to the pod's request, as last told.
    #[expect(clippy::option_option, reason = "nothing told yet, or told that it answers, or why not")]
    told: Option<Option<Reason>>,
    pub(crate) emit: Emitter,
    /// Since when a kernel knows of something that the model has no term for.
    #[cfg(feature = "live")]
    beyond: Option<Time>,
}

impl core::hash::Hash for Run {
    fn hash<H: core::hash::Hasher>(&self, h: &mut H) {
        self.control.hash(h);
        self.starts.hash(h);
    }
}

impl Run {
    /// A run before it begins. Its clients have the numbers that the plan gives them.
    #[must_use]
    pub fn new(plan: Arc<Plan>) -> Run {
        let control = Control::new(
            Arc::clone(&plan.setting),
            Arc::clone(&plan.steps),
            plan.holds.clone(),
            plan.actors.clone(),
        );
        let (pod, due, begun) = (PodId::default(), None, false);
        let starts = plan.every_client().zip(0..);
        let starts = starts
            .map(|(c, n)| {
                let (client, in_pod) = (ClientId(n), c.from == Side::Pod);
                Start { pod, gate: c.gate, delay: c.delay, due, begun, client, in_pod }
            })
            .collect();
        Run {
            plan,
            control,
            starts,
            told: None,
            emit: Emitter::default(),
            #[cfg(feature = "live")]
            beyond: None,
        }
    }

    /// What is run.
    #[must_use]
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The actors.
    #[must_use]
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// Lets it begin. `host` is the node's namespace, here and everywhere below.
    pub fn start(&mut self, now: Time, host: &HostState, chooser: &mut dyn Chooser) {
        self.open_gates(Gate::Start, now, chooser);
        self.control.start(now, host, chooser);
    }

    /// When a step, a timer of an actor or a client is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        [self.control.poll_timeout(), self.poll_start()].into_iter().flatten().min()
    }

    /// When a client is due.
    #[must_use]
    pub fn poll_start(&self) -> Option<Time> {
        self.starts.iter().filter_map(|s| s.due).min()
    }

    /// True when an actor has something to do.
    #[must_use]
    pub fn has_step(&self, now: Time) -> bool {
        self.control.poll_timeout().is_some_and(|t| t <= now)
    }

    /// Takes the step that is due first.
    pub fn take_due(&mut self, now: Time, host: &HostState, chooser: &mut dyn Chooser) -> Option<Doing> {
        self.control.take_due(now, host, chooser).map(|taken| self.of_pod(taken))
    }

    /// Takes that step, whether it is due or not.
    pub fn take_step(&mut self, which: UnderWay, now: Time, host: &HostState) -> Option<Doing> {
        self.control.take_step(which, now, host).map(|taken| self.of_pod(taken))
    }

    /// Takes what is due of an actor and is no step under way.
    pub fn take_other(&mut self, now: Time, host: &HostState, chooser: &mut dyn Chooser) -> Option<Doing> {
        self.control.take_other(now, host, chooser).map(|taken| self.of_pod(taken))
    }

    /// What is to be done next of a step; `None` when it is over.
    pub fn next_order<'d>(
        &mut self,
        doing: &'d mut Doing,
        now: Time,
        host: &HostState,
        chooser: &mut dyn Chooser,
    ) -> Option<Order<'d>> {
        while matches!(doing.result, TaskResult::Done) {
            match doing.taken.acts.get(doing.at)? {
                Act::Mark => doing.at += 1,
                Act::Ask(ask) => {
                    self.control.notice(now, Happening::Asked(*ask), host, chooser);
                    doing.at += 1;
                }
                Act::AnnounceGateway(how) if self.announcement(*how, host).is_none() => {
                    doing.result = TaskResult::Refused(Refusal::NoHostEnd);
                }
                _ => break,
            }
        }
        if !matches!(doing.result, TaskResult::Done) {
            return None;
        }
        let deed = match doing.taken.acts.get(doing.at)? {
            Act::Mark | Act::Ask(_) => return None,
            Act::Change(side, change) | Act::Try(side, change) => Deed::Change(*side, change),
            Act::Tool { side, tool, .. } => Deed::Tool(*side, tool),
            Act::VethCreate { host_end, pod_up } => Deed::Create { host_end: *host_end, pod_up: *pod_up },
            Act::VethMove => Deed::Move,
            Act::VethDelete { from } => Deed::Delete(*from),
            Act::PodReset => Deed::Reset,
            Act::AnnounceGateway(how) => Deed::Send(self.announcement(*how, host)?),
            Act::LookAtEntry => Deed::LookAtEntry,
            Act::Plugin(errand) => Deed::Plugin(*errand),
            Act::Request { number, .. } => Deed::Request(*number),
            Act::DownElsewhere => Deed::DownElsewhere,
        };
        Some(Order { pod: doing.pod, deed })
    }

    /// The frame that announces the gateway; `None` without a host end.
    fn announcement(&self, how: Announcement, host: &HostState) -> Option<Frame> {
        let s = &self.plan.setting;
        let mac = how.mac.unwrap_or(host.link_named(s.cali)?.mac());
        let target = if how.gratuitous { s.gateway } else { s.pod_ip };
        Some(Frame::from_slice(&Arp::request(mac, s.gateway, target).frame(crate::addr::Mac::BROADCAST, mac)))
    }

    /// What came of the step's last order.
    pub fn came(
        &mut self,
        doing: &mut Doing,
        came: Came,
        now: Time,
        host: &HostState,
        chooser: &mut dyn Chooser,
    ) {
        let act = &doing.taken.acts[doing.at];
        doing.at += 1;
        match came {
            // a change that may fail without consequence; what is not there and should go is gone
            Came::Refused(_)
                if matches!(
                    act,
                    Act::Try(..) | Act::Tool { may_fail: true, .. } | Act::VethDelete { .. }
                ) => {}
            Came::Refused(why) => doing.result = TaskResult::Refused(why),
            Came::Entry(state) => self.control.notice(now, Happening::Entry(state), host, chooser),
            Came::Done if matches!(act, Act::PodReset) => {
                // processes end with their namespace; the new containers start new ones
                for start in self.starts.iter_mut().filter(|s| s.pod == doing.pod && s.in_pod) {
                    (start.due, start.begun) = (None, false);
                }
            }
            Came::Done => {}
        }
    }

    /// The step is over: it is told, its actor hears of it, and who waited for it may go on.
    pub fn finish<S: Sink>(
        &mut self,
        mut doing: Doing,
        now: Time,
        host: &HostState,
        chooser: &mut dyn Chooser,
        sink: &mut S,
    ) {
        let result = &doing.result;
        Emitter::step(now, &mut doing.taken, result, sink);
        self.control.finish(now, &doing.taken, result, host, chooser);
        if matches!(result, TaskResult::Done) {
            let (step, steps) = (doing.taken.task.step, Arc::clone(&self.plan.steps));
            for step in [step].into_iter().chain(steps.groups_of(step)) {
                self.open_gates(Gate::After(step), now, chooser);
            }
        }
    }

    /// Something happened to an interface of the host end's name.
    pub fn link(&mut self, now: Time, event: LinkEvent, host: &HostState, chooser: &mut dyn Chooser) {
        self.control.notice(now, Happening::Link(self.plan.setting.cali, event), host, chooser);
    }

    /// A real plugin asks the kernel for something, and waits until it is let go: the step `step`.
    pub fn plugin_asks(
        &mut self,
        now: Time,
        pod: PodId,
        (step, number, words): (StepId, u32, Arc<str>),
        host: &HostState,
        chooser: &mut dyn Chooser,
    ) {
        self.control.request(now, (pod, step), (number, words), host, chooser);
    }

    /// A real plugin has ended, with success or without.
    pub fn plugin_over(
        &mut self,
        now: Time,
        pod: PodId,
        (errand, well): (Errand, bool),
        host: &HostState,
        chooser: &mut dyn Chooser,
    ) {
        self.control.plugin_over(now, (pod, errand, well), host, chooser);
    }

    /// The plan is this from now on: other names and addresses, or more steps at the end of the table.
    /// The actors go on with those of `actors`.
    pub fn learn(&mut self, plan: Arc<Plan>, actors: Arc<Setting>) {
        self.control.set_steps(Arc::clone(&plan.steps));
        self.control.set_setting(actors);
        self.plan = plan;
    }

    /// A step that is held goes on; false when it is not held. It is not held again.
    pub fn let_go(&mut self, step: StepId, now: Time, chooser: &mut dyn Chooser) -> bool {
        self.control.hold_no_more(step);
        self.control.let_go(step, now, chooser)
    }

    /// From now on a step is held each time that it could start, until it is let go.
    pub fn hold_back(&mut self, step: StepId) {
        self.control.hold_back(step);
    }

    /// A pod asks for its gateway.
    pub fn asked(&mut self, now: Time, chooser: &mut dyn Chooser) {
        self.control.count_request(now, chooser);
    }

    fn of_pod(&self, taken: Taken) -> Doing {
        Doing::new(self.control.steps().info(taken.task.step).pod, taken)
    }

    fn open_gates(&mut self, gate: Gate, now: Time, chooser: &mut dyn Chooser) {
        for s in self.starts.iter_mut().filter(|s| s.gate == gate && s.due.is_none() && !s.begun) {
            let grains = (s.delay.1 - s.delay.0).as_ns() / 1_000 + 1;
            let extra = Span::from_ns(chooser.choose(ChoiceKind::ClientStart, grains) * 1_000);
            s.due = Some(now + s.delay.0 + extra);
        }
    }

    /// Starts the first client that is due.
    pub fn start_due<S: Sink>(&mut self, now: Time, sink: &mut S) -> Option<Order<'static>> {
        let start = self.starts.iter_mut().find(|s| s.due.is_some_and(|t| t <= now))?;
        (start.due, start.begun) = (None, true);
        Emitter::client_start(now, start.client, sink);
        Some(Order { pod: start.pod, deed: Deed::Start(start.client) })
    }

    /// Every client has been started.
    #[must_use]
    pub fn all_begun(&self) -> bool {
        self.starts.iter().all(|s| s.begun)
    }

    /// A client has done something, and has had so many answers by now. What follows for it.
    pub fn heard(
        &mut self,
        now: Time,
        (pod, client): (PodId, ClientId),
        (what, answers): (ClientDid, u32),
        host: &HostState,
        chooser: &mut dyn Chooser,
    ) -> Option<Order<'static>> {
        let order = |deed| Some(Order { pod, deed });
        match what {
            ClientDid::Began => self.control.count_try(now, chooser),
            ClientDid::Finished => {
                let again =
                    self.is_waiter(client) && !self.waited(now, (pod, client), answers, host, chooser);
                return if again { order(Deed::Renew(client)) } else { None };
            }
            ClientDid::Other => {}
        }
        let wants = self.plan.client(client.0 as usize).and_then(|c| c.stop_after);
        if wants.is_some_and(|n| answers >= n) { order(Deed::Stop(client)) } else { None }
    }

    /// True for the client that the init container runs.
    fn is_waiter(&self, client: ClientId) -> bool {
        client.0 as usize >= self.plan.clients.len()
    }

    /// The init container has ended: whether the gateway answered. One that gave up can be started
    /// again.
    fn waited(
        &mut self,
        now: Time,
        (pod, client): (PodId, ClientId),
        answers: u32,
        host: &HostState,
        chooser: &mut dyn Chooser,
    ) -> bool {
        let answered = answers > 0;
        if !answered && let Some(start) = self.starts.iter_mut().find(|s| (s.pod, s.client) == (pod, client))
        {
            start.begun = false;
        }
        self.control.notice(now, Happening::Waited(answered), host, chooser);
        answered
    }

    /// Tells of holds.
    pub fn report_holds<S: Sink>(&mut self, now: Time, sink: &mut S) {
        while let Some(news) = self.control.poll_news() {
            Emitter::hold(now, news, sink);
        }
    }

    /// Tells of holds, and of a change in what the gateway would say.
    pub fn report<S: Sink>(&mut self, now: Time, silence: impl FnOnce(&Run) -> Option<Reason>, sink: &mut S) {
        self.report_holds(now, sink);
        // a responder of one's own is asked request by request
        if !S::WANTS.has(Kinds::GATEWAY) || self.plan.own_responder.is_some() {
            return;
        }
        let silence = silence(self);
        if self.told != Some(silence) {
            self.told = Some(silence);
            Emitter::gateway(now, silence, sink);
        }
    }

    /// Says the last word. `count` is what a client that was started has sent and heard answered.
    pub fn end<S: Sink>(
        &self,
        now: Time,
        count: impl Fn(ClientId) -> Option<(u32, u32)>,
        steps: Option<u64>,
        sink: &mut S,
    ) {
        for start in &self.starts {
            if let Some(count) = count(start.client) {
                Emitter::client_end(now, start.client, count, sink);
            }
        }
        if S::WANTS.has(Kinds::END) {
            sink.take(now, What::End { steps });
        }
    }
}
