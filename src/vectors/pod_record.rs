//! A recorded case of the pod side, as it stands in a vector file.

use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// One line of a vector file.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct PodRecord {
    pub(super) name: String,
    #[serde(default)]
    pub(super) group: String,
    #[serde(default)]
    pub(super) title: String,
    #[serde(default)]
    pub(super) params: Map<String, Value>,
    #[serde(default)]
    pub(super) config: Option<PodConfig>,
    #[serde(default)]
    pub(super) commands: Option<Commands>,
    #[serde(default)]
    pub(super) trials: Vec<PodTrial>,
}

/// The configuration as it was read back from the kernel.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct PodConfig {
    pub(super) node: SideConfig,
    pub(super) pod: SideConfig,
}

/// One namespace's part of it.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct SideConfig {
    #[serde(default)]
    pub(super) sysctls: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "super::command::routes")]
    pub(super) routes: Vec<String>,
    #[serde(default)]
    pub(super) addresses: Vec<String>,
    #[serde(default)]
    pub(super) proxy_neigh: Vec<String>,
}

/// The commands that made it, from nothing.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Commands {
    #[serde(default)]
    pub(super) node: Vec<String>,
    #[serde(default)]
    pub(super) pod: Vec<String>,
}

/// One run of a case. Times are seconds from the client's start or the first crafted frame.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PodTrial {
    pub(super) client: Map<String, Value>,
    #[serde(alias = "nd_solicits")]
    pub(super) arp_requests: Vec<f64>,
    #[serde(alias = "nd_solicits_unicast")]
    pub(super) arp_requests_unicast: Vec<f64>,
    #[serde(alias = "nd_adverts")]
    pub(super) arp_replies: Vec<f64>,
    pub(super) tcp_retransmits: Vec<f64>,
    pub(super) syn_on_wire: Option<Vec<f64>>,
    pub(super) udp_on_wire: Vec<f64>,
    pub(super) neigh: Vec<NeighMark>,
    /// The recorder had no tracepoints: that no state is told says nothing.
    pub(super) untraced: bool,
    pub(super) events: Vec<EventMark>,
    pub(super) stimulus: Vec<FrameMark>,
    pub(super) frames: Vec<FrameMark>,
    pub(super) got: Vec<Option<String>>,
    pub(super) queued_packet_sent_to: Vec<String>,
    pub(super) pod_replies: Vec<ReplyMark>,
    pub(super) samples: Vec<f64>,
    pub(super) outcome_groups: BTreeMap<String, u32>,
    pub(super) wall_s: f64,
}

/// A state transition, from the neigh:* tracepoints.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct NeighMark {
    pub(super) t: f64,
    #[serde(default)]
    pub(super) ip: String,
    pub(super) state: String,
    #[serde(default)]
    pub(super) lladdr: String,
    #[serde(default)]
    pub(super) via: String,
}

/// Something the recorder did.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct EventMark {
    pub(super) t: f64,
    pub(super) what: String,
    /// The command it was, and in whose namespace, where that is told.
    #[serde(flatten)]
    pub(super) typed: Option<Typed>,
}

/// A command that the recorder typed while the client ran.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Typed {
    Node(String),
    Pod(String),
}

/// A frame at the pod's device.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct FrameMark {
    pub(super) t: f64,
    #[serde(default)]
    pub(super) dir: String,
    #[serde(with = "super::record::hex_text")]
    pub(super) hex: Vec<u8>,
}

/// An ARP reply the pod gave.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct ReplyMark {
    #[serde(with = "super::record::hex_text")]
    pub(super) hex: Vec<u8>,
}

impl PodRecord {
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.params.get(key).and_then(Value::as_str)
    }
    pub(super) fn number(&self, key: &str) -> Option<f64> {
        self.params.get(key).and_then(Value::as_f64)
    }
    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        self.params.get(key).and_then(Value::as_bool)
    }
    /// How many echoes or datagrams the client sent, where that is told.
    pub(super) fn count(&self) -> Option<u32> {
        self.params.get("count").and_then(Value::as_u64).and_then(|n| n.try_into().ok())
    }
    /// The recorder wrote some of what it did only into the name, as words between dashes.
    pub(super) fn says(&self, word: &str) -> bool {
        self.name.split('-').any(|w| w == word)
    }
    /// The first word of the name: the kind of case within its group.
    pub(super) fn kind(&self) -> &str {
        self.name.split('-').next().unwrap_or("")
    }
}

impl PodTrial {
    /// When the recorder did something, by the words of its note.
    pub(super) fn event(&self, words: &str) -> Option<f64> {
        self.events.iter().find(|e| e.what.contains(words)).map(|e| e.t)
    }
}
