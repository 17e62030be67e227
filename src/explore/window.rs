//! The window of the divide by zero (felix #1937), told from the steps of a run.
//!
//! What it depends on are switches that actors write, and each step of a trace says what it wrote. So the
//! host's namespace is built up again from the acts of the steps, in their order: in the simulator
//! and in a live run alike, because there arplab carries out the same acts on a kernel.

use super::facts::Delays;
use crate::control::Act;
use crate::host::HostState;
use crate::scenario::Plan;

/// The host's namespace as the steps so far have made it.
pub(super) struct HostSeen<'a> {
    plan: &'a Plan,
    state: HostState,
}

impl<'a> HostSeen<'a> {
    pub(super) fn new(plan: &'a Plan) -> HostSeen<'a> {
        HostSeen { plan, state: plan.host.clone() }
    }

    /// A step did this; true when it opened the window.
    pub(super) fn step(&mut self, acts: &[Act]) -> bool {
        let setting = &self.plan.setting;
        let before = Delays::of(&self.state, setting);
        for act in acts {
            let Some(change) = act.on_host(setting.cali) else { continue };
            // what the kernel refuses changes nothing
            let _ = self.state.apply(&change);
        }
        Delays::divides(before, Delays::of(&self.state, setting))
    }
}
