//! A responder of one's own: what answers the pod in the place of the node's kernel.

use crate::host::HostState;
use crate::packet::Frame;

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
