//! Host and pod on a bench, with all that was seen of them, and an IPv6 host in the world.

use super::POD_MAC;
use arplab::addr::{Mac, Side, VethEnds};
use arplab::choice::{ChoiceKind, Chooser, First};
use arplab::gateway::{Endpoint, Outside, Reflex, ReflexOutside, Service};
use arplab::host::{HostState, IfIndex, LinkKind, Mutation, NsDecision, NsReason};
use arplab::neigh::KernelClock;
use arplab::packet::{Frame, IpBytes};
use arplab::pair::{Bench, Input, Pair as Joined, PairOutput, PairSpec, Wire};
use arplab::stack::Note;
use arplab::time::{Span, Time};
use arplab::wire::{
    self, ETHERTYPE_IPV6, Ends,
    nd::{self, Advert, NdMessage, Solicit},
};
use core::ops::ControlFlow;
use std::net::Ipv6Addr;

pub(crate) const HOST: Side = Side::Host;
pub(crate) const POD: Side = Side::Pod;

/// Who answers echo requests out there.
pub(crate) const SERVER: &str = "2001:db8::8";

pub(crate) fn ip6(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

pub(crate) fn gateway() -> Ipv6Addr {
    Mac::CALICO.link_local()
}

/// A world that keeps what reached it by the uplink.
pub(crate) struct World {
    reflex: ReflexOutside,
    heard: Vec<IpBytes>,
}

impl Outside for World {
    fn handle_packet(&mut self, now: Time, packet: &[u8], local: bool) {
        if !local {
            self.heard.push(IpBytes::from_slice(packet));
            self.reflex.handle_packet(now, packet, local);
        }
    }
    fn poll_packet(&mut self) -> Option<IpBytes> {
        self.reflex.poll_packet()
    }
    fn poll_timeout(&self) -> Option<Time> {
        self.reflex.poll_timeout()
    }
    fn handle_timeout(&mut self, now: Time) {
        self.reflex.handle_timeout(now);
    }
}

/// Draws the first of everything but what is asked for.
pub(crate) struct Pick(pub(crate) ChoiceKind, pub(crate) u64);

impl Chooser for Pick {
    fn choose(&mut self, kind: ChoiceKind, options: u64) -> u64 {
        if kind == self.0 { self.1.min(options - 1) } else { First.choose(kind, options) }
    }
}

/// What was seen.
#[derive(Default)]
pub(crate) struct Log {
    /// Who sent which frame when.
    pub(crate) frames: Vec<(Time, Side, Frame)>,
    pub(crate) silences: Vec<NsReason>,
}

impl Log {
    fn note(&mut self, now: Time, output: &PairOutput) -> ControlFlow<()> {
        match output {
            PairOutput::Transmit { from, frame } => self.frames.push((now, *from, frame.clone())),
            PairOutput::Note(_, Note::JudgedNs { decision: NsDecision::Silent(reason), .. }) => {
                self.silences.push(*reason);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Two namespaces and the veth between them.
pub(crate) struct Pair {
    pub(crate) bench: Bench<World>,
    pub(crate) log: Log,
}

impl Pair {
    /// Links down, MACs set, forwarding on the host.
    pub(crate) fn new() -> Pair {
        let namespace = |names: &[&str]| {
            let mut state = HostState::new();
            for name in names {
                let add = Mutation::LinkAdd { name: name.parse().unwrap(), kind: LinkKind::Veth, mac: None };
                state.apply(&add).unwrap();
            }
            state
        };
        let spec = PairSpec {
            wire: Wire {
                ends: VethEnds {
                    cali: "cali0".parse().unwrap(),
                    eth: "eth0".parse().unwrap(),
                    pod_mac: POD_MAC,
                },
                latency: Span::ZERO,
                plain: false,
                purged_by_all: false,
                faults: Vec::new(),
            },
            node: namespace(&["cali0", "up0"]),
            pod: namespace(&["eth0"]),
            uplink: "up0".parse().unwrap(),
            rtt: Span::ZERO,
            clock: KernelClock::new(250, 0),
            icmp_errors_filtered: false,
        };
        let server = Endpoint { addr: ip6(SERVER).into(), service: Service::Host };
        let world = World { reflex: Reflex::new(&[server]).into(), heard: Vec::new() };
        let mut joined = Joined::new(spec, world, &mut First);
        joined.adopt();
        let mut pair = Pair { bench: Bench::new(joined, Time(1_000_000)), log: Log::default() };
        pair.run(HOST, "ip link set lo up");
        pair.run(HOST, "sysctl net.ipv6.conf.all.forwarding=1");
        pair.run(HOST, "ip link set cali0 address ee:ee:ee:ee:ee:ee");
        pair.run(POD, "ip link set lo up");
        pair.run(POD, &format!("ip link set eth0 address {POD_MAC}"));
        pair
    }

    /// As Calico leaves it.
    pub(crate) fn calico() -> Pair {
        let mut pair = Pair::new();
        pair.run(HOST, "sysctl net.ipv6.conf.cali0.accept_dad=0");
        pair.run(HOST, "sysctl net.ipv6.neigh.cali0.proxy_delay=0");
        pair.run(POD, "sysctl net.ipv6.conf.eth0.accept_dad=0");
        pair.up();
        pair.run(HOST, "ip link set up0 up");
        pair.run(HOST, "ip link set up0 carrier on");
        pair.run(HOST, "ip addr add fd00:77::2/64 dev up0 nodad");
        pair.run(HOST, "ip -6 route add default via fd00:77::1 dev up0");
        pair.run(HOST, "ip -6 route add fd00:65::2 dev cali0");
        pair.run(POD, "ip addr add fd00:65::2/128 dev eth0 nodad");
        pair.run(POD, &format!("ip -6 route add default via {} dev eth0", gateway()));
        pair
    }

    pub(crate) fn up(&mut self) {
        self.up_with(&mut First);
    }

    pub(crate) fn up_with(&mut self, chooser: &mut dyn Chooser) {
        for (side, name) in [(POD, "eth0"), (HOST, "cali0")] {
            self.run_with(side, &format!("ip link set {name} up"), chooser);
        }
    }

    pub(crate) fn run(&mut self, side: Side, command: &str) {
        self.run_with(side, command, &mut First);
    }

    fn run_with(&mut self, side: Side, command: &str, chooser: &mut dyn Chooser) {
        let log = &mut self.log;
        let change = super::change(command);
        self.bench.apply(side, &change, chooser, &mut |now, output| log.note(now, output)).unwrap();
    }

    pub(crate) fn put(&mut self, input: Input) {
        let log = &mut self.log;
        self.bench.put(input, &mut First, &mut |now, output| log.note(now, output));
    }

    pub(crate) fn wait(&mut self, span: Span) {
        let (log, end) = (&mut self.log, self.bench.now() + span);
        self.bench.run(end, &mut First, &mut |now, output| log.note(now, output));
    }

    pub(crate) fn now(&self) -> Time {
        self.bench.now()
    }

    pub(crate) fn state(&self, side: Side) -> &HostState {
        self.bench.pair.state(side)
    }

    /// The number of a side's end.
    pub(crate) fn dev(&self, side: Side) -> IfIndex {
        let name = if side == HOST { "cali0" } else { "eth0" };
        self.state(side).link_named(name.parse().unwrap()).unwrap().index()
    }

    /// What left by the uplink.
    pub(crate) fn uplink(&self) -> &[IpBytes] {
        &self.bench.pair.gateway().outside().heard
    }

    pub(crate) fn inject(&mut self, to: Side, src: &str, dst: Ipv6Addr, ns: &Solicit, eth: Mac) {
        let mut frame = Frame::from_slice(&eth.0);
        frame.extend(POD_MAC.0);
        frame.extend(ETHERTYPE_IPV6.to_be_bytes());
        frame.extend_from_slice(&nd::solicit_packet(ip6(src), dst, ns));
        self.put(Input::Frame(to, frame));
    }

    /// The pod's solicitation of an address, by multicast.
    pub(crate) fn ask(&mut self, target: &str) {
        let target = ip6(target);
        let ns = Solicit { target, source: Some(POD_MAC), nonce: None };
        let group = nd::solicited_node(target);
        self.inject(HOST, &POD_MAC.link_local().to_string(), group, &ns, Mac::ipv6_multicast(group));
    }

    /// Messages of neighbour discovery a side has sent.
    pub(crate) fn said(&self, side: Side) -> Vec<(Time, Ipv6Addr, Ipv6Addr, NdMessage)> {
        let read = |(at, from, frame): &(Time, Side, Frame)| {
            let (Ends::V6(src, dst), _, icmp) = wire::ip_parts(&frame[14..])? else { return None };
            let message = nd::parse(src, dst, icmp)?.ok()?;
            (*from == side).then_some((*at, src, dst, message))
        };
        self.log.frames.iter().filter_map(read).collect()
    }

    pub(crate) fn adverts(&self) -> Vec<Advert> {
        let advert = |m: NdMessage| match m {
            NdMessage::Advert(na) => Some(na),
            NdMessage::Solicit(_) => None,
        };
        self.said(HOST).into_iter().filter_map(|s| advert(s.3)).collect()
    }

    pub(crate) fn tentative(&self, side: Side) -> Vec<(bool, bool)> {
        let link = self.state(side).link(self.dev(side)).unwrap();
        link.addrs6().iter().map(|a| (a.tentative, a.dad_failed)).collect()
    }
}
