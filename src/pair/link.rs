//! The link between pod and host, and what it does to frames: nothing, or what a scenario's
//! faults say.

use super::fault::{FaultAction, FaultRule, FrameKind};
use crate::addr::Side;
use crate::choice::{ChoiceKind, Chooser};
use crate::packet::{Frame, FrameId};
use crate::time::{Span, Time};
use crate::wire::{Arp, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, EthFrame, OP_REPLY, OP_REQUEST, nd};
use core::cmp::Reverse;
use smallvec::SmallVec;
use std::collections::BinaryHeap;
use std::sync::Arc;

/// A frame takes this long over a veth: one softirq. Not measured, and far below anything that a
/// client notices.
pub const LATENCY: Span = Span::from_us(10);

/// A frame under way.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct InFlight {
    /// When it arrives.
    pub at: Time,
    seq: u64,
    /// At whose end.
    pub to: Side,
    /// Which it is.
    pub id: FrameId,
    /// The frame.
    pub frame: Frame,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Cable {
    latency: Span,
    faults: Arc<[FaultRule]>,
    /// How many frames each fault has counted.
    counts: SmallVec<[u32; 2]>,
    flying: BinaryHeap<Reverse<InFlight>>,
    /// Frames held back until the next one has passed.
    waiting: SmallVec<[InFlight; 1]>,
    seq: u64,
}

impl core::hash::Hash for Cable {
    fn hash<H: core::hash::Hasher>(&self, h: &mut H) {
        self.counts.hash(h);
        // a heap's order inside depends on its past; sorted it does not
        let mut flying: Vec<(Time, Side, &Frame)> =
            self.flying.iter().map(|f| (f.0.at, f.0.to, &f.0.frame)).collect();
        flying.sort();
        flying.hash(h);
        for held in &self.waiting {
            (held.to, &held.frame).hash(h);
        }
        self.waiting.len().hash(h);
    }
}

impl Cable {
    pub(super) fn new(latency: Span, faults: Vec<FaultRule>) -> Cable {
        let counts = SmallVec::from_elem(0, faults.len());
        Cable { latency, faults: faults.into(), counts, ..Cable::default() }
    }

    pub(super) fn poll_timeout(&self) -> Option<Time> {
        self.flying.peek().map(|f| f.0.at)
    }

    /// Puts a frame on the link. False when it is lost to a fault.
    pub(super) fn send(
        &mut self,
        now: Time,
        from: Side,
        id: FrameId,
        frame: &Frame,
        chooser: &mut dyn Chooser,
    ) -> bool {
        let to = if from == Side::Pod { Side::Host } else { Side::Pod };
        let mut flight = InFlight { at: now + self.latency, seq: self.next(), to, id, frame: frame.clone() };
        let released: SmallVec<[InFlight; 1]> = self.take_waiting(to);
        for at in 0..self.faults.len() {
            let rule = self.faults[at];
            if !self.strikes(at, &rule, from, frame, chooser) {
                continue;
            }
            match rule.action {
                FaultAction::Drop => {
                    self.fly_behind(released, now);
                    return false;
                }
                FaultAction::Delay(least, most) => {
                    let grains = (most - least).as_ns() / 1_000 + 1;
                    let extra = chooser.choose(ChoiceKind::LinkFault, grains) * 1_000;
                    flight.at += least + Span::from_ns(extra);
                }
                FaultAction::Duplicate(later) => {
                    let seq = self.next();
                    let twin = InFlight { at: flight.at + later, seq, ..flight.clone() };
                    self.flying.push(Reverse(twin));
                }
                FaultAction::Reorder => {
                    self.waiting.push(flight);
                    self.fly_behind(released, now);
                    return true;
                }
                FaultAction::Corrupt => {
                    let at = chooser.choose(ChoiceKind::LinkFault, flight.frame.len() as u64) as usize;
                    if let Some(byte) = flight.frame.get_mut(at) {
                        *byte ^= 0xff;
                    }
                }
            }
        }
        self.flying.push(Reverse(flight));
        self.fly_behind(released, now);
        true
    }

    fn next(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    fn take_waiting(&mut self, to: Side) -> SmallVec<[InFlight; 1]> {
        let mut out = SmallVec::new();
        self.waiting.retain(|w| {
            if w.to == to {
                out.push(w.clone());
            }
            w.to != to
        });
        out
    }

    /// Frames that were held back go just behind the one that passed.
    fn fly_behind(&mut self, held: SmallVec<[InFlight; 1]>, now: Time) {
        for flight in held {
            let seq = self.next();
            self.flying.push(Reverse(InFlight { at: now + self.latency + self.latency, seq, ..flight }));
        }
    }

    fn strikes(
        &mut self,
        at: usize,
        rule: &FaultRule,
        from: Side,
        frame: &[u8],
        chooser: &mut dyn Chooser,
    ) -> bool {
        let which = rule.which;
        let group = frame.first().is_some_and(|b| b & 1 != 0);
        if which.from.is_some_and(|f| f != from)
            || which.group.is_some_and(|g| g != group)
            || !is_kind(which.kind, frame)
        {
            return false;
        }
        self.counts[at] += 1;
        let n = self.counts[at];
        let inside = n >= which.first && n - which.first < which.count;
        inside
            && (which.per_mille == 1000
                || chooser.choose(ChoiceKind::LinkFault, 1000) < u64::from(which.per_mille))
    }

    /// The next frame that has arrived.
    pub(super) fn take_due(&mut self, now: Time) -> Option<InFlight> {
        if self.flying.peek()?.0.at > now {
            return None;
        }
        self.flying.pop().map(|f| f.0)
    }
}

fn is_kind(kind: FrameKind, frame: &[u8]) -> bool {
    let Ok(eth) = EthFrame::parse(frame) else { return kind == FrameKind::Any };
    // hop-by-hop headers never come before neighbour discovery in what is sent here
    let ndp = || nd::type_in(eth.payload).is_some();
    let arp_op = || Arp::parse(eth.payload).ok().map(|a| a.op);
    match kind {
        FrameKind::Any => true,
        FrameKind::ArpRequest => eth.ethertype == ETHERTYPE_ARP && arp_op() == Some(OP_REQUEST),
        FrameKind::ArpReply => eth.ethertype == ETHERTYPE_ARP && arp_op() == Some(OP_REPLY),
        FrameKind::Ip => eth.ethertype == ETHERTYPE_IPV4,
        FrameKind::Ip6 => eth.ethertype == ETHERTYPE_IPV6 && !ndp(),
        FrameKind::Ndp => eth.ethertype == ETHERTYPE_IPV6 && ndp(),
    }
}
