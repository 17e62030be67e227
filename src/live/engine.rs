//! The task that owns a live run.

use super::client::{self, ClientReport, Message, Running};
use super::desk::{Asked, Wishes};
use super::hands::Hands;
use super::kernel_node::KernelNode;
use super::mirror::Mirror;
use super::model_node::ModelNode;
use super::node::{Node, NodeEvent};
use super::plugin::{Note, Plugin};
use super::progress::StatusLine;
use super::signals::{Interrupt, Signals};
use super::space::{Space, Tables};
use super::terms::{Audience, LiveEnd, LiveError, LiveNode, LiveOptions, broke};
use super::watch::KnownEntries;
use crate::addr::IfName;
use crate::choice::{ChoiceKind, Chooser, Seeded};
use crate::control::{Side, Until};
use crate::gateway::{Gateway, GatewayOutput, SmoltcpOutside};
use crate::host::Decision;
use crate::neigh::KernelClock;
use crate::pair::Veth;
use crate::pod::{ClientEvent, ClientId};
use crate::run::{Emitter, Run};
use crate::scenario::Plan;
use crate::time::{Span, Time};
use crate::trace::{Event, FrameFate, FrameId, KernelTables, Loss, Sink, Trace, What, until};
use netns_lab::monotonic_ns;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;

/// Clients that finished leave the gateway this long to say its last word.
const SETTLE: Duration = Duration::from_millis(20);

/// So long what is due is done without a look at signals and at the end of the run.
const PATIENCE: Duration = Duration::from_millis(100);

/// So long after it happened an event is told to an audience: what the kernels and the clients say of
/// one moment comes in this time, in whatever order.
const TOLD_AFTER: Span = Span::from_ms(20);

/// So much of a real node's news is taken in together.
const HEARD_AT_ONCE: u32 = 1000;

/// So long ADDs of several pods are waited for that nothing holds and that do nothing, when all clients are done.
const ADD_PATIENCE: Span = Span::from_secs(30);

/// Runs a trace's plan live. The events come into it in the order of their times.
pub fn run(options: &LiveOptions, trace: &mut Trace) -> Result<LiveEnd, LiveError> {
    run_or_tell(options, trace, None, None)
}

/// As [`run`], before an audience that hears of each event soon after it happened.
pub fn run_before(
    options: &LiveOptions,
    trace: &mut Trace,
    audience: &mut dyn Audience,
) -> Result<LiveEnd, LiveError> {
    run_or_tell(options, trace, Some(audience), None)
}

/// As [`run_before`], as a lab that stays up: with a desk where people ask for things, and an eye on what
/// they do in its namespaces, which are steps of the operator named `operator.by-hand`.
pub fn stay(
    options: &LiveOptions,
    trace: &mut Trace,
    audience: &mut dyn Audience,
    desk: Wishes,
) -> Result<LiveEnd, LiveError> {
    run_or_tell(options, trace, Some(audience), Some(desk))
}

fn run_or_tell(
    options: &LiveOptions,
    trace: &mut Trace,
    mut audience: Option<&mut dyn Audience>,
    desk: Option<Wishes>,
) -> Result<LiveEnd, LiveError> {
    if desk.is_some() {
        trace.plan = super::stay::with_hands(&trace.plan);
    }
    let plan = Arc::clone(&trace.plan);
    super::stage::check(&plan, options.responder)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| LiveError::Build(format!("starting the runtime: {e}")))?;
    let end = runtime.block_on(async {
        // who asks for the end while the namespaces are made is heard, too
        let signals = Signals::listen().map_err(broke)?;
        let mut lab = Lab::new(&plan, options, core::mem::take(&mut trace.events)).await?;
        if let Some(desk) = desk {
            lab.hands = plan.steps.find(super::stay::BY_HAND).map(Hands::new);
            lab.desk = Some(desk);
        }
        let end = lab.drive(signals, &mut audience).await;
        lab.judge_late(true);
        lab.look_for_untold_entry().await;
        lab.look_at_kernels().await;
        if !matches!(end, Err(_) | Ok(LiveEnd::Interrupted(_))) {
            lab.take_others_away();
        }
        lab.finish();
        if lab.hands.is_some() {
            lab.end_guests();
        }
        lab.tell(Time::FOREVER, &mut audience);
        *trace = lab.events;
        end
    });
    runtime.shutdown_timeout(Duration::from_secs(2));
    trace.events.sort_by_key(|e| e.t_ns);
    end
}

/// A client of the pod.
#[derive(Default)]
pub(super) struct LiveClient {
    pub(super) running: Option<Running>,
    started: bool,
    pub(super) finished: bool,
    /// How often it was started anew: news of an earlier life is none.
    pub(super) life: u32,
    pub(super) sent: u32,
    pub(super) answered: u32,
}

pub(super) struct Lab {
    pub(super) plan: Arc<Plan>,
    pub(super) zero_ns: u64,
    pub(super) chooser: Seeded,
    pub(super) run: Run,
    pub(super) node: Node,
    pub(super) mirror: Mirror,
    pub(super) pod: Space,
    pub(super) clients: Vec<LiveClient>,
    pub(super) known: KnownEntries,
    pub(super) events: Trace,
    pub(super) frames: u32,
    pub(super) in_vain: InVain,
    /// Of a lab that stays up.
    pub(super) hands: Option<Hands>,
    desk: Option<Wishes>,
    /// So many events have been told.
    heard: usize,
    tx: UnboundedSender<Message>,
    rx: UnboundedReceiver<Message>,
    pub(super) progress: StatusLine,
    pub(super) plugin: Option<Plugin>,
    /// Links of the node that the model does without.
    pub(super) strange_links: Vec<IfName>,
    /// When a plugin was last heard of.
    pub(super) plugin_heard: Time,
}

/// What there is to wait for beside clients that are done.
enum Adds {
    /// Nothing.
    Over,
    /// ADDs that may end until then.
    Until(Time),
}

/// The pod's requests for its gateway of IPv4 since the last answer, and whether somebody has looked what
/// the kernels have meanwhile.
#[derive(Default)]
pub(super) struct InVain {
    requests: u32,
    last: Option<Time>,
    looks: u32,
    due: bool,
}

impl InVain {
    /// The second request is due a second after the first: both wait for an answer then.
    const LOOK_AT: u32 = 2;
    /// So many windows of a run are looked into.
    const LOOKS: u32 = 8;

    /// When the pod asked last, and whether that was answered.
    pub(super) fn last_request(&self) -> Option<(Time, bool)> {
        self.last.map(|at| (at, self.requests == 0))
    }

    pub(super) fn asked(&mut self, at: Time) {
        self.last = Some(at);
        self.requests += 1;
        if self.requests == InVain::LOOK_AT && self.looks < InVain::LOOKS {
            (self.looks, self.due) = (self.looks + 1, true);
        }
    }

    pub(super) fn answered(&mut self) {
        self.requests = 0;
    }

    fn is_look_due(&mut self) -> bool {
        core::mem::take(&mut self.due)
    }
}

enum Due {
    Node(NodeEvent),
    News(Message),
    Neigh(netns_lab::Event),
    Plugin(Note),
    Timer,
    Asked(Asked),
    Interrupted(Interrupt),
}

impl LiveClient {
    /// It is over, and can be started again.
    pub(super) fn renew(&mut self) {
        *self = LiveClient { life: self.life + 1, ..LiveClient::default() };
    }
}

impl Lab {
    async fn new(plan: &Arc<Plan>, options: &LiveOptions, begun: Vec<Event>) -> Result<Lab, LiveError> {
        let plan = Arc::clone(plan);
        let mut chooser = Seeded::new(options.seed);
        let phase = chooser.choose(ChoiceKind::WheelPhase, KernelClock::phases_ns(plan.hz));
        let clock = KernelClock::new(plan.hz, phase);
        let outside = SmoltcpOutside::new(plan.outside.clone(), options.seed);
        let mut events = Trace { events: begun, ..Trace::new(&plan) };
        let node = match options.responder {
            LiveNode::Smoltcp => {
                let uplink = plan.setting.uplink;
                let mut gateway =
                    Gateway::new(plan.host.clone(), uplink, outside, Span::ZERO, clock, &mut chooser);
                for client in plan.every_client().filter(|c| c.from == Side::Host) {
                    gateway.add_client(client.spec());
                }
                Node::Model(Box::new(ModelNode::new(gateway, options.link)))
            }
            LiveNode::Kernel => {
                let (node, no_tap) = KernelNode::build(&plan, outside, options.link).await?;
                if let Some(why) = no_tap {
                    events.take(Time::ZERO, What::NoTap { why });
                }
                Node::Kernel(Box::new(node))
            }
        };
        let clients = plan.every_client().map(|_| LiveClient::default()).collect();
        let (tx, rx) = unbounded_channel();
        Ok(Lab {
            zero_ns: monotonic_ns(),
            chooser,
            run: Run::new(Arc::clone(&plan)),
            node,
            mirror: Mirror::new(plan.pod.clone(), Veth::new(plan.setting.ends(), false)),
            pod: Space::new(Side::Pod, &plan.pod)?,
            clients,
            known: KnownEntries::default(),
            events,
            frames: 0,
            in_vain: InVain::default(),
            hands: None,
            desk: None,
            heard: 0,
            tx,
            rx,
            progress: StatusLine::new(options.progress),
            plugin: Plugin::new(&plan)?,
            strange_links: Vec::new(),
            plugin_heard: Time::ZERO,
            plan,
        })
    }

    pub(super) fn now(&self) -> Time {
        Time(monotonic_ns().saturating_sub(self.zero_ns))
    }

    async fn drive(
        &mut self,
        mut signals: Signals,
        audience: &mut Option<&mut dyn Audience>,
    ) -> Result<LiveEnd, LiveError> {
        self.prepare_plugin().await?;
        self.zero_ns = monotonic_ns();
        self.events.began = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok();
        self.progress.begin();
        self.set_up_by_tools(Side::Host).await?;
        self.node_turned(Time::ZERO);
        if self.hands.is_some() {
            self.strange_links = self.links_of_the_lab().await?;
        }
        self.run.start(self.now(), self.node.state(), &mut self.chooser);
        loop {
            self.work().await?;
            let done = !self.clients.is_empty() && self.clients.iter().all(|c| c.finished);
            let mut end = Time::ZERO + self.plan.duration;
            if done && self.plan.until_clients_done {
                match self.adds() {
                    Adds::Over => {
                        tokio::time::sleep(SETTLE).await;
                        self.drain().await?;
                        return Ok(LiveEnd::ClientsDone);
                    }
                    Adds::Until(last) if self.now() >= last => return Ok(LiveEnd::NotAdded),
                    Adds::Until(last) => end = end.min(last),
                }
            }
            if self.now() >= end {
                return Ok(LiveEnd::TimeUp);
            }
            self.tell(Time(self.now().0.saturating_sub(TOLD_AFTER.as_ns())), audience);
            let next = audience.as_ref().and_then(|_| self.untold());
            match self.wait(next.unwrap_or(end).min(end), &mut signals).await {
                Due::Node(event) => self.node_news(event).await?,
                Due::News(message) => self.client_news(message).await?,
                Due::Neigh(event) => self.neigh_news(&event),
                Due::Plugin(note) => {
                    self.plugin_heard = self.now();
                    self.plugin_news(note).await?;
                }
                Due::Timer => {
                    self.judge_late(false);
                    self.plugin_waits_no_longer().await?;
                    self.watch_hands().await?;
                }
                Due::Asked(asked) => {
                    if self.attend(asked) {
                        return Ok(LiveEnd::Told);
                    }
                }
                Due::Interrupted(signal) => return Ok(LiveEnd::Interrupted(signal)),
            }
            if self.in_vain.is_look_due() {
                self.look_at_kernels().await;
            }
        }
    }

    /// Tells of what happened before `until`.
    fn tell(&mut self, until: Time, audience: &mut Option<&mut dyn Audience>) {
        let Some(audience) = audience else { return };
        let fresh = &mut self.events.events[self.heard..];
        fresh.sort_by_key(|e| e.t_ns);
        let told = self.heard + fresh.partition_point(|e| e.t_ns < until);
        if told > self.heard {
            self.progress.beside(|| audience.hear(&self.events, self.heard..told));
            self.heard = told;
        }
    }

    /// When there is something to tell next.
    fn untold(&self) -> Option<Time> {
        self.events.events[self.heard..].iter().map(|e| e.t_ns).min().map(|t| t + TOLD_AFTER)
    }

    /// Whether ADDs of several pods that were begun are to be waited for. One that is held for ever is not.
    fn adds(&self) -> Adds {
        if self.plan.plugin.as_ref().is_none_or(|plugin| plugin.others == 0) {
            return Adds::Over;
        }
        let until = self.run.control().adding().filter_map(|(_, held)| match held {
            Some((_, Until::Never, _)) => None,
            Some((_, _, ends)) if ends != Time::FOREVER => Some(ends.max(self.plugin_heard)),
            _ => Some(self.plugin_heard),
        });
        until.max().map_or(Adds::Over, |last| Adds::Until(last + ADD_PATIENCE))
    }

    /// Waits for whatever comes first.
    async fn wait(&mut self, end: Time, signals: &mut Signals) -> Due {
        let plugin = self.plugin.as_ref().and_then(Plugin::deadline);
        let node = [self.node.poll_timeout(), self.node.deadline(), plugin];
        let own = self.node.carrier_timeout(&self.mirror.veth);
        let timers = [self.run.poll_timeout(), own, self.hands_timeout()];
        let next = timers.into_iter().chain(node).flatten().min().unwrap_or(end).min(end);
        let left = next.since(self.now());
        tokio::select! {
            biased;
            signal = signals.come() => Due::Interrupted(signal),
            event = self.node.next() => Due::Node(event),
            Some(message) = self.rx.recv() => Due::News(message),
            Ok(event) = self.pod.monitor.next() => Due::Neigh(event),
            Some(told) = async {
                match &mut self.plugin {
                    Some(plugin) => plugin.next().await,
                    None => std::future::pending().await,
                }
            } => Due::Plugin(told),
            Some(asked) = async {
                match &mut self.desk {
                    Some(desk) => desk.0.recv().await,
                    None => std::future::pending().await,
                }
            } => Due::Asked(asked),
            () = tokio::time::sleep_until(Instant::now() + Duration::from(left)) => Due::Timer,
        }
    }

    /// What is on its way when the last client is done still belongs to the run.
    async fn drain(&mut self) -> Result<(), LiveError> {
        while let Ok(message) = self.rx.try_recv() {
            self.client_news(message).await?;
        }
        while let Ok(Ok(event)) = tokio::time::timeout(Duration::ZERO, self.pod.monitor.next()).await {
            self.neigh_news(&event);
        }
        self.hear_node().await?;
        self.work().await
    }

    /// What the real node has said until now: an actor looks at a node that knows it.
    pub(super) async fn hear_node(&mut self) -> Result<(), LiveError> {
        for _ in 0..HEARD_AT_ONCE {
            match self.node.said().await {
                Some(event) => self.node_news(event).await?,
                None => break,
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
            self.progress.show();
            if self.node.poll_timeout().is_some_and(|t| t <= now) {
                self.node.handle_timeout(now, &mut self.chooser).await?;
            } else if self.node.carrier_timeout(&self.mirror.veth).is_some_and(|t| t <= now) {
                self.notice_carrier(now);
            } else if self.run.has_step(now) {
                self.hear_node().await?;
                if let Some(doing) = self.run.take_due(now, self.node.state(), &mut self.chooser) {
                    self.hands_before_own().await?;
                    self.carry_out(doing).await?;
                }
            } else if let Some(order) = self.run.start_due(now, &mut self.events) {
                self.obey(&order).await?;
            } else {
                self.settle().await?;
                return Ok(());
            }
            self.settle().await?;
        }
        Ok(())
    }

    pub(super) fn start_client(&mut self, id: ClientId) {
        let at = id.0 as usize;
        let (Some(plan), Some(client)) = (self.plan.client(at), self.clients.get_mut(at)) else { return };
        client.started = true;
        let netns = match (plan.from, self.node.space()) {
            (Side::Pod, _) => &self.pod.netns,
            (Side::Host, Some(node)) => &node.netns,
            // the node is a model, and so is what runs on it
            (Side::Host, None) => {
                let there = self.plan.number_there(id);
                let now = Time(monotonic_ns().saturating_sub(self.zero_ns));
                return self.node.start_client(now, there, &mut self.chooser);
            }
        };
        client.running = Some(client::start(netns, (at, client.life), plan, self.zero_ns, self.tx.clone()));
    }

    /// A client of the modelled node did something: it is heard as one with real sockets is.
    fn modelled_client(&self, now: Time, there: ClientId, event: &ClientEvent) {
        let Some(id) = self.plan.number_of_node(there) else { return };
        let client = id.0 as usize;
        let Some(life) = self.clients.get(client).map(|c| c.life) else { return };
        let what = match event {
            ClientEvent::Finished => Some(ClientReport::Finished),
            event => Emitter::news_of(event).map(ClientReport::News),
        };
        if let Some(what) = what {
            // the lab holds the other end
            let _ = self.tx.send(Message { at: now, client, life, what });
        }
    }

    /// The real node was changed since `begin`; requests from then on meet it as it is now.
    pub(super) fn node_turned(&mut self, begin: Time) {
        let end = self.now();
        self.node.turned(begin, end, &self.mirror.veth);
    }

    /// Carries the gateway's frames to the pod and its notes to the trace.
    pub(super) async fn settle(&mut self) -> Result<(), LiveError> {
        while let Some(output) = self.node.model_output() {
            let now = Time(monotonic_ns().saturating_sub(self.zero_ns));
            match output {
                GatewayOutput::Transmit { dev, frame } => {
                    if self.mirror.veth.host_index(self.node.state()) != Some(dev) {
                        continue;
                    }
                    self.send_to_pod(&frame).await?;
                }
                GatewayOutput::Client(there, event) => self.modelled_client(now, there, &event),
                GatewayOutput::Note(note) => {
                    if matches!(&note, crate::stack::Note::Judged { decision: Decision::Silent(_), arp: Some(a), .. } if a.tpa == self.plan.setting.gateway)
                    {
                        self.progress.unanswered();
                    }
                    self.run.emit.stack_note(now, Side::Host, self.node.state(), note, &mut self.events);
                }
            }
        }
        self.report();
        Ok(())
    }

    /// A frame of the modelled host end, on the wire.
    pub(super) async fn send_to_pod(&mut self, frame: &[u8]) -> Result<(), LiveError> {
        self.frames += 1;
        let sent = self.mirror.veth.carries() && self.node.put(frame).await?;
        let fate = if sent { FrameFate::Delivered } else { FrameFate::Lost(Loss::PodDown) };
        let now = Time(monotonic_ns().saturating_sub(self.zero_ns));
        self.tell_frame(now, (FrameId(self.frames), Side::Host, fate), frame);
        Ok(())
    }

    fn report(&mut self) {
        let (now, told) = (self.now(), self.events.len());
        let (state, veth) = (self.node.state(), &self.mirror.veth);
        let silence = |run: &Run| run.silence(state, veth.host_index(state), veth.carries());
        // what a kernel would answer now, nobody knows that does not know all it was told
        if self.run.is_beyond() && self.node.is_kernel() {
            self.run.report_holds(now, &mut self.events);
            self.run.report(now, silence, &mut ());
        } else {
            self.run.report(now, silence, &mut self.events);
        }
        for event in &self.events.events[told..] {
            match &event.what {
                What::Held { step, until: end } => {
                    let text =
                        format!("{} is held {}", self.events.step_name(*step), until(&self.events, *end));
                    self.progress.held(*step, text);
                }
                What::Released { step } => self.progress.released(*step),
                _ => {}
            }
        }
    }

    /// Routes, rules, neighbours and switches as the kernels have them now.
    async fn look_at_kernels(&mut self) {
        let now = self.now();
        if let Some((Tables { routes, rules, neighbours }, sysctls)) =
            self.node.shown(self.plan.setting.cali).await
        {
            let tables = KernelTables { side: Side::Host, routes, rules, neighbours, sysctls };
            self.events.take(now, What::Kernel(Box::new(tables)));
        }
        if let Some(Tables { routes, rules, neighbours }) = self.pod.view().await {
            let tables = KernelTables { side: Side::Pod, routes, rules, neighbours, sysctls: Vec::new() };
            self.events.take(now, What::Kernel(Box::new(tables)));
        }
    }

    fn finish(&mut self) {
        for client in &mut self.clients {
            client.running = None;
        }
        let count = |id: ClientId| {
            let client = self.clients.get(id.0 as usize).filter(|c| c.started)?;
            Some((client.sent, client.answered))
        };
        self.run.end(self.now(), count, None, &mut self.events);
    }
}
