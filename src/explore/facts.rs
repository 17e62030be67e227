//! What a schedule has shown so far: the little that properties are about.
//!
//! The facts are part of a state's fingerprint. Two schedules that meet in a state have the same
//! past as far as any property can tell, so what is found out about the rest holds for both.

use super::window::HostSeen;
use crate::addr::Mac;
use crate::control::{GATEWAY, Setting, Side, StepId, StepTable};
use crate::host::HostState;
use crate::host::conf::{Conf4, NeighVar, Scope, SysctlKey};
use crate::neigh::Nud;
use crate::pod::ClientId;
use crate::scenario::Plan;
use crate::time::{Span, Time};
use crate::trace::{ClientNews, FrameFate, Kinds, Ruling, Sink, Trace, View, What};
use crate::wire::OP_REPLY;
use std::net::{IpAddr, Ipv4Addr};

/// What a schedule has shown.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Facts {
    /// When the pod's containers started.
    pub container_start: Option<Time>,
    /// When CNI ADD returned with success, and whether the gateway would have answered then.
    pub add_returned: Option<(Time, bool)>,
    /// When the pod first had a valid entry for its gateway.
    pub resolved: Option<Time>,
    /// When the first client started.
    pub client_start: Option<Time>,
    /// When a client first had an answer.
    pub first_answer: Option<Time>,
    /// When one had the latest.
    pub last_answer: Option<Time>,
    /// The longest spell without an answer after the first one.
    pub longest_silence: Span,
    /// When the pod first learned or used a MAC for its gateway that is not the host end's.
    pub wrong_mac: Option<Time>,
    /// When the host first answered a request for the pod's own address.
    pub answered_own: Option<Time>,
    /// When proxy_delay was first written to 0 with proxy_arp already on and the interface up.
    pub divide_window: Option<Time>,
    /// A request of the pod for its gateway went unanswered, or was lost.
    pub asked_in_vain: bool,
    /// A step of an actor was refused by the kernel.
    pub refused: bool,
    /// When the schedule ended; `None` before.
    pub ended: Option<Time>,
    /// It ended because the horizon was reached, with clients still at work.
    pub cut: bool,
}

impl Facts {
    /// From the start of the containers or of the first client, whichever is later, to `then`;
    /// `None` before anybody has asked for anything.
    #[must_use]
    pub fn since_start(&self, then: Time) -> Option<Span> {
        let start = self.client_start?;
        Some(then.since(self.container_start.map_or(start, |c| c.max(start))))
    }

    /// How long the first answer took, from the start of the first client; `None` without one.
    #[must_use]
    pub fn first_delay(&self) -> Option<Span> {
        self.since_start(self.first_answer?)
    }

    /// What the events of a run show, live ones too.
    #[must_use]
    pub fn of_events(trace: &Trace) -> Facts {
        let plan = &*trace.plan;
        let marks = Landmarks::new(plan);
        let mut host = HostSeen::new(plan);
        let mut f = Facts::default();
        let mut answers = false;
        let mut busy = 0_i32;
        for event in trace.iter() {
            let now = event.t_ns;
            match &event.what {
                What::Step { step, acts, undone, .. } => {
                    if host.step(acts) {
                        f.divide_window.get_or_insert(now);
                    }
                    if undone.is_none() && *step == marks.add_return {
                        f.add_returned.get_or_insert((now, answers));
                    }
                }
                What::Gateway { silence } => answers = silence.is_none(),
                What::Client { client, news: ClientNews::Start } if marks.is_own(*client) => busy += 1,
                What::Client { client, news: ClientNews::End { .. } } if marks.is_own(*client) => busy -= 1,
                _ => {}
            }
            f.see(now, &event.what, &marks);
        }
        f.end(trace.last().map_or(Time::ZERO, |e| e.t_ns), busy > 0);
        f
    }

    /// Something happened.
    fn see(&mut self, now: Time, what: &What, marks: &Landmarks) {
        match what {
            What::Step { step, undone: None, .. } if *step == marks.container_start => {
                self.container_start.get_or_insert(now);
            }
            What::Step { undone, .. } => self.refused |= undone.is_some(),
            What::Frame { from, view, fate, host_mac, .. } => {
                self.frame(now, *from, view, *fate == FrameFate::Delivered, (marks.pod_ip, *host_mac));
            }
            What::Neigh {
                side: Side::Pod,
                ip,
                new: Some(Nud::Reachable | Nud::Stale | Nud::Permanent),
                ..
            } if *ip == IpAddr::V4(GATEWAY) => {
                self.resolved.get_or_insert(now);
            }
            What::Judged { side: Side::Host, target, ruling: Ruling::Silent { .. }, .. }
                if *target == IpAddr::V4(GATEWAY) =>
            {
                self.asked_in_vain = true;
            }
            What::Client { client, news } if marks.is_own(*client) => match news {
                ClientNews::Success { .. } => self.answered(now),
                ClientNews::Try { .. } => {
                    self.client_start.get_or_insert(now);
                }
                _ => {}
            },
            _ => {}
        }
    }

    fn answered(&mut self, now: Time) {
        self.first_answer.get_or_insert(now);
        let since = self.last_answer.unwrap_or(now);
        self.longest_silence = self.longest_silence.max(now.since(since));
        self.last_answer = Some(now);
    }

    /// The schedule is over. A spell of silence that lasts at the end counts if it was cut.
    pub(super) fn end(&mut self, now: Time, cut: bool) {
        self.ended = Some(now);
        self.cut = cut;
        if cut && let Some(last) = self.last_answer {
            self.longest_silence = self.longest_silence.max(now.since(last));
        }
    }
}

/// What facts are about, by number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Landmarks {
    container_start: StepId,
    add_return: StepId,
    /// So many clients are the containers' own; one more is the init container's.
    clients: u32,
    pod_ip: Ipv4Addr,
}

impl Landmarks {
    pub(super) fn new(plan: &Plan) -> Landmarks {
        Landmarks {
            container_start: StepTable::built_in("kubelet.container-start"),
            add_return: StepTable::built_in("cni.add-return"),
            clients: plan.clients.len() as u32,
            pod_ip: plan.setting.pod_ip,
        }
    }

    fn is_own(&self, client: ClientId) -> bool {
        client.0 < self.clients
    }
}

/// Watches a run for facts; passes everything on to another sink.
pub(super) struct FactsWatch<'a, S> {
    pub(super) facts: &'a mut Facts,
    pub(super) marks: &'a Landmarks,
    /// ADD returned during this move.
    pub(super) add_returned: bool,
    pub(super) inner: &'a mut S,
}

impl<S: Sink> Sink for FactsWatch<'_, S> {
    const WANTS: Kinds =
        S::WANTS.and(Kinds::STEP).and(Kinds::FRAME).and(Kinds::NEIGH).and(Kinds::JUDGED).and(Kinds::CLIENT);

    fn take(&mut self, t: Time, what: What) {
        self.add_returned |= what.done() == Some(self.marks.add_return);
        self.facts.see(t, &what, self.marks);
        if S::WANTS.has(what.kind()) {
            self.inner.take(t, what);
        }
    }
}

impl Facts {
    fn frame(
        &mut self,
        now: Time,
        from: Side,
        view: &View,
        arrives: bool,
        (pod_ip, host_mac): (Ipv4Addr, Option<Mac>),
    ) {
        match (from, view) {
            (Side::Pod, View::Arp { .. }) => self.asked_in_vain |= !arrives && view.asks_gateway4(GATEWAY),
            (Side::Host, View::Arp { arp, .. }) if arp.op == OP_REPLY && arrives => {
                if arp.spa == pod_ip {
                    self.answered_own.get_or_insert(now);
                } else if arp.spa == GATEWAY && host_mac != Some(arp.sha) {
                    self.wrong_mac.get_or_insert(now);
                }
            }
            (Side::Pod, view) if !view.is_group() && view.dst().is_some_and(|dst| host_mac != Some(dst)) => {
                self.wrong_mac.get_or_insert(now);
            }
            _ => {}
        }
    }
}

/// What the divide by zero depends on: proxy_delay of the host end, and whether a request that
/// comes in now would be proxied (felix #1937).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Delays {
    delay: i32,
    proxies: bool,
}

impl Delays {
    pub(super) fn of(host: &HostState, setting: &Setting) -> Option<Delays> {
        let link = host.link_named(setting.cali)?;
        let all = || host.sysctl(&SysctlKey::Conf4(Scope::All, Conf4::ProxyArp)).is_some_and(|v| v != 0);
        let on = link.conf4().get(Conf4::ProxyArp) != 0 || all();
        Some(Delays {
            delay: link.neigh4().get(NeighVar::ProxyDelay),
            proxies: on && link.is_up() && link.conf4().get(Conf4::Forwarding) != 0,
        })
    }

    /// The kernel tests proxy_delay and divides by it; between the two it became 0.
    pub(super) fn divides(before: Option<Delays>, after: Option<Delays>) -> bool {
        matches!((before, after), (Some(b), Some(a)) if b.proxies && b.delay > 0 && a.delay == 0)
    }
}
