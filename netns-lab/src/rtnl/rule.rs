//! Policy rules: which table is looked at, in which order.

use std::fmt;

use ipnet::IpNet;
use netlink_packet_route::{
    AddressFamily, IpProtocol, RouteNetlinkMessage,
    rule::{RuleAction as WireAction, RuleAttribute, RuleFlags, RuleMessage, RulePortRange, RuleUidRange},
};

use super::{
    Rtnl, RtnlError,
    request::{Mode, invalid},
    table,
};

/// What a rule does with a packet that it matches (`FR_ACT_*`); see ip-rule(8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RuleAction {
    /// Looks into this table.
    Table(u32),
    /// Goes on at the rule of this priority.
    Goto(u32),
    /// Does nothing.
    Nop,
    /// Drops it.
    Blackhole,
    /// Answers "network unreachable".
    Unreachable,
    /// Answers "administratively prohibited".
    Prohibit,
    /// Looks into the table of the VRF that the packet belongs to (`FRA_L3MDEV`).
    L3mdev,
    /// Something newer than this crate.
    Other(u8),
}

/// A policy rule, shown as `100: from 10.42.0.0/16 iif cali0 fwmark 0x1/0xff lookup 7`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Rule {
    /// Of IPv6 packets; else of IPv4 packets.
    pub v6: bool,
    /// Place in the order, lowest first. `None` leaves it to the kernel (one before the first
    /// rule that is not 0), and in a deletion matches any.
    pub priority: Option<u32>,
    /// From these sources.
    pub from: Option<IpNet>,
    /// To these destinations.
    pub to: Option<IpNet>,
    /// Arriving over the link of this name; `lo` means packets of this host.
    pub iif: Option<String>,
    /// Leaving, by the sending socket's choice, over the link of this name.
    pub oif: Option<String>,
    /// With this firewall mark, under this mask.
    pub mark: Option<(u32, u32)>,
    /// All other packets than those (`not`).
    pub invert: bool,
    /// Passing over routes whose prefix is so long or shorter (`suppress_prefixlength`).
    pub suppress_prefix_len: Option<u32>,
    /// Passing over routes out of a link of this group (`suppress_ifgroup`).
    pub suppress_ifgroup: Option<u32>,
    /// With this dsfield; 0 is any.
    pub tos: u8,
    /// Of a socket of these users, first and last.
    pub uids: Option<(u32, u32)>,
    /// Of this IP protocol.
    pub ip_proto: Option<u8>,
    /// From these ports, first and last.
    pub sport: Option<(u16, u16)>,
    /// To these ports, first and last.
    pub dport: Option<(u16, u16)>,
    /// What to do.
    pub action: RuleAction,
}

impl Rule {
    /// A rule for all IPv4 packets.
    pub fn v4(action: RuleAction) -> Self {
        Self {
            v6: false,
            priority: None,
            from: None,
            to: None,
            iif: None,
            oif: None,
            mark: None,
            invert: false,
            suppress_prefix_len: None,
            suppress_ifgroup: None,
            tos: 0,
            uids: None,
            ip_proto: None,
            sport: None,
            dport: None,
            action,
        }
    }

    /// A rule for all IPv6 packets.
    pub fn v6(action: RuleAction) -> Self {
        Self { v6: true, ..Self::v4(action) }
    }

    /// Place in the order.
    pub fn priority(mut self, priority: u32) -> Self {
        self.priority = Some(priority);
        self
    }

    /// From these sources.
    pub fn from(mut self, from: IpNet) -> Self {
        self.from = Some(from.trunc());
        self
    }

    /// To these destinations.
    pub fn to(mut self, to: IpNet) -> Self {
        self.to = Some(to.trunc());
        self
    }

    /// Arriving over this link, which need not exist yet.
    pub fn iif(mut self, name: impl Into<String>) -> Self {
        self.iif = Some(name.into());
        self
    }

    /// With this firewall mark, all bits compared.
    pub fn mark(mut self, mark: u32) -> Self {
        self.mark = Some((mark, u32::MAX));
        self
    }

    fn fault(&self) -> Option<&'static str> {
        let foreign = |net: Option<IpNet>| net.is_some_and(|net| net.addr().is_ipv6() != self.v6);
        if foreign(self.from) || foreign(self.to) {
            return Some("its addresses are of the other family");
        }
        (self.action == RuleAction::Table(0)).then_some("there is no table 0")
    }

    fn message(&self) -> RuleMessage {
        let mut message = RuleMessage::default();
        let header = &mut message.header;
        header.family = if self.v6 { AddressFamily::Inet6 } else { AddressFamily::Inet };
        header.src_len = self.from.map_or(0, |net| net.prefix_len());
        header.dst_len = self.to.map_or(0, |net| net.prefix_len());
        header.tos = self.tos;
        header.flags.set(RuleFlags::Invert, self.invert);
        let attributes = &mut message.attributes;
        header.action = match self.action {
            RuleAction::Table(table) => {
                // A number above 255 is in FRA_TABLE only.
                header.table = u8::try_from(table).unwrap_or(0);
                attributes.push(RuleAttribute::Table(table));
                WireAction::ToTable
            }
            RuleAction::Goto(priority) => {
                attributes.push(RuleAttribute::Goto(priority));
                WireAction::Goto
            }
            RuleAction::Nop => WireAction::Nop,
            RuleAction::Blackhole => WireAction::Blackhole,
            RuleAction::Unreachable => WireAction::Unreachable,
            RuleAction::Prohibit => WireAction::Prohibit,
            RuleAction::L3mdev => {
                attributes.push(RuleAttribute::L3MDev(true));
                WireAction::ToTable
            }
            RuleAction::Other(action) => WireAction::from(action),
        };
        attributes.extend(self.priority.map(RuleAttribute::Priority));
        attributes.extend(self.from.map(|net| RuleAttribute::Source(net.addr())));
        attributes.extend(self.to.map(|net| RuleAttribute::Destination(net.addr())));
        attributes.extend(self.iif.clone().map(RuleAttribute::Iifname));
        attributes.extend(self.oif.clone().map(RuleAttribute::Oifname));
        if let Some((mark, mask)) = self.mark {
            attributes.push(RuleAttribute::FwMark(mark));
            attributes.push(RuleAttribute::FwMask(mask));
        }
        attributes.extend(self.suppress_prefix_len.map(RuleAttribute::SuppressPrefixLen));
        attributes.extend(self.suppress_ifgroup.map(RuleAttribute::SuppressIfGroup));
        attributes.extend(self.uids.map(|(start, end)| RuleAttribute::UidRange(RuleUidRange { start, end })));
        attributes.extend(self.ip_proto.map(|p| RuleAttribute::IpProtocol(IpProtocol::from(i32::from(p)))));
        let range = |(start, end)| RulePortRange { start, end };
        attributes.extend(self.sport.map(|ports| RuleAttribute::SourcePortRange(range(ports))));
        attributes.extend(self.dport.map(|ports| RuleAttribute::DestinationPortRange(range(ports))));
        message
    }

    pub(crate) fn from_message(message: &RuleMessage) -> Option<Self> {
        let header = &message.header;
        let mut rule = Self::v4(RuleAction::Nop);
        rule.v6 = header.family == AddressFamily::Inet6;
        rule.invert = header.flags.contains(RuleFlags::Invert);
        // The kernel leaves out a priority of 0.
        rule.priority = Some(0);
        let mut table = u32::from(header.table);
        let mut target = 0;
        let mut l3mdev = false;
        rule.tos = header.tos;
        for attribute in &message.attributes {
            match attribute {
                RuleAttribute::Priority(priority) => rule.priority = Some(*priority),
                RuleAttribute::Source(ip) => rule.from = Some(IpNet::new(*ip, header.src_len).ok()?),
                RuleAttribute::Destination(ip) => rule.to = Some(IpNet::new(*ip, header.dst_len).ok()?),
                RuleAttribute::Iifname(name) => rule.iif = Some(name.clone()),
                RuleAttribute::Oifname(name) => rule.oif = Some(name.clone()),
                RuleAttribute::FwMark(mark) => rule.mark.get_or_insert((0, u32::MAX)).0 = *mark,
                RuleAttribute::FwMask(mask) => rule.mark.get_or_insert((0, 0)).1 = *mask,
                RuleAttribute::Table(number) => table = *number,
                RuleAttribute::Goto(priority) => target = *priority,
                // the kernel says -1 where none is set
                RuleAttribute::SuppressPrefixLen(len) => {
                    rule.suppress_prefix_len = Some(*len).filter(|len| *len != u32::MAX);
                }
                RuleAttribute::SuppressIfGroup(group) => {
                    rule.suppress_ifgroup = Some(*group).filter(|group| *group != u32::MAX);
                }
                RuleAttribute::UidRange(uids) => rule.uids = Some((uids.start, uids.end)),
                RuleAttribute::IpProtocol(protocol) => {
                    rule.ip_proto = u8::try_from(i32::from(*protocol)).ok().filter(|p| *p != 0);
                }
                RuleAttribute::SourcePortRange(ports) => rule.sport = Some((ports.start, ports.end)),
                RuleAttribute::DestinationPortRange(ports) => rule.dport = Some((ports.start, ports.end)),
                RuleAttribute::L3MDev(on) => l3mdev = *on,
                _ => {}
            }
        }
        rule.action = match header.action {
            WireAction::ToTable if l3mdev => RuleAction::L3mdev,
            WireAction::ToTable => RuleAction::Table(table),
            WireAction::Goto => RuleAction::Goto(target),
            WireAction::Nop => RuleAction::Nop,
            WireAction::Blackhole => RuleAction::Blackhole,
            WireAction::Unreachable => RuleAction::Unreachable,
            WireAction::Prohibit => RuleAction::Prohibit,
            other => RuleAction::Other(other.into()),
        };
        // The mask of no mark at all is not worth a word.
        rule.mark = rule.mark.filter(|mark| *mark != (0, 0));
        Some(rule)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(priority) = self.priority {
            write!(f, "{priority}: ")?;
        }
        f.write_str(if self.invert { "not from " } else { "from " })?;
        match self.from {
            Some(from) => write!(f, "{from}")?,
            None => f.write_str("all")?,
        }
        if let Some(to) = self.to {
            write!(f, " to {to}")?;
        }
        if let Some(iif) = &self.iif {
            write!(f, " iif {iif}")?;
        }
        if let Some(oif) = &self.oif {
            write!(f, " oif {oif}")?;
        }
        match self.mark {
            Some((mark, u32::MAX)) => write!(f, " fwmark {mark:#x}")?,
            Some((mark, under)) => write!(f, " fwmark {mark:#x}/{under:#x}")?,
            None => {}
        }
        if self.tos != 0 {
            write!(f, " tos {:#x}", self.tos)?;
        }
        if let Some((first, last)) = self.uids {
            write!(f, " uidrange {first}-{last}")?;
        }
        if let Some(protocol) = self.ip_proto {
            write!(f, " ipproto {protocol}")?;
        }
        for (word, ports) in [("sport", self.sport), ("dport", self.dport)] {
            if let Some((first, last)) = ports {
                write!(f, " {word} {first}-{last}")?;
            }
        }
        match self.action {
            RuleAction::Table(table::LOCAL) => f.write_str(" lookup local"),
            RuleAction::Table(table::MAIN) => f.write_str(" lookup main"),
            RuleAction::Table(table::DEFAULT) => f.write_str(" lookup default"),
            RuleAction::Table(other) => write!(f, " lookup {other}"),
            RuleAction::Goto(priority) => write!(f, " goto {priority}"),
            RuleAction::Nop => f.write_str(" nop"),
            RuleAction::Blackhole => f.write_str(" blackhole"),
            RuleAction::Unreachable => f.write_str(" unreachable"),
            RuleAction::Prohibit => f.write_str(" prohibit"),
            RuleAction::L3mdev => f.write_str(" lookup [l3mdev-table]"),
            RuleAction::Other(action) => write!(f, " action {action}"),
        }?;
        if let Some(len) = self.suppress_prefix_len {
            write!(f, " suppress_prefixlength {len}")?;
        }
        match self.suppress_ifgroup {
            Some(group) => write!(f, " suppress_ifgroup {group}"),
            None => Ok(()),
        }
    }
}

impl Rtnl {
    /// Makes a rule (`RTM_NEWRULE`).
    ///
    /// # Errors
    /// `EEXIST` if there is an equal one.
    pub async fn add_rule(&self, rule: &Rule) -> Result<(), RtnlError> {
        self.write_rule(rule, Mode::Create).await
    }

    /// Deletes the first rule that has the action and whatever else is given.
    ///
    /// # Errors
    /// `ENOENT` if there is none.
    pub async fn delete_rule(&self, rule: &Rule) -> Result<(), RtnlError> {
        self.write_rule(rule, Mode::Existing).await
    }

    async fn write_rule(&self, rule: &Rule, mode: Mode) -> Result<(), RtnlError> {
        let asked = format!("ip rule {} {rule}", mode.verb());
        if let Some(fault) = rule.fault() {
            return Err(invalid(&asked, fault));
        }
        let request = match mode {
            Mode::Existing => RouteNetlinkMessage::DelRule(rule.message()),
            Mode::Create | Mode::Replace | Mode::Overwrite | Mode::Append | Mode::Prepend => {
                RouteNetlinkMessage::NewRule(rule.message())
            }
        };
        self.change(&asked, request, mode).await
    }

    /// All rules of the namespace, IPv4 first, each family in its order.
    pub async fn rules(&self) -> Result<Vec<Rule>, RtnlError> {
        let mut rules = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut message = RuleMessage::default();
            message.header.family = family;
            let messages = self.dump("ip rule show", &RouteNetlinkMessage::GetRule(message)).await?;
            rules.extend(messages.iter().filter_map(|message| match message {
                RouteNetlinkMessage::NewRule(rule) => Rule::from_message(rule),
                _ => None,
            }));
        }
        Ok(rules)
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
        let rule = Rule::v4(RuleAction::Table(7)).priority(100).from(net("10.42.0.0/16")).iif("cali0");
        let rule = Rule { mark: Some((1, 0xff)), ..rule };
        assert_eq!(rule.to_string(), "100: from 10.42.0.0/16 iif cali0 fwmark 0x1/0xff lookup 7");
        let main = Rule::v4(RuleAction::Table(table::MAIN)).priority(32766);
        assert_eq!(main.to_string(), "32766: from all lookup main");
    }

    #[test]
    fn a_message_becomes_the_rule_it_was_made_from() {
        for rule in [
            Rule::v4(RuleAction::Table(1000))
                .priority(5)
                .from(net("10.0.0.0/8"))
                .to(net("10.1.0.0/16"))
                .mark(9),
            Rule { suppress_prefix_len: Some(0), ..Rule::v4(RuleAction::Table(51_820)).priority(7) },
            Rule::v6(RuleAction::Prohibit).priority(0).to(net("fd00::/8")),
            Rule::v4(RuleAction::Goto(200)).priority(100).iif("lo"),
            Rule { tos: 0x10, uids: Some((0, 7)), suppress_ifgroup: Some(0), ..Rule::v4(RuleAction::L3mdev) }
                .priority(1),
            Rule {
                ip_proto: Some(6),
                sport: Some((1, 2)),
                dport: Some((80, 80)),
                ..Rule::v4(RuleAction::Nop)
            }
            .priority(2),
        ] {
            assert_eq!(Rule::from_message(&rule.message()), Some(rule));
        }
    }

    #[test]
    fn addresses_of_the_other_family_are_refused() {
        assert!(Rule::v6(RuleAction::Nop).from(net("10.0.0.0/8")).fault().is_some());
        assert!(Rule::v4(RuleAction::Table(0)).fault().is_some());
        assert!(Rule::v4(RuleAction::Nop).fault().is_none());
    }
}
