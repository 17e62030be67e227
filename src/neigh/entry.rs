//! One neighbour entry: states, timer, queue.

use super::clock::{KTimer, KernelClock};
use super::nud::{Nud, UpdateFlags};
use super::timing::Timing;
use crate::addr::Mac;
use crate::packet::Packet;
use crate::time::Time;
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::net::IpAddr;

/// What one entry wants done; [`super::NeighTable`] adds the address and the device.
#[derive(Debug)]
pub(super) enum Effect {
    /// Send a request: to that MAC, or to all; from the address of the last packet that waits.
    Solicit(Option<Mac>, Option<IpAddr>),
    /// Send a packet to a MAC.
    Send(Mac, Packet),
    /// The packet cannot be delivered; its sender is told (arp_error_report).
    Unreachable(Packet),
    /// The packet is dropped without a word because the queue is full.
    Overflow(Packet),
    /// Dropped without a word because no request may be sent (mcast_solicit 0).
    Unasked(Packet),
    /// Dropped without a word because a new resolution began while the old one was failing.
    Raced(Packet),
}

/// An entry changed less than so long ago is not taken by force.
const YOUNG_MS: u64 = 5_000;

/// The acts of one step; a resolution in which one packet waits has two.
pub(super) type Acts = SmallVec<[Effect; 2]>;

/// What every step of an entry needs to know, and where it puts what it wants.
pub(super) struct EntryCx<'a> {
    pub(super) clock: &'a KernelClock,
    pub(super) timing: &'a Timing,
    pub(super) now: Time,
    /// Timers armed so far in this namespace.
    pub(super) armed: &'a mut u64,
    pub(super) acts: &'a mut Acts,
}

impl EntryCx<'_> {
    fn jiffies(&self) -> u64 {
        self.clock.jiffies(self.now)
    }

    fn arm_at(&mut self, expires: u64) -> KTimer {
        *self.armed += 1;
        self.clock.arm_at(self.now, expires, *self.armed)
    }

    fn arm(&mut self, delay: u64) -> KTimer {
        self.arm_at(self.jiffies() + delay)
    }
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
    pub(super) timer: Option<KTimer>,
    /// The link header is cached (hh_cache): from then on a connected entry passes packets on
    /// without noting that it was used.
    pub(super) header_cached: bool,
    pub(super) queue: VecDeque<Packet>,
    pub(super) queue_bytes: u32,
    /// An agent answers for it (NTF_EXT_LEARNED): it is not collected. Only a write by hand
    /// changes that (neigh_update_flags).
    pub(super) learned: bool,
}

impl Entry {
    pub(super) fn new(clock: &KernelClock, timing: &Timing, now: Time) -> Entry {
        let j = clock.jiffies(now);
        Entry {
            state: Nud::None,
            lladdr: Mac::ZERO,
            updated: j,
            // far enough in the past that it does not count (neigh_create)
            confirmed: j - (timing.base_reachable << 1),
            used: j,
            probes: 0,
            timer: None,
            header_cached: false,
            queue: VecDeque::new(),
            queue_bytes: 0,
            learned: false,
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
    /// Bytes that wait, as the kernel counts them against `unres_qlen_bytes`.
    #[must_use]
    pub fn waiting_bytes(&self) -> u32 {
        self.queue_bytes
    }
    /// When its timer goes off.
    #[must_use]
    pub fn timer(&self) -> Option<Time> {
        self.timer.map(|t| t.at)
    }

    /// A packet wants out (neigh_output, neigh_event_send).
    pub(super) fn output(&mut self, cx: &mut EntryCx<'_>, packet: Packet) {
        if self.state.is_connected() && self.header_cached {
            // `used` is not refreshed on this path
            cx.acts.push(Effect::Send(self.lladdr, packet));
            return;
        }
        self.used = cx.jiffies();
        match self.state {
            Nud::Incomplete => self.enqueue(cx, packet),
            Nud::None | Nud::Failed => self.resolve(cx, packet),
            Nud::Stale => {
                self.change(Nud::Delay, cx.jiffies());
                self.timer = Some(cx.arm(cx.timing.delay_first_probe));
                self.pass_on(cx, packet);
            }
            _ => self.pass_on(cx, packet),
        }
    }

    fn pass_on(&mut self, cx: &mut EntryCx<'_>, packet: Packet) {
        self.header_cached = true;
        cx.acts.push(Effect::Send(self.lladdr, packet));
    }

    /// The first request leaves at once; nothing is held against an entry that failed before.
    fn resolve(&mut self, cx: &mut EntryCx<'_>, packet: Packet) {
        let t = cx.timing;
        if t.mcast + t.app == 0 {
            self.change(Nud::Failed, cx.jiffies());
            cx.acts.push(Effect::Unasked(packet));
            return;
        }
        // probes count from ucast_solicit, so that the limit is the same in both phases
        self.probes = t.ucast;
        self.change(Nud::Incomplete, cx.jiffies());
        self.timer = Some(cx.arm(t.retrans.max(t.min_interval)));
        self.enqueue(cx, packet);
        self.solicit(cx);
    }

    fn enqueue(&mut self, cx: &mut EntryCx<'_>, packet: Packet) {
        let size = packet.truesize();
        while self.queue_bytes.saturating_add(size) > cx.timing.unres_qlen_bytes {
            let Some(old) = self.queue.pop_front() else { break };
            self.queue_bytes -= old.truesize();
            cx.acts.push(Effect::Overflow(old));
        }
        self.queue_bytes += size;
        self.queue.push_back(packet);
    }

    /// One request (neigh_probe, arp_solicit): unicast ones first, then those handed to a
    /// daemon, which do not show on the wire, then broadcasts.
    fn solicit(&mut self, cx: &mut EntryCx<'_>) {
        let t = cx.timing;
        let src = self.queue.back().and_then(source_of);
        if self.probes < t.ucast {
            cx.acts.push(Effect::Solicit(Some(self.lladdr), src));
        } else if self.probes >= t.ucast + t.app {
            cx.acts.push(Effect::Solicit(None, src));
        }
        self.probes += 1;
    }

    fn max_probes(&self, t: &Timing) -> u32 {
        t.ucast + t.app + if self.state == Nud::Probe { t.mcast_resolicit } else { t.mcast }
    }

    /// True when its next timer ends the resolution without success.
    pub(super) fn is_failing(&self, t: &Timing) -> bool {
        matches!(self.state, Nud::Incomplete | Nud::Probe) && self.probes >= self.max_probes(t)
    }

    /// The timer went off (neigh_timer_handler).
    pub(super) fn timeout(&mut self, cx: &mut EntryCx<'_>) {
        self.timer = None;
        let (j, t) = (cx.jiffies(), cx.timing);
        let retry = j + t.retrans.max(t.min_interval);
        let next = match self.state {
            Nud::Reachable if j <= self.confirmed + t.reachable => self.confirmed + t.reachable,
            Nud::Reachable if j <= self.used + t.delay_first_probe => {
                self.change(Nud::Delay, j);
                j + t.delay_first_probe
            }
            Nud::Reachable => return self.change(Nud::Stale, j),
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
        if self.is_failing(t) {
            self.change(Nud::Failed, j);
            return self.fail(cx);
        }
        self.timer = Some(cx.arm_at(next.max(j + t.min_interval)));
        if matches!(self.state, Nud::Incomplete | Nud::Probe) {
            self.solicit(cx);
        }
    }

    /// As [`Entry::timeout`] of an entry that [is failing](Entry::is_failing), while another
    /// processor sends a packet to it.
    ///
    /// neigh_invalidate() gives up the entry's lock while it reports each waiting packet. A packet
    /// that slips in then, `behind` so many reports, begins a new resolution; the loop notices the
    /// changed state, stops, and throws away what is left in the queue, the new packet included.
    /// The senders of those reported hear of the failure, the others of nothing. Measured with
    /// ping, whose clock ticks with the entry's.
    pub(super) fn fail_amid(&mut self, cx: &mut EntryCx<'_>, packet: Packet, behind: usize) {
        self.timer = None;
        self.change(Nud::Failed, cx.jiffies());
        for told in self.queue.drain(..behind.min(self.queue.len())) {
            self.queue_bytes -= told.truesize();
            cx.acts.push(Effect::Unreachable(told));
        }
        self.output(cx, packet);
        cx.acts.extend(self.queue.drain(..).map(Effect::Raced));
        self.queue_bytes = 0;
    }

    fn change(&mut self, state: Nud, jiffies: u64) {
        self.state = state;
        self.updated = jiffies;
    }

    /// Every waiting packet is reported to its sender (neigh_invalidate).
    fn fail(&mut self, cx: &mut EntryCx<'_>) {
        cx.acts.extend(self.queue.drain(..).map(Effect::Unreachable));
        self.queue_bytes = 0;
    }

    /// Something was learned about the entry (__neigh_update). Returns false when the update is
    /// refused outright.
    pub(super) fn update(
        &mut self,
        cx: &mut EntryCx<'_>,
        lladdr: Option<Mac>,
        new: Nud,
        flags: UpdateFlags,
    ) -> bool {
        if matches!(self.state, Nud::Permanent | Nud::Noarp) && !flags.admin {
            return false;
        }
        if flags.admin {
            self.learned = flags.learned;
        }
        if !new.is_valid() {
            self.invalidate(cx, new);
            return true;
        }
        let old = self.state;
        let Some(mac) = lladdr.or(old.is_valid().then_some(self.lladdr)) else { return false };
        if new.is_connected() {
            // even when the address below is refused: a reply from anybody confirms
            self.confirmed = cx.jiffies();
        }
        // an address known to an entry that is not valid counts as new
        let same = old.is_valid() && mac == self.lladdr;
        let (mac, new, same) = match (old.is_valid(), same) {
            (true, false) if !flags.replace => {
                if !(flags.weak && old.is_connected()) {
                    return false;
                }
                (self.lladdr, Nud::Stale, true)
            }
            (true, true) if new == Nud::Stale && !flags.admin => (mac, old, true),
            _ => (mac, new, same),
        };
        self.take(cx, mac, new, same);
        if !old.is_valid() {
            self.drain(cx);
        }
        true
    }

    /// The entry loses its address by an update: only a resolution that was under way reports
    /// what waited for it.
    fn invalidate(&mut self, cx: &mut EntryCx<'_>, new: Nud) {
        let old = core::mem::replace(&mut self.state, new);
        self.timer = None;
        if matches!(old, Nud::Incomplete | Nud::Probe) && new == Nud::Failed {
            self.updated = cx.jiffies();
            self.fail(cx);
        }
    }

    /// Takes over a valid state and address.
    fn take(&mut self, cx: &mut EntryCx<'_>, mac: Mac, new: Nud, same: bool) {
        let (old, j) = (self.state, cx.jiffies());
        if new != old || !same {
            self.updated = j;
        }
        if new != old {
            self.timer = None;
            if new == Nud::Probe {
                self.probes = 0;
            }
            if new.is_timed() {
                let wait = if new == Nud::Reachable { cx.timing.reachable } else { 0 };
                self.timer = Some(cx.arm(wait));
            }
            self.state = new;
        }
        if !same {
            self.lladdr = mac;
            if !new.is_connected() {
                self.confirmed = j - (cx.timing.base_reachable << 1);
            }
        }
    }

    /// The queue leaves; if the entry is only STALE, the first packet moves it to DELAY.
    fn drain(&mut self, cx: &mut EntryCx<'_>) {
        self.queue_bytes = 0;
        let mut queue = core::mem::take(&mut self.queue);
        if !queue.is_empty() {
            // these take the slow path in every state, which notes the use
            self.used = cx.jiffies();
        }
        for packet in queue.drain(..) {
            self.output(cx, packet);
        }
        self.queue = queue;
    }

    /// Traffic of an upper layer proved that the neighbour hears us (neigh_confirm).
    pub(super) fn confirm(&mut self, clock: &KernelClock, now: Time) {
        self.confirmed = clock.jiffies(now);
    }

    /// No timer runs, nobody set it for ever and no agent answers for it: the collector may take it when it is unused.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.state != Nud::Permanent && !self.state.is_timed() && !self.learned
    }

    /// Whether the collector takes it (neigh_periodic_work).
    pub(super) fn is_unused(&self, clock: &KernelClock, t: &Timing, now: Time) -> bool {
        // the use that is noted may be older than a confirmation
        let used = self.used.max(self.confirmed);
        self.is_idle() && (self.state == Nud::Failed || clock.jiffies(now) >= used + t.gc_stale)
    }

    /// Whether it may be taken by force (neigh_forced_gc): young ones are spared.
    pub(super) fn is_expendable(&self, clock: &KernelClock, now: Time) -> bool {
        let young = clock.jiffies(now) <= self.updated + clock.ticks_of_ms(YOUNG_MS);
        self.is_idle() && (matches!(self.state, Nud::Failed | Nud::Noarp) || !young)
    }

    /// Locktime: a changed address is refused for so long after the last change (arp_process).
    pub(super) fn is_locked(&self, clock: &KernelClock, t: &Timing, now: Time) -> bool {
        clock.jiffies(now) <= self.updated + t.locktime
    }
}

/// The source address of an IP packet.
fn source_of(packet: &Packet) -> Option<IpAddr> {
    let b = &packet.bytes;
    match b.first()? >> 4 {
        4 => b.get(12..16).map(|s| IpAddr::from([s[0], s[1], s[2], s[3]])),
        6 => b.get(8..24).and_then(|s| <[u8; 16]>::try_from(s).ok()).map(IpAddr::from),
        _ => None,
    }
}
