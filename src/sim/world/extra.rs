//! What a few scenarios and mitigations need of the world beyond frames and changes: a datapath
//! that answers ARP itself, announcements, interfaces of other namespaces.

use super::World;
use crate::addr::Mac;
use crate::choice::Chooser;
use crate::control::Side;
use crate::gateway::Outside;
use crate::host::IfIndex;
use crate::host::frame::{Arp, ETHERTYPE_ARP, EthFrame, OP_REQUEST};
use crate::packet::Frame;
use crate::scenario::Responder;
use crate::sim::link::InFlight;
use crate::trace::Sink;

impl<O: Outside> World<O> {
    /// A program at the ingress of the host end answers for everything but the pod's own address,
    /// whatever the node's routes and switches say, and the kernel's ARP never sees the request.
    pub(super) fn datapath_reply<S: Sink>(
        &mut self,
        dev: IfIndex,
        flight: &InFlight,
        chooser: &mut dyn Chooser,
        sink: &mut S,
    ) -> bool {
        let Ok(eth) = EthFrame::parse(&flight.frame) else { return false };
        let Some(arp) = (eth.ethertype == ETHERTYPE_ARP).then(|| Arp::parse(eth.payload).ok()).flatten()
        else {
            return false;
        };
        let Some(link) = self.gateway.state().link(dev).filter(|l| l.is_up()) else { return false };
        let own = arp.tpa == self.plan.setting.pod_ip && self.plan.responder == Responder::Datapath;
        if arp.op != OP_REQUEST || own || arp.spa.is_unspecified() {
            return false;
        }
        let reply = Arp::reply(link.mac(), arp.tpa, arp.sha, arp.spa).frame(arp.sha, link.mac());
        self.put_on_link(Side::Host, &Frame::from_slice(&reply), chooser, sink);
        true
    }

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
