//! Frames on the wire between pod and host, as they are told of.

use super::World;
use crate::addr::Side;
use crate::choice::Chooser;
use crate::gateway::{Answer, Outside};
use crate::packet::Frame;
use crate::pair::{InFlight, Passage};
use crate::trace::{FrameFate, Kinds, Loss, Sink, View, What};

impl<O: Outside> World<O> {
    /// A frame leaves an end of the pair, and is read.
    pub(in crate::sim) fn send<S: Sink>(
        &mut self,
        from: Side,
        frame: &Frame,
        chooser: &mut dyn Chooser,
        sink: &mut S,
    ) {
        let view = View::of(frame);
        if from == Side::Pod && view.asks_gateway4(self.run.plan().setting.gateway) {
            self.run.asked(self.now, chooser);
        }
        let (id, passage) = self.pair.carry(self.now, from, frame, chooser);
        if S::WANTS.has(Kinds::FRAME) {
            let fate = match passage {
                Passage::Arrives => FrameFate::Delivered,
                Passage::NoCarrier(reason) => FrameFate::Lost(Loss::Carrier(reason)),
                Passage::Lost => FrameFate::Lost(Loss::Fault),
            };
            let (bytes, host_mac) = (frame.clone(), self.pair.host_mac());
            sink.take(self.now, What::Frame { id, from, bytes, view, fate, host_mac });
        }
    }

    pub(super) fn arrive<S: Sink>(&mut self, flight: &InFlight, chooser: &mut dyn Chooser, sink: &mut S) {
        self.run.emit.begin_frame(flight.id);
        if flight.to == Side::Pod || !self.intercept(&flight.frame, chooser, sink) {
            self.pair.receive(self.now, flight.to, &flight.frame, chooser);
        }
        self.settle(chooser, sink);
        self.run.emit.end_frame();
    }

    /// A frame of the pod reaches the node; true when something in front of its kernel has it.
    fn intercept<S: Sink>(&mut self, frame: &Frame, chooser: &mut dyn Chooser, sink: &mut S) -> bool {
        let Some(dev) = self.pair.host_index() else { return false };
        match self.run.meet(self.now, self.pair.state(Side::Host), dev, frame, sink) {
            Answer::Pass => return false,
            Answer::Silent => {}
            Answer::Reply(reply) => self.send(Side::Host, &reply, chooser, sink),
        }
        true
    }
}
