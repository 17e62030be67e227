//! Events as JSON lines: the form that goes out and comes back in. The schema is printed by
//! `arplab schema --events`.
//!
//! What an event is in the program is in [`event`](super::event); here it is in words. Nothing in arplab
//! looks at a line but who reads a trace of another run.

use super::check::Check;
use super::describe::{describe, describe_ip};
use super::event::{self, ClientNews, Ruling, What};
use super::observe::Observed;
use super::stream::{Event, Trace};
use super::words;
use crate::addr::Mac;
use crate::control::{ActorName, Side};
use crate::neigh::{Cause, Nud};
use crate::packet::FrameId;
use crate::pod::ClientId;
use crate::time::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::io::{self, Write};
use std::net::IpAddr;
use std::ops::Range;

/// What became of a frame.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "Fate")]
pub enum LineFate {
    /// It arrived.
    Delivered,
    /// It never arrived, and why.
    Lost(String),
}

/// News of a client.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "news", rename_all = "kebab-case")]
#[schemars(rename = "ClientNews")]
pub enum LineNews {
    /// It starts.
    Start {
        /// What it is and whom it talks to, in words.
        title: String,
    },
    /// It sends, or begins an attempt.
    Try {
        /// Which one, from 1.
        seq: u32,
    },
    /// An answer came, or the connection stands.
    Success {
        /// To which.
        seq: u32,
        /// How long after it was sent, nanoseconds.
        took_ns: u64,
    },
    /// An error came back.
    Failure {
        /// To which.
        seq: u32,
        /// As the person at the keyboard reads it.
        error: String,
    },
    /// It is done.
    End {
        /// Sent or attempted.
        sent: u32,
        /// Answered.
        answered: u32,
    },
}

/// Something that happened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[schemars(rename = "What")]
pub enum LineWhat {
    /// The run begins.
    Start {
        /// The scenario's id.
        scenario: String,
        /// Its title.
        title: String,
        /// sim, live-smoltcp or live-kernel.
        corner: crate::scenario::Corner,
        /// The seed.
        seed: u64,
        /// When a live run began, nanoseconds since 1970-01-01T00:00:00Z by the machine's clock; a run in
        /// virtual time has no such moment.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unix_ns: Option<u64>,
        /// Calico's version.
        calico: String,
        /// The host end of the veth.
        cali: String,
        /// The pod, as `namespace/name`.
        pod: String,
        /// The pod's address.
        pod_ip: IpAddr,
        /// Fixes applied.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        fixes: Vec<String>,
        /// Holds set on the command line.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        holds: Vec<String>,
    },
    /// A step was done.
    Step {
        /// Its name.
        step: String,
        /// Who did it.
        actor: ActorName,
        /// What was done, as commands.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        acts: Vec<String>,
        /// The kernel's refusal, if any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refused: Option<String>,
    },
    /// A step could have started but is held.
    Held {
        /// Its name.
        step: String,
        /// What it waits for.
        until: String,
    },
    /// A held step goes on.
    Released {
        /// Its name.
        step: String,
    },
    /// A frame on the link between pod and host.
    Frame {
        /// Its number.
        id: FrameId,
        /// Who sent it.
        from: Side,
        /// As tcpdump prints it.
        summary: String,
        /// The bytes, in hexadecimal.
        #[serde(with = "hex_bytes")]
        #[schemars(with = "String")]
        bytes: Vec<u8>,
        /// What became of it.
        fate: LineFate,
    },
    /// A neighbour request was judged by the host (or by the pod, when the host asks).
    Judged {
        /// The frame that brought it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        frame: Option<FrameId>,
        /// Who judged.
        side: Side,
        /// Who was asked for.
        target: IpAddr,
        /// Who asked.
        sender: IpAddr,
        /// It is answered, at once or after its delay.
        answered: bool,
        /// It waits out proxy_delay first.
        #[serde(default, skip_serializing_if = "core::ops::Not::not")]
        delayed: bool,
        /// The condition that failed, by code.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// The same in words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// A neighbour entry changed.
    Neigh {
        /// Whose table.
        side: Side,
        /// Device.
        dev: String,
        /// Address.
        ip: IpAddr,
        /// State before; absent for a new entry.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        old: Option<Nud>,
        /// State after; absent when the entry is gone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        new: Option<Nud>,
        /// The MAC it holds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lladdr: Option<Mac>,
        /// Why; absent where the kernel does not say (live).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<Cause>,
    },
    /// A packet was lost inside a namespace.
    Dropped {
        /// Whose.
        side: Side,
        /// The packet, as tcpdump prints it.
        summary: String,
        /// Why.
        why: String,
    },
    /// From now on a request of the pod for its gateway would be answered, or not.
    Gateway {
        /// Answered.
        answers: bool,
        /// The condition that fails, by code.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// The same in words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// What a real kernel's own tables hold, as ip(8) prints them: within a window, and at the end.
    Kernel {
        /// Whose.
        side: Side,
        /// `ip route`, IPv4.
        routes: Vec<String>,
        /// `ip rule`, IPv4.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        rules: Vec<String>,
        /// `ip neigh`, IPv4.
        neighbours: Vec<String>,
        /// Switches that decide about the gateway, as `sysctl` prints them (the host's only).
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        sysctls: Vec<String>,
    },
    /// The real kernel did other than the model says.
    Differs {
        /// How.
        text: String,
    },
    /// A kernel was told something that the model has no term for: from here on the model's answers
    /// are not held against the kernel's.
    Unmodelled {
        /// In which namespace.
        side: Side,
        /// The command.
        command: String,
    },
    /// News of a client.
    Client {
        /// Its name.
        client: String,
        /// Where it runs, when that is not the pod.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<Side>,
        /// The news.
        #[serde(flatten)]
        news: LineNews,
    },
    /// Something worth a line that has no place above.
    Note {
        /// The line.
        text: String,
    },
    /// The run ends.
    End {
        /// Events of the simulator, or nothing in live runs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        steps: Option<u64>,
    },
}

/// An event with its time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Event")]
pub struct JsonLine {
    /// Nanoseconds since the run began. A live run tells a line when it is known: what was inferred from
    /// a kernel's silence comes behind what happened after it.
    #[schemars(with = "u64")]
    pub t_ns: Time,
    /// What happened.
    #[serde(flatten)]
    pub what: LineWhat,
}

impl JsonLine {
    /// An event of a trace, in words.
    #[must_use]
    pub fn of(trace: &Trace, event: &Event) -> JsonLine {
        JsonLine { t_ns: event.t_ns, what: line_what(trace, &event.what) }
    }
}

fn line_what(trace: &Trace, what: &What) -> LineWhat {
    let name = |step| trace.step_name(step).to_owned();
    match what {
        What::Start(start) => line_start(trace, start),
        What::Step { step, actor, acts, undone } => LineWhat::Step {
            step: name(*step),
            actor: *actor,
            acts: words::commands(acts),
            refused: undone.as_ref().map(ToString::to_string),
        },
        What::Held { step, until } => {
            LineWhat::Held { step: name(*step), until: words::until(trace, *until) }
        }
        What::Released { step } => LineWhat::Released { step: name(*step) },
        What::Frame { id, from, bytes, fate, .. } => LineWhat::Frame {
            id: *id,
            from: *from,
            summary: describe(bytes).summary,
            bytes: bytes.to_vec(),
            fate: fate.loss().map_or(LineFate::Delivered, |loss| LineFate::Lost(loss.to_string())),
        },
        What::Judged { frame, side, target, sender, ruling } => {
            let silence = match ruling {
                Ruling::Silent { why, inferred } => Some((*why, *inferred)),
                Ruling::Answered | Ruling::Delayed => None,
            };
            LineWhat::Judged {
                frame: *frame,
                side: *side,
                target: *target,
                sender: *sender,
                answered: ruling.is_answered(),
                delayed: *ruling == Ruling::Delayed,
                reason: silence.map(|(why, _)| why.pointer().code.to_owned()),
                why: silence.map(|(why, inferred)| words::silence(*side, why, inferred)),
            }
        }
        What::Ignored { side, why } => LineWhat::Note { text: words::ignored(*side, *why) },
        What::Neigh { side, dev, ip, old, new, lladdr, cause } => LineWhat::Neigh {
            side: *side,
            dev: dev.to_string(),
            ip: *ip,
            old: *old,
            new: *new,
            lladdr: *lladdr,
            cause: *cause,
        },
        What::Dropped { side, packet, why } => LineWhat::Dropped {
            side: *side,
            summary: describe_ip(packet).summary,
            why: words::dropped(words::teller(trace, *side, packet), *why),
        },
        What::Gateway { silence } => LineWhat::Gateway {
            answers: silence.is_none(),
            reason: silence.map(|r| r.pointer().code.to_owned()),
            why: silence.map(|r| r.to_string()),
        },
        What::Kernel(tables) => LineWhat::Kernel {
            side: tables.side,
            routes: words::routes(tables),
            rules: words::rules(tables),
            neighbours: words::neighbours(tables),
            sysctls: words::sysctls(tables),
        },
        What::Differs(how) => LineWhat::Differs { text: how.to_string() },
        What::Unmodelled { side, command } => LineWhat::Unmodelled { side: *side, command: command.clone() },
        What::Client { client, news } => LineWhat::Client {
            client: trace.client_name(*client).to_owned(),
            from: trace.plan.client(client.0 as usize).map(|c| c.from).filter(|from| *from == Side::Host),
            news: line_news(trace, *client, news),
        },
        What::PluginFailed { pod, errand, why } => {
            LineWhat::Note { text: words::plugin_failed(*pod, *errand, why) }
        }
        What::NoTap { why } => LineWhat::Note { text: words::no_tap(why) },
        What::End { steps } => LineWhat::End { steps: *steps },
    }
}

fn line_start(trace: &Trace, start: &event::Start) -> LineWhat {
    let (plan, s) = (&trace.plan, &trace.plan.setting);
    LineWhat::Start {
        scenario: start.scenario.clone(),
        title: start.title.clone(),
        corner: start.corner,
        seed: start.seed,
        unix_ns: trace.began.and_then(|t| u64::try_from(t.as_nanos()).ok()),
        calico: plan.version.to_string(),
        cali: s.cali.to_string(),
        pod: format!("{}/{}", s.namespace, s.pod),
        pod_ip: s.pod_ip.into(),
        fixes: start.fixes.clone(),
        holds: start.holds.clone(),
    }
}

fn line_news(trace: &Trace, client: ClientId, news: &ClientNews) -> LineNews {
    match news {
        ClientNews::Start => LineNews::Start { title: words::client(trace, client) },
        ClientNews::Try { seq } => LineNews::Try { seq: *seq },
        ClientNews::Success { seq, took } => LineNews::Success { seq: *seq, took_ns: took.as_ns() },
        ClientNews::Failure { seq, failed } => LineNews::Failure { seq: *seq, error: failed.to_string() },
        ClientNews::End { sent, answered } => LineNews::End { sent: *sent, answered: *answered },
    }
}

/// Writes one line per event.
pub fn write_json(trace: &Trace, out: &mut dyn Write) -> io::Result<()> {
    write_json_of(trace, 0..trace.len(), out)
}

/// Writes one line for each of these events.
pub fn write_json_of(trace: &Trace, events: Range<usize>, out: &mut dyn Write) -> io::Result<()> {
    for event in trace.get(events).into_iter().flatten() {
        serde_json::to_writer(&mut *out, &JsonLine::of(trace, event))?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// The last line of `run --json`.
#[derive(Serialize)]
#[serde(tag = "event", rename = "verdict")]
pub struct VerdictLine<'a> {
    /// `as expected`, `unexpected`, `given up` or `interrupted`.
    pub result: &'a str,
    /// Each expectation.
    pub checks: &'a [Check],
    /// What was seen.
    pub seen: &'a Observed,
}

mod hex_bytes {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
        let mut text = String::with_capacity(bytes.len() * 2);
        for b in bytes {
            text.push(char::from_digit(u32::from(b >> 4), 16).unwrap_or('0'));
            text.push(char::from_digit(u32::from(b & 15), 16).unwrap_or('0'));
        }
        s.serialize_str(&text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(d)?;
        if text.len() % 2 != 0 || !text.is_ascii() {
            return Err(D::Error::custom("an even number of hexadecimal digits is wanted"));
        }
        (0..text.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&text[i..i + 2], 16).map_err(D::Error::custom))
            .collect()
    }
}
