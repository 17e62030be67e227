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
/// Ethernet header without tags.
pub const ETH_HEADER_LEN: usize = 14;
/// The longest frame that is looked at: the largest MTU of a veth plus its header and two tags.
pub const FRAME_MAX: usize = 65_535 + ETH_HEADER_LEN + 8;

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
        /// The number of the VLAN, of 12 bits.
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
    /// What follows the header, padding included.
    pub payload: &'a [u8],
}

pub(super) fn mac_at(bytes: &[u8], at: usize) -> Mac {
    let mut m = [0; 6];
    m.copy_from_slice(&bytes[at..at + 6]);
    Mac(m)
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

pub(super) fn ip_at(bytes: &[u8], at: usize) -> Ipv4Addr {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Arp;

    #[test]
    fn priority_tags_are_taken_off_and_others_refused() {
        let (pod, any) = (Mac::CALICO, Ipv4Addr::UNSPECIFIED);
        let request = Arp::request(pod, any, any).frame(Mac::BROADCAST, pod);
        let tagged = |tags: &[[u8; 4]]| {
            let mut f = request[..12].to_vec();
            f.extend(tags.concat());
            f.extend(&request[12..]);
            f
        };
        let nested = tagged(&[[0x88, 0xa8, 0, 0], [0x81, 0, 0x20, 0]]);
        assert_eq!(EthFrame::parse(&nested).unwrap().ethertype, ETHERTYPE_ARP);
        let vlan = tagged(&[[0x81, 0, 0, 100]]);
        assert_eq!(EthFrame::parse(&vlan), Err(FrameFault::Vlan { vid: 100 }));
        assert_eq!(EthFrame::parse(&vlan[..15]), Err(FrameFault::VlanTruncated));
    }
}
