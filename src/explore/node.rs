//! One state of a search: the world, what it has shown, what the schedule has cost so far; and
//! the moves that the bounds allow from there.

use super::bounds::{Bounds, Complete};
use super::draws::Draws;
use super::facts::{Delays, Facts, FactsWatch, Landmarks};
use crate::control::UnderWay;
use crate::gateway::ReflexOutside;
use crate::scenario::Plan;
use crate::sim::{Move, Moves, Possible, World};
use crate::time::{Span, Time};
use crate::trace::Sink;
use smallvec::SmallVec;
use std::sync::Arc;

/// What passes between two kernels in one go does not make a step late, nor do two steps of
/// different actors that change places within it.
pub(super) const SLACK: Span = Span::from_ms(2);

/// What a schedule costs in departures from the expected course.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Cost {
    /// Steps that were late.
    pub late: u16,
    /// Turns from an actor whose next step was ready to another.
    pub preemptions: u16,
    /// Decisions that went another way than the expected one.
    pub detours: u32,
}

impl core::ops::Add for Cost {
    type Output = Cost;
    fn add(self, o: Cost) -> Cost {
        Cost {
            late: self.late.saturating_add(o.late),
            preemptions: self.preemptions.saturating_add(o.preemptions),
            detours: self.detours.saturating_add(o.detours),
        }
    }
}

/// A lane of an actor: the actor's place and the lane's number.
pub(super) type LaneId = (u16, u8);

pub(super) fn lane_of(step: UnderWay) -> LaneId {
    (step.slot, step.lane)
}

/// A move that the bounds allow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    pub(super) possible: Possible,
    pub(super) cost: Cost,
}

impl Choice {
    /// The step, which waits for its turn, is late from this move on if it was not before.
    pub(super) fn overtakes(&self, step: &UnderWay) -> bool {
        self.cost.late > 0 && self.possible.what != Move::Step(*step) && step.to + SLACK < self.possible.at
    }
}

pub(super) type Choices = SmallVec<[Choice; 6]>;

/// A state of the search.
#[derive(Clone, Debug)]
pub(super) struct SearchState {
    pub(super) world: World<ReflexOutside>,
    pub(super) facts: Facts,
    /// Lanes whose step is late already, sorted; to wait longer costs nothing more.
    late: SmallVec<[LaneId; 4]>,
    /// The lane that moved last, where preemptions count.
    last: Option<LaneId>,
    pub(super) cost: Cost,
}

/// What a node is: a place where a decision is due, or one that the search looks at because something
/// was drawn on the way, with a single move to make; or the end of a schedule.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "one of them lives for one decision, on the stack")]
pub(super) enum Halt {
    Decision(Choices),
    End,
}

/// The ground on which a search runs: a plan and its bounds.
#[derive(Clone, Debug)]
pub(super) struct Ground {
    pub(super) plan: Arc<Plan>,
    pub(super) bounds: Bounds,
    pub(super) marks: Landmarks,
}

impl Ground {
    pub(super) fn new(plan: Arc<Plan>, bounds: Bounds) -> Ground {
        let marks = Landmarks::new(&plan);
        Ground { plan, bounds, marks }
    }

    /// The beginning of every schedule, before the first event.
    pub(super) fn root<S: Sink>(&self, draws: &mut Draws<'_>, sink: &mut S) -> SearchState {
        let outside = ReflexOutside::new(&self.plan.outside);
        let mut world = World::new(Arc::clone(&self.plan), outside, draws);
        world.start(draws, sink);
        SearchState {
            world,
            facts: Facts::default(),
            late: SmallVec::new(),
            last: None,
            cost: Cost::default(),
        }
    }

    /// Goes on from a node as long as only one move is allowed and nothing is drawn that the search
    /// varies. What was drawn often makes no difference a move later; a state after it is where that
    /// shows, so that values are not multiplied with each other for the rest of the run.
    pub(super) fn to_branch(&self, node: &mut SearchState, draws: &mut Draws<'_>) -> Halt {
        self.go_on(node, draws, &mut (), &mut |_, _, ()| {}, true)
    }

    /// Goes on from a node as long as only one move is allowed; `before` is told of each move.
    pub(super) fn one<S: Sink>(
        &self,
        node: &mut SearchState,
        draws: &mut Draws<'_>,
        sink: &mut S,
        before: &mut impl FnMut(&SearchState, &Choice, &mut S),
    ) -> Halt {
        self.go_on(node, draws, sink, before, false)
    }

    fn go_on<S: Sink>(
        &self,
        node: &mut SearchState,
        draws: &mut Draws<'_>,
        sink: &mut S,
        before: &mut impl FnMut(&SearchState, &Choice, &mut S),
        at_draws: bool,
    ) -> Halt {
        let mut moves = Moves::new();
        loop {
            if node.facts.ended.is_some() {
                return Halt::End;
            }
            if self.is_complete(node) {
                node.facts.end(node.world.now(), false);
                return Halt::End;
            }
            let choices = self.choices(node, &mut moves);
            match choices.len() {
                0 => {
                    let cut = !moves.is_empty() && !node.world.clients_done();
                    let end = if moves.is_empty() { node.world.now() } else { self.horizon() };
                    node.facts.end(end, cut);
                    return Halt::End;
                }
                1 if at_draws && !draws.points.is_empty() => return Halt::Decision(choices),
                1 => {
                    before(node, &choices[0], sink);
                    self.make(node, choices[0], draws, sink);
                }
                _ => return Halt::Decision(choices),
            }
        }
    }

    fn horizon(&self) -> Time {
        Time::ZERO + self.bounds.horizon.min(self.plan.duration)
    }

    fn is_complete(&self, node: &SearchState) -> bool {
        match self.bounds.complete {
            Complete::AsPlanned => node.world.is_served(),
            Complete::AtRest => node.world.at_rest(),
        }
    }

    /// The moves that the bounds allow, the expected one first; `moves` are all.
    pub(super) fn choices(&self, node: &SearchState, moves: &mut Moves) -> Choices {
        node.world.moves(self.bounds.instant, self.bounds.fine, moves);
        let horizon = self.horizon();
        let mut out = Choices::new();
        for (at, p) in moves.iter().enumerate() {
            if p.at > horizon {
                continue;
            }
            let choice = self.judge(node, moves, at, *p);
            if let Some(choice) = choice {
                out.push(choice);
            }
        }
        out
    }

    /// What a move costs; `None` when the bounds forbid it.
    fn judge(&self, node: &SearchState, moves: &Moves, at: usize, p: Possible) -> Option<Choice> {
        if at == 0 {
            return Some(Choice { possible: p, cost: Cost::default() });
        }
        let mut late = 0;
        for (other, o) in moves.iter().enumerate() {
            let Move::Step(step) = o.what else { continue };
            if other == at || o.by + SLACK >= p.at {
                continue;
            }
            if o.by + self.bounds.late_max < p.at {
                return None;
            }
            late += u16::from(node.late.binary_search(&lane_of(step)).is_err());
        }
        let preemptions = u16::from(preempts(node.last, moves, p));
        let cost = Cost { late, preemptions, detours: 1 };
        let total = node.cost + cost;
        let over = |bound: Option<u16>, n: u16| bound.is_some_and(|b| n > b);
        if self.bounds.detours.is_some_and(|b| total.detours > b) {
            return None;
        }
        if over(self.bounds.late, total.late) || over(self.bounds.preemptions, total.preemptions) {
            return None;
        }
        Some(Choice { possible: p, cost })
    }

    /// Makes a move.
    pub(super) fn make<S: Sink>(
        &self,
        node: &mut SearchState,
        c: Choice,
        draws: &mut Draws<'_>,
        sink: &mut S,
    ) {
        let setting = &self.plan.setting;
        let step = match c.possible.what {
            Move::Step(step) => Some(step),
            Move::Next => None,
        };
        node.cost = node.cost + c.cost;
        if c.cost.late > 0 {
            let overtaken = node.world.control().under_way().filter(|s| c.overtakes(s));
            node.late.extend(overtaken.map(lane_of));
            node.late.sort_unstable();
            node.late.dedup();
        }
        if let Some(step) = step {
            node.late.retain(|lane| *lane != lane_of(step));
            node.last = Some(lane_of(step));
        }
        let before = step.and_then(|_| Delays::of(node.world.gateway().state(), setting));
        let mut watch =
            FactsWatch { facts: &mut node.facts, marks: &self.marks, add_returned: false, inner: sink };
        let ended = node.world.make(c.possible, draws, &mut watch);
        if watch.add_returned {
            let answers = node.world.answers();
            node.facts.add_returned.get_or_insert((node.world.now(), answers));
        }
        let after = step.and_then(|_| Delays::of(node.world.gateway().state(), setting));
        if Delays::divides(before, after) {
            node.facts.divide_window.get_or_insert(node.world.now());
        }
        if ended.is_some() {
            node.facts.end(node.world.now(), !node.world.clients_done());
        }
    }

    /// What tells this state from others. What it has cost belongs to it where there is a limit:
    /// the rest of the budget decides what may follow.
    pub(super) fn fingerprint(&self, node: &SearchState) -> u128 {
        let b = &self.bounds;
        let last = b.preemptions.and(node.last);
        let preemptions = b.preemptions.map(|_| node.cost.preemptions);
        let late = b.late.map(|_| node.cost.late);
        let spent = (late, preemptions, b.detours.map(|_| node.cost.detours));
        super::fingerprint::fingerprint(&(&node.world, &node.facts, &node.late, last, spent))
    }
}

/// The lane that moved last could have gone on, and another one does.
fn preempts(last: Option<LaneId>, moves: &Moves, p: Possible) -> bool {
    let lane = |m: Move| match m {
        Move::Step(s) => Some(lane_of(s)),
        Move::Next => None,
    };
    let (Some(last), Some(now)) = (last, lane(p.what)) else { return false };
    now != last && moves.iter().any(|m| lane(m.what) == Some(last) && m.at <= p.at)
}
