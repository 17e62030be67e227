//! What is asked of an answerer, clause by clause.

use core::fmt;
use serde::Serialize;

/// How much a clause binds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rank {
    /// A standard asks for it, or the pod's kernel does not work without it.
    Required,
    /// Linux does it where standards leave it open.
    Linux,
}

impl fmt::Display for Rank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Rank::Required => "required",
            Rank::Linux => "as Linux",
        })
    }
}

macro_rules! clauses {
    ($($(#[doc = $doc:literal])+ $name:ident, $code:literal, $rank:ident, $source:literal, $title:literal;)+) => {
        /// A clause.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Clause {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Clause {
            /// Every clause, in the order of the report.
            pub const ALL: &'static [Clause] = &[$(Clause::$name,)+];

            /// Its name in reports.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Clause::$name => $code,)+ }
            }

            /// How much it binds.
            #[must_use]
            pub const fn rank(self) -> Rank {
                match self { $(Clause::$name => Rank::$rank,)+ }
            }

            /// Where it stands.
            #[must_use]
            pub const fn source(self) -> &'static str {
                match self { $(Clause::$name => $source,)+ }
            }

            /// What it asks for.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Clause::$name => $title,)+ }
            }
        }
    };
}

clauses! {
    /// A broadcast request is answered.
    Broadcast, "broadcast-request", Required, "RFC 826", "a broadcast request is answered";
    /// A unicast request is answered.
    Unicast, "unicast-request", Required, "RFC 1122 2.3.2.1",
        "a request to the answerer's own MAC is answered (a pod confirms its entry so)";
    /// Padding does no harm.
    Padded, "padded-request", Required, "RFC 894", "a request padded to 60 bytes is answered";
    /// ar$tha of a request means nothing.
    TargetHardware, "target-hardware", Required, "RFC 826",
        "what stands in a request's target hardware field does not matter";
    /// The packet's sender counts, not the frame's.
    EthernetSource, "ethernet-source", Required, "RFC 826",
        "the answer goes to the sender in the ARP packet, whatever the frame's source";
    /// One answer to one question.
    OneAnswer, "one-answer", Required, "RFC 826", "each request gets one answer, not two";
    /// At once.
    AtOnce, "at-once", Required, "Calico: proxy_delay 0", "answers come at once";
    /// Operation 2.
    Operation, "reply-operation", Required, "RFC 826", "the answer's operation is 2, a reply";
    /// Types and lengths.
    Header, "reply-header", Required, "RFC 826",
        "the answer says Ethernet, IPv4, lengths 6 and 4, in an untagged ARP frame";
    /// spa.
    SenderAddress, "reply-sender-ip", Required, "RFC 826", "its sender address is the one that was asked for";
    /// sha.
    SenderHardware, "reply-sender-mac", Required, "RFC 826, RFC 1812 3.3.2",
        "its sender MAC is a unicast one, the frame's source, and the expected one";
    /// tha, tpa.
    Target, "reply-target", Required, "RFC 826", "its target is the pod, MAC and address";
    /// Ethernet destination.
    Destination, "reply-destination", Required, "RFC 826; Linux arp_process",
        "it is sent to the pod's MAC alone (a broadcast answer leaves the pod's entry STALE)";
    /// Length.
    Length, "reply-length", Required, "RFC 826, RFC 894",
        "it has 42 bytes or more, and beyond them only zeros as padding";
    /// One MAC.
    OneMac, "one-mac", Required, "RFC 5227 1.1", "all answers name the same MAC";
    /// The pod's own address, probed.
    OwnProbe, "own-address-probe", Required, "RFC 5227 2.1.1",
        "the pod's probe for its own address is not answered (an answer is a conflict)";
    /// The pod's own address, announced.
    OwnAnnouncement, "own-address-announcement", Required, "RFC 5227 2.3, 2.4",
        "the pod's announcement of its own address is not answered";
    /// The pod's own address, asked for from another.
    OwnRequest, "own-address-request", Required, "RFC 1027 2.4",
        "a request for the pod's own address is not answered: who has it is on this side";
    /// Replies.
    Reply, "reply-unanswered", Required, "RFC 826", "a reply is not answered, broadcast or unicast";
    /// Other operations.
    OtherOperation, "operation", Required, "RFC 826", "operations other than 1 are not answered";
    /// Hardware type.
    HardwareType, "hardware-type", Required, "RFC 826", "a hardware type that is not Ethernet's is not answered";
    /// Protocol type.
    ProtocolType, "protocol-type", Required, "RFC 826", "a protocol other than IPv4 is not answered";
    /// Truncated.
    Truncated, "truncated", Required, "RFC 826", "an ARP packet that is cut short is not answered";
    /// Other station.
    OtherStation, "other-station", Required, "IEEE 802.3", "a frame for another station's MAC is not answered";
    /// Another VLAN.
    Vlan, "vlan-tag", Required, "IEEE 802.1Q", "a frame tagged for VLAN 100 is not answered untagged";
    /// A group.
    TargetGroup, "target-group", Required, "RFC 1112 6.4; RFC 1812 3.3.2",
        "a group address and the broadcast address are not answered for";
    /// Nothing unasked.
    Unasked, "unasked", Required, "RFC 5227 2.4", "nothing is answered while nobody asks";
    /// A probe for the gateway.
    Probe, "gateway-probe", Linux, "RFC 5227 2.1.1; Linux arp_process",
        "a probe (sender 0.0.0.0) for the gateway: answered by its owner, never by proxy ARP";
    /// Bursts.
    Burst, "burst", Linux, "Linux arp_process", "each of eight requests in a row is answered";
    /// Whatever is routed.
    Beyond, "beyond", Linux, "RFC 1027; Linux arp_fwd_proxy", "addresses beyond the gateway are answered for too";
    /// Group destination.
    GroupDestination, "group-destination", Linux, "Linux arp_process",
        "a request sent to a group MAC counts as a broadcast one";
    /// hrd 6.
    Ieee802, "hardware-type-6", Linux, "Linux arp_process", "hardware type 6 (IEEE 802) is answered as Ethernet's";
    /// VLAN 0.
    PriorityTag, "priority-tag", Linux, "IEEE 802.1Q; Linux vlan_do_receive",
        "a priority tag (VLAN 0) is answered, untagged";
    /// Address lengths.
    AddressLength, "address-length", Linux, "RFC 826 (optional); Linux arp_rcv",
        "address lengths other than 6 and 4 are not answered";
    /// Martian senders.
    SenderInvalid, "sender-invalid", Linux, "RFC 1812 5.3.7; Linux ip_route_input_slow",
        "a sender address that can be nobody's is not answered";
    /// Still there.
    Still, "still-answers", Required, "RFC 826", "after all this a broadcast request is still answered";
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}
