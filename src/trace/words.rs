//! What happened, in words.

use super::event::{Differs, Failed, FrameFate, HeldUntil, KernelTables, Loss, Undone, Why};
use super::stream::Trace;
use crate::control::{Act, Errand, PodId, Side, StepId, Until};
use crate::host::{Reason, Teller};
use crate::neigh::Discarded;
use crate::pod::{ClientId, Failure};
use crate::scenario::ClientPlan;
use crate::stack::DropWhy;
use crate::time::Span;
use crate::wire;
use core::fmt;
use std::net::IpAddr;

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Loss::Carrier(reason) => write!(f, "{reason}"),
            Loss::Fault => f.write_str("a fault of the link"),
            Loss::PodDown => f.write_str("the pod's end is down"),
        }
    }
}

impl FrameFate {
    /// Why it never arrived; `None` when it did.
    #[must_use]
    pub const fn loss(self) -> Option<Loss> {
        match self {
            FrameFate::Delivered => None,
            FrameFate::Lost(loss) => Some(loss),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Arp(reason) => write!(f, "{reason}"),
            Why::Nd(reason) => write!(f, "{reason}"),
            Why::Responder => f.write_str("the responder under test keeps silent"),
            Why::Unexplained => f.write_str("the model knows no reason"),
            Why::Unmodelled => f.write_str("the model does not know what the kernel was told before"),
        }
    }
}

/// A failure as scenario files and tables name it: the errno's name with its text, ping's words.
impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failed::Known(Failure::Socket(error)) => write!(f, "{} ({})", error.name(), error.text()),
            Failed::Known(other) => f.write_str(other.name()),
            Failed::Other(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for Undone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Undone::GaveUp => f.write_str("gave up waiting"),
            Undone::Refused(why) => why.fmt(f),
        }
    }
}

impl fmt::Display for Differs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Differs::Made(why) => write!(f, "the kernel made a change that the model refuses: {why}"),
            Differs::Refused(why) => write!(f, "the kernel refuses a change that the model makes: {why}"),
            Differs::Answered { asked, at, why } => {
                write!(f, "the kernel answered at {at} a request of {asked}, ")?;
                write!(f, "for which the model has a reason to be silent: {why}")
            }
            Differs::Silent { asked } => {
                write!(f, "the kernel did not answer the request of {asked}, and the model knows no reason")
            }
        }
    }
}

/// In words, as everywhere.
impl serde::Serialize for Differs {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What stands in for a TAP that could not be had.
pub(super) fn no_tap(why: &str) -> String {
    format!("no TAP ({why}); a veth and a packet socket instead")
}

/// As `ip route` prints them.
#[cfg(feature = "live")]
pub(super) fn routes(tables: &KernelTables) -> Vec<String> {
    tables.routes.iter().map(ToString::to_string).collect()
}

/// As `ip rule` prints them.
#[cfg(feature = "live")]
pub(super) fn rules(tables: &KernelTables) -> Vec<String> {
    tables.rules.iter().map(ToString::to_string).collect()
}

/// As `ip neigh` prints them.
#[cfg(feature = "live")]
pub(super) fn neighbours(tables: &KernelTables) -> Vec<String> {
    tables.neighbours.iter().map(ToString::to_string).collect()
}

/// No kernel was asked.
#[cfg(not(feature = "live"))]
pub(super) fn routes(_: &KernelTables) -> Vec<String> {
    Vec::new()
}

#[cfg(not(feature = "live"))]
pub(super) use {routes as neighbours, routes as rules};

/// As `sysctl` prints them.
pub(super) fn sysctls(tables: &KernelTables) -> Vec<String> {
    tables.sysctls.iter().map(|(key, value)| format!("{key} = {value}")).collect()
}

/// So many of something whose name takes an s.
pub(crate) fn many(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// How finely the lengths of one block are told: all alike, by the longest of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Precision {
    /// Seconds, to the millisecond.
    Seconds,
    /// Milliseconds, to a tenth.
    Millis,
    /// Whole microseconds.
    Micros,
}

impl Precision {
    /// That of a block with these lengths.
    pub(super) fn of(spans: impl IntoIterator<Item = Span>) -> Precision {
        match spans.into_iter().max().map_or(0, Span::as_ns) {
            0..1_000_000 => Precision::Micros,
            1_000_000..1_000_000_000 => Precision::Millis,
            _ => Precision::Seconds,
        }
    }

    /// A length, cut off at the last digit that is told.
    pub(super) fn tell(self, span: Span) -> String {
        let ns = span.as_ns();
        match self {
            Precision::Seconds => format!("{}.{:03}s", ns / 1_000_000_000, ns / 1_000_000 % 1000),
            Precision::Millis => format!("{}.{}ms", ns / 1_000_000, ns / 100_000 % 10),
            Precision::Micros => format!("{}us", ns / 1_000),
        }
    }
}

/// A reason for silence as it is told: with whose word it is, where that is not the host's own.
pub(super) fn silence(side: Side, why: Why, inferred: bool) -> String {
    let teller = if side == Side::Pod { Teller::Pod } else { Teller::Host };
    let why = match why {
        Why::Arp(reason) => reason.told_by(teller).to_string(),
        Why::Nd(reason) => reason.told_by(teller).to_string(),
        other => other.to_string(),
    };
    // a real kernel says nothing, so a reason of its silence can only be the model's
    if inferred { format!("{why} (according to the model; the kernel itself does not say)") } else { why }
}

/// Who tells of a packet.
pub(super) fn teller(trace: &Trace, side: Side, packet: &[u8]) -> Teller {
    let s = &trace.plan.setting;
    let pods = [Some(IpAddr::V4(s.pod_ip)), s.pod_ip6.map(IpAddr::V6)];
    let from = wire::ip_parts(packet).map(|(ends, ..)| ends.src());
    match side {
        Side::Pod => Teller::Pod,
        Side::Host if from.is_none() || pods.contains(&from) => Teller::Host,
        Side::Host => Teller::HostOfOthers,
    }
}

/// The gateway of IPv4, of which a run tells whether it would answer; the family is named where a
/// pod has two.
pub(super) fn gateway4(trace: &Trace) -> &'static str {
    if trace.plan.setting.pod_ip6.is_some() { "the IPv4 gateway" } else { "the gateway" }
}

/// A kernel did something that the model has no term for.
pub(super) fn unmodelled(command: &str) -> String {
    format!("the model does not know `{command}`: from here on it is not held against the kernel")
}

/// A real plugin failed.
pub(super) fn plugin_failed(pod: PodId, errand: Errand, why: &str) -> String {
    let of = if pod.is_other() { format!(" for {pod}") } else { String::new() };
    format!("{errand} of the plugin{of} failed: {why}")
}

/// A request of a plugin for a pod that the run is not about: of those only what was held or refused is news.
pub(super) fn is_of_other(trace: &Trace, step: StepId, acts: &[Act]) -> bool {
    trace.plan.steps.info(step).pod.is_other() && acts.iter().any(|act| matches!(act, Act::Request { .. }))
}

/// A frame that is no question, put aside.
pub(super) fn ignored(side: Side, why: Why) -> String {
    format!("the {side} ignores a frame: {}", silence(side, why, false))
}

/// What a client is and whom it talks to.
pub(super) fn client(trace: &Trace, client: ClientId) -> String {
    let from = |c: &ClientPlan| if c.from == Side::Host { " from the node" } else { "" };
    let plan = trace.plan.client(client.0 as usize);
    plan.map_or_else(String::new, |c| format!("{} {}{}", c.kind, c.to, from(c)))
}

/// What was done, as commands.
pub(super) fn commands(acts: &[Act]) -> Vec<String> {
    acts.iter().map(ToString::to_string).filter(|a| !a.is_empty()).collect()
}

/// What a held step waits for.
pub(crate) fn until(trace: &Trace, until: HeldUntil) -> String {
    let HeldUntil::Hold(until) = until else { return "by this schedule".to_owned() };
    match until {
        Until::Elapsed(span) => format!("for {span}"),
        Until::At(time) => format!("until {time}"),
        Until::Done(step) | Until::Nth(step, 1) => format!("until {} is done", trace.step_name(step)),
        Until::Nth(step, n) => format!("until {} is done {n} times", trace.step_name(step)),
        Until::Requests(n) => format!("until the pod has asked {n} times"),
        Until::Tries(n) => format!("until the clients have tried {n} times"),
        Until::Told => "until told".to_owned(),
        Until::Never => "for ever".to_owned(),
    }
}

/// Why a packet was dropped.
pub(super) fn dropped(teller: Teller, why: DropWhy) -> String {
    match why {
        DropWhy::Input(fault) => Reason::Unroutable(fault).told_by(teller).to_string(),
        DropWhy::Neighbour(discarded) => match discarded {
            Discarded::QueueOverflow => "more waits for the neighbour than unres_qlen_bytes".into(),
            Discarded::NoRequestsAllowed => "mcast_solicit is 0, so nobody is asked".into(),
            Discarded::FailureRaced => {
                "it joined the neighbour's queue while that was being thrown away".into()
            }
            Discarded::EntryFlushed => "the neighbour entry it waited in was flushed".into(),
        },
        DropWhy::Unreachable => "no neighbour answered; its sender is told".into(),
        DropWhy::ErrorRateLimited => {
            "no neighbour answered; the error to its sender exceeds icmp_msgs_burst".into()
        }
        DropWhy::ErrorUndeliverable => "no neighbour answered; the error cannot reach its sender".into(),
        DropWhy::OtherHost => "sent to a MAC that is nobody's here".into(),
        DropWhy::Malformed => "it cannot be read".into(),
        DropWhy::Expired => "its time to live ran out".into(),
        DropWhy::NoCarrier => "the device has no carrier".into(),
        DropWhy::DeviceDown => "the device is down".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Refusal;

    #[test]
    fn the_lengths_of_a_block_are_told_alike() {
        let told = |spans: &[u64]| {
            let spans = spans.iter().map(|us| Span::from_us(*us));
            let precision = Precision::of(spans.clone());
            spans.map(|s| precision.tell(s)).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(told(&[40_964_123, 932_799, 410]), "40.964s 0.932s 0.000s");
        assert_eq!(told(&[24_499, 410]), "24.4ms 0.4ms");
        assert_eq!(told(&[410]), "410us");
    }

    #[test]
    fn a_difference_has_the_words_of_both() {
        let ms = |n| crate::time::Time::ZERO + Span::from_ms(n);
        let why = Why::Arp(Reason::NoCarrier);
        let kernel = Refusal::Kernel { errno: Some(17), words: "File exists".into() };
        let told = [
            Differs::Refused(kernel),
            Differs::Answered { asked: ms(10), at: ms(11), why },
            Differs::Silent { asked: ms(10) },
        ];
        let words = [
            "the kernel refuses a change that the model makes: File exists",
            "the kernel answered at 0.011s a request of 0.010s, for which the model has a reason to be silent: \
             the link has no carrier",
            "the kernel did not answer the request of 0.010s, and the model knows no reason",
        ];
        assert_eq!(told.map(|d| d.to_string()), words);
    }

    #[test]
    fn one_is_no_plural() {
        assert_eq!((many(1, "request"), many(0, "request")), ("1 request".into(), "0 requests".into()));
    }
}
