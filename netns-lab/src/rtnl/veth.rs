//! Making veth pairs.

use std::{
    fmt,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
};

use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage},
};

use super::{
    Rtnl, RtnlError, name_fault,
    request::{Mode, invalid},
};
use crate::MacAddr;

/// One end of a veth pair that is to be made.
#[derive(Clone, Debug)]
#[must_use]
pub struct VethEnd<'ns> {
    name: String,
    index: u32,
    mac: Option<MacAddr>,
    mtu_bytes: Option<u32>,
    up: bool,
    netns: Option<BorrowedFd<'ns>>,
}

impl<'ns> VethEnd<'ns> {
    /// An end of this name, with a MAC address of the kernel's choice, down, in the namespace
    /// of the handle that makes it.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), index: 0, mac: None, mtu_bytes: None, up: false, netns: None }
    }

    /// Its number in its namespace (`ifindex`), instead of the next free one. Of the near end
    /// always; of the peer only if the near end's is chosen too (`veth_newlink()`).
    pub fn index(mut self, index: u32) -> Self {
        self.index = index;
        self
    }

    /// Its Ethernet address. A chosen one is marked as such (`NET_ADDR_SET`), which keeps udev
    /// from replacing it.
    pub fn mac(mut self, mac: MacAddr) -> Self {
        self.mac = Some(mac);
        self
    }

    /// Largest packet, in bytes, without the Ethernet header; 1500 if not said.
    pub fn mtu_bytes(mut self, mtu_bytes: u32) -> Self {
        self.mtu_bytes = Some(mtu_bytes);
        self
    }

    /// Up from the start, in the same request. Of the near end only: the kernel opens the peer
    /// before it has anything to be joined to (`veth_open()`: `ENOTCONN`), so the peer is set up
    /// through a handle of its own namespace.
    pub fn up(mut self) -> Self {
        self.up = true;
        self
    }

    /// Placed straight into this namespace; it was never anywhere else.
    pub fn in_netns(mut self, netns: &'ns impl AsFd) -> Self {
        self.netns = Some(netns.as_fd());
        self
    }

    fn message(&self) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = self.index;
        if self.up {
            message.header.flags = LinkFlags::Up;
            message.header.change_mask = LinkFlags::Up;
        }
        let attributes = &mut message.attributes;
        attributes.push(LinkAttribute::IfName(self.name.clone()));
        attributes.extend(self.mac.map(|mac| LinkAttribute::Address(mac.octets().to_vec())));
        attributes.extend(self.mtu_bytes.map(LinkAttribute::Mtu));
        attributes.extend(self.netns.map(|netns| LinkAttribute::NetNsFd(netns.as_raw_fd())));
        message
    }
}

impl fmt::Display for VethEnd<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if self.index != 0 {
            write!(f, " index {}", self.index)?;
        }
        if let Some(mac) = self.mac {
            write!(f, " address {mac}")?;
        }
        if let Some(mtu) = self.mtu_bytes {
            write!(f, " mtu {mtu}")?;
        }
        f.write_str(if self.up { " up" } else { "" })?;
        f.write_str(if self.netns.is_some() { " netns FD" } else { "" })
    }
}

impl Rtnl {
    /// Makes a veth pair; see veth(4). Each end may name its namespace, MAC and MTU: it is one
    /// request, and neither end is seen half made.
    ///
    /// # Errors
    /// `EEXIST` if a name is taken where its end is to be; [`RtnlError::Invalid`] if the peer is
    /// to be up.
    pub async fn add_veth(&self, end: &VethEnd<'_>, peer: &VethEnd<'_>) -> Result<(), RtnlError> {
        let asked = format!("ip link add {end} type veth peer name {peer}");
        if let Some(fault) = name_fault(&end.name).or_else(|| name_fault(&peer.name)) {
            return Err(invalid(&asked, fault));
        }
        if peer.up {
            return Err(invalid(
                &asked,
                "the far end of a veth cannot be up at birth; set it up in its namespace",
            ));
        }
        let mut message = end.message();
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer.message()))),
        ]));
        self.change(&asked, RouteNetlinkMessage::NewLink(message), Mode::Create).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_ip_takes_it() {
        let end = VethEnd::new("cali0").mac(MacAddr([0xee; 6])).mtu_bytes(1400).up();
        assert_eq!(end.to_string(), "cali0 address ee:ee:ee:ee:ee:ee mtu 1400 up");
    }
}
