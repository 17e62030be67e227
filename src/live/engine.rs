//! The task that owns a live run.

use super::capture::Captured;
use super::client::{self, Message, Report, Running};
use super::judge::Verdict;
use super::link::{LinkFault, LinkKind};
use super::node::{KernelNode, ModelNode, Node, NodeEvent};
use super::progress::Progress;
use super::space::Space;
use super::watch::{Entry, Known};
use crate::choice::{ChoiceKind, Chooser, Seeded};
use crate::control::{Control, GATEWAY, Gate, Happening, Side};
use crate::gateway::{Gateway, GatewayOutput, SmoltcpOutside};
use crate::host::frame::{Arp, Cast, ETHERTYPE_ARP, EthFrame, OP_REPLY, OP_REQUEST};
use crate::host::{Decision, HostState, Reason};
use crate::neigh::KernelClock;
use crate::scenario::Plan;
use crate::sim::{Emitter, Veth};
use crate::time::{Span, Time};
use crate::trace::{ClientNews, Event, Fate, FrameId, Sink, What};
use netns_lab::monotonic_ns;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;

/// What a live run is told beyond the plan.
#[derive(Clone, Copy, Debug)]
pub struct LiveOptions {
    /// Who answers for the gateway.
    pub responder: Responder,
    /// Seed of what the actors draw.
    pub seed: u64,
    /// How the device is made whose wire this program holds: the pod's `eth0`, or the uplink of a
    /// real node; the best there is by default.
    pub link: Option<LinkKind>,
    /// Show a line while waiting, if standard error is a terminal.
    pub progress: bool,
}

/// Who answers for the gateway in a live run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Responder {
    /// The software gateway.
    Smoltcp,
    /// The proxy ARP of the running kernel, in a namespace that stands for the node.
    Kernel,
}

/// Why a live run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LiveEnd {
    /// Every client was done.
    ClientsDone,
    /// Its time was up.
    TimeUp,
    /// Ctrl-C, or a polite signal.
    Interrupted,
}

/// Why a live run could not go on.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The lab could not be built.
    #[error("the live lab cannot be built: {0}")]
    Build(String),
    /// This kernel, or any, has no means for what the scenario wants.
    #[error("the scenario cannot be staged here: {0}")]
    NotHere(String),
    /// Something broke on the way.
    #[error("the live run broke off: {0}")]
    Broke(String),
}

impl From<LinkFault> for LiveError {
    fn from(e: LinkFault) -> LiveError {
        LiveError::Broke(e.to_string())
    }
}

pub(super) fn broke(e: impl core::fmt::Display) -> LiveError {
    LiveError::Broke(e.to_string())
}

/// Clients that finished leave the gateway this long to say its last word.
const SETTLE: Duration = Duration::from_millis(20);

/// So long what is due is done without a look at signals and at the end of the run.
const PATIENCE: Duration = Duration::from_millis(100);

/// What asks a run to end.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From now on none is missed.
    fn listen() -> std::io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn come(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Runs a plan live. The events come out in the order of their times.
pub fn run(plan: Plan, options: &LiveOptions, events: &mut Vec<Event>) -> Result<LiveEnd, LiveError> {
    super::stage::check(&plan, options.responder)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| LiveError::Build(format!("starting the runtime: {e}")))?;
    let end = runtime.block_on(async {
        // who asks for the end while the namespaces are made is heard, too
        let signals = Signals::listen().map_err(broke)?;
        let mut lab = Lab::new(plan, options).await?;
        let end = lab.drive(signals).await;
        lab.judge_rest();
        lab.look_at_kernels().await;
        lab.finish();
        events.append(&mut lab.events);
        end
    });
    runtime.shutdown_timeout(Duration::from_secs(2));
    events.sort_by_key(|e| e.t_ns);
    end
}

struct Start {
    gate: Gate,
    delay: (Span, Span),
    due: Option<Time>,
    running: Option<Running>,
    begun: bool,
    finished: bool,
    sent: u32,
    answered: u32,
}

pub(super) struct Lab {
    pub(super) plan: Arc<Plan>,
    zero_ns: u64,
    pub(super) chooser: Seeded,
    pub(super) control: Control,
    pub(super) node: Node,
    /// The pod's namespace as the model sees it: what the veth's logic and the plugin's steps on
    /// the host end refer to while that is still in the pod's namespace.
    pub(super) shadow: HostState,
    pub(super) veth: Veth,
    pub(super) pod: Space,
    starts: Vec<Start>,
    pub(super) known: Known,
    pub(super) emit: Emitter,
    pub(super) events: Vec<Event>,
    frames: u32,
    #[expect(clippy::option_option, reason = "nothing told yet, or told that it answers, or why not")]
    verdict: Option<Option<Reason>>,
    tx: UnboundedSender<Message>,
    rx: UnboundedReceiver<Message>,
    progress: Progress,
}

enum Due {
    Node(NodeEvent),
    News(Message),
    Neigh(netns_lab::Event),
    Timer,
    Interrupted,
}

impl Start {
    fn of(plan: &crate::scenario::ClientPlan) -> Start {
        Start {
            gate: plan.gate,
            delay: plan.delay,
            due: None,
            running: None,
            begun: false,
            finished: false,
            sent: 0,
            answered: 0,
        }
    }
}

impl Lab {
    async fn new(plan: Plan, options: &LiveOptions) -> Result<Lab, LiveError> {
        let plan = Arc::new(plan);
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
        let mut events = Vec::new();
        let node = match options.responder {
            Responder::Smoltcp => {
                let uplink = plan.setting.uplink;
                let gateway =
                    Gateway::new(plan.host.clone(), uplink, outside, Span::ZERO, clock, &mut chooser);
                Node::Model(Box::new(ModelNode { gateway, wire: None, prefer: options.link }))
            }
            Responder::Kernel => {
                let (node, hint) = KernelNode::build(&plan, outside, options.link).await?;
                if let Some(text) = hint {
                    events.take(Time::ZERO, What::Note { text });
                }
                Node::Kernel(Box::new(node))
            }
        };
        let starts = plan.clients.iter().map(Start::of).collect();
        let (tx, rx) = unbounded_channel();
        Ok(Lab {
            zero_ns: monotonic_ns(),
            chooser,
            control,
            node,
            shadow: plan.pod.clone(),
            veth: Veth::default(),
            pod: Space::new(Side::Pod)?,
            starts,
            known: Known::default(),
            emit: Emitter::new(&plan),
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
                Due::Interrupted => return Ok(LiveEnd::Interrupted),
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
            () = signals.come() => Due::Interrupted,
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
        if !self.node.is_model() {
            while let Ok(event) = tokio::time::timeout(Duration::ZERO, self.node.next()).await {
                self.node_news(event).await?;
            }
        }
        self.work().await
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
                if let Some(taken) = self.control.take_due(now, self.node.state(), &mut self.chooser) {
                    self.carry_out(&taken).await?;
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
        self.emit.client_start(self.now(), at, &mut self.events);
        let running =
            client::start(&self.pod.netns, at, &self.plan.clients[at], self.zero_ns, self.tx.clone());
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

    fn client_news(&mut self, message: Message) {
        let start = &mut self.starts[message.client];
        if start.finished {
            return;
        }
        let name = self.plan.clients[message.client].name.clone();
        let mut tried = false;
        match message.what {
            Report::News(news) => {
                match news {
                    ClientNews::Try { .. } => {
                        start.sent += 1;
                        tried = true;
                    }
                    ClientNews::Success { .. } => start.answered += 1,
                    _ => {}
                }
                if self.plan.clients[message.client].stop_after.is_some_and(|n| start.answered >= n) {
                    start.running = None;
                    start.finished = true;
                }
                self.events.take(message.at, What::Client { client: name, news });
            }
            Report::Finished => start.finished = true,
        }
        if tried {
            self.control.count_try(self.now(), &mut self.chooser);
        }
    }

    fn time_of(&self, at_ns: u64) -> Time {
        Time(at_ns.saturating_sub(self.zero_ns))
    }

    fn neigh_news(&mut self, event: &netns_lab::Event) {
        let at = self.time_of(event.at_ns);
        if !self.node.is_model() {
            self.pod_carrier(&event.change);
        }
        if let Some(entry) = self.known.take(&event.change) {
            self.tell_entry(at, Side::Pod, entry);
        }
    }

    fn tell_entry(&mut self, at: Time, side: Side, entry: Entry) {
        let Entry { dev, ip, old, new, lladdr } = entry;
        if side == Side::Pod && ip == IpAddr::V4(GATEWAY) {
            self.progress.entry(new.map_or("no entry".into(), |n| n.to_string()));
        }
        self.events.take(at, What::Neigh { side, dev, ip, old, new, lladdr, cause: None });
    }

    /// What came from the host's side.
    async fn node_news(&mut self, event: NodeEvent) -> Result<(), LiveError> {
        match event {
            NodeEvent::FromPod(Some(frame)) => return self.heard_pod(&frame).await,
            NodeEvent::FromPod(None) => {
                if let Node::Model(m) = &mut self.node {
                    m.wire = None;
                }
            }
            NodeEvent::Captured(Some(frame)) => self.captured(&frame).await,
            NodeEvent::Captured(None) => {
                if let Node::Kernel(k) = &mut self.node {
                    k.capture = None;
                }
            }
            NodeEvent::Uplink(frame) => {
                let now = self.now();
                if let Node::Kernel(k) = &mut self.node {
                    k.uplink.receive(now, &frame).await?;
                }
            }
            NodeEvent::Netlink(event) => self.netlink_news(&event),
        }
        Ok(())
    }

    /// The real node's netlink: its links, which Felix hears of, and its neighbours.
    fn netlink_news(&mut self, event: &netns_lab::Event) {
        let Node::Kernel(k) = &mut self.node else { return };
        let cali = self.plan.setting.cali;
        if let Some(news) = k.link_news(&event.change, cali) {
            let what = Happening::Link(cali, news);
            self.node_turned(self.now());
            self.control.notice(self.now(), what, self.node.state(), &mut self.chooser);
        } else if let Some(entry) = k.known.take(&event.change)
            && entry.dev == cali.as_str()
        {
            self.tell_entry(self.time_of(event.at_ns), Side::Host, entry);
        } else if k.carrier_news(&event.change) {
            self.node_turned(self.time_of(event.at_ns));
        }
    }

    /// A frame on a real veth pair, as the pod's end saw it.
    async fn captured(&mut self, frame: &Captured) {
        let at = self.time_of(frame.at_ns);
        self.frames += 1;
        let id = FrameId(self.frames);
        let from = if frame.from_pod { Side::Pod } else { Side::Host };
        self.emit.frame(at, id, from, &frame.bytes, Fate::Delivered, &mut self.events);
        let Some((eth, arp)) = arp_of(&frame.bytes) else { return };
        if frame.from_pod && arp.op == OP_REQUEST && arp.tpa == GATEWAY {
            let cali = self.node.state().link_named(self.plan.setting.cali);
            let cast = Cast::of(eth.dst, cali.map_or(eth.dst, crate::host::Link::mac));
            if let Node::Kernel(k) = &mut self.node {
                k.judge.asked(at, id, arp, cast);
            }
            self.control.count_request(self.now(), &mut self.chooser);
            self.look_at_entry().await;
        } else if !frame.from_pod && arp.op == OP_REPLY && arp.spa == GATEWAY {
            let verdict = match &mut self.node {
                Node::Kernel(k) => k.judge.answered(at),
                Node::Model(_) => None,
            };
            self.tell_verdicts(verdict);
        }
    }

    /// Requests that have waited too long for an answer have none.
    fn judge_late(&mut self) {
        let now = self.now();
        if let Node::Kernel(k) = &mut self.node {
            let verdicts = k.judge.expire(now);
            self.tell_verdicts(verdicts);
        }
    }

    fn judge_rest(&mut self) {
        if let Node::Kernel(k) = &mut self.node {
            let verdicts = k.judge.finish();
            self.tell_verdicts(verdicts);
        }
    }

    fn tell_verdicts(&mut self, verdicts: impl IntoIterator<Item = Verdict>) {
        for Verdict { at, what, differs } in verdicts {
            if matches!(what, What::Judged { answered: false, .. }) {
                self.progress.unanswered();
            }
            self.events.take(at, what);
            if let Some(text) = differs {
                self.events.take(at, What::Differs { text });
            }
        }
    }

    /// The real node was changed since `begin`; requests from then on meet it as it is now.
    pub(super) fn node_turned(&mut self, begin: Time) {
        let end = self.now();
        if let Node::Kernel(k) = &mut self.node {
            let dev = self.veth.host_index(&self.plan.setting, &k.state);
            let view = k.view(dev, self.veth.carries());
            k.judge.turn(begin, end, view);
        }
    }

    /// A frame of the pod for the modelled node: into the trace, then to the gateway.
    async fn heard_pod(&mut self, frame: &[u8]) -> Result<(), LiveError> {
        let now = self.now();
        self.frames += 1;
        let id = FrameId(self.frames);
        let asks = arp_of(frame).is_some_and(|(_, a)| a.op == OP_REQUEST && a.tpa == GATEWAY);
        let host = self.veth.host_index(&self.plan.setting, self.node.state());
        let arrives = self.veth.carries() && host.is_some();
        let fate =
            if arrives { Fate::Delivered } else { Fate::Lost(self.emit.no_carrier(self.node.state())) };
        self.emit.frame(now, id, Side::Pod, frame, fate, &mut self.events);
        if asks {
            self.control.count_request(now, &mut self.chooser);
        }
        if let (Node::Model(m), Some(dev)) = (&mut self.node, host.filter(|_| arrives)) {
            self.emit.begin_frame(id);
            m.gateway.receive(now, dev, frame, &mut self.chooser);
            self.settle().await?;
            self.emit.end_frame();
        }
        if asks {
            self.look_at_entry().await;
        }
        Ok(())
    }

    /// INCOMPLETE is never announced: looks at the table while the pod is asking.
    async fn look_at_entry(&mut self) {
        let Ok(entries) = self.pod.rtnl.neighbours().await else { return };
        let now = self.now();
        for n in entries.iter().filter(|n| n.address == IpAddr::V4(GATEWAY)) {
            if n.state == netns_lab::rtnl::NudState::Incomplete
                && let Some(entry) = self.known.see(n)
            {
                self.tell_entry(now, Side::Pod, entry);
            }
        }
    }

    /// Carries the gateway's frames to the pod and its notes to the trace.
    async fn settle(&mut self) -> Result<(), LiveError> {
        let Node::Model(m) = &mut self.node else {
            self.report();
            return Ok(());
        };
        while let Some(output) = m.gateway.poll_output() {
            let now = Time(monotonic_ns().saturating_sub(self.zero_ns));
            match output {
                GatewayOutput::Transmit { dev, frame } => {
                    if self.veth.host_index(&self.plan.setting, m.gateway.state()) != Some(dev) {
                        continue;
                    }
                    self.frames += 1;
                    let sent = match &m.wire {
                        Some(wire) if self.veth.carries() => wire.send(&frame).await?,
                        _ => false,
                    };
                    let fate =
                        if sent { Fate::Delivered } else { Fate::Lost("the pod's end is down".into()) };
                    self.emit.frame(now, FrameId(self.frames), Side::Host, &frame, fate, &mut self.events);
                }
                GatewayOutput::Note(note) => {
                    if matches!(&note, crate::stack::Note::Judged { decision: Decision::Silent(_), arp: Some(a), .. } if a.tpa == GATEWAY)
                    {
                        self.progress.unanswered();
                    }
                    self.emit.stack_note(now, Side::Host, m.gateway.state(), note, &mut self.events);
                }
            }
        }
        self.report();
        Ok(())
    }

    fn report(&mut self) {
        let now = self.now();
        while let Some(news) = self.control.poll_news() {
            self.emit.hold(now, news, &mut self.events);
            match self.events.last().map(|e| &e.what) {
                Some(What::Held { step, until }) => self.progress.held(step, until),
                Some(What::Released { step }) => self.progress.released(step),
                _ => {}
            }
        }
        let verdict = self.silence();
        if self.verdict != Some(verdict) {
            self.verdict = Some(verdict);
            self.emit.gateway(now, verdict, &mut self.events);
        }
    }

    fn silence(&self) -> Option<Reason> {
        let s = &self.plan.setting;
        let state = self.node.state();
        let dev = self.veth.host_index(s, state);
        let arp = Arp::request(s.pod_mac, s.pod_ip, GATEWAY);
        super::judge::decide_in(state, dev, self.veth.carries(), arp, Cast::Broadcast).reason()
    }

    /// Ends a client, its run included, before its time.
    pub(super) fn end_clients(&mut self) {
        for start in &mut self.starts {
            if start.begun && !start.finished {
                start.running = None;
                start.finished = true;
            }
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
                let client = self.plan.clients[at].name.clone();
                self.events.take(now, What::Client { client, news });
            }
        }
        self.events.take(now, What::End { steps: None });
    }
}

/// A frame that is a well-formed ARP packet.
fn arp_of(frame: &[u8]) -> Option<(EthFrame<'_>, Arp)> {
    let eth = EthFrame::parse(frame).ok().filter(|eth| eth.ethertype == ETHERTYPE_ARP)?;
    let arp = Arp::parse(eth.payload).ok()?;
    Some((eth, arp))
}
