//! What a few scenarios and mitigations need of the world beyond frames and changes: a look at the
//! pod's entry for its gateway, and an init container that waits for it.

use super::World;
use crate::addr::Side;
use crate::choice::Chooser;
use crate::control::{GATEWAY, Happening};
use crate::gateway::Outside;
use crate::neigh::Entry;
use crate::pair::POD_DEV;
use crate::pod::ClientId;
use std::net::IpAddr;

impl<O: Outside> World<O> {
    /// The state of the pod's entry for its gateway, for whoever watches it.
    pub(super) fn look_at_entry(&mut self, chooser: &mut dyn Chooser) {
        let entry = self.pair.pod().stack().neighbours().get(POD_DEV, IpAddr::V4(GATEWAY));
        let what = Happening::Entry(entry.map(Entry::state));
        self.control.notice(self.now, what, self.pair.state(Side::Host), chooser);
    }

    /// True for the client that the init container runs.
    pub(super) fn is_waiter(&self, id: ClientId) -> bool {
        id.0 as usize >= self.plan.clients.len()
    }

    /// The init container has ended. One that gave up can be started again.
    pub(super) fn waited(&mut self, id: ClientId, chooser: &mut dyn Chooser) {
        let answered = self.pair.outcome(id).received > 0;
        if !answered && let Some(start) = self.starts.get_mut(id.0 as usize) {
            start.begun = false;
            self.pair.renew_client(id);
        }
        self.control.notice(self.now, Happening::Waited(answered), self.pair.state(Side::Host), chooser);
    }
}
