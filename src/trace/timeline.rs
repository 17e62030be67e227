//! The timeline a person reads: actors in lanes, the window drawn beside them, each unanswered
//! request with its reason.
//!
//! ```text
//!     time  kubelet  cni  felix  pod
//!   0.412s     |      |     |     *  ┃ who-has 169.254.1.1          no reply: ...
//! ```
//!
//! A pod that asks in vain for a minute asks some sixty times. Requests of one resolution are one
//! line, with the moments they left; a reason is spelled out when it is new.

use super::describe::{Described, describe, describe_ip};
use super::event::{ClientNews, FrameFate, Ruling, Undone, What, is_dad, is_gateway};
use super::page::{Glyphs, LaneName, Page, PageRow, Style, Tone, Window};
use super::stream::{Event, Trace};
use super::view::View;
use super::words::{self, Precision};
use crate::addr::Mac;
use crate::control::{Act, ActorName, Side, StepId, StepOrigin, StepTable};
use crate::host::Reason;
use crate::neigh::Nud;
use crate::packet::{FrameId, IpBytes};
use crate::pod::ClientId;
use crate::stack::DropWhy;
use crate::time::{Span, Time};
use crate::wire::nd::{self, NdMessage};
use core::fmt::Write as _;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

/// Requests that belong to one resolution.
#[derive(Default)]
struct Burst {
    from: Option<Time>,
    /// Its first request has a row already.
    told_first: bool,
    /// Who is asked for.
    target: Option<IpAddr>,
    sent: Vec<Time>,
    /// In words, with their codes; a request that never arrived has none.
    reasons: Vec<(&'static str, String)>,
}

/// The pod's gateway of one family.
#[derive(Default)]
pub(super) struct Gate {
    silent: bool,
    /// The pod has asked during this silence.
    asking: bool,
    /// A row says that the gateway fell silent.
    told_silent: bool,
    burst: Burst,
    /// The reason given last.
    said: Option<String>,
    pub(super) windows: Vec<Window>,
}

/// A row tells the times of so many requests.
const TIMES_SHOWN: usize = 12;

/// News from a kernel comes so much later than a frame at most.
const NEWS_LAG: Span = Span::from_ms(20);

/// Turns events into text.
pub struct Timeline<'a> {
    pub(super) trace: &'a Trace,
    pub(super) style: Style,
    /// Of the times that answers took.
    pub(super) precision: Precision,
    pub(super) told: Told,
}

/// What has been told, and what that says of what is to be told yet.
#[derive(Default)]
pub(super) struct Told {
    /// The run still goes on: a row stands where it is known, and the first request in vain is told
    /// before it is known how many there are.
    pub(super) on_the_way: bool,
    pub(super) rows: Vec<PageRow>,
    /// The gateway of IPv4, and that of IPv6.
    pub(super) gates: [Gate; 2],
    /// IPv6 requests that are answered, at once or later.
    pub(super) answered: BTreeSet<FrameId>,
    /// Errors of clients that were shown already.
    errors: BTreeSet<(ClientId, String)>,
    /// Steps without effect that were shown already.
    idle_steps: BTreeSet<StepId>,
    /// Clients that had a success.
    served: BTreeSet<ClientId>,
    /// Packets dropped, by what is alike of them, with the row that tells of the first.
    drops: BTreeMap<String, (usize, u32)>,
}

impl Told {
    /// Nothing yet, of a run that still goes on.
    pub(super) fn on_the_way() -> Told {
        Told { on_the_way: true, ..Told::default() }
    }
}

impl Timeline<'_> {
    /// The timeline of these events.
    #[must_use]
    pub fn render(trace: &Trace, style: Style) -> String {
        let t = Timeline::whole(trace, style);
        let windows = t.told.gates.each_ref().map(|g| &g.windows[..]);
        Page::new(t.style, &t.told.rows, windows).draw()
    }

    /// Its rows, in the order in which they are drawn.
    pub(super) fn rows(trace: &Trace, style: Style) -> Vec<PageRow> {
        Timeline::whole(trace, style).told.rows
    }

    fn whole(trace: &Trace, style: Style) -> Timeline<'_> {
        let mut t = Timeline::told(trace, style);
        t.count_drops();
        // a burst is known only when it is over, but belongs where it began
        t.told.rows.sort_by_key(|r| r.t);
        t
    }

    /// The spans in which the pod asks in vain, of IPv4's gateway and of IPv6's.
    pub(super) fn windows(trace: &Trace) -> [Vec<(Time, Time)>; 2] {
        let told = Timeline::told(trace, Style::default());
        told.told.gates.map(|gate| gate.windows.iter().map(|w| (w.from, w.to)).collect())
    }

    fn told(trace: &Trace, style: Style) -> Timeline<'_> {
        let mut t = Timeline::new(trace, style);
        for event in trace.iter() {
            t.event(event);
        }
        let end = trace.last().map_or(Time::ZERO, |e| e.t_ns);
        for six in [false, true] {
            t.flush(end, six, None);
        }
        t
    }

    fn new(trace: &Trace, style: Style) -> Timeline<'_> {
        Timeline {
            trace,
            style,
            precision: Precision::of(took(trace)),
            told: Told { answered: answered6(trace).collect(), ..Told::default() },
        }
    }

    fn row(&mut self, t: Time, lane: Option<LaneName>, tone: Tone, text: String) {
        let number = self.told.rows.len();
        self.told.rows.push(PageRow { t, lane, text, tone, more: Vec::new(), number });
    }

    pub(super) fn event(&mut self, event: &Event) {
        let t = event.t_ns;
        match &event.what {
            What::Step { step, actor, acts, undone } => self.step(t, *step, *actor, acts, undone.as_ref()),
            What::Held { step, until } => {
                let until = words::until(self.trace, *until);
                self.hold(t, *step, Tone::Bad, &format!("is held {until}"));
            }
            What::Released { step } => self.hold(t, *step, Tone::Good, "goes on"),
            What::Frame { id, from, bytes, view, fate, .. } => {
                self.frame(t, (*id, *from, *fate), bytes, view);
            }
            What::Judged { side: Side::Host, target, sender, ruling, .. }
                if is_gateway(*target, self.trace.gateway4()) && !is_dad(*sender) =>
            {
                self.judged(t, target.is_ipv6(), *ruling);
            }
            What::Neigh { side, ip, old, new, lladdr, .. } => self.neigh(t, *side, *ip, *old, *new, *lladdr),
            What::Gateway { silence } => self.gateway(t, *silence),
            What::Client { client, news } => self.client(t, *client, news),
            What::Dropped { side, packet, why } => self.dropped(t, *side, packet, *why),
            What::Ignored { side, why } => self.row(t, None, Tone::Dim, words::ignored(*side, *why)),
            What::PluginFailed { pod, errand, why } => {
                self.row(t, None, Tone::Bad, words::plugin_failed(*pod, *errand, why));
            }
            What::NoTap { why } => self.row(t, None, Tone::Dim, words::no_tap(why)),
            What::Unmodelled { command, .. } => self.row(t, None, Tone::Bad, words::unmodelled(command)),
            What::Differs(how) => self.row(t, None, Tone::Bad, format!("model and kernel differ: {how}")),
            _ => {}
        }
    }

    fn hold(&mut self, t: Time, step: StepId, tone: Tone, text: &str) {
        let info = self.trace.plan.steps.info(step);
        let text = format!("{} {text}", info.name);
        self.row(t, Some(LaneName::Actor(info.actor)), tone, text);
    }

    /// One line for the first packet lost for a reason, with the number of those like it.
    fn dropped(&mut self, t: Time, side: Side, packet: &IpBytes, why: DropWhy) {
        let d = describe_ip(packet);
        let target = match nd::in_packet(packet).map(|p| p.message) {
            Some(NdMessage::Solicit(ns)) => Some(ns.target.into()),
            _ => None,
        };
        if !self.style.full && (side == Side::Pod || is_background(&d, target)) {
            return;
        }
        let why = words::dropped(words::teller(self.trace, side, packet), why);
        let alike = format!("{side} {} {why}", d.kind());
        match self.told.drops.get_mut(&alike) {
            Some((_, n)) if !self.style.full => *n += 1,
            _ => {
                self.told.drops.insert(alike, (self.told.rows.len(), 1));
                self.row(t, None, Tone::Dim, format!("the {side} drops {}: {why}", d.summary));
            }
        }
    }

    fn count_drops(&mut self) {
        for (row, n) in self.told.drops.values() {
            if *n > 1 {
                let _ = write!(self.told.rows[*row].text, " ({} more like it)", n - 1);
            }
        }
    }

    fn step(&mut self, t: Time, step: StepId, actor: ActorName, acts: &[Act], undone: Option<&Undone>) {
        if undone.is_none() && !self.style.full && words::is_of_other(self.trace, step, acts) {
            return;
        }
        let acts = words::commands(acts);
        if acts.is_empty() && undone.is_none() && !self.told.idle_steps.insert(step) && !self.style.full {
            return;
        }
        let info = self.trace.plan.steps.info(step);
        if info.origin == StepOrigin::Question && !self.style.full {
            return;
        }
        // what has no effect on a namespace is told in words
        let title =
            Some(info.title.clone()).filter(|_| acts.is_empty() && StepTable::is_built_in(&info.name));
        let what = title.unwrap_or_else(|| acts.join("; "));
        let mut text = match info.origin {
            _ if what.is_empty() => info.name.clone(),
            StepOrigin::Request | StepOrigin::Question => format!("{:<40}  {what}", info.name),
            StepOrigin::BuiltIn | StepOrigin::File => format!("{:<28} {what}", info.name),
        };
        let tone = if undone.is_some() { Tone::Bad } else { Tone::Plain };
        if let Some(why) = undone {
            let _ = write!(text, " -- {why}");
        }
        self.row(t, Some(LaneName::Actor(actor)), tone, text);
    }

    fn frame(&mut self, t: Time, (id, from, fate): (FrameId, Side, FrameFate), bytes: &[u8], view: &View) {
        let told = || arrow(from, &describe(bytes).summary);
        let six = view.is_ipv6();
        if from == Side::Pod && view.asks_gateway(self.trace.gateway4()) {
            let silent = if six { !self.told.answered.contains(&id) } else { self.told.gates[0].silent };
            if silent || fate != FrameFate::Delivered {
                self.ask_in_vain(t, view, fate);
            } else {
                self.flush(t, six, None);
                self.row(t, Some(LaneName::Pod), Tone::Plain, told());
            }
        } else if from == Side::Host
            && view.answers().is_some_and(|(ip, _)| is_gateway(ip, self.trace.gateway4()))
        {
            self.flush(t, six, None);
            self.row(t, Some(LaneName::Pod), Tone::Good, told());
            if six {
                self.close_window(t, six);
            }
        } else if self.style.full || view.asks().is_some() || view.answers().is_some() {
            let d = describe(bytes);
            if self.style.full || !is_background(&d, view.asks().map(|a| a.1)) {
                self.flush_all(t);
                self.row(t, Some(LaneName::Pod), Tone::Dim, arrow(from, &d.summary));
            }
        }
    }

    /// A request that nobody answers.
    fn ask_in_vain(&mut self, t: Time, view: &View, fate: FrameFate) {
        let first = self.told.rows.len();
        let gate = &mut self.told.gates[usize::from(view.is_ipv6())];
        let opens = !core::mem::replace(&mut gate.asking, true);
        if opens {
            gate.windows.push(Window { from: t, first, to: Time::FOREVER, rows: usize::MAX });
        }
        gate.burst.from.get_or_insert(t);
        gate.burst.target = view.asks().map(|a| a.1);
        gate.burst.sent.push(t);
        let lost = fate.loss().map(|loss| format!("the request never arrived: {loss}"));
        if self.told.on_the_way {
            self.ask_on_the_way(t, view, opens);
            if let Some(why) = lost {
                self.because(t, view.is_ipv6(), "", why);
            }
        } else if let Some(why) = lost {
            gate.burst.reasons.push(("", why));
        }
    }

    /// The first request of a window is told at once.
    fn ask_on_the_way(&mut self, t: Time, view: &View, opens: bool) {
        if let Some((_, target)) = view.asks().filter(|_| opens) {
            self.told.gates[usize::from(view.is_ipv6())].burst.told_first = true;
            let text = format!("who-has {target} {} no reply yet", self.glyphs().no);
            self.row(t, Some(LaneName::Pod), Tone::Bad, text);
        }
    }

    /// A reason is told when it is known, if it is new.
    fn because(&mut self, t: Time, six: bool, code: &str, why: String) {
        let gate = &mut self.told.gates[usize::from(six)];
        let (asking, said) = (gate.asking, &mut gate.said);
        if said.as_deref() != Some(why.as_str()) {
            let code = if code.is_empty() { String::new() } else { format!(" [{code}]") };
            let text = if asking {
                format!("  because {why}{code}")
            } else {
                format!("  those were unanswered because {why}{code}")
            };
            *said = Some(why);
            // of a silence that a kernel keeps it is known late: no moment of its own
            let more = vec![(Tone::Bad, text)];
            let number = self.told.rows.len();
            self.told.rows.push(PageRow {
                t,
                lane: None,
                text: String::new(),
                tone: Tone::Bad,
                more,
                number,
            });
        }
    }

    /// The pod asks in vain no longer.
    fn close_window(&mut self, t: Time, six: bool) {
        let rows = self.told.rows.len();
        let gate = &mut self.told.gates[usize::from(six)];
        if core::mem::take(&mut gate.asking)
            && let Some(window) = gate.windows.last_mut()
        {
            (window.to, window.rows) = (t, rows);
        }
    }

    fn judged(&mut self, t: Time, six: bool, ruling: Ruling) {
        let (why, inferred) = match ruling {
            Ruling::Answered => return,
            Ruling::Delayed => {
                let text = "the host will answer after proxy_delay".into();
                return self.row(t, Some(LaneName::Pod), Tone::Plain, text);
            }
            Ruling::Silent { why, inferred } => (why, inferred),
        };
        let (code, text) = (why.pointer().code, words::silence(Side::Host, why, inferred));
        let late = self.told.on_the_way && self.told.rows.last().is_some_and(|row| t < row.t);
        if late {
            return self.because(t, six, code, text);
        }
        let burst = &mut self.told.gates[usize::from(six)].burst;
        if burst.from.is_none() {
            // a probe of an entry that was valid, or a request lost to a passing condition
            let glyphs = self.glyphs();
            self.row(t, Some(LaneName::Pod), Tone::Bad, format!("{} no reply: {text} [{code}]", glyphs.no));
            return;
        }
        if self.told.on_the_way {
            self.because(t, six, code, text);
        } else if !burst.reasons.iter().any(|(c, _)| *c == code) {
            burst.reasons.push((code, text));
        }
    }

    fn neigh(
        &mut self,
        t: Time,
        side: Side,
        ip: std::net::IpAddr,
        old: Option<Nud>,
        new: Option<Nud>,
        lladdr: Option<crate::addr::Mac>,
    ) {
        let name = |n: Option<Nud>| n.map_or("(no entry)", Nud::name);
        if side == Side::Pod && is_gateway(ip, self.trace.gateway4()) {
            match new {
                Some(Nud::None | Nud::Incomplete) if !self.style.full => return,
                Some(Nud::Failed) => return self.failed(t, ip),
                _ => {}
            }
            self.flush(t, ip.is_ipv6(), None);
            let mac = lladdr.map(|m| format!(" lladdr {m}")).unwrap_or_default();
            let tone = match new {
                Some(Nud::Reachable) => Tone::Good,
                Some(Nud::Probe) => Tone::Bad,
                _ => Tone::Plain,
            };
            let text = format!("pod: {ip}{mac} {} -> {}", name(old), name(new));
            self.row(t, Some(LaneName::Pod), tone, text);
        } else if self.style.full {
            self.flush_all(t);
            self.row(t, None, Tone::Dim, format!("{side}: {ip} {} -> {}", name(old), name(new)));
        }
    }

    /// A resolution failed. A live kernel's word of it may come after the first request of the
    /// next one.
    fn failed(&mut self, t: Time, ip: IpAddr) {
        let six = ip.is_ipv6();
        let burst = &mut self.told.gates[usize::from(six)].burst;
        burst.target = Some(ip);
        let sent = &mut burst.sent;
        let next = if sent.len() > 1 { sent.pop_if(|s| t.since(*s) < NEWS_LAG) } else { None };
        self.flush(t, six, Some("FAILED"));
        if let Some(next) = next {
            let burst = &mut self.told.gates[usize::from(six)].burst;
            (burst.from, burst.target) = (Some(next), Some(ip));
            burst.sent.push(next);
        }
    }

    /// From now on the gateway of IPv4 would answer, or not.
    fn gateway(&mut self, t: Time, silence: Option<Reason>) {
        let answers = silence.is_none();
        let (name, glyphs) = (words::gateway4(self.trace), self.glyphs());
        let gate = &mut self.told.gates[0];
        let was_silent = core::mem::replace(&mut gate.silent, !answers);
        if answers && was_silent && (gate.asking || gate.told_silent) {
            gate.told_silent = false;
            self.flush(t, false, None);
            self.close_window(t, false);
            self.row(t, None, Tone::Good, format!("{} from here on {name} answers", glyphs.yes));
        } else if !answers && !self.told.served.is_empty() && !was_silent {
            // silence before the pod is there to ask is not news
            let why = silence.map_or_else(String::new, |r| r.to_string());
            gate.told_silent = true;
            gate.said = Some(why.clone());
            self.row(t, None, Tone::Bad, format!("{} from here on {name} is silent: {why}", glyphs.no));
        }
    }

    fn client(&mut self, t: Time, client: ClientId, news: &ClientNews) {
        // what runs on the node has no lane, as the node's entries and answers have none
        let in_pod = self.trace.plan.client(client.0 as usize).is_none_or(|c| c.from == Side::Pod);
        let lane = in_pod.then_some(LaneName::Pod);
        let name = self.trace.client_name(client);
        match news {
            ClientNews::Start => {
                let title = words::client(self.trace, client);
                self.row(t, lane, Tone::Plain, format!("{name} starts: {title}"));
            }
            ClientNews::Failure { seq, failed } => {
                let error = failed.to_string();
                let text = format!("{name} {seq}: {error}");
                if self.told.errors.insert((client, error)) || self.style.full {
                    self.row(t, lane, Tone::Bad, text);
                }
            }
            ClientNews::Success { seq, took } => {
                const LATE: Span = Span::from_ms(100);
                let first = self.told.served.insert(client);
                if self.style.full || first || *took > LATE {
                    let text = format!("{name} {seq}: answered after {}", self.precision.tell(*took));
                    self.row(t, lane, Tone::Good, text);
                }
            }
            ClientNews::Try { .. } | ClientNews::End { .. } => {}
        }
    }

    pub(super) fn flush_all(&mut self, t: Time) {
        for six in [false, true] {
            self.flush(t, six, None);
        }
    }

    /// Writes the requests of a family collected so far as one line.
    fn flush(&mut self, t: Time, six: bool, end: Option<&str>) {
        let burst = core::mem::take(&mut self.told.gates[usize::from(six)].burst);
        let target = burst.target.unwrap_or(IpAddr::V4(self.trace.gateway4()));
        let Some(from) = burst.from else {
            if let Some(end) = end {
                self.row(t, Some(LaneName::Pod), Tone::Bad, format!("pod: {target} {end}"));
            }
            return;
        };
        let glyphs = self.glyphs();
        let mut times = String::new();
        let (shown, folded) = match burst.sent.len().checked_sub(TIMES_SHOWN) {
            Some(more) if !self.style.full => (TIMES_SHOWN, more),
            _ => (burst.sent.len(), 0),
        };
        for sent in &burst.sent[..shown] {
            let _ = write!(times, " {sent}");
        }
        if folded > 0 {
            let _ = write!(times, " and {folded} more");
        }
        let mut text = format!("who-has {target} at{times} {} no reply", glyphs.no);
        if let Some(end) = end {
            let _ = write!(text, ", {end} at {t}");
        }
        let on_the_way = self.told.on_the_way;
        if on_the_way && end.is_none() && burst.told_first && burst.sent.len() == 1 {
            return;
        }
        let told = if on_the_way { t } else { from };
        self.row(told, Some(LaneName::Pod), Tone::Bad, text);
        for (code, why) in burst.reasons {
            let said = &mut self.told.gates[usize::from(six)].said;
            if said.as_deref() != Some(why.as_str()) {
                let code = if code.is_empty() { String::new() } else { format!(" [{code}]") };
                if let Some(row) = self.told.rows.last_mut() {
                    row.more.push((Tone::Bad, format!("  because {why}{code}")));
                }
                *said = Some(why);
            }
        }
    }

    fn glyphs(&self) -> &'static Glyphs {
        self.style.glyphs()
    }
}

/// What a kernel with IPv6 says of its own accord: nobody's traffic. A question for the gateway of
/// the MAC that Calico gives is somebody's.
fn is_background(d: &Described, target: Option<IpAddr>) -> bool {
    let gateway = IpAddr::V6(Mac::CALICO.link_local());
    let own = matches!(d.to, Some(IpAddr::V6(to)) if is_link_local_group(to));
    own && target != Some(gateway)
}

/// ff02::/16, RFC 4291 2.7.
fn is_link_local_group(ip: Ipv6Addr) -> bool {
    ip.segments()[0] == 0xff02
}

fn arrow(from: Side, summary: &str) -> String {
    match from {
        Side::Pod => format!("pod > host  {summary}"),
        Side::Host => format!("host > pod  {summary}"),
    }
}

/// The solicitations that are answered, at once or later. Whether IPv6's gateway would answer is
/// told request by request.
pub(super) fn answered6(events: &[Event]) -> impl Iterator<Item = FrameId> {
    events.iter().filter_map(|e| match e.what {
        What::Judged { frame: Some(id), target: IpAddr::V6(_), ruling, .. } if ruling.is_answered() => {
            Some(id)
        }
        _ => None,
    })
}

/// How long answers took.
pub(super) fn took(events: &[Event]) -> impl Iterator<Item = Span> {
    events.iter().filter_map(|e| match e.what {
        What::Client { news: ClientNews::Success { took, .. }, .. } => Some(took),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::Arc;

    const ASCII: Style = Style { color: false, unicode: false, full: false };

    fn at_ms(ms: u64) -> Time {
        Time::ZERO + Span::from_ms(ms)
    }

    /// The rows of requests in vain, where requests leave at these times and a kernel tells of
    /// FAILED at that one.
    fn rows(sent_ms: &[u64], failed_ms: u64) -> Vec<String> {
        let trace = Trace::new(&Arc::new(crate::explore::basic::race(1)));
        let mut t = Timeline::new(&trace, ASCII);
        let gate = &mut t.told.gates[0];
        gate.silent = true;
        for ms in sent_ms {
            gate.burst.from.get_or_insert(at_ms(*ms));
            gate.burst.sent.push(at_ms(*ms));
        }
        t.failed(at_ms(failed_ms), crate::control::GATEWAY.into());
        t.flush_all(at_ms(10_000));
        t.told
            .rows
            .iter()
            .map(|r| format!("{} {}", r.t, r.text.trim_start_matches("who-has 169.254.1.1 ")))
            .collect()
    }

    #[test]
    fn a_request_just_before_the_news_of_failure_begins_the_next_resolution() {
        let split = rows(&[0, 1012, 2036, 3060], 3065);
        let first = "0.000s at 0.000s 1.012s 2.036s x no reply, FAILED at 3.065s";
        assert_eq!(split, [first, "3.060s at 3.060s x no reply"]);
        // at the end of the lag it is of the resolution that failed
        let lag = NEWS_LAG.as_ms();
        assert_eq!(
            rows(&[0, 1012, 2036], 2036 + lag),
            ["0.000s at 0.000s 1.012s 2.036s x no reply, FAILED at 2.056s"]
        );
        assert_eq!(rows(&[0, 1012, 2036], 2035 + lag).len(), 2);
    }

    #[test]
    fn a_resolution_keeps_its_only_request_and_one_without_any_still_fails() {
        assert_eq!(rows(&[3060], 3065), ["3.060s at 3.060s x no reply, FAILED at 3.065s"]);
        assert_eq!(rows(&[], 3065), ["3.065s pod: 169.254.1.1 FAILED"]);
    }
}
