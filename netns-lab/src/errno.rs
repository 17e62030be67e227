//! Kernel error numbers, shown by name.

use std::{fmt, io};

/// A kernel error number as it came back from a system call or a netlink answer.
///
/// Shown as `EEXIST (File exists)`; see errno(3).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(i32);

impl Errno {
    /// No error: an acknowledgement.
    pub(crate) const NONE: Self = Self(0);
    /// `EPERM`: not permitted.
    pub const EPERM: Self = Self(libc::EPERM);
    /// `ENOENT`: no such file, rule or neighbour.
    pub const ENOENT: Self = Self(libc::ENOENT);
    /// `ESRCH`: no such route.
    pub const ESRCH: Self = Self(libc::ESRCH);
    /// `EIO`: for a TAP, the link is down.
    pub const EIO: Self = Self(libc::EIO);
    /// `EAGAIN`: nothing now.
    pub const EAGAIN: Self = Self(libc::EAGAIN);
    /// `EACCES`: permission denied.
    pub const EACCES: Self = Self(libc::EACCES);
    /// `EBUSY`: in use.
    pub const EBUSY: Self = Self(libc::EBUSY);
    /// `EEXIST`: already there.
    pub const EEXIST: Self = Self(libc::EEXIST);
    /// `ENODEV`: no such interface.
    pub const ENODEV: Self = Self(libc::ENODEV);
    /// `EINVAL`: the kernel did not understand or does not allow the combination.
    pub const EINVAL: Self = Self(libc::EINVAL);
    /// `EMFILE`: too many open files in this process.
    pub const EMFILE: Self = Self(libc::EMFILE);
    /// `ENOSPC`: a limit on namespaces (or on disk) is reached.
    pub const ENOSPC: Self = Self(libc::ENOSPC);
    /// `EROFS`: read-only file system.
    pub const EROFS: Self = Self(libc::EROFS);
    /// `EOPNOTSUPP`: the kernel was built without it, or the device cannot.
    pub const EOPNOTSUPP: Self = Self(libc::EOPNOTSUPP);
    /// `ENETDOWN`: the interface is down.
    pub const ENETDOWN: Self = Self(libc::ENETDOWN);
    /// `ENETUNREACH`: for a route, its gateway cannot be reached.
    pub const ENETUNREACH: Self = Self(libc::ENETUNREACH);
    /// `EADDRNOTAVAIL`: no such address.
    pub const EADDRNOTAVAIL: Self = Self(libc::EADDRNOTAVAIL);

    /// The error number `raw`; its sign is dropped, since netlink sends it negative.
    #[must_use]
    pub const fn from_raw(raw: i32) -> Self {
        Self(raw.abs())
    }

    /// The bare number, positive.
    #[must_use]
    pub const fn raw(self) -> i32 {
        self.0
    }

    /// Its symbol, such as `EEXIST`.
    #[must_use]
    pub fn name(self) -> String {
        match nix::errno::Errno::from_raw(self.0) {
            nix::errno::Errno::UnknownErrno => format!("errno {}", self.0),
            known => format!("{known:?}"),
        }
    }

    /// The error of this symbol, such as `EEXIST`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        // The largest that Linux has is 133 (EHWPOISON).
        (1..=133).map(Self).find(|errno| errno.name() == name)
    }

    /// The calling thread's error number, after a failed libc call.
    pub(crate) fn last() -> Self {
        Self(nix::errno::Errno::last_raw())
    }

    /// The error number inside an I/O error; `EIO` where there is none.
    pub(crate) fn of(error: &io::Error) -> Self {
        Self(error.raw_os_error().unwrap_or(libc::EIO))
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = nix::errno::Errno::from_raw(self.0);
        write!(f, "{} ({})", self.name(), known.desc())
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Errno {}

impl From<nix::errno::Errno> for Errno {
    fn from(errno: nix::errno::Errno) -> Self {
        Self(errno as i32)
    }
}

impl From<Errno> for io::Error {
    fn from(errno: Errno) -> Self {
        Self::from_raw_os_error(errno.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_symbol_and_words() {
        assert_eq!(Errno::EEXIST.to_string(), "EEXIST (File exists)");
        assert_eq!(Errno::from_raw(-17), Errno::EEXIST);
        assert_eq!(Errno::from_raw(9999).name(), "errno 9999");
    }
}
