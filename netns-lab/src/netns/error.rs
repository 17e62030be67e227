//! What can go wrong with a namespace or its thread.

use std::io;

use crate::Errno;

/// A namespace could not be made or entered.
#[derive(Debug, thiserror::Error)]
pub enum NetnsError {
    /// No thread for the namespace.
    #[error(
        "cannot start the thread of namespace `{label}`: {source}; \
         look at ulimit -u, kernel.threads-max and the container's pids limit"
    )]
    Thread {
        /// The namespace's label.
        label: String,
        /// What pthread_create(3) said, `EAGAIN` as a rule.
        source: io::Error,
    },
    /// unshare(2) refused a new network namespace.
    #[error("cannot create network namespace `{label}`: unshare(CLONE_NEWNET): {errno}; {}", advise_create(*.errno))]
    Create {
        /// The namespace's label.
        label: String,
        /// What the kernel said.
        errno: Errno,
    },
    /// setns(2) refused an existing one.
    #[error(
        "cannot enter network namespace `{label}`: setns(CLONE_NEWNET): {errno}; \
         it takes CAP_SYS_ADMIN here and in the user namespace that owns it, and a descriptor of a network namespace"
    )]
    Enter {
        /// The namespace's label.
        label: String,
        /// What the kernel said.
        errno: Errno,
    },
    /// The namespace exists, but no descriptor of it could be had.
    #[error(
        "cannot open /proc/thread-self/ns/net for namespace `{label}`: {source}; {}",
        advise_open(.source)
    )]
    Open {
        /// The namespace's label.
        label: String,
        /// What open(2) or fstat(2) said.
        source: io::Error,
    },
}

pub(crate) fn advise_create(errno: Errno) -> &'static str {
    match errno {
        Errno::EPERM => {
            "it takes CAP_SYS_ADMIN: run as root, or call netns_lab::rootless::enter() at the start of main"
        }
        Errno::ENOSPC => "the limit user.max_net_namespaces (see /proc/sys/user) is reached; raise it",
        Errno::EINVAL => "this kernel has no network namespaces (CONFIG_NET_NS)",
        _ => "see unshare(2) for what this error means",
    }
}

fn advise_open(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE) => {
            "too many open files: raise ulimit -n, or call netns_lab::raise_open_file_limit()"
        }
        Some(libc::ENOENT) => "is /proc mounted?",
        _ => "see open(2) for what this error means",
    }
}

/// A closure could not be run to its end on a namespace's thread.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExecError {
    /// The closure panicked. The namespace and its thread go on as before.
    #[error("a closure panicked in namespace `{label}`: {message}")]
    Panicked {
        /// The namespace's label.
        label: String,
        /// What was panicked with.
        message: String,
    },
    /// A blocking call was made from within a closure that already runs on that thread.
    #[error(
        "a blocking call into namespace `{label}` from its own thread would wait for itself; \
         make it from outside exec()"
    )]
    Reentrant {
        /// The namespace's label.
        label: String,
    },
    /// The thread has ended; not to be seen while the `Netns` lives.
    #[error("the thread of namespace `{label}` has ended")]
    Ended {
        /// The namespace's label.
        label: String,
    },
}
