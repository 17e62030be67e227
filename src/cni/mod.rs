//! Real CNI plugins on the stage: the plugin's own binary, run as a container runtime runs it, in
//! a node's and a pod's namespace of the lab, with every request that it makes of the kernel seen.
//!
//! `conflist` reads network configurations, `args` looks at `CNI_ARGS`; `execution` derives what each plugin of a chain is
//! given and reads what it prints, both by the CNI specification 0.3.1 to 1.1; `stage` is where a
//! plugin runs; `invoke` runs one; `gateway` asks for the pod's gateway on the wire meanwhile;
//! `trace` runs the verbs of a list and keeps the steps, `together` does them for one pod or for
//! several at once, `hold` holds steps by name; `report` tells a trace, `merged` those of several pods;
//! `explore` disturbs steps one by one.
//!
//! A configuration stays the JSON that it was: a runtime hands on whatever stands in it, so types
//! that know fields (as the crate `rscni-types` has them) would be in the way.

mod args;
mod conflist;
mod execution;
pub mod explore;
mod gateway;
mod hold;
mod invoke;
mod merged;
mod names;
mod report;
mod stage;
mod together;
mod trace;

pub use args::{CniArgsError, check_args};
pub(crate) use conflist::undeclared_words;
pub use conflist::{Conflist, ConflistError, VERSIONS};
pub use execution::{CniFault, PluginError};
pub(crate) use execution::{addresses_of, gateway_of};
pub use gateway::GatewayReport;
pub use hold::{NoSuchHold, StepHold, StepHoldError};
use invoke::PROGRAM_PATH;
pub use invoke::{InvokeError, Verb};
pub use merged::{json_of_pods, pcapng_of_pods, timeline_of_pods};
pub use names::{Namer, StepName};
pub use report::{json, pcapng, timeline};
pub use stage::{PluginStage, find_plugin, plugin_folders};
pub use together::{PodTrace, TogetherTrace, trace, trace_pods};
pub use trace::{
    Chain, Invocation, Operation, PluginStep, PluginTrace, PluginTraceError, StepPlace, TraceOptions,
};
