//! What the recorder did in a trial, so that the model can do it too: the client it ran, what it
//! switched and when, and how long it looked.
//!
//! The recordings say most of it in their parameters; some of it only in the words of their names
//! (`lodown`, `noicmp`), and a ping's interval in their titles.

use super::command::parse as command;
use super::error::RecordError;
use super::pod_record::{PodRecord, PodTrial, Typed};
use super::pod_setup::{Setup, build};
use super::pod_trace::Asked;
use crate::addr::{Mac, Side};
use crate::gateway::{Endpoint, Reflex, Service};
use crate::host::HostState;
use crate::neigh::Nud;
use crate::pair::Input;
use crate::pair::lab::{HOST_END, PORT, SERVER};
use crate::pod::{ClientSpec, ConnectSpec, PingSpec, StreamSpec, UdpSpec};
use crate::time::Span;
use crate::wire::{Arp, EthFrame};
use smallvec::SmallVec;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The pod, for a client on the node.
const POD: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 65, 0, 2));
const POD6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0x65, 0, 0, 0, 0, 0, 2));
/// The server of the recordings, as IPv6 clients know it.
const SERVER6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x51, 0, 0, 0, 0, 0x10));
/// A port on which nobody listens.
const CLOSED: u16 = 9;
/// The recorder's patience with a connect() and a ping in the end-to-end cases.
const END_TO_END_TCP_S: f64 = 9.0;
const END_TO_END_PING_S: f64 = 6.0;
/// Echoes of an end-to-end ping.
const END_TO_END_PINGS: u32 = 5;
/// Datagrams of a window's UDP client, one a second.
const WINDOW_DATAGRAMS: u32 = 9;
/// An echo that is answered is answered within that time of the last one's sending.
const ECHO_S: f64 = 0.9;
/// Preparations are made so long before the client starts ...
pub(super) const BEFORE_S: f64 = -0.5;
/// ... and what is to be fresh, so long.
const JUST_BEFORE_S: f64 = -0.003;
/// An established connection is opened so long before the recording begins.
const OPENED_S: f64 = -1.0;
/// How long a process takes to start, when nothing shows it: most often this, rarely up to so much
/// more, by the grain of the wheel's buckets.
const PROCESS_START_S: [f64; 5] = [0.006, 0.004, 0.009, 0.002, 0.013];
const PROCESS_LATE: core::ops::Range<u32> = 2..16;
const PROCESS_LATE_STEP_S: f64 = 0.008;
/// The recorder went on for at least this long after its client had ended.
const GRACE_S: f64 = 0.1;

/// A trial, ready to be run.
pub(super) struct PodPlan {
    pub(super) setup: Setup,
    pub(super) world: Reflex,
    pub(super) spec: ClientSpec,
    /// Where the client runs, and what is asked for on its behalf.
    pub(super) asked: Asked,
    /// When the client may have started.
    pub(super) starts: Vec<f64>,
    pub(super) acts: Vec<(f64, Input)>,
    /// The state of the entry when the recording begins.
    pub(super) before: Option<Nud>,
    /// How long the trace is compared ...
    pub(super) until: f64,
    /// ... and what the client saw; a ping's last lines and its next echo fall in one moment.
    pub(super) client_until: f64,
    pub(super) late_answers: Option<Span>,
    /// How long each proxied answer took, as recorded, where the kernel draws it.
    pub(super) delays: Vec<f64>,
    /// After how many milliseconds the pod notices that its carrier is gone.
    pub(super) carrier_notice_ms: u64,
    pub(super) has_syns: bool,
}

/// Plans a trial of a record of the groups W, K and E.
pub(super) fn plan(record: &PodRecord, trial: &PodTrial) -> Result<PodPlan, RecordError> {
    let mut setup = build(record)?;
    let spec = client(record, trial)?;
    let before = prior(record);
    let mut acts: Vec<(f64, Input)> = Vec::new();
    for change in setup.node_late.drain(..) {
        acts.push((JUST_BEFORE_S, Input::Host(change)));
    }
    for change in setup.pod_late.drain(..) {
        acts.push((BEFORE_S, Input::Pod(change)));
    }
    prepare_entry(record, trial, &mut acts)?;
    switch_gateway(record, trial, &setup.node, &mut acts)?;
    if record.says("lodown") || record.title.contains("lo down") {
        acts.push((BEFORE_S, Input::Pod(command("ip link set lo down")?)));
    }
    if record.says("noicmp") {
        acts.push((BEFORE_S, Input::FilterIcmp(true)));
    }
    let d = record.number("d").map(seconds);
    let (until, client_until) = until(record, trial, &spec);
    let delays = if draws_delays(&setup.node) { delays(trial) } else { Vec::new() };
    Ok(PodPlan {
        setup,
        world: world(&spec),
        starts: starts(record, trial, &spec),
        until,
        client_until,
        spec,
        asked: asked(record)?,
        acts,
        before,
        late_answers: d,
        delays,
        carrier_notice_ms: carrier_notice_ms(record, trial),
        has_syns: trial.syn_on_wire.is_some(),
    })
}

/// The node draws how long a proxied answer waits.
fn draws_delays(node: &HostState) -> bool {
    let proxy_delay = |l: &crate::host::Link| l.neigh4().get(crate::host::conf::NeighVar::ProxyDelay);
    node.link_named(HOST_END).is_some_and(|l| proxy_delay(l) > 0)
}

/// From each request that was answered to its answer.
fn delays(trial: &PodTrial) -> Vec<f64> {
    let mut answers = trial.arp_replies.clone();
    let answer = |asked: &f64| {
        let first = answers.iter().position(|t| t >= asked)?;
        Some(answers.remove(first) - asked)
    };
    trial.arp_requests.iter().filter_map(answer).collect()
}

pub(super) fn seconds(s: f64) -> Span {
    Span::from(core::time::Duration::from_secs_f64(s.max(0.0)))
}

fn world(spec: &ClientSpec) -> Reflex {
    let mut services = vec![Service::Host, Service::Tcp(PORT)];
    if matches!(spec, ClientSpec::Udp(s) if s.to.port() == PORT) {
        services.push(Service::Udp(PORT));
    }
    let both = |service| [SERVER, SERVER6].map(|addr| Endpoint { addr, service });
    Reflex::new(&services.into_iter().flat_map(both).collect::<Vec<_>>())
}

/// Clients run in the pod and speak IPv4 unless `from` and `family` say otherwise.
fn asked(record: &PodRecord) -> Result<Asked, RecordError> {
    let by = match record.text("from") {
        None | Some("pod") => Side::Pod,
        Some("node") => Side::Host,
        Some(other) => return Err(RecordError::Value(format!("from {other:?} is neither node nor pod"))),
    };
    let six = match record.params.get("family").map(serde_json::Value::as_u64) {
        None | Some(Some(4)) => false,
        Some(Some(6)) => true,
        Some(_) => return Err(RecordError::Value("family is neither 4 nor 6".into())),
    };
    let ip = match (by, six) {
        (Side::Pod, false) => Asked::default().ip,
        (Side::Pod, true) => IpAddr::V6(Mac::CALICO.link_local()),
        (Side::Host, false) => POD,
        (Side::Host, true) => POD6,
    };
    Ok(Asked { by, ip })
}

/// Whom the client talks to: the server in the world, or the pod.
fn talks_to(record: &PodRecord) -> Result<IpAddr, RecordError> {
    let asked = asked(record)?;
    Ok(match asked.by {
        Side::Host => asked.ip,
        Side::Pod if asked.ip.is_ipv6() => SERVER6,
        Side::Pod => SERVER,
    })
}

/// As told, or as `ping -i 0.5` in a title; the cases about MACs and announcements all ping twice a second.
fn ping_interval(record: &PodRecord) -> Span {
    let stated = record.title.split("ping -i").nth(1).and_then(|rest| {
        let number: String =
            rest.trim_start().chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        number.trim_end_matches('.').parse().ok()
    });
    let usual = if matches!(record.kind(), "mac" | "garp") { 0.5 } else { 1.0 };
    seconds(record.number("interval").or(stated).unwrap_or(usual))
}

fn client(record: &PodRecord, trial: &PodTrial) -> Result<ClientSpec, RecordError> {
    let server = talks_to(record)?;
    let tcp: SocketAddr = (server, PORT).into();
    let closed: SocketAddr = (server, CLOSED).into();
    let once = ClientSpec::TcpConnect(ConnectSpec::once(tcp));
    let one_datagram = ClientSpec::Udp(UdpSpec { count: record.count().or(Some(1)), ..UdpSpec::to(closed) });
    let named = record.text("client").or(record.text("what"));
    Ok(match (record.kind(), named) {
        ("established", _) => {
            let write = trial.arp_requests.first().copied().unwrap_or(0.0) - 0.0001;
            let delay = seconds(write - OPENED_S);
            ClientSpec::TcpStream(StreamSpec { count: Some(1), delay, ..StreamSpec::to(tcp) })
        }
        ("stale", Some("udp")) | ("reachable" | "failed", _) => one_datagram,
        ("stale", Some("udp-confirm")) => {
            let interval = Span::from_ms(500);
            ClientSpec::Udp(UdpSpec { confirm: true, interval, ..UdpSpec::to(tcp) })
        }
        ("stale", Some("tcp")) => {
            ClientSpec::TcpStream(StreamSpec { interval: Span::from_ms(500), ..StreamSpec::to(tcp) })
        }
        (_, Some("ping")) => ping(record, server),
        ("never", None) if record.says("ping") => ping(record, server),
        (_, Some("udp" | "udp-recverr")) => ClientSpec::Udp(UdpSpec {
            count: Some(datagrams(record)),
            recverr: record.says("recverr"),
            ..UdpSpec::to(closed)
        }),
        (_, Some(retry)) if retry.starts_with("tcp-retry") => {
            let pause = record.number("pause").unwrap_or(0.0);
            ClientSpec::TcpConnect(ConnectSpec { retry: Some(seconds(pause)), ..ConnectSpec::once(tcp) })
        }
        (_, Some("tcp" | "tcp-nonblock")) | ("solicit" | "garp" | "flap" | "linkup" | "never", None) => once,
        (kind, named) => return Err(RecordError::Value(format!("no client is known for {kind} {named:?}"))),
    })
}

/// Datagrams of a client that meets a window.
fn datagrams(record: &PodRecord) -> u32 {
    record.count().unwrap_or(WINDOW_DATAGRAMS)
}

fn ping(record: &PodRecord, server: IpAddr) -> ClientSpec {
    let count = record.count().or((record.group == "E").then_some(END_TO_END_PINGS));
    ClientSpec::Ping(PingSpec { interval: ping_interval(record), count, ..PingSpec::to(server) })
}

/// The state the recorder put the entry in before it began.
fn prior(record: &PodRecord) -> Option<Nud> {
    match record.kind() {
        "stale" => Some(Nud::Stale),
        "permanent" | "blackhole" => Some(Nud::Permanent),
        "mac" => record.text("prior").and_then(Nud::by_name),
        _ if record.text("mode") == Some("forward") => Some(Nud::Permanent),
        _ if record.name.contains("static-neigh") => Some(Nud::Permanent),
        "established" => Some(Nud::Reachable),
        _ => None,
    }
}

fn prepare_entry(
    record: &PodRecord,
    trial: &PodTrial,
    acts: &mut Vec<(f64, Input)>,
) -> Result<(), RecordError> {
    let asked = asked(record)?;
    let replace = |mac: &str, nud: &str| {
        let ip = asked.ip;
        command(&format!("ip neigh replace {ip} dev eth0 lladdr {mac} nud {nud}")).map(Input::Pod)
    };
    let gateway = "ee:ee:ee:ee:ee:ee";
    // so long before, where that is told
    let made_s = record.number("made").map_or(BEFORE_S, |before| -before);
    match record.kind() {
        "stale" => acts.push((made_s, replace(gateway, "stale")?)),
        "permanent" => {
            acts.push((made_s, replace(record.text("lladdr").unwrap_or(gateway), "permanent")?));
        }
        "mac" => {
            let nud = record.text("prior").unwrap_or("STALE").to_lowercase();
            // a REACHABLE entry is made when its timer, as recorded, says it was
            let made = if nud == "reachable" { armed_again(trial) } else { None };
            acts.push((made.map_or(BEFORE_S, |(at, _)| at), replace(gateway, &nud)?));
            if made.is_some() {
                acts.push((BEFORE_S, confirmation()));
            }
            let change = "ip link set cali0 address 02:de:ad:be:ef:01";
            acts.push((JUST_BEFORE_S, Input::Host(command(change)?)));
        }
        "established" => {
            acts.push((JUST_BEFORE_S, Input::Host(command("sysctl -w net.ipv4.conf.cali0.proxy_arp=0")?)));
            acts.push((JUST_BEFORE_S, Input::Pod(command("ip neigh del 169.254.1.1 dev eth0")?)));
        }
        _ if record.text("mode") == Some("forward") => acts.push((BEFORE_S, replace(gateway, "permanent")?)),
        _ => {}
    }
    Ok(())
}

/// The timer of a REACHABLE entry went off, found it confirmed since, and was armed again; then
/// the entry is this old and was last confirmed at [`BEFORE_S`]. Gives when it was made, and how
/// long REACHABLE lasts.
pub(super) fn armed_again(trial: &PodTrial) -> Option<(f64, f64)> {
    let timer = |n: &&super::pod_record::NeighMark| n.via == "timer";
    let mut timers = trial.neigh.iter().filter(timer);
    let (first, second) = (timers.next()?, timers.next()?);
    (first.state == "REACHABLE").then(|| {
        let lasts = second.t - BEFORE_S - 0.128;
        (first.t - 1.024 - lasts, lasts)
    })
}

/// A reply that confirms the gateway's entry.
fn confirmation() -> Input {
    let pod = Mac([2, 0, 0x0a, 0x41, 0, 2]);
    let gateway = Mac::CALICO;
    let reply = Arp::reply(gateway, [169, 254, 1, 1].into(), pod, [10, 65, 0, 2].into());
    Input::Frame(Side::Pod, SmallVec::from_slice(&reply.frame(pod, gateway)))
}

/// When and how the gateway begins to answer, and whatever else happens to the link.
fn switch_gateway(
    record: &PodRecord,
    trial: &PodTrial,
    node: &HostState,
    acts: &mut Vec<(f64, Input)>,
) -> Result<(), RecordError> {
    let starts = trial.event("starts to answer").or(record.number("T").filter(|t| *t > 0.0));
    if let Some(at) = starts {
        let change = match record.text("mode") {
            Some("forward") => "sysctl -w net.ipv4.conf.cali0.forwarding=1",
            Some("podroute") => "ip route add 10.65.0.2 dev cali0 scope link",
            _ => "sysctl -w net.ipv4.conf.cali0.proxy_arp=1",
        };
        acts.push((at, Input::Host(command(change)?)));
    }
    let (down, up) = match record.kind() {
        "linkup" => (Some(OPENED_S), Some(0.0)),
        _ => (trial.event("host end down"), trial.event("host end up")),
    };
    if let Some(at) = down {
        acts.push((at, Input::Host(command("ip link set cali0 down")?)));
    }
    if let Some(at) = up {
        acts.push((at, Input::Host(command("ip link set cali0 up")?)));
        // the route went with the link
        if node.tables().iter().flat_map(|(_, r)| r).any(|r| r.dst.to_string() == "10.65.0.2/32") {
            acts.push((at, Input::Host(command("ip route add 10.65.0.2 dev cali0 scope link")?)));
        }
    }
    if record.kind() == "established" {
        acts.push((OPENED_S - 0.1, Input::Host(command("sysctl -w net.ipv4.conf.cali0.proxy_arp=1")?)));
    }
    for event in &trial.events {
        match &event.typed {
            Some(Typed::Node(line)) => acts.push((event.t, Input::Host(command(line)?))),
            Some(Typed::Pod(line)) => acts.push((event.t, Input::Pod(command(line)?))),
            None => {}
        }
    }
    for (at, frame) in announcements(trial) {
        acts.push((at, Input::Frame(Side::Pod, frame)));
    }
    Ok(())
}

/// Frames the recorder put on the wire itself.
fn announcements(trial: &PodTrial) -> Vec<(f64, crate::packet::Frame)> {
    let crafted = trial.stimulus.iter().map(|f| (f.t, f.hex.clone()));
    let gratuitous = |frame: &[u8]| {
        let eth = EthFrame::parse(frame).ok();
        eth.and_then(|e| Arp::parse(e.payload).ok()).is_some_and(|a| a.spa == a.tpa)
    };
    let heard = trial.frames.iter().filter(|f| f.dir == "in").map(|f| (f.t, f.hex.clone()));
    // where the frame was captured its time is exact; the recorder's own note may be late
    let mut list: Vec<_> = heard.filter(|(_, frame)| gratuitous(frame)).collect();
    if list.is_empty() {
        list = crafted.collect();
    }
    list.into_iter().map(|(t, frame)| (t, SmallVec::from_vec(frame))).collect()
}

/// When the client started: just before the first thing it did.
fn starts(record: &PodRecord, trial: &PodTrial, spec: &ClientSpec) -> Vec<f64> {
    if record.kind() == "established" {
        return vec![OPENED_S];
    }
    let sent = trial.neigh.iter().filter(|n| matches!(&*n.via, "created" | "output")).map(|n| n.t);
    let out = [&trial.arp_requests, &trial.tcp_retransmits].into_iter().flatten().copied();
    let sent =
        sent.chain(trial.syn_on_wire.iter().flatten().copied()).chain(trial.udp_on_wire.iter().copied());
    let first = sent.chain(out).filter(|t| *t > -0.1).fold(f64::MAX, f64::min);
    let told = record.number("started_s").unwrap_or(0.0);
    let sends_at_once = first < told + 0.1;
    match spec {
        // its zero is when the link came up
        _ if record.kind() == "linkup" => vec![record.number("when").unwrap_or(0.0) + 0.0001],
        _ if sends_at_once => vec![first - 0.0001],
        ClientSpec::Ping(_) => {
            let late = PROCESS_LATE.map(|n| f64::from(n) * PROCESS_LATE_STEP_S);
            PROCESS_START_S.into_iter().chain(late).map(|s| told + s).collect()
        }
        _ => vec![told + 0.0003],
    }
}

/// How long the two traces are compared, and how long what the client saw.
fn until(record: &PodRecord, trial: &PodTrial, spec: &ClientSpec) -> (f64, f64) {
    let saw = |key: &str| trial.client.get(key).and_then(serde_json::Value::as_f64);
    let last_state = trial.neigh.last().map_or(0.0, |n| n.t);
    let until = match (record.kind(), spec) {
        ("e2e", ClientSpec::Ping(_)) => END_TO_END_PING_S,
        ("e2e", _) => saw("result_s").unwrap_or(END_TO_END_TCP_S).min(END_TO_END_TCP_S) + GRACE_S,
        ("stale", _) => record.number("secs").unwrap_or(trial.wall_s - 1.0) - 0.3,
        ("permanent", ClientSpec::Ping(_)) => 4.9,
        ("garp", ClientSpec::Ping(_)) => 13.9,
        ("failed", _) => 100.0,
        ("reachable", _) => last_state + GRACE_S,
        ("established", _) => saw("delivered_s").map_or(trial.wall_s - 1.0, |t| t + GRACE_S),
        (_, ClientSpec::Udp(_)) => f64::from(datagrams(record)) - 0.2,
        // what was lost is known when the last echo has had its time
        (_, ClientSpec::Ping(spec)) if record.count().is_some() => {
            let sends = f64::from(record.count().unwrap_or(1) - 1) * (spec.interval.as_ns() as f64 / 1e9);
            record.number("started_s").unwrap_or(0.0) + sends + ECHO_S
        }
        (_, ClientSpec::Ping(_)) => {
            let reported = trial.client.get("unreachable").and_then(serde_json::Value::as_array);
            let last = reported.and_then(|list| list.last()?.get("t")?.as_f64());
            if let (None, Some(last)) = (saw("first_reply_s"), last) {
                return (last - 0.003, last + 0.003);
            }
            saw("first_reply_s").map_or(6.0, |t| t + 0.3)
        }
        _ => {
            let ended = ["connect_s", "total_s", "poll_s"].into_iter().find_map(saw);
            let when = if record.kind() == "linkup" { record.number("when") } else { None };
            ended.unwrap_or(trial.wall_s - 1.0) + when.unwrap_or(0.0) + GRACE_S
        }
    };
    (until, until)
}

/// As recorded when it shows; when nothing shows it, before the client had begun or after the
/// carrier was back.
fn carrier_notice_ms(record: &PodRecord, trial: &PodTrial) -> u64 {
    let down = match record.kind() {
        "linkup" => return 0,
        "e2e" => JUST_BEFORE_S,
        _ => trial.event("host end down").unwrap_or(0.0),
    };
    let removed = trial.neigh.iter().find(|n| n.via == "removed" && n.t > down);
    match removed {
        Some(mark) => ((mark.t - down) * 1000.0).round() as u64,
        None if record.kind() == "e2e" && trial.arp_requests.is_empty() => 0,
        None => 1000,
    }
}
