//! What a real plugin does, between its thread and the actors: runs begun, requests that wait, let go and
//! answered, for the pod and for others beside it, and what the model makes of them.

use super::engine::Lab;
use super::plugin::{
    Asked, Note, Open, Over, Plugin, Teller, do_errand, errno, is_answered, other_pod, pod_ip,
};
use super::space::refusal;
use super::terms::{LiveError, broke};
use crate::addr::Side;
use crate::cni::{self, Chain, Namer, PluginStage, StepName, Verb};
use crate::control::{ActorName, Errand, Refusal, Setting, StepId, StepTable};
use crate::host::Mutation;
use crate::host::conf::SysctlKey;
use crate::run::{Came, Doing, PodId};
use crate::scenario::{self, KillFile, Plan, StepFaultKind};
use crate::time::{Span, Time};
use crate::trace::{Sink, What};
use netns_lab::supervise::{Answer, Kind, Lever, Request, Scope, Then, Verdict};
use netns_lab::{Errno, monotonic_ns};
use serde_json::Value;
use smallvec::SmallVec;
use std::sync::Arc;

/// What DEL of one pod may take at a run's end.
const DEL_TIMEOUT: Span = Span::from_secs(30);

impl Lab {
    /// Makes the place where plugins run, and the namespaces of other pods: ADD of all begins at one moment.
    pub(super) async fn prepare_plugin(&mut self) -> Result<(), LiveError> {
        let Some(plugin) = self.plugin.as_ref().filter(|plugin| plugin.real.others > 0) else {
            return Ok(());
        };
        let others = plugin.real.others;
        netns_lab::raise_open_file_limit()
            .map_err(|e| LiveError::NotHere(format!("{others} other pods: limit on open files: {e}")))?;
        let Some(base) = self.plugin_stage().await? else { return Ok(()) };
        let plan = Arc::clone(&self.plan);
        let Some(plugin) = &mut self.plugin else { return Ok(()) };
        for (pod, it) in plugin.pods.iter_mut().filter(|(pod, _)| pod.is_other()) {
            it.stage = Some(other_pod(&base, *pod, &plan)?);
        }
        Ok(())
    }

    /// The place where plugins run for the pod, which is made the first time; none where no node is real.
    async fn plugin_stage(&mut self) -> Result<Option<PluginStage>, LiveError> {
        let Some(node) = self.node.space().map(|space| Arc::clone(&space.netns)) else { return Ok(None) };
        let own = |plugin: &mut Plugin| plugin.pods.get_mut(&PodId::default()).map(|it| it.stage.take());
        let Some(stage) = self.plugin.as_mut().and_then(own) else { return Ok(None) };
        let pod = Arc::clone(&self.pod.netns);
        let stage = if let Some(stage) = stage {
            stage.with_pod(pod)
        } else {
            self.strange_links = self.links_of_the_lab().await?;
            PluginStage::among(Arc::clone(&node), pod, node).map_err(|e| LiveError::Build(e.to_string()))?
        };
        if let Some(it) = self.plugin.as_mut().and_then(|plugin| plugin.pods.get_mut(&PodId::default())) {
            it.stage = Some(stage.clone());
        }
        Ok(Some(stage))
    }

    /// The runtime runs the plugin for a pod.
    pub(super) async fn run_plugin(&mut self, pod: PodId, errand: Errand) -> Result<Came, LiveError> {
        // a runtime that gives a pod up ends what it runs for it
        if let Some(it) = self.plugin.as_mut().and_then(|plugin| plugin.pods.get_mut(&pod)) {
            it.end();
        }
        let (stage, host_end) = if pod.is_other() {
            let it = self.plugin.as_ref().and_then(|plugin| plugin.pods.get(&pod));
            (it.and_then(|it| it.stage.clone()), it.and_then(|it| it.host_end.clone()))
        } else {
            let host_end = self.mirror.has_pair().then(|| self.plan.setting.cali.to_string());
            (self.plugin_stage().await?, host_end)
        };
        let (Some(plugin), Some(stage)) = (&mut self.plugin, stage) else {
            return Ok(Came::Refused(Refusal::NoPlugin));
        };
        let lever = Lever::new().map_err(broke)?;
        let (tx, count, list) = (plugin.tx.clone(), Arc::clone(&plugin.count), Arc::clone(&plugin.list));
        let shapes = plugin.real.shapes.clone();
        let Some(it) = plugin.pods.get_mut(&pod) else { return Ok(Came::Refused(Refusal::NoPlugin)) };
        let verb = if errand == Errand::Add { Verb::Add } else { Verb::Del };
        let namer =
            Namer::new(verb, stage.node.id(), stage.pod.id(), &it.options.ifname, host_end.as_deref());
        let namer = namer.with_shapes(shapes);
        let (options, result) = (Arc::clone(&it.options), it.result.clone());
        it.there = true;
        it.lever = Some(lever.clone());
        let work = move || {
            let mut rules = Teller { pod, tx: tx.clone(), namer, count, numbers: Vec::new() };
            let chain = Chain::new(&stage, &list, &options).map(|chain| chain.lever(&lever));
            let done = chain.and_then(|chain| do_errand(errand, &chain, result.as_ref(), &mut rules));
            let host_end = rules.namer.host_end().map(str::to_owned);
            let _ = tx.send(match done {
                Ok(came) => Note::Over(Over { pod, errand, came, host_end }),
                Err(e) => Note::Broke(e.to_string()),
            });
        };
        it.thread = Some(std::thread::Builder::new().name("plugin".into()).spawn(work).map_err(broke)?);
        Ok(Came::Done)
    }

    /// News of the plugin's thread.
    pub(super) async fn plugin_news(&mut self, note: Note) -> Result<(), LiveError> {
        match note {
            Note::Asked(asked) => self.plugin_asks(*asked).await,
            Note::Answered(number, answer) => match self.take_open(|open| open.asked.number == number) {
                Some(open) => self.request_done(open, &answer).await,
                None => Ok(()),
            },
            Note::Over(over) => self.plugin_over(over).await,
            Note::Broke(why) => Err(LiveError::Broke(why)),
        }
    }

    fn take_open(&mut self, is_it: impl Fn(&Open) -> bool) -> Option<Open> {
        let plugin = self.plugin.as_mut()?;
        let at = plugin.open.iter().position(is_it)?;
        Some(plugin.open.remove(at))
    }

    /// Requests whose answer nobody will hear are over.
    pub(super) async fn plugin_waits_no_longer(&mut self) -> Result<(), LiveError> {
        let now = self.now();
        while let Some(open) = self.take_open(|open| open.deadline().is_some_and(|t| t <= now)) {
            self.request_done(open, &Answer::Unknown).await?;
        }
        Ok(())
    }

    async fn plugin_asks(&mut self, asked: Asked) -> Result<(), LiveError> {
        // a thread that asks again has had its answer, whether it was heard or not
        while let Some(open) =
            self.take_open(|open| open.asked.pod == asked.pod && open.asked.tid == asked.tid)
        {
            self.request_done(open, &Answer::Unknown).await?;
        }
        let (pod, step) = (asked.pod, self.step_of(asked.pod, &asked.name));
        let (number, words) = (asked.number, asked.name.words.as_str().into());
        if let Some(plugin) = &mut self.plugin {
            plugin.waiting.insert(number, asked);
        }
        let now = self.now();
        let what = (step, number, words);
        self.run.plugin_asks(now, pod, what, self.node.state(), &mut self.chooser);
        Ok(())
    }

    /// The step of that name, which may be new: what a plugin asks when something failed nobody saw in
    /// its rehearsal.
    fn step_of(&mut self, pod: PodId, name: &StepName) -> StepId {
        let called = scenario::step_of(pod, &name.name);
        let known = |steps: &StepTable| steps.iter().find(|(_, info)| info.name == called).map(|(id, _)| id);
        if let Some(id) = known(&self.plan.steps) {
            return id;
        }
        let mut plan = Plan::clone(&self.plan);
        let mut steps = StepTable::clone(&plan.steps);
        let id = steps.add_request_of(pod, &called, &name.words, name.quiet);
        plan.steps = Arc::new(steps);
        let actors = Arc::new(self.run.control().setting().clone());
        self.take_plan(plan, actors);
        id
    }

    /// What the run has learned of its pod: names and addresses that the plugin chose.
    pub(super) fn learn(&mut self, change: impl FnOnce(&mut Setting)) {
        let mut plan = Plan::clone(&self.plan);
        let mut setting = Setting::clone(&plan.setting);
        change(&mut setting);
        let mut actors = setting.clone();
        if !actors.cali.as_str().starts_with("cali") {
            // Felix minds no other interfaces (InterfacePrefix)
            actors.cali = Setting::host_end(&actors.namespace, &actors.pod);
        }
        plan.setting = Arc::new(setting);
        self.take_plan(plan, Arc::new(actors));
    }

    fn take_plan(&mut self, plan: Plan, actors: Arc<Setting>) {
        let plan = Arc::new(plan);
        self.run.learn(Arc::clone(&plan), actors);
        self.events.plan = Arc::clone(&plan);
        self.plan = plan;
    }

    /// The actors' turn has come to a request: the kernel gets it, or what the scenario wants instead.
    pub(super) async fn let_go(&mut self, number: u32, doing: Doing) -> Result<(), LiveError> {
        let (begin, steps) = (self.now(), Arc::clone(&self.plan.steps));
        let taken = self.plugin.as_mut().and_then(|plugin| {
            let asked = plugin.waiting.remove(&number)?;
            let lever = plugin.pods.get(&asked.pod)?.lever.clone()?;
            Some((asked, plugin.strike(doing.step(), &steps), lever))
        });
        let Some((asked, fault, lever)) = taken else {
            self.came_to_nothing(doing, "the process that asked has ended");
            return Ok(());
        };
        let raw = asked.raw;
        let then = match &fault {
            None => Then::LetGo,
            Some(StepFaultKind::Fail(name)) => Then::Fail(errno(name).unwrap_or(Errno::EIO)),
            Some(StepFaultKind::Kill(KillFile::Before)) => Then::Kill(Scope::Process),
            Some(StepFaultKind::Kill(KillFile::After)) => Then::KillAfter(Scope::Process),
        };
        match then {
            Then::Fail(errno) => self.came_to_nothing(doing, &format!("made to fail with {errno}")),
            Then::Kill(_) => self.came_to_nothing(doing, "its process is killed before it is carried out"),
            Then::LetGo if !is_answered(&asked.kind) => {
                self.node.begun(begin);
                lever.release(raw, then);
                return self.request_done(Open { asked, begin, doing }, &Answer::Unknown).await;
            }
            Then::LetGo | Then::KillAfter(_) => {
                self.node.begun(begin);
                if let Some(plugin) = &mut self.plugin {
                    plugin.open.push(Open { asked, begin, doing });
                }
            }
        }
        lever.release(raw, then);
        Ok(())
    }

    fn came_to_nothing(&mut self, mut doing: Doing, why: &str) {
        let came = Came::Refused(refusal(None, &why));
        let now = self.now();
        self.run.came(&mut doing, came, now, self.node.state(), &mut self.chooser);
        self.run.finish(doing, now, self.node.state(), &mut self.chooser, &mut self.events);
    }

    /// A request is over: the model takes over what it did, and who waited for it hears of it.
    async fn request_done(&mut self, open: Open, answer: &Answer) -> Result<(), LiveError> {
        let Open { asked, begin, mut doing } = open;
        let came = match answer {
            Answer::Refused { errno, .. } => Came::Refused(refusal(Some(errno.raw()), answer)),
            Answer::Done | Answer::Unknown => Came::Done,
        };
        let of_node = self.plugin.as_ref().is_none_or(|plugin| plugin.is_seen_on_node(&asked));
        if !asked.name.quiet && came == Came::Done && of_node {
            self.hear_node().await?;
            self.catch_up().await?;
            self.follow_request(&asked);
            self.node_turned(begin);
        }
        let judged = self.node.settled(begin);
        self.tell_verdicts(judged);
        self.run.came(&mut doing, came, self.now(), self.node.state(), &mut self.chooser);
        self.run.finish(doing, self.now(), self.node.state(), &mut self.chooser, &mut self.events);
        Ok(())
    }

    /// What no table of the kernel shows: switches, and what the model has no term for.
    fn follow_request(&mut self, asked: &Asked) {
        // what other pods have in their own namespaces is nothing to this pod
        if self.plugin.as_ref().is_some_and(|plugin| plugin.is_other_pods(asked.netns)) {
            return;
        }
        let side = if asked.netns == Some(self.pod.netns.id()) { Side::Pod } else { Side::Host };
        match &asked.kind {
            Kind::Sysctl { path, value } => {
                let key = path.parse::<SysctlKey>();
                let (Ok(key), Ok(value)) = (key, value.trim().parse()) else { return };
                let write = Mutation::Sysctl { key, value };
                if let Err(e) =
                    self.model(&|model, now, by| crate::pair::Devices::change(model, now, side, &write, by))
                {
                    let now = self.now();
                    self.run.compare(now, &Ok(()), Err(e), &mut self.events);
                }
            }
            Kind::Netlink { protocol: 0, messages } => {
                for message in messages.iter().filter(|m| m.words.contains("TFILTER") || !m.decoded) {
                    self.beyond_the_model(side, &message.words);
                }
            }
            Kind::Netlink { messages, .. } => {
                let of_frames = [" arp ", " netdev ", " bridge "];
                let seen = |words: &str| of_frames.iter().any(|family| words.contains(family));
                for message in messages.iter().filter(|m| m.changes && seen(&m.words)) {
                    self.beyond_the_model(side, &message.words);
                }
            }
            Kind::Other { call, .. } if call.starts_with("bpf") => {
                self.beyond_the_model(side, "load an eBPF program");
            }
            _ => {}
        }
    }

    /// From here on the model is no judge of what the node answers.
    pub(super) fn beyond_the_model(&mut self, side: Side, what: &str) {
        let now = self.now();
        self.run.go_beyond(now);
        let Some(plugin) = &mut self.plugin else { return };
        if plugin.told.iter().any(|told| told == what) {
            return;
        }
        plugin.told.push(what.to_owned());
        self.events.take(now, What::Unmodelled { side, command: what.to_owned() });
    }

    async fn plugin_over(&mut self, over: Over) -> Result<(), LiveError> {
        let Over { pod, errand, came, host_end } = over;
        while let Some(open) = self.take_open(|open| open.asked.pod == pod) {
            self.request_done(open, &Answer::Unknown).await?;
        }
        if let Some(plugin) = &mut self.plugin {
            plugin.waiting.retain(|_, asked| asked.pod != pod);
            if let Some(it) = plugin.pods.get_mut(&pod) {
                it.end();
                it.host_end = host_end.or_else(|| it.host_end.take());
                it.there = errand == Errand::Add || came.is_err();
                if let Ok(Some(result)) = &came {
                    it.result = Some(result.clone());
                }
            }
        }
        self.hear_node().await?;
        let begin = self.now();
        self.catch_up().await?;
        self.node_turned(begin);
        match &came {
            Ok(Some(result)) if !pod.is_other() => self.take_result(result).await?,
            Ok(_) => {}
            Err(why) => {
                let now = self.now();
                self.events.take(now, What::PluginFailed { pod, errand, why: why.clone() });
            }
        }
        let now = self.now();
        let came = (errand, came.is_ok());
        self.run.plugin_over(now, pod, came, self.node.state(), &mut self.chooser);
        Ok(())
    }

    /// The runtime takes the other pods away at the run's end: what they run is ended, and DEL follows with
    /// nothing in its way.
    pub(super) fn take_others_away(&mut self) {
        let begun = self.now();
        let Some(plugin) = &mut self.plugin else { return };
        let list = Arc::clone(&plugin.list);
        let mut threads = Vec::new();
        for (pod, it) in plugin.pods.iter_mut().filter(|(pod, it)| pod.is_other() && it.there) {
            it.end();
            let Some(stage) = it.stage.clone() else { continue };
            let options = cni::TraceOptions { timeout: DEL_TIMEOUT, ..cni::TraceOptions::clone(&it.options) };
            let (list, result) = (Arc::clone(&list), it.result.take());
            let work = move || {
                let chain = Chain::new(&stage, &list, &options);
                let done = chain.and_then(|chain| {
                    do_errand(Errand::Del, &chain, result.as_ref(), &mut |_: &Request| Verdict::LetGo)
                });
                (done.unwrap_or_else(|e| Err(e.to_string())), monotonic_ns())
            };
            let spawned = std::thread::Builder::new().name("plugin".into()).spawn(work);
            threads.push((*pod, spawned));
        }
        for (pod, thread) in threads {
            let (done, ended_ns) = match thread {
                Ok(thread) => {
                    thread.join().unwrap_or_else(|_| (Err("its thread panicked".into()), monotonic_ns()))
                }
                Err(e) => (Err(e.to_string()), monotonic_ns()),
            };
            let now = Time(ended_ns.saturating_sub(self.zero_ns)).max(begun);
            let step = |what: &str| self.plan.steps.find(&format!("cni.{pod}/{what}"));
            let (name, errand) = if done.is_ok() { ("del", None) } else { ("del-fail", done.err()) };
            if let Some(step) = step(name) {
                let (actor, acts, undone) = (ActorName::Cni, SmallVec::new(), None);
                self.events.take(now, What::Step { step, actor, acts, undone });
            }
            if let Some(why) = errand {
                self.events.take(now, What::PluginFailed { pod, errand: Errand::Del, why });
            }
        }
    }

    /// The pod has the addresses that the plugin says.
    async fn take_result(&mut self, result: &Value) -> Result<(), LiveError> {
        let gateway = self.look_at_pod().await?.gateway().or_else(|| cni::gateway_of(result));
        let pod_ip = pod_ip(result);
        self.learn(|s| {
            s.pod_ip = pod_ip.unwrap_or(s.pod_ip);
            s.gateway = gateway.unwrap_or(s.gateway);
        });
        Ok(())
    }
}
