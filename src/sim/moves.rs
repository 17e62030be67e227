//! A run move by move, for whoever decides the order of events himself (the explorer).
//!
//! [`World::step`] lets happen what is due first. Here the moves that are possible are listed:
//! any step that an actor has begun, or whatever else is due next (a frame, a timer, a client).
//! A step may be put off as long as one likes; frames and timers of the kernel may not, they
//! happen at their time.

use super::world::{Ended, World};
use crate::addr::Side;
use crate::choice::Chooser;
use crate::control::UnderWay;
use crate::gateway::Outside;
use crate::time::{Span, Time};
use crate::trace::Sink;
use smallvec::SmallVec;

/// What can happen next.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Move {
    /// An actor's step is done.
    Step(UnderWay),
    /// The earliest of everything else: a frame, a timer, a client's start.
    Next,
}

/// The moves of a moment, with the time at which each would happen and, for a step, the time
/// after which it is late.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Possible {
    /// The move.
    pub what: Move,
    /// When it would happen.
    pub at: Time,
    /// Later than this it is late; the end of time for [`Move::Next`].
    pub by: Time,
}

/// A handful of moves.
pub type Moves = SmallVec<[Possible; 6]>;

/// What crosses a veth or the node within this time is over before a step can come between,
/// unless somebody looks that closely.
const QUICK: Span = Span::from_ms(1);

impl<O: Outside> World<O> {
    /// Lists what can happen next, in the order in which it would happen if nothing were late.
    /// A step whose least duration is below `instant` may take no time at all; `fine` lets steps
    /// come between a frame's leaving and its arrival.
    pub fn moves(&self, instant: Span, fine: bool, into: &mut Moves) {
        into.clear();
        let quick = self.pair.poll_wire();
        let next = [quick, self.poll_slow()].into_iter().flatten().min();
        if !fine
            && let Some(at) = next
            && at <= self.now + QUICK
            && quick == next
        {
            into.push(Possible { what: Move::Next, at, by: Time::FOREVER });
            return;
        }
        for step in self.run.control().under_way() {
            let least = step.from.since(step.begun);
            let at = if least < instant { self.now } else { step.from.max(self.now) };
            // what has a time of its own does not wait for a step that takes longer
            if next.is_none_or(|n| at <= n) {
                into.push(Possible { what: Move::Step(step), at, by: step.to });
            }
        }
        if let Some(at) = next {
            into.push(Possible { what: Move::Next, at, by: Time::FOREVER });
        }
        if into.len() > 1 {
            into.sort_by_key(|p| (p.at, p.by));
        }
    }

    /// Makes a move. `Some` when the run has ended.
    pub fn make<S: Sink>(&mut self, p: Possible, chooser: &mut dyn Chooser, sink: &mut S) -> Option<Ended> {
        if let Some(ended) = self.advance(p.at) {
            return Some(ended);
        }
        match p.what {
            Move::Step(which) => {
                if let Some(doing) = self.run.take_step(which, self.now, self.pair.state(Side::Host)) {
                    self.carry_out(doing, chooser, sink);
                }
            }
            Move::Next => self.other(chooser, sink),
        }
        self.settle(chooser, sink);
        None
    }

    /// The first thing due of everything but steps under way.
    fn other<S: Sink>(&mut self, chooser: &mut dyn Chooser, sink: &mut S) {
        if self.frames_and_timers(chooser, sink) {
            return;
        }
        if self.run.control().poll_other().is_some_and(|t| t <= self.now) {
            if let Some(doing) = self.run.take_other(self.now, self.pair.state(Side::Host), chooser) {
                self.carry_out(doing, chooser, sink);
            }
        } else {
            self.start_client(chooser, sink);
        }
    }

    /// When the first of everything else is due, steps under way aside.
    fn poll_slow(&self) -> Option<Time> {
        let run = [self.run.control().poll_other(), self.run.poll_start()];
        [self.pair.poll_pod(), run[0], run[1]].into_iter().flatten().min()
    }

    /// Every client that runs is done, and every one has been started.
    #[must_use]
    pub fn clients_done(&self) -> bool {
        self.run.all_begun() && self.pair.finished()
    }

    /// Nothing is under way any more: the clients are done, and no actor has work.
    #[must_use]
    pub fn at_rest(&self) -> bool {
        self.clients_done() && self.run.control().is_idle()
    }
}
