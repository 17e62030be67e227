//! Addresses of links.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
};

use ipnet::IpNet;
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressFlags, AddressMessage},
};

use super::{
    Dev, Rtnl, RtnlError, Scope,
    request::{Mode, Names},
};

/// An address on a link, shown as `ip address` does: `inet 10.42.0.7/32 scope global dev eth0`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Address {
    /// The link it is on.
    pub dev: Dev,
    /// The address with the length of its prefix: 10.0.0.7/24 is the host .7, not the network.
    pub net: IpNet,
    /// How far it is valid.
    pub scope: Scope,
    /// The far end of a point-to-point link.
    pub peer: Option<IpAddr>,
    /// The broadcast address (IPv4); not set unless asked for, as with ip(8).
    pub broadcast: Option<Ipv4Addr>,
    /// Usable at once, without duplicate address detection (IPv6, `IFA_F_NODAD`).
    pub no_dad: bool,
    /// Without the route to its prefix that the kernel otherwise makes
    /// (`IFA_F_NOPREFIXROUTE`).
    pub no_prefix_route: bool,
    /// The preference of that route (`IFA_RT_PRIORITY`); the kernel's own where it is not given.
    pub metric: Option<u32>,
    /// Duplicate address detection has not finished (`IFA_F_TENTATIVE`); in dumps only.
    pub tentative: bool,
    /// Duplicate address detection found a duplicate (`IFA_F_DADFAILED`); in dumps only.
    pub dad_failed: bool,
}

impl Address {
    /// `net` on `dev`, scope global, or host for loopback addresses, as ip(8) chooses.
    pub fn new(dev: impl Into<Dev>, net: IpNet) -> Self {
        let scope = if net.addr().is_loopback() { Scope::Host } else { Scope::Global };
        Self {
            dev: dev.into(),
            net,
            scope,
            peer: None,
            broadcast: None,
            no_dad: false,
            no_prefix_route: false,
            metric: None,
            tentative: false,
            dad_failed: false,
        }
    }

    /// How far it is valid.
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// The far end of a point-to-point link.
    pub fn peer(mut self, peer: IpAddr) -> Self {
        self.peer = Some(peer);
        self
    }

    /// The broadcast address.
    pub fn broadcast(mut self, broadcast: Ipv4Addr) -> Self {
        self.broadcast = Some(broadcast);
        self
    }

    /// Skips duplicate address detection (IPv6), so that the address is usable at once instead
    /// of after a second or two.
    pub fn no_dad(mut self) -> Self {
        self.no_dad = true;
        self
    }

    /// Makes no route to the prefix.
    pub fn no_prefix_route(mut self) -> Self {
        self.no_prefix_route = true;
        self
    }

    fn message(&self, index: u32) -> AddressMessage {
        let mut message = AddressMessage::default();
        message.header.family = family(self.net.addr());
        message.header.prefix_len = self.net.prefix_len();
        message.header.scope = u8::from(self.scope).into();
        message.header.index = index;
        let attributes = &mut message.attributes;
        attributes.push(AddressAttribute::Local(self.net.addr()));
        attributes.push(AddressAttribute::Address(self.peer.unwrap_or(self.net.addr())));
        attributes.extend(self.broadcast.map(AddressAttribute::Broadcast));
        attributes.extend(self.metric.map(AddressAttribute::RoutePriority));
        let mut flags = AddressFlags::empty();
        flags.set(AddressFlags::Nodad, self.no_dad);
        flags.set(AddressFlags::Noprefixroute, self.no_prefix_route);
        if !flags.is_empty() {
            attributes.push(AddressAttribute::Flags(flags));
        }
        message
    }

    pub(crate) fn from_message(message: &AddressMessage, names: &Names) -> Option<Self> {
        let mut local = None;
        let mut address = None;
        let mut broadcast = None;
        let mut metric = None;
        let mut flags = AddressFlags::from_bits_retain(message.header.flags.bits().into());
        for attribute in &message.attributes {
            match attribute {
                AddressAttribute::Local(ip) => local = Some(*ip),
                AddressAttribute::Address(ip) => address = Some(*ip),
                AddressAttribute::Broadcast(ip) => broadcast = Some(*ip),
                AddressAttribute::RoutePriority(priority) => metric = Some(*priority),
                AddressAttribute::Flags(all) => flags = *all,
                _ => {}
            }
        }
        // IPv6 has IFA_LOCAL only when there is a peer.
        let own = local.or(address)?;
        Some(Self {
            dev: names.dev(message.header.index),
            net: IpNet::new(own, message.header.prefix_len).ok()?,
            scope: u8::from(message.header.scope).into(),
            peer: address.filter(|peer| *peer != own),
            broadcast,
            metric,
            no_dad: flags.contains(AddressFlags::Nodad),
            no_prefix_route: flags.contains(AddressFlags::Noprefixroute),
            tentative: flags.contains(AddressFlags::Tentative),
            dad_failed: flags.contains(AddressFlags::Dadfailed),
        })
    }
}

pub(super) fn family(ip: IpAddr) -> AddressFamily {
    if ip.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.net.addr().is_ipv4() { "inet " } else { "inet6 " })?;
        match self.peer {
            Some(peer) => write!(f, "{} peer {peer}/{}", self.net.addr(), self.net.prefix_len())?,
            None => write!(f, "{}", self.net)?,
        }
        if let Some(broadcast) = self.broadcast {
            write!(f, " brd {broadcast}")?;
        }
        if let Some(metric) = self.metric {
            write!(f, " metric {metric}")?;
        }
        write!(f, " scope {} dev {}", self.scope, self.dev)?;
        let flags = [
            (self.no_dad, " nodad"),
            (self.no_prefix_route, " noprefixroute"),
            (self.tentative, " tentative"),
            (self.dad_failed, " dadfailed"),
        ];
        flags.iter().filter(|(on, _)| *on).try_for_each(|(_, word)| f.write_str(word))
    }
}

impl Rtnl {
    /// Puts an address on a link (`RTM_NEWADDR`). On a link that is up the kernel adds the
    /// routes to the address and, for short prefixes, to its network.
    ///
    /// # Errors
    /// `EEXIST` if the link has it.
    pub async fn add_address(&self, address: &Address) -> Result<(), RtnlError> {
        let asked = format!("ip address add {address}");
        let message = address.message(self.index_of(&asked, &address.dev).await?);
        self.change(&asked, RouteNetlinkMessage::NewAddress(message), Mode::Create).await
    }

    /// The same where the link may have it: then only its lifetimes and the preference of its route
    /// change.
    pub async fn replace_address(&self, address: &Address) -> Result<(), RtnlError> {
        let asked = format!("ip address replace {address}");
        let message = address.message(self.index_of(&asked, &address.dev).await?);
        self.change(&asked, RouteNetlinkMessage::NewAddress(message), Mode::Replace).await
    }

    /// Takes the first of a link's addresses that is this one, whatever its prefix: what ip(8) asks for
    /// when it is told no length.
    ///
    /// # Errors
    /// `EADDRNOTAVAIL` if the link does not have it.
    pub async fn delete_address_of(&self, dev: &Dev, ip: IpAddr) -> Result<(), RtnlError> {
        let asked = format!("ip address del {ip} dev {dev}");
        let mut message = Address::new(dev.clone(), ip.into()).message(self.index_of(&asked, dev).await?);
        message.attributes.retain(|attribute| !matches!(attribute, AddressAttribute::Address(_)));
        self.change(&asked, RouteNetlinkMessage::DelAddress(message), Mode::Existing).await
    }

    /// Takes an address from a link. When its last IPv4 address goes, the kernel flushes all
    /// IPv4 routes over that link.
    ///
    /// # Errors
    /// `EADDRNOTAVAIL` if the link does not have it.
    pub async fn delete_address(&self, address: &Address) -> Result<(), RtnlError> {
        let asked = format!("ip address del {address}");
        let message = address.message(self.index_of(&asked, &address.dev).await?);
        self.change(&asked, RouteNetlinkMessage::DelAddress(message), Mode::Existing).await
    }

    /// All addresses of the namespace, IPv4 and IPv6.
    pub async fn addresses(&self) -> Result<Vec<Address>, RtnlError> {
        let names = self.names().await?;
        let message = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        let messages = self.dump("ip address show", &message).await?;
        Ok(messages
            .iter()
            .filter_map(|message| match message {
                RouteNetlinkMessage::NewAddress(address) => Address::from_message(address, &names),
                _ => None,
            })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().expect("a prefix")
    }

    #[test]
    fn shows_as_ip_does() {
        let shown = |address: Address| address.to_string();
        assert_eq!(
            shown(Address::new("eth0", net("10.42.0.7/32"))),
            "inet 10.42.0.7/32 scope global dev eth0"
        );
        assert_eq!(
            shown(Address::new("lo", net("127.0.0.1/8")).broadcast(Ipv4Addr::new(127, 255, 255, 255))),
            "inet 127.0.0.1/8 brd 127.255.255.255 scope host dev lo"
        );
        assert_eq!(
            shown(Address::new("eth0", net("fe80::1/64")).scope(Scope::Link).no_dad()),
            "inet6 fe80::1/64 scope link dev eth0 nodad"
        );
        assert_eq!(
            shown(Address::new("p", net("10.0.0.1/32")).peer(Ipv4Addr::new(10, 0, 0, 2).into())),
            "inet 10.0.0.1 peer 10.0.0.2/32 scope global dev p"
        );
    }

    #[test]
    fn a_message_becomes_the_address_it_was_made_from() {
        let names: Names = [(4, "eth0".to_owned())].into_iter().collect();
        for address in [
            Address::new("eth0", net("10.0.0.7/24")).broadcast(Ipv4Addr::new(10, 0, 0, 255)),
            Address {
                metric: Some(50),
                ..Address::new("eth0", net("fd00::7/64")).no_dad().no_prefix_route()
            },
            Address::new("eth0", net("10.0.0.1/32")).peer(Ipv4Addr::new(10, 0, 0, 2).into()),
        ] {
            assert_eq!(Address::from_message(&address.message(4), &names), Some(address));
        }
    }
}
