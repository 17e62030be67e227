//! The veth pair: where its ends are, whether it carries, when the kernel notices.

use crate::choice::{ChoiceKind, Chooser};
use crate::control::{Setting, Side};
use crate::host::{HostState, IfIndex, LinkChange, Mutation};
use crate::time::{Span, Time};

/// The least time between two carrier changes handled by one kernel, unless they are urgent
/// (linkwatch_nextevent, net/core/link_watch.c).
const LINKWATCH_INTERVAL: Span = Span::from_secs(1);

/// The state of the pair as a wire.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Veth {
    /// Where the host end is; `None` while there is no pair.
    pub(crate) host_end: Option<Side>,
    carries: bool,
    /// See [`crate::scenario::Plan::eth_is_plain`].
    plain: bool,
    linkwatch_free: Option<Time>,
    /// A change of the carrier that the kernel has yet to notice, and when it does.
    pending: Option<(bool, Time)>,
}

impl Veth {
    /// No pair yet.
    pub(crate) fn new(plain: bool) -> Veth {
        Veth { plain, ..Veth::default() }
    }

    /// Forgets the pair.
    pub(crate) fn reset(&mut self) {
        *self = Veth { linkwatch_free: self.linkwatch_free, ..Veth::new(self.plain) };
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
    pub(crate) fn update(
        &mut self,
        now: Time,
        setting: &Setting,
        host: &HostState,
        pod: &HostState,
        chooser: &mut dyn Chooser,
    ) {
        let near = pod.link_named(setting.eth);
        let far = match self.host_end {
            Some(Side::Host) => host.link_named(setting.cali),
            Some(Side::Pod) => pod.link_named(setting.cali),
            None => None,
        };
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
    pub(crate) fn take_notice(&mut self, now: Time, setting: &Setting) -> Option<[(Side, Mutation); 2]> {
        let (carrier, at) = self.pending?;
        if at > now {
            return None;
        }
        self.pending = None;
        let far = self.host_end?;
        let change = |side, dev| (side, Mutation::LinkSet { dev, change: LinkChange::Carrier(carrier) });
        Some([change(far, setting.cali), change(Side::Pod, setting.eth)])
    }

    /// The number of the host end in the host's namespace.
    pub(crate) fn host_index(&self, setting: &Setting, host: &HostState) -> Option<IfIndex> {
        (self.host_end == Some(Side::Host))
            .then(|| host.link_named(setting.cali).map(crate::host::Link::index))
            .flatten()
    }
}
