//! TAP devices in tokio.

use std::io;

use tokio::io::unix::AsyncFd;

use super::{Tap, TapError};
use crate::{
    Errno,
    reactor::{readable, register, writable},
};

/// A [`Tap`] in a tokio runtime. One task may send while another receives.
#[derive(Debug)]
pub struct AsyncTap {
    inner: AsyncFd<Tap>,
}

impl AsyncTap {
    pub(super) fn new(tap: Tap) -> io::Result<Self> {
        Ok(Self { inner: register(tap)? })
    }

    /// The interface's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.inner.get_ref().name()
    }

    /// Waits for a frame and takes it into `buffer`; see [`Tap::try_recv`]. If the returned
    /// future is dropped before its end, no frame is lost.
    ///
    /// # Errors
    /// [`TapError::Deleted`].
    pub async fn recv(&self, buffer: &mut [u8]) -> Result<usize, TapError> {
        let tap = self.inner.get_ref();
        loop {
            if let Some(length) = tap.try_recv(buffer)? {
                return Ok(length);
            }
            let mut ready = readable(&self.inner).await.map_err(|error| poll_fault(tap, &error))?;
            match tap.try_recv(buffer)? {
                Some(length) => return Ok(length),
                None => ready.clear_ready(),
            }
        }
    }

    /// Takes in a frame that is there, without waiting.
    ///
    /// # Errors
    /// [`TapError::Deleted`].
    pub fn try_recv(&self, buffer: &mut [u8]) -> Result<Option<usize>, TapError> {
        self.inner.get_ref().try_recv(buffer)
    }

    /// Pulls the cable out or puts it back; see [`Tap::set_carrier`].
    ///
    /// # Errors
    /// As [`Tap::set_carrier`].
    pub fn set_carrier(&self, carrier: bool) -> Result<(), TapError> {
        self.inner.get_ref().set_carrier(carrier)
    }

    /// Gives the namespace one frame, waiting for room.
    ///
    /// # Errors
    /// [`TapError::LinkDown`], [`TapError::Deleted`].
    pub async fn send(&self, frame: &[u8]) -> Result<(), TapError> {
        let tap = self.inner.get_ref();
        while !tap.try_send(frame)? {
            let mut ready = writable(&self.inner).await.map_err(|error| poll_fault(tap, &error))?;
            if tap.try_send(frame)? {
                break;
            }
            ready.clear_ready();
        }
        Ok(())
    }
}

fn poll_fault(tap: &Tap, error: &io::Error) -> TapError {
    tap.fault("epoll", Errno::of(error))
}
