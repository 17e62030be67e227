//! The init container that waits for the gateway: in a file, and as the client that it runs.

use super::file::ClientKind;
use super::plan::{ClientPlan, Target, WAITER};
use crate::control::{ActorName, Gate, ScriptStep, StepTable};
use crate::time::Span;
use schemars::JsonSchema;
use serde::Deserialize;
use std::net::{IpAddr, Ipv4Addr};

/// An init container that runs `arping -f -w LIMIT -I eth0 169.254.1.1` and is started again, with
/// the kubelet's back-off, when it ends without an answer.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WaitFile {
    /// How long it asks before it gives up; 60s by default.
    pub limit: Option<Span>,
    /// Time between two requests; 1s by default.
    pub interval: Option<Span>,
}

/// An init container asks so long before it gives up: as long as the silences that are reported.
const WAIT_LIMIT: Span = Span::from_secs(60);

/// What the init container runs: `arping -f -w LIMIT -I eth0 GATEWAY`.
pub(super) fn waiter(wait: WaitFile, gateway: Ipv4Addr) -> ClientPlan {
    ClientPlan {
        name: WAITER.to_owned(),
        from: crate::addr::Side::Pod,
        kind: ClientKind::Arping,
        to: Target::Host(IpAddr::V4(gateway)),
        gate: Gate::After(StepTable::built_in("kubelet.init-start")),
        delay: (Span::ZERO, Span::ZERO),
        interval: wait.interval.unwrap_or(Span::from_secs(1)),
        count: None,
        ident: 0,
        stop_after: Some(1),
        deadline: Some(wait.limit.unwrap_or(WAIT_LIMIT)),
        retry: None,
        timeout: None,
        parallel: 1,
        recverr: false,
    }
}

/// What happens on the node so long after the containers' start does not wait for an init
/// container: it counts from the first container of any kind.
pub(super) fn from_first_container(
    step: ScriptStep,
    actor: ActorName,
    waits: Option<WaitFile>,
) -> ScriptStep {
    let started = Gate::After(StepTable::built_in("kubelet.container-start"));
    if waits.is_none() || actor == ActorName::Pod || step.gate != started {
        return step;
    }
    ScriptStep { gate: Gate::After(StepTable::built_in("kubelet.init-start")), ..step }
}
