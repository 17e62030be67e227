//! The entries of one namespace, by device and address.

use super::clock::{KTimer, KernelClock};
use super::entry::{Acts, Effect, Entry, EntryCx};
use super::event::{Cause, Discarded, Failing, NeighEvent};
use super::nud::{Nud, UpdateFlags};
use super::timing::Timing;
use crate::addr::Mac;
use crate::host::conf::{NeighSet, NeighVar};
use crate::host::{Family, IfIndex};
use crate::packet::{Owner, Packet};
use crate::time::Time;
use std::collections::VecDeque;
use std::net::IpAddr;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Slot {
    dev: IfIndex,
    ip: IpAddr,
    entry: Entry,
}

/// The neighbour entries of one namespace. Parameters come in with each call, because they
/// belong to the device and may change between two calls.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct NeighTable {
    clock: KernelClock,
    /// Timers armed so far; decides the order of those that go off together.
    armed: u64,
    slots: Vec<Slot>,
    /// The drawn reachable_time of each device, ticks.
    reachable: Vec<(IfIndex, bool, u64)>,
}

impl NeighTable {
    /// An empty table.
    #[must_use]
    pub fn new(clock: KernelClock) -> NeighTable {
        NeighTable { clock, armed: 0, slots: Vec::new(), reachable: Vec::new() }
    }

    /// Its clock.
    #[must_use]
    pub fn clock(&self) -> &KernelClock {
        &self.clock
    }

    /// Books the reachable time drawn for a device, in ticks; `v6` tells which family's.
    pub fn set_reachable(&mut self, dev: IfIndex, v6: bool, ticks: u64) {
        match self.reachable.iter_mut().find(|(d, f, _)| (*d, *f) == (dev, v6)) {
            Some(slot) => slot.2 = ticks,
            None => self.reachable.push((dev, v6, ticks)),
        }
    }

    fn timing(&self, dev: IfIndex, v6: bool, set: &NeighSet) -> Timing {
        let drawn = self.reachable.iter().find(|(d, f, _)| (*d, *f) == (dev, v6)).map(|r| r.2);
        let base = u64::try_from(set.get(NeighVar::BaseReachableTimeMs)).unwrap_or(0);
        let reachable = drawn.unwrap_or_else(|| self.clock.ticks_of_ms(base));
        Timing::new(&self.clock, set, reachable)
    }

    fn position(&self, dev: IfIndex, ip: IpAddr) -> Option<usize> {
        self.slots.iter().position(|s| s.dev == dev && s.ip == ip)
    }

    /// The entry for an address.
    #[must_use]
    pub fn get(&self, dev: IfIndex, ip: IpAddr) -> Option<&Entry> {
        self.position(dev, ip).map(|at| &self.slots[at].entry)
    }

    /// Every entry, in the order they were made.
    pub fn iter(&self) -> impl Iterator<Item = (IfIndex, IpAddr, &Entry)> {
        self.slots.iter().map(|s| (s.dev, s.ip, &s.entry))
    }

    /// The timer that goes off next.
    #[must_use]
    pub fn next_timer(&self) -> Option<KTimer> {
        self.slots.iter().filter_map(|s| s.entry.timer).min()
    }

    /// When it goes off.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        self.next_timer().map(|t| t.at)
    }

    /// Counts a timer of the same namespace that is armed elsewhere: what goes off in one tick
    /// goes in the order of arming.
    pub fn count_armed(&mut self) -> u64 {
        self.armed += 1;
        self.armed
    }

    /// True while a packet of that sender waits for a neighbour.
    #[must_use]
    pub fn holds(&self, owner: Owner) -> bool {
        self.slots.iter().flat_map(|s| &s.entry.queue).any(|p| p.owner == Some(owner))
    }

    /// A packet wants out to a next hop.
    pub fn output(
        &mut self,
        now: Time,
        dev: IfIndex,
        hop: IpAddr,
        set: &NeighSet,
        packet: Packet,
        out: &mut VecDeque<NeighEvent>,
    ) {
        let t = self.timing(dev, hop.is_ipv6(), set);
        let at = self.position_or_new(now, dev, hop, &t, out);
        self.run(at, Cause::Output, now, &t, out, |entry, cx| entry.output(cx, packet));
    }

    fn position_or_new(
        &mut self,
        now: Time,
        dev: IfIndex,
        ip: IpAddr,
        t: &Timing,
        out: &mut VecDeque<NeighEvent>,
    ) -> usize {
        self.position(dev, ip).unwrap_or_else(|| {
            let entry = Entry::new(&self.clock, t, now);
            self.slots.push(Slot { dev, ip, entry });
            let cause = Cause::Output;
            out.push_back(NeighEvent::Changed {
                dev,
                ip,
                old: None,
                new: Some(Nud::None),
                lladdr: None,
                cause,
            });
            self.slots.len() - 1
        })
    }

    /// Runs the timers that are due.
    pub fn handle_timeout(
        &mut self,
        now: Time,
        params: impl Fn(IfIndex, bool) -> NeighSet,
        out: &mut VecDeque<NeighEvent>,
    ) {
        while self.run_timer(now, &params, out) {}
    }

    /// Runs the timer that is due first; false when none is.
    pub fn run_timer(
        &mut self,
        now: Time,
        params: impl Fn(IfIndex, bool) -> NeighSet,
        out: &mut VecDeque<NeighEvent>,
    ) -> bool {
        let Some((at, t)) = self.first_due(now, params) else { return false };
        self.run(at, Cause::Timer, now, &t, out, Entry::timeout);
        true
    }

    /// Runs the timer that is due first, of an entry that [is failing](NeighTable::failing),
    /// while `packet` is sent to it by another processor behind so many error reports.
    pub fn run_timer_amid(
        &mut self,
        now: Time,
        params: impl Fn(IfIndex, bool) -> NeighSet,
        packet: Packet,
        behind: usize,
        out: &mut VecDeque<NeighEvent>,
    ) {
        if let Some((at, t)) = self.first_due(now, params) {
            self.run(at, Cause::Timer, now, &t, out, |entry, cx| entry.fail_amid(cx, packet, behind));
        }
    }

    /// What the timer that goes off next ends, if it ends a resolution without success.
    pub fn failing(&self, params: impl Fn(IfIndex, bool) -> NeighSet) -> Option<Failing> {
        let slot = self.slots.iter().filter(|s| s.entry.timer.is_some()).min_by_key(|s| s.entry.timer)?;
        let v6 = slot.ip.is_ipv6();
        let t = self.timing(slot.dev, v6, &params(slot.dev, v6));
        let at = slot.entry.timer()?;
        slot.entry.is_failing(&t).then_some(Failing { at, waiting: slot.entry.waiting() })
    }

    fn first_due(&self, now: Time, params: impl Fn(IfIndex, bool) -> NeighSet) -> Option<(usize, Timing)> {
        let due = |s: &Slot| s.entry.timer.filter(|t| t.at <= now);
        let at = (0..self.slots.len())
            .filter(|at| due(&self.slots[*at]).is_some())
            .min_by_key(|at| self.slots[*at].entry.timer)?;
        let (dev, v6) = (self.slots[at].dev, self.slots[at].ip.is_ipv6());
        Some((at, self.timing(dev, v6, &params(dev, v6))))
    }

    /// The sender of a request to us is taken down as STALE, whatever was known of it
    /// (neigh_event_ns).
    pub fn learn_sender(
        &mut self,
        now: Time,
        dev: IfIndex,
        ip: IpAddr,
        mac: Mac,
        set: &NeighSet,
        out: &mut VecDeque<NeighEvent>,
    ) {
        let flags = UpdateFlags { replace: true, ..UpdateFlags::default() };
        self.update(now, dev, ip, Some(mac), Nud::Stale, flags, Cause::Frame, true, set, out);
    }

    /// The "update our ARP tables" part of arp_process: an entry that exists (or may be made)
    /// takes the sender's address; another address only after locktime or when gratuitous.
    #[allow(clippy::too_many_arguments)]
    pub fn refresh(
        &mut self,
        now: Time,
        dev: IfIndex,
        ip: IpAddr,
        mac: Mac,
        new: Nud,
        gratuitous: bool,
        create: bool,
        set: &NeighSet,
        out: &mut VecDeque<NeighEvent>,
    ) {
        let t = self.timing(dev, ip.is_ipv6(), set);
        // a new entry's `updated` is now, so a frame that makes one is within locktime of it
        let locked = self.get(dev, ip).is_some_and(|e| e.is_locked(&self.clock, &t, now));
        let flags = UpdateFlags { replace: !locked || gratuitous, ..UpdateFlags::default() };
        self.update(now, dev, ip, Some(mac), new, flags, Cause::Frame, create, set, out);
    }

    /// Something was learned about an address; see [`Entry`]. `create` makes the entry if there
    /// is none.
    #[allow(clippy::too_many_arguments)]
    pub fn update(
        &mut self,
        now: Time,
        dev: IfIndex,
        ip: IpAddr,
        mac: Option<Mac>,
        new: Nud,
        flags: UpdateFlags,
        cause: Cause,
        create: bool,
        set: &NeighSet,
        out: &mut VecDeque<NeighEvent>,
    ) {
        let t = self.timing(dev, ip.is_ipv6(), set);
        let at = match self.position(dev, ip) {
            Some(at) => at,
            None if create => self.position_or_new(now, dev, ip, &t, out),
            None => return,
        };
        self.run(at, cause, now, &t, out, |entry, cx| {
            entry.update(cx, mac, new, flags);
        });
    }

    /// Makes an entry that holds nothing yet, if there is none.
    pub fn ensure(
        &mut self,
        now: Time,
        dev: IfIndex,
        ip: IpAddr,
        set: &NeighSet,
        out: &mut VecDeque<NeighEvent>,
    ) {
        let t = self.timing(dev, ip.is_ipv6(), set);
        self.position_or_new(now, dev, ip, &t, out);
    }

    /// Makes the entry of an address that needs no asking, such as a broadcast address
    /// (arp_constructor), if there is none yet.
    pub fn ensure_noarp(
        &mut self,
        now: Time,
        dev: IfIndex,
        ip: IpAddr,
        mac: Mac,
        set: &NeighSet,
        out: &mut VecDeque<NeighEvent>,
    ) {
        if self.position(dev, ip).is_none() {
            let flags = UpdateFlags { replace: true, admin: true, ..UpdateFlags::default() };
            self.update(now, dev, ip, Some(mac), Nud::Noarp, flags, Cause::Frame, true, set, out);
        }
    }

    /// An upper layer had proof that the neighbour hears us.
    pub fn confirm(&mut self, now: Time, dev: IfIndex, ip: IpAddr) {
        if let Some(at) = self.position(dev, ip) {
            self.slots[at].entry.confirm(&self.clock, now);
        }
    }

    /// Removes one entry by hand; what waits is reported as undeliverable.
    pub fn remove(
        &mut self,
        now: Time,
        dev: IfIndex,
        ip: IpAddr,
        set: &NeighSet,
        out: &mut VecDeque<NeighEvent>,
    ) {
        let flags = UpdateFlags { replace: true, admin: true, ..UpdateFlags::default() };
        self.update(now, dev, ip, None, Nud::Failed, flags, Cause::Command, false, set, out);
        self.slots.retain(|s| {
            let gone = s.dev == dev && s.ip == ip;
            if gone {
                let old = Some(s.entry.state);
                out.push_back(NeighEvent::Changed {
                    dev,
                    ip,
                    old,
                    new: None,
                    lladdr: None,
                    cause: Cause::Command,
                });
            }
            !gone
        });
    }

    /// Every entry of a device but PERMANENT and NOARP ones is removed by hand, one after the other
    /// (`ip neigh flush`).
    pub fn sweep(
        &mut self,
        now: Time,
        dev: IfIndex,
        params: impl Fn(IfIndex, bool) -> NeighSet,
        out: &mut VecDeque<NeighEvent>,
    ) {
        let goes = |s: &&Slot| s.dev == dev && !matches!(s.entry.state, Nud::Permanent | Nud::Noarp);
        let gone: Vec<IpAddr> = self.slots.iter().filter(goes).map(|s| s.ip).collect();
        for ip in gone {
            self.remove(now, dev, ip, &params(dev, ip.is_ipv6()), out);
        }
    }

    /// Entries that nobody used for gc_stale_time go, and those that failed.
    pub fn collect(
        &mut self,
        now: Time,
        params: impl Fn(IfIndex, bool) -> NeighSet,
        out: &mut VecDeque<NeighEvent>,
    ) {
        let unused = |s: &Slot| {
            let v6 = s.ip.is_ipv6();
            s.entry.is_unused(&self.clock, &self.timing(s.dev, v6, &params(s.dev, v6)), now)
        };
        let gone: Vec<bool> = self.slots.iter().map(unused).collect();
        self.take_out(&gone, out);
    }

    /// Up to `most` entries go, those first that were changed longest ago; says how many.
    pub fn collect_by_force(&mut self, now: Time, most: usize, out: &mut VecDeque<NeighEvent>) -> usize {
        let mut old: Vec<usize> = (0..self.slots.len())
            .filter(|at| self.slots[*at].entry.is_expendable(&self.clock, now))
            .collect();
        old.sort_by_key(|at| self.slots[*at].entry.updated);
        old.truncate(most);
        let gone: Vec<bool> = (0..self.slots.len()).map(|at| old.contains(&at)).collect();
        self.take_out(&gone, out);
        old.len()
    }

    fn take_out(&mut self, gone: &[bool], out: &mut VecDeque<NeighEvent>) {
        let mut gone = gone.iter();
        self.slots.retain(|s| {
            let goes = gone.next().copied().unwrap_or(false);
            if goes {
                let (dev, ip, old, cause) = (s.dev, s.ip, Some(s.entry.state), Cause::Collected);
                out.push_back(NeighEvent::Changed { dev, ip, old, new: None, lladdr: None, cause });
            }
            !goes
        });
    }

    /// The entries of a device and family go, with what waits in them, silently
    /// (neigh_flush_dev). Without `permanent` the PERMANENT ones stay.
    pub fn flush(
        &mut self,
        dev: IfIndex,
        family: Family,
        permanent: bool,
        cause: Cause,
        out: &mut VecDeque<NeighEvent>,
    ) {
        self.slots.retain_mut(|s| {
            let ours = s.dev == dev && s.ip.is_ipv6() == (family == Family::Inet6);
            if !ours || (!permanent && s.entry.state == Nud::Permanent) {
                return true;
            }
            for packet in s.entry.queue.drain(..) {
                out.push_back(NeighEvent::Discard { packet, why: Discarded::EntryFlushed });
            }
            let old = Some(s.entry.state);
            out.push_back(NeighEvent::Changed { dev, ip: s.ip, old, new: None, lladdr: None, cause });
            false
        });
    }

    /// Lets one entry work and reports what it did, in the order a watcher would see it: a state
    /// change that sets packets free comes before them, one that a packet causes before its
    /// request.
    fn run(
        &mut self,
        at: usize,
        cause: Cause,
        now: Time,
        timing: &Timing,
        out: &mut VecDeque<NeighEvent>,
        work: impl FnOnce(&mut Entry, &mut EntryCx<'_>),
    ) {
        let slot = &mut self.slots[at];
        let (dev, ip) = (slot.dev, slot.ip);
        let (old, old_mac) = (slot.entry.state, slot.entry.lladdr());
        let mut acts = Acts::new();
        let (clock, armed) = (&self.clock, &mut self.armed);
        work(&mut slot.entry, &mut EntryCx { clock, timing, now, armed, acts: &mut acts });
        let (new, lladdr) = (slot.entry.state, slot.entry.lladdr());
        if new != old || lladdr != old_mac {
            out.push_back(NeighEvent::Changed { dev, ip, old: Some(old), new: Some(new), lladdr, cause });
        }
        for act in acts {
            out.push_back(slot.report(act));
        }
    }
}

impl Slot {
    fn report(&self, act: Effect) -> NeighEvent {
        let (dev, ip) = (self.dev, self.ip);
        match act {
            Effect::Solicit(to, src) => NeighEvent::Solicit { dev, ip, to, src },
            Effect::Send(mac, packet) => NeighEvent::Send { dev, mac, packet },
            Effect::Unreachable(packet) => NeighEvent::Unreachable { dev, ip, packet },
            Effect::Overflow(packet) => NeighEvent::Discard { packet, why: Discarded::QueueOverflow },
            Effect::Unasked(packet) => NeighEvent::Discard { packet, why: Discarded::NoRequestsAllowed },
            Effect::Raced(packet) => NeighEvent::Discard { packet, why: Discarded::FailureRaced },
        }
    }
}
