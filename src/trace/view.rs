//! A frame, read: once, when it is put on the link, for everybody who wants to know what it is.

use super::event::{is_dad, is_gateway};
use crate::addr::Mac;
use crate::wire::nd::{self, NdMessage};
use crate::wire::{Arp, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, EthFrame, OP_REPLY, OP_REQUEST};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a frame is, as far as the course of a run depends on it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum View {
    /// No Ethernet frame, or one that is tagged for a VLAN.
    Unreadable,
    /// ARP.
    Arp {
        /// Destination of the frame.
        dst: Mac,
        /// The packet.
        arp: Arp,
    },
    /// A neighbour solicitation.
    Solicit {
        /// Destination of the frame.
        dst: Mac,
        /// Source of the packet.
        src: Ipv6Addr,
        /// Who is asked for.
        target: Ipv6Addr,
    },
    /// A neighbour advertisement.
    Advert {
        /// Destination of the frame.
        dst: Mac,
        /// Source of the frame.
        mac: Mac,
        /// Whose MAC it tells.
        target: Ipv6Addr,
    },
    /// Anything else.
    Other {
        /// Destination of the frame.
        dst: Mac,
    },
}

impl View {
    /// Reads a frame.
    #[must_use]
    pub fn of(frame: &[u8]) -> View {
        let Ok(eth) = EthFrame::parse(frame) else { return View::Unreadable };
        let dst = eth.dst;
        match eth.ethertype {
            ETHERTYPE_ARP => {
                Arp::parse(eth.payload).map_or(View::Other { dst }, |arp| View::Arp { dst, arp })
            }
            ETHERTYPE_IPV6 => match nd::in_packet(eth.payload) {
                Some(nd::NdPacket { src, message: NdMessage::Solicit(ns), .. }) => {
                    View::Solicit { dst, src, target: ns.target }
                }
                Some(nd::NdPacket { message: NdMessage::Advert(na), .. }) => {
                    View::Advert { dst, mac: eth.src, target: na.target }
                }
                None => View::Other { dst },
            },
            _ => View::Other { dst },
        }
    }

    /// The MAC it is sent to; `None` when it cannot be read.
    #[must_use]
    pub const fn dst(&self) -> Option<Mac> {
        match self {
            View::Unreadable => None,
            View::Arp { dst, .. }
            | View::Solicit { dst, .. }
            | View::Advert { dst, .. }
            | View::Other { dst } => Some(*dst),
        }
    }

    /// It is IPv6's neighbour discovery.
    #[must_use]
    pub const fn is_ipv6(&self) -> bool {
        matches!(self, View::Solicit { .. } | View::Advert { .. })
    }

    /// It is sent to a group.
    #[must_use]
    pub fn is_group(&self) -> bool {
        self.dst().is_some_and(Mac::is_group)
    }

    /// Who asks for whom: an ARP request or a neighbour solicitation.
    #[must_use]
    pub fn asks(&self) -> Option<(IpAddr, IpAddr)> {
        match self {
            View::Arp { arp, .. } if is_ip(arp) && arp.op == OP_REQUEST => {
                Some((arp.spa.into(), arp.tpa.into()))
            }
            View::Solicit { src, target, .. } => Some(((*src).into(), (*target).into())),
            _ => None,
        }
    }

    /// Who is said to be where: an ARP reply or a neighbour advertisement. The MAC of an
    /// advertisement is its sender's: the option that names it may be left out.
    #[must_use]
    pub fn answers(&self) -> Option<(IpAddr, Mac)> {
        match self {
            View::Arp { arp, .. } if is_ip(arp) && arp.op == OP_REPLY => Some((arp.spa.into(), arp.sha)),
            View::Advert { target, mac, .. } => Some(((*target).into(), *mac)),
            _ => None,
        }
    }

    /// An ARP request for the gateway of IPv4, which has the address `four`.
    #[must_use]
    pub fn asks_gateway4(&self, four: Ipv4Addr) -> bool {
        matches!(self, View::Arp { arp, .. } if arp.op == OP_REQUEST && arp.tpa == four)
    }

    /// A question for the pod's gateway, of either family; that of IPv4 has the address `four`. (A
    /// solicitation from `::` is a test for duplicates of the pod's own.)
    #[must_use]
    pub fn asks_gateway(&self, four: Ipv4Addr) -> bool {
        self.asks().is_some_and(|(sender, target)| is_gateway(target, four) && !is_dad(sender))
    }
}

/// An ARP packet for IPv4 over Ethernet.
fn is_ip(arp: &Arp) -> bool {
    (arp.hrd, arp.pro) == (1, ETHERTYPE_IPV4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::GATEWAY;

    #[test]
    fn a_request_is_read_and_any_prefix_of_it_is_no_request() {
        let pod = Mac([2, 0, 0, 0, 0, 1]);
        let frame = Arp::request(pod, "10.42.0.123".parse().unwrap(), GATEWAY).frame(Mac::BROADCAST, pod);
        let view = View::of(&frame);
        assert!(view.asks_gateway(GATEWAY) && view.asks_gateway4(GATEWAY) && view.is_group());
        assert_eq!(view.answers(), None);
        for len in 0..frame.len() {
            assert!(!View::of(&frame[..len]).asks_gateway(GATEWAY), "{len}");
        }
    }

    #[test]
    fn a_test_for_duplicates_is_no_question_for_the_gateway() {
        let link_local: Ipv6Addr = "fe80::1".parse().unwrap();
        let solicit = |src| View::Solicit { dst: Mac::BROADCAST, src, target: link_local };
        assert!(solicit("fd00::2".parse().unwrap()).asks_gateway(GATEWAY));
        assert!(!solicit(Ipv6Addr::UNSPECIFIED).asks_gateway(GATEWAY));
    }
}
