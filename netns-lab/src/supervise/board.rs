//! What the processes of a start tell each other.

use std::{io, mem, ptr, sync::atomic::AtomicI32};

use crate::Errno;

/// What the keeper and the new process write and the supervisor reads: shared memory.
#[repr(C)]
#[derive(Debug)]
pub(super) struct Board {
    /// 0, or the listener's number in the new process's table plus one.
    pub(super) listener: AtomicI32,
    /// The step that failed, as a [`Step`].
    pub(super) step: AtomicI32,
    /// Why it failed.
    pub(super) errno: AtomicI32,
}

/// A page of shared memory with the board on it.
#[derive(Debug)]
pub(super) struct Page(ptr::NonNull<Board>);

impl Page {
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: a new anonymous mapping; the kernel chooses where, and fills it with zeroes,
        // which is a valid `Board`.
        let page = unsafe {
            libc::mmap(
                ptr::null_mut(),
                mem::size_of::<Board>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        match ptr::NonNull::new(page.cast()) {
            Some(board) if page != libc::MAP_FAILED => Ok(Self(board)),
            _ => Err(io::Error::last_os_error()),
        }
    }

    pub(super) fn board(&self) -> &Board {
        // SAFETY: mapped for as long as `self` lives, aligned to a page, and made of atomics.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` made; no reference to it outlives `self`.
        unsafe { libc::munmap(self.0.as_ptr().cast(), mem::size_of::<Board>()) };
    }
}

/// Where the keeper or the new process failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i32)]
pub(super) enum Step {
    /// Nothing failed.
    None = 0,
    Private = 1,
    Mount = 2,
    Proc = 3,
    Fork = 4,
    Netns = 5,
    Directory = 6,
    Filter = 7,
    Exec = 8,
    Room = 9,
}

impl Step {
    pub(super) fn of(number: i32) -> Self {
        [
            Self::Private,
            Self::Mount,
            Self::Proc,
            Self::Fork,
            Self::Netns,
            Self::Directory,
            Self::Filter,
            Self::Room,
        ]
        .into_iter()
        .find(|step| *step as i32 == number)
        .unwrap_or(if number == Self::Exec as i32 { Self::Exec } else { Self::None })
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::Private => "making its mounts private",
            Self::Mount => "mounting one of the folders that were asked for",
            Self::Proc => "mounting /proc for the new process namespace",
            Self::Fork => "clone(2)",
            Self::Netns => "entering its network namespace",
            Self::Directory => "changing to its working directory",
            Self::Filter => "installing a seccomp filter with a listener",
            Self::Exec => "execve(2)",
            Self::Room => "entering the mount namespace of its room",
        }
    }

    pub(super) fn advice(self, errno: Errno) -> &'static str {
        match (self, errno) {
            (Self::Proc, Errno::EPERM) => {
                "in a user namespace the kernel allows this only where /proc is not covered in parts, as container \
                 engines do: run as root, or outside the container"
            }
            (Self::Filter, Errno::EBUSY) => "this process is itself supervised through a listener",
            (Self::Filter, Errno::EINVAL) => "it takes Linux 5.19 or newer, with CONFIG_SECCOMP_FILTER",
            (_, Errno::EPERM) => {
                "it takes CAP_SYS_ADMIN: run as root, or call netns_lab::rootless::enter() at the start of main"
            }
            (Self::Mount, Errno::ENOENT) => "the folder to cover must be there",
            _ => "see the kernel's documentation of this call",
        }
    }
}

/// What the keeper says to the supervisor: a word and a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Said {
    /// The listener and a descriptor of the new process come along.
    Listening,
    /// The command has ended; its wait status.
    Ended(i32),
    /// Nobody is left in the process namespace but the keeper.
    Alone,
    /// The keeper itself could not go on; see the board.
    Failed,
}

pub(super) const SAID_BYTES: usize = 8;

impl Said {
    pub(super) fn bytes(self) -> [u8; SAID_BYTES] {
        let (word, number) = match self {
            Self::Listening => (1_i32, 0),
            Self::Ended(status) => (2, status),
            Self::Alone => (3, 0),
            Self::Failed => (4, 0),
        };
        let mut bytes = [0; SAID_BYTES];
        bytes[..4].copy_from_slice(&word.to_ne_bytes());
        bytes[4..].copy_from_slice(&number.to_ne_bytes());
        bytes
    }

    pub(super) fn of(bytes: [u8; SAID_BYTES]) -> Option<Self> {
        let half = |at: usize| Some(i32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let number = half(4)?;
        Some(match half(0)? {
            1 => Self::Listening,
            2 => Self::Ended(number),
            3 => Self::Alone,
            4 => Self::Failed,
            _ => return None,
        })
    }
}
