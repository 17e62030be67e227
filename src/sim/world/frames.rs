//! Frames on the wire between pod and host, as they are told of.

use super::World;
use crate::addr::Side;
use crate::choice::Chooser;
use crate::gateway::Outside;
use crate::packet::Frame;
use crate::pair::{InFlight, Passage};
use crate::trace::{Fate, Seen, Sink};
use crate::wire::{Arp, ETHERTYPE_ARP, EthFrame, OP_REQUEST};

impl<O: Outside> World<O> {
    /// A frame leaves an end of the pair.
    pub(super) fn send<S: Sink>(
        &mut self,
        from: Side,
        frame: &Frame,
        chooser: &mut dyn Chooser,
        sink: &mut S,
    ) {
        if from == Side::Pod && asks_gateway(frame) {
            self.control.count_request(self.now, chooser);
        }
        self.put_on_link(from, frame, chooser, sink);
    }

    pub(in crate::sim) fn put_on_link<S: Sink>(
        &mut self,
        from: Side,
        frame: &Frame,
        chooser: &mut dyn Chooser,
        sink: &mut S,
    ) {
        let (id, passage) = self.pair.carry(self.now, from, frame, chooser);
        let host_mac = || self.pair.host_mac();
        let arrives = passage == Passage::Arrives;
        sink.see(self.now, Seen::Frame { from, bytes: frame, arrives, host_mac: &host_mac });
        if S::WANTED {
            let fate = match passage {
                Passage::Arrives => Fate::Delivered,
                Passage::NoCarrier(reason) => Fate::Lost(reason.to_string()),
                Passage::Lost => Fate::Lost("a fault of the link".into()),
            };
            self.emit.frame(self.now, id, from, frame, fate, sink);
        }
    }

    pub(super) fn arrive<S: Sink>(&mut self, flight: &InFlight, chooser: &mut dyn Chooser, sink: &mut S) {
        self.emit.begin_frame(flight.id);
        if flight.to == Side::Pod || !self.intercept(&flight.frame, chooser, sink) {
            self.pair.receive(self.now, flight.to, &flight.frame, chooser);
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
