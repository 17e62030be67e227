//! The parts of a scenario file that change it: fixes, and what any change can do.

use super::expect::{Corner, Expect};
use super::file::{CalicoFile, HoldFile, Located, StepFile};
use super::monitor::MonitorFile;
use super::text::CommandText;
use super::wait::WaitFile;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A change of the scenario, and what is to be seen then.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FixFile {
    /// Its name, for `--fix`.
    #[schemars(with = "String")]
    pub name: Located,
    /// One line.
    pub title: String,
    /// Why it helps, or why it does not.
    #[serde(default)]
    pub why: String,
    /// What it does to the scenario: cures it, shortens it, nothing, or breaks something else.
    pub effect: FixEffect,
    /// What it changes.
    #[serde(default)]
    pub change: ChangeFile,
    /// What is to be seen then.
    #[serde(default)]
    pub expect: Expect,
    /// What is to be seen in one corner where it differs.
    #[serde(default)]
    pub expect_in: BTreeMap<Corner, Expect>,
}

/// What a fix does to a scenario.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FixEffect {
    /// The pod reaches the world at once.
    Cures,
    /// Sooner than without.
    Shortens,
    /// As late as without.
    Nothing,
    /// Something else fails instead.
    Breaks,
}

/// A named set of changes to a scenario.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ChangeFile {
    /// Calico's version and settings; those given replace the scenario's.
    #[serde(default)]
    pub calico: CalicoFile,
    /// Commands on the node at the start, after the scenario's own.
    #[serde(default)]
    pub node: Vec<CommandText>,
    /// Commands in the pod's new namespace, after the scenario's own.
    #[serde(default)]
    pub pod: Vec<CommandText>,
    /// Commands in the pod before its containers start, after the scenario's own.
    #[serde(default)]
    pub pod_before_start: Vec<CommandText>,
    /// An init container waits for the gateway, as with `pod.wait-for-gateway`.
    pub pod_wait_for_gateway: Option<WaitFile>,
    /// An operator's monitor watches the pod's entry for its gateway, and restarts the pod.
    pub arp_monitor: Option<MonitorFile>,
    /// Steps that no longer happen.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub drop_steps: Vec<Located>,
    /// Holds that are lifted, by the step they are on.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub drop_holds: Vec<Located>,
    /// Faults of the link are gone.
    #[serde(default)]
    pub drop_faults: bool,
    /// Who answers ARP on the host end.
    pub responder: Option<super::plan::InFront>,
    /// Steps added.
    #[serde(default, rename = "step")]
    pub steps: Vec<StepFile>,
    /// Holds added or, on the same step, replaced.
    #[serde(default, rename = "hold")]
    pub holds: Vec<HoldFile>,
}
