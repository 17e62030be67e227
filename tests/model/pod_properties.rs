//! The neighbour machine and the pod under inputs nobody thought of.

use arplab::addr::Mac;
use arplab::addr::Side;
use arplab::choice::{First, Seeded};
use arplab::gateway::ReflexOutside;
use arplab::host::conf::NeighSet;
use arplab::host::{Family, HostState, IfIndex, Mutation};
use arplab::neigh::{Cause, KernelClock, NeighEvent, NeighTable, Nud, UpdateFlags};
use arplab::packet::{Owner, Packet};
use arplab::pair::{self, PairOutput, lab};
use arplab::pod::{ArpingSpec, ClientSpec, ConnectSpec, Fate, PingSpec, Pod, PodOutput, StreamSpec, UdpSpec};
use arplab::time::{Span, Time};
use core::ops::ControlFlow;
use proptest::prelude::*;
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};

const DEV: IfIndex = IfIndex(2);
const GATEWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 1, 1));

/// What can happen to an entry.
#[derive(Clone, Debug)]
enum Input {
    Packet(u16),
    Learn(u8),
    Refresh { mac: u8, state: Nud, gratuitous: bool, create: bool },
    Set(Nud, u8),
    Confirm,
    Remove,
    Flush(bool),
    Wait(u32),
}

fn valid_state() -> impl Strategy<Value = Nud> {
    prop_oneof![Just(Nud::Reachable), Just(Nud::Stale)]
}

fn any_state() -> impl Strategy<Value = Nud> {
    prop_oneof![
        Just(Nud::Reachable),
        Just(Nud::Stale),
        Just(Nud::Delay),
        Just(Nud::Probe),
        Just(Nud::Failed),
        Just(Nud::Permanent),
        Just(Nud::Noarp)
    ]
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        8 => (0_u16..1500).prop_map(Input::Packet),
        2 => (0_u8..3).prop_map(Input::Learn),
        4 => (0_u8..3, valid_state(), any::<bool>(), any::<bool>())
            .prop_map(|(mac, state, gratuitous, create)| Input::Refresh { mac, state, gratuitous, create }),
        1 => (any_state(), 0_u8..3).prop_map(|(s, m)| Input::Set(s, m)),
        2 => Just(Input::Confirm),
        1 => Just(Input::Remove),
        1 => any::<bool>().prop_map(Input::Flush),
        8 => (0_u32..20_000).prop_map(Input::Wait),
    ]
}

/// The parameters of a device, drawn wide but as a person could set them.
fn parameters() -> impl Strategy<Value = NeighSet> {
    let value = |key: &str, low: i32, high: i32| {
        let key = format!("sysctl -w net.ipv4.neigh.eth0.{key}");
        (low..high).prop_map(move |v| format!("{key}={v}").parse::<Mutation>().unwrap())
    };
    let all = (
        value("mcast_solicit", 0, 7),
        value("ucast_solicit", 0, 7),
        value("app_solicit", 0, 3),
        value("mcast_resolicit", 0, 4),
        value("retrans_time_ms", 0, 5000),
        value("base_reachable_time_ms", 0, 60_000),
        value("delay_first_probe_time", 0, 10),
        value("unres_qlen_bytes", 0, 20_000),
        value("locktime", 0, 300),
    );
    all.prop_map(|(a, b, c, d, e, f, g, h, i)| {
        let mut state: HostState = lab::pod_state();
        for change in [a, b, c, d, e, f, g, h, i] {
            state.apply(&change).unwrap();
        }
        *state.link_named(lab::POD_END).unwrap().neigh4()
    })
}

fn mac(n: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, n])
}

fn packet(owner: u32, len: u16) -> Packet {
    let mut bytes = SmallVec::from_elem(0, usize::from(len).max(20));
    bytes[0] = 0x45;
    Packet { bytes, owner: Some(Owner(owner)) }
}

/// A table with one entry at most, and an account of every packet given to it.
#[derive(Clone)]
struct Bench {
    table: NeighTable,
    set: NeighSet,
    now: Time,
    given: u32,
    left: u32,
    events: Vec<NeighEvent>,
}

impl Bench {
    fn new(set: NeighSet, phase: u64) -> Bench {
        let mut table = NeighTable::new(KernelClock::new(250, phase));
        table.set_reachable(DEV, false, 2000);
        Bench { table, set, now: Time::ZERO, given: 0, left: 0, events: Vec::new() }
    }

    fn take(&mut self, out: VecDeque<NeighEvent>) {
        for event in out {
            self.left += u32::from(matches!(
                event,
                NeighEvent::Send { .. } | NeighEvent::Unreachable { .. } | NeighEvent::Discard { .. }
            ));
            self.events.push(event);
        }
    }

    /// Runs the timers up to a time; the number of them is bounded by the time.
    fn wait(&mut self, until: Time) {
        let mut timers = 0;
        while let Some(at) = self.table.poll_timeout().filter(|t| *t <= until) {
            assert!(at > self.now, "a timer at {at:?} was armed at {:?}", self.now);
            self.now = at;
            let mut out = VecDeque::new();
            let set = self.set;
            self.table.handle_timeout(at, |_, _| set, &mut out);
            self.take(out);
            timers += 1;
            assert!(timers < 100_000, "no end");
        }
        self.now = self.now.max(until);
    }

    fn feed(&mut self, input: &Input) {
        let (now, set) = (self.now, self.set);
        let mut out = VecDeque::new();
        match *input {
            Input::Packet(len) => {
                self.given += 1;
                let packet = packet(self.given, len);
                self.table.output(now, DEV, GATEWAY, &set, packet, &mut out);
            }
            Input::Learn(m) => self.table.learn_sender(now, DEV, GATEWAY, mac(m), &set, &mut out),
            Input::Refresh { mac: m, state, gratuitous, create } => {
                self.table.refresh(now, DEV, GATEWAY, mac(m), state, gratuitous, create, &set, &mut out);
            }
            Input::Set(nud, m) => {
                let flags = UpdateFlags { replace: true, admin: true, ..UpdateFlags::default() };
                let cause = Cause::Command;
                let lladdr = Some(mac(m));
                self.table.update(now, DEV, GATEWAY, lladdr, nud, flags, cause, true, &set, &mut out);
            }
            Input::Confirm => self.table.confirm(now, DEV, GATEWAY),
            Input::Remove => self.table.remove(now, DEV, GATEWAY, &set, &mut out),
            Input::Flush(all) => self.table.flush(DEV, Family::Inet, all, Cause::Flush, &mut out),
            Input::Wait(ms) => self.wait(now + Span::from_ms(u64::from(ms))),
        }
        self.take(out);
    }

    fn state(&self) -> Option<Nud> {
        self.table.get(DEV, GATEWAY).map(arplab::neigh::Entry::state)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Time never runs backwards, no packet is lost or doubled, the queue keeps its limit, and an
    /// entry that is left alone comes to rest.
    #[test]
    fn an_entry_keeps_its_books_and_comes_to_rest(
        inputs in prop::collection::vec(input(), 0..60),
        set in parameters(),
        phase in 0_u64..16_384_000_000,
    ) {
        let mut bench = Bench::new(set, phase);
        let limit = u32::try_from(set.get(arplab::host::conf::NeighVar::UnresQlenBytes)).unwrap();
        for input in &inputs {
            bench.feed(input);
            if let Some(entry) = bench.table.get(DEV, GATEWAY) {
                prop_assert!(entry.waiting_bytes() <= limit || entry.waiting() == 1);
                prop_assert!(entry.waiting() == 0 || entry.state() == Nud::Incomplete);
                prop_assert_eq!(entry.timer().is_some(), entry.state().is_timed());
            }
            let waiting = bench.table.get(DEV, GATEWAY).map_or(0, |e| e.waiting() as u32);
            prop_assert_eq!(bench.given, bench.left + waiting);
        }
        bench.wait(bench.now + Span::from_secs(3600));
        prop_assert!(matches!(
            bench.state(),
            None | Some(Nud::None | Nud::Stale | Nud::Failed | Nud::Permanent | Nud::Noarp)
        ), "{:?}", bench.state());
        prop_assert_eq!(bench.given, bench.left);
        prop_assert_eq!(bench.table.poll_timeout(), None);
    }

    /// A resolution that fails has asked mcast_solicit times, no more and no fewer, each at least
    /// retrans_time after the one before.
    #[test]
    fn a_failed_resolution_asked_as_often_as_it_should(
        set in parameters(),
        phase in 0_u64..16_384_000_000,
        packets in prop::collection::vec(0_u32..900, 1..6),
    ) {
        use arplab::host::conf::NeighVar;
        let mut bench = Bench::new(set, phase);
        bench.feed(&Input::Packet(40));
        for ms in packets {
            if bench.state() == Some(Nud::Incomplete) {
                bench.feed(&Input::Wait(ms));
            }
            if bench.state() == Some(Nud::Incomplete) {
                bench.feed(&Input::Packet(40));
            }
        }
        while bench.state() == Some(Nud::Incomplete) {
            let next = bench.table.poll_timeout().unwrap();
            bench.wait(next);
        }
        prop_assert_eq!(bench.state(), Some(Nud::Failed));
        let asked = bench.events.iter().filter(|e| matches!(e, NeighEvent::Solicit { .. })).count();
        prop_assert_eq!(i32::try_from(asked).unwrap(), set.get(NeighVar::McastSolicit));
        prop_assert_eq!(bench.given, bench.left);
    }

    /// Frames do not change a PERMANENT entry, whatever they say.
    #[test]
    fn permanent_is_permanent(
        inputs in prop::collection::vec(input(), 0..60),
        set in parameters(),
    ) {
        let mut bench = Bench::new(set, 0);
        bench.feed(&Input::Set(Nud::Permanent, 9));
        let from_outside =
            |i: &&Input| !matches!(i, Input::Set(..) | Input::Remove | Input::Flush(true));
        for input in inputs.iter().filter(from_outside) {
            bench.feed(input);
            let entry = bench.table.get(DEV, GATEWAY).unwrap();
            prop_assert_eq!((entry.state(), entry.lladdr()), (Nud::Permanent, Some(mac(9))));
        }
    }

    /// The same inputs give the same outputs, and a copy goes the way of its original.
    #[test]
    fn equal_inputs_give_equal_outputs(
        inputs in prop::collection::vec(input(), 0..60),
        set in parameters(),
        cut in 0_usize..60,
    ) {
        let mut first = Bench::new(set, 7);
        let mut copy = None;
        for (at, input) in inputs.iter().enumerate() {
            if at == cut {
                copy = Some(first.clone());
            }
            first.feed(input);
        }
        if let Some(mut copy) = copy {
            for input in &inputs[cut..] {
                copy.feed(input);
            }
            prop_assert_eq!(&copy.events, &first.events);
            prop_assert_eq!(&copy.table, &first.table);
        }
    }
}

/// What can happen to a pod.
#[derive(Clone, Debug)]
enum Blow {
    Frame(Vec<u8>),
    Change(&'static str),
    Wait(u32),
}

const CHANGES: &[&str] = &[
    "ip link set eth0 carrier off",
    "ip link set eth0 carrier on",
    "ip link set eth0 down",
    "ip link set eth0 up",
    "ip link set lo down",
    "ip link set lo up",
    "ip route del default",
    "ip route add default via 169.254.1.1 dev eth0",
    "ip route add 169.254.1.1 dev eth0 scope link",
    "ip addr del 10.65.0.2/32 dev eth0",
    "ip addr add 10.65.0.2/32 dev eth0",
    "ip neigh replace 169.254.1.1 dev eth0 lladdr ee:ee:ee:ee:ee:ee nud probe",
    "ip neigh del 169.254.1.1 dev eth0",
    "ip neigh flush dev eth0",
    "sysctl -w net.ipv4.neigh.eth0.mcast_solicit=0",
    "sysctl -w net.ipv4.neigh.eth0.mcast_solicit=3",
    "sysctl -w net.ipv4.neigh.eth0.base_reachable_time_ms=0",
    "sysctl -w net.ipv4.tcp_syn_retries=1",
    "sysctl -w net.ipv4.tcp_syn_linear_timeouts=0",
    "lab neighbours-elsewhere 100000",
    "lab neighbours-elsewhere 0",
];

/// Frames that are nearly right: an ARP or IPv4 frame with some bytes changed.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let arp = arplab::wire::Arp::reply(
        Mac::CALICO,
        Ipv4Addr::new(169, 254, 1, 1),
        Mac([2, 0, 0x0a, 0x41, 0, 2]),
        Ipv4Addr::new(10, 65, 0, 2),
    );
    let arp = arp.frame(Mac([2, 0, 0x0a, 0x41, 0, 2]), Mac::CALICO).to_vec();
    let bent = prop::collection::vec((0_usize..42, any::<u8>()), 0..3).prop_map(move |bends| {
        let mut frame = arp.clone();
        for (at, byte) in bends {
            frame[at] = byte;
        }
        frame
    });
    prop_oneof![3 => bent, 1 => prop::collection::vec(any::<u8>(), 0..80)]
}

fn blow() -> impl Strategy<Value = Blow> {
    prop_oneof![
        2 => frame().prop_map(Blow::Frame),
        2 => prop::sample::select(CHANGES).prop_map(Blow::Change),
        3 => (0_u32..8000).prop_map(Blow::Wait),
    ]
}

fn every_client() -> [ClientSpec; 7] {
    let server = (lab::SERVER, lab::PORT).into();
    let retry = Some(Span::ZERO);
    [
        ClientSpec::Ping(PingSpec::to(lab::SERVER)),
        ClientSpec::Ping(PingSpec { deadline: Some(Span::from_secs(20)), ..PingSpec::to(lab::SERVER) }),
        ClientSpec::TcpConnect(ConnectSpec {
            retry,
            parallel: 3,
            attempts: Some(50),
            ..ConnectSpec::once(server)
        }),
        ClientSpec::TcpStream(StreamSpec::to(server)),
        ClientSpec::Udp(UdpSpec { recverr: true, confirm: true, ..UdpSpec::to(server) }),
        ClientSpec::Udp(UdpSpec::resolver(server, Span::from_secs(5))),
        ClientSpec::Arping(ArpingSpec::who_has(Ipv4Addr::new(169, 254, 1, 1))),
    ]
}

fn battered(blows: &[Blow], seed: u64) -> (pair::Bench<ReflexOutside>, Vec<String>) {
    let mut chooser = Seeded::new(seed);
    let clock = KernelClock::new(250, seed % 16_384_000_000);
    let mut pair = lab::bench(lab::host_state(), lab::pod_state(), lab::world(), clock, &mut chooser);
    for spec in every_client() {
        let id = pair.pair.add_client(spec);
        pair.at(Time::ZERO, pair::Input::Start(id));
    }
    let (mut log, mut now, mut steps) = (Vec::new(), Time::ZERO, 0_u32);
    for blow in blows {
        match blow {
            Blow::Frame(bytes) => pair.at(now, pair::Input::Frame(Side::Pod, SmallVec::from_slice(bytes))),
            Blow::Change(text) => pair.at(now, pair::Input::Pod(text.parse().unwrap())),
            Blow::Wait(ms) => now += Span::from_ms(u64::from(*ms)),
        }
        let mut last = Time::ZERO;
        pair.run(now, &mut chooser, &mut |at, seen| {
            assert!(at >= last, "time runs backwards");
            last = at;
            steps += 1;
            assert!(steps < 400_000, "no end");
            log.push(format!("{at:?} {seen:?}"));
            ControlFlow::Continue(())
        });
    }
    (pair, log)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// A pod that is beaten neither panics nor hangs, does the same twice, and its clients' books
    /// are right.
    #[test]
    fn a_battered_pod_keeps_its_wits(blows in prop::collection::vec(blow(), 0..30), seed in 0_u64..1000) {
        let (pair, log) = battered(&blows, seed);
        prop_assert_eq!(&battered(&blows, seed).1, &log);
        for id in pair.pair.pod().clients() {
            let outcome = pair.pair.outcome(id);
            let of = |wanted: fn(&Fate) -> bool| outcome.attempts.iter().filter(|a| wanted(&a.fate)).count() as u32;
            prop_assert_eq!(outcome.sent, outcome.attempts.len() as u32);
            prop_assert_eq!(outcome.received, of(|f| *f == Fate::Answered));
            prop_assert_eq!(outcome.lost(), of(|f| *f == Fate::Pending));
            for attempt in &outcome.attempts {
                prop_assert!(attempt.ended.is_none_or(|t| t >= attempt.began));
                prop_assert_eq!(attempt.ended.is_none(), attempt.fate == Fate::Pending);
            }
        }
    }
}

#[test]
fn a_pod_without_a_route_says_so_and_ends() {
    let mut state = lab::pod_state();
    state.apply(&"ip route del default".parse().unwrap()).unwrap();
    let dev = lab::index(&state, lab::POD_END);
    let mut pod = Pod::new(state, dev, KernelClock::new(250, 0), &mut First);
    for spec in every_client() {
        let id = pod.add_client(spec);
        pod.start_client(Time::ZERO, id, &mut First);
    }
    let mut frames = 0;
    for _ in 0..20_000 {
        while let Some(output) = pod.poll_output() {
            frames += u32::from(matches!(output, PodOutput::Transmit(_)));
        }
        let Some(at) = pod.poll_timeout().filter(|t| *t < Time::ZERO + Span::from_secs(5)) else { break };
        pod.handle_timeout(at, &mut First);
    }
    // arping's way needs no default route; it asks each second
    assert_eq!(frames, 5);
    let errors: Vec<u32> = pod.clients().map(|id| pod.outcome(id).errors).collect();
    assert_eq!(errors, [1, 1, 150, 1, 1, 1, 0]);
}

/// The watcher sees frames of both sides; a run it ends stops there.
#[test]
fn a_watcher_can_end_a_run() {
    let mut chooser = First;
    let clock = KernelClock::new(250, 0);
    let mut pair = lab::bench(lab::host_state(), lab::pod_state(), lab::world(), clock, &mut chooser);
    let id = pair.pair.add_client(ClientSpec::Ping(PingSpec::to(lab::SERVER)));
    pair.at(Time::ZERO, pair::Input::Start(id));
    let mut seen_host = false;
    let ran_out = pair.run(Time::ZERO + Span::from_secs(9), &mut chooser, &mut |_, seen| {
        seen_host |= matches!(seen, PairOutput::Transmit { from: Side::Host, .. });
        if seen_host { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(seen_host && !ran_out && pair.now() == Time::ZERO);
}
