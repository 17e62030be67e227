//! A scenario brought to one moment: the node's state as the model has it, and the commands that
//! led there, so that a kernel can be led there too.

use crate::choice::Seeded;
use crate::control::{Act, Setting, Side};
use crate::gateway::SmoltcpOutside;
use crate::host::{HostState, LinkChange, Mutation, Reason};
use crate::scenario::Plan;
use crate::sim::{Ended, World};
use crate::time::{Span, Time};
use crate::trace::{Event, What};
use std::sync::Arc;

/// Why a scenario has no such moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SceneError {
    /// It never comes to rest.
    #[error("the scenario never comes to rest: too many events at too few moments")]
    Restless,
    /// Nothing can be asked where there is no interface.
    #[error("at {at} the pod has no veth: there is no host end to ask")]
    NoHostEnd {
        /// The moment that was asked for.
        at: Time,
    },
}

/// A step on the way to a scene.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SceneStep {
    /// The pod's veth is made, its host end in the node's namespace.
    Veth,
    /// A change of the node's namespace.
    Change(Mutation),
}

/// A scenario at one moment.
#[derive(Clone, Debug)]
pub struct Scene {
    /// Names and addresses.
    pub setting: Setting,
    /// The moment of the run that the scene shows.
    pub at: Time,
    /// The node's namespace at that moment.
    pub state: HostState,
    /// What led there, from a new namespace on.
    pub way: Vec<SceneStep>,
    /// The pod's end is up.
    pub pod_up: bool,
    /// Why the model's node would not answer the pod now.
    pub silence: Option<Reason>,
}

impl Scene {
    /// Runs a plan to a moment, or to its end.
    pub fn of(mut plan: Plan, seed: u64, at: Option<Span>) -> Result<Scene, SceneError> {
        if let Some(at) = at {
            plan.duration = at;
            plan.until_clients_done = false;
        }
        let plan = Arc::new(plan);
        let mut chooser = Seeded::new(seed);
        let outside = SmoltcpOutside::new(plan.outside.clone(), seed);
        let mut world = World::new(Arc::clone(&plan), outside, &mut chooser);
        let mut events: Vec<Event> = Vec::new();
        world.start(&mut chooser, &mut events);
        let ended = loop {
            if let Some(ended) = world.step(&mut chooser, &mut events) {
                break ended;
            }
        };
        if ended == Ended::TooManyEvents {
            return Err(SceneError::Restless);
        }
        let (state, setting) = (world.gateway().state().clone(), (*plan.setting).clone());
        if state.link_named(setting.cali).is_none() {
            return Err(SceneError::NoHostEnd { at: world.now() });
        }
        let pod_up =
            world.pod().stack().state().link_named(setting.eth).is_some_and(crate::host::Link::is_up);
        let way = way(&plan, &events);
        Ok(Scene { setting, at: world.now(), state, way, pod_up, silence: world.silence() })
    }
}

/// What the steps did to the node. What was done to an earlier veth of the pod is gone with it.
fn way(plan: &Plan, events: &[Event]) -> Vec<SceneStep> {
    let cali = plan.setting.cali;
    let mut way: Vec<SceneStep> = plan.host_setup.iter().cloned().map(SceneStep::Change).collect();
    let forget = |way: &mut Vec<SceneStep>| {
        way.retain(|w| match w {
            SceneStep::Veth => false,
            SceneStep::Change(change) => !change.names(cali),
        });
    };
    let mut mac_before_move = None;
    for event in events {
        let What::Step { acts, .. } = &event.what else { continue };
        for act in acts {
            match act {
                Act::VethDelete { .. } | Act::PodReset | Act::VethCreate { host_end: Side::Pod, .. } => {
                    forget(&mut way);
                    mac_before_move = None;
                }
                Act::VethCreate { .. } | Act::VethMove => {
                    forget(&mut way);
                    way.push(SceneStep::Veth);
                    way.extend(mac_before_move.take().map(SceneStep::Change));
                }
                // the MAC that the host end gets in the pod's namespace moves with it
                Act::Change(Side::Pod, change) | Act::Try(Side::Pod, change) => {
                    if let Mutation::LinkSet { dev, change: LinkChange::Address(_) } = change
                        && *dev == cali
                    {
                        mac_before_move = Some(change.clone());
                    }
                }
                Act::Change(Side::Host, change) | Act::Try(Side::Host, change) => {
                    way.push(SceneStep::Change(change.clone()));
                }
                _ => {}
            }
        }
    }
    way
}
