//! A real plugin run once before its run, in namespaces of its own with nothing in its way, to see what
//! requests it makes and what it gives the pod.

use super::kernel_node::KernelNode;
use super::plugin::{configuration, other_pod, pod_ip};
use super::space::Space;
use super::terms::{LiveError, LiveOptions};
use crate::addr::Side;
use crate::cni::{self, Chain, InvokeError, Namer, Operation, PluginStage, PluginTraceError, StepName, Verb};
use crate::control::alike::numbered;
use crate::control::{PodId, Shapes};
use crate::gateway::SmoltcpOutside;
use crate::scenario::{Plan, RealPlugin, Rehearsal, Requested};
use netns_lab::supervise::{Request, SuperviseError, Verdict};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rehearses the plugin of a plan.
///
/// # Errors
/// [`LiveError::Input`] where the plugin or its configuration is what is wrong, else as [`super::run`].
pub fn rehearse(plan: &Plan, options: &LiveOptions) -> Result<Rehearsal, LiveError> {
    let none = || LiveError::Build("the scenario has no plugin".into());
    let real = plan.plugin.clone().ok_or_else(none)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| LiveError::Build(format!("starting the runtime: {e}")))?;
    runtime.block_on(play(plan, &real, options))
}

async fn play(plan: &Plan, real: &RealPlugin, options: &LiveOptions) -> Result<Rehearsal, LiveError> {
    let (list, of_plugin) = configuration(plan, real)?;
    let outside = SmoltcpOutside::new(plan.outside.clone(), options.seed);
    let (node, _) = KernelNode::build(plan, outside, options.link).await?;
    let mut pod = Space::new(Side::Pod, &plan.pod)?;
    pod.set_up(&plan.pod_setup).await?;
    let node = Arc::clone(&node.space.netns);
    let stage = PluginStage::among(Arc::clone(&node), Arc::clone(&pod.netns), node);
    let stage = stage.map_err(|e| LiveError::Build(e.to_string()))?;
    let other = if real.others > 0 { Some(other_pod(&stage, PodId(1), plan)?) } else { None };
    let chain = Chain::new(&stage, &list, &of_plugin).map_err(|e| fault(&e))?;
    let mut of_first = OnePod::new(&stage, &chain);
    let operation = of_first.add()?;
    let failed = operation.invocations.iter().find_map(|it| Some((&it.plugin, it.answer.as_ref().err()?)));
    if let Some((plugin, why)) = failed {
        return Err(LiveError::Input(format!(
            "ADD of plugin `{plugin}` fails with nothing in its way: {why}"
        )));
    }
    let gateway = super::look::Look::at(&pod).await?.gateway();
    // that a second pod's ADD fails, as where there is one address only, a run may be about
    let (shapes, of_second) = if let Some(stage) = &other {
        let chain = Chain::new(stage, &list, &of_plugin).map_err(|e| fault(&e))?;
        let mut of_second = OnePod::new(stage, &chain);
        of_second.add()?;
        of_second.del()?;
        of_first.del()?;
        let (one, two) = (&of_first.requests, &of_second.requests);
        let shapes = Shapes::between(&plain(&one.add), &plain(&two.add));
        (shapes.and(&Shapes::between(&plain(&one.del), &plain(&two.del))), of_second.requests)
    } else {
        of_first.del()?;
        (Shapes::default(), Requests::default())
    };
    let result = of_first.result.unwrap_or_default();
    let mut requests: Vec<Requested> = Vec::new();
    for names in [of_first.requests.add, of_second.add, of_first.requests.del, of_second.del] {
        let mut seen = BTreeMap::new();
        for it in names {
            let it = requested(it, &shapes, &mut seen);
            if requests.iter().all(|there| there.name != it.name) {
                requests.push(it);
            }
        }
    }
    let name =
        |plugin: &serde_json::Map<_, serde_json::Value>| plugin.get("type")?.as_str().map(str::to_owned);
    Ok(Rehearsal {
        plugins: list.plugins.iter().filter_map(name).collect(),
        requests,
        shapes,
        pod_ip: pod_ip(&result),
        gateway: gateway.or_else(|| cni::gateway_of(&result)),
    })
}

/// The names of what a plugin asks for one pod.
#[derive(Default)]
struct Requests {
    add: Vec<StepName>,
    del: Vec<StepName>,
}

/// One pod of a rehearsal.
struct OnePod<'a> {
    stage: &'a PluginStage,
    chain: &'a Chain<'a>,
    requests: Requests,
    host_end: Option<String>,
    result: Option<Value>,
}

impl<'a> OnePod<'a> {
    fn new(stage: &'a PluginStage, chain: &'a Chain<'a>) -> OnePod<'a> {
        OnePod { stage, chain, requests: Requests::default(), host_end: None, result: None }
    }

    fn namer(&self, verb: Verb) -> Namer {
        let (node, pod) = (self.stage.node.id(), self.stage.pod.id());
        Namer::new(verb, node, pod, self.chain.ifname(), self.host_end.as_deref())
    }

    fn add(&mut self) -> Result<Operation, LiveError> {
        let mut namer = self.namer(Verb::Add);
        let seen = &mut self.requests.add;
        let added = self.chain.add(&mut |request: &Request| {
            seen.push(namer.name(request));
            Verdict::LetGo
        });
        let (operation, result) = added.map_err(|e| fault(&e))?;
        self.host_end = namer.host_end().map(str::to_owned);
        self.result = result;
        Ok(operation)
    }

    fn del(&mut self) -> Result<(), LiveError> {
        let mut namer = self.namer(Verb::Del);
        let seen = &mut self.requests.del;
        let deleted = self.chain.again(Verb::Del, self.result.as_ref(), &mut |request: &Request| {
            seen.push(namer.name(request));
            Verdict::LetGo
        });
        deleted.map(|_| ()).map_err(|e| fault(&e))
    }
}

fn plain(names: &[StepName]) -> Vec<&str> {
    names.iter().map(|it| it.plain.as_str()).collect()
}

/// A request by its names; what differs from pod to pod has a star.
fn requested(it: StepName, shapes: &Shapes, seen: &mut BTreeMap<String, usize>) -> Requested {
    let StepName { plain, own, words, quiet, .. } = it;
    let (plain, own) = (shapes.of(plain), shapes.of(own));
    Requested { name: numbered(&plain, seen), plain, own, words, quiet }
}

/// A plugin that is not there or is no program is bad input.
pub(super) fn fault(error: &PluginTraceError) -> LiveError {
    match error {
        PluginTraceError::NoPlugin { name, folders } => LiveError::Input(format!(
            "there is no plugin `{name}` in {folders}; [cni] bin-dir or CNI_PATH says where plugins are"
        )),
        PluginTraceError::Invoke { source: InvokeError::Supervise(SuperviseError::Exec { .. }), .. } => {
            LiveError::Input(error.to_string())
        }
        _ => LiveError::Build(error.to_string()),
    }
}
