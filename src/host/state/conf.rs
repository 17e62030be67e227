//! The kernel's per-interface switches: `net.ipv4.conf`, `net.ipv4.neigh` and their IPv6
//! twins, each as a small array indexed by name, so that a state copies and compares cheaply.

use crate::addr::IfName;
use core::fmt;
use core::str::FromStr;

macro_rules! conf_set {
    (
        $(#[$doc:meta])* $set:ident, $(#[$edoc:meta])* $key:ident {
            $($(#[$vdoc:meta])* $variant:ident = $text:literal, $default:literal;)*
        }
    ) => {
        $(#[$edoc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum $key { $($(#[$vdoc])* $variant,)* }

        impl $key {
            /// Every key, in the order of declaration.
            pub const ALL: &'static [$key] = &[$($key::$variant,)*];
            /// The file's name below its interface directory in `/proc/sys`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $($key::$variant => $text,)* }
            }
            /// The value an untouched kernel gives a new interface.
            #[must_use]
            pub const fn kernel_default(self) -> i32 {
                match self { $($key::$variant => $default,)* }
            }
            /// The key of that name.
            #[must_use]
            pub fn by_name(name: &str) -> Option<$key> {
                Self::ALL.iter().copied().find(|k| k.name() == name)
            }
        }

        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub struct $set([i32; $key::ALL.len()]);

        impl $set {
            /// The values of an untouched kernel.
            pub const KERNEL: $set = $set([$($default,)*]);
            /// The value of one key.
            #[must_use]
            pub const fn get(&self, key: $key) -> i32 {
                self.0[key as usize]
            }
            pub(in crate::host) fn set(&mut self, key: $key, value: i32) {
                self.0[key as usize] = value;
            }
        }
    };
}

conf_set! {
    /// `net.ipv4.conf.<interface>` (struct ipv4_devconf).
    Conf4Set,
    /// A key of `net.ipv4.conf.<interface>` (Documentation/networking/ip-sysctl.rst).
    Conf4 {
        /// Route packets that arrive here; without it proxy ARP is off too. Per interface only.
        Forwarding = "forwarding", 0;
        /// Answer ARP for routed targets. On if set here or in `all`.
        ProxyArp = "proxy_arp", 0;
        /// Answer ARP for targets routed back out of the same interface (RFC 3069). Here or `all`.
        ProxyArpPvlan = "proxy_arp_pvlan", 0;
        /// Reverse path check: 0 none, 1 strict, 2 loose. The larger of here and `all` counts.
        RpFilter = "rp_filter", 0;
        /// Which local addresses are answered for (0 to 8). The larger of here and `all`.
        ArpIgnore = "arp_ignore", 0;
        /// Answer for local addresses only where the way back leads. Here or `all`.
        ArpFilter = "arp_filter", 0;
        /// Make entries from gratuitous frames: 0 no, 1 yes, 2 same subnet. The larger of both.
        ArpAccept = "arp_accept", 0;
        /// Which source address own requests carry. The larger of both.
        ArpAnnounce = "arp_announce", 0;
        /// Announce own addresses when the device comes up or changes its MAC. The larger of both.
        ArpNotify = "arp_notify", 0;
        /// Drop neighbour entries when the carrier goes. Here and `all`.
        ArpEvictNocarrier = "arp_evict_nocarrier", 1;
        /// Treat 127/8 as routable. Here or `all`.
        RouteLocalnet = "route_localnet", 0;
        /// The medium this device is attached to; −1 takes no part in proxy ARP. Here only.
        MediumId = "medium_id", 0;
        /// Ignore frames whose sender and target addresses are equal. Here or `all`.
        DropGratuitousArp = "drop_gratuitous_arp", 0;
        /// Accept packets whose source is one of our own addresses. Here or `all`.
        AcceptLocal = "accept_local", 0;
        /// Pass over routes whose device has no carrier. Here or `all`.
        IgnoreRoutesWithLinkdown = "ignore_routes_with_linkdown", 0;
        /// Send ICMP redirects; matters to ARP because it widens the source check when a packet
        /// would leave by the interface it came in by.
        SendRedirects = "send_redirects", 1;
        /// Use the packet's mark in the reverse lookup. Here or `all`.
        SrcValidMark = "src_valid_mark", 0;
        /// Route directed broadcasts. Here and `all`.
        BcForwarding = "bc_forwarding", 0;
        /// A secondary address takes the place of a removed primary. Here or `all`.
        PromoteSecondaries = "promote_secondaries", 0;
    }
}

conf_set! {
    /// `net.ipv6.conf.<interface>` (struct ipv6_devconf), the part neighbour discovery reads.
    Conf6Set,
    /// A key of `net.ipv6.conf.<interface>`.
    Conf6 {
        /// Act as a router; sets the R flag of advertisements.
        Forwarding = "forwarding", 0;
        /// Answer solicitations for explicit proxy entries. On if set here or in `all`.
        ProxyNdp = "proxy_ndp", 0;
        /// Detect duplicate addresses: the larger of here and `all` counts.
        AcceptDad = "accept_dad", 1;
        /// Solicitations sent before an address is used.
        DadTransmits = "dad_transmits", 1;
        /// No IPv6 on this interface.
        DisableIpv6 = "disable_ipv6", 0;
        /// Take router advertisements.
        AcceptRa = "accept_ra", 1;
        /// Announce a changed address or a device that came up.
        NdiscNotify = "ndisc_notify", 0;
        /// Drop neighbour entries when the carrier goes. Here and `all`.
        NdiscEvictNocarrier = "ndisc_evict_nocarrier", 1;
        /// Make entries from unsolicited advertisements (RFC 9131).
        AcceptUntrackedNa = "accept_untracked_na", 0;
        /// Ignore advertisements that answer no solicitation.
        DropUnsolicitedNa = "drop_unsolicited_na", 0;
    }
}

impl Conf6Set {
    /// `all` in an untouched kernel asks for no test for duplicates (ipv6_devconf).
    #[must_use]
    pub fn kernel_all() -> Conf6Set {
        let mut set = Conf6Set::KERNEL;
        set.set(Conf6::AcceptDad, 0);
        set
    }
}

conf_set! {
    /// `net.ipv4.neigh.<interface>` or `net.ipv6.neigh.<interface>` (struct neigh_parms).
    NeighSet,
    /// A key of `net.ipv4.neigh.<interface>` or `net.ipv6.neigh.<interface>`.
    NeighVar {
        /// Broadcast (multicast) requests before giving up.
        McastSolicit = "mcast_solicit", 3;
        /// Unicast requests in PROBE.
        UcastSolicit = "ucast_solicit", 3;
        /// Requests handed to a user-space daemon first.
        AppSolicit = "app_solicit", 0;
        /// Broadcast requests after the unicast ones of PROBE failed.
        McastResolicit = "mcast_resolicit", 0;
        /// Time between requests, milliseconds.
        RetransTimeMs = "retrans_time_ms", 1000;
        /// Mean of the time an entry stays REACHABLE, milliseconds.
        BaseReachableTimeMs = "base_reachable_time_ms", 30000;
        /// Length of DELAY, seconds.
        DelayFirstProbeTime = "delay_first_probe_time", 5;
        /// Unused entries older than this may be collected, seconds.
        GcStaleTime = "gc_stale_time", 60;
        /// Bytes of packets that may wait for one entry.
        UnresQlenBytes = "unres_qlen_bytes", 212_992;
        /// Longest wait before a proxied request is answered, in 1/100 s.
        ProxyDelay = "proxy_delay", 80;
        /// Proxied requests that may wait per interface; one more fits (pneigh_enqueue tests `>`).
        ProxyQlen = "proxy_qlen", 64;
        /// A changed MAC is refused for so long after the last change, in 1/100 s.
        Locktime = "locktime", 100;
    }
}

impl NeighSet {
    /// The IPv6 table differs in one default: `locktime` is 0 (nd_tbl, net/ipv6/ndisc.c).
    #[must_use]
    pub fn kernel6() -> NeighSet {
        let mut set = NeighSet::KERNEL;
        set.set(NeighVar::Locktime, 0);
        set
    }
}

/// Which interface's switches a key speaks of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Scope {
    /// `all`: combined with the interface's own value, by a rule that differs per key.
    All,
    /// `default`: what interfaces created later start with.
    Default,
    /// One interface.
    Dev(IfName),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::All => f.write_str("all"),
            Scope::Default => f.write_str("default"),
            // sysctl(8) writes a dot inside an interface name as a slash
            Scope::Dev(d) => f.write_str(&d.as_str().replace('.', "/")),
        }
    }
}

/// A namespace-wide switch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Global {
    /// `net.ipv4.ip_forward`, another name of `net.ipv4.conf.all.forwarding`.
    IpForward,
    /// `net.ipv4.tcp_syn_linear_timeouts` (kernel 6.5 on): SYN retransmissions before back-off starts.
    TcpSynLinearTimeouts,
    /// `net.ipv4.tcp_syn_retries`.
    TcpSynRetries,
    /// `net.ipv4.icmp_msgs_per_sec`.
    IcmpMsgsPerSec,
    /// `net.ipv4.icmp_msgs_burst`.
    IcmpMsgsBurst,
    /// `net.ipv4.neigh.default.gc_thresh1`; kernel-wide.
    GcThresh1,
    /// `net.ipv4.neigh.default.gc_thresh2`; kernel-wide.
    GcThresh2,
    /// `net.ipv4.neigh.default.gc_thresh3`; kernel-wide.
    GcThresh3,
}

impl Global {
    /// Every key.
    pub const ALL: &'static [Global] = &[
        Global::IpForward,
        Global::TcpSynLinearTimeouts,
        Global::TcpSynRetries,
        Global::IcmpMsgsPerSec,
        Global::IcmpMsgsBurst,
        Global::GcThresh1,
        Global::GcThresh2,
        Global::GcThresh3,
    ];

    /// Those that are the kernel's and not a namespace's.
    pub const OF_KERNEL: [Global; 3] = [Global::GcThresh1, Global::GcThresh2, Global::GcThresh3];

    /// The full dotted name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Global::IpForward => "net.ipv4.ip_forward",
            Global::TcpSynLinearTimeouts => "net.ipv4.tcp_syn_linear_timeouts",
            Global::TcpSynRetries => "net.ipv4.tcp_syn_retries",
            Global::IcmpMsgsPerSec => "net.ipv4.icmp_msgs_per_sec",
            Global::IcmpMsgsBurst => "net.ipv4.icmp_msgs_burst",
            Global::GcThresh1 => "net.ipv4.neigh.default.gc_thresh1",
            Global::GcThresh2 => "net.ipv4.neigh.default.gc_thresh2",
            Global::GcThresh3 => "net.ipv4.neigh.default.gc_thresh3",
        }
    }

    /// The value of an untouched 6.5 or later kernel.
    #[must_use]
    pub const fn kernel_default(self) -> i32 {
        match self {
            Global::IpForward => 0,
            Global::TcpSynLinearTimeouts => 4,
            Global::TcpSynRetries => 6,
            Global::IcmpMsgsPerSec => 1000,
            Global::IcmpMsgsBurst => 50,
            Global::GcThresh1 => 128,
            Global::GcThresh2 => 512,
            Global::GcThresh3 => 1024,
        }
    }
}

/// A sysctl this model knows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum SysctlKey {
    /// `net.ipv4.conf.SCOPE.KEY`
    Conf4(Scope, Conf4),
    /// `net.ipv6.conf.SCOPE.KEY`
    Conf6(Scope, Conf6),
    /// `net.ipv4.neigh.SCOPE.KEY`
    Neigh4(Scope, NeighVar),
    /// `net.ipv6.neigh.SCOPE.KEY`
    Neigh6(Scope, NeighVar),
    /// A namespace-wide key.
    Global(Global),
}

impl SysctlKey {
    /// The interface the key is of, when it is of one.
    #[must_use]
    pub fn device(&self) -> Option<IfName> {
        match self {
            SysctlKey::Conf4(Scope::Dev(d), _)
            | SysctlKey::Conf6(Scope::Dev(d), _)
            | SysctlKey::Neigh4(Scope::Dev(d), _)
            | SysctlKey::Neigh6(Scope::Dev(d), _) => Some(*d),
            _ => None,
        }
    }

    /// The path below `/proc/sys`, in which an interface name keeps its dots.
    #[must_use]
    pub fn path(&self) -> String {
        fn dir(s: &Scope) -> String {
            match s {
                Scope::Dev(d) => d.to_string(),
                other => other.to_string(),
            }
        }
        match self {
            SysctlKey::Conf4(s, k) => format!("net/ipv4/conf/{}/{}", dir(s), k.name()),
            SysctlKey::Conf6(s, k) => format!("net/ipv6/conf/{}/{}", dir(s), k.name()),
            SysctlKey::Neigh4(s, k) => format!("net/ipv4/neigh/{}/{}", dir(s), k.name()),
            SysctlKey::Neigh6(s, k) => format!("net/ipv6/neigh/{}/{}", dir(s), k.name()),
            SysctlKey::Global(g) => g.name().replace('.', "/"),
        }
    }
}

impl fmt::Display for SysctlKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SysctlKey::Conf4(s, k) => write!(f, "net.ipv4.conf.{s}.{}", k.name()),
            SysctlKey::Conf6(s, k) => write!(f, "net.ipv6.conf.{s}.{}", k.name()),
            SysctlKey::Neigh4(s, k) => write!(f, "net.ipv4.neigh.{s}.{}", k.name()),
            SysctlKey::Neigh6(s, k) => write!(f, "net.ipv6.neigh.{s}.{}", k.name()),
            SysctlKey::Global(g) => f.write_str(g.name()),
        }
    }
}

/// Why a text is no sysctl that the model knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown sysctl {key:?}: {why}")]
pub struct SysctlKeyError {
    /// The text.
    pub key: String,
    /// What is wrong with it.
    pub why: String,
}

impl FromStr for SysctlKey {
    type Err = SysctlKeyError;

    /// Accepts both spellings of sysctl(8): dots, or slashes as in a path below `/proc/sys`.
    fn from_str(text: &str) -> Result<Self, SysctlKeyError> {
        let fail = |why: &str| SysctlKeyError { key: text.to_owned(), why: why.to_owned() };
        let slashed = text.find(['/', '.']).is_some_and(|i| text.as_bytes()[i] == b'/');
        let text = if slashed { text.trim_start_matches("/proc/sys/") } else { text };
        let separator = if slashed { '/' } else { '.' };
        let dotted = text.replace(separator, "\n").replace(if slashed { '.' } else { '/' }, "\t");
        let parts: Vec<&str> = dotted.split('\n').collect();
        let plain = parts.join(".");
        if let Some(g) = Global::ALL.iter().find(|g| g.name() == plain) {
            return Ok(SysctlKey::Global(*g));
        }
        let [first, family, area, scope, key] = parts[..] else {
            return Err(fail("net.<ipv4|ipv6>.<conf|neigh>.<interface>.<key> is wanted"));
        };
        let scope = match scope {
            "all" => Scope::All,
            "default" => Scope::Default,
            dev => Scope::Dev(dev.replace('\t', ".").parse().map_err(|_| fail("bad interface name"))?),
        };
        let unknown = || fail("the model has no such key; `arplab schema --sysctls` lists those it has");
        match (first, family, area) {
            ("net", "ipv4", "conf") => {
                Conf4::by_name(key).map(|k| SysctlKey::Conf4(scope, k)).ok_or_else(unknown)
            }
            ("net", "ipv6", "conf") => {
                Conf6::by_name(key).map(|k| SysctlKey::Conf6(scope, k)).ok_or_else(unknown)
            }
            ("net", "ipv4" | "ipv6", "neigh") if scope == Scope::All => {
                Err(fail("neigh has no `all`, only `default` and interfaces"))
            }
            ("net", "ipv4", "neigh") => {
                NeighVar::by_name(key).map(|k| SysctlKey::Neigh4(scope, k)).ok_or_else(unknown)
            }
            ("net", "ipv6", "neigh") => {
                NeighVar::by_name(key).map(|k| SysctlKey::Neigh6(scope, k)).ok_or_else(unknown)
            }
            _ => Err(unknown()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_print_and_parse_back() {
        for text in [
            "net.ipv4.conf.cali0.proxy_arp",
            "net.ipv4.conf.all.rp_filter",
            "net.ipv4.neigh.default.proxy_delay",
            "net.ipv6.conf.eth0.accept_dad",
            "net.ipv4.ip_forward",
            "net.ipv4.conf.eth0/100.forwarding",
            "net.ipv4.neigh.default.gc_thresh3",
        ] {
            assert_eq!(text.parse::<SysctlKey>().unwrap().to_string(), text);
        }
        let key: SysctlKey = "net/ipv4/conf/eth0.100/forwarding".parse().unwrap();
        assert_eq!(key.to_string(), "net.ipv4.conf.eth0/100.forwarding");
        assert_eq!(key.path(), "net/ipv4/conf/eth0.100/forwarding");
        for bad in ["", "net.ipv4", "net.ipv4.neigh.all.proxy_delay", "net.ipv4.conf.x.nope", "vm.swappiness"]
        {
            assert!(bad.parse::<SysctlKey>().is_err(), "{bad}");
        }
    }
}
