//! What a run showed, in numbers: the ground on which expectations are checked and corners are
//! compared.

use super::event::{ClientNews, Fate, Ruling, Trace, What, is_dad, is_gateway};
use super::view::View;
use crate::addr::Mac;
use crate::control::Side;
use crate::neigh::Nud;
use crate::time::{Span, Time};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

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
    /// When it first tried.
    #[serde(skip)]
    pub(super) first_try_ns: Option<Time>,
    /// How many attempts it made together at first.
    #[serde(skip)]
    pub(super) at_once: u32,
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

/// What a run showed.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Observed {
    /// Requests of the pod for its gateway, in order.
    pub asked: Vec<Asked>,
    /// Replies the pod got for its gateway: when, and with which MAC.
    pub replies: Vec<(Time, Option<Mac>)>,
    /// When the gateway began to answer for good, if it was ever silent while the pod asked.
    pub window_end_ns: Option<Time>,
    /// How long the pod asked in vain: from its first request to that moment.
    pub window: Option<Span>,
    /// Reasons met, by code.
    pub reasons: BTreeSet<&'static str>,
    /// States the pod's entry for the gateway passed through; `None` is "no entry".
    pub states: Vec<(Time, Option<Nud>)>,
    /// The MAC of that entry at the end.
    pub lladdr: Option<Mac>,
    /// Per client.
    pub clients: BTreeMap<String, ClientSeen>,
    /// Where a real kernel did other than the model says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differs: Vec<String>,
    /// Every request before this one is answered or explained.
    #[serde(skip)]
    pub(super) settled: usize,
}

impl Observed {
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
}

/// Attempts so near to a client's first were made together with it.
const AT_ONCE: Span = Span::from_ms(100);

/// Reads the events of a run.
#[must_use]
pub fn observe(trace: &Trace) -> Observed {
    let mut o = Observed::default();
    let mut silence: Option<Time> = None;
    for event in trace.iter() {
        let t = event.t_ns;
        match &event.what {
            What::Frame { from, view, fate, .. } => frame(&mut o, t, *from, view, *fate),
            What::Judged { side: Side::Host, target, sender, ruling: Ruling::Silent { why, .. }, .. }
                if is_gateway(*target) && !is_dad(*sender) =>
            {
                let code = why.pointer().code;
                if let Some(a) = o.open().rev().find(|a| a.is_open()) {
                    a.reason = Some(code);
                }
                o.reasons.insert(code);
            }
            What::Neigh { side: Side::Pod, ip, new, lladdr, .. } if is_gateway(*ip) => {
                o.states.push((t, *new));
                o.lladdr = *lladdr;
            }
            What::Gateway { silence: now } => match (now.is_none(), silence) {
                (false, None) => silence = Some(t),
                (true, Some(_)) => {
                    silence = None;
                    o.window_end_ns = Some(t);
                }
                _ => {}
            },
            What::Differs { text } => o.differs.push(text.clone()),
            What::Client { client, news } => client_news(&mut o, t, trace.client_name(*client), news),
            _ => {}
        }
    }
    finish(&mut o, trace.last().map_or(Time::ZERO, |e| e.t_ns), silence);
    o
}

fn frame(o: &mut Observed, t: Time, from: Side, view: &View, fate: Fate) {
    if from == Side::Pod && view.asks_gateway() {
        let reason = fate.loss().map(|_| crate::scenario::LOST_ON_LINK);
        o.asked.push(Asked { t_ns: t, broadcast: view.is_group(), answered_ns: None, reason });
    }
    if from == Side::Host
        && fate == Fate::Delivered
        && let Some((ip, mac)) = view.answers()
        && is_gateway(ip)
    {
        o.replies.push((t, Some(mac)));
        // replies carry no number: each goes to the oldest request that still waits
        if let Some(a) = o.open().find(|a| a.is_open()) {
            a.answered_ns = Some(t);
        }
    }
}

fn client_news(o: &mut Observed, t: Time, client: &str, news: &ClientNews) {
    let c = o.clients.entry(client.to_owned()).or_default();
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

fn finish(o: &mut Observed, end: Time, silence: Option<Time>) {
    for c in o.clients.values_mut() {
        c.lost = c.sent.saturating_sub(c.answered + c.failures);
        c.longest_gap = c.successes.windows(2).map(|w| w[1].since(w[0])).max();
    }
    let Some(first) = o.asked.first().map(|a| a.t_ns) else { return };
    let over = match silence {
        // still silent at the end
        Some(_) => Some(end),
        None => o.window_end_ns,
    };
    if silence.is_some() {
        o.window_end_ns = None;
    }
    o.window = Some(over.map_or(Span::ZERO, |over| over.since(first)));
}
