//! The veth pair: where its ends are, whether it carries, when the kernel notices.

use crate::addr::{IfName, Side, VethEnds};
use crate::choice::{ChoiceKind, Chooser};
use crate::host::{HostState, IfIndex, Link, LinkChange, Mutation};
use crate::time::{Span, Time};
use smallvec::SmallVec;

/// The least time between two rounds in which a kernel handles carrier changes that are not urgent
/// (linkwatch_nextevent, net/core/link_watch.c).
const LINKWATCH_INTERVAL: Span = Span::from_secs(1);

/// What the kernels notice of the carrier in one moment, as changes.
pub(crate) type Notices = SmallVec<[(Side, Mutation); 2]>;

/// The state of the pair as a wire.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Veth {
    ends: VethEnds,
    /// Where the host end is; `None` while there is no pair.
    pub(crate) host_end: Option<Side>,
    /// Its number there. A device that is renamed stays what it is.
    host_ix: Option<IfIndex>,
    /// The number of the pod's end.
    pod_ix: Option<IfIndex>,
    carries: bool,
    /// Which ends are up, the host end first.
    up: [bool; 2],
    /// See [`super::Wire::plain`].
    plain: bool,
    /// When the next round may come; not known before the first, since other links share them.
    linkwatch_free: Option<Time>,
    /// Changes of the carrier that the kernel has yet to notice, and when it does, by end.
    pending: [Option<(bool, Time)>; 2],
}

impl Veth {
    /// No pair yet.
    pub(crate) fn new(ends: VethEnds, plain: bool) -> Veth {
        Veth {
            ends,
            host_end: None,
            host_ix: None,
            pod_ix: None,
            carries: false,
            up: [false; 2],
            plain,
            linkwatch_free: None,
            pending: [None; 2],
        }
    }

    /// Forgets the pair.
    pub(crate) fn reset(&mut self) {
        *self = Veth { linkwatch_free: self.linkwatch_free, ..Veth::new(self.ends, self.plain) };
    }

    pub(crate) fn ends(&self) -> VethEnds {
        self.ends
    }

    /// The pair is there, with its host end in that namespace, both under their names.
    pub(crate) fn place(&mut self, side: Side, host: &HostState, pod: &HostState) {
        let there = if side == Side::Host { host } else { pod };
        self.host_end = Some(side);
        self.host_ix = there.link_named(self.ends.cali).map(Link::index);
        self.pod_ix = pod.link_named(self.ends.eth).map(Link::index);
    }

    /// The host end, whatever it is called by now.
    pub(crate) fn far<'a>(&self, host: &'a HostState, pod: &'a HostState) -> Option<&'a Link> {
        let state = if self.host_end? == Side::Host { host } else { pod };
        state.link(self.host_ix?)
    }

    /// The pod's end, whatever it is called by now.
    pub(crate) fn near<'a>(&self, pod: &'a HostState) -> Option<&'a Link> {
        pod.link(self.pod_ix?)
    }

    /// True when the device of that number in that namespace is one of the ends.
    pub(crate) fn is_end(&self, side: Side, index: IfIndex) -> bool {
        let far = self.host_end == Some(side) && self.host_ix == Some(index);
        far || (side == Side::Pod && self.pod_ix == Some(index))
    }

    /// True when frames pass.
    pub(crate) fn carries(&self) -> bool {
        self.carries
    }

    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        self.pending.iter().flatten().map(|p| p.1).min()
    }

    /// The pair is there already in the two states, and what its carrier is has been noticed.
    pub(crate) fn adopt(&mut self, host: &HostState, pod: &HostState) {
        self.place(Side::Host, host, pod);
        self.up = [self.far(host, pod), self.near(pod)].map(|l| l.is_some_and(Link::is_up));
        self.carries = self.up == [true; 2];
    }

    /// Both ends up is carrier on both; either one down is carrier on neither (veth_open,
    /// veth_close). When a kernel notices is one rule (linkwatch_urgent_event, seen on 6.18):
    ///
    /// * Ends with different numbers, as on any real node: at once.
    /// * Ends with equal numbers look like plain devices. To an end that has been up without it a
    ///   carrier comes back at once, because its queue sleeps. Every other change, a loss or the
    ///   carrier of the end that is just being opened, waits for the next round, of which the
    ///   whole machine has one a second. What is undone before that is never noticed, and an end
    ///   that is down itself is not told.
    ///
    /// Simpler than the kernel: of an end that is opened anew within a second of its closing IPv6
    /// begins at once here; there it waits for the round, because the operational state does.
    pub(crate) fn update(&mut self, now: Time, host: &HostState, pod: &HostState, chooser: &mut dyn Chooser) {
        let ends = [self.far(host, pod), self.near(pod)];
        let was_up = core::mem::replace(&mut self.up, ends.map(|l| l.is_some_and(Link::is_up)));
        let carries = self.up == [true; 2];
        if carries == self.carries {
            return;
        }
        self.carries = carries;
        let numbers = ends[0].zip(ends[1]).map(|(far, near)| (far.index(), near.index()));
        if !self.plain && numbers.is_none_or(|(far, near)| far != near) {
            self.pending = [Some((carries, now)); 2];
            return;
        }
        let mut round = None;
        for at in 0..2 {
            let knows = ends[at].is_some_and(|l| l.has_carrier() == carries);
            // a device that is down itself is not told of its loss (linkwatch_do_dev)
            self.pending[at] = if knows || (!carries && !self.up[at]) {
                None
            } else if carries && was_up[at] {
                Some((carries, now))
            } else {
                Some((carries, *round.get_or_insert_with(|| self.next_round(now, chooser))))
            };
        }
        // a round that was due anyway takes what is urgent along
        if round.is_none() && self.linkwatch_free.is_some_and(|free| free <= now) {
            self.linkwatch_free = Some(now + LINKWATCH_INTERVAL);
        }
    }

    fn next_round(&mut self, now: Time, chooser: &mut dyn Chooser) -> Time {
        let free = self.linkwatch_free.unwrap_or_else(|| {
            // somebody else's link may have changed within the last second
            let ms = chooser.choose(ChoiceKind::CarrierNotice, LINKWATCH_INTERVAL.as_ms());
            now + Span::from_ms(ms)
        });
        let at = free.max(now);
        self.linkwatch_free = Some(at + LINKWATCH_INTERVAL);
        at
    }

    /// The carrier that the kernels notice now, as changes of the ends; `None` when nothing is due.
    pub(crate) fn take_notice(&mut self, now: Time, host: &HostState, pod: &HostState) -> Option<Notices> {
        let due = self.pending.map(|p| p.filter(|p| p.1 <= now));
        if due == [None; 2] {
            return None;
        }
        for (pending, due) in self.pending.iter_mut().zip(due) {
            *pending = pending.filter(|_| due.is_none());
        }
        let side = self.host_end?;
        // an end that is gone by now has no carrier to notice
        let far = (side, self.far(host, pod).map_or(self.ends.cali, Link::name));
        let near = (Side::Pod, self.near(pod).map_or(self.ends.eth, Link::name));
        let change = |((side, dev), due): ((Side, IfName), Option<(bool, Time)>)| {
            Some((side, Mutation::LinkSet { dev, change: LinkChange::Carrier(due?.0) }))
        };
        Some([far, near].into_iter().zip(due).filter_map(change).collect())
    }

    /// The number of the host end in the host's namespace.
    pub(crate) fn host_index(&self, host: &HostState) -> Option<IfIndex> {
        let ix = self.host_ix.filter(|_| self.host_end == Some(Side::Host))?;
        host.link(ix).map(Link::index)
    }
}
