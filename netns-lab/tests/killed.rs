//! Nothing stays behind after SIGKILL, at whatever moment.
//!
//! The child is this program again. It is born in an observer namespace of the test and joins
//! each of its own namespaces to it by a veth, so that the kernel itself tells when one of them
//! ends: the end in the observer vanishes.

mod common;

use std::{
    collections::HashSet,
    fs,
    io::{BufRead, BufReader, Write},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use netns_lab::{
    Change, Monitor, Netns, PacketOptions, PacketSocket,
    nft::{ArpDrop, ArpHook},
    rtnl::{Address, Route, VethEnd},
};

/// How many pods the child makes. The test kills it before, during and after.
const PODS: usize = 12;

fn main() {
    match common::child_task() {
        None => common::run(&[
            ("killed_before_the_first_namespace", || kill_after(0)),
            ("killed_after_the_first_namespace", || kill_after(1)),
            ("killed_halfway", || kill_after(PODS / 2)),
            ("killed_when_complete", || kill_after(PODS)),
            ("killed_at_twenty_other_moments", killed_at_other_moments),
            ("aborted", aborted),
        ]),
        Some(task) => build(&task),
    }
}

/// In the child: makes pods without end, and says each one's namespace when it is complete.
fn build(task: &str) {
    let observer = Netns::current("observer").expect("a thread");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut kept = Vec::new();
    for number in 0..PODS {
        let pod = Netns::new(format!("pod{number}")).expect("a namespace");
        let end = VethEnd::new(format!("v{number}")).up();
        observer.blocking().add_veth(&end, &VethEnd::new("eth0").in_netns(&pod)).expect("a veth");
        let net = pod.blocking();
        net.set_up("eth0").expect("up");
        let prefix = |text: &str| text.parse().expect("a prefix");
        net.add_address(&Address::new("eth0", prefix("10.42.0.7/32"))).expect("an address");
        net.add_route(&Route::unicast(prefix("169.254.1.1/32")).dev("eth0")).expect("a route");
        pod.sysctl().write("net.ipv4.ip_forward", 1).expect("a sysctl");
        let rule = ArpDrop::new(ArpHook::Output, "eth0").install(&pod).expect("a rule");
        let socket = PacketSocket::open(&pod, "eth0", &PacketOptions::new()).expect("a socket");
        let monitor = Monitor::open(&pod).expect("a monitor");
        let rtnl = runtime.block_on(async { pod.rtnl() }).expect("a handle");
        #[cfg(feature = "tap")]
        let tap = netns_lab::Tap::open(&pod, "tap0").ok();
        #[cfg(not(feature = "tap"))]
        let tap = ();
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", pod.id()).and_then(|()| out.flush()).expect("told");
        kept.push((pod, rule, socket, monitor, rtnl, tap));
    }
    if task == "abort" {
        std::process::abort();
    }
    // Until it is killed.
    loop {
        std::thread::park();
    }
}

struct Killed {
    observer: Netns,
    monitor: Monitor,
    /// What the child said, `net:[NUMBER]`.
    namespaces: Vec<String>,
}

fn start(task: &str) -> (Netns, Monitor, Child) {
    let observer = Netns::new("observer").expect("a namespace");
    let monitor = Monitor::open(&observer).expect("a monitor");
    let program = std::env::current_exe().expect("a path");
    let child = observer
        .exec(|| common::child(&program, task).stdout(Stdio::piped()).stderr(Stdio::null()).spawn())
        .expect("run")
        .expect("a child");
    (observer, monitor, child)
}

fn kill_after(pods: usize) {
    let (observer, monitor, mut child) = start("build");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let namespaces: Vec<_> = lines.by_ref().take(pods).map(|line| line.expect("a line")).collect();
    assert_eq!(namespaces.len(), pods, "the child ended by itself");
    let id = child.id();
    child.kill().expect("killed");
    child.wait().expect("reaped");
    let told: Vec<_> = namespaces.into_iter().chain(lines.map_while(Result::ok)).collect();
    check(id, Killed { observer, monitor, namespaces: told });
}

/// Moments between the steps: after so many microseconds, of which each is as good as another.
fn killed_at_other_moments() {
    for moment in 0..20 {
        let (observer, monitor, mut child) = start("build");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let first = lines.next().expect("a line").expect("a line");
        std::thread::sleep(Duration::from_micros(137 * moment));
        let id = child.id();
        child.kill().expect("killed");
        child.wait().expect("reaped");
        let namespaces = std::iter::once(first).chain(lines.map_while(Result::ok)).collect();
        check(id, Killed { observer, monitor, namespaces });
    }
}

fn aborted() {
    let (observer, monitor, mut child) = start("abort");
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let namespaces: Vec<_> = lines.map_while(Result::ok).collect();
    let status = child.wait().expect("reaped");
    assert!(!status.success(), "{status}");
    assert_eq!(namespaces.len(), PODS);
    check(child.id(), Killed { observer, monitor, namespaces });
}

fn check(child: u32, mut killed: Killed) {
    assert!(!fs::exists(format!("/proc/{child}")).expect("a look"), "the child is still there");
    // The kernel takes namespaces down in the background, and announces each veth as it goes.
    let names = |observer: &Netns| -> Vec<String> {
        observer.blocking().links().expect("links").into_iter().map(|link| link.name).collect()
    };
    while names(&killed.observer) != ["lo"] {
        let event = killed.monitor.next(Some(common::PATIENCE)).expect("no error");
        let event = event.unwrap_or_else(|| panic!("left behind: {:?}", names(&killed.observer)));
        assert!(!matches!(event.change, Change::Overrun), "the monitor's buffer is too small");
    }
    // The numbers may be given to namespaces of other tests meanwhile, but those end too.
    let begun = Instant::now();
    loop {
        let held = held_namespaces();
        let left: Vec<_> = killed.namespaces.iter().filter(|name| held.contains(*name)).collect();
        if left.is_empty() {
            return;
        }
        assert!(begun.elapsed() < common::PATIENCE, "still held: {left:?}");
        std::thread::yield_now();
    }
}

/// The network namespaces that some task is in or has a descriptor of, except for this process,
/// whose other tests come and go.
fn held_namespaces() -> HashSet<String> {
    let entries = |path: &str| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let own = std::process::id().to_string();
    let mut held = HashSet::new();
    for process in entries("/proc") {
        let name = process.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if name == own || !name.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let tasks = entries(&format!("/proc/{name}/task")).map(|task| task.join("ns/net"));
        let descriptors = entries(&format!("/proc/{name}/fd"));
        // Whoever ends while being looked at holds nothing.
        held.extend(
            tasks
                .chain(descriptors)
                .filter_map(|path| fs::read_link(path).ok())
                .map(|link| link.display().to_string()),
        );
    }
    held
}
