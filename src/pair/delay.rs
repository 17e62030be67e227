//! How long a client waits for a gateway that begins to answer late: the model run over the phases
//! of the timer wheel, as a table of window lengths against clients.
//!
//! The client starts at zero, the gateway becomes right after the window. What the client sees
//! depends on where the wheel stands, so every cell is a smallest, a middle and a largest time.

use super::lab;
use super::{Input, PairOutput};
use crate::choice::Seeded;
use crate::host::Mutation;
use crate::neigh::{HZ_DEFAULT, KernelClock};
use crate::pod::{ClientEvent, ClientSpec, ConnectSpec, Failure, PingSpec, StreamSpec, UdpSpec};
use crate::time::{Span, Time};
use core::ops::ControlFlow;

/// What is wrong until the window closes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Trouble {
    /// Nobody answers the pod's ARP requests.
    Silent,
    /// The same, and the pod does not hear of it: its own ICMP errors are lost (`lo` down, a
    /// filter, too many of them at once).
    SilentAndUnheard,
    /// ARP is answered, but packets go nowhere: no forwarding, no way back.
    NoDataPath,
    /// The gateway's MAC changed before the client started, while the pod's entry was STALE; the
    /// window does not matter.
    MacChangedStale,
    /// The same, while it was REACHABLE.
    MacChangedReachable,
}

/// A line of the table.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct DelayCase {
    /// What a person calls it.
    pub name: String,
    /// The client.
    pub spec: ClientSpec,
    /// What it meets.
    pub trouble: Trouble,
    /// net.ipv4.tcp_syn_linear_timeouts: 4 since kernel 6.5, 0 behaves as those before.
    pub linear_timeouts: i32,
}

/// An error that clients ended with, and when: the wheel decides about the moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ToldFailure {
    /// The error.
    pub failure: Failure,
    /// When the first of them was told, from the client's start.
    pub min: Span,
    /// When the last of them was.
    pub max: Span,
}

/// A cell of the table: when the client was first answered, over all phases.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DelayCell {
    /// The window.
    pub window: Span,
    /// Phases that were run.
    pub runs: u32,
    /// Phases in which the client was answered.
    pub answered: u32,
    /// The earliest time of success.
    pub min: Option<Span>,
    /// The middle one.
    pub median: Option<Span>,
    /// The latest.
    pub max: Option<Span>,
    /// What the clients that failed for good were told, each error once, in the order of the phases.
    pub failures: Vec<ToldFailure>,
}

/// The lines of the table that people ask about.
#[must_use]
pub fn standard_cases() -> Vec<DelayCase> {
    let server = (lab::SERVER, lab::PORT).into();
    let connect = |retry: Option<u64>| {
        let retry = retry.map(Span::from_secs);
        ClientSpec::TcpConnect(ConnectSpec { retry, ..ConnectSpec::once(server) })
    };
    let case = |name: &str, spec: ClientSpec, trouble, linear_timeouts| DelayCase {
        name: name.to_owned(),
        spec,
        trouble,
        linear_timeouts,
    };
    let ping = || ClientSpec::Ping(PingSpec::to(lab::SERVER));
    let stream = ClientSpec::TcpStream(StreamSpec { count: Some(1), delay: LEAD, ..StreamSpec::to(server) });
    let resolver = ClientSpec::Udp(UdpSpec::resolver(server, Span::from_secs(5)));
    vec![
        case("ping, one echo a second", ping(), Trouble::Silent, 4),
        case("one connect()", connect(None), Trouble::Silent, 4),
        case("connect(), again at once after an error", connect(Some(0)), Trouble::Silent, 4),
        case("connect(), again 1 s after an error", connect(Some(1)), Trouble::Silent, 4),
        case("connect(), again 5 s after an error", connect(Some(5)), Trouble::Silent, 4),
        case("an open TCP connection", stream, Trouble::Silent, 4),
        case("UDP resolver, 5 s between tries", resolver, Trouble::Silent, 4),
        case("one connect(), its error is lost", connect(None), Trouble::SilentAndUnheard, 4),
        case("the same, kernel before 6.5", connect(None), Trouble::SilentAndUnheard, 0),
        case("one connect(), ARP is answered, packets are not", connect(None), Trouble::NoDataPath, 4),
        case("the same, kernel before 6.5", connect(None), Trouble::NoDataPath, 0),
        case("ping, MAC changed while STALE", ping(), Trouble::MacChangedStale, 4),
        case("one connect(), MAC changed while STALE", connect(None), Trouble::MacChangedStale, 4),
        case("ping, MAC changed while REACHABLE", ping(), Trouble::MacChangedReachable, 4),
        case("one connect(), MAC changed while REACHABLE", connect(None), Trouble::MacChangedReachable, 4),
    ]
}

/// Time before the client starts (an open connection: before it writes), for preparations.
const LEAD: Span = Span::from_secs(1);
/// The model's time when the client starts.
const START: Time = Time(2_000_000_000);
/// Longer than the kernel's patience with a connect(): 135 s.
const PATIENCE: Span = Span::from_secs(150);

/// One line of the table: the client against every window, each over so many phases of the wheel.
#[must_use]
pub fn delay_line(case: &DelayCase, windows: &[Span], phases: u32) -> Vec<DelayCell> {
    let prepared = prepare(case);
    windows.iter().map(|window| cell(&prepared, case, *window, phases.max(1))).collect()
}

/// The whole table.
#[must_use]
pub fn delay_table(cases: &[DelayCase], windows: &[Span], phases: u32) -> Vec<(DelayCase, Vec<DelayCell>)> {
    cases.iter().map(|case| (case.clone(), delay_line(case, windows, phases))).collect()
}

/// The two namespaces of a case and what is done to them before and after.
struct Prepared {
    host: crate::host::HostState,
    pod: crate::host::HostState,
    before: Vec<Input>,
    close: Option<Input>,
}

fn command(text: &str) -> Mutation {
    text.parse().unwrap_or_else(|e| panic!("{e}"))
}

fn prepare(case: &DelayCase) -> Prepared {
    let (mut host, mut pod) = (lab::host_state(), lab::pod_state());
    let apply = |state: &mut crate::host::HostState, text: &str| {
        state.apply(&command(text)).unwrap_or_else(|e| panic!("{e}"));
    };
    apply(&mut pod, &format!("sysctl -w net.ipv4.tcp_syn_linear_timeouts={}", case.linear_timeouts));
    let entry = |nud: &str| {
        let text = format!("ip neigh replace 169.254.1.1 dev eth0 lladdr ee:ee:ee:ee:ee:ee nud {nud}");
        Input::Pod(command(&text))
    };
    let proxy_arp = |on: i32| command(&format!("sysctl -w net.ipv4.conf.cali0.proxy_arp={on}"));
    let new_mac = Input::Host(command("ip link set cali0 address 02:de:ad:be:ef:01"));
    let open = matches!(case.spec, ClientSpec::TcpStream(_));
    let (before, close) = match case.trouble {
        // the connection is opened first, then the gateway falls silent and its entry goes
        Trouble::Silent | Trouble::SilentAndUnheard if open => {
            let forget = Input::Pod(command("ip neigh del 169.254.1.1 dev eth0"));
            (vec![Input::Host(proxy_arp(0)), forget], Some(Input::Host(proxy_arp(1))))
        }
        Trouble::Silent | Trouble::SilentAndUnheard => {
            apply(&mut host, &proxy_arp(0).to_string());
            (Vec::new(), Some(Input::Host(proxy_arp(1))))
        }
        Trouble::NoDataPath => {
            apply(&mut host, "sysctl -w net.ipv4.conf.cali0.forwarding=0");
            let forward = command("sysctl -w net.ipv4.conf.cali0.forwarding=1");
            (vec![entry("permanent")], Some(Input::Host(forward)))
        }
        Trouble::MacChangedStale => (vec![entry("stale"), new_mac], None),
        Trouble::MacChangedReachable => (vec![entry("reachable"), new_mac], None),
    };
    Prepared { host, pod, before, close }
}

fn cell(prepared: &Prepared, case: &DelayCase, window: Span, phases: u32) -> DelayCell {
    let mut times: Vec<Span> = Vec::new();
    let mut failures: Vec<ToldFailure> = Vec::new();
    for phase in 0..phases {
        match observe(prepared, case, window, phase) {
            Ok(time) => times.push(time),
            Err(Some((failure, at))) => note(&mut failures, failure, at),
            Err(None) => {}
        }
    }
    times.sort();
    let (answered, runs) = (times.len() as u32, phases);
    let (min, max) = (times.first().copied(), times.last().copied());
    let median = times.get(times.len() / 2).copied();
    DelayCell { window, runs, answered, min, median, max, failures }
}

fn note(failures: &mut Vec<ToldFailure>, failure: Failure, at: Span) {
    match failures.iter_mut().find(|t| t.failure == failure) {
        Some(told) => (told.min, told.max) = (told.min.min(at), told.max.max(at)),
        None => failures.push(ToldFailure { failure, min: at, max: at }),
    }
}

/// Where the wheel stands in the run of that number: steps of the golden section, which are spread
/// evenly over the wheel and over each of its coarser and finer parts. Equal parts of the wheel
/// would all stand alike within its finer buckets.
pub(super) fn wheel_phase(run: u32) -> u64 {
    /// 2^64 divided by the golden ratio.
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    let share = u128::from(GOLDEN.wrapping_mul(u64::from(run)));
    ((share * u128::from(KernelClock::phases_ns(HZ_DEFAULT))) >> 64) as u64
}

/// One run: when the client was answered, or what it was told at the end.
fn observe(
    prepared: &Prepared,
    case: &DelayCase,
    window: Span,
    phase: u32,
) -> Result<Span, Option<(Failure, Span)>> {
    let mut chooser = Seeded::new(u64::from(phase));
    let clock = KernelClock::new(HZ_DEFAULT, wheel_phase(phase));
    let (host, pod) = (prepared.host.clone(), prepared.pod.clone());
    let mut lab = lab::bench(host, pod, lab::world(), clock, &mut chooser);
    let client = lab.pair.add_client(case.spec.clone());
    let open = matches!(case.spec, ClientSpec::TcpStream(_));
    let started = if open { Time(START.0 - LEAD.0) } else { START };
    lab.at(started, Input::Start(client));
    for act in &prepared.before {
        lab.at(Time(START.0 - 1), act.clone());
    }
    if case.trouble == Trouble::SilentAndUnheard {
        lab.at(Time::ZERO, Input::FilterIcmp(true));
    }
    if let Some(close) = &prepared.close {
        lab.at(START + window, close.clone());
    }
    let mut answered = None;
    lab.run_clients(START + window + PATIENCE, &mut chooser, &mut |now, output| match output {
        PairOutput::Client(_, ClientEvent::Answered { .. }) => {
            answered = Some(now.since(START));
            ControlFlow::Break(())
        }
        // a client that is done keeps nobody waiting for the window's end
        PairOutput::Client(_, ClientEvent::Finished) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    let outcome = lab.pair.outcome(client);
    let told = outcome.attempts.last().and_then(|a| match a.fate {
        crate::pod::Fate::Failed(failure) => a.ended.map(|t| (failure, t.since(START))),
        _ => None,
    });
    answered.ok_or(told)
}
