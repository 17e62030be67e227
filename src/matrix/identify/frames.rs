//! What of a frame tells mechanisms apart. Read by etherparse, leniently: captures are cut short.

use crate::addr::Mac;
use crate::control::GATEWAY;
use etherparse::{
    ArpEthIpv4Packet, ArpOperation, Icmpv4Type, Icmpv6Type, LaxNetSlice, LaxSlicedPacket, LinkSlice,
    TransportSlice,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a frame is, as far as it matters here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FrameTells {
    /// ARP request or neighbour solicitation.
    Ask { sender: IpAddr, target: IpAddr },
    /// ARP reply or neighbour advertisement.
    Tell { about: IpAddr, mac: Mac },
    /// An announcement: it asks for nothing, and says whose an address is.
    Claim { about: IpAddr, mac: Mac },
    /// An IP packet to one station, neighbour discovery left out.
    Ip { src: IpAddr, dst: IpAddr, unreachable: bool },
}

/// A frame of a capture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct HeardFrame {
    /// Nanoseconds since the capture's first frame.
    pub(super) t: u64,
    pub(super) src: Mac,
    pub(super) dst: Mac,
    pub(super) kind: FrameTells,
}

/// Reads an Ethernet frame; `None` where it tells nothing.
pub(super) fn read(t: u64, frame: &[u8]) -> Option<HeardFrame> {
    let packet = LaxSlicedPacket::from_ethernet(frame).ok()?;
    let Some(LinkSlice::Ethernet2(eth)) = &packet.link else { return None };
    let (src, dst) = (Mac(eth.source()), Mac(eth.destination()));
    let kind = match packet.net.as_ref()? {
        LaxNetSlice::Arp(arp) => arp_kind(&ArpEthIpv4Packet::try_from(arp.to_packet()).ok()?)?,
        LaxNetSlice::Ipv4(ip) => {
            let (from, to) = (ip.header().source_addr(), ip.header().destination_addr());
            let to_one = !to.is_multicast() && !to.is_broadcast();
            let unreachable = matches!(&packet.transport,
                Some(TransportSlice::Icmpv4(i)) if matches!(i.icmp_type(), Icmpv4Type::DestinationUnreachable(_)));
            to_one.then_some(FrameTells::Ip { src: from.into(), dst: to.into(), unreachable })?
        }
        LaxNetSlice::Ipv6(ip) => {
            let (from, to) = (ip.header().source_addr(), ip.header().destination_addr());
            six(from, to, src, packet.transport.as_ref())?
        }
    };
    Some(HeardFrame { t, src, dst, kind })
}

fn arp_kind(arp: &ArpEthIpv4Packet) -> Option<FrameTells> {
    let (sender, target) = (Ipv4Addr::from(arp.sender_ipv4), Ipv4Addr::from(arp.target_ipv4));
    match arp.operation {
        ArpOperation::REQUEST if sender == target => {
            Some(FrameTells::Claim { about: sender.into(), mac: Mac(arp.sender_mac) })
        }
        ArpOperation::REQUEST => Some(FrameTells::Ask { sender: sender.into(), target: target.into() }),
        ArpOperation::REPLY => Some(FrameTells::Tell { about: sender.into(), mac: Mac(arp.sender_mac) }),
        _ => None,
    }
}

fn six(from: Ipv6Addr, to: Ipv6Addr, src: Mac, transport: Option<&TransportSlice<'_>>) -> Option<FrameTells> {
    if let Some(TransportSlice::Icmpv6(icmp)) = transport {
        let target = icmp.payload().get(..16).and_then(|b| <[u8; 16]>::try_from(b).ok()).map(Ipv6Addr::from);
        match icmp.icmp_type() {
            Icmpv6Type::NeighborSolicitation => {
                return Some(FrameTells::Ask { sender: from.into(), target: target?.into() });
            }
            Icmpv6Type::NeighborAdvertisement(_) => {
                return Some(FrameTells::Tell { about: target?.into(), mac: src });
            }
            Icmpv6Type::DestinationUnreachable(_) if !to.is_multicast() => {
                return Some(FrameTells::Ip { src: from.into(), dst: to.into(), unreachable: true });
            }
            _ => {}
        }
    }
    (!to.is_multicast()).then_some(FrameTells::Ip { src: from.into(), dst: to.into(), unreachable: false })
}

/// A test for duplicates of the sender's own address (RFC 5227, RFC 4862).
pub(super) fn is_probe(sender: IpAddr) -> bool {
    sender.is_unspecified()
}

/// The pod's gateway, when the pod asks for it.
pub(super) fn is_gateway(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip == GATEWAY,
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// The pod's MAC. Who asks for 169.254.1.1 is the pod; else who asks from an address of its own
/// for a link-local one; else who sends the first packet, or announces itself, and is not Calico's
/// host end.
pub(super) fn pod_mac(frames: &[HeardFrame]) -> Option<Mac> {
    let four =
        |f: &HeardFrame| matches!(f.kind, FrameTells::Ask { target, .. } if target == IpAddr::V4(GATEWAY));
    let six = |f: &HeardFrame| match f.kind {
        FrameTells::Ask { sender: IpAddr::V6(s), target: IpAddr::V6(t) } => {
            t.is_unicast_link_local() && !s.is_unspecified() && !s.is_unicast_link_local()
        }
        _ => false,
    };
    let sends = |f: &HeardFrame| {
        matches!(f.kind, FrameTells::Ip { .. } | FrameTells::Claim { .. }) && f.src != Mac::CALICO
    };
    let first = |test: &dyn Fn(&HeardFrame) -> bool| frames.iter().find(|f| test(f)).map(|f| f.src);
    first(&four).or_else(|| first(&six)).or_else(|| first(&sends))
}
