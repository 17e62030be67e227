//! Neighbour discovery at work: solicitations are judged, answered and sent, advertisements are
//! taken in (net/ipv6/ndisc.c).

use super::{Note, Stack, own, params};
use crate::addr::Mac;
use crate::choice::Chooser;
use crate::host::conf::Conf6;
use crate::host::{
    After, Family, IfIndex, KernelChange, Link, Mutation, NaVerdict, NsDecision, NsReason, NsReply,
    NsRequest, judge_na, process_ns,
};
use crate::neigh::{Cause, Nud, UpdateFlags};
use crate::time::Time;
use crate::wire::{
    Cast,
    nd::{self, Advert, NdMessage, Solicit},
};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

/// What an IPv6 packet says of the way it came.
#[derive(Clone, Copy)]
pub(super) struct Ip6Head {
    pub(super) dev: IfIndex,
    pub(super) cast: Cast,
    pub(super) src: Ipv6Addr,
    pub(super) dst: Ipv6Addr,
    pub(super) hop_limit: u8,
}

impl Stack {
    /// Takes an ICMPv6 message in if it is one of neighbour discovery and for this host; false
    /// when it is to be treated as any other packet.
    pub(super) fn receive_nd(
        &mut self,
        now: Time,
        packet: Ip6Head,
        icmp: &[u8],
        chooser: &mut dyn Chooser,
    ) -> bool {
        match nd::parse(packet.src, packet.dst, icmp) {
            Some(Ok(NdMessage::Solicit(ns))) => self.receive_ns(now, packet, ns, chooser),
            Some(Ok(NdMessage::Advert(na))) => self.receive_na(now, packet, &na, chooser),
            Some(Err(fault)) => {
                if !self.is_for_nd(&packet) {
                    return false;
                }
                let reason = NsReason::Malformed(fault);
                self.note_ns(packet.dev, None, NsDecision::Silent(reason), false);
                true
            }
            None => false,
        }
    }

    /// The packet reaches the message parser; what only passes by is not looked into.
    fn is_for_nd(&self, packet: &Ip6Head) -> bool {
        let taken = |l| {
            self.state.hears6(l, packet.src, packet.dst)
                || self.state.takes_in_passing(l, packet.src, packet.dst)
        };
        packet.dst.is_multicast() || self.state.link(packet.dev).is_some_and(taken)
    }

    fn receive_ns(&mut self, now: Time, packet: Ip6Head, ns: Solicit, chooser: &mut dyn Chooser) -> bool {
        let Ip6Head { dev, cast, src, dst, hop_limit } = packet;
        let own_nonce = ns.nonce.is_some_and(|nonce| self.is_own_nonce(dev, ns.target, nonce));
        let sender_known = self.neigh.get(dev, src.into()).is_some();
        let again = false;
        let request = NsRequest { dev, cast, src, dst, hop_limit, ns, own_nonce, sender_known, again };
        self.judge_ns(now, request, chooser) != Some(NsReason::NotDelivered)
    }

    /// Decides about a solicitation and does what follows: learn, answer, hold back, give up an
    /// address. Returns why it was silent, if it was.
    pub(super) fn judge_ns(
        &mut self,
        now: Time,
        request: NsRequest,
        chooser: &mut dyn Chooser,
    ) -> Option<NsReason> {
        let outcome = process_ns(&self.state, &request);
        self.note_ns(request.dev, Some(request), outcome.decision, request.again);
        if outcome.learn {
            self.learn6(now, request.dev, request.src, request.ns.source, chooser);
        }
        match outcome.decision {
            NsDecision::Reply { reply, after: After::Now } => {
                self.advertise(now, request.dev, &reply, chooser);
            }
            NsDecision::Reply { after: After::Delay { below }, .. } => {
                let clock = *self.clock();
                self.queue6.push(&clock, now, request, below, chooser);
                Arc::make_mut(&mut self.state).count_delayed(request.dev, Family::Inet6, true);
            }
            NsDecision::Silent(NsReason::Rival) => {
                self.give_up(now, request.dev, request.ns.target, chooser);
            }
            NsDecision::Silent(_) => {}
        }
        outcome.decision.reason()
    }

    fn note_ns(&mut self, dev: IfIndex, request: Option<NsRequest>, decision: NsDecision, again: bool) {
        self.note(Note::JudgedNs { dev, request, decision, again });
    }

    /// The sender of a solicitation is taken down as STALE (ndisc_recv_ns); without a MAC that
    /// only makes an entry.
    fn learn6(&mut self, now: Time, dev: IfIndex, ip: Ipv6Addr, mac: Option<Mac>, chooser: &mut dyn Chooser) {
        let set = params(&self.state, dev, true);
        let flags = UpdateFlags { replace: true, weak: true, ..UpdateFlags::default() };
        let mut events = VecDeque::new();
        if let Some(link) = self.state.link(dev).filter(|l| l.is_noarp()) {
            // ndisc_constructor(): without ARP an entry holds the device's own address
            self.neigh.ensure_noarp(now, dev, ip.into(), link.mac(), &set, &mut events);
        }
        self.neigh.update(now, dev, ip.into(), mac, Nud::Stale, flags, Cause::Frame, true, &set, &mut events);
        self.act(now, events, chooser);
    }

    fn receive_na(&mut self, now: Time, packet: Ip6Head, na: &Advert, chooser: &mut dyn Chooser) -> bool {
        let Ip6Head { dev, src, dst, hop_limit, .. } = packet;
        let takes_in = |l: &Link| l.is_up() && l.conf6().get(Conf6::DisableIpv6) == 0;
        if packet.cast == Cast::OtherHost || !self.state.link(dev).is_some_and(takes_in) {
            return true;
        }
        if !self.state.link(dev).is_some_and(|l| self.state.hears6(l, src, dst)) {
            return dst.is_multicast();
        }
        match judge_na(&self.state, dev, (src, dst), hop_limit, na) {
            NaVerdict::Ignored => {}
            NaVerdict::Rival(net) => self.give_up(now, dev, net.addr(), chooser),
            NaVerdict::Update { reachable, replace, create } => {
                let entry = self.neigh.get(dev, na.target.into()).map(crate::neigh::Entry::state);
                let nud = if reachable && entry.is_some() { Nud::Reachable } else { Nud::Stale };
                if entry == Some(Nud::Failed) || (entry.is_none() && !create) {
                    return true;
                }
                let (ip, set) = (na.target.into(), params(&self.state, dev, true));
                let flags = UpdateFlags { replace, weak: true, ..UpdateFlags::default() };
                let mut events = VecDeque::new();
                self.neigh.update(now, dev, ip, na.mac, nud, flags, Cause::Frame, create, &set, &mut events);
                self.act(now, events, chooser);
            }
        }
        true
    }

    /// A rival has, or tests, an address that is being tested here.
    fn give_up(&mut self, now: Time, dev: IfIndex, ip: Ipv6Addr, chooser: &mut dyn Chooser) {
        let Some(link) = self.state.link(dev) else { return };
        let Some(ifa) = link.addrs6().iter().find(|a| a.net.addr() == ip) else { return };
        let change = KernelChange::DadFailed(link.name(), ifa.net);
        // the address exists, so the change cannot be refused
        let _ = self.apply(now, &Mutation::Kernel(change), chooser);
    }

    /// Sends an advertisement the way of any packet: to the neighbour, or to all nodes.
    fn advertise(&mut self, now: Time, dev: IfIndex, reply: &NsReply, chooser: &mut dyn Chooser) {
        let packet = own(nd::advert_packet(reply.src, reply.dst, &reply.advert));
        if let Err(error) = self.send_by(now, dev, reply.dst.into(), packet, chooser) {
            tracing::trace!(%error, "an advertisement cannot be sent");
        }
    }

    /// An advertisement nobody asked for (ndisc_notify).
    pub(super) fn announce6(&mut self, now: Time, dev: IfIndex, ip: Ipv6Addr, chooser: &mut dyn Chooser) {
        let Some(link) = self.state.link(dev) else { return };
        let advert = Advert {
            target: ip,
            router: link.conf6().get(Conf6::Forwarding) != 0,
            solicited: false,
            replace: true,
            mac: Some(link.mac()),
        };
        self.advertise(now, dev, &NsReply { src: ip, dst: nd::ALL_NODES, advert }, chooser);
    }

    /// One solicitation (ndisc_solicit): from the source of the packet that waits, when that is an
    /// address of the device and past its test, else from the link-local address, without which
    /// nothing is sent.
    pub(super) fn solicit6(&mut self, dev: IfIndex, target: Ipv6Addr, to: Option<Mac>, src: Option<IpAddr>) {
        let Some(link) = self.state.link(dev) else { return };
        let usable = |ip: Ipv6Addr| link.addrs6().iter().any(|a| !a.tentative && a.net.addr() == ip);
        let hint = match src {
            Some(IpAddr::V6(src)) if usable(src) => Some(src),
            _ => None,
        };
        let Some(src) = hint.or_else(|| self.state.link_local6(dev)) else { return };
        let ns = Solicit { target, source: Some(link.mac()), nonce: None };
        let group = nd::solicited_node(target);
        let (dst, mac) = to.map_or((group, Mac::ipv6_multicast(group)), |mac| (target, mac));
        self.transmit(dev, mac, &nd::solicit_packet(src, dst, &ns));
    }

    pub(super) fn answer_delayed6(&mut self, now: Time, chooser: &mut dyn Chooser) {
        let clock = *self.clock();
        for mut request in self.queue6.take_due(&clock, now) {
            Arc::make_mut(&mut self.state).count_delayed(request.dev, Family::Inet6, false);
            request.again = true;
            request.sender_known = self.neigh.get(request.dev, request.src.into()).is_some();
            self.judge_ns(now, request, chooser);
        }
    }

    pub(super) fn purge_delayed6(&mut self) {
        let gone = self.queue6.purge();
        if gone.is_empty() {
            return;
        }
        Arc::make_mut(&mut self.state).clear_delayed(Family::Inet6);
        for request in gone {
            self.note_ns(request.dev, Some(request), NsDecision::Silent(NsReason::QueuePurged), true);
        }
    }
}
