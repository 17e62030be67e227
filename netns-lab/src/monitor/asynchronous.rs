//! The monitor as a stream.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use tokio::io::unix::AsyncFd;

use super::{Event, Monitor, MonitorError};
use crate::{Errno, reactor::register};

/// A [`Monitor`] in a tokio runtime; also a [`Stream`] that never ends by itself.
#[derive(Debug)]
pub struct AsyncMonitor {
    inner: AsyncFd<Monitor>,
}

impl AsyncMonitor {
    pub(super) fn new(monitor: Monitor) -> io::Result<Self> {
        Ok(Self { inner: register(monitor)? })
    }

    /// The next event. If the returned future is dropped before its end, no event is lost.
    ///
    /// # Errors
    /// [`MonitorError::Read`].
    pub async fn next(&mut self) -> Result<Event, MonitorError> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, MonitorError>> {
        loop {
            if let Some(event) = self.inner.get_mut().try_next()? {
                return Poll::Ready(Ok(event));
            }
            let mut ready = match ready!(self.inner.poll_read_ready_mut(cx)) {
                Ok(ready) => ready,
                Err(error) => {
                    let label = self.inner.get_ref().label.clone();
                    return Poll::Ready(Err(MonitorError::Read { label, errno: Errno::of(&error) }));
                }
            };
            // The socket was ready once; look again, and only if there is nothing forget it.
            match ready.get_inner_mut().try_next()? {
                Some(event) => return Poll::Ready(Ok(event)),
                None => ready.clear_ready(),
            }
        }
    }
}

impl Stream for AsyncMonitor {
    type Item = Result<Event, MonitorError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_event(cx).map(Some)
    }
}
