//! A frame in one line, as tcpdump would print it, decoded by etherparse: an opinion
//! independent of the model's own parser.

use core::fmt::Write as _;
use etherparse::{
    ArpEthIpv4Packet, ArpOperation, Icmpv4Type, Icmpv6Slice, Icmpv6Type, NetSlice, SlicedPacket,
    TransportSlice, icmpv4, icmpv6,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a frame or packet is, in a line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Described {
    /// The line.
    pub summary: String,
    /// So many bytes of it are the same for all packets of its kind between the same ends.
    pub kind_len: usize,
    /// Whom the IP packet is for.
    pub to: Option<IpAddr>,
}

impl Described {
    fn plain(summary: String) -> Described {
        Described { kind_len: summary.len(), summary, to: None }
    }

    /// Of that kind, with these particulars.
    fn of(kind: String, particulars: &str) -> Described {
        let kind_len = kind.len();
        Described { summary: kind + particulars, kind_len, to: None }
    }

    /// What is the same for all packets of its kind between the same ends.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.summary[..self.kind_len]
    }
}

/// Describes an Ethernet frame.
#[must_use]
pub fn describe(frame: &[u8]) -> Described {
    let Ok(packet) = SlicedPacket::from_ethernet(frame) else {
        return Described::plain(format!("malformed frame, length {}", frame.len()));
    };
    let mut d = describe_packet(&packet);
    if let Some(NetSlice::Arp(arp)) = &packet.net
        && frame[0] & 1 == 0
        && arp.operation() == ArpOperation::REQUEST
    {
        let dst: Vec<String> = frame[..6].iter().map(|b| format!("{b:02x}")).collect();
        let _ = write!(d.summary, ", to {}", dst.join(":"));
    }
    let tags: String = packet.vlan_ids().iter().fold(String::new(), |mut s, id| {
        let _ = write!(s, "vlan {}, ", id.value());
        s
    });
    d.summary.insert_str(0, &tags);
    d.kind_len += tags.len();
    d
}

/// Describes an IP packet.
#[must_use]
pub fn describe_ip(packet: &[u8]) -> Described {
    match SlicedPacket::from_ip(packet) {
        Ok(p) => describe_packet(&p),
        Err(_) => Described::of("malformed packet".into(), &format!(", length {}", packet.len())),
    }
}

fn describe_packet(packet: &SlicedPacket<'_>) -> Described {
    match &packet.net {
        Some(NetSlice::Arp(arp)) => match ArpEthIpv4Packet::try_from(arp.to_packet()) {
            Ok(arp) => Described::plain(describe_arp(&arp)),
            Err(_) => Described::plain("ARP, not for IPv4 over Ethernet".into()),
        },
        Some(NetSlice::Ipv4(ip)) => {
            let h = ip.header();
            describe_transport(packet, h.source_addr().into(), h.destination_addr().into(), h.protocol().0)
        }
        Some(NetSlice::Ipv6(ip)) => {
            let h = ip.header();
            let protocol = ip.payload().ip_number.0;
            describe_transport(packet, h.source_addr().into(), h.destination_addr().into(), protocol)
        }
        None => Described::plain("not IP and not ARP".into()),
    }
}

fn describe_arp(arp: &ArpEthIpv4Packet) -> String {
    let sender = Ipv4Addr::from(arp.sender_ipv4);
    let target = Ipv4Addr::from(arp.target_ipv4);
    let mac = crate::addr::Mac(arp.sender_mac);
    match arp.operation {
        ArpOperation::REQUEST if sender == target => format!("ARP, Request who-has {target} (announcement)"),
        ArpOperation::REQUEST if sender.is_unspecified() => format!("ARP, Probe who-has {target}"),
        ArpOperation::REQUEST => format!("ARP, Request who-has {target} tell {sender}"),
        ArpOperation::REPLY => format!("ARP, Reply {sender} is-at {mac}"),
        ArpOperation(op) => format!("ARP, operation {op}"),
    }
}

fn describe_transport(packet: &SlicedPacket<'_>, src: IpAddr, dst: IpAddr, protocol: u8) -> Described {
    let (kind, particulars) = match &packet.transport {
        Some(TransportSlice::Icmpv4(icmp)) => {
            let (kind, rest) = icmp4(&icmp.icmp_type());
            (format!("{src} > {dst}: ICMP {kind}"), rest)
        }
        Some(TransportSlice::Icmpv6(icmp)) => icmp6_line(icmp, src, dst),
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
            let rest = format!(", seq {}, length {len}", tcp.sequence_number());
            (format!("{src}.{sp} > {dst}.{dp}: Flags [{flags}]"), rest)
        }
        Some(TransportSlice::Udp(udp)) => {
            let (sp, dp) = (udp.source_port(), udp.destination_port());
            (format!("{src}.{sp} > {dst}.{dp}: UDP"), format!(", length {}", udp.payload().len()))
        }
        Some(TransportSlice::Igmp(_)) => (format!("{src} > {dst}: IGMP"), String::new()),
        None => (format!("{src} > {dst}: protocol {protocol}"), String::new()),
    };
    Described { to: Some(dst), ..Described::of(kind, &particulars) }
}

fn icmp6_line(icmp: &Icmpv6Slice<'_>, src: IpAddr, dst: IpAddr) -> (String, String) {
    let target = icmp.payload().get(..16).and_then(|b| <[u8; 16]>::try_from(b).ok()).map(Ipv6Addr::from);
    match (icmp.icmp_type(), target) {
        (Icmpv6Type::NeighborSolicitation, Some(target)) => {
            (format!("{src} > {dst}: ICMP6"), format!(", neighbor solicitation, who has {target}"))
        }
        (Icmpv6Type::NeighborAdvertisement(_), Some(target)) => {
            (format!("{src} > {dst}: ICMP6"), format!(", neighbor advertisement, tgt is {target}"))
        }
        (other, _) => {
            let (kind, rest) = icmp6(&other);
            (format!("{src} > {dst}: ICMP6 {kind}"), rest)
        }
    }
}

/// The kind, and the particulars.
fn icmp4(t: &Icmpv4Type) -> (String, String) {
    use icmpv4::DestUnreachableHeader as Why;
    let whole = |text: &str| (text.to_owned(), String::new());
    match t {
        Icmpv4Type::EchoRequest(h) => ("echo request".into(), format!(", id {}, seq {}", h.id, h.seq)),
        Icmpv4Type::EchoReply(h) => ("echo reply".into(), format!(", id {}, seq {}", h.id, h.seq)),
        Icmpv4Type::DestinationUnreachable(why) => match why {
            Why::Network => whole("net unreachable"),
            Why::Host => whole("host unreachable"),
            Why::Port => whole("port unreachable"),
            Why::Protocol => whole("protocol unreachable"),
            Why::FragmentationNeeded { next_hop_mtu } => {
                ("unreachable".into(), format!(", need to frag (mtu {next_hop_mtu})"))
            }
            Why::FilterProhibited | Why::HostProhibited | Why::NetworkProhibited => {
                whole("unreachable, administratively prohibited")
            }
            other => whole(&format!("unreachable, code {}", other.code_u8())),
        },
        Icmpv4Type::TimeExceeded(_) => whole("time exceeded"),
        Icmpv4Type::Redirect(_) => whole("redirect"),
        Icmpv4Type::ParameterProblem(_) => whole("parameter problem"),
        Icmpv4Type::TimestampRequest(_) => whole("time stamp request"),
        Icmpv4Type::TimestampReply(_) => whole("time stamp reply"),
        Icmpv4Type::Unknown { type_u8, code_u8, .. } => whole(&format!("type {type_u8} code {code_u8}")),
    }
}

fn icmp6(t: &Icmpv6Type) -> (String, String) {
    use icmpv6::DestUnreachableCode as Why;
    let whole = |text: &str| (text.to_owned(), String::new());
    match t {
        Icmpv6Type::EchoRequest(h) => ("echo request".into(), format!(", id {}, seq {}", h.id, h.seq)),
        Icmpv6Type::EchoReply(h) => ("echo reply".into(), format!(", id {}, seq {}", h.id, h.seq)),
        Icmpv6Type::DestinationUnreachable(why) => match why {
            Why::NoRoute => whole("no route to destination"),
            Why::Prohibited => whole("administratively prohibited"),
            Why::Address => whole("address unreachable"),
            Why::Port => whole("port unreachable"),
            other => whole(&format!("unreachable, code {}", other.code_u8())),
        },
        Icmpv6Type::PacketTooBig { mtu } => ("packet too big".into(), format!(", mtu {mtu}")),
        Icmpv6Type::TimeExceeded(_) => whole("time exceeded"),
        Icmpv6Type::ParameterProblem(_) => whole("parameter problem"),
        other => {
            let name = match other.type_u8() {
                130 => "multicast listener query",
                131 => "multicast listener report",
                132 => "multicast listener done",
                133 => "router solicitation",
                134 => "router advertisement",
                135 => "neighbor solicitation, cut short",
                136 => "neighbor advertisement, cut short",
                137 => "redirect",
                143 => "multicast listener report v2",
                n => return whole(&format!("type {n} code {}", other.code_u8())),
            };
            whole(name)
        }
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
        let d = describe(&request.frame(Mac::CALICO, pod));
        assert_eq!(d.summary, "ARP, Request who-has 169.254.1.1 tell 10.42.0.123, to ee:ee:ee:ee:ee:ee");
        let ends =
            crate::wire::Ends::new("10.42.0.123".parse().unwrap(), "203.0.113.8".parse().unwrap()).unwrap();
        let echo = crate::wire::echo(ends, false, 7, 3, b"x");
        let d = describe_ip(&echo);
        assert_eq!((d.kind(), d.to), ("10.42.0.123 > 203.0.113.8: ICMP echo request", Some(ends.dst())));
        assert_eq!(d.summary, "10.42.0.123 > 203.0.113.8: ICMP echo request, id 7, seq 3");
    }

    /// ICMPv6 of a type, with that much behind its header: IPv6 of a pod that joins its groups.
    fn icmp6_packet(kind: u8, rest: usize) -> Vec<u8> {
        let (src, dst): (Ipv6Addr, Ipv6Addr) = ("fe80::1".parse().unwrap(), "ff02::16".parse().unwrap());
        let mut packet = vec![0x60, 0, 0, 0, 0, (8 + rest) as u8, 58, 1];
        packet.extend(src.octets().into_iter().chain(dst.octets()));
        packet.extend([kind, 0, 0, 0, 0, 0, 0, 0]);
        packet.extend(vec![0; rest]);
        packet
    }

    #[test]
    fn no_type_of_icmp_is_told_as_a_program_prints_its_own_values() {
        let told = describe_ip(&icmp6_packet(143, 20)).summary;
        assert_eq!(told, "fe80::1 > ff02::16: ICMP6 multicast listener report v2");
        for kind in 0..=255 {
            for rest in [0, 20] {
                let six = describe_ip(&icmp6_packet(kind, rest)).summary;
                let mut four =
                    vec![0x45, 0, 0, 48, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, kind, 1];
                four.resize(48, 0);
                let four = describe_ip(&four).summary;
                assert!(!six.contains(['{', '_']) && !four.contains(['{', '_']), "{six}; {four}");
            }
        }
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
