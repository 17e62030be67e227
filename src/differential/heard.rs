//! Frames out of the far end of an interface, and what is heard there.

use crate::addr::{IfName, Mac};
use crate::host::frame::{Arp, ETHERTYPE_ARP, EthFrame, OP_REPLY};
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
    near: PacketSocket,
    far: PacketSocket,
}

/// Replies to one request, apart by whether they were there when it had been dealt with.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Heard {
    pub(super) at_once: Vec<Vec<u8>>,
    pub(super) later: Vec<Vec<u8>>,
}

impl Port {
    pub(super) fn open(node: &Netns, far: &Netns, dev: IfName, peer: String) -> Result<Port, String> {
        let options = PacketOptions::new().ignore_outgoing(true).receive_buffer_bytes(BUFFER_BYTES);
        let near = PacketSocket::open(node, dev.as_str(), &options).map_err(|e| e.to_string())?;
        let far = PacketSocket::open(far, peer.as_str(), &options).map_err(|e| e.to_string())?;
        Ok(Port { dev, peer, far_up: true, carries: false, near, far })
    }

    /// Sends a frame so many times and listens: until it has been dealt with, then until `wanted`
    /// replies to `asker` have come, at most for `patience`.
    pub(super) fn ask(
        &self,
        frame: &[u8],
        times: u8,
        asker: Mac,
        wanted: usize,
        patience: Duration,
    ) -> Result<Heard, String> {
        let mut heard = Heard::default();
        if !self.carries {
            return Ok(heard);
        }
        let mut batch = RecvBatch::new(16, 256);
        while self.take(&mut batch, Duration::ZERO)? > 0 {}
        let frames: Vec<&[u8]> = vec![frame; usize::from(times)];
        if !sent(self.far.try_send(&frames))? {
            return Ok(heard);
        }
        // there and back: what was sent before has been worked on, and its replies are here
        let mark = mark(asker);
        if sent(self.far.try_send(&[&mark]))? && self.wait_near(&mut batch, &mark)? {
            sent(self.near.try_send(&[&mark]))?;
            self.wait_far(&mut batch, &mark, asker, &mut heard.at_once)?;
        }
        let end = Instant::now() + patience;
        while heard.at_once.len() + heard.later.len() < wanted || wanted == 0 {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.take(&mut batch, left)?;
            heard.later.extend(replies(&batch, asker));
        }
        Ok(heard)
    }

    fn take(&self, batch: &mut RecvBatch, wait: Duration) -> Result<usize, String> {
        link_events(self.far.recv(batch, Some(wait)))
    }

    fn wait_near(&self, batch: &mut RecvBatch, mark: &[u8]) -> Result<bool, String> {
        let end = Instant::now() + MARK_WAIT;
        while Instant::now() < end {
            link_events(self.near.recv(batch, Some(end.saturating_duration_since(Instant::now()))))?;
            if batch.frames().any(|f| f.bytes == mark) {
                return Ok(true);
            }
        }
        Err(format!("a frame sent into {} did not come out", self.dev))
    }

    fn wait_far(
        &self,
        batch: &mut RecvBatch,
        mark: &[u8],
        asker: Mac,
        into: &mut Vec<Vec<u8>>,
    ) -> Result<(), String> {
        let end = Instant::now() + MARK_WAIT;
        while Instant::now() < end {
            self.take(batch, end.saturating_duration_since(Instant::now()))?;
            into.extend(replies(batch, asker));
            if batch.frames().any(|f| f.bytes == mark) {
                return Ok(());
            }
        }
        Err(format!("a frame sent out of {} did not arrive", self.dev))
    }
}

fn mark(asker: Mac) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend(asker.0);
    frame.extend(ETHERTYPE_MARK.to_be_bytes());
    frame.extend([0; 46]);
    frame
}

/// ARP replies to that asker.
fn replies(batch: &RecvBatch, asker: Mac) -> Vec<Vec<u8>> {
    let is_reply = |bytes: &[u8]| {
        EthFrame::parse(bytes).ok().filter(|e| e.ethertype == ETHERTYPE_ARP).is_some_and(|eth| {
            Arp::parse(eth.payload).is_ok_and(|arp| arp.op == OP_REPLY && arp.tha == asker)
        })
    };
    batch.frames().filter(|f| is_reply(f.bytes)).map(|f| f.bytes.to_vec()).collect()
}

/// Whether frames went out; a link that is down takes none.
fn sent(done: Result<usize, PacketError>) -> Result<bool, String> {
    match done {
        Ok(n) => Ok(n > 0),
        Err(e) if e.is_link_event() => Ok(false),
        Err(e) => Err(e.to_string()),
    }
}

fn link_events(done: Result<usize, PacketError>) -> Result<usize, String> {
    match done {
        Ok(n) => Ok(n),
        Err(e) if e.is_link_event() => Ok(0),
        Err(e) => Err(e.to_string()),
    }
}
