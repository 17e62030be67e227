//! How long a pod takes: its namespace, a veth into a node namespace with a chosen MAC address
//! on either end, both ends up, an address, two routes in the pod and the host route in the node.
//!
//! ```text
//! cargo run --release -p netns-lab --example bring_up -- [PODS [REPEATS]] [v4]
//! ```
//!
//! Four ways are measured. `bare` makes namespaces and nothing else: the floor. The others make
//! whole pods: `blocking` and `async` one after another through the two forms of the crate,
//! `ahead` as `async` while a second thread makes the next namespaces. Each line is one
//! repetition; look at the spread before comparing.
//!
//! With `v4` the node makes its links without IPv6. For many pods in one node this matters: every
//! link has a route to fe80::/64 and one to ff00::/8, and the kernel goes through all of them to
//! add the next.
//!
//! The kernel takes namespaces down in the background, on the other core and under the same
//! locks; between repetitions this waits until it has finished (`settle`).

use std::{
    env, fs,
    net::Ipv4Addr,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use ipnet::{IpNet, Ipv4Net};
use netns_lab::{
    Change, MacAddr, Monitor, Netns, NetnsError, Rtnl, RtnlError, SysctlKey, raise_open_file_limit, rootless,
    rtnl::{Address, Route, Scope, VethEnd},
};

const HOST_MAC: MacAddr = MacAddr([0xee; 6]);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    // First of all: an ordinary user enters a user namespace while there is one thread.
    rootless::enter()?;
    raise_open_file_limit()?;
    let (words, numbers): (Vec<_>, Vec<_>) = env::args().skip(1).partition(|text| text == "v4");
    let mut numbers = numbers.iter().map(|text| text.parse::<u32>());
    let pods = numbers.next().transpose()?.unwrap_or(100);
    let repeats = numbers.next().transpose()?.unwrap_or(5);
    let v4 = !words.is_empty();
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    println!("kernel {}, {pods} pods, {repeats} repetitions, v4 {v4}", release.trim());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for _ in 0..repeats {
        report("bare", pods, || {
            let made = (0..pods).map(|number| Netns::new(format!("pod{number}")));
            Ok(made.collect::<Result<Vec<_>, _>>()?)
        })?;
        report("blocking", pods, || {
            let node = new_node(v4)?;
            let made: Result<Vec<_>, Error> = (0..pods).map(|number| blocking_pod(&node, number)).collect();
            Ok((made?, node))
        })?;
        report("async", pods, || {
            let made = (0..pods).map(|number| Netns::new(format!("pod{number}")));
            runtime.block_on(async_pods(v4, made))
        })?;
        report("ahead", pods, || {
            let (send, receive) = mpsc::sync_channel(AHEAD);
            let maker = thread::spawn(move || {
                let mut made = (0..pods).map(|number| Netns::new(format!("pod{number}")));
                made.try_for_each(|pod| send.send(pod))
            });
            let lab = runtime.block_on(async_pods(v4, receive.into_iter()));
            let _ = maker.join();
            lab
        })?;
    }
    Ok(())
}

/// How many namespaces the second thread may be ahead.
const AHEAD: usize = 8;

/// Waits until the kernel has taken down what was dropped before. It does so batch by batch in
/// one worker: when a marked namespace is seen to go, all batches before its own are done.
fn settle() -> Result<(), Error> {
    let observer = Netns::new("observer")?;
    let mut monitor = Monitor::open(&observer)?;
    for mark in ["mark0", "mark1"] {
        let last = Netns::new("last")?;
        observer.blocking().add_veth(&VethEnd::new(mark), &VethEnd::new("far").in_netns(&last))?;
        drop(last);
        let gone = |change: &Change| matches!(change, Change::LinkGone(link) if link.name == mark);
        while !monitor.next(None)?.is_some_and(|event| gone(&event.change)) {}
    }
    Ok(())
}

/// Times the making and the dropping of a lab, and looks at the memory that the process takes.
fn report<T>(way: &str, pods: u32, make: impl FnOnce() -> Result<T, Error>) -> Result<(), Error> {
    settle()?;
    let begun = Instant::now();
    let lab = make()?;
    let up = begun.elapsed();
    let resident = resident_memory();
    let begun = Instant::now();
    drop(lab);
    let down = begun.elapsed();
    let each = |time: Duration| time.as_secs_f64() * 1e3 / f64::from(pods);
    println!("{way:>8}: up {:.3} ms a pod, down {:.3} ms a pod, process {resident}", each(up), each(down));
    Ok(())
}

fn resident_memory() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.unwrap_or_default().trim().to_owned()
}

fn pod_address(number: u32) -> IpNet {
    let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 42, 0, 1)) + number);
    Ipv4Net::from(address).into()
}

fn pod_mac(number: u32) -> MacAddr {
    let [a, b, c, d] = number.to_be_bytes();
    MacAddr([0x02, 0, a, b, c, d])
}

fn new_node(v4: bool) -> Result<Netns, Error> {
    let node = Netns::new("node")?;
    if v4 {
        node.sysctl().write(SysctlKey::ipv6_conf("default", "disable_ipv6"), 1)?;
    }
    Ok(node)
}

async fn host_side(node: Rtnl, pod: &Netns, number: u32) -> Result<(), RtnlError> {
    let name = format!("cali{number}");
    node.add_veth(
        &VethEnd::new(name.as_str()).mac(HOST_MAC).up(),
        &VethEnd::new("eth0").mac(pod_mac(number)).in_netns(pod),
    )
    .await?;
    node.add_route(&Route::unicast(pod_address(number)).dev(name).scope(Scope::Link)).await
}

async fn pod_side(pod: Rtnl, number: u32) -> Result<(), RtnlError> {
    pod.set_up("eth0").await?;
    pod.add_address(&Address::new("eth0", pod_address(number))).await?;
    pod.add_route(&Route::unicast(Ipv4Net::from(GATEWAY).into()).dev("eth0").scope(Scope::Link)).await?;
    pod.add_route(&Route::unicast(Ipv4Net::default().into()).via(GATEWAY).dev("eth0")).await
}

fn blocking_pod(node: &Netns, number: u32) -> Result<Netns, Error> {
    let pod = Netns::new(format!("pod{number}"))?;
    node.blocking().run(async |rtnl| host_side(rtnl, &pod, number).await)?;
    pod.blocking().run(async |rtnl| pod_side(rtnl, number).await)?;
    Ok(pod)
}

async fn async_pods(
    v4: bool,
    made: impl Iterator<Item = Result<Netns, NetnsError>>,
) -> Result<(Vec<Netns>, Netns), Error> {
    let node = new_node(v4)?;
    let node_rtnl = node.rtnl()?;
    let mut pods = Vec::new();
    for (number, pod) in (0..).zip(made) {
        let pod = pod?;
        host_side(node_rtnl.clone(), &pod, number).await?;
        pod_side(pod.rtnl()?, number).await?;
        pods.push(pod);
    }
    Ok((pods, node))
}
