//! ICMP "destination unreachable" of both families, and the packet that one quotes.

use super::Ends;
use crate::packet::IpBytes;
use smoltcp::wire::{
    Icmpv4DstUnreachable, Icmpv4Message, Icmpv4Packet, Icmpv6DstUnreachable, Icmpv6Message, Icmpv6Packet,
    IpProtocol,
};

/// The destination-unreachable codes the lab sends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Unreachable {
    /// ICMP 3/0.
    Net,
    /// ICMP 3/1; in IPv6 "address unreachable", 1/3.
    Host,
    /// ICMP 3/13, ICMPv6 1/1.
    Prohibited,
    /// ICMP 3/3, ICMPv6 1/4.
    Port,
    /// ICMPv6 1/2: the source address does not reach beyond its link. IPv4 has no such word, and says
    /// "host".
    Scope,
}

impl Unreachable {
    /// What ping prints (iputils).
    #[must_use]
    pub const fn text(self, v6: bool) -> &'static str {
        match (self, v6) {
            (Unreachable::Net, false) => "Destination Net Unreachable",
            (Unreachable::Host | Unreachable::Scope, false) => "Destination Host Unreachable",
            (Unreachable::Prohibited, false) => "Packet filtered",
            (Unreachable::Port, false) => "Destination Port Unreachable",
            (Unreachable::Net, true) => "Destination unreachable: No route",
            (Unreachable::Host, true) => "Destination unreachable: Address unreachable",
            (Unreachable::Prohibited, true) => "Destination unreachable: Administratively prohibited",
            (Unreachable::Scope, true) => "Destination unreachable: Beyond scope of source address",
            (Unreachable::Port, true) => "Destination unreachable: Port unreachable",
        }
    }

    /// The reason an ICMP (ICMPv6 if `v6`) code stands for, of those the lab knows.
    #[must_use]
    pub const fn of_code(code: u8, v6: bool) -> Option<Unreachable> {
        match (code, v6) {
            (0, _) => Some(Unreachable::Net),
            (1, false) | (3, true) => Some(Unreachable::Host),
            (2, true) => Some(Unreachable::Scope),
            (13, false) | (1, true) => Some(Unreachable::Prohibited),
            (3, false) | (4, true) => Some(Unreachable::Port),
            _ => None,
        }
    }
}

/// "Destination unreachable" about a packet: its header and first eight bytes (RFC 792; Linux
/// sends more, which nothing here reads).
#[must_use]
pub fn unreachable(ends: Ends, why: Unreachable, about: &[u8]) -> IpBytes {
    match ends {
        Ends::V4(..) => {
            let code = match why {
                Unreachable::Net => Icmpv4DstUnreachable::NetUnreachable,
                Unreachable::Host | Unreachable::Scope => Icmpv4DstUnreachable::HostUnreachable,
                Unreachable::Prohibited => Icmpv4DstUnreachable::CommProhibited,
                Unreachable::Port => Icmpv4DstUnreachable::PortUnreachable,
            };
            let quoted = &about[..about.len().min(28)];
            ends.packet(IpProtocol::Icmp, 8 + quoted.len(), |p| {
                let mut packet = Icmpv4Packet::new_unchecked(&mut *p);
                packet.set_msg_type(Icmpv4Message::DstUnreachable);
                packet.set_msg_code(code.into());
                p[8..].copy_from_slice(quoted);
                Icmpv4Packet::new_unchecked(p).fill_checksum();
            })
        }
        Ends::V6(src, dst) => {
            let code = match why {
                Unreachable::Net => Icmpv6DstUnreachable::NoRoute,
                Unreachable::Host => Icmpv6DstUnreachable::AddrUnreachable,
                Unreachable::Prohibited => Icmpv6DstUnreachable::AdminProhibit,
                Unreachable::Scope => Icmpv6DstUnreachable::BeyondScope,
                Unreachable::Port => Icmpv6DstUnreachable::PortUnreachable,
            };
            let quoted = &about[..about.len().min(48)];
            ends.packet(IpProtocol::Icmpv6, 8 + quoted.len(), |p| {
                let mut packet = Icmpv6Packet::new_unchecked(&mut *p);
                packet.set_msg_type(Icmpv6Message::DstUnreachable);
                packet.set_msg_code(code.into());
                p[8..].copy_from_slice(quoted);
                Icmpv6Packet::new_unchecked(p).fill_checksum(&src, &dst);
            })
        }
    }
}

/// What follows the IP header of a packet quoted in an error, and its protocol number.
#[must_use]
pub fn quoted(about: &[u8]) -> Option<(u8, &[u8])> {
    match about.first()? >> 4 {
        4 => Some((*about.get(9)?, about.get(usize::from(about[0] & 15) * 4..)?)),
        6 => Some((*about.get(6)?, about.get(40..)?)),
        _ => None,
    }
}

/// Source and destination port of a packet of that protocol quoted in an error.
#[must_use]
pub fn quoted_ports(about: &[u8], protocol: u8) -> Option<(u16, u16)> {
    let (_, rest) = quoted(about).filter(|(p, _)| *p == protocol)?;
    let ports = rest.first_chunk::<4>()?;
    Some((u16::from_be_bytes([ports[0], ports[1]]), u16::from_be_bytes([ports[2], ports[3]])))
}
