//! Routes and policy rules, as `ip route` and `ip rule` name them.

use super::link::IfIndex;
use super::selectors::Selectors;
use crate::addr::IfName;
use core::fmt;
use ipnet::{IpNet, Ipv4Net};
use smallvec::SmallVec;
use std::net::Ipv4Addr;

/// The table of local and broadcast addresses, kept by the kernel.
pub const TABLE_LOCAL: u32 = 255;
/// The ordinary table.
pub const TABLE_MAIN: u32 = 254;
/// The table after main, empty unless someone fills it.
pub const TABLE_DEFAULT: u32 = 253;

/// Distance of a destination (rtm_scope), from far to near.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RtScope(pub u8);

impl RtScope {
    /// Anywhere, through a gateway.
    pub const UNIVERSE: RtScope = RtScope(0);
    /// Inside the site.
    pub const SITE: RtScope = RtScope(200);
    /// On the attached link.
    pub const LINK: RtScope = RtScope(253);
    /// On this host.
    pub const HOST: RtScope = RtScope(254);
    /// Nowhere: the scope of the next hop of a local route.
    pub const NOWHERE: RtScope = RtScope(255);

    /// The scope of that name or number (rtnl_rtscope in iproute2).
    #[must_use]
    pub fn by_name(name: &str) -> Option<RtScope> {
        Some(match name {
            "global" | "universe" => Self::UNIVERSE,
            "site" => Self::SITE,
            "link" => Self::LINK,
            "host" => Self::HOST,
            "nowhere" => Self::NOWHERE,
            n => RtScope(n.parse().ok()?),
        })
    }
}

impl fmt::Display for RtScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::UNIVERSE => f.write_str("global"),
            Self::SITE => f.write_str("site"),
            Self::LINK => f.write_str("link"),
            Self::HOST => f.write_str("host"),
            Self::NOWHERE => f.write_str("nowhere"),
            RtScope(n) => write!(f, "{n}"),
        }
    }
}

/// What a route does with a packet (rtm_type).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RouteKind {
    /// Send it on.
    Unicast,
    /// It is ours.
    Local,
    /// It is a broadcast.
    Broadcast,
    /// Refuse with "host unreachable".
    Unreachable,
    /// Refuse with "administratively prohibited".
    Prohibit,
    /// Drop without a word.
    Blackhole,
    /// End the search in this table and go on with the next rule.
    Throw,
}

impl RouteKind {
    /// The word `ip route` uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            RouteKind::Unicast => "unicast",
            RouteKind::Local => "local",
            RouteKind::Broadcast => "broadcast",
            RouteKind::Unreachable => "unreachable",
            RouteKind::Prohibit => "prohibit",
            RouteKind::Blackhole => "blackhole",
            RouteKind::Throw => "throw",
        }
    }
    /// The kind of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<RouteKind> {
        use RouteKind::{Blackhole, Broadcast, Local, Prohibit, Throw, Unicast, Unreachable};
        [Unicast, Local, Broadcast, Unreachable, Prohibit, Blackhole, Throw]
            .into_iter()
            .find(|k| k.name() == name)
    }
    /// True for kinds that name no device: they end the search with an error.
    #[must_use]
    pub const fn is_reject(self) -> bool {
        matches!(self, RouteKind::Unreachable | RouteKind::Prohibit | RouteKind::Blackhole | RouteKind::Throw)
    }
}

/// Who put a route there (rtm_protocol).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RtProto(pub u8);

impl RtProto {
    /// The kernel itself.
    pub const KERNEL: RtProto = RtProto(2);
    /// `ip route add`.
    pub const BOOT: RtProto = RtProto(3);
    /// An administrator, on purpose.
    pub const STATIC: RtProto = RtProto(4);
    /// The BIRD routing daemon.
    pub const BIRD: RtProto = RtProto(12);
    /// A DHCP client.
    pub const DHCP: RtProto = RtProto(16);

    const NAMES: [(RtProto, &'static str); 5] = [
        (Self::KERNEL, "kernel"),
        (Self::BOOT, "boot"),
        (Self::STATIC, "static"),
        (Self::BIRD, "bird"),
        (Self::DHCP, "dhcp"),
    ];

    /// The protocol of that name or number.
    #[must_use]
    pub fn by_name(name: &str) -> Option<RtProto> {
        let named = Self::NAMES.iter().find(|(_, n)| *n == name).map(|(p, _)| *p);
        named.or_else(|| name.parse().ok().map(RtProto))
    }
}

impl fmt::Display for RtProto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMES.iter().find(|(p, _)| p == self) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

/// One way of a route (struct fib_nh).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct NextHop {
    /// The device.
    pub dev: IfIndex,
    /// The gateway, if any.
    pub via: Option<Ipv4Addr>,
    /// Share in a multipath route, from 1.
    pub weight: u16,
    /// RTNH_F_LINKDOWN: the device lost its carrier.
    pub linkdown: bool,
    /// RTNH_F_DEAD: the device of this leg went down; other legs keep the route.
    pub dead: bool,
}

/// A route of one table.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Route {
    /// Destinations.
    pub dst: Ipv4Net,
    /// What it does.
    pub kind: RouteKind,
    /// Smaller is preferred among equal prefixes.
    pub metric: u32,
    /// Distance.
    pub scope: RtScope,
    /// Origin.
    pub proto: RtProto,
    /// Preferred source address.
    pub src: Option<Ipv4Addr>,
    /// Ways; empty for reject kinds.
    pub hops: SmallVec<[NextHop; 1]>,
}

/// What a policy rule does (fr_act).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RuleAction {
    /// Look into a table; go on when it has nothing.
    Lookup(u32),
    /// Fail with ENETUNREACH.
    Unreachable,
    /// Fail with EINVAL.
    Blackhole,
    /// Fail with EACCES.
    Prohibit,
    /// Go on at the first rule of that priority; where there is none, at the next.
    Goto(u32),
    /// Go on.
    Nop,
    /// Look into the table of the VRF that the packet belongs to. Of a VRF the model knows nothing, and
    /// packets of none are not meant (l3mdev_fib_rule_match).
    L3mdev,
}

/// A policy rule (struct fib4_rule).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Rule {
    /// Smaller is asked first.
    pub priority: u32,
    /// Match the negation of the selectors below (`not`).
    pub invert: bool,
    /// Source selector.
    pub from: Option<IpNet>,
    /// Destination selector.
    pub to: Option<IpNet>,
    /// The device the packet came in by; `lo` matches what the host sends itself.
    pub iif: Option<IfName>,
    /// Mark and mask.
    pub fwmark: Option<(u32, u32)>,
    /// What else it asks of a packet.
    pub more: Selectors,
    /// What to do.
    pub action: RuleAction,
    /// Pass over results whose prefix is this short or shorter.
    pub suppress_prefixlength: Option<u8>,
    /// Pass over results out of a device of that group. All devices of the model are of group 0.
    pub suppress_ifgroup: Option<u32>,
}

impl RuleAction {
    /// The kernel tells the two apart when it looks for a rule: it does not ask where a `goto` leads.
    #[must_use]
    pub fn is_like(self, other: RuleAction) -> bool {
        matches!((self, other), (RuleAction::Goto(_), RuleAction::Goto(_))) || self == other
    }
}

impl Rule {
    /// Whether what a table had is passed over (fib4_rule_suppress): a prefix of that length, out of
    /// a device or of none.
    #[must_use]
    pub fn suppresses(&self, prefix_len: u8, has_device: bool) -> bool {
        self.suppress_prefixlength.is_some_and(|n| prefix_len <= n)
            || (has_device && self.suppress_ifgroup == Some(0))
    }

    /// The table to look into, or the action that is none. Where `not` makes an l3mdev rule fit, it
    /// means the main one: no table is table 0, and that is main (fib_get_table, fib6_get_table).
    pub const fn table(&self) -> Result<u32, RuleAction> {
        match self.action {
            RuleAction::Lookup(table) => Ok(table),
            RuleAction::L3mdev => Ok(TABLE_MAIN),
            action => Err(action),
        }
    }

    /// A rule with no selectors.
    #[must_use]
    pub const fn plain(priority: u32, action: RuleAction) -> Rule {
        Rule {
            priority,
            invert: false,
            from: None,
            to: None,
            iif: None,
            fwmark: None,
            more: Selectors::NONE,
            action,
            suppress_prefixlength: None,
            suppress_ifgroup: None,
        }
    }

    /// Whether adding this rule is refused because of that one (rule_exists): like the deletion
    /// it is blind to addresses that are not said, and to `not`.
    #[must_use]
    pub fn repeats(&self, rule: &Rule) -> bool {
        self.priority == rule.priority
            && self.action.is_like(rule.action)
            && (self.from.is_none() || self.from == rule.from)
            && (self.to.is_none() || self.to == rule.to)
            && self.iif == rule.iif
            && self.fwmark == rule.fwmark
            && self.more.repeat(&rule.more)
            && self.suppress_prefixlength == rule.suppress_prefixlength
            && self.suppress_ifgroup == rule.suppress_ifgroup
    }

    /// The two rules of a new namespace for IPv6 (fib6_rules_net_init, net/ipv6/fib6_rules.c).
    #[must_use]
    pub const fn defaults6() -> [Rule; 2] {
        [Rule::plain(0, RuleAction::Lookup(TABLE_LOCAL)), Rule::plain(32766, RuleAction::Lookup(TABLE_MAIN))]
    }

    /// The three rules of a new namespace (fib_default_rules_init, net/ipv4/fib_rules.c).
    #[must_use]
    pub const fn defaults() -> [Rule; 3] {
        [
            Rule::plain(0, RuleAction::Lookup(TABLE_LOCAL)),
            Rule::plain(32766, RuleAction::Lookup(TABLE_MAIN)),
            Rule::plain(32767, RuleAction::Lookup(TABLE_DEFAULT)),
        ]
    }
}

/// The policy rules of one family.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(in crate::host) struct Rules {
    /// In the order they are asked.
    pub(in crate::host) list: Vec<Rule>,
    /// Those of the kernel's own that were never deleted.
    kernels: SmallVec<[Rule; 3]>,
    /// Someone added a rule, or in IPv4 deleted one: sticky, as in the kernel (fib_has_custom_rules).
    /// Until then the kernel walks no rules, but asks the tables that its own lead to.
    pub(in crate::host) custom: bool,
    walked_when_deleted: bool,
}

impl Rules {
    /// The kernel's own.
    pub(in crate::host) fn new(kernels: &[Rule], walked_when_deleted: bool) -> Rules {
        Rules { list: kernels.to_vec(), kernels: kernels.into(), custom: false, walked_when_deleted }
    }

    /// True when one is there that the kernel cannot tell a rule from (rule_exists). Its own are of
    /// protocol `kernel`, which nobody's are, so that no rule repeats them; among equals they are first.
    pub(in crate::host) fn has(&self, rule: &Rule) -> bool {
        let mut kernels = self.kernels.clone();
        self.list.iter().any(|known| match kernels.iter().position(|k| k == known) {
            Some(at) => {
                kernels.remove(at);
                false
            }
            None => rule.repeats(known),
        })
    }

    /// Puts a rule behind those of its priority.
    pub(in crate::host) fn add(&mut self, rule: Rule) {
        let at = self.list.partition_point(|r| r.priority <= rule.priority);
        self.list.insert(at, rule);
        self.custom = true;
    }

    /// Takes away the first rule that fits. False when none does. In IPv6 that alone makes the kernel
    /// walk no rules (fib6_rule_delete).
    pub(in crate::host) fn remove(&mut self, fits: impl Fn(&Rule) -> bool) -> bool {
        let Some(at) = self.list.iter().position(fits) else { return false };
        let gone = self.list.remove(at);
        // among equals the kernel's is first
        self.kernels.retain(|k| *k != gone);
        self.custom |= self.walked_when_deleted;
        true
    }

    /// The place that a rule without one gets: before the second, whatever the first is
    /// (fib_default_rule_pref).
    pub(in crate::host) fn next_priority(&self) -> u32 {
        self.list.get(1).map_or(0, |second| second.priority.saturating_sub(1))
    }
}
