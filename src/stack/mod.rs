//! One namespace at work: its state, its neighbour entries, the answers it holds back, the
//! errors it may send. Both ends of a pod's veth are a [`Stack`]; so is the lab's gateway.
//!
//! The stack is sans-IO. Frames and changes go in with the time of their arrival, and what it
//! wants done comes out of [`Stack::poll_output`]; [`Stack::poll_timeout`] says when it wants to
//! be called again. It never reads a clock and draws nothing but through the [`Chooser`].

mod bridge;
mod dad;
mod forward6;
mod gc;
mod icmp;
mod ndisc;
mod output;
mod peers;
mod proxyq;
mod receive;
mod timers;

use crate::addr::Mac;
use crate::choice::{ChoiceKind, Chooser};
use crate::host::conf::{NeighSet, NeighVar, Scope, SysctlKey};
use crate::host::{
    Decision, Effect, Errno, Family, HostState, IfIndex, InputFault, LinkKind, Mutation, NsDecision,
    NsRequest, Op, Reason, Refused, Request, SetNud,
};
use crate::neigh::{Cause, Discarded, KernelClock, NeighEvent, NeighTable, Nud, UpdateFlags};
use crate::packet::{Frame, IpBytes, Packet};
use crate::time::{Span, Time};
use crate::wire::Arp;
use dad::DadTests;
use icmp::IcmpBucket;
use peers::Peers;
use proxyq::ProxyQueue;
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

pub use output::SendError;

/// Why an IP packet went no further.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DropWhy {
    /// The input route has no way for it.
    Input(InputFault),
    /// It was waiting for a neighbour and is lost without an error.
    Neighbour(Discarded),
    /// The neighbour did not answer; its sender was told, if the error could be delivered.
    Unreachable,
    /// The error about it exceeded icmp_msgs_burst / icmp_msgs_per_sec.
    ErrorRateLimited,
    /// The error about it could not be delivered: `lo` is down.
    ErrorUndeliverable,
    /// It was sent to another station's MAC.
    OtherHost,
    /// It cannot be read.
    Malformed,
    /// Its time to live ran out.
    Expired,
    /// The way out has no device that is up.
    DeviceDown,
    /// The device has lost its carrier, and its queue swallows what it is given.
    NoCarrier,
}

/// What happened inside, for whoever watches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Note {
    /// An ARP request (or another ARP packet) was judged.
    Judged {
        /// Where it came in.
        dev: IfIndex,
        /// What it was; `None` when it could not be read.
        arp: Option<Arp>,
        /// Answered or not, and by which condition.
        decision: Decision,
        /// It was taken up after its delay.
        again: bool,
    },
    /// A neighbour solicitation was judged.
    JudgedNs {
        /// Where it came in.
        dev: IfIndex,
        /// What it was; `None` when it could not be read.
        request: Option<NsRequest>,
        /// Answered or not, and by which condition.
        decision: NsDecision,
        /// It was taken up after its delay.
        again: bool,
    },
    /// A neighbour entry changed.
    Neigh {
        /// Its device.
        dev: IfIndex,
        /// Its address.
        ip: IpAddr,
        /// The state before; `None` of an entry that is made.
        old: Option<Nud>,
        /// The state from now on; `None` of an entry that goes.
        new: Option<Nud>,
        /// The MAC it holds.
        lladdr: Option<Mac>,
        /// What changed the entry.
        cause: Cause,
    },
    /// A packet was lost here.
    Dropped {
        /// The packet.
        packet: IpBytes,
        /// What the kernel dropped it for.
        why: DropWhy,
    },
}

/// What the stack wants done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// A frame leaves.
    Transmit {
        /// By that device.
        dev: IfIndex,
        /// The frame.
        frame: Frame,
    },
    /// A packet leaves by a device whose neighbours are not modelled (see
    /// [`Stack::set_uplink`]).
    Uplink {
        /// The packet.
        packet: IpBytes,
    },
    /// A packet is for this namespace.
    Deliver {
        /// It came in by that device; the loopback for the stack's own errors.
        dev: IfIndex,
        /// The packet.
        packet: IpBytes,
    },
    /// Something to watch.
    Note(Note),
}

/// A namespace at work.
#[derive(Clone, Hash, Debug)]
pub struct Stack {
    state: Arc<HostState>,
    neigh: NeighTable,
    queue: ProxyQueue<Request>,
    queue6: ProxyQueue<NsRequest>,
    dad: DadTests,
    icmp: IcmpBucket,
    collector: gc::Collector,
    peers: Peers,
    uplink: Option<IfIndex>,
    icmp_errors_filtered: bool,
    stations: Vec<bridge::Station>,
    legs: Vec<(receive::ArpFlow, u32)>,
    out: VecDeque<Pending>,
}

/// `Output` behind a box would cost an allocation each; the queue is drained after every call, so
/// its content never counts for equality.
#[derive(Clone, Debug)]
struct Pending(Output);

impl core::hash::Hash for Pending {
    fn hash<H: core::hash::Hasher>(&self, _: &mut H) {}
}

impl Stack {
    /// A namespace that is in `state` now.
    pub fn new(state: impl Into<Arc<HostState>>, clock: KernelClock, chooser: &mut dyn Chooser) -> Stack {
        let mut stack = Stack {
            state: state.into(),
            neigh: NeighTable::new(clock),
            queue: ProxyQueue::default(),
            queue6: ProxyQueue::default(),
            dad: DadTests::default(),
            icmp: IcmpBucket::default(),
            collector: gc::Collector::default(),
            peers: Peers::default(),
            uplink: None,
            icmp_errors_filtered: false,
            stations: Vec::new(),
            legs: Vec::new(),
            out: VecDeque::new(),
        };
        let links: SmallVec<[IfIndex; 4]> =
            stack.state.links().iter().map(crate::host::Link::index).collect();
        for dev in links {
            stack.draw_reachable(dev, false, chooser);
            stack.draw_reachable(dev, true, chooser);
        }
        stack
    }

    /// Makes `dev` the way to the world: packets out of it are handed over as they are, as if
    /// its neighbours were always known, as long as nothing speaks against that (an entry that
    /// somebody wrote, a carrier that is lost, a neighbour that is the namespace itself).
    pub fn set_uplink(&mut self, dev: IfIndex) {
        self.uplink = Some(dev);
    }

    /// The namespace filters the ICMP errors it sends itself (a netfilter rule in the pod).
    pub fn filter_icmp_errors(&mut self, on: bool) {
        self.icmp_errors_filtered = on;
    }

    /// Whether it filters the ICMP errors it sends itself.
    #[must_use]
    pub fn filters_icmp_errors(&self) -> bool {
        self.icmp_errors_filtered
    }

    /// Its configuration.
    #[must_use]
    pub fn state(&self) -> &HostState {
        &self.state
    }

    /// Its neighbour entries.
    #[must_use]
    pub fn neighbours(&self) -> &NeighTable {
        &self.neigh
    }

    /// Its kernel's clock.
    #[must_use]
    pub fn clock(&self) -> &KernelClock {
        self.neigh.clock()
    }

    /// The next thing it wants done.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front().map(|o| o.0)
    }

    /// Changes the configuration, with everything that follows from it here.
    pub fn apply(&mut self, now: Time, change: &Mutation, chooser: &mut dyn Chooser) -> Result<(), Refused> {
        self.refuse_neigh(now, change, chooser)?;
        let effects = Arc::make_mut(&mut self.state).apply(change)?;
        // a write draws the reachable time of the device that was written, and of no other
        if let Mutation::Sysctl {
            key: key @ (SysctlKey::Neigh4(scope, var) | SysctlKey::Neigh6(scope, var)),
            ..
        } = change
            && *var == NeighVar::BaseReachableTimeMs
            && let Scope::Dev(dev) = scope
            && let Some(dev) = self.state.link_named(*dev).map(crate::host::Link::index)
        {
            self.draw_reachable(dev, matches!(key, SysctlKey::Neigh6(..)), chooser);
        }
        for effect in effects {
            self.effect(now, effect, chooser);
        }
        self.mind_collector(now, chooser);
        Ok(())
    }

    /// Refuses what only the neighbour table knows to be impossible: an entry that exists is not
    /// added again, one that does not exist is neither changed nor deleted, and one without an
    /// address does not become valid.
    fn refuse_neigh(
        &mut self,
        now: Time,
        change: &Mutation,
        chooser: &mut dyn Chooser,
    ) -> Result<(), Refused> {
        let Mutation::Neigh { op, dev, ip, lladdr, nud, .. } = change else { return Ok(()) };
        let Some(dev) = self.state.link_named(*dev).map(crate::host::Link::index) else { return Ok(()) };
        let entry = self.neigh.get(dev, *ip);
        let has_address = entry.is_some_and(|e| e.state().is_valid());
        let (errno, why) = match (op, entry.is_some()) {
            (Op::Add, true) => (Errno::Eexist, "there is an entry for that address"),
            (Op::Del | Op::Change, false) => (Errno::Enoent, "there is no entry for that address"),
            (Op::Add | Op::Replace | Op::Change, exists)
                if lladdr.is_none() && *nud != SetNud::Failed && !has_address =>
            {
                // neigh_add() makes the entry before it looks at what it is to hold, and leaves it
                if !exists {
                    let (set, mut events) = (params(&self.state, dev, ip.is_ipv6()), VecDeque::new());
                    self.neigh.ensure(now, dev, *ip, &set, &mut events);
                    self.act(now, events, chooser);
                }
                (Errno::Einval, crate::host::NO_LLADDR)
            }
            _ => return Ok(()),
        };
        Err(Refused { command: change.to_string(), errno, why })
    }

    fn effect(&mut self, now: Time, effect: Effect, chooser: &mut dyn Chooser) {
        let mut events = VecDeque::new();
        match effect {
            Effect::LinkNew(dev) => {
                self.draw_reachable(dev, false, chooser);
                self.draw_reachable(dev, true, chooser);
            }
            Effect::NeighFlush(dev, family, permanent) => {
                self.neigh.flush(dev, family, permanent, Cause::Flush, &mut events);
            }
            Effect::PurgeDelayed(Family::Inet) => self.purge_delayed(),
            Effect::PurgeDelayed(Family::Inet6) => self.purge_delayed6(),
            Effect::NeighSet(dev, ip, mac, nud, learned) => {
                let set = params(&self.state, dev, ip.is_ipv6());
                let flags = UpdateFlags { replace: true, weak: false, admin: true, learned };
                let nud = nud_of(nud);
                self.neigh.update(now, dev, ip, mac, nud, flags, Cause::Command, true, &set, &mut events);
            }
            Effect::NeighDel(dev, ip) => {
                let set = params(&self.state, dev, ip.is_ipv6());
                self.neigh.remove(now, dev, ip, &set, &mut events);
            }
            Effect::NeighSweep(dev) => {
                let state = Arc::clone(&self.state);
                self.neigh.sweep(now, dev, |dev, v6| params(&state, dev, v6), &mut events);
            }
            Effect::Announce(dev, ip) => self.announce(dev, ip),
            Effect::Announce6(dev, ip) => self.announce6(now, dev, ip, chooser),
            Effect::DadStart(dev, net) => self.start_test(now, dev, net, chooser),
            Effect::LinkUp(_)
            | Effect::LinkDown(_)
            | Effect::LinkGone(_)
            | Effect::Carrier(..)
            | Effect::MacChanged(_) => {}
        }
        self.act(now, events, chooser);
    }

    /// neigh_rand_reach_time: even over [0.5, 1.5) of the base, once per device.
    fn draw_reachable(&mut self, dev: IfIndex, v6: bool, chooser: &mut dyn Chooser) {
        let base_ms = params(&self.state, dev, v6).get(NeighVar::BaseReachableTimeMs);
        let base = self.clock().ticks(Span::from_ms(u64::try_from(base_ms).unwrap_or(0)));
        let drawn = if base == 0 { 0 } else { base / 2 + chooser.choose(ChoiceKind::ReachableTime, base) };
        self.neigh.set_reachable(dev, v6, drawn);
    }

    fn note(&mut self, note: Note) {
        self.out.push_back(Pending(Output::Note(note)));
    }

    fn emit(&mut self, output: Output) {
        if let Output::Transmit { dev, frame } = &output
            && self.state.link(*dev).is_some_and(|l| l.kind() == LinkKind::Bridge)
        {
            let (bridge, frame) = (*dev, frame.clone());
            return self.bridge_send(bridge, None, Mac(core::array::from_fn(|i| frame[i])), &frame);
        }
        self.out.push_back(Pending(output));
    }

    /// Books silence for a request that never reached ARP: the lab's link knows why.
    pub fn note_unheard(&mut self, dev: IfIndex, arp: Option<Arp>, reason: Reason) {
        self.note(Note::Judged { dev, arp, decision: Decision::Silent(reason), again: false });
    }

    /// Turns what the neighbour table wants into frames, errors and notes.
    fn act(&mut self, now: Time, mut events: VecDeque<NeighEvent>, chooser: &mut dyn Chooser) {
        if !events.is_empty() {
            self.mind_collector(now, chooser);
        }
        while let Some(event) = events.pop_front() {
            match event {
                NeighEvent::Solicit { dev, ip, to, src } => self.solicit(dev, ip, to, src),
                NeighEvent::Send { dev, mac, packet } => self.transmit(dev, mac, &packet.bytes),
                NeighEvent::Unreachable { packet, .. } => self.host_unreachable(now, packet, chooser),
                NeighEvent::Discard { packet, why } => {
                    self.note(Note::Dropped { packet: packet.bytes, why: DropWhy::Neighbour(why) });
                }
                NeighEvent::Changed { dev, ip, old, new, lladdr, cause } => {
                    self.note(Note::Neigh { dev, ip, old, new, lladdr, cause });
                }
            }
        }
    }

    /// Throws every delayed answer away, of either family.
    pub fn purge_all_delayed(&mut self) {
        self.purge_delayed();
        self.purge_delayed6();
    }

    /// True when the table is at gc_thresh3 with entries of other namespaces, so that no entry
    /// can be made (neigh_alloc).
    fn table_full(&self) -> bool {
        let limit = self.state.global(crate::host::conf::Global::GcThresh3);
        i64::from(self.state.neighbours_elsewhere()) >= i64::from(limit)
    }

    fn knows(&self, dev: IfIndex, ip: Ipv4Addr) -> bool {
        self.neigh.get(dev, ip.into()).is_some()
    }
}

/// The neighbour parameters of a device; those of a device that is gone are the kernel's.
fn params(state: &HostState, dev: IfIndex, v6: bool) -> NeighSet {
    state.link(dev).map_or(NeighSet::KERNEL, |l| if v6 { *l.neigh6() } else { *l.neigh4() })
}

fn nud_of(set: SetNud) -> Nud {
    match set {
        SetNud::Permanent => Nud::Permanent,
        SetNud::Noarp => Nud::Noarp,
        SetNud::Reachable => Nud::Reachable,
        SetNud::Stale => Nud::Stale,
        SetNud::Delay => Nud::Delay,
        SetNud::Probe => Nud::Probe,
        SetNud::Failed => Nud::Failed,
    }
}

/// A packet that the stack itself makes.
fn own(bytes: IpBytes) -> Packet {
    Packet { bytes, owner: None }
}
