//! [`Control`]: runs the actors.

use super::act::{Act, Errand};
use super::actor::{Cx, Happening, Lane, Task, TaskResult, Wait};
use super::actors::Actors;
use super::hold::{Hold, Until};
use super::real::{self, RealCni};
use super::setting::Setting;
use super::step::{ActorName, PodId, StepId, StepTable};
use crate::choice::{ChoiceKind, Chooser};
use crate::host::HostState;
use crate::time::{Span, Time};
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::sync::Arc;

#[derive(Clone, Hash, Debug)]
pub(super) enum TaskState {
    /// Kept back by the hold of that number until then (or until its condition).
    Held(u16, Time),
    /// Being done; has its effect then.
    Busy(Time),
    /// Done but for what it waits for; gives up then.
    Waiting(Wait, Time),
}

#[derive(Clone, Hash, Debug)]
pub(super) struct LaneState {
    pub(super) lane: Lane,
    pub(super) queue: VecDeque<Task>,
    pub(super) run: Option<TaskState>,
}

#[derive(Clone, Hash, Debug)]
pub(super) struct ActorSlot {
    actor: Actors,
    pub(super) lanes: SmallVec<[LaneState; 3]>,
    pub(super) timers: SmallVec<[(u8, Time); 4]>,
}

/// A task whose time has come, with what it does.
#[derive(Clone, Debug)]
pub struct Taken {
    /// Which actor's, for [`Control::finish`].
    pub slot: usize,
    /// Who does it.
    pub actor: ActorName,
    /// What is to be done, and what it waits for.
    pub task: Task,
    /// What to carry out, in order.
    pub acts: SmallVec<[Act; 2]>,
    /// It gave up waiting.
    pub timed_out: bool,
}

/// News for the trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HoldNews {
    /// A step could start but is held.
    Held(StepId, Until),
    /// A held step goes on.
    Released(StepId),
}

/// Runs the actors of a run; see the module's documentation.
#[derive(Clone, Debug)]
pub struct Control {
    setting: Arc<Setting>,
    steps: Arc<StepTable>,
    holds: Arc<[Hold]>,
    pub(super) slots: Vec<ActorSlot>,
    done: Vec<u16>,
    started: Vec<u16>,
    requests: u32,
    tries: u32,
    news: VecDeque<HoldNews>,
}

impl core::hash::Hash for Control {
    fn hash<H: core::hash::Hasher>(&self, h: &mut H) {
        self.slots.hash(h);
        self.done.hash(h);
        self.started.hash(h);
        // beyond the largest number a hold waits for, more of them change nothing
        let (mut requests, mut tries) = (0, 0);
        for hold in self.holds.iter() {
            match hold.until {
                Until::Requests(n) => requests = n.max(requests),
                Until::Tries(n) => tries = n.max(tries),
                _ => {}
            }
        }
        (self.requests.min(requests), self.tries.min(tries)).hash(h);
    }
}

impl Control {
    /// Sets the actors up; nothing happens before [`Control::start`].
    #[must_use]
    pub fn new(
        setting: Arc<Setting>,
        steps: Arc<StepTable>,
        holds: Vec<Hold>,
        actors: Vec<Actors>,
    ) -> Control {
        let count = steps.len();
        let slots = actors
            .into_iter()
            .map(|actor| ActorSlot { actor, lanes: SmallVec::new(), timers: SmallVec::new() })
            .collect();
        Control {
            setting,
            steps,
            holds: holds.into(),
            slots,
            done: vec![0; count],
            started: vec![0; count],
            requests: 0,
            tries: 0,
            news: VecDeque::new(),
        }
    }

    /// The steps of the run.
    #[must_use]
    pub fn steps(&self) -> &StepTable {
        &self.steps
    }

    /// Names and addresses of the run.
    #[must_use]
    pub fn setting(&self) -> &Setting {
        &self.setting
    }

    /// How often a step was done.
    #[must_use]
    pub fn done_count(&self, step: StepId) -> u16 {
        self.done[step.0 as usize]
    }

    /// Holds that began or ended since the last call.
    pub fn poll_news(&mut self) -> Option<HoldNews> {
        self.news.pop_front()
    }

    /// Lets the run begin.
    pub fn start(&mut self, now: Time, host: &HostState, chooser: &mut dyn Chooser) {
        self.notice(now, Happening::Start, host, chooser);
    }

    /// Tells every actor what happened.
    pub fn notice(&mut self, now: Time, what: Happening, host: &HostState, chooser: &mut dyn Chooser) {
        for slot in 0..self.slots.len() {
            self.tell(slot, now, what, host, chooser);
        }
    }

    /// A real plugin asks the kernel for something for a pod, and waits for its turn.
    pub fn request(
        &mut self,
        now: Time,
        step: (PodId, StepId),
        asked: (u32, Arc<str>),
        host: &HostState,
        chooser: &mut dyn Chooser,
    ) {
        self.with_plugin(now, host, chooser, |plugin, cx| plugin.request(step, asked, cx));
    }

    /// A real plugin has ended, for a pod.
    pub fn plugin_over(
        &mut self,
        now: Time,
        (pod, errand, well): (PodId, Errand, bool),
        host: &HostState,
        chooser: &mut dyn Chooser,
    ) {
        // what waited for its turn waits no longer
        let plugin = |slot: &&mut ActorSlot| matches!(slot.actor, Actors::RealCni(_));
        let lanes = self.slots.iter_mut().filter(plugin).flat_map(|slot| &mut slot.lanes);
        for lane in lanes.filter(|it| it.lane == real::lane(pod)) {
            if lane.queue.front().is_some_and(|task| task.arg != 0) {
                lane.run = None;
            }
            lane.queue.retain(|task| task.arg == 0);
        }
        self.with_plugin(now, host, chooser, |plugin, cx| plugin.over(pod, errand, well, cx));
    }

    fn with_plugin(
        &mut self,
        now: Time,
        host: &HostState,
        chooser: &mut dyn Chooser,
        tell: impl FnOnce(&mut RealCni, &mut Cx<'_>),
    ) {
        let setting = Arc::clone(&self.setting);
        let mut cx = Cx::new(now, &setting, host);
        let plugin = |slot: &ActorSlot| matches!(slot.actor, Actors::RealCni(_));
        let Some(slot) = self.slots.iter().position(plugin) else { return };
        if let Actors::RealCni(plugin) = &mut self.slots[slot].actor {
            tell(plugin, &mut cx);
        }
        self.take_over(slot, cx, chooser);
    }

    /// The pods whose ADD, by a real plugin, is asked for and not over; each with the step that is held, until
    /// when, and when that ends of itself.
    pub fn adding(&self) -> impl Iterator<Item = (PodId, Option<(StepId, Until, Time)>)> + '_ {
        let plugin = self.slots.iter().find_map(|slot| match &slot.actor {
            Actors::RealCni(plugin) => Some((slot, plugin)),
            _ => None,
        });
        plugin.into_iter().flat_map(move |(slot, plugin)| {
            plugin.adding().map(move |pod| {
                let lane = slot.lanes.iter().find(|it| it.lane == real::lane(pod));
                let held = lane.and_then(|lane| match lane.run {
                    Some(TaskState::Held(hold, ends)) => {
                        Some((lane.queue.front()?.step, self.holds[usize::from(hold)].until, ends))
                    }
                    _ => None,
                });
                (pod, held)
            })
        })
    }

    /// The actors' names and addresses are these from now on.
    pub fn set_setting(&mut self, setting: Arc<Setting>) {
        self.setting = setting;
    }

    /// The steps are these from now on: those there were, and more.
    pub fn set_steps(&mut self, steps: Arc<StepTable>) {
        self.done.resize(steps.len(), 0);
        self.started.resize(steps.len(), 0);
        self.steps = steps;
    }

    /// Counts a request of the pod for its gateway, for holds that wait for it.
    pub fn count_request(&mut self, now: Time, chooser: &mut dyn Chooser) {
        self.requests += 1;
        self.release(now, chooser);
    }

    /// Counts an attempt of a client, for holds that wait for it.
    pub fn count_try(&mut self, now: Time, chooser: &mut dyn Chooser) {
        self.tries += 1;
        self.release(now, chooser);
    }

    fn tell(&mut self, slot: usize, now: Time, what: Happening, host: &HostState, chooser: &mut dyn Chooser) {
        let setting = Arc::clone(&self.setting);
        let mut cx = Cx::new(now, &setting, host);
        self.slots[slot].actor.notice(what, &mut cx);
        self.take_over(slot, cx, chooser);
    }

    fn take_over(&mut self, slot: usize, cx: Cx<'_>, chooser: &mut dyn Chooser) {
        let (now, tasks, timers) = (cx.now, cx.tasks, cx.timers);
        let s = &mut self.slots[slot];
        for (timer, at) in timers {
            s.timers.retain(|t| t.0 != timer);
            let place = s.timers.partition_point(|t| t.0 < timer);
            s.timers.insert(place, (timer, at));
        }
        for task in tasks {
            if let Some(lane) = s.lanes.iter_mut().find(|l| l.lane == task.lane) {
                lane.queue.push_back(task);
            } else {
                // in the order of their numbers, so that states do not tell which came first
                let at = s.lanes.partition_point(|l| l.lane < task.lane);
                let queue = VecDeque::from([task]);
                s.lanes.insert(at, LaneState { lane: task.lane, queue, run: None });
            }
        }
        for lane in 0..self.slots[slot].lanes.len() {
            self.advance(slot, lane, now, chooser);
        }
    }

    /// Starts the next task of a lane, or holds it.
    fn advance(&mut self, slot: usize, lane: usize, now: Time, chooser: &mut dyn Chooser) {
        let state = &self.slots[slot].lanes[lane];
        let Some(task) = state.queue.front().copied() else { return };
        if state.run.is_some() {
            return;
        }
        for step in [task.step].into_iter().chain(self.steps.groups_of(task.step)) {
            let n = &mut self.started[step.0 as usize];
            *n = n.saturating_add(1);
        }
        let nth = |step: StepId| self.started[step.0 as usize];
        let strikes =
            |h: &Hold| self.steps.is_of(task.step, h.step) && h.nth.is_none_or(|n| n == nth(h.step));
        let hold = self.holds.iter().position(strikes);
        if let Some(at) = hold {
            let until = self.holds[at].until;
            if !self.is_over(until) {
                let deadline = match until {
                    Until::Elapsed(span) => now + span,
                    Until::At(time) => time.max(now),
                    _ => Time::FOREVER,
                };
                self.news.push_back(HoldNews::Held(task.step, until));
                self.slots[slot].lanes[lane].run = Some(TaskState::Held(at as u16, deadline));
                return;
            }
        }
        self.begin(slot, lane, now, &task, chooser);
    }

    fn begin(&mut self, slot: usize, lane: usize, now: Time, task: &Task, chooser: &mut dyn Chooser) {
        /// Durations are drawn in microseconds: finer than anything the pod can notice.
        const GRAIN: u64 = 1_000;
        let (from, to) = task.takes;
        let options = (to - from).as_ns() / GRAIN + 1;
        let takes = from + Span::from_ns(chooser.choose(ChoiceKind::StepDelay, options) * GRAIN);
        self.slots[slot].lanes[lane].run = Some(TaskState::Busy(now + takes));
    }

    fn is_over(&self, until: Until) -> bool {
        match until {
            Until::Done(step) => self.done[step.0 as usize] > 0,
            Until::Nth(step, n) => self.done[step.0 as usize] >= n,
            Until::Requests(n) => self.requests >= n,
            Until::Tries(n) => self.tries >= n,
            Until::Elapsed(_) | Until::At(_) | Until::Told | Until::Never => false,
        }
    }

    /// Lets a step that is held go on, whatever it waits for; false when it is not held.
    pub fn let_go(&mut self, step: StepId, now: Time, chooser: &mut dyn Chooser) -> bool {
        let mut found = false;
        for slot in 0..self.slots.len() {
            for lane in 0..self.slots[slot].lanes.len() {
                let state = &self.slots[slot].lanes[lane];
                let task = state.queue.front().copied().filter(|task| task.step == step);
                if let (Some(TaskState::Held(..)), Some(task)) = (&state.run, task) {
                    self.news.push_back(HoldNews::Released(step));
                    self.begin(slot, lane, now, &task, chooser);
                    found = true;
                }
            }
        }
        found
    }

    /// From now on a step is held each time that it could start, until it is let go.
    pub fn hold_back(&mut self, step: StepId) {
        // what is held now knows its hold by its place
        let mut holds = self.holds.to_vec();
        let hold = Hold { step, nth: None, until: Until::Told };
        match holds.iter_mut().find(|h| h.step == step) {
            Some(there) => *there = hold,
            None => holds.push(hold),
        }
        self.holds = holds.into();
    }

    /// From now on a step is held no more. What is held already waits on.
    pub fn hold_no_more(&mut self, step: StepId) {
        let mut holds = self.holds.to_vec();
        for hold in holds.iter_mut().filter(|h| h.step == step) {
            // nothing comes that often: the place stays taken
            hold.nth = Some(0);
        }
        self.holds = holds.into();
    }

    /// The steps that are held when they come, until somebody says otherwise.
    pub fn told(&self) -> impl Iterator<Item = StepId> {
        self.holds.iter().filter(|h| h.until == Until::Told && h.nth != Some(0)).map(|h| h.step)
    }

    /// Whether a step is held when it comes, until somebody says otherwise.
    #[must_use]
    pub fn will_hold(&self, step: StepId) -> bool {
        self.told().any(|held| held == step)
    }

    /// The steps that are held now, with what ends it.
    pub fn held(&self) -> impl Iterator<Item = (StepId, Until)> {
        self.slots.iter().flat_map(|s| &s.lanes).filter_map(|lane| match (&lane.run, lane.queue.front()) {
            (Some(TaskState::Held(hold, _)), Some(task)) => {
                Some((task.step, self.holds[*hold as usize].until))
            }
            _ => None,
        })
    }

    /// Lets held and waiting tasks go on whose condition has come true.
    pub(super) fn release(&mut self, now: Time, chooser: &mut dyn Chooser) {
        for slot in 0..self.slots.len() {
            for lane in 0..self.slots[slot].lanes.len() {
                let state = &self.slots[slot].lanes[lane];
                let task = state.queue.front().copied();
                match (&state.run, task) {
                    (Some(TaskState::Held(hold, deadline)), Some(task))
                        if *deadline <= now || self.is_over(self.holds[*hold as usize].until) =>
                    {
                        self.news.push_back(HoldNews::Released(task.step));
                        self.begin(slot, lane, now, &task, chooser);
                    }
                    (Some(TaskState::Waiting(wait, _)), Some(_)) if self.done[wait.step.0 as usize] > 0 => {
                        self.slots[slot].lanes[lane].run = Some(TaskState::Waiting(*wait, now));
                    }
                    _ => {}
                }
            }
        }
    }

    /// When something is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let runs = self.slots.iter().flat_map(|s| &s.lanes).filter_map(|l| match l.run {
            Some(TaskState::Busy(t) | TaskState::Held(_, t) | TaskState::Waiting(_, t)) => Some(t),
            None => None,
        });
        let timers = self.slots.iter().flat_map(|s| &s.timers).map(|t| t.1);
        runs.chain(timers).filter(|t| *t != Time::FOREVER).min()
    }

    /// True when no task is under way or waiting, timers aside.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.slots.iter().flat_map(|s| &s.lanes).all(|l| l.queue.is_empty())
    }

    /// Takes the task that is due first. When several are at one moment, the chooser says which;
    /// holds and timers that are due are dealt with before.
    pub fn take_due(&mut self, now: Time, host: &HostState, chooser: &mut dyn Chooser) -> Option<Taken> {
        self.fire_timers(now, host, chooser);
        self.release(now, chooser);
        let mut due: SmallVec<[(usize, usize); 4]> = SmallVec::new();
        // a clock that nobody stops may have passed several moments since the last call
        let mut first = now;
        for (s, slot) in self.slots.iter().enumerate() {
            for (l, lane) in slot.lanes.iter().enumerate() {
                match lane.run {
                    Some(TaskState::Busy(t) | TaskState::Waiting(_, t)) if t <= first => {
                        if t < first {
                            due.clear();
                            first = t;
                        }
                        due.push((s, l));
                    }
                    _ => {}
                }
            }
        }
        if due.is_empty() {
            return None;
        }
        let (slot, lane) = due[chooser.choose(ChoiceKind::Order, due.len() as u64) as usize];
        self.take(slot, lane, now, host)
    }

    pub(super) fn take(&mut self, slot: usize, lane: usize, now: Time, host: &HostState) -> Option<Taken> {
        let state = &mut self.slots[slot].lanes[lane];
        let task = *state.queue.front()?;
        let mut timed_out = false;
        match (&state.run, task.wait) {
            (Some(TaskState::Busy(_)), Some(wait)) if self.done[wait.step.0 as usize] == 0 => {
                state.run = Some(TaskState::Waiting(wait, now + wait.timeout));
                return None;
            }
            (Some(TaskState::Waiting(wait, _)), _) => timed_out = self.done[wait.step.0 as usize] == 0,
            _ => {}
        }
        state.queue.pop_front();
        state.run = None;
        let setting = Arc::clone(&self.setting);
        let cx = Cx::new(now, &setting, host);
        let actor = &self.slots[slot].actor;
        Some(Taken { slot, actor: actor.name(), task, acts: actor.acts(&task, &cx), timed_out })
    }

    pub(super) fn fire_timers(&mut self, now: Time, host: &HostState, chooser: &mut dyn Chooser) {
        for slot in 0..self.slots.len() {
            loop {
                let timers = &mut self.slots[slot].timers;
                let Some(at) = timers.iter().position(|t| t.1 <= now) else { break };
                let timer = timers.remove(at).0;
                self.tell(slot, now, Happening::Timer(timer), host, chooser);
            }
        }
    }

    /// Reports how the acts of a taken task went. `host` is the host's namespace afterwards.
    pub fn finish(
        &mut self,
        now: Time,
        taken: &Taken,
        result: &TaskResult,
        host: &HostState,
        chooser: &mut dyn Chooser,
    ) {
        let setting = Arc::clone(&self.setting);
        let mut cx = Cx::new(now, &setting, host);
        self.slots[taken.slot].actor.done(&taken.task, result, &mut cx);
        self.take_over(taken.slot, cx, chooser);
        if matches!(result, TaskResult::Done) {
            let steps = Arc::clone(&self.steps);
            for step in [taken.task.step].into_iter().chain(steps.groups_of(taken.task.step)) {
                let n = &mut self.done[step.0 as usize];
                *n = n.saturating_add(1);
                self.notice(now, Happening::Done(step), host, chooser);
            }
            self.release(now, chooser);
        }
    }
}
