//! What a policy rule asks of a packet beyond its addresses, mark and device (struct fib_rule,
//! struct fib4_rule). ARP has none of it: its lookup is of protocol 0, dsfield 0, user 0, and names no
//! device to leave by.

use crate::addr::IfName;
use core::fmt;

/// First and last of a range.
pub type Range<T> = (T, T);

/// What the layer above IP gives a lookup (flowi4_proto, fl4_sport, fl4_dport). All 0 for ARP.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Upper {
    /// IP protocol number.
    pub protocol: u8,
    /// Port of whoever sends; 0 where there are none.
    pub sport: u16,
    /// Port of whoever is sent to.
    pub dport: u16,
}

impl Upper {
    /// Of a packet with that protocol and body.
    #[must_use]
    pub fn of(protocol: u8, body: &[u8]) -> Upper {
        let port = |at: usize| body.get(at..at + 2).map_or(0, |b| u16::from_be_bytes([b[0], b[1]]));
        match protocol {
            Upper::TCP | Upper::UDP => Upper { protocol, sport: port(0), dport: port(2) },
            _ => Upper { protocol, ..Upper::default() },
        }
    }

    /// The packet that would answer.
    #[must_use]
    pub const fn reversed(self) -> Upper {
        Upper { sport: self.dport, dport: self.sport, ..self }
    }

    /// `IPPROTO_TCP`.
    pub const TCP: u8 = 6;
    /// `IPPROTO_UDP`.
    pub const UDP: u8 = 17;

    const NAMES: [(u8, &'static str); 5] =
        [(1, "icmp"), (Self::TCP, "tcp"), (Self::UDP, "udp"), (58, "ipv6-icmp"), (132, "sctp")];

    /// The protocol of that name or number.
    #[must_use]
    pub fn by_name(name: &str) -> Option<u8> {
        let named = Self::NAMES.iter().find(|(_, n)| *n == name).map(|(p, _)| *p);
        named.or_else(|| name.parse().ok()).filter(|p| *p > 0)
    }
}

/// The selectors; what is not said matches everything.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Selectors {
    /// The dsfield, without the two bits of ECN. The lab's packets have 0, so that any other matches
    /// none of them.
    pub tos: u8,
    /// The device that the sender asked to leave by (SO_BINDTODEVICE, or the gateway of a route that
    /// names one).
    pub oif: Option<IfName>,
    /// Users that send. The kernel looks its own packets, and those that came in, up as user 0.
    pub uids: Option<Range<u32>>,
    /// IP protocol number.
    pub ipproto: Option<u8>,
    /// Ports of whoever sends.
    pub sport: Option<Range<u16>>,
    /// Ports of whoever is sent to.
    pub dport: Option<Range<u16>>,
}

impl Selectors {
    /// Nothing is asked.
    pub const NONE: Selectors =
        Selectors { tos: 0, oif: None, uids: None, ipproto: None, sport: None, dport: None };

    /// Whether a packet of the lab is meant: one with dsfield 0 of user 0. `oif` says whether the
    /// device of that name is the one it must leave by.
    #[must_use]
    pub fn match_packet(&self, upper: Upper, oif: impl Fn(IfName) -> bool) -> bool {
        let within = |range: Option<Range<u16>>, port| range.is_none_or(|(a, b)| (a..=b).contains(&port));
        self.tos == 0
            && self.oif.is_none_or(oif)
            && self.uids.is_none_or(|(first, _)| first == 0)
            && self.ipproto.is_none_or(|p| p == upper.protocol)
            && within(self.sport, upper.sport)
            && within(self.dport, upper.dport)
    }

    /// Whether the kernel takes the ranges (fib_rule_port_range_valid: neither 0 nor 65535 is a port to
    /// it; nla_get_kuid_range).
    #[must_use]
    pub fn are_valid(&self) -> bool {
        let ports = |range: Option<Range<u16>>| range.is_none_or(|(a, b)| a != 0 && b != u16::MAX && a <= b);
        ports(self.sport)
            && ports(self.dport)
            && self.uids.is_none_or(|(first, last)| last != u32::MAX && first <= last)
    }

    /// Whether words in a deletion mean a rule with these: what is not said does not count (rule_find).
    #[must_use]
    pub fn select(&self, of: &Selectors) -> bool {
        (self.tos == 0 || self.tos == of.tos)
            && (self.oif.is_none() || self.oif == of.oif)
            && (self.uids.is_none() || self.uids == of.uids)
            && (self.ipproto.is_none() || self.ipproto == of.ipproto)
            && (self.sport.is_none() || self.sport == of.sport)
            && (self.dport.is_none() || self.dport == of.dport)
    }

    /// Whether the kernel takes them for the same when a rule is added (rule_exists): it is blind to a
    /// dsfield that is not said.
    #[must_use]
    pub fn repeat(&self, known: &Selectors) -> bool {
        Selectors { tos: known.tos, ..*self } == *known && (self.tos == 0 || self.tos == known.tos)
    }
}

impl fmt::Display for Selectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.tos != 0 {
            write!(f, " tos {:#x}", self.tos)?;
        }
        if let Some(oif) = self.oif {
            write!(f, " oif {oif}")?;
        }
        if let Some((first, last)) = self.uids {
            write!(f, " uidrange {first}-{last}")?;
        }
        if let Some(protocol) = self.ipproto {
            match Upper::NAMES.iter().find(|(p, _)| *p == protocol) {
                Some((_, name)) => write!(f, " ipproto {name}")?,
                None => write!(f, " ipproto {protocol}")?,
            }
        }
        for (word, range) in [("sport", self.sport), ("dport", self.dport)] {
            match range {
                Some((first, last)) if first == last => write!(f, " {word} {first}")?,
                Some((first, last)) => write!(f, " {word} {first}-{last}")?,
                None => {}
            }
        }
        Ok(())
    }
}
