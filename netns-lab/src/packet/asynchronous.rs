//! Packet sockets in tokio.

use std::io;

use tokio::io::unix::AsyncFd;

use super::{GONE_CHECK, PacketError, PacketSocket, PacketStatistics, RecvBatch};
use crate::{
    Errno,
    reactor::{readable, register, writable},
};

/// A [`PacketSocket`] in a tokio runtime. One task may send while another receives.
#[derive(Debug)]
pub struct AsyncPacketSocket {
    inner: AsyncFd<PacketSocket>,
}

impl AsyncPacketSocket {
    pub(super) fn new(socket: PacketSocket) -> io::Result<Self> {
        Ok(Self { inner: register(socket)? })
    }

    /// The interface, as it was named at the opening.
    #[must_use]
    pub fn dev(&self) -> &str {
        self.inner.get_ref().dev()
    }

    /// Waits for frames and takes in those that are there; never 0. If the returned future is
    /// dropped before its end, no frame is lost.
    ///
    /// # Errors
    /// As [`PacketSocket::try_recv`]. After [`PacketError::LinkDown`] it may be called again, and
    /// waits until the interface is up and has a frame, or is gone.
    pub async fn recv(&self, batch: &mut RecvBatch) -> Result<usize, PacketError> {
        let socket = self.inner.get_ref();
        loop {
            let received = socket.try_recv(batch)?;
            if received > 0 {
                return Ok(received);
            }
            if !socket.is_down() {
                let mut ready = readable(&self.inner).await.map_err(|error| poll_fault(socket, &error))?;
                match socket.try_recv(batch)? {
                    0 => ready.clear_ready(),
                    received => return Ok(received),
                }
            } else if let Ok(ready) = tokio::time::timeout(GONE_CHECK, readable(&self.inner)).await {
                ready.map_err(|error| poll_fault(socket, &error))?.clear_ready();
            }
        }
    }

    /// Takes in frames that are there, without waiting.
    ///
    /// # Errors
    /// As [`PacketSocket::try_recv`].
    pub fn try_recv(&self, batch: &mut RecvBatch) -> Result<usize, PacketError> {
        self.inner.get_ref().try_recv(batch)
    }

    /// Sends one frame, waiting for room.
    ///
    /// # Errors
    /// As [`PacketSocket::try_send`].
    pub async fn send(&self, frame: &[u8]) -> Result<(), PacketError> {
        self.send_all(&[frame]).await
    }

    /// Sends frames in order, in as few system calls as it takes, waiting for room. If it fails,
    /// those before the one refused are sent.
    ///
    /// # Errors
    /// As [`PacketSocket::try_send`].
    pub async fn send_all(&self, mut frames: &[impl AsRef<[u8]>]) -> Result<(), PacketError> {
        let socket = self.inner.get_ref();
        while !frames.is_empty() {
            let mut sent = socket.try_send(frames)?;
            if sent == 0 {
                let mut ready = writable(&self.inner).await.map_err(|error| poll_fault(socket, &error))?;
                sent = socket.try_send(frames)?;
                if sent == 0 {
                    ready.clear_ready();
                }
            }
            frames = &frames[sent..];
        }
        Ok(())
    }

    /// How many frames were seen and dropped since this was last called.
    ///
    /// # Errors
    /// As [`PacketSocket::statistics`].
    pub fn statistics(&self) -> Result<PacketStatistics, PacketError> {
        self.inner.get_ref().statistics()
    }
}

fn poll_fault(socket: &PacketSocket, error: &io::Error) -> PacketError {
    socket.fault("epoll", Errno::of(error), 0)
}
