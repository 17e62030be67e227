//! ARP for IPv4 over Ethernet as bytes (RFC 826), as far as the kernel looks at them (arp_rcv).

use super::ethernet::{ETH_HEADER_LEN, ETHERTYPE_ARP, ETHERTYPE_IPV4, FrameFault, ip_at, mac_at, u16_at};
use crate::addr::Mac;
use core::fmt;
use std::net::Ipv4Addr;

/// Length of the packet, in bytes.
pub const ARP_LEN: usize = 28;

/// ARP operation "request".
pub const OP_REQUEST: u16 = 1;
/// ARP operation "reply".
pub const OP_REPLY: u16 = 2;

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
    use crate::wire::EthFrame;

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
    fn short_frames_are_refused_at_every_length() {
        for len in 0..REQUEST.len() {
            let r = EthFrame::parse(&REQUEST[..len]).and_then(|e| Arp::parse(e.payload));
            assert!(r.is_err(), "{len}");
        }
    }
}
