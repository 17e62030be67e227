//! The exhaustive search: depth first over every decision, each state looked at once.
//!
//! # Theory of operation
//!
//! A schedule is a path of decisions. Where two steps commute, both orders lead to the same
//! state, and what follows is the same; so the number of *schedules* is that of paths, but the
//! work is that of *states*. Each state is remembered by its fingerprint with what lies behind
//! it: how many schedules, how they end, what the cheapest failing one costs. Arriving there
//! again, the search takes that answer and adds it. The counts are exact.
//!
//! The world is copied at decisions only; between two decisions it runs on in place. Schedules
//! that begin alike share the work of their beginning.
//!
//! Workers on several threads share the memory. Whoever comes first computes a state; two who
//! come together both do, and find the same. All numbers reported are functions of the graph of
//! states, so they do not depend on the number of threads.

use super::bounds::Grid;
use super::draws::{Draw, DrawSource, Draws, next_script};
use super::node::{Choice, Cost, Ground, Halt, SearchState};
use super::path::{Path, PathDraws};
use super::progress::Progress;
use super::property::Property;
use super::tally::Tally;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Decisions of the longest schedule. Each keeps a state, up to a few hundred kilobytes, until all
/// that follows on it is known; a run with more of them has too many moments for an exhaustive search.
/// Those of the catalogue have some hundreds.
const DEPTH_MAX: u32 = 2_000;
/// Stack of a worker: a frame for each decision of the longest schedule.
const STACK: usize = 256 << 20;
/// Parts of the memory with a lock each.
const SHARDS: usize = 64;
/// Subtrees that workers share out.
const JOBS_MIN: usize = 64;

/// A fingerprint is its own hash.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Plain(u64);
impl Hasher for Plain {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {}
    fn write_u128(&mut self, i: u128) {
        self.0 = i as u64;
    }
}

#[derive(Default)]
struct Known {
    tally: Tally,
    /// Decisions and ends one decision away, of which so many are ends.
    edges: u32,
    ends: u32,
}

type Part = Mutex<HashMap<u128, Known, BuildHasherDefault<Plain>>>;

/// When a search gives up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit<'a> {
    pub(super) states: u64,
    /// How often one state may be counted: the number of threads.
    pub(super) slack: u64,
    pub(super) until: Option<Instant>,
    /// Who waits.
    pub(super) progress: &'a Progress,
}

/// Why a search ended early.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct GaveUp;

/// The search.
pub(super) struct Tree<'a> {
    ground: &'a Ground,
    properties: &'a [Property],
    merge: bool,
    /// Draws have more than one value.
    varies: bool,
    parts: Vec<Part>,
    limit: Limit<'a>,
    states: AtomicU64,
    stop: AtomicBool,
}

/// What a search found.
#[derive(Clone, Debug)]
pub(super) struct TreeFound {
    pub(super) tally: Tally,
    /// Different states in which a decision was due.
    pub(super) states: u64,
    /// Arrivals at a state that was known already.
    pub(super) avoided: u64,
    /// The cheapest failing schedule.
    pub(super) path: Option<Path>,
}

/// A subtree, and the way there.
#[derive(Clone)]
struct Job {
    node: SearchState,
    stop: Halt,
    decisions: Vec<u16>,
    points: Vec<u32>,
}

impl Job {
    /// The job that a choice of this one leads to.
    fn child(&self, node: SearchState, stop: Halt, number: usize, points: &[(u32, u32)]) -> Job {
        let mut decisions = self.decisions.clone();
        // a single move is nothing to decide
        if matches!(&self.stop, Halt::Decision(choices) if choices.len() > 1) {
            decisions.push(number as u16);
        }
        let points = self.points.iter().copied().chain(points.iter().map(|p| p.0)).collect();
        Job { node, stop, decisions, points }
    }
}

/// Takes a child, where it stands, and the points of its draws.
type Take<'t> = dyn FnMut(SearchState, Halt, &[(u32, u32)]) -> Result<(), GaveUp> + 't;

/// Room for the draws of a segment, reused.
#[derive(Default)]
struct Room {
    made: Vec<Draw>,
    points: Vec<(u32, u32)>,
    script: Vec<u32>,
}

impl Room {
    fn draws<'r>(&'r mut self, grid: &'r Grid, script: &'r [u32]) -> Draws<'r> {
        self.made.clear();
        self.points.clear();
        Draws::new(grid, DrawSource::Script(script), &mut self.made, &mut self.points)
    }
}

impl<'a> Tree<'a> {
    pub(super) fn new(
        ground: &'a Ground,
        properties: &'a [Property],
        merge: bool,
        limit: Limit<'a>,
    ) -> Tree<'a> {
        let parts = (0..SHARDS).map(|_| Part::default()).collect();
        let varies = ground.bounds.grid.varied().next().is_some();
        let (states, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        Tree { ground, properties, merge, varies, parts, limit, states, stop }
    }

    /// Searches everything, or the part `shard.0` of `shard.1`.
    pub(super) fn search(&self, threads: usize, shard: (u32, u32)) -> Result<TreeFound, GaveUp> {
        let roots = self.roots();
        // one worker alone needs no shares
        let whole = threads == 1 && shard.1 == 1;
        let jobs = if whole { roots.clone() } else { self.jobs(roots.clone())? };
        let mine: Vec<&Job> = jobs
            .iter()
            .zip(0..)
            .filter(|(_, n)| *n % u64::from(shard.1) == u64::from(shard.0))
            .map(|(job, _)| job)
            .collect();
        let tallies = self.work_off(&mine, threads)?;
        let mut tally = Tally::default();
        let mut shortest = None;
        for (found, job) in tallies.iter().zip(&mine) {
            tally.add(found, job.node.cost);
            if let Some(best) = found.best.map(|b| b.0 + job.node.cost)
                && shortest.as_ref().is_none_or(|(b, _)| best < *b)
            {
                shortest = Some((best, *job));
            }
        }
        if shard.1 == 1 && self.merge && !whole {
            // what lies above the cut is counted as well
            for root in &roots {
                self.visit_anew(root)?;
            }
        }
        let (states, avoided) = self.numbers(if shard.1 == 1 { roots.len() } else { mine.len() });
        if states > self.limit.states {
            return Err(GaveUp);
        }
        let path = match shortest {
            Some((best, job)) if self.merge => self.walk(job, best),
            _ => None,
        };
        Ok(TreeFound { tally, states, avoided, path })
    }

    /// Does every job on so many threads; the results in the order of the jobs.
    fn work_off(&self, jobs: &[&Job], threads: usize) -> Result<Vec<Tally>, GaveUp> {
        let next = AtomicU64::new(0);
        let results: Mutex<Vec<(usize, Result<Tally, GaveUp>)>> = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            let (next, results) = (&next, &results);
            for number in 0..threads.max(1) {
                let work = move || {
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed) as usize;
                        // half of the workers begin at the other end, so that they meet late
                        if at >= jobs.len() {
                            return;
                        }
                        let place = if at.is_multiple_of(2) { at / 2 } else { jobs.len() - 1 - at / 2 };
                        let found = self.visit_anew(jobs[place]);
                        results.lock().unwrap_or_else(PoisonError::into_inner).push((place, found));
                    }
                };
                let name = format!("explore-{number}");
                let worker = std::thread::Builder::new().name(name).stack_size(STACK);
                // a machine that gives no thread leaves the work to the ones it gave
                let _ = worker.spawn_scoped(scope, work);
            }
        });
        let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        if results.len() < jobs.len() {
            return Err(GaveUp);
        }
        results.sort_by_key(|r| r.0);
        results.into_iter().map(|r| r.1).collect()
    }

    /// States, and arrivals at known ones.
    fn numbers(&self, beginnings: usize) -> (u64, u64) {
        let (mut states, mut arrivals) = (0, beginnings as u64);
        for part in &self.parts {
            for known in part.lock().unwrap_or_else(PoisonError::into_inner).values() {
                states += 1;
                arrivals += u64::from(known.edges - known.ends);
            }
        }
        if !self.merge {
            return (self.states.load(Ordering::Relaxed), 0);
        }
        (states, arrivals.saturating_sub(states))
    }

    /// The beginnings: one for each combination of the draws made before the first decision.
    fn roots(&self) -> Vec<Job> {
        let mut room = Room::default();
        let mut roots = Vec::new();
        loop {
            let script = core::mem::take(&mut room.script);
            let mut draws = room.draws(&self.ground.bounds.grid, &script);
            let mut node = self.ground.root(&mut draws, &mut ());
            let stop = self.ground.to_branch(&mut node, &mut draws);
            node.cost.detours += script.iter().filter(|p| **p > 0).count() as u32;
            let points = room.points.iter().map(|p| p.0).collect();
            roots.push(Job { node, stop, decisions: Vec::new(), points });
            if !next_script(&room.points, self.left(Cost::default()), &mut room.script) {
                return roots;
            }
        }
    }

    /// The tree is cut where it has so many branches; the cut is the same on every machine.
    fn jobs(&self, roots: Vec<Job>) -> Result<Vec<Job>, GaveUp> {
        /// Decisions before the cut, at most: a tree that does not branch is not cut.
        const DEPTH_MAX: usize = 64;
        let mut frontier = roots;
        for _ in 0..DEPTH_MAX {
            let over = frontier.iter().all(|j| j.node.facts.ended.is_some());
            if over || frontier.len() >= JOBS_MIN || !self.merge {
                break;
            }
            let mut grown = Vec::new();
            for job in frontier {
                self.go_on()?;
                let Halt::Decision(choices) = &job.stop else {
                    grown.push(job);
                    continue;
                };
                for number in 0..choices.len() {
                    self.each_child(&job.node, &choices[number], &mut |node, stop, points| {
                        grown.push(job.child(node, stop, number, points));
                        Ok(())
                    })?;
                }
            }
            frontier = grown;
        }
        Ok(frontier)
    }

    /// How many draws after a cost may go another way than the expected one.
    fn left(&self, spent: Cost) -> u32 {
        self.ground.bounds.detours.map_or(u32::MAX, |bound| bound.saturating_sub(spent.detours))
    }

    /// Gives up when time is up, or another worker has.
    fn go_on(&self) -> Result<(), GaveUp> {
        if self.limit.until.is_some_and(|t| Instant::now() >= t) {
            self.stop.store(true, Ordering::Relaxed);
        }
        if self.stop.load(Ordering::Relaxed) { Err(GaveUp) } else { Ok(()) }
    }

    /// Every node that a move leads to: one for each combination of the draws that the bounds allow,
    /// until the next decision, the move after a draw, or the end.
    fn each_child(&self, node: &SearchState, choice: &Choice, take: &mut Take<'_>) -> Result<(), GaveUp> {
        let mut room = Room::default();
        let left = self.left(node.cost + choice.cost);
        loop {
            let script = core::mem::take(&mut room.script);
            let (child, stop) = self.child(node.clone(), choice, &script, &mut room);
            take(child, stop, &room.points)?;
            if !next_script(&room.points, left, &mut room.script) {
                return Ok(());
            }
        }
    }

    /// The node that a move leads to with these draws.
    fn child(
        &self,
        mut node: SearchState,
        choice: &Choice,
        script: &[u32],
        room: &mut Room,
    ) -> (SearchState, Halt) {
        let mut draws = room.draws(&self.ground.bounds.grid, script);
        self.ground.make(&mut node, *choice, &mut draws, &mut ());
        let stop = self.ground.to_branch(&mut node, &mut draws);
        node.cost.detours += script.iter().filter(|p| **p > 0).count() as u32;
        (node, stop)
    }

    fn part(&self, print: u128) -> &Part {
        &self.parts[(print >> 64) as usize % SHARDS]
    }

    /// Everything that can follow on a job's node.
    fn visit_anew(&self, job: &Job) -> Result<Tally, GaveUp> {
        self.go_on()?;
        self.visit(job.node.clone(), job.stop.clone(), 0)
    }

    /// Everything that can follow on a node, which stands there.
    fn visit(&self, node: SearchState, stop: Halt, depth: u32) -> Result<Tally, GaveUp> {
        let Halt::Decision(choices) = stop else { return Ok(Tally::leaf(&node.facts, self.properties)) };
        let print = self.merge.then(|| self.ground.fingerprint(&node));
        if let Some(print) = print
            && let Some(known) = self.part(print).lock().unwrap_or_else(PoisonError::into_inner).get(&print)
        {
            return Ok(known.tally.clone());
        }
        if depth >= DEPTH_MAX {
            self.stop.store(true, Ordering::Relaxed);
        }
        self.count()?;
        let mut sum = Known::default();
        let spent = node.cost;
        let mut take = |child: SearchState, stop, _: &[(u32, u32)]| {
            sum.edges += 1;
            sum.ends += u32::from(child.facts.ended.is_some());
            let cost = since(child.cost, spent);
            sum.tally.add(&self.visit(child, stop, depth + 1)?, cost);
            Ok(())
        };
        let (last, others) = choices.split_last().ok_or(GaveUp)?;
        for choice in others {
            self.each_child(&node, choice, &mut take)?;
        }
        if self.varies {
            self.each_child(&node, last, &mut take)?;
        } else {
            // where no draw can ask for a second run the node itself goes on
            let (child, stop) = self.child(node, last, &[], &mut Room::default());
            take(child, stop, &[])?;
        }
        if let Some(print) = print {
            let tally = sum.tally.clone();
            self.part(print).lock().unwrap_or_else(PoisonError::into_inner).insert(print, sum);
            return Ok(tally);
        }
        Ok(sum.tally)
    }

    /// One more state; gives up when there are too many, or time is up.
    fn count(&self) -> Result<(), GaveUp> {
        /// How many states lie between two looks at the clock.
        const LOOK: u64 = 256;
        let n = self.states.fetch_add(1, Ordering::Relaxed);
        if n.is_multiple_of(LOOK) {
            self.limit.progress.add(LOOK);
        }
        let late = n.is_multiple_of(LOOK) && self.limit.until.is_some_and(|t| Instant::now() >= t);
        // workers may count a state once each; what they found is held against the limit at the end
        if n > self.limit.states.saturating_mul(self.limit.slack) || late {
            self.stop.store(true, Ordering::Relaxed);
        }
        if self.stop.load(Ordering::Relaxed) { Err(GaveUp) } else { Ok(()) }
    }

    /// Follows the cheapest failing schedule from a job whose best one costs `best` in all.
    fn walk(&self, from: &Job, best: Cost) -> Option<Path> {
        let mut job = from.clone();
        while let Halt::Decision(choices) = &job.stop {
            let mut next: Option<Job> = None;
            for number in 0..choices.len() {
                let _ = self.each_child(&job.node, &choices[number], &mut |node, stop, points| {
                    if next.is_none() && self.rest(&node).map(|rest| node.cost + rest) == Some(best) {
                        next = Some(job.child(node, stop, number, points));
                    }
                    Ok(())
                });
            }
            job = next?;
        }
        Some(Path { decisions: job.decisions, draws: PathDraws::Points(job.points) })
    }

    /// What the cheapest failing schedule from a node on costs, as far as is remembered.
    fn rest(&self, node: &SearchState) -> Option<Cost> {
        if node.facts.ended.is_some() {
            return Tally::leaf(&node.facts, self.properties).best.map(|b| b.0);
        }
        let print = self.ground.fingerprint(node);
        let part = self.part(print).lock().unwrap_or_else(PoisonError::into_inner);
        part.get(&print)?.tally.best.map(|b| b.0)
    }
}

fn since(now: Cost, before: Cost) -> Cost {
    Cost {
        late: now.late - before.late,
        preemptions: now.preemptions - before.preemptions,
        detours: now.detours - before.detours,
    }
}
