//! The far end of a real node's uplink: the router and the world behind it, played by the same
//! object that stands behind the modelled node.
//!
//! As in the model every neighbour on the uplink exists: whoever the node asks for there is
//! answered for, so that what does not come back was not lost here.

use super::link::{LinkFault, Wire};
use crate::addr::Mac;
use crate::gateway::{Outside, SmoltcpOutside};
use crate::time::Time;
use crate::wire::{
    self, Arp, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Ends, EthFrame, OP_REQUEST,
    nd::{self, Advert, NdMessage},
};
use smoltcp::wire::IpProtocol;

/// The router's MAC.
pub(super) const ROUTER_MAC: Mac = Mac([0x02, 0x00, 0xc6, 0x33, 0x64, 0x01]);

/// The uplink as the world sees it.
pub(super) struct Uplink {
    /// `None` once somebody has deleted the interface.
    wire: Option<Wire>,
    outside: SmoltcpOutside,
    /// The node's end.
    mac: Mac,
}

impl Uplink {
    pub(super) fn new(wire: Wire, outside: SmoltcpOutside, mac: Mac) -> Uplink {
        Uplink { wire: Some(wire), outside, mac }
    }

    /// The next frame of the node. Waits for ever when the uplink is gone.
    pub(super) async fn recv(&mut self) -> Vec<u8> {
        if let Some(wire) = &mut self.wire {
            match wire.recv().await {
                Some(frame) => return frame,
                None => self.wire = None,
            }
        }
        std::future::pending().await
    }

    pub(super) fn poll_timeout(&self) -> Option<Time> {
        self.outside.poll_timeout()
    }

    pub(super) async fn handle_timeout(&mut self, now: Time) -> Result<(), LinkFault> {
        self.outside.handle_timeout(now);
        self.flush().await
    }

    /// Takes in a frame of the node and sends whatever answers there are.
    pub(super) async fn receive(&mut self, now: Time, frame: &[u8]) -> Result<(), LinkFault> {
        let Ok(eth) = EthFrame::parse(frame) else { return Ok(()) };
        match eth.ethertype {
            ETHERTYPE_ARP => {
                if let Some(reply) = arp_reply(eth.payload) {
                    self.put(&reply).await?;
                }
                Ok(())
            }
            ETHERTYPE_IPV4 | ETHERTYPE_IPV6 => {
                if let Some(packet) = advert(eth.payload) {
                    return self.send(&packet).await;
                }
                if eth.dst == ROUTER_MAC {
                    self.outside.handle_packet(now, eth.payload, false);
                }
                self.flush().await
            }
            _ => Ok(()),
        }
    }

    /// Pulls the node's cable out, or puts it back.
    pub(super) async fn set_carrier(&self, on: bool) -> Result<(), LinkFault> {
        match &self.wire {
            Some(wire) => wire.set_carrier(on).await,
            None => Ok(()),
        }
    }

    async fn flush(&mut self) -> Result<(), LinkFault> {
        while let Some(packet) = self.outside.poll_packet() {
            self.send(&packet).await?;
        }
        Ok(())
    }

    /// Gives the node a packet; lost if its uplink is down.
    async fn send(&self, packet: &[u8]) -> Result<(), LinkFault> {
        let v6 = packet.first().is_some_and(|b| b >> 4 == 6);
        let ethertype = if v6 { ETHERTYPE_IPV6 } else { ETHERTYPE_IPV4 };
        let mut frame = Vec::with_capacity(14 + packet.len());
        frame.extend_from_slice(&self.mac.0);
        frame.extend_from_slice(&ROUTER_MAC.0);
        frame.extend_from_slice(&ethertype.to_be_bytes());
        frame.extend_from_slice(packet);
        self.put(&frame).await
    }

    async fn put(&self, frame: &[u8]) -> Result<(), LinkFault> {
        match &self.wire {
            Some(wire) => wire.send(frame).await.map(|_| ()),
            None => Ok(()),
        }
    }
}

/// The answer to a request for anyone but the asker.
fn arp_reply(payload: &[u8]) -> Option<[u8; 42]> {
    let arp = Arp::parse(payload).ok()?;
    let asks = arp.op == OP_REQUEST && arp.spa != arp.tpa && !arp.spa.is_unspecified();
    asks.then(|| Arp::reply(ROUTER_MAC, arp.tpa, arp.sha, arp.spa).frame(arp.sha, ROUTER_MAC))
}

/// The answer to a solicitation, tests for duplicates aside.
fn advert(packet: &[u8]) -> Option<crate::packet::IpBytes> {
    let (Ends::V6(src, dst), protocol, icmp) = wire::ip_parts(packet)? else { return None };
    if protocol != IpProtocol::Icmpv6 || src.is_unspecified() {
        return None;
    }
    let Ok(NdMessage::Solicit(ns)) = nd::parse(src, dst, icmp)? else { return None };
    let mac = Some(ROUTER_MAC);
    let na = Advert { target: ns.target, router: true, solicited: true, replace: true, mac };
    Some(nd::advert_packet(ns.target, src, &na))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_on_the_uplink_exists_but_the_asker() {
        let node = Mac([2, 0, 0, 0, 0, 9]);
        let ask = |spa: &str, tpa: &str| {
            let arp = Arp::request(node, spa.parse().unwrap(), tpa.parse().unwrap());
            arp_reply(&arp.frame(Mac::BROADCAST, node)[14..])
        };
        let reply = ask("198.51.100.10", "198.51.100.1").unwrap();
        let eth = EthFrame::parse(&reply).unwrap();
        let arp = Arp::parse(eth.payload).unwrap();
        assert_eq!((eth.dst, arp.sha, arp.spa.to_string()), (node, ROUTER_MAC, "198.51.100.1".into()));
        assert!(ask("198.51.100.10", "203.0.113.8").is_some());
        assert!(ask("198.51.100.10", "198.51.100.10").is_none(), "an announcement");
        assert!(ask("0.0.0.0", "198.51.100.10").is_none(), "a probe");
    }
}
