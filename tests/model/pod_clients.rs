//! What each client sees of a gateway that is right, silent, or half right.

use arplab::addr::Side;
use arplab::choice::{Chooser, First, Middle};
use arplab::gateway::{Outside, ReflexOutside};
use arplab::host::HostState;
use arplab::neigh::{KernelClock, Nud};
use arplab::packet::IpBytes;
use arplab::pair::{Bench, Input, PairOutput, lab};
use arplab::pod::{
    ArpingSpec, ClientEvent, ClientId, ClientSpec, ConnectSpec, Failure, Fate, Outcome, PingSpec,
    SocketError, StreamSpec, ToolLine, UdpSpec,
};
use arplab::time::{Span, Time};
use arplab::wire::{Arp, EthFrame};
use core::ops::ControlFlow;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const GATEWAY: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

struct Run {
    pair: Bench<ReflexOutside>,
    id: ClientId,
    lines: Vec<String>,
    requests: Vec<Time>,
}

impl Run {
    fn outcome(&self) -> &Outcome {
        self.pair.pair.outcome(self.id)
    }
}

fn server() -> SocketAddr {
    (lab::SERVER, lab::PORT).into()
}

fn at(seconds: f64) -> Time {
    Time::ZERO + Span::from(core::time::Duration::from_secs_f64(seconds))
}

fn configured(mut state: HostState, commands: &[&str]) -> HostState {
    for command in commands {
        state.apply(&command.parse().unwrap()).unwrap();
    }
    state
}

/// Runs one client on a node with these changes for so many seconds; later changes are the host's.
#[allow(clippy::needless_pass_by_value)] // the tests read better
fn run(spec: ClientSpec, host: &[&str], pod: &[&str], later: &[(f64, &str)], seconds: f64) -> Run {
    run_with(&spec, host, pod, later, seconds, &mut Middle)
}

fn run_with(
    spec: &ClientSpec,
    host: &[&str],
    pod: &[&str],
    later: &[(f64, &str)],
    seconds: f64,
    chooser: &mut dyn Chooser,
) -> Run {
    let (host, pod) = (configured(lab::host_state(), host), configured(lab::pod_state(), pod));
    let clock = KernelClock::new(250, 1_000_000);
    let mut pair = lab::bench(host, pod, lab::world(), clock, chooser);
    let id = pair.pair.add_client(spec.clone());
    pair.at(Time::ZERO, Input::Start(id));
    for (when, command) in later {
        pair.at(at(*when), Input::Host(command.parse().unwrap()));
    }
    let (mut lines, mut requests) = (Vec::new(), Vec::new());
    pair.run(at(seconds), chooser, &mut |now, seen| {
        match seen {
            PairOutput::Client(_, event) => lines.push(ToolLine(spec, *event).to_string()),
            PairOutput::Transmit { from: Side::Pod, frame } => {
                let eth = EthFrame::parse(frame).unwrap();
                if Arp::parse(eth.payload).is_ok_and(|a| a.op == 1) && eth.ethertype == 0x0806 {
                    requests.push(now);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    });
    lines.retain(|l| !l.is_empty());
    Run { pair, id, lines, requests }
}

const SILENT: &[&str] = &["sysctl -w net.ipv4.conf.cali0.proxy_arp=0"];
const ANSWERS: &str = "sysctl -w net.ipv4.conf.cali0.proxy_arp=1";

fn socket(error: SocketError) -> Fate {
    Fate::Failed(Failure::Socket(error))
}

#[test]
fn ping_reads_as_it_does_on_a_terminal() {
    let ping = ClientSpec::Ping(PingSpec { count: Some(5), ..PingSpec::to(lab::SERVER) });
    let run = run(ping, SILENT, &[], &[(4.5, ANSWERS)], 20.0);
    assert_eq!(
        run.lines,
        [
            "From 10.65.0.2 icmp_seq=1 Destination Host Unreachable",
            "From 10.65.0.2 icmp_seq=2 Destination Host Unreachable",
            "From 10.65.0.2 icmp_seq=3 Destination Host Unreachable",
            "64 bytes from 198.51.100.10: icmp_seq=4 time=2048 ms",
            "64 bytes from 198.51.100.10: icmp_seq=5 time=1024 ms",
        ]
    );
    let outcome = run.outcome();
    assert_eq!((outcome.sent, outcome.received, outcome.errors, outcome.lost()), (5, 2, 3, 0));
    assert!(outcome.ended.is_some());
}

/// Calico's plugin gives the pod its routes first and its address a step later (v3.27). The kernel chooses the source of
/// each echo anew, so that only those before the address come from nobody.
#[test]
fn ping_takes_the_address_that_the_pod_gets_meanwhile() {
    // the routes go with the last address
    let without = [
        "ip addr del 10.65.0.2/32 dev eth0",
        "ip route add 169.254.1.1 dev eth0 scope link",
        "ip route add default via 169.254.1.1 dev eth0",
    ];
    let pod = configured(lab::pod_state(), &without);
    let clock = KernelClock::new(250, 1_000_000);
    let mut pair = lab::bench(lab::host_state(), pod, lab::world(), clock, &mut Middle);
    let ping = PingSpec { count: Some(4), ..PingSpec::to(lab::SERVER) };
    let id = pair.pair.add_client(ClientSpec::Ping(ping));
    pair.at(Time::ZERO, Input::Start(id));
    pair.at(at(0.5), Input::Pod("ip addr add 10.65.0.2/32 dev eth0".parse().unwrap()));
    pair.run(at(15.0), &mut Middle, &mut |_, _| ControlFlow::Continue(()));
    let outcome = pair.pair.outcome(id);
    assert_eq!((outcome.sent, outcome.received), (4, 3), "{outcome:?}");
}

#[test]
fn ping_with_a_deadline_ends_at_the_first_error() {
    let spec = PingSpec { deadline: Some(Span::from_secs(30)), ..PingSpec::to(lab::SERVER) };
    let run = run(ClientSpec::Ping(spec), SILENT, &[], &[], 40.0);
    assert_eq!(run.outcome().ended, run.outcome().attempts[0].ended);
    let spec = PingSpec { deadline: Some(Span::from_secs(3)), ..PingSpec::to(lab::SERVER) };
    let run = self::run(ClientSpec::Ping(spec), &[], &[], &[], 40.0);
    assert_eq!((run.outcome().received, run.outcome().ended), (3, Some(at(3.0))));
}

#[test]
fn ping_without_a_route_or_a_neighbour_says_so() {
    let ping = || ClientSpec::Ping(PingSpec { count: Some(2), ..PingSpec::to(lab::SERVER) });
    let run = run(ping(), &[], &["ip route del default"], &[], 5.0);
    assert_eq!(run.lines, ["ping: connect: Network is unreachable"]);
    // the table is full: it tries for ten seconds before it says so
    let full = ["lab neighbours-elsewhere 2000"];
    let run = self::run(ping(), &[], &full, &[], 9.0);
    assert!(run.lines.is_empty() && run.outcome().sent == 0, "{:?}", run.lines);
    let run = self::run(ping(), &[], &full, &[], 60.0);
    assert_eq!(run.lines, ["ping: sendmsg: No buffer space available"; 2]);
}

#[test]
fn connect_is_refused_or_loses_patience() {
    let closed = ClientSpec::TcpConnect(ConnectSpec::once((lab::SERVER, 9).into()));
    assert_eq!(run(closed, &[], &[], &[], 1.0).outcome().attempts[0].fate, socket(SocketError::Econnrefused));
    let spec = ConnectSpec {
        timeout: Some(Span::from_secs(2)),
        retry: Some(Span::from_secs(2)),
        attempts: Some(3),
        ..ConnectSpec::once(server())
    };
    let run = run(ClientSpec::TcpConnect(spec), SILENT, &[], &[], 20.0);
    let began: Vec<Time> = run.outcome().attempts.iter().map(|a| a.began).collect();
    assert_eq!(began, [at(0.0), at(4.0), at(8.0)]);
    assert!(run.outcome().attempts.iter().all(|a| a.fate == Fate::Failed(Failure::Patience)));
    assert_eq!(run.lines[0], "connect 198.51.100.10:7: i/o timeout");
    // nobody cancels what waits in the entry's queue: each resolution makes its three requests
    assert_eq!(run.requests.len(), 9);
    // and an attempt that joins a resolution under way fails with it, before its own time
    let hasty = ConnectSpec { retry: Some(Span::from_secs(1)), ..spec };
    let run = self::run(ClientSpec::TcpConnect(hasty), SILENT, &[], &[], 20.0);
    let second = run.outcome().attempts[1];
    assert_eq!((second.began, second.fate), (at(3.0), socket(SocketError::Ehostunreach)));
    assert!(second.took().is_some_and(|t| t < Span::from_ms(100)));
}

#[test]
fn connect_follows_an_unreachable_network_at_once() {
    let once = || ClientSpec::TcpConnect(ConnectSpec::once(server()));
    let no_route = run(once(), &[], &["ip route del default"], &[], 1.0);
    assert_eq!(no_route.outcome().attempts[0].fate, socket(SocketError::Enetunreach));
    assert_eq!(no_route.outcome().attempts[0].took(), Some(Span::ZERO));
    let prohibited = ["ip route del default", "ip route add prohibit default"];
    let refused = run(once(), &[], &prohibited, &[], 1.0);
    assert_eq!(refused.outcome().attempts[0].fate, socket(SocketError::Eacces));
}

#[test]
fn a_burst_of_connects_shares_fifty_errors() {
    let spec = ConnectSpec { parallel: 200, ..ConnectSpec::once(server()) };
    let mut chooser = arplab::choice::Seeded::new(5);
    let run = run_with(&ClientSpec::TcpConnect(spec), SILENT, &[], &[(5.0, ANSWERS)], 140.0, &mut chooser);
    let early = run.outcome().attempts.iter().filter(|a| a.fate != Fate::Answered).count();
    assert!((30..75).contains(&early), "{early}");
    assert_eq!(run.outcome().received as usize + early, 200);
}

#[test]
fn an_open_connection_survives_and_keeps_its_entry() {
    let spec = StreamSpec { count: Some(30), ..StreamSpec::to(server()) };
    let silent_from = [(2.5, SILENT[0])];
    // every write is echoed, and each vouches for the gateway, which answers no request any more
    let run = run(ClientSpec::TcpStream(spec), &[], &[], &silent_from, 60.0);
    assert_eq!((run.outcome().received, run.outcome().lost()), (30, 0));
    assert_eq!(run.requests.len(), 1, "confirmed by ACKs alone");
}

#[test]
fn udp_hears_of_silence_only_if_it_asks() {
    let spec = UdpSpec { count: Some(6), ..UdpSpec::to(server()) };
    let deaf = run(ClientSpec::Udp(spec), SILENT, &[], &[(4.5, ANSWERS)], 20.0);
    assert_eq!((deaf.outcome().errors, deaf.outcome().received, deaf.outcome().lost()), (0, 2, 4));
    let spec = UdpSpec { recverr: true, ..spec };
    let told = run(ClientSpec::Udp(spec), SILENT, &[], &[(4.5, ANSWERS)], 20.0);
    // the errors of the first four come with the next call, which sends nothing
    assert_eq!(told.outcome().attempts[4].fate, socket(SocketError::Ehostunreach));
    let closed = UdpSpec { count: Some(4), ..UdpSpec::to((lab::SERVER, 9).into()) };
    let fates: Vec<Fate> =
        run(ClientSpec::Udp(closed), &[], &[], &[], 20.0).outcome().attempts.iter().map(|a| a.fate).collect();
    let refused = socket(SocketError::Econnrefused);
    assert_eq!(fates, [Fate::Pending, refused, Fate::Pending, refused]);
}

#[test]
fn a_resolver_asks_until_it_is_answered() {
    let spec = UdpSpec::resolver(server(), Span::from_secs(5));
    let run = run(ClientSpec::Udp(spec), SILENT, &[], &[(7.5, ANSWERS)], 60.0);
    let outcome = run.outcome();
    let began: Vec<Time> = outcome.attempts.iter().map(|a| a.began).collect();
    assert_eq!(began, [at(0.0), at(5.0), at(10.0)]);
    assert_eq!(outcome.attempts[0].fate, Fate::Failed(Failure::Patience));
    assert_eq!((outcome.received, outcome.ended), (1, outcome.first_success));
}

/// Two requests wait for the gateway, and both are answered when it is there; nobody waits for the
/// first any more.
#[test]
fn an_answer_after_the_end_of_patience_does_not_count() {
    let waits = UdpSpec {
        interval: Span::from_ms(1500),
        timeout: Some(Span::from_ms(1500)),
        count: Some(3),
        ..UdpSpec::to(server())
    };
    let seen = run(ClientSpec::Udp(waits), SILENT, &[], &[(1.7, ANSWERS)], 20.0);
    let outcome = seen.outcome();
    let fates: Vec<Fate> = outcome.attempts.iter().map(|a| a.fate).collect();
    assert_eq!(fates, [Fate::Failed(Failure::Patience), Fate::Answered, Fate::Answered]);
    assert_eq!((outcome.received, outcome.errors, outcome.duplicates), (2, 1, 0));
    assert!(outcome.first_success >= Some(at(2.0)), "{:?}", outcome.first_success);
    let never_waits = UdpSpec { timeout: None, ..waits };
    let seen = run(ClientSpec::Udp(never_waits), SILENT, &[], &[(1.7, ANSWERS)], 20.0);
    assert_eq!(seen.outcome().received, 3, "every answer counts");
}

#[test]
fn arping_asks_past_the_table() {
    let spec = ArpingSpec { count: Some(3), ..ArpingSpec::who_has(GATEWAY) };
    let answered = run(ClientSpec::Arping(spec), &[], &[], &[], 10.0);
    assert_eq!((answered.outcome().sent, answered.outcome().received), (3, 3));
    assert_eq!(answered.lines[0], "Unicast reply from 169.254.1.1 [EE:EE:EE:EE:EE:EE]  0.000 ms");
    let neighbours = answered.pair.pair.pod().stack().neighbours();
    assert_eq!(neighbours.get(answered.pair.pair.pod().dev(), GATEWAY.into()), None, "arp_accept is 0");
    // a probe is not answered by proxy
    let probe = ArpingSpec { source: Some(Ipv4Addr::UNSPECIFIED), ..spec };
    assert_eq!(run(ClientSpec::Arping(probe), &[], &[], &[], 10.0).outcome().lost(), 3);
    // its answers do move an entry that exists
    let stale = "ip neigh replace 169.254.1.1 dev eth0 lladdr ee:ee:ee:ee:ee:ee nud stale";
    let clock = KernelClock::new(250, 0);
    let mut pair = lab::bench(lab::host_state(), lab::pod_state(), lab::world(), clock, &mut First);
    let id = pair.pair.add_client(ClientSpec::Arping(spec));
    pair.at(Time::ZERO, Input::Pod(stale.parse().unwrap()));
    pair.at(at(0.1), Input::Start(id));
    pair.run(at(0.2), &mut First, &mut |_, _| ControlFlow::Continue(()));
    let entry = pair.pair.pod().stack().neighbours().get(pair.pair.pod().dev(), IpAddr::V4(GATEWAY)).unwrap();
    assert_eq!(entry.state(), Nud::Reachable);
}

#[test]
fn an_echo_answered_twice_is_counted_once() {
    let ping = ClientSpec::Ping(PingSpec { count: Some(2), ..PingSpec::to(lab::SERVER) });
    let clock = KernelClock::new(250, 0);
    let mut pair = lab::bench(lab::host_state(), lab::pod_state(), lab::world(), clock, &mut First);
    let id = pair.pair.add_client(ping);
    pair.at(Time::ZERO, Input::Start(id));
    let mut reply = None;
    pair.run(at(0.01), &mut First, &mut |_, seen| {
        if let PairOutput::Transmit { from: Side::Host, frame } = seen
            && frame[12..14] == [8, 0]
        {
            reply = Some(frame.to_vec());
        }
        ControlFlow::Continue(())
    });
    let copy = smallvec::SmallVec::from_vec(reply.expect("the echo was answered"));
    pair.at(at(0.05), Input::Frame(Side::Pod, copy));
    let mut duplicates = 0;
    pair.run(at(5.0), &mut First, &mut |_, seen| {
        duplicates +=
            u32::from(matches!(seen, PairOutput::Client(_, ClientEvent::Answered { duplicate: true, .. })));
        ControlFlow::Continue(())
    });
    assert_eq!((duplicates, pair.pair.outcome(id).duplicates, pair.pair.outcome(id).received), (1, 1, 2));
}

/// A world that sends packets at set times, the last of the list first, and counts what comes.
#[derive(Clone)]
struct Asker {
    left: Vec<(Time, IpBytes)>,
    out: Vec<IpBytes>,
    heard: usize,
}

impl Outside for Asker {
    fn handle_packet(&mut self, _: Time, _: &[u8], _: bool) {
        self.heard += 1;
    }
    fn poll_packet(&mut self) -> Option<IpBytes> {
        self.out.pop()
    }
    fn poll_timeout(&self) -> Option<Time> {
        self.left.last().map(|l| l.0)
    }
    fn handle_timeout(&mut self, _: Time) {
        self.out.extend(self.left.pop().map(|l| l.1));
    }
}

#[test]
fn the_pod_answers_for_itself() {
    let pod: IpAddr = Ipv4Addr::new(10, 65, 0, 2).into();
    let ends = arplab::wire::Ends::new(lab::SERVER, pod).unwrap();
    let syn = arplab::wire::Segment {
        src_port: 1,
        dst_port: 2,
        control: arplab::wire::SegmentFlag::Syn,
        seq: 3,
        ack: None,
        data: &[],
    };
    let left = vec![
        (at(3.0), arplab::wire::tcp(ends, &syn)),
        (at(2.0), arplab::wire::udp(ends, 1, 2, b"x")),
        (at(1.0), arplab::wire::echo(ends, false, 1, 1, b"x")),
    ];
    let world = Asker { left, out: Vec::new(), heard: 0 };
    let clock = KernelClock::new(250, 0);
    let mut bench = lab::bench(lab::host_state(), lab::pod_state(), world, clock, &mut First);
    bench.run(at(3.1), &mut First, &mut |_, _| ControlFlow::Continue(()));
    assert_eq!(bench.pair.gateway().outside().heard, 3, "an echo reply, a refusal, a reset");
}
