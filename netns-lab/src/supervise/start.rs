//! Starting a command in a process namespace of its own, with the filter before its first
//! instruction.
//!
//! Three processes take part. The supervisor makes the *keeper*, process 1 of a new process
//! namespace with a mount namespace of its own. The keeper makes the process that installs the
//! filter, and so has the listener, and then becomes the command. The two share their table of
//! descriptors for that long, so the keeper, whom no filter stops, can hand the listener to the
//! supervisor: the command's own sendmsg(2) would wait for a listener that nobody has yet.
//!
//! Why a process namespace: when the keeper ends, the kernel kills all that is in it, whatever
//! sessions, double forks and lost parents there were; and the keeper asked to be killed with
//! the thread that made it. A control group needs somebody who is still alive to kill it, and a
//! subreaper only inherits what it then has to find.

use std::{
    ffi::{CString, c_char, c_int},
    io, mem,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    path::{Path, PathBuf},
    ptr,
    sync::atomic::Ordering,
    time::Duration,
};

use nix::{
    poll::PollFlags,
    sys::socket::{AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, socketpair},
    unistd::pipe2,
};

use super::{
    Command, SuperviseError,
    board::{Board, Page, SAID_BYTES, Said, Step},
    filter, keeper,
};
use crate::{
    Errno,
    wait::{Deadline, wait_for},
};

/// How long the new process may take until it is the command, apart from execve(2).
const READY_WITHIN: Duration = Duration::from_secs(30);

/// A mount, in the words of mount(2).
#[derive(Debug)]
pub(super) struct MountWords {
    pub(super) source: CString,
    pub(super) target: CString,
    pub(super) kind: CString,
    pub(super) flags: libc::c_ulong,
    pub(super) data: CString,
}

/// All that the new processes need, made before them: they may not allocate.
pub(super) struct Plan {
    pub(super) program: CString,
    pub(super) arguments: Vec<*const c_char>,
    pub(super) environment: Vec<*const c_char>,
    pub(super) directory: CString,
    pub(super) mounts: Vec<MountWords>,
    pub(super) netns: Option<RawFd>,
    /// The mount namespace to begin with a copy of.
    pub(super) room: Option<RawFd>,
    /// What becomes descriptors 0, 1 and 2.
    pub(super) standard: [RawFd; 3],
    /// The keeper's end of the socket to the supervisor.
    pub(super) control: RawFd,
    /// Descriptors to keep open, in ascending order.
    pub(super) keep: Vec<RawFd>,
    pub(super) filter: Vec<libc::sock_filter>,
}

/// A started command: its processes, and the supervisor's ends of what leads to them.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) tree: Tree,
    pub(super) listener: OwnedFd,
    /// The command's first process.
    pub(super) main: OwnedFd,
    pub(super) input: OwnedFd,
    pub(super) output: OwnedFd,
    pub(super) errors: OwnedFd,
    pub(super) page: Page,
}

/// The processes of a command. Dropping it kills them all, and returns when they are gone.
#[derive(Debug)]
pub(super) struct Tree {
    keeper: OwnedFd,
    pub(super) control: OwnedFd,
}

impl Tree {
    /// What the keeper says next; `None` when it has ended. The socket must be readable.
    pub(super) fn listen(&self) -> io::Result<Option<Said>> {
        let mut bytes = [0; SAID_BYTES];
        let length = nix::sys::socket::recv(self.control.as_raw_fd(), &mut bytes, MsgFlags::empty())?;
        Ok(if length == SAID_BYTES { Said::of(bytes) } else { None })
    }

    /// Kills every process. They are gone when the value is dropped.
    pub(super) fn kill(&self) {
        kill(&self.keeper);
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        self.kill();
        // The kernel lets process 1 be reaped when all others of its namespace are gone.
        loop {
            // SAFETY: a zeroed siginfo_t is valid, the descriptor is one of a process.
            let waited = unsafe {
                let mut info: libc::siginfo_t = mem::zeroed();
                libc::waitid(
                    libc::P_PIDFD,
                    self.keeper.as_raw_fd() as libc::id_t,
                    &raw mut info,
                    libc::WEXITED | libc::__WALL,
                )
            };
            if waited == 0 || Errno::last().raw() != libc::EINTR {
                return;
            }
        }
    }
}

/// Sends SIGKILL to the process behind the descriptor. It may have ended already.
pub(super) fn kill(process: &OwnedFd) {
    // SAFETY: no memory is passed: the third argument may be null.
    unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            process.as_raw_fd(),
            libc::SIGKILL,
            ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
}

/// `struct clone_args` of clone3(2), up to the fields that are used.
#[repr(C)]
#[derive(Default)]
pub(super) struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
}

/// A process like this one, as fork(2) makes it, but nothing of libc's is run on the way. Returns
/// the number of the new process, 0 in it, and its descriptor in the old one.
///
/// # Safety
/// In the new process nothing may be called but system calls, if the old one has threads.
pub(super) unsafe fn clone(flags: c_int, exit_signal: c_int) -> Result<(i32, RawFd), Errno> {
    let mut pidfd: c_int = -1;
    let arguments = CloneArguments {
        flags: u64::from(flags as u32) | libc::CLONE_PIDFD as u64,
        pidfd: (&raw mut pidfd).addr() as u64,
        exit_signal: exit_signal as u64,
        ..CloneArguments::default()
    };
    // SAFETY: the structure and the size describe each other, and without CLONE_VM the new
    // process has its own copy of everything, the stack included.
    let number =
        unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, mem::size_of::<CloneArguments>()) };
    // SAFETY: volatile, since the kernel wrote it behind the compiler's back.
    let pidfd = unsafe { ptr::read_volatile(&raw const pidfd) };
    if number < 0 { Err(Errno::last()) } else { Ok((number as i32, pidfd)) }
}

/// A copy of the descriptor that is none of the standard three, and is closed by execve(2).
fn high(fd: OwnedFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() > 2 {
        return Ok(fd);
    }
    let number = nix::fcntl::fcntl(&fd, nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(3))?;
    // SAFETY: the kernel just made it, and nobody else knows the number.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reading, writing) = pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    Ok((high(reading)?, high(writing)?))
}

/// Strings as execve(2) wants them.
struct Words {
    _owned: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl Words {
    fn new(owned: Vec<CString>) -> Self {
        let pointers = owned.iter().map(|word| word.as_ptr()).chain([ptr::null()]).collect();
        Self { _owned: owned, pointers }
    }
}

/// Starts the command. On return it waits in its execve(2).
pub(super) fn start(command: &Command) -> Result<Started, SuperviseError> {
    let program: &Path = &command.program;
    let fail =
        |what| move |source: io::Error| SuperviseError::Prepare { program: program.to_owned(), what, source };
    let words = command.words()?;
    let (arguments, environment) = (Words::new(words.arguments), Words::new(words.environment));
    let page = Page::new().map_err(fail("mmap(2)"))?;
    let (stdin, input) = pipe().map_err(fail("pipe2(2)"))?;
    let (output, stdout) = pipe().map_err(fail("pipe2(2)"))?;
    let (errors, stderr) = pipe().map_err(fail("pipe2(2)"))?;
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
        .map_err(io::Error::from)
        .and_then(|(a, b)| Ok((high(a)?, high(b)?)))
        .map_err(fail("socketpair(2)"))?;
    let standard = [stdin.as_raw_fd(), stdout.as_raw_fd(), stderr.as_raw_fd()];
    let netns = command.netns.as_ref().map(AsRawFd::as_raw_fd);
    let mut keep: Vec<RawFd> = standard.into_iter().chain([theirs.as_raw_fd()]).chain(netns).collect();
    keep.extend(command.kept().map(AsRawFd::as_raw_fd));
    keep.sort_unstable();
    keep.dedup();
    let plan = Plan {
        program: words.program,
        arguments: arguments.pointers,
        environment: environment.pointers,
        directory: words.directory,
        mounts: words.mounts,
        netns,
        room: command.room.as_ref().map(AsRawFd::as_raw_fd),
        standard,
        control: theirs.as_raw_fd(),
        keep,
        filter: filter::program(),
    };
    // No signal to this process when the keeper ends: nobody else's wait(2) shall find it.
    // SAFETY: `keeper::run` does nothing but system calls and does not return.
    let keeper = match unsafe { clone(libc::CLONE_NEWPID | libc::CLONE_NEWNS, 0) } {
        Ok((0, _)) => keeper::run(&plan, page.board()),
        // SAFETY: the kernel made the descriptor for this process alone.
        Ok((_, pidfd)) => unsafe { OwnedFd::from_raw_fd(pidfd) },
        Err(errno) => return Err(fail("clone3(2) of a process namespace")(errno.into())),
    };
    let tree = Tree { keeper, control: ours };
    drop((stdin, stdout, stderr, theirs));
    let (listener, main) = hand_over(command, &tree, page.board())?;
    Ok(Started { tree, listener, main, input, output, errors, page })
}

/// Waits for the keeper's word that the filter is in place.
fn hand_over(command: &Command, tree: &Tree, board: &Board) -> Result<(OwnedFd, OwnedFd), SuperviseError> {
    let program: PathBuf = command.program.clone();
    let deadline = Deadline::within(Some(READY_WITHIN));
    let broken = |source: io::Error| SuperviseError::Prepare {
        program: program.clone(),
        what: "waiting for the new process",
        source,
    };
    wait_for(&tree.control, PollFlags::POLLIN, deadline, None).map_err(broken)?;
    if deadline.passed() {
        return Err(SuperviseError::Lost { program, when: "or it hangs: it had half a minute" });
    }
    let mut space = nix::cmsg_space!([RawFd; 2]);
    let mut bytes = [0; SAID_BYTES];
    let mut parts = [io::IoSliceMut::new(&mut bytes)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let received = recvmsg::<()>(tree.control.as_raw_fd(), &mut parts, Some(&mut space), flags)
        .map_err(|errno| broken(errno.into()))?;
    let mut descriptors = Vec::new();
    for message in received.cmsgs().map_err(|errno| broken(errno.into()))? {
        if let ControlMessageOwned::ScmRights(numbers) = message {
            // SAFETY: the kernel just made these descriptors for this process.
            descriptors.extend(numbers.into_iter().map(|number| unsafe { OwnedFd::from_raw_fd(number) }));
        }
    }
    if let (Some(Said::Listening), [_, _]) = (Said::of(bytes), &descriptors[..]) {
        let main = descriptors.pop();
        if let Some(pair) = descriptors.pop().zip(main) {
            return Ok(pair);
        }
    }
    Err(failure(command, board)
        .unwrap_or(SuperviseError::Lost { program, when: "before the filter was in place" }))
}

/// What the board says went wrong.
pub(super) fn failure(command: &Command, board: &Board) -> Option<SuperviseError> {
    let program = command.program.clone();
    let errno = Errno::from_raw(board.errno.load(Ordering::SeqCst));
    match Step::of(board.step.load(Ordering::SeqCst)) {
        Step::None => None,
        Step::Exec => Some(SuperviseError::Exec { program, errno }),
        step => {
            Some(SuperviseError::Place { program, step: step.words(), errno, advice: step.advice(errno) })
        }
    }
}
