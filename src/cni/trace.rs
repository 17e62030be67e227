//! ADD, CHECK and DEL of a configuration, with every step of its plugins.

use super::execution;
use super::gateway::GatewayReport;
use super::invoke::{InvokeError, PluginSetting, Verb, invoke};
use super::{CniFault, Conflist, PluginStage, find_plugin};
use crate::time::Span;
use netns_lab::supervise::{Lever, Outcome, Record, Rules};
use serde_json::{Map, Value};
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// What to do, and how.
#[derive(Clone, Debug)]
pub struct TraceOptions {
    /// Folders with plugins, in the order in which they are looked through.
    pub folders: Vec<PathBuf>,
    /// `CNI_ARGS`.
    pub args: Option<String>,
    /// Values for the capabilities that plugins declare (`runtimeConfig`).
    pub capability_args: Map<String, Value>,
    /// The pod's interface.
    pub ifname: String,
    /// How long one plugin may take.
    pub timeout: Span,
    /// How long the gateway may stay silent after ADD.
    pub patience: Span,
    /// The gateway, if the plugin does not say which one.
    pub gateway: Option<Ipv4Addr>,
    /// Do CHECK after ADD.
    pub check: bool,
    /// Do DEL at the end.
    pub del: bool,
}

/// Where a step was made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StepPlace {
    /// The network namespace that the request is for: `node`, `pod`, `lan`, or its number.
    pub netns: String,
    /// The one that the thread is in, if that is another.
    pub thread: Option<String>,
}

/// One request of a plugin.
#[derive(Clone, Debug)]
pub struct PluginStep {
    /// The namespace that the request was made in.
    pub place: StepPlace,
    /// What, and what became of it.
    pub record: Record,
    /// A rule of the caller's held it.
    pub held: bool,
}

/// One run of one plugin.
#[derive(Debug)]
pub struct Invocation {
    /// Its `type`.
    pub plugin: String,
    /// What it asked of the kernel, in that order.
    pub steps: Vec<PluginStep>,
    /// When it began and ended, on the monotonic clock.
    pub began_ns: u64,
    /// When its process had ended.
    pub ended_ns: u64,
    /// Children were alive when it had ended, and were killed.
    pub left_behind: bool,
    /// What it said, or what is wrong with that.
    pub answer: Result<Option<Value>, CniFault>,
    /// What it wrote to its standard error.
    pub stderr: String,
}

/// One verb over all plugins of the list.
#[derive(Debug)]
pub struct Operation {
    /// ADD, CHECK or DEL.
    pub verb: Verb,
    /// Its plugins, in the order in which they ran.
    pub invocations: Vec<Invocation>,
}

impl Operation {
    /// Whether all plugins succeeded.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.invocations.iter().all(|it| it.answer.is_ok())
    }

    /// When it returned to the runtime.
    #[must_use]
    pub fn ended_ns(&self) -> u64 {
        self.invocations.last().map_or(0, |it| it.ended_ns)
    }
}

/// A traced configuration.
#[derive(Debug)]
pub struct PluginTrace {
    /// The name of the network.
    pub network: String,
    /// When the first plugin was started, on the monotonic clock.
    pub began_ns: u64,
    /// What was done.
    pub operations: Vec<Operation>,
    /// What the pod met.
    pub gateway: GatewayReport,
    /// The result of ADD.
    pub result: Option<Value>,
}

/// The plugins could not be run.
#[derive(Debug, thiserror::Error)]
pub enum PluginTraceError {
    /// A plugin of the list is nowhere.
    #[error("there is no plugin `{name}` in {folders}; --bin-dir says where plugins are")]
    NoPlugin {
        /// The `type` under which it was looked for.
        name: String,
        /// Where it was looked for.
        folders: String,
    },
    /// A plugin could not be run.
    #[error("{verb} of plugin `{plugin}`: {source}")]
    Invoke {
        /// What it was asked.
        verb: &'static str,
        /// The `type` of the plugin.
        plugin: String,
        /// Why it did not come to an answer.
        source: InvokeError,
    },
    /// The pod could not be watched.
    #[error("the pod cannot be watched: {0}")]
    Monitor(#[from] netns_lab::MonitorError),
    /// The node or a pod could not be set up.
    #[error("setting up the node and the pod failed: {0}")]
    Stage(Box<crate::namespace::StageError>),
    /// A hold names no pod, or no step.
    #[error(transparent)]
    Hold(Box<super::NoSuchHold>),
}

impl From<crate::namespace::StageError> for PluginTraceError {
    fn from(e: crate::namespace::StageError) -> PluginTraceError {
        PluginTraceError::Stage(Box::new(e))
    }
}

impl From<super::NoSuchHold> for PluginTraceError {
    fn from(e: super::NoSuchHold) -> PluginTraceError {
        PluginTraceError::Hold(Box::new(e))
    }
}

/// A list with its programs, to be run verb by verb under rules of the caller's.
#[derive(Debug)]
pub struct Chain<'a> {
    stage: &'a PluginStage,
    list: &'a Conflist,
    options: &'a TraceOptions,
    setting: PluginSetting,
    programs: Vec<PathBuf>,
}

impl<'a> Chain<'a> {
    /// Looks for the programs of the list.
    pub fn new(
        stage: &'a PluginStage,
        list: &'a Conflist,
        options: &'a TraceOptions,
    ) -> Result<Chain<'a>, PluginTraceError> {
        let folders = || {
            let shown: Vec<_> = options.folders.iter().map(|folder| folder.display().to_string()).collect();
            shown.join(", ")
        };
        let programs = list.plugins.iter().map(|plugin| {
            let name = plugin.get("type").and_then(Value::as_str).unwrap_or_default();
            find_plugin(name, &options.folders)
                .ok_or_else(|| PluginTraceError::NoPlugin { name: name.into(), folders: folders() })
        });
        let path: Vec<_> = options.folders.iter().map(|folder| folder.display().to_string()).collect();
        let setting = PluginSetting {
            container: format!("arplab-{}", stage.pod.label()),
            ifname: options.ifname.clone(),
            args: options.args.clone(),
            path: path.join(":"),
            timeout: options.timeout,
            lever: None,
        };
        Ok(Chain { programs: programs.collect::<Result<_, _>>()?, stage, list, options, setting })
    }

    /// The pod's interface.
    #[must_use]
    pub fn ifname(&self) -> &str {
        &self.setting.ifname
    }

    /// Its plugins take orders from here while they run.
    #[must_use]
    pub fn lever(mut self, lever: &Lever) -> Chain<'a> {
        self.setting.lever = Some(lever.clone());
        self
    }

    /// ADD of all plugins, each with the result of the one before it, up to the first that fails;
    /// and the last one's result, if none failed.
    pub fn add(&self, rules: &mut dyn Rules) -> Result<(Operation, Option<Value>), PluginTraceError> {
        let mut operation = Operation { verb: Verb::Add, invocations: Vec::new() };
        let mut result = None;
        for place in 0..self.programs.len() {
            let invocation = self.run(place, Verb::Add, result.as_ref(), rules)?;
            let answer = invocation.answer.clone();
            operation.invocations.push(invocation);
            match answer {
                Ok(said) => result = said,
                Err(_) => return Ok((operation, None)),
            }
        }
        Ok((operation, result))
    }

    /// CHECK in the list's order, DEL backwards, with the result of ADD.
    pub fn again(
        &self,
        verb: Verb,
        result: Option<&Value>,
        rules: &mut dyn Rules,
    ) -> Result<Operation, PluginTraceError> {
        let mut places: Vec<usize> = (0..self.programs.len()).collect();
        if verb == Verb::Del {
            places.reverse();
        }
        let mut operation = Operation { verb, invocations: Vec::new() };
        for place in places {
            let invocation = self.run(place, verb, result, rules)?;
            let stop = invocation.answer.is_err();
            operation.invocations.push(invocation);
            if stop {
                break;
            }
        }
        Ok(operation)
    }

    /// The attachment, as `cni.dev/valid-attachments` names it.
    #[must_use]
    pub fn attachment(&self) -> Value {
        serde_json::json!({ "containerID": self.setting.container, "ifname": self.setting.ifname })
    }

    /// GC of all plugins, whether or not one fails; those attachments are valid.
    pub fn gc(&self, valid: &[Value], rules: &mut dyn Rules) -> Result<Operation, PluginTraceError> {
        let mut operation = Operation { verb: Verb::Gc, invocations: Vec::new() };
        for place in 0..self.programs.len() {
            let mut given = execution::configuration(self.list, place, &self.options.capability_args, None);
            given["cni.dev/valid-attachments"] = valid.to_vec().into();
            operation.invocations.push(self.run_with(place, Verb::Gc, &given, rules)?);
        }
        Ok(operation)
    }

    /// STATUS of all plugins, up to the first that says no.
    pub fn status(&self, rules: &mut dyn Rules) -> Result<Operation, PluginTraceError> {
        let mut operation = Operation { verb: Verb::Status, invocations: Vec::new() };
        for place in 0..self.programs.len() {
            operation.invocations.push(self.run(place, Verb::Status, None, rules)?);
            if !operation.is_well() {
                break;
            }
        }
        Ok(operation)
    }

    fn run(
        &self,
        place: usize,
        verb: Verb,
        previous: Option<&Value>,
        rules: &mut dyn Rules,
    ) -> Result<Invocation, PluginTraceError> {
        let given = execution::configuration(self.list, place, &self.options.capability_args, previous);
        self.run_with(place, verb, &given, rules)
    }

    fn run_with(
        &self,
        place: usize,
        verb: Verb,
        given: &Value,
        rules: &mut dyn Rules,
    ) -> Result<Invocation, PluginTraceError> {
        let plugin = self.list.plugins[place].get("type").and_then(Value::as_str).unwrap_or_default();
        let program = &self.programs[place];
        let done = invoke(self.stage, program, verb, &self.setting, given, rules);
        let (outcome, answer) = done.map_err(|source| PluginTraceError::Invoke {
            verb: verb.word(),
            plugin: plugin.into(),
            source,
        })?;
        Ok(self.tell(plugin, outcome, answer))
    }

    fn tell(&self, plugin: &str, outcome: Outcome, answer: Result<Option<Value>, CniFault>) -> Invocation {
        let name =
            |netns: Option<netns_lab::NetnsId>| netns.map_or_else(|| "?".into(), |it| self.stage.name_of(it));
        let steps = outcome.records.into_iter().map(|record| {
            let request = &record.request;
            let thread = Some(name(request.thread_netns)).filter(|_| request.thread_netns != request.netns);
            PluginStep { place: StepPlace { netns: name(request.netns), thread }, record, held: false }
        });
        Invocation {
            plugin: plugin.into(),
            steps: steps.collect(),
            began_ns: outcome.started_ns,
            ended_ns: outcome.ended_ns,
            left_behind: outcome.left_behind,
            answer,
            stderr: String::from_utf8_lossy(&outcome.stderr.bytes).into_owned(),
        }
    }
}
