//! Proxied requests that wait out `proxy_delay` (pneigh_enqueue, neigh_proxy_process): one queue
//! for ARP, one for neighbour discovery.
//!
//! A queue has one timer, so an answer leaves when the timer that looks for it goes off, a little
//! late like all timers. When its time has come a request is decided again, from the state of
//! that moment.

use super::{Note, Stack};
use crate::choice::{ChoiceKind, Chooser};
use crate::host::{Decision, Family, Reason, Request};
use crate::neigh::KernelClock;
use crate::time::Time;
use std::sync::Arc;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Waiting<T> {
    request: T,
    due: u64,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct ProxyQueue<T> {
    waiting: Vec<Waiting<T>>,
    /// The tick asked for and the moment the wheel makes of it.
    timer: Option<(u64, Time)>,
}

impl<T> Default for ProxyQueue<T> {
    fn default() -> Self {
        ProxyQueue { waiting: Vec::new(), timer: None }
    }
}

impl<T> ProxyQueue<T> {
    pub(super) fn timer(&self) -> Option<Time> {
        self.timer.map(|t| t.1)
    }

    /// Holds a request back for a drawn number of ticks below `centiseconds`.
    pub(super) fn push(
        &mut self,
        clock: &KernelClock,
        now: Time,
        request: T,
        centiseconds: u32,
        chooser: &mut dyn Chooser,
    ) {
        let ticks = clock.user_hz_ticks(u64::from(centiseconds)).max(1);
        let due = clock.jiffies(now) + chooser.choose(ChoiceKind::ProxyDelay, ticks);
        let expires = self.timer.map_or(due, |(jiffy, _)| jiffy.min(due));
        self.timer = Some((expires, clock.fires_at(now, expires)));
        self.waiting.push(Waiting { request, due });
    }

    /// Takes what is due, in the order it came, and arms the timer for the rest.
    pub(super) fn take_due(&mut self, clock: &KernelClock, now: Time) -> Vec<T> {
        let j = clock.jiffies(now);
        let (due, rest): (Vec<_>, Vec<_>) = self.waiting.drain(..).partition(|w| w.due <= j);
        self.waiting = rest;
        let next = self.waiting.iter().map(|w| w.due).min();
        self.timer = next.map(|jiffy| (jiffy, clock.fires_at(now, jiffy)));
        due.into_iter().map(|w| w.request).collect()
    }

    /// Empties the queue.
    pub(super) fn purge(&mut self) -> Vec<T> {
        self.timer = None;
        self.waiting.drain(..).map(|w| w.request).collect()
    }
}

impl Stack {
    pub(super) fn delay_request(
        &mut self,
        now: Time,
        request: Request,
        below: u32,
        chooser: &mut dyn Chooser,
    ) {
        let clock = *self.clock();
        self.queue.push(&clock, now, request, below, chooser);
        Arc::make_mut(&mut self.state).count_delayed(request.dev, Family::Inet, true);
    }

    pub(super) fn answer_delayed(&mut self, now: Time, chooser: &mut dyn Chooser) {
        let clock = *self.clock();
        for mut request in self.queue.take_due(&clock, now) {
            Arc::make_mut(&mut self.state).count_delayed(request.dev, Family::Inet, false);
            request.again = true;
            request.sender_known = self.knows(request.dev, request.arp.spa);
            self.judge(now, request, chooser);
        }
    }

    /// Any interface of the namespace going down, or losing its carrier, discards every answer
    /// that waits (pneigh_queue_purge).
    pub(super) fn purge_delayed(&mut self) {
        let gone = self.queue.purge();
        if gone.is_empty() {
            return;
        }
        Arc::make_mut(&mut self.state).clear_delayed(Family::Inet);
        for request in gone {
            let decision = Decision::Silent(Reason::QueuePurged);
            self.note(Note::Judged { dev: request.dev, arp: Some(request.arp), decision, again: true });
        }
    }
}
