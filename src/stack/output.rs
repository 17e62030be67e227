//! Packets and frames out: routes, neighbours, requests, errors about what did not arrive.

use super::peers::{DECIDE_BURST, SEND_BURST};
use super::{DropWhy, Note, Output, Stack, own, params};
use crate::addr::Mac;
use crate::choice::Chooser;
use crate::host::conf::Conf4;
use crate::host::{
    AddrType, FibMiss, Flow, Flow6, IfIndex, LOOPBACK, RouteKind, RtScope, RuleAction, Upper, Way6,
};
use crate::packet::{Frame, Packet};
use crate::time::Time;
use crate::wire::{self, Arp, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Ends, Unreachable};
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};

/// Why a packet could not be sent at all: what send(2) or connect(2) returns at once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, thiserror::Error)]
#[error("{}", self.text())]
pub enum SendError {
    /// ENETUNREACH.
    NetUnreachable,
    /// EHOSTUNREACH.
    HostUnreachable,
    /// EACCES.
    Prohibited,
    /// EINVAL.
    Invalid,
    /// ENOBUFS: the neighbour table is full.
    NoBuffers,
    /// EADDRNOTAVAIL: the source address is not the namespace's own (yet).
    AddressNotAvailable,
}

impl SendError {
    /// Name and meaning, as perror(3) gives it.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            SendError::NetUnreachable => "ENETUNREACH (Network is unreachable)",
            SendError::HostUnreachable => "EHOSTUNREACH (No route to host)",
            SendError::Prohibited => "EACCES (Permission denied)",
            SendError::Invalid => "EINVAL (Invalid argument)",
            SendError::NoBuffers => "ENOBUFS (No buffer space available)",
            SendError::AddressNotAvailable => "EADDRNOTAVAIL (Cannot assign requested address)",
        }
    }
}

/// What fib_lookup()'s error becomes in the caller's errno (fib_props).
pub(super) fn errno_of(miss: FibMiss) -> SendError {
    match miss {
        FibMiss::Rejected { kind: RouteKind::Unreachable, .. } => SendError::HostUnreachable,
        FibMiss::Rejected { kind: RouteKind::Prohibit, .. }
        | FibMiss::Rule { action: RuleAction::Prohibit, .. } => SendError::Prohibited,
        FibMiss::NoRoute | FibMiss::Rule { action: RuleAction::Unreachable, .. } => SendError::NetUnreachable,
        FibMiss::Rejected { .. } | FibMiss::Rule { .. } => SendError::Invalid,
    }
}

/// What a packet's lookup knows of the layer above IP.
pub(super) fn upper(packet: &[u8]) -> Upper {
    wire::ip_parts(packet).map_or(Upper::default(), |(_, protocol, body)| Upper::of(protocol.into(), body))
}

impl Stack {
    /// Sends a packet of this namespace: route, neighbour, wire.
    pub fn send(&mut self, now: Time, packet: Packet, chooser: &mut dyn Chooser) -> Result<(), SendError> {
        match wire::ip_parts(&packet.bytes) {
            Some((Ends::V4(src, dst), ..)) => {
                let flow = Flow { upper: upper(&packet.bytes), ..Flow::output(dst, src) };
                let hit = self.state.fib_lookup(&flow).map_err(errno_of)?;
                if hit.route.kind == RouteKind::Local {
                    return self.loop_back(packet);
                }
                let (dev, via) = (hit.hop.dev, hit.hop.via.unwrap_or(dst));
                self.send_by(now, dev, via.into(), packet, chooser)
            }
            Some((Ends::V6(..), ..)) => self.send6(now, packet, chooser),
            None => Err(SendError::Invalid),
        }
    }

    /// Own addresses are reached through `lo`, which drops everything while it is down.
    #[allow(clippy::unnecessary_wraps)] // one of the ways of send(), whose type it shares
    pub(super) fn loop_back(&mut self, packet: Packet) -> Result<(), SendError> {
        if self.state.link(LOOPBACK).is_some_and(crate::host::Link::is_up) {
            self.emit(Output::Deliver { dev: LOOPBACK, packet: packet.bytes });
        } else {
            self.note(Note::Dropped { packet: packet.bytes, why: DropWhy::DeviceDown });
        }
        Ok(())
    }

    pub(super) fn send_by(
        &mut self,
        now: Time,
        dev: IfIndex,
        next_hop: IpAddr,
        packet: Packet,
        chooser: &mut dyn Chooser,
    ) -> Result<(), SendError> {
        if self.uplink == Some(dev) && self.neighbour_stands(dev, next_hop) {
            self.emit(Output::Uplink { packet: packet.bytes });
            return Ok(());
        }
        let Some(link) = self.state.link(dev).filter(|l| l.is_up()) else {
            self.note(Note::Dropped { packet: packet.bytes, why: DropWhy::DeviceDown });
            return Ok(());
        };
        if let IpAddr::V6(group) = next_hop
            && group.is_multicast()
        {
            self.transmit(dev, Mac::ipv6_multicast(group), &packet.bytes);
            return Ok(());
        }
        let without_arp = Some(link.mac()).filter(|_| link.is_noarp());
        if self.neigh.get(dev, next_hop).is_none() && !self.has_room(now, chooser) {
            return Err(SendError::NoBuffers);
        }
        let set = params(&self.state, dev, next_hop.is_ipv6());
        let mut events = VecDeque::new();
        let broadcast =
            |s: &Self| matches!(next_hop, IpAddr::V4(ip) if s.state.addr_type(ip) == AddrType::Broadcast);
        // arp_constructor(), ndisc_constructor(): nobody is asked, now or later
        if let Some(mac) = without_arp.or_else(|| broadcast(self).then_some(Mac::BROADCAST)) {
            self.neigh.ensure_noarp(now, dev, next_hop, mac, &set, &mut events);
        }
        self.neigh.output(now, dev, next_hop, &set, packet, &mut events);
        self.act(now, events, chooser);
        Ok(())
    }

    /// Out of the uplink everybody answers at once and for ever, so that an entry would tell nothing;
    /// unless somebody wrote one, the cable is out, or the neighbour is the node itself.
    fn neighbour_stands(&self, dev: IfIndex, hop: IpAddr) -> bool {
        let own = match hop {
            IpAddr::V4(ip) => self.state.owns(ip),
            IpAddr::V6(ip) => self.state.owns6(ip),
        };
        let passes = |l: &crate::host::Link| l.is_up() && l.has_carrier() && !l.is_noarp();
        !own && self.state.link(dev).is_some_and(passes) && self.neigh.get(dev, hop).is_none()
    }

    /// Proof from an upper layer that the way to `dst` works (dst_confirm).
    pub fn confirm(&mut self, now: Time, dst: IpAddr) {
        let hop = match dst {
            IpAddr::V4(dst) => self
                .state
                .fib_lookup(&Flow::output(dst, Ipv4Addr::UNSPECIFIED))
                .ok()
                .map(|hit| (hit.hop.dev, IpAddr::V4(hit.hop.via.unwrap_or(dst)))),
            IpAddr::V6(dst) => {
                let route = self.state.route6(&Flow6::output(dst, None));
                route.and_then(|r| r.dev.map(|dev| (dev, IpAddr::V6(r.via.unwrap_or(dst)))))
            }
        };
        if let Some((dev, ip)) = hop {
            self.neigh.confirm(now, dev, ip);
        }
    }

    /// Sends a frame as it is, past routes and neighbours, as a packet socket does.
    pub fn send_frame(&mut self, dev: IfIndex, frame: Frame) {
        if self.state.link(dev).is_some_and(|l| l.is_up() && l.has_carrier()) {
            self.emit(Output::Transmit { dev, frame });
        }
    }

    /// The address a socket of this namespace gets that connects to `dst` without having been
    /// bound (ip_route_output_key): the route's own, else the best of the device.
    pub fn source_for(&self, dst: IpAddr) -> Result<IpAddr, SendError> {
        match dst {
            IpAddr::V4(dst) => {
                let hit =
                    self.state.fib_lookup(&Flow::output(dst, Ipv4Addr::UNSPECIFIED)).map_err(errno_of)?;
                if hit.route.kind == RouteKind::Local {
                    return Ok(dst.into());
                }
                let best = || self.select_addr(hit.hop.dev, hit.hop.via.unwrap_or(dst));
                Ok(hit.route.src.or_else(best).unwrap_or(Ipv4Addr::UNSPECIFIED).into())
            }
            IpAddr::V6(dst) if self.state.owns6(dst) => Ok(dst.into()),
            IpAddr::V6(dst) => {
                let way = self.state.fib6_lookup(&Flow6::output(dst, None)).map_err(errno_of)?;
                let Way6::Route(route) = way else { return Ok(dst.into()) };
                let dev = route.dev.ok_or(SendError::NetUnreachable)?;
                let source = self.state.select_src6(dev, dst).ok_or(SendError::AddressNotAvailable)?;
                Ok(source.into())
            }
        }
    }

    pub(super) fn transmit(&mut self, dev: IfIndex, mac: Mac, packet: &[u8]) {
        let Some(link) = self.state.link(dev) else { return };
        if !link.has_carrier() {
            let bytes = SmallVec::from_slice(packet);
            return self.note(Note::Dropped { packet: bytes, why: DropWhy::NoCarrier });
        }
        let ethertype =
            if packet.first().is_some_and(|b| b >> 4 == 6) { ETHERTYPE_IPV6 } else { ETHERTYPE_IPV4 };
        let mut frame = Frame::new();
        frame.extend_from_slice(&mac.0);
        frame.extend_from_slice(&link.mac().0);
        frame.extend_from_slice(&ethertype.to_be_bytes());
        frame.extend_from_slice(packet);
        self.emit(Output::Transmit { dev, frame });
    }

    /// One ARP request (arp_solicit): from the source of the packet that waits, when that is an
    /// own address and arp_announce allows, else from the best address there is.
    pub(super) fn solicit(&mut self, dev: IfIndex, ip: IpAddr, to: Option<Mac>, src: Option<IpAddr>) {
        let target = match ip {
            IpAddr::V4(target) => target,
            IpAddr::V6(target) => return self.solicit6(dev, target, to, src),
        };
        // without a carrier the device's queue swallows what it is given
        let Some(link) = self.state.link(dev).filter(|l| l.has_carrier()) else { return };
        let shared_subnet =
            |src: &Ipv4Addr| link.addrs().iter().any(|a| a.contains(*src) && a.contains(target));
        let hint = match (src, self.state.effective4(link, Conf4::ArpAnnounce)) {
            (Some(IpAddr::V4(src)), 0) if self.state.owns(src) => Some(src),
            (Some(IpAddr::V4(src)), 1) if self.state.owns(src) && shared_subnet(&src) => Some(src),
            _ => None,
        };
        let mac = link.mac();
        // with no address at all it asks as 0.0.0.0, which a proxy takes for a probe
        let spa = hint.or_else(|| self.select_addr(dev, target)).unwrap_or(Ipv4Addr::UNSPECIFIED);
        let frame = Arp::request(mac, spa, target).frame(to.unwrap_or(Mac::BROADCAST), mac);
        self.emit(Output::Transmit { dev, frame: SmallVec::from_slice(&frame) });
    }

    /// arp_notify: "who has `ip`, tell `ip`", to all.
    pub(super) fn announce(&mut self, dev: IfIndex, ip: Ipv4Addr) {
        let link = self.state.link(dev).filter(|l| l.has_carrier());
        let Some(mac) = link.map(crate::host::Link::mac) else { return };
        let frame = Arp { tha: mac, ..Arp::request(mac, ip, ip) }.frame(Mac::BROADCAST, mac);
        self.emit(Output::Transmit { dev, frame: SmallVec::from_slice(&frame) });
    }

    /// The address a packet out of `dev` to `dst` carries (inet_select_addr): one of the device's
    /// subnet first, then any of the device, then any of another device that is wider than link.
    pub(super) fn select_addr(&self, dev: IfIndex, dst: Ipv4Addr) -> Option<Ipv4Addr> {
        let link = self.state.link(dev)?;
        let host_scope =
            if self.state.on4(link, Conf4::RouteLocalnet) { RtScope::LINK } else { RtScope::HOST };
        let fits = |a: &&crate::host::Ifa4| !a.secondary && a.scope.min(host_scope) <= RtScope::LINK;
        let here = || link.addrs().iter().filter(fits);
        let own = here().find(|a| a.contains(dst)).or_else(|| here().next());
        let elsewhere = || {
            let all = self.state.links().iter().flat_map(crate::host::Link::addrs);
            all.filter(fits).find(|a| a.scope.min(host_scope) != RtScope::LINK)
        };
        own.or_else(elsewhere).map(|a| a.net.addr())
    }

    /// May an error be sent to `peer` now? Two limits apply: the namespace's, and in IPv4 the
    /// peer's own, which loopback is free of. (That of IPv6 depends on the route's prefix; behind
    /// a default route it allows sixteen a second, more than any client here causes.)
    pub(super) fn allow_error(&mut self, now: Time, peer: IpAddr, chooser: &mut dyn Chooser) -> bool {
        let clock = *self.clock();
        let free = match peer {
            IpAddr::V4(ip) => self.state.owns(ip),
            IpAddr::V6(_) => true,
        };
        let allowed = self.icmp.has_credit(&clock, now, &self.state)
            && (free || self.peers.take(&clock, now, peer, SEND_BURST));
        if allowed {
            self.icmp.consume(chooser);
        }
        allowed
    }

    /// May the refusal of an unroutable packet be told to its sender (ip_error)?
    pub(super) fn allow_refusal(&mut self, now: Time, peer: IpAddr, chooser: &mut dyn Chooser) -> bool {
        let clock = *self.clock();
        self.peers.take(&clock, now, peer, DECIDE_BURST) && self.allow_error(now, peer, chooser)
    }

    /// A packet of this namespace (or one it forwarded) found no neighbour: its sender gets
    /// "host unreachable" (arp_error_report, ipv4_link_failure), through `lo` when it is local.
    pub(super) fn host_unreachable(&mut self, now: Time, packet: Packet, chooser: &mut dyn Chooser) {
        let Some((ends, ..)) = wire::ip_parts(&packet.bytes) else { return };
        // from the packet's source: when it is ours the error comes from and goes to that address
        let from = match ends {
            Ends::V4(src, _) if !self.state.owns(src) => match self.select_addr(LOOPBACK, src) {
                Some(ip) => Ends::V4(ip, src),
                None => return,
            },
            Ends::V4(src, _) => Ends::V4(src, src),
            Ends::V6(src, _) => match self.error_source6(src) {
                Some(from) => Ends::V6(from, src),
                None => return,
            },
        };
        let why = if self.icmp_errors_filtered || !self.lo_is_up() {
            DropWhy::ErrorUndeliverable
        } else if self.allow_error(now, from.dst(), chooser) {
            let error = wire::unreachable(from, Unreachable::Host, &packet.bytes);
            if self.send(now, own(error), chooser).is_ok() {
                DropWhy::Unreachable
            } else {
                DropWhy::ErrorUndeliverable
            }
        } else {
            DropWhy::ErrorRateLimited
        };
        self.note(Note::Dropped { packet: packet.bytes, why });
    }

    fn lo_is_up(&self) -> bool {
        self.state.link(LOOPBACK).is_some_and(crate::host::Link::is_up)
    }
}
