//! Felix: sees interfaces and endpoints, and configures what belongs together.
//!
//! # Theory of operation
//!
//! Three goroutines matter here, one lane each. The *interface monitor* hears of links from
//! netlink; a link that stops is believed only after the flap-damping delay. The *calculation
//! graph* hears of endpoints from the datastore. The *main loop* takes both in and, when the
//! throttle has a token (ten, one more each 100 ms), makes a pass: write the switches of every
//! interface that came up or whose endpoint changed, then program routes, then report.
//!
//! What Felix does not do is as important: it rewrites no switch that somebody else changed, and
//! an interface it could not configure waits for the next pass, whatever causes it
//! (felix/dataplane/linux/endpoint_mgr.go, int_dataplane.go; felix/routetable).

use super::act::{Act, Ask, LinkEvent, Side};
use super::actor::{Cx, Happening, Lane, Task, TaskResult};
use super::cni::{conf4, conf6, host_routes, proxy_delay};
use super::felix_config::FelixOptions;
use super::setting::Setting;
use super::step::{StepId, StepTable};
use crate::host::conf::{Conf4, Conf6};
use crate::host::{HostState, Mutation, Op, RouteKind, RouteSpec, RtProto, SetNud};
use crate::time::{Span, Time};
use ipnet::IpNet;
use smallvec::SmallVec;

const MONITOR: Lane = Lane(0);
const CALC: Lane = Lane(1);
const MAIN: Lane = Lane(2);
/// News of an interface that is gone can fall behind that of its successor.
const GONE_LANE: Lane = Lane(3);

const T_DAMP: u8 = 0;
const T_GRACE: u8 = 1;
const T_TOKEN: u8 = 2;
const T_ROUTE_REFRESH: u8 = 3;
const T_IPSET_REFRESH: u8 = 4;
const T_IFACE_REFRESH: u8 = 5;

/// Passes that may follow each other at once (int_dataplane.go: throttle bucket).
const TOKENS_MAX: u32 = 10;
/// Time for one more.
const TOKEN_EVERY: Span = Span::from_ms(100);

const RUNNING: u32 = 1;
const STOPPED: u32 = 2;
const GONE: u32 = 3;

/// The steps Felix does, by number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Steps {
    seen: StepId,
    gone: StepId,
    restart: StepId,
    known: StepId,
    apply: StepId,
    ipv6: StepId,
    localnet: StepId,
    delay: StepId,
    arp: StepId,
    forwarding: StepId,
    rp_filter: StepId,
    skip: StepId,
    route_add: StepId,
    route_del: StepId,
    foreign_del: StepId,
    static_arp: StepId,
    status: StepId,
    wep_write: StepId,
    del: StepId,
}

impl Steps {
    fn new() -> Steps {
        let s = StepTable::built_in;
        Steps {
            seen: s("felix.iface-seen"),
            gone: s("felix.iface-gone"),
            restart: s("felix.restart"),
            known: s("felix.endpoint-known"),
            apply: s("felix.apply"),
            ipv6: s("felix.sysctl.ipv6"),
            localnet: s("felix.sysctl.route_localnet"),
            delay: s("felix.sysctl.proxy_delay"),
            arp: s("felix.sysctl.proxy_arp"),
            forwarding: s("felix.sysctl.forwarding"),
            rp_filter: s("felix.sysctl.rp_filter"),
            skip: s("felix.configure-skip"),
            route_add: s("felix.host-route-add"),
            route_del: s("felix.host-route-del"),
            foreign_del: s("felix.foreign-route-del"),
            static_arp: s("felix.static-arp"),
            status: s("felix.endpoint-status"),
            wep_write: s("cni.wep-write"),
            del: s("cni.del"),
        }
    }
}

/// Felix at work.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Felix {
    options: FelixOptions,
    steps: Steps,
    /// What the monitor has told the main loop: running or not; `None` when it knows no link.
    running: Option<bool>,
    /// When the main loop first heard of the interface: the grace period runs from here.
    first_seen: Option<Time>,
    endpoint: bool,
    /// News of a gone interface came after that of its successor of the same name, and the
    /// monitor's map now holds the old one: no listing tells it otherwise.
    confused: bool,
    /// The next pass compares the kernel's routes with its own.
    routes_due: bool,
    /// The interface waits to be configured.
    marked: bool,
    /// The host's permanent entry for the pod is to be written at the next pass.
    static_arp_due: bool,
    dirty: bool,
    applying: bool,
    tokens: u32,
    token_at: Time,
}

impl Felix {
    /// A Felix that has been running for a while and is in sync with its datastore.
    #[must_use]
    pub fn new(options: FelixOptions) -> Felix {
        Felix {
            options,
            steps: Steps::new(),
            running: None,
            first_seen: None,
            endpoint: false,
            confused: false,
            routes_due: true,
            marked: false,
            static_arp_due: true,
            dirty: false,
            applying: false,
            tokens: TOKENS_MAX,
            token_at: Time::ZERO,
        }
    }

    pub(super) fn notice(&mut self, what: Happening, cx: &mut Cx<'_>) {
        match what {
            Happening::Start => {
                // the refresh timers are somewhere in their periods when a pod comes; the middle
                again(cx, T_ROUTE_REFRESH, half(self.options.route_refresh));
                again(cx, T_IPSET_REFRESH, half(self.options.ipset_refresh));
                again(cx, T_IFACE_REFRESH, half(self.options.iface_refresh));
            }
            Happening::Link(dev, event) if dev == cx.setting.cali => self.link_event(event, cx),
            Happening::Done(step) if step == self.steps.wep_write => {
                push(cx, self.steps.known, CALC, 1, self.options.datastore_delay);
            }
            Happening::Done(step) if step == self.steps.del => {
                push(cx, self.steps.known, CALC, 0, self.options.datastore_delay);
            }
            Happening::Asked(Ask::EndpointWrite) => {
                push(cx, self.steps.known, CALC, 1, self.options.datastore_delay);
            }
            Happening::Asked(Ask::EndpointDelete) => {
                push(cx, self.steps.known, CALC, 0, self.options.datastore_delay);
            }
            // a new process, a new listing of interfaces, a new sync with the datastore
            Happening::Asked(Ask::FelixRestart) => {
                push(cx, self.steps.restart, MAIN, 0, (Span::from_ms(1_500), Span::from_ms(4_000)));
            }
            Happening::Timer(timer) => self.timer(timer, cx),
            _ => {}
        }
    }

    fn link_event(&mut self, event: LinkEvent, cx: &mut Cx<'_>) {
        match event {
            LinkEvent::Running => {
                // going up passes at once and overtakes a damped "down"
                cx.arm(T_DAMP, Time::FOREVER);
                self.push_seen(RUNNING, cx);
            }
            LinkEvent::Stopped if self.options.flap_damping > Span::ZERO => {
                cx.arm(T_DAMP, cx.now + self.options.flap_damping);
            }
            LinkEvent::Stopped => self.push_seen(STOPPED, cx),
            LinkEvent::Gone => {
                cx.arm(T_DAMP, Time::FOREVER);
                push(cx, self.steps.gone, GONE_LANE, GONE, (Span::from_us(300), Span::from_ms(4)));
            }
            LinkEvent::New | LinkEvent::Address => {}
        }
    }

    fn push_seen(&self, arg: u32, cx: &mut Cx<'_>) {
        push(cx, self.steps.seen, MONITOR, arg, (Span::from_us(300), Span::from_ms(4)));
    }

    fn timer(&mut self, timer: u8, cx: &mut Cx<'_>) {
        match timer {
            T_DAMP => self.push_seen(STOPPED, cx),
            T_ROUTE_REFRESH => {
                self.static_arp_due |= self.options.static_arp_refresh;
                self.routes_due = true;
                again(cx, timer, self.options.route_refresh);
            }
            T_IPSET_REFRESH => again(cx, timer, self.options.ipset_refresh),
            T_IFACE_REFRESH => {
                again(cx, timer, self.options.iface_refresh);
                self.resync_interfaces(cx);
                return;
            }
            T_GRACE => self.routes_due = true,
            _ => {}
        }
        if timer != T_DAMP {
            self.dirty |= timer != T_TOKEN;
            self.try_apply(cx);
        }
    }

    /// The monitor lists all links and reports what it had missed.
    fn resync_interfaces(&mut self, cx: &mut Cx<'_>) {
        let now_running = running(cx.host, cx.setting);
        if now_running != self.running && !self.confused {
            let arg = match now_running {
                None => GONE,
                Some(true) => RUNNING,
                Some(false) => STOPPED,
            };
            self.push_seen(arg, cx);
        }
    }

    /// A pass begins when something changed, none is under way and the throttle allows.
    fn try_apply(&mut self, cx: &mut Cx<'_>) {
        if !self.dirty || self.applying {
            return;
        }
        let more = cx.now.since(self.token_at).as_ns() / TOKEN_EVERY.as_ns();
        if more > 0 {
            self.tokens = (u64::from(self.tokens) + more).min(u64::from(TOKENS_MAX)) as u32;
            self.token_at += Span::from_ns(more * TOKEN_EVERY.as_ns());
        }
        if self.tokens == 0 {
            cx.arm(T_TOKEN, self.token_at + TOKEN_EVERY);
            return;
        }
        self.tokens -= 1;
        self.dirty = false;
        self.applying = true;
        push(cx, self.steps.apply, MAIN, 0, self.options.apply_takes);
    }

    /// What a pass does, put on the lane step by step.
    fn plan_pass(&mut self, cx: &mut Cx<'_>) {
        let s = self.steps;
        let write = (Span::from_us(20), Span::from_us(80));
        let up = self.running == Some(true);
        if self.marked && self.endpoint {
            if up {
                if cx.setting.pod_ip6.is_some() {
                    push(cx, s.ipv6, MAIN, 0, write);
                }
                for step in [s.localnet, s.delay, s.arp, s.forwarding] {
                    push(cx, step, MAIN, 0, write);
                }
                if self.options.rp_filter.is_some() {
                    push(cx, s.rp_filter, MAIN, 0, write);
                }
                self.marked = false;
            } else {
                push(cx, s.skip, MAIN, 0, write);
            }
        }
        if core::mem::take(&mut self.routes_due) {
            self.plan_routes(up, cx);
        }
        if self.endpoint && up && self.static_arp_due && !cx.setting.only_ip6 {
            self.static_arp_due = false;
            push(cx, s.static_arp, MAIN, 0, (Span::from_us(30), Span::from_us(200)));
        }
        if self.endpoint && up {
            push(cx, s.status, MAIN, 1, (Span::from_us(50), Span::from_us(400)));
        } else {
            self.end_pass(cx);
        }
    }

    /// The route to the pod belongs there while its endpoint is known and its interface runs.
    fn plan_routes(&mut self, up: bool, cx: &mut Cx<'_>) {
        let s = self.steps;
        let takes = (Span::from_us(30), Span::from_us(200));
        let (route, wanted) = (pod_route(cx.host, cx.setting), self.endpoint && up);
        if wanted {
            cx.arm(T_GRACE, Time::FOREVER);
        }
        if wanted && route.is_none() {
            push(cx, s.route_add, MAIN, 0, takes);
        }
        if !wanted && route.is_some_and(|proto| self.is_ours(proto)) {
            let since = self.first_seen.get_or_insert(cx.now);
            let over = *since + self.options.route_grace;
            if over <= cx.now {
                push(cx, s.route_del, MAIN, 0, takes);
            } else {
                cx.arm(T_GRACE, over);
            }
        }
        if up && !self.foreign(cx).is_empty() {
            let over = *self.first_seen.get_or_insert(cx.now) + self.options.route_grace;
            if over <= cx.now {
                push(cx, s.foreign_del, MAIN, 0, takes);
            } else {
                cx.arm(T_GRACE, over);
            }
        }
    }

    /// Felix counts a route out of a pod's interface as its own: with RemoveExternalRoutes whoever made it,
    /// else one of its own protocol, which is boot, as that of the plugin's routes, unless it is told
    /// another (felix/routetable/ownershippol/main_route_table_policy.go, RouteIsOurs).
    fn is_ours(&self, proto: RtProto) -> bool {
        self.options.removes_unknown_routes || proto == self.options.route_protocol
    }

    /// Routes of the main table out of the interface that are Felix's own and of no use to it.
    fn foreign(&self, cx: &Cx<'_>) -> Vec<RouteSpec> {
        let Some(cali) = cx.host.link_named(cx.setting.cali).map(crate::host::Link::index) else {
            return Vec::new();
        };
        let ours = |proto| self.is_ours(proto);
        let spec = |dst: IpNet, metric, proto| RouteSpec {
            metric: Some(metric),
            proto: Some(proto),
            ..RouteSpec::direct(dst, cx.setting.cali)
        };
        let pod = (!cx.setting.only_ip6).then(|| super::cni::host4(cx.setting.pod_ip));
        let v4 = cx.host.table(crate::host::TABLE_MAIN).iter().filter(|r| {
            let here = matches!(r.hops[..], [hop] if hop.dev == cali && hop.via.is_none());
            here && r.kind == RouteKind::Unicast && Some(IpNet::V4(r.dst)) != pod && ours(r.proto)
        });
        let pod6 = cx.setting.pod_ip6.map(super::cni::host6);
        let v6 = cx.host.routes6().iter().filter(|r| {
            let here = r.dev == Some(cali) && r.via.is_none() && r.table == crate::host::TABLE_MAIN;
            // fe80::/64 belongs to any interface, and nobody removes it
            let kept = r.dst.addr().is_unicast_link_local() || r.dst.addr().is_multicast();
            here && !kept && r.kind == RouteKind::Unicast && Some(IpNet::V6(r.dst)) != pod6 && ours(r.proto)
        });
        v4.map(|r| spec(r.dst.into(), r.metric, r.proto))
            .chain(v6.map(|r| spec(r.dst.into(), r.metric, r.proto)))
            .collect()
    }

    fn end_pass(&mut self, cx: &mut Cx<'_>) {
        self.applying = false;
        self.try_apply(cx);
    }

    pub(super) fn acts(&self, task: &Task, cx: &Cx<'_>) -> SmallVec<[Act; 2]> {
        let (s, cali) = (self.steps, cx.setting.cali);
        let one = |m: Mutation| SmallVec::from_iter([Act::Change(Side::Host, m)]);
        match task.step {
            step if step == s.localnet => one(conf4(cali, Conf4::RouteLocalnet, 1)),
            step if step == s.delay => SmallVec::from_iter([Act::Try(Side::Host, proxy_delay(cali))]),
            step if step == s.arp => one(conf4(cali, Conf4::ProxyArp, 1)),
            step if step == s.forwarding => one(conf4(cali, Conf4::Forwarding, 1)),
            step if step == s.rp_filter => {
                one(conf4(cali, Conf4::RpFilter, self.options.rp_filter.unwrap_or(1)))
            }
            step if step == s.ipv6 => SmallVec::from_iter([
                Act::Try(Side::Host, conf6(cali, Conf6::AcceptRa, 0)),
                Act::Change(Side::Host, conf6(cali, Conf6::ProxyNdp, 1)),
                Act::Change(Side::Host, conf6(cali, Conf6::Forwarding, 1)),
            ]),
            step if step == s.route_add => {
                let mut acts = host_routes(cx.setting, Op::Replace);
                let own = Some(self.options.route_protocol).filter(|proto| *proto != RtProto::BOOT);
                for act in &mut acts {
                    if let Act::Change(_, Mutation::Route { spec, .. }) = act {
                        spec.proto = own;
                    }
                }
                acts
            }
            step if step == s.route_del => host_routes(cx.setting, Op::Del),
            step if step == s.foreign_del => {
                let gone = |spec| Act::Try(Side::Host, Mutation::Route { op: Op::Del, spec });
                self.foreign(cx).into_iter().map(gone).collect()
            }
            step if step == s.static_arp => {
                let (op, dev, ip) = (Op::Replace, cali, cx.setting.pod_ip.into());
                let (lladdr, nud) = (Some(cx.setting.pod_mac), SetNud::Permanent);
                one(Mutation::Neigh { op, dev, ip, lladdr, nud, extern_learn: false })
            }
            _ => SmallVec::from_iter([Act::Mark]),
        }
    }

    pub(super) fn done(&mut self, task: &Task, result: &TaskResult, cx: &mut Cx<'_>) {
        let s = self.steps;
        if task.step == s.seen || task.step == s.gone {
            self.take_interface(task.arg, cx);
        } else if task.step == s.restart {
            self.restart(cx);
        } else if task.step == s.known {
            self.endpoint = task.arg == 1;
            self.marked = self.endpoint;
            self.routes_due = true;
            self.dirty = true;
            self.try_apply(cx);
        } else if task.step == s.apply {
            self.plan_pass(cx);
        } else if task.step == s.status {
            self.end_pass(cx);
        } else if matches!(result, TaskResult::Refused(_)) && task.step != s.route_del {
            // "Failed to configure interface, will retry": at the next pass, which nothing asks for
            self.marked = true;
        }
    }

    /// What a new process knows after its first listing. What the old one was about to do on its
    /// lanes goes on: it would be found again.
    fn restart(&mut self, cx: &mut Cx<'_>) {
        self.confused = false;
        self.running = running(cx.host, cx.setting);
        self.first_seen = self.running.map(|_| cx.now);
        self.marked = self.endpoint;
        self.static_arp_due = true;
        self.routes_due = true;
        self.dirty = true;
        self.try_apply(cx);
    }

    fn take_interface(&mut self, arg: u32, cx: &mut Cx<'_>) {
        self.routes_due = true;
        match arg {
            GONE if running(cx.host, cx.setting).is_some() => {
                // the interface that is gone has a successor, of which the monitor knows already
                if self.options.mixes_indexes {
                    self.confused = true;
                    self.running = Some(false);
                }
            }
            RUNNING => {
                self.confused = false;
                let came_up = self.running.replace(true) != Some(true);
                self.marked |= came_up;
                self.static_arp_due |= came_up && self.options.static_arp_refresh;
                self.first_seen.get_or_insert(cx.now);
            }
            STOPPED => self.running = Some(false),
            _ => {
                self.running = None;
                self.first_seen = None;
                self.static_arp_due = true;
            }
        }
        self.dirty = true;
        self.try_apply(cx);
    }
}

fn push(cx: &mut Cx<'_>, step: StepId, lane: Lane, arg: u32, takes: (Span, Span)) {
    cx.push(Task { step, lane, arg, takes, wait: None });
}

/// A refresh after that time; an interval of 0 switches it off, as Felix's settings have it.
fn again(cx: &mut Cx<'_>, timer: u8, after: Span) {
    if after > Span::ZERO {
        cx.arm(timer, cx.now + after);
    }
}

fn half(span: Span) -> Span {
    Span::from_ns(span.as_ns() / 2)
}

fn running(host: &HostState, setting: &Setting) -> Option<bool> {
    host.link_named(setting.cali).map(|l| l.is_up() && l.has_carrier())
}

/// The host has its route to the pod out of the pod's interface: whose it is.
fn pod_route(host: &HostState, setting: &Setting) -> Option<RtProto> {
    let cali = host.link_named(setting.cali)?;
    if setting.only_ip6 {
        let dst = setting.pod_ip6.map(super::cni::host6);
        let fits = |r: &&crate::host::Route6| {
            Some(IpNet::V6(r.dst)) == dst && r.kind == RouteKind::Unicast && r.dev == Some(cali.index())
        };
        return host.routes6().iter().find(fits).map(|r| r.proto);
    }
    let IpNet::V4(dst) = super::cni::host4(setting.pod_ip) else { return None };
    let fits = |r: &crate::host::Route| {
        r.dst == dst && r.kind == RouteKind::Unicast && r.hops.iter().any(|h| h.dev == cali.index())
    };
    host.table(crate::host::TABLE_MAIN).iter().find(|r| fits(r)).map(|r| r.proto)
}
