//! Random scenario files: every text that comes out is valid.

use proptest::collection::vec;
use proptest::prelude::*;
use std::fmt::Write;

const VERSIONS: [&str; 11] =
    ["felix-only", "v3.13", "v3.24", "v3.26", "v3.27", "v3.28", "v3.29", "v3.30", "v3.31", "v3.32", "master"];

const STEPS: [&str; 14] = [
    "kubelet.container-start",
    "cni.veth-create",
    "cni.host-mac",
    "cni.move-host-end",
    "cni.sysctl.proxy_arp",
    "cni.host-up",
    "cni.host-route-add",
    "cni.add-return",
    "felix.iface-seen",
    "felix.endpoint-known",
    "felix.apply",
    "felix.sysctl.proxy_arp",
    "felix.host-route-add",
    "felix.host-route-del",
];

/// Commands that change who answers, on the node before the pod comes.
const NODE: [&str; 8] = [
    "sysctl -w net.ipv4.conf.default.rp_filter=0",
    "sysctl -w net.ipv4.conf.default.rp_filter=2",
    "sysctl -w net.ipv4.conf.all.arp_ignore=2",
    "sysctl -w net.ipv4.neigh.default.proxy_delay=80",
    "sysctl -w net.ipv4.conf.default.arp_filter=1",
    "ip route del default",
    "ip route add blackhole 10.42.0.0/24",
    "ip rule add from 10.42.0.0/16 lookup 100 priority 900",
];

/// The pod's address in every one of them.
pub(crate) const POD: &str = "10.42.0.123";

fn millis(max: u32) -> impl Strategy<Value = String> {
    prop_oneof![Just("0s".to_owned()), (1..max).prop_map(|ms| format!("{ms}ms"))]
}

fn hold() -> impl Strategy<Value = String> {
    let end = prop_oneof![
        4 => millis(20_000).prop_map(|t| format!("for = {t:?}")),
        1 => (1..9_u32).prop_map(|n| format!("until-requests = {n}")),
        1 => Just("until = \"cni.add-return\"".to_owned()),
        1 => Just("until = \"felix.endpoint-known\"".to_owned()),
        1 => Just("never = true".to_owned()),
    ];
    (prop::sample::select(&STEPS[..]), end, any::<bool>()).prop_filter_map(
        "waits for itself",
        |(s, end, every)| {
            let every = if every { "every = true\n" } else { "" };
            (!end.contains(s)).then(|| format!("[[hold]]\nstep = \"{s}\"\n{end}\n{every}"))
        },
    )
}

fn client() -> impl Strategy<Value = String> {
    let what = prop_oneof![
        (1..30_u32).prop_map(|n| format!("kind = \"ping\"\nto = \"203.0.113.8\"\ncount = {n}")),
        Just("kind = \"ping\"\nto = \"203.0.113.99\"\ncount = 3".to_owned()),
        Just("kind = \"tcp-connect\"\nto = \"10.43.51.131:9004\"".to_owned()),
        Just(
            "kind = \"tcp-connect\"\nto = \"10.43.51.131:9004\"\nretry = \"1s\"\ndeadline = \"30s\""
                .to_owned()
        ),
        (1..10_u32).prop_map(|n| format!("kind = \"udp\"\nto = \"10.43.0.10:53\"\ncount = {n}")),
        Just("kind = \"tcp-stream\"\nto = \"10.43.51.131:9004\"\ncount = 5".to_owned()),
        Just("kind = \"arping\"\nto = \"169.254.1.1\"\ncount = 4".to_owned()),
        Just(format!("kind = \"arping\"\nto = \"{POD}\"\ncount = 3")),
        Just("kind = \"arping\"\nto = \"10.42.0.7\"\ncount = 3".to_owned()),
    ];
    (what, millis(5_000), prop::sample::select(&["kubelet.container-start", "cni.pod-default-route"][..]))
        .prop_map(|(what, delay, after)| format!("{what}\ndelay = {delay:?}\nafter = \"{after}\"\n"))
}

fn fault() -> impl Strategy<Value = String> {
    let which = prop_oneof![
        Just("frame = \"arp-request\"\nfrom = \"pod\""),
        Just("frame = \"arp-reply\"\nfrom = \"host\""),
        Just("frame = \"ip\""),
        Just("frame = \"any\""),
        Just("frame = \"arp-request\"\ngroup = true"),
    ];
    let action = prop_oneof![
        Just("drop = true".to_owned()),
        millis(3_000).prop_map(|t| format!("delay = {t:?}")),
        (1..50_u32).prop_map(|ms| format!("duplicate = \"{ms}ms\"")),
        Just("reorder = true".to_owned()),
        Just("corrupt = true".to_owned()),
    ];
    let amount = prop_oneof![
        (1..6_u32).prop_map(|n| format!("nth = {n}")),
        (1..1000_u32).prop_map(|n| format!("per-mille = {n}")),
    ];
    (which, action, amount).prop_map(|(w, a, n)| format!("[[fault]]\n{w}\n{a}\n{n}\n"))
}

/// The text of a scenario file.
pub(crate) fn scenario() -> impl Strategy<Value = String> {
    let version = prop::sample::select(&VERSIONS[..]);
    let node = prop::sample::subsequence(&NODE[..], 0..=2);
    (version, node, vec(hold(), 0..4), vec(client(), 1..4), vec(fault(), 0..3)).prop_map(
        |(version, node, holds, clients, faults)| {
            let mut text = "id = \"random\"\ntitle = \"Random\"\nduration = \"60s\"\n\n".to_owned();
            write!(text, "[calico]\nversion = \"{version}\"\n\n[node]\nsetup = {node:?}\n\n").unwrap();
            write!(text, "[world]\nudp = [\"10.43.0.10:53\"]\n\n").unwrap();
            holds.iter().chain(&faults).for_each(|part| text.push_str(part));
            for (at, part) in clients.iter().enumerate() {
                write!(text, "[[client]]\nname = \"c{at}\"\n{part}").unwrap();
            }
            text
        },
    )
}
