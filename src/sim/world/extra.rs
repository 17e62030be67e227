//! What a few scenarios and mitigations need of the world beyond frames and changes: announcements,
//! interfaces of other namespaces.

use super::World;
use crate::addr::Mac;
use crate::gateway::Outside;
use crate::host::frame::Arp;
use crate::packet::Frame;

impl<O: Outside> World<O> {
    pub(super) fn announce_gateway(&mut self) -> Result<(), String> {
        let s = &self.plan.setting;
        let mac = self.gateway.state().link_named(s.cali).ok_or("the host end does not exist")?.mac();
        let arp = Arp::request(mac, crate::control::GATEWAY, s.pod_ip);
        self.announcements.push(Frame::from_slice(&arp.frame(Mac::BROADCAST, mac)));
        Ok(())
    }

    /// An interface of another namespace than the host's went down: before Linux 6.0 that emptied
    /// every namespace's queue of delayed answers.
    pub(super) fn down_elsewhere(&mut self) {
        if self.plan.queue_purged_by_all {
            self.gateway.purge_delayed();
        }
    }
}
