//! A node, a pod, the wire between them and everything that can be seen on it.
//!
//! ```text
//! cargo run -p netns-lab --example tour
//! ```
//!
//! Works for root and for ordinary users. The pod's address is on no common network with the
//! gateway, as in many container networks: the node answers ARP for the gateway by proxy.

use std::{net::Ipv4Addr, time::Duration};

use ipnet::{IpNet, Ipv4Net};
use netns_lab::{
    MacAddr, Monitor, Netns, PacketOptions, PacketSocket, RecvBatch, SysctlKey,
    capabilities::{self, Feature},
    monotonic_ns, rootless,
    rtnl::{Address, Neighbour, Route, Scope, VethEnd},
};

const GATEWAY: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
const POD: Ipv4Addr = Ipv4Addr::new(10, 42, 0, 7);

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    // Before any thread, and so before the runtime.
    rootless::enter()?;
    let allowed = capabilities::detect();
    print!("{allowed}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(tour(allowed.has(Feature::Tap)))
}

fn host(ip: Ipv4Addr) -> IpNet {
    Ipv4Net::from(ip).into()
}

async fn tour(with_tap: bool) -> Result<(), Error> {
    let node = Netns::new("node")?;
    let pod = Netns::new("pod")?;
    let (node_net, pod_net) = (node.rtnl()?, pod.rtnl()?);
    node_net
        .add_veth(
            &VethEnd::new("cali0").mac(MacAddr([0xee; 6])).up(),
            &VethEnd::new("eth0").mac(MacAddr([2, 0, 0, 0, 0, 7])).in_netns(&pod),
        )
        .await?;

    // Watch before anything happens.
    let started_ns = monotonic_ns();
    let mut monitor = Monitor::open(&pod)?.into_async()?;
    let wire = PacketSocket::open(&node, "cali0", &PacketOptions::new().ethertype(0x0806))?;
    let wire = wire.into_async()?;

    // The node's side: forwarding, and an answer for the gateway.
    node.sysctl().write("net.ipv4.ip_forward", 1)?;
    node.sysctl().write(SysctlKey::ipv4_neigh("cali0", "proxy_delay"), 0)?;
    node_net.add_route(&Route::unicast(host(POD)).dev("cali0").scope(Scope::Link)).await?;
    node_net.add_bridge("uplink").await?;
    node_net.set_up("uplink").await?;
    node_net.add_address(&Address::new("uplink", "192.0.2.1/24".parse()?)).await?;
    node_net
        .add_route(&Route::unicast(Ipv4Net::default().into()).via([192, 0, 2, 254]).dev("uplink"))
        .await?;
    node_net.add_neighbour(&Neighbour::proxy("cali0", GATEWAY.into())).await?;

    // The pod's side.
    pod.loopback_up()?;
    pod_net.set_up("eth0").await?;
    pod_net.add_address(&Address::new("eth0", host(POD))).await?;
    pod_net.add_route(&Route::unicast(host(GATEWAY)).dev("eth0").scope(Scope::Link)).await?;
    pod_net.add_route(&Route::unicast(Ipv4Net::default().into()).via(GATEWAY).dev("eth0")).await?;
    println!("\nroutes of the node:");
    for route in node_net.routes().await?.iter().filter(|route| route.destination.addr().is_ipv4()) {
        println!("  {route}");
    }

    // A packet of the pod's makes it ask.
    let socket = pod.exec(|| std::net::UdpSocket::bind((POD, 0)))??;
    socket.send_to(b"hello", (GATEWAY, 9))?;
    let mut batch = RecvBatch::default();
    println!("\nARP on the wire:");
    tokio::time::timeout(Duration::from_secs(5), wire.recv(&mut batch)).await??;
    for frame in batch.frames() {
        let at_us = frame.time.map_or(0, |time| time.monotonic_ns.saturating_sub(started_ns) / 1000);
        println!("  {at_us} us {:?} {:02x?}", frame.direction, frame.bytes);
    }
    println!("\nin the pod:");
    while let Ok(event) = tokio::time::timeout(Duration::from_millis(100), monitor.next()).await {
        let event = event?;
        println!("  {} us {}", event.at_ns.saturating_sub(started_ns) / 1000, event.change);
    }
    if with_tap {
        tap(&pod)?;
    }
    Ok(())
}

/// A TAP instead of a veth: this program is the wire, and looks at the first frame on it.
fn tap(pod: &Netns) -> Result<(), Error> {
    let tap = netns_lab::Tap::open(pod, "tap0")?;
    pod.blocking().set_up("tap0")?;
    let mut frame = [0; 1600];
    if let Some(length) = tap.recv(&mut frame, Some(Duration::from_secs(5)))? {
        println!("\nfirst frame out of {}: {:02x?}", tap.name(), &frame[..length.min(42)]);
    }
    Ok(())
}
