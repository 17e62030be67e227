//! Folders that exist for some commands only.

use std::{
    fs::File,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::mpsc,
    thread::{self, JoinHandle},
};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};

/// A mount namespace in which some folders of the machine are covered by empty ones in memory.
///
/// Commands that are run in it ([`Command::room`](super::Command::room)) see each other's files
/// there, and nobody else does. It is held by a thread and a descriptor: when the value is
/// dropped, or the process ends in whatever way, the folders are gone.
#[derive(Debug)]
pub struct Room {
    fd: OwnedFd,
    /// `None` only while being dropped.
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

type Job = Box<dyn FnOnce() + Send>;

impl Room {
    /// Makes it. The folders must be there; each must be named without symbolic links.
    ///
    /// # Errors
    /// The kernel's, with what was tried.
    pub fn new(covered: &[&Path]) -> io::Result<Self> {
        let covered: Vec<PathBuf> = covered.iter().map(|path| (*path).to_owned()).collect();
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (ready, entered) = mpsc::sync_channel(1);
        let thread = thread::Builder::new().name("room".into()).spawn(move || {
            let outcome = enter(&covered);
            let in_place = outcome.is_ok();
            if ready.send(outcome).is_ok() && in_place {
                for job in inbox {
                    job();
                }
            }
        })?;
        let fd = entered.recv().unwrap_or_else(|_| Err(io::Error::other("its thread ended at once")))?;
        Ok(Self { fd, jobs: Some(jobs), thread: Some(thread) })
    }

    /// Runs `work` where the folders are, and waits for it.
    ///
    /// # Errors
    /// If `work` panics.
    pub fn exec<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        let (reply, answer) = mpsc::sync_channel(1);
        let job: Job = Box::new(move || {
            if let Ok(value) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)) {
                let _ = reply.send(value);
            }
        });
        let gone = || io::Error::other("what was to be done in the room panicked");
        self.jobs.as_ref().and_then(|jobs| jobs.send(job).ok()).ok_or_else(gone)?;
        answer.recv().map_err(|_| gone())
    }

    pub(super) fn descriptor(&self) -> io::Result<OwnedFd> {
        self.fd.try_clone()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // it catches every panic
            let _ = thread.join();
        }
    }
}

/// On the new thread: a mount namespace of its own, and the empty folders.
fn enter(covered: &[PathBuf]) -> io::Result<OwnedFd> {
    let tell = |what: &str, errno: nix::errno::Errno| {
        let error = io::Error::from(errno);
        io::Error::new(error.kind(), format!("{what}: {error}"))
    };
    unshare(CloneFlags::CLONE_NEWNS).map_err(|e| tell("unshare(CLONE_NEWNS)", e))?;
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .map_err(|e| tell("making its mounts private", e))?;
    for folder in covered {
        mount(Some("tmpfs"), folder, Some("tmpfs"), MsFlags::empty(), Some("mode=755"))
            .map_err(|e| tell(&format!("mounting a tmpfs on {}", folder.display()), e))?;
    }
    Ok(File::open("/proc/thread-self/ns/mnt")?.into())
}
