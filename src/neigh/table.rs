//! The entries of one namespace, by device and address.

use super::clock::KernelClock;
use super::entry::{Act, Entry, Nud, UpdateFlags};
use crate::addr::Mac;
use crate::host::IfIndex;
use crate::host::conf::{NeighSet, NeighVar};
use crate::packet::Packet;
use crate::time::{Span, Time};
use std::collections::VecDeque;
use std::net::IpAddr;

/// The parameters of a device, in ticks where they are times.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Timing {
    /// mcast_solicit
    pub mcast: u32,
    /// ucast_solicit
    pub ucast: u32,
    /// app_solicit
    pub app: u32,
    /// mcast_resolicit
    pub mcast_resolicit: u32,
    /// retrans_time_ms, ticks
    pub retrans: u64,
    /// HZ/100: no timer is armed for less, ticks
    pub min_interval: u64,
    /// base_reachable_time_ms, ticks
    pub base_reachable: u64,
    /// What was drawn from it for the device, ticks
    pub reachable: u64,
    /// delay_first_probe_time, ticks
    pub delay_first_probe: u64,
    /// unres_qlen_bytes
    pub unres_qlen_bytes: u32,
    /// locktime, ticks
    pub locktime: u64,
}

impl Timing {
    /// The parameters of `set`, with the reachable time that was drawn for the device.
    #[must_use]
    pub fn new(clock: &KernelClock, set: &NeighSet, reachable: u64) -> Timing {
        let count = |v| u32::try_from(set.get(v)).unwrap_or(0);
        let ms = |v| clock.ticks(Span::from_ms(u64::from(count(v))));
        Timing {
            mcast: count(NeighVar::McastSolicit),
            ucast: count(NeighVar::UcastSolicit),
            app: count(NeighVar::AppSolicit),
            mcast_resolicit: count(NeighVar::McastResolicit),
            retrans: ms(NeighVar::RetransTimeMs),
            min_interval: clock.ticks(Span::from_ms(10)).max(1),
            base_reachable: ms(NeighVar::BaseReachableTimeMs),
            reachable,
            delay_first_probe: clock.ticks(Span::from_secs(u64::from(count(NeighVar::DelayFirstProbeTime)))),
            unres_qlen_bytes: count(NeighVar::UnresQlenBytes),
            locktime: clock.user_hz_ticks(u64::from(count(NeighVar::Locktime))),
        }
    }
}

/// Why an entry changed.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Debug,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// A packet wanted out.
    Output,
    /// Its timer.
    Timer,
    /// A received frame.
    Frame,
    /// A command.
    Command,
    /// The device lost its carrier, went down, or changed its MAC.
    Flush,
}

/// Why a waiting packet was dropped without a word.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Discarded {
    /// More than unres_qlen_bytes wait.
    QueueOverflow,
    /// mcast_solicit and app_solicit are 0.
    NoRequestsAllowed,
    /// The entry went away with its device's carrier.
    EntryFlushed,
}

/// What the table wants done or known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NeighEvent {
    /// A request must be sent.
    Solicit {
        /// Out of that device.
        dev: IfIndex,
        /// Who is wanted.
        ip: IpAddr,
        /// To that MAC, or to all.
        to: Option<Mac>,
        /// Source address of the packet that wants out, which the request uses if it can.
        src: Option<IpAddr>,
    },
    /// A packet leaves.
    Send {
        /// Out of that device.
        dev: IfIndex,
        /// To that MAC.
        mac: Mac,
        /// The packet.
        packet: Packet,
    },
    /// A packet cannot be delivered: "host unreachable" goes to its sender.
    Unreachable {
        /// The device.
        dev: IfIndex,
        /// Who did not answer.
        ip: IpAddr,
        /// The packet.
        packet: Packet,
    },
    /// A packet is lost without a word.
    Discard {
        /// The packet.
        packet: Packet,
        /// Why.
        why: Discarded,
    },
    /// An entry changed its state or address.
    Changed {
        /// The device.
        dev: IfIndex,
        /// The address.
        ip: IpAddr,
        /// State before; `None` when the entry is new.
        old: Option<Nud>,
        /// State after; `None` when the entry is gone.
        new: Option<Nud>,
        /// The MAC it holds now.
        lladdr: Option<Mac>,
        /// Why.
        cause: Cause,
    },
}

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
    slots: Vec<Slot>,
    /// The drawn reachable_time of each device, ticks.
    reachable: Vec<(IfIndex, bool, u64)>,
}

impl NeighTable {
    /// An empty table.
    #[must_use]
    pub fn new(clock: KernelClock) -> NeighTable {
        NeighTable { clock, slots: Vec::new(), reachable: Vec::new() }
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
        let reachable = drawn.unwrap_or_else(|| self.clock.ticks(Span::from_ms(base)));
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

    /// The earliest timer.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        self.slots.iter().filter_map(|s| s.entry.timer).min()
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
        self.run(at, Cause::Output, out, |entry, clock, acts| entry.output(clock, &t, now, packet, acts));
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
        for at in 0..self.slots.len() {
            let (dev, v6) = (self.slots[at].dev, self.slots[at].ip.is_ipv6());
            if self.slots[at].entry.timer.is_none_or(|t| t > now) {
                continue;
            }
            let t = self.timing(dev, v6, &params(dev, v6));
            self.run(at, Cause::Timer, out, |entry, clock, acts| entry.timeout(clock, &t, now, acts));
        }
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
        self.run(at, cause, out, |entry, clock, acts| {
            entry.update(clock, &t, now, mac, new, flags, acts);
        });
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
        let flags = UpdateFlags { replace: true, admin: true, weak: false };
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

    /// The entries of a device go, with what waits in them, silently (neigh_flush_dev). Without
    /// `permanent` the PERMANENT ones stay.
    pub fn flush(&mut self, dev: IfIndex, permanent: bool, cause: Cause, out: &mut VecDeque<NeighEvent>) {
        self.slots.retain_mut(|s| {
            if s.dev != dev || (!permanent && s.entry.state == Nud::Permanent) {
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
        out: &mut VecDeque<NeighEvent>,
        work: impl FnOnce(&mut Entry, &KernelClock, &mut Vec<Act>),
    ) {
        let slot = &mut self.slots[at];
        let (dev, ip) = (slot.dev, slot.ip);
        let (old, old_mac) = (slot.entry.state, slot.entry.lladdr());
        let mut acts = Vec::new();
        work(&mut slot.entry, &self.clock, &mut acts);
        let (new, lladdr) = (slot.entry.state, slot.entry.lladdr());
        if new != old || lladdr != old_mac {
            out.push_back(NeighEvent::Changed { dev, ip, old: Some(old), new: Some(new), lladdr, cause });
        }
        for act in acts {
            out.push_back(match act {
                Act::Solicit(to) => {
                    let src = slot.entry.queue.back().and_then(source_of);
                    NeighEvent::Solicit { dev, ip, to, src }
                }
                Act::Send(mac, packet) => NeighEvent::Send { dev, mac, packet },
                Act::Unreachable(packet) => NeighEvent::Unreachable { dev, ip, packet },
                Act::Overflow(packet) => NeighEvent::Discard { packet, why: Discarded::QueueOverflow },
                Act::Unasked(packet) => NeighEvent::Discard { packet, why: Discarded::NoRequestsAllowed },
            });
        }
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
