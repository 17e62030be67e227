//! An interface of a network namespace and its addresses.

use super::conf::{Conf4Set, Conf6Set, NeighSet};
use super::route::RtScope;
use crate::addr::{IfName, Mac};
use crate::host::apply::mutation::Family;
use ipnet::{Ipv4Net, Ipv6Net};
use smallvec::SmallVec;
use std::net::Ipv4Addr;

/// An interface's number within its namespace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct IfIndex(pub u32);

/// What a device is, as far as ARP cares.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LinkKind {
    /// `lo`: no ARP, always has carrier.
    Loopback,
    /// One end of a veth pair.
    Veth,
    /// A bridge; its ports give up their frames to it.
    Bridge,
    /// Anything else with Ethernet framing: a NIC, a TAP.
    Ethernet,
}

/// What happened to an interface of the host's namespace, as a netlink listener there sees it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum LinkEvent {
    /// It appeared, down.
    New,
    /// IFF_RUNNING: administratively up, with carrier.
    Running,
    /// Not running any more.
    Stopped,
    /// It is gone.
    Gone,
    /// Its MAC changed.
    Address,
}

impl LinkEvent {
    /// What a listener hears when IFF_RUNNING of an interface (administratively up, with carrier)
    /// is no longer what it was; `None` stands for an interface that is not there.
    #[must_use]
    pub fn between(before: Option<bool>, now: Option<bool>) -> Option<LinkEvent> {
        match (before, now) {
            (None, Some(_)) => Some(LinkEvent::New),
            (Some(_), None) => Some(LinkEvent::Gone),
            (Some(false), Some(true)) => Some(LinkEvent::Running),
            (Some(true), Some(false)) => Some(LinkEvent::Stopped),
            _ => None,
        }
    }
}

/// How an interface got its MAC (`/sys/class/net/*/addr_assign_type`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AddrAssign {
    /// 1: drawn at random by the kernel; udev's MACAddressPolicy=persistent replaces it.
    Random,
    /// 3: set from user space; udev leaves it alone.
    Set,
}

/// An IPv4 address of an interface (struct in_ifaddr).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Ifa4 {
    /// Address and prefix length.
    pub net: Ipv4Net,
    /// Scope; `host` addresses are not announced to others.
    pub scope: RtScope,
    /// A second address of a subnet that already has one.
    pub secondary: bool,
    /// The broadcast address, when one was given.
    pub broadcast: Option<Ipv4Addr>,
    /// The far end, when there is one: it is its prefix that is on the link (ifa_address).
    pub peer: Option<Ipv4Addr>,
    /// No route to the prefix comes with it (IFA_F_NOPREFIXROUTE).
    pub noprefixroute: bool,
    /// Preference of the route to the prefix (ifa_rt_priority).
    pub metric: u32,
}

impl Ifa4 {
    /// The prefix that it puts on the link, with the address that it is taken from.
    #[must_use]
    pub fn on_link(&self) -> Ipv4Net {
        self.peer.map_or(self.net, |peer| Ipv4Net::new_assert(peer, self.net.prefix_len()))
    }

    /// Whether an address lies in the prefix that it puts on the link (inet_ifa_match).
    #[must_use]
    pub fn contains(&self, ip: Ipv4Addr) -> bool {
        self.on_link().contains(&ip)
    }

    /// The same address of the same prefix.
    #[must_use]
    pub fn is(&self, other: &Ifa4) -> bool {
        (self.net, self.peer) == (other.net, other.peer)
    }
}

/// An IPv6 address of an interface (struct inet6_ifaddr).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Ifa6 {
    /// Address and prefix length.
    pub net: Ipv6Net,
    /// Duplicate address detection has not ended: nothing is answered for it (RFC 4862 5.4).
    pub tentative: bool,
    /// Duplicate address detection found another owner.
    pub dad_failed: bool,
    /// Added with `nodad`.
    pub nodad: bool,
}

/// An interface.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Link {
    pub(in crate::host) index: IfIndex,
    pub(in crate::host) name: IfName,
    pub(in crate::host) kind: LinkKind,
    pub(in crate::host) mac: Mac,
    pub(in crate::host) addr_assign: AddrAssign,
    pub(in crate::host) up: bool,
    pub(in crate::host) carrier: bool,
    pub(in crate::host) noarp: bool,
    pub(in crate::host) promisc: bool,
    pub(in crate::host) master: Option<IfIndex>,
    pub(in crate::host) addrs: SmallVec<[Ifa4; 1]>,
    pub(in crate::host) addrs6: SmallVec<[Ifa6; 1]>,
    pub(in crate::host) conf4: Conf4Set,
    pub(in crate::host) conf6: Conf6Set,
    pub(in crate::host) neigh4: NeighSet,
    pub(in crate::host) neigh6: NeighSet,
    /// Keys that were given a value of their own, one bit each: a write to `default` passes
    /// over them (ipv4_devconf.state, neigh_parms.data_state).
    pub(in crate::host) given4: u32,
    pub(in crate::host) given_neigh4: u32,
    pub(in crate::host) given_neigh6: u32,
    pub(in crate::host) ready6: bool,
    pub(in crate::host) delayed: u32,
    pub(in crate::host) delayed6: u32,
}

impl Link {
    pub(in crate::host) fn delayed_mut(&mut self, family: Family) -> &mut u32 {
        match family {
            Family::Inet => &mut self.delayed,
            Family::Inet6 => &mut self.delayed6,
        }
    }
    /// Its number.
    #[must_use]
    pub fn index(&self) -> IfIndex {
        self.index
    }
    /// Its name.
    #[must_use]
    pub fn name(&self) -> IfName {
        self.name
    }
    /// What it is.
    #[must_use]
    pub fn kind(&self) -> LinkKind {
        self.kind
    }
    /// Its hardware address.
    #[must_use]
    pub fn mac(&self) -> Mac {
        self.mac
    }
    /// Where the hardware address came from.
    #[must_use]
    pub fn addr_assign(&self) -> AddrAssign {
        self.addr_assign
    }
    /// IFF_UP: administratively up.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.up
    }
    /// Whether the kernel has noticed a carrier. With [`Link::is_up`] this is "oper up".
    #[must_use]
    pub fn has_carrier(&self) -> bool {
        self.carrier
    }
    /// IFF_NOARP.
    #[must_use]
    pub fn is_noarp(&self) -> bool {
        self.noarp
    }
    /// IFF_PROMISC. Changes nothing for ARP: a frame for another MAC stays one.
    #[must_use]
    pub fn is_promisc(&self) -> bool {
        self.promisc
    }
    /// The bridge this is a port of.
    #[must_use]
    pub fn master(&self) -> Option<IfIndex> {
        self.master
    }
    /// Its IPv4 addresses, primaries before their secondaries.
    #[must_use]
    pub fn addrs(&self) -> &[Ifa4] {
        &self.addrs
    }
    /// Its IPv6 addresses.
    #[must_use]
    pub fn addrs6(&self) -> &[Ifa6] {
        &self.addrs6
    }
    /// Its IPv4 switches.
    #[must_use]
    pub fn conf4(&self) -> &Conf4Set {
        &self.conf4
    }
    /// Its IPv6 switches.
    #[must_use]
    pub fn conf6(&self) -> &Conf6Set {
        &self.conf6
    }
    /// Its ARP parameters.
    #[must_use]
    pub fn neigh4(&self) -> &NeighSet {
        &self.neigh4
    }
    /// Its neighbour-discovery parameters.
    #[must_use]
    pub fn neigh6(&self) -> &NeighSet {
        &self.neigh6
    }
    /// IF_READY: IPv6 has started here.
    #[must_use]
    pub fn is_ipv6_started(&self) -> bool {
        self.ready6
    }
    /// Proxied ARP requests of this interface that wait out `proxy_delay` now.
    #[must_use]
    pub fn delayed_requests(&self) -> u32 {
        self.delayed
    }
    /// Proxied solicitations of this interface that wait out `proxy_delay` now.
    #[must_use]
    pub fn delayed_solicits(&self) -> u32 {
        self.delayed6
    }
}
