//! Properties: what every schedule must keep, and what at least one should reach.

use super::facts::Facts;
use crate::time::Span;
use core::fmt;
use core::str::FromStr;
use std::sync::Arc;

/// Every property that the command line knows, with its meaning. Those that take a time have a
/// default.
pub const KNOWN: &[(&str, Option<Span>, &str)] = &[
    (
        "resolves-within",
        Some(Span::from_secs(2)),
        "the pod has a valid entry for its gateway at most so long after its containers and the \
         first client in them start",
    ),
    (
        "first-packet-within",
        Some(Span::from_secs(2)),
        "a client of the pod has its first answer at most so long after the containers and the first \
         client in them start",
    ),
    (
        "no-silence-longer-than",
        Some(Span::from_secs(3)),
        "after the first answer no spell without an answer is longer than this",
    ),
    (
        "never-wrong-mac",
        None,
        "the pod is never told, and never uses, a MAC for its gateway that is not the host end's",
    ),
    ("never-answers-own", None, "the host never answers a request for the pod's own address"),
    (
        "no-divide-window",
        None,
        "proxy_delay is never written to 0 while requests are already proxied (felix #1937: the \
         kernel divided by it)",
    ),
    (
        "is-served",
        None,
        "a client of the pod has an answer before the run ends; a run that is cut off with clients \
         still at work does not break it",
    ),
    ("add-waits-for-gateway", None, "when CNI ADD returns, the gateway answers"),
    ("no-step-refused", None, "the kernel refuses no step of an actor"),
    ("sometimes-asked-in-vain", None, "in at least one schedule the pod asks and nobody answers"),
    ("sometimes-late", None, "in at least one schedule the first answer takes longer than a second"),
    (
        "sometimes-silent-again",
        None,
        "in at least one schedule answers cease for over two seconds and return",
    ),
];

type Test = Arc<dyn Fn(&Facts) -> bool + Send + Sync>;

/// A named property of schedules.
///
/// ```
/// use arplab::explore::Property;
/// use arplab::time::Span;
///
/// let prompt: Property = "first-packet-within=500ms".parse()?;
/// assert_eq!(prompt.to_string(), "first-packet-within=500ms");
/// // one's own
/// let calm = Property::always("no-refusal-before-start", |f| !f.refused || f.container_start.is_some());
/// assert_eq!(calm.name(), "no-refusal-before-start");
/// # Ok::<(), arplab::explore::PropertyError>(())
/// ```
#[derive(Clone)]
pub struct Property {
    name: String,
    limit: Option<Span>,
    sometimes: bool,
    test: Test,
}

impl fmt::Debug for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Property({self})")
    }
}

impl PartialEq for Property {
    /// By name: two properties of one name are one.
    fn eq(&self, other: &Property) -> bool {
        self.to_string() == other.to_string()
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.limit {
            Some(limit) => f.pad(&format!("{}={limit}", self.name)),
            None => f.pad(&self.name),
        }
    }
}

/// Why a text names no property.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PropertyError {
    /// There is none of that name.
    #[error("there is no property {name:?}{meant}; there are: {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What was probably meant, as words; empty where nothing is near.
        meant: String,
        /// What there is.
        known: String,
    },
    /// It takes no time, or the time is none.
    #[error("property {name}: {why}")]
    BadLimit {
        /// The name that was given.
        name: String,
        /// What its value is not.
        why: String,
    },
}

impl Property {
    /// Holds when `test` is true of every complete schedule.
    pub fn always(
        name: impl Into<String>,
        test: impl Fn(&Facts) -> bool + Send + Sync + 'static,
    ) -> Property {
        Property { name: name.into(), limit: None, sometimes: false, test: Arc::new(test) }
    }

    /// Holds when `test` is true of at least one complete schedule. Shows that a search reaches
    /// what it is meant to reach.
    pub fn sometimes(
        name: impl Into<String>,
        test: impl Fn(&Facts) -> bool + Send + Sync + 'static,
    ) -> Property {
        Property { name: name.into(), limit: None, sometimes: true, test: Arc::new(test) }
    }

    /// The pod's first answer comes within `limit` of the start of its containers and the
    /// first client in them.
    #[must_use]
    pub fn first_packet_within(limit: Span) -> Property {
        Property::timed("first-packet-within", limit, move |f| within(f, f.first_answer, limit))
    }

    /// The pod's entry for its gateway is valid within `limit` of the start of its containers
    /// and the first client in them.
    #[must_use]
    pub fn resolves_within(limit: Span) -> Property {
        Property::timed("resolves-within", limit, move |f| within(f, f.resolved, limit))
    }

    /// No spell without an answer is longer than `limit` once there was one.
    #[must_use]
    pub fn no_silence_longer_than(limit: Span) -> Property {
        Property::timed("no-silence-longer-than", limit, move |f| f.longest_silence <= limit)
    }

    /// Some client of the pod has an answer before the run ends, unless it is cut off with clients
    /// still at work.
    #[must_use]
    pub fn is_served() -> Property {
        Property::always("is-served", |f| f.first_answer.is_some() || (f.cut && f.client_start.is_some()))
    }

    fn timed(name: &str, limit: Span, test: impl Fn(&Facts) -> bool + Send + Sync + 'static) -> Property {
        Property { limit: Some(limit), ..Property::always(name, test) }
    }

    /// What the command line checks when it is not told: nothing is late by two seconds, and
    /// nothing is wrong.
    #[must_use]
    pub fn usual() -> Vec<Property> {
        let named = ["never-wrong-mac", "never-answers-own", "no-divide-window"];
        let mut all = vec![Property::first_packet_within(Span::from_secs(2))];
        all.extend(named.iter().filter_map(|name| name.parse().ok()));
        all
    }

    /// Its name, without its limit.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The time it gives, if it gives one.
    #[must_use]
    pub fn limit(&self) -> Option<Span> {
        self.limit
    }

    /// One schedule is enough.
    #[must_use]
    pub fn is_sometimes(&self) -> bool {
        self.sometimes
    }

    /// Whether a complete schedule has it.
    #[must_use]
    pub fn test(&self, facts: &Facts) -> bool {
        (self.test)(facts)
    }
}

/// It happened in time, or it is too early to tell: the schedule ended before the limit.
fn within(f: &Facts, when: Option<crate::time::Time>, limit: Span) -> bool {
    match (when, f.ended) {
        (Some(t), _) => f.since_start(t).is_none_or(|s| s <= limit),
        (None, Some(end)) => f.since_start(end).is_none_or(|s| s <= limit && f.cut),
        (None, None) => true,
    }
}

fn unlimited(name: &str) -> Option<Property> {
    let second = Span::from_secs(1);
    Some(match name {
        "never-wrong-mac" => Property::always(name, |f| f.wrong_mac.is_none()),
        "never-answers-own" => Property::always(name, |f| f.answered_own.is_none()),
        "no-divide-window" => Property::always(name, |f| f.divide_window.is_none()),
        "is-served" => Property::is_served(),
        "add-waits-for-gateway" => Property::always(name, |f| f.add_returned.is_none_or(|a| a.1)),
        "no-step-refused" => Property::always(name, |f| !f.refused),
        "sometimes-asked-in-vain" => Property::sometimes(name, |f| f.asked_in_vain),
        "sometimes-late" => Property::sometimes(name, move |f| f.first_delay().is_none_or(|d| d > second)),
        "sometimes-silent-again" => {
            Property::sometimes(name, |f| f.longest_silence > Span::from_secs(2) && !f.cut)
        }
        _ => return None,
    })
}

impl FromStr for Property {
    type Err = PropertyError;

    /// `NAME`, or `NAME=DURATION` for those that take a time.
    fn from_str(text: &str) -> Result<Property, PropertyError> {
        let (name, limit) = match text.split_once('=') {
            Some((name, limit)) => (name.trim(), Some(limit)),
            None => (text.trim(), None),
        };
        let Some((_, default, _)) = KNOWN.iter().find(|k| k.0 == name) else {
            let known = KNOWN.iter().map(|k| k.0).collect::<Vec<_>>().join(", ");
            let meant = crate::near::meant(name, KNOWN.iter().map(|k| k.0));
            return Err(PropertyError::Unknown { name: name.to_owned(), meant, known });
        };
        let bad = |why: String| PropertyError::BadLimit { name: name.to_owned(), why };
        let Some(default) = *default else {
            if limit.is_some() {
                return Err(bad("it takes no time".into()));
            }
            return unlimited(name).ok_or_else(|| bad("it is not there".into()));
        };
        let limit = match limit {
            Some(text) => text.parse().map_err(|e: crate::time::SpanError| bad(e.to_string()))?,
            None => default,
        };
        Ok(match name {
            "resolves-within" => Property::resolves_within(limit),
            "first-packet-within" => Property::first_packet_within(limit),
            _ => Property::no_silence_longer_than(limit),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Time;

    #[test]
    fn every_known_property_parses_and_prints_its_name() {
        for (name, limit, _) in KNOWN {
            let p: Property = name.parse().unwrap();
            assert_eq!(p.name(), *name);
            assert_eq!(p.limit.is_some(), limit.is_some());
            assert_eq!(p.is_sometimes(), name.starts_with("sometimes-"));
            assert_eq!(p.to_string().parse::<Property>().unwrap(), p);
        }
        assert!("first-packet-within=soon".parse::<Property>().is_err());
        assert!("never-wrong-mac=3s".parse::<Property>().is_err());
        assert!("always-right".parse::<Property>().is_err());
    }

    #[test]
    fn a_first_packet_that_never_comes_is_late_unless_the_run_was_cut_too_early() {
        let p = Property::first_packet_within(Span::from_secs(5));
        let at = |s| Time::ZERO + Span::from_secs(s);
        let mut f = Facts { container_start: Some(at(1)), client_start: Some(at(1)), ..Facts::default() };
        f.ended = Some(at(4));
        f.cut = true;
        assert!(p.test(&f), "after three seconds nobody knows");
        f.cut = false;
        assert!(!p.test(&f), "its clients gave up");
        f.first_answer = Some(at(4));
        assert!(p.test(&f));
        f.first_answer = Some(at(7));
        assert!(!p.test(&f));
    }
}
