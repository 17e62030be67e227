//! ADD, CHECK and DEL of one pod, or of several at once on one node.

use super::gateway::{self, GatewayReport, Talk};
use super::hold::{self, Holder, StepHold};
use super::{
    Chain, Conflist, Namer, Operation, PluginStage, PluginTrace, PluginTraceError, StepName, TraceOptions,
    Verb, execution,
};
use crate::namespace::StageError;
use netns_lab::{Monitor, Netns, monotonic_ns};
use serde_json::Value;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Barrier};

/// One of several pods.
#[derive(Debug)]
pub struct PodTrace {
    /// Its name: `pod1`, `pod2`, ...; `pod` where there is one.
    pub pod: String,
    /// What was done for it, and what it met. All begin at the same moment.
    pub trace: PluginTrace,
}

/// A configuration traced for several pods at once.
#[derive(Debug)]
pub struct TogetherTrace {
    /// The pods, in the order of their names.
    pub pods: Vec<PodTrace>,
    /// The node with its folders, and the first pod, as they are at the end; the other pods are gone.
    pub stage: PluginStage,
    /// Holds that held nothing, since their steps did not come this time.
    pub idle: Vec<StepHold>,
}

/// Runs the plugins of a list.
pub fn trace(
    stage: &PluginStage,
    list: &Conflist,
    options: &TraceOptions,
) -> Result<PluginTrace, PluginTraceError> {
    let mut crew = Crew::new(std::slice::from_ref(stage), list, options, &[])?;
    crew.play()?;
    Ok(crew.told().swap_remove(0).trace)
}

/// Runs the plugins of a list for several pods of one node: ADD of all begins at the same moment, and
/// so do CHECK and DEL, when the verb before has ended for all. Every pod has a namespace, a
/// container's name and an address of its own; the node and its folders they share.
///
/// With holds all of it is done once before, pod after pod and with nothing held, to see which
/// steps there are.
pub fn trace_pods(
    count: usize,
    list: &Conflist,
    options: &TraceOptions,
    holds: &[StepHold],
) -> Result<TogetherTrace, PluginTraceError> {
    if !holds.is_empty() {
        let stages = stages(count)?;
        let pods: Vec<String> = stages.iter().map(|stage| stage.pod.label().to_owned()).collect();
        hold::look_over(holds, &pods, &rehearse(&stages, list, options)?)?;
    }
    let stages = stages(count)?;
    let mut crew = Crew::new(&stages, list, options, holds)?;
    crew.play()?;
    let struck = |at: usize| crew.pods.iter().any(|pod| pod.holder.struck[at]);
    let idle = holds.iter().enumerate().filter(|(at, _)| !struck(*at)).map(|(_, hold)| hold.clone());
    let (idle, pods, stage) = (idle.collect(), crew.told(), stages[0].clone());
    Ok(TogetherTrace { pods, stage, idle })
}

fn stages(count: usize) -> Result<Vec<PluginStage>, StageError> {
    if count == 1 {
        return Ok(vec![PluginStage::new()?]);
    }
    let first = PluginStage::with_pod_called("pod1")?;
    let more = (2..=count).map(|number| {
        let pod = Netns::new(format!("pod{number}"))?;
        first.beside(Arc::new(pod))
    });
    let more = more.collect::<Result<Vec<_>, _>>()?;
    Ok([first].into_iter().chain(more).collect())
}

/// What the steps of each pod are called.
fn rehearse(
    stages: &[PluginStage],
    list: &Conflist,
    options: &TraceOptions,
) -> Result<Vec<Vec<StepName>>, PluginTraceError> {
    let mut crew = Crew::new(stages, list, options, &[])?;
    // all are there before the first goes, as when they run at once
    for pod in &mut crew.pods {
        pod.verb(Verb::Add)?;
    }
    for verb in crew.later_verbs() {
        for pod in &mut crew.pods {
            pod.verb(verb)?;
        }
    }
    Ok(crew.pods.into_iter().map(|pod| pod.holder.names).collect())
}

/// The pods of a run.
struct Crew<'a> {
    pods: Vec<Pod<'a>>,
    list: &'a Conflist,
    options: &'a TraceOptions,
    began_ns: u64,
}

struct Pod<'a> {
    stage: &'a PluginStage,
    chain: Chain<'a>,
    ifname: &'a str,
    holder: Holder<'a>,
    result: Option<Value>,
    operations: Vec<Operation>,
    gateway: GatewayReport,
}

impl<'a> Crew<'a> {
    fn new(
        stages: &'a [PluginStage],
        list: &'a Conflist,
        options: &'a TraceOptions,
        holds: &'a [StepHold],
    ) -> Result<Crew<'a>, PluginTraceError> {
        let pods = stages.iter().map(|stage| {
            Ok(Pod {
                stage,
                chain: Chain::new(stage, list, options)?,
                ifname: &options.ifname,
                holder: Holder::new(stage.pod.label(), holds),
                result: None,
                operations: Vec::new(),
                gateway: GatewayReport::default(),
            })
        });
        let pods = pods.collect::<Result<_, PluginTraceError>>()?;
        Ok(Crew { pods, list, options, began_ns: 0 })
    }

    fn play(&mut self) -> Result<(), PluginTraceError> {
        let monitors = self.pods.iter().map(|pod| Monitor::open(&pod.stage.pod));
        let monitors = monitors.collect::<Result<Vec<_>, _>>()?;
        self.began_ns = monotonic_ns();
        let (options, count) = (self.options, self.pods.len());
        let (start, mut monitors) = (Barrier::new(count), monitors.into_iter());
        at_once(
            &mut self.pods,
            |pod, monitor| pod.add(monitor, &start, (count, options)),
            || monitors.next(),
        )?;
        for verb in self.later_verbs() {
            at_once(&mut self.pods, |pod, ()| pod.verb_from(verb, &start), || Some(()))?;
        }
        Ok(())
    }

    /// What is done after ADD.
    fn later_verbs(&self) -> Vec<Verb> {
        let (list, options) = (self.list, self.options);
        let check = options.check && list.is_at_least("0.4.0") && !list.disable_check;
        let verbs = [(check, Verb::Check), (options.del, Verb::Del)];
        verbs.into_iter().filter(|(wanted, _)| *wanted).map(|(_, verb)| verb).collect()
    }

    fn told(self) -> Vec<PodTrace> {
        let (network, began_ns) = (&self.list.name, self.began_ns);
        let told = self.pods.into_iter().map(|pod| PodTrace {
            pod: pod.stage.pod.label().to_owned(),
            trace: PluginTrace {
                network: network.clone(),
                began_ns,
                operations: pod.operations,
                gateway: pod.gateway,
                result: pod.result,
            },
        });
        told.collect()
    }
}

/// Does the same for all pods, each on a thread of its own; the first error of any, when all are done.
fn at_once<'a, G: Send>(
    pods: &mut [Pod<'a>],
    work: impl Fn(&mut Pod<'a>, G) -> Result<(), PluginTraceError> + Sync,
    mut give: impl FnMut() -> Option<G>,
) -> Result<(), PluginTraceError> {
    std::thread::scope(|scope| {
        let work = &work;
        let given = pods.iter_mut().zip(std::iter::from_fn(&mut give));
        let threads: Vec<_> = given.map(|(pod, given)| scope.spawn(move || work(pod, given))).collect();
        let done = threads.into_iter().map(|it| it.join().unwrap_or_else(|e| std::panic::resume_unwind(e)));
        let done: Vec<_> = done.collect();
        done.into_iter().collect()
    })
}

impl Pod<'_> {
    fn add(
        &mut self,
        monitor: Monitor,
        start: &Barrier,
        (count, options): (usize, &TraceOptions),
    ) -> Result<(), PluginTraceError> {
        let talk = Talk::default();
        talk.suggest(options.gateway);
        let (stage, ifname) = (self.stage, self.ifname);
        let (added, gateway) = std::thread::scope(|scope| {
            let asker = scope
                .spawn(|| gateway::ask_among(count, monitor, &stage.pod, ifname, &talk, options.patience));
            start.wait();
            let added = self.verb(Verb::Add);
            talk.suggest(self.result.as_ref().and_then(execution::gateway_of));
            talk.done.store(true, Ordering::SeqCst);
            (added, asker.join().unwrap_or_default())
        });
        self.gateway = gateway;
        added
    }

    fn verb_from(&mut self, verb: Verb, start: &Barrier) -> Result<(), PluginTraceError> {
        start.wait();
        self.verb(verb)
    }

    /// Does it, and keeps what was done. There is no CHECK of what ADD did not make.
    fn verb(&mut self, verb: Verb) -> Result<(), PluginTraceError> {
        if verb == Verb::Check && self.result.is_none() {
            return Ok(());
        }
        let (node, pod, ifname) = (self.stage.node.id(), self.stage.pod.id(), self.ifname);
        self.holder.begin(|host_end| Namer::new(verb, node, pod, ifname, host_end));
        let mut operation = if verb == Verb::Add {
            let (operation, result) = self.chain.add(&mut self.holder)?;
            self.result = result;
            operation
        } else {
            self.chain.again(verb, self.result.as_ref(), &mut self.holder)?
        };
        for (place, invocation) in operation.invocations.iter_mut().enumerate() {
            for step in &mut invocation.steps {
                step.held = self.holder.held.contains(&(place + 1, step.record.request.number));
            }
        }
        self.operations.push(operation);
        Ok(())
    }
}
