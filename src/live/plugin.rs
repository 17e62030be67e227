//! A real plugin beside the lab: its binary runs on a thread of its own under the supervisor, and each of
//! its requests waits there until the actors' turn has come to it. Other pods have a thread each.

use super::terms::LiveError;
use crate::addr::IfName;
use crate::cni::{self, Chain, Conflist, Namer, PluginStage, StepName, Verb};
use crate::control::{Errand, PodId, StepId, StepTable};
use crate::host::Link;
use crate::run::Doing;
use crate::scenario::{ConflistText, Plan, RealPlugin, StepFaultKind};
use crate::time::{Span, Time};
use netns_lab::supervise::{Answer, Kind, Lever, Request, Rules, Scope, Then, Verdict};
use netns_lab::{Errno, Netns, NetnsId};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What a plugin may take on top of the run's own length: it is held as long as a scenario likes, and
/// ends with the run.
const TIMEOUT_BEYOND: Span = Span::from_secs(60);

/// A request that asks for no answer has been carried out within this.
const ANSWERED_WITHIN: Span = Span::from_ms(5);

/// What the plugin's thread tells.
pub(super) enum Note {
    /// A request waits.
    Asked(Box<Asked>),
    /// What the kernel said to a request, by its number.
    Answered(u32, Answer),
    /// The plugin has ended.
    Over(Over),
    /// It could not be run.
    Broke(String),
}

/// A plugin's end.
pub(super) struct Over {
    pub(super) pod: PodId,
    pub(super) errand: Errand,
    /// Its result, or why it failed.
    pub(super) came: Result<Option<Value>, String>,
    /// The host end of the pod, if the plugin has made one.
    pub(super) host_end: Option<String>,
}

/// A request that waits.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// For which pod.
    pub(super) pod: PodId,
    /// Its number in the run.
    pub(super) number: u32,
    /// The supervisor's number for it.
    pub(super) raw: usize,
    pub(super) tid: i32,
    pub(super) name: StepName,
    pub(super) netns: Option<NetnsId>,
    pub(super) kind: Kind,
}

/// A request that was let go, and whose answer is not known.
pub(super) struct Open {
    pub(super) asked: Asked,
    pub(super) begin: Time,
    pub(super) doing: Doing,
}

/// A real plugin, running or not.
pub(super) struct Plugin {
    pub(super) real: Arc<RealPlugin>,
    pub(super) list: Arc<Conflist>,
    pub(super) pods: BTreeMap<PodId, PluginPod>,
    pub(super) tx: UnboundedSender<Note>,
    pub(super) rx: UnboundedReceiver<Note>,
    pub(super) waiting: BTreeMap<u32, Asked>,
    pub(super) open: Vec<Open>,
    /// How many requests there were.
    pub(super) count: Arc<AtomicU32>,
    /// How often each step came that has a fault.
    pub(super) met: BTreeMap<StepId, u32>,
    /// What was said to be beyond the model, once each.
    pub(super) told: Vec<String>,
}

/// A pod that the plugin is run for.
pub(super) struct PluginPod {
    pub(super) options: Arc<cni::TraceOptions>,
    pub(super) stage: Option<PluginStage>,
    pub(super) lever: Option<Lever>,
    pub(super) thread: Option<JoinHandle<()>>,
    /// ADD's result.
    pub(super) result: Option<Value>,
    /// The host end's name, of an other pod.
    pub(super) host_end: Option<String>,
    /// ADD was begun, and no DEL has ended since.
    pub(super) there: bool,
}

/// Reads what the plan says of the plugin.
pub(super) fn configuration(
    plan: &Plan,
    real: &RealPlugin,
) -> Result<(Conflist, cni::TraceOptions), LiveError> {
    let list = match &real.conflist {
        ConflistText::File(path) => Conflist::load(path),
        ConflistText::Inline { origin, text } => Conflist::parse(origin, text.as_bytes()),
    };
    let list = list.map_err(|e| LiveError::Input(e.to_string()))?;
    let capability_args = match &real.capability_args {
        None => Map::new(),
        Some(text) => match serde_json::from_str(text) {
            Ok(Value::Object(values)) => values,
            Ok(_) => return Err(LiveError::Input("[cni] capability-args wants a JSON object".into())),
            Err(e) => return Err(LiveError::Input(format!("[cni] capability-args: no JSON: {e}"))),
        },
    };
    if let Some(args) = &real.args {
        cni::check_args(args).map_err(|e| LiveError::Input(format!("[cni] args: {e}")))?;
    }
    if let Some(name) = list.undeclared(&capability_args) {
        return Err(LiveError::Input(format!("[cni] capability-args: {}", cni::undeclared_words(name))));
    }
    for fault in &real.faults {
        if let StepFaultKind::Fail(name) = &fault.what
            && errno(name).is_none()
        {
            return Err(LiveError::Input(format!("[[fault]] fail: the kernel has no error {name}")));
        }
    }
    let cni_path = std::env::var("CNI_PATH").ok();
    let mut folders = cni::plugin_folders(&real.bin_dirs, cni_path.as_deref());
    for folder in &mut folders {
        // a plugin starts in `/`
        *folder = std::path::absolute(&*folder).unwrap_or_else(|_| folder.clone());
    }
    let options = cni::TraceOptions {
        folders,
        args: Some(args(plan, real, PodId::default())),
        capability_args,
        ifname: plan.setting.eth.to_string(),
        timeout: Span::from_ns(plan.duration.as_ns() + TIMEOUT_BEYOND.as_ns()),
        patience: Span::ZERO,
        gateway: None,
        check: false,
        del: false,
    };
    Ok((list, options))
}

/// `CNI_ARGS` as containerd gives them, and those of the scenario. An other pod has the name that steps give it.
fn args(plan: &Plan, real: &RealPlugin, pod: PodId) -> String {
    let s = &plan.setting;
    let name = if pod.is_other() { pod.to_string() } else { s.pod.clone() };
    let usual = format!("IgnoreUnknown=1;K8S_POD_NAMESPACE={};K8S_POD_NAME={name}", s.namespace);
    real.args.as_ref().map_or_else(|| usual.clone(), |own| format!("{usual};{own}"))
}

/// A pod more, with a namespace of its own as a runtime makes it.
pub(super) fn other_pod(stage: &PluginStage, pod: PodId, plan: &Plan) -> Result<PluginStage, LiveError> {
    let build = |e: &dyn std::fmt::Display| LiveError::Build(format!("the other pod {pod}: {e}"));
    let netns = Netns::new(pod.to_string()).map_err(|e| build(&e))?;
    if plan.pod.link_named(IfName::LO).is_some_and(Link::is_up) {
        netns.loopback_up().map_err(|e| build(&e))?;
    }
    stage.beside(Arc::new(netns)).map_err(|e| build(&e))
}

pub(super) fn errno(name: &str) -> Option<Errno> {
    /// Above the last of the kernel's (`EHWPOISON`, 133).
    const END: i32 = 134;
    (1..END).map(Errno::from_raw).find(|errno| errno.name() == name)
}

impl Open {
    /// When it is over, if nothing is heard; `None` where the kernel answers in any case.
    pub(super) fn deadline(&self) -> Option<Time> {
        /// `NLM_F_ACK`.
        const ACK: u16 = 4;
        let answered = match &self.asked.kind {
            Kind::Netlink { messages, .. } => messages.iter().any(|m| !m.changes || m.flags & ACK != 0),
            _ => false,
        };
        (!answered).then(|| self.begin + ANSWERED_WITHIN)
    }
}

impl Plugin {
    /// The plan's plugin, if it has one.
    pub(super) fn new(plan: &Plan) -> Result<Option<Plugin>, LiveError> {
        let Some(real) = &plan.plugin else { return Ok(None) };
        let (list, options) = configuration(plan, real)?;
        let (tx, rx) = unbounded_channel();
        let pods = (0..=real.others).map(|pod| {
            let pod = PodId(pod);
            let options = cni::TraceOptions { args: Some(args(plan, real, pod)), ..options.clone() };
            (pod, PluginPod::new(options))
        });
        Ok(Some(Plugin {
            pods: pods.collect(),
            real: Arc::clone(real),
            list: Arc::new(list),
            tx,
            rx,
            waiting: BTreeMap::new(),
            open: Vec::new(),
            count: Arc::default(),
            met: BTreeMap::new(),
            told: Vec::new(),
        }))
    }

    /// The next note. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Option<Note> {
        self.rx.recv().await
    }

    /// When the answer to a request is waited for no longer.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.open.iter().filter_map(Open::deadline).min()
    }

    /// Whether that namespace is one of the other pods'.
    pub(super) fn is_other_pods(&self, netns: Option<NetnsId>) -> bool {
        let others = self.pods.iter().filter(|(pod, _)| pod.is_other());
        others.filter_map(|(_, it)| it.stage.as_ref()).any(|stage| Some(stage.pod.id()) == netns)
    }

    /// Whether the node or the pod can be another afterwards: what others do in their own namespaces is seen
    /// there only of links, which have another end.
    pub(super) fn is_seen_on_node(&self, asked: &Asked) -> bool {
        let of_links = match &asked.kind {
            Kind::Netlink { messages, .. } => messages.iter().any(|m| m.words.starts_with("ip link")),
            Kind::Sysctl { .. } => false,
            _ => true,
        };
        of_links || !self.is_other_pods(asked.netns)
    }

    /// What strikes this occurrence of a step.
    pub(super) fn strike(&mut self, step: StepId, steps: &StepTable) -> Option<StepFaultKind> {
        let fault = self.real.faults.iter().find(|f| steps.is_of(step, f.step))?;
        let met = self.met.entry(fault.step).or_default();
        *met += 1;
        (*met >= fault.first && *met - fault.first < fault.count).then(|| fault.what.clone())
    }
}

impl PluginPod {
    fn new(options: cni::TraceOptions) -> PluginPod {
        PluginPod {
            options: Arc::new(options),
            stage: None,
            lever: None,
            thread: None,
            result: None,
            host_end: None,
            there: false,
        }
    }

    /// Ends whatever runs, and waits for it.
    pub(super) fn end(&mut self) {
        if let (Some(lever), Some(thread)) = (self.lever.take(), self.thread.take()) {
            lever.end();
            // a panic of it ends nothing else
            let _ = thread.join();
        }
    }
}

impl Drop for PluginPod {
    fn drop(&mut self) {
        self.end();
    }
}

/// The supervisor's rules: every request waits, and is told.
pub(super) struct Teller {
    pub(super) pod: PodId,
    pub(super) tx: UnboundedSender<Note>,
    pub(super) namer: Namer,
    /// How many requests there were in the run, of whichever pod.
    pub(super) count: Arc<AtomicU32>,
    /// The numbers of this program's requests, in their order.
    pub(super) numbers: Vec<u32>,
}

impl Rules for Teller {
    fn decide(&mut self, request: &Request) -> Verdict {
        if request.number == 1 {
            // another program of the list
            self.numbers.clear();
        }
        let number = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        self.numbers.push(number);
        let name = self.namer.name(request);
        let (raw, tid, netns, kind) = (request.number, request.tid, request.netns, request.kind.clone());
        let asked = Asked { pod: self.pod, number, raw, tid, name, netns, kind };
        match self.tx.send(Note::Asked(Box::new(asked))) {
            Ok(()) => Verdict::Hold { at_most: None, then: Then::LetGo },
            // the run is over
            Err(_) => Verdict::KillBefore(Scope::All),
        }
    }

    fn answered(&mut self, request: &Request, answer: &Answer) {
        let number = request.number.checked_sub(1).and_then(|at| self.numbers.get(at));
        if let Some(number) = number {
            let _ = self.tx.send(Note::Answered(*number, answer.clone()));
        }
    }
}

/// Does an errand on this thread.
pub(super) fn do_errand(
    errand: Errand,
    chain: &Chain<'_>,
    result: Option<&Value>,
    rules: &mut dyn Rules,
) -> Result<Result<Option<Value>, String>, cni::PluginTraceError> {
    let (operation, result) = match errand {
        Errand::Add => chain.add(rules)?,
        Errand::Del => (chain.again(Verb::Del, result, rules)?, None),
    };
    let failed = operation.invocations.iter().find_map(|it| Some((&it.plugin, it.answer.as_ref().err()?)));
    Ok(match failed {
        Some((plugin, fault)) => Err(format!("`{plugin}`: {fault}")),
        None => Ok(result),
    })
}

/// Whether the kernel's answer to a request can be heard soon.
pub(super) fn is_answered(kind: &Kind) -> bool {
    matches!(kind, Kind::Netlink { .. } | Kind::Sysctl { .. } | Kind::DeviceIoctl { .. })
}

/// The pod's first IPv4 address in a result.
pub(super) fn pod_ip(result: &Value) -> Option<std::net::Ipv4Addr> {
    let nets = cni::addresses_of(result);
    nets.iter().find_map(|net| net.split('/').next()?.parse().ok())
}
