//! Network namespaces for tests that leave nothing behind.

pub mod capabilities;
mod clock;
mod errno;
mod limits;
mod mac;
mod monitor;
mod netns;
pub mod nft;
pub mod packet;
mod reactor;
pub mod rootless;
pub mod rtnl;
mod sysctl;
#[cfg(feature = "tap")]
mod tap;
pub mod testing;
mod wait;

pub use clock::{RealtimeOffset, monotonic_ns};
pub use errno::Errno;
pub use limits::raise_open_file_limit;
pub use mac::{MacAddr, ParseMacError};
pub use monitor::{AsyncMonitor, Change, Event, Monitor, MonitorError};
pub use netns::{ExecError, Netns, NetnsError, NetnsId};
pub use packet::{AsyncPacketSocket, PacketError, PacketOptions, PacketSocket, RecvBatch};
pub use rtnl::{Blocking, Rtnl, RtnlError};
pub use sysctl::{Sysctl, SysctlError, SysctlKey};
#[cfg(feature = "tap")]
pub use tap::{AsyncTap, Tap, TapError};
