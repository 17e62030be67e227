//! The descriptor on which the kernel asks about system calls; see seccomp_unotify(2).

use std::{
    io, mem,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use libc::{c_ulong, seccomp_notif, seccomp_notif_resp};

use crate::Errno;

/// `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP` (Linux 6.6): whoever is woken runs on the waker's CPU at
/// once, which halves the price of a question.
const SYNC_WAKE_UP: u64 = 1;

/// What to do with a system call that waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reply {
    /// The kernel carries it out.
    Continue,
    /// It was carried out in its place, and this is what it returns.
    Done(i64),
    /// It fails.
    Fail(Errno),
}

/// The listener. When it is closed, every system call that waits on it, and every one that would
/// be asked about later, fails with `ENOSYS`.
#[derive(Debug)]
pub(super) struct Listener(OwnedFd);

impl Listener {
    pub(super) fn new(fd: OwnedFd) -> Self {
        let listener = Self(fd);
        // Older kernels refuse, and are slower.
        // SAFETY: the command takes its flags by value and no memory.
        let set = unsafe {
            libc::ioctl(listener.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS, SYNC_WAKE_UP as c_ulong)
        };
        tracing::trace!(set, "listener");
        listener
    }

    /// The next system call that waits. `None` if it went away before it was read, as after a
    /// signal: then the kernel asks again when it is restarted.
    pub(super) fn receive(&self) -> io::Result<Option<seccomp_notif>> {
        // SAFETY: the structure is made of integers only, and the kernel wants it zeroed.
        let mut asked: seccomp_notif = unsafe { mem::zeroed() };
        // SAFETY: the pointer is to a structure of the size that is part of the command.
        let got = unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut asked) };
        if got == 0 {
            return Ok(Some(asked));
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::ENOENT | libc::EINTR) => Ok(None),
            _ => Err(error),
        }
    }

    /// Whether the system call still waits, so that what was read of its thread was its own.
    pub(super) fn is_waiting(&self, id: u64) -> bool {
        // SAFETY: the pointer is to a number of the size that is part of the command.
        unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &raw const id) == 0 }
    }

    /// Answers. False if nobody waits any more: the thread was killed.
    pub(super) fn reply(&self, id: u64, reply: Reply) -> io::Result<bool> {
        let mut answer = seccomp_notif_resp { id, val: 0, error: 0, flags: 0 };
        match reply {
            Reply::Continue => answer.flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32,
            Reply::Done(value) => answer.val = value,
            Reply::Fail(errno) => answer.error = -errno.raw(),
        }
        loop {
            // SAFETY: the pointer is to a structure of the size that is part of the command.
            let sent =
                unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut answer) };
            if sent == 0 {
                return Ok(true);
            }
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::ENOENT) => return Ok(false),
                Some(libc::EINTR) => {}
                _ => return Err(error),
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
