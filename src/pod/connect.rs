//! An application that dials a TCP port, once or until it is answered, perhaps many times at
//! once. Every attempt is a socket of its own, so every one has its own timer and its own place
//! in the neighbour's queue.

use super::client::{Behaviour, Cx, Wake};
use super::event::ClientEvent;
use super::outcome::{Failure, Outcome, SocketError};
use super::spec::ConnectSpec;
use super::tcp::{Conn, State, Step};
use crate::time::{Span, Time};
use crate::wire::{self, Ends, Payload, Unreachable};
use smallvec::SmallVec;

/// What one connect() takes an application that dials many: 500 in 5 ms, measured with Python.
/// It keeps a burst from being one moment.
const DIAL_COST: Span = Span::from_us(10);
/// The shortest pause before another attempt: even a loop without a pause takes a while.
const RETRY_MIN: Span = Span::from_us(300);
/// The most connections dialled at once; a file cannot ask for more than a pod has ports.
pub(super) const PARALLEL_MAX: u32 = 16_384;

#[derive(Clone, Hash, Debug)]
struct Lane {
    conn: Option<Conn>,
    tries: u32,
    number: u32,
    /// When the next attempt begins.
    next: Option<Time>,
    /// When the application loses patience with this one.
    patience: Option<Time>,
}

/// A running dialler.
#[derive(Clone, Hash, Debug)]
pub(super) struct Connect {
    spec: ConnectSpec,
    lanes: SmallVec<[Lane; 1]>,
    outcome: Outcome,
}

impl Connect {
    pub(super) fn new(spec: ConnectSpec) -> Connect {
        Connect { spec, lanes: SmallVec::new(), outcome: Outcome::default() }
    }

    fn dial(&mut self, cx: &mut Cx<'_>, at: usize) {
        let number = self.outcome.begin(cx.now, at as u32);
        cx.report(ClientEvent::Began { number, lane: at as u32 });
        let lane = &mut self.lanes[at];
        lane.tries += 1;
        lane.number = number;
        lane.next = None;
        let to = self.spec.to;
        let ends = match cx.stack.source_for(to.ip()) {
            Ok(source) => Ends::new(source, to.ip()),
            Err(error) => return self.failed(cx, at, Failure::Socket(error.into())),
        };
        let Some(ends) = ends else {
            return self.failed(cx, at, Failure::Socket(SocketError::Einval));
        };
        lane.patience = self.spec.timeout.map(|t| cx.now + t);
        lane.conn = Some(Conn::dial(cx, ends, to.port()));
    }

    fn connected(&mut self, cx: &mut Cx<'_>, at: usize) {
        let number = self.lanes[at].number;
        if let Some((rtt, duplicate)) = self.outcome.answer(cx.now, number) {
            let lane = at as u32;
            cx.report(ClientEvent::Answered { number, lane, rtt, duplicate, mac: None });
        }
        if let Some(conn) = &mut self.lanes[at].conn {
            conn.reset(cx);
        }
        self.release(cx, at);
    }

    fn failed(&mut self, cx: &mut Cx<'_>, at: usize, failure: Failure) {
        let number = self.lanes[at].number;
        if self.outcome.fail(cx.now, number, failure) {
            cx.report(ClientEvent::Failed { number, lane: at as u32, failure });
        }
        let lane = &mut self.lanes[at];
        if let Some(pause) = self.spec.retry
            && self.spec.attempts.is_none_or(|n| lane.tries < n)
        {
            lane.next = Some(cx.now + Span(pause.0.max(RETRY_MIN.0)));
        }
        self.release(cx, at);
    }

    /// The socket is closed; when no lane has anything left to do, so is the client.
    fn release(&mut self, cx: &mut Cx<'_>, at: usize) {
        self.lanes[at].conn = None;
        self.lanes[at].patience = None;
        if self.lanes.iter().all(|l| l.conn.is_none() && l.next.is_none()) {
            self.finish(cx);
        }
    }

    fn lane_wake(lane: &Lane) -> Option<Wake> {
        let timer = lane.conn.as_ref().and_then(Conn::timer).map(Wake::kernel);
        let process = [lane.next, lane.patience].into_iter().flatten().min().map(Wake::process);
        [timer, process].into_iter().flatten().min()
    }

    fn lost_patience(&mut self, cx: &mut Cx<'_>, at: usize) {
        if let Some(conn) = &mut self.lanes[at].conn {
            conn.abandon();
        }
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
        self.lanes.iter().filter_map(Connect::lane_wake).min()
    }

    fn start(&mut self, cx: &mut Cx<'_>) {
        let lanes = self.spec.parallel.clamp(1, PARALLEL_MAX);
        for lane in 0..lanes {
            let next = (lane > 0).then(|| cx.now + Span(DIAL_COST.0 * u64::from(lane)));
            self.lanes.push(Lane { conn: None, tries: 0, number: 0, next, patience: None });
        }
        self.dial(cx, 0);
    }

    fn wake_up(&mut self, cx: &mut Cx<'_>) {
        let first = self.lanes.iter().enumerate().filter_map(|(at, l)| Some((Connect::lane_wake(l)?, at)));
        let Some((wake, at)) = first.min() else { return };
        if wake.kernel {
            let error = self.lanes[at].conn.as_mut().and_then(|c| c.timeout(cx, at as u32));
            if let Some(error) = error {
                self.failed(cx, at, Failure::Socket(error));
            }
        } else if self.lanes[at].patience.is_some_and(|t| t <= cx.now) {
            self.lost_patience(cx, at);
        } else {
            self.dial(cx, at);
        }
    }

    fn halt(&mut self) {
        self.lanes.clear();
    }

    fn packet(&mut self, cx: &mut Cx<'_>, ends: Ends, payload: &Payload<'_>) -> bool {
        match *payload {
            Payload::Tcp(ref segment) => {
                let ours = |l: &Lane| l.conn.as_ref().is_some_and(|c| c.is_for(ends, segment));
                let Some(at) = self.lanes.iter().position(ours) else { return false };
                match self.lanes[at].conn.as_mut().map(|c| c.segment(cx, segment)) {
                    Some(Step::Connected) => self.connected(cx, at),
                    Some(Step::Closed(error)) => self.failed(cx, at, Failure::Socket(error)),
                    _ => {}
                }
                true
            }
            Payload::Unreachable { code, about } => {
                let Some((seq, why)) = quoted_segment(about, code, ends) else { return false };
                let ours = |l: &Lane| l.conn.as_ref().is_some_and(|c| c.port == seq.src_port);
                let Some(at) = self.lanes.iter().position(ours) else { return false };
                let conn = self.lanes[at].conn.as_mut().filter(|c| c.state != State::Closed);
                if let Some(error) = conn.and_then(|c| c.unreachable(cx, at as u32, seq.seq, why)) {
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
