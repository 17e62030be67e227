//! One neighbour entry: states, timer, queue.

use super::clock::KernelClock;
use super::table::Timing;
use crate::addr::Mac;
use crate::packet::Packet;
use crate::time::Time;
use core::fmt;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// The state of an entry (NUD_*, include/uapi/linux/neighbour.h).
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "UPPERCASE")]
pub enum Nud {
    /// Made, not used yet.
    None,
    /// Asking; packets wait.
    Incomplete,
    /// Confirmed lately.
    Reachable,
    /// Not confirmed for a while; still used.
    Stale,
    /// Used while stale; waits for a confirmation from above before asking.
    Delay,
    /// Asking the known address for confirmation.
    Probe,
    /// Nobody answered.
    Failed,
    /// Needs no resolution.
    Noarp,
    /// Set by hand, for ever.
    Permanent,
}

impl Nud {
    /// NUD_VALID: packets are sent to the stored address.
    #[must_use]
    pub const fn is_valid(self) -> bool {
        !matches!(self, Nud::None | Nud::Incomplete | Nud::Failed)
    }
    /// NUD_CONNECTED: packets are sent without a thought.
    #[must_use]
    pub const fn is_connected(self) -> bool {
        matches!(self, Nud::Reachable | Nud::Permanent | Nud::Noarp)
    }
    /// NUD_IN_TIMER: a timer is running.
    #[must_use]
    pub const fn is_timed(self) -> bool {
        matches!(self, Nud::Incomplete | Nud::Reachable | Nud::Delay | Nud::Probe)
    }
    /// The word `ip neigh` prints.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Nud::None => "NONE",
            Nud::Incomplete => "INCOMPLETE",
            Nud::Reachable => "REACHABLE",
            Nud::Stale => "STALE",
            Nud::Delay => "DELAY",
            Nud::Probe => "PROBE",
            Nud::Failed => "FAILED",
            Nud::Noarp => "NOARP",
            Nud::Permanent => "PERMANENT",
        }
    }
    /// True for the states rtnetlink reports when they are entered; INCOMPLETE and DELAY pass
    /// unseen by `ip monitor neigh`.
    #[must_use]
    pub const fn is_notified(self) -> bool {
        !matches!(self, Nud::None | Nud::Incomplete | Nud::Delay)
    }
}

impl fmt::Display for Nud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How an update treats what is already known (NEIGH_UPDATE_F_*).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct UpdateFlags {
    /// Another address replaces the known one.
    pub replace: bool,
    /// Neighbour discovery: another address makes a connected entry STALE instead.
    pub weak: bool,
    /// By hand: PERMANENT entries too.
    pub admin: bool,
}

/// What one entry wants done; [`super::NeighTable`] adds the address and the device.
#[derive(Debug)]
pub(super) enum Act {
    /// Send a request: to that MAC, or to all.
    Solicit(Option<Mac>),
    /// Send a packet to a MAC.
    Send(Mac, Packet),
    /// The packet cannot be delivered; its sender is told (arp_error_report).
    Unreachable(Packet),
    /// The packet is dropped without a word because the queue is full.
    Overflow(Packet),
    /// Dropped without a word because no request may be sent (mcast_solicit 0).
    Unasked(Packet),
}

/// One neighbour entry (struct neighbour).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Entry {
    pub(super) state: Nud,
    pub(super) lladdr: Mac,
    pub(super) updated: u64,
    pub(super) confirmed: u64,
    pub(super) used: u64,
    pub(super) probes: u32,
    pub(super) timer: Option<Time>,
    pub(super) queue: VecDeque<Packet>,
    pub(super) queue_bytes: u32,
}

impl Entry {
    pub(super) fn new(clock: &KernelClock, timing: &Timing, now: Time) -> Entry {
        let j = clock.jiffies(now);
        Entry {
            state: Nud::None,
            lladdr: Mac::ZERO,
            updated: j,
            // far enough in the past that it does not count (neigh_create)
            confirmed: j.saturating_sub(timing.base_reachable << 1),
            used: j,
            probes: 0,
            timer: None,
            queue: VecDeque::new(),
            queue_bytes: 0,
        }
    }

    /// Its state.
    #[must_use]
    pub fn state(&self) -> Nud {
        self.state
    }
    /// The link-layer address, when the state has one.
    #[must_use]
    pub fn lladdr(&self) -> Option<Mac> {
        self.state.is_valid().then_some(self.lladdr)
    }
    /// Packets that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }
    /// When its timer goes off.
    #[must_use]
    pub fn timer(&self) -> Option<Time> {
        self.timer
    }

    /// A packet wants out (neigh_output, neigh_event_send).
    pub(super) fn output(
        &mut self,
        clock: &KernelClock,
        t: &Timing,
        now: Time,
        packet: Packet,
        acts: &mut Vec<Act>,
    ) {
        if self.state.is_connected() {
            // the cached header: `used` is not refreshed on this path
            acts.push(Act::Send(self.lladdr, packet));
            return;
        }
        self.used = clock.jiffies(now);
        match self.state {
            Nud::Delay | Nud::Probe => {
                acts.push(Act::Send(self.lladdr, packet));
                return;
            }
            Nud::Stale => {
                self.state = Nud::Delay;
                self.updated = clock.jiffies(now);
                self.timer = Some(clock.fires(now, t.delay_first_probe));
                acts.push(Act::Send(self.lladdr, packet));
                return;
            }
            Nud::Incomplete => {}
            _ => {
                if t.mcast + t.app == 0 {
                    self.state = Nud::Failed;
                    self.updated = clock.jiffies(now);
                    acts.push(Act::Unasked(packet));
                    return;
                }
                // probes count from ucast_solicit, so that the limit is the same in both phases
                self.probes = t.ucast;
                self.state = Nud::Incomplete;
                self.updated = clock.jiffies(now);
                self.timer = Some(clock.fires(now, t.retrans.max(t.min_interval)));
                self.enqueue(t, packet, acts);
                self.solicit(t, acts);
                return;
            }
        }
        self.enqueue(t, packet, acts);
    }

    fn enqueue(&mut self, t: &Timing, packet: Packet, acts: &mut Vec<Act>) {
        let size = packet.truesize();
        while self.queue_bytes + size > t.unres_qlen_bytes {
            let Some(old) = self.queue.pop_front() else { break };
            self.queue_bytes -= old.truesize();
            acts.push(Act::Overflow(old));
        }
        self.queue_bytes += size;
        self.queue.push_back(packet);
    }

    /// One request (neigh_probe, arp_solicit): unicast ones first, then those handed to a
    /// daemon, which do not show on the wire, then broadcasts.
    fn solicit(&mut self, t: &Timing, acts: &mut Vec<Act>) {
        if self.probes < t.ucast {
            acts.push(Act::Solicit(Some(self.lladdr)));
        } else if self.probes >= t.ucast + t.app {
            acts.push(Act::Solicit(None));
        }
        self.probes += 1;
    }

    fn max_probes(&self, t: &Timing) -> u32 {
        t.ucast + t.app + if self.state == Nud::Probe { t.mcast_resolicit } else { t.mcast }
    }

    /// The timer went off (neigh_timer_handler).
    pub(super) fn timeout(&mut self, clock: &KernelClock, t: &Timing, now: Time, acts: &mut Vec<Act>) {
        self.timer = None;
        let j = clock.jiffies(now);
        let retry = j + t.retrans.max(t.min_interval);
        let before = self.state;
        let next = match before {
            Nud::Reachable if j <= self.confirmed + t.reachable => self.confirmed + t.reachable,
            Nud::Reachable if j <= self.used + t.delay_first_probe => {
                self.change(Nud::Delay, j);
                j + t.delay_first_probe
            }
            Nud::Reachable => {
                self.change(Nud::Stale, j);
                j
            }
            Nud::Delay if j <= self.confirmed + t.delay_first_probe => {
                self.change(Nud::Reachable, j);
                self.confirmed + t.reachable
            }
            Nud::Delay => {
                self.change(Nud::Probe, j);
                self.probes = 0;
                retry
            }
            Nud::Probe | Nud::Incomplete => retry,
            _ => return,
        };
        if matches!(self.state, Nud::Incomplete | Nud::Probe) && self.probes >= self.max_probes(t) {
            self.change(Nud::Failed, j);
            self.fail(acts);
            return;
        }
        if self.state.is_timed() {
            self.timer = Some(clock.fires_at(now, next.max(j + t.min_interval)));
        }
        if matches!(self.state, Nud::Incomplete | Nud::Probe) {
            self.solicit(t, acts);
        }
    }

    fn change(&mut self, state: Nud, jiffies: u64) {
        self.state = state;
        self.updated = jiffies;
    }

    /// Every waiting packet is reported to its sender (neigh_invalidate).
    fn fail(&mut self, acts: &mut Vec<Act>) {
        acts.extend(self.queue.drain(..).map(Act::Unreachable));
        self.queue_bytes = 0;
    }

    /// Something was learned about the entry (__neigh_update). Returns false when the update is
    /// refused outright.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn update(
        &mut self,
        clock: &KernelClock,
        t: &Timing,
        now: Time,
        lladdr: Option<Mac>,
        new: Nud,
        flags: UpdateFlags,
        acts: &mut Vec<Act>,
    ) -> bool {
        let (old, j) = (self.state, clock.jiffies(now));
        if matches!(old, Nud::Permanent | Nud::Noarp) && !flags.admin {
            return false;
        }
        if !new.is_valid() {
            self.timer = None;
            self.state = new;
            if matches!(old, Nud::Incomplete | Nud::Probe) && new == Nud::Failed {
                self.fail(acts);
            }
            return true;
        }
        let Some(mac) = lladdr.or(old.is_valid().then_some(self.lladdr)) else { return false };
        // an address known to an entry that is not valid counts as new
        let mut same = old.is_valid() && mac == self.lladdr;
        let (mut mac, mut new) = (mac, new);
        if new.is_connected() {
            self.confirmed = j;
        }
        if old.is_valid() {
            if !same && !flags.replace {
                if !(flags.weak && old.is_connected()) {
                    return false;
                }
                (mac, same, new) = (self.lladdr, true, Nud::Stale);
            } else if same && new == Nud::Stale && !flags.admin {
                new = old;
            }
        }
        if new != old || !same {
            self.updated = j;
        }
        if new != old {
            self.timer = None;
            if new == Nud::Probe {
                self.probes = 0;
            }
            if new.is_timed() {
                let wait = if new == Nud::Reachable { t.reachable } else { 0 };
                self.timer = Some(clock.fires(now, wait));
            }
            self.state = new;
        }
        if !same {
            self.lladdr = mac;
            if !new.is_connected() {
                self.confirmed = j.saturating_sub(t.base_reachable << 1);
            }
        }
        if !old.is_valid() {
            self.drain(clock, t, now, acts);
        }
        true
    }

    /// The queue leaves; if the entry is only STALE, the first packet moves it to DELAY.
    fn drain(&mut self, clock: &KernelClock, t: &Timing, now: Time, acts: &mut Vec<Act>) {
        self.queue_bytes = 0;
        let mut queue = core::mem::take(&mut self.queue);
        let first = !queue.is_empty();
        for packet in queue.drain(..) {
            self.output(clock, t, now, packet, acts);
        }
        if first {
            // these went by the slow path, which refreshes `used` in every state
            self.used = clock.jiffies(now);
        }
        self.queue = queue;
    }

    /// Traffic of an upper layer proved that the neighbour hears us (neigh_confirm).
    pub(super) fn confirm(&mut self, clock: &KernelClock, now: Time) {
        self.confirmed = clock.jiffies(now);
    }

    /// Locktime: a changed address is refused for so long after the last change (arp_process).
    pub(super) fn is_locked(&self, clock: &KernelClock, t: &Timing, now: Time) -> bool {
        clock.jiffies(now) <= self.updated + t.locktime
    }
}
