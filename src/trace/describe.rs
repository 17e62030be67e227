//! A frame in one line, as tcpdump would print it, decoded by etherparse: an opinion
//! independent of the model's own parser.

use core::fmt::Write as _;
use etherparse::{
    ArpEthIpv4Packet, ArpOperation, Icmpv4Type, Icmpv6Type, NetSlice, SlicedPacket, TransportSlice, icmpv4,
    icmpv6,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a frame is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Described {
    /// One line.
    pub summary: String,
    /// Set for an ARP request or a neighbour solicitation: sender, target.
    pub asks: Option<(IpAddr, IpAddr)>,
    /// Set for an ARP reply or a neighbour advertisement: the address spoken for.
    pub answers: Option<IpAddr>,
    /// Sent to a group address.
    pub group: bool,
}

/// Describes an Ethernet frame.
#[must_use]
pub fn describe(frame: &[u8]) -> Described {
    let group = frame.first().is_some_and(|b| b & 1 != 0);
    let plain = |summary: String| Described { summary, asks: None, answers: None, group };
    match SlicedPacket::from_ethernet(frame) {
        Ok(packet) => {
            let vlan: String = packet.vlan_ids().iter().fold(String::new(), |mut s, id| {
                let _ = write!(s, "vlan {}, ", id.value());
                s
            });
            let mut d = describe_packet(&packet, group);
            d.summary.insert_str(0, &vlan);
            if !group && d.asks.is_some() && d.summary.starts_with("ARP") {
                let dst: Vec<String> = frame[..6].iter().map(|b| format!("{b:02x}")).collect();
                let _ = write!(d.summary, ", to {}", dst.join(":"));
            }
            d
        }
        Err(_) => plain(format!("malformed frame, length {}", frame.len())),
    }
}

/// Describes an IP packet.
#[must_use]
pub fn describe_ip(packet: &[u8]) -> String {
    match SlicedPacket::from_ip(packet) {
        Ok(p) => describe_packet(&p, false).summary,
        Err(_) => format!("malformed packet, length {}", packet.len()),
    }
}

/// True for a request for the gateway's address. (A solicitation from `::` is a test for
/// duplicates of the pod's own.)
#[must_use]
pub fn is_gateway_request(d: &Described) -> bool {
    let gateway = super::event::is_gateway;
    d.asks.is_some_and(|(sender, target)| gateway(target) && !super::event::is_dad(sender))
}

fn describe_packet(packet: &SlicedPacket<'_>, group: bool) -> Described {
    let plain = |summary: String| Described { summary, asks: None, answers: None, group };
    match &packet.net {
        Some(NetSlice::Arp(arp)) => match ArpEthIpv4Packet::try_from(arp.to_packet()) {
            Ok(arp) => describe_arp(&arp, group),
            Err(_) => plain("ARP, not for IPv4 over Ethernet".into()),
        },
        Some(NetSlice::Ipv4(ip)) => {
            let h = ip.header();
            describe_transport(
                packet,
                h.source_addr().into(),
                h.destination_addr().into(),
                h.protocol().0,
                group,
            )
        }
        Some(NetSlice::Ipv6(ip)) => {
            let h = ip.header();
            describe_transport(
                packet,
                h.source_addr().into(),
                h.destination_addr().into(),
                ip.payload().ip_number.0,
                group,
            )
        }
        None => plain("not IP and not ARP".into()),
    }
}

fn describe_arp(arp: &ArpEthIpv4Packet, group: bool) -> Described {
    let sender = Ipv4Addr::from(arp.sender_ipv4);
    let target = Ipv4Addr::from(arp.target_ipv4);
    let mac = crate::addr::Mac(arp.sender_mac);
    match arp.operation {
        ArpOperation::REQUEST => {
            let summary = if sender == target {
                format!("ARP, Request who-has {target} (announcement)")
            } else if sender.is_unspecified() {
                format!("ARP, Probe who-has {target}")
            } else {
                format!("ARP, Request who-has {target} tell {sender}")
            };
            Described { summary, asks: Some((sender.into(), target.into())), answers: None, group }
        }
        ArpOperation::REPLY => {
            let summary = format!("ARP, Reply {sender} is-at {mac}");
            Described { summary, asks: None, answers: Some(sender.into()), group }
        }
        ArpOperation(op) => {
            Described { summary: format!("ARP, operation {op}"), asks: None, answers: None, group }
        }
    }
}

fn describe_transport(
    packet: &SlicedPacket<'_>,
    src: IpAddr,
    dst: IpAddr,
    protocol: u8,
    group: bool,
) -> Described {
    let mut d = Described { summary: String::new(), asks: None, answers: None, group };
    d.summary = match &packet.transport {
        Some(TransportSlice::Icmpv4(icmp)) => format!("{src} > {dst}: ICMP {}", icmp4(&icmp.icmp_type())),
        Some(TransportSlice::Icmpv6(icmp)) => {
            let body = icmp.payload();
            let target = body.get(..16).and_then(|b| <[u8; 16]>::try_from(b).ok()).map(Ipv6Addr::from);
            match (icmp.icmp_type(), target) {
                (Icmpv6Type::NeighborSolicitation, Some(target)) => {
                    d.asks = Some((src, target.into()));
                    format!("{src} > {dst}: ICMP6, neighbor solicitation, who has {target}")
                }
                (Icmpv6Type::NeighborAdvertisement(_), Some(target)) => {
                    d.answers = Some(target.into());
                    format!("{src} > {dst}: ICMP6, neighbor advertisement, tgt is {target}")
                }
                (other, _) => format!("{src} > {dst}: ICMP6 {}", icmp6(&other)),
            }
        }
        Some(TransportSlice::Tcp(tcp)) => {
            let mut flags = String::new();
            for (on, c) in
                [(tcp.syn(), 'S'), (tcp.fin(), 'F'), (tcp.rst(), 'R'), (tcp.psh(), 'P'), (tcp.ack(), '.')]
            {
                if on {
                    flags.push(c);
                }
            }
            let (sp, dp) = (tcp.source_port(), tcp.destination_port());
            let len = tcp.payload().len();
            format!("{src}.{sp} > {dst}.{dp}: Flags [{flags}], seq {}, length {len}", tcp.sequence_number())
        }
        Some(TransportSlice::Udp(udp)) => {
            let (sp, dp) = (udp.source_port(), udp.destination_port());
            format!("{src}.{sp} > {dst}.{dp}: UDP, length {}", udp.payload().len())
        }
        Some(TransportSlice::Igmp(_)) => format!("{src} > {dst}: IGMP"),
        None => format!("{src} > {dst}: protocol {protocol}"),
    };
    d
}

fn icmp4(t: &Icmpv4Type) -> String {
    match t {
        Icmpv4Type::EchoRequest(h) => format!("echo request, id {}, seq {}", h.id, h.seq),
        Icmpv4Type::EchoReply(h) => format!("echo reply, id {}, seq {}", h.id, h.seq),
        Icmpv4Type::DestinationUnreachable(icmpv4::DestUnreachableHeader::Network) => {
            "net unreachable".into()
        }
        Icmpv4Type::DestinationUnreachable(icmpv4::DestUnreachableHeader::Host) => "host unreachable".into(),
        Icmpv4Type::DestinationUnreachable(icmpv4::DestUnreachableHeader::Port) => "port unreachable".into(),
        Icmpv4Type::DestinationUnreachable(other) => format!("unreachable ({other:?})"),
        other => format!("{other:?}"),
    }
}

fn icmp6(t: &Icmpv6Type) -> String {
    match t {
        Icmpv6Type::EchoRequest(h) => format!("echo request, id {}, seq {}", h.id, h.seq),
        Icmpv6Type::EchoReply(h) => format!("echo reply, id {}, seq {}", h.id, h.seq),
        Icmpv6Type::DestinationUnreachable(icmpv6::DestUnreachableCode::Address) => {
            "address unreachable".into()
        }
        Icmpv6Type::DestinationUnreachable(other) => format!("unreachable ({other:?})"),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Mac;
    use crate::wire::Arp;

    #[test]
    fn lines_read_as_tcpdump_prints_them() {
        let pod = Mac([2, 0, 0, 0, 0, 1]);
        let request = Arp::request(pod, "10.42.0.123".parse().unwrap(), crate::control::GATEWAY);
        let d = describe(&request.frame(Mac::BROADCAST, pod));
        assert_eq!(d.summary, "ARP, Request who-has 169.254.1.1 tell 10.42.0.123");
        assert!(is_gateway_request(&d) && d.group);
        let d = describe(&request.frame(Mac::CALICO, pod));
        assert_eq!(d.summary, "ARP, Request who-has 169.254.1.1 tell 10.42.0.123, to ee:ee:ee:ee:ee:ee");
        let ends =
            crate::wire::Ends::new("10.42.0.123".parse().unwrap(), "203.0.113.8".parse().unwrap()).unwrap();
        let echo = crate::wire::echo(ends, false, 7, 3, b"x");
        assert_eq!(describe_ip(&echo), "10.42.0.123 > 203.0.113.8: ICMP echo request, id 7, seq 3");
    }

    #[test]
    fn nothing_panics_on_any_prefix() {
        let pod = Mac([2, 0, 0, 0, 0, 1]);
        let f = Arp::request(pod, "10.42.0.123".parse().unwrap(), crate::control::GATEWAY)
            .frame(Mac::BROADCAST, pod);
        for len in 0..=f.len() {
            let _ = describe(&f[..len]);
        }
    }
}
