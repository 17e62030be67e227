//! The events themselves.

use crate::addr::Mac;
use crate::control::{ActorName, Side, StepId};
use crate::neigh::{Cause, Nud};
use crate::packet::FrameId;
use crate::pod::{ClientEvent, ClientId};
use crate::stack::Note;
use crate::time::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// What became of a frame.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// It arrived.
    Delivered,
    /// It never arrived, and why.
    Lost(String),
}

/// News of a client.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "news", rename_all = "kebab-case")]
pub enum ClientNews {
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
pub enum What {
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
        fate: Fate,
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
    /// What a real kernel's own tables hold, as ip(8) prints them.
    Kernel {
        /// Whose.
        side: Side,
        /// `ip route`, IPv4.
        routes: Vec<String>,
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
    /// News of a client.
    Client {
        /// Its name.
        client: String,
        /// The news.
        #[serde(flatten)]
        news: ClientNews,
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
pub struct Event {
    /// Nanoseconds since the run began.
    #[schemars(with = "u64")]
    pub t_ns: Time,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// Something that happened, as it is: for watchers that run a million times and build no texts.
pub enum Seen<'a> {
    /// A step was done, or refused by the kernel.
    Step {
        /// Which.
        step: StepId,
        /// Not refused.
        done: bool,
    },
    /// A frame was put on the link between pod and host.
    Frame {
        /// By whom.
        from: Side,
        /// The frame.
        bytes: &'a [u8],
        /// It is not lost.
        arrives: bool,
        /// The MAC of the host's end at that moment, if there is one.
        host_mac: &'a dyn Fn() -> Option<Mac>,
    },
    /// A note of one of the two namespaces.
    Note(Side, &'a Note),
    /// A responder of one's own heard a request.
    Own {
        /// The request.
        arp: &'a crate::wire::Arp,
        /// It replied.
        answered: bool,
    },
    /// A client's report.
    Client(ClientId, &'a ClientEvent),
}

/// Where events go. Building an event costs; a sink that does not want them says so.
pub trait Sink {
    /// Whether events are wanted at all.
    const WANTED: bool;
    /// Takes an event.
    fn take(&mut self, t: Time, what: What);
    /// Sees the same without the texts; every sink may.
    fn see(&mut self, _: Time, _: Seen<'_>) {}
}

impl Sink for Vec<Event> {
    const WANTED: bool = true;
    fn take(&mut self, t: Time, what: What) {
        self.push(Event { t_ns: t, what });
    }
}

impl Sink for () {
    const WANTED: bool = false;
    fn take(&mut self, _: Time, _: What) {}
}

/// True for the pod's gateway, of either family.
#[must_use]
pub(crate) fn is_gateway(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip == crate::control::GATEWAY,
        // the only link-local neighbour of a pod is its gateway, whatever MAC it is made of
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// True for the sender of a test for duplicates (RFC 4862): it asks about an address of its own.
#[must_use]
pub(crate) fn is_dad(sender: IpAddr) -> bool {
    sender == IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED)
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
