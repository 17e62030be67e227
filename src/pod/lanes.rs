//! The sockets of a dialler, and whose turn is next, also when there are thousands.

use super::client::Wake;
use super::tcp::Conn;
use crate::time::Time;
use core::hash::{Hash, Hasher};
use smallvec::SmallVec;
use std::collections::BTreeSet;

/// As long as there are no more, looking at each is faster than keeping order.
const FEW: usize = 16;

/// One connection after the other, each by a socket of its own.
#[derive(Clone, Hash, Debug, Default)]
pub(super) struct Lane {
    pub(super) conn: Option<Conn>,
    pub(super) tries: u32,
    pub(super) number: u32,
    /// When the next attempt begins.
    pub(super) next: Option<Time>,
    /// When the application loses patience with this one.
    pub(super) patience: Option<Time>,
}

impl Lane {
    fn wake(&self) -> Option<Wake> {
        let timer = self.conn.as_ref().and_then(Conn::timer).map(Wake::kernel);
        let process = [self.next, self.patience].into_iter().flatten().min().map(Wake::process);
        [timer, process].into_iter().flatten().min()
    }

    fn is_idle(&self) -> bool {
        self.conn.is_none() && self.next.is_none()
    }

    fn keys(&self) -> Keys {
        Keys { wake: self.wake(), port: self.conn.as_ref().map(|c| c.port), idle: self.is_idle() }
    }
}

/// What a lane is looked up by.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Keys {
    wake: Option<Wake>,
    port: Option<u16>,
    idle: bool,
}

/// The lanes in the orders in which they are asked for.
#[derive(Clone, Debug, Default)]
struct Index {
    due: BTreeSet<(Wake, usize)>,
    ports: BTreeSet<(u16, usize)>,
    busy: usize,
}

impl Index {
    fn put(&mut self, keys: Keys, at: usize) {
        self.due.extend(keys.wake.map(|wake| (wake, at)));
        self.ports.extend(keys.port.map(|port| (port, at)));
        self.busy += usize::from(!keys.idle);
    }

    fn take(&mut self, keys: Keys, at: usize) {
        if let Some(wake) = keys.wake {
            self.due.remove(&(wake, at));
        }
        if let Some(port) = keys.port {
            self.ports.remove(&(port, at));
        }
        self.busy -= usize::from(!keys.idle);
    }
}

/// All lanes of a dialler.
#[derive(Clone, Debug, Default)]
pub(super) struct Lanes {
    lanes: SmallVec<[Lane; 1]>,
    /// Follows from the lanes; kept only where there are many.
    index: Option<Box<Index>>,
}

/// The index is no state of its own.
impl Hash for Lanes {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.lanes.hash(state);
    }
}

impl Lanes {
    pub(super) fn new(lanes: impl Iterator<Item = Lane>) -> Lanes {
        let lanes: SmallVec<[Lane; 1]> = lanes.collect();
        let index = (lanes.len() > FEW).then(|| {
            let mut index = Box::<Index>::default();
            for (at, lane) in lanes.iter().enumerate() {
                index.put(lane.keys(), at);
            }
            index
        });
        Lanes { lanes, index }
    }

    pub(super) fn clear(&mut self) {
        *self = Lanes::default();
    }

    pub(super) fn get(&self, at: usize) -> Option<&Lane> {
        self.lanes.get(at)
    }

    /// Changes a lane, if there is such a one.
    pub(super) fn change<T>(&mut self, at: usize, change: impl FnOnce(&mut Lane) -> T) -> Option<T> {
        let lane = self.lanes.get_mut(at)?;
        let Some(index) = &mut self.index else { return Some(change(lane)) };
        let before = lane.keys();
        let done = change(lane);
        let after = lane.keys();
        if before != after {
            index.take(before, at);
            index.put(after, at);
        }
        Some(done)
    }

    /// The lane that wants to be called first.
    pub(super) fn next(&self) -> Option<(Wake, usize)> {
        match &self.index {
            Some(index) => index.due.first().copied(),
            None => self.lanes.iter().enumerate().filter_map(|(at, lane)| Some((lane.wake()?, at))).min(),
        }
    }

    /// True when no lane has anything left to do.
    pub(super) fn are_idle(&self) -> bool {
        match &self.index {
            Some(index) => index.busy == 0,
            None => self.lanes.iter().all(Lane::is_idle),
        }
    }

    /// The first lane with a connection from this port that fits.
    pub(super) fn by_port(&self, port: u16, fits: impl Fn(&Conn) -> bool) -> Option<usize> {
        let is = |lane: &Lane| lane.conn.as_ref().is_some_and(|c| c.port == port && fits(c));
        match &self.index {
            Some(index) => {
                let mut those = index.ports.range((port, 0)..=(port, usize::MAX)).map(|(_, at)| *at);
                those.find(|at| is(&self.lanes[*at]))
            }
            None => self.lanes.iter().position(is),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Span;
    use proptest::prelude::*;

    fn lane(next: Option<u64>) -> Lane {
        Lane { next: next.map(|ms| Time::ZERO + Span::from_ms(ms)), ..Lane::default() }
    }

    proptest! {
        /// Many lanes are found in the order in which few are.
        #[test]
        fn an_index_answers_as_a_search_does(
            begins in prop::collection::vec(prop::option::of(0..50_u64), FEW + 1..60),
            changes in prop::collection::vec((0..70_usize, prop::option::of(0..50_u64)), 0..80),
        ) {
            let mut indexed = Lanes::new(begins.iter().copied().map(lane));
            prop_assert!(indexed.index.is_some());
            for (at, next) in changes {
                let next = lane(next).next;
                indexed.change(at, |lane| lane.next = next);
                let searched = Lanes { index: None, ..indexed.clone() };
                prop_assert_eq!(indexed.next(), searched.next());
                prop_assert_eq!(indexed.are_idle(), searched.are_idle());
            }
        }
    }
}
