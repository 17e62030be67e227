//! What was seen of a run from one place, as features to compare. The same for a capture that a
//! person brings and for the scenarios' own runs.

use super::capture::{CaptureError, CaptureRead, capture};
use super::frames::{FrameTells, HeardFrame, is_gateway, read};
use super::look::{Counts, Course, Look, look};
use crate::addr::Mac;
use crate::control::{GATEWAY, Side};
use crate::neigh::Nud;
use crate::time::Span;
use crate::trace::{ClientNews, Event, FrameFate, JsonLine, LineFate, LineNews, LineWhat, Trace, What};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, Read};
use std::net::IpAddr;

/// The feature that says how requests for the gateway went.
pub(super) const REQUESTS: &str = "requests for the gateway";

/// Where frames were seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Vantage {
    /// The pod's eth0.
    Pod,
    /// The host's cali interface.
    Host,
}

/// What was seen of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sight {
    /// Where; `None` when nobody said.
    pub vantage: Option<Vantage>,
    frames: Vec<HeardFrame>,
    /// Nanoseconds from the first frame to the end of the watching.
    end: u64,
    /// Known from a trace only.
    more: Option<More>,
    /// What a person should know about the reading.
    pub warnings: Vec<String>,
}

/// What a trace tells beyond the frames at the pod's end.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct More {
    /// Frames at the host's end.
    host: Vec<HeardFrame>,
    /// States of the pod's entry for its gateway.
    pod_states: Vec<(u64, Nud)>,
    /// States of the host's entries for the pod, and for the gateway's address.
    host_states: Vec<(u64, Nud)>,
    /// What clients said.
    errors: Vec<(u64, String)>,
}

/// A feature's value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// One of a few words.
    Word(String),
    /// The length of a silence, if there was one.
    Length(Option<Span>),
}

/// Lengths are read off requests a second apart.
const GRAIN: u64 = 1_200_000_000;
/// A length fits when it is within the scenario's own, this part of it to either side.
const LENGTH_SLACK: u64 = 4;

impl Value {
    /// The length, if it is one.
    #[must_use]
    pub fn length(&self) -> Option<Span> {
        match self {
            Value::Length(length) => *length,
            Value::Word(_) => None,
        }
    }

    /// The same word; or a length near to a run's, or between the shortest and the longest of all.
    pub(super) fn fits(&self, seen: &Value, least: Option<Span>, most: Option<Span>) -> bool {
        match (self, seen) {
            (Value::Length(Some(own)), Value::Length(Some(seen))) => {
                let (own, seen) = (own.as_ns(), seen.as_ns());
                let (least, most) = (least.map_or(own, Span::as_ns), most.map_or(own, Span::as_ns));
                let slack = |of: u64| of / LENGTH_SLACK + GRAIN;
                least <= seen + slack(seen) && seen <= most + slack(most)
            }
            (own, seen) => own == seen,
        }
    }
}

/// A line that is no event.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The file itself.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A line is wrong.
    #[error("line {line} is no event of `arplab run --json`: {why}")]
    Line {
        /// Which, from 1.
        line: usize,
        /// What the parser says.
        why: String,
    },
    /// No events.
    #[error("there are no events in it; `arplab run ID --json` writes them")]
    Empty,
}

impl Sight {
    /// Reads a capture, pcap or pcapng.
    pub fn from_capture(input: impl Read, vantage: Option<Vantage>) -> Result<Sight, CaptureError> {
        let CaptureRead { frames, end, warnings } = capture(input)?;
        Ok(Sight { vantage, frames, end, more: None, warnings })
    }

    /// Reads the lines of `arplab run --json`.
    pub fn from_trace(input: impl BufRead) -> Result<Sight, TraceError> {
        let mut events = Vec::new();
        for (at, line) in input.lines().enumerate() {
            let line = line?;
            // the last line is the verdict, which nobody sees who has the trouble
            if line.trim().is_empty() || line.contains(r#""event":"verdict""#) {
                continue;
            }
            let why = |e: serde_json::Error| TraceError::Line { line: at + 1, why: e.to_string() };
            events.push(serde_json::from_str::<JsonLine>(&line).map_err(why)?);
        }
        // of a live run a line stands where it was known
        events.sort_by_key(|e| e.t_ns);
        if events.is_empty() {
            return Err(TraceError::Empty);
        }
        Ok(Sight::of_told(events.iter().map(Told::of_line)))
    }

    /// What the events of a run show to somebody who looks at both ends and at the clients.
    #[must_use]
    pub fn of_trace(trace: &Trace) -> Sight {
        Sight::of_told(trace.iter().map(|event| {
            let (t, told) = Told::of(event);
            // as in a file's lines: what a client on the node hears is no sign of the pod's
            let heard_by = match event.what {
                What::Client { client, .. } => trace.plan.client(client.0 as usize).map(|c| c.from),
                _ => None,
            };
            (t, if heard_by == Some(Side::Host) { Told::Other } else { told })
        }))
    }

    fn of_told<'a>(told: impl Iterator<Item = (u64, Told<'a>)> + Clone) -> Sight {
        let mut sight = Sight::of_passing(told.clone(), Vantage::Pod);
        let base = told.clone().find_map(|(t, what)| what.passes(Vantage::Pod).map(|_| t)).unwrap_or(0);
        let mut more =
            More { host: Sight::of_passing(told.clone(), Vantage::Host).frames, ..More::default() };
        for (t, what) in told {
            let t = t.saturating_sub(base);
            sight.end = sight.end.max(t);
            match what {
                Told::Entry { side, dev, ip, new } if new.is_notified() => match side {
                    Side::Pod if is_gateway(ip) => more.pod_states.push((t, new)),
                    Side::Host if is_for_the_pod(dev, ip) => more.host_states.push((t, new)),
                    _ => {}
                },
                Told::Error(error) => more.errors.push((t, error)),
                _ => {}
            }
        }
        sight.more = Some(more);
        sight
    }

    /// What a capture of a run holds that was taken at that place.
    #[must_use]
    pub fn of_frames(events: &[Event], vantage: Vantage) -> Sight {
        Sight::of_passing(events.iter().map(Told::of), vantage)
    }

    fn of_passing<'a>(told: impl Iterator<Item = (u64, Told<'a>)>, vantage: Vantage) -> Sight {
        let all: Vec<(u64, &[u8])> = told.filter_map(|(t, what)| Some((t, what.passes(vantage)?))).collect();
        let base = all.first().map_or(0, |f| f.0);
        let frames = all.iter().filter_map(|(t, bytes)| read(t - base, bytes)).collect();
        let end = all.last().map_or(0, |f| f.0 - base);
        Sight { vantage: Some(vantage), frames, end, more: None, warnings: Vec::new() }
    }

    /// True when there is nothing to go by.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.more.is_none()
    }

    /// All of the look.
    pub(super) fn look(&self) -> Look {
        look(&self.frames, self.end).0
    }

    /// One address is answered for, or announced, by more than one MAC.
    pub(super) fn two_macs(&self) -> bool {
        let mut claims: BTreeMap<IpAddr, BTreeSet<Mac>> = BTreeMap::new();
        for frame in &self.frames {
            if let FrameTells::Tell { about, mac } | FrameTells::Claim { about, mac } = frame.kind {
                claims.entry(about).or_default().insert(mac);
            }
        }
        claims.values().any(|macs| macs.len() > 1)
    }

    /// Counts for the person who reads.
    #[must_use]
    pub fn counts(&self) -> Counts {
        look(&self.frames, self.end).1
    }

    /// How long was watched.
    #[must_use]
    pub fn watched(&self) -> Span {
        Span::from_ns(self.end)
    }

    /// It was a trace, which tells states and errors too.
    #[must_use]
    pub fn is_trace(&self) -> bool {
        self.more.is_some()
    }

    /// The features of what was seen.
    #[must_use]
    pub fn features(&self) -> Vec<(&'static str, Value)> {
        self.features_until(self.watched())
    }

    /// The features of what was seen up to then, nanoseconds after the first frame.
    #[must_use]
    pub fn features_until(&self, cut: Span) -> Vec<(&'static str, Value)> {
        let end = self.end.min(cut.as_ns());
        let upto = |frames: &[HeardFrame]| {
            let there = frames.partition_point(|f| f.t <= end);
            look(&frames[..there], end).0
        };
        let l = upto(&self.frames);
        let mut list = vec![
            (REQUESTS, word(&l.gateway)),
            ("length of the gateway's silence", Value::Length(l.gateway_silence)),
            ("MAC in replies", word(&l.mac)),
            ("replies held back", word(&l.held_back)),
            ("unanswered requests to one MAC", word(&l.probe)),
            ("IPv6", word(&l.six)),
            ("the pod's packets", word(&l.packets)),
            ("length without packets back", Value::Length(l.packets_silence)),
            ("packets to a MAC that nobody has", word(&l.to_nobody)),
            ("the host's frames to a MAC that is not the pod's", word(&l.past_the_pod)),
            ("unreachable from the host", word(&l.unreachable)),
            // a host without a permanent entry asks for the pod now and then, and is answered: that is no sign
            ("the host's requests for the pod, unanswered", word(&l.host_asks.unanswered())),
            ("requests for other addresses", word(&l.others)),
            ("replies for the pod's own address", word(&l.own_claimed)),
        ];
        if let Some(m) = &self.more {
            let heard: Course = upto(&m.host).gateway;
            list.push(("requests heard on the host", word(&heard)));
            list.push(("states of the pod's entry", states(&m.pod_states, end)));
            list.push(("states of the host's entry", states(&m.host_states, end)));
            let said: BTreeSet<&str> = m.errors.iter().filter(|e| e.0 <= end).map(|e| e.1.as_str()).collect();
            list.push(("errors of clients", word(&said)));
        }
        list
    }

    /// Nothing failed while somebody watched: whoever asked was answered at once, and packets came back.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let l = self.look();
        let fine = |c: Course| c.unanswered() == Course::None;
        let asked = [l.gateway, l.packets, l.host_asks, l.others].map(fine) == [true; 4];
        let odd = l.held_back || l.to_nobody || l.past_the_pod || l.unreachable || l.own_claimed;
        let told = self.more.as_ref().is_none_or(|m| m.errors.is_empty());
        asked && !odd && told && !self.two_macs()
    }

    /// The watching ended while somebody waited for an answer, so nobody knows how it went on.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let (l, _) = look(&self.frames, self.end);
        [l.gateway, l.packets, l.host_asks].iter().any(|c| matches!(c, Course::Never | Course::Lost))
    }
}

/// A host's entry that bears on the pod's traffic: for the pod's address, or for the gateway's on
/// whatever device. Not for the pod's link-local address: a pod that solicits routers leaves one,
/// about a second after its start, and nothing of the pod's is sent by it.
pub(super) fn is_for_the_pod(dev: &str, ip: IpAddr) -> bool {
    let link_local = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    dev.starts_with("cali") && !link_local || ip == IpAddr::V4(GATEWAY)
}

pub(super) fn word<T: core::fmt::Debug>(value: &T) -> Value {
    Value::Word(format!("{value:?}").to_lowercase())
}

fn states(list: &[(u64, Nud)], end: u64) -> Value {
    let met: BTreeSet<&str> = list.iter().filter(|s| s.0 <= end).map(|s| s.1.name()).collect();
    word(&met)
}

/// What of an event anybody can see who has the trouble, be it of this program's own runs or read
/// from a file. Reasons, steps and comments are not among it.
#[derive(Clone)]
enum Told<'a> {
    Frame { from: Side, bytes: &'a [u8], arrives: bool },
    Entry { side: Side, dev: &'a str, ip: IpAddr, new: Nud },
    Error(String),
    Other,
}

impl<'a> Told<'a> {
    fn of(event: &'a Event) -> (u64, Told<'a>) {
        let told = match &event.what {
            What::Frame { from, bytes, fate, .. } => {
                Told::Frame { from: *from, bytes, arrives: *fate == FrameFate::Delivered }
            }
            What::Neigh { side, dev, ip, new: Some(new), .. } => {
                Told::Entry { side: *side, dev: dev.as_str(), ip: *ip, new: *new }
            }
            What::Client { news: ClientNews::Failure { failed, .. }, .. } => Told::Error(failed.to_string()),
            _ => Told::Other,
        };
        (event.t_ns.0, told)
    }

    fn of_line(line: &'a JsonLine) -> (u64, Told<'a>) {
        let told = match &line.what {
            LineWhat::Frame { from, bytes, fate, .. } => {
                Told::Frame { from: *from, bytes, arrives: *fate == LineFate::Delivered }
            }
            LineWhat::Neigh { side, dev, ip, new: Some(new), .. } => {
                Told::Entry { side: *side, dev, ip: *ip, new: *new }
            }
            // what a client on the node hears is no sign of the pod's
            LineWhat::Client { from: None, news: LineNews::Failure { error, .. }, .. } => {
                Told::Error(error.clone())
            }
            _ => Told::Other,
        };
        (line.t_ns.0, told)
    }

    /// The frame, if it is one that passes that end of the link.
    fn passes(&self, vantage: Vantage) -> Option<&'a [u8]> {
        match self {
            Told::Frame { from, bytes, arrives } => {
                let own = (*from == Side::Pod) == (vantage == Vantage::Pod);
                (own || *arrives).then_some(*bytes)
            }
            _ => None,
        }
    }
}
