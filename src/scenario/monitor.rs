//! An operator's monitor, in a file and as an actor.

use crate::control::{ActorName, Actors, Monitor, StepTable};
use crate::time::Span;
use schemars::JsonSchema;
use serde::Deserialize;

/// A monitor that has the pod made anew when its entry for the gateway is FAILED or INCOMPLETE for
/// some looks in a row. An entry that is not there is one that nobody has asked for.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MonitorFile {
    /// Time between two looks, from the start of the first container on.
    pub every: Span,
    /// So many bad looks in a row are an alarm.
    pub looks: u8,
}

/// The actor, with its steps in the table.
pub(super) fn monitor(file: MonitorFile, steps: &mut StepTable) -> Actors {
    let title = "the monitor looks at the pod's entry for 169.254.1.1";
    let look = steps.add("operator.monitor-look", ActorName::Operator, title);
    let title = "the monitor's alarm: the pod is deleted, and created anew under its name";
    let alarm = steps.add("operator.monitor-alarm", ActorName::Operator, title);
    Actors::Monitor(Monitor::new(file.every, file.looks, look, alarm))
}
