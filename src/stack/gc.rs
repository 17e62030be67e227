//! Garbage collection of neighbour entries (neigh_periodic_work, neigh_forced_gc in
//! net/core/neighbour.c). The kernel counts the entries of all its namespaces against one set of
//! limits: below `gc_thresh1` it collects nothing, and a FAILED entry stays for ever.

use super::{Stack, params};
use crate::choice::{ChoiceKind, Chooser};
use crate::host::conf::Global;
use crate::time::{Span, Time};
use std::collections::VecDeque;
use std::sync::Arc;

/// Half of base_reachable_time of the machine's own `neigh.default`: the table is looked through
/// so often, whatever a namespace's own setting says.
const PERIOD: Span = Span::from_secs(15);

/// A table that is over `gc_thresh2` is emptied by force at most so often.
const FORCED_APART: Span = Span::from_secs(5);

/// When the collector runs in this namespace.
#[derive(Clone, Hash, Debug, Default)]
pub(super) struct Collector {
    /// The next look through the table, once it matters; its place in the period is drawn then.
    due: Option<Time>,
    forced: Option<Time>,
}

impl Stack {
    /// Entries of this kernel, as far as the model knows of them.
    fn entries(&self) -> i64 {
        i64::try_from(self.neigh.iter().count()).unwrap_or(i64::MAX / 2)
            + i64::from(self.state.neighbours_elsewhere())
    }

    fn over(&self, limit: Global) -> bool {
        self.entries() >= i64::from(self.state.global(limit))
    }

    /// Sets the collector to work as soon as there is enough for it to do.
    pub(super) fn mind_collector(&mut self, now: Time, chooser: &mut dyn Chooser) {
        match self.collector.due {
            None if self.neigh.iter().next().is_some() && self.over(Global::GcThresh1) => {
                let wait = Span::from_ms(chooser.choose(ChoiceKind::GarbageCollection, PERIOD.as_ms() + 1));
                self.collector.due = Some(now + wait);
            }
            // it has looked through a table that gave it nothing to do
            Some(due) if due < now => {
                let missed = now.since(due).as_ns().div_ceil(PERIOD.as_ns());
                self.collector.due = Some(due + Span::from_ns(missed * PERIOD.as_ns()));
            }
            _ => {}
        }
    }

    /// When the collector may find something.
    pub(super) fn collector_timer(&self) -> Option<Time> {
        let idle = |e: &crate::neigh::Entry| e.is_idle();
        self.collector.due.filter(|_| self.neigh.iter().any(|(.., entry)| idle(entry)))
    }

    /// One look through the table.
    pub(super) fn collect(&mut self, now: Time, chooser: &mut dyn Chooser) {
        self.collector.due = Some(now + PERIOD);
        if !self.over(Global::GcThresh1) {
            return;
        }
        let (mut events, state) = (VecDeque::new(), Arc::clone(&self.state));
        self.neigh.collect(now, |dev, v6| params(&state, dev, v6), &mut events);
        self.act(now, events, chooser);
    }

    /// Before an entry is made: is there room for it (neigh_alloc)? Entries of other namespaces are
    /// taken to be in use, so that only this namespace's own can make room.
    pub(super) fn has_room(&mut self, now: Time, chooser: &mut dyn Chooser) -> bool {
        if self.state.neighbours_elsewhere() == 0 {
            return true;
        }
        let full = self.table_full();
        let rested = self.collector.forced.is_none_or(|last| now > last + FORCED_APART);
        let crowded = self.over(Global::GcThresh2) && rested;
        if !full && !crowded {
            return true;
        }
        self.collector.forced = Some(now);
        let limit = i64::from(self.state.global(Global::GcThresh2));
        let surplus = usize::try_from(self.entries() - limit).unwrap_or(0);
        let mut events = VecDeque::new();
        let shrunk = self.neigh.collect_by_force(now, surplus, &mut events);
        self.act(now, events, chooser);
        shrunk > 0 || !full
    }
}
