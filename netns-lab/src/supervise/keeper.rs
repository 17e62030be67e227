//! The keeper and the new process, up to its execve(2). Both are copies of a process that may
//! have had threads, so they do nothing but system calls: no allocation, no lock, no unwinding.

use std::{
    ffi::{c_int, c_void},
    mem,
    os::fd::RawFd,
    ptr,
    sync::atomic::Ordering,
};

use super::{
    board::{Board, Said, Step},
    start::{Plan, clone},
};
use crate::Errno;

/// How long the keeper sleeps at a time while the new process gets ready, in nanoseconds. It is
/// woken as soon as there is news.
const NAP_NS: i64 = 100_000_000;

/// Process 1 of its namespace; never returns. When it ends, so does everything else there.
pub(super) fn run(plan: &Plan, board: &Board) -> ! {
    close_others(&plan.keep);
    // SAFETY: system calls whose pointers, where they have any, are to live values on this stack.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
        // It may have ended before that: then its end of the socket is closed.
        let mut look = libc::pollfd { fd: plan.control, events: 0, revents: 0 };
        libc::poll(&raw mut look, 1, 0);
        if look.revents & libc::POLLHUP != 0 {
            libc::_exit(0);
        }
        // Signals of the terminal are the supervisor's to answer.
        libc::setsid();
    }
    reset_signals();
    let child = mounts(plan).and_then(|()| {
        // SAFETY: `become_command` does nothing but system calls and does not return.
        match unsafe { clone(libc::CLONE_FILES, libc::SIGCHLD) } {
            Ok((0, _)) => become_command(plan, board),
            Ok(made) => Ok(made),
            Err(errno) => Err((Step::Fork, errno)),
        }
    });
    match child {
        Ok((number, pidfd)) => {
            let ready = hand_over(plan, board, pidfd);
            if ready {
                mind(plan, number)
            }
        }
        Err((step, errno)) => note(board, step, errno),
    }
    say(plan.control, Said::Failed);
    // SAFETY: takes no memory, ends the process and with it the namespace.
    unsafe { libc::_exit(1) }
}

/// Writes down what failed. The first failure counts.
fn note(board: &Board, step: Step, errno: Errno) {
    board.errno.store(errno.raw(), Ordering::SeqCst);
    board.step.store(step as i32, Ordering::SeqCst);
}

/// Closes every descriptor that is not in `keep`, which ascends.
fn close_others(keep: &[RawFd]) {
    let mut from = 0;
    for &fd in keep {
        if fd > from {
            // SAFETY: takes no memory; whoever owned these descriptors is not in this process.
            unsafe { libc::syscall(libc::SYS_close_range, from, fd - 1, 0) };
        }
        from = fd + 1;
    }
    // SAFETY: as above.
    unsafe { libc::syscall(libc::SYS_close_range, from, c_int::MAX, 0) };
}

/// A new program expects signals as they are by default, and none blocked.
fn reset_signals() {
    // SAFETY: zeroed structures are valid here (SIG_DFL is 0), and the pointers are to them.
    unsafe {
        let action: libc::sigaction = mem::zeroed();
        for signal in 1..=64 {
            // Refused for SIGKILL, SIGSTOP and those that libc keeps.
            libc::sigaction(signal, &raw const action, ptr::null_mut());
        }
        let mut none: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
}

fn checked(result: c_int) -> Result<(), Errno> {
    if result == 0 { Ok(()) } else { Err(Errno::last()) }
}

/// Makes the mount namespace that the plan wants, with a /proc of this process namespace.
fn mounts(plan: &Plan) -> Result<(), (Step, Errno)> {
    // SAFETY: all strings are closed by a zero and live as long as the plan.
    unsafe {
        if let Some(room) = plan.room {
            checked(libc::setns(room, libc::CLONE_NEWNS)).map_err(|errno| (Step::Room, errno))?;
            checked(libc::unshare(libc::CLONE_NEWNS)).map_err(|errno| (Step::Room, errno))?;
        }
        let (none, root) = (ptr::null(), c"/".as_ptr());
        checked(libc::mount(none, root, none, libc::MS_REC | libc::MS_PRIVATE, ptr::null()))
            .map_err(|errno| (Step::Private, errno))?;
        for mount in &plan.mounts {
            checked(libc::mount(
                mount.source.as_ptr(),
                mount.target.as_ptr(),
                mount.kind.as_ptr(),
                mount.flags,
                mount.data.as_ptr().cast(),
            ))
            .map_err(|errno| (Step::Mount, errno))?;
        }
        let safe = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
        checked(libc::mount(c"proc".as_ptr(), c"/proc".as_ptr(), c"proc".as_ptr(), safe, ptr::null()))
            .map_err(|errno| (Step::Proc, errno))
    }
}

/// Waits for the new process's filter and sends its listener on.
fn hand_over(plan: &Plan, board: &Board, pidfd: RawFd) -> bool {
    loop {
        let number = board.listener.load(Ordering::SeqCst);
        if number > 0 {
            let sent = send_descriptors(plan.control, [number - 1, pidfd]);
            // The table was shared up to here; now this process lets go of all but its socket.
            // SAFETY: takes no memory.
            unsafe { libc::unshare(libc::CLONE_FILES) };
            close_others(&[plan.control]);
            return sent;
        }
        if board.step.load(Ordering::SeqCst) != Step::None as i32 {
            return false;
        }
        let nap = libc::timespec { tv_sec: 0, tv_nsec: NAP_NS };
        // SAFETY: the word is in shared memory that both processes have mapped.
        unsafe {
            libc::syscall(libc::SYS_futex, board.listener.as_ptr(), libc::FUTEX_WAIT, 0, &raw const nap)
        };
        // It may have been killed.
        let mut look = libc::pollfd { fd: pidfd, events: libc::POLLIN, revents: 0 };
        // SAFETY: one structure on this stack.
        if unsafe { libc::poll(&raw mut look, 1, 0) } > 0 && board.listener.load(Ordering::SeqCst) == 0 {
            return false;
        }
    }
}

/// Reaps until nobody is left, and says so. Never returns.
fn mind(plan: &Plan, command: i32) -> ! {
    loop {
        let mut status = 0;
        // SAFETY: the pointer is to a number on this stack.
        let ended = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL) };
        if ended == command && (libc::WIFEXITED(status) || libc::WIFSIGNALED(status)) {
            say(plan.control, Said::Ended(status));
        } else if ended < 0 && Errno::last().raw() != libc::EINTR {
            say(plan.control, Said::Alone);
            // SAFETY: takes no memory.
            unsafe { libc::_exit(0) }
        }
    }
}

/// One message to the supervisor. It may be gone: then this process is about to be killed.
fn say(control: RawFd, said: Said) {
    let bytes = said.bytes();
    // SAFETY: the pointer and the length describe `bytes`.
    unsafe { libc::send(control, bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) };
}

/// Room for a header and two descriptors, aligned as the kernel wants it.
#[repr(C, align(8))]
struct Control([u8; 64]);

fn send_descriptors(control: RawFd, descriptors: [RawFd; 2]) -> bool {
    let mut bytes = Said::Listening.bytes();
    let mut space = Control([0; 64]);
    let length = mem::size_of_val(&descriptors) as u32;
    // SAFETY: `part`, `message` and `space` live on this stack; 64 bytes have room for a header
    // and two numbers, so that CMSG_FIRSTHDR is not null and CMSG_DATA lies within.
    unsafe {
        let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
        let mut message: libc::msghdr = mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = space.0.as_mut_ptr().cast::<c_void>();
        message.msg_controllen = libc::CMSG_SPACE(length) as _;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(length) as _;
        ptr::copy_nonoverlapping(descriptors.as_ptr().cast::<u8>(), libc::CMSG_DATA(header), length as usize);
        libc::sendmsg(control, &raw const message, libc::MSG_NOSIGNAL) >= 0
    }
}

/// The new process: takes its place, installs the filter, becomes the command. Never returns.
fn become_command(plan: &Plan, board: &Board) -> ! {
    let (step, errno) = match take_place(plan).and_then(|()| listen(plan)) {
        Ok(listener) => {
            board.listener.store(listener + 1, Ordering::SeqCst);
            // From here on system calls are the supervisor's to allow.
            // SAFETY: the word is in shared memory; the strings live as long as the plan, and
            // both lists end with a null pointer.
            unsafe {
                libc::syscall(libc::SYS_futex, board.listener.as_ptr(), libc::FUTEX_WAKE, 1);
                libc::execve(plan.program.as_ptr(), plan.arguments.as_ptr(), plan.environment.as_ptr());
            }
            (Step::Exec, Errno::last())
        }
        Err(failed) => failed,
    };
    note(board, step, errno);
    // SAFETY: takes no memory.
    unsafe {
        libc::syscall(libc::SYS_futex, board.listener.as_ptr(), libc::FUTEX_WAKE, 1);
        libc::_exit(127)
    }
}

fn take_place(plan: &Plan) -> Result<(), (Step, Errno)> {
    // SAFETY: the path is closed by a zero; the rest takes no memory.
    unsafe {
        if let Some(netns) = plan.netns {
            checked(libc::setns(netns, libc::CLONE_NEWNET)).map_err(|errno| (Step::Netns, errno))?;
        }
        checked(libc::chdir(plan.directory.as_ptr())).map_err(|errno| (Step::Directory, errno))?;
        for (number, &fd) in plan.standard.iter().enumerate() {
            libc::dup2(fd, number as c_int);
        }
    }
    Ok(())
}

/// Installs the filter; the listener's number.
fn listen(plan: &Plan) -> Result<RawFd, (Step, Errno)> {
    let program = libc::sock_fprog { len: plan.filter.len() as u16, filter: plan.filter.as_ptr().cast_mut() };
    // A signal does not interrupt a system call that the supervisor has read already: without
    // this one that restarts would be asked about twice.
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    // SAFETY: the program is a live list of its length, which the kernel only reads.
    let install = || unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program)
    };
    let mut listener = install();
    if listener < 0 && Errno::last() == Errno::EACCES {
        // Without CAP_SYS_ADMIN a filter is for those who gain nothing by execve(2).
        // SAFETY: takes no memory.
        unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
        listener = install();
    }
    if listener < 0 { Err((Step::Filter, Errno::last())) } else { Ok(listener as RawFd) }
}
