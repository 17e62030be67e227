//! Calico's CNI plugin: ADD, step by step, in the order of the version's source
//! (`DoNetworking` in cni-plugin/pkg/dataplane/linux/dataplane_linux.go; in v3.13
//! internal/pkg/utils/network_linux.go).

use super::act::{Act, Side};
use super::actor::{Cx, Happening, Lane, Task, TaskResult, Wait};
use super::setting::{GATEWAY, Setting};
use super::step::{StepId, StepTable};
use super::version::CalicoVersion;
use crate::addr::{IfName, Mac};
use crate::host::conf::{Conf4, Conf6, NeighVar, Scope, SysctlKey};
use crate::host::{AddrTerms, LinkChange, Mutation, Op, RouteSpec, RtScope};
use crate::time::Span;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use smallvec::SmallVec;
use std::net::{Ipv4Addr, Ipv6Addr};

/// What is configured for the plugin beyond its version.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct CniOptions {
    /// `policy_setup_timeout_seconds` (v3.28 on): wait for Felix's endpoint status, at most so
    /// long; `None` is off, the default.
    pub endpoint_status_wait: Option<Span>,
    /// `cni.projectcalico.org/hwAddr` (v3.24 on): a MAC for the pod end.
    pub pod_hwaddr: Option<Mac>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Do {
    DeleteOld,
    Create,
    HostMac,
    HostMacCheck,
    HostUpInPod,
    PodUp,
    PodHwaddr,
    GatewayRoute,
    DefaultRoute,
    PodAddress,
    PodSysctls,
    PodIpv6,
    Move,
    RouteLocalnet,
    ProxyDelay,
    ProxyArp,
    Forwarding,
    SysctlIpv6,
    HostUp,
    HostRoute,
    WriteWep,
    WaitStatus,
    Return,
}

impl Do {
    /// Name of the step and how long it takes, in microseconds: one netlink request or one write
    /// below /proc, a move that waits for readers of the device, a write to the API server.
    const fn step(self) -> (&'static str, u64, u64) {
        match self {
            Do::DeleteOld => ("cni.delete-old-veth", 40, 200),
            Do::Create => ("cni.veth-create", 300, 1_500),
            Do::HostMac => ("cni.host-mac", 40, 150),
            Do::HostMacCheck => ("cni.host-mac-check", 100, 300),
            Do::HostUpInPod => ("cni.host-up-in-pod-ns", 60, 300),
            Do::PodUp => ("cni.pod-up", 60, 300),
            Do::PodHwaddr => ("cni.pod-hwaddr", 40, 150),
            Do::GatewayRoute => ("cni.pod-gateway-route", 30, 120),
            Do::DefaultRoute => ("cni.pod-default-route", 30, 120),
            Do::PodAddress => ("cni.pod-address", 30, 120),
            Do::PodSysctls => ("cni.pod-sysctls", 20, 80),
            Do::PodIpv6 => ("cni.pod-ipv6", 100, 600),
            Do::Move => ("cni.move-host-end", 5_000, 30_000),
            Do::RouteLocalnet => ("cni.sysctl.route_localnet", 20, 80),
            Do::ProxyDelay => ("cni.sysctl.proxy_delay", 20, 80),
            Do::ProxyArp => ("cni.sysctl.proxy_arp", 20, 80),
            Do::Forwarding => ("cni.sysctl.forwarding", 20, 80),
            Do::SysctlIpv6 => ("cni.sysctl.ipv6", 60, 240),
            Do::HostUp => ("cni.host-up", 60, 300),
            Do::HostRoute => ("cni.host-route-add", 30, 120),
            Do::WriteWep => ("cni.wep-write", 4_000, 25_000),
            Do::WaitStatus => ("cni.wait-endpoint-status", 0, 0),
            Do::Return => ("cni.add-return", 200, 1_000),
        }
    }
}

/// The plugin at work.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Cni {
    version: CalicoVersion,
    options: CniOptions,
    program: Vec<Do>,
    at: u16,
    /// How often the host end's MAC was set and read back (v3.32 on).
    mac_tries: u8,
}

const MAIN: Lane = Lane(0);
/// The note of a task that is no step of ADD.
const DEL: u32 = u32::MAX;
/// Pause before the MAC is set again (v3.32 on, PR #11336), and how often: five seconds in all.
const MAC_PAUSE: Span = Span::from_ms(100);
const MAC_TRIES: u8 = 50;

impl Cni {
    /// The plugin of a version.
    #[must_use]
    pub fn new(version: CalicoVersion, options: CniOptions, setting: &Setting) -> Cni {
        let program = program(version, &options, (!setting.only_ip6, setting.pod_ip6.is_some()));
        Cni { version, options, program, at: 0, mac_tries: 0 }
    }

    /// The names of the steps of ADD, in order.
    #[must_use]
    pub fn steps(&self) -> Vec<&'static str> {
        self.program.iter().map(|d| d.step().0).collect()
    }

    pub(super) fn notice(&mut self, what: Happening, cx: &mut Cx<'_>) {
        if what == Happening::Done(StepTable::built_in("kubelet.sandbox-create")) {
            self.at = 0;
            self.mac_tries = 0;
            self.push(cx);
        } else if what == Happening::Done(StepTable::built_in("kubelet.sandbox-delete")) {
            let step = StepTable::built_in("cni.del");
            cx.push(Task {
                step,
                lane: MAIN,
                arg: DEL,
                takes: (Span::from_ms(5), Span::from_ms(40)),
                wait: None,
            });
        }
    }

    fn push(&self, cx: &mut Cx<'_>) {
        let Some(doing) = self.program.get(self.at as usize) else { return };
        let (name, from, to) = doing.step();
        let wait = (*doing == Do::WaitStatus).then(|| Wait {
            step: StepTable::built_in("felix.endpoint-status"),
            timeout: self.options.endpoint_status_wait.unwrap_or(Span::ZERO),
        });
        let takes = (Span::from_us(from), Span::from_us(to));
        cx.push(Task { step: StepTable::built_in(name), lane: MAIN, arg: u32::from(self.at), takes, wait });
    }

    pub(super) fn acts(&self, task: &Task, cx: &Cx<'_>) -> SmallVec<[Act; 2]> {
        if task.arg == DEL {
            return SmallVec::from_iter([Act::VethDelete { from: Side::Pod }]);
        }
        match self.program.get(task.arg as usize) {
            Some(doing) if task.step != StepTable::built_in("cni.add-fail") => {
                acts(*doing, self.version, &self.options, cx)
            }
            _ => SmallVec::from_iter([Act::Mark]),
        }
    }

    pub(super) fn done(&mut self, task: &Task, result: &TaskResult, cx: &mut Cx<'_>) {
        let failed: StepId = StepTable::built_in("cni.add-fail");
        if task.arg == DEL {
            return;
        }
        match result {
            TaskResult::Done if task.step != failed => {
                if self.must_set_mac_again(cx) {
                    return;
                }
                self.at += 1;
                self.push(cx);
            }
            TaskResult::Done => {}
            TaskResult::Refused(_) => Self::fail(cx),
        }
    }

    /// ADD returns the error; what was made so far stays until DEL.
    fn fail(cx: &mut Cx<'_>) {
        let takes = (Span::from_us(200), Span::from_ms(1));
        cx.push(Task { step: StepTable::built_in("cni.add-fail"), lane: MAIN, arg: 0, takes, wait: None });
    }

    /// From v3.32 on the MAC is read back: somebody may have set another. Then it is set again
    /// after a pause.
    fn must_set_mac_again(&mut self, cx: &mut Cx<'_>) -> bool {
        let checked = self.program.get(self.at as usize) == Some(&Do::HostMacCheck);
        let wrong = cx.host.link_named(cx.setting.cali).is_some_and(|l| l.mac() != Mac::CALICO);
        if !checked || !wrong {
            return false;
        }
        self.mac_tries += 1;
        if self.mac_tries >= MAC_TRIES {
            Self::fail(cx);
            return true;
        }
        self.at -= 1;
        let step = StepTable::built_in("cni.host-mac");
        cx.push(Task {
            step,
            lane: MAIN,
            arg: u32::from(self.at),
            takes: (MAC_PAUSE, MAC_PAUSE),
            wait: None,
        });
        true
    }
}

/// The order of the steps (catalogue 5.1 to 5.6), for a pod with IPv4, with IPv6, or both: what is of a family that
/// the pod has not is left out (`hasIPv4`, `hasIPv6` of `DoNetworking`).
fn program(version: CalicoVersion, options: &CniOptions, (v4, v6): (bool, bool)) -> Vec<Do> {
    let mut p = vec![Do::DeleteOld, Do::Create, Do::HostMac];
    p.extend((version >= CalicoVersion::V3_32).then_some(Do::HostMacCheck));
    let hwaddr = options.pod_hwaddr.is_some() && version >= CalicoVersion::V3_24;
    let pod_routes = |p: &mut Vec<Do>| {
        if v4 {
            p.extend([Do::GatewayRoute, Do::DefaultRoute]);
        }
        p.extend(v6.then_some(Do::PodIpv6));
        p.extend([Do::PodAddress, Do::PodSysctls]);
    };
    let sysctls = |p: &mut Vec<Do>| {
        if v4 {
            p.extend(version.writes_route_localnet().then_some(Do::RouteLocalnet));
            p.extend([Do::ProxyDelay, Do::ProxyArp, Do::Forwarding]);
        }
        p.extend(v6.then_some(Do::SysctlIpv6));
    };
    if version.moves_host_end() {
        p.push(Do::HostUpInPod);
        // v3.13 creates the pod end up
        p.extend((version >= CalicoVersion::V3_24).then_some(Do::PodUp));
        p.extend(hwaddr.then_some(Do::PodHwaddr));
        pod_routes(&mut p);
        p.push(Do::Move);
        if version.plugin_configures_host() {
            sysctls(&mut p);
        }
        p.push(Do::HostUp);
    } else {
        sysctls(&mut p);
        p.extend([Do::HostUp, Do::PodUp]);
        p.extend(hwaddr.then_some(Do::PodHwaddr));
        pod_routes(&mut p);
    }
    p.extend(version.plugin_configures_host().then_some(Do::HostRoute));
    p.push(Do::WriteWep);
    let waits = options.endpoint_status_wait.is_some() && version >= CalicoVersion::V3_28;
    p.extend(waits.then_some(Do::WaitStatus));
    p.push(Do::Return);
    p
}

fn acts(doing: Do, version: CalicoVersion, options: &CniOptions, cx: &Cx<'_>) -> SmallVec<[Act; 2]> {
    let s = cx.setting;
    let host_side = if version.moves_host_end() { Side::Pod } else { Side::Host };
    let link = |side, dev, change| Act::Change(side, Mutation::LinkSet { dev, change });
    let one = |act: Act| SmallVec::from_iter([act]);
    match doing {
        Do::DeleteOld => one(Act::VethDelete { from: Side::Host }),
        Do::Create => one(Act::VethCreate { host_end: host_side, pod_up: version <= CalicoVersion::V3_13 }),
        // a failed call only warns, and the random MAC stays
        Do::HostMac => {
            let change = LinkChange::Address(Mac::CALICO);
            let mut acts = one(Act::Try(host_side, Mutation::LinkSet { dev: s.cali, change }));
            if s.pod_ip6.is_some() && version >= CalicoVersion::V3_24 {
                acts.push(Act::Change(Side::Pod, conf6(s.eth, Conf6::AcceptDad, 0)));
                if version.moves_host_end() {
                    // lost again when the host end is moved
                    acts.push(Act::Change(Side::Pod, conf6(s.cali, Conf6::AcceptDad, 0)));
                }
            }
            acts
        }
        Do::HostUpInPod => one(link(Side::Pod, s.cali, LinkChange::Up(true))),
        Do::PodUp => one(link(Side::Pod, s.eth, LinkChange::Up(true))),
        Do::PodHwaddr => {
            one(link(Side::Pod, s.eth, LinkChange::Address(options.pod_hwaddr.unwrap_or(s.pod_mac))))
        }
        Do::GatewayRoute => {
            let spec = RouteSpec { scope: Some(RtScope::LINK), ..RouteSpec::direct(host4(GATEWAY), s.eth) };
            one(Act::Change(Side::Pod, Mutation::Route { op: Op::Add, spec }))
        }
        Do::DefaultRoute => {
            let all = Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0);
            let spec = RouteSpec::through(all, GATEWAY.into(), Some(s.eth));
            one(Act::Change(Side::Pod, Mutation::Route { op: Op::Add, spec }))
        }
        Do::PodAddress => pod_addresses(s),
        Do::PodSysctls => {
            // allow_ip_forwarding is off by default
            let key = if s.only_ip6 {
                SysctlKey::Conf6(Scope::All, Conf6::Forwarding)
            } else {
                SysctlKey::Global(crate::host::conf::Global::IpForward)
            };
            one(Act::Change(Side::Pod, Mutation::Sysctl { key, value: 0 }))
        }
        Do::PodIpv6 => pod_ipv6(version, cx),
        Do::Move => one(Act::VethMove),
        Do::RouteLocalnet => one(Act::Change(Side::Host, conf4(s.cali, Conf4::RouteLocalnet, 1))),
        Do::ProxyDelay => {
            let write = proxy_delay(s.cali);
            one(if version.proxy_delay_is_fatal() {
                Act::Change(Side::Host, write)
            } else {
                Act::Try(Side::Host, write)
            })
        }
        Do::ProxyArp => one(Act::Change(Side::Host, conf4(s.cali, Conf4::ProxyArp, 1))),
        Do::Forwarding => one(Act::Change(Side::Host, conf4(s.cali, Conf4::Forwarding, 1))),
        Do::SysctlIpv6 => host_sysctls6(version, s),
        Do::HostUp => one(link(Side::Host, s.cali, LinkChange::Up(true))),
        Do::HostRoute => host_routes(s, Op::Add),
        Do::HostMacCheck | Do::WriteWep | Do::WaitStatus | Do::Return => one(Act::Mark),
    }
}

pub(super) fn conf4(dev: IfName, key: Conf4, value: i32) -> Mutation {
    Mutation::Sysctl { key: SysctlKey::Conf4(Scope::Dev(dev), key), value }
}

pub(super) fn conf6(dev: IfName, key: Conf6, value: i32) -> Mutation {
    Mutation::Sysctl { key: SysctlKey::Conf6(Scope::Dev(dev), key), value }
}

pub(super) fn proxy_delay(dev: IfName) -> Mutation {
    Mutation::Sysctl { key: SysctlKey::Neigh4(Scope::Dev(dev), NeighVar::ProxyDelay), value: 0 }
}

pub(super) fn host4(ip: Ipv4Addr) -> IpNet {
    Ipv4Net::new_assert(ip, 32).into()
}

pub(super) fn host6(ip: Ipv6Addr) -> IpNet {
    Ipv6Net::new_assert(ip, 128).into()
}

/// The host's routes to the pod's addresses, scope link as the plugin writes them.
pub(super) fn host_routes(s: &Setting, op: Op) -> SmallVec<[Act; 2]> {
    let route = |spec| Act::Change(Side::Host, Mutation::Route { op, spec });
    let mut acts = SmallVec::new();
    if !s.only_ip6 {
        let spec = RouteSpec { scope: Some(RtScope::LINK), ..RouteSpec::direct(host4(s.pod_ip), s.cali) };
        acts.push(route(spec));
    }
    acts.extend(s.pod_ip6.map(|ip| route(RouteSpec::direct(host6(ip), s.cali))));
    acts
}

fn pod_addresses(s: &Setting) -> SmallVec<[Act; 2]> {
    let add = |net| {
        let change = Mutation::AddrAdd {
            dev: s.eth,
            net,
            scope: None,
            nodad: true,
            broadcast: None,
            terms: AddrTerms::default(),
        };
        Act::Change(Side::Pod, change)
    };
    let v4 = Mutation::AddrAdd {
        dev: s.eth,
        net: host4(s.pod_ip),
        scope: None,
        nodad: false,
        broadcast: None,
        terms: AddrTerms::default(),
    };
    let mut acts = SmallVec::new();
    if !s.only_ip6 {
        acts.push(Act::Change(Side::Pod, v4));
    }
    acts.extend(s.pod_ip6.map(|ip| add(host6(ip))));
    acts
}

/// The pod's IPv6 gateway is whatever link-local address the host end has at that moment. From
/// v3.32 on (PR #11182) it must be the one that belongs to ee:ee:ee:ee:ee:ee; otherwise the host
/// end is set down, given its MAC and set up again.
fn pod_ipv6(version: CalicoVersion, cx: &Cx<'_>) -> SmallVec<[Act; 2]> {
    let s = cx.setting;
    let all = Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0);
    let expected = Mac::CALICO.link_local();
    let seen = cx
        .host
        .link_named(s.cali)
        .and_then(|l| l.addrs6().iter().map(|a| a.net.addr()).find(Ipv6Addr::is_unicast_link_local))
        .unwrap_or(expected);
    let mut acts = SmallVec::from_iter([Act::Change(Side::Pod, conf6(s.eth, Conf6::DisableIpv6, 0))]);
    let mut gateway = seen;
    if version >= CalicoVersion::V3_32 && seen != expected {
        let set = |change| Act::Change(Side::Host, Mutation::LinkSet { dev: s.cali, change });
        acts.extend([
            set(LinkChange::Up(false)),
            set(LinkChange::Address(Mac::CALICO)),
            set(LinkChange::Up(true)),
        ]);
        gateway = expected;
    }
    let spec = RouteSpec::through(all, gateway.into(), Some(s.eth));
    acts.push(Act::Change(Side::Pod, Mutation::Route { op: Op::Add, spec }));
    acts
}

fn host_sysctls6(version: CalicoVersion, s: &Setting) -> SmallVec<[Act; 2]> {
    let mut acts = SmallVec::new();
    if !version.moves_host_end() {
        acts.push(Act::Change(Side::Host, conf6(s.cali, Conf6::AcceptDad, 0)));
    }
    for (key, value) in [(Conf6::DisableIpv6, 0), (Conf6::ProxyNdp, 1), (Conf6::Forwarding, 1)] {
        acts.push(Act::Change(Side::Host, conf6(s.cali, key, value)));
    }
    if version >= CalicoVersion::V3_24 {
        acts.push(Act::Try(Side::Host, conf6(s.cali, Conf6::AcceptRa, 0)));
    }
    acts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(version: CalicoVersion) -> Vec<&'static str> {
        Cni::new(version, CniOptions::default(), &Setting::new("default", "web-0")).steps()
    }

    fn place(steps: &[&str], name: &str) -> usize {
        steps.iter().position(|s| *s == name).unwrap_or_else(|| panic!("{name} in {steps:?}"))
    }

    #[test]
    fn switches_are_written_before_the_host_end_is_up_in_every_version() {
        for version in CalicoVersion::ALL.into_iter().filter(|v| v.plugin_configures_host()) {
            let s = steps(version);
            assert!(place(&s, "cni.sysctl.forwarding") < place(&s, "cni.host-up"), "{version}");
            // the order that ended the divide by zero (felix #1937)
            assert!(place(&s, "cni.sysctl.proxy_delay") < place(&s, "cni.sysctl.proxy_arp"), "{version}");
        }
    }

    #[test]
    fn from_v3_27_the_host_route_comes_last() {
        let old = steps(CalicoVersion::V3_26);
        let new = steps(CalicoVersion::V3_27);
        assert!(place(&old, "cni.pod-up") < place(&old, "cni.sysctl.proxy_arp"));
        assert!(place(&new, "cni.pod-up") > place(&new, "cni.sysctl.proxy_arp"));
        assert_eq!(place(&new, "cni.host-route-add") + 1, place(&new, "cni.wep-write"));
        assert!(!new.contains(&"cni.move-host-end"));
    }

    #[test]
    fn a_pod_with_ipv6_alone_has_no_step_of_ipv4() {
        let of_v4 = [
            "cni.pod-gateway-route",
            "cni.pod-default-route",
            "cni.sysctl.proxy_arp",
            "cni.sysctl.forwarding",
        ];
        for version in CalicoVersion::ALL {
            let mut setting = Setting::new("default", "web-0");
            let v4 = Cni::new(version, CniOptions::default(), &setting).steps();
            (setting.only_ip6, setting.pod_ip6) = (true, Some(Ipv6Addr::LOCALHOST));
            let v6 = Cni::new(version, CniOptions::default(), &setting).steps();
            assert!(of_v4.iter().all(|step| !v6.contains(step)), "{version}: {v6:?}");
            assert!(v6.contains(&"cni.pod-ipv6") && v6.contains(&"cni.pod-address"), "{version}: {v6:?}");
            assert_eq!(v6.contains(&"cni.sysctl.ipv6"), v4.contains(&"cni.sysctl.proxy_arp"), "{version}");
            let acts = host_routes(&setting, Op::Add);
            assert!(
                matches!(&acts[..], [Act::Change(Side::Host, Mutation::Route { spec, .. })] if spec.dst == host6(Ipv6Addr::LOCALHOST))
            );
        }
    }

    #[test]
    fn before_2017_the_plugin_leaves_the_host_alone() {
        let s = steps(CalicoVersion::FelixOnly);
        assert!(s.iter().all(|n| !n.contains("sysctl.p") && *n != "cni.host-route-add"), "{s:?}");
    }
}
