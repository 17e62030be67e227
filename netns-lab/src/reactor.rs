//! Registering descriptors with the current tokio runtime.

use std::{io, os::fd::AsRawFd};

use tokio::io::{
    Interest,
    unix::{AsyncFd, AsyncFdReadyGuard},
};

/// A value that owns one descriptor from its making to its drop, never exchanges it, and never
/// shows another.
pub(crate) trait OwnsOneDescriptor: AsRawFd {}

/// A descriptor with something to read, or with an error to tell. The kernel shows errors (an
/// interface that went down or away) as `EPOLLERR` alone, which tokio does not count as
/// readable.
const READING: Interest = Interest::READABLE.add(Interest::ERROR);
/// The same for writing.
const WRITING: Interest = Interest::WRITABLE.add(Interest::ERROR);

/// Puts `inner` under the care of the current tokio runtime; panics if there is none.
pub(crate) fn register<T: OwnsOneDescriptor>(inner: T) -> io::Result<AsyncFd<T>> {
    // SAFETY: the descriptor is open, and stays open and the same until `inner` is dropped, as
    // the trait demands.
    unsafe { AsyncFd::register_with_interest(inner, READING.add(WRITING)) }
        .map_err(|error| error.into_parts().1)
}

/// Waits until reading would tell something.
pub(crate) async fn readable<T: OwnsOneDescriptor>(fd: &AsyncFd<T>) -> io::Result<AsyncFdReadyGuard<'_, T>> {
    fd.ready(READING).await
}

/// Waits until writing would tell something.
pub(crate) async fn writable<T: OwnsOneDescriptor>(fd: &AsyncFd<T>) -> io::Result<AsyncFdReadyGuard<'_, T>> {
    fd.ready(WRITING).await
}
