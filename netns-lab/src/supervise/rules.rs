//! Who decides what becomes of a request.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{Answer, Request};
use crate::Errno;

/// Whom a kill strikes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// The process that made the request, as a crash or the out-of-memory killer would. Its
    /// children go on.
    Process,
    /// Everything that the command started.
    All,
}

/// What becomes of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The kernel carries it out.
    LetGo,
    /// It waits for this long, or until [`Lever::release`] if that comes first, or only for that.
    Hold {
        /// At most so long.
        at_most: Option<Duration>,
        /// What becomes of it when the time is over.
        then: Then,
    },
    /// It fails with this error, and is not carried out.
    Fail(Errno),
    /// Whoever made it is killed, and it is not carried out.
    KillBefore(Scope),
    /// It is carried out, and then whoever made it is killed. At once for writes to /proc/sys/net and
    /// netlink requests that name no namespace, which the supervisor makes in the thread's place (if
    /// that has the same rights); else before its thread makes another request, and within a second
    /// if it makes none. Other threads of the process get no further than their next request.
    KillAfter(Scope),
}

/// What becomes of a request that was held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Then {
    /// The kernel carries it out.
    LetGo,
    /// It fails.
    Fail(Errno),
    /// Whoever made it is killed, and it is not carried out.
    Kill(Scope),
    /// It is carried out, and then whoever made it is killed; see [`Verdict::KillAfter`].
    KillAfter(Scope),
}

/// Decides. A closure from a request to a verdict is such rules.
pub trait Rules {
    /// What becomes of this request. The thread waits meanwhile, and so does everybody else who
    /// asks.
    fn decide(&mut self, request: &Request) -> Verdict;

    /// The kernel's answer has become known.
    fn answered(&mut self, request: &Request, answer: &Answer) {
        let _ = (request, answer);
    }
}

impl<F: FnMut(&Request) -> Verdict> Rules for F {
    fn decide(&mut self, request: &Request) -> Verdict {
        self(request)
    }
}

/// Every request is let go: the command is only watched.
#[must_use]
pub fn watch() -> impl Rules {
    |_: &Request| Verdict::LetGo
}

/// An order from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Order {
    Release(usize, Then),
    End,
}

/// Tells a supervised command what to do, from any thread: from the rules themselves too.
#[derive(Clone, Debug)]
pub struct Lever(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    orders: Mutex<Vec<Order>>,
    /// Readable when there are orders.
    bell: OwnedFd,
}

impl Lever {
    /// A lever for one command.
    ///
    /// # Errors
    /// When out of descriptors.
    pub fn new() -> io::Result<Self> {
        let bell = nix::sys::eventfd::EventFd::from_flags(
            nix::sys::eventfd::EfdFlags::EFD_CLOEXEC | nix::sys::eventfd::EfdFlags::EFD_NONBLOCK,
        )?;
        Ok(Self(Arc::new(Inner { orders: Mutex::default(), bell: bell.into() })))
    }

    /// Ends the hold of the request of this number; nothing happens if it is not held.
    pub fn release(&self, number: usize, then: Then) {
        self.order(Order::Release(number, then));
    }

    /// Kills everything that the command started.
    pub fn end(&self) {
        self.order(Order::End);
    }

    fn order(&self, order: Order) {
        self.orders().push(order);
        // Full means that it rings already.
        let _ = nix::unistd::write(&self.0.bell, &1_u64.to_ne_bytes());
    }

    fn orders(&self) -> MutexGuard<'_, Vec<Order>> {
        // The list is whole after every statement that touches it.
        self.0.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take(&self) -> Vec<Order> {
        let mut count = [0; 8];
        let _ = nix::unistd::read(&self.0.bell, &mut count);
        std::mem::take(&mut *self.orders())
    }
}

impl AsFd for Lever {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.bell.as_fd()
    }
}
