//! One run of a scenario in the simulator, with what can be asked of its end.

use crate::choice::Seeded;
use crate::gateway::SmoltcpOutside;
use crate::host::{Decision, HostState, IfIndex, Mutation, Request, decide};
use crate::scenario::{InFront, Overrides, Plan, PlanError, Scenario};
use crate::sim::World;
use crate::trace::{GatewaySeen, Observed, Trace, observe};
use crate::wire::{Arp, Cast};
use std::sync::Arc;

/// A run and its end.
#[derive(Clone, Debug)]
pub struct Played {
    /// What happened.
    pub events: Trace,
    /// What that shows.
    pub seen: Observed,
    /// Time between two sends of each client, by name, nanoseconds.
    pub intervals: Vec<(String, u64)>,
    /// At the end the host answers when the pod asks for its own address.
    pub claims_pod_address: bool,
    /// At the end 169.254.1.1 is an address of the node.
    pub gateway_is_local: bool,
    /// At the end the pod has its default route by the gateway.
    pub pod_routes_right: bool,
}

impl Played {
    /// The gateway that a client talks by, as it was seen.
    #[must_use]
    pub fn gateway_of(&self, client: &str) -> &GatewaySeen {
        self.seen.clients.get(client).map_or(&self.seen.gateway, |c| self.seen.gateway_of(c))
    }
}

/// Runs a scenario.
pub fn play(scenario: &Scenario, overrides: &Overrides, seed: u64) -> Result<Played, PlanError> {
    Ok(play_plan(scenario.plan(overrides)?, seed))
}

/// Entries of other pods on a node that collects neighbour entries: more than gc_thresh1, fewer than
/// gc_thresh2 at their defaults.
const BUSY_NODE: u32 = 200;

/// Runs a scenario on a node with so many pods that neighbour entries which failed are collected. Nothing
/// where the scenario says itself how many entries there are elsewhere.
pub(super) fn play_on_a_busy_node(scenario: &Scenario, seed: u64) -> Result<Option<Played>, PlanError> {
    let mut plan = scenario.plan(&Overrides::default())?;
    let elsewhere = Mutation::NeighboursElsewhere(BUSY_NODE);
    for state in [&mut plan.host, &mut plan.pod] {
        if state.neighbours_elsewhere() > 0 || state.apply(&elsewhere).is_err() {
            return Ok(None);
        }
    }
    Ok(Some(play_plan(plan, seed)))
}

fn play_plan(plan: Plan, seed: u64) -> Played {
    let plan = Arc::new(plan);
    let mut chooser = Seeded::new(seed);
    let outside = SmoltcpOutside::new(plan.outside.clone(), seed);
    let mut events = Trace::new(&plan);
    let mut world = World::new(Arc::clone(&plan), outside, &mut chooser);
    world.start(&mut chooser, &mut events);
    while world.step(&mut chooser, &mut events).is_none() {}
    world.finish(&mut events);
    let host = world.gateway().state();
    Played {
        seen: observe(&events),
        intervals: plan.clients.iter().map(|c| (c.name.clone(), c.interval.as_ns())).collect(),
        claims_pod_address: claims_pod_address(&plan, host),
        gateway_is_local: host.owns(crate::control::GATEWAY),
        pod_routes_right: pod_routes_right(&plan, world.pod().stack().state()),
        events,
    }
}

fn claims_pod_address(plan: &Plan, host: &HostState) -> bool {
    let s = &plan.setting;
    let Some(dev) = host.link_named(s.cali).map(crate::host::Link::index) else { return false };
    if plan.responder != InFront::Kernel {
        return plan.responder == InFront::DatapathAny;
    }
    let arp = Arp::request(s.pod_mac, s.pod_ip, s.pod_ip);
    let request = Request { dev, cast: Cast::Broadcast, arp, sender_known: true, again: false, leg: 0 };
    matches!(decide(host, &request), Decision::Reply { .. })
}

fn pod_routes_right(plan: &Plan, pod: &HostState) -> bool {
    let Some(eth) = pod.link_named(plan.setting.eth).map(crate::host::Link::index) else { return false };
    let by_gateway = |dev: IfIndex, via| dev == eth && via == Some(crate::control::GATEWAY);
    pod.table(crate::host::TABLE_MAIN)
        .iter()
        .any(|r| r.dst.prefix_len() == 0 && r.hops.iter().any(|h| by_gateway(h.dev, h.via)))
}
