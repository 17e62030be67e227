//! Frames out of the far end of an interface, and what is heard there.

use super::run::LabError;
use crate::addr::{IfName, Mac};
use crate::wire::{Arp, ETHERTYPE_ARP, EthFrame, OP_REPLY};
use netns_lab::{Netns, PacketError, PacketOptions, PacketSocket, RecvBatch};
use std::time::{Duration, Instant};

/// Local Experimental Ethertype 1 (IEEE 802): no protocol listens to it.
const ETHERTYPE_MARK: u16 = 0x88b5;
/// A mark that takes longer is lost.
const MARK_WAIT: Duration = Duration::from_secs(2);
/// Room for what one request can bring.
const BUFFER_BYTES: usize = 128 * 1024;

/// Both ends of an interface of the node.
pub(super) struct Port {
    pub(super) dev: IfName,
    pub(super) peer: String,
    pub(super) far_up: bool,
    /// Frames pass, as the kernel says.
    pub(super) carries: bool,
    sockets: Option<(PacketSocket, PacketSocket)>,
}

/// Replies to one request, apart by whether they were there when it had been dealt with.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct HeardReplies {
    pub(super) at_once: Vec<Vec<u8>>,
    pub(super) later: Vec<Vec<u8>>,
}

impl Port {
    pub(super) fn new(dev: IfName, peer: String) -> Port {
        Port { dev, peer, far_up: true, carries: false, sockets: None }
    }

    /// Opens the sockets if that has not been done. A socket costs more to close than all the
    /// rest, so there are none where nobody asks.
    pub(super) fn open(&mut self, node: &Netns, far: &Netns) -> Result<(), PacketError> {
        if self.sockets.is_none() {
            let options = PacketOptions::new().ignore_outgoing(true).receive_buffer_bytes(BUFFER_BYTES);
            let near = PacketSocket::open(node, self.dev.as_str(), &options)?;
            let far = PacketSocket::open(far, self.peer.as_str(), &options)?;
            self.sockets = Some((near, far));
        }
        Ok(())
    }

    pub(super) fn into_sockets(self) -> (Option<PacketSocket>, Option<PacketSocket>) {
        self.sockets.map_or((None, None), |(near, far)| (Some(near), Some(far)))
    }

    /// Sends a frame so many times and listens: until it has been dealt with, then until `wanted`
    /// replies have come, at most for `patience`.
    pub(super) fn ask(
        &self,
        frame: &[u8],
        times: u8,
        asker: Mac,
        is_reply: &dyn Fn(&[u8]) -> bool,
        wanted: usize,
        patience: Duration,
    ) -> Result<HeardReplies, LabError> {
        let mut heard = HeardReplies::default();
        let Some((near, far)) = self.sockets.as_ref().filter(|_| self.carries) else { return Ok(heard) };
        let mut batch = RecvBatch::new(16, 256);
        while take(far, &mut batch, Duration::ZERO)? > 0 {}
        let frames: Vec<&[u8]> = vec![frame; usize::from(times)];
        if !sent(far.try_send(&frames))? {
            return Ok(heard);
        }
        // there and back: what was sent before has been worked on, and its replies are here
        let mark = mark(asker);
        if sent(far.try_send(&[&mark]))? && self.wait_near(near, &mut batch, &mark)? {
            sent(near.try_send(&[&mark]))?;
            self.wait_far(far, &mut batch, &mark, is_reply, &mut heard.at_once)?;
        }
        let end = Instant::now() + patience;
        while heard.at_once.len() + heard.later.len() < wanted || wanted == 0 {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            take(far, &mut batch, left)?;
            heard.later.extend(replies(&batch, is_reply));
        }
        Ok(heard)
    }

    fn wait_near(&self, near: &PacketSocket, batch: &mut RecvBatch, mark: &[u8]) -> Result<bool, LabError> {
        let end = Instant::now() + MARK_WAIT;
        while Instant::now() < end {
            take(near, batch, end.saturating_duration_since(Instant::now()))?;
            if batch.frames().any(|f| f.bytes == mark) {
                return Ok(true);
            }
        }
        Err(LabError::Lost { dev: self.dev, way: "into" })
    }

    fn wait_far(
        &self,
        far: &PacketSocket,
        batch: &mut RecvBatch,
        mark: &[u8],
        is_reply: &dyn Fn(&[u8]) -> bool,
        into: &mut Vec<Vec<u8>>,
    ) -> Result<(), LabError> {
        let end = Instant::now() + MARK_WAIT;
        while Instant::now() < end {
            take(far, batch, end.saturating_duration_since(Instant::now()))?;
            into.extend(replies(batch, is_reply));
            if batch.frames().any(|f| f.bytes == mark) {
                return Ok(());
            }
        }
        Err(LabError::Lost { dev: self.dev, way: "out of" })
    }
}

fn mark(asker: Mac) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend(asker.0);
    frame.extend(ETHERTYPE_MARK.to_be_bytes());
    frame.extend([0; 46]);
    frame
}

/// A reply of ARP to that asker.
pub(super) fn is_arp_reply(bytes: &[u8], asker: Mac) -> bool {
    EthFrame::parse(bytes)
        .ok()
        .filter(|e| e.ethertype == ETHERTYPE_ARP)
        .is_some_and(|eth| Arp::parse(eth.payload).is_ok_and(|arp| arp.op == OP_REPLY && arp.tha == asker))
}

fn replies(batch: &RecvBatch, is_reply: &dyn Fn(&[u8]) -> bool) -> Vec<Vec<u8>> {
    batch.frames().filter(|f| is_reply(f.bytes)).map(|f| f.bytes.to_vec()).collect()
}

/// Whether frames went out; a link that is down takes none.
fn sent(done: Result<usize, PacketError>) -> Result<bool, PacketError> {
    match done {
        Ok(n) => Ok(n > 0),
        Err(e) if e.is_link_event() => Ok(false),
        Err(e) => Err(e),
    }
}

fn take(socket: &PacketSocket, batch: &mut RecvBatch, wait: Duration) -> Result<usize, PacketError> {
    match socket.recv(batch, Some(wait)) {
        Ok(n) => Ok(n),
        Err(e) if e.is_link_event() => Ok(0),
        Err(e) => Err(e),
    }
}
