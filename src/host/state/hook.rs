//! Netfilter's ARP hooks as a term of the state: which requests and replies a rule drops.
//!
//! Calico v3.32's `calico-arp` table is such a rule; so is an arptables line.

use crate::addr::IfName;
use core::fmt;
use std::net::Ipv4Addr;

/// Where a rule sits (NF_ARP_IN, NF_ARP_OUT).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum HookPoint {
    /// Before the request is looked at; nothing is learned from what is dropped here.
    Input,
    /// After the answer was made; the sender has been learned already.
    Output,
}

impl fmt::Display for HookPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HookPoint::Input => "input",
            HookPoint::Output => "output",
        })
    }
}

/// Whether a name in a rule means that interface: a star at its end stands for any rest, as nft(8)
/// writes it.
#[must_use]
pub fn names(pattern: IfName, dev: IfName) -> bool {
    let begins = |start| dev.as_str().starts_with(start);
    pattern.as_str().strip_suffix('*').map_or(pattern == dev, begins)
}

/// A rule that drops ARP frames. Empty selectors match everything.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ArpHook {
    /// Input or output.
    pub point: HookPoint,
    /// The name of the interface the frame comes in or goes out by (`iifname`, `oifname`): the rule
    /// may be there before the interface, and stays when it goes. See [`names`] for a star in it.
    pub dev: Option<IfName>,
    /// ARP operation (1 request, 2 reply).
    pub op: Option<u16>,
    /// Sender protocol address.
    pub sender: Option<Ipv4Addr>,
    /// Target protocol address.
    pub target: Option<Ipv4Addr>,
}

/// The fields a hook looks at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HookFrame {
    /// Input or output.
    pub point: HookPoint,
    /// The interface.
    pub dev: IfName,
    /// ARP operation.
    pub op: u16,
    /// Sender protocol address.
    pub sender: Ipv4Addr,
    /// Target protocol address.
    pub target: Ipv4Addr,
}

impl ArpHook {
    /// True when the rule drops the frame.
    #[must_use]
    pub fn drops(&self, frame: &HookFrame) -> bool {
        self.point == frame.point
            && self.dev.is_none_or(|d| names(d, frame.dev))
            && self.op.is_none_or(|o| o == frame.op)
            && self.sender.is_none_or(|s| s == frame.sender)
            && self.target.is_none_or(|t| t == frame.target)
    }
}
