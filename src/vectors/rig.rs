//! The laboratory the recordings were made in, as a model: the host's namespace, the pod's, the
//! veth between them, and the other ends of the host's other interfaces, which say nothing.

use crate::addr::{IfName, Mac};
use crate::choice::{ChoiceKind, Chooser, First, Seeded};
use crate::host::{HostState, IfIndex, LinkChange, LinkKind, Mutation, Refused};
use crate::neigh::{KernelClock, Nud};
use crate::packet::Frame;
use crate::stack::{Note, Output, Stack};
use crate::time::{Span, Time};
use std::net::IpAddr;

/// The host end of the pod's veth.
pub(super) const HOST_END: IfName = IfName::literal("cali0");
/// The pod's end.
pub(super) const POD_END: IfName = IfName::literal("eth0");
/// The way to the world.
pub(super) const UPLINK: IfName = IfName::literal("up0");

/// linkwatch: the kernel notices a change of a carrier after up to that long.
const LINK_EVENT_MAX: Span = Span::from_secs(1);

/// Which namespace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Side {
    Host,
    Pod,
}

/// Draws what is drawn; link events are handled at once unless told otherwise, because the
/// machine was quiet.
#[derive(Clone)]
pub(super) struct Draws {
    seeded: Seeded,
    pub(super) link_events_wait: bool,
    /// The way that a flow takes where there are several; drawn when not given.
    pub(super) leg: Option<u64>,
    /// Somebody asked for it.
    pub(super) hashed: bool,
}

impl Chooser for Draws {
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
pub(super) struct Seen {
    pub(super) at: Time,
    pub(super) from: Side,
    pub(super) frame: Frame,
}

/// A change of a neighbour entry.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) at: Time,
    pub(super) side: Side,
    pub(super) dev: IfName,
    pub(super) ip: IpAddr,
    pub(super) state: Option<Nud>,
    pub(super) lladdr: Option<Mac>,
}

/// A carrier change, and when the kernel notices it.
#[derive(Clone, Debug)]
struct Notice {
    at: Time,
    side: Side,
    dev: IfName,
    carrier: bool,
}

/// The laboratory at work.
#[derive(Clone)]
pub(super) struct Rig {
    pub(super) now: Time,
    pub(super) draws: Draws,
    host: Stack,
    pod: Stack,
    /// Other ends of the host's interfaces that the pod does not hold, and whether they are up.
    others: Vec<(IfName, bool)>,
    /// Changes of carriers that the kernel has not noticed yet.
    unnoticed: Vec<Notice>,
    pub(super) seen: Vec<Seen>,
    pub(super) changes: Vec<Change>,
}

impl Rig {
    /// Two namespaces joined by a veth, with the host interfaces `others` besides; nothing is up.
    pub(super) fn new(seed: u64, others: &[IfName]) -> Rig {
        let seeded = Seeded::new(seed);
        let mut draws = Draws { seeded, link_events_wait: false, leg: None, hashed: false };
        let phase = draws.choose(ChoiceKind::WheelPhase, KernelClock::phases_ns(crate::neigh::HZ_DEFAULT));
        let clock = KernelClock::new(crate::neigh::HZ_DEFAULT, phase);
        let mut host = HostState::new();
        let mut pod = HostState::new();
        let veth = |name| Mutation::LinkAdd { name, kind: LinkKind::Veth, mac: None };
        for name in [HOST_END].iter().chain(others) {
            // a name can only be refused when it is there already
            let _ = host.apply(&veth(*name));
        }
        let _ = pod.apply(&veth(POD_END));
        let uplink = host.link_named(UPLINK).map(crate::host::Link::index);
        let mut host = Stack::new(host, clock, &mut draws);
        if let Some(uplink) = uplink {
            host.set_uplink(uplink);
        }
        let pod = Stack::new(pod, clock, &mut draws);
        let others = others.iter().map(|n| (*n, true)).collect();
        Rig {
            now: Time(1),
            draws,
            host,
            pod,
            others,
            unnoticed: Vec::new(),
            seen: Vec::new(),
            changes: Vec::new(),
        }
    }

    pub(super) fn stack(&self, side: Side) -> &Stack {
        match side {
            Side::Host => &self.host,
            Side::Pod => &self.pod,
        }
    }

    fn stack_mut(&mut self, side: Side) -> (&mut Stack, &mut Draws) {
        match side {
            Side::Host => (&mut self.host, &mut self.draws),
            Side::Pod => (&mut self.pod, &mut self.draws),
        }
    }

    /// The device's number on a side.
    pub(super) fn index(&self, side: Side, name: IfName) -> Option<IfIndex> {
        self.stack(side).state().link_named(name).map(crate::host::Link::index)
    }

    /// Makes a change, with what it does to the carrier at the other end of a veth.
    pub(super) fn apply(&mut self, side: Side, change: &Mutation) -> Result<(), Refused> {
        let now = self.now;
        let (stack, draws) = self.stack_mut(side);
        stack.apply(now, change, draws)?;
        if matches!(change, Mutation::LinkSet { change: LinkChange::Up(_), .. } | Mutation::LinkDel { .. }) {
            self.sync_carriers();
        }
        self.settle();
        Ok(())
    }

    /// Takes the far end of one of the host's other interfaces up or down.
    pub(super) fn set_far_end(&mut self, name: IfName, up: bool) {
        if let Some(other) = self.others.iter_mut().find(|o| o.0 == name) {
            other.1 = up;
        }
        self.sync_carriers();
        self.settle();
    }

    /// A veth has carrier while both its ends are up.
    fn sync_carriers(&mut self) {
        let up = |stack: &Stack, name| stack.state().link_named(name).is_some_and(crate::host::Link::is_up);
        let both = up(&self.host, HOST_END) && up(&self.pod, POD_END);
        let mut wanted = vec![(Side::Host, HOST_END, both), (Side::Pod, POD_END, both)];
        for (name, far) in &self.others {
            wanted.push((Side::Host, *name, *far && up(&self.host, *name)));
        }
        // all that changed is handled together, as linkwatch does
        let ms = self.draws.choose(ChoiceKind::CarrierNotice, LINK_EVENT_MAX.as_ms());
        let at = self.now + Span::from_ms(ms);
        for (side, dev, carrier) in wanted {
            self.unnoticed.retain(|n| (n.side, n.dev) != (side, dev));
            let has = self.stack(side).state().link_named(dev).map(crate::host::Link::has_carrier);
            if has.is_some_and(|has| has != carrier) {
                self.unnoticed.push(Notice { at, side, dev, carrier });
            }
        }
        self.notice_carriers();
    }

    fn notice_carriers(&mut self) {
        let now = self.now;
        while let Some(at) = self.unnoticed.iter().position(|n| n.at <= now) {
            let Notice { side, dev, carrier, .. } = self.unnoticed.remove(at);
            let (stack, draws) = self.stack_mut(side);
            let change = Mutation::LinkSet { dev, change: LinkChange::Carrier(carrier) };
            // a device that is gone meanwhile has no carrier to notice
            let _ = stack.apply(now, &change, draws);
        }
    }

    /// Forgets what was seen so far.
    pub(super) fn forget(&mut self) {
        self.seen.clear();
        self.changes.clear();
    }

    /// A frame arrives at an end of the veth, as if the other end had sent it.
    pub(super) fn inject(&mut self, to: Side, frame: &[u8]) {
        let name = if to == Side::Host { HOST_END } else { POD_END };
        let now = self.now;
        let Some(dev) = self.index(to, name) else { return };
        if self.stack(to).state().link(dev).is_some_and(crate::host::Link::has_carrier) {
            let (stack, draws) = self.stack_mut(to);
            stack.receive(now, dev, frame, draws);
        }
        self.settle();
    }

    /// The pod sends a packet.
    pub(super) fn pod_sends(&mut self, packet: crate::packet::Packet) {
        let now = self.now;
        let (stack, draws) = self.stack_mut(Side::Pod);
        // what cannot be sent shows in what does not happen
        let _ = stack.send(now, packet, draws);
        self.settle();
    }

    /// Lets time pass.
    pub(super) fn run_for(&mut self, span: Span) {
        self.run_until(self.now + span);
    }

    /// Lets time pass.
    pub(super) fn run_until(&mut self, end: Time) {
        loop {
            let stacks = [&self.host, &self.pod].into_iter().filter_map(Stack::poll_timeout);
            let next = stacks.chain(self.unnoticed.iter().map(|n| n.at)).min();
            let Some(next) = next.filter(|t| *t <= end) else { break };
            self.now = self.now.max(next);
            let now = self.now;
            self.notice_carriers();
            for side in [Side::Host, Side::Pod] {
                let (stack, draws) = self.stack_mut(side);
                if stack.poll_timeout().is_some_and(|t| t <= now) {
                    stack.handle_timeout(now, draws);
                }
            }
            self.settle();
        }
        self.now = self.now.max(end);
    }

    /// Carries frames over until nobody has anything to say.
    fn settle(&mut self) {
        while let Some((side, output)) = self.next_output() {
            match output {
                Output::Transmit { dev, frame } => self.carry(side, dev, &frame),
                Output::Note(Note::Neigh { dev, ip, new, lladdr, .. }) => {
                    let (at, dev) = (self.now, self.stack(side).state().name_of(dev));
                    self.changes.push(Change { at, side, dev, ip, state: new, lladdr });
                }
                Output::Uplink { .. } | Output::Deliver { .. } | Output::Note(_) => {}
            }
        }
    }

    fn next_output(&mut self) -> Option<(Side, Output)> {
        let host = self.host.poll_output().map(|o| (Side::Host, o));
        host.or_else(|| self.pod.poll_output().map(|o| (Side::Pod, o)))
    }

    fn carry(&mut self, from: Side, dev: IfIndex, frame: &Frame) {
        let (own, to) = match from {
            Side::Host => (HOST_END, Side::Pod),
            Side::Pod => (POD_END, Side::Host),
        };
        let end = self.stack(from).state().link_named(own);
        if end.is_none_or(|l| l.index() != dev || !l.has_carrier()) {
            return;
        }
        self.seen.push(Seen { at: self.now, from, frame: frame.clone() });
        let far = if to == Side::Host { HOST_END } else { POD_END };
        let now = self.now;
        if let Some(dev) = self.index(to, far) {
            let (stack, draws) = self.stack_mut(to);
            stack.receive(now, dev, frame, draws);
        }
    }
}
