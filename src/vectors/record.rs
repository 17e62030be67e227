//! A recording as it stands in a vector file: one JSON object a line, the first line `_meta`.

use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::io::BufRead;

/// Name of the line that says how a file was recorded.
const META: &str = "_meta";
/// The longest line that is read: a recording is a few hundred kilobytes at most.
const LINE_BYTES_MAX: usize = 64 << 20;

/// One case and what a kernel did about it.
#[derive(Clone, Debug, Deserialize)]
pub struct Record {
    /// Its name, unique in its file.
    pub name: String,
    /// What kind of case it is (H, M, P, N, ...).
    #[serde(default)]
    pub group: String,
    /// What it shows.
    #[serde(default)]
    pub title: String,
    /// What was varied.
    #[serde(default)]
    pub params: Map<String, Value>,
    /// What was read back from the kernel before the stimulus.
    #[serde(default)]
    pub config: BTreeMap<String, Config>,
    /// The commands that made the state, per namespace, if they were kept.
    #[serde(default)]
    pub commands: Option<BTreeMap<String, Vec<String>>>,
    /// The repetitions.
    #[serde(default)]
    pub trials: Vec<Trial>,
}

/// The configuration of one namespace, as the kernel reports it.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Config {
    /// `SCOPE.KEY`, `SCOPE.neigh.KEY` or a key of the namespace, with its value.
    #[serde(default)]
    pub sysctls: BTreeMap<String, String>,
    /// Lines of `ip route`.
    #[serde(default, deserialize_with = "super::command::routes")]
    pub routes: Vec<String>,
    /// `DEVICE inet|inet6 ADDRESS/LENGTH`
    #[serde(default)]
    pub addresses: Vec<String>,
    /// Lines of `ip neigh show proxy`.
    #[serde(default)]
    pub proxy_neigh: Vec<String>,
}

/// One repetition.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Trial {
    /// Frames that were injected.
    #[serde(default)]
    pub stimulus: Vec<Shot>,
    /// How many there were, when not all were kept.
    #[serde(default)]
    pub n_stimulus: Option<usize>,
    /// Frames the host sent.
    #[serde(default)]
    pub replies: Option<Vec<Shot>>,
    /// How many of them were answers.
    #[serde(default)]
    pub n_replies: Option<usize>,
    /// `STATE:MAC` of the sender at the end, as `ip neigh` shows it.
    #[serde(default)]
    pub host_neigh: Option<String>,
    /// Changes of neighbour entries, from tracepoints.
    #[serde(default)]
    pub neigh: Option<Vec<Transition>>,
    /// What the measuring program counted.
    #[serde(default)]
    pub client: Map<String, Value>,
    /// Delays of answers, seconds.
    #[serde(default)]
    pub samples: Vec<f64>,
    /// When answers came, seconds.
    #[serde(default)]
    pub reply_times: Vec<f64>,
    /// Which request each of them answers.
    #[serde(default)]
    pub order: Vec<u64>,
    /// Delays of the answers to each of several requests, seconds.
    #[serde(default)]
    pub reply_latencies: Vec<Vec<f64>>,
    /// Requests each resolution took.
    #[serde(default)]
    pub requests_per_resolution: Vec<u32>,
}

/// A frame and its time.
#[derive(Clone, Debug, Deserialize)]
pub struct Shot {
    /// Seconds since the first stimulus.
    pub t: f64,
    /// `pod->host` or `host->pod`.
    #[serde(default)]
    pub dir: String,
    /// The frame.
    #[serde(with = "hex_text")]
    pub hex: Vec<u8>,
    /// The sender's entry right after it, `STATE:MAC` or `none`, where that was looked at.
    #[serde(default)]
    pub after: Option<String>,
}

/// A change of a neighbour entry.
#[derive(Clone, Debug, Deserialize)]
pub struct Transition {
    /// Seconds since the first stimulus.
    pub t: f64,
    /// Device.
    pub dev: String,
    /// Address.
    pub ip: String,
    /// State it came to.
    pub state: String,
    /// MAC it holds, or nothing.
    #[serde(default)]
    pub lladdr: String,
    /// What changed it: `created`, `update`, `output`, `timer`.
    #[serde(default)]
    pub via: String,
}

impl Trial {
    /// A number the measuring program counted.
    #[must_use]
    pub fn counted(&self, key: &str) -> Option<u64> {
        self.client.get(key)?.as_u64()
    }

    /// A word it noted.
    #[must_use]
    pub fn noted(&self, key: &str) -> Option<&str> {
        self.client.get(key)?.as_str()
    }
}

/// Why a vector file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file itself.
    #[error("line {line}: {source}")]
    Io {
        /// The line, from 1.
        line: usize,
        /// What the system said.
        source: std::io::Error,
    },
    /// Its content.
    #[error("line {line} is no recording: {source}")]
    Json {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A line beyond all measure.
    #[error("line {line} is longer than {LINE_BYTES_MAX} bytes")]
    Long {
        /// The line, from 1.
        line: usize,
    },
}

/// Reads the recordings of a file; its `_meta` line is passed over.
pub fn read(file: impl BufRead) -> Result<Vec<Record>, ReadError> {
    let mut records = Vec::new();
    for (at, text) in file.lines().enumerate() {
        let line = at + 1;
        let text = text.map_err(|source| ReadError::Io { line, source })?;
        if text.len() > LINE_BYTES_MAX {
            return Err(ReadError::Long { line });
        }
        if text.trim().is_empty() {
            continue;
        }
        let record: Record =
            serde_json::from_str(&text).map_err(|source| ReadError::Json { line, source })?;
        if record.name != META {
            records.push(record);
        }
    }
    Ok(records)
}

pub(super) mod hex_text {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer};

    pub(in crate::vectors) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(d)?;
        if !text.len().is_multiple_of(2) || !text.is_ascii() {
            return Err(D::Error::custom("a frame is an even number of hexadecimal digits"));
        }
        let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).map_err(D::Error::custom);
        (0..text.len()).step_by(2).map(byte).collect()
    }
}
