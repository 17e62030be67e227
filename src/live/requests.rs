//! What a real plugin does, between its thread and the actors: runs begun, requests that wait, let go and
//! answered, and what the model makes of them.

use super::engine::Lab;
use super::plugin::{Asked, Note, Open, Teller, do_errand, errno, is_answered, pod_ip};
use super::space::refusal;
use super::terms::{LiveError, broke};
use crate::addr::Side;
use crate::cni::{self, Chain, Namer, PluginStage, StepName, Verb};
use crate::control::{Errand, Refusal, Setting, StepId, StepTable};
use crate::host::Mutation;
use crate::host::conf::SysctlKey;
use crate::run::{Came, Doing, PodId};
use crate::scenario::{KillFile, Plan, StepFaultKind};
use crate::trace::{Sink, What};
use netns_lab::Errno;
use netns_lab::supervise::{Answer, Kind, Lever, Scope, Then};
use serde_json::Value;
use std::sync::Arc;

impl Lab {
    /// The runtime runs the plugin.
    pub(super) async fn run_plugin(&mut self, errand: Errand) -> Result<Came, LiveError> {
        self.strange_links = if self.plugin.as_ref().is_some_and(|p| p.stage.is_none()) {
            self.links_of_the_lab().await?
        } else {
            core::mem::take(&mut self.strange_links)
        };
        let host_end = self.mirror.has_pair().then(|| self.plan.setting.cali.to_string());
        let node = self.node.space().map(|space| Arc::clone(&space.netns));
        let (Some(plugin), Some(node)) = (&mut self.plugin, node) else {
            return Ok(Came::Refused(Refusal::NoPlugin));
        };
        // a runtime that gives a pod up ends what it runs for it
        plugin.end();
        let pod = Arc::clone(&self.pod.netns);
        let stage = match plugin.stage.take() {
            Some(stage) => stage.with_pod(pod),
            None => PluginStage::among(Arc::clone(&node), pod, node)
                .map_err(|e| LiveError::Build(e.to_string()))?,
        };
        let lever = Lever::new().map_err(broke)?;
        let verb = if errand == Errand::Add { Verb::Add } else { Verb::Del };
        let namer =
            Namer::new(verb, stage.node.id(), stage.pod.id(), &plugin.options.ifname, host_end.as_deref());
        let (tx, count) = (plugin.tx.clone(), plugin.count);
        plugin.stage = Some(stage.clone());
        plugin.lever = Some(lever.clone());
        let (list, options) = (Arc::clone(&plugin.list), Arc::clone(&plugin.options));
        let result = plugin.result.clone();
        let work = move || {
            let mut rules = Teller { tx: tx.clone(), namer, before: count, last: count };
            let chain = Chain::new(&stage, &list, &options).map(|chain| chain.lever(&lever));
            let done = chain.and_then(|chain| do_errand(errand, &chain, result.as_ref(), &mut rules));
            let _ = tx.send(match done {
                Ok(came) => Note::Over(errand, came),
                Err(e) => Note::Broke(e.to_string()),
            });
        };
        plugin.thread = Some(std::thread::Builder::new().name("plugin".into()).spawn(work).map_err(broke)?);
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
            Note::Over(errand, came) => self.plugin_over(errand, came).await,
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
        while let Some(open) = self.take_open(|open| open.asked.tid == asked.tid) {
            self.request_done(open, &Answer::Unknown).await?;
        }
        let step = self.step_of(&asked.name);
        let (number, words) = (asked.number, asked.name.words.as_str().into());
        if let Some(plugin) = &mut self.plugin {
            plugin.count = plugin.count.max(number);
            plugin.waiting.insert(number, asked);
        }
        let now = self.now();
        let what = (step, number, words);
        self.run.plugin_asks(now, PodId::default(), what, self.node.state(), &mut self.chooser);
        Ok(())
    }

    /// The step of that name, which may be new: what a plugin asks when something failed nobody saw in
    /// its rehearsal.
    fn step_of(&mut self, name: &StepName) -> StepId {
        let known =
            |steps: &StepTable| steps.iter().find(|(_, info)| info.name == name.name).map(|(id, _)| id);
        if let Some(id) = known(&self.plan.steps) {
            return id;
        }
        let mut plan = Plan::clone(&self.plan);
        let mut steps = StepTable::clone(&plan.steps);
        let id = steps.add_request(&name.name, &name.words, name.quiet);
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
        let begin = self.now();
        let taken = self.plugin.as_mut().and_then(|plugin| {
            let asked = plugin.waiting.remove(&number)?;
            Some((asked, plugin.strike(doing.step()), plugin.lever.clone()?))
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
                lever.release(raw, then);
                return self.request_done(Open { asked, begin, doing }, &Answer::Unknown).await;
            }
            Then::LetGo | Then::KillAfter(_) => {
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
        if !asked.name.quiet && came == Came::Done {
            self.hear_node().await?;
            self.catch_up().await?;
            self.follow_request(&asked);
            self.node_turned(begin);
        }
        self.run.came(&mut doing, came, self.now(), self.node.state(), &mut self.chooser);
        self.run.finish(doing, self.now(), self.node.state(), &mut self.chooser, &mut self.events);
        Ok(())
    }

    /// What no table of the kernel shows: switches, and what the model has no term for.
    fn follow_request(&mut self, asked: &Asked) {
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

    async fn plugin_over(
        &mut self,
        errand: Errand,
        came: Result<Option<Value>, String>,
    ) -> Result<(), LiveError> {
        while let Some(open) = self.take_open(|_| true) {
            self.request_done(open, &Answer::Unknown).await?;
        }
        if let Some(plugin) = &mut self.plugin {
            plugin.waiting.clear();
            plugin.end();
        }
        self.hear_node().await?;
        let begin = self.now();
        self.catch_up().await?;
        self.node_turned(begin);
        match &came {
            Ok(Some(result)) => self.take_result(result).await?,
            Ok(None) => {}
            Err(why) => {
                let now = self.now();
                self.events.take(now, What::PluginFailed { errand, why: why.clone() });
            }
        }
        let now = self.now();
        let came = (errand, came.is_ok());
        self.run.plugin_over(now, PodId::default(), came, self.node.state(), &mut self.chooser);
        Ok(())
    }

    /// The pod has the addresses that the plugin says.
    async fn take_result(&mut self, result: &Value) -> Result<(), LiveError> {
        let gateway = self.look_at_pod().await?.gateway().or_else(|| cni::gateway_of(result));
        let pod_ip = pod_ip(result);
        if let Some(plugin) = &mut self.plugin {
            plugin.result = Some(result.clone());
        }
        self.learn(|s| {
            s.pod_ip = pod_ip.unwrap_or(s.pod_ip);
            s.gateway = gateway.unwrap_or(s.gateway);
        });
        Ok(())
    }
}
