//! The conditions of an ARP decision by name, and how one listens to a decision being made.
//!
//! The code that decides reports every condition it comes by to a [`Witness`]. [`Nobody`] hears
//! nothing and costs nothing: the calls, and the texts they would make, are compiled away, so
//! that `decide()` and `explain()` are the same code.

use super::reason::{Pointer, Reason};

macro_rules! conditions {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal, $kernel:literal, $document:literal, $catalogue:literal;)*) => {
        /// One condition of the answer, in the order the kernel tests them.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Condition { $($(#[$doc])* $name,)* }

        impl Condition {
            /// Every condition, in order.
            pub const ALL: &'static [Condition] = &[$(Condition::$name,)*];

            /// What must hold, in words.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Condition::$name => $text,)* }
            }

            /// Where the condition comes from.
            #[must_use]
            pub const fn pointer(self) -> Pointer {
                match self {
                    $(Condition::$name => Pointer {
                        code: $code, kernel: $kernel, document: $document, catalogue: $catalogue,
                    },)*
                }
            }
        }
    };
}

conditions! {
    /// There is such an interface.
    Interface = "interface", "the interface exists", "", "", "M27";
    /// It is administratively up.
    LinkUp = "link-up", "the interface is up", "netif_running", "", "M25 M27";
    /// No bridge takes its frames.
    NotBridged = "not-bridged", "no bridge takes its frames", "br_handle_frame", "", "M20";
    /// ARP is not switched off.
    ArpOn = "arp-on", "ARP is on", "arp_rcv", "", "";
    /// The frame is for this interface or for all.
    Addressed = "addressed", "the frame is for this interface or for everybody", "arp_rcv", "", "M23";
    /// The netfilter input hook lets it pass.
    InputHook = "input-hook", "no netfilter rule drops the request", "NF_ARP_IN", "", "M29";
    /// Hardware type, protocol, operation.
    Header = "header", "the header is Ethernet, IPv4, request or reply", "arp_process", "RFC 826", "";
    /// The target can be asked for.
    Target = "target", "the target is no multicast or (without route_localnet) loopback address", "arp_process", "", "";
    /// It is not a gratuitous frame that is to be dropped.
    GratuitousAllowed = "gratuitous-allowed", "it is not gratuitous, or those are not dropped", "arp_process", "ip-sysctl.rst", "";
    /// It asks.
    IsRequest = "is-request", "it is a request", "arp_process", "RFC 826", "";
    /// A probe is for an own address.
    ProbeLocal = "probe-local", "a probe is for one of the host's own addresses", "arp_process", "RFC 5227 2.1.1", "M19";
    /// The sender can be somebody.
    SenderPlausible = "sender-plausible", "the sender address can be somebody's", "ip_route_input_slow", "RFC 1812 5.3.7", "";
    /// The target can be somebody.
    TargetPlausible = "target-plausible", "the target address can be somebody's", "ip_route_input_slow", "RFC 1812 5.3.7", "";
    /// The tables lead to the target.
    RouteToTarget = "route-to-target", "there is a route to the target", "fib_lookup", "RFC 1027 2.1", "M01 M02 M03 M04 M05";
    /// That route is no broadcast route.
    NotBroadcast = "not-broadcast", "the target is no broadcast address", "arp_process", "", "";
    /// forwarding of the interface.
    Forwarding = "forwarding", "forwarding is on for the interface", "ip_route_input_slow", "ip-sysctl.rst", "M06 M07";
    /// The reverse path check.
    SenderCredible = "sender-credible", "the reverse path check accepts the sender", "fib_validate_source", "RFC 3704 2.2", "M15 M16 M17";
    /// The way out is another interface.
    OtherInterface = "other-interface", "the route leaves by another interface, or proxy_arp_pvlan is on", "__mkroute_input", "RFC 1027 2.4", "M04";
    /// arp_ignore.
    ArpIgnore = "arp-ignore-allows", "arp_ignore lets this own address be answered here", "arp_ignore", "ip-sysctl.rst", "M18";
    /// arp_filter.
    ArpFilter = "arp-filter-allows", "arp_filter is off, or the way back leaves by the interface", "arp_filter", "ip-sysctl.rst", "M18";
    /// The neighbour table has room.
    TableRoom = "table-room", "the neighbour table has room for the sender", "neigh_alloc", "ip-sysctl.rst", "M30";
    /// A sender does not ask for itself over pvlan.
    NotItself = "not-itself", "the sender does not ask for its own address", "arp_fwd_pvlan", "RFC 3069", "";
    /// Something proxies.
    Proxying = "proxying", "proxy_arp is on, or there is a proxy entry", "arp_fwd_proxy", "RFC 1027", "M08 M10";
    /// medium_id.
    Medium = "medium", "medium_id allows it", "arp_fwd_proxy", "ip-sysctl.rst", "";
    /// The queue of delayed answers has room.
    QueueRoom = "queue-room", "the answer need not wait, or the queue has room", "pneigh_enqueue", "ip-sysctl.rst", "M11 M13";
    /// The netfilter output hook lets the reply pass.
    OutputHook = "output-hook", "no netfilter rule drops the reply", "NF_ARP_OUT", "", "M19 M29";
}

/// Which way a decision took, as far as it is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::host) enum Branch {
    /// A probe of duplicate address detection.
    Probe,
    /// The target is an own address.
    Local,
    /// The target lies beyond.
    Proxied,
    /// The target lies back where the request came from (proxy_arp_pvlan).
    Pvlan,
}

/// Hears each condition as it is met.
pub(in crate::host) trait Witness {
    /// A condition held, or failed for that reason; `met` tells with what values.
    fn saw(&mut self, condition: Condition, failed: Option<Reason>, met: impl FnOnce() -> String);
    /// The decision took that way.
    fn branch(&mut self, branch: Branch);
}

/// Hears nothing.
pub(in crate::host) struct Nobody;

impl Witness for Nobody {
    #[inline]
    fn saw(&mut self, _: Condition, _: Option<Reason>, _: impl FnOnce() -> String) {}
    #[inline]
    fn branch(&mut self, _: Branch) {}
}

/// Reports one condition and turns a failed one into its reason.
#[inline]
pub(in crate::host) fn require<W: Witness>(
    witness: &mut W,
    condition: Condition,
    holds: bool,
    reason: impl FnOnce() -> Reason,
    met: impl FnOnce() -> String,
) -> Result<(), Reason> {
    let failed = (!holds).then(reason);
    witness.saw(condition, failed, met);
    failed.map_or(Ok(()), Err)
}
