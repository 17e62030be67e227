//! A received Ethernet frame, as far as the kernel looks at it before ARP does: destination,
//! VLAN tags, type, ARP header (eth_type_trans, vlan_do_receive, arp_rcv). Every way in which a
//! frame is put aside is a [`FrameFault`].

use crate::addr::Mac;
use core::fmt;
use std::net::Ipv4Addr;

/// Ethertype of ARP.
pub const ETHERTYPE_ARP: u16 = 0x0806;
/// Ethertype of IPv4.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// Ethertype of IPv6.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_8021Q: u16 = 0x8100;
const ETHERTYPE_8021AD: u16 = 0x88a8;
/// Smaller values of the type field are a length (IEEE 802.3 clause 3.2.6).
const ETHERTYPE_MIN: u16 = 0x0600;
/// An ARP packet for IPv4 over Ethernet, RFC 826.
pub const ARP_LEN: usize = 28;
/// Ethernet header without tags.
pub const ETH_HEADER_LEN: usize = 14;
/// The longest frame that is looked at: the largest MTU of a veth plus its header and two tags.
pub const FRAME_MAX: usize = 65_535 + ETH_HEADER_LEN + 8;

/// ARP operation "request".
pub const OP_REQUEST: u16 = 1;
/// ARP operation "reply".
pub const OP_REPLY: u16 = 2;

/// Whom a frame is for, seen from the device that received it (skb->pkt_type).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Cast {
    /// The device itself.
    Host,
    /// Everybody.
    Broadcast,
    /// A group.
    Multicast,
    /// Another station.
    OtherHost,
}

impl Cast {
    /// How a device with that address sees a frame for `dst`.
    #[must_use]
    pub fn of(dst: Mac, own: Mac) -> Cast {
        match dst {
            d if d == own => Cast::Host,
            d if d.is_broadcast() => Cast::Broadcast,
            d if d.is_group() => Cast::Multicast,
            _ => Cast::OtherHost,
        }
    }
}

/// Why a frame goes no further.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FrameFault {
    /// Shorter than an Ethernet header.
    Runt {
        /// Bytes there were.
        len: usize,
    },
    /// Longer than any device carries.
    Oversized {
        /// Bytes there were.
        len: usize,
    },
    /// A VLAN tag with a number and no VLAN device for it.
    Vlan {
        /// The VLAN.
        vid: u16,
    },
    /// A VLAN header cut short.
    VlanTruncated,
    /// An 802.3 length instead of a type.
    Ieee8023,
    /// The ARP packet is shorter than 28 bytes.
    ArpTruncated {
        /// Bytes there were.
        len: usize,
    },
    /// ar_hln is not 6 or ar_pln is not 4.
    ArpAddressLength {
        /// Hardware address length.
        hln: u8,
        /// Protocol address length.
        pln: u8,
    },
}

impl fmt::Display for FrameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameFault::Runt { len } => write!(f, "{len} bytes are no Ethernet frame"),
            FrameFault::Oversized { len } => write!(f, "{len} bytes exceed every MTU"),
            FrameFault::Vlan { vid } => write!(f, "tagged for VLAN {vid}, which has no device here"),
            FrameFault::VlanTruncated => f.write_str("the VLAN tag is cut short"),
            FrameFault::Ieee8023 => f.write_str("an 802.3 length instead of an Ethertype"),
            FrameFault::ArpTruncated { len } => write!(f, "the ARP packet has {len} of 28 bytes"),
            FrameFault::ArpAddressLength { hln, pln } => {
                write!(f, "ARP address lengths {hln} and {pln} instead of 6 and 4")
            }
        }
    }
}

/// A frame without its tags.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EthFrame<'a> {
    /// Destination.
    pub dst: Mac,
    /// Source; nothing in ARP looks at it.
    pub src: Mac,
    /// Type of the payload.
    pub ethertype: u16,
    /// What follows.
    pub payload: &'a [u8],
}

fn mac_at(bytes: &[u8], at: usize) -> Mac {
    let mut m = [0; 6];
    m.copy_from_slice(&bytes[at..at + 6]);
    Mac(m)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn ip_at(bytes: &[u8], at: usize) -> Ipv4Addr {
    Ipv4Addr::new(bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3])
}

impl<'a> EthFrame<'a> {
    /// Reads the header and takes priority tags (VLAN 0) off; any other tag is refused, since no
    /// VLAN devices are modelled.
    pub fn parse(frame: &'a [u8]) -> Result<EthFrame<'a>, FrameFault> {
        let len = frame.len();
        if len < ETH_HEADER_LEN {
            return Err(FrameFault::Runt { len });
        }
        if len > FRAME_MAX {
            return Err(FrameFault::Oversized { len });
        }
        let (dst, src) = (mac_at(frame, 0), mac_at(frame, 6));
        let mut at = 12;
        let mut ethertype = u16_at(frame, at);
        while matches!(ethertype, ETHERTYPE_8021Q | ETHERTYPE_8021AD) {
            if len < at + 6 {
                return Err(FrameFault::VlanTruncated);
            }
            let vid = u16_at(frame, at + 2) & 0x0fff;
            if vid != 0 {
                return Err(FrameFault::Vlan { vid });
            }
            at += 4;
            ethertype = u16_at(frame, at);
        }
        if ethertype < ETHERTYPE_MIN {
            return Err(FrameFault::Ieee8023);
        }
        Ok(EthFrame { dst, src, ethertype, payload: &frame[at + 2..] })
    }
}

/// An ARP packet for IPv4 over Ethernet, whatever its numbers say.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Arp {
    /// ar_hrd: 1 is Ethernet.
    pub hrd: u16,
    /// ar_pro: 0x0800 is IPv4.
    pub pro: u16,
    /// ar_op.
    pub op: u16,
    /// Sender hardware address.
    pub sha: Mac,
    /// Sender protocol address.
    pub spa: Ipv4Addr,
    /// Target hardware address.
    pub tha: Mac,
    /// Target protocol address.
    pub tpa: Ipv4Addr,
}

impl Arp {
    /// Reads the first 28 bytes; more are padding.
    pub fn parse(payload: &[u8]) -> Result<Arp, FrameFault> {
        if payload.len() < ARP_LEN {
            return Err(FrameFault::ArpTruncated { len: payload.len() });
        }
        let (hln, pln) = (payload[4], payload[5]);
        if (hln, pln) != (6, 4) {
            return Err(FrameFault::ArpAddressLength { hln, pln });
        }
        Ok(Arp {
            hrd: u16_at(payload, 0),
            pro: u16_at(payload, 2),
            op: u16_at(payload, 6),
            sha: mac_at(payload, 8),
            spa: ip_at(payload, 14),
            tha: mac_at(payload, 18),
            tpa: ip_at(payload, 24),
        })
    }

    /// An ordinary request (RFC 826): who has `tpa`, tell `spa`.
    #[must_use]
    pub fn request(sha: Mac, spa: Ipv4Addr, tpa: Ipv4Addr) -> Arp {
        Arp { hrd: 1, pro: ETHERTYPE_IPV4, op: OP_REQUEST, sha, spa, tha: Mac::ZERO, tpa }
    }

    /// An ordinary reply: `spa` is at `sha`.
    #[must_use]
    pub fn reply(sha: Mac, spa: Ipv4Addr, tha: Mac, tpa: Ipv4Addr) -> Arp {
        Arp { hrd: 1, pro: ETHERTYPE_IPV4, op: OP_REPLY, sha, spa, tha, tpa }
    }

    /// The frame as it goes on a veth: 42 bytes, no padding.
    #[must_use]
    pub fn frame(&self, eth_dst: Mac, eth_src: Mac) -> [u8; ETH_HEADER_LEN + ARP_LEN] {
        let mut f = [0; ETH_HEADER_LEN + ARP_LEN];
        f[0..6].copy_from_slice(&eth_dst.0);
        f[6..12].copy_from_slice(&eth_src.0);
        f[12..14].copy_from_slice(&ETHERTYPE_ARP.to_be_bytes());
        f[14..16].copy_from_slice(&self.hrd.to_be_bytes());
        f[16..18].copy_from_slice(&self.pro.to_be_bytes());
        f[18] = 6;
        f[19] = 4;
        f[20..22].copy_from_slice(&self.op.to_be_bytes());
        f[22..28].copy_from_slice(&self.sha.0);
        f[28..32].copy_from_slice(&self.spa.octets());
        f[32..38].copy_from_slice(&self.tha.0);
        f[38..42].copy_from_slice(&self.tpa.octets());
        f
    }
}

/// As tcpdump prints it.
impl fmt::Display for Arp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.op {
            OP_REQUEST if self.spa.is_unspecified() => write!(f, "Probe who-has {}", self.tpa),
            OP_REQUEST if self.spa == self.tpa => write!(f, "Announcement {}", self.tpa),
            OP_REQUEST => write!(f, "Request who-has {} tell {}", self.tpa, self.spa),
            OP_REPLY => write!(f, "Reply {} is-at {}", self.spa, self.sha),
            op => write!(f, "op {op} {} ({}) > {} ({})", self.spa, self.sha, self.tpa, self.tha),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: [u8; 42] = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0x00, 0x0a, 0x41, 0x00, 0x02, 0x08, 0x06, 0x00, 0x01, 0x08,
        0x00, 0x06, 0x04, 0x00, 0x01, 0x02, 0x00, 0x0a, 0x41, 0x00, 0x02, 0x0a, 0x41, 0x00, 0x02, 0, 0, 0, 0,
        0, 0, 0xa9, 0xfe, 0x01, 0x01,
    ];

    #[test]
    fn deconstruct_and_construct() {
        let eth = EthFrame::parse(&REQUEST).unwrap();
        assert_eq!((eth.dst, eth.ethertype), (Mac::BROADCAST, ETHERTYPE_ARP));
        let arp = Arp::parse(eth.payload).unwrap();
        assert_eq!(arp.to_string(), "Request who-has 169.254.1.1 tell 10.65.0.2");
        assert_eq!(arp.frame(eth.dst, eth.src), REQUEST);
    }

    #[test]
    fn priority_tags_are_taken_off_and_others_refused() {
        let tagged = |tags: &[[u8; 4]]| {
            let mut f = REQUEST[..12].to_vec();
            f.extend(tags.concat());
            f.extend(&REQUEST[12..]);
            f
        };
        let nested = tagged(&[[0x88, 0xa8, 0, 0], [0x81, 0, 0x20, 0]]);
        assert_eq!(EthFrame::parse(&nested).unwrap().ethertype, ETHERTYPE_ARP);
        let vlan = tagged(&[[0x81, 0, 0, 100]]);
        assert_eq!(EthFrame::parse(&vlan), Err(FrameFault::Vlan { vid: 100 }));
        assert_eq!(EthFrame::parse(&vlan[..15]), Err(FrameFault::VlanTruncated));
    }

    #[test]
    fn short_frames_are_refused_at_every_length() {
        for len in 0..REQUEST.len() {
            let r = EthFrame::parse(&REQUEST[..len]).and_then(|e| Arp::parse(e.payload));
            assert!(r.is_err(), "{len}");
        }
    }
}
