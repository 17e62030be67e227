//! Changing, moving and deleting links, and making bridges.

use std::{
    fmt,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
};

use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{LinkAttribute, LinkFlags, LinkMessage},
};
use rtnetlink::LinkBridge;

use super::{
    Dev, Rtnl, RtnlError, name_fault,
    request::{Mode, invalid},
};
use crate::MacAddr;

/// What shall become of a link; what is not named stays. Printed as ip(8) takes it.
///
/// All of it travels in one request; the kernel (`do_setlink()`) applies MAC, MTU, master and
/// name before the flags, and does not undo what it did before it found an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct LinkChange {
    up: Option<bool>,
    arp: Option<bool>,
    promiscuous: Option<bool>,
    mac: Option<MacAddr>,
    mtu_bytes: Option<u32>,
    name: Option<String>,
    master: Master,
}

/// What shall become of its place in a bridge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Master {
    #[default]
    Keep,
    Leave,
    Join(Dev),
}

impl LinkChange {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Up or down (`IFF_UP`). Down flushes the link's routes, neighbours and IPv6 addresses.
    pub fn up(mut self, up: bool) -> Self {
        self.up = Some(up);
        self
    }

    /// Whether the kernel does ARP on it: `false` sets `IFF_NOARP`.
    pub fn arp(mut self, arp: bool) -> Self {
        self.arp = Some(arp);
        self
    }

    /// Whether it takes frames for other MAC addresses (`IFF_PROMISC`).
    pub fn promiscuous(mut self, on: bool) -> Self {
        self.promiscuous = Some(on);
        self
    }

    /// Its Ethernet address. On a link that is up the kernel flushes its neighbours and, with
    /// `arp_notify`, announces the change.
    pub fn mac(mut self, mac: MacAddr) -> Self {
        self.mac = Some(mac);
        self
    }

    /// Largest packet, in bytes, without the Ethernet header.
    pub fn mtu_bytes(mut self, mtu_bytes: u32) -> Self {
        self.mtu_bytes = Some(mtu_bytes);
        self
    }

    /// A new name. Before Linux 6.2 only for a link that is down (`EBUSY`).
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// A port of this bridge.
    pub fn master(mut self, bridge: impl Into<Dev>) -> Self {
        self.master = Master::Join(bridge.into());
        self
    }

    /// No port of any bridge.
    pub fn no_master(mut self) -> Self {
        self.master = Master::Leave;
        self
    }

    fn flags(&self) -> (LinkFlags, LinkFlags) {
        // `arp` is stated the other way round from the kernel's flag.
        let no_arp = self.arp.map(|arp| !arp);
        let wishes =
            [(LinkFlags::Up, self.up), (LinkFlags::Noarp, no_arp), (LinkFlags::Promisc, self.promiscuous)];
        let mut flags = LinkFlags::empty();
        let mut mask = LinkFlags::empty();
        for (flag, wish) in wishes {
            if let Some(on) = wish {
                flags.set(flag, on);
                mask |= flag;
            }
        }
        (flags, mask)
    }
}

impl fmt::Display for LinkChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        let on_off = |on: bool| if on { "on" } else { "off" };
        words.extend(self.mac.map(|mac| format!("address {mac}")));
        words.extend(self.mtu_bytes.map(|mtu| format!("mtu {mtu}")));
        words.extend(self.name.as_ref().map(|name| format!("name {name}")));
        words.extend(match &self.master {
            Master::Keep => None,
            Master::Leave => Some("nomaster".to_owned()),
            Master::Join(bridge) => Some(format!("master {bridge}")),
        });
        words.extend(self.arp.map(|arp| format!("arp {}", on_off(arp))));
        words.extend(self.promiscuous.map(|on| format!("promisc {}", on_off(on))));
        words.extend(self.up.map(|up| if up { "up" } else { "down" }.to_owned()));
        f.write_str(&words.join(" "))
    }
}

impl Rtnl {
    /// Changes a link (`RTM_SETLINK`).
    ///
    /// # Errors
    /// `EBUSY` for a rename of a link that is up on old kernels, `EINVAL` for an MTU out of
    /// the device's range, [`RtnlError::NoSuchDevice`] for an unknown bridge.
    pub async fn change_link(&self, dev: impl Into<Dev>, change: &LinkChange) -> Result<(), RtnlError> {
        let dev = dev.into();
        let asked = format!("ip link set {dev} {change}");
        if let Some(fault) = change.name.as_deref().and_then(name_fault) {
            return Err(invalid(&asked, fault));
        }
        let mut message = self.message_for(&asked, &dev).await?;
        (message.header.flags, message.header.change_mask) = change.flags();
        let attributes = &mut message.attributes;
        attributes.extend(change.mac.map(|mac| LinkAttribute::Address(mac.octets().to_vec())));
        attributes.extend(change.mtu_bytes.map(LinkAttribute::Mtu));
        attributes.extend(change.name.clone().map(LinkAttribute::IfName));
        attributes.extend(match &change.master {
            Master::Keep => None,
            Master::Leave => Some(LinkAttribute::Controller(0)),
            Master::Join(bridge) => Some(LinkAttribute::Controller(self.index_of(&asked, bridge).await?)),
        });
        self.change(&asked, RouteNetlinkMessage::SetLink(message), Mode::Existing).await
    }

    /// Sets a link up.
    ///
    /// # Errors
    /// As [`Rtnl::change_link`].
    pub async fn set_up(&self, dev: impl Into<Dev>) -> Result<(), RtnlError> {
        self.change_link(dev, &LinkChange::new().up(true)).await
    }

    /// Sets a link down; the kernel flushes its routes and neighbours.
    ///
    /// # Errors
    /// As [`Rtnl::change_link`].
    pub async fn set_down(&self, dev: impl Into<Dev>) -> Result<(), RtnlError> {
        self.change_link(dev, &LinkChange::new().up(false)).await
    }

    /// Moves a link into the namespace behind `netns` (`IFLA_NET_NS_FD`). It arrives down and
    /// without addresses, and with another index if its own is taken there.
    ///
    /// # Errors
    /// `EEXIST` if the name is taken there, `EINVAL` for links that may not move, such as `lo`.
    pub async fn move_link(&self, dev: impl Into<Dev>, netns: &impl AsFd) -> Result<(), RtnlError> {
        let dev = dev.into();
        self.move_to(&format!("ip link set {dev} netns FD"), &dev, netns.as_fd()).await
    }

    async fn move_to(&self, asked: &str, dev: &Dev, netns: BorrowedFd<'_>) -> Result<(), RtnlError> {
        let mut message = self.message_for(asked, dev).await?;
        message.attributes.push(LinkAttribute::NetNsFd(netns.as_raw_fd()));
        self.change(asked, RouteNetlinkMessage::SetLink(message), Mode::Existing).await
    }

    /// Deletes a link. The far end of a veth goes with it, in whatever namespace it is.
    ///
    /// # Errors
    /// `EOPNOTSUPP` for links that cannot be deleted, such as `lo`.
    pub async fn delete_link(&self, dev: impl Into<Dev>) -> Result<(), RtnlError> {
        let dev = dev.into();
        let asked = format!("ip link del {dev}");
        let message = self.message_for(&asked, &dev).await?;
        self.change(&asked, RouteNetlinkMessage::DelLink(message), Mode::Existing).await
    }

    /// Makes a bridge, down. Ports join it by [`LinkChange::master`].
    ///
    /// # Errors
    /// `EEXIST`; `EOPNOTSUPP` where the kernel has no bridges (`CONFIG_BRIDGE`).
    pub async fn add_bridge(&self, name: &str) -> Result<(), RtnlError> {
        let asked = format!("ip link add {name} type bridge");
        if let Some(fault) = name_fault(name) {
            return Err(invalid(&asked, fault));
        }
        let message = LinkBridge::new(name).down().build();
        self.change(&asked, RouteNetlinkMessage::NewLink(message), Mode::Create).await
    }

    /// A message about `dev`, by index: attributes may then hold a new name.
    async fn message_for(&self, asked: &str, dev: &Dev) -> Result<LinkMessage, RtnlError> {
        let mut message = LinkMessage::default();
        message.header.index = self.index_of(asked, dev).await?;
        Ok(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_ip_takes_it() {
        let change = LinkChange::new()
            .up(true)
            .arp(false)
            .promiscuous(true)
            .mtu_bytes(1450)
            .mac(MacAddr([0xee; 6]))
            .name("eth0")
            .master("br0");
        assert_eq!(
            change.to_string(),
            "address ee:ee:ee:ee:ee:ee mtu 1450 name eth0 master br0 arp off promisc on up"
        );
        assert_eq!(LinkChange::new().no_master().up(false).to_string(), "nomaster down");
    }

    #[test]
    fn only_named_flags_are_in_the_mask() {
        assert_eq!(LinkChange::new().mtu_bytes(9).flags(), (LinkFlags::empty(), LinkFlags::empty()));
        assert_eq!(LinkChange::new().arp(true).flags(), (LinkFlags::empty(), LinkFlags::Noarp));
        assert_eq!(LinkChange::new().up(true).flags(), (LinkFlags::Up, LinkFlags::Up));
    }
}
