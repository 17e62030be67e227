//! Why a neighbour solicitation stays unanswered: the IPv6 twin of [`crate::host::Reason`].

use crate::host::arp::reason::{Pointer, Teller};
use crate::wire::nd::NdFault;
use core::fmt;
use std::net::Ipv6Addr;

/// The condition that kept a host silent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum NsReason {
    /// There is no such interface (any more).
    NoInterface,
    /// The receiving interface is down.
    LinkDown,
    /// The interface is a port of a bridge, which takes the frame.
    BridgePort,
    /// `disable_ipv6` is on for the interface.
    Ipv6Disabled,
    /// Sent to a unicast MAC that is not the interface's.
    OtherHost,
    /// The interface has not joined the group the packet was sent to: nobody here has or proxies
    /// an address of that solicited-node group.
    NotListening {
        /// The group.
        group: Ipv6Addr,
    },
    /// Sent to a unicast address that is not the host's: to be forwarded as data. For a proxied
    /// address that is so unless `all.proxy_ndp` is on.
    NotDelivered,
    /// The source is a group or the loopback address.
    SourceInvalid,
    /// Sent to the loopback address, which never comes from a link, whoever proxies it.
    DestinationInvalid,
    /// The message cannot be read.
    Malformed(NdFault),
    /// The hop limit is not 255, so it may come from another link.
    HopLimit {
        /// What it is.
        hop_limit: u8,
    },
    /// The target is a group.
    TargetMulticast,
    /// A test for duplicates (source `::`) that was not sent to a solicited-node group, or that
    /// carries a source link-layer address.
    BadTest,
    /// The target is the host's own, but still being tested: nothing is answered for it.
    Tentative {
        /// The test found another owner: it stays so.
        failed: bool,
    },
    /// The target is the host's own, still being tested, and the sender tests it too: the host
    /// gives it up.
    Rival,
    /// The target is not an address of the interface, and there is no proxy entry for it there.
    /// Unlike proxy_arp, proxy_ndp alone answers nothing.
    NoProxyEntry,
    /// There is a proxy entry, but `forwarding` of the interface is 0.
    ForwardingOff,
    /// There is a proxy entry, but `proxy_ndp` is off here and in `all`.
    ProxyNdpOff,
    /// The queue of delayed answers is full.
    QueueFull {
        /// proxy_qlen.
        limit: i32,
    },
    /// The wait in the queue was cut short: an interface of the namespace went down.
    QueuePurged,
    /// A multicast solicitation without source link-layer address from a neighbour the host does
    /// not know: it could not answer.
    SenderUnknown,
    /// The interface has no address to answer from.
    NoSource,
}

impl NsReason {
    /// True when the silence is about the state of the host, not about the packet.
    #[must_use]
    pub fn is_host_state(&self) -> bool {
        !matches!(
            self,
            NsReason::SourceInvalid
                | NsReason::DestinationInvalid
                | NsReason::Malformed(_)
                | NsReason::HopLimit { .. }
                | NsReason::TargetMulticast
                | NsReason::BadTest
                | NsReason::SenderUnknown
        )
    }

    /// Where the condition comes from.
    #[must_use]
    pub const fn pointer(&self) -> Pointer {
        let (code, kernel, document, catalogue) = match self {
            NsReason::NoInterface => ("no-interface", "", "", "M27"),
            NsReason::LinkDown => ("link-down", "netif_running", "", "M25 M27"),
            NsReason::BridgePort => ("bridge-port", "br_handle_frame", "", "M20"),
            NsReason::Ipv6Disabled => ("ipv6-disabled", "ipv6_rcv", "ip-sysctl.rst", "M37"),
            NsReason::OtherHost => ("other-host", "ipv6_rcv", "", "M23"),
            NsReason::NotListening { .. } => ("not-listening", "ip6_mc_input", "RFC 4291 2.7.1", "M37 M38"),
            NsReason::NotDelivered => ("not-delivered", "ip6_forward", "RFC 4861 7.2.3", "M37 M38"),
            NsReason::SourceInvalid => ("source-invalid", "ipv6_rcv", "RFC 4291 2.7", ""),
            NsReason::DestinationInvalid => ("destination-invalid", "ipv6_rcv", "RFC 4291 2.5.3", ""),
            NsReason::Malformed(_) => ("nd-malformed", "ndisc_recv_ns", "RFC 4861 7.1.1", ""),
            NsReason::HopLimit { .. } => ("hop-limit", "ndisc_rcv", "RFC 4861 7.1.1", ""),
            NsReason::TargetMulticast => ("target-multicast", "ndisc_recv_ns", "RFC 4861 7.1.1", ""),
            NsReason::BadTest => ("bad-test", "ndisc_recv_ns", "RFC 4861 7.1.1", ""),
            NsReason::Tentative { .. } => ("tentative", "ndisc_recv_ns", "RFC 4862 5.4.3", "M36"),
            NsReason::Rival => ("rival", "addrconf_dad_failure", "RFC 4862 5.4.3", "M36"),
            NsReason::NoProxyEntry => ("no-proxy-entry", "pndisc_is_router", "RFC 4389", "M37 M38"),
            NsReason::ForwardingOff => ("forwarding-off", "ndisc_recv_ns", "ip-sysctl.rst", "M06"),
            NsReason::ProxyNdpOff => ("proxy-ndp-off", "ndisc_recv_ns", "ip-sysctl.rst", "M38"),
            NsReason::QueueFull { .. } => ("queue-full", "pneigh_enqueue", "ip-sysctl.rst", "M13"),
            NsReason::QueuePurged => ("queue-purged", "pneigh_queue_purge", "", "M12"),
            NsReason::SenderUnknown => ("sender-unknown", "ndisc_recv_ns", "RFC 4861 7.2.3", ""),
            NsReason::NoSource => ("no-source", "ndisc_send_na", "RFC 6724", "M37"),
        };
        Pointer { code, kernel, document, catalogue }
    }
}

impl NsReason {
    /// The reason in the words of the namespace that has it; plain `Display` is a host's, of a pod.
    #[must_use]
    pub fn told_by(&self, teller: Teller) -> impl fmt::Display + use<> {
        Told(*self, teller)
    }
}

impl fmt::Display for NsReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Told(*self, Teller::Host).fmt(f)
    }
}

struct Told(NsReason, Teller);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Told(reason, teller) = self;
        f.write_str(match reason {
            NsReason::NoInterface => return write!(f, "{} does not exist", teller.end()),
            NsReason::LinkDown => return write!(f, "{} is down", teller.end()),
            NsReason::BridgePort => "the interface is a bridge port; the bridge takes its frames",
            NsReason::Ipv6Disabled => "disable_ipv6 is on for the interface",
            NsReason::OtherHost => "the frame was sent to a MAC that is not the interface's",
            NsReason::NotListening { group } => return write!(f, "nobody here listens to the group {group}"),
            NsReason::NotDelivered => "the packet is for another host; it is forwarded as data",
            NsReason::SourceInvalid => "the source address can be nobody's",
            NsReason::DestinationInvalid => "the loopback address is nobody's on a link",
            NsReason::Malformed(fault) => fault.text(),
            NsReason::HopLimit { hop_limit } => return write!(f, "the hop limit is {hop_limit}, not 255"),
            NsReason::TargetMulticast => "the target is a group",
            NsReason::BadTest => "a test for duplicates that was not sent as one",
            NsReason::Tentative { failed: false } => "the address is still being tested for duplicates",
            NsReason::Tentative { failed: true } => "the address turned out to be a duplicate",
            NsReason::Rival => {
                return write!(f, "the sender tests the same address; the {} gives it up", teller.name());
            }
            NsReason::NoProxyEntry => {
                "the address is not the interface's, and there is no `ip -6 neigh add proxy` entry for it"
            }
            NsReason::ForwardingOff => "there is a proxy entry, but forwarding is off on the interface",
            NsReason::ProxyNdpOff => "there is a proxy entry, but proxy_ndp is off",
            NsReason::QueueFull { limit } => {
                return write!(f, "more than proxy_qlen ({limit}) delayed solicitations wait");
            }
            NsReason::QueuePurged => {
                "an interface of the namespace went down and took the delayed answers with it"
            }
            NsReason::SenderUnknown => "the sender is unknown and does not give its MAC",
            NsReason::NoSource => "the interface has no address to answer from",
        })
    }
}
