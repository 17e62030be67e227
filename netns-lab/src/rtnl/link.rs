//! What a link looks like.

use std::fmt;

use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{LinkAttribute, LinkFlags, LinkInfo, LinkMessage, State},
};

use super::{Dev, Rtnl, RtnlError, request::plain_link};
use crate::MacAddr;

/// A network interface, as `ip -details link show` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Number in its namespace (`ifindex`); another namespace may use the same.
    pub index: u32,
    /// Name, at most 15 bytes.
    pub name: String,
    /// Kind of virtual device, such as `veth` or `bridge`; `tun` for a TAP; `None` for `lo`.
    pub kind: Option<String>,
    /// Ethernet address; `None` for what has none.
    pub mac: Option<MacAddr>,
    /// Largest packet, in bytes, without the Ethernet header.
    pub mtu_bytes: u32,
    /// Set up by the administrator (`IFF_UP`).
    pub up: bool,
    /// Up and with a carrier as far as the IP layers are concerned (`IFF_RUNNING`).
    pub running: bool,
    /// The device says that it has a carrier (`IFLA_CARRIER`): a veth whose far end is up, a
    /// TAP whose descriptor is open. `None` if the kernel does not say.
    pub carrier: Option<bool>,
    /// The kernel does no ARP here (`IFF_NOARP`).
    pub no_arp: bool,
    /// Promiscuous by decree of the administrator (`IFF_PROMISC`).
    pub promiscuous: bool,
    /// All flags as the kernel has them; see netdevice(7).
    pub flags: u32,
    /// Operational state (RFC 2863). It is brought up to date in the background and may trail
    /// `carrier` a little.
    pub oper_state: OperState,
    /// How often the carrier came or went.
    pub carrier_changes: Option<u32>,
    /// Index of the link at the other end (`iflink`): for a veth its peer, in whatever
    /// namespace that is.
    pub peer_index: Option<u32>,
    /// Number that this namespace has for the peer's, if the peer is in another.
    pub peer_netns_id: Option<i32>,
    /// Index of the bridge or bond that it is a port of.
    pub master_index: Option<u32>,
}

/// State of an interface according to RFC 2863, as in /sys/class/net/\*/operstate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperState {
    /// The driver does not say: `lo`, and a TAP before its first carrier event.
    Unknown,
    /// A part is missing.
    NotPresent,
    /// Not able to send.
    Down,
    /// Something below is down: a veth whose far end is down.
    LowerLayerDown,
    /// In a test.
    Testing,
    /// Waiting for an event, such as a login.
    Dormant,
    /// Able to send.
    Up,
    /// Something newer than this crate.
    Other(u8),
}

impl From<State> for OperState {
    fn from(state: State) -> Self {
        match state {
            State::Unknown => Self::Unknown,
            State::NotPresent => Self::NotPresent,
            State::Down => Self::Down,
            State::LowerLayerDown => Self::LowerLayerDown,
            State::Testing => Self::Testing,
            State::Dormant => Self::Dormant,
            State::Up => Self::Up,
            other => Self::Other(other.into()),
        }
    }
}

impl fmt::Display for OperState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "UNKNOWN",
            Self::NotPresent => "NOTPRESENT",
            Self::Down => "DOWN",
            Self::LowerLayerDown => "LOWERLAYERDOWN",
            Self::Testing => "TESTING",
            Self::Dormant => "DORMANT",
            Self::Up => "UP",
            Self::Other(state) => return write!(f, "{state}"),
        })
    }
}

impl Link {
    pub(crate) fn from_message(message: &LinkMessage) -> Self {
        let flags = message.header.flags;
        let mut link = Self {
            index: message.header.index,
            name: String::new(),
            kind: None,
            mac: None,
            mtu_bytes: 0,
            up: flags.contains(LinkFlags::Up),
            running: flags.contains(LinkFlags::Running),
            carrier: None,
            no_arp: flags.contains(LinkFlags::Noarp),
            promiscuous: flags.contains(LinkFlags::Promisc),
            flags: flags.bits(),
            oper_state: OperState::Unknown,
            carrier_changes: None,
            peer_index: None,
            peer_netns_id: None,
            master_index: None,
        };
        message.attributes.iter().for_each(|attribute| link.take_in(attribute));
        link
    }

    fn take_in(&mut self, attribute: &LinkAttribute) {
        match attribute {
            LinkAttribute::IfName(name) => self.name.clone_from(name),
            LinkAttribute::Address(bytes) => self.mac = MacAddr::from_slice(bytes),
            LinkAttribute::Mtu(mtu) => self.mtu_bytes = *mtu,
            LinkAttribute::Carrier(carrier) => self.carrier = Some(*carrier != 0),
            LinkAttribute::OperState(state) => self.oper_state = (*state).into(),
            LinkAttribute::CarrierChanges(count) => self.carrier_changes = Some(*count),
            LinkAttribute::Link(index) => self.peer_index = Some(*index),
            LinkAttribute::LinkNetNsId(id) => self.peer_netns_id = Some(*id),
            LinkAttribute::Controller(index) => self.master_index = Some(*index),
            LinkAttribute::LinkInfo(infos) => {
                self.kind = infos.iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind.to_string()),
                    _ => None,
                });
            }
            _ => {}
        }
    }

    /// The interface as a request names it.
    #[must_use]
    pub fn dev(&self) -> Dev {
        Dev::Name(self.name.clone())
    }
}

/// In the manner of `ip link show`, on one line.
impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.index, self.name)?;
        if let Some(peer) = self.peer_index.filter(|peer| *peer != 0) {
            write!(f, "@if{peer}")?;
        }
        write!(f, ": <{}> mtu {}", FlagNames(self.flags), self.mtu_bytes)?;
        if let Some(master) = self.master_index {
            write!(f, " master if{master}")?;
        }
        write!(f, " state {}", self.oper_state)?;
        if let Some(mac) = self.mac {
            write!(f, " link/ether {mac}")?;
        }
        if let Some(id) = self.peer_netns_id {
            write!(f, " link-netnsid {id}")?;
        }
        Ok(())
    }
}

/// Flags in the order and the words of ip(8).
struct FlagNames(u32);

impl fmt::Display for FlagNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [(LinkFlags, &str); 10] = [
            (LinkFlags::Loopback, "LOOPBACK"),
            (LinkFlags::Broadcast, "BROADCAST"),
            (LinkFlags::Pointopoint, "POINTOPOINT"),
            (LinkFlags::Multicast, "MULTICAST"),
            (LinkFlags::Noarp, "NOARP"),
            (LinkFlags::Allmulti, "ALLMULTI"),
            (LinkFlags::Promisc, "PROMISC"),
            (LinkFlags::Up, "UP"),
            (LinkFlags::LowerUp, "LOWER_UP"),
            (LinkFlags::Dormant, "DORMANT"),
        ];
        let flags = LinkFlags::from_bits_retain(self.0);
        let mut separator = "";
        // Up and yet not running is the one absence that ip(8) shows.
        if flags.contains(LinkFlags::Up) && !flags.contains(LinkFlags::Running) {
            f.write_str("NO-CARRIER")?;
            separator = ",";
        }
        for (flag, name) in NAMES {
            if flags.contains(flag) {
                write!(f, "{separator}{name}")?;
                separator = ",";
            }
        }
        Ok(())
    }
}

impl Rtnl {
    /// One interface (`RTM_GETLINK`).
    ///
    /// # Errors
    /// [`RtnlError::NoSuchDevice`] if it is not there.
    pub async fn link(&self, dev: impl Into<Dev>) -> Result<Link, RtnlError> {
        let dev = dev.into();
        let message = self.get_link(&format!("ip link show {dev}"), &dev).await?;
        Ok(Link::from_message(&message))
    }

    /// All interfaces of the namespace, in the order of their indices as a rule.
    pub async fn links(&self) -> Result<Vec<Link>, RtnlError> {
        let message = RouteNetlinkMessage::GetLink(plain_link());
        let messages = self.dump("ip link show", &message).await?;
        Ok(messages
            .iter()
            .filter_map(|message| match message {
                RouteNetlinkMessage::NewLink(link) => Some(Link::from_message(link)),
                _ => None,
            })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_as_ip_does() {
        let mut message = LinkMessage::default();
        message.header.index = 3;
        message.header.flags = LinkFlags::Up
            | LinkFlags::Broadcast
            | LinkFlags::Multicast
            | LinkFlags::LowerUp
            | LinkFlags::Running;
        message.attributes = vec![
            LinkAttribute::IfName("cali0".into()),
            LinkAttribute::Mtu(1500),
            LinkAttribute::Address(vec![0xee; 6]),
            LinkAttribute::OperState(State::Up),
            LinkAttribute::Link(2),
            LinkAttribute::LinkNetNsId(0),
            LinkAttribute::Controller(7),
        ];
        let mut link = Link::from_message(&message);
        assert_eq!(
            link.to_string(),
            "3: cali0@if2: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 master if7 state UP \
             link/ether ee:ee:ee:ee:ee:ee link-netnsid 0"
        );
        link.flags &= !(LinkFlags::Running | LinkFlags::LowerUp).bits();
        assert!(link.to_string().contains("<NO-CARRIER,BROADCAST,MULTICAST,UP>"), "{link}");
    }
}
