//! Network namespaces for tests and labs that leave nothing behind.
//!
//! A lab is made of [`Netns`] values: network namespaces, each with everything that Linux has to
//! offer in one. They are joined by veths, filled with addresses, routes and neighbours through
//! [`Rtnl`], tuned through [`Sysctl`], watched through [`Monitor`], and their wires are read and
//! written through [`PacketSocket`] or `Tap`. It works for root and, where the machine allows
//! user namespaces, for everybody ([`rootless`]); [`capabilities::detect`] tells which. A program
//! can be run in a lab with every request of it seen, held, failed or made its last ([`supervise`]).
//!
//! ```no_run
//! use netns_lab::{Netns, PacketOptions, PacketSocket, RecvBatch, rootless};
//! use netns_lab::rtnl::{Address, Route, VethEnd};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     rootless::enter()?; // before there are threads
//!     let (node, pod) = (Netns::new("node")?, Netns::new("pod")?);
//!     node.blocking().add_veth(
//!         &VethEnd::new("cali0").mac("ee:ee:ee:ee:ee:ee".parse()?).up(),
//!         &VethEnd::new("eth0").in_netns(&pod),
//!     )?;
//!     pod.blocking().set_up("eth0")?;
//!     pod.blocking().add_address(&Address::new("eth0", "10.42.0.7/32".parse()?))?;
//!     node.blocking().add_route(&Route::unicast("10.42.0.7/32".parse()?).dev("cali0"))?;
//!     node.sysctl().write("net.ipv4.conf.cali0.proxy_arp", 1)?;
//!
//!     let wire = PacketSocket::open(&node, "cali0", &PacketOptions::new())?;
//!     let mut batch = RecvBatch::default();
//!     wire.recv(&mut batch, None)?;
//!     for frame in batch.frames() {
//!         println!("{:?} {:02x?}", frame.time, frame.bytes);
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # Theory of operation
//!
//! **A namespace belongs to threads, so a thread belongs to the namespace.** The kernel keeps the
//! network namespace for each task, not for each process. Whoever enters one with setns(2) on a
//! thread of an executor leaves the next task on that thread in the wrong place; this has bitten
//! most projects that tried. Here every namespace gets one thread of its own, which makes the
//! namespace by unshare(2) and never leaves it. Nothing else in the process ever changes
//! namespaces. Code that has to be *in* the namespace travels to that thread as a closure
//! ([`Netns::exec`]): it opens a socket, a TAP or a file below `/proc/sys/net`, all of which the
//! kernel ties to the namespace of the task that opens them, and hands back the descriptor.
//! From then on the descriptor is used from any thread, in any runtime. So a [`Netns`] needs no
//! `!Send`: it may be shared freely, because the caller's threads stay where they are.
//!
//! **A descriptor and no name.** `ip netns add` keeps a namespace by mounting it on a file, and
//! the file outlives the program. Here a namespace is kept by its thread and by one descriptor
//! (for moving links into it), and the kernel closes both when the process ends, by whatever
//! signal. With the last reference the kernel takes down the namespace and all that is in it, and
//! with it the far ends of its veths in other namespaces. There is no cleaning up that could be
//! forgotten, and none to be done after a crash. Sockets, TAPs and [`Rtnl`] handles are references
//! too; the namespace lasts until they are closed. The kernel works in the background here, so
//! "gone" is an event to wait for (a link that vanishes, see [`Monitor`]) and not a moment that a
//! call returns.
//!
//! **Errors say what was tried, on what, why it failed and what to do.** Requests are values
//! that print as ip(8) or nft(8) would take them, and every refusal carries that text, the
//! namespace's label, the kernel's errno and, where the kernel gives one, its own explanation.
//!
//! **Links go down and away on purpose.** An interface that a lab sets down or deletes is an
//! event in the types of the socket on it ([`PacketError::LinkDown`],
//! [`PacketError::LinkGone`], `TapError`), not a failure.
//!
//! **One clock.** Frames, notifications and the caller's own steps are all timed on
//! `CLOCK_MONOTONIC`, in nanoseconds ([`monotonic_ns`]).
//!
//! # What it costs
//!
//! A bare namespace takes one thread (512 KiB of address space for its stack, some 12 KiB
//! touched), one descriptor, and about 0.2 MB of the kernel's memory. The blocking facade adds
//! four descriptors and some 50 KiB at its first use, an [`Rtnl`] handle one and some 30 KiB. Raise
//! the limit with [`raise_open_file_limit`] for more than some 200 pods. The example `bring_up`
//! measures the time.
//!
//! # Traps that are dealt with here, and one that is not
//!
//! - `/proc/net` and `/proc/self/net` are those of the process's first thread, and `/sys/class/net`
//!   shows the namespace of whoever mounted it. Inside [`Netns::exec`] use `/proc/thread-self/net`.
//! - An interface index is good in one namespace only; two ends of a veth may share a number.
//! - The kernel does one netlink dump at a time for a socket; dumps of one handle take turns.
//! - tokio does not count `EPOLLERR` as readable, which is all that a deleted TAP and a
//!   downed packet socket show.
//! - With IPv6 on, a namespace with hundreds of links gets slow at making more: each has its
//!   routes to fe80::/64 and ff00::/8, which the kernel goes through one by one. Write 1 to
//!   `net.ipv6.conf.default.disable_ipv6` in a node of many pods if IPv6 is not the subject.

#![deny(clippy::undocumented_unsafe_blocks)]

pub mod capabilities;
mod clock;
mod errno;
mod icmp6;
mod limits;
mod mac;
mod monitor;
mod netns;
pub mod nft;
pub mod packet;
mod reactor;
pub mod rootless;
pub mod rtnl;
pub mod supervise;
mod sysctl;
#[cfg(feature = "tap")]
mod tap;
pub mod testing;
mod wait;

pub use clock::{RealtimeOffset, monotonic_ns};
pub use errno::Errno;
pub use icmp6::only_icmp6;
pub use limits::raise_open_file_limit;
pub use mac::{MacAddr, ParseMacError};
pub use monitor::{AsyncMonitor, Change, Event, Monitor, MonitorError};
pub use netns::{ExecError, Netns, NetnsError, NetnsId};
pub use packet::{AsyncPacketSocket, PacketError, PacketOptions, PacketSocket, RecvBatch};
pub use rtnl::{Blocking, Rtnl, RtnlError};
pub use sysctl::{Sysctl, SysctlError, SysctlKey};
#[cfg(feature = "tap")]
pub use tap::{AsyncTap, Tap, TapError};

/// The examples of the README are compiled with those of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
