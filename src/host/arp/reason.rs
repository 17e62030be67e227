//! Why a request stays unanswered, as a value: the condition, what it met, and where to read on.

use crate::host::fib::FibMiss;
use crate::host::fib::input::{InputFault, SourceFault};
use crate::host::state::hook::HookPoint;
use crate::host::state::link::IfIndex;
use crate::host::state::route::RouteKind;
use crate::wire::FrameFault;
use core::fmt;
use std::net::Ipv4Addr;

/// The condition that kept a host silent. The kernel itself gives no reason: an unanswered
/// request counts as received with success there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reason {
    /// The frame never got as far as ARP.
    Frame(FrameFault),
    /// Not ARP and not IP.
    NotForUs {
        /// The type field.
        ethertype: u16,
    },
    /// There is no such interface (any more).
    NoInterface,
    /// The receiving interface is down.
    LinkDown,
    /// The link has no carrier: the frame never arrived.
    NoCarrier,
    /// The interface is a port of a bridge, which takes the frame.
    BridgePort,
    /// IFF_NOARP.
    NoArp,
    /// Sent to a unicast MAC that is not the interface's.
    OtherHost,
    /// A netfilter rule drops it.
    Filtered(HookPoint),
    /// Hardware type, protocol or operation that ARP does not take.
    Header {
        /// ar_hrd.
        hrd: u16,
        /// ar_pro.
        pro: u16,
        /// ar_op.
        op: u16,
    },
    /// The target is a group or a loopback address.
    TargetInvalid,
    /// drop_gratuitous_arp is on.
    GratuitousDropped,
    /// A reply or an announcement: not a question.
    NotARequest,
    /// A probe (sender 0.0.0.0) for an address that is not the host's own.
    ProbeNotLocal,
    /// arp_ignore forbids this local address here.
    ArpIgnore {
        /// The effective value.
        level: i32,
    },
    /// arp_filter: the way back leaves by another interface.
    ArpFilter,
    /// No way to the target, or the sender is not credible.
    Unroutable(InputFault),
    /// The target is a broadcast address of the host.
    TargetBroadcast,
    /// The way out is another interface, but nothing proxies here: proxy_arp is off and there is
    /// no proxy entry.
    ProxyArpOff,
    /// proxy_arp is on, but medium_id forbids it.
    MediumId {
        /// medium_id of the receiving interface.
        in_id: i32,
        /// medium_id of the outgoing one.
        out_id: i32,
    },
    /// The way out is the same interface, pvlan is on, and the sender asks for its own address.
    PvlanSelf,
    /// The queue of delayed answers is full.
    QueueFull {
        /// proxy_qlen.
        limit: i32,
    },
    /// The wait in the queue was cut short: an interface of the namespace went down.
    QueuePurged,
    /// The neighbour table is full, and a local address is answered only to a known sender.
    TableFull {
        /// gc_thresh3.
        limit: i32,
    },
}

impl Reason {
    /// True when the silence is about the state of the host, not about the frame: the kind that
    /// a late CNI plugin or Felix causes.
    #[must_use]
    pub fn is_host_state(&self) -> bool {
        !matches!(
            self,
            Reason::Frame(_)
                | Reason::NotForUs { .. }
                | Reason::Header { .. }
                | Reason::TargetInvalid
                | Reason::NotARequest
                | Reason::ProbeNotLocal
                | Reason::PvlanSelf
                | Reason::Unroutable(InputFault::MartianSource | InputFault::MartianDestination)
        )
    }
}

/// The effective level of a reverse path complaint, for texts.
fn rp_text(level: i32) -> &'static str {
    match level {
        1 => "rp_filter 1 (strict)",
        2 => "rp_filter 2 (loose, which is strict on an interface without an IPv4 address)",
        _ => "the source check",
    }
}

/// Who tells why it kept silent or dropped something, and of whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Teller {
    /// The host, of what the pod sent.
    Host,
    /// The host, of what somebody else sent.
    HostOfOthers,
    /// The pod, of what anybody sent.
    Pod,
}

impl Teller {
    pub(in crate::host) fn name(self) -> &'static str {
        if self == Teller::Pod { "pod" } else { "host" }
    }

    fn sender(self) -> &'static str {
        if self == Teller::Host { "the pod" } else { "the sender" }
    }

    pub(in crate::host) fn end(self) -> &'static str {
        if self == Teller::Pod { "the pod's end of the veth" } else { "the host end of the veth" }
    }
}

impl Reason {
    /// The reason in the words of the namespace that has it; plain `Display` is a host's, of a pod.
    #[must_use]
    pub fn told_by(&self, teller: Teller) -> impl fmt::Display + use<> {
        Told(*self, teller)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Told(*self, Teller::Host).fmt(f)
    }
}

struct Told(Reason, Teller);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Told(reason, teller) = self;
        match reason {
            Reason::Frame(fault) => write!(f, "{fault}"),
            Reason::NotForUs { ethertype } => write!(f, "Ethertype {ethertype:#06x} is not ARP"),
            Reason::NoInterface => write!(f, "{} does not exist", teller.end()),
            Reason::LinkDown => write!(f, "{} is down", teller.end()),
            Reason::NoCarrier => f.write_str("the link has no carrier"),
            Reason::BridgePort => f.write_str("the interface is a bridge port; the bridge takes its frames"),
            Reason::NoArp => f.write_str("ARP is switched off on the interface (NOARP)"),
            Reason::OtherHost => f.write_str("the frame was sent to a MAC that is not the interface's"),
            Reason::Filtered(point) => write!(f, "a netfilter ARP rule ({point}) drops it"),
            Reason::Header { hrd, pro, op } => {
                write!(f, "ARP header not understood (hardware {hrd}, protocol {pro:#06x}, operation {op})")
            }
            Reason::TargetInvalid => f.write_str("the target is a multicast or loopback address"),
            Reason::GratuitousDropped => f.write_str("drop_gratuitous_arp is on"),
            Reason::NotARequest => f.write_str("not a request"),
            Reason::ProbeNotLocal => {
                f.write_str("a probe (sender 0.0.0.0) is answered only for an own address, never by proxy")
            }
            Reason::ArpIgnore { level } => write!(f, "arp_ignore {level} forbids this address here"),
            Reason::ArpFilter => f.write_str("arp_filter: the way back to the sender is another interface"),
            Reason::Unroutable(fault) => write!(f, "{}", InputText(fault, *teller)),
            Reason::TargetBroadcast => f.write_str("the target is a broadcast address"),
            Reason::ProxyArpOff => {
                f.write_str("proxy_arp is off on the interface and there is no proxy entry")
            }
            Reason::MediumId { in_id, out_id } => {
                write!(f, "medium_id {in_id} here and {out_id} on the way out forbid proxying")
            }
            Reason::PvlanSelf => f.write_str("the sender asks for its own address"),
            Reason::QueueFull { limit } => write!(f, "more than proxy_qlen ({limit}) delayed requests wait"),
            Reason::QueuePurged => {
                f.write_str("an interface of the namespace went down and took the delayed answers with it")
            }
            Reason::TableFull { limit } => write!(f, "the neighbour table is full (gc_thresh3 {limit})"),
        }
    }
}

struct InputText<'a>(&'a InputFault, Teller);

impl fmt::Display for InputText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (here, sender) = (self.1.name(), self.1.sender());
        match self.0 {
            InputFault::MartianSource => f.write_str("the sender address can be nobody's"),
            InputFault::MartianDestination => f.write_str("the target address can be nobody's"),
            InputFault::NoRoute(miss) => write!(f, "no route to the target: {}", MissText(miss)),
            InputFault::ForwardingOff => f.write_str("forwarding is off on the interface"),
            InputFault::SameDevice => f.write_str("the route to the target leaves by the same interface"),
            InputFault::Source(SourceFault::OwnAddress) => {
                write!(f, "the sender claims one of the {here}'s own addresses")
            }
            InputFault::Source(SourceFault::NotUnicast(kind)) => {
                write!(f, "the route back to the sender is a {} route", kind.name())
            }
            InputFault::Source(SourceFault::NoRouteBack { miss, level }) => {
                write!(
                    f,
                    "the {here} has no way back to {sender} ({}), and {} wants one",
                    MissText(miss),
                    rp_text(*level)
                )
            }
            InputFault::Source(SourceFault::OtherDevice { level, .. }) => {
                write!(
                    f,
                    "the {here}'s way back to {sender} leaves by another interface, and {} refuses that",
                    rp_text(*level)
                )
            }
        }
    }
}

pub(in crate::host) struct MissText<'a>(pub(in crate::host) &'a FibMiss);

impl fmt::Display for MissText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            FibMiss::NoRoute => f.write_str("none matches"),
            FibMiss::Rejected { kind, dst, table } => {
                write!(f, "{} {dst} in table {table}", kind.name())
            }
            FibMiss::Rule { priority, .. } => write!(f, "policy rule {priority} refuses"),
        }
    }
}

/// Where a condition is written down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pointer {
    /// A short name that stays the same across releases; used in JSON and scenario files.
    pub code: &'static str,
    /// The kernel function that tests it.
    pub kernel: &'static str,
    /// The document that says so, if any.
    pub document: &'static str,
    /// Mechanisms of the catalogue that break it.
    pub catalogue: &'static str,
}

impl Pointer {
    /// A code that is written down nowhere else.
    #[must_use]
    pub const fn bare(code: &'static str) -> Pointer {
        Pointer { code, kernel: "", document: "", catalogue: "" }
    }
}

macro_rules! pointers {
    ($($pattern:pat => $code:literal, $kernel:literal, $document:literal, $catalogue:literal;)*) => {
        impl Reason {
            /// Where the condition comes from.
            #[must_use]
            pub const fn pointer(&self) -> Pointer {
                match self {
                    $($pattern => Pointer {
                        code: $code, kernel: $kernel, document: $document, catalogue: $catalogue,
                    },)*
                }
            }
            /// The pointer of a code.
            #[must_use]
            pub fn pointer_of(code: &str) -> Option<Pointer> {
                const ALL: &[Pointer] = &[$(Pointer {
                    code: $code, kernel: $kernel, document: $document, catalogue: $catalogue,
                },)*];
                ALL.iter().find(|p| p.code == code).copied()
            }
            /// Every code, for the schema.
            pub const CODES: &'static [&'static str] = &[$($code,)*];
        }
    };
}

pointers! {
    Reason::Frame(FrameFault::Vlan { .. } | FrameFault::VlanTruncated) =>
        "vlan-tag", "vlan_do_receive", "IEEE 802.1Q", "";
    Reason::Frame(FrameFault::ArpTruncated { .. } | FrameFault::ArpAddressLength { .. }) =>
        "arp-malformed", "arp_rcv", "RFC 826", "";
    Reason::Frame(_) => "frame-malformed", "eth_type_trans", "IEEE 802.3", "";
    Reason::NotForUs { .. } => "not-arp", "eth_type_trans", "IEEE 802.3", "";
    Reason::NoInterface => "no-interface", "", "", "M27";
    Reason::LinkDown => "link-down", "netif_running", "", "M25 M27";
    Reason::NoCarrier => "no-carrier", "veth_open", "", "M25";
    Reason::BridgePort => "bridge-port", "br_handle_frame", "", "M20";
    Reason::NoArp => "noarp", "arp_rcv", "", "";
    Reason::OtherHost => "other-host", "arp_rcv", "", "M23";
    Reason::Filtered(HookPoint::Input) => "filtered-input", "NF_ARP_IN", "", "M29";
    Reason::Filtered(HookPoint::Output) => "filtered-output", "NF_ARP_OUT", "", "M19 M29";
    Reason::Header { .. } => "arp-header", "arp_process", "RFC 826", "";
    Reason::TargetInvalid => "target-invalid", "arp_process", "", "";
    Reason::GratuitousDropped => "gratuitous-dropped", "arp_process", "ip-sysctl.rst", "";
    Reason::NotARequest => "not-a-request", "arp_process", "RFC 826", "";
    Reason::ProbeNotLocal => "probe-not-local", "arp_process", "RFC 5227 2.1.1", "M19";
    Reason::ArpIgnore { .. } => "arp-ignore", "arp_ignore", "ip-sysctl.rst", "M18";
    Reason::ArpFilter => "arp-filter", "arp_filter", "ip-sysctl.rst", "M18";
    Reason::Unroutable(InputFault::MartianSource) => "martian-source", "ip_route_input_slow", "RFC 1812 5.3.7", "";
    Reason::Unroutable(InputFault::MartianDestination) =>
        "martian-target", "ip_route_input_slow", "RFC 1812 5.3.7", "";
    Reason::Unroutable(InputFault::NoRoute(FibMiss::NoRoute)) => "no-route", "fib_lookup", "RFC 1027 2.1", "M01 M02 M03";
    Reason::Unroutable(InputFault::NoRoute(FibMiss::Rejected { .. })) => "route-rejects", "fib_table_lookup", "", "M04 M05";
    Reason::Unroutable(InputFault::NoRoute(FibMiss::Rule { .. })) => "rule-rejects", "fib4_rule_action", "", "M05";
    Reason::Unroutable(InputFault::ForwardingOff) => "forwarding-off", "ip_route_input_slow", "ip-sysctl.rst", "M06 M07";
    Reason::Unroutable(InputFault::Source(SourceFault::OwnAddress)) =>
        "sender-is-host", "fib_validate_source", "RFC 1812 5.3.7", "";
    Reason::Unroutable(InputFault::Source(SourceFault::NotUnicast(RouteKind::Broadcast))) =>
        "sender-broadcast", "fib_validate_source", "", "";
    Reason::Unroutable(InputFault::Source(SourceFault::NotUnicast(_))) =>
        "sender-not-unicast", "fib_validate_source", "", "";
    Reason::Unroutable(InputFault::Source(SourceFault::NoRouteBack { .. })) =>
        "rp-filter-no-route", "fib_validate_source", "RFC 3704 2.2", "M15 M16";
    Reason::Unroutable(InputFault::Source(SourceFault::OtherDevice { .. })) =>
        "rp-filter-other-device", "fib_validate_source", "RFC 3704 2.2", "M15 M16";
    Reason::Unroutable(InputFault::SameDevice) => "same-interface", "__mkroute_input", "RFC 1027 2.4", "M04";
    Reason::TargetBroadcast => "target-broadcast", "arp_process", "", "";
    Reason::ProxyArpOff => "proxy-arp-off", "arp_fwd_proxy", "RFC 1027", "M08 M10";
    Reason::MediumId { .. } => "medium-id", "arp_fwd_proxy", "ip-sysctl.rst", "";
    Reason::PvlanSelf => "pvlan-self", "arp_fwd_pvlan", "RFC 3069", "";
    Reason::QueueFull { .. } => "queue-full", "pneigh_enqueue", "ip-sysctl.rst", "M13";
    Reason::QueuePurged => "queue-purged", "pneigh_queue_purge", "", "M12";
    Reason::TableFull { .. } => "table-full", "neigh_alloc", "ip-sysctl.rst", "M30";
}

/// A reason with the names that make it readable on the host it happened on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Silence {
    /// The condition.
    pub reason: Reason,
    /// Who was asked for.
    pub target: Ipv4Addr,
    /// Who asked.
    pub sender: Ipv4Addr,
    /// The interface that the request came in by.
    pub dev: IfIndex,
}
