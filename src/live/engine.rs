//! The task that owns a live run.

use super::client::{self, Message, Running};
use super::node::{KernelNode, ModelNode, Node, NodeEvent};
use super::progress::Progress;
use super::signals::{Interrupt, Signals};
use super::space::Space;
use super::terms::{LiveEnd, LiveError, LiveOptions, Responder, broke};
use super::watch::Known;
use crate::choice::{ChoiceKind, Chooser, Seeded};
use crate::control::{Control, GATEWAY, Gate, Side};
use crate::gateway::{Gateway, GatewayOutput, SmoltcpOutside};
use crate::host::{Decision, HostState, Reason};
use crate::neigh::KernelClock;
use crate::pair::Veth;
use crate::pod::ClientId;
use crate::scenario::Plan;
use crate::sim::{Emitter, silence};
use crate::time::{Span, Time};
use crate::trace::{ClientNews, Fate, FrameId, Loss, Sink, Trace, What, until};
use netns_lab::monotonic_ns;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;

/// Clients that finished leave the gateway this long to say its last word.
const SETTLE: Duration = Duration::from_millis(20);

/// So long what is due is done without a look at signals and at the end of the run.
const PATIENCE: Duration = Duration::from_millis(100);

/// So much of a real node's news is taken in together.
const HEARD_AT_ONCE: u32 = 1000;

/// Runs a trace's plan live. The events come into it in the order of their times.
pub fn run(options: &LiveOptions, trace: &mut Trace) -> Result<LiveEnd, LiveError> {
    let plan = Arc::clone(&trace.plan);
    super::stage::check(&plan, options.responder)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| LiveError::Build(format!("starting the runtime: {e}")))?;
    let end = runtime.block_on(async {
        // who asks for the end while the namespaces are made is heard, too
        let signals = Signals::listen().map_err(broke)?;
        let mut lab = Lab::new(&plan, options).await?;
        let end = lab.drive(signals).await;
        lab.judge_rest();
        lab.look_at_kernels().await;
        lab.finish();
        trace.events.append(&mut lab.events.events);
        end
    });
    runtime.shutdown_timeout(Duration::from_secs(2));
    trace.events.sort_by_key(|e| e.t_ns);
    end
}

pub(super) struct Start {
    gate: Gate,
    delay: (Span, Span),
    due: Option<Time>,
    pub(super) running: Option<Running>,
    begun: bool,
    pub(super) finished: bool,
    pub(super) life: u32,
    pub(super) sent: u32,
    pub(super) answered: u32,
}

pub(super) struct Lab {
    pub(super) plan: Arc<Plan>,
    pub(super) zero_ns: u64,
    pub(super) chooser: Seeded,
    pub(super) control: Control,
    pub(super) node: Node,
    /// The pod's namespace as the model sees it: what the veth's logic and the plugin's steps on
    /// the host end refer to while that is still in the pod's namespace.
    pub(super) shadow: HostState,
    pub(super) veth: Veth,
    pub(super) pod: Space,
    pub(super) starts: Vec<Start>,
    pub(super) known: Known,
    pub(super) emit: Emitter,
    pub(super) events: Trace,
    pub(super) frames: u32,
    #[expect(clippy::option_option, reason = "nothing told yet, or told that it answers, or why not")]
    verdict: Option<Option<Reason>>,
    tx: UnboundedSender<Message>,
    rx: UnboundedReceiver<Message>,
    pub(super) progress: Progress,
}

enum Due {
    Node(NodeEvent),
    News(Message),
    Neigh(netns_lab::Event),
    Timer,
    Interrupted(Interrupt),
}

impl Start {
    pub(super) fn of(plan: &crate::scenario::ClientPlan) -> Start {
        Start {
            gate: plan.gate,
            delay: plan.delay,
            due: None,
            running: None,
            begun: false,
            finished: false,
            life: 0,
            sent: 0,
            answered: 0,
        }
    }
}

impl Lab {
    async fn new(plan: &Arc<Plan>, options: &LiveOptions) -> Result<Lab, LiveError> {
        let plan = Arc::clone(plan);
        let mut chooser = Seeded::new(options.seed);
        let phase = chooser.choose(ChoiceKind::WheelPhase, KernelClock::phases_ns(plan.hz));
        let clock = KernelClock::new(plan.hz, phase);
        let control = Control::new(
            Arc::clone(&plan.setting),
            Arc::clone(&plan.steps),
            plan.holds.clone(),
            plan.actors.clone(),
        );
        let outside = SmoltcpOutside::new(plan.outside.clone(), options.seed);
        let mut events = Trace::new(&plan);
        let node = match options.responder {
            Responder::Smoltcp => {
                let uplink = plan.setting.uplink;
                let gateway =
                    Gateway::new(plan.host.clone(), uplink, outside, Span::ZERO, clock, &mut chooser);
                Node::Model(Box::new(ModelNode { gateway, wire: None, carrier: false, prefer: options.link }))
            }
            Responder::Kernel => {
                let (node, hint) = KernelNode::build(&plan, outside, options.link).await?;
                if let Some(text) = hint {
                    events.take(Time::ZERO, What::Note { text });
                }
                Node::Kernel(Box::new(node))
            }
        };
        let starts = plan.every_client().map(Start::of).collect();
        let (tx, rx) = unbounded_channel();
        Ok(Lab {
            zero_ns: monotonic_ns(),
            chooser,
            control,
            node,
            shadow: plan.pod.clone(),
            veth: Veth::new(plan.setting.ends(), false),
            pod: Space::new(Side::Pod)?,
            starts,
            known: Known::default(),
            emit: Emitter::default(),
            events,
            frames: 0,
            verdict: None,
            tx,
            rx,
            progress: Progress::new(options.progress),
            plan,
        })
    }

    pub(super) fn now(&self) -> Time {
        Time(monotonic_ns().saturating_sub(self.zero_ns))
    }

    async fn drive(&mut self, mut signals: Signals) -> Result<LiveEnd, LiveError> {
        self.zero_ns = monotonic_ns();
        self.node_turned(Time::ZERO);
        self.open_gates(Gate::Start);
        self.control.start(self.now(), self.node.state(), &mut self.chooser);
        loop {
            self.work().await?;
            let done = !self.starts.is_empty() && self.starts.iter().all(|s| s.finished);
            if done && self.plan.until_clients_done {
                tokio::time::sleep(SETTLE).await;
                self.drain().await?;
                return Ok(LiveEnd::ClientsDone);
            }
            let end = Time::ZERO + self.plan.duration;
            if self.now() >= end {
                return Ok(LiveEnd::TimeUp);
            }
            match self.wait(end, &mut signals).await {
                Due::Node(event) => self.node_news(event).await?,
                Due::News(message) => self.client_news(message),
                Due::Neigh(event) => self.neigh_news(&event),
                Due::Timer => self.judge_late(),
                Due::Interrupted(signal) => return Ok(LiveEnd::Interrupted(signal)),
            }
        }
    }

    /// Waits for whatever comes first.
    async fn wait(&mut self, end: Time, signals: &mut Signals) -> Due {
        let node = [self.node.poll_timeout(), self.node.deadline()];
        let timers = [self.control.poll_timeout(), self.carrier_timeout()];
        let starts = self.starts.iter().filter_map(|s| s.due);
        let next = timers.into_iter().chain(node).flatten().chain(starts).min().unwrap_or(end).min(end);
        let left = next.since(self.now());
        tokio::select! {
            biased;
            signal = signals.come() => Due::Interrupted(signal),
            event = self.node.next() => Due::Node(event),
            Some(message) = self.rx.recv() => Due::News(message),
            Ok(event) = self.pod.monitor.next() => Due::Neigh(event),
            () = tokio::time::sleep_until(Instant::now() + Duration::from(left)) => Due::Timer,
        }
    }

    /// What is on its way when the last client is done still belongs to the run.
    async fn drain(&mut self) -> Result<(), LiveError> {
        while let Ok(message) = self.rx.try_recv() {
            self.client_news(message);
        }
        while let Ok(Ok(event)) = tokio::time::timeout(Duration::ZERO, self.pod.monitor.next()).await {
            self.neigh_news(&event);
        }
        self.hear_node().await?;
        self.work().await
    }

    /// What the real node has said until now: an actor looks at a node that knows it.
    async fn hear_node(&mut self) -> Result<(), LiveError> {
        for _ in 0..HEARD_AT_ONCE {
            if self.node.is_model() {
                break;
            }
            match tokio::time::timeout(Duration::ZERO, self.node.next()).await {
                Ok(event) => self.node_news(event).await?,
                Err(_) => break,
            }
        }
        Ok(())
    }

    /// Does all that is due now.
    async fn work(&mut self) -> Result<(), LiveError> {
        let begun = Instant::now();
        // steps that come faster than a kernel takes them would keep it here for ever
        while begun.elapsed() < PATIENCE {
            let now = self.now();
            self.progress.show(now);
            if self.node.poll_timeout().is_some_and(|t| t <= now) {
                match &mut self.node {
                    Node::Model(m) => m.gateway.handle_timeout(now, &mut self.chooser),
                    Node::Kernel(k) => k.uplink.handle_timeout(now).await?,
                }
            } else if self.carrier_timeout().is_some_and(|t| t <= now) {
                self.notice_carrier(now);
            } else if self.control.poll_timeout().is_some_and(|t| t <= now) {
                self.hear_node().await?;
                if let Some(taken) = self.control.take_due(now, self.node.state(), &mut self.chooser) {
                    self.carry_out(taken).await?;
                }
            } else if !self.start_due(now) {
                self.settle().await?;
                return Ok(());
            }
            self.settle().await?;
        }
        Ok(())
    }

    fn start_due(&mut self, now: Time) -> bool {
        let Some(at) = self.starts.iter().position(|s| s.due.is_some_and(|t| t <= now)) else { return false };
        self.starts[at].due = None;
        self.starts[at].begun = true;
        let plan = Arc::clone(&self.plan);
        let Some(client) = plan.client(at) else { return true };
        Emitter::client_start(self.now(), at, &mut self.events);
        let running =
            client::start(&self.pod.netns, (at, self.starts[at].life), client, self.zero_ns, self.tx.clone());
        self.starts[at].running = Some(running);
        true
    }

    pub(super) fn open_gates(&mut self, gate: Gate) {
        let now = self.now();
        for s in self.starts.iter_mut().filter(|s| s.gate == gate && s.due.is_none() && !s.begun) {
            let grains = (s.delay.1 - s.delay.0).as_ns() / 1_000 + 1;
            let extra = Span::from_ns(self.chooser.choose(ChoiceKind::ClientStart, grains) * 1_000);
            s.due = Some(now + s.delay.0 + extra);
        }
    }

    /// The real node was changed since `begin`; requests from then on meet it as it is now.
    pub(super) fn node_turned(&mut self, begin: Time) {
        let end = self.now();
        if let Node::Kernel(k) = &mut self.node {
            let dev = self.veth.host_index(&k.state);
            let view = k.view(dev, self.veth.carries());
            k.judge.turn(begin, end, view);
        }
    }

    /// Carries the gateway's frames to the pod and its notes to the trace.
    pub(super) async fn settle(&mut self) -> Result<(), LiveError> {
        while let Some(output) = self.node.model_output() {
            let now = Time(monotonic_ns().saturating_sub(self.zero_ns));
            match output {
                GatewayOutput::Transmit { dev, frame } => {
                    if self.veth.host_index(self.node.state()) != Some(dev) {
                        continue;
                    }
                    self.send_to_pod(&frame).await?;
                }
                GatewayOutput::Note(note) => {
                    if matches!(&note, crate::stack::Note::Judged { decision: Decision::Silent(_), arp: Some(a), .. } if a.tpa == GATEWAY)
                    {
                        self.progress.unanswered();
                    }
                    self.emit.stack_note(now, Side::Host, self.node.state(), note, &mut self.events);
                }
            }
        }
        self.report();
        Ok(())
    }

    /// A frame of the modelled host end, on the wire.
    pub(super) async fn send_to_pod(&mut self, frame: &[u8]) -> Result<(), LiveError> {
        let Node::Model(m) = &mut self.node else { return Ok(()) };
        self.frames += 1;
        let sent = match &m.wire {
            Some(wire) if self.veth.carries() => wire.send(frame).await?,
            _ => false,
        };
        let fate = if sent { Fate::Delivered } else { Fate::Lost(Loss::PodDown) };
        let now = Time(monotonic_ns().saturating_sub(self.zero_ns));
        self.tell_frame(now, (FrameId(self.frames), Side::Host, fate), frame);
        Ok(())
    }

    fn report(&mut self) {
        let now = self.now();
        while let Some(news) = self.control.poll_news() {
            Emitter::hold(now, news, &mut self.events);
            match self.events.last().map(|e| &e.what) {
                Some(What::Held { step, until: end }) => {
                    let text =
                        format!("{} is held {}", self.events.step_name(*step), until(&self.events, *end));
                    self.progress.held(*step, text);
                }
                Some(What::Released { step }) => self.progress.released(*step),
                _ => {}
            }
        }
        // a responder of one's own is asked request by request
        if self.plan.own_responder.is_some() {
            return;
        }
        let verdict = self.silence();
        if self.verdict != Some(verdict) {
            self.verdict = Some(verdict);
            Emitter::gateway(now, verdict, &mut self.events);
        }
    }

    fn silence(&self) -> Option<Reason> {
        let state = self.node.state();
        silence(&self.plan, state, self.veth.host_index(state), self.veth.carries())
    }

    /// Clients end with their namespace; the new containers start new ones.
    pub(super) fn end_clients(&mut self) {
        for (start, plan) in self.starts.iter_mut().zip(self.plan.every_client()) {
            *start = Start { life: start.life + 1, ..Start::of(plan) };
        }
    }

    /// Routes, neighbours and switches as the kernels have them at the end.
    async fn look_at_kernels(&mut self) {
        let now = self.now();
        if let Node::Kernel(k) = &self.node
            && let Some((routes, neighbours)) = k.space.view().await
        {
            let sysctls = k.sysctls(self.plan.setting.cali);
            self.events.take(now, What::Kernel { side: Side::Host, routes, neighbours, sysctls });
        }
        if let Some((routes, neighbours)) = self.pod.view().await {
            let what = What::Kernel { side: Side::Pod, routes, neighbours, sysctls: Vec::new() };
            self.events.take(now, what);
        }
    }

    fn finish(&mut self) {
        let now = self.now();
        for (at, start) in self.starts.iter_mut().enumerate() {
            start.running = None;
            if start.begun {
                let news = ClientNews::End { sent: start.sent, answered: start.answered };
                let client = ClientId(at as u32);
                self.events.take(now, What::Client { client, news });
            }
        }
        self.events.take(now, What::End { steps: None });
    }
}
