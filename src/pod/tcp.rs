//! A TCP connection as its sender lives it: timers, retransmissions, errors. No windows, no
//! congestion, no options; one segment is out at a time (RFC 896).
//!
//! Measured and modelled (net/ipv4/tcp_timer.c, tcp_ipv4.c, tcp_output.c):
//!
//! * The SYN is sent again after 1, 2, 4 ... s, since kernel 6.5 four more times after one
//!   second first; the end comes after a number of retransmissions or after a time that is
//!   computed without the linear ones, whichever is first.
//! * A segment that still waits for its neighbour is not sent a second time, but its timer backs
//!   off all the same.
//! * "Host unreachable" kills a connection that is dialling. An established one takes a step of
//!   its back-off back (RFC 6069) and sends at once if that makes it late.
//! * An established connection whose timer found its segment still waiting sends it again the
//!   moment it has left the queue, or was thrown out of it (tcp_tsq_write): with or without an
//!   error.
//! * The first timer of new data is a loss probe; when it finds its segment still on the host, the
//!   retransmission timer follows a tick later.

use super::client::ClientCx;
use super::event::ClientEvent;
use super::outcome::SocketError;
use super::rtt::{RTO_MIN, Rtt};
use crate::host::conf::Global;
use crate::neigh::KTimer;
use crate::packet::Owner;
use crate::time::{Span, Time};
use crate::wire::{self, Ends, Segment, SegmentFlag, Unreachable};
use smallvec::SmallVec;

/// TCP_TIMEOUT_INIT, RFC 6298 2.1.
const RTO_INITIAL: Span = Span::from_secs(1);
/// TCP_RTO_MAX.
const RTO_MAX: Span = Span::from_secs(120);
/// net.ipv4.tcp_retries2, which nobody changes: an established connection is given up after 924 s.
const RETRIES_ESTABLISHED: u32 = 15;
/// From the neighbour's timer, which the first segment arms, to the segment's own: the two are
/// armed in one tick, but not always.
const ARM_COST: Span = Span::from_us(25);
/// First port of the ephemeral range (net.ipv4.ip_local_port_range).
const PORT_MIN: u16 = 32_768;
/// The most one segment carries: an MTU of 1500 less headers and time stamps.
const SEGMENT_MAX: u32 = 1448;

/// Where a connection stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum State {
    Dialling,
    Established,
    Closed,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum TimerKind {
    Retransmit,
    LossProbe,
}

/// What became of a connection by a segment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum TcpStep {
    Nothing,
    Connected,
    /// So many new bytes came in.
    Data(u32),
    Closed(SocketError),
}

/// A connection.
#[derive(Clone, Hash, Debug)]
pub(super) struct Conn {
    ends: Ends,
    pub(super) port: u16,
    to_port: u16,
    owner: Owner,
    pub(super) state: State,
    una: u32,
    nxt: u32,
    rcv_nxt: u32,
    /// Bytes written and not yet sent.
    unsent: u32,
    rto: u64,
    backoff: u32,
    /// Retransmissions since progress; those that never left the host included.
    retransmits: u32,
    total_rto: u32,
    timer: Option<(KTimer, TimerKind)>,
    /// When the segment that is out last left, or was last given to the neighbour's queue.
    stamp: Time,
    /// When it was first sent.
    first: Time,
    /// The timer gave the segment up for lost while it still waited for its neighbour.
    lost: bool,
    rtt: Rtt,
    /// The peer made progress: the next packet vouches for the neighbour.
    confirms: bool,
    soft_error: Option<SocketError>,
}

impl Conn {
    /// connect(): the SYN leaves.
    pub(super) fn dial(cx: &mut ClientCx<'_>, ends: Ends, to_port: u16) -> Conn {
        let owner = cx.next_owner();
        let number = owner.0.wrapping_mul(0x9e37_79b9);
        let mut conn = Conn {
            ends,
            port: PORT_MIN + (owner.0 % u32::from(PORT_MIN)) as u16,
            to_port,
            owner,
            state: State::Dialling,
            una: number,
            nxt: number.wrapping_add(1),
            rcv_nxt: 0,
            unsent: 0,
            rto: cx.clock().ticks(RTO_INITIAL),
            backoff: 0,
            retransmits: 0,
            total_rto: 0,
            timer: None,
            stamp: cx.now,
            first: cx.now,
            lost: false,
            rtt: Rtt::default(),
            confirms: false,
            soft_error: None,
        };
        conn.transmit_head(cx);
        conn.timer = Some((cx.stack.arm(cx.now + ARM_COST, conn.rto), TimerKind::Retransmit));
        conn
    }

    pub(super) fn timer(&self) -> Option<KTimer> {
        self.timer.map(|t| t.0)
    }

    fn arm(&mut self, cx: &mut ClientCx<'_>, ticks: u64, kind: TimerKind) {
        self.timer = Some((cx.stack.arm(cx.now, ticks), kind));
    }

    /// The socket is closed without a word: its timer stops, what waits in a queue stays there.
    pub(super) fn abandon(&mut self) {
        self.state = State::Closed;
        self.timer = None;
    }

    /// Closes with a reset (SO_LINGER of zero), so that nothing lingers.
    pub(super) fn reset(&mut self, cx: &mut ClientCx<'_>) {
        self.transmit(cx, SegmentFlag::Rst, self.nxt, 0, None);
        self.abandon();
    }

    fn transmit(
        &mut self,
        cx: &mut ClientCx<'_>,
        control: SegmentFlag,
        seq: u32,
        len: u32,
        owner: Option<Owner>,
    ) {
        if core::mem::take(&mut self.confirms) {
            cx.confirm(self.ends.dst());
        }
        let data: SmallVec<[u8; 64]> = SmallVec::from_elem(0, len as usize);
        let ack = (control != SegmentFlag::Syn).then_some(self.rcv_nxt);
        let (src_port, dst_port) = (self.port, self.to_port);
        let segment = Segment { src_port, dst_port, control, seq, ack, data: &data };
        // a route that is gone is a loss like any other; the timer goes on (ip_queue_xmit)
        if let Err(error) = cx.send(wire::tcp(self.ends, &segment), owner) {
            tracing::trace!(%error, "a segment is lost");
        }
    }

    /// Sends the segment that is out, first or again.
    fn transmit_head(&mut self, cx: &mut ClientCx<'_>) {
        self.stamp = cx.now;
        self.lost = false;
        let owner = Some(self.owner);
        match self.state {
            State::Dialling => self.transmit(cx, SegmentFlag::Syn, self.una, 0, owner),
            _ => self.transmit(cx, SegmentFlag::None, self.una, self.nxt.wrapping_sub(self.una), owner),
        }
    }

    /// Its timer went off.
    pub(super) fn timeout(&mut self, cx: &mut ClientCx<'_>, lane: u32) -> Option<SocketError> {
        match self.timer.take()?.1 {
            TimerKind::Retransmit => self.retransmit(cx, lane),
            TimerKind::LossProbe => {
                self.probe(cx, lane);
                None
            }
        }
    }

    /// tcp_send_loss_probe(): a probe if the segment has left the host, then the ordinary timer,
    /// which otherwise counts from when the segment was sent.
    fn probe(&mut self, cx: &mut ClientCx<'_>, lane: u32) {
        let mut rest = self.rto;
        if cx.stack.holds(self.owner) {
            let due = self.stamp + Span(self.rto * cx.clock().tick().0);
            rest = cx.clock().ticks(due.since(cx.now)).max(1);
        } else {
            cx.report(ClientEvent::Retransmit { lane, sent: true });
            self.transmit_head(cx);
        }
        self.arm(cx, rest, TimerKind::Retransmit);
    }

    /// tcp_retransmit_timer()
    fn retransmit(&mut self, cx: &mut ClientCx<'_>, lane: u32) -> Option<SocketError> {
        if self.has_timed_out(cx) {
            self.abandon();
            return Some(self.soft_error.unwrap_or(SocketError::Etimedout));
        }
        self.retransmits += 1;
        self.total_rto += 1;
        let sent = !cx.stack.holds(self.owner);
        cx.report(ClientEvent::Retransmit { lane, sent });
        if sent {
            self.transmit_head(cx);
        } else {
            self.lost = true;
        }
        if self.state != State::Dialling || self.total_rto > cx.count(Global::TcpSynLinearTimeouts) {
            self.backoff += 1;
            self.rto = (self.rto << 1).min(cx.clock().ticks(RTO_MAX));
        }
        self.arm(cx, self.rto, TimerKind::Retransmit);
        None
    }

    /// Its segment was given up for lost while it waited for the neighbour.
    pub(super) fn is_lost(&self) -> bool {
        self.lost && self.state == State::Established
    }

    /// The segment that was given up for lost while it waited is not waiting any more.
    pub(super) fn is_unqueued(&self, cx: &ClientCx<'_>) -> bool {
        self.is_lost() && !cx.stack.holds(self.owner)
    }

    /// It is sent again, without counting (tcp_xmit_retransmit_queue).
    pub(super) fn resend(&mut self, cx: &mut ClientCx<'_>, lane: u32) {
        cx.report(ClientEvent::Retransmit { lane, sent: true });
        self.transmit_head(cx);
        self.arm(cx, self.rto, TimerKind::Retransmit);
    }

    /// tcp_write_timeout()
    fn has_timed_out(&self, cx: &ClientCx<'_>) -> bool {
        let elapsed = cx.now.since(self.first);
        match self.state {
            State::Dialling => {
                let retries = cx.count(Global::TcpSynRetries);
                self.retransmits >= retries + cx.count(Global::TcpSynLinearTimeouts)
                    || (self.retransmits > 0 && elapsed >= patience(retries, RTO_INITIAL))
            }
            _ => self.retransmits > 0 && elapsed >= patience(RETRIES_ESTABLISHED, RTO_MIN),
        }
    }

    /// An ICMP error about a segment of this connection that began with `seq` (tcp_v4_err).
    pub(super) fn unreachable(
        &mut self,
        cx: &mut ClientCx<'_>,
        lane: u32,
        seq: u32,
        why: Unreachable,
    ) -> Option<SocketError> {
        if self.state == State::Closed || self.nxt.wrapping_sub(seq) > self.nxt.wrapping_sub(self.una) {
            return None;
        }
        let error = SocketError::of_icmp(why);
        if matches!(why, Unreachable::Net | Unreachable::Host)
            && seq == self.una
            && let Some(timed_out) = self.revert(cx, lane)
        {
            return Some(timed_out);
        }
        if self.state == State::Dialling {
            self.abandon();
            return Some(error);
        }
        self.soft_error = Some(error);
        None
    }

    /// RFC 6069 (tcp_ld_RTO_revert).
    fn revert(&mut self, cx: &mut ClientCx<'_>, lane: u32) -> Option<SocketError> {
        if self.retransmits == 0 || self.backoff == 0 {
            return None;
        }
        self.backoff -= 1;
        self.rto = (self.base_rto(cx) << self.backoff).min(cx.clock().ticks(RTO_MAX));
        let gone = cx.clock().ticks(cx.now.since(self.stamp));
        if self.rto > gone {
            self.arm(cx, self.rto - gone, TimerKind::Retransmit);
            return None;
        }
        self.timer = None;
        self.retransmit(cx, lane)
    }

    fn base_rto(&self, cx: &ClientCx<'_>) -> u64 {
        cx.clock().ticks(self.rtt.rto().unwrap_or(RTO_INITIAL))
    }

    /// A segment of this connection.
    pub(super) fn segment(&mut self, cx: &mut ClientCx<'_>, s: &Segment<'_>) -> TcpStep {
        match (self.state, s.control) {
            (State::Dialling, SegmentFlag::Rst) if s.ack == Some(self.nxt) => {
                self.abandon();
                TcpStep::Closed(SocketError::Econnrefused)
            }
            (State::Dialling, SegmentFlag::Syn) if s.ack == Some(self.nxt) => {
                self.state = State::Established;
                self.rcv_nxt = s.seq.wrapping_add(1);
                self.progress(cx, self.nxt);
                self.transmit(cx, SegmentFlag::None, self.nxt, 0, None);
                TcpStep::Connected
            }
            (State::Dialling | State::Closed, _) => TcpStep::Nothing,
            (State::Established, SegmentFlag::Rst) => {
                self.abandon();
                TcpStep::Closed(SocketError::Econnreset)
            }
            (State::Established, _) => self.established(cx, s),
        }
    }

    fn established(&mut self, cx: &mut ClientCx<'_>, s: &Segment<'_>) -> TcpStep {
        if let Some(ack) = s.ack
            && ack != self.una
            && ack.wrapping_sub(self.una) <= self.nxt.wrapping_sub(self.una)
        {
            self.progress(cx, ack);
        }
        let new = if s.seq == self.rcv_nxt { s.data.len() as u32 } else { 0 };
        self.rcv_nxt = self.rcv_nxt.wrapping_add(new);
        self.send_waiting(cx);
        if !s.data.is_empty() && self.una == self.nxt {
            // quick ACK; with something to send the data carries it
            self.transmit(cx, SegmentFlag::None, self.nxt, 0, None);
        }
        if new > 0 { TcpStep::Data(new) } else { TcpStep::Nothing }
    }

    /// The peer acknowledged up to `ack` (tcp_ack).
    fn progress(&mut self, cx: &ClientCx<'_>, ack: u32) {
        self.rtt.sample(cx.now.since(self.stamp));
        self.una = ack;
        self.rto = self.base_rto(cx);
        self.backoff = 0;
        self.retransmits = 0;
        self.soft_error = None;
        self.confirms = true;
        if self.una == self.nxt {
            self.timer = None;
            self.lost = false;
        }
    }

    /// The application writes.
    pub(super) fn write(&mut self, cx: &mut ClientCx<'_>, len: u32) {
        self.unsent = self.unsent.saturating_add(len);
        self.send_waiting(cx);
    }

    fn send_waiting(&mut self, cx: &mut ClientCx<'_>) {
        if self.state != State::Established || self.una != self.nxt || self.unsent == 0 {
            return;
        }
        let len = self.unsent.min(SEGMENT_MAX);
        self.unsent -= len;
        self.nxt = self.nxt.wrapping_add(len);
        self.first = cx.now;
        self.transmit_head(cx);
        // tcp_schedule_loss_probe(), with one packet out
        let probe = cx.clock().ticks(self.rtt.twice() + RTO_MIN).min(self.rto);
        self.arm(cx, probe, TimerKind::LossProbe);
    }

    /// True when a segment from `ends` and between these ports belongs here.
    pub(super) fn is_for(&self, ends: Ends, s: &Segment<'_>) -> bool {
        s.dst_port == self.port && s.src_port == self.to_port && ends == self.ends.reversed()
    }
}

/// tcp_model_timeout(): how long so many retransmissions last when each waits twice as long as
/// the one before, from `base` up to [`RTO_MAX`].
fn patience(retransmissions: u32, base: Span) -> Span {
    let doublings = (RTO_MAX.0 / base.0).ilog2();
    let geometric = |n: u32| (2_u64 << n) - 1;
    Span(match retransmissions.checked_sub(doublings) {
        None => geometric(retransmissions) * base.0,
        Some(more) => geometric(doublings) * base.0 + u64::from(more) * RTO_MAX.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_is_the_kernels() {
        assert_eq!(patience(6, RTO_INITIAL), Span::from_secs(127));
        assert_eq!(patience(2, RTO_INITIAL), Span::from_secs(7));
        assert_eq!(patience(15, RTO_MIN), Span::from_ms(924_600));
    }
}
