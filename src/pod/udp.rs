//! A connected UDP socket. It hears of a refusing port at its next call, of an unreachable host
//! only with IP_RECVERR, and of what was lost in a failed resolution never.

use super::client::{Behaviour, ClientCx, Wake};
use super::event::ClientEvent;
use super::outcome::{Failure, Outcome, SocketError};
use super::spec::UdpSpec;
use crate::time::{Span, Time};
use crate::wire::{self, Ends, Payload, Unreachable};
use smallvec::SmallVec;

/// What one send takes an application that does not pause, measured with Python: 10 us. It keeps
/// a burst from being one moment.
const SEND_COST: Span = Span::from_us(10);
/// How long a sender that waits for nothing stays to hear of its last datagrams: longer than a
/// resolution takes to fail.
const LINGER: Span = Span::from_secs(5);
/// The number of the request stands in its first bytes.
const NUMBER_LEN: usize = 4;
/// First port of the ephemeral range (net.ipv4.ip_local_port_range).
const PORT_MIN: u16 = 32_768;

/// A running sender.
#[derive(Clone, Hash, Debug)]
pub(super) struct Udp {
    spec: UdpSpec,
    ends: Option<Ends>,
    port: u16,
    outcome: Outcome,
    /// sk_err: returned by the next call on the socket.
    pending: Option<SocketError>,
    /// Nothing but the socket is waited for, and it has something to say: the process wakes up.
    roused: Option<Time>,
    next: Option<Time>,
    patience: Option<Time>,
    exit_at: Option<Time>,
}

impl Udp {
    pub(super) fn new(spec: UdpSpec) -> Udp {
        let outcome = Outcome::default();
        let (pending, roused, next, patience, exit_at) = (None, None, None, None, None);
        Udp { spec, ends: None, port: 0, outcome, pending, roused, next, patience, exit_at }
    }

    fn request(&mut self, cx: &mut ClientCx<'_>) {
        let number = self.outcome.begin(cx.now, 0);
        cx.report(ClientEvent::Began { number, lane: 0 });
        self.patience = self.spec.timeout.map(|t| cx.now + t);
        self.next = Some(cx.now + Span(self.spec.interval.0.max(SEND_COST.0)));
        if let Some(error) = self.pending.take() {
            // the call returns the error of an earlier datagram and sends nothing
            return self.fail(cx, number, Failure::Socket(error));
        }
        let Some(ends) = self.ends else { return };
        let mut data: SmallVec<[u8; 64]> =
            SmallVec::from_elem(0, usize::from(self.spec.size).max(NUMBER_LEN));
        data[..NUMBER_LEN].copy_from_slice(&number.to_be_bytes());
        if self.spec.confirm {
            cx.confirm(ends.dst());
        }
        if let Err(error) = cx.send(wire::udp(ends, self.port, self.spec.to.port(), &data), None) {
            self.fail(cx, number, Failure::Socket(error.into()));
        }
    }

    fn fail(&mut self, cx: &mut ClientCx<'_>, number: u32, failure: Failure) {
        self.patience = None;
        if self.outcome.fail(cx.now, number, failure) {
            cx.report(ClientEvent::Failed { number, lane: 0, failure });
        }
        self.end_if_done(cx);
    }

    fn has_sent_all(&self) -> bool {
        self.spec.count.is_some_and(|n| self.outcome.sent >= n)
    }

    fn end_if_done(&mut self, cx: &mut ClientCx<'_>) {
        if !self.has_sent_all() || self.patience.is_some() {
            return;
        }
        if self.spec.timeout.is_some() || self.outcome.lost() == 0 {
            return self.finish(cx);
        }
        self.exit_at.get_or_insert(cx.now + LINGER);
    }

    fn answered(&mut self, cx: &mut ClientCx<'_>, data: &[u8]) {
        let Some(bytes) = data.first_chunk::<NUMBER_LEN>() else { return };
        let number = u32::from_be_bytes(*bytes);
        // recv() hands it to the wait for a later request, which sees that it is not its own
        let waited_for = number == self.outcome.sent && self.patience.is_some();
        if self.spec.timeout.is_some() && !waited_for {
            return;
        }
        let Some((rtt, duplicate)) = self.outcome.answer(cx.now, number) else { return };
        cx.report(ClientEvent::Answered { number, lane: 0, rtt, duplicate, mac: None });
        if self.spec.once {
            return self.finish(cx);
        }
        if number == self.outcome.sent {
            self.patience = None;
        }
        self.end_if_done(cx);
    }

    /// udp_err(): refusals reach a connected socket, the rest only one that asked for it.
    fn unreachable(&mut self, cx: &mut ClientCx<'_>, code: u8, v6: bool) {
        let Some(why) = Unreachable::of_code(code, v6) else { return };
        let hard = matches!(why, Unreachable::Port | Unreachable::Prohibited);
        if !hard && !self.spec.recverr {
            return;
        }
        let error = SocketError::of_icmp(why);
        if self.patience.take().is_some() {
            // it waits in recv(), which returns the error
            return self.fail(cx, self.outcome.sent, Failure::Socket(error));
        }
        self.pending = Some(error);
        // of several errors at once the socket keeps the last
        self.roused = self.spec.listens.then_some(cx.now);
    }
}

impl Behaviour for Udp {
    fn outcome(&self) -> &Outcome {
        &self.outcome
    }
    fn outcome_mut(&mut self) -> &mut Outcome {
        &mut self.outcome
    }

    fn wake(&self) -> Option<Wake> {
        let next = self.next.filter(|_| !self.has_sent_all() && self.patience.is_none());
        [next, self.patience, self.exit_at, self.roused].into_iter().flatten().min().map(Wake::process)
    }

    fn start(&mut self, cx: &mut ClientCx<'_>) {
        self.port = PORT_MIN + cx.next_owner().0 as u16 % PORT_MIN;
        match cx.stack.source_for(self.spec.to.ip()) {
            Ok(source) => {
                self.ends = Ends::new(source, self.spec.to.ip());
                self.request(cx);
                self.end_if_done(cx);
            }
            Err(error) => {
                let number = self.outcome.begin(cx.now, 0);
                let failure = Failure::Socket(error.into());
                self.outcome.fail(cx.now, number, failure);
                cx.report(ClientEvent::Failed { number, lane: 0, failure });
                self.finish(cx);
            }
        }
    }

    fn wake_up(&mut self, cx: &mut ClientCx<'_>) {
        if self.roused.take().is_some() {
            // an error speaks of some earlier datagram; the oldest is as good as any
            if let (Some(error), Some(number)) = (self.pending.take(), self.outcome.oldest_pending()) {
                self.fail(cx, number, Failure::Socket(error));
            }
            return;
        }
        if self.exit_at.is_some_and(|t| t <= cx.now) {
            return self.finish(cx);
        }
        if self.patience.take().is_some() {
            let number = self.outcome.sent;
            self.outcome.fail(cx.now, number, Failure::Patience);
            cx.report(ClientEvent::Failed { number, lane: 0, failure: Failure::Patience });
            if self.has_sent_all() {
                return self.finish(cx);
            }
        }
        self.request(cx);
        self.end_if_done(cx);
    }

    fn halt(&mut self) {
        self.next = None;
        self.patience = None;
        self.exit_at = None;
        self.roused = None;
    }

    fn packet(&mut self, cx: &mut ClientCx<'_>, ends: Ends, payload: &Payload<'_>) -> bool {
        match *payload {
            Payload::Udp { src_port, dst_port, data } => {
                let ours = dst_port == self.port && src_port == self.spec.to.port();
                if ours && ends.src() == self.spec.to.ip() {
                    self.answered(cx, data);
                }
                ours
            }
            Payload::Unreachable { code, about } => {
                let Some((src_port, dst_port)) = wire::quoted_ports(about, 17) else { return false };
                let ours = src_port == self.port && dst_port == self.spec.to.port();
                if ours {
                    self.unreachable(cx, code, ends.src().is_ipv6());
                }
                ours
            }
            _ => false,
        }
    }
}
