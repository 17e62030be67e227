//! Searches that draw: every decision at random, or by priorities (PCT).
//!
//! Schedule number `i` of seed `s` is the same whatever else is drawn, so the result of a search
//! depends on the seed and on how many schedules it took, not on who took them.

use super::draws::{DrawSource, Draws};
use super::node::{Choice, Cost, Ground, LaneId, SearchState, lane_of};
use super::path::{Path, PathDraws};
use super::progress::Progress;
use super::property::Property;
use super::tally::Tally;
use crate::choice::{ChoiceKind, Chooser, Seeded};
use crate::sim::Move;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// How a search that draws decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum DrawWay {
    /// The expected move in two of three cases, any other in the third.
    Random,
    /// Each lane has a priority, the highest that can move does; at so many places, drawn
    /// beforehand, the one that would move drops to the lowest (Burckhardt and others, "A
    /// randomized scheduler with probabilistic guarantees of finding bugs", 2010).
    Pct(u32),
}

/// Schedules drawn together; a worker takes so many at once.
const CHUNK: u64 = 64;

/// Priorities by lane, the highest first.
struct Priorities {
    rank: Vec<(LaneId, u64)>,
    drops: Vec<u32>,
    made: u32,
    lowest: u64,
}

impl Priorities {
    fn new(chooser: &mut Seeded, length: u32, depth: u32) -> Priorities {
        let length = u64::from(length.max(1));
        let drops = (0..depth).map(|_| chooser.choose(ChoiceKind::Order, length) as u32).collect();
        Priorities { rank: Vec::new(), drops, made: 0, lowest: u64::from(u32::MAX) }
    }

    /// `Next` is a lane like others: the environment's.
    fn lane(choice: &Choice) -> LaneId {
        match choice.possible.what {
            Move::Step(s) => lane_of(s),
            Move::Next => (u16::MAX, 0),
        }
    }

    fn of(&mut self, lane: LaneId, chooser: &mut Seeded) -> u64 {
        if let Some(known) = self.rank.iter().find(|r| r.0 == lane) {
            return known.1;
        }
        let drawn = (1 << 32) + chooser.choose(ChoiceKind::Order, 1 << 32);
        self.rank.push((lane, drawn));
        drawn
    }

    fn decide(&mut self, choices: &[Choice], chooser: &mut Seeded) -> usize {
        let pick = |p: &mut Priorities, chooser: &mut Seeded| {
            let ranks: Vec<u64> = choices.iter().map(|c| p.of(Self::lane(c), chooser)).collect();
            (0..choices.len()).max_by_key(|at| ranks[*at]).unwrap_or(0)
        };
        let mut at = pick(self, chooser);
        if self.drops.contains(&self.made) {
            self.lowest -= 1;
            let lane = Self::lane(&choices[at]);
            let lowest = self.lowest;
            self.rank.iter_mut().filter(|r| r.0 == lane).for_each(|r| r.1 = lowest);
            at = pick(self, chooser);
        }
        self.made += 1;
        at
    }
}

/// A search that draws.
pub(super) struct DrawnSearch<'a> {
    pub(super) ground: &'a Ground,
    pub(super) properties: &'a [Property],
    pub(super) way: DrawWay,
    pub(super) seed: u64,
    /// Decisions of the expected schedule, for the places of PCT.
    pub(super) length: u32,
    pub(super) progress: &'a Progress,
}

/// What it found.
#[derive(Clone, Debug, Default)]
pub(super) struct DrawnFound {
    pub(super) tally: Tally,
    /// Schedules drawn.
    pub(super) drawn: u64,
    /// The cheapest failing schedule: its number and its cost.
    pub(super) failing: Option<(Cost, u64)>,
}

impl DrawnSearch<'_> {
    /// Draws schedules 0 to `count`, those of the shard, until the time is up.
    pub(super) fn search(
        &self,
        count: u64,
        until: Option<Instant>,
        threads: usize,
        shard: (u32, u32),
    ) -> DrawnFound {
        let next = AtomicU64::new(0);
        let chunks: Mutex<Vec<(u64, DrawnFound)>> = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            let work = || {
                loop {
                    let chunk = next.fetch_add(1, Ordering::Relaxed);
                    let from = chunk.saturating_mul(CHUNK);
                    // every worker finishes the chunk it began, so the chunks taken are the first
                    if from >= count || until.is_some_and(|t| Instant::now() >= t) {
                        return;
                    }
                    let found = self.chunk(from, count.min(from + CHUNK), shard);
                    self.progress.add(CHUNK);
                    chunks.lock().unwrap_or_else(PoisonError::into_inner).push((chunk, found));
                }
            };
            for _ in 1..threads {
                scope.spawn(work);
            }
            work();
        });
        let mut chunks = chunks.into_inner().unwrap_or_else(PoisonError::into_inner);
        chunks.sort_by_key(|c| c.0);
        let mut all = DrawnFound::default();
        for (_, found) in chunks {
            all.tally.add(&found.tally, Cost::default());
            all.drawn += found.drawn;
            all.failing = [all.failing, found.failing].into_iter().flatten().min();
        }
        all
    }

    fn chunk(&self, from: u64, to: u64, shard: (u32, u32)) -> DrawnFound {
        let mut found = DrawnFound::default();
        for number in (from..to).filter(|n| n % u64::from(shard.1) == u64::from(shard.0)) {
            let (path, _) = self.draw(number);
            let ran = self.ground.run(&path, &mut ());
            let tally = Tally::leaf(&ran.facts, self.properties);
            found.drawn += 1;
            if tally.best.is_some() {
                found.failing = [found.failing, Some((ran.cost, number))].into_iter().flatten().min();
            }
            found.tally.add(&tally, Cost::default());
        }
        found
    }

    /// The schedule of that number.
    pub(super) fn draw(&self, number: u64) -> (Path, Cost) {
        let mixed = self.seed ^ number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut decider = Seeded::new(mixed);
        let mut values = Seeded::new(!mixed);
        let (mut made, mut points) = (Vec::new(), Vec::new());
        let mut priorities = match self.way {
            DrawWay::Pct(depth) => Some(Priorities::new(&mut decider, self.length, depth)),
            DrawWay::Random => None,
        };
        let mut decisions = Vec::new();
        let source = DrawSource::Free(&mut values);
        let mut draws = Draws::new(&self.ground.bounds.grid, source, &mut made, &mut points);
        let ran = self.ground.drive(&mut draws, &mut (), &mut |_: &SearchState, choices| {
            let at = match &mut priorities {
                Some(p) => p.decide(choices, &mut decider),
                None => any(&mut decider, choices.len()),
            };
            decisions.push(at as u16);
            at
        });
        (Path { decisions, draws: PathDraws::Made(made) }, ran.cost)
    }
}

fn any(decider: &mut Seeded, options: usize) -> usize {
    if decider.choose(ChoiceKind::Order, 3) < 2 {
        return 0;
    }
    1 + decider.choose(ChoiceKind::Order, options as u64 - 1) as usize
}
