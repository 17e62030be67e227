//! Linux's neighbour machine: the state of "who has this address" on one side of a link, for ARP
//! and neighbour discovery alike (net/core/neighbour.c).
//!
//! An [`Entry`] is one address. It queues packets while it asks, gives up after three requests,
//! forgets nothing and never holds a grudge: the next packet to a FAILED entry asks again at once.
//! All times are ticks of the [`KernelClock`], because the kernel's are: a request "each second"
//! leaves every 1.024 s at 250 Hz.

mod clock;
mod entry;
mod event;
mod nud;
mod table;
mod timing;

pub use clock::{HZ_DEFAULT, KTimer, KernelClock, WHEEL_PHASES};
pub use entry::Entry;
pub use event::{Cause, Discarded, Failing, NeighEvent};
pub use nud::{Nud, UpdateFlags};
pub use table::NeighTable;
pub use timing::Timing;
