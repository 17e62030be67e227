//! Becoming able to make namespaces without being root.
//!
//! An ordinary user may own a *user* namespace, and within it has all capabilities over what is
//! made there: network namespaces, veths, raw sockets, routes, sysctls. [`enter`] moves the
//! process into such a namespace, in place; see user_namespaces(7). Nothing outside changes:
//! files keep their owners, and the machine's own network is out of reach.
//!
//! The kernel allows this to a process with one thread only, so it is the first thing that
//! `main` does, before a runtime, a logger or anything else starts a thread. (It re-executes
//! nothing: at that point there is nothing to start again.)

mod refusal;
mod trial;

use std::{fs, io, os::unix::fs::MetadataExt as _};

use nix::{
    sched::{CloneFlags, setns, unshare},
    unistd::{getegid, geteuid},
};

pub use refusal::Refusal;
pub(crate) use trial::try_in_child;

use crate::Errno;

/// Capability numbers; see include/uapi/linux/capability.h.
const CAP_NET_ADMIN: u32 = 12;
const CAP_SYS_ADMIN: u32 = 21;

/// How the process came by the right to make namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entered {
    /// It had it before (root, or CAP_SYS_ADMIN and CAP_NET_ADMIN), and nothing was changed.
    /// Take care to work in namespaces of your own only.
    Privileged,
    /// It is now root in a user namespace of its own, and in a new, empty network namespace.
    UserNamespace {
        /// The user that it is outside.
        outer_uid: u32,
        /// The group that it is outside.
        outer_gid: u32,
    },
}

/// The process could not enter a user namespace.
#[derive(Debug, thiserror::Error)]
pub enum RootlessError {
    /// It has threads already.
    #[error(
        "cannot enter a user namespace: the process has {threads} threads and the kernel wants one; \
         call netns_lab::rootless::enter() first of all in main"
    )]
    Threads {
        /// Threads of the process; the kernel wants one.
        threads: usize,
    },
    /// The machine does not let this user have user namespaces.
    #[error("cannot enter a user namespace: unshare(CLONE_NEWUSER): {errno}; {refusal}")]
    UserNamespace {
        /// What the kernel said.
        errno: Errno,
        /// The likely reason, and what to do.
        refusal: Refusal,
    },
    /// The user namespace is there, but its user cannot be made root in it.
    #[error("cannot write {value:?} to {path} in the new user namespace: {source}; {refusal}")]
    Map {
        /// The file.
        path: &'static str,
        /// The line.
        value: String,
        /// What the kernel said.
        source: io::Error,
        /// The likely reason, and what to do.
        refusal: Refusal,
    },
    /// The user namespace of another process cannot be entered.
    #[error("cannot enter the user namespace of process {pid}: {source}")]
    Join {
        /// The process.
        pid: u32,
        /// What the kernel said.
        source: io::Error,
    },
    /// The user namespace is there, but it gives no right to a network namespace.
    #[error("cannot create a network namespace in the new user namespace: {errno}; {refusal}")]
    NetNamespace {
        /// What the kernel said.
        errno: Errno,
        /// The likely reason, and what to do.
        refusal: Refusal,
    },
}

/// Enters the user namespace of another process of the same user, with which the network namespaces are
/// reached that it made there; does nothing when it has none of its own.
///
/// # Errors
/// [`RootlessError::Threads`], or [`RootlessError::Join`] with what the kernel said.
pub fn join(pid: u32) -> Result<(), RootlessError> {
    let fault = |source: io::Error| RootlessError::Join { pid, source };
    let theirs = fs::File::open(format!("/proc/{pid}/ns/user")).map_err(fault)?;
    let own = fs::File::open("/proc/self/ns/user").map_err(fault)?;
    let id = |file: &fs::File| file.metadata().map(|it| (it.dev(), it.ino()));
    if id(&theirs).map_err(fault)? == id(&own).map_err(fault)? {
        return Ok(());
    }
    let threads = thread_count();
    if threads > 1 {
        return Err(RootlessError::Threads { threads });
    }
    setns(&theirs, CloneFlags::CLONE_NEWUSER).map_err(|errno| fault(errno.into()))
}

/// Leaves the terminal that the process was started from: a session of its own, setsid(2).
///
/// # Errors
/// EPERM for the leader of a process group.
pub fn leave_terminal() -> Result<(), Errno> {
    nix::unistd::setsid().map(drop).map_err(Errno::from)
}

/// Makes sure that this process can make network namespaces: does nothing for root, and enters a
/// new user and network namespace otherwise. The user becomes root there (uid and gid 0, its own
/// groups dropped from view and setgroups(2) denied).
///
/// Once it has returned an error, the process may be in a half-made user namespace; report and
/// exit, or go on with what needs no privilege.
///
/// # Errors
/// [`RootlessError`], with the machine's reason and a way out.
pub fn enter() -> Result<Entered, RootlessError> {
    if privileged() {
        return Ok(Entered::Privileged);
    }
    let threads = thread_count();
    if threads > 1 {
        return Err(RootlessError::Threads { threads });
    }
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    unshare(CloneFlags::CLONE_NEWUSER).map_err(|errno| {
        let errno = errno.into();
        RootlessError::UserNamespace { errno, refusal: Refusal::find(errno) }
    })?;
    for (path, value) in map_lines(user, group) {
        write_map(path, value)?;
    }
    unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| {
        let errno = errno.into();
        RootlessError::NetNamespace { errno, refusal: Refusal::find(errno) }
    })?;
    tracing::debug!(user, group, "entered a user namespace");
    Ok(Entered::UserNamespace { outer_uid: user, outer_gid: group })
}

/// What makes the user root inside, in the order in which the kernel takes it.
fn map_lines(uid: u32, gid: u32) -> [(&'static str, String); 3] {
    [
        ("/proc/self/setgroups", "deny".to_owned()),
        ("/proc/self/uid_map", format!("0 {uid} 1")),
        ("/proc/self/gid_map", format!("0 {gid} 1")),
    ]
}

fn write_map(path: &'static str, value: String) -> Result<(), RootlessError> {
    fs::write(path, &value).map_err(|source| {
        let refusal = Refusal::find(Errno::of(&source));
        RootlessError::Map { path, value, source, refusal }
    })
}

/// Whether the calling thread has CAP_SYS_ADMIN and CAP_NET_ADMIN in its user namespace.
#[must_use]
pub fn privileged() -> bool {
    let wanted = 1 << CAP_SYS_ADMIN | 1 << CAP_NET_ADMIN;
    status_field("CapEff")
        .and_then(|value| u64::from_str_radix(&value, 16).ok())
        .is_some_and(|effective| effective & wanted == wanted)
}

/// How many threads the process has; 1 if /proc does not say.
fn thread_count() -> usize {
    status_field("Threads").and_then(|value| value.parse().ok()).unwrap_or(1)
}

/// A field of the calling thread's /proc/thread-self/status.
fn status_field(name: &str) -> Option<String> {
    let status = fs::read_to_string("/proc/thread-self/status").ok()?;
    status.lines().find_map(|line| {
        let (field, value) = line.split_once(':')?;
        (field == name).then(|| value.trim().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_its_own_status() {
        assert!(thread_count() >= 1);
        assert_eq!(
            status_field("Pid").map(|pid| pid.parse() == Ok(nix::unistd::gettid().as_raw())),
            Some(true)
        );
        assert_eq!(status_field("NoSuchField"), None);
    }

    #[test]
    fn maps_the_user_to_root() {
        let [groups, uids, gids] = map_lines(1000, 100);
        assert_eq!(groups, ("/proc/self/setgroups", "deny".into()));
        assert_eq!(uids, ("/proc/self/uid_map", "0 1000 1".into()));
        assert_eq!(gids, ("/proc/self/gid_map", "0 100 1".into()));
    }
}
