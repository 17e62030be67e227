//! The probe on real wires: a kernel's host end, a bad answerer, a run that is killed.

use crate::process;
use crate::program::arplab;
use arplab::addr::Mac;
use arplab::probe::{Asker, Clause, Findings, WireAnswerer, probe};
use arplab::wire::Arp;
use netns_lab::rtnl::{Address, Route, VethEnd};
use netns_lab::{MacAddr, Netns, PacketOptions, PacketSocket, RecvBatch};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

crate::live_tests! {
    a_kernels_host_end_conforms,
    a_kernel_that_owns_the_gateway_answers_probes,
    a_bad_answerer_is_caught,
    the_command_asks_the_interface_it_is_given,
    the_command_shows_model_and_kernel_alike,
    nothing_is_left_behind_by_a_killed_probe,
}

const POD: Ipv4Addr = Ipv4Addr::new(10, 65, 0, 2);
const POD_MAC: Mac = Mac([2, 0, 0x0a, 0x41, 0, 2]);

fn setting() -> Asker {
    Asker { mac: Some(Mac::CALICO), ..Asker::of_pod(POD, POD_MAC) }
}

/// The clauses that are broken.
fn broken(report: &Findings) -> Vec<Clause> {
    report.broken().map(|(clause, _)| clause).collect()
}

fn mac(mac: Mac) -> MacAddr {
    MacAddr::new(mac.0)
}

/// A node with Calico's host end `cali0` and an uplink, and the pod's namespace with `eth0`.
fn calico() -> (Netns, Netns) {
    let (node, pod) = (Netns::new("node").unwrap(), Netns::new("pod").unwrap());
    let net = node.blocking();
    net.add_veth(
        &VethEnd::new("cali0").mac(mac(Mac::CALICO)).up(),
        &VethEnd::new("eth0").mac(mac(POD_MAC)).in_netns(&pod),
    )
    .unwrap();
    net.add_veth(&VethEnd::new("up0").up(), &VethEnd::new("far0")).unwrap();
    net.set_up("far0").unwrap();
    pod.blocking().set_up("eth0").unwrap();
    net.add_address(&Address::new("up0", "198.51.100.10/24".parse().unwrap())).unwrap();
    let router: std::net::IpAddr = "198.51.100.1".parse().unwrap();
    net.add_route(&Route::unicast("0.0.0.0/0".parse().unwrap()).via(router)).unwrap();
    net.add_route(&Route::unicast("10.65.0.2/32".parse().unwrap()).dev("cali0")).unwrap();
    for (key, value) in [
        ("net.ipv4.ip_forward", 1),
        ("net.ipv4.conf.all.rp_filter", 0),
        ("net.ipv4.conf.cali0.route_localnet", 1),
        ("net.ipv4.neigh.cali0.proxy_delay", 0),
        ("net.ipv4.conf.cali0.proxy_arp", 1),
        ("net.ipv4.conf.cali0.forwarding", 1),
        ("net.ipv4.conf.cali0.rp_filter", 1),
    ] {
        node.sysctl().poke(key, value).unwrap();
    }
    (node, pod)
}

/// A loaded machine may be late, and that is not the subject here.
fn patient() -> arplab::probe::Asker {
    arplab::probe::Asker { at_once: arplab::time::Span::from_ms(700), ..setting() }
}

fn a_kernels_host_end_conforms() {
    let (_node, pod) = calico();
    let report = probe(&patient(), &mut WireAnswerer::open(&pod, "eth0").unwrap()).unwrap();
    assert_eq!(broken(&report), [], "{report:?}");
    assert!(report.conforms(true), "{report:?}");
}

fn a_kernel_that_owns_the_gateway_answers_probes() {
    let (node, pod) = calico();
    let gateway = Address::new("cali0", "169.254.1.1/32".parse().unwrap());
    node.blocking().add_address(&gateway).unwrap();
    let owner = arplab::probe::Asker { owns_gateway: true, ..patient() };
    let mut wire = WireAnswerer::open(&pod, "eth0").unwrap();
    assert_eq!(broken(&probe(&owner, &mut wire).unwrap()), []);
    assert_eq!(broken(&probe(&patient(), &mut wire).unwrap()), [Clause::Probe]);
}

/// Answers each ARP request that comes to the far end, with a MAC that is not its own and also for
/// the pod's address, until it is dropped.
struct BadAnswerer {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
    _far: Netns,
}

impl BadAnswerer {
    fn start(pod: &Netns) -> BadAnswerer {
        let far = Netns::new("far").unwrap();
        far.blocking()
            .add_veth(
                &VethEnd::new("far0").mac(mac(Mac::CALICO)),
                &VethEnd::new("eth0").mac(mac(POD_MAC)).in_netns(pod),
            )
            .unwrap();
        let up = netns_lab::rtnl::LinkChange::new().arp(false).up(true);
        far.blocking().change_link("far0", &up).unwrap();
        pod.blocking().change_link("eth0", &up).unwrap();
        let socket = PacketSocket::open(&far, "far0", &PacketOptions::new().ignore_outgoing(true)).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut batch = RecvBatch::default();
            while !stopped.load(Ordering::Relaxed) {
                socket.recv(&mut batch, Some(Duration::from_millis(20))).unwrap();
                for frame in batch.frames().filter(|f| f.bytes.len() >= 42 && f.bytes[12..14] == [8, 6]) {
                    let Ok(ask) = Arp::parse(&frame.bytes[14..]) else { continue };
                    let wrong = Mac([2, 0, 0, 0, 0, 9]);
                    let answer = Arp::reply(wrong, ask.tpa, ask.sha, ask.spa).frame(ask.sha, Mac::CALICO);
                    socket.send(&answer).unwrap();
                }
            }
        });
        BadAnswerer { stop, thread: Some(thread), _far: far }
    }
}

impl Drop for BadAnswerer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn a_bad_answerer_is_caught() {
    let pod = Netns::new("pod").unwrap();
    let _bad = BadAnswerer::start(&pod);
    let report = probe(&patient(), &mut WireAnswerer::open(&pod, "eth0").unwrap()).unwrap();
    let found = broken(&report);
    for clause in [
        Clause::SenderHardware,
        Clause::OwnProbe,
        Clause::OwnAnnouncement,
        Clause::Reply,
        Clause::OtherOperation,
        Clause::HardwareType,
        Clause::OtherStation,
        Clause::Probe,
    ] {
        assert!(found.contains(&clause), "{clause} is not among {found:?}");
    }
    for clause in [Clause::Broadcast, Clause::SenderAddress, Clause::Target, Clause::Destination] {
        assert!(!found.contains(&clause), "{clause} is among {found:?}");
    }
    assert!(!report.conforms(false));
}

/// Runs the command in a namespace: a child is born where the thread is that starts it.
fn run_in(netns: &Netns, args: &[&str]) -> Output {
    netns.exec(|| arplab(args).output()).unwrap().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn the_command_asks_the_interface_it_is_given() {
    let (_node, pod) = calico();
    let args = ["probe", "eth0", "--pod-ip", "10.65.0.2", "--at-once", "700ms", "--json"];
    let out = run_in(&pod, &args);
    assert_eq!(out.status.code(), Some(0), "{}{}", text(&out.stdout), text(&out.stderr));
    let lines = text(&out.stdout);
    assert_eq!(lines.lines().count(), Clause::ALL.len());
    for line in lines.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["found"]["eth0"]["finding"], "holds", "{line}");
    }
    // without an address there is nobody to ask for
    let out = run_in(&pod, &["probe", "eth0"]);
    assert_eq!(out.status.code(), Some(2));
    assert!(text(&out.stderr).contains("--pod-ip"), "{}", text(&out.stderr));
    // with the pod's own, it is taken from the interface
    pod.blocking().add_address(&Address::new("eth0", format!("{POD}/32").parse().unwrap())).unwrap();
    let out = run_in(&pod, &["probe", "eth0", "--mac", "ee:ee:ee:ee:ee:e0", "--at-once", "700ms"]);
    assert_eq!(out.status.code(), Some(1), "{}", text(&out.stderr));
    assert!(text(&out.stdout).contains("BROKEN"), "{}", text(&out.stdout));
    let out = run_in(&pod, &["probe", "eth7"]);
    assert_eq!(out.status.code(), Some(2));
    assert!(text(&out.stderr).contains("neither a scenario nor an interface"), "{}", text(&out.stderr));
    pod.blocking().set_down("eth0").unwrap();
    let out = run_in(&pod, &["probe", "eth0"]);
    assert_eq!(out.status.code(), Some(3));
    assert!(text(&out.stderr).contains("down"), "{}", text(&out.stderr));
}

fn the_command_shows_model_and_kernel_alike() {
    let observer = Netns::new("observer").unwrap();
    for (scenario, at, version) in [
        ("late-responder", "5s", "felix-only"),
        ("late-responder", "70s", "felix-only"),
        ("no-default-route", "1s", "any"),
    ] {
        let out = run_in(&observer, &["probe", scenario, "--at", at, "--at-once", "700ms"]);
        let (shown, errors) = (text(&out.stdout), text(&out.stderr));
        assert!(shown.contains("model    kernel"), "{shown}{errors}");
        assert!(!shown.contains("differ"), "{scenario} ({version}) at {at}: {shown}");
        let silent = shown.contains("by the model it is silent");
        assert_eq!(out.status.code(), Some(i32::from(silent)), "{shown}{errors}");
    }
    // the links of whoever called are as they were
    let links = observer.blocking().links().unwrap();
    assert_eq!(links.iter().map(|l| l.name.as_str()).collect::<Vec<_>>(), ["lo"]);
}

/// Far more than anything here takes on a loaded machine.
const PATIENCE: Duration = Duration::from_mins(1);

fn nothing_is_left_behind_by_a_killed_probe() {
    let observer = Netns::new("observer").unwrap();
    // killed when it has so many namespaces of its own, and a little later
    for (wanted, later_ms) in [(0, 0), (0, 20), (1, 0), (2, 0), (2, 5), (2, 300), (2, 2_000)] {
        let args = ["probe", "late-responder", "--at", "70s", "--only", "kernel"];
        let (mut command, mark) = process::prepare(process::program(), &args);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = observer.exec(|| command.spawn()).unwrap().unwrap();
        let home = std::fs::read_link(format!("/proc/{}/ns/net", child.id())).unwrap();
        let (home, own) = (home.to_string_lossy(), process::own_namespace());
        let mut seen = BTreeSet::new();
        let look = |seen: &mut BTreeSet<String>| {
            let now = process::namespaces_of(child.id()).into_iter();
            seen.extend(now.filter(|n| *n != home && *n != own));
            std::thread::sleep(Duration::from_millis(1));
        };
        let begun = Instant::now();
        while seen.len() < wanted {
            assert!(begun.elapsed() < PATIENCE, "it never made {wanted} namespaces: {seen:?}");
            look(&mut seen);
        }
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(later_ms) {
            look(&mut seen);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        process::nothing_left(&mark, &seen);
    }
    let links = observer.blocking().links().unwrap();
    assert_eq!(links.iter().map(|l| l.name.as_str()).collect::<Vec<_>>(), ["lo"]);
}
