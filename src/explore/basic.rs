//! The basic race: the plugin makes the pod's interface, Felix makes the node answer, the pod
//! asks. Small enough to count its orders by hand, and real in what it does.

use super::program::{Program, ProgramError};
use crate::control::{Act, ActorName, Gate, Side, StepTable};
use crate::scenario::file::ClientKind;
use crate::scenario::{ClientPlan, Overrides, Plan, Scenario, Target};
use crate::time::Span;

const BARE: &str = r#"
id = "basic-race"
title = "plugin, Felix and pod"
story = "The plugin makes the interface, Felix makes the node answer, the pod asks."
mechanism = "Nothing orders Felix's steps before the pod's first request."
[certainty]
level = "plausible"
why = "it is made up to be counted"
[node]
setup = ["sysctl -w net.ipv6.conf.default.disable_ipv6=1"]
[pod]
setup = ["sysctl -w net.ipv6.conf.default.disable_ipv6=1"]
"#;

/// The plugin of the race: it makes and raises the interface and the pod's routes, and returns.
#[must_use]
pub fn plugin() -> Program {
    Program::new(ActorName::Cni)
        .step("cni.veth-create")
        .after("kubelet.sandbox-create")
        .act(Act::VethCreate { host_end: Side::Host, pod_up: false })
        .step("cni.host-mac")
        .host("ip link set {cali} address ee:ee:ee:ee:ee:ee")
        .step("cni.host-up")
        .host("ip link set {cali} up")
        .step("cni.pod-up")
        .pod("ip link set {eth} up")
        .step("cni.pod-gateway-route")
        .pod("ip route add 169.254.1.1 dev {eth} scope link")
        .step("cni.pod-default-route")
        .pod("ip route add default via 169.254.1.1 dev {eth}")
        .step("cni.pod-address")
        .pod("ip addr add {pod_ip}/32 dev {eth}")
        .step("cni.wep-write")
        .step("cni.add-return")
}

/// Felix of the race: it hears of the interface and of the endpoint, then writes the switches in
/// the order that ended the divide by zero, then the route.
#[must_use]
pub fn felix() -> Program {
    Program::new(ActorName::Felix)
        .step("felix.iface-seen")
        .after("cni.host-up")
        .step("felix.endpoint-known")
        .only_after(&["cni.wep-write"])
        .step("felix.sysctl.proxy_delay")
        .after("felix.iface-seen")
        .host("sysctl -w net.ipv4.neigh.{cali}.proxy_delay=0")
        .step("felix.sysctl.proxy_arp")
        .host("sysctl -w net.ipv4.conf.{cali}.proxy_arp=1")
        .step("felix.sysctl.forwarding")
        .host("sysctl -w net.ipv4.conf.{cali}.forwarding=1")
        .step("felix.host-route-add")
        .host("ip route add {pod_ip} dev {cali} scope link")
}

/// What the command line knows it by.
pub const ID: &str = "basic-race";

/// The scenario of the race. Its actors are not those of a version of Calico: [`race`] is its plan.
///
/// # Panics
/// Never: it is part of the program and covered by a test.
#[must_use]
pub fn scenario() -> Scenario {
    Scenario::parse(ID, BARE).unwrap_or_else(|e| panic!("{e}"))
}

/// A plan with nobody in it but the kubelet.
///
/// # Panics
/// Never: its scenario is part of the program and covered by a test.
#[must_use]
pub fn empty() -> Plan {
    let mut plan = scenario().plan(&Overrides::default()).unwrap_or_else(|e| panic!("{e}"));
    plan.actors.retain(|a| a.name() == ActorName::Kubelet);
    plan
}

/// A client of the race that asks for its gateway `asks` times, a second apart, answered or not.
#[must_use]
pub fn asker(asks: u32) -> ClientPlan {
    ClientPlan {
        name: "arping".into(),
        from: crate::addr::Side::Pod,
        kind: ClientKind::Arping,
        to: Target::Host(crate::control::GATEWAY.into()),
        gate: Gate::After(StepTable::built_in("kubelet.container-start")),
        delay: (Span::ZERO, Span::ZERO),
        interval: Span::from_secs(1),
        count: Some(asks),
        stop_after: None,
        deadline: None,
        retry: None,
        ident: 1,
        timeout: None,
        parallel: 1,
        recverr: false,
    }
}

/// The race of these two programs with a pod that asks so often.
pub fn race_of(plugin: &Program, felix: &Program, asks: u32) -> Result<Plan, ProgramError> {
    let mut plan = empty();
    plugin.install(&mut plan)?;
    felix.install(&mut plan)?;
    plan.clients = vec![asker(asks)];
    Ok(plan)
}

/// The basic race: plugin, Felix, and a pod that asks so often.
///
/// # Panics
/// Never: the programs are part of this file and covered by a test.
#[must_use]
pub fn race(asks: u32) -> Plan {
    race_of(&plugin(), &felix(), asks).unwrap_or_else(|e| panic!("{e}"))
}
