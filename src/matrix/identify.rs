//! From what a person can see to the mechanisms that fit. The signatures are read off the
//! scenarios' own runs, so they cannot drift from what the scenarios do.

mod capture;
mod frames;
mod look;
mod sight;

pub use capture::{CaptureError, MOST_FRAMES};
pub use look::{Counts, Course, Holder, Look};
pub use sight::{Sight, TraceError, Value, Vantage};

use super::outage::{Outage, outages};
use super::{FOR_GOOD, Played, play, spread};
use crate::addr::Mac;
use crate::control::Side;
use crate::neigh::Nud;
use crate::scenario::{Overrides, PlanError, Scenario};
use crate::time::{Span, Time};
use crate::trace::{Fate, What, describe, is_gateway_request};
use serde::Serialize;
use std::collections::BTreeSet;

/// A length fits when it lies within the scenario's own, this much to either side of it.
const LENGTH_SLACK: u64 = 4;

/// What was seen; nothing where nobody looked.
#[derive(Clone, Debug, Default)]
pub struct Observation {
    /// State of the pod's entry for its gateway while it fails: as `ip neigh` says it, or `absent`.
    pub entry: Option<String>,
    /// Requests are seen on the pod's eth0.
    pub asked: Option<bool>,
    /// Requests are seen on the host's cali interface.
    pub heard: Option<bool>,
    /// Replies are seen there.
    pub answered: Option<bool>,
    /// How long it lasts; `None` when nobody measured it.
    pub lasts: Option<Span>,
    /// It ends within the time somebody watched.
    pub ends: Option<bool>,
    /// The MAC in the pod's entry.
    pub mac: Option<Mac>,
    /// Part of what a client said.
    pub error: Option<String>,
    /// A capture or a trace.
    pub sight: Option<Sight>,
}

/// What a scenario's outage looks like, over its runs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Signature {
    /// The scenario.
    pub scenario: String,
    /// States of the pod's entry during the outage.
    pub entry: BTreeSet<String>,
    /// Whether the pod asked.
    pub asked: BTreeSet<bool>,
    /// Whether requests reached the host end.
    pub heard: BTreeSet<bool>,
    /// Whether there were replies.
    pub answered: BTreeSet<bool>,
    /// Shortest and longest outage; an hour is for good.
    pub lasts: (Span, Span),
    /// MACs that the pod's entry held.
    pub macs: BTreeSet<String>,
    /// What clients said.
    pub errors: BTreeSet<String>,
}

impl Signature {
    fn new(scenario: &Scenario) -> Signature {
        Signature {
            scenario: scenario.id().to_owned(),
            entry: BTreeSet::new(),
            asked: BTreeSet::new(),
            heard: BTreeSet::new(),
            answered: BTreeSet::new(),
            lasts: (FOR_GOOD, Span::ZERO),
            macs: BTreeSet::new(),
            errors: BTreeSet::new(),
        }
    }
}

/// A candidate.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Candidate {
    /// Its signature.
    pub signature: Signature,
    /// What was seen and fits.
    pub fits: Vec<&'static str>,
    /// What was seen and does not.
    pub against: Vec<&'static str>,
}

/// The signature of a scenario; `None` when nothing is lost in it.
pub fn signature(scenario: &Scenario) -> Result<Option<Signature>, PlanError> {
    let mut sig = Signature::new(scenario);
    for seed in SIGHT_SEEDS {
        let run = play(scenario, &Overrides::default(), seed)?;
        let Some(worst) = outages(&run).into_iter().max_by_key(|o| o.longest) else { return Ok(None) };
        sig.lasts = (sig.lasts.0.min(worst.longest), sig.lasts.1.max(worst.longest));
        take(&mut sig, &run, &worst);
    }
    Ok((sig.lasts.1 > Span::ZERO).then_some(sig))
}

/// Reads one run's outage into the signature.
fn take(sig: &mut Signature, run: &Played, worst: &Outage) {
    let inside = |t: Time| worst.from <= t && t <= worst.to;
    let mut state = None;
    for (t, new) in &run.seen.states {
        if *t > worst.from && *t <= worst.to {
            sig.entry.insert(name_of(state));
        }
        if *t <= worst.to {
            state = *new;
        }
    }
    sig.entry.insert(name_of(state));
    let (mut asked, mut heard, mut answered) = (false, false, false);
    for event in run.events.iter().filter(|e| inside(e.t_ns) && e.t_ns < worst.to) {
        let What::Frame { from, bytes, fate, .. } = &event.what else { continue };
        let d = describe(bytes);
        if *from == Side::Pod && is_gateway_request(&d) {
            asked = true;
            heard |= *fate == Fate::Delivered;
        }
        // the reply that ends the outage is not part of it
        let last = worst.to.since(event.t_ns) < Span::from_ms(1_100);
        answered |= *from == Side::Host && d.answers.is_some() && (!last || worst.at_the_end);
    }
    sig.asked.insert(asked);
    sig.heard.insert(heard);
    sig.answered.insert(answered);
    sig.macs.extend(run.seen.replies.iter().filter_map(|r| r.1).map(|m| m.to_string()));
    sig.macs.extend(run.seen.lladdr.map(|m| m.to_string()));
    sig.errors.extend(run.seen.clients.values().flat_map(|c| c.errors.keys().cloned()));
}

fn name_of(state: Option<Nud>) -> String {
    match state {
        None | Some(Nud::None) => "ABSENT".to_owned(),
        Some(state) => state.name().to_owned(),
    }
}

/// The runs that a capture is compared with: more than decide a cell of the matrix, since what is
/// left to chance differs from run to run.
pub const SIGHT_SEEDS: core::ops::RangeInclusive<u64> = 1..=8;

/// What the scenarios look like, from every place.
#[derive(Clone, Debug)]
pub struct Library(Vec<Known>);

/// What one scenario looks like.
#[derive(Clone, Debug)]
struct Known {
    signature: Signature,
    /// Something is lost in it.
    loss: bool,
    /// Its runs, as they are seen from the pod, from the host, and in a trace.
    runs: Vec<[Sight; 3]>,
}

impl Library {
    /// Runs the scenarios.
    pub fn new(scenarios: &[Scenario]) -> Result<Library, PlanError> {
        let threads = std::thread::available_parallelism().map_or(1, core::num::NonZero::get);
        Ok(Library(spread(scenarios.len(), threads, |at| Known::new(&scenarios[at]))?))
    }

    /// Scenarios, best fit first; ties in the order of the scenarios given.
    ///
    /// Without a capture or a trace only scenarios with a loss are candidates: what is asked for
    /// is what the loss looks like.
    #[must_use]
    pub fn identify(&self, seen: &Observation) -> Vec<Candidate> {
        let wanted = seen.sight.as_ref().map(|s| (s, s.features()));
        let known = self.0.iter().filter(|k| k.loss || wanted.is_some());
        let mut found: Vec<Candidate> = known
            .map(|k| {
                let mut found = candidate(k.signature.clone(), seen);
                if let Some((sight, features)) = &wanted {
                    let (fits, against) = compare(&k.views(sight), features);
                    found.fits.extend(fits);
                    found.against.extend(against);
                }
                found
            })
            .collect();
        found.sort_by_key(|c| (c.against.len(), usize::MAX - c.fits.len()));
        found
    }
}

/// [`Library::identify`] for one question.
pub fn identify(scenarios: &[Scenario], seen: &Observation) -> Result<Vec<Candidate>, PlanError> {
    Ok(Library::new(scenarios)?.identify(seen))
}

/// What a look at a run shows.
type Features = Vec<(&'static str, Value)>;

impl Known {
    fn new(scenario: &Scenario) -> Result<Known, PlanError> {
        let signature = signature(scenario)?;
        let mut runs = Vec::new();
        for seed in SIGHT_SEEDS {
            let events = play(scenario, &Overrides::default(), seed)?.events;
            let (pod, host) = (Vantage::Pod, Vantage::Host);
            runs.push([
                Sight::of_frames(&events, pod),
                Sight::of_frames(&events, host),
                Sight::of_trace(&events),
            ]);
        }
        let loss = signature.is_some();
        let mut none = Signature::new(scenario);
        none.lasts = (Span::ZERO, Span::ZERO);
        Ok(Known { signature: signature.unwrap_or(none), loss, runs })
    }

    /// What the same look at the runs shows: each run whole, and for as long as somebody watched,
    /// since a silence that was not watched to its end may end.
    fn views(&self, like: &Sight) -> Vec<Features> {
        let places = match (like.is_trace(), like.vantage) {
            (true, _) => 2..3,
            (false, Some(Vantage::Pod)) => 0..1,
            (false, Some(Vantage::Host)) => 1..2,
            (false, None) => 0..2,
        };
        let views = self.runs.iter().flat_map(|r| &r[places.clone()]);
        let open = like.is_open();
        views
            .flat_map(|view| {
                let cut =
                    (open && view.watched() > like.watched()).then(|| view.features_until(like.watched()));
                core::iter::once(view.features()).chain(cut)
            })
            .collect()
    }
}

/// What of the features fits the nearest run, and what does not.
fn compare(runs: &[Features], seen: &Features) -> (Vec<&'static str>, Vec<&'static str>) {
    let misfits = |run: &Features| -> Vec<&'static str> {
        let apart = run.iter().zip(seen).enumerate().filter(|(at, (a, b))| {
            let lengths = || runs.iter().filter_map(|r| r[*at].1.length());
            !a.1.fits(&b.1, lengths().min(), lengths().max())
        });
        apart.map(|(_, (a, _))| a.0).collect()
    };
    let against = runs.iter().map(misfits).min_by_key(Vec::len).unwrap_or_default();
    let fits = seen.iter().map(|f| f.0).filter(|name| !against.contains(name)).collect();
    (fits, against)
}

fn candidate(signature: Signature, seen: &Observation) -> Candidate {
    let s = &signature;
    let quarter = |span: Span| Span::from_ns(span.as_ns() / LENGTH_SLACK);
    let length = |lasts: Span| {
        let (least, most) = s.lasts;
        least.as_ns() <= lasts.as_ns() + quarter(lasts).as_ns()
            && lasts.as_ns() <= most.as_ns() + quarter(most).as_ns()
    };
    // any other MAC is as good as the scenario's other
    let calico = Mac::CALICO.to_string();
    let upper = |text: &String| text.to_uppercase();
    let tests: [(&'static str, Option<bool>); 8] = [
        ("entry", seen.entry.as_ref().map(|e| s.entry.contains(&upper(e)))),
        ("requests in the pod", seen.asked.map(|b| s.asked.contains(&b))),
        ("requests on the host", seen.heard.map(|b| s.heard.contains(&b))),
        ("replies", seen.answered.map(|b| s.answered.contains(&b))),
        ("length", seen.lasts.map(length)),
        ("end", seen.ends.map(|b| if b { s.lasts.0 < FOR_GOOD } else { s.lasts.1 >= FOR_GOOD })),
        ("MAC", seen.mac.map(|m| s.macs.iter().any(|x| (*x == calico) == (m == Mac::CALICO)))),
        ("error", seen.error.as_ref().map(|e| s.errors.iter().any(|x| upper(x).contains(&upper(e))))),
    ];
    let with = |ok: bool| tests.iter().filter(|t| t.1 == Some(ok)).map(|t| t.0).collect();
    Candidate { fits: with(true), against: with(false), signature }
}

/// What to look at next: of what nobody has looked at, that in which the best candidates differ.
#[must_use]
pub fn next_looks(best: &[Candidate], seen: &Observation) -> Vec<&'static str> {
    // a trace tells all of it; a capture tells who asked and who answered
    let (trace, captured) = (seen.sight.as_ref().is_some_and(Sight::is_trace), seen.sight.is_some());
    let at_pod = seen.sight.as_ref().is_some_and(|s| s.vantage == Some(Vantage::Pod));
    let looks: [(bool, &'static str, Pick); 6] = [
        (
            !trace && seen.entry.is_none(),
            "the pod's entry: `ip neigh show 169.254.1.1` in the pod (--entry)",
            |s| format!("{:?}", s.entry),
        ),
        (!captured && seen.asked.is_none(), "requests in the pod: `tcpdump -ni eth0 arp` (--asked)", |s| {
            format!("{:?}", s.asked)
        }),
        (
            (!captured || at_pod && !trace) && seen.heard.is_none(),
            "requests on the host: `tcpdump -ni CALI arp` (--heard)",
            |s| format!("{:?}", s.heard),
        ),
        (!captured && seen.answered.is_none(), "replies on the host: the same capture (--answered)", |s| {
            format!("{:?}", s.answered)
        }),
        (!captured && seen.mac.is_none(), "the MAC in the pod's entry (--mac)", |s| format!("{:?}", s.macs)),
        (!trace && seen.error.is_none(), "what a client says (--error)", |s| format!("{:?}", s.errors)),
    ];
    let differ = |of: &Pick| best.iter().map(|c| of(&c.signature)).collect::<BTreeSet<_>>().len() > 1;
    looks.iter().filter(|(open, _, of)| *open && differ(of)).map(|l| l.1).collect()
}

/// One trait of a signature, as a text to compare.
type Pick = fn(&Signature) -> String;
