//! The smallest Calico node: one pod behind one veth, an uplink, a server in the world. Its names
//! and addresses are those of the recordings, so that what a recording shows can be said of it.

use super::{Bench, Pair, Wire};
use crate::addr::{IfName, Mac, VethEnds};
use crate::choice::Chooser;
use crate::gateway::{Endpoint, Gateway, Outside, Reflex, ReflexOutside, Service};
use crate::host::{HostState, IfIndex, LinkChange, Mutation};
use crate::neigh::KernelClock;
use crate::pod::Pod;
use crate::time::{Span, Time};
use std::net::{IpAddr, Ipv4Addr};

/// The host's end of the pod's veth.
pub const HOST_END: IfName = IfName::literal("cali0");
/// The host's uplink.
pub const UPLINK: IfName = IfName::literal("up0");
/// The pod's end.
pub const POD_END: IfName = IfName::literal("eth0");
/// The server in the world.
pub const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 10));
/// The server's port that accepts TCP connections and echoes datagrams.
pub const PORT: u16 = 7;

/// What Calico's plugin and Felix leave behind on a node, as commands.
pub const HOST_COMMANDS: &[&str] = &[
    "ip link set lo up",
    "ip link set cali0 address ee:ee:ee:ee:ee:ee",
    "ip link set cali0 up",
    "ip link set up0 up",
    "ip addr add 192.168.77.2/24 dev up0",
    "ip route add 10.65.0.2 dev cali0 scope link",
    "ip route add default via 192.168.77.1 dev up0",
    "sysctl -w net.ipv4.ip_forward=1",
    "sysctl -w net.ipv4.conf.cali0.route_localnet=1",
    "sysctl -w net.ipv4.neigh.cali0.proxy_delay=0",
    "sysctl -w net.ipv4.conf.cali0.proxy_arp=1",
    "sysctl -w net.ipv4.conf.cali0.forwarding=1",
    "sysctl -w net.ipv4.conf.cali0.rp_filter=1",
];

/// What the plugin leaves behind in a pod, as commands.
pub const POD_COMMANDS: &[&str] = &[
    "ip link set lo up",
    "ip link set eth0 address 02:00:0a:41:00:02",
    "ip link set eth0 up",
    "ip addr add 10.65.0.2/32 dev eth0",
    "ip route add 169.254.1.1 dev eth0 scope link",
    "ip route add default via 169.254.1.1 dev eth0",
];

/// A namespace with those interfaces, all with carrier, and nothing configured.
#[must_use]
pub fn namespace(devices: &[IfName]) -> HostState {
    let mut state = HostState::new();
    for name in devices {
        let kind = crate::host::LinkKind::Veth;
        for change in [
            Mutation::LinkAdd { name: *name, kind, mac: None },
            Mutation::LinkSet { dev: *name, change: LinkChange::Carrier(true) },
        ] {
            // a new interface of a new name in a new namespace: there is nothing to refuse
            let _ = state.apply(&change);
        }
    }
    state
}

/// The index of an interface the laboratory has.
///
/// # Panics
/// When the namespace has no interface of that name.
#[must_use]
pub fn index(state: &HostState, name: IfName) -> IfIndex {
    let link = state.link_named(name);
    link.map_or_else(|| panic!("no interface {name}"), crate::host::Link::index)
}

fn configured(devices: &[IfName], commands: &[&str]) -> HostState {
    let mut state = namespace(devices);
    for command in commands {
        let change: Mutation = command.parse().unwrap_or_else(|e| panic!("{e}"));
        state.apply(&change).unwrap_or_else(|e| panic!("{e}"));
    }
    state
}

/// The node as it is when everything is right.
#[must_use]
pub fn host_state() -> HostState {
    configured(&[HOST_END, UPLINK], HOST_COMMANDS)
}

/// The pod as the plugin leaves it.
#[must_use]
pub fn pod_state() -> HostState {
    configured(&[POD_END], POD_COMMANDS)
}

/// The server's world.
#[must_use]
pub fn world() -> ReflexOutside {
    let services = [Service::Host, Service::Tcp(PORT), Service::Udp(PORT)];
    Reflex::new(&services.map(|service| Endpoint { addr: SERVER, service })).into()
}

/// Joins the two states by a veth that takes no time, with the world no time away.
#[must_use]
pub fn bench<O: Outside>(
    host: HostState,
    pod: HostState,
    world: O,
    clock: KernelClock,
    chooser: &mut dyn Chooser,
) -> Bench<O> {
    let eth = index(&pod, POD_END);
    let pod_mac = pod.link(eth).map_or(Mac::ZERO, crate::host::Link::mac);
    let pod = Pod::new(pod, eth, clock, chooser);
    let gateway = Gateway::new(host, UPLINK, world, Span::ZERO, clock, chooser);
    let wire = Wire {
        ends: VethEnds { cali: HOST_END, eth: POD_END, pod_mac },
        latency: Span::ZERO,
        plain: false,
        purged_by_all: false,
        faults: Vec::new(),
    };
    let mut pair = Pair::of(gateway, pod, wire);
    pair.adopt();
    Bench::new(pair, Time::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Side;
    use crate::choice::{First, Seeded};
    use crate::pair::{Input, PairOutput};
    use crate::pod::{ClientSpec, ConnectSpec, Fate, PingSpec, SocketError};
    use core::ops::ControlFlow;

    fn lab() -> Bench<ReflexOutside> {
        bench(host_state(), pod_state(), world(), KernelClock::new(250, 1_000_000), &mut First)
    }

    fn silent() -> Mutation {
        "sysctl -w net.ipv4.conf.cali0.proxy_arp=0".parse().unwrap()
    }

    fn watch_nothing(_: Time, _: &PairOutput) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    #[test]
    fn a_right_node_answers_at_once() {
        let mut lab = lab();
        let ping = lab.pair.add_client(ClientSpec::Ping(PingSpec { count: Some(3), ..PingSpec::to(SERVER) }));
        let dial = lab.pair.add_client(ClientSpec::TcpConnect(ConnectSpec::once((SERVER, PORT).into())));
        lab.at(Time::ZERO, Input::Start(ping));
        lab.at(Time::ZERO, Input::Start(dial));
        lab.run(Time::ZERO + Span::from_secs(10), &mut First, &mut watch_nothing);
        assert_eq!(lab.pair.outcome(ping).received, 3);
        assert_eq!(lab.pair.outcome(dial).delay(), Some(Span::ZERO));
        assert!(lab.pair.pod().finished());
    }

    #[test]
    fn silence_kills_a_connect_after_three_seconds_and_a_ping_says_so() {
        let mut lab = lab();
        lab.apply(Side::Host, &silent(), &mut First, &mut watch_nothing).unwrap();
        let ping = lab.pair.add_client(ClientSpec::Ping(PingSpec::to(SERVER)));
        let dial = lab.pair.add_client(ClientSpec::TcpConnect(ConnectSpec::once((SERVER, PORT).into())));
        lab.at(Time::ZERO, Input::Start(ping));
        lab.at(Time::ZERO, Input::Start(dial));
        lab.run(Time::ZERO + Span::from_secs(4), &mut Seeded::new(1), &mut watch_nothing);
        let dialled = lab.pair.outcome(dial).attempts[0];
        assert_eq!(dialled.fate, Fate::Failed(crate::pod::Failure::Socket(SocketError::Ehostunreach)));
        assert!((3048..=3081).contains(&dialled.took().unwrap().as_ms()), "{dialled:?}");
        assert!(matches!(lab.pair.outcome(ping).errors, 3 | 4));
    }
}
