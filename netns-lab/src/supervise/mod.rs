//! Running a command with every request that it makes of the kernel seen, held, failed or made
//! its last.
//!
//! ```no_run
//! use netns_lab::{Netns, supervise::{Command, Request, Verdict}};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let node = Netns::new("node")?;
//! let run = Command::new("/usr/sbin/ip").args(["link", "add", "br0", "type", "bridge"]).netns(&node)?;
//! let outcome = run.run(&mut |request: &Request| {
//!     println!("{request}");
//!     Verdict::LetGo
//! })?;
//! assert!(outcome.success());
//! # Ok(())
//! # }
//! ```
//!
//! # How it works
//!
//! A seccomp filter with a listener (`SECCOMP_RET_USER_NOTIF`, seccomp_unotify(2)) is installed
//! in the new process before execve(2). Children and threads inherit it, so the delegates of a
//! program are seen as well. A system call that the filter names waits until the supervisor has
//! answered: it is carried out (`SECCOMP_USER_NOTIF_FLAG_CONTINUE`) or fails with an errno. What
//! it asks is read from the waiting thread's memory and taken apart with the netlink crates.
//!
//! # What is seen
//!
//! Netlink messages of all protocols (decoded for rtnetlink and nf_tables, by number and length
//! for others), files below /proc/sys opened for writing and what is written to them, files
//! opened for writing and names made, moved and taken away, setns(2), unshare(2), clone(2) with
//! new namespaces, execve(2), the old ioctls about interfaces, tables replaced by the old
//! iptables, bpf(2) by its command's number.
//!
//! One system call may carry several messages: a batch of nf_tables, a batch of ip(8), the datagrams of a
//! sendmmsg(2). It is one request that names them all in order, and what is decided about it is decided for all
//! of them, since the kernel takes one answer for a call.
//!
//! # What is not
//!
//! - What another process does for this one, a daemon asked over a socket: it has no filter.
//! - What an eBPF program does once it is loaded.
//! - io_uring and programs of another architecture (32 bits, x32) would make requests without
//!   system calls, or with numbers that mean something else. They get `ENOSYS`, and that is shown.
//! - A thread that changes its memory between the look and the call: the kernel reads it again.
//!   Only a write to /proc/sys/net is safe from that, because the supervisor makes it in the
//!   thread's place, on a copy of its descriptor, with the bytes that it read (if the thread has
//!   the same user, capabilities and user namespace; else the kernel does, and the result is unknown).
//! - Results of calls that the kernel carried out, except for those that [`Answer`] tells.
//!
//! # Whatever ends first
//!
//! The command runs in a process namespace. When it ends, or the supervisor's thread ends in
//! whatever way, the kernel kills all processes in it. If only the listener were closed, the
//! calls that wait would fail with `ENOSYS` and nothing would hang. A call that was read by the
//! supervisor cannot be interrupted but by death (`SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`, Linux
//! 5.19), so none is seen twice; one that was interrupted before is made again by the kernel and
//! was not seen yet.

// Numbers of system calls, flags and descriptors are signed in one of the kernel's words and
// unsigned in the next.
#![allow(clippy::cast_sign_loss, clippy::cast_possible_wrap)]

mod answers;
mod board;
mod carry;
mod command;
mod error;
mod filter;
mod keeper;
mod listener;
pub(crate) mod netfilter;
mod netlink;
mod outcome;
mod output;
mod read;
mod request;
mod room;
mod rules;
mod run;
mod start;
mod tracee;
mod undo;
mod words;

pub use command::{Command, Mount};
pub use error::SuperviseError;
pub use netlink::Message;
pub use outcome::{Ended, Fate, Outcome, Record};
pub use output::Captured;
pub use request::{Answer, Kind, Request};
pub use room::Room;
pub use rules::{Lever, Rules, Scope, Then, Verdict, watch};
pub use undo::Undo;
