//! The namespace's limit on the ICMP errors it sends (icmp_global_allow, net/ipv4/icmp.c): a
//! bucket of `icmp_msgs_burst` that refills at `icmp_msgs_per_sec`. When many packets fail
//! together, only about fifty of their senders hear of it.

use crate::choice::{ChoiceKind, Chooser};
use crate::host::HostState;
use crate::host::conf::Global;
use crate::neigh::KernelClock;
use crate::time::{Span, Time};

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct IcmpBucket {
    credit: i64,
    stamp: Option<u64>,
}

impl IcmpBucket {
    /// True when there is credit for one message.
    pub(super) fn has_credit(&mut self, clock: &KernelClock, now: Time, state: &HostState) -> bool {
        self.credit > 0 || self.refill(clock, now, state)
    }

    /// Takes what one message costs: 0 to 2, drawn evenly, which may leave a debt.
    pub(super) fn consume(&mut self, chooser: &mut dyn Chooser) {
        self.credit -= chooser.choose(ChoiceKind::IcmpCredit, 3).cast_signed();
    }

    fn refill(&mut self, clock: &KernelClock, now: Time, state: &HostState) -> bool {
        let second = clock.ticks(Span::from_secs(1));
        let j = clock.jiffies(now);
        let delta = self.stamp.map_or(second, |s| (j - s).min(second));
        if delta < second / 50 {
            return false;
        }
        let per_sec = u64::try_from(state.global(Global::IcmpMsgsPerSec)).unwrap_or(0);
        let more = (per_sec * delta / second).cast_signed();
        if more == 0 {
            return false;
        }
        self.stamp = Some(j);
        self.credit = (self.credit + more).min(i64::from(state.global(Global::IcmpMsgsBurst)));
        true
    }
}
