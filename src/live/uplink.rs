//! The far end of a real node's uplink: the router and the world behind it, played by the same
//! object that stands behind the modelled node.
//!
//! As in the model every neighbour on the uplink exists: whoever the node asks for there is
//! answered for, so that what does not come back was not lost here.

use super::link::{LinkFault, PodWire};
use crate::addr::Mac;
use crate::gateway::router::{Beyond, beyond, framed};
use crate::gateway::{Outside, SmoltcpOutside};
use crate::time::Time;

/// The uplink as the world sees it.
pub(super) struct Uplink {
    /// `None` once somebody has deleted the interface.
    wire: Option<PodWire>,
    outside: SmoltcpOutside,
    /// The node's end.
    mac: Mac,
}

impl Uplink {
    pub(super) fn new(wire: PodWire, outside: SmoltcpOutside, mac: Mac) -> Uplink {
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
        match beyond(frame, self.mac) {
            Beyond::Answer(answer) => self.put(&answer).await,
            Beyond::Packet(packet) => {
                self.outside.handle_packet(now, &packet, false);
                self.flush().await
            }
            Beyond::Astray(_) | Beyond::Ignored => Ok(()),
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
        self.put(&framed(packet, self.mac)).await
    }

    async fn put(&self, frame: &[u8]) -> Result<(), LinkFault> {
        match &self.wire {
            Some(wire) => wire.send(frame).await.map(|_| ()),
            None => Ok(()),
        }
    }
}
