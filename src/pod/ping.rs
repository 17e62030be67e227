//! `ping` of iputils 20221126, as far as its clock and its conscience go.
//!
//! Its timing shows in every report of a silent gateway. While nothing comes back, or everything
//! within a millisecond, it sleeps in recvmsg() with SO_RCVTIMEO, on the kernel's timer wheel: an
//! echo "a second" leaves every 1.024 s and stays in step with the requests of the neighbour
//! entry. When an answer or an error wakes it later than that, it sleeps the rest of the interval
//! in poll(), exactly. It never makes up for lost time (pinger(), main_loop() in ping_common.c).

use super::client::{Behaviour, ClientCx, Wake};
use super::event::ClientEvent;
use super::outcome::{Failure, Outcome, SocketError};
use super::spec::PingSpec;
use crate::packet::{IpBytes, Packet};
use crate::time::{Span, Time};
use crate::wire::{self, Ends, Payload, Unreachable};
use smallvec::SmallVec;
use std::net::{IpAddr, Ipv4Addr};

/// MAXWAIT: how long the last echo is waited for when none was answered.
const LINGER: Span = Span::from_secs(10);
/// MIN_INTERVAL_MS: the shortest sleep while something is in flight.
const NAP_MS: u64 = 10;
/// From sending an echo to sleeping again; the sleep's timer may be armed in the next tick.
const LOOP_COST: Span = Span::from_us(80);
/// The pause after ENOBUFS is half the interval, at most this.
const NO_BUFFER_PAUSE_MS: u64 = 500;

/// A running ping.
#[derive(Clone, Hash, Debug)]
pub(super) struct Ping {
    spec: PingSpec,
    source: IpAddr,
    outcome: Outcome,
    /// When it last sent.
    sent_at: Time,
    /// The highest number that was answered or reported.
    acknowledged: u32,
    /// Echoes that were reported unreachable; the local errors of sendmsg() are not among them.
    reported: u32,
    /// Tries to send in a row that found no buffer.
    starved: u64,
    longest: Span,
    /// Its deadline, or when it has waited long enough for the last echo.
    exit_at: Option<Time>,
    wake: Option<Wake>,
}

impl Ping {
    pub(super) fn new(spec: PingSpec) -> Ping {
        Ping {
            spec,
            source: Ipv4Addr::UNSPECIFIED.into(),
            outcome: Outcome::default(),
            sent_at: Time::ZERO,
            acknowledged: 0,
            reported: 0,
            starved: 0,
            longest: Span::ZERO,
            exit_at: None,
            wake: None,
        }
    }

    fn interval_ms(&self) -> u64 {
        self.spec.interval.as_ms().max(NAP_MS)
    }

    fn has_sent_all(&self) -> bool {
        self.spec.deadline.is_none() && self.spec.count.is_some_and(|n| self.outcome.sent >= n)
    }

    /// Enough was heard to stop.
    fn is_satisfied(&self) -> bool {
        self.spec.count.is_some_and(|n| self.outcome.received + self.reported >= n)
            || (self.spec.deadline.is_some() && self.reported > 0)
    }

    /// One turn of its loop: sends if the interval is over, else sleeps the rest of it.
    fn turn(&mut self, cx: &mut ClientCx<'_>) {
        if self.has_sent_all() {
            return self.wait_for_last(cx);
        }
        let interval = self.interval_ms();
        let elapsed = cx.now.since(self.sent_at).as_ms();
        match elapsed {
            _ if self.outcome.sent == 0 => {}
            0 => return self.sleep(cx),
            _ if elapsed < interval => return self.doze(cx, interval - elapsed),
            _ => {}
        }
        let (number, packet) = self.next_echo(cx);
        let sent = cx.send(packet, None);
        match sent {
            Ok(()) => self.starved = 0,
            Err(error) if self.is_starved(error.into()) => return self.retry_later(cx, number),
            Err(_) => {}
        }
        cx.report(ClientEvent::Began { number, lane: 0 });
        if let Err(error) = sent {
            let failure = Failure::Socket(error.into());
            self.outcome.fail(cx.now, number, failure);
            cx.report(ClientEvent::Failed { number, lane: 0, failure });
        }
        self.sleep(cx);
    }

    /// Builds the next echo and books it. The socket is not bound, so the kernel chooses the source of each anew: a
    /// pod may have got its address since the one before.
    fn next_echo(&mut self, cx: &ClientCx<'_>) -> (u32, IpBytes) {
        self.sent_at = cx.now;
        self.source = cx.stack.source_for(self.spec.to).unwrap_or(self.source);
        let number = self.outcome.begin(cx.now, 0);
        let data: SmallVec<[u8; 64]> = SmallVec::from_elem(0, usize::from(self.spec.size));
        let ends = Ends::new(self.source, self.spec.to)
            .unwrap_or(Ends::V4(Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED));
        (number, wire::echo(ends, false, self.spec.ident, number as u16, &data))
    }

    fn is_starved(&self, error: SocketError) -> bool {
        let pause = (self.interval_ms() / 2).min(NO_BUFFER_PAUSE_MS);
        error == SocketError::Enobufs && (self.starved + 1) * pause < LINGER.as_ms()
    }

    /// ENOBUFS: the echo was not sent, and is tried again soon.
    fn retry_later(&mut self, cx: &ClientCx<'_>, number: u32) {
        self.starved += 1;
        self.outcome.attempts.truncate(number as usize - 1);
        self.outcome.sent = number - 1;
        let pause = (self.interval_ms() / 2).min(NO_BUFFER_PAUSE_MS);
        // poll() for that long, after which the interval counts as over
        self.sent_at = Time(cx.now.0.saturating_sub(Span::from_ms(self.interval_ms() - pause).0));
        self.wake = Some(Wake::process(cx.now + Span::from_ms(pause)));
    }

    /// recvmsg() with SO_RCVTIMEO: a sleep on the wheel.
    fn sleep(&mut self, cx: &ClientCx<'_>) {
        if self.has_sent_all() {
            return self.wait_for_last(cx);
        }
        let clock = cx.clock();
        let ticks = clock.ticks(Span::from_ms(self.interval_ms()));
        self.wake = Some(Wake::sleeper(clock.fires(cx.now + LOOP_COST, ticks)));
    }

    /// poll() for the rest of the interval: an exact sleep, of at least [`NAP_MS`] while an echo
    /// is out.
    fn doze(&mut self, cx: &ClientCx<'_>, rest_ms: u64) {
        let in_flight = self.outcome.sent > self.acknowledged;
        let rest_ms = if in_flight { rest_ms.max(NAP_MS) } else { rest_ms };
        self.wake = Some(Wake::process(cx.now + Span::from_ms(rest_ms)));
    }

    /// All is sent: it waits twice the longest round trip, or ten seconds if nothing came back.
    fn wait_for_last(&mut self, cx: &ClientCx<'_>) {
        let patience = if self.outcome.received > 0 {
            Span((self.longest.0 * 2).max(Span::from_ms(self.interval_ms()).0))
        } else {
            LINGER
        };
        self.exit_at.get_or_insert(cx.now + patience);
        self.wake = None;
    }

    /// Something arrived: the loop goes round once the socket is drained.
    fn roused(&mut self, cx: &mut ClientCx<'_>) {
        if self.is_satisfied() {
            return self.finish(cx);
        }
        self.wake = Some(Wake::process(cx.now));
    }

    fn unreachable(&mut self, cx: &mut ClientCx<'_>, from: IpAddr, code: u8, about: &[u8]) -> bool {
        let Some(number) = self.quoted_number(about) else { return false };
        let why = Unreachable::of_code(code, from.is_ipv6()).unwrap_or(Unreachable::Host);
        let failure = Failure::Icmp { from, why };
        self.acknowledged = self.acknowledged.max(number);
        if self.outcome.fail(cx.now, number, failure) {
            self.reported += 1;
            cx.report(ClientEvent::Failed { number, lane: 0, failure });
        }
        self.roused(cx);
        true
    }

    /// The number of an own echo quoted in an error. Only its first eight bytes are there.
    fn quoted_number(&self, about: &[u8]) -> Option<u32> {
        let (header, request) = if self.spec.to.is_ipv4() { (20, 8) } else { (40, 128) };
        let to = match self.spec.to {
            IpAddr::V4(to) => about.get(16..20)? == to.octets(),
            IpAddr::V6(to) => about.get(24..40)? == to.octets(),
        };
        let echo = about.get(header..header + 8)?;
        let ident = u16::from_be_bytes([echo[4], echo[5]]);
        (to && echo[0] == request && ident == self.spec.ident)
            .then(|| self.full_number(u16::from_be_bytes([echo[6], echo[7]])))
    }

    /// The number an icmp_seq stands for: the last one sent that has these low bits.
    fn full_number(&self, seq: u16) -> u32 {
        let back = (self.outcome.sent as u16).wrapping_sub(seq);
        self.outcome.sent.saturating_sub(u32::from(back))
    }
}

impl Behaviour for Ping {
    fn outcome(&self) -> &Outcome {
        &self.outcome
    }
    fn outcome_mut(&mut self) -> &mut Outcome {
        &mut self.outcome
    }

    fn wake(&self) -> Option<Wake> {
        match self.exit_at {
            Some(exit) => Some(self.wake.map_or(Wake::process(exit), |w| w.min(Wake::process(exit)))),
            None => self.wake,
        }
    }

    fn start(&mut self, cx: &mut ClientCx<'_>) {
        match cx.stack.source_for(self.spec.to) {
            Ok(source) => {
                self.source = source;
                self.exit_at = self.spec.deadline.map(|d| cx.now + d);
                self.turn(cx);
            }
            Err(error) => {
                // "ping: connect: Network is unreachable": it finds its source address that way
                let failure = Failure::Socket(error.into());
                cx.report(ClientEvent::Failed { number: 0, lane: 0, failure });
                self.outcome.errors += 1;
                self.finish(cx);
            }
        }
    }

    fn wake_up(&mut self, cx: &mut ClientCx<'_>) {
        if self.exit_at.is_some_and(|t| t <= cx.now) {
            return self.finish(cx);
        }
        self.wake = None;
        self.turn(cx);
    }

    fn halt(&mut self) {
        self.wake = None;
        self.exit_at = None;
    }

    fn packet(&mut self, cx: &mut ClientCx<'_>, ends: Ends, payload: &Payload<'_>) -> bool {
        match *payload {
            Payload::Echo { reply: true, ident, seq, .. }
                if ident == self.spec.ident && ends.src() == self.spec.to =>
            {
                let number = self.full_number(seq);
                let Some((rtt, duplicate)) = self.outcome.answer(cx.now, number) else { return true };
                self.acknowledged = self.acknowledged.max(number);
                self.longest = self.longest.max(rtt);
                cx.report(ClientEvent::Answered { number, lane: 0, rtt, duplicate, mac: None });
                self.roused(cx);
                true
            }
            Payload::Unreachable { code, about } => self.unreachable(cx, ends.src(), code, about),
            _ => false,
        }
    }

    fn race(&mut self, cx: &mut ClientCx<'_>) -> Option<Packet> {
        let (number, bytes) = self.next_echo(cx);
        cx.report(ClientEvent::Began { number, lane: 0 });
        self.sleep(cx);
        Some(Packet { bytes, owner: None })
    }
}
