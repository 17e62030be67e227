//! The test of an address for duplicates (RFC 4862 section 5.4; addrconf_dad_kick,
//! addrconf_dad_work in net/ipv6/addrconf.c): it waits a random part of a second, sends
//! `dad_transmits` solicitations `retrans_time_ms` apart and listens as long again. All these
//! times sit on the timer wheel.
//!
//! On a link that comes up the tests begin when the kernel notices the carrier, which it may do
//! up to a second late; that wait belongs to whoever models the link.

use super::Stack;
use crate::addr::Mac;
use crate::choice::{ChoiceKind, Chooser};
use crate::host::conf::{Conf6, NeighVar};
use crate::host::{IfIndex, KernelChange, Link, Mutation};
use crate::time::{Span, Time};
use crate::wire::nd::{self, Solicit};
use ipnet::Ipv6Net;
use std::net::Ipv6Addr;

/// MAX_RTR_SOLICITATION_DELAY: the longest random wait before the first solicitation.
const WAIT_MAX: Span = Span::from_secs(1);
/// The shortest time between two solicitations (HZ/100).
const RETRANS_MIN: Span = Span::from_ms(10);

/// One address under test.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Test {
    dev: IfIndex,
    net: Ipv6Net,
    solicits_left: u32,
    nonce: [u8; 6],
    due: Time,
}

/// The tests that are under way.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct DadTests(Vec<Test>);

impl DadTests {
    pub(super) fn timer(&self) -> Option<Time> {
        self.0.iter().map(|t| t.due).min()
    }
}

impl Stack {
    fn kernel(&mut self, now: Time, change: KernelChange, chooser: &mut dyn Chooser) {
        if let Err(error) = self.apply(now, &Mutation::Kernel(change), chooser) {
            tracing::trace!(%error, "the interface went away meanwhile");
        }
    }

    /// An address was added that must be tested.
    pub(super) fn start_test(&mut self, now: Time, dev: IfIndex, net: Ipv6Net, chooser: &mut dyn Chooser) {
        let Some(link) = self.state.link(dev) else { return };
        let solicits = u32::try_from(link.conf6().get(Conf6::DadTransmits)).unwrap_or(0);
        let clock = *self.clock();
        let nonce = nonce(link, clock.jiffies(now));
        let ticks = chooser.choose(ChoiceKind::DadDelay, clock.ticks(WAIT_MAX));
        // work that is due at once does not go through a timer
        let due = if ticks == 0 { now } else { clock.fires(now, ticks) };
        self.dad.0.retain(|t| (t.dev, t.net) != (dev, net));
        self.dad.0.push(Test { dev, net, solicits_left: solicits, nonce, due });
        if due == now {
            self.go_on_with_tests(now, chooser);
        }
    }

    /// Runs what is due.
    pub(super) fn go_on_with_tests(&mut self, now: Time, chooser: &mut dyn Chooser) {
        while let Some(at) = self.dad.0.iter().position(|t| t.due <= now) {
            let test = self.dad.0.remove(at);
            self.go_on_with(now, test, chooser);
        }
    }

    fn go_on_with(&mut self, now: Time, mut test: Test, chooser: &mut dyn Chooser) {
        let Some(link) = self.state.link(test.dev) else { return };
        let (name, mac) = (link.name(), link.mac());
        // the address may have been removed, or given up
        let tested = |a: &crate::host::Ifa6| a.net == test.net && a.tentative && !a.dad_failed;
        if !link.addrs6().iter().any(tested) {
            return;
        }
        if test.solicits_left == 0 {
            return self.kernel(now, KernelChange::DadDone(name, test.net), chooser);
        }
        let retrans_ms = u64::try_from(link.neigh6().get(NeighVar::RetransTimeMs)).unwrap_or(0);
        let clock = *self.clock();
        let wait = clock.ticks(Span::from_ms(retrans_ms).max(RETRANS_MIN));
        test.solicits_left -= 1;
        test.due = clock.fires(now, wait);
        let (target, nonce) = (test.net.addr(), Some(test.nonce));
        let (dev, group) = (test.dev, nd::solicited_node(target));
        self.dad.0.push(test);
        let ns = Solicit { target, source: None, nonce };
        let packet = nd::solicit_packet(Ipv6Addr::UNSPECIFIED, group, &ns);
        debug_assert_ne!(mac, Mac::ZERO);
        self.transmit(dev, Mac::ipv6_multicast(group), &packet);
    }

    /// The nonce of a running test of that address here.
    pub(super) fn is_own_nonce(&self, dev: IfIndex, target: Ipv6Addr, nonce: [u8; 6]) -> bool {
        self.dad.0.iter().any(|t| t.dev == dev && t.net.addr() == target && t.nonce == nonce)
    }
}

/// Something the other end does not say at the same moment, even with the same MAC. The kernel
/// draws it; here it is made of who and when, so that runs repeat without another choice.
fn nonce(link: &Link, jiffies: u64) -> [u8; 6] {
    let (name, when) = (link.name(), jiffies.to_be_bytes());
    let named = |i| name.as_str().bytes().skip(i).step_by(6).fold(0, |sum: u8, b| sum.wrapping_mul(31) ^ b);
    core::array::from_fn(|i| link.mac().0[i] ^ when[i + 2] ^ named(i))
}
