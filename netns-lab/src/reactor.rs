//! Registering descriptors with the current tokio runtime.

use std::{io, os::fd::AsRawFd};

use tokio::io::{Interest, unix::AsyncFd};

/// A value that owns one descriptor from its making to its drop, never exchanges it, and never
/// shows another.
pub(crate) trait OwnsOneDescriptor: AsRawFd {}

/// Puts `inner` under the care of the current tokio runtime; panics if there is none.
pub(crate) fn register<T: OwnsOneDescriptor>(inner: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    // SAFETY: the descriptor is open, and stays open and the same until `inner` is dropped, as
    // the trait demands.
    unsafe { AsyncFd::register_with_interest(inner, interest) }.map_err(|error| error.into_parts().1)
}
