//! The veth pair: where its ends are, whether it carries, when the kernel notices.

use crate::addr::{Ends, Side};
use crate::choice::{ChoiceKind, Chooser};
use crate::host::{HostState, IfIndex, Link, LinkChange, Mutation};
use crate::time::{Span, Time};

/// The least time between two carrier changes handled by one kernel, unless they are urgent
/// (linkwatch_nextevent, net/core/link_watch.c).
const LINKWATCH_INTERVAL: Span = Span::from_secs(1);

/// The state of the pair as a wire.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Veth {
    ends: Ends,
    /// Where the host end is; `None` while there is no pair.
    pub(crate) host_end: Option<Side>,
    /// Its number there. A device that is renamed stays what it is.
    host_ix: Option<IfIndex>,
    /// The number of the pod's end.
    pod_ix: Option<IfIndex>,
    carries: bool,
    /// See [`super::PairSpec::plain`].
    plain: bool,
    linkwatch_free: Option<Time>,
    /// A change of the carrier that the kernel has yet to notice, and when it does.
    pending: Option<(bool, Time)>,
}

impl Veth {
    /// No pair yet.
    pub(crate) fn new(ends: Ends, plain: bool) -> Veth {
        Veth {
            ends,
            host_end: None,
            host_ix: None,
            pod_ix: None,
            carries: false,
            plain,
            linkwatch_free: None,
            pending: None,
        }
    }

    /// Forgets the pair.
    pub(crate) fn reset(&mut self) {
        *self = Veth { linkwatch_free: self.linkwatch_free, ..Veth::new(self.ends, self.plain) };
    }

    pub(crate) fn ends(&self) -> Ends {
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
        self.pending.map(|p| p.1)
    }

    /// Both ends up is carrier on both; either one down is carrier on neither (veth_open,
    /// veth_close). The kernel notices at once when the two ends have different numbers, as on
    /// any real node; ends with equal numbers look to it like plain devices, whose changes it
    /// handles at most once a second (linkwatch_urgent_event; seen on 6.18).
    pub(crate) fn update(&mut self, now: Time, host: &HostState, pod: &HostState, chooser: &mut dyn Chooser) {
        let near = self.near(pod);
        let far = self.far(host, pod);
        let carries = near.zip(far).is_some_and(|(a, b)| a.is_up() && b.is_up());
        if carries == self.carries {
            return;
        }
        self.carries = carries;
        let urgent = !self.plain && near.zip(far).is_none_or(|(a, b)| a.index() != b.index());
        let at = if urgent {
            now
        } else {
            let free = self.linkwatch_free.unwrap_or_else(|| {
                // somebody else's link may have changed within the last second
                let ms = chooser.choose(ChoiceKind::CarrierNotice, LINKWATCH_INTERVAL.as_ms());
                now + Span::from_ms(ms)
            });
            let at = free.max(now);
            self.linkwatch_free = Some(at + LINKWATCH_INTERVAL);
            at
        };
        self.pending = Some((carries, self.pending.map_or(at, |p| p.1.min(at))));
    }

    /// The carrier that the kernel notices now, as changes of both ends.
    pub(crate) fn take_notice(
        &mut self,
        now: Time,
        host: &HostState,
        pod: &HostState,
    ) -> Option<[(Side, Mutation); 2]> {
        let (carrier, at) = self.pending?;
        if at > now {
            return None;
        }
        self.pending = None;
        let side = self.host_end?;
        // an end that is gone by now has no carrier to notice
        let far = self.far(host, pod).map_or(self.ends.cali, Link::name);
        let near = self.near(pod).map_or(self.ends.eth, Link::name);
        let change = |side, dev| (side, Mutation::LinkSet { dev, change: LinkChange::Carrier(carrier) });
        Some([change(side, far), change(Side::Pod, near)])
    }

    /// The number of the host end in the host's namespace.
    pub(crate) fn host_index(&self, host: &HostState) -> Option<IfIndex> {
        let ix = self.host_ix.filter(|_| self.host_end == Some(Side::Host))?;
        host.link(ix).map(Link::index)
    }
}
