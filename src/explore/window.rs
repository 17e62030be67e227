//! The window of the divide by zero (felix #1937), told from the steps of a run.
//!
//! What it depends on are switches that actors write, and each step of a trace says what it wrote. So the
//! host's namespace is built up again from the commands of the steps, in their order: in the simulator
//! and in a live run alike, because there arplab carries out the same commands on a kernel.

use super::facts::Delays;
use crate::control::{Act, Side};
use crate::host::{HostState, LinkKind, Mutation};
use crate::scenario::Plan;

/// The host's namespace as the steps so far have made it.
pub(super) struct HostSeen<'a> {
    plan: &'a Plan,
    state: HostState,
    /// What the acts without a command of their own are told as.
    created: String,
    moved: String,
    deleted: [String; 2],
}

impl<'a> HostSeen<'a> {
    pub(super) fn new(plan: &'a Plan) -> HostSeen<'a> {
        HostSeen {
            plan,
            state: plan.host.clone(),
            created: Act::VethCreate { host_end: Side::Host, pod_up: false }.to_string(),
            moved: Act::VethMove.to_string(),
            deleted: [Act::VethDelete { from: Side::Host }, Act::PodReset].map(|act| act.to_string()),
        }
    }

    /// A step did this; true when it opened the window.
    pub(super) fn step(&mut self, acts: &[String]) -> bool {
        let setting = &self.plan.setting;
        let before = Delays::of(&self.state, setting);
        for act in acts {
            let Some(change) = self.change(act) else { continue };
            // what the kernel refuses changes nothing
            let _ = self.state.apply(&change);
        }
        Delays::divides(before, Delays::of(&self.state, setting))
    }

    /// The change of the host's namespace that an act is; `None` when it changes something else.
    fn change(&self, act: &str) -> Option<Mutation> {
        let dev = self.plan.setting.cali;
        if act == self.created || act == self.moved {
            return Some(Mutation::LinkAdd { name: dev, kind: LinkKind::Veth, mac: None });
        }
        if self.deleted.iter().any(|d| d == act) {
            return Some(Mutation::LinkDel { dev });
        }
        act.parse().ok()
    }
}
