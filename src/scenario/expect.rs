//! What a scenario expects to be seen, as ranges.

use crate::neigh::Nud;
use crate::time::Span;
use core::fmt;
use core::marker::PhantomData;
use schemars::JsonSchema;
use serde::de::{Error, IgnoredAny, IntoDeserializer, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;

/// A value between two ends, both included. In a file: `[from, to]`, or one value for both.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range<T> {
    /// The least.
    pub from: T,
    /// The most.
    pub to: T,
}

impl<T: PartialOrd + Copy> Range<T> {
    /// True when the value lies inside.
    #[must_use]
    pub fn holds(&self, value: T) -> bool {
        self.from <= value && value <= self.to
    }
}

impl<T: fmt::Display + PartialEq> fmt::Display for Range<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.from == self.to {
            write!(f, "{}", self.from)
        } else {
            write!(f, "{} to {}", self.from, self.to)
        }
    }
}

impl<T: Serialize + PartialEq> Serialize for Range<T> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        <[&T; 2]>::serialize(&[&self.from, &self.to], s)
    }
}

impl<'de, T: Deserialize<'de> + PartialOrd + Clone> Deserialize<'de> for Range<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(Ends(PhantomData))
    }
}

/// Reads a range, so that what is wrong with a value is told as everywhere else.
struct Ends<T>(PhantomData<T>);

impl<T: Clone> Ends<T> {
    fn one(value: T) -> Range<T> {
        Range { from: value.clone(), to: value }
    }
}

impl<'de, T: Deserialize<'de> + PartialOrd + Clone> Visitor<'de> for Ends<T> {
    type Value = Range<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[from, to] or one value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Range<T>, A::Error> {
        let short = |n| A::Error::invalid_length(n, &"[from, to]");
        let from: T = list.next_element()?.ok_or_else(|| short(0))?;
        let to: T = list.next_element()?.ok_or_else(|| short(1))?;
        if list.next_element::<IgnoredAny>()?.is_some() {
            return Err(short(3));
        }
        if from > to {
            return Err(A::Error::custom("the first value of a range is the larger"));
        }
        Ok(Range { from, to })
    }

    fn visit_str<E: Error>(self, v: &str) -> Result<Range<T>, E> {
        T::deserialize(v.into_deserializer()).map(Self::one)
    }
    fn visit_i64<E: Error>(self, v: i64) -> Result<Range<T>, E> {
        T::deserialize(v.into_deserializer()).map(Self::one)
    }
    fn visit_f64<E: Error>(self, v: f64) -> Result<Range<T>, E> {
        T::deserialize(v.into_deserializer()).map(Self::one)
    }
    fn visit_bool<E: Error>(self, v: bool) -> Result<Range<T>, E> {
        T::deserialize(v.into_deserializer()).map(Self::one)
    }
}

impl<T: JsonSchema> JsonSchema for Range<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("RangeOf{}", T::schema_name()).into()
    }
    fn json_schema(g: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let one = g.subschema_for::<T>();
        schemars::json_schema!({
            "anyOf": [one.clone(), { "type": "array", "items": one, "minItems": 2, "maxItems": 2 }]
        })
    }
}

/// One way of running a scenario.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Corner {
    /// Model against model, in virtual time.
    #[default]
    Sim,
    /// A real pod against the smoltcp gateway.
    LiveSmoltcp,
    /// A real pod against the kernel's own proxy ARP.
    LiveKernel,
}

impl fmt::Display for Corner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Corner::Sim => "sim",
            Corner::LiveSmoltcp => "live-smoltcp",
            Corner::LiveKernel => "live-kernel",
        })
    }
}

/// What is expected of one client.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ClientExpect {
    /// It never succeeds.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub never: bool,
    /// First success, from the client's start. Depends on how long holds last, so it is not
    /// checked when a hold is changed on the command line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_success: Option<Range<Span>>,
    /// First success, from the moment the gateway begins to answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_window: Option<Range<Span>>,
    /// The longest spell without a success after the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longest_gap: Option<Range<Span>>,
    /// Failures it reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failures: Option<Range<u32>>,
    /// What it sent and never heard of again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<Range<u32>>,
    /// Texts that must be among its failures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
    /// Texts that must not be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub no_errors: Vec<String>,
}

/// What is expected of a run.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Expect {
    /// How long the gateway does not answer, from the pod's first request. Not checked when a
    /// hold is changed on the command line. `0s` is no window at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Range<Span>>,
    /// Requests of the pod for the gateway that nobody answers. Not checked when a hold is changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unanswered: Option<Range<u32>>,
    /// The reasons met, by code: each of these, and no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasons: Option<Vec<String>>,
    /// States the pod's entry passes through, in this order, others between.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub states: Vec<Nud>,
    /// The state of the pod's entry at the end; `absent` when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
    /// The MAC in the pod's entry at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lladdr: Option<crate::addr::Mac>,
    /// Per client, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub client: BTreeMap<String, ClientExpect>,
}

/// How much later a client may succeed, and how much longer a silence may seem, on a real machine
/// that has other work.
const LIVE_SLACK: Span = Span::from_ms(100);

impl Expect {
    /// The same with the ends of its times 100 ms later.
    #[must_use]
    pub fn live(mut self) -> Expect {
        let wider = |range: &mut Option<Range<Span>>| {
            if let Some(range) = range
                && range.to > Span::ZERO
            {
                range.to = range.to + LIVE_SLACK;
            }
        };
        wider(&mut self.window);
        for client in self.client.values_mut() {
            wider(&mut client.first_success);
            wider(&mut client.after_window);
            wider(&mut client.longest_gap);
        }
        self
    }

    /// These expectations with those of `over` in their place where it has any.
    #[must_use]
    pub fn overridden(&self, over: &Expect) -> Expect {
        let mut client = self.client.clone();
        for (name, e) in &over.client {
            client.insert(name.clone(), e.clone());
        }
        Expect {
            window: over.window.or(self.window),
            unanswered: over.unanswered.or(self.unanswered),
            reasons: over.reasons.clone().or_else(|| self.reasons.clone()),
            states: if over.states.is_empty() { self.states.clone() } else { over.states.clone() },
            entry: over.entry.clone().or_else(|| self.entry.clone()),
            lladdr: over.lladdr.or(self.lladdr),
            client,
        }
    }
}
