//! IPv6 packets in, through and out: ip6_input, ip6_forward, ip6_output in the plain form the lab
//! needs, no extension headers.

use super::ndisc::Ip6Head;
use super::{DropWhy, Output, SendError, Stack, own};
use crate::choice::Chooser;
use crate::host::conf::{Conf6, Scope, SysctlKey};
use crate::host::{FibMiss, Flow6, IfIndex, InputFault, Link, Route6, RouteKind, RuleAction, Way6};
use crate::packet::{IpBytes, Packet};
use crate::time::Time;
use crate::wire::{self, Cast, Ends, Unreachable};
use ipnet::IpNet;
use smallvec::SmallVec;
use smoltcp::wire::IpProtocol;
use std::net::{IpAddr, Ipv6Addr};

const IPV6_HEADER_LEN: usize = 40;
const HOP_LIMIT_AT: usize = 7;

impl Stack {
    pub(super) fn send6(
        &mut self,
        now: Time,
        packet: Packet,
        chooser: &mut dyn Chooser,
    ) -> Result<(), SendError> {
        let Some((Ends::V6(src, dst), ..)) = wire::ip_parts(&packet.bytes) else {
            return Err(SendError::Invalid);
        };
        let route =
            match self.state.fib6_lookup(&Flow6::output(dst, Some(src))).map_err(super::output::errno_of)? {
                Way6::Local => return self.loop_back(packet),
                Way6::Route(route) => route,
            };
        let (dev, via) = match (route.kind, route.dev) {
            (RouteKind::Unicast, Some(dev)) => (dev, route.via.unwrap_or(dst)),
            (RouteKind::Prohibit, _) => return Err(SendError::Prohibited),
            (RouteKind::Blackhole, _) => return Err(SendError::Invalid),
            _ => return Err(SendError::HostUnreachable),
        };
        self.send_by(now, dev, IpAddr::V6(via), packet, chooser)
    }

    /// An IPv6 packet in a frame: ipv6_rcv, then for this host, for a group, or through it.
    pub(super) fn receive_ip6(
        &mut self,
        now: Time,
        dev: IfIndex,
        cast: Cast,
        payload: &[u8],
        chooser: &mut dyn Chooser,
    ) {
        // the Ethernet payload may be padded; the IPv6 header tells the length
        let len = payload.get(4..6).map_or(0, |b| usize::from(u16::from_be_bytes([b[0], b[1]])));
        let whole = payload.get(..IPV6_HEADER_LEN + len).unwrap_or(payload);
        let Some((Ends::V6(src, dst), protocol, body)) = wire::ip_parts(whole) else {
            return self.drop_packet(payload, DropWhy::Malformed);
        };
        let hop_limit = whole[HOP_LIMIT_AT];
        let nd = Ip6Head { dev, cast, src, dst, hop_limit };
        if protocol == IpProtocol::Icmpv6 && self.receive_nd(now, nd, body, chooser) {
            return;
        }
        let Some(link) = self.state.link(dev) else { return };
        if cast == Cast::OtherHost {
            return self.drop_packet(whole, DropWhy::OtherHost);
        }
        if !link.is_up() || link.conf6().get(Conf6::DisableIpv6) != 0 {
            return self.drop_packet(whole, DropWhy::DeviceDown);
        }
        // what claims to be of the loopback ends here, whatever forwarding says (ipv6_rcv)
        if src.is_loopback() || dst.is_loopback() {
            let why =
                if src.is_loopback() { InputFault::MartianSource } else { InputFault::MartianDestination };
            return self.drop_packet(whole, DropWhy::Input(why));
        }
        if self.state.hears6(link, src, dst) {
            return self.emit(Output::Deliver { dev, packet: SmallVec::from_slice(whole) });
        }
        self.forward6(now, nd, SmallVec::from_slice(whole), chooser);
    }

    /// ip6_forward(): only `all.forwarding` counts, a link-local source goes nowhere, and the
    /// sender is told.
    fn forward6(&mut self, now: Time, nd: Ip6Head, mut packet: IpBytes, chooser: &mut dyn Chooser) {
        let all = SysctlKey::Conf6(Scope::All, Conf6::Forwarding);
        if nd.dst.is_multicast() || self.state.sysctl(&all).unwrap_or(0) == 0 {
            return self.drop_packet(&packet, DropWhy::Input(InputFault::ForwardingOff));
        }
        if nd.cast != Cast::Host {
            return self.drop_packet(&packet, DropWhy::OtherHost);
        }
        let (dev, via) = match self.state.fib6_lookup(&Flow6::input(nd.dst, nd.src, nd.dev)) {
            Ok(Way6::Route(Route6 { kind: RouteKind::Unicast, dev: Some(dev), via, .. })) => {
                (*dev, via.unwrap_or(nd.dst))
            }
            Ok(Way6::Route(route)) => {
                let (kind, dst, table) = (route.kind, IpNet::V6(route.dst), route.table);
                let miss = FibMiss::Rejected { kind, dst, table };
                return self.refuse6(now, nd, miss, &packet, chooser);
            }
            // ip6_input() for nobody who is here
            Ok(Way6::Local) => return self.drop_packet(&packet, DropWhy::OtherHost),
            Err(miss) => return self.refuse6(now, nd, miss, &packet, chooser),
        };
        if packet[HOP_LIMIT_AT] <= 1 {
            return self.drop_packet(&packet, DropWhy::Expired);
        }
        if nd.src.is_unspecified() {
            return self.drop_packet(&packet, DropWhy::Input(InputFault::MartianSource));
        }
        if nd.src.is_unicast_link_local() && dev != nd.dev {
            self.error6(now, nd, Unreachable::Scope, &packet, chooser);
            return self.drop_packet(&packet, DropWhy::Input(InputFault::MartianSource));
        }
        packet[HOP_LIMIT_AT] -= 1;
        if let Err(error) = self.send_by(now, dev, IpAddr::V6(via), own(packet), chooser) {
            tracing::trace!(%error, "a forwarded packet is lost");
        }
    }

    fn refuse6(&mut self, now: Time, nd: Ip6Head, miss: FibMiss, packet: &[u8], chooser: &mut dyn Chooser) {
        let why = match miss {
            FibMiss::NoRoute
            | FibMiss::Rejected { kind: RouteKind::Throw | RouteKind::Unreachable, .. }
            | FibMiss::Rule { action: RuleAction::Unreachable, .. } => Some(Unreachable::Net),
            FibMiss::Rejected { kind: RouteKind::Prohibit, .. }
            | FibMiss::Rule { action: RuleAction::Prohibit, .. } => Some(Unreachable::Prohibited),
            FibMiss::Rejected { .. } | FibMiss::Rule { .. } => None,
        };
        if let Some(why) = why {
            self.error6(now, nd, why, packet, chooser);
        }
        self.drop_packet(packet, DropWhy::Input(InputFault::NoRoute(miss)));
    }

    /// Tells the sender of a packet that came in why it goes no further (icmp6_send).
    fn error6(&mut self, now: Time, nd: Ip6Head, why: Unreachable, about: &[u8], chooser: &mut dyn Chooser) {
        // nobody is told of what claims to come from the host itself
        if self.state.link(nd.dev).is_none_or(|l| self.state.accepts6(l, nd.src)) {
            return;
        }
        let Some(from) = self.state.select_src6(nd.dev, nd.src) else { return };
        if !self.allow_error(now, nd.src.into(), chooser) {
            return;
        }
        let error = own(wire::unreachable(Ends::V6(from, nd.src), why, about));
        let sent = if nd.src.is_unicast_link_local() {
            self.send_by(now, nd.dev, nd.src.into(), error, chooser)
        } else {
            self.send6(now, error, chooser)
        };
        if let Err(error) = sent {
            tracing::trace!(%error, "the error about an unroutable packet has no way back");
        }
    }

    /// Where an error about a packet from `src` comes from: the address itself when it is the
    /// host's own, else one of the host's that reaches it.
    pub(super) fn error_source6(&self, src: Ipv6Addr) -> Option<Ipv6Addr> {
        if self.state.owns6(src) {
            return Some(src);
        }
        let dev = self.state.route6(&Flow6::output(src, None)).and_then(|r| r.dev)?;
        self.state.select_src6(dev, src)
    }
}

impl crate::host::HostState {
    /// A packet to that address which came in by the link ends here.
    pub(crate) fn hears6(&self, link: &Link, src: Ipv6Addr, dst: Ipv6Addr) -> bool {
        self.delivers6(link, src, dst) && (!dst.is_multicast() || self.joined6(link, dst))
    }
}
