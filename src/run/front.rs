//! What stands in front of the node's kernel: a program of the datapath, or a responder of one's own.

use super::Run;
use crate::addr::{Mac, Side};
use crate::gateway::Answer;
use crate::host::{HostState, IfIndex, Reason, Request, decide};
use crate::packet::Frame;
use crate::scenario::{InFront as Who, Plan};
use crate::time::Time;
use crate::trace::{Kinds, Ruling, Sink, What, Why};
use crate::wire::{Arp, Cast, ETHERTYPE_ARP, EthFrame, OP_REQUEST};

/// The answer of a program at the ingress of the host end, which answers for everything but the
/// pod's own address (or for that, too), whatever the node's routes and switches say; the kernel's
/// ARP never sees the request. `None`: the frame is not for it, or the plan has none.
fn datapath_reply(plan: &Plan, host: &HostState, dev: IfIndex, frame: &[u8]) -> Option<Frame> {
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

/// What a responder of one's own did with a request, as an event; `None` for other frames.
fn own_word(frame: &[u8], answered: bool) -> Option<What> {
    let arp = request_in(frame)?;
    let silent = Ruling::Silent { why: Why::Responder, inferred: false };
    let ruling = if answered { Ruling::Answered } else { silent };
    let (target, sender) = (arp.tpa.into(), arp.spa.into());
    Some(What::Judged { frame: None, side: Side::Host, target, sender, ruling })
}

fn silence(plan: &Plan, host: &HostState, dev: Option<IfIndex>, carries: bool) -> Option<Reason> {
    let Some(dev) = dev else { return Some(Reason::NoInterface) };
    let unplugged = (!carries).then_some(Reason::NoCarrier);
    if plan.responder != Who::Kernel {
        let up = host.link(dev).is_some_and(crate::host::Link::is_up);
        return if up { unplugged } else { Some(Reason::LinkDown) };
    }
    let s = &plan.setting;
    let arp = Arp::request(s.pod_mac, s.pod_ip, s.gateway);
    let request = Request { dev, cast: Cast::Broadcast, arp, sender_known: true, again: false, leg: 0 };
    // in the name of a bridge's port the bridge may answer
    let by_bridge = host.link(dev).filter(|l| l.is_up()).and_then(crate::host::Link::master);
    let bridge = by_bridge.map(|dev| decide(host, &Request { dev, ..request }).reason());
    match bridge {
        Some(None) => unplugged,
        _ => decide(host, &request).reason().or(unplugged),
    }
}

impl Run {
    /// A frame of the pod reaches the interface `dev` of a modelled node. What something in front of
    /// the node's kernel makes of it.
    pub fn meet<S: Sink>(
        &self,
        now: Time,
        host: &HostState,
        dev: IfIndex,
        frame: &[u8],
        sink: &mut S,
    ) -> Answer {
        if let Some(reply) = datapath_reply(&self.plan, host, dev, frame) {
            return Answer::Reply(reply);
        }
        let Some(responder) = &self.plan.own_responder else { return Answer::Pass };
        let answer = responder.answer(host, frame);
        if S::WANTS.has(Kinds::JUDGED)
            && answer != Answer::Pass
            && let Some(what) = own_word(frame, answer != Answer::Silent)
        {
            sink.take(now, what);
        }
        answer
    }

    /// Why a request of the pod for its gateway would go unanswered now; `None` when it would not.
    /// `dev` is the host end, if it is in the node's namespace. A responder of one's own is not asked.
    #[must_use]
    pub fn silence(&self, host: &HostState, dev: Option<IfIndex>, carries: bool) -> Option<Reason> {
        silence(&self.plan, host, dev, carries)
    }

    /// Whether a request of the pod for its gateway would be answered now, by whoever stands in
    /// front of the node's kernel or by that.
    #[must_use]
    pub fn answers(&self, host: &HostState, dev: Option<IfIndex>, carries: bool) -> bool {
        let s = &self.plan.setting;
        let ask = || Arp::request(s.pod_mac, s.pod_ip, s.gateway).frame(Mac::BROADCAST, s.pod_mac);
        match self.plan.own_responder.as_ref().map(|own| own.answer(host, &ask())) {
            None | Some(Answer::Pass) => self.silence(host, dev, carries).is_none(),
            Some(Answer::Silent) => false,
            Some(Answer::Reply(_)) => carries && dev.is_some(),
        }
    }
}

fn request_in(frame: &[u8]) -> Option<Arp> {
    let eth = EthFrame::parse(frame).ok().filter(|e| e.ethertype == ETHERTYPE_ARP)?;
    Arp::parse(eth.payload).ok().filter(|a| a.op == OP_REQUEST)
}
