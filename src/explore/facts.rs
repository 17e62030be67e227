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
use crate::pod::ClientEvent;
use crate::scenario::{Plan, WAITER};
use crate::stack::Note;
use crate::time::{Span, Time};
use crate::trace::{ClientNews, Event, Fate, Seen, Sink, What};
use crate::wire::{Arp, ETHERTYPE_ARP, EthFrame, OP_REPLY, OP_REQUEST};
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

    /// What the events of a run of this plan show, live ones too.
    #[must_use]
    pub fn of_events(plan: &Plan, events: &[Event]) -> Facts {
        let setting = &plan.setting;
        let mut host = HostSeen::new(plan);
        let mut f = Facts::default();
        let mut answers = false;
        let mut host_mac = None;
        let mut busy = 0_i32;
        for event in events {
            let now = event.t_ns;
            if let What::Step { acts, .. } = &event.what
                && host.step(acts)
            {
                f.divide_window.get_or_insert(now);
            }
            match &event.what {
                What::Frame { from, bytes, fate, .. } => {
                    f.frame(now, *from, bytes, *fate == Fate::Delivered, setting.pod_ip, &|| host_mac);
                }
                What::Step { step, refused: None, .. } if step == "kubelet.container-start" => {
                    f.container_start.get_or_insert(now);
                }
                What::Step { step, refused: None, .. } if step == "cni.add-return" => {
                    f.add_returned.get_or_insert((now, answers));
                }
                What::Step { refused: Some(_), .. } => f.refused = true,
                What::Step { acts, .. } => host_mac = mac_given(setting, acts).or(host_mac),
                What::Gateway { answers: yes, .. } => answers = *yes,
                What::Neigh {
                    side: Side::Pod,
                    ip,
                    new: Some(Nud::Reachable | Nud::Stale | Nud::Permanent),
                    ..
                } if *ip == IpAddr::V4(GATEWAY) => {
                    f.resolved.get_or_insert(now);
                }
                What::Judged { side: Side::Host, target, answered: false, .. }
                    if *target == IpAddr::V4(GATEWAY) =>
                {
                    f.asked_in_vain = true;
                }
                What::Client { client, .. } if client == WAITER => {}
                What::Client { news: ClientNews::End { .. }, .. } => busy -= 1,
                What::Client { news: ClientNews::Start { .. }, .. } => {
                    busy += 1;
                    f.client_start.get_or_insert(now);
                }
                What::Client { news: ClientNews::Success { .. }, .. } => f.answered(now),
                _ => {}
            }
        }
        f.end(events.last().map_or(Time::ZERO, |e| e.t_ns), busy > 0);
        f
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

/// The steps that facts are about, by number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Landmarks {
    container_start: StepId,
    add_return: StepId,
}

impl Default for Landmarks {
    fn default() -> Self {
        Landmarks {
            container_start: StepTable::built_in("kubelet.container-start"),
            add_return: StepTable::built_in("cni.add-return"),
        }
    }
}

/// Watches a run for facts; passes everything on to another sink.
pub(super) struct Watch<'a, S> {
    pub(super) facts: &'a mut Facts,
    pub(super) marks: Landmarks,
    pub(super) setting: &'a Setting,
    /// ADD returned during this move.
    pub(super) add_returned: bool,
    pub(super) inner: &'a mut S,
}

impl<S: Sink> Sink for Watch<'_, S> {
    const WANTED: bool = S::WANTED;

    fn take(&mut self, t: Time, what: What) {
        self.inner.take(t, what);
    }

    fn see(&mut self, now: Time, seen: Seen<'_>) {
        match seen {
            Seen::Step { step, done: true } if step == self.marks.container_start => {
                self.facts.container_start.get_or_insert(now);
            }
            Seen::Step { step, done: true } if step == self.marks.add_return => self.add_returned = true,
            Seen::Step { done, .. } => self.facts.refused |= !done,
            Seen::Frame { from, bytes, arrives, host_mac } => {
                self.facts.frame(now, from, bytes, arrives, self.setting.pod_ip, host_mac);
            }
            Seen::Note(Side::Pod, Note::Neigh { ip, new, .. }) if *ip == IpAddr::V4(GATEWAY) => {
                if matches!(new, Some(Nud::Reachable | Nud::Stale | Nud::Permanent)) {
                    self.facts.resolved.get_or_insert(now);
                }
            }
            Seen::Note(Side::Host, Note::Judged { arp: Some(arp), decision, .. })
                if arp.op == OP_REQUEST && arp.tpa == GATEWAY =>
            {
                self.facts.asked_in_vain |= decision.reason().is_some();
            }
            Seen::Own { arp, answered } => self.facts.asked_in_vain |= !answered && arp.tpa == GATEWAY,
            Seen::Note(..) => {}
            Seen::Client(_, event) => match event {
                ClientEvent::Answered { duplicate: false, .. } => self.facts.answered(now),
                ClientEvent::Began { .. } => {
                    self.facts.client_start.get_or_insert(now);
                }
                _ => {}
            },
        }
    }
}

impl Facts {
    fn frame(
        &mut self,
        now: Time,
        from: Side,
        bytes: &[u8],
        arrives: bool,
        pod_ip: Ipv4Addr,
        host_mac: &dyn Fn() -> Option<Mac>,
    ) {
        let Ok(eth) = EthFrame::parse(bytes) else { return };
        let arp = (eth.ethertype == ETHERTYPE_ARP).then(|| Arp::parse(eth.payload).ok()).flatten();
        match (from, arp) {
            (Side::Pod, Some(arp)) => {
                self.asked_in_vain |= !arrives && arp.op == OP_REQUEST && arp.tpa == GATEWAY;
            }
            (Side::Host, Some(arp)) if arp.op == OP_REPLY && arrives => {
                if arp.spa == pod_ip {
                    self.answered_own.get_or_insert(now);
                } else if arp.spa == GATEWAY && host_mac() != Some(arp.sha) {
                    self.wrong_mac.get_or_insert(now);
                }
            }
            (Side::Pod, None) if bytes[0] & 1 == 0 && host_mac() != Some(eth.dst) => {
                self.wrong_mac.get_or_insert(now);
            }
            _ => {}
        }
    }
}

/// The MAC that commands give to the host's end.
fn mac_given(setting: &Setting, acts: &[String]) -> Option<Mac> {
    let cali = setting.cali.to_string();
    acts.iter().find_map(|act| {
        let words: Vec<&str> = act.split_whitespace().collect();
        words.windows(3).find(|w| w[0] == cali && w[1] == "address")?[2].parse().ok()
    })
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
