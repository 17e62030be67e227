//! Requests for one of the host's own addresses: proxy_arp, forwarding and proxy_delay do not
//! matter to them; `arp_ignore` and `arp_filter` matter to nothing else.

use super::condition::{Branch, Condition, Witness};
use super::decide::{After, Learn, Processed};
use super::met;
use super::process::Judge;
use super::reason::Reason;
use crate::host::fib::{AddrType, Flow};
use crate::host::state::HostState;
use crate::host::state::conf::{Conf4, Global};
use crate::host::state::link::{Ifa4, Link};
use crate::host::state::route::{RouteKind, RtScope};
use crate::wire::Arp;
use std::net::Ipv4Addr;

impl<W: Witness> Judge<'_, W> {
    pub(in crate::host) fn local(&mut self) -> Result<Processed, Reason> {
        self.witness.branch(Branch::Local);
        self.arp_ignore()?;
        let filtered = self.state.on4(self.link, Conf4::ArpFilter) && !self.way_back_is_here();
        let Arp { spa, tpa, .. } = self.request.arp;
        self.require(
            Condition::ArpFilter,
            !filtered,
            || Reason::ArpFilter,
            |s, l| met::arp_filter(s, l, spa, tpa),
        )?;
        let limit = self.state.global(Global::GcThresh3);
        let full = !self.request.sender_known && table_full(self.state);
        self.require(Condition::TableRoom, !full, || Reason::TableFull { limit }, |s, _| met::table(s))?;
        Ok(Processed { decision: self.reply(After::Now), learn: Learn::Sender })
    }

    /// Which own addresses arp_ignore lets through (arp_ignore, inet_confirm_addr).
    pub(in crate::host) fn arp_ignore(&mut self) -> Result<(), Reason> {
        let (state, link) = (self.state, self.link);
        let level = state.effective4(link, Conf4::ArpIgnore);
        let Arp { spa, tpa, .. } = self.request.arp;
        let sender = (!spa.is_unspecified()).then_some(spa);
        let known = match level {
            1 => state.confirms(link, None, tpa, RtScope::HOST),
            2 => state.confirms(link, sender, tpa, RtScope::HOST),
            3 => state.links().iter().any(|l| state.confirms(l, None, tpa, RtScope::LINK)),
            8 => false,
            _ => true,
        };
        self.require(
            Condition::ArpIgnore,
            known,
            || Reason::ArpIgnore { level },
            |s, l| met::conf4(s, l, Conf4::ArpIgnore),
        )
    }

    /// arp_filter(): does a packet from the target's address to the sender leave by the interface?
    fn way_back_is_here(&self) -> bool {
        let Arp { spa, tpa, .. } = self.request.arp;
        // a packet can only be sent from an address that is the host's (__ip_dev_find)
        let own = self.state.owns(tpa) || self.state.addr_type(tpa) == AddrType::Local;
        let flow = Flow::output(spa, tpa);
        let hit = self.state.fib_lookup(&flow).map(|hit| self.state.choose_leg(hit, &flow, self.request.leg));
        own && hit.is_ok_and(|hit| hit.route.kind != RouteKind::Local && hit.hop.dev == self.link.index())
    }
}

/// neigh_alloc() refuses at gc_thresh3 when nothing can be collected; entries younger than five
/// seconds cannot, so a table filled from elsewhere counts as full.
fn table_full(state: &HostState) -> bool {
    i64::from(state.neighbours_elsewhere()) >= i64::from(state.global(Global::GcThresh3))
}

impl HostState {
    /// The scope an address counts with: with `route_localnet` that of host addresses is link.
    fn counted_scope(&self, link: &Link, ifa: &Ifa4) -> RtScope {
        let host = if self.on4(link, Conf4::RouteLocalnet) { RtScope::LINK } else { RtScope::HOST };
        ifa.scope.min(host)
    }

    /// Is `local` an address of the device, of at most that scope, and does a subnet of the device
    /// hold both it and (when asked) `dst`? (confirm_addr_indev with an address)
    fn confirms(&self, link: &Link, dst: Option<Ipv4Addr>, local: Ipv4Addr, scope: RtScope) -> bool {
        let addrs = || link.addrs().iter();
        let has = addrs().any(|a| a.net.addr() == local && self.counted_scope(link, a) <= scope);
        let together = |a: &Ifa4| a.contains(local) && dst.is_none_or(|d| a.contains(d));
        has && addrs().any(together)
    }

    /// Could the device have sent from a link-wide address of its own to `dst` in its subnet?
    /// (confirm_addr_indev without an address, for `arp_accept` 2)
    pub(in crate::host) fn in_subnet_of(&self, link: &Link, dst: Ipv4Addr) -> bool {
        let fits = |a: &Ifa4| self.counted_scope(link, a) <= RtScope::LINK;
        let (mut chosen, mut same): (Option<&Ifa4>, bool) = (None, false);
        for ifa in link.addrs() {
            if chosen.is_none() && fits(ifa) {
                chosen = Some(ifa);
                if same {
                    break;
                }
            }
            if same || !ifa.contains(dst) {
                continue;
            }
            same = true;
            let Some(first) = chosen else { continue };
            if ifa.contains(first.net.addr()) || fits(ifa) {
                break;
            }
            // the address found does not lie in this subnet: look for a larger one
            same = false;
        }
        same && chosen.is_some()
    }
}
