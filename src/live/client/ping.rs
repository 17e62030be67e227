//! `ping` with a real raw socket, on a thread that sleeps as iputils does: in recvmsg() with
//! SO_RCVTIMEO while nothing comes back, in poll() once something has.

use super::{Context, Running, failed_by};
use crate::pod::{Failure, PingSpec};
use crate::time::{Span, Time};
use crate::trace::Failed;
use crate::wire::{self, Ends, Payload, Unreachable};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{SockaddrStorage, recvfrom};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// MIN_INTERVAL_MS: the shortest sleep while something is in flight.
const NAP_MS: u64 = 10;
/// iputils waits so long for the last answer.
const LINGER: Span = Span::from_secs(10);
/// What `ping6` lets in of ICMPv6: errors and the answers (`ping6_run`).
const HEARD6: [u8; 5] = [1, 2, 3, 4, 129];

pub(super) fn start(cx: Context, spec: PingSpec) -> Running {
    let over = Arc::new(AtomicBool::new(false));
    let opened = cx.netns.exec(move || open(spec.to)).map_err(io::Error::other).and_then(|r| r);
    let socket = match opened {
        Ok(socket) => socket,
        // "ping: connect: Network is unreachable": it ends before its first echo
        Err(e) => {
            cx.failed(0, failed_by(&e));
            cx.finished();
            return Running { task: None, stop: None };
        }
    };
    let waker = socket.try_clone().ok();
    let flag = Arc::clone(&over);
    let thread = std::thread::Builder::new().name("ping".into()).spawn(move || {
        Ping {
            cx: &cx,
            spec,
            socket,
            over: &flag,
            waiting: BTreeMap::new(),
            heard: 0,
            longest: None,
            sent_at: Time::ZERO,
        }
        .run();
        cx.finished();
    });
    let stop = move || {
        over.store(true, Ordering::Relaxed);
        if let Some(socket) = waker {
            // wakes a recvmsg() under way; ENOTCONN is what a raw socket says to that
            let _ = socket.shutdown(Shutdown::Both);
        }
        if let Ok(thread) = thread {
            let _ = thread.join();
        }
    };
    Running { task: None, stop: Some(Box::new(stop)) }
}

/// The socket, when there is a way to go: iputils finds its source address by connecting a UDP socket
/// to port 1025, which sends nothing, and ends where that is refused (`ping4_run`, `ping6_run`).
fn open(to: IpAddr) -> io::Result<Socket> {
    const PROBED_PORT: u16 = 1025;
    let probe = Socket::new(Domain::for_address(SocketAddr::new(to, 0)), Type::DGRAM, None)?;
    probe.connect(&SockAddr::from(SocketAddr::new(to, PROBED_PORT)))?;
    match to {
        IpAddr::V4(_) => Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)),
        IpAddr::V6(_) => {
            let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
            // neighbour discovery would wake it, and every waking makes its sleep longer
            netns_lab::only_icmp6(&socket, &HEARD6).map_err(io::Error::from)?;
            Ok(socket)
        }
    }
}

struct Ping<'a> {
    cx: &'a Context,
    spec: PingSpec,
    socket: Socket,
    over: &'a AtomicBool,
    waiting: BTreeMap<u16, (u32, Time)>,
    heard: u32,
    /// The longest round trip so far.
    longest: Option<Span>,
    /// When the last echo left.
    sent_at: Time,
}

impl Ping<'_> {
    fn run(&mut self) {
        let start = self.cx.now();
        let mut sent = 0;
        while !self.over.load(Ordering::Relaxed) {
            if self.spec.deadline.is_some_and(|d| self.cx.now() >= start + d) {
                return;
            }
            if self.spec.count.is_none_or(|n| sent < n) {
                sent += 1;
                self.sent_at = self.cx.now();
                self.send();
            } else if self.spec.count.is_some_and(|n| self.heard >= n) {
                return;
            }
            if self.spec.count.is_some_and(|n| sent >= n) {
                return self.linger();
            }
            self.listen();
        }
    }

    fn send(&mut self) {
        let (number, began) = self.cx.began();
        let seq = number as u16;
        // the kernel chooses the source and, for ICMPv6, fills the checksum in
        let to = SocketAddr::new(self.spec.to, 0);
        let data = vec![0x61; usize::from(self.spec.size)];
        let packet = wire::echo(self.ends(), false, self.spec.ident, seq, &data);
        let header = if to.is_ipv4() { 20 } else { 40 };
        match self.socket.send_to(&packet[header..], &SockAddr::from(to)) {
            Ok(_) => {
                self.waiting.insert(seq, (number, began));
            }
            Err(e) => {
                self.heard += 1;
                self.cx.failed(number, failed_by(&e));
            }
        }
    }

    fn ends(&self) -> Ends {
        match self.spec.to {
            IpAddr::V4(to) => Ends::V4(std::net::Ipv4Addr::UNSPECIFIED, to),
            IpAddr::V6(to) => Ends::V6(std::net::Ipv6Addr::UNSPECIFIED, to),
        }
    }

    /// Takes in what comes until the next echo is due. As pinger() and main_loop() do: it sleeps in
    /// recvmsg() for the whole interval, on the kernel's timer wheel, and again if what it heard
    /// came within a millisecond; once something comes later, it sleeps the rest in poll().
    fn listen(&mut self) {
        let interval_ms = self.spec.interval.as_ms().max(NAP_MS);
        let _ = self.socket.set_read_timeout(Some(Duration::from_millis(interval_ms)));
        while !self.over.load(Ordering::Relaxed) {
            let Some(heard) = self.hear() else { return };
            if !heard {
                continue;
            }
            let elapsed_ms = self.cx.now().since(self.sent_at).as_ms();
            if elapsed_ms >= interval_ms {
                return;
            }
            if elapsed_ms > 0 {
                let rest_ms = interval_ms - elapsed_ms;
                let rest_ms = if self.waiting.is_empty() { rest_ms } else { rest_ms.max(NAP_MS) };
                if !self.ready(Duration::from_millis(rest_ms)) {
                    return;
                }
            }
        }
    }

    /// All is sent: takes in what comes for twice the longest round trip, or for ten seconds when
    /// nothing came back, until everything was heard (main_loop of iputils).
    fn linger(&mut self) {
        let patience = self.longest.map_or(LINGER, |rtt| Span(rtt.0 * 2));
        let until = self.cx.now() + patience.max(self.spec.interval);
        while !self.over.load(Ordering::Relaxed) && self.spec.count.is_none_or(|n| self.heard < n) {
            let left = Duration::from(until.since(self.cx.now()));
            if left.is_zero() {
                return;
            }
            let _ = self.socket.set_read_timeout(Some(left.max(Duration::from_millis(1))));
            if self.hear().is_none() {
                return;
            }
        }
    }

    /// Waits for a packet and says whether it was about one of our echoes; `None` when the time is
    /// over.
    fn hear(&mut self) -> Option<bool> {
        let mut buffer = [0; 2048];
        let got = recvfrom::<SockaddrStorage>(self.socket.as_raw_fd(), &mut buffer).map_err(io::Error::from);
        match got {
            Ok((0, _)) => None,
            Ok((n, from)) => Some(self.take(ip_of(from), &buffer[..n])),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Some(false),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => None,
            Err(e) => {
                tracing::debug!(%e, "ping cannot receive");
                None
            }
        }
    }

    fn ready(&self, left: Duration) -> bool {
        let timeout = PollTimeout::try_from(left.as_millis().max(1)).unwrap_or(PollTimeout::MAX);
        let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, timeout).is_ok_and(|n| n > 0)
    }

    /// True when it was about one of our echoes.
    fn take(&mut self, from: IpAddr, bytes: &[u8]) -> bool {
        let Some((seq, why)) = self.read(bytes) else { return false };
        let Some((number, began)) = self.waiting.remove(&seq) else { return false };
        self.heard += 1;
        match why {
            None => {
                let took = self.cx.now().since(began);
                self.longest = Some(self.longest.map_or(took, |l| l.max(took)));
                self.cx.answered(number, began);
            }
            Some(why) => self.cx.failed(number, Failed::Known(Failure::Icmp { from, why })),
        }
        true
    }

    /// The sequence number something is about, and the error if it is one. IPv6 raw sockets
    /// deliver without the IP header.
    fn read(&self, bytes: &[u8]) -> Option<(u16, Option<Unreachable>)> {
        if self.spec.to.is_ipv6() {
            return self.read6(bytes);
        }
        match wire::parse(bytes)?.1 {
            Payload::Echo { reply: true, ident, seq, .. } if ident == self.spec.ident => Some((seq, None)),
            Payload::Unreachable { code, about } => {
                let seq = self.quoted(about, 20)?;
                Some((seq, Some(code_of(code))))
            }
            _ => None,
        }
    }

    fn read6(&self, bytes: &[u8]) -> Option<(u16, Option<Unreachable>)> {
        let word = |at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
        match bytes.first()? {
            129 if word(4)? == self.spec.ident => Some((word(6)?, None)),
            1 => {
                let seq = self.quoted(bytes.get(8..)?, 40)?;
                let why = match bytes.get(1)? {
                    0 => Unreachable::Net,
                    1 => Unreachable::Prohibited,
                    2 => Unreachable::Scope,
                    _ => Unreachable::Host,
                };
                Some((seq, Some(why)))
            }
            _ => None,
        }
    }

    /// The sequence number of our echo that an error quotes.
    fn quoted(&self, about: &[u8], header: usize) -> Option<u16> {
        let echo = about.get(header..header + 8)?;
        let ident = u16::from_be_bytes([echo[4], echo[5]]);
        (ident == self.spec.ident).then(|| u16::from_be_bytes([echo[6], echo[7]]))
    }
}

/// Who sent a packet.
fn ip_of(from: Option<SockaddrStorage>) -> IpAddr {
    let from = from.as_ref();
    let v4 = from.and_then(SockaddrStorage::as_sockaddr_in).map(|a| IpAddr::V4(a.ip()));
    let v6 = || from.and_then(SockaddrStorage::as_sockaddr_in6).map(|a| IpAddr::V6(a.ip()));
    v4.or_else(v6).unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED))
}

fn code_of(code: u8) -> Unreachable {
    match code {
        0 => Unreachable::Net,
        13 => Unreachable::Prohibited,
        3 => Unreachable::Port,
        _ => Unreachable::Host,
    }
}
