//! The wire between a real pod and a real host, watched at the pod's end.

use super::link::LinkFault;
use netns_lab::{
    AsyncPacketSocket, Netns, PacketError, PacketOptions, PacketSocket, RecvBatch, monotonic_ns,
};

/// A frame that passed the pod's `eth0`.
pub(super) struct Captured {
    /// When, by the kernel's stamp, on the monotonic clock.
    pub(super) at_ns: u64,
    /// The pod sent it.
    pub(super) from_pod: bool,
    pub(super) bytes: Vec<u8>,
}

/// A packet socket on the pod's `eth0` that sees both directions.
pub(super) struct Capture {
    socket: AsyncPacketSocket,
    batch: RecvBatch,
    next: usize,
}

impl Capture {
    pub(super) fn open(pod: &Netns, eth: &str) -> Result<Capture, LinkFault> {
        let fault = |e: &dyn core::fmt::Display| LinkFault(e.to_string());
        let socket = PacketSocket::open(pod, eth, &PacketOptions::new()).map_err(|e| fault(&e))?;
        let socket = socket.into_async().map_err(|e| fault(&e))?;
        Ok(Capture { socket, batch: RecvBatch::default(), next: 0 })
    }

    /// The next frame; `None` when the interface is gone for good. Dropping the future loses
    /// nothing.
    pub(super) async fn next(&mut self) -> Option<Captured> {
        loop {
            if let Some(frame) = self.batch.frames().nth(self.next) {
                self.next += 1;
                let mut bytes = frame.bytes.to_vec();
                if frame.checksum_missing {
                    crate::wire::fill_checksum(&mut bytes);
                }
                let at_ns = frame.time.map_or_else(monotonic_ns, |t| t.monotonic_ns);
                return Some(Captured { at_ns, from_pod: frame.direction.is_outgoing(), bytes });
            }
            self.next = 0;
            match self.socket.recv(&mut self.batch).await {
                Ok(_) => {}
                // down for now; there is more when it is up again
                Err(PacketError::LinkDown { .. }) => self.batch = RecvBatch::default(),
                Err(e) => {
                    tracing::debug!(%e, "the pod's end is gone");
                    return None;
                }
            }
        }
    }
}
