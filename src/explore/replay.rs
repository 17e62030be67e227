//! A schedule by names, run again: here move by move, live as holds.

use super::bounds::{Bounds, Complete};
use super::draws::{DrawSource, Draws};
use super::facts::Facts;
use super::node::{Choice, Ground, LaneId, SLACK, SearchState, lane_of};
use super::path::Scribe;
use super::schedule::{Schedule, ScheduleEntry};
use crate::control::{GATEWAY, Gate, Hold, Side, StepId, Until};
use crate::pod::ClientId;
use crate::scenario::Plan;
use crate::sim::{Move, Moves, Possible};
use crate::time::{Span, Time};
use crate::trace::{ClientNews, Event, Trace, What};
use std::sync::Arc;

/// How a schedule was replayed.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// What it showed.
    pub facts: Facts,
    /// The schedule that was run; the recorded one, when it fits.
    pub schedule: Schedule,
    /// Recorded moves that were not possible and were left out, and moves that had to be made
    /// without a record. Zero when the schedule fits the program.
    pub misfits: u32,
    /// The first of them, in words.
    pub first_misfit: Option<String>,
    /// What the replay tells, from its start on.
    pub events: Trace,
    /// Steps that came later than they would of their own accord, as holds that bring about the
    /// same order on a real kernel.
    pub holds: Vec<Hold>,
    /// Clients that started directly behind a step other than the one they wait for anyway: with
    /// [`Gate::After`] that step they do so on a real kernel, too.
    pub clients: Vec<(String, StepId)>,
}

impl Replayed {
    /// What does not fit any more, in words; `None` when all does.
    #[must_use]
    pub fn unfit(&self) -> Option<String> {
        let first =
            self.first_misfit.as_ref().map_or_else(String::new, |text| format!("; the first: {text}"));
        Some(match self.misfits {
            0 => return None,
            1 => format!("the program has changed since: one recorded move or draw does not fit{first}"),
            n => format!("the program has changed since: {n} recorded moves or draws do not fit{first}"),
        })
    }
}

/// Runs a schedule on a plan. A schedule from an older program that does not fit any more is
/// followed as far as it goes; [`Replayed::misfits`] tells.
#[must_use]
pub fn replay(plan: Plan, schedule: &Schedule, bounds: &Bounds) -> Replayed {
    let bounds = Bounds { late: None, preemptions: None, late_max: Span::from_secs(3600), ..bounds.clone() };
    let ground = Ground::new(Arc::new(plan), bounds);
    let mut events = Trace::new(&ground.plan);
    let (mut made, mut points) = (Vec::new(), Vec::new());
    let source = DrawSource::Recorded(&schedule.draws);
    let mut draws = Draws::new(&ground.bounds.grid, source, &mut made, &mut points);
    let mut node = ground.root(&mut draws, &mut events);
    let mut run = Follow { ground: &ground, at: 0, misfits: 0, first: None, late: Vec::new() };
    let mut scribe = Scribe::new(&ground);
    let mut moves = Moves::new();
    while let Some(choice) = run.next(&mut node, schedule, &mut moves) {
        scribe.before(&node, &choice, &mut events);
        run.notice(&node, &choice, &moves);
        ground.make(&mut node, choice, &mut draws, &mut events);
    }
    let misfits = run.misfits + draws.misfits + (schedule.entries.len() - run.at) as u32;
    let holds = run.holds(&events);
    let (clients, first_misfit) = (run.clients(&events), run.first.take());
    node.world.finish(&mut events);
    Replayed {
        facts: node.facts,
        schedule: scribe.schedule(made),
        misfits,
        first_misfit,
        events,
        holds,
        clients,
    }
}

/// A step that was overtaken.
struct Late {
    lane: LaneId,
    step: StepId,
    nth: u16,
    /// When it would have been done.
    due: Time,
    /// When it was done.
    done: Option<Time>,
}

struct Follow<'a> {
    ground: &'a Ground,
    at: usize,
    misfits: u32,
    first: Option<String>,
    late: Vec<Late>,
}

impl Follow<'_> {
    /// The recorded move, if it is possible; what is not is left out, and where nothing is
    /// recorded the expected move is made.
    fn next(&mut self, node: &mut SearchState, schedule: &Schedule, moves: &mut Moves) -> Option<Choice> {
        if node.facts.ended.is_some() {
            return None;
        }
        let choices = self.ground.choices(node, moves);
        let served = match self.ground.bounds.complete {
            Complete::AsPlanned => node.world.is_served(),
            Complete::AtRest => node.world.at_rest(),
        };
        if choices.is_empty() || served {
            let cut = !served && !moves.is_empty() && !node.world.clients_done();
            node.facts.end(node.world.now(), cut);
            return None;
        }
        while let Some(entry) = schedule.entries.get(self.at) {
            let fits = |c: &&Choice| self.is(node, entry, &c.possible);
            if let Some(choice) = choices.iter().find(fits) {
                self.at += 1;
                return Some(*choice);
            }
            // a step that the schedule does not know was not there when it was kept; what is recorded
            // may have to wait for it
            if let Some(choice) = choices.iter().find(|c| self.is_new(node, schedule, &c.possible)) {
                let choice = *choice;
                self.misfit(format!("{} is not recorded", self.name_of(&choice.possible)));
                return Some(choice);
            }
            // a step that is not there yet, but something else that must come first
            if *entry != ScheduleEntry::Next && self.is_to_come(node, entry) {
                break;
            }
            self.at += 1;
            let text = match entry {
                ScheduleEntry::Step { step, .. } => format!("{step} cannot be done where it is recorded"),
                ScheduleEntry::Next => {
                    "nothing but steps can happen where something else is recorded".to_owned()
                }
            };
            self.misfit(text);
        }
        if let Some(choice) = choices.first() {
            self.misfit(format!("{} comes without a record", self.name_of(&choice.possible)));
        }
        choices.first().copied()
    }

    fn misfit(&mut self, text: String) {
        self.misfits += 1;
        self.first.get_or_insert(text);
    }

    fn name_of(&self, p: &Possible) -> String {
        match p.what {
            Move::Next => "something other than a step".to_owned(),
            Move::Step(s) => self.ground.plan.steps.info(s.step).name.clone(),
        }
    }

    /// A step that no recorded move from here on names.
    fn is_new(&self, node: &SearchState, schedule: &Schedule, p: &Possible) -> bool {
        matches!(p.what, Move::Step(_))
            && !schedule.entries[self.at..].iter().any(|entry| self.is(node, entry, p))
    }

    fn is(&self, node: &SearchState, entry: &ScheduleEntry, p: &Possible) -> bool {
        match (entry, p.what) {
            (ScheduleEntry::Next, Move::Next) => true,
            (ScheduleEntry::Step { step, nth }, Move::Step(s)) => {
                self.ground.plan.steps.info(s.step).name == *step
                    && node.world.control().done_count(s.step) + 1 == *nth
            }
            _ => false,
        }
    }

    fn is_to_come(&self, node: &SearchState, entry: &ScheduleEntry) -> bool {
        let ScheduleEntry::Step { step, nth } = entry else { return false };
        let Some(id) = self.ground.plan.steps.find(step) else { return false };
        node.world.control().under_way().any(|s| s.step == id) && node.world.control().done_count(id) < *nth
    }

    /// Keeps which steps are overtaken, and by what.
    fn notice(&mut self, node: &SearchState, choice: &Choice, moves: &Moves) {
        let done = match choice.possible.what {
            Move::Step(s) => Some(s),
            Move::Next => None,
        };
        for m in moves {
            let Move::Step(s) = m.what else { continue };
            let lane = lane_of(s);
            let known = self.late.iter_mut().find(|l| l.lane == lane && l.done.is_none());
            let overtaken =
                s.to + SLACK < choice.possible.at || (choice.cost.detours > 0 && m.at <= choice.possible.at);
            match known {
                Some(one) if done == Some(s) => one.done = Some(choice.possible.at),
                None if done != Some(s) && overtaken => {
                    let nth = node.world.control().done_count(s.step) + 1;
                    self.late.push(Late { lane, step: s.step, nth, due: s.to, done: None });
                }
                _ => {}
            }
        }
    }

    /// Holds that bring about the same order where nobody decides: each until what went before
    /// the step has happened.
    fn holds(&self, events: &[Event]) -> Vec<Hold> {
        self.late.iter().filter_map(|late| self.hold(late, events)).collect()
    }

    fn hold(&self, late: &Late, events: &[Event]) -> Option<Hold> {
        let hold = |until| Some(Hold { step: late.step, nth: Some(late.nth), until });
        let Some(done) = late.done else { return hold(Until::Never) };
        let is_it = |e: &&Event| e.what.done() == Some(late.step);
        let before = match (0..events.len()).filter(|at| is_it(&&events[*at])).nth(usize::from(late.nth) - 1)
        {
            Some(at) => &events[..at],
            None => events,
        };
        let last = before.iter().rposition(|e| Mark::of(&e.what).is_some())?;
        let gap = done.since(before[last].t_ns);
        match Mark::of(&before[last].what)? {
            // time alone went by: a timer of a kernel is what the step came after
            _ if gap > SLACK => hold(Until::Elapsed(done.since(late.due))),
            mark => {
                let many = before[..=last].iter().filter(|e| Mark::of(&e.what) == Some(mark)).count();
                hold(match mark {
                    Mark::Request => Until::Requests(many as u32),
                    Mark::Try => Until::Tries(many as u32),
                    Mark::Step(step) if step == late.step => return None,
                    Mark::Step(step) => Until::Nth(step, many as u16),
                })
            }
        }
    }

    /// Clients that started behind a step which nothing but the schedule put before them.
    fn clients(&self, events: &[Event]) -> Vec<(String, StepId)> {
        let mut after = Vec::new();
        for (at, client) in self.ground.plan.clients.iter().enumerate() {
            let id = ClientId(at as u32);
            let is_start = |e: &Event| matches!(&e.what, What::Client { client, news: ClientNews::Start } if *client == id);
            let Some(at) = events.iter().position(is_start) else { continue };
            let last = events[..at].iter().rev().find_map(|e| Some((e.t_ns, e.what.done()?)));
            let Some((t, step)) = last else { continue };
            let many = events[..at].iter().filter(|e| e.what.done() == Some(step)).count();
            // a client with a delay of its own starts by the clock
            if many == 1 && Gate::After(step) != client.gate && events[at].t_ns.since(t) <= SLACK {
                after.push((client.name.clone(), step));
            }
        }
        after
    }
}

/// Something that can be waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mark {
    /// A step is done.
    Step(StepId),
    /// The pod asks for its gateway.
    Request,
    /// A client tries.
    Try,
}

impl Mark {
    /// What a hold can wait for, if that is what happened.
    fn of(what: &What) -> Option<Mark> {
        match what {
            What::Step { .. } => what.done().map(Mark::Step),
            What::Frame { from: Side::Pod, view, .. } => view.asks_gateway(GATEWAY).then_some(Mark::Request),
            What::Client { news: ClientNews::Try { .. }, .. } => Some(Mark::Try),
            _ => None,
        }
    }
}
