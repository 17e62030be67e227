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

use super::event::{ClientNews, Event, Fate, What, is_dad, is_gateway};
use super::page::{Glyphs, LaneName, Page, Row, Style, Tone, Window};
use crate::control::{ActorName, Side, StepTable};
use crate::neigh::Nud;
use crate::time::{Span, Time};
use core::fmt::Write as _;
use std::collections::{BTreeMap, BTreeSet};

/// Requests that belong to one resolution.
#[derive(Default)]
struct Burst {
    from: Option<Time>,
    sent: Vec<Time>,
    reasons: Vec<(String, String)>,
}

/// A row tells the times of so many requests.
const TIMES_SHOWN: usize = 12;

/// News from a kernel comes so much later than a frame at most.
const NEWS_LAG: Span = Span::from_ms(20);

/// Turns events into text.
pub struct Timeline {
    style: Style,
    rows: Vec<Row>,
    silent: bool,
    /// The pod has asked during this silence.
    asking: bool,
    /// A row says that the gateway fell silent.
    told_silent: bool,
    burst: Burst,
    /// The reason given last.
    said: Option<String>,
    /// Errors of clients that were shown already.
    errors: BTreeSet<(String, String)>,
    /// Steps without effect that were shown already.
    idle_steps: BTreeSet<String>,
    /// Clients that had a success.
    served: BTreeSet<String>,
    windows: Vec<Window>,
    /// What the built-in steps are.
    steps: StepTable,
    /// Packets dropped, by what is alike of them, with the row that tells of the first.
    drops: BTreeMap<String, (usize, u32)>,
}

impl Timeline {
    /// The timeline of these events.
    #[must_use]
    pub fn render(events: &[Event], style: Style) -> String {
        let mut t = Timeline::new(style);
        for event in events {
            t.event(event);
        }
        t.flush(events.last().map_or(Time::ZERO, |e| e.t_ns), None);
        t.count_drops();
        // a burst is known only when it is over, but belongs where it began
        t.rows.sort_by_key(|r| r.t);
        Page::new(t.style, &t.rows, &t.windows).draw()
    }

    fn new(style: Style) -> Timeline {
        Timeline {
            style,
            rows: Vec::new(),
            silent: false,
            asking: false,
            told_silent: false,
            burst: Burst::default(),
            said: None,
            errors: BTreeSet::new(),
            idle_steps: BTreeSet::new(),
            served: BTreeSet::new(),
            windows: Vec::new(),
            steps: StepTable::default(),
            drops: BTreeMap::new(),
        }
    }

    fn row(&mut self, t: Time, lane: Option<LaneName>, tone: Tone, text: String) {
        let number = self.rows.len();
        self.rows.push(Row { t, lane, text, tone, more: Vec::new(), number });
    }

    fn event(&mut self, event: &Event) {
        let t = event.t_ns;
        match &event.what {
            What::Step { step, actor, acts, refused } => self.step(t, step, *actor, acts, refused.as_deref()),
            What::Held { step, until } => {
                let lane = ActorName::of_step(step).map(LaneName::Actor);
                self.row(t, lane, Tone::Bad, format!("{step} is held {until}"));
            }
            What::Released { step } => {
                let lane = ActorName::of_step(step).map(LaneName::Actor);
                self.row(t, lane, Tone::Good, format!("{step} goes on"));
            }
            What::Frame { from, summary, bytes, fate, .. } => self.frame(t, *from, summary, bytes, fate),
            What::Judged { side: Side::Host, target, sender, answered, delayed, reason, why, .. }
                if is_gateway(*target) && !is_dad(*sender) =>
            {
                self.judged(t, *answered, *delayed, reason.as_deref(), why.as_deref());
            }
            What::Neigh { side, ip, old, new, lladdr, .. } => self.neigh(t, *side, *ip, *old, *new, *lladdr),
            What::Gateway { answers, why, .. } => self.gateway(t, *answers, why.as_deref()),
            What::Client { client, news } => self.client(t, client, news),
            What::Dropped { side, summary, why }
                if self.style.full || (*side == Side::Host && !is_background(summary)) =>
            {
                self.dropped(t, *side, summary, why);
            }
            What::Note { text } => {
                self.row(t, None, Tone::Dim, text.clone());
            }
            What::Differs { text } => {
                self.row(t, None, Tone::Bad, format!("model and kernel differ: {text}"));
            }
            _ => {}
        }
    }

    /// One line for the first packet lost for a reason, with the number of those like it.
    fn dropped(&mut self, t: Time, side: Side, summary: &str, why: &str) {
        let text = format!("the {side} drops {summary}: {why}");
        let alike = format!("{side} {} {why}", summary.split(", ").next().unwrap_or_default());
        match self.drops.get_mut(&alike) {
            Some((_, n)) if !self.style.full => *n += 1,
            _ => {
                self.drops.insert(alike, (self.rows.len(), 1));
                self.row(t, None, Tone::Dim, text);
            }
        }
    }

    fn count_drops(&mut self) {
        for (row, n) in self.drops.values() {
            if *n > 1 {
                let _ = write!(self.rows[*row].text, " ({} more like it)", n - 1);
            }
        }
    }

    fn step(&mut self, t: Time, step: &str, actor: ActorName, acts: &[String], refused: Option<&str>) {
        if acts.is_empty()
            && refused.is_none()
            && !self.idle_steps.insert(step.to_owned())
            && !self.style.full
        {
            return;
        }
        // what has no effect on a namespace is told in words
        let title =
            self.steps.find(step).filter(|_| acts.is_empty()).map(|id| self.steps.info(id).title.clone());
        let what = title.unwrap_or_else(|| acts.join("; "));
        let mut text = if what.is_empty() { step.to_owned() } else { format!("{step:<28} {what}") };
        let tone = if refused.is_some() { Tone::Bad } else { Tone::Plain };
        if let Some(why) = refused {
            let _ = write!(text, " -- {why}");
        }
        self.row(t, Some(LaneName::Actor(actor)), tone, text);
    }

    fn frame(&mut self, t: Time, from: Side, summary: &str, bytes: &[u8], fate: &Fate) {
        let d = super::describe(bytes);
        if from == Side::Pod && super::is_gateway_request(&d) {
            if self.silent || *fate != Fate::Delivered {
                if !core::mem::replace(&mut self.asking, true) {
                    let first = self.rows.len();
                    self.windows.push(Window { from: t, first, to: Time::FOREVER, rows: usize::MAX });
                }
                self.burst.from.get_or_insert(t);
                self.burst.sent.push(t);
                if let Fate::Lost(why) = fate {
                    self.burst.reasons.push((String::new(), format!("the request never arrived: {why}")));
                }
            } else {
                self.flush(t, None);
                self.row(t, Some(LaneName::Pod), Tone::Plain, arrow(from, summary));
            }
        } else if from == Side::Host && d.answers.is_some_and(is_gateway) {
            self.flush(t, None);
            self.row(t, Some(LaneName::Pod), Tone::Good, arrow(from, summary));
        } else if self.style.full || ((d.asks.is_some() || d.answers.is_some()) && !is_background(summary)) {
            self.flush(t, None);
            self.row(t, Some(LaneName::Pod), Tone::Dim, arrow(from, summary));
        }
    }

    fn judged(&mut self, t: Time, answered: bool, delayed: bool, reason: Option<&str>, why: Option<&str>) {
        if answered {
            if delayed {
                self.row(
                    t,
                    Some(LaneName::Pod),
                    Tone::Plain,
                    "the host will answer after proxy_delay".into(),
                );
            }
            return;
        }
        let (code, text) = (reason.unwrap_or_default().to_owned(), why.unwrap_or_default().to_owned());
        if self.burst.from.is_none() {
            // a probe of an entry that was valid, or a request lost to a passing condition
            let glyphs = self.glyphs();
            self.row(t, Some(LaneName::Pod), Tone::Bad, format!("{} no reply: {text} [{code}]", glyphs.no));
            return;
        }
        if !self.burst.reasons.iter().any(|(c, _)| *c == code) {
            self.burst.reasons.push((code, text));
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
        if side == Side::Pod && is_gateway(ip) {
            match new {
                Some(Nud::None | Nud::Incomplete) if !self.style.full => return,
                Some(Nud::Failed) => return self.failed(t),
                _ => {}
            }
            self.flush(t, None);
            let mac = lladdr.map(|m| format!(" lladdr {m}")).unwrap_or_default();
            let tone = match new {
                Some(Nud::Reachable) => Tone::Good,
                Some(Nud::Probe) => Tone::Bad,
                _ => Tone::Plain,
            };
            let text = format!("pod: {ip}{mac} {} -> {}", name(old), name(new));
            self.row(t, Some(LaneName::Pod), tone, text);
        } else if self.style.full {
            self.flush(t, None);
            self.row(t, None, Tone::Dim, format!("{side}: {ip} {} -> {}", name(old), name(new)));
        }
    }

    /// A resolution failed. A live kernel's word of it may come after the first request of the
    /// next one.
    fn failed(&mut self, t: Time) {
        let sent = &mut self.burst.sent;
        let next = if sent.len() > 1 { sent.pop_if(|s| t.since(*s) < NEWS_LAG) } else { None };
        self.flush(t, Some("FAILED"));
        if let Some(next) = next {
            self.burst.from = Some(next);
            self.burst.sent.push(next);
        }
    }

    fn gateway(&mut self, t: Time, answers: bool, why: Option<&str>) {
        let was_silent = core::mem::replace(&mut self.silent, !answers);
        let glyphs = self.glyphs();
        if answers && was_silent && (self.asking || self.told_silent) {
            self.flush(t, None);
            if core::mem::take(&mut self.asking)
                && let Some(window) = self.windows.last_mut()
            {
                (window.to, window.rows) = (t, self.rows.len());
            }
            self.told_silent = false;
            self.row(t, None, Tone::Good, format!("{} from here on the gateway answers", glyphs.yes));
        } else if !answers && !self.served.is_empty() && !was_silent {
            // silence before the pod is there to ask is not news
            let why = why.unwrap_or_default();
            self.row(t, None, Tone::Bad, format!("{} from here on the gateway is silent: {why}", glyphs.no));
            self.said = Some(why.to_owned());
            self.told_silent = true;
        }
    }

    fn client(&mut self, t: Time, client: &str, news: &ClientNews) {
        let lane = Some(LaneName::Pod);
        match news {
            ClientNews::Start { title } => {
                self.row(t, lane, Tone::Plain, format!("{client} starts: {title}"));
            }
            ClientNews::Failure { seq, error } => {
                let new = self.errors.insert((client.to_owned(), error.clone()));
                if new || self.style.full {
                    self.row(t, lane, Tone::Bad, format!("{client} {seq}: {error}"));
                }
            }
            ClientNews::Success { seq, took_ns } => {
                const LATE_NS: u64 = 100_000_000;
                let first = self.served.insert(client.to_owned());
                if self.style.full || first || *took_ns > LATE_NS {
                    let text = format!("{client} {seq}: answered after {}", rounded(*took_ns));
                    self.row(t, lane, Tone::Good, text);
                }
            }
            ClientNews::Try { .. } | ClientNews::End { .. } => {}
        }
    }

    /// Writes the requests collected so far as one line.
    fn flush(&mut self, t: Time, end: Option<&str>) {
        let burst = core::mem::take(&mut self.burst);
        let Some(from) = burst.from else {
            if let Some(end) = end {
                self.row(t, Some(LaneName::Pod), Tone::Bad, format!("pod: 169.254.1.1 {end}"));
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
        let mut text = format!("who-has 169.254.1.1 at{times} {} no reply", glyphs.no);
        if let Some(end) = end {
            let _ = write!(text, ", {end} at {t}");
        }
        self.row(from, Some(LaneName::Pod), Tone::Bad, text);
        for (code, why) in burst.reasons {
            if self.said.as_deref() != Some(why.as_str()) {
                let code = if code.is_empty() { String::new() } else { format!(" [{code}]") };
                if let Some(row) = self.rows.last_mut() {
                    row.more.push((Tone::Bad, format!("  because {why}{code}")));
                }
                self.said = Some(why);
            }
        }
    }

    fn glyphs(&self) -> &'static Glyphs {
        self.style.glyphs()
    }
}

/// What a kernel with IPv6 says of its own accord: nobody's traffic.
fn is_background(summary: &str) -> bool {
    summary.contains("> ff02::") && !summary.contains("solicitation, who has fe80::ecee:eeff:feee:eeee")
}

fn arrow(from: Side, summary: &str) -> String {
    match from {
        Side::Pod => format!("pod > host  {summary}"),
        Side::Host => format!("host > pod  {summary}"),
    }
}

/// A time with three digits that count, for people.
pub(super) fn rounded(ns: u64) -> String {
    let unit = match ns {
        0..1_000_000 => 1_000,
        1_000_000..1_000_000_000 => 100_000,
        _ => 1_000_000,
    };
    Span::from_ns(ns / unit * unit).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASCII: Style = Style { color: false, unicode: false, full: false };

    fn at_ms(ms: u64) -> Time {
        Time::ZERO + Span::from_ms(ms)
    }

    /// The rows of requests in vain, where requests leave at these times and a kernel tells of
    /// FAILED at that one.
    fn rows(sent_ms: &[u64], failed_ms: u64) -> Vec<String> {
        let mut t = Timeline::new(ASCII);
        t.silent = true;
        for ms in sent_ms {
            t.burst.from.get_or_insert(at_ms(*ms));
            t.burst.sent.push(at_ms(*ms));
        }
        t.failed(at_ms(failed_ms));
        t.flush(at_ms(10_000), None);
        t.rows
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
