//! What this machine lets this process do, found out by doing it.
//!
//! [`detect`] makes a scratch namespace and tries each thing in it, because that alone tells:
//! what a kernel was built with, what a container engine or a security module forbids and which
//! mode a device node has are written in too many places. What is made goes with the scratch
//! namespace; nothing outside it is touched.

mod probe;

use std::fmt;

/// Something that a lab may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Feature {
    /// A user namespace of one's own: what makes the rest possible without root.
    UserNamespaces,
    /// Network namespaces. Without them there is nothing.
    NetNamespaces,
    /// Writing settings below /proc/sys/net.
    Sysctl,
    /// veth pairs.
    Veth,
    /// Bridges.
    Bridge,
    /// Packet sockets (`AF_PACKET`).
    PacketSockets,
    /// TAP devices. A veth with a packet socket on it does instead.
    Tap,
    /// ARP filters of nf_tables.
    NftArp,
}

impl Feature {
    /// All of them, in the order in which they build on each other.
    pub const ALL: [Self; 8] = [
        Self::UserNamespaces,
        Self::NetNamespaces,
        Self::Sysctl,
        Self::Veth,
        Self::Bridge,
        Self::PacketSockets,
        Self::Tap,
        Self::NftArp,
    ];
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::UserNamespaces => "user namespaces",
            Self::NetNamespaces => "network namespaces",
            Self::Sysctl => "network sysctls",
            Self::Veth => "veth pairs",
            Self::Bridge => "bridges",
            Self::PacketSockets => "packet sockets",
            Self::Tap => "TAP devices",
            Self::NftArp => "nft arp tables",
        })
    }
}

/// Whether something can be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// It was tried and works.
    Available,
    /// It was tried and does not work.
    Missing {
        /// What was tried and what the kernel said.
        reason: String,
        /// What to do about it.
        advice: String,
    },
    /// It could not be tried, for want of something else.
    Untried {
        /// What is wanting.
        reason: String,
        /// What to do about it.
        advice: String,
    },
}

/// Shows one line, with the advice after the reason.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Available => f.write_str("yes"),
            Self::Missing { reason, advice } => write!(f, "no: {reason}; {advice}"),
            Self::Untried { reason, advice } => write!(f, "not tried: {reason}; {advice}"),
        }
    }
}

/// The findings for every feature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    findings: Vec<(Feature, Status)>,
}

impl Capabilities {
    /// What was found about one feature.
    ///
    /// # Panics
    /// Never: every feature is looked at.
    #[must_use]
    pub fn status(&self, feature: Feature) -> &Status {
        let found = self.findings.iter().find(|(one, _)| *one == feature);
        &found.expect("every feature is looked at").1
    }

    /// Whether a feature was tried and works.
    #[must_use]
    pub fn has(&self, feature: Feature) -> bool {
        *self.status(feature) == Status::Available
    }

    /// All findings, in the order of [`Feature::ALL`].
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Feature, &Status)> {
        self.findings.iter().map(|(feature, status)| (*feature, status))
    }
}

/// A table of two columns.
impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter().try_for_each(|(feature, status)| writeln!(f, "{feature:<18}  {status}"))
    }
}

/// Tries everything, which takes a few milliseconds.
///
/// An ordinary user calls [`rootless::enter`](crate::rootless::enter) first; otherwise only user
/// namespaces are tried, in a child process, and the rest is `Untried`.
#[must_use]
pub fn detect() -> Capabilities {
    Capabilities { findings: probe::all() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_a_table_with_advice() {
        let capabilities = Capabilities {
            findings: vec![
                (Feature::Veth, Status::Available),
                (
                    Feature::Tap,
                    Status::Missing { reason: "open: EACCES".into(), advice: "use a veth".into() },
                ),
            ],
        };
        assert_eq!(
            capabilities.to_string(),
            "veth pairs          yes\nTAP devices         no: open: EACCES; use a veth\n"
        );
        assert!(capabilities.has(Feature::Veth) && !capabilities.has(Feature::Tap));
    }
}
