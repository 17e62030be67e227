//! Why a command could not be supervised.

use std::{io, path::PathBuf};

use crate::Errno;

/// A command could not be started under supervision, or the supervision broke off.
#[derive(Debug, thiserror::Error)]
pub enum SuperviseError {
    /// A word of the command has a zero byte in it.
    #[error("{what} of `{program}` has a zero byte in it")]
    ZeroByte {
        /// The program.
        program: PathBuf,
        /// Which word: an argument, a variable, a path.
        what: &'static str,
    },
    /// A pipe, a page or a process could not be had.
    #[error("cannot make ready for `{program}`: {what}: {source}; {}", advise(.source))]
    Prepare {
        /// The program.
        program: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The new process could not be put into its place.
    #[error("cannot start `{program}`: {step}: {errno}; {advice}")]
    Place {
        /// The program.
        program: PathBuf,
        /// What the new process was doing.
        step: &'static str,
        /// What the kernel said.
        errno: Errno,
        /// What to do.
        advice: &'static str,
    },
    /// The file is no program that can be executed.
    #[error("cannot execute `{program}`: {errno}; {}", advise_exec(*.errno))]
    Exec {
        /// The program.
        program: PathBuf,
        /// What execve(2) said.
        errno: Errno,
    },
    /// The new process ended without a word before it was the program.
    #[error("the process that should become `{program}` ended before it did, {when}")]
    Lost {
        /// The program.
        program: PathBuf,
        /// How far it was.
        when: &'static str,
    },
    /// The kernel's end of the supervision failed. The processes were killed.
    #[error("supervising `{program}` broke off: {what}: {source}")]
    Broken {
        /// The program.
        program: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

fn advise(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE) => "raise ulimit -n",
        Some(libc::EPERM) => {
            "it takes CAP_SYS_ADMIN: run as root, or call netns_lab::rootless::enter() at the start of main"
        }
        Some(libc::ENOSYS) => "the kernel must be Linux 5.19 or newer",
        Some(libc::EAGAIN) => "look at ulimit -u and the container's pids limit",
        Some(libc::ENOSPC) => "a limit below /proc/sys/user is reached; raise it",
        _ => "see clone(2), pipe(2) and mmap(2)",
    }
}

fn advise_exec(errno: Errno) -> &'static str {
    match errno {
        Errno::ENOENT => "there is no such file, or the interpreter that it names is missing",
        Errno::EACCES => "it is not executable (chmod +x), or a folder above it is closed",
        _ if errno.raw() == libc::ENOEXEC => {
            "it is neither an ELF file for this machine nor a script with #!"
        }
        _ if errno.raw() == libc::ETXTBSY => "somebody has it open for writing",
        _ => "see execve(2) for what this error means",
    }
}
