//! What stands in front of the node's kernel: a program of the datapath, or a responder of one's own.

use super::world::World;
use crate::addr::{Mac, Side};
use crate::choice::Chooser;
use crate::control::GATEWAY;
use crate::gateway::Outside;
use crate::host::{HostState, IfIndex, Reason, Request, decide};
use crate::packet::Frame;
use crate::scenario::{Plan, Responder as Who};
use crate::trace::{Kinds, Ruling, Sink, What, Why};
use crate::wire::{Arp, Cast, ETHERTYPE_ARP, EthFrame, OP_REQUEST};

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
/// the simulator, the explorer and, to a real pod, in live runs with the software gateway; a real
/// node answers for itself.
///
/// ```
/// use arplab::addr::Mac;
/// use arplab::explore::{Answer, Explorer, Property, Responder, basic};
/// use arplab::host::HostState;
/// use arplab::wire::{Arp, ETHERTYPE_ARP, EthFrame, OP_REQUEST};
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

/// The answer of a program at the ingress of the host end, which answers for everything but the
/// pod's own address (or for that, too), whatever the node's routes and switches say; the kernel's
/// ARP never sees the request. `None`: the frame is not for it, or the plan has none.
pub(crate) fn datapath_reply(plan: &Plan, host: &HostState, dev: IfIndex, frame: &[u8]) -> Option<Frame> {
    if plan.responder == Who::Kernel {
        return None;
    }
    let arp = request_in(frame)?;
    let link = host.link(dev).filter(|l| l.is_up())?;
    let own = arp.tpa == plan.setting.pod_ip && plan.responder == Who::Datapath;
    if own || arp.spa.is_unspecified() {
        return None;
    }
    let reply = Arp::reply(link.mac(), arp.tpa, arp.sha, arp.spa).frame(arp.sha, link.mac());
    Some(Frame::from_slice(&reply))
}

/// What the plan's responder of one's own makes of a frame; it passes where there is none.
pub(crate) fn own_answer(plan: &Plan, host: &HostState, frame: &[u8]) -> Answer {
    plan.own_responder.as_ref().map_or(Answer::Pass, |r| r.answer(host, frame))
}

/// What a responder of one's own did with a request, as an event; `None` for other frames.
pub(crate) fn own_word(frame: &[u8], answered: bool) -> Option<What> {
    let arp = request_in(frame)?;
    let silent = Ruling::Silent { why: Why::Responder, inferred: false };
    let ruling = if answered { Ruling::Answered } else { silent };
    let (target, sender) = (arp.tpa.into(), arp.spa.into());
    Some(What::Judged { frame: None, side: Side::Host, target, sender, ruling })
}

/// Why a request of the pod for its gateway would go unanswered now; `None` when it would not.
///
/// `dev` is the host end, if it is in the node's namespace. A responder of one's own is not asked.
pub(crate) fn silence(plan: &Plan, host: &HostState, dev: Option<IfIndex>, carries: bool) -> Option<Reason> {
    let Some(dev) = dev else { return Some(Reason::NoInterface) };
    let unplugged = (!carries).then_some(Reason::NoCarrier);
    if plan.responder != Who::Kernel {
        let up = host.link(dev).is_some_and(crate::host::Link::is_up);
        return if up { unplugged } else { Some(Reason::LinkDown) };
    }
    let s = &plan.setting;
    let arp = Arp::request(s.pod_mac, s.pod_ip, GATEWAY);
    let request = Request { dev, cast: Cast::Broadcast, arp, sender_known: true, again: false, leg: 0 };
    decide(host, &request).reason().or(unplugged)
}

impl<O: Outside> World<O> {
    /// A frame of the pod reaches the node; true when something in front of its kernel has it.
    pub(super) fn intercept<S: Sink>(
        &mut self,
        frame: &Frame,
        chooser: &mut dyn Chooser,
        sink: &mut S,
    ) -> bool {
        let Some(dev) = self.pair.host_index() else { return false };
        let host = self.pair.state(Side::Host);
        if let Some(reply) = datapath_reply(&self.plan, host, dev, frame) {
            self.send(Side::Host, &reply, chooser, sink);
            return true;
        }
        match own_answer(&self.plan, host, frame) {
            Answer::Pass => return false,
            Answer::Silent => self.tell_own(frame, false, sink),
            Answer::Reply(reply) => {
                self.tell_own(frame, true, sink);
                self.send(Side::Host, &reply, chooser, sink);
            }
        }
        true
    }

    fn tell_own<S: Sink>(&self, frame: &Frame, answered: bool, sink: &mut S) {
        if S::WANTS.has(Kinds::JUDGED)
            && let Some(what) = own_word(frame, answered)
        {
            sink.take(self.now, what);
        }
    }

    /// Whether a request of the pod for its gateway would be answered now.
    #[must_use]
    pub fn answers(&self) -> bool {
        let (setting, host) = (&self.plan.setting, self.pair.state(Side::Host));
        let arp = Arp::request(setting.pod_mac, setting.pod_ip, GATEWAY);
        let frame = arp.frame(Mac::BROADCAST, setting.pod_mac);
        let there = self.pair.carries() && self.pair.host_index().is_some();
        match own_answer(&self.plan, host, &frame) {
            Answer::Pass => self.silence().is_none(),
            Answer::Silent => false,
            Answer::Reply(_) => there,
        }
    }

    /// Why a request of the pod for its gateway would go unanswered now; `None` when it would
    /// not.
    #[must_use]
    pub fn silence(&self) -> Option<Reason> {
        silence(&self.plan, self.pair.state(Side::Host), self.pair.host_index(), self.pair.carries())
    }
}

fn request_in(frame: &[u8]) -> Option<Arp> {
    let eth = EthFrame::parse(frame).ok().filter(|e| e.ethertype == ETHERTYPE_ARP)?;
    Arp::parse(eth.payload).ok().filter(|a| a.op == OP_REQUEST)
}
