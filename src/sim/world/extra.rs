//! What a few scenarios and mitigations need of the world beyond frames and changes: announcements,
//! interfaces of other namespaces, an init container that waits for the gateway.

use super::{POD_DEV, World};
use crate::addr::Mac;
use crate::choice::Chooser;
use crate::control::{GATEWAY, Happening};
use crate::gateway::Outside;
use crate::neigh::Entry;
use crate::packet::Frame;
use crate::pod::ClientId;
use crate::wire::Arp;
use std::net::IpAddr;

impl<O: Outside> World<O> {
    pub(super) fn announce_gateway(&mut self) -> Result<(), String> {
        let s = &self.plan.setting;
        let mac = self.gateway.state().link_named(s.cali).ok_or("the host end does not exist")?.mac();
        let arp = Arp::request(mac, crate::control::GATEWAY, s.pod_ip);
        self.announcements.push(Frame::from_slice(&arp.frame(Mac::BROADCAST, mac)));
        Ok(())
    }

    /// The state of the pod's entry for its gateway, for whoever watches it.
    pub(super) fn look_at_entry(&mut self, chooser: &mut dyn Chooser) {
        let entry = self.pod.stack().neighbours().get(POD_DEV, IpAddr::V4(GATEWAY));
        let what = Happening::Entry(entry.map(Entry::state));
        self.control.notice(self.now, what, self.gateway.state(), chooser);
    }

    /// True for the client that the init container runs.
    pub(super) fn is_waiter(&self, id: ClientId) -> bool {
        id.0 as usize >= self.plan.clients.len()
    }

    /// The init container has ended. One that gave up can be started again.
    pub(super) fn waited(&mut self, id: ClientId, chooser: &mut dyn Chooser) {
        let answered = self.pod.outcome(id).received > 0;
        if !answered && let Some(start) = self.starts.get_mut(id.0 as usize) {
            start.begun = false;
            self.pod.renew_client(id);
        }
        self.control.notice(self.now, Happening::Waited(answered), self.gateway.state(), chooser);
    }

    /// An interface of another namespace than the host's went down: before Linux 6.0 that emptied
    /// every namespace's queue of delayed answers.
    pub(super) fn down_elsewhere(&mut self) {
        if self.plan.queue_purged_by_all {
            self.gateway.purge_delayed();
        }
    }
}
