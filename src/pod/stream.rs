//! An application with an open TCP connection: it writes at intervals, and each write is an
//! attempt that succeeds when its echo has come back.

use super::client::{Behaviour, ClientCx, Wake};
use super::connect::quoted_segment;
use super::event::ClientEvent;
use super::outcome::{Failure, Outcome, SocketError};
use super::spec::StreamSpec;
use super::tcp::{Conn, TcpStep};
use crate::time::{Span, Time};
use crate::wire::{Ends, Payload};

/// The shortest time between two writes; a scenario cannot ask for an endless loop.
const INTERVAL_MIN: Span = Span::from_us(10);

/// A running stream.
#[derive(Clone, Hash, Debug)]
pub(super) struct Stream {
    spec: StreamSpec,
    conn: Option<Conn>,
    outcome: Outcome,
    /// When the next write is.
    next: Option<Time>,
    /// Bytes echoed so far.
    echoed: u64,
}

impl Stream {
    pub(super) fn new(spec: StreamSpec) -> Stream {
        Stream { spec, conn: None, outcome: Outcome::default(), next: None, echoed: 0 }
    }

    fn has_written_all(&self) -> bool {
        self.spec.count.is_some_and(|n| self.outcome.sent >= n)
    }

    fn write(&mut self, cx: &mut ClientCx<'_>) {
        let number = self.outcome.begin(cx.now, 0);
        cx.report(ClientEvent::Began { number, lane: 0 });
        let interval = Span(self.spec.interval.0.max(INTERVAL_MIN.0));
        self.next = (!self.has_written_all()).then_some(cx.now + interval);
        let size = u32::from(self.spec.size.max(1));
        if let Some(conn) = &mut self.conn {
            conn.write(cx, size);
        }
    }

    fn echo(&mut self, cx: &mut ClientCx<'_>, bytes: u32) {
        let size = u64::from(self.spec.size.max(1));
        let before = self.echoed / size;
        self.echoed += u64::from(bytes);
        for number in before + 1..=self.echoed / size {
            let number = number as u32;
            let Some((rtt, duplicate)) = self.outcome.answer(cx.now, number) else { return };
            cx.report(ClientEvent::Answered { number, lane: 0, rtt, duplicate, mac: None });
        }
        if self.has_written_all() && self.outcome.received == self.outcome.sent {
            if let Some(conn) = &mut self.conn {
                conn.reset(cx);
            }
            self.finish(cx);
        }
    }

    /// The connection died: every write that was not echoed failed with it.
    fn closed(&mut self, cx: &mut ClientCx<'_>, error: SocketError) {
        let failure = Failure::Socket(error);
        if self.outcome.sent == 0 {
            self.outcome.begin(cx.now, 0);
        }
        for number in 1..=self.outcome.sent {
            if self.outcome.fail(cx.now, number, failure) {
                cx.report(ClientEvent::Failed { number, lane: 0, failure });
            }
        }
        self.finish(cx);
    }
}

impl Behaviour for Stream {
    fn outcome(&self) -> &Outcome {
        &self.outcome
    }
    fn outcome_mut(&mut self) -> &mut Outcome {
        &mut self.outcome
    }

    fn wake(&self) -> Option<Wake> {
        let timer = self.conn.as_ref().and_then(Conn::timer).map(Wake::kernel);
        [timer, self.next.map(Wake::process)].into_iter().flatten().min()
    }

    fn start(&mut self, cx: &mut ClientCx<'_>) {
        let to = self.spec.to;
        match cx.stack.source_for(to.ip()).map(|source| Ends::new(source, to.ip())) {
            Ok(Some(ends)) => self.conn = Some(Conn::dial(cx, ends, to.port())),
            Ok(None) => self.closed(cx, SocketError::Einval),
            Err(error) => self.closed(cx, error.into()),
        }
    }

    fn wake_up(&mut self, cx: &mut ClientCx<'_>) {
        if self.wake().is_some_and(|w| !w.kernel) {
            return self.write(cx);
        }
        if let Some(error) = self.conn.as_mut().and_then(|c| c.timeout(cx, 0)) {
            self.closed(cx, error);
        }
    }

    fn halt(&mut self) {
        self.conn = None;
        self.next = None;
    }

    fn watches_queue(&self) -> bool {
        self.conn.as_ref().is_some_and(Conn::is_lost)
    }

    fn queue_moved(&mut self, cx: &mut ClientCx<'_>) {
        if let Some(conn) = self.conn.as_mut().filter(|c| c.is_unqueued(cx)) {
            conn.resend(cx, 0);
        }
    }

    fn packet(&mut self, cx: &mut ClientCx<'_>, ends: Ends, payload: &Payload<'_>) -> bool {
        let Some(conn) = &mut self.conn else { return false };
        match *payload {
            Payload::Tcp(ref segment) if conn.is_for(ends, segment) => {
                match conn.segment(cx, segment) {
                    TcpStep::Connected => self.next = Some(cx.now + self.spec.delay),
                    TcpStep::Data(bytes) => self.echo(cx, bytes),
                    TcpStep::Closed(error) => self.closed(cx, error),
                    TcpStep::Nothing => {}
                }
                true
            }
            Payload::Unreachable { code, about } => {
                let Some((segment, why)) = quoted_segment(about, code, ends) else { return false };
                let ours = segment.src_port == conn.port;
                if ours && let Some(error) = conn.unreachable(cx, 0, segment.seq, why) {
                    self.closed(cx, error);
                }
                ours
            }
            _ => false,
        }
    }
}
