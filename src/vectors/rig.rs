//! The laboratory the recordings were made in, as a model: a pair of pod and node with nobody behind
//! the node, and the other ends of the node's other interfaces, which say nothing.

use crate::addr::{IfName, Mac, VethEnds};
use crate::choice::{ChoiceKind, Chooser, First, Seeded};
use crate::gateway::{Reflex, ReflexOutside};
use crate::host::{HostState, IfIndex, LinkChange, Mutation, Refused};
use crate::neigh::{HZ_DEFAULT, KernelClock, NeighTable, Nud};
use crate::packet::{Frame, Packet};
use crate::pair::{Bench, Input, Pair, PairOutput, PairSpec, Wire, veth_end};
use crate::stack::Note;
use crate::time::{Span, Time};
use core::ops::ControlFlow;
use std::net::IpAddr;

/// The host end of the pod's veth.
pub(super) const HOST_END: IfName = IfName::literal("cali0");
/// The pod's end.
pub(super) const POD_END: IfName = IfName::literal("eth0");
/// The way to the world.
pub(super) const UPLINK: IfName = IfName::literal("up0");

/// The kernel notices a change of another interface's carrier after up to that long.
const LINK_EVENT_MAX: Span = Span::from_secs(1);

pub(super) use crate::addr::Side;

/// Draws what is drawn; link events are handled at once unless told otherwise, because the
/// machine was quiet.
#[derive(Clone)]
pub(super) struct RigDraws {
    seeded: Seeded,
    pub(super) link_events_wait: bool,
    /// The way that a flow takes where there are several; drawn when not given.
    pub(super) leg: Option<u64>,
    /// Somebody asked for it.
    pub(super) hashed: bool,
}

impl Chooser for RigDraws {
    fn choose(&mut self, kind: ChoiceKind, options: u64) -> u64 {
        match kind {
            ChoiceKind::CarrierNotice if !self.link_events_wait => First.choose(kind, options),
            ChoiceKind::FlowHash => {
                self.hashed = true;
                self.leg.map_or_else(|| self.seeded.choose(kind, options), |leg| leg % options)
            }
            _ => self.seeded.choose(kind, options),
        }
    }
}

/// A frame on the pod's veth.
#[derive(Clone, Debug)]
pub(super) struct SeenFrame {
    pub(super) at: Time,
    pub(super) from: Side,
    pub(super) frame: Frame,
}

/// A change of a neighbour entry.
#[derive(Clone, Debug)]
pub(super) struct StateChange {
    pub(super) at: Time,
    pub(super) side: Side,
    pub(super) dev: IfIndex,
    pub(super) ip: IpAddr,
    pub(super) state: Option<Nud>,
    pub(super) lladdr: Option<Mac>,
}

/// The two namespaces and what happens between them.
#[derive(Clone)]
pub(super) struct Rig {
    bench: Bench<ReflexOutside>,
    pub(super) draws: RigDraws,
    /// The host's other interfaces, and whether their far ends are up.
    others: Vec<(IfName, bool)>,
    log: Log,
}

/// What was seen.
#[derive(Clone, Default)]
struct Log {
    seen: Vec<SeenFrame>,
    changes: Vec<StateChange>,
}

impl Log {
    fn note(&mut self, at: Time, output: &PairOutput) -> ControlFlow<()> {
        match output {
            PairOutput::Transmit { from, frame } => {
                self.seen.push(SeenFrame { at, from: *from, frame: frame.clone() });
            }
            PairOutput::Note(side, Note::Neigh { dev, ip, new, lladdr, .. }) => {
                self.changes.push(StateChange {
                    at,
                    side: *side,
                    dev: *dev,
                    ip: *ip,
                    state: *new,
                    lladdr: *lladdr,
                });
            }
            PairOutput::Note(..) | PairOutput::Client(..) => {}
        }
        ControlFlow::Continue(())
    }
}

impl Rig {
    /// New namespaces with the pod's veth and those other interfaces of the host, all down.
    pub(super) fn new(seed: u64, others: &[IfName]) -> Rig {
        let seeded = Seeded::new(seed);
        let mut draws = RigDraws { seeded, link_events_wait: false, leg: None, hashed: false };
        let phase = draws.choose(ChoiceKind::WheelPhase, KernelClock::phases_ns(HZ_DEFAULT));
        let (mut node, mut pod) = (HostState::new(), HostState::new());
        for name in [HOST_END].iter().chain(others) {
            // a name can only be refused when it is there already
            let _ = node.apply(&veth_end(*name, None));
        }
        let _ = pod.apply(&veth_end(POD_END, None));
        let spec = PairSpec {
            wire: Wire {
                ends: VethEnds { cali: HOST_END, eth: POD_END, pod_mac: Mac::ZERO },
                latency: Span::ZERO,
                plain: false,
                purged_by_all: false,
                faults: Vec::new(),
            },
            node,
            pod,
            uplink: UPLINK,
            rtt: Span::ZERO,
            clock: KernelClock::new(HZ_DEFAULT, phase),
            icmp_errors_filtered: false,
        };
        let mut pair = Pair::new(spec, Reflex::new(&[]).into(), &mut draws);
        pair.adopt();
        let others = others.iter().map(|n| (*n, true)).collect();
        Rig { bench: Bench::new(pair, Time(1)), draws, others, log: Log::default() }
    }

    /// The time it is.
    pub(super) fn now(&self) -> Time {
        self.bench.now()
    }

    pub(super) fn state(&self, side: Side) -> &HostState {
        self.bench.pair.state(side)
    }

    pub(super) fn neighbours(&self, side: Side) -> &NeighTable {
        match side {
            Side::Host => self.bench.pair.gateway().stack().neighbours(),
            Side::Pod => self.bench.pair.pod().stack().neighbours(),
        }
    }

    /// Frames on the pod's veth.
    pub(super) fn seen(&self) -> &[SeenFrame] {
        &self.log.seen
    }

    /// Changes of neighbour entries.
    pub(super) fn changes(&self) -> &[StateChange] {
        &self.log.changes
    }

    /// The device's number on a side.
    pub(super) fn index(&self, side: Side, name: IfName) -> Option<IfIndex> {
        self.state(side).link_named(name).map(crate::host::Link::index)
    }

    /// Makes a change.
    pub(super) fn apply(&mut self, side: Side, change: &Mutation) -> Result<(), Refused> {
        let log = &mut self.log;
        self.bench.apply(side, change, &mut self.draws, &mut |now, output| log.note(now, output))?;
        if matches!(change, Mutation::LinkSet { change: LinkChange::Up(_), .. }) && side == Side::Host {
            self.sync_others();
        }
        Ok(())
    }

    /// Takes the far end of one of the host's other interfaces up or down.
    pub(super) fn set_far_end(&mut self, name: IfName, up: bool) {
        if let Some(other) = self.others.iter_mut().find(|o| o.0 == name) {
            other.1 = up;
        }
        self.sync_others();
    }

    /// An interface has carrier while both its ends are up. The pair sees to its own.
    fn sync_others(&mut self) {
        let wrong = |(name, far): &(IfName, bool)| {
            let link = self.state(Side::Host).link_named(*name)?;
            let carrier = *far && link.is_up();
            let change = LinkChange::Carrier(carrier);
            (link.has_carrier() != carrier).then_some(Mutation::LinkSet { dev: *name, change })
        };
        let changes: Vec<Mutation> = self.others.iter().filter_map(wrong).collect();
        if changes.is_empty() {
            return;
        }
        // all that changed is handled together, as linkwatch does
        let ms = self.draws.choose(ChoiceKind::CarrierNotice, LINK_EVENT_MAX.as_ms());
        let at = self.now() + Span::from_ms(ms);
        for change in changes {
            self.bench.at(at, Input::Host(change));
        }
        self.run_until(self.now());
    }

    /// Forgets what was seen so far.
    pub(super) fn forget(&mut self) {
        self.log = Log::default();
    }

    /// A frame arrives at an end of the veth, as if the other end had sent it.
    pub(super) fn inject(&mut self, to: Side, frame: &[u8]) {
        let name = if to == Side::Host { HOST_END } else { POD_END };
        if self.state(to).link_named(name).is_some_and(crate::host::Link::has_carrier) {
            // what is injected is not what is looked for
            let mut own = true;
            let (log, input) = (&mut self.log, Input::Frame(to, Frame::from_slice(frame)));
            self.bench.put(input, &mut self.draws, &mut |now, output| {
                if core::mem::take(&mut own) { ControlFlow::Continue(()) } else { log.note(now, output) }
            });
        }
    }

    /// The pod sends a packet.
    pub(super) fn pod_sends(&mut self, packet: Packet) {
        let log = &mut self.log;
        self.bench.put(Input::Packet(packet), &mut self.draws, &mut |now, output| log.note(now, output));
    }

    /// Lets time pass.
    pub(super) fn run_for(&mut self, span: Span) {
        self.run_until(self.now() + span);
    }

    /// Lets time pass.
    pub(super) fn run_until(&mut self, end: Time) {
        let log = &mut self.log;
        self.bench.run(end, &mut self.draws, &mut |now, output| log.note(now, output));
    }
}
