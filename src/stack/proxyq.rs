//! Proxied requests that wait out `proxy_delay` (pneigh_enqueue, neigh_proxy_process).
//!
//! The queue has one timer, so an answer leaves when the timer that looks for it goes off, a
//! little late like all timers. When its time has come a request is decided again, from the
//! state of that moment.

use super::{Note, Stack};
use crate::choice::{ChoiceKind, Chooser};
use crate::host::{Decision, IfIndex, Reason, Request};
use crate::neigh::KernelClock;
use crate::time::Time;
use std::sync::Arc;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Waiting {
    request: Request,
    due: u64,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct ProxyQueue {
    waiting: Vec<Waiting>,
    /// The tick asked for and the moment the wheel makes of it.
    timer: Option<(u64, Time)>,
}

impl ProxyQueue {
    pub(super) fn timer(&self) -> Option<Time> {
        self.timer.map(|t| t.1)
    }

    fn push(&mut self, clock: &KernelClock, now: Time, request: Request, due: u64) {
        let expires = self.timer.map_or(due, |(jiffy, _)| jiffy.min(due));
        self.timer = Some((expires, clock.fires_at(now, expires)));
        self.waiting.push(Waiting { request, due });
    }

    /// Takes what is due and arms the timer for the rest.
    fn take_due(&mut self, clock: &KernelClock, now: Time) -> Vec<Request> {
        let j = clock.jiffies(now);
        let mut due = Vec::new();
        self.waiting.retain(|w| {
            if w.due <= j {
                due.push(w.request);
            }
            w.due > j
        });
        let next = self.waiting.iter().map(|w| w.due).min();
        self.timer = next.map(|jiffy| (jiffy, clock.fires_at(now, jiffy)));
        due
    }
}

impl Stack {
    /// Holds a request back for a drawn number of ticks below `proxy_delay`.
    pub(super) fn delay_request(
        &mut self,
        now: Time,
        request: Request,
        below: u32,
        chooser: &mut dyn Chooser,
    ) {
        let clock = *self.clock();
        let ticks = clock.user_hz_ticks(u64::from(below)).max(1);
        let due = clock.jiffies(now) + chooser.choose(ChoiceKind::ProxyDelay, ticks);
        self.queue.push(&clock, now, request, due);
        Arc::make_mut(&mut self.state).count_delayed(request.dev, true);
    }

    pub(super) fn answer_delayed(&mut self, now: Time, chooser: &mut dyn Chooser) {
        let clock = *self.clock();
        for mut request in self.queue.take_due(&clock, now) {
            Arc::make_mut(&mut self.state).count_delayed(request.dev, false);
            request.again = true;
            request.sender_known = self.knows(request.dev, request.arp.spa);
            self.judge(now, request, chooser);
        }
    }

    /// Any interface of the namespace going down, or losing its carrier, discards every answer
    /// that waits (pneigh_queue_purge).
    pub(super) fn purge_delayed(&mut self) {
        let gone: Vec<(IfIndex, Request)> =
            self.queue.waiting.drain(..).map(|w| (w.request.dev, w.request)).collect();
        self.queue.timer = None;
        if gone.is_empty() {
            return;
        }
        Arc::make_mut(&mut self.state).clear_delayed();
        for (dev, request) in gone {
            let decision = Decision::Silent(Reason::QueuePurged);
            self.note(Note::Judged { dev, arp: Some(request.arp), decision, again: true });
        }
    }
}
