//! Routes and policy rules as they are asked for.

use super::mutation::Family;
use crate::addr::IfName;
use crate::host::state::route::{RouteKind, RtProto, RtScope, Rule, RuleAction};
use crate::host::state::selectors::Selectors;
use ipnet::IpNet;
use smallvec::SmallVec;
use std::net::{IpAddr, Ipv4Addr};

/// A next hop as it is asked for.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct HopSpec {
    /// Gateway.
    pub via: Option<IpAddr>,
    /// Device.
    pub dev: Option<IfName>,
    /// The gateway is on the link whatever the routes say.
    pub onlink: bool,
    /// Share in a multipath route.
    pub weight: u16,
}

/// A route as it is asked for (`ip route add ...`).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RouteSpec {
    /// What it does.
    pub kind: RouteKind,
    /// Destinations.
    pub dst: IpNet,
    /// The table, when not the one that follows from the kind.
    pub table: Option<u32>,
    /// Preference; smaller wins.
    pub metric: Option<u32>,
    /// Distance, when not the one that follows from kind and gateway.
    pub scope: Option<RtScope>,
    /// Origin.
    pub proto: Option<RtProto>,
    /// Preferred source.
    pub src: Option<IpAddr>,
    /// Ways; empty for reject kinds.
    pub hops: SmallVec<[HopSpec; 1]>,
}

impl RouteSpec {
    /// A unicast route to `dst` out of `dev`.
    #[must_use]
    pub fn direct(dst: impl Into<IpNet>, dev: IfName) -> RouteSpec {
        let hop = HopSpec { via: None, dev: Some(dev), onlink: false, weight: 1 };
        RouteSpec { hops: SmallVec::from_iter([hop]), ..RouteSpec::reject(RouteKind::Unicast, dst) }
    }
    /// A unicast route to `dst` through a gateway.
    #[must_use]
    pub fn through(dst: impl Into<IpNet>, via: IpAddr, dev: Option<IfName>) -> RouteSpec {
        let hop = HopSpec { via: Some(via), dev, onlink: false, weight: 1 };
        RouteSpec { hops: SmallVec::from_iter([hop]), ..RouteSpec::reject(RouteKind::Unicast, dst) }
    }
    /// A route without a way.
    #[must_use]
    pub fn reject(kind: RouteKind, dst: impl Into<IpNet>) -> RouteSpec {
        RouteSpec {
            kind,
            dst: dst.into(),
            table: None,
            metric: None,
            scope: None,
            proto: None,
            src: None,
            hops: SmallVec::new(),
        }
    }
}

/// Which routes go (`ip route flush`): those of one table that are all this.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RouteFilter {
    /// Of this family.
    pub family: Family,
    /// In this table; the main one when none is named.
    pub table: Option<u32>,
    /// With one way, out of this device.
    pub dev: Option<IfName>,
    /// Of this origin.
    pub proto: Option<RtProto>,
    /// To just this prefix.
    pub dst: Option<IpNet>,
}

/// What `ip addr add` may say of an address beyond where it is and how far it reaches.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct AddrTerms {
    /// It may be there (`replace`, `change`), and then only the metric of its route changes (IPv4).
    pub replace: bool,
    /// IPv4: the far end, whose prefix is on the link in the place of the own one.
    pub peer: Option<Ipv4Addr>,
    /// IPv4: no route to the prefix comes with it.
    pub noprefixroute: bool,
    /// IPv4: the preference of the route to the prefix.
    pub metric: u32,
}

/// What a deletion compares beside the address itself (inet_rtm_deladdr).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum AddrDelBy {
    /// The prefix length, and that the address lies in the prefix.
    #[default]
    Prefix,
    /// The prefix length, and that this far end lies in the prefix.
    Peer(Ipv4Addr),
    /// Nothing: the first goes. It is what iproute2 asks for when no length is said.
    Address,
}

/// A policy rule as it is asked for. What is not said is the kernel's choice when a rule is added,
/// and anything when one is deleted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RuleSpec {
    /// Of packets of this family.
    pub family: Family,
    /// Smaller is asked first.
    pub priority: Option<u32>,
    /// Match the negation of the selectors (`not`).
    pub invert: bool,
    /// Source selector.
    pub from: Option<IpNet>,
    /// Destination selector.
    pub to: Option<IpNet>,
    /// The device the packet came in by.
    pub iif: Option<IfName>,
    /// Mark and mask.
    pub fwmark: Option<(u32, u32)>,
    /// What else it asks of a packet.
    pub more: Selectors,
    /// What to do; a rule that is added looks into the main table.
    pub action: Option<RuleAction>,
    /// Pass over results whose prefix is this short or shorter.
    pub suppress_prefixlength: Option<u8>,
    /// Pass over results out of a device of that group.
    pub suppress_ifgroup: Option<u32>,
}

impl RuleSpec {
    /// Nothing is said yet.
    #[must_use]
    pub const fn any(family: Family) -> RuleSpec {
        RuleSpec {
            family,
            priority: None,
            invert: false,
            from: None,
            to: None,
            iif: None,
            fwmark: None,
            more: Selectors::NONE,
            action: None,
            suppress_prefixlength: None,
            suppress_ifgroup: None,
        }
    }

    /// All that a rule is.
    #[must_use]
    pub const fn of(family: Family, rule: &Rule) -> RuleSpec {
        RuleSpec {
            family,
            priority: Some(rule.priority),
            invert: rule.invert,
            from: rule.from,
            to: rule.to,
            iif: rule.iif,
            fwmark: rule.fwmark,
            more: rule.more,
            action: Some(rule.action),
            suppress_prefixlength: rule.suppress_prefixlength,
            suppress_ifgroup: rule.suppress_ifgroup,
        }
    }

    /// Whether a deletion with these words means that rule: what is not said does not count, and
    /// nobody can ask for a rule without `not` (rule_find).
    #[must_use]
    pub fn selects(&self, rule: &Rule) -> bool {
        self.priority.is_none_or(|p| p == rule.priority)
            && self.action.is_none_or(|a| a.is_like(rule.action))
            && (self.from.is_none() || self.from == rule.from)
            && (self.to.is_none() || self.to == rule.to)
            && (self.iif.is_none() || self.iif == rule.iif)
            && self.mark_selects(rule)
            && self.more.select(&rule.more)
            && (self.suppress_prefixlength.is_none()
                || self.suppress_prefixlength == rule.suppress_prefixlength)
            && (self.suppress_ifgroup.is_none() || self.suppress_ifgroup == rule.suppress_ifgroup)
    }
    /// Mark and mask are compared one by one, and neither when it is 0.
    fn mark_selects(&self, rule: &Rule) -> bool {
        let (said, known) = (self.fwmark.unwrap_or((0, 0)), rule.fwmark.unwrap_or((0, 0)));
        (said.0 == 0 || said.0 == known.0) && (said.1 == 0 || said.1 == known.1)
    }
}
