//! The task that owns a live run.

use super::apply::{Place, apply};
use super::client::{self, Message, Report, Running};
use super::link::{LinkFault, LinkKind, PodLink};
use super::progress::Progress;
use super::watch::{Entry, Known};
use crate::choice::{ChoiceKind, Chooser, Seeded};
use crate::control::{Act, Control, GATEWAY, Gate, Happening, LinkEvent, Side, Taken, TaskResult};
use crate::gateway::{Gateway, GatewayOutput, SmoltcpOutside};
use crate::host::frame::{Arp, Cast, ETHERTYPE_ARP, EthFrame, OP_REQUEST};
use crate::host::{
    Decision, HostState, IfIndex, LinkChange, LinkKind as DeviceKind, Mutation, Reason, Request, decide,
};
use crate::neigh::KernelClock;
use crate::scenario::Plan;
use crate::sim::{Emitter, Veth};
use crate::time::{Span, Time};
use crate::trace::{ClientNews, Event, Fate, FrameId, Sink, What};
use netns_lab::nft::InstalledArpDrop;
use netns_lab::{AsyncMonitor, Monitor, Netns, Rtnl, monotonic_ns};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;

/// What a live run is told beyond the plan.
#[derive(Clone, Copy, Debug)]
pub struct LiveOptions {
    /// Seed of what the actors draw.
    pub seed: u64,
    /// How `eth0` is made; the best there is by default.
    pub link: Option<LinkKind>,
    /// Show a line while waiting, if standard error is a terminal.
    pub progress: bool,
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
    /// Something broke on the way.
    #[error("the live run broke off: {0}")]
    Broke(String),
}

impl From<LinkFault> for LiveError {
    fn from(e: LinkFault) -> LiveError {
        LiveError::Broke(e.to_string())
    }
}

fn broke(e: impl core::fmt::Display) -> LiveError {
    LiveError::Broke(e.to_string())
}

/// Clients that finished leave the gateway this long to say its last word.
const SETTLE: Duration = Duration::from_millis(20);

/// Runs a plan live, the smoltcp gateway answering. The events come out in the order of their
/// times.
pub fn run(plan: Plan, options: &LiveOptions, events: &mut Vec<Event>) -> Result<LiveEnd, LiveError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| LiveError::Build(format!("starting the runtime: {e}")))?;
    let end = runtime.block_on(async {
        let mut lab = Lab::new(plan, options)?;
        let end = lab.drive().await;
        lab.look_at_pod().await;
        lab.finish();
        events.append(&mut lab.events);
        end
    });
    runtime.shutdown_timeout(Duration::from_secs(2));
    events.sort_by_key(|e| e.t_ns);
    end
}

struct Pod {
    netns: Arc<Netns>,
    rtnl: Rtnl,
    monitor: AsyncMonitor,
    filters: Vec<(Mutation, InstalledArpDrop)>,
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

struct Lab {
    plan: Arc<Plan>,
    zero_ns: u64,
    chooser: Seeded,
    control: Control,
    gateway: Gateway<SmoltcpOutside>,
    /// The pod's namespace as the model sees it: what the veth's logic and the plugin's steps on
    /// the host end refer to while that is still in the pod's namespace.
    shadow: HostState,
    veth: Veth,
    pod: Pod,
    link: Option<PodLink>,
    prefer: Option<LinkKind>,
    starts: Vec<Start>,
    known: Known,
    emit: Emitter,
    events: Vec<Event>,
    frames: u32,
    #[expect(clippy::option_option, reason = "nothing told yet, or told that it answers, or why not")]
    verdict: Option<Option<Reason>>,
    tx: UnboundedSender<Message>,
    rx: UnboundedReceiver<Message>,
    progress: Progress,
}

fn make_pod() -> Result<Pod, LiveError> {
    let build = |e: &dyn core::fmt::Display| LiveError::Build(e.to_string());
    let netns = Netns::new("pod").map_err(|e| build(&e))?;
    let rtnl = netns.rtnl().map_err(|e| build(&e))?;
    let monitor = Monitor::open(&netns).map_err(|e| build(&e))?.into_async().map_err(|e| build(&e))?;
    Ok(Pod { netns: Arc::new(netns), rtnl, monitor, filters: Vec::new() })
}

enum Due {
    Frame(Option<Vec<u8>>),
    News(Message),
    Neigh(netns_lab::Event),
    Timer,
    Interrupted,
}

impl Lab {
    fn new(plan: Plan, options: &LiveOptions) -> Result<Lab, LiveError> {
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
        let uplink = plan.setting.uplink;
        let gateway = Gateway::new(plan.host.clone(), uplink, outside, Span::ZERO, clock, &mut chooser);
        let starts = plan
            .clients
            .iter()
            .map(|c| Start {
                gate: c.gate,
                delay: c.delay,
                due: None,
                running: None,
                begun: false,
                finished: false,
                sent: 0,
                answered: 0,
            })
            .collect();
        let (tx, rx) = unbounded_channel();
        Ok(Lab {
            zero_ns: monotonic_ns(),
            chooser,
            control,
            gateway,
            shadow: plan.pod.clone(),
            veth: Veth::default(),
            pod: make_pod()?,
            link: None,
            prefer: options.link,
            starts,
            known: Known::default(),
            emit: Emitter::new(&plan),
            events: Vec::new(),
            frames: 0,
            verdict: None,
            tx,
            rx,
            progress: Progress::new(options.progress),
            plan,
        })
    }

    fn now(&self) -> Time {
        Time(monotonic_ns().saturating_sub(self.zero_ns))
    }

    async fn drive(&mut self) -> Result<LiveEnd, LiveError> {
        let mut interrupt =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).map_err(broke)?;
        self.zero_ns = monotonic_ns();
        self.open_gates(Gate::Start);
        self.control.start(self.now(), self.gateway.state(), &mut self.chooser);
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
            match self.wait(end, &mut interrupt).await {
                Due::Frame(Some(frame)) => self.heard_pod(&frame).await?,
                Due::Frame(None) => self.link = None,
                Due::News(message) => self.client_news(message),
                Due::Neigh(event) => self.neigh_news(&event),
                Due::Timer => {}
                Due::Interrupted => return Ok(LiveEnd::Interrupted),
            }
        }
    }

    /// Waits for whatever comes first.
    async fn wait(&mut self, end: Time, terminate: &mut tokio::signal::unix::Signal) -> Due {
        let timers = [self.gateway.poll_timeout(), self.control.poll_timeout(), self.veth.poll_timeout()];
        let starts = self.starts.iter().filter_map(|s| s.due);
        let next = timers.into_iter().flatten().chain(starts).min().unwrap_or(end).min(end);
        let left = next.since(self.now());
        let link = &mut self.link;
        tokio::select! {
            biased;
            frame = async {
                match link {
                    Some(link) => link.recv().await,
                    None => std::future::pending().await,
                }
            } => Due::Frame(frame),
            Some(message) = self.rx.recv() => Due::News(message),
            Ok(event) = self.pod.monitor.next() => Due::Neigh(event),
            () = tokio::time::sleep_until(Instant::now() + Duration::from(left)) => Due::Timer,
            _ = tokio::signal::ctrl_c() => Due::Interrupted,
            _ = terminate.recv() => Due::Interrupted,
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
        self.work().await
    }

    /// Does all that is due now.
    async fn work(&mut self) -> Result<(), LiveError> {
        loop {
            let now = self.now();
            self.progress.show(now);
            if self.gateway.poll_timeout().is_some_and(|t| t <= now) {
                self.gateway.handle_timeout(now, &mut self.chooser);
            } else if let Some(changes) = self.veth.take_notice(now, &self.plan.setting) {
                for (side, change) in changes {
                    self.notice_carrier(side, &change);
                }
            } else if self.control.poll_timeout().is_some_and(|t| t <= now) {
                if let Some(taken) = self.control.take_due(now, self.gateway.state(), &mut self.chooser) {
                    self.carry_out(&taken).await?;
                }
            } else if !self.start_due(now) {
                self.settle().await?;
                return Ok(());
            }
            self.settle().await?;
        }
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

    fn open_gates(&mut self, gate: Gate) {
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
        match message.what {
            Report::News(news) => {
                match news {
                    ClientNews::Try { .. } => start.sent += 1,
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
    }

    fn neigh_news(&mut self, event: &netns_lab::Event) {
        let at = Time(event.at_ns.saturating_sub(self.zero_ns));
        if let Some(entry) = self.known.take(&event.change) {
            self.tell_entry(at, entry);
        }
    }

    fn tell_entry(&mut self, at: Time, entry: Entry) {
        let Entry { dev, ip, old, new, lladdr } = entry;
        if ip == IpAddr::V4(GATEWAY) {
            self.progress.entry(new.map_or("no entry".into(), |n| n.to_string()));
        }
        self.events.take(at, What::Neigh { side: Side::Pod, dev, ip, old, new, lladdr, cause: None });
    }

    /// A frame of the pod: into the trace, then to the gateway.
    async fn heard_pod(&mut self, frame: &[u8]) -> Result<(), LiveError> {
        let now = self.now();
        self.frames += 1;
        let id = FrameId(self.frames);
        let asks = asks_gateway(frame);
        let host = self.veth.host_index(&self.plan.setting, self.gateway.state());
        let arrives = self.veth.carries() && host.is_some();
        let fate =
            if arrives { Fate::Delivered } else { Fate::Lost(self.emit.no_carrier(self.gateway.state())) };
        self.emit.frame(now, id, Side::Pod, frame, fate, &mut self.events);
        if asks {
            self.control.count_request(now, &mut self.chooser);
        }
        if let Some(dev) = host.filter(|_| arrives) {
            self.emit.begin_frame(id);
            self.gateway.receive(now, dev, frame, &mut self.chooser);
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
                self.tell_entry(now, entry);
            }
        }
    }

    /// Carries the gateway's frames to the pod and its notes to the trace.
    async fn settle(&mut self) -> Result<(), LiveError> {
        while let Some(output) = self.gateway.poll_output() {
            let now = self.now();
            match output {
                GatewayOutput::Transmit { dev, frame } => {
                    if self.veth.host_index(&self.plan.setting, self.gateway.state()) != Some(dev) {
                        continue;
                    }
                    self.frames += 1;
                    let sent = match &self.link {
                        Some(link) if self.veth.carries() => link.send(&frame).await?,
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
                    self.emit.stack_note(now, Side::Host, self.gateway.state(), note, &mut self.events);
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
        let host = self.gateway.state();
        let Some(dev) = self.veth.host_index(&self.plan.setting, host) else {
            return Some(Reason::NoInterface);
        };
        match decide(host, &gateway_request(&self.plan, dev)) {
            Decision::Reply { .. } if !self.veth.carries() => Some(Reason::NoCarrier),
            Decision::Reply { .. } => None,
            Decision::Silent(reason) => Some(reason),
        }
    }

    async fn carry_out(&mut self, taken: &Taken) -> Result<(), LiveError> {
        let mut result = TaskResult::Done;
        for act in &taken.acts {
            match (self.act(act).await?, act) {
                (Ok(()), _) | (Err(_), Act::Try(..)) => {}
                (Err(why), _) => {
                    result = TaskResult::Refused(why);
                    break;
                }
            }
        }
        let now = self.now();
        self.emit.step(now, taken, &result, &mut self.events);
        self.control.finish(now, taken, &result, self.gateway.state(), &mut self.chooser);
        if matches!(result, TaskResult::Done) {
            self.open_gates(Gate::After(taken.task.step));
        }
        Ok(())
    }

    /// One act. The inner error is the kernel's refusal, which the actor hears of.
    async fn act(&mut self, act: &Act) -> Result<Result<(), String>, LiveError> {
        let plan = Arc::clone(&self.plan);
        let s = &plan.setting;
        match act {
            Act::Mark => Ok(Ok(())),
            Act::Change(side, Mutation::LinkDel { dev }) | Act::Try(side, Mutation::LinkDel { dev })
                if *dev == s.cali || *dev == s.eth =>
            {
                let _ = side;
                self.delete_veth().await
            }
            Act::Change(side, change) | Act::Try(side, change) => self.change(*side, change).await,
            Act::VethCreate { host_end, pod_up } => self.create_veth(*host_end, *pod_up).await,
            Act::VethMove => self.move_veth().await,
            Act::VethDelete => {
                let _ = self.delete_veth().await?;
                Ok(Ok(()))
            }
            Act::PodReset => self.reset_pod().await.map(Ok),
        }
    }

    /// A change on either side: on the real pod, on the modelled host, and on the pod's shadow.
    async fn change(&mut self, side: Side, change: &Mutation) -> Result<Result<(), String>, LiveError> {
        let before = self.host_running();
        match side {
            Side::Host => {
                if let Err(e) = self.gateway.apply(self.now(), change, &mut self.chooser) {
                    return Ok(Err(e.to_string()));
                }
            }
            Side::Pod => {
                let real = !names_device(change, self.plan.setting.cali);
                if real {
                    let mut place = Place {
                        netns: &self.pod.netns,
                        rtnl: &self.pod.rtnl,
                        filters: &mut self.pod.filters,
                    };
                    if let Err(e) = apply(&mut place, change).await {
                        return Ok(Err(e.to_string()));
                    }
                }
                if let Err(e) = self.shadow.apply(change) {
                    if !real {
                        return Ok(Err(e.to_string()));
                    }
                    tracing::warn!(%e, "the kernel allowed what the model refuses");
                }
            }
        }
        self.update_carrier(before).await?;
        Ok(Ok(()))
    }

    async fn update_carrier(&mut self, before: Option<bool>) -> Result<(), LiveError> {
        let now = self.now();
        let carried = self.veth.carries();
        let plan = Arc::clone(&self.plan);
        self.veth.update(now, &plan.setting, self.gateway.state(), &self.shadow, &mut self.chooser);
        // the cable is out while the host end is down, whatever the pod does to its own end
        let host_up = self.far_end_up();
        if let Some(link) = &self.link {
            link.set_carrier(host_up).await?;
        }
        if carried != self.veth.carries() {
            tracing::debug!(carries = self.veth.carries(), "carrier");
        }
        self.tell_running(before);
        Ok(())
    }

    fn far_end_up(&self) -> bool {
        let state = match self.veth.host_end {
            Some(Side::Host) => self.gateway.state(),
            Some(Side::Pod) => &self.shadow,
            None => return false,
        };
        state.link_named(self.plan.setting.cali).is_some_and(crate::host::Link::is_up)
    }

    /// The modelled host (and the pod's shadow) notice the carrier; the real pod does by itself.
    fn notice_carrier(&mut self, side: Side, change: &Mutation) {
        let before = self.host_running();
        match side {
            Side::Host => {
                let _ = self.gateway.apply(self.now(), change, &mut self.chooser);
            }
            Side::Pod => {
                let _ = self.shadow.apply(change);
            }
        }
        self.tell_running(before);
    }

    fn host_running(&self) -> Option<bool> {
        self.gateway.state().link_named(self.plan.setting.cali).map(|l| l.is_up() && l.has_carrier())
    }

    fn tell_running(&mut self, before: Option<bool>) {
        let event = match (before, self.host_running()) {
            (None, Some(_)) => LinkEvent::New,
            (Some(_), None) => LinkEvent::Gone,
            (Some(false), Some(true)) => LinkEvent::Running,
            (Some(true), Some(false)) => LinkEvent::Stopped,
            _ => return,
        };
        let what = Happening::Link(self.plan.setting.cali, event);
        self.control.notice(self.now(), what, self.gateway.state(), &mut self.chooser);
    }

    async fn create_veth(&mut self, host_end: Side, pod_up: bool) -> Result<Result<(), String>, LiveError> {
        let plan = Arc::clone(&self.plan);
        let s = &plan.setting;
        let made =
            PodLink::make(&self.pod.netns, &self.pod.rtnl, s.eth.as_str(), s.pod_mac, self.prefer).await;
        let (link, note) = match made {
            Ok(made) => made,
            Err(e) => return Ok(Err(e.to_string())),
        };
        if let Some(text) = note {
            let now = self.now();
            self.events.take(now, What::Note { text });
        }
        link.set_carrier(false).await?;
        self.link = Some(link);
        let add = |name, mac| Mutation::LinkAdd { name, kind: DeviceKind::Veth, mac };
        self.shadow.apply(&add(s.eth, Some(s.pod_mac))).map_err(broke)?;
        let done = match host_end {
            Side::Host => self.change(Side::Host, &add(s.cali, None)).await?,
            Side::Pod => self.shadow.apply(&add(s.cali, None)).map(|_: _| ()).map_err(|e| e.to_string()),
        };
        if let Err(e) = done {
            return Ok(Err(e));
        }
        self.veth.host_end = Some(host_end);
        if pod_up {
            let up = Mutation::LinkSet { dev: s.eth, change: LinkChange::Up(true) };
            return self.change(Side::Pod, &up).await;
        }
        Ok(Ok(()))
    }

    async fn move_veth(&mut self) -> Result<Result<(), String>, LiveError> {
        let plan = Arc::clone(&self.plan);
        let cali = plan.setting.cali;
        let Some(mac) = self.shadow.link_named(cali).map(crate::host::Link::mac) else {
            return Ok(Err("the host end is not in the pod's namespace".into()));
        };
        let before = self.host_running();
        self.veth.host_end = None;
        self.shadow.apply(&Mutation::LinkDel { dev: cali }).map_err(broke)?;
        let add = Mutation::LinkAdd { name: cali, kind: DeviceKind::Veth, mac: Some(mac) };
        if let Err(e) = self.gateway.apply(self.now(), &add, &mut self.chooser) {
            return Ok(Err(e.to_string()));
        }
        self.veth.host_end = Some(Side::Host);
        self.update_carrier(before).await?;
        Ok(Ok(()))
    }

    async fn delete_veth(&mut self) -> Result<Result<(), String>, LiveError> {
        let plan = Arc::clone(&self.plan);
        let s = &plan.setting;
        let Some(far) = self.veth.host_end else {
            return Ok(Err(format!("there is no interface {}", s.cali)));
        };
        let before = self.host_running();
        self.veth.reset();
        // dropping the link's descriptors deletes the device in the pod
        if let Some(PodLink::Veth { .. }) = self.link.take() {
            match self.pod.rtnl.delete_link(s.eth.as_str()).await {
                Err(e) if !e.not_found() => return Err(broke(e)),
                _ => {}
            }
        }
        let del = |dev| Mutation::LinkDel { dev };
        match far {
            Side::Host => {
                let _ = self.gateway.apply(self.now(), &del(s.cali), &mut self.chooser);
            }
            Side::Pod => {
                let _ = self.shadow.apply(&del(s.cali));
            }
        }
        let _ = self.shadow.apply(&del(s.eth));
        self.tell_running(before);
        Ok(Ok(()))
    }

    async fn reset_pod(&mut self) -> Result<(), LiveError> {
        let _ = self.delete_veth().await?;
        for start in &mut self.starts {
            if start.begun && !start.finished {
                start.running = None;
                start.finished = true;
            }
        }
        self.pod = make_pod()?;
        self.known = Known::default();
        self.shadow = self.plan.pod.clone();
        let plan = Arc::clone(&self.plan);
        for change in &plan.pod_setup {
            let mut place =
                Place { netns: &self.pod.netns, rtnl: &self.pod.rtnl, filters: &mut self.pod.filters };
            apply(&mut place, change)
                .await
                .map_err(|e| LiveError::Build(format!("the pod's set-up: {e}")))?;
        }
        Ok(())
    }

    /// The pod's routes and neighbours as its kernel has them at the end.
    async fn look_at_pod(&mut self) {
        let v4 = |net: &ipnet::IpNet| matches!(net, ipnet::IpNet::V4(_));
        let (Ok(routes), Ok(entries)) = (self.pod.rtnl.routes().await, self.pod.rtnl.neighbours().await)
        else {
            return;
        };
        let main = routes.iter().filter(|r| r.table == netns_lab::rtnl::table::MAIN && v4(&r.destination));
        let routes = main.map(ToString::to_string).collect();
        // as `ip neigh` does without `nud all`
        let shown = |n: &&netns_lab::rtnl::Neighbour| {
            n.address.is_ipv4() && n.state != netns_lab::rtnl::NudState::NoArp
        };
        let neighbours = entries.iter().filter(shown).map(ToString::to_string).collect();
        let now = self.now();
        self.events.take(now, What::Kernel { side: Side::Pod, routes, neighbours });
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

/// True for a change of that device in particular.
fn names_device(change: &Mutation, dev: crate::addr::IfName) -> bool {
    match change {
        Mutation::LinkSet { dev: d, .. }
        | Mutation::LinkDel { dev: d }
        | Mutation::LinkAdd { name: d, .. } => *d == dev,
        Mutation::Sysctl { key, .. } => key.device() == Some(dev),
        _ => false,
    }
}

/// The question all this is about, as the pod broadcasts it.
fn gateway_request(plan: &Plan, dev: IfIndex) -> Request {
    let s = &plan.setting;
    let arp = Arp::request(s.pod_mac, s.pod_ip, GATEWAY);
    Request { dev, cast: Cast::Broadcast, arp, sender_known: true, again: false, leg: 0 }
}

fn asks_gateway(frame: &[u8]) -> bool {
    EthFrame::parse(frame).is_ok_and(|eth| {
        eth.ethertype == ETHERTYPE_ARP
            && Arp::parse(eth.payload).is_ok_and(|a| a.op == OP_REQUEST && a.tpa == GATEWAY)
    })
}
