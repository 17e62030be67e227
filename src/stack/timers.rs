//! When a namespace wants to be called, and what its timers do.

use super::{Stack, params};
use crate::choice::Chooser;
use crate::neigh::{Failing, KTimer};
use crate::packet::{Owner, Packet};
use crate::time::Time;
use std::collections::VecDeque;
use std::sync::Arc;

impl Stack {
    /// When it wants [`Stack::handle_timeout`] to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        [self.neigh.poll_timeout(), self.other_timers()].into_iter().flatten().min()
    }

    fn other_timers(&self) -> Option<Time> {
        let kept = [self.queue.timer(), self.queue6.timer(), self.dad.timer(), self.collector_timer()];
        kept.into_iter().flatten().min()
    }

    /// Runs what is due.
    pub fn handle_timeout(&mut self, now: Time, chooser: &mut dyn Chooser) {
        while self.neigh.poll_timeout().is_some_and(|t| t <= now) {
            self.run_neighbour_timer(now, chooser);
        }
        self.run_other_timers(now, chooser);
    }

    /// The neighbour timer that goes off next, for an owner that has timers of its own to put
    /// between them.
    #[must_use]
    pub fn next_neighbour_timer(&self) -> Option<KTimer> {
        self.neigh.next_timer()
    }

    /// Runs the first neighbour timer that is due.
    pub fn run_neighbour_timer(&mut self, now: Time, chooser: &mut dyn Chooser) {
        let mut events = VecDeque::new();
        let state = Arc::clone(&self.state);
        self.neigh.run_timer(now, |dev, v6| params(&state, dev, v6), &mut events);
        self.act(now, events, chooser);
    }

    /// As [`Stack::run_neighbour_timer`] for an entry that [is failing](Stack::failing), while
    /// another processor sends `packet` to that neighbour, behind so many error reports.
    pub fn run_neighbour_timer_amid(
        &mut self,
        now: Time,
        packet: Packet,
        behind: usize,
        chooser: &mut dyn Chooser,
    ) {
        let mut events = VecDeque::new();
        let state = Arc::clone(&self.state);
        self.neigh.run_timer_amid(now, |dev, v6| params(&state, dev, v6), packet, behind, &mut events);
        self.act(now, events, chooser);
    }

    /// What the next neighbour timer ends, if it ends a resolution without success.
    #[must_use]
    pub fn failing(&self) -> Option<Failing> {
        self.neigh.failing(|dev, v6| params(&self.state, dev, v6))
    }

    /// Runs what is due besides the neighbour table: proxied requests whose delay is over, and
    /// tests of new addresses.
    pub fn run_other_timers(&mut self, now: Time, chooser: &mut dyn Chooser) {
        if self.other_timers().is_none_or(|t| t > now) {
            return;
        }
        if self.queue.timer().is_some_and(|t| t <= now) {
            self.answer_delayed(now, chooser);
        }
        if self.queue6.timer().is_some_and(|t| t <= now) {
            self.answer_delayed6(now, chooser);
        }
        if self.dad.timer().is_some_and(|t| t <= now) {
            self.go_on_with_tests(now, chooser);
        }
        if self.collector_timer().is_some_and(|t| t <= now) {
            self.collect(now, chooser);
        }
    }

    /// Arms a timer of this namespace's kernel that somebody else keeps, such as a socket's.
    pub fn arm(&mut self, now: Time, ticks: u64) -> KTimer {
        let armed = self.neigh.count_armed();
        let clock = self.clock();
        clock.arm_at(now, clock.jiffies(now) + ticks, armed)
    }

    /// True while a packet of that sender waits for a neighbour (skb_still_in_host_queue).
    #[must_use]
    pub fn holds(&self, owner: Owner) -> bool {
        self.neigh.holds(owner)
    }
}
