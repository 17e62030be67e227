//! From what a person can see to the mechanisms that fit. The signatures are read off the
//! scenarios' own runs, so they cannot drift from what the scenarios do.

mod capture;
mod frames;
mod look;
mod next;
mod pcapng;
mod sight;
mod signature;

pub use capture::{CaptureError, MOST_FRAMES};
pub use look::{Counts, Course, Holder, Look};
pub use next::next_looks;
pub use sight::{Sight, TraceError, Value, Vantage};
pub use signature::Signature;

use super::play::play_on_a_busy_node;
use super::{FOR_GOOD, Played, play, spread};
use crate::addr::Mac;
use crate::scenario::{Overrides, PlanError, Scenario};
use crate::time::Span;
use serde::Serialize;

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
    /// The pod's packets go to a MAC that the host's cali interface does not have.
    pub wrong_mac: Option<bool>,
    /// Two MACs claim one address: the entry's MAC alternates, or one request gets two replies.
    pub two_macs: Option<bool>,
    /// Replies come late: within the 0.8 s of proxy_delay, and not at once.
    pub held_back: Option<bool>,
    /// State of the host's entry for the pod, as `ip neigh` on the host says it, or `absent`.
    pub host_entry: Option<String>,
    /// Part of what a client said.
    pub error: Option<String>,
    /// A capture or a trace.
    pub sight: Option<Sight>,
}

impl Observation {
    /// Nobody looked at anything, so everything would fit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let bools =
            [self.asked, self.heard, self.answered, self.ends, self.wrong_mac, self.two_macs, self.held_back];
        let texts = [&self.entry, &self.host_entry, &self.error];
        let others = self.lasts.is_none() && self.mac.is_none() && self.sight.is_none();
        others && bools.iter().all(Option::is_none) && texts.iter().all(|t| t.is_none())
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
    /// It does not fit, but only by when its cause comes: in it the gateway is silent from the start, and
    /// what was seen began with an answer. The same cause later would look like what was seen.
    pub later: bool,
}

/// The signature of a scenario; `None` when nothing is lost in it.
pub fn signature(scenario: &Scenario) -> Result<Option<Signature>, PlanError> {
    Known::new(scenario).map(|k| k.loss.then_some(k.signature))
}

/// A scenario is played, with the seeds from 1 on, until so many runs in a row show nothing that no
/// run before showed: what is left to chance, such as the delay of a reply, has then been met in its
/// usual forms, and what seldom happens as a rule too.
const QUIET_RUNS: u64 = 20;
/// More often than this no scenario is played.
const MOST_RUNS: u64 = 80;

/// So often a scenario is played on a node that collects neighbour entries, for the states that this adds.
const BUSY_RUNS: u64 = 12;

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
    runs: Vec<[RunView; 3]>,
}

impl Library {
    /// Runs the scenarios.
    pub fn new(scenarios: &[Scenario]) -> Result<Library, PlanError> {
        let threads = std::thread::available_parallelism().map_or(1, core::num::NonZero::get);
        Ok(Library(spread(scenarios.len(), threads, |at| Known::new(&scenarios[at]))?))
    }

    /// How often a scenario was played: with the seeds from 1 to this. 0 for an unknown one.
    #[must_use]
    pub fn runs_of(&self, scenario: &str) -> u64 {
        self.0.iter().find(|k| k.signature.scenario == scenario).map_or(0, |k| k.runs.len() as u64)
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
                    found.later = features.contains(&went(Course::Lost))
                        && comes_first(&k.runs, &found.against, &against);
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

/// A run as it is seen from one place, to its end.
#[derive(Clone, Debug)]
struct RunView {
    sight: Sight,
    features: Features,
}

impl Known {
    fn new(scenario: &Scenario) -> Result<Known, PlanError> {
        let mut signature = Signature::new(scenario);
        let mut runs: Vec<[RunView; 3]> = Vec::new();
        let (mut watched, mut quiet) = (true, 0);
        for seed in 1..=MOST_RUNS {
            let run = play(scenario, &Overrides::default(), seed)?;
            watched &= signature.take(&run);
            let views = views_of(&run);
            quiet = if shows_more(&runs, &views) { 0 } else { quiet + 1 };
            runs.push(views);
            if quiet == QUIET_RUNS {
                break;
            }
        }
        for seed in 1..=BUSY_RUNS {
            let Some(run) = play_on_a_busy_node(scenario, seed)? else { break };
            signature.take_states(&run);
        }
        let loss = watched && signature.lasts.1 > Span::ZERO;
        if !loss {
            signature = Signature::new(scenario);
            signature.lasts = (Span::ZERO, Span::ZERO);
        }
        Ok(Known { signature, loss, runs })
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
                let cut = (open && view.sight.watched() > like.watched())
                    .then(|| view.sight.features_until(like.watched()));
                core::iter::once(view.features.clone()).chain(cut)
            })
            .collect()
    }
}

fn views_of(run: &Played) -> [RunView; 3] {
    let events = &run.events;
    [Sight::of_frames(events, Vantage::Pod), Sight::of_frames(events, Vantage::Host), Sight::of_trace(events)]
        .map(|sight| RunView { features: sight.features(), sight })
}

/// From one of the places no run so far looks as this one does.
fn shows_more(runs: &[[RunView; 3]], views: &[RunView; 3]) -> bool {
    views.iter().enumerate().any(|(at, view)| {
        let known: Vec<Features> = runs.iter().map(|r| r[at].features.clone()).collect();
        runs.is_empty() || !compare(&known, &view.features).1.is_empty()
    })
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

/// How requests for the gateway went, as a feature.
fn went(course: Course) -> (&'static str, Value) {
    (sight::REQUESTS, sight::word(&course))
}

/// What a cause that is there from the start shows otherwise than the same cause later: nothing was
/// learned before, and no packet went.
const BEGINNING: [&str; 6] = [
    sight::REQUESTS,
    "length of the gateway's silence",
    "MAC in replies",
    "unanswered requests to one MAC",
    "the pod's packets",
    "length without packets back",
];

/// Those runs begin with silence, and what does not fit does so for that reason alone.
fn comes_first(runs: &[[RunView; 3]], told: &[&str], against: &[&str]) -> bool {
    let silent = [Course::Never, Course::Late].map(went);
    let begins = |run: &[RunView; 3]| silent.iter().any(|s| run[0].features.contains(s));
    told.is_empty()
        && against.contains(&sight::REQUESTS)
        && against.iter().all(|name| BEGINNING.contains(name))
        && runs.iter().any(begins)
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
    let tests: [(&'static str, Option<bool>); 12] = [
        ("entry", seen.entry.as_ref().map(|e| s.entry.contains(&upper(e)))),
        ("requests in the pod", seen.asked.map(|b| s.asked.contains(&b))),
        ("requests on the host", seen.heard.map(|b| s.heard.contains(&b))),
        ("replies", seen.answered.map(|b| s.answered.contains(&b))),
        ("length", seen.lasts.map(length)),
        ("end", seen.ends.map(|b| if b { s.lasts.0 < FOR_GOOD } else { s.lasts.1 >= FOR_GOOD })),
        ("MAC", seen.mac.map(|m| s.macs.iter().any(|x| (*x == calico) == (m == Mac::CALICO)))),
        ("right or wrong MAC", seen.wrong_mac.map(|b| s.wrong_mac.contains(&b))),
        ("one MAC or two", seen.two_macs.map(|b| s.two_macs.contains(&b))),
        ("replies held back", seen.held_back.map(|b| s.held_back.contains(&b))),
        ("the host's entry", seen.host_entry.as_ref().map(|e| s.host_entry.contains(&upper(e)))),
        ("error", seen.error.as_ref().map(|e| s.errors.iter().any(|x| upper(x).contains(&upper(e))))),
    ];
    let with = |ok: bool| tests.iter().filter(|t| t.1 == Some(ok)).map(|t| t.0).collect();
    Candidate { fits: with(true), against: with(false), later: false, signature }
}
