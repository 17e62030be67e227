//! `arping` of iputils: ARP requests through a packet socket. They pass by the neighbour table;
//! their answers do not, for the kernel hears them too.

use super::client::{Behaviour, ClientCx, Wake};
use super::event::ClientEvent;
use super::outcome::{Failure, Outcome};
use super::spec::ArpingSpec;
use crate::addr::Mac;
use crate::host::Link;
use crate::time::{Span, Time};
use crate::wire::Arp;
use smallvec::SmallVec;
use std::net::{IpAddr, Ipv4Addr};

/// The shortest pause between two requests; a scenario cannot ask for an endless loop.
const INTERVAL_MIN: Span = Span::from_ms(1);

/// A running arping.
#[derive(Clone, Hash, Debug)]
pub(super) struct Arping {
    spec: ArpingSpec,
    source: Ipv4Addr,
    /// Who answered last: from then on the requests go to that station alone.
    known: Option<Mac>,
    outcome: Outcome,
    next: Option<Time>,
    /// It ends then.
    until: Option<Time>,
}

impl Arping {
    pub(super) fn new(spec: ArpingSpec) -> Arping {
        let source = spec.source.unwrap_or(Ipv4Addr::UNSPECIFIED);
        Arping { spec, source, known: None, outcome: Outcome::default(), next: None, until: None }
    }

    fn ask(&mut self, cx: &mut ClientCx<'_>) {
        if self.spec.count.is_some_and(|n| self.outcome.sent >= n) {
            return self.finish(cx);
        }
        let number = self.outcome.begin(cx.now, 0);
        if let Some(mac) = cx.stack.state().link(cx.dev).map(Link::mac) {
            let request = Arp::request(mac, self.source, self.spec.target);
            let frame = request.frame(self.known.unwrap_or(Mac::BROADCAST), mac);
            cx.send_frame(SmallVec::from_slice(&frame));
        }
        cx.report(ClientEvent::Began { number, lane: 0 });
        self.next = Some(cx.now + Span(self.spec.interval.0.max(INTERVAL_MIN.0)));
    }
}

impl Behaviour for Arping {
    fn outcome(&self) -> &Outcome {
        &self.outcome
    }
    fn outcome_mut(&mut self) -> &mut Outcome {
        &mut self.outcome
    }
    fn wake(&self) -> Option<Wake> {
        [self.next, self.until].into_iter().flatten().min().map(Wake::process)
    }

    fn start(&mut self, cx: &mut ClientCx<'_>) {
        self.until = self.spec.deadline.map(|d| cx.now + d);
        if self.spec.source.is_none() {
            match cx.stack.source_for(self.spec.target.into()) {
                Ok(IpAddr::V4(source)) => self.source = source,
                Ok(IpAddr::V6(_)) => {}
                Err(error) => {
                    let failure = Failure::Socket(error.into());
                    cx.report(ClientEvent::Failed { number: 0, lane: 0, failure });
                    self.outcome.errors += 1;
                    return self.finish(cx);
                }
            }
        }
        self.ask(cx);
    }

    fn wake_up(&mut self, cx: &mut ClientCx<'_>) {
        if self.until.is_some_and(|until| until <= cx.now) {
            return self.finish(cx);
        }
        self.ask(cx);
    }

    fn halt(&mut self) {
        (self.next, self.until) = (None, None);
    }

    /// recv_pack(): the target's, to us. An answer counts for the last request.
    fn arp(&mut self, cx: &mut ClientCx<'_>, arp: &Arp) {
        let own = cx.stack.state().link(cx.dev).map(Link::mac);
        let ours = arp.spa == self.spec.target && arp.tpa == self.source && Some(arp.tha) == own;
        let number = self.outcome.sent;
        let Some((rtt, duplicate)) = ours.then(|| self.outcome.answer(cx.now, number)).flatten() else {
            return;
        };
        self.known = Some(arp.sha);
        cx.report(ClientEvent::Answered { number, lane: 0, rtt, duplicate, mac: Some(arp.sha) });
        if self.spec.once {
            self.finish(cx);
        }
    }
}
