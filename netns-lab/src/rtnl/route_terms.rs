//! The words in which routes are described, and the kernel's numbers for them.

use std::fmt;

/// Numbers of the routing tables that every namespace has.
pub mod table {
    /// The table `main`, where routes go unless said otherwise.
    pub const MAIN: u32 = 254;
    /// The table `default`, empty and looked at last.
    pub const DEFAULT: u32 = 253;
    /// The table `local`, the kernel's own, looked at first.
    pub const LOCAL: u32 = 255;
}

/// How far an address or a route reaches (`RT_SCOPE_*`); see ip-address(8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Everywhere (`RT_SCOPE_UNIVERSE`).
    Global,
    /// Within a site (IPv6, obsolete).
    Site,
    /// On this link.
    Link,
    /// In this host.
    Host,
    /// Nowhere; in a deletion, any.
    Nowhere,
    /// Another number.
    Other(u8),
}

impl From<u8> for Scope {
    fn from(scope: u8) -> Self {
        match scope {
            0 => Self::Global,
            200 => Self::Site,
            253 => Self::Link,
            254 => Self::Host,
            255 => Self::Nowhere,
            other => Self::Other(other),
        }
    }
}

impl From<Scope> for u8 {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Global => 0,
            Scope::Site => 200,
            Scope::Link => 253,
            Scope::Host => 254,
            Scope::Nowhere => 255,
            Scope::Other(other) => other,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Global => "global",
            Self::Site => "site",
            Self::Link => "link",
            Self::Host => "host",
            Self::Nowhere => "nowhere",
            Self::Other(other) => return write!(f, "{other}"),
        })
    }
}

/// What a route does with a packet (`RTN_*`); see ip-route(8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RouteKind {
    /// Sends it on.
    Unicast,
    /// Delivers it in this host.
    Local,
    /// Sends it as a link broadcast.
    Broadcast,
    /// Delivers it here, as one of several hosts of that address (IPv6).
    Anycast,
    /// Sends it as multicast; kernel-made (IPv6).
    Multicast,
    /// Drops it without a word.
    Blackhole,
    /// Answers "host unreachable".
    Unreachable,
    /// Answers "communication administratively prohibited".
    Prohibit,
    /// Ends the search in this table, and goes on with the next rule.
    Throw,
    /// Another number.
    Other(u8),
}

impl RouteKind {
    const NAMED: [(Self, u8, &'static str); 9] = [
        (Self::Unicast, 1, "unicast"),
        (Self::Local, 2, "local"),
        (Self::Broadcast, 3, "broadcast"),
        (Self::Anycast, 4, "anycast"),
        (Self::Multicast, 5, "multicast"),
        (Self::Blackhole, 6, "blackhole"),
        (Self::Unreachable, 7, "unreachable"),
        (Self::Prohibit, 8, "prohibit"),
        (Self::Throw, 9, "throw"),
    ];
}

impl From<u8> for RouteKind {
    fn from(kind: u8) -> Self {
        Self::NAMED.iter().find(|(_, number, _)| *number == kind).map_or(Self::Other(kind), |named| named.0)
    }
}

impl From<RouteKind> for u8 {
    fn from(kind: RouteKind) -> Self {
        match kind {
            RouteKind::Other(number) => number,
            named => RouteKind::NAMED.iter().find(|(one, ..)| *one == named).map_or(0, |found| found.1),
        }
    }
}

impl fmt::Display for RouteKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMED.iter().find(|(one, ..)| one == self) {
            Some((_, _, name)) => f.write_str(name),
            None => write!(f, "{}", u8::from(*self)),
        }
    }
}

/// Who made a route (`RTPROT_*`), as in /etc/iproute2/rt_protos.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RouteProtocol(pub u8);

impl RouteProtocol {
    /// The kernel, for an address.
    pub const KERNEL: Self = Self(2);
    /// Somebody with ip(8) who did not say; also Calico's CNI plugin.
    pub const BOOT: Self = Self(3);
    /// The administrator.
    pub const STATIC: Self = Self(4);
    /// A router advertisement.
    pub const RA: Self = Self(9);
    /// The routing daemon BIRD.
    pub const BIRD: Self = Self(12);
    /// A DHCP client.
    pub const DHCP: Self = Self(16);
}

impl fmt::Display for RouteProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::KERNEL => "kernel",
            Self::BOOT => "boot",
            Self::STATIC => "static",
            Self::RA => "ra",
            Self::BIRD => "bird",
            Self::DHCP => "dhcp",
            Self(other) => return write!(f, "{other}"),
        })
    }
}
