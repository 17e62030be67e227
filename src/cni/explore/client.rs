//! Clients in a pod: one that asks for the gateway until it answers, one that watches over it.

use crate::addr::Mac;
use crate::cni::{execution, gateway};
use crate::time::Span;
use crate::wire::Arp;
use netns_lab::{Netns, PacketOptions, PacketSocket, RecvBatch, monotonic_ns};
use serde_json::Value;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often a client asks.
const EVERY: Duration = Duration::from_millis(2);
/// How often one asks that watches over a gateway which answers.
const WATCHED_EVERY: Duration = Duration::from_millis(10);
/// A silence counts from this length on ...
const SILENCE: Span = Span::from_ms(100);
/// ... and from so many questions on, so that a client that the machine kept waiting is none.
const QUESTIONS: u32 = 3;

/// A pod's own interface, to ask on.
#[derive(Debug)]
pub(super) struct Client {
    socket: PacketSocket,
    question: Vec<u8>,
    gateway: Ipv4Addr,
    batch: RecvBatch,
}

impl Client {
    /// `Ok(None)` if the result of ADD names no gateway, and nobody else does.
    pub(super) fn open(
        pod: &Netns,
        ifname: &str,
        result: &Value,
        gateway: Option<Ipv4Addr>,
    ) -> Result<Option<Client>, String> {
        let Some(gateway) = gateway.or_else(|| execution::gateway_of(result)) else { return Ok(None) };
        let address =
            execution::addresses_of(result).iter().find_map(|it| it.split('/').next()?.parse().ok());
        let Some(address) = address else { return Ok(None) };
        let link = pod.blocking().link(ifname).map_err(|e| format!("the pod has no {ifname}: {e}"))?;
        let mac = link.mac.map(|mac| Mac(mac.octets())).ok_or_else(|| format!("{ifname} has no MAC"))?;
        let socket = PacketSocket::open(pod, ifname, &PacketOptions::new()).map_err(|e| e.to_string())?;
        let question = Arp::request(mac, address, gateway).frame(Mac::BROADCAST, mac).to_vec();
        Ok(Some(Client { socket, question, gateway, batch: RecvBatch::default() }))
    }

    /// Asks once, and listens until there is an answer or it is time for the next question.
    fn ask(&mut self) -> Result<bool, String> {
        let until = monotonic_ns() + EVERY.as_nanos() as u64;
        let sent = self.socket.send(&self.question);
        loop {
            let left = Duration::from_nanos(until.saturating_sub(monotonic_ns()));
            match self.socket.recv(&mut self.batch, Some(left)) {
                Ok(_) if self.is_answered() => return Ok(true),
                Ok(_) if left.is_zero() => return sent.map(|()| false).map_err(|e| e.to_string()),
                Ok(_) => {}
                Err(e) => {
                    std::thread::sleep(left);
                    return Err(e.to_string());
                }
            }
        }
    }

    fn is_answered(&self) -> bool {
        let mut frames = self.batch.frames().filter(|frame| !frame.direction.is_outgoing());
        frames.any(|frame| gateway::answer(frame.bytes, Some(self.gateway)).is_some())
    }

    /// Asks until there is an answer, at most so long.
    pub(super) fn reaches_within(&mut self, within: Span) -> Result<(), String> {
        let until = monotonic_ns() + within.as_ns();
        loop {
            let came = self.ask();
            if came == Ok(true) {
                return Ok(());
            }
            if monotonic_ns() >= until {
                let why = came.err().map(|why| format!(": {why}")).unwrap_or_default();
                let gateway = self.gateway;
                return Err(format!("{gateway} was silent for {within}{why}"));
            }
        }
    }
}

/// Asks for a pod's gateway all the time.
#[derive(Debug)]
pub(super) struct Vigil {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<(), String>>>,
}

impl Vigil {
    pub(super) fn start(mut client: Client) -> std::io::Result<Vigil> {
        let over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&over);
        let thread = std::thread::Builder::new().name("vigil".into()).spawn(move || {
            let mut silence = Silence::default();
            while !told.load(Ordering::SeqCst) {
                let asked_ns = monotonic_ns();
                let came = client.ask();
                if came == Ok(true) {
                    std::thread::sleep(WATCHED_EVERY);
                }
                silence.note(asked_ns, came, monotonic_ns());
            }
            silence.longest.map_or(Ok(()), Err)
        })?;
        Ok(Vigil { over, thread: Some(thread) })
    }

    /// Whether the gateway was always there.
    pub(super) fn end(mut self) -> Result<(), String> {
        self.over.store(true, Ordering::SeqCst);
        let ended = self.thread.take().map(JoinHandle::join);
        ended.and_then(Result::ok).unwrap_or_else(|| Err("the client's thread ended".into()))
    }
}

impl Drop for Vigil {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            // it does not panic
            let _ = thread.join();
        }
    }
}

/// A spell without answers, and the first that was long enough to count.
#[derive(Debug, Default)]
struct Silence {
    since_ns: Option<u64>,
    questions: u32,
    longest: Option<String>,
}

impl Silence {
    fn note(&mut self, asked_ns: u64, came: Result<bool, String>, now_ns: u64) {
        if came == Ok(true) {
            (self.since_ns, self.questions) = (None, 0);
            return;
        }
        let since_ns = *self.since_ns.get_or_insert(asked_ns);
        self.questions += 1;
        let lasted = Span::from_ns(now_ns.saturating_sub(since_ns));
        if lasted >= SILENCE && self.questions >= QUESTIONS && self.longest.is_none() {
            let why = came.err().map(|why| format!(": {why}")).unwrap_or_default();
            self.longest =
                Some(format!("the gateway of a pod wired before was silent for {SILENCE} or more{why}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_is_long_and_has_questions() {
        const MS: u64 = 1_000_000;
        let mut silence = Silence::default();
        silence.note(0, Ok(false), 500 * MS);
        assert_eq!(silence.longest, None, "one question that the machine kept waiting");
        silence.note(500 * MS, Ok(true), 501 * MS);
        silence.note(501 * MS, Ok(false), 503 * MS);
        silence.note(503 * MS, Err("down".into()), 505 * MS);
        silence.note(505 * MS, Ok(false), 507 * MS);
        assert_eq!(silence.longest, None, "three questions in no time");
        silence.note(600 * MS, Ok(false), 602 * MS);
        assert!(silence.longest.is_some());
    }
}
