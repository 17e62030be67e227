//! A schedule as a search knows it (numbers of decisions), and running it again.

use super::draws::{Draw, DrawSource, Draws};
use super::facts::Facts;
use super::node::{Choice, Cost, Ground, Halt, LaneId, SearchState, lane_of};
use super::schedule::{Schedule, ScheduleEntry};
use crate::sim::Move;
use crate::time::Time;
use crate::trace::{HeldUntil, Kinds, Sink, What};

/// What the draws of a path were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PathDraws {
    /// Points of the grid, in the order they were asked for.
    Points(Vec<u32>),
    /// The values themselves.
    Made(Vec<Draw>),
}

/// A schedule by numbers: which of the allowed moves was made at each decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) decisions: Vec<u16>,
    pub(super) draws: PathDraws,
}

impl Path {
    fn source(&self) -> DrawSource<'_> {
        match &self.draws {
            PathDraws::Points(points) => DrawSource::Script(points),
            PathDraws::Made(made) => DrawSource::Recorded(made),
        }
    }
}

/// A schedule that was run.
#[derive(Clone, Debug)]
pub(super) struct Ran {
    pub(super) facts: Facts,
    pub(super) cost: Cost,
    pub(super) schedule: Schedule,
}

/// Writes down the moves of a run, and tells the timeline what was late.
pub(super) struct Scribe<'a> {
    ground: &'a Ground,
    entries: Vec<ScheduleEntry>,
    /// Lanes whose step the timeline shows as held.
    held: Vec<LaneId>,
}

impl<'a> Scribe<'a> {
    pub(super) fn new(ground: &'a Ground) -> Scribe<'a> {
        Scribe { ground, entries: Vec::new(), held: Vec::new() }
    }

    /// A move is about to be made.
    pub(super) fn before<S: Sink>(&mut self, node: &SearchState, choice: &Choice, sink: &mut S) {
        let steps = &self.ground.plan.steps;
        let name = |id| steps.info(id).name.clone();
        let now: Time = node.world.now();
        match choice.possible.what {
            Move::Next => self.entries.push(ScheduleEntry::Next),
            Move::Step(step) => {
                let nth = node.world.control().done_count(step.step) + 1;
                self.entries.push(ScheduleEntry::Step { step: name(step.step), nth });
                let lane = lane_of(step);
                if self.held.contains(&lane) {
                    self.held.retain(|h| *h != lane);
                    sink.take(choice.possible.at, What::Released { step: step.step });
                }
            }
        }
        if S::WANTS.has(Kinds::HOLD) {
            for step in node.world.control().under_way() {
                let lane = lane_of(step);
                if choice.overtakes(&step) && !self.held.contains(&lane) {
                    self.held.push(lane);
                    let at = now.max(step.to.min(choice.possible.at));
                    sink.take(at, What::Held { step: step.step, until: HeldUntil::Schedule });
                }
            }
        }
    }

    pub(super) fn schedule(self, draws: Vec<Draw>) -> Schedule {
        Schedule { entries: self.entries, draws }
    }
}

impl Ground {
    /// Runs a path; decisions beyond its end, or that are not there, go the expected way.
    pub(super) fn run<S: Sink>(&self, path: &Path, sink: &mut S) -> Ran {
        let (mut made, mut points) = (Vec::new(), Vec::new());
        let mut draws = Draws::new(&self.bounds.grid, path.source(), &mut made, &mut points);
        let mut decisions = path.decisions.iter().copied();
        self.drive(&mut draws, sink, &mut |_, choices| {
            usize::from(decisions.next().unwrap_or(0)).min(choices.len() - 1)
        })
        .with_draws(made)
    }

    /// Runs a schedule in which `decide` chooses.
    pub(super) fn drive<S: Sink>(
        &self,
        draws: &mut Draws<'_>,
        sink: &mut S,
        decide: &mut dyn FnMut(&SearchState, &[Choice]) -> usize,
    ) -> Ran {
        let mut node = self.root(draws, sink);
        let mut scribe = Scribe::new(self);
        loop {
            match self
                .one(&mut node, draws, sink, &mut |node, choice, sink| scribe.before(node, choice, sink))
            {
                Halt::End => break,
                Halt::Decision(choices) => {
                    let at = decide(&node, &choices);
                    scribe.before(&node, &choices[at], sink);
                    self.make(&mut node, choices[at], draws, sink);
                }
            }
        }
        node.world.finish(sink);
        Ran { facts: node.facts, cost: node.cost, schedule: scribe.schedule(Vec::new()) }
    }
}

impl Ran {
    pub(super) fn with_draws(mut self, draws: Vec<Draw>) -> Ran {
        self.schedule.draws = draws;
        self
    }
}
