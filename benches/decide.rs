//! What one decision costs: on a node with one pod, and on one with a hundred.

use arplab::addr::Mac;
use arplab::host::{HostState, LinkChange, LinkKind, Mutation, Request, decide, explain};
use arplab::wire::{Arp, Cast};
use criterion::Criterion;
use std::hint::black_box;
use std::net::Ipv4Addr;

const GATEWAY: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

fn run(state: &mut HostState, command: &str) {
    let change: Mutation = command.parse().expect("a command");
    state.apply(&change).expect(command);
}

fn interface(state: &mut HostState, name: &str) {
    let dev = name.parse().expect("a name");
    state.apply(&Mutation::LinkAdd { name: dev, kind: LinkKind::Veth, mac: None }).expect("a new interface");
    run(state, &format!("ip link set {name} up"));
    state.apply(&Mutation::LinkSet { dev, change: LinkChange::Carrier(true) }).expect("a carrier");
}

fn address(pod: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 65, 0, 2)) + pod)
}

/// A node as Calico sets it up, with so many pods.
fn node(pods: u32) -> HostState {
    let mut state = HostState::new();
    run(&mut state, "ip link set lo up");
    interface(&mut state, "up0");
    run(&mut state, "ip addr add 192.168.77.2/24 dev up0");
    run(&mut state, "ip route add default via 192.168.77.1 dev up0");
    run(&mut state, "sysctl net.ipv4.ip_forward=1");
    for pod in 0..pods {
        let name = format!("cali{pod}");
        interface(&mut state, &name);
        run(&mut state, &format!("ip route add {} dev {name} scope link", address(pod)));
        for key in ["conf.NAME.route_localnet=1", "conf.NAME.proxy_arp=1", "conf.NAME.rp_filter=1"] {
            run(&mut state, &format!("sysctl net.ipv4.{}", key.replace("NAME", &name)));
        }
        run(&mut state, &format!("sysctl net.ipv4.neigh.{name}.proxy_delay=0"));
    }
    state
}

/// The last pod asks for the gateway.
fn request(state: &HostState, pods: u32) -> Request {
    let name = format!("cali{}", pods - 1).parse().expect("a name");
    let dev = state.link_named(name).expect("the interface").index();
    let arp = Arp::request(Mac([2, 0, 10, 65, 0, 2]), address(pods - 1), GATEWAY);
    Request { dev, cast: Cast::Broadcast, arp, sender_known: true, again: false, leg: 0 }
}

fn decisions(c: &mut Criterion) {
    for pods in [1, 100] {
        let state = node(pods);
        let request = request(&state, pods);
        assert!(decide(&state, &request).reason().is_none());
        let mut silent = state.clone();
        run(&mut silent, &format!("ip route del {}", address(pods - 1)));
        assert!(decide(&silent, &request).reason().is_some());
        c.bench_function(&format!("decide/answered/{pods}"), |b| {
            b.iter(|| decide(black_box(&state), black_box(&request)));
        });
        c.bench_function(&format!("decide/silent/{pods}"), |b| {
            b.iter(|| decide(black_box(&silent), black_box(&request)));
        });
        c.bench_function(&format!("explain/answered/{pods}"), |b| {
            b.iter(|| explain(black_box(&state), black_box(&request)));
        });
    }
}

fn main() {
    // short: the figures are steady, and the machine is shared
    let time = std::time::Duration::from_secs(2);
    let mut criterion = Criterion::default().sample_size(50).measurement_time(time).configure_from_args();
    decisions(&mut criterion);
    criterion.final_summary();
}
