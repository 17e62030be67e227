//! Trying whether a user namespace can be entered, without entering it.

use std::{
    ffi::{CStr, CString},
    fs::File,
    io::{self, Read},
    os::fd::{AsRawFd, BorrowedFd},
};

use nix::{
    fcntl::OFlag,
    sys::wait::waitpid,
    unistd::{ForkResult, fork, getegid, geteuid, pipe2},
};

use super::{Refusal, RootlessError, map_lines};
use crate::Errno;

/// The child's word that all went well, in place of the step that failed.
const DONE: u8 = u8::MAX;

/// Does in a child process what [`enter`](super::enter) does, whatever number of threads this
/// process has, and says how it went.
pub(crate) fn try_in_child() -> Result<(), RootlessError> {
    let lines = map_lines(geteuid().as_raw(), getegid().as_raw());
    match report_of_child(&lines) {
        Ok((DONE, _)) => Ok(()),
        Ok((step, errno)) => Err(failure(step, errno, lines)),
        Err(source) => {
            let errno = Errno::of(&source);
            Err(RootlessError::UserNamespace { errno, refusal: Refusal::Unknown })
        }
    }
}

fn failure(step: u8, errno: Errno, lines: [(&'static str, String); 3]) -> RootlessError {
    let refusal = Refusal::find(errno);
    match step {
        0 => RootlessError::UserNamespace { errno, refusal },
        step => match lines.into_iter().nth(usize::from(step) - 1) {
            Some((path, value)) => RootlessError::Map { path, value, source: errno.into(), refusal },
            None => RootlessError::NetNamespace { errno, refusal },
        },
    }
}

fn report_of_child(lines: &[(&'static str, String); 3]) -> io::Result<(u8, Errno)> {
    // All memory that the child will need is made before it is.
    let maps: Vec<(CString, &[u8])> = lines
        .iter()
        .map(|(path, value)| Ok((CString::new(*path)?, value.as_bytes())))
        .collect::<io::Result<_>>()?;
    let (reading, writing) = pipe2(OFlag::O_CLOEXEC)?;
    // SAFETY: this process may have threads, so the child does nothing but system calls: no
    // allocation, no lock, no unwinding, and it ends by _exit(2).
    match unsafe { fork() }? {
        ForkResult::Child => {
            use std::os::fd::AsFd;
            run_child(&maps, writing.as_fd())
        }
        ForkResult::Parent { child } => {
            drop(writing);
            let mut report = [0; 5];
            let read = File::from(reading).read_exact(&mut report);
            // Somebody else may have reaped it: only the report counts.
            let _ = waitpid(child, None);
            read?;
            let [step, number @ ..] = report;
            Ok((step, Errno::from_raw(i32::from_ne_bytes(number))))
        }
    }
}

/// In the child; never returns. System calls only.
fn run_child(maps: &[(CString, &[u8])], report: BorrowedFd<'_>) -> ! {
    let (step, errno) = match attempt(maps) {
        Ok(()) => (DONE, 0),
        Err(failed) => failed,
    };
    let [a, b, c, d] = errno.to_ne_bytes();
    let bytes = [step, a, b, c, d];
    // SAFETY: the pointer and the length describe `bytes`; _exit(2) ends the process without
    // running anything of the parent's.
    unsafe {
        libc::write(report.as_raw_fd(), bytes.as_ptr().cast(), bytes.len());
        libc::_exit(0)
    }
}

/// The steps of `enter`, numbered; `Err` is the step and the error number.
fn attempt(maps: &[(CString, &[u8])]) -> Result<(), (u8, i32)> {
    // SAFETY: unshare(2) takes no memory.
    if unsafe { libc::unshare(libc::CLONE_NEWUSER) } != 0 {
        return Err((0, errno()));
    }
    let mut step = 1;
    for (path, value) in maps {
        write_whole(path, value).map_err(|number| (step, number))?;
        step += 1;
    }
    // SAFETY: as above.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        return Err((step, errno()));
    }
    Ok(())
}

fn write_whole(path: &CStr, value: &[u8]) -> Result<(), i32> {
    // SAFETY: the path is closed by a zero.
    let fd = unsafe { libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC) };
    if fd < 0 {
        return Err(errno());
    }
    // SAFETY: the pointer and the length describe `value`. The descriptor ends with the child.
    let written = unsafe { libc::write(fd, value.as_ptr().cast(), value.len()) };
    if usize::try_from(written) == Ok(value.len()) { Ok(()) } else { Err(errno()) }
}

fn errno() -> i32 {
    nix::errno::Errno::last_raw()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_leaves_this_process_where_it_is() {
        let here = || std::fs::read_link("/proc/self/ns/user").expect("a link");
        let before = here();
        // Whether it is allowed depends on the machine; that there is an answer does not.
        match try_in_child() {
            Ok(()) => {}
            Err(error) => assert!(error.to_string().contains("namespace"), "{error}"),
        }
        assert_eq!(here(), before);
    }

    #[test]
    fn each_step_has_its_error() {
        let lines = || map_lines(1, 2);
        let at = |step| failure(step, Errno::EPERM, lines());
        assert!(matches!(at(0), RootlessError::UserNamespace { .. }));
        assert!(matches!(at(2), RootlessError::Map { path: "/proc/self/uid_map", .. }));
        assert!(matches!(at(4), RootlessError::NetNamespace { .. }));
    }
}
