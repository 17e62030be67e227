//! Neighbour tables: ARP and NDP entries, and what is answered on behalf of others.

use std::{fmt, net::IpAddr};

use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState},
};

use super::{
    Dev, Rtnl, RtnlError,
    addr::family,
    request::{Mode, Names},
};
use crate::MacAddr;

/// State of a neighbour entry (`NUD_*`); see ip-neighbour(8) and include/net/neighbour.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NudState {
    /// Just made, nothing known (`NUD_NONE`); also of proxy entries.
    None,
    /// A question is out, packets wait for the answer.
    Incomplete,
    /// Confirmed a short while ago.
    Reachable,
    /// Known, and used without a question until the next packet.
    Stale,
    /// Used since it became stale; a question follows if nothing confirms it.
    Delay,
    /// A question has been sent to the known address.
    Probe,
    /// Nobody answered.
    Failed,
    /// No question is ever needed, as on `lo`.
    NoArp,
    /// Set by hand, never questioned.
    Permanent,
    /// Several bits at once, or something newer than this crate.
    Other(u16),
}

impl From<NeighbourState> for NudState {
    fn from(state: NeighbourState) -> Self {
        match state {
            NeighbourState::None => Self::None,
            NeighbourState::Incomplete => Self::Incomplete,
            NeighbourState::Reachable => Self::Reachable,
            NeighbourState::Stale => Self::Stale,
            NeighbourState::Delay => Self::Delay,
            NeighbourState::Probe => Self::Probe,
            NeighbourState::Failed => Self::Failed,
            NeighbourState::Noarp => Self::NoArp,
            NeighbourState::Permanent => Self::Permanent,
            other => Self::Other(other.into()),
        }
    }
}

impl From<NudState> for NeighbourState {
    fn from(state: NudState) -> Self {
        match state {
            NudState::None => Self::None,
            NudState::Incomplete => Self::Incomplete,
            NudState::Reachable => Self::Reachable,
            NudState::Stale => Self::Stale,
            NudState::Delay => Self::Delay,
            NudState::Probe => Self::Probe,
            NudState::Failed => Self::Failed,
            NudState::NoArp => Self::Noarp,
            NudState::Permanent => Self::Permanent,
            NudState::Other(bits) => Self::from(bits),
        }
    }
}

impl fmt::Display for NudState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "NONE",
            Self::Incomplete => "INCOMPLETE",
            Self::Reachable => "REACHABLE",
            Self::Stale => "STALE",
            Self::Delay => "DELAY",
            Self::Probe => "PROBE",
            Self::Failed => "FAILED",
            Self::NoArp => "NOARP",
            Self::Permanent => "PERMANENT",
            Self::Other(bits) => return write!(f, "{bits:#x}"),
        })
    }
}

/// A neighbour entry, shown as `169.254.1.1 dev eth0 lladdr ee:ee:ee:ee:ee:ee STALE`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Neighbour {
    /// The link it is on.
    pub dev: Dev,
    /// Its IP address.
    pub address: IpAddr,
    /// Its Ethernet address, if known.
    pub mac: Option<MacAddr>,
    /// What the kernel thinks of it.
    pub state: NudState,
    /// Not a neighbour but an address for which questions on `dev` are answered
    /// (`NTF_PROXY`, `ip neighbour add proxy`).
    pub proxy: bool,
    /// The neighbour says that it is a router (IPv6, `NTF_ROUTER`); in dumps only.
    pub router: bool,
    /// An agent answers for it (`NTF_EXT_LEARNED`): the kernel does not collect it.
    pub extern_learn: bool,
    /// Questions sent since the last answer; in dumps only.
    pub probes: Option<u32>,
}

impl Neighbour {
    /// An entry with a known MAC address.
    pub fn new(dev: impl Into<Dev>, address: IpAddr, mac: MacAddr, state: NudState) -> Self {
        Self { mac: Some(mac), ..Self::bare(dev.into(), address, state) }
    }

    /// An address for which questions on `dev` are answered with the link's own MAC, whatever
    /// `proxy_arp` says. Whether they are answered depends on forwarding and routes all the
    /// same; see `arp_process()`, and `proxy_ndp` for IPv6.
    pub fn proxy(dev: impl Into<Dev>, address: IpAddr) -> Self {
        Self { proxy: true, ..Self::bare(dev.into(), address, NudState::None) }
    }

    fn bare(dev: Dev, address: IpAddr, state: NudState) -> Self {
        Self {
            dev,
            address,
            mac: None,
            state,
            proxy: false,
            router: false,
            extern_learn: false,
            probes: None,
        }
    }

    fn message(&self, index: u32) -> NeighbourMessage {
        let mut message = NeighbourMessage::default();
        message.header.family = family(self.address);
        message.header.ifindex = index;
        message.header.state = self.state.into();
        message.header.flags.set(NeighbourFlags::Proxy, self.proxy);
        message.header.flags.set(NeighbourFlags::ExtLearned, self.extern_learn);
        let address = match self.address {
            IpAddr::V4(ip) => NeighbourAddress::Inet(ip),
            IpAddr::V6(ip) => NeighbourAddress::Inet6(ip),
        };
        message.attributes.push(NeighbourAttribute::Destination(address));
        let mac = self.mac.map(|mac| NeighbourAttribute::LinkLayerAddress(mac.octets().to_vec()));
        message.attributes.extend(mac);
        message
    }

    pub(crate) fn from_message(message: &NeighbourMessage, names: &Names) -> Option<Self> {
        let mut address = None;
        let mut mac = None;
        let mut probes = None;
        for attribute in &message.attributes {
            match attribute {
                NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) => address = Some((*ip).into()),
                NeighbourAttribute::Destination(NeighbourAddress::Inet6(ip)) => address = Some((*ip).into()),
                NeighbourAttribute::LinkLayerAddress(bytes) => mac = MacAddr::from_slice(bytes),
                NeighbourAttribute::Probes(count) => probes = Some(*count),
                _ => {}
            }
        }
        let flags = message.header.flags;
        Some(Self {
            dev: names.dev(message.header.ifindex),
            address: address?,
            mac,
            state: message.header.state.into(),
            proxy: flags.contains(NeighbourFlags::Proxy),
            router: flags.contains(NeighbourFlags::Router),
            extern_learn: flags.contains(NeighbourFlags::ExtLearned),
            probes,
        })
    }
}

impl fmt::Display for Neighbour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} dev {}", self.address, self.dev)?;
        if let Some(mac) = self.mac {
            write!(f, " lladdr {mac}")?;
        }
        if self.router {
            f.write_str(" router")?;
        }
        if self.extern_learn {
            f.write_str(" extern_learn")?;
        }
        if self.proxy {
            return f.write_str(" proxy");
        }
        write!(f, " {}", self.state)
    }
}

impl Rtnl {
    /// Makes a neighbour or proxy entry (`RTM_NEWNEIGH`).
    ///
    /// # Errors
    /// `EEXIST`. Proxy entries are made twice without complaint.
    pub async fn add_neighbour(&self, neighbour: &Neighbour) -> Result<(), RtnlError> {
        self.write_neighbour(neighbour, Mode::Create).await
    }

    /// Makes or overwrites a neighbour entry.
    ///
    /// # Errors
    /// As any request.
    pub async fn replace_neighbour(&self, neighbour: &Neighbour) -> Result<(), RtnlError> {
        self.write_neighbour(neighbour, Mode::Replace).await
    }

    /// Overwrites a neighbour entry. Without a MAC it keeps the one it has.
    ///
    /// # Errors
    /// `ENOENT` if there is none.
    pub async fn change_neighbour(&self, neighbour: &Neighbour) -> Result<(), RtnlError> {
        self.write_neighbour(neighbour, Mode::Overwrite).await
    }

    /// Deletes the neighbour (or proxy) entry of that address on that link, whatever its MAC
    /// and state. The kernel marks an entry `FAILED` first and may show it so for a moment.
    ///
    /// # Errors
    /// `ENOENT` if there is none.
    pub async fn delete_neighbour(&self, neighbour: &Neighbour) -> Result<(), RtnlError> {
        self.write_neighbour(neighbour, Mode::Existing).await
    }

    async fn write_neighbour(&self, neighbour: &Neighbour, mode: Mode) -> Result<(), RtnlError> {
        let asked = format!("ip neighbour {} {neighbour}", mode.verb());
        let message = neighbour.message(self.index_of(&asked, &neighbour.dev).await?);
        let request = match mode {
            Mode::Existing => RouteNetlinkMessage::DelNeighbour(message),
            Mode::Create | Mode::Replace | Mode::Overwrite | Mode::Append | Mode::Prepend => {
                RouteNetlinkMessage::NewNeighbour(message)
            }
        };
        self.change(&asked, request, mode).await
    }

    /// All neighbour entries of the namespace, IPv4 and IPv6, without proxy entries.
    pub async fn neighbours(&self) -> Result<Vec<Neighbour>, RtnlError> {
        self.dump_neighbours("ip neighbour show", NeighbourFlags::empty()).await
    }

    /// All proxy entries of the namespace, IPv4 and IPv6.
    pub async fn proxies(&self) -> Result<Vec<Neighbour>, RtnlError> {
        self.dump_neighbours("ip neighbour show proxy", NeighbourFlags::Proxy).await
    }

    async fn dump_neighbours(&self, asked: &str, flags: NeighbourFlags) -> Result<Vec<Neighbour>, RtnlError> {
        let names = self.names().await?;
        let mut found = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut message = NeighbourMessage::default();
            message.header.family = family;
            message.header.flags = flags;
            let messages = self.dump(asked, &RouteNetlinkMessage::GetNeighbour(message)).await?;
            found.extend(messages.iter().filter_map(|message| match message {
                RouteNetlinkMessage::NewNeighbour(entry) => Neighbour::from_message(entry, &names),
                _ => None,
            }));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GATEWAY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(169, 254, 1, 1));
    const MAC: MacAddr = MacAddr([0xee; 6]);

    #[test]
    fn shows_as_ip_does() {
        let entry = Neighbour::new("eth0", GATEWAY, MAC, NudState::Stale);
        assert_eq!(entry.to_string(), "169.254.1.1 dev eth0 lladdr ee:ee:ee:ee:ee:ee STALE");
        assert_eq!(Neighbour::proxy("cali0", GATEWAY).to_string(), "169.254.1.1 dev cali0 proxy");
        let failed = Neighbour::bare("eth0".into(), GATEWAY, NudState::Failed);
        assert_eq!(failed.to_string(), "169.254.1.1 dev eth0 FAILED");
    }

    #[test]
    fn a_message_becomes_the_entry_it_was_made_from() {
        let names: Names = [(2, "eth0".to_owned())].into_iter().collect();
        for entry in [
            Neighbour::new("eth0", GATEWAY, MAC, NudState::Permanent),
            Neighbour::proxy("eth0", "fd00::1".parse().expect("an address")),
            Neighbour::bare("eth0".into(), GATEWAY, NudState::Other(0x06)),
        ] {
            assert_eq!(Neighbour::from_message(&entry.message(2), &names), Some(entry));
        }
    }
}
