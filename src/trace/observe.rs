//! What a run showed, in numbers: the ground on which expectations are checked and corners are
//! compared.

use super::event::{ClientNews, Differs, FrameFate, Ruling, What, is_dad, is_gateway};
use super::stream::Trace;
use super::view::View;
use crate::addr::Mac;
use crate::control::{Errand, PodId, Side};
use crate::neigh::Nud;
use crate::pod::ClientId;
use crate::time::{Span, Time};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Deref;

/// What one client saw.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct ClientSeen {
    /// When it started.
    pub start_ns: Option<Time>,
    /// Sent, or attempted.
    pub sent: u32,
    /// Answered.
    pub answered: u32,
    /// Failures it was told of.
    pub failures: u32,
    /// Neither.
    pub lost: u32,
    /// Moment of the first success.
    pub first_success_ns: Option<Time>,
    /// Moments of every success.
    #[serde(skip)]
    pub successes: Vec<Time>,
    /// The longest spell between two successes.
    pub longest_gap: Option<Span>,
    /// What it was told, and how often.
    pub errors: BTreeMap<String, u32>,
    /// It talks to an IPv6 address.
    #[serde(skip)]
    pub six: bool,
    /// When it first tried.
    #[serde(skip)]
    pub(super) first_try_ns: Option<Time>,
    /// How many attempts it made together at first.
    #[serde(skip)]
    pub(super) at_once: u32,
}

/// What became of a pod that a real plugin was run for beside the one that the run is about.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct OtherSeen {
    /// Its name, as in steps.
    pub pod: String,
    /// When its ADD began, if it did.
    pub add_start_ns: Option<Time>,
    /// When its ADD ended, if it did.
    pub add_end_ns: Option<Time>,
    /// ADD failed, in these words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add_failed: Option<String>,
    /// DEL failed, in these words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub del_failed: Option<String>,
    /// DEL has succeeded: after an ADD that failed, or at the run's end.
    pub deleted: bool,
}

/// A request of the pod for its gateway.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Asked {
    /// When it was sent.
    pub t_ns: Time,
    /// To all, or to one MAC.
    pub broadcast: bool,
    /// When the reply left, if one did.
    pub answered_ns: Option<Time>,
    /// The condition that failed, by code.
    pub reason: Option<&'static str>,
}

impl Asked {
    /// Neither answered yet nor explained.
    fn is_open(&self) -> bool {
        self.answered_ns.is_none() && self.reason.is_none()
    }
}

/// What a run showed of the pod's gateway in one family.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct GatewaySeen {
    /// Requests of the pod for its gateway, in order.
    pub asked: Vec<Asked>,
    /// Replies the pod got for its gateway: when, and with which MAC.
    pub replies: Vec<(Time, Option<Mac>)>,
    /// When the gateway began to answer for good, if it was ever silent while the pod asked. In
    /// IPv4 the moment from which a request would have been answered, in IPv6 the reply that ended
    /// the silence.
    pub window_end_ns: Option<Time>,
    /// How long the pod asked in vain: from its first request to that moment.
    pub window: Option<Span>,
    /// Reasons met, by code.
    pub reasons: BTreeSet<&'static str>,
    /// States the pod's entry for the gateway passed through; `None` is "no entry".
    pub states: Vec<(Time, Option<Nud>)>,
    /// The MAC of that entry at the end.
    pub lladdr: Option<Mac>,
    /// Since when it is silent, if it is at the end: IPv4's, of which that is known.
    #[serde(skip)]
    pub silent_since: Option<Time>,
    /// The address that the entry is for, or that was asked for.
    #[serde(skip)]
    pub address: Option<IpAddr>,
    /// Every request before this one is answered or explained.
    #[serde(skip)]
    pub(super) settled: usize,
}

/// What a run showed.
///
/// A pod of two families has two gateways, each with its own requests, window and entry. The one
/// that the clients talk by is the one that is meant where nothing else is said: that of IPv6 when
/// every client goes to an IPv6 address, else that of IPv4.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Observed {
    /// The gateway of the clients' family.
    #[serde(flatten)]
    pub gateway: GatewaySeen,
    /// Which family that is.
    #[serde(skip)]
    pub six: bool,
    /// The pod's gateway of the other family, if the pod had to do with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other: Option<GatewaySeen>,
    /// The pod has addresses of both families.
    #[serde(skip)]
    pub dual: bool,
    /// Per client.
    pub clients: BTreeMap<String, ClientSeen>,
    /// Commands that a real kernel carried out and the model has no term for. From the first on
    /// nothing was held against the model.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unmodelled: Vec<String>,
    /// Pods that a real plugin was run for beside this one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<OtherSeen>,
    /// Where a real kernel did other than the model says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differs: Vec<Differs>,
}

/// The gateway of the clients' family.
impl Deref for Observed {
    type Target = GatewaySeen;
    fn deref(&self) -> &GatewaySeen {
        &self.gateway
    }
}

impl Observed {
    /// The gateway that a client talks by.
    #[must_use]
    pub fn gateway_of(&self, client: &ClientSeen) -> &GatewaySeen {
        self.family(client.six).unwrap_or(&self.gateway)
    }

    /// The gateway of a family, if the pod had to do with it.
    #[must_use]
    pub fn family(&self, six: bool) -> Option<&GatewaySeen> {
        if six == self.six { Some(&self.gateway) } else { self.other.as_ref() }
    }
}

impl GatewaySeen {
    /// Requests nobody answered.
    #[must_use]
    pub fn unanswered(&self) -> u32 {
        self.asked.iter().filter(|a| a.answered_ns.is_none()).count() as u32
    }

    /// Requests among which the open ones are.
    fn open(&mut self) -> core::slice::IterMut<'_, Asked> {
        let closed = self.asked[self.settled..].iter().take_while(|a| !a.is_open()).count();
        self.settled += closed;
        self.asked[self.settled..].iter_mut()
    }

    /// The state of the pod's entry at the end.
    #[must_use]
    pub fn entry(&self) -> Option<Nud> {
        self.states.last().and_then(|s| s.1)
    }

    fn is_empty(&self) -> bool {
        self.asked.is_empty() && self.replies.is_empty() && self.states.is_empty()
    }

    fn frame(&mut self, t: Time, (from, four): (Side, Ipv4Addr), view: &View, fate: FrameFate) {
        if from == Side::Pod && view.asks_gateway(four) {
            let reason = fate.loss().map(|_| crate::scenario::LOST_ON_LINK);
            self.asked.push(Asked { t_ns: t, broadcast: view.is_group(), answered_ns: None, reason });
            self.address = view.asks().map(|a| a.1);
        }
        if from == Side::Host
            && fate == FrameFate::Delivered
            && let Some((ip, mac)) = view.answers()
            && is_gateway(ip, four)
        {
            self.replies.push((t, Some(mac)));
            // replies carry no number: each goes to the oldest request that still waits
            if let Some(a) = self.open().find(|a| a.is_open()) {
                a.answered_ns = Some(t);
            }
        }
    }

    fn silent(&mut self, code: &'static str) {
        if let Some(a) = self.open().rev().find(|a| a.is_open()) {
            a.reason = Some(code);
        }
        self.reasons.insert(code);
    }

    /// The run is over: `silence` says since when the gateway of IPv4 is silent, if it is.
    fn finish4(&mut self, end: Time, silence: Option<Time>) {
        self.silent_since = silence;
        let Some(first) = self.asked.first().map(|a| a.t_ns) else { return };
        let over = match silence {
            // still silent at the end
            Some(_) => Some(end),
            None => self.window_end_ns,
        };
        if silence.is_some() {
            self.window_end_ns = None;
        }
        self.window = Some(over.map_or(Span::ZERO, |over| over.since(first)));
    }

    /// The run is over: the window is read off the requests, as always in IPv6.
    fn finish_by_requests(&mut self, end: Time) {
        let Some(first) = self.asked.first().map(|a| a.t_ns) else { return };
        let in_vain = self.asked.iter().rposition(|a| a.answered_ns.is_none());
        self.window = Some(match in_vain {
            None => Span::ZERO,
            Some(at) => {
                self.window_end_ns = self.asked[at..].iter().find_map(|a| a.answered_ns);
                self.window_end_ns.unwrap_or(end).since(first)
            }
        });
    }
}

/// Attempts so near to a client's first were made together with it.
const AT_ONCE: Span = Span::from_ms(100);

/// Reads the events of a run.
#[must_use]
pub fn observe(trace: &Trace) -> Observed {
    let mut o = Observed { others: others(trace), ..Observed::default() };
    let [mut four, mut six] = [GatewaySeen::default(), GatewaySeen::default()];
    let (mut silence, gateway): (Option<Time>, _) = (None, trace.gateway4());
    for event in trace.iter() {
        let t = event.t_ns;
        match &event.what {
            What::Frame { from, view, fate, .. } => {
                let of = if view.is_ipv6() { &mut six } else { &mut four };
                of.frame(t, (*from, gateway), view, *fate);
            }
            What::Judged { side: Side::Host, target, sender, ruling: Ruling::Silent { why, .. }, .. }
                if is_gateway(*target, gateway) && !is_dad(*sender) =>
            {
                let of = if target.is_ipv6() { &mut six } else { &mut four };
                of.silent(why.pointer().code);
            }
            What::Neigh { side: Side::Pod, ip, new, lladdr, .. } if is_gateway(*ip, gateway) => {
                let of = if ip.is_ipv6() { &mut six } else { &mut four };
                of.states.push((t, *new));
                (of.lladdr, of.address) = (*lladdr, Some(*ip));
            }
            What::Gateway { silence: now } => match (now.is_none(), silence) {
                (false, None) => silence = Some(t),
                (true, Some(_)) => {
                    silence = None;
                    four.window_end_ns = Some(t);
                }
                _ => {}
            },
            What::Differs(how) => o.differs.push(how.clone()),
            What::Unmodelled { command, .. } if !o.unmodelled.contains(command) => {
                o.unmodelled.push(command.clone());
            }
            What::Client { client, news } => client_news(&mut o, t, trace, *client, news),
            _ => {}
        }
    }
    let end = trace.last().map_or(Time::ZERO, |e| e.t_ns);
    // of a gateway that the model has lost sight of only the requests are known
    if o.unmodelled.is_empty() {
        four.finish4(end, silence);
    } else {
        four.finish_by_requests(end);
    }
    six.finish_by_requests(end);
    for c in o.clients.values_mut() {
        c.lost = c.sent.saturating_sub(c.answered + c.failures);
        c.longest_gap = c.successes.windows(2).map(|w| w[1].since(w[0])).max();
    }
    let clients = &trace.plan.clients;
    o.six = !clients.is_empty() && clients.iter().all(|c| c.to.ip().is_ipv6());
    o.dual = trace.plan.setting.pod_ip6.is_some();
    let (own, other) = if o.six { (six, four) } else { (four, six) };
    (o.gateway, o.other) = (own, Some(other).filter(|g| !g.is_empty()));
    o
}

/// What became of the other pods.
pub(super) fn others(trace: &Trace) -> Vec<OtherSeen> {
    let count = trace.plan.plugin.as_ref().map_or(0, |plugin| plugin.others);
    let none = |pod: PodId| OtherSeen {
        pod: pod.to_string(),
        add_start_ns: None,
        add_end_ns: None,
        add_failed: None,
        del_failed: None,
        deleted: false,
    };
    let mut others: Vec<OtherSeen> = (1..=count).map(|pod| none(PodId(pod))).collect();
    let at = |pod: PodId| usize::from(pod.0).checked_sub(1);
    for event in trace.iter() {
        match &event.what {
            What::Step { step, undone: None, .. } => {
                let info = trace.plan.steps.info(*step);
                let Some(it) = at(info.pod).and_then(|at| others.get_mut(at)) else { continue };
                match info.name.rsplit('/').next() {
                    Some("add-start") => it.add_start_ns = Some(event.t_ns),
                    Some("add-return" | "add-fail") => it.add_end_ns = Some(event.t_ns),
                    Some("del") => it.deleted = true,
                    _ => {}
                }
            }
            What::PluginFailed { pod, errand, why } => {
                let Some(it) = at(*pod).and_then(|at| others.get_mut(at)) else { continue };
                let failed = if *errand == Errand::Add { &mut it.add_failed } else { &mut it.del_failed };
                *failed = Some(why.clone());
            }
            _ => {}
        }
    }
    others
}

fn client_news(o: &mut Observed, t: Time, trace: &Trace, client: ClientId, news: &ClientNews) {
    let c = o.clients.entry(trace.client_name(client).to_owned()).or_default();
    c.six = trace.plan.client(client.0 as usize).is_some_and(|c| c.to.ip().is_ipv6());
    match news {
        ClientNews::Start => c.start_ns = c.start_ns.or(Some(t)),
        ClientNews::Try { .. } => {
            c.sent += 1;
            let first = *c.first_try_ns.get_or_insert(t);
            c.at_once += u32::from(t.since(first) <= AT_ONCE);
        }
        ClientNews::Success { .. } => {
            c.answered += 1;
            c.first_success_ns = c.first_success_ns.or(Some(t));
            c.successes.push(t);
        }
        ClientNews::Failure { failed, .. } => {
            c.failures += 1;
            *c.errors.entry(failed.to_string()).or_default() += 1;
        }
        ClientNews::End { .. } => {}
    }
}
