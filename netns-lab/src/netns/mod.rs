//! A network namespace and the one thread that lives in it.

mod error;
mod worker;

use std::{
    fmt,
    fs::File,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        linux::fs::MetadataExt,
    },
    sync::mpsc,
    thread::{self, JoinHandle, ThreadId},
};

use nix::sched::{CloneFlags, setns, unshare};

pub(crate) use error::advise_create;
pub use error::{ExecError, NetnsError};
use worker::Job;
pub(crate) use worker::Worker;

use crate::{
    rtnl::{Blocking, Rtnl, RtnlError},
    sysctl::Sysctl,
};

/// Stack of a namespace's thread, in bytes. Only pages that are touched cost memory, so this
/// is address space: half a gigabyte for a thousand namespaces. A panic that prints its
/// backtrace from a debug build wants about 100 KiB.
const STACK_BYTES: usize = 512 * 1024;

/// A network namespace, held by a thread that lives in it and by one descriptor.
///
/// It has no name under /run/netns and no bind mount: when the value is dropped, or the process
/// dies in whatever way, the kernel sees the last reference go and takes the namespace down
/// with everything in it. Sockets, TAPs and [`Rtnl`] handles opened in it are references too;
/// while one of them is open the namespace stays, though its thread is gone. The kernel takes
/// namespaces down in the background (`cleanup_net()`), so that the far end of a veth vanishes
/// a little later than the drop returns: wait for it with a [`Monitor`](crate::Monitor).
///
/// The value may be moved and shared between threads: no thread of the caller ever changes its
/// namespace, closures travel to the namespace's thread instead.
///
/// # What a new namespace inherits
///
/// A loopback device that is down and nothing else to send by. Its settings under
/// `net.ipv4.conf.{all,default}` are copied from the machine's *initial* namespace as they are
/// at that moment, so `ip_forward` and `rp_filter` are whatever the distribution or a container
/// engine made of them; those of IPv6 are the kernel's defaults. That is mode 0 of
/// `net.core.devconf_inherit_init_net` (1: both copied, 2: both defaults, 3: both copied from
/// the creator's namespace), which can be read in the initial namespace only. Most other keys
/// under `net` start from the kernel's defaults. Set what matters; do not count on it.
pub struct Netns {
    label: String,
    fd: OwnedFd,
    id: NetnsId,
    thread_id: ThreadId,
    /// `None` only while being dropped.
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

/// Which namespace the thread shall live in.
enum Place {
    New,
    Existing(OwnedFd),
    Inherited,
}

impl Netns {
    /// Makes a new, empty network namespace; see unshare(2).
    ///
    /// The label is for people: it is in errors, and its first 15 bytes are the thread's name.
    pub fn new(label: impl Into<String>) -> Result<Self, NetnsError> {
        Self::start(label.into(), Place::New)
    }

    /// Puts a thread into the existing namespace behind `fd`, such as `/proc/PID/ns/net` or
    /// `/run/netns/NAME`; see setns(2). The namespace lives on after the drop if others hold it.
    pub fn attach(label: impl Into<String>, fd: OwnedFd) -> Result<Self, NetnsError> {
        Self::start(label.into(), Place::Existing(fd))
    }

    /// Starts a thread in the namespace of the calling thread, to look at it or to move links
    /// from it. Whatever is changed here is changed for everybody in that namespace.
    pub fn current(label: impl Into<String>) -> Result<Self, NetnsError> {
        Self::start(label.into(), Place::Inherited)
    }

    fn start(label: String, place: Place) -> Result<Self, NetnsError> {
        let (jobs, inbox) = mpsc::channel();
        let (ready, entered) = mpsc::sync_channel(1);
        let for_thread = label.clone();
        let spawned =
            thread::Builder::new().name(label.replace('\0', "?")).stack_size(STACK_BYTES).spawn(move || {
                let outcome = enter(for_thread, place);
                let in_place = outcome.is_ok();
                if ready.send(outcome).is_ok() && in_place {
                    worker::serve(&inbox);
                }
            });
        let thread = match spawned {
            Ok(thread) => thread,
            Err(source) => return Err(NetnsError::Thread { label, source }),
        };
        let thread_id = thread.thread().id();
        // The thread sends exactly once; if it did not, it was never there.
        let (fd, id) = entered.recv().unwrap_or_else(|_| {
            Err(NetnsError::Thread {
                label: label.clone(),
                source: std::io::Error::other("it ended at once"),
            })
        })?;
        tracing::debug!(label, %id, "network namespace ready");
        Ok(Self { label, fd, id, thread_id, jobs: Some(jobs), thread: Some(thread) })
    }

    /// The label given at creation.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Which namespace this is, comparable with what /proc shows for other tasks.
    #[must_use]
    pub fn id(&self) -> NetnsId {
        self.id
    }

    /// Runs `work` on the namespace's thread and waits for its result.
    ///
    /// Whatever `work` opens belongs to this namespace for good: sockets, TAPs, children
    /// (`Command::spawn`), and paths below `/proc/sys/net` and `/proc/thread-self/net`, which
    /// the kernel resolves by the task that opens them. `/proc/net` and `/proc/self/net` are
    /// the *process's* and show the wrong namespace; `/sys/class/net` belongs to whoever
    /// mounted it. `work` must not call unshare(2) or setns(2). A child that asks for a signal at
    /// its parent's death (`PR_SET_PDEATHSIG`) gets it when this value is dropped: the kernel
    /// means the parent's thread.
    ///
    /// Closures run one after another; a slow one delays the others, and in an async context
    /// the waiting blocks the worker (see [`Netns::exec_async`]). Called from `work` itself,
    /// the inner closure runs at once.
    ///
    /// # Errors
    /// [`ExecError::Panicked`] if `work` panics; the namespace remains usable.
    pub fn exec<T, F>(&self, work: F) -> Result<T, ExecError>
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        if thread::current().id() == self.thread_id {
            return Ok(work());
        }
        self.exec_with(|_worker| work())
    }

    /// [`Netns::exec`] for async callers: the waiting does not hold up the executor.
    ///
    /// If the returned future is dropped the closure runs all the same.
    ///
    /// # Errors
    /// As [`Netns::exec`].
    pub async fn exec_async<T, F>(&self, work: F) -> Result<T, ExecError>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let (reply, answer) = tokio::sync::oneshot::channel();
        let job: Job = Box::new(move |_worker| {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            let _ = reply.send(outcome);
        });
        self.jobs.as_ref().and_then(|jobs| jobs.send(job).ok()).ok_or_else(|| self.ended())?;
        self.unwrap_panic(answer.await.ok())
    }

    /// [`Netns::exec`] with access to what the thread owns.
    pub(crate) fn exec_with<T, F>(&self, work: F) -> Result<T, ExecError>
    where
        F: FnOnce(&mut Worker) -> T + Send,
        T: Send,
    {
        if thread::current().id() == self.thread_id {
            return Err(ExecError::Reentrant { label: self.label.clone() });
        }
        let jobs = self.jobs.as_ref().ok_or_else(|| self.ended())?;
        self.unwrap_panic(worker::run_there(jobs, work))
    }

    fn unwrap_panic<T>(&self, outcome: Option<thread::Result<T>>) -> Result<T, ExecError> {
        outcome.ok_or_else(|| self.ended())?.map_err(|payload| ExecError::Panicked {
            label: self.label.clone(),
            message: worker::panic_text(&*payload),
        })
    }

    fn ended(&self) -> ExecError {
        ExecError::Ended { label: self.label.clone() }
    }

    /// An rtnetlink handle for this namespace, for use in any task of the current tokio runtime.
    ///
    /// # Errors
    /// See [`Rtnl::open`].
    pub fn rtnl(&self) -> Result<Rtnl, RtnlError> {
        Rtnl::open(self)
    }

    /// The same operations without async, run on the namespace's own thread.
    #[must_use]
    pub fn blocking(&self) -> Blocking<'_> {
        Blocking::new(self)
    }

    /// The sysctls of this namespace.
    #[must_use]
    pub fn sysctl(&self) -> Sysctl<'_> {
        Sysctl::new(self)
    }

    /// Sets `lo` up, which also gives it 127.0.0.1/8 and ::1/128. Without it an ICMP error that
    /// the namespace sends to itself is lost, and a connection attempt hangs instead of failing.
    ///
    /// # Errors
    /// As any rtnetlink request.
    pub fn loopback_up(&self) -> Result<(), RtnlError> {
        self.blocking().set_up("lo")
    }
}

/// On the new thread: go to the place and open a descriptor of it.
fn enter(label: String, place: Place) -> Result<(OwnedFd, NetnsId), NetnsError> {
    match place {
        Place::New => {
            if let Err(errno) = unshare(CloneFlags::CLONE_NEWNET) {
                return Err(NetnsError::Create { label, errno: errno.into() });
            }
        }
        Place::Existing(fd) => {
            if let Err(errno) = setns(&fd, CloneFlags::CLONE_NEWNET) {
                return Err(NetnsError::Enter { label, errno: errno.into() });
            }
        }
        Place::Inherited => {}
    }
    let opened = File::open("/proc/thread-self/ns/net").and_then(|file| {
        let meta = file.metadata()?;
        Ok((OwnedFd::from(file), NetnsId { device: meta.st_dev(), inode: meta.st_ino() }))
    });
    opened.map_err(|source| NetnsError::Open { label, source })
}

impl Drop for Netns {
    fn drop(&mut self) {
        self.jobs = None;
        // Dropped by a closure on its own thread, it cannot wait for itself.
        if thread::current().id() == self.thread_id {
            return;
        }
        if let Some(thread) = self.thread.take() {
            // The thread catches every panic of a closure, so it ended well.
            let _ = thread.join();
        }
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl fmt::Debug for Netns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Netns({:?}, {})", self.label, self.id)
    }
}

/// The identity of a namespace: the inode behind `/proc/PID/ns/net`, shown as there,
/// `net:[4026531840]`. The kernel may give the number to another namespace after this one ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct NetnsId {
    /// The device of the nsfs file system.
    pub device: u64,
    /// The inode in it.
    pub inode: u64,
}

impl fmt::Display for NetnsId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "net:[{}]", self.inode)
    }
}
