//! Requests for somebody beyond: arp_fwd_proxy(), arp_fwd_pvlan() and the explicit entry, then
//! the wait (pneigh_enqueue).

use super::condition::{Branch, Condition, Witness};
use super::decide::{After, Decision, Learn, Processed};
use super::met;
use super::process::Judge;
use super::reason::Reason;
use crate::host::fib::FibHit;
use crate::host::state::conf::{Conf4, NeighVar};
use crate::wire::{Arp, Cast};
use std::net::IpAddr;

impl<W: Witness> Judge<'_, W> {
    /// Whether the host answers for somebody that `hit` leads to.
    pub(in crate::host) fn may_proxy(&mut self, hit: &FibHit<'_>) -> Result<(), Reason> {
        let Arp { spa, tpa, .. } = self.request.arp;
        let (state, link) = (self.state, self.link);
        if hit.hop.dev == link.index() {
            // only proxy_arp_pvlan lets the input route end here
            self.witness.branch(Branch::Pvlan);
            return self.require(
                Condition::NotItself,
                spa != tpa,
                || Reason::PvlanSelf,
                |_, _| format!("{spa} asks for {tpa}"),
            );
        }
        self.witness.branch(Branch::Proxied);
        let entry = state.proxies().iter().any(|p| p.dev == link.index() && p.ip == IpAddr::V4(tpa));
        let proxying = entry || state.on4(link, Conf4::ProxyArp);
        self.require(
            Condition::Proxying,
            proxying,
            || Reason::ProxyArpOff,
            |s, l| met::proxying(s, l, tpa, entry),
        )?;
        if entry {
            return Ok(());
        }
        let in_id = link.conf4().get(Conf4::MediumId);
        let out_id = state.link(hit.hop.dev).map_or(0, |l| l.conf4().get(Conf4::MediumId));
        let allowed = match in_id {
            0 => true,
            -1 => false,
            _ => out_id != in_id && out_id != -1,
        };
        self.require(
            Condition::Medium,
            allowed,
            || Reason::MediumId { in_id, out_id },
            |_, _| format!("medium_id {in_id} here, {out_id} on the way out"),
        )
    }

    /// The answer for somebody beyond: at once, or after a wait. The sender is learned in any
    /// case, even when the answer is then lost.
    pub(in crate::host) fn proxied(&mut self) -> Processed {
        let link = self.link;
        let delay = link.neigh4().get(NeighVar::ProxyDelay);
        let limit = link.neigh4().get(NeighVar::ProxyQlen);
        let at_once = self.request.again || self.request.cast == Cast::Host || delay <= 0;
        // the kernel tests for more than the limit, so one more fits
        let room = at_once || i64::from(link.delayed_requests()) <= i64::from(limit);
        let queue = self.require(
            Condition::QueueRoom,
            room,
            || Reason::QueueFull { limit },
            |_, l| met::queue(l, at_once),
        );
        let decision = match queue {
            Err(reason) => Decision::Silent(reason),
            Ok(()) if at_once => self.reply(After::Now),
            Ok(()) => {
                Decision::Reply { mac: link.mac(), after: After::Delay { below: delay.unsigned_abs() } }
            }
        };
        Processed { decision, learn: Learn::Sender }
    }
}
