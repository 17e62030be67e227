//! What takes back what a netlink message did.

use std::fmt;

use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{LinkAttribute, LinkFlags, LinkMessage},
};

use crate::{
    Netns, RtnlError,
    rtnl::{Address, LinkChange, Names, Neighbour, Route, Rule},
};

/// The reverse of a request for a change, in the namespace of its socket. Shown as ip(8) takes it.
///
/// What was there before is not known to a message, so only what was made can be deleted, a link
/// that was set up be set down, and one that was put under a bridge be taken from there.
#[derive(Clone, PartialEq, Debug)]
pub enum Undo {
    /// Deletes a link.
    DeleteLink(String),
    /// Sets a link down.
    SetDown(String),
    /// Takes a link from its bridge.
    NoMaster(String),
    /// Deletes an address.
    DeleteAddress(Address),
    /// Deletes a route.
    DeleteRoute(Route),
    /// Deletes a rule of policy routing.
    DeleteRule(Rule),
    /// Deletes an entry of the neighbour table.
    DeleteNeighbour(Neighbour),
}

impl Undo {
    pub(super) fn of(message: &RouteNetlinkMessage, makes: bool, names: &Names) -> Option<Self> {
        use RouteNetlinkMessage as M;
        match message {
            M::NewLink(link) | M::SetLink(link) => of_link(link, makes, names),
            M::NewAddress(it) => Address::from_message(it, names).map(Self::DeleteAddress),
            M::NewRoute(it) => Route::from_message(it, names).map(Self::DeleteRoute),
            M::NewRule(it) => Rule::from_message(it).map(Self::DeleteRule),
            M::NewNeighbour(it) => Neighbour::from_message(it, names).map(Self::DeleteNeighbour),
            _ => None,
        }
    }

    /// Does it.
    ///
    /// # Errors
    /// The kernel's: it may be undone already.
    pub fn apply(&self, netns: &Netns) -> Result<(), RtnlError> {
        let rtnl = netns.blocking();
        match self {
            Self::DeleteLink(name) => rtnl.delete_link(name.as_str()),
            Self::SetDown(name) => rtnl.set_down(name.as_str()),
            Self::NoMaster(name) => rtnl.change_link(name.as_str(), &LinkChange::new().no_master()),
            Self::DeleteAddress(it) => rtnl.delete_address(it),
            Self::DeleteRoute(it) => rtnl.delete_route(it),
            Self::DeleteRule(it) if it.priority.unwrap_or(0) == 0 => {
                // the kernel chose one
                let rules = rtnl.rules()?;
                let made =
                    rules.into_iter().find(|rule| Rule { priority: it.priority, ..rule.clone() } == *it);
                rtnl.delete_rule(&made.unwrap_or_else(|| it.clone()))
            }
            Self::DeleteRule(it) => rtnl.delete_rule(it),
            Self::DeleteNeighbour(it) => rtnl.delete_neighbour(it),
        }
    }
}

fn of_link(link: &LinkMessage, makes: bool, names: &Names) -> Option<Undo> {
    let by_name = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.clone()),
        _ => None,
    });
    if link.header.index == 0 && makes {
        return by_name.map(Undo::DeleteLink);
    }
    let known = (link.header.index != 0).then(|| names.dev(link.header.index));
    let name = known.as_ref().and_then(|dev| dev.name()).map(str::to_owned).or(by_name)?;
    let goes_under =
        |attribute: &LinkAttribute| matches!(attribute, LinkAttribute::Controller(index) if *index != 0);
    if link.attributes.iter().any(goes_under) {
        return Some(Undo::NoMaster(name));
    }
    let up = link.header.flags.contains(LinkFlags::Up) && link.header.change_mask.contains(LinkFlags::Up);
    up.then_some(Undo::SetDown(name))
}

impl fmt::Display for Undo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeleteLink(name) => write!(f, "ip link del {name}"),
            Self::SetDown(name) => write!(f, "ip link set {name} down"),
            Self::NoMaster(name) => write!(f, "ip link set {name} nomaster"),
            Self::DeleteAddress(it) => write!(f, "ip address del {it}"),
            Self::DeleteRoute(it) => write!(f, "ip route del {it}"),
            Self::DeleteRule(it) => write!(f, "ip rule del {it}"),
            Self::DeleteNeighbour(it) => write!(f, "ip neighbour del {it}"),
        }
    }
}
