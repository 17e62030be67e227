//! Why a machine refuses user namespaces.

use std::{fmt, fs};

use super::status_field;
use crate::Errno;

/// The likely reason for which a user namespace was refused. The kernel gives only a number, so
/// this looks at the switches that are known to produce it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `user.max_user_namespaces` is 0.
    LimitIsZero,
    /// A limit on namespaces of this user, or the nesting depth of 32, is reached.
    LimitReached,
    /// `kernel.unprivileged_userns_clone` is 0 (Debian and Arch kernels).
    CloneSwitch,
    /// AppArmor takes away what a user namespace gives
    /// (`kernel.apparmor_restrict_unprivileged_userns`, Ubuntu 23.10 and later).
    AppArmor,
    /// A seccomp filter is on this process, as container engines put it.
    Seccomp,
    /// The kernel was built without (`CONFIG_USER_NS`).
    NotBuilt,
    /// The files of /proc/self belong to root because the program is not readable for its user,
    /// or changed its user without exec(2).
    NotDumpable,
    /// None of the known reasons: a chroot(2), or another security module.
    Unknown,
}

impl Refusal {
    /// Finds the likely reason for `errno`.
    pub(crate) fn find(errno: Errno) -> Self {
        Self::judge(errno, number_in, || status_field("Seccomp").is_some_and(|mode| mode == "2"))
    }

    fn judge(errno: Errno, number_in: impl Fn(&str) -> Option<u64>, filtered: impl Fn() -> bool) -> Self {
        match errno {
            Errno::ENOSPC if number_in("/proc/sys/user/max_user_namespaces") == Some(0) => Self::LimitIsZero,
            Errno::ENOSPC => Self::LimitReached,
            Errno::EINVAL => Self::NotBuilt,
            _ if number_in("/proc/sys/kernel/unprivileged_userns_clone") == Some(0) => Self::CloneSwitch,
            _ if number_in("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == Some(1) => {
                Self::AppArmor
            }
            _ if filtered() => Self::Seccomp,
            Errno::EACCES => Self::NotDumpable,
            _ => Self::Unknown,
        }
    }

    /// The reason, in words.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::LimitIsZero => "user.max_user_namespaces is 0",
            Self::LimitReached => "a limit on namespaces is reached",
            Self::CloneSwitch => "kernel.unprivileged_userns_clone is 0",
            Self::AppArmor => "AppArmor restricts user namespaces of ordinary users",
            Self::Seccomp => "a seccomp filter, as in a container, forbids it",
            Self::NotBuilt => "this kernel has no user namespaces",
            Self::NotDumpable => "this process may not write to its own /proc/self",
            Self::Unknown => "no known switch explains it",
        }
    }

    /// What to do about it, as a sentence.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::LimitIsZero => "as root: sysctl -w user.max_user_namespaces=15000",
            Self::LimitReached => {
                "end other sandboxes of this user, or raise the limits under /proc/sys/user"
            }
            Self::CloneSwitch => "as root: sysctl -w kernel.unprivileged_userns_clone=1",
            Self::AppArmor => {
                "as root: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, \
                 or give this program an AppArmor profile with the line `userns,`"
            }
            Self::Seccomp => {
                "start the container with --security-opt seccomp=unconfined, or --cap-add SYS_ADMIN, \
                 or run outside it"
            }
            Self::NotBuilt => "use a kernel with CONFIG_USER_NS, or run as root",
            Self::NotDumpable => "make the program readable for its user, and start it as that user",
            Self::Unknown => "run as root",
        }
    }
}

/// The reason and the advice.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.reason(), self.advice())
    }
}

fn number_in(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: &str = "/proc/sys/user/max_user_namespaces";
    const CLONE: &str = "/proc/sys/kernel/unprivileged_userns_clone";
    const APPARMOR: &str = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns";

    /// A machine on which only this file has that number.
    fn judged(errno: Errno, path: &'static str, number: u64) -> Refusal {
        Refusal::judge(errno, |asked| (asked == path).then_some(number), || false)
    }

    #[test]
    fn each_switch_is_recognised() {
        assert_eq!(judged(Errno::ENOSPC, LIMIT, 0), Refusal::LimitIsZero);
        assert_eq!(judged(Errno::ENOSPC, LIMIT, 100), Refusal::LimitReached);
        assert_eq!(judged(Errno::EPERM, CLONE, 0), Refusal::CloneSwitch);
        assert_eq!(judged(Errno::EPERM, CLONE, 1), Refusal::Unknown);
        assert_eq!(judged(Errno::EPERM, APPARMOR, 1), Refusal::AppArmor);
        assert_eq!(judged(Errno::EACCES, APPARMOR, 1), Refusal::AppArmor);
        assert_eq!(judged(Errno::EACCES, APPARMOR, 0), Refusal::NotDumpable);
        assert_eq!(Refusal::judge(Errno::EPERM, |_| None, || true), Refusal::Seccomp);
    }

    #[test]
    fn every_reason_comes_with_advice() {
        assert_eq!(
            Refusal::LimitIsZero.to_string(),
            "user.max_user_namespaces is 0; as root: sysctl -w user.max_user_namespaces=15000"
        );
    }
}
