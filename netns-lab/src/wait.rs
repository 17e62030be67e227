//! Waiting for descriptors without a runtime.

use std::{
    io,
    os::fd::AsFd,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

/// How long a call may wait. Counted from its making.
#[derive(Clone, Copy)]
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    /// `None` waits for ever.
    pub(crate) fn within(timeout: Option<Duration>) -> Self {
        // A time too far for the clock is for ever.
        Self(timeout.and_then(|timeout| Instant::now().checked_add(timeout)))
    }

    /// What is left, for poll(2): in milliseconds and rounded up, so that it never spins.
    fn left(self, slice: Option<Duration>) -> PollTimeout {
        let left = self.0.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let Some(wait) = left.into_iter().chain(slice).min() else { return PollTimeout::NONE };
        let ms = wait.as_nanos().div_ceil(1_000_000);
        PollTimeout::try_from(ms).unwrap_or(PollTimeout::MAX)
    }

    pub(crate) fn passed(self) -> bool {
        self.0.is_some_and(|deadline| deadline <= Instant::now())
    }
}

/// Waits until `fd` is ready for `events` or has an error, the deadline passes, or `slice` is
/// over; see poll(2).
pub(crate) fn wait_for(
    fd: impl AsFd,
    events: PollFlags,
    deadline: Deadline,
    slice: Option<Duration>,
) -> io::Result<()> {
    let mut fds = [PollFd::new(fd.as_fd(), events)];
    match poll(&mut fds, deadline.left(slice)) {
        // After a signal the caller looks again, and comes back with what is left of the time.
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shorter_of_the_two_waits_counts() {
        let slice = Some(Duration::from_micros(1));
        assert_eq!(Deadline::within(None).left(None), PollTimeout::NONE);
        assert_eq!(Deadline::within(None).left(slice), PollTimeout::from(1u8));
        assert_eq!(Deadline::within(Some(Duration::ZERO)).left(slice), PollTimeout::ZERO);
        assert!(Deadline::within(Some(Duration::ZERO)).passed());
        assert!(!Deadline::within(Some(Duration::MAX)).passed());
    }
}
