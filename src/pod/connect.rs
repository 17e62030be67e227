//! An application that dials a TCP port, once or until it is answered, perhaps many times at
//! once. Every attempt is a socket of its own, so every one has its own timer and its own place
//! in the neighbour's queue.

use super::client::{Behaviour, ClientCx, Wake};
use super::event::ClientEvent;
use super::lanes::{Lane, Lanes};
use super::outcome::{Failure, Outcome, SocketError};
use super::spec::ConnectSpec;
use super::tcp::{Conn, State, TcpStep};
use crate::time::Span;
use crate::wire::{self, Ends, Payload, Unreachable};

/// What one connect() takes an application that dials many: 500 in 5 ms, measured with Python.
/// It keeps a burst from being one moment.
const DIAL_COST: Span = Span::from_us(10);
/// The shortest pause before another attempt: even a loop without a pause takes a while.
const RETRY_MIN: Span = Span::from_us(300);
/// The most connections dialled at once; a file cannot ask for more than a pod has ports.
pub(super) const PARALLEL_MAX: u32 = 16_384;

/// A running dialler.
#[derive(Clone, Hash, Debug)]
pub(super) struct Connect {
    spec: ConnectSpec,
    lanes: Lanes,
    outcome: Outcome,
}

impl Connect {
    pub(super) fn new(spec: ConnectSpec) -> Connect {
        Connect { spec, lanes: Lanes::default(), outcome: Outcome::default() }
    }

    fn dial(&mut self, cx: &mut ClientCx<'_>, at: usize) {
        let number = self.outcome.begin(cx.now, at as u32);
        cx.report(ClientEvent::Began { number, lane: at as u32 });
        self.lanes.change(at, |lane| {
            lane.tries += 1;
            lane.number = number;
            lane.next = None;
        });
        let to = self.spec.to;
        let ends = match cx.stack.source_for(to.ip()) {
            Ok(source) => Ends::new(source, to.ip()),
            Err(error) => return self.failed(cx, at, Failure::Socket(error.into())),
        };
        let Some(ends) = ends else {
            return self.failed(cx, at, Failure::Socket(SocketError::Einval));
        };
        let patience = self.spec.timeout.map(|t| cx.now + t);
        self.lanes.change(at, |lane| {
            lane.patience = patience;
            lane.conn = Some(Conn::dial(cx, ends, to.port()));
        });
    }

    fn connected(&mut self, cx: &mut ClientCx<'_>, at: usize) {
        let number = self.number(at);
        if let Some((rtt, duplicate)) = self.outcome.answer(cx.now, number) {
            let lane = at as u32;
            cx.report(ClientEvent::Answered { number, lane, rtt, duplicate, mac: None });
        }
        self.lanes.change(at, |lane| lane.conn.as_mut().map(|conn| conn.reset(cx)));
        self.release(cx, at);
    }

    fn failed(&mut self, cx: &mut ClientCx<'_>, at: usize, failure: Failure) {
        let number = self.number(at);
        if self.outcome.fail(cx.now, number, failure) {
            cx.report(ClientEvent::Failed { number, lane: at as u32, failure });
        }
        let tries = self.lanes.get(at).map_or(0, |lane| lane.tries);
        if let Some(pause) = self.spec.retry
            && self.spec.attempts.is_none_or(|n| tries < n)
        {
            let next = cx.now + Span(pause.0.max(RETRY_MIN.0));
            self.lanes.change(at, |lane| lane.next = Some(next));
        }
        self.release(cx, at);
    }

    /// The socket is closed; when no lane has anything left to do, so is the client.
    fn release(&mut self, cx: &mut ClientCx<'_>, at: usize) {
        self.lanes.change(at, |lane| {
            lane.conn = None;
            lane.patience = None;
        });
        if self.lanes.are_idle() {
            self.finish(cx);
        }
    }

    fn number(&self, at: usize) -> u32 {
        self.lanes.get(at).map_or(0, |lane| lane.number)
    }

    fn lost_patience(&mut self, cx: &mut ClientCx<'_>, at: usize) {
        self.lanes.change(at, |lane| lane.conn.as_mut().map(Conn::abandon));
        self.failed(cx, at, Failure::Patience);
    }
}

impl Behaviour for Connect {
    fn outcome(&self) -> &Outcome {
        &self.outcome
    }
    fn outcome_mut(&mut self) -> &mut Outcome {
        &mut self.outcome
    }

    fn wake(&self) -> Option<Wake> {
        self.lanes.next().map(|(wake, _)| wake)
    }

    fn start(&mut self, cx: &mut ClientCx<'_>) {
        let lanes = self.spec.parallel.clamp(1, PARALLEL_MAX);
        self.lanes = Lanes::new((0..lanes).map(|lane| {
            let next = (lane > 0).then(|| cx.now + Span(DIAL_COST.0 * u64::from(lane)));
            Lane { next, ..Lane::default() }
        }));
        self.dial(cx, 0);
    }

    fn wake_up(&mut self, cx: &mut ClientCx<'_>) {
        let Some((wake, at)) = self.lanes.next() else { return };
        if wake.kernel {
            let timeout = |lane: &mut Lane| lane.conn.as_mut()?.timeout(cx, at as u32);
            if let Some(error) = self.lanes.change(at, timeout).flatten() {
                self.failed(cx, at, Failure::Socket(error));
            }
        } else if self.lanes.get(at).and_then(|lane| lane.patience).is_some_and(|t| t <= cx.now) {
            self.lost_patience(cx, at);
        } else {
            self.dial(cx, at);
        }
    }

    fn halt(&mut self) {
        self.lanes.clear();
    }

    fn packet(&mut self, cx: &mut ClientCx<'_>, ends: Ends, payload: &Payload<'_>) -> bool {
        match *payload {
            Payload::Tcp(ref segment) => {
                let ours = self.lanes.by_port(segment.dst_port, |c| c.is_for(ends, segment));
                let Some(at) = ours else { return false };
                let step = self.lanes.change(at, |lane| lane.conn.as_mut().map(|c| c.segment(cx, segment)));
                match step.flatten() {
                    Some(TcpStep::Connected) => self.connected(cx, at),
                    Some(TcpStep::Closed(error)) => self.failed(cx, at, Failure::Socket(error)),
                    _ => {}
                }
                true
            }
            Payload::Unreachable { code, about } => {
                let Some((seq, why)) = quoted_segment(about, code, ends) else { return false };
                let Some(at) = self.lanes.by_port(seq.src_port, |_| true) else { return false };
                let told = |lane: &mut Lane| {
                    let conn = lane.conn.as_mut().filter(|c| c.state != State::Closed);
                    conn.and_then(|c| c.unreachable(cx, at as u32, seq.seq, why))
                };
                if let Some(error) = self.lanes.change(at, told).flatten() {
                    self.failed(cx, at, Failure::Socket(error));
                }
                true
            }
            _ => false,
        }
    }
}

/// The start of a TCP segment quoted in an error, and what the error means.
pub(super) fn quoted_segment(about: &[u8], code: u8, ends: Ends) -> Option<(wire::Segment<'_>, Unreachable)> {
    let (_, rest) = wire::quoted(about).filter(|(protocol, _)| *protocol == 6)?;
    Some((wire::segment(rest)?, Unreachable::of_code(code, ends.src().is_ipv6())?))
}
