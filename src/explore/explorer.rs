//! [`Explorer`]: a search with its bounds, properties and budget, and what it reports.

use super::bounds::Bounds;
use super::facts::Facts;
use super::node::{Cost, Ground};
use super::path::{Path, PathDraws};
use super::progress::{Phase, Progress};
use super::property::Property;
use super::random::{DrawWay, DrawnSearch};
use super::schedule::Schedule;
use super::shrink::{self, LeftOut};
use super::tally::{DELAY_CLASSES_MS, NEVER, Tally, Worst};
use super::tree::{GaveUp, Limit, Tree};
use crate::scenario::Plan;
use crate::time::Span;
use crate::trace::Trace;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How schedules are picked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Strategy {
    /// Every schedule within the bounds.
    Exhaustive,
    /// Schedules in which every decision is drawn.
    Random {
        /// The seed.
        seed: u64,
    },
    /// Schedules by priorities that change at a few places: finds an order of `depth + 1` events
    /// with a known probability.
    Pct {
        /// The seed.
        seed: u64,
        /// How many changes.
        depth: u32,
    },
}

/// How much a search may spend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    /// States of an exhaustive search, schedules of one that draws. A state takes about 200
    /// bytes of memory.
    pub count: u64,
    /// Time. A search that it ends depends on the machine.
    pub time: Option<Span>,
}

impl Default for Budget {
    fn default() -> Self {
        Budget { count: 1_000_000, time: None }
    }
}

/// A search. See the [module](super) for an example.
#[derive(Clone, Debug)]
pub struct Explorer {
    plan: Plan,
    bounds: Bounds,
    properties: Vec<Property>,
    strategy: Strategy,
    budget: Budget,
    threads: usize,
    shard: (u32, u32),
    merge: bool,
    shrink: bool,
    name_one: bool,
    progress: Arc<Progress>,
}

/// What a search covered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Covered {
    /// Every schedule within these bounds.
    Every(Bounds),
    /// So many schedules, drawn.
    Drawn(u64),
    /// Nothing that could be said for sure: not even the narrowest bounds fitted the budget.
    Nothing,
}

/// How a property fared.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fared {
    /// The property, as the command line writes it.
    pub property: String,
    /// One schedule that has it is enough.
    pub sometimes: bool,
    /// Schedules that have it.
    pub kept: u128,
    /// Schedules that do not.
    pub lacking: u128,
}

impl Fared {
    /// The property holds: of every schedule, or of one where one is enough.
    #[must_use]
    pub fn ok(&self) -> bool {
        if self.sometimes { self.kept > 0 } else { self.lacking == 0 }
    }
}

/// A failing schedule.
#[derive(Clone, Debug)]
pub struct FailingSchedule {
    /// What it costs in steps late and decisions changed.
    pub cost: Cost,
    /// The decisions that lead there from the start.
    pub schedule: Schedule,
    /// What it shows.
    pub facts: Facts,
    /// The properties it lacks.
    pub lacks: Vec<String>,
    /// What the scenario can do without and still fail so.
    pub left_out: LeftOut,
    /// The plan without that.
    pub plan: Plan,
    /// The bounds of the search; the horizon is where the failure is certain.
    pub bounds: Bounds,
    /// What a run along the schedule tells.
    pub events: Trace,
}

/// What a search found.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was covered.
    pub covered: Covered,
    /// Complete schedules: all those covered, also those that were not run because they meet
    /// others in a common state.
    pub schedules: u128,
    /// Those of them that lack a property which must always hold.
    pub fails: u128,
    /// Different states in which a decision was due.
    pub states: u64,
    /// Arrivals at a state that was known, where the search did not go on.
    pub avoided: u64,
    /// How each property fared, in the order in which they were asked.
    pub properties: Vec<Fared>,
    /// How long the first answer took: upper end of a class (`None`: no answer), and how many
    /// schedules fall into it.
    pub delays: Vec<(DelayClass, u128)>,
    /// The worst that any schedule showed.
    pub worst: Worst,
    /// The shortest failing schedule: the fewest steps late, then the fewest decisions that went
    /// another way than the expected one.
    pub failing: Option<FailingSchedule>,
    /// How long it took.
    pub elapsed: Duration,
}

/// A class of delays.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum DelayClass {
    /// At most this.
    UpTo(Span),
    /// Longer than the longest of those.
    Longer,
    /// There was no answer.
    Never,
}

impl core::fmt::Display for DelayClass {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            DelayClass::UpTo(span) => write!(f, "up to {span}"),
            DelayClass::Longer => f.write_str("longer"),
            DelayClass::Never => f.write_str("no answer"),
        }
    }
}

impl Report {
    /// Every property holds within what was covered.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.covered != Covered::Nothing && self.properties.iter().all(Fared::ok)
    }
}

/// States spent to shorten a schedule that was drawn: a second or two.
const SHRINK_STATES: u64 = 50_000;
/// Most properties of one search: a bit each.
pub const PROPERTIES_MAX: usize = 32;

impl Explorer {
    /// A search of a plan with the usual properties and bounds.
    #[must_use]
    pub fn new(plan: Plan) -> Explorer {
        Explorer {
            plan,
            bounds: Bounds::default(),
            properties: Property::usual(),
            strategy: Strategy::Exhaustive,
            budget: Budget::default(),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            shard: (0, 1),
            merge: true,
            shrink: true,
            name_one: true,
            progress: Arc::default(),
        }
    }

    /// With these bounds.
    #[must_use]
    pub fn bounds(mut self, bounds: Bounds) -> Explorer {
        self.bounds = bounds;
        self
    }

    /// With these properties, each once.
    ///
    /// # Panics
    /// With more than [`PROPERTIES_MAX`] different ones: to leave some out would call what nobody
    /// looked at kept.
    #[must_use]
    pub fn properties(mut self, properties: Vec<Property>) -> Explorer {
        self.properties.clear();
        for property in properties {
            if !self.properties.contains(&property) {
                self.properties.push(property);
            }
        }
        let many = self.properties.len();
        assert!(many <= PROPERTIES_MAX, "a search has at most {PROPERTIES_MAX} properties, not {many}");
        self
    }

    /// In this way.
    #[must_use]
    pub fn strategy(mut self, strategy: Strategy) -> Explorer {
        self.strategy = strategy;
        self
    }

    /// With this budget.
    #[must_use]
    pub fn budget(mut self, budget: Budget) -> Explorer {
        self.budget = budget;
        self
    }

    /// On so many threads; all there are by default. The result is the same.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Explorer {
        self.threads = threads.max(1);
        self
    }

    /// Only part `index` of `of` parts. The parts of one search have every schedule once.
    #[must_use]
    pub fn shard(mut self, index: u32, of: u32) -> Explorer {
        self.shard = (index % of.max(1), of.max(1));
        self
    }

    /// Whether states that are met again are taken as known. Without it every schedule is run
    /// one by one, on one thread, and no shortest one is named.
    #[must_use]
    pub fn merge_states(mut self, merge: bool) -> Explorer {
        self.merge = merge;
        self
    }

    /// Whether a failing schedule is made smaller.
    #[must_use]
    pub fn shrink(mut self, shrink: bool) -> Explorer {
        self.shrink = shrink;
        self
    }

    /// Counts only; no failing schedule is named.
    #[must_use]
    pub fn verdict_only(mut self) -> Explorer {
        self.name_one = false;
        self
    }

    /// Tells there how far the search is.
    #[must_use]
    pub fn progress(mut self, progress: Arc<Progress>) -> Explorer {
        self.progress = progress;
        self
    }

    /// Searches within the bounds, and says what was found and how much was looked at.
    #[must_use]
    pub fn run(&self) -> Report {
        let begun = Instant::now();
        let until = self.budget.time.map(|t| begun + Duration::from_nanos(t.as_ns()));
        let ground = Ground::new(Arc::new(self.plan.clone()), self.bounds.clone());
        let mut report = match self.strategy {
            Strategy::Exhaustive => self.exhaustive(&ground, until),
            Strategy::Random { seed } => self.drawn(&ground, DrawWay::Random, seed, until),
            Strategy::Pct { seed, depth } => self.drawn(&ground, DrawWay::Pct(depth), seed, until),
        };
        report.elapsed = begun.elapsed();
        report
    }

    /// All of it; where that does not fit the budget, the widest narrower bound that does.
    fn exhaustive(&self, ground: &Ground, until: Option<Instant>) -> Report {
        let narrower = |late: Option<u16>| match late {
            None => Some(Some(2)),
            Some(0) => None,
            Some(n) => Some(Some(n - 1)),
        };
        let mut ground = ground.clone();
        loop {
            self.progress.begin(Phase::Exhaustive);
            let limit = self.limit(self.budget.count, until);
            let tree = Tree::new(&ground, &self.properties, self.merge, limit);
            match tree.search(self.threads, self.shard) {
                Ok(found) => {
                    let covered = Covered::Every(ground.bounds.clone());
                    let named = found.path.filter(|_| self.name_one);
                    let failing = named.map(|path| self.failing(&ground, path));
                    let report = self.report(covered, &found.tally, failing);
                    return Report { states: found.states, avoided: found.avoided, ..report };
                }
                Err(GaveUp) => match narrower(ground.bounds.late) {
                    Some(late) if until.is_none_or(|t| Instant::now() < t) => ground.bounds.late = late,
                    _ => return self.report(Covered::Nothing, &Tally::default(), None),
                },
            }
        }
    }

    fn limit(&self, states: u64, until: Option<Instant>) -> Limit<'_> {
        // one worker alone counts no state twice
        let slack = if self.threads == 1 { 1 } else { self.threads as u64 + 1 };
        Limit { states, slack, until, progress: &self.progress }
    }

    fn drawn(&self, ground: &Ground, way: DrawWay, seed: u64, until: Option<Instant>) -> Report {
        let expected = Path { decisions: Vec::new(), draws: PathDraws::Points(Vec::new()) };
        let length = ground.run(&expected, &mut ()).schedule.entries.len() as u32;
        self.progress.begin(Phase::Drawing);
        let progress = &self.progress;
        let search = DrawnSearch { ground, properties: &self.properties, way, seed, length, progress };
        let found = search.search(self.budget.count, until, self.threads, self.shard);
        self.progress.begin(Phase::Shortening);
        let failing = found.failing.map(|(_, number)| {
            let (path, _) = search.draw(number);
            if !self.shrink {
                return self.failing(ground, path);
            }
            let path = shrink::shrink(ground, &self.properties, path);
            match self.shorter(ground, &path) {
                Some((ground, path)) => self.failing(&ground, path),
                None => self.failing(ground, path),
            }
        });
        self.report(Covered::Drawn(found.drawn), &found.tally, failing)
    }

    /// Turning decisions back one by one can end where each of two late steps hides the other.
    /// So every schedule with as few late steps is looked at too, as far as that is little work;
    /// what fails there with the expected draws is the shortest.
    fn shorter(&self, ground: &Ground, path: &Path) -> Option<(Ground, Path)> {
        let cost = ground.run(path, &mut ()).cost;
        (0..=cost.late).find_map(|late| {
            let bounds = Bounds { late: Some(late), ..ground.bounds.clone() };
            let (ground, path, _) = self.shortest(self.plan.clone(), &bounds)?;
            (ground.run(&path, &mut ()).cost <= cost).then_some((ground, path))
        })
    }

    /// A failing path with all that can be said of it.
    fn failing(&self, ground: &Ground, path: Path) -> FailingSchedule {
        let ran = ground.run(&path, &mut ());
        let lacks = |facts: &Facts| -> Vec<String> {
            let lacks = self.properties.iter().filter(|p| !p.is_sometimes() && !p.test(facts));
            lacks.map(ToString::to_string).collect()
        };
        let wanted = lacks(&ran.facts);
        self.progress.begin(Phase::Shortening);
        let (mut ground, mut path, mut left_out) = (ground.clone(), path, LeftOut::default());
        if self.shrink {
            let allowed = Bounds { late: Some(ran.cost.late), ..ground.bounds.clone() };
            left_out = shrink::content(&self.plan, &mut |plan| {
                self.shortest(plan, &allowed).is_some_and(|(_, _, facts)| lacks(&facts) == wanted)
            });
            if !left_out.is_empty() {
                let mut plan = self.plan.clone();
                left_out.apply(&mut plan);
                if let Some((smaller, shorter, _)) = self.shortest(plan, &allowed) {
                    (ground, path) = (smaller, shorter);
                }
            }
        }
        let mut events = Trace::new(&ground.plan);
        let ran = ground.run(&path, &mut events);
        let plan = (*ground.plan).clone();
        let (cost, bounds) = (ran.cost, ground.bounds.clone());
        let lacked = lacks(&ran.facts);
        let (facts, schedule) = (ran.facts, ran.schedule);
        let found = FailingSchedule { cost, schedule, facts, lacks: lacked, left_out, plan, bounds, events };
        if self.shrink { shrink::ending(found, &lacks) } else { found }
    }

    /// The shortest failing schedule of another plan.
    fn shortest(&self, plan: Plan, bounds: &Bounds) -> Option<(Ground, Path, Facts)> {
        let ground = Ground::new(Arc::new(plan), bounds.clone());
        let states = match self.strategy {
            Strategy::Exhaustive => self.budget.count,
            Strategy::Random { .. } | Strategy::Pct { .. } => SHRINK_STATES,
        };
        let limit = self.limit(states, None);
        let tree = Tree::new(&ground, &self.properties, true, limit);
        let path = tree.search(self.threads, (0, 1)).ok()?.path?;
        drop(tree);
        let facts = ground.run(&path, &mut ()).facts;
        Some((ground, path, facts))
    }

    fn report(&self, covered: Covered, tally: &Tally, failing: Option<FailingSchedule>) -> Report {
        let schedules = tally.schedules();
        let properties = self
            .properties
            .iter()
            .enumerate()
            .map(|(at, p)| {
                let lacking = tally.lacking(at);
                let kept = schedules.saturating_sub(lacking);
                Fared { property: p.to_string(), sometimes: p.is_sometimes(), kept, lacking }
            })
            .collect();
        let elapsed = Duration::ZERO;
        let delays = delays(tally);
        let always = self.properties.iter().zip(0..).filter(|p| !p.0.is_sometimes());
        let fails = tally.lacking_any(always.fold(0, |mask, (_, at)| mask | 1 << at));
        let worst = tally.worst;
        Report {
            covered,
            schedules,
            fails,
            states: 0,
            avoided: 0,
            properties,
            delays,
            worst,
            failing,
            elapsed,
        }
    }
}

fn delays(tally: &Tally) -> Vec<(DelayClass, u128)> {
    let class = |c: u8| match DELAY_CLASSES_MS.get(usize::from(c)) {
        Some(ms) => DelayClass::UpTo(Span::from_ms(*ms)),
        None if c == NEVER => DelayClass::Never,
        None => DelayClass::Longer,
    };
    let mut delays: Vec<(u8, u128)> = Vec::new();
    for (key, n) in &tally.counts {
        match delays.iter_mut().find(|d| d.0 == key.delay) {
            Some(d) => d.1 = d.1.saturating_add(*n),
            None => delays.push((key.delay, *n)),
        }
    }
    delays.sort_unstable();
    delays.into_iter().map(|(c, n)| (class(c), n)).collect()
}
