//! The model of a node as an answerer, in virtual time.

use super::{Answerer, AnswererFrame, AskError, Scene};
use crate::addr::IfName;
use crate::choice::Seeded;
use crate::host::{HostState, IfIndex};
use crate::neigh::{HZ_DEFAULT, KernelClock};
use crate::stack::{Output, Stack};
use crate::time::{Span, Time};
use crate::wire::{ARP_LEN, Arp, ETHERTYPE_ARP, EthFrame, OP_REQUEST};

/// Time between two frames of one question: a packet socket needs some microseconds for each.
const BETWEEN: Span = Span::from_us(5);

/// A namespace of the model, asked at one of its interfaces.
#[derive(Debug)]
pub struct ModelAnswerer {
    stack: Stack,
    dev: IfIndex,
    now: Time,
    chooser: Seeded,
}

impl ModelAnswerer {
    /// The interface `dev` of a namespace in `state`; nothing when there is none of that name.
    #[must_use]
    pub fn new(state: HostState, dev: IfName, uplink: IfName, seed: u64) -> Option<ModelAnswerer> {
        let index = |name| state.link_named(name).map(crate::host::Link::index);
        let (dev, uplink) = (index(dev)?, index(uplink));
        let mut chooser = Seeded::new(seed);
        let mut stack = Stack::new(state, KernelClock::new(HZ_DEFAULT, 0), &mut chooser);
        if let Some(uplink) = uplink {
            stack.set_uplink(uplink);
        }
        Some(ModelAnswerer { stack, dev, now: Time::ZERO, chooser })
    }

    /// The node of a scene, at the pod's host end.
    #[must_use]
    pub fn of(scene: &Scene, seed: u64) -> Option<ModelAnswerer> {
        ModelAnswerer::new(scene.state.clone(), scene.setting.cali, scene.setting.uplink, seed)
    }

    fn collect(&mut self, since: Time, heard: &mut Vec<AnswererFrame>) {
        while let Some(output) = self.stack.poll_output() {
            if let Output::Transmit { dev, frame } = output
                && dev == self.dev
            {
                heard.push(AnswererFrame { after: self.now.since(since), bytes: frame.to_vec() });
            }
        }
    }
}

/// An ARP frame that is no request: what [`Answerer::ask`] counts.
pub(super) fn is_answer(bytes: &[u8]) -> bool {
    EthFrame::parse(bytes).is_ok_and(|eth| {
        let payload = eth.payload;
        let request = payload.len() >= ARP_LEN && Arp::parse(payload).is_ok_and(|a| a.op == OP_REQUEST);
        eth.ethertype == ETHERTYPE_ARP && !request
    })
}

impl Answerer for ModelAnswerer {
    fn ask(
        &mut self,
        frames: &[Vec<u8>],
        patience: Span,
        enough: usize,
    ) -> Result<Vec<AnswererFrame>, AskError> {
        let (start, mut heard) = (self.now, Vec::new());
        for frame in frames {
            self.stack.receive(self.now, self.dev, frame, &mut self.chooser);
            self.collect(start, &mut heard);
            self.now += BETWEEN;
        }
        let end = self.now + patience;
        let sated = |heard: &[AnswererFrame]| {
            enough > 0 && heard.iter().filter(|h| is_answer(&h.bytes)).count() >= enough
        };
        while !sated(&heard)
            && let Some(at) = self.stack.poll_timeout().filter(|t| *t <= end)
        {
            self.now = self.now.max(at);
            self.stack.handle_timeout(self.now, &mut self.chooser);
            self.collect(start, &mut heard);
        }
        self.now = self.now.max(end);
        Ok(heard)
    }
}
