//! Changes to a namespace: the only way into [`HostState`](crate::host::HostState), and at the same
//! time what the live lab plays on a real kernel and what a scenario file writes as commands.

pub use super::spec::{AddrDelBy, AddrTerms, HopSpec, RouteFilter, RouteSpec, RuleSpec};
use crate::addr::{IfName, Mac};
use crate::host::state::conf::SysctlKey;
use crate::host::state::hook::HookPoint;
use crate::host::state::link::{IfIndex, LinkKind};
use crate::host::state::route::RtScope;
use ipnet::{IpNet, Ipv6Net};
use smallvec::SmallVec;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whose table: ARP and neighbour discovery keep apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Family {
    /// IPv4, ARP.
    Inet,
    /// IPv6, neighbour discovery.
    Inet6,
}

/// Add, put in the place of, or delete.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Op {
    /// Fails when it exists.
    Add,
    /// Makes it so, whether it exists or not.
    Replace,
    /// Fails when it does not exist; makes it so when it does.
    Change,
    /// A route more, behind those of its prefix and metric; fails when there is just such a one.
    Append,
    /// A route more, before those of its prefix and metric; fails when there is just such a one.
    Prepend,
    /// Fails when it does not exist.
    Del,
}

/// A change of an interface's attributes (`ip link set`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LinkChange {
    /// Administratively up or down.
    Up(bool),
    /// Hardware address.
    Address(Mac),
    /// IFF_NOARP off or on (`arp on`, `arp off`).
    Arp(bool),
    /// Promiscuous mode.
    Promisc(bool),
    /// Port of that bridge, or of none.
    Master(Option<IfName>),
    /// Carrier, as the kernel has noticed it. Not a command of iproute2 for a veth: there it
    /// follows from the other end.
    Carrier(bool),
    /// Another name.
    Name(IfName),
}

/// The state a neighbour entry is set to by hand (`ip neigh ... nud`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum SetNud {
    /// Never changes by itself.
    Permanent,
    /// Never asks.
    Noarp,
    /// As if just confirmed.
    Reachable,
    /// As if long unused.
    Stale,
    /// To be confirmed soon.
    Delay,
    /// To be confirmed now.
    Probe,
    /// As if resolution had failed.
    Failed,
}

impl SetNud {
    /// The word `ip neigh` uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            SetNud::Permanent => "permanent",
            SetNud::Noarp => "noarp",
            SetNud::Reachable => "reachable",
            SetNud::Stale => "stale",
            SetNud::Delay => "delay",
            SetNud::Probe => "probe",
            SetNud::Failed => "failed",
        }
    }
    /// The state of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<SetNud> {
        use SetNud::{Delay, Failed, Noarp, Permanent, Probe, Reachable, Stale};
        [Permanent, Noarp, Reachable, Stale, Delay, Probe, Failed].into_iter().find(|n| n.name() == name)
    }
}

/// A netfilter rule that drops ARP frames, by interface name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct HookSpec {
    /// Input or output.
    pub point: HookPoint,
    /// Interface.
    pub dev: Option<IfName>,
    /// ARP operation.
    pub op: Option<u16>,
    /// Sender protocol address.
    pub sender: Option<Ipv4Addr>,
    /// Target protocol address.
    pub target: Option<Ipv4Addr>,
}

/// A change to a namespace.
///
/// It reads from and prints as the command that an operator would type; see
/// [`command`](crate::host::command).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Mutation {
    /// A write below `/proc/sys`.
    Sysctl {
        /// The switch, as below `net.`.
        key: SysctlKey,
        /// What is written.
        value: i32,
    },
    /// A new interface. The two ends of a veth pair are two such changes, one per namespace.
    LinkAdd {
        /// The name of the new interface.
        name: IfName,
        /// What it is.
        kind: LinkKind,
        /// Its MAC; drawn by the kernel (and marked as such) when none is given.
        mac: Option<Mac>,
    },
    /// An interface goes away.
    LinkDel {
        /// The interface, by its name.
        dev: IfName,
    },
    /// An attribute of an interface.
    LinkSet {
        /// The interface, by its name.
        dev: IfName,
        /// What becomes of it.
        change: LinkChange,
    },
    /// An address is added.
    AddrAdd {
        /// Interface.
        dev: IfName,
        /// Address and prefix length.
        net: IpNet,
        /// Scope; global when none is given.
        scope: Option<RtScope>,
        /// IPv6: use it at once.
        nodad: bool,
        /// IPv4 broadcast address.
        broadcast: Option<Ipv4Addr>,
        /// What else is said of it.
        terms: AddrTerms,
    },
    /// An address is removed.
    AddrDel {
        /// Interface.
        dev: IfName,
        /// Address and prefix length.
        net: IpNet,
        /// Which of those with that address.
        by: AddrDelBy,
    },
    /// A route.
    Route {
        /// Add, replace, delete.
        op: Op,
        /// The route; for a deletion as much as tells it apart.
        spec: RouteSpec,
    },
    /// All of an interface's addresses go, one after the other.
    AddrFlush {
        /// Interface.
        dev: IfName,
        /// Those of one family only.
        family: Option<Family>,
    },
    /// Routes go.
    RouteFlush(RouteFilter),
    /// A policy rule.
    Rule {
        /// Add or delete.
        op: Op,
        /// The rule; for a deletion as much as tells it apart.
        rule: RuleSpec,
    },
    /// All policy rules go but those of priority 0.
    RuleFlush(Family),
    /// A neighbour entry.
    Neigh {
        /// Add, replace, delete.
        op: Op,
        /// Interface.
        dev: IfName,
        /// Neighbour's address.
        ip: IpAddr,
        /// Neighbour's MAC.
        lladdr: Option<Mac>,
        /// State.
        nud: SetNud,
        /// Marked as an agent's (NTF_EXT_LEARNED), which the kernel does not collect.
        extern_learn: bool,
    },
    /// Every entry of an interface but PERMANENT and NOARP ones is removed.
    NeighFlush {
        /// Interface.
        dev: IfName,
    },
    /// A proxy entry.
    Proxy {
        /// Add or delete.
        op: Op,
        /// Interface.
        dev: IfName,
        /// Address answered for.
        ip: IpAddr,
    },
    /// A netfilter ARP rule.
    Hook {
        /// Add or delete.
        op: Op,
        /// What is dropped, and at which hook.
        hook: HookSpec,
    },
    /// So many neighbour entries exist in other namespaces of this kernel.
    NeighboursElsewhere(u32),
    /// What the kernel does of its own accord after some time.
    Kernel(KernelChange),
}

impl Mutation {
    /// True for an interface that goes down, loses its carrier or goes away: `neigh_ifdown()` runs,
    /// and throws away every answer that waits in the namespace.
    #[must_use]
    pub fn takes_down(&self) -> bool {
        matches!(
            self,
            Mutation::LinkDel { .. }
                | Mutation::LinkSet { change: LinkChange::Up(false) | LinkChange::Carrier(false), .. }
        )
    }

    /// True for a change that says something of that interface, by its name.
    #[must_use]
    pub fn names(&self, name: IfName) -> bool {
        match self {
            Mutation::Sysctl { key, .. } => key.device() == Some(name),
            Mutation::LinkAdd { name: dev, .. }
            | Mutation::LinkDel { dev }
            | Mutation::AddrAdd { dev, .. }
            | Mutation::AddrDel { dev, .. }
            | Mutation::AddrFlush { dev, .. }
            | Mutation::Neigh { dev, .. }
            | Mutation::NeighFlush { dev }
            | Mutation::Proxy { dev, .. }
            | Mutation::Kernel(KernelChange::DadDone(dev, _) | KernelChange::DadFailed(dev, _)) => {
                *dev == name
            }
            Mutation::LinkSet { dev, change } => {
                let other = match change {
                    LinkChange::Master(port_of) => *port_of,
                    LinkChange::Name(new) => Some(*new),
                    _ => None,
                };
                *dev == name || other == Some(name)
            }
            Mutation::Route { spec, .. } => spec.hops.iter().any(|hop| hop.dev == Some(name)),
            Mutation::Rule { rule, .. } => rule.iif == Some(name),
            Mutation::RouteFlush(filter) => filter.dev == Some(name),
            Mutation::Hook { hook, .. } => hook.dev == Some(name),
            Mutation::RuleFlush(_) | Mutation::NeighboursElsewhere(_) => false,
        }
    }
}

/// Changes that no command makes: the kernel's own, when their time has come.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum KernelChange {
    /// Duplicate address detection ended without a rival.
    DadDone(IfName, Ipv6Net),
    /// Duplicate address detection met a rival.
    DadFailed(IfName, Ipv6Net),
}

/// What a change sets off beyond the state itself; the owner of the namespace's neighbour
/// tables and queues acts on it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Effect {
    /// The interface is new.
    LinkNew(IfIndex),
    /// The interface came up (administratively).
    LinkUp(IfIndex),
    /// The interface went down (administratively).
    LinkDown(IfIndex),
    /// The interface is gone.
    LinkGone(IfIndex),
    /// The kernel noticed a change of the carrier.
    Carrier(IfIndex, bool),
    /// The hardware address changed.
    MacChanged(IfIndex),
    /// The neighbour entries of the interface and family go; PERMANENT ones too if the flag says
    /// so.
    NeighFlush(IfIndex, Family, bool),
    /// All proxied requests of the family that wait in this namespace are discarded
    /// (pneigh_queue_purge).
    PurgeDelayed(Family),
    /// A neighbour entry is set by hand; the flag: as an agent's.
    NeighSet(IfIndex, IpAddr, Option<Mac>, SetNud, bool),
    /// A neighbour entry is removed by hand.
    NeighDel(IfIndex, IpAddr),
    /// Every entry of the interface but PERMANENT and NOARP ones is removed by hand, one by one.
    NeighSweep(IfIndex),
    /// The interface announces an address (arp_notify).
    Announce(IfIndex, Ipv4Addr),
    /// The interface announces an IPv6 address (ndisc_notify).
    Announce6(IfIndex, Ipv6Addr),
    /// An IPv6 address is tested for duplicates from now on.
    DadStart(IfIndex, Ipv6Net),
}

/// The effects of one change.
pub type Effects = SmallVec<[Effect; 4]>;

/// The kernel's error numbers that a change can meet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
pub enum Errno {
    Enoent,
    Esrch,
    Eexist,
    Enodev,
    Einval,
    Eacces,
    Eaddrnotavail,
    Enetdown,
    Enetunreach,
    Ehostunreach,
    Eopnotsupp,
}

impl Errno {
    /// Name and meaning, as perror(3) gives it.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Errno::Enoent => "ENOENT (No such file or directory)",
            Errno::Esrch => "ESRCH (No such process)",
            Errno::Eexist => "EEXIST (File exists)",
            Errno::Enodev => "ENODEV (No such device)",
            Errno::Einval => "EINVAL (Invalid argument)",
            Errno::Eacces => "EACCES (Permission denied)",
            Errno::Eaddrnotavail => "EADDRNOTAVAIL (Cannot assign requested address)",
            Errno::Enetdown => "ENETDOWN (Network is down)",
            Errno::Enetunreach => "ENETUNREACH (Network is unreachable)",
            Errno::Ehostunreach => "EHOSTUNREACH (No route to host)",
            Errno::Eopnotsupp => "EOPNOTSUPP (Operation not supported)",
        }
    }
    /// The number on Linux.
    #[must_use]
    pub const fn number(self) -> i32 {
        match self {
            Errno::Enoent => 2,
            Errno::Esrch => 3,
            Errno::Eexist => 17,
            Errno::Enodev => 19,
            Errno::Eacces => 13,
            Errno::Einval => 22,
            Errno::Eopnotsupp => 95,
            Errno::Eaddrnotavail => 99,
            Errno::Enetdown => 100,
            Errno::Enetunreach => 101,
            Errno::Ehostunreach => 113,
        }
    }
}

/// A change the kernel would refuse; the state is as it was.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[error("`{command}` is refused with {}: {why}", errno.text())]
pub struct Refused {
    /// The change as a command.
    pub command: String,
    /// The kernel's error.
    pub errno: Errno,
    /// What the kernel found wrong.
    pub why: &'static str,
}
