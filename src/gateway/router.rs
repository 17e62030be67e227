//! The far side of the node's uplink: one router, which answers for everybody who is asked for
//! there but the node itself, and takes what is sent to its MAC.

use crate::addr::Mac;
use crate::packet::{Frame, IpBytes};
use crate::wire::{
    Arp, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, EthFrame, OP_REQUEST,
    nd::{self, Advert, NdMessage, NdPacket},
};
use smallvec::SmallVec;

/// Its MAC.
pub const ROUTER_MAC: Mac = Mac([0x02, 0x00, 0xc6, 0x33, 0x64, 0x01]);

/// What becomes of a frame that the node put on its uplink.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Beyond {
    /// It asks for somebody, and this is the answer.
    Answer(Frame),
    /// A packet for the world.
    Packet(IpBytes),
    /// A packet for a MAC that nobody has there.
    Astray(IpBytes),
    /// Nothing.
    Ignored,
}

/// Takes a frame of the node, whose uplink has the MAC `node`.
#[must_use]
pub fn beyond(frame: &[u8], node: Mac) -> Beyond {
    let Ok(eth) = EthFrame::parse(frame) else { return Beyond::Ignored };
    match eth.ethertype {
        ETHERTYPE_ARP => arp_reply(eth.payload).map_or(Beyond::Ignored, Beyond::Answer),
        ETHERTYPE_IPV4 | ETHERTYPE_IPV6 => {
            let packet = || SmallVec::from_slice(eth.payload);
            match advert(eth.payload) {
                Some(advert) => Beyond::Answer(framed(&advert, node)),
                None if eth.dst == ROUTER_MAC => Beyond::Packet(packet()),
                None if eth.dst.is_group() => Beyond::Ignored,
                None => Beyond::Astray(packet()),
            }
        }
        _ => Beyond::Ignored,
    }
}

/// A packet of the world as it reaches the node's uplink.
#[must_use]
pub fn framed(packet: &[u8], node: Mac) -> Frame {
    let v6 = packet.first().is_some_and(|b| b >> 4 == 6);
    let ethertype = if v6 { ETHERTYPE_IPV6 } else { ETHERTYPE_IPV4 };
    let mut frame = Frame::new();
    frame.extend_from_slice(&node.0);
    frame.extend_from_slice(&ROUTER_MAC.0);
    frame.extend_from_slice(&ethertype.to_be_bytes());
    frame.extend_from_slice(packet);
    frame
}

/// The answer to a request for anyone but the asker.
fn arp_reply(payload: &[u8]) -> Option<Frame> {
    let arp = Arp::parse(payload).ok()?;
    let asks = arp.op == OP_REQUEST && arp.spa != arp.tpa && !arp.spa.is_unspecified();
    let reply = || Arp::reply(ROUTER_MAC, arp.tpa, arp.sha, arp.spa).frame(arp.sha, ROUTER_MAC);
    asks.then(|| SmallVec::from_slice(&reply()))
}

/// The answer to a solicitation, tests for duplicates aside.
fn advert(packet: &[u8]) -> Option<IpBytes> {
    let NdPacket { src, message: NdMessage::Solicit(ns), .. } = nd::in_packet(packet)? else { return None };
    let mac = Some(ROUTER_MAC);
    let na = Advert { target: ns.target, router: true, solicited: true, replace: true, mac };
    (!src.is_unspecified()).then(|| nd::advert_packet(ns.target, src, &na))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{self, Ends};

    const NODE: Mac = Mac([2, 0, 0, 0, 0, 9]);

    #[test]
    fn everybody_on_the_uplink_exists_but_the_asker() {
        let ask = |spa: &str, tpa: &str| {
            let arp = Arp::request(NODE, spa.parse().unwrap(), tpa.parse().unwrap());
            beyond(&arp.frame(Mac::BROADCAST, NODE), NODE)
        };
        let Beyond::Answer(reply) = ask("198.51.100.10", "198.51.100.1") else { panic!("no answer") };
        let eth = EthFrame::parse(&reply).unwrap();
        let arp = Arp::parse(eth.payload).unwrap();
        assert_eq!((eth.dst, arp.sha, arp.spa.to_string()), (NODE, ROUTER_MAC, "198.51.100.1".into()));
        assert!(matches!(ask("198.51.100.10", "203.0.113.8"), Beyond::Answer(_)));
        assert_eq!(ask("198.51.100.10", "198.51.100.10"), Beyond::Ignored, "an announcement");
        assert_eq!(ask("0.0.0.0", "198.51.100.10"), Beyond::Ignored, "a probe");
    }

    #[test]
    fn only_what_is_sent_to_the_router_goes_on() {
        let ends = Ends::new("10.42.0.7".parse().unwrap(), "203.0.113.8".parse().unwrap()).unwrap();
        let packet = wire::echo(ends, false, 1, 1, b"x");
        let mut frame = framed(&packet, ROUTER_MAC);
        assert_eq!(beyond(&frame, NODE), Beyond::Packet(packet.clone()));
        frame[5] ^= 0x98;
        assert_eq!(beyond(&frame, NODE), Beyond::Astray(packet));
    }
}
