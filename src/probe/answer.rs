//! What was heard, read without trust: an answer may be wrong in any field.

use super::AnswererFrame;
use crate::addr::Mac;
use crate::time::Span;
use crate::wire::{ARP_LEN, Arp, ETH_HEADER_LEN, ETHERTYPE_ARP, OP_REPLY, OP_REQUEST};
use core::fmt;
use std::net::Ipv4Addr;

/// The least an ARP packet over Ethernet needs on the wire.
const FRAME_MIN: usize = ETH_HEADER_LEN + ARP_LEN;
/// Type of a frame with a VLAN tag.
const ETHERTYPE_TAG: u16 = 0x8100;

/// A frame of the answerer that is, or was meant as, an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Received {
    pub(super) after: Span,
    pub(super) dst: Mac,
    pub(super) src: Mac,
    pub(super) tagged: bool,
    /// `None` when it is too short or its lengths are wrong.
    pub(super) arp: Option<Arp>,
    /// Bytes of the frame without a tag.
    pub(super) len: usize,
    /// Beyond the ARP packet there is something other than zeros.
    pub(super) dirty: bool,
}

fn mac(bytes: &[u8]) -> Mac {
    let mut mac = [0; 6];
    mac.copy_from_slice(&bytes[..6]);
    Mac(mac)
}

impl Received {
    /// Reads a frame. Nothing when it is no ARP, or a request: the answerer may have questions of
    /// its own.
    pub(super) fn read(heard: &AnswererFrame) -> Option<Received> {
        let bytes = &heard.bytes;
        if bytes.len() < ETH_HEADER_LEN {
            return None;
        }
        let kind = |at: usize| bytes.get(at..at + 2).map(|b| u16::from_be_bytes([b[0], b[1]]));
        let tagged = kind(12) == Some(ETHERTYPE_TAG);
        let header_len = if tagged { ETH_HEADER_LEN + 4 } else { ETH_HEADER_LEN };
        if kind(header_len - 2) != Some(ETHERTYPE_ARP) {
            return None;
        }
        let payload = &bytes[header_len..];
        let arp = Arp::parse(payload).ok();
        if arp.is_some_and(|a| a.op == OP_REQUEST) {
            return None;
        }
        Some(Received {
            after: heard.after,
            dst: mac(&bytes[0..]),
            src: mac(&bytes[6..]),
            tagged,
            arp,
            len: bytes.len() - if tagged { 4 } else { 0 },
            dirty: payload.iter().skip(ARP_LEN).any(|b| *b != 0),
        })
    }

    /// The answers among what was heard.
    pub(super) fn all(heard: &[AnswererFrame]) -> Vec<Received> {
        heard.iter().filter_map(Received::read).collect()
    }

    // What follows is what is wrong with a field, if anything.

    pub(super) fn operation(&self) -> Option<String> {
        match self.arp {
            Some(arp) if arp.op != OP_REPLY => Some(format!("operation {}", arp.op)),
            _ => None,
        }
    }

    pub(super) fn header(&self) -> Option<String> {
        match self.arp {
            None => Some(format!("no ARP packet for IPv4 over Ethernet in {} bytes", self.len)),
            Some(arp) if (arp.hrd, arp.pro) != (1, 0x0800) => {
                Some(format!("hardware type {}, protocol {:#06x}", arp.hrd, arp.pro))
            }
            Some(_) if self.tagged => Some("it has a VLAN tag".into()),
            Some(_) => None,
        }
    }

    pub(super) fn sender_address(&self, asked: Ipv4Addr) -> Option<String> {
        match self.arp {
            Some(arp) if arp.spa != asked => Some(format!("{} instead of {asked}", arp.spa)),
            _ => None,
        }
    }

    pub(super) fn sender_hardware(&self, expected: Option<Mac>) -> Option<String> {
        let Arp { sha, .. } = self.arp?;
        if sha.is_group() || sha == Mac::ZERO {
            return Some(format!("{sha} is no station's MAC"));
        }
        if sha != self.src {
            return Some(format!("{sha}, but the frame comes from {}", self.src));
        }
        match expected {
            Some(mac) if sha != mac => Some(format!("{sha} instead of {mac}")),
            _ => None,
        }
    }

    pub(super) fn target(&self, mac: Mac, ip: Ipv4Addr) -> Option<String> {
        match self.arp {
            Some(arp) if (arp.tha, arp.tpa) != (mac, ip) => {
                Some(format!("{} {} instead of {mac} {ip}", arp.tha, arp.tpa))
            }
            _ => None,
        }
    }

    pub(super) fn destination(&self, mac: Mac) -> Option<String> {
        if self.dst == mac { None } else { Some(format!("sent to {}", self.dst)) }
    }

    pub(super) fn length(&self) -> Option<String> {
        if self.len < FRAME_MIN {
            return Some(format!("{} bytes", self.len));
        }
        if self.dirty { Some("there is more than zeros behind the ARP packet".into()) } else { None }
    }
}

impl fmt::Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.arp {
            Some(arp) => write!(f, "{arp} after {}", self.after),
            None => write!(f, "{} bytes of ARP after {}", self.len, self.after),
        }
    }
}
