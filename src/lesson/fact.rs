//! What a run shows, as facts with names: what lessons ask for.

use super::LessonError;
use crate::control::{Side, Until};
use crate::matrix::Played;
use crate::neigh::Nud;
use crate::time::{Span, Time};
use crate::trace::{ClientSeen, GatewaySeen, Trace, What};
use core::fmt;
use std::collections::BTreeMap;

/// A fact's value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// There is none: an answer that never came, a step that was never done.
    None,
    /// A length of time, or a moment from the run's start.
    Span(Span),
    /// A number.
    Count(u64),
    /// A name.
    Word(String),
    /// Several, in the order in which they were met.
    Words(Vec<String>),
}

impl Value {
    fn of_span(span: Option<Span>) -> Value {
        span.map_or(Value::None, Value::Span)
    }

    fn of_word(word: Option<impl fmt::Display>) -> Value {
        word.map_or(Value::None, |w| Value::Word(w.to_string()))
    }
}

/// For people: a second is long, so lengths have a digit behind the point at most.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::None => f.write_str("none"),
            Value::Span(span) => {
                let us = span.as_ns() / 1_000;
                match us {
                    0..1_000 => write!(f, "{us} us"),
                    1_000..1_000_000 => write!(f, "{} ms", us / 1_000),
                    _ if us % 1_000_000 < 50_000 => write!(f, "{} s", us / 1_000_000),
                    _ => {
                        let tenths = (us + 50_000) / 100_000;
                        write!(f, "{}.{} s", tenths / 10, tenths % 10)
                    }
                }
            }
            Value::Count(count) => write!(f, "{count}"),
            Value::Word(word) => f.write_str(word),
            Value::Words(words) if words.is_empty() => f.write_str("none"),
            Value::Words(words) => f.write_str(&words.join(", ")),
        }
    }
}

/// The facts of one run, by name:
///
/// | name | what it is |
/// |---|---|
/// | `asked`, `unanswered`, `replies` | the pod's requests for its gateway, those in vain, and the replies it got |
/// | `window` | from its first request to the moment from which the gateway answered |
/// | `silent-to-end` | `yes` when that moment never came |
/// | `reasons` | why requests stayed unanswered, by code |
/// | `states`, `entry`, `lladdr` | the pod's entry for its gateway: its states, the last of them, its MAC |
/// | `reply-mac`, `host-mac` | the MAC of the first reply, and that of the host end at that moment |
/// | `owner` | `node` when 169.254.1.1 is an address of the node at the end, else `nobody` |
/// | `at.STEP`, `hold.STEP` | when a step was first done, and for how long it is held |
/// | `client.NAME.sent`, `.answered`, `.lost`, `.failures` | numbers of one client |
/// | `client.NAME.error`, `.error-after` | the first error it was told, and how long after its start |
/// | `client.NAME.wait`, `.lag` | its first success, after its start, and after the gateway began to answer |
/// | `client.NAME.gap` | the longest time between two of its successes |
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts(BTreeMap<String, Value>);

impl Facts {
    /// Those of a run.
    #[must_use]
    pub fn of(run: &Played) -> Facts {
        let mut facts = Facts(BTreeMap::new());
        facts.gateway(&run.seen.gateway);
        let reply = run.events.iter().find_map(|e| match &e.what {
            What::Frame { from: Side::Host, view, host_mac, .. } => {
                let (ip, mac) = view.answers()?;
                (Some(ip) == run.seen.gateway.address).then_some((mac, *host_mac))
            }
            _ => None,
        });
        facts.put("reply-mac", Value::of_word(reply.map(|r| r.0)));
        facts.put("host-mac", Value::of_word(reply.and_then(|r| r.1)));
        facts.put("owner", Value::Word(if run.gateway_is_local { "node" } else { "nobody" }.to_owned()));
        facts.steps(&run.events);
        for plan in run.events.plan.every_client() {
            let seen = run.seen.clients.get(&plan.name).cloned().unwrap_or_default();
            let end = run.seen.gateway_of(&seen).window_end_ns;
            facts.client(&plan.name, &seen, end, first_error(&run.events, &plan.name));
        }
        facts
    }

    fn put(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    fn gateway(&mut self, g: &GatewaySeen) {
        let unanswered = g.unanswered();
        let to_end = g.silent_since.is_some() || (unanswered > 0 && g.window_end_ns.is_none());
        let state = |s: Option<Nud>| s.map_or("none", Nud::name).to_owned();
        self.put("asked", Value::Count(g.asked.len() as u64));
        self.put("unanswered", Value::Count(unanswered.into()));
        self.put("replies", Value::Count(g.replies.len() as u64));
        self.put("window", Value::of_span(g.window));
        self.put("silent-to-end", Value::Word(if to_end { "yes" } else { "no" }.to_owned()));
        self.put("reasons", Value::Words(g.reasons.iter().map(|r| (*r).to_owned()).collect()));
        self.put("states", Value::Words(g.states.iter().map(|s| state(s.1)).collect()));
        self.put("entry", Value::of_word(g.entry().map(Nud::name)));
        self.put("lladdr", Value::of_word(g.lladdr));
    }

    fn steps(&mut self, trace: &Trace) {
        for (_, info) in trace.plan.steps.iter() {
            self.put(&format!("at.{}", info.name), Value::None);
            self.put(&format!("hold.{}", info.name), Value::Span(Span::ZERO));
        }
        for hold in &trace.plan.holds {
            if let Until::Elapsed(length) = hold.until {
                self.put(&format!("hold.{}", trace.step_name(hold.step)), Value::Span(length));
            }
        }
        for event in trace.iter().rev() {
            if let Some(step) = event.what.done() {
                let at = event.t_ns.since(Time::ZERO);
                self.put(&format!("at.{}", trace.step_name(step)), Value::Span(at));
            }
        }
    }

    fn client(&mut self, name: &str, c: &ClientSeen, answers: Option<Time>, error: Option<(Time, String)>) {
        let after = |t: Time| c.start_ns.map(|start| t.since(start));
        let wait = c.first_success_ns.and_then(after);
        let lag = c.first_success_ns.zip(answers).filter(|(t, end)| t >= end).map(|(t, end)| t.since(end));
        let (at, error) = error.unzip();
        for (fact, value) in [
            ("sent", Value::Count(c.sent.into())),
            ("answered", Value::Count(c.answered.into())),
            ("lost", Value::Count(c.lost.into())),
            ("failures", Value::Count(c.failures.into())),
            ("wait", Value::of_span(wait)),
            ("lag", Value::of_span(lag)),
            ("gap", Value::of_span(c.longest_gap)),
            ("error", Value::of_word(error)),
            ("error-after", Value::of_span(at.and_then(after))),
        ] {
            self.put(&format!("client.{name}.{fact}"), value);
        }
    }

    /// The fact of that name.
    pub fn get(&self, name: &str) -> Result<&Value, LessonError> {
        self.0.get(name).ok_or_else(|| LessonError::NoSuchFact { name: name.to_owned() })
    }

    /// A text with each `{NAME}` replaced by that fact.
    pub fn fill(&self, text: &str) -> Result<String, LessonError> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            let (name, after) =
                behind.split_once('}').ok_or_else(|| LessonError::Unclosed { text: behind.to_owned() })?;
            out.push_str(before);
            out.push_str(&self.get(name)?.to_string());
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }
}

/// The first error that a client was told of.
fn first_error(trace: &Trace, name: &str) -> Option<(Time, String)> {
    trace.iter().find_map(|e| match &e.what {
        What::Client { client, news: crate::trace::ClientNews::Failure { failed, .. } }
            if trace.client_name(*client) == name =>
        {
            Some((e.t_ns, failed.to_string()))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_told_with_one_digit() {
        let told = |ns| Value::Span(Span::from_ns(ns)).to_string();
        assert_eq!(told(59_711_000_000), "59.7 s");
        assert_eq!(told(60_000_000_000), "60 s");
        assert_eq!(told(59_960_000_000), "60.0 s");
        assert_eq!(told(24_999_999), "24 ms");
        assert_eq!(told(440_000), "440 us");
        assert_eq!(told(0), "0 us");
    }
}
