//! What the fuzz targets do with their bytes. Here, so that the stable test suite can replay the
//! corpus through the same code.

use crate::choice::Seeded;
use crate::control::Setting;
use crate::gateway::{Gateway, GatewayOutput, OutsideSpec, SmoltcpOutside};
use crate::host::{HostState, Mutation};
use crate::neigh::KernelClock;
use crate::scenario::{Overrides, Scenario};
use crate::time::{Span, Time};
use crate::wire::{Arp, ETHERTYPE_ARP, EthFrame, OP_REPLY};

/// Frames of one input.
const FRAMES_MAX: usize = 64;

/// A node as Calico leaves it, its pod's interface up.
fn node(setting: &Setting) -> HostState {
    let mut state = HostState::new();
    let commands = [
        "ip link set lo up",
        "ip link add {uplink} type ethernet",
        "ip link set {uplink} up",
        "ip addr add {node_ip}/24 dev {uplink}",
        "ip route add default via {router} dev {uplink}",
        "sysctl -w net.ipv4.ip_forward=1",
        "ip link add {cali} address ee:ee:ee:ee:ee:ee type veth",
        "sysctl -w net.ipv4.conf.{cali}.proxy_arp=1",
        "sysctl -w net.ipv4.neigh.{cali}.proxy_delay=0",
        "ip link set {cali} up",
        "ip link set {cali} carrier on",
        "ip route add {pod_ip} dev {cali} scope link",
    ];
    for command in commands {
        let change: Result<Mutation, _> = setting.expand(command).parse();
        let done = change.map(|c| state.apply(&c));
        assert!(matches!(done, Ok(Ok(_))), "{command}: {done:?}");
    }
    state
}

/// Feeds frames to a gateway and checks what it says: never a reply for the pod's own address,
/// never another MAC than the interface's, and no panic.
///
/// # Panics
/// When one of those does not hold.
pub fn gateway_frames(data: &[u8]) {
    let setting = Setting::new("default", "web-0");
    let state = node(&setting);
    let Some(dev) = state.link_named(setting.cali).map(crate::host::Link::index) else { return };
    let mut chooser = Seeded::new(1);
    let clock = KernelClock::new(crate::neigh::HZ_DEFAULT, 0);
    let spec = OutsideSpec {
        hosts: vec![[203, 0, 113, 8].into()],
        tcp: vec![([10, 43, 51, 131], 9004).into()],
        udp: vec![([10, 43, 0, 10], 53).into()],
    };
    let outside = SmoltcpOutside::new(spec, 1);
    let mut gateway = Gateway::new(state, setting.uplink, outside, Span::from_us(400), clock, &mut chooser);
    let mut now = Time::ZERO;
    for frame in frames(data).take(FRAMES_MAX) {
        gateway.receive(now, dev, frame, &mut chooser);
        check(&mut gateway, &setting);
        now += Span::from_ms(50);
        if gateway.poll_timeout().is_some_and(|t| t <= now) {
            gateway.handle_timeout(now, &mut chooser);
            check(&mut gateway, &setting);
        }
    }
}

/// The frames of an input, each behind its length.
fn frames(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    core::iter::from_fn(move || {
        let (len, rest) = data.split_first_chunk::<2>()?;
        let len = usize::from(u16::from_be_bytes(*len)).min(rest.len());
        let (frame, rest) = rest.split_at(len);
        data = rest;
        Some(frame)
    })
}

fn check(gateway: &mut Gateway<SmoltcpOutside>, setting: &Setting) {
    while let Some(output) = gateway.poll_output() {
        let GatewayOutput::Transmit { frame, .. } = output else { continue };
        let Ok(eth) = EthFrame::parse(&frame) else { panic!("the gateway sent what is no frame") };
        assert_eq!(eth.src, crate::addr::Mac::CALICO, "sent from a MAC that is not the interface's");
        if eth.ethertype != ETHERTYPE_ARP {
            continue;
        }
        let Ok(arp) = Arp::parse(eth.payload) else { panic!("the gateway sent malformed ARP") };
        if arp.op == OP_REPLY {
            assert_eq!(arp.sha, crate::addr::Mac::CALICO);
            assert_ne!(arp.spa, setting.pod_ip, "answered for the pod's own address");
        }
    }
}

/// Reads a scenario file: a scenario that can be planned, or an error that points into the text.
///
/// # Panics
/// When an error points outside the text.
pub fn scenario_file(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    match Scenario::parse("fuzz.toml", text) {
        Ok(scenario) => {
            // a refusal of its set-up is an answer too
            let _ = scenario.plan(&Overrides::default());
        }
        Err(error) => {
            let (line, column) = error.place();
            assert!(line >= 1 && column >= 1);
            assert!(!error.to_string().is_empty());
        }
    }
}
