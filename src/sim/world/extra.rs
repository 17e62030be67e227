//! What a few scenarios and mitigations need of the world beyond frames and changes: a datapath
//! that answers ARP itself, announcements, interfaces of other namespaces, an init container that
//! waits for the gateway.

use super::{POD_DEV, World};
use crate::addr::Mac;
use crate::choice::Chooser;
use crate::control::{GATEWAY, Happening, Side};
use crate::gateway::Outside;
use crate::host::IfIndex;
use crate::host::frame::{Arp, ETHERTYPE_ARP, EthFrame, OP_REQUEST};
use crate::neigh::Entry;
use crate::packet::Frame;
use crate::pod::ClientId;
use crate::scenario::Responder;
use crate::sim::link::InFlight;
use crate::trace::Sink;
use std::net::IpAddr;

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
