//! A real plugin run once before its run, in namespaces of its own with nothing in its way, to see what
//! requests it makes and what it gives the pod.

use super::kernel_node::KernelNode;
use super::plugin::{configuration, pod_ip};
use super::space::Space;
use super::terms::{LiveError, LiveOptions};
use crate::addr::Side;
use crate::cni::{self, Chain, InvokeError, Namer, PluginStage, PluginTraceError, StepName, Verb};
use crate::gateway::SmoltcpOutside;
use crate::scenario::{Plan, RealPlugin, Rehearsal, Requested};
use netns_lab::supervise::{Request, SuperviseError, Verdict};
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
    let chain = Chain::new(&stage, &list, &of_plugin).map_err(|e| fault(&e))?;
    let mut requests = Vec::new();
    let namer = |verb, host_end: Option<&str>| {
        Namer::new(verb, stage.node.id(), stage.pod.id(), &of_plugin.ifname, host_end)
    };
    let mut of_add = namer(Verb::Add, None);
    let added = chain.add(&mut |request: &Request| {
        requests.push(of_add.name(request));
        Verdict::LetGo
    });
    let (operation, result) = added.map_err(|e| fault(&e))?;
    let failed = operation.invocations.iter().find_map(|it| Some((&it.plugin, it.answer.as_ref().err()?)));
    if let Some((plugin, why)) = failed {
        return Err(LiveError::Input(format!(
            "ADD of plugin `{plugin}` fails with nothing in its way: {why}"
        )));
    }
    let gateway = super::look::Look::at(&pod).await?.gateway();
    let mut of_del = namer(Verb::Del, of_add.host_end());
    let deleted = chain.again(Verb::Del, result.as_ref(), &mut |request: &Request| {
        requests.push(of_del.name(request));
        Verdict::LetGo
    });
    deleted.map_err(|e| fault(&e))?;
    let result = result.unwrap_or_default();
    let name =
        |plugin: &serde_json::Map<_, serde_json::Value>| plugin.get("type")?.as_str().map(str::to_owned);
    Ok(Rehearsal {
        plugins: list.plugins.iter().filter_map(name).collect(),
        requests: requests.into_iter().map(requested).collect(),
        pod_ip: pod_ip(&result),
        gateway: gateway.or_else(|| cni::gateway_of(&result)),
    })
}

fn requested(it: StepName) -> Requested {
    let StepName { name, plain, own, words, quiet } = it;
    Requested { name, plain, own, words, quiet }
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
