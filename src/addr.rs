//! Link-layer addresses, interface names, and which end of the veth is meant.

use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Which of the two namespaces.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The node's.
    Host,
    /// The pod's.
    Pod,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Side::Host => "host",
            Side::Pod => "pod",
        })
    }
}

/// A 48-bit Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// `ff:ff:ff:ff:ff:ff`.
    pub const BROADCAST: Mac = Mac([0xff; 6]);
    /// `00:00:00:00:00:00`.
    pub const ZERO: Mac = Mac([0; 6]);
    /// The address Calico gives to every host end of a workload veth since v2.6/v3.0
    /// (cni-plugin/pkg/dataplane/linux/dataplane_linux.go).
    pub const CALICO: Mac = Mac([0xee; 6]);

    /// True for broadcast and every other group address (the I/G bit, IEEE 802.3 3.2.3).
    #[must_use]
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// True for `ff:ff:ff:ff:ff:ff` alone.
    #[must_use]
    pub fn is_broadcast(self) -> bool {
        self == Self::BROADCAST
    }

    /// The Ethernet group address of an IPv6 multicast destination (RFC 2464 section 7).
    #[must_use]
    pub fn ipv6_multicast(group: std::net::Ipv6Addr) -> Mac {
        let o = group.octets();
        Mac([0x33, 0x33, o[12], o[13], o[14], o[15]])
    }

    /// The link-local IPv6 address formed from this address by modified EUI-64
    /// (RFC 4291 appendix A).
    #[must_use]
    pub fn link_local(self) -> std::net::Ipv6Addr {
        let m = self.0;
        let mut o = [0u8; 16];
        o[0] = 0xfe;
        o[1] = 0x80;
        o[8..].copy_from_slice(&[m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]]);
        o.into()
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let m = self.0;
        write!(f, "{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", m[0], m[1], m[2], m[3], m[4], m[5])
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not an Ethernet address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an Ethernet address: six pairs of hexadecimal digits with colons are wanted, such as ee:ee:ee:ee:ee:ee"
)]
pub struct MacError(String);

impl FromStr for Mac {
    type Err = MacError;
    fn from_str(s: &str) -> Result<Self, MacError> {
        let bad = || MacError(s.to_owned());
        let mut out = [0u8; 6];
        let mut parts = s.split(':');
        for byte in &mut out {
            let part = parts.next().ok_or_else(bad)?;
            if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(bad());
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| bad())?;
        }
        if parts.next().is_some() {
            return Err(bad());
        }
        Ok(Mac(out))
    }
}

/// An interface name: 1 to 15 bytes, neither `/` nor white space in it
/// (dev_valid_name() in net/core/dev.c; IFNAMSIZ is 16 with the closing zero).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IfName {
    bytes: [u8; IfName::MAX],
    len: u8,
}

impl IfName {
    /// The longest name the kernel takes, in bytes.
    pub const MAX: usize = 15;

    /// The loopback device.
    pub const LO: IfName = IfName::literal("lo");

    /// Builds a name from a literal; a text that is no name fails the build.
    ///
    /// # Panics
    /// When the text is empty or longer than 15 bytes; used in constants, so at compile time.
    #[must_use]
    pub const fn literal(s: &str) -> IfName {
        let src = s.as_bytes();
        assert!(!src.is_empty() && src.len() <= Self::MAX);
        let mut bytes = [0; Self::MAX];
        let mut i = 0;
        while i < src.len() {
            bytes[i] = src[i];
            i += 1;
        }
        IfName { bytes, len: src.len() as u8 }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.len as usize]).unwrap_or("?")
    }
}

impl fmt::Display for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Why a text cannot name an interface.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} cannot name an interface: 1 to 15 bytes, no white space, no '/', ':' or '%', not '.' or '..'")]
pub struct IfNameError(String);

impl FromStr for IfName {
    type Err = IfNameError;
    /// A `%` is none of a name: the kernel takes it for a template (`eth%d`) and refuses any other.
    fn from_str(s: &str) -> Result<Self, IfNameError> {
        let ok = (1..=Self::MAX).contains(&s.len())
            && s != "."
            && s != ".."
            && !s.chars().any(|c| "/:%".contains(c) || c.is_whitespace() || c.is_control());
        if !ok {
            return Err(IfNameError(s.to_owned()));
        }
        let mut bytes = [0; Self::MAX];
        bytes[..s.len()].copy_from_slice(s.as_bytes());
        Ok(IfName { bytes, len: s.len() as u8 })
    }
}

macro_rules! serde_as_text {
    ($t:ty) => {
        impl Serialize for $t {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $t {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
macro_rules! schema_as_text {
    ($t:ty, $name:literal, $pattern:literal, $description:literal) => {
        impl schemars::JsonSchema for $t {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string", "pattern": $pattern, "description": $description
                })
            }
        }
    };
}
pub(crate) use schema_as_text;
schema_as_text!(
    Mac,
    "Mac",
    "^([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}$",
    "An Ethernet address, such as ee:ee:ee:ee:ee:ee"
);
serde_as_text!(Mac);
serde_as_text!(IfName);

/// The names that the ends of a pair are born with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct VethEnds {
    /// The host end's.
    pub cali: IfName,
    /// The pod end's.
    pub eth: IfName,
    /// The MAC that the pod's end is born with; the host end's is drawn.
    pub pod_mac: Mac,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mac_text_round_trips() {
        let m: Mac = "ee:ee:ee:0e:ee:01".parse().unwrap();
        assert_eq!(m.to_string(), "ee:ee:ee:0e:ee:01");
        for bad in
            ["", "ee", "ee:ee:ee:ee:ee", "ee:ee:ee:ee:ee:ee:ee", "gg:ee:ee:ee:ee:ee", "+e:ee:ee:ee:ee:ee"]
        {
            assert!(bad.parse::<Mac>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn calico_link_local_is_the_documented_gateway() {
        assert_eq!(Mac::CALICO.link_local().to_string(), "fe80::ecee:eeff:feee:eeee");
    }

    #[test]
    fn interface_names_follow_dev_valid_name() {
        assert_eq!("cali7b530308a36".parse::<IfName>().unwrap().as_str(), "cali7b530308a36");
        for bad in ["", ".", "..", "a/b", "a b", "0123456789abcdef", "a:b"] {
            assert!(bad.parse::<IfName>().is_err(), "{bad:?}");
        }
        assert_eq!(IfName::literal("lo"), "lo".parse().unwrap());
    }
}
