//! A responder of one's own, in front of the node's kernel.

use super::world::World;
use crate::addr::Mac;
use crate::choice::Chooser;
use crate::control::{GATEWAY, Side};
use crate::gateway::Outside;
use crate::host::frame::{Arp, ETHERTYPE_ARP, EthFrame, OP_REQUEST};
use crate::host::{HostState, IfIndex};
use crate::packet::Frame;
use crate::trace::{Seen, Sink, What};

/// What a responder does with a frame of the pod.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It leaves the frame to the node's kernel, as if it were not there.
    Pass,
    /// The frame is dropped; nobody answers.
    Silent,
    /// This frame goes to the pod; the kernel never sees the pod's.
    Reply(Frame),
}

/// What answers the pod in the place of the kernel's proxy ARP: a program in user space, an eBPF
/// filter on the veth, a changed rule of the kernel.
///
/// It has no memory: the answer follows from the node's state and the frame. So a state of a
/// search needs no more than it has, and schedules that meet may be taken for one. It answers in
/// the simulator and the explorer; live runs have responders of their own.
///
/// ```
/// use arplab::addr::Mac;
/// use arplab::explore::{Answer, Explorer, Property, Responder, basic};
/// use arplab::host::HostState;
/// use arplab::host::frame::{Arp, ETHERTYPE_ARP, EthFrame, OP_REQUEST};
/// use std::sync::Arc;
///
/// /// Answers for the gateway as soon as there is an interface, whatever the switches say.
/// #[derive(Debug)]
/// struct Always;
///
/// impl Responder for Always {
///     fn answer(&self, _: &HostState, frame: &[u8]) -> Answer {
///         let Ok(eth) = EthFrame::parse(frame) else { return Answer::Pass };
///         match Arp::parse(eth.payload) {
///             Ok(arp) if eth.ethertype == ETHERTYPE_ARP && arp.op == OP_REQUEST && arp.spa != arp.tpa => {
///                 let mac = Mac([0xee; 6]);
///                 let reply = Arp::reply(mac, arp.tpa, arp.sha, arp.spa);
///                 Answer::Reply(reply.frame(arp.sha, mac).as_slice().into())
///             }
///             _ => Answer::Pass,
///         }
///     }
/// }
///
/// let mut plan = basic::race(1);
/// let asked = vec![Property::always("never-asked-in-vain", |f| !f.asked_in_vain)];
/// assert!(!Explorer::new(plan.clone()).properties(asked.clone()).run().ok());
/// plan.own_responder = Some(Arc::new(Always));
/// assert!(Explorer::new(plan).properties(asked).run().ok());
/// ```
pub trait Responder: core::fmt::Debug + Send + Sync {
    /// A frame of the pod arrived at the host end of its veth.
    fn answer(&self, host: &HostState, frame: &[u8]) -> Answer;
}

impl<O: Outside> World<O> {
    /// A frame of the pod reaches an interface of the node.
    pub(super) fn hear<S: Sink>(
        &mut self,
        dev: IfIndex,
        frame: &Frame,
        chooser: &mut dyn Chooser,
        sink: &mut S,
    ) {
        let own = self.plan.own_responder.as_ref();
        match own.map_or(Answer::Pass, |r| r.answer(self.gateway.state(), frame)) {
            Answer::Pass => self.gateway.receive(self.now, dev, frame, chooser),
            Answer::Silent => self.own_word(frame, false, sink),
            Answer::Reply(reply) => {
                self.own_word(frame, true, sink);
                self.send_from_host(dev, &reply, chooser, sink);
            }
        }
    }

    /// Tells what a responder of one's own did with a request.
    fn own_word<S: Sink>(&self, frame: &Frame, answered: bool, sink: &mut S) {
        let Some(arp) = request_in(frame) else { return };
        sink.see(self.now, Seen::Own { arp: &arp, answered });
        if S::WANTED {
            let why = (!answered).then(|| "the responder under test keeps silent".to_owned());
            let what = What::Judged {
                frame: None,
                side: Side::Host,
                target: arp.tpa.into(),
                sender: arp.spa.into(),
                answered,
                delayed: false,
                reason: why.as_ref().map(|_| "responder".to_owned()),
                why,
            };
            sink.take(self.now, what);
        }
    }

    /// Whether a request of the pod for its gateway would be answered now.
    #[must_use]
    pub fn answers(&self) -> bool {
        let setting = &self.plan.setting;
        let asked = Arp::request(setting.pod_mac, setting.pod_ip, GATEWAY);
        let frame = asked.frame(Mac::BROADCAST, setting.pod_mac);
        let own = self.plan.own_responder.as_ref();
        let there = self.veth.carries() && self.veth.host_index(setting, self.gateway.state()).is_some();
        match own.map_or(Answer::Pass, |r| r.answer(self.gateway.state(), &frame)) {
            Answer::Pass => self.silence().is_none(),
            Answer::Silent => false,
            Answer::Reply(_) => there,
        }
    }
}

fn request_in(frame: &[u8]) -> Option<Arp> {
    let eth = EthFrame::parse(frame).ok().filter(|e| e.ethertype == ETHERTYPE_ARP)?;
    Arp::parse(eth.payload).ok().filter(|a| a.op == OP_REQUEST)
}
