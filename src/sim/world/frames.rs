//! Frames on the wire between pod and host.

use super::World;
use crate::choice::Chooser;
use crate::control::Side;
use crate::gateway::Outside;
use crate::host::{IfIndex, Reason};
use crate::packet::Frame;
use crate::sim::link::{InFlight, Sent};
use crate::trace::{Fate, FrameId, Seen, Sink};
use crate::wire::{Arp, ETHERTYPE_ARP, EthFrame, OP_REQUEST};

impl<O: Outside> World<O> {
    pub(super) fn send_from_pod<S: Sink>(&mut self, frame: &Frame, chooser: &mut dyn Chooser, sink: &mut S) {
        if asks_gateway(frame) {
            self.control.count_request(self.now, chooser);
        }
        self.put_on_link(Side::Pod, frame, chooser, sink);
    }

    pub(in crate::sim) fn send_from_host<S: Sink>(
        &mut self,
        dev: IfIndex,
        frame: &Frame,
        chooser: &mut dyn Chooser,
        sink: &mut S,
    ) {
        if self.veth.host_index(self.gateway.state()) == Some(dev) {
            self.put_on_link(Side::Host, frame, chooser, sink);
        }
    }

    pub(super) fn put_on_link<S: Sink>(
        &mut self,
        from: Side,
        frame: &Frame,
        chooser: &mut dyn Chooser,
        sink: &mut S,
    ) {
        self.frames += 1;
        let id = FrameId(self.frames);
        let fate = if !self.veth.carries() {
            Fate::Lost(self.emit.no_carrier(self.gateway.state()))
        } else if self.link.send(self.now, from, id, frame, chooser) == Sent::Lost {
            Fate::Lost("a fault of the link".into())
        } else {
            Fate::Delivered
        };
        let arrives = fate == Fate::Delivered;
        let host_mac = || Some(self.gateway.state().link_named(self.plan.setting.cali)?.mac());
        sink.see(self.now, Seen::Frame { from, bytes: frame, arrives, host_mac: &host_mac });
        self.emit.frame(self.now, id, from, frame, fate, sink);
    }

    pub(in crate::sim) fn arrive<S: Sink>(
        &mut self,
        flight: &InFlight,
        chooser: &mut dyn Chooser,
        sink: &mut S,
    ) {
        self.emit.begin_frame(flight.id);
        match flight.to {
            Side::Host => match self.veth.host_index(self.gateway.state()) {
                Some(dev) => self.hear(dev, &flight.frame, chooser, sink),
                None => self.gateway.note_unheard(IfIndex(0), None, Reason::NoInterface),
            },
            Side::Pod => self.pod.receive(self.now, &flight.frame, chooser),
        }
        self.settle(chooser, sink);
        self.emit.end_frame();
    }
}

fn asks_gateway(frame: &[u8]) -> bool {
    EthFrame::parse(frame).is_ok_and(|eth| {
        eth.ethertype == ETHERTYPE_ARP
            && Arp::parse(eth.payload).is_ok_and(|a| a.op == OP_REQUEST && a.tpa == crate::control::GATEWAY)
    })
}
