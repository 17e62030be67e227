//! Expectations against observations.

use super::observe::{ClientSeen, Observed};
use crate::scenario::{ClientExpect, Expect};
use crate::time::Time;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt::Display;

/// One expectation and how it went.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Check {
    /// What was looked at.
    pub what: String,
    /// What was expected.
    pub expected: String,
    /// What was seen.
    pub seen: String,
    /// Whether they agree.
    pub ok: bool,
    /// Not checked, because the command line changed what it depends on.
    pub skipped: bool,
}

struct Checks {
    list: Vec<Check>,
    holds_changed: bool,
}

impl Checks {
    fn add(&mut self, what: impl Into<String>, expected: &dyn Display, seen: &dyn Display, ok: bool) {
        let (what, expected, seen) = (what.into(), expected.to_string(), seen.to_string());
        self.list.push(Check { what, expected, seen, ok, skipped: false });
    }
    /// As [`Checks::add`], for what depends on how long holds last.
    fn timed(&mut self, what: impl Into<String>, expected: &dyn Display, seen: &dyn Display, ok: bool) {
        self.add(what, expected, seen, ok);
        if self.holds_changed
            && let Some(last) = self.list.last_mut()
        {
            (last.skipped, last.ok) = (true, true);
        }
    }
}

/// Checks a run. `holds_changed` says that the command line changed a hold.
#[must_use]
pub fn check(expect: &Expect, seen: &Observed, holds_changed: bool) -> Vec<Check> {
    let mut c = Checks { list: Vec::new(), holds_changed };
    if let Some(range) = &expect.window {
        let text = seen.window.map_or("the pod never asked".into(), |w| w.to_string());
        c.timed("time the gateway stayed silent", range, &text, seen.window.is_some_and(|w| range.holds(w)));
    }
    if let Some(range) = &expect.unanswered {
        let n = seen.unanswered();
        c.timed("unanswered requests", range, &n, range.holds(n));
    }
    if let Some(reasons) = &expect.reasons {
        let wanted: BTreeSet<&str> = reasons.iter().map(String::as_str).collect();
        let show = |s: &BTreeSet<&str>| {
            if s.is_empty() { "none".to_owned() } else { s.iter().copied().collect::<Vec<_>>().join(", ") }
        };
        c.add("reasons of silence", &show(&wanted), &show(&seen.reasons), wanted == seen.reasons);
    }
    if !expect.states.is_empty() {
        let mut left = expect.states.iter();
        let mut next = left.next();
        for (_, state) in &seen.states {
            if next.is_some() && *state == next.copied() {
                next = left.next();
            }
        }
        let want: Vec<&str> = expect.states.iter().map(|s| s.name()).collect();
        let got: Vec<&str> = seen.states.iter().map(|s| s.1.map_or("absent", |n| n.name())).collect();
        c.timed("states of the pod's entry", &want.join(" > "), &shorten(&got), next.is_none());
    }
    if let Some(entry) = &expect.entry {
        let got = seen.entry().map_or("absent", |n| n.name());
        c.add("the pod's entry at the end", entry, &got, entry.eq_ignore_ascii_case(got));
    }
    if let Some(mac) = &expect.lladdr {
        let got = seen.lladdr.map_or("none".to_owned(), |m| m.to_string());
        c.add("MAC in the pod's entry", mac, &got, seen.lladdr == Some(*mac));
    }
    for text in &seen.differs {
        c.add("what the model says of the kernel", &"true", text, false);
    }
    let none = ClientSeen::default();
    for (name, e) in &expect.client {
        let of = seen.clients.get(name).unwrap_or(&none);
        client(&mut c, name, e, of, seen.gateway_of(of).window_end_ns);
    }
    c.list
}

/// A long list of states with its repetitions folded.
fn shorten(states: &[&str]) -> String {
    const SHOWN: usize = 8;
    if states.len() <= SHOWN {
        return states.join(" > ");
    }
    let (head, tail) = (&states[..SHOWN / 2], &states[states.len() - SHOWN / 2..]);
    format!("{} > ... > {}", head.join(" > "), tail.join(" > "))
}

fn client(c: &mut Checks, name: &str, e: &ClientExpect, seen: &ClientSeen, window_end: Option<Time>) {
    let start = seen.start_ns.unwrap_or(Time::ZERO);
    let took = seen.first_success_ns.map(|t| t.since(start));
    let text = took.map_or("never".to_owned(), |t| t.to_string());
    if e.never {
        c.add(format!("{name}: first success"), &"never", &text, took.is_none());
    }
    if let Some(r) = &e.first_success {
        c.timed(format!("{name}: first success after its start"), r, &text, took.is_some_and(|t| r.holds(t)));
    }
    if let Some(r) = &e.after_window {
        let after = seen.first_success_ns.map(|t| t.since(window_end.unwrap_or(start)));
        let text = after.map_or("never".to_owned(), |t| t.to_string());
        c.add(
            format!("{name}: first success after the gateway answers"),
            r,
            &text,
            after.is_some_and(|t| r.holds(t)),
        );
    }
    if let Some(r) = &e.longest_gap {
        let text = seen.longest_gap.map_or("none".to_owned(), |g| g.to_string());
        c.timed(format!("{name}: longest gap"), r, &text, seen.longest_gap.is_some_and(|g| r.holds(g)));
    }
    if let Some(r) = &e.failures {
        c.timed(format!("{name}: failures"), r, &seen.failures, r.holds(seen.failures));
    }
    if let Some(r) = &e.lost {
        c.timed(format!("{name}: lost"), r, &seen.lost, r.holds(seen.lost));
    }
    let all: Vec<&str> = seen.errors.keys().map(String::as_str).collect();
    let all = if all.is_empty() { "none".to_owned() } else { all.join("; ") };
    for text in &e.errors {
        let ok = seen.errors.keys().any(|k| k.contains(text.as_str()));
        c.timed(format!("{name}: error"), text, &all, ok);
    }
    for text in &e.no_errors {
        let ok = !seen.errors.keys().any(|k| k.contains(text.as_str()));
        c.add(format!("{name}: no error"), text, &all, ok);
    }
}
