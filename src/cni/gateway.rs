//! Asks for the pod's gateway on the pod's own interface, from the moment on which the pod has
//! one, an address and a way to a gateway, and notes what passes there.

use crate::addr::Mac;
use crate::time::Span;
use crate::wire::{Arp, OP_REPLY};
use netns_lab::{Change, Monitor, Netns, PacketOptions, PacketSocket, RecvBatch, monotonic_ns};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often it is asked: often enough to tell steps of a plugin apart, which are some 100 µs each.
const EVERY: Duration = Duration::from_micros(500);
/// How often the wire is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_micros(100);
/// So many pods at once are asked for as often as one.
const PODS_AT_FULL_RATE: usize = 2;
/// Bytes of an Ethernet header.
const HEADER: usize = 14;
const ETHERTYPE_ARP: [u8; 2] = [0x08, 0x06];
/// The most frames that are kept.
const FRAMES_MAX: usize = 50_000;

/// A frame on the pod's interface.
#[derive(Clone, Debug)]
pub struct PodFrame {
    /// When, on the monotonic clock.
    pub at_ns: u64,
    /// The pod sent it.
    pub from_pod: bool,
    /// With its Ethernet header.
    pub bytes: Vec<u8>,
}

/// What came of asking.
#[derive(Clone, Debug, Default)]
pub struct GatewayReport {
    /// Who was asked for; `None` if nobody ever said.
    pub gateway: Option<Ipv4Addr>,
    /// The first question.
    pub first_asked_ns: Option<u64>,
    /// The last question that was not answered before the first answer came.
    pub last_silent_ns: Option<u64>,
    /// The first answer. It is to the question before it, so the gateway may answer since the one
    /// before that.
    pub first_answer_ns: Option<u64>,
    /// Who answered first.
    pub mac: Option<Mac>,
    /// Questions before the first answer.
    pub asked_before: usize,
    /// Questions and answers from then on.
    pub asked_after: usize,
    /// Answers, the first one included.
    pub answers: usize,
    /// All that passed.
    pub frames: Vec<PodFrame>,
}

/// What the one who asks and the one who runs plugins tell each other.
#[derive(Debug, Default)]
pub(super) struct Talk {
    /// Whom to ask for.
    pub(super) gateway: Mutex<Option<Ipv4Addr>>,
    /// The plugins are done: ask until there is an answer, or the patience is over.
    pub(super) done: AtomicBool,
}

impl Talk {
    fn gateway(&self) -> Option<Ipv4Addr> {
        self.gateway.lock().map_or(None, |it| *it)
    }

    /// Names the gateway, if nobody has.
    pub(super) fn suggest(&self, gateway: Option<Ipv4Addr>) {
        if let Ok(mut it) = self.gateway.lock() {
            *it = it.or(gateway);
        }
    }
}

/// What is known of the pod's interface.
#[derive(Debug, Default)]
struct Known {
    mac: Option<Mac>,
    up: bool,
    address: Option<Ipv4Addr>,
}

/// Asks until there is an answer and the plugins are done, or the patience after that is over.
pub(super) fn ask(monitor: Monitor, pod: &Netns, ifname: &str, talk: &Talk, patience: Span) -> GatewayReport {
    ask_among(1, monitor, pod, ifname, talk, patience)
}

/// The same for one of several pods: they ask less often, so that they leave the processors to the
/// plugins.
pub(super) fn ask_among(
    pods: usize,
    mut monitor: Monitor,
    pod: &Netns,
    ifname: &str,
    talk: &Talk,
    patience: Span,
) -> GatewayReport {
    let times = u32::try_from(pods.div_ceil(PODS_AT_FULL_RATE)).unwrap_or(u32::MAX).max(1);
    let mut asker = Asker {
        every: EVERY * times,
        look_every: LOOK_EVERY * times,
        known: Known::default(),
        socket: None,
        batch: RecvBatch::default(),
        report: GatewayReport::default(),
        last_asked_ns: None,
    };
    let mut until = None;
    loop {
        while let Ok(Some(event)) = monitor.try_next() {
            asker.learn(&event.change, ifname, talk);
        }
        asker.turn(pod, ifname, talk.gateway());
        if talk.done.load(Ordering::SeqCst) {
            let now = monotonic_ns();
            let until = *until.get_or_insert(now + patience.as_ns());
            let idle = talk.gateway().is_none() || asker.known.address.is_none();
            if asker.report.first_answer_ns.is_some() || idle || now >= until {
                asker.report.gateway = talk.gateway();
                return asker.report;
            }
        }
    }
}

struct Asker {
    every: Duration,
    look_every: Duration,
    known: Known,
    socket: Option<PacketSocket>,
    batch: RecvBatch,
    report: GatewayReport,
    last_asked_ns: Option<u64>,
}

impl Asker {
    fn learn(&mut self, change: &Change, ifname: &str, talk: &Talk) {
        let known = &mut self.known;
        match change {
            Change::Link(link) if link.name == ifname => {
                (known.up, known.mac) = (link.up, link.mac.map(|mac| Mac(mac.octets())));
            }
            Change::LinkGone(link) if link.name == ifname => {
                *known = Known::default();
                self.socket = None;
            }
            Change::Address(address) if address.dev.name() == Some(ifname) => {
                if let IpAddr::V4(ip) = address.net.addr() {
                    known.address = Some(ip);
                }
            }
            Change::AddressGone(address)
                if address.dev.name() == Some(ifname)
                    && Some(address.net.addr()) == known.address.map(IpAddr::V4) =>
            {
                known.address = None;
            }
            Change::Route(route) => {
                let ways = route.next_hops.iter().filter(|hop| {
                    hop.dev.as_ref().and_then(|dev| dev.name()).is_none_or(|name| name == ifname)
                });
                let gateways = ways.filter_map(|hop| match hop.gateway {
                    Some(IpAddr::V4(ip)) => Some(ip),
                    _ => None,
                });
                talk.suggest(gateways.into_iter().next());
            }
            _ => {}
        }
    }

    /// Listens for a while, and asks if that is possible.
    fn turn(&mut self, pod: &Netns, ifname: &str, gateway: Option<Ipv4Addr>) {
        if self.socket.is_none() && self.known.mac.is_some() {
            self.socket = PacketSocket::open(pod, ifname, &PacketOptions::new()).ok();
        }
        let Some(socket) = &self.socket else {
            std::thread::sleep(self.every);
            return;
        };
        let begun = monotonic_ns();
        if let (true, Some(mac), Some(address), Some(gateway)) =
            (self.known.up, self.known.mac, self.known.address, gateway)
        {
            let frame = Arp::request(mac, address, gateway).frame(Mac::BROADCAST, mac);
            if socket.send(&frame).is_ok() {
                self.asked(begun, frame.to_vec());
            }
        }
        self.listen(begun + self.every.as_nanos() as u64, gateway);
    }

    fn asked(&mut self, at_ns: u64, bytes: Vec<u8>) {
        let report = &mut self.report;
        report.first_asked_ns.get_or_insert(at_ns);
        if report.first_answer_ns.is_none() {
            report.asked_before += 1;
            report.last_silent_ns = self.last_asked_ns.replace(at_ns);
        } else {
            report.asked_after += 1;
        }
        // what a packet socket sends it does not hear itself
        if report.frames.len() < FRAMES_MAX {
            report.frames.push(PodFrame { at_ns, from_pod: true, bytes });
        }
    }

    fn listen(&mut self, until_ns: u64, gateway: Option<Ipv4Addr>) {
        while monotonic_ns() < until_ns {
            let Some(socket) = &self.socket else { return };
            match socket.try_recv(&mut self.batch) {
                Ok(0) => {}
                Ok(_) => self.take_in(gateway),
                // down or gone: the monitor says more
                Err(_) => self.batch = RecvBatch::default(),
            }
            std::thread::sleep(self.look_every);
        }
    }

    fn take_in(&mut self, gateway: Option<Ipv4Addr>) {
        for frame in self.batch.frames() {
            let at_ns = frame.time.map_or_else(monotonic_ns, |time| time.monotonic_ns);
            let from_pod = frame.direction.is_outgoing();
            if self.report.frames.len() < FRAMES_MAX {
                self.report.frames.push(PodFrame { at_ns, from_pod, bytes: frame.bytes.to_vec() });
            }
            if let Some(mac) = answer(frame.bytes, gateway).filter(|_| !from_pod) {
                self.report.answers += 1;
                self.report.first_answer_ns.get_or_insert(at_ns);
                self.report.mac.get_or_insert(mac);
            }
        }
    }
}

/// Who answers for the gateway in a frame, if that is what it does.
pub(super) fn answer(frame: &[u8], gateway: Option<Ipv4Addr>) -> Option<Mac> {
    let arp = frame.get(HEADER..).filter(|_| frame.get(12..HEADER) == Some(&ETHERTYPE_ARP))?;
    let arp = Arp::parse(arp).ok()?;
    (arp.op == OP_REPLY && Some(arp.spa) == gateway).then_some(arp.sha)
}
