//! Bytes on the wire: Ethernet, ARP and neighbour discovery as the kernel looks at them, and the IP
//! packets of the pod's clients and of the host's own errors, built and read with smoltcp's wire
//! types.

mod arp;
mod ethernet;
pub mod nd;
mod reflex;
mod unreachable;

pub use arp::{ARP_LEN, Arp, OP_REPLY, OP_REQUEST};
pub use ethernet::{
    Cast, ETH_HEADER_LEN, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, EthFrame, FRAME_MAX, FrameFault,
};
pub use reflex::answer_tcp;
pub use unreachable::{Unreachable, quoted, quoted_ports, unreachable};

use crate::packet::IpBytes;
use smallvec::SmallVec;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    Icmpv4Message, Icmpv4Packet, Icmpv4Repr, Icmpv6Message, Icmpv6Packet, Icmpv6Repr, IpProtocol, Ipv4Packet,
    Ipv4Repr, Ipv6Packet, Ipv6Repr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber, UdpPacket, UdpRepr,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// TTL (hop limit) of what the pod sends: Linux's default (net.ipv4.ip_default_ttl).
pub const TTL: u8 = 64;

/// Two ends of a packet, of one family.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Ends {
    /// IPv4: source, destination.
    V4(Ipv4Addr, Ipv4Addr),
    /// IPv6: source, destination.
    V6(Ipv6Addr, Ipv6Addr),
}

impl Ends {
    /// Pairs two addresses of one family.
    #[must_use]
    pub fn new(src: IpAddr, dst: IpAddr) -> Option<Ends> {
        match (src, dst) {
            (IpAddr::V4(s), IpAddr::V4(d)) => Some(Ends::V4(s, d)),
            (IpAddr::V6(s), IpAddr::V6(d)) => Some(Ends::V6(s, d)),
            _ => None,
        }
    }
    /// The source.
    #[must_use]
    pub fn src(&self) -> IpAddr {
        match *self {
            Ends::V4(s, _) => s.into(),
            Ends::V6(s, _) => s.into(),
        }
    }
    /// The destination.
    #[must_use]
    pub fn dst(&self) -> IpAddr {
        match *self {
            Ends::V4(_, d) => d.into(),
            Ends::V6(_, d) => d.into(),
        }
    }
    /// The way back.
    #[must_use]
    pub fn reversed(&self) -> Ends {
        match *self {
            Ends::V4(s, d) => Ends::V4(d, s),
            Ends::V6(s, d) => Ends::V6(d, s),
        }
    }

    /// A packet with an empty payload of that length, and the payload to fill.
    fn packet(&self, protocol: IpProtocol, len: usize, fill: impl FnOnce(&mut [u8])) -> IpBytes {
        match *self {
            Ends::V4(src_addr, dst_addr) => {
                let repr =
                    Ipv4Repr { src_addr, dst_addr, next_header: protocol, payload_len: len, hop_limit: TTL };
                let mut bytes: IpBytes = SmallVec::from_elem(0, repr.buffer_len() + len);
                let mut packet = Ipv4Packet::new_unchecked(&mut bytes[..]);
                repr.emit(&mut packet, &ChecksumCapabilities::default());
                fill(packet.payload_mut());
                bytes
            }
            Ends::V6(src_addr, dst_addr) => {
                let repr =
                    Ipv6Repr { src_addr, dst_addr, next_header: protocol, payload_len: len, hop_limit: TTL };
                let mut bytes: IpBytes = SmallVec::from_elem(0, repr.buffer_len() + len);
                let mut packet = Ipv6Packet::new_unchecked(&mut bytes[..]);
                repr.emit(&mut packet);
                fill(packet.payload_mut());
                bytes
            }
        }
    }
}

/// What a TCP segment carries, as far as the model's clients look.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Segment<'a> {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// SYN, FIN, RST or none.
    pub control: SegmentFlag,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgment, when the flag is set.
    pub ack: Option<u32>,
    /// Data.
    pub data: &'a [u8],
}

/// The control flag of a segment; at most one is set in what the model sends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
pub enum SegmentFlag {
    None,
    Syn,
    Fin,
    Rst,
}

/// A packet the clients understand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Payload<'a> {
    /// ICMP echo.
    Echo {
        /// Reply rather than request.
        reply: bool,
        /// Identifier.
        ident: u16,
        /// Sequence number.
        seq: u16,
        /// Data.
        data: &'a [u8],
    },
    /// "Destination unreachable" with the start of the packet it is about.
    Unreachable {
        /// ICMP code.
        code: u8,
        /// IP header and the first bytes of the packet that failed.
        about: &'a [u8],
    },
    /// A TCP segment.
    Tcp(Segment<'a>),
    /// A UDP datagram.
    Udp {
        /// Source port.
        src_port: u16,
        /// Destination port.
        dst_port: u16,
        /// Data.
        data: &'a [u8],
    },
    /// Neighbour discovery and everything else.
    Other,
}

/// An ICMP echo packet.
#[must_use]
pub fn echo(ends: Ends, reply: bool, ident: u16, seq_no: u16, data: &[u8]) -> IpBytes {
    let caps = ChecksumCapabilities::default();
    match ends {
        Ends::V4(..) => {
            let repr = if reply {
                Icmpv4Repr::EchoReply { ident, seq_no, data }
            } else {
                Icmpv4Repr::EchoRequest { ident, seq_no, data }
            };
            ends.packet(IpProtocol::Icmp, repr.buffer_len(), |p| {
                repr.emit(&mut Icmpv4Packet::new_unchecked(p), &caps);
            })
        }
        Ends::V6(src, dst) => {
            let repr = if reply {
                Icmpv6Repr::EchoReply { ident, seq_no, data }
            } else {
                Icmpv6Repr::EchoRequest { ident, seq_no, data }
            };
            ends.packet(IpProtocol::Icmpv6, repr.buffer_len(), |p| {
                repr.emit(&src, &dst, &mut Icmpv6Packet::new_unchecked(p), &caps);
            })
        }
    }
}

/// A UDP datagram.
#[must_use]
pub fn udp(ends: Ends, src_port: u16, dst_port: u16, data: &[u8]) -> IpBytes {
    let repr = UdpRepr { src_port, dst_port };
    let len = repr.header_len() + data.len();
    ends.packet(IpProtocol::Udp, len, |p| {
        let mut packet = UdpPacket::new_unchecked(p);
        let caps = ChecksumCapabilities::default();
        repr.emit(
            &mut packet,
            &ends.src().into(),
            &ends.dst().into(),
            data.len(),
            |b| b.copy_from_slice(data),
            &caps,
        );
    })
}

/// A TCP segment.
#[must_use]
pub fn tcp(ends: Ends, segment: &Segment<'_>) -> IpBytes {
    let control = match segment.control {
        SegmentFlag::None if segment.data.is_empty() => TcpControl::None,
        SegmentFlag::None => TcpControl::Psh,
        SegmentFlag::Syn => TcpControl::Syn,
        SegmentFlag::Fin => TcpControl::Fin,
        SegmentFlag::Rst => TcpControl::Rst,
    };
    let repr = TcpRepr {
        src_port: segment.src_port,
        dst_port: segment.dst_port,
        control,
        seq_number: TcpSeqNumber(segment.seq.cast_signed()),
        ack_number: segment.ack.map(|a| TcpSeqNumber(a.cast_signed())),
        window_len: 64240,
        window_scale: None,
        max_seg_size: (segment.control == SegmentFlag::Syn).then_some(1460),
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: segment.data,
    };
    ends.packet(IpProtocol::Tcp, repr.buffer_len(), |p| {
        let mut packet = TcpPacket::new_unchecked(p);
        repr.emit(&mut packet, &ends.src().into(), &ends.dst().into(), &ChecksumCapabilities::default());
    })
}

/// The ends and protocol number of an IP packet, with its payload; `None` when it is not one.
#[must_use]
pub fn ip_parts(bytes: &[u8]) -> Option<(Ends, IpProtocol, &[u8])> {
    match bytes.first()? >> 4 {
        4 => {
            let p = Ipv4Packet::new_checked(bytes).ok()?;
            if p.version() != 4 || !p.verify_checksum() || p.header_len() < 20 {
                return None;
            }
            Some((Ends::V4(p.src_addr(), p.dst_addr()), p.next_header(), p.payload()))
        }
        6 => {
            let p = Ipv6Packet::new_checked(bytes).ok()?;
            let payload = bytes.get(40..40 + p.payload_len() as usize)?;
            Some((Ends::V6(p.src_addr(), p.dst_addr()), p.next_header(), payload))
        }
        _ => None,
    }
}

/// Reads a packet, checksums included.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<(Ends, Payload<'_>)> {
    let (ends, protocol, payload) = ip_parts(bytes)?;
    let parsed = match protocol {
        IpProtocol::Icmp => icmp4(payload)?,
        IpProtocol::Icmpv6 => icmp6(ends, payload)?,
        IpProtocol::Tcp => {
            let p = TcpPacket::new_checked(payload).ok()?;
            if !p.verify_checksum(&ends.src().into(), &ends.dst().into()) {
                return None;
            }
            Payload::Tcp(segment(payload)?)
        }
        IpProtocol::Udp => {
            let p = UdpPacket::new_checked(payload).ok()?;
            if !p.verify_checksum(&ends.src().into(), &ends.dst().into()) {
                return None;
            }
            let data = payload.get(8..p.len() as usize)?;
            Payload::Udp { src_port: p.src_port(), dst_port: p.dst_port(), data }
        }
        _ => Payload::Other,
    };
    Some((ends, parsed))
}

fn icmp4(payload: &[u8]) -> Option<Payload<'_>> {
    let p = Icmpv4Packet::new_checked(payload).ok()?;
    if !p.verify_checksum() {
        return None;
    }
    Some(match p.msg_type() {
        t @ (Icmpv4Message::EchoRequest | Icmpv4Message::EchoReply) => Payload::Echo {
            reply: t == Icmpv4Message::EchoReply,
            ident: p.echo_ident(),
            seq: p.echo_seq_no(),
            data: payload.get(8..)?,
        },
        Icmpv4Message::DstUnreachable => {
            Payload::Unreachable { code: p.msg_code(), about: payload.get(8..)? }
        }
        _ => Payload::Other,
    })
}

fn icmp6(ends: Ends, payload: &[u8]) -> Option<Payload<'_>> {
    let Ends::V6(src, dst) = ends else { return None };
    let p = Icmpv6Packet::new_checked(payload).ok()?;
    if !p.verify_checksum(&src, &dst) {
        return None;
    }
    Some(match p.msg_type() {
        t @ (Icmpv6Message::EchoRequest | Icmpv6Message::EchoReply) => Payload::Echo {
            reply: t == Icmpv6Message::EchoReply,
            ident: p.echo_ident(),
            seq: p.echo_seq_no(),
            data: payload.get(8..)?,
        },
        Icmpv6Message::DstUnreachable => {
            Payload::Unreachable { code: p.msg_code(), about: payload.get(8..)? }
        }
        _ => Payload::Other,
    })
}

/// Computes the TCP or UDP checksum of an Ethernet frame that its sender left to a device.
pub fn fill_checksum(frame: &mut [u8]) {
    let Some(packet) = frame.get_mut(14..) else { return };
    let Some((ends, protocol, payload)) = ip_parts(packet) else { return };
    let (start, len) = (payload.as_ptr() as usize - packet.as_ptr() as usize, payload.len());
    let (src, dst) = (ends.src().into(), ends.dst().into());
    let Some(payload) = packet.get_mut(start..start + len) else { return };
    match protocol {
        IpProtocol::Tcp if payload.len() >= 20 => TcpPacket::new_unchecked(payload).fill_checksum(&src, &dst),
        IpProtocol::Udp if payload.len() >= 8 => UdpPacket::new_unchecked(payload).fill_checksum(&src, &dst),
        _ => {}
    }
}

/// Reads a TCP header without checking its sum: of a whole segment or of one quoted in an error.
#[must_use]
pub fn segment(payload: &[u8]) -> Option<Segment<'_>> {
    if payload.len() < 8 {
        return None;
    }
    let port = |at: usize| u16::from_be_bytes([payload[at], payload[at + 1]]);
    let word = |at: usize| payload.get(at..at + 4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
    let flags = payload.get(13).copied().unwrap_or(0);
    let control = match flags & 7 {
        f if f & 4 != 0 => SegmentFlag::Rst,
        f if f & 2 != 0 => SegmentFlag::Syn,
        f if f & 1 != 0 => SegmentFlag::Fin,
        _ => SegmentFlag::None,
    };
    let header = payload.get(12).map_or(20, |b| usize::from(b >> 4) * 4);
    Some(Segment {
        src_port: port(0),
        dst_port: port(2),
        control,
        seq: word(4)?,
        ack: word(8).filter(|_| flags & 16 != 0),
        data: payload.get(header..).unwrap_or(&[]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends() -> [Ends; 2] {
        [
            Ends::new("10.42.0.7".parse().unwrap(), "203.0.113.8".parse().unwrap()).unwrap(),
            Ends::new("2001:db8::7".parse().unwrap(), "2001:db8:1::8".parse().unwrap()).unwrap(),
        ]
    }

    #[test]
    fn what_is_built_is_read_back() {
        for ends in ends() {
            let bytes = echo(ends, false, 7, 3, b"abc");
            let wanted = Payload::Echo { reply: false, ident: 7, seq: 3, data: b"abc" };
            assert_eq!(parse(&bytes), Some((ends, wanted)));
            let bytes = udp(ends, 1000, 53, b"hello");
            assert_eq!(
                parse(&bytes),
                Some((ends, Payload::Udp { src_port: 1000, dst_port: 53, data: b"hello" }))
            );
            let s = Segment {
                src_port: 40_000,
                dst_port: 443,
                control: SegmentFlag::Syn,
                seq: 9,
                ack: None,
                data: b"",
            };
            let syn = tcp(ends, &s);
            assert_eq!(parse(&syn), Some((ends, Payload::Tcp(s))));
            let error = unreachable(ends.reversed(), Unreachable::Host, &syn);
            let Some((_, Payload::Unreachable { about, .. })) = parse(&error) else { panic!("{error:?}") };
            let quoted = &about[if about[0] >> 4 == 4 { 20 } else { 40 }..];
            assert_eq!(segment(quoted).unwrap().src_port, 40_000);
        }
    }

    #[test]
    fn a_checksum_left_to_the_device_is_filled_in() {
        for ends in ends() {
            let packet = udp(ends, 1000, 53, b"hello");
            let mut frame = vec![0; 14];
            frame.extend_from_slice(&packet);
            let wanted = frame.clone();
            let at = frame.len() - 7;
            frame[at] ^= 0x55;
            fill_checksum(&mut frame);
            assert_eq!(frame, wanted);
            for len in 0..frame.len() {
                fill_checksum(&mut frame[..len].to_vec());
            }
        }
    }

    #[test]
    fn damage_is_noticed() {
        for ends in ends() {
            let mut bytes = udp(ends, 1000, 53, b"hello");
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            assert_eq!(parse(&bytes), None);
            for len in 0..bytes.len() {
                let _ = parse(&bytes[..len]);
            }
        }
    }
}
