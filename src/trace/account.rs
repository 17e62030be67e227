//! What kept each client from the world, spell by spell: the ground on which a summary says more
//! than that a ping was lost.

use super::event::{ClientNews, Loss, Ruling, What, is_dad, is_gateway};
use super::stream::{Event, Trace};
use super::words;
use crate::control::Side;
use crate::host::{Flow, Flow6, HostState, Reason, Teller};
use crate::neigh::Nud;
use crate::pod::ClientId;
use crate::stack::DropWhy;
use crate::time::{Span, Time};
use crate::wire;
use std::net::{IpAddr, Ipv4Addr};

/// A client that is served within this, or late by no more, was not without the world.
const AT_ONCE: Span = Span::from_ms(60);

/// A time in which a client had no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spell {
    /// From its start, or from its last answer.
    pub from: Time,
    /// To its next answer, or to its last attempt.
    pub to: Time,
    /// It had been served before.
    pub served: bool,
    /// It did not end.
    pub open: bool,
}

impl Spell {
    /// How long it lasts.
    #[must_use]
    pub fn length(&self) -> Span {
        self.to.since(self.from)
    }
}

/// The spells of a client without an answer: before its first, between two that lie further apart
/// than its interval and a tenth, and after the last while it still tried. One that was never served
/// has one alone, however short.
#[must_use]
pub fn spells(events: &[Event], client: ClientId, interval: Span) -> Vec<Spell> {
    let slack = Span::from_ns(interval.as_ns() + interval.as_ns() / 10);
    let (mut list, mut since, mut tried, mut served) = (Vec::new(), None::<Time>, Time::ZERO, false);
    for event in events {
        let What::Client { client: who, news } = &event.what else { continue };
        if *who != client {
            continue;
        }
        match news {
            ClientNews::Start => since = since.or(Some(event.t_ns)),
            ClientNews::Success { .. } => {
                let spell = Spell { from: since.unwrap_or(event.t_ns), to: event.t_ns, served, open: false };
                list.extend(Some(spell).filter(|s| !served || s.length() > slack));
                (since, served) = (Some(event.t_ns), true);
            }
            ClientNews::End { .. } if served => {}
            _ => tried = event.t_ns,
        }
    }
    let spell = Spell { from: since.unwrap_or(tried), to: tried, served, open: true };
    let counts = !served || (spell.to > spell.from && spell.length() > slack);
    list.extend(Some(spell).filter(|_| counts));
    list
}

/// Each spell of a client that a person would notice, with what it came from, in words.
pub(super) fn account(trace: &Trace, client: ClientId) -> Vec<(Spell, String)> {
    let Some(plan) = trace.plan.client(client.0 as usize) else { return Vec::new() };
    let to = plan.to.ip();
    let late = |s: &Spell| s.length().as_ns() > AT_ONCE.as_ns() + u64::from(s.served) * plan.interval.as_ns();
    let noticed = spells(trace, client, plan.interval).into_iter().filter(late);
    let of_node = |spell| if plan.from == Side::Host { unheard(trace, spell, to) } else { None };
    let told = |spell| of_node(spell).or_else(|| cause(trace, spell, to));
    noticed.filter_map(|spell| Some((spell, told(spell)?))).collect()
}

/// What can keep a client from the world.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cause {
    /// A namespace drops its packets, of whomever.
    Dropped(Side, Teller, DropWhy),
    /// The link does.
    Lost(Loss),
}

/// What a spell came from; `None` when the line about the gateway says it.
fn cause(trace: &Trace, spell: Spell, to: IpAddr) -> Option<String> {
    let inside = |e: &&Event| spell.from <= e.t_ns && e.t_ns < spell.to;
    let mut causes: Vec<(Cause, usize)> = Vec::new();
    let (mut unanswered, mut dropped) = (None, Time::ZERO);
    for event in trace.iter().filter(inside) {
        let cause = match &event.what {
            What::Dropped { side, packet, why } if is_cause(*side, *why) && concerns(packet, to) => {
                Cause::Dropped(*side, words::teller(trace, *side, packet), *why)
            }
            What::Frame { fate, view, .. } if !view.is_ipv6() || to.is_ipv6() => match fate.loss() {
                Some(loss) => Cause::Lost(loss),
                None => continue,
            },
            What::Judged {
                side: Side::Host,
                target,
                sender,
                ruling: Ruling::Silent { why, inferred },
                ..
            } if is_gateway(*target, trace.gateway4())
                && !is_dad(*sender)
                && target.is_ipv6() == to.is_ipv6() =>
            {
                unanswered = Some((event.t_ns, *why, *inferred));
                continue;
            }
            _ => continue,
        };
        dropped = event.t_ns;
        match causes.iter_mut().find(|c| c.0 == cause) {
            Some((_, n)) => *n += 1,
            None => causes.push((cause, 1)),
        }
    }
    // what was sent was dropped at first; then nothing could be sent any more
    let then = unanswered.filter(|(t, ..)| spell.served && *t > dropped).map(|(_, why, inferred)| {
        format!("; then the gateway is silent: {}", words::silence(Side::Host, why, inferred))
    });
    if let Some((cause, n)) = causes.into_iter().max_by_key(|c| c.1) {
        let told = match cause {
            Cause::Dropped(side, teller, why) => {
                let drops =
                    format!("the {side} drops {}: {}", words::many(n, "packet"), words::dropped(teller, why));
                let pod = (side == Side::Host && why == DropWhy::Unreachable)
                    .then(|| deaf_pod(trace, spell, to.is_ipv6()))
                    .flatten();
                pod.map_or_else(|| drops.clone(), |pod| format!("{drops}; {pod}"))
            }
            Cause::Lost(loss) => format!("{} lost on the link: {loss}", words::many(n, "frame")),
        };
        return Some(told + &then.unwrap_or_default());
    }
    if let Some((_, why, inferred)) = unanswered {
        // before the first answer this is what the gateway's own line is about
        let told = || format!("the gateway is silent: {}", words::silence(Side::Host, why, inferred));
        return spell.served.then(told);
    }
    silent(trace, spell, to).or_else(|| {
        let six = to.is_ipv6();
        let deaf = || deaf_pod(trace, spell, six).map(|pod| format!("its packets leave, but {pod}"));
        let way = way_to_the_pod(trace, spell, six).or_else(deaf);
        Some(way.unwrap_or_else(|| "its packets leave, and nothing comes back".to_owned()))
    })
}

/// A client on the node waits for the node's own neighbour entry, and that fails: what it sends never leaves.
fn unheard(trace: &Trace, spell: Spell, to: IpAddr) -> Option<String> {
    let failed = trace.iter().filter(|e| spell.from <= e.t_ns && e.t_ns <= spell.to).any(
        |e| matches!(&e.what, What::Neigh { side: Side::Host, ip, new: Some(Nud::Failed), .. } if *ip == to),
    );
    failed.then(|| format!("the node asks for {to}, and nobody answers it"))
}

/// A namespace's word that says why, and not only that a sender was told.
fn is_cause(side: Side, why: DropWhy) -> bool {
    let told = matches!(
        why,
        DropWhy::Unreachable
            | DropWhy::ErrorRateLimited
            | DropWhy::ErrorUndeliverable
            | DropWhy::Neighbour(_)
    );
    side == Side::Host || !told
}

/// A packet to or from the client's peer, or an error about one.
fn concerns(packet: &[u8], to: IpAddr) -> bool {
    wire::ip_parts(packet).is_some_and(|(ends, ..)| ends.src() == to || ends.dst() == to)
}

/// The longest silence of the gateway in a spell in which nobody could ask for it: a link that is
/// down, or gone, is so for both families.
fn silent(trace: &Trace, spell: Spell, to: IpAddr) -> Option<String> {
    let mut since: Option<(Time, Reason)> = None;
    let mut longest: Option<(Span, Reason)> = None;
    let changes = trace.iter().filter_map(|e| match &e.what {
        What::Gateway { silence } => Some((e.t_ns, *silence)),
        _ => None,
    });
    for (t, silence) in changes.chain([(spell.to, None)]) {
        if let Some((from, reason)) = since {
            let (from, until) = (from.max(spell.from), t.min(spell.to));
            let length = until.since(from);
            if until > from && longest.is_none_or(|l| length > l.0) {
                longest = Some((length, reason));
            }
        }
        since = silence.map(|reason| (t, reason));
    }
    let link = |r: &Reason| matches!(r, Reason::NoInterface | Reason::LinkDown | Reason::NoCarrier);
    let (_, reason) = longest.filter(|(_, r)| link(r) || to.is_ipv4())?;
    Some(format!("the gateway is silent, and cannot be asked: {reason}"))
}

/// The host asks for the pod, which does not answer: with the pod's reason, where a model is in the pod.
fn deaf_pod(trace: &Trace, spell: Spell, six: bool) -> Option<String> {
    let s = &trace.plan.setting;
    let pod = if six { s.pod_ip6?.into() } else { IpAddr::V4(s.pod_ip) };
    let inside = trace.iter().filter(|e| spell.from <= e.t_ns && e.t_ns <= spell.to);
    let (mut failed, mut why) = (false, None);
    for event in inside {
        match &event.what {
            What::Neigh { side: Side::Host, ip, new: Some(Nud::Failed), .. } if *ip == pod => failed = true,
            What::Judged { side: Side::Pod, target, ruling: Ruling::Silent { why: w, inferred }, .. }
                if *target == pod =>
            {
                why = Some((*w, *inferred));
            }
            _ => {}
        }
    }
    let told = || match why {
        Some((why, inferred)) => {
            format!(
                "the pod does not answer the host's own requests: {}",
                words::silence(Side::Pod, why, inferred)
            )
        }
        None => "the pod does not answer the host's own requests".to_owned(),
    };
    failed.then(told)
}

/// Where the node's route to the pod leads in the middle of a spell, when that is not the pod.
fn way_to_the_pod(trace: &Trace, spell: Spell, six: bool) -> Option<String> {
    let setting = &trace.plan.setting;
    let middle = spell.from + Span::from_ns(spell.length().as_ns() / 2);
    let mut host = trace.plan.host.clone();
    for event in trace.iter().take_while(|e| e.t_ns <= middle) {
        let What::Step { acts, .. } = &event.what else { continue };
        for change in acts.iter().filter_map(|act| act.on_host(setting.cali)) {
            // what the kernel refuses changes nothing
            let _ = host.apply(&change);
        }
    }
    let by = if six { way6(&host, setting.pod_ip6?) } else { way4(&host, setting.pod_ip) };
    match by {
        Some(dev) if dev == setting.cali => None,
        Some(dev) => Some(format!("its packets leave, but the host's way back to the pod is by {dev}")),
        None => Some("its packets leave, but the host has no way back to the pod".to_owned()),
    }
}

fn way4(host: &HostState, pod: Ipv4Addr) -> Option<crate::addr::IfName> {
    let hit = host.fib_lookup(&Flow::output(pod, Ipv4Addr::UNSPECIFIED)).ok()?;
    Some(host.name_of(hit.hop.dev))
}

fn way6(host: &HostState, pod: std::net::Ipv6Addr) -> Option<crate::addr::IfName> {
    host.route6(&Flow6::output(pod, None))?.dev.map(|dev| host.name_of(dev))
}
