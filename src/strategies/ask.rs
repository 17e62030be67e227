//! A request as it leaves the far end of an interface.

use super::place::{CALI, GATEWAY, NEIGHBOUR, NODE, OUTSIDE, POD, UP0, UP1, address};
use crate::addr::{IfName, Mac};
use crate::host::HostState;
use crate::wire::{Arp, ETHERTYPE_ARP, ETHERTYPE_IPV4, OP_REPLY, OP_REQUEST};
use core::fmt;
use proptest::prelude::*;
use proptest::sample::select;
use std::net::Ipv4Addr;

/// Whom a frame is sent to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum To {
    /// Everybody.
    Broadcast,
    /// The MAC that the interface has then.
    Own,
    /// A group.
    Group,
    /// A MAC that nobody has.
    Nobody,
}

/// A request, or something like one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inquiry {
    /// The interface of the host that it reaches.
    pub dev: IfName,
    /// Whom the frame is for.
    pub to: To,
    /// VLAN tags, from the outside in: the number of each.
    pub tags: Vec<u16>,
    /// The packet. Its sender hardware address is a proposal: whoever asks may put one of their
    /// own in the place of an ordinary one, to tell replies apart.
    pub arp: Arp,
    /// Lengths of hardware and protocol addresses as the packet gives them.
    pub lengths: (u8, u8),
    /// Bytes of the packet: shorter ones are cut, longer ones padded with zeros.
    pub len: usize,
    /// How many such frames are sent at once.
    pub times: u8,
}

impl Inquiry {
    /// A broadcast request.
    #[must_use]
    pub fn broadcast(dev: IfName, sha: Mac, spa: Ipv4Addr, tpa: Ipv4Addr) -> Inquiry {
        Inquiry {
            dev,
            to: To::Broadcast,
            tags: Vec::new(),
            arp: Arp::request(sha, spa, tpa),
            lengths: (6, 4),
            len: crate::wire::ARP_LEN,
            times: 1,
        }
    }

    /// The frame, for a host in that state.
    #[must_use]
    pub fn frame(&self, host: &HostState) -> Vec<u8> {
        let own = host.link_named(self.dev).map_or(Mac::ZERO, crate::host::Link::mac);
        let dst = match self.to {
            To::Broadcast => Mac::BROADCAST,
            To::Own => own,
            To::Group => Mac([0x01, 0x00, 0x5e, 0, 0, 1]),
            To::Nobody => Mac([2, 0xdd, 0, 0, 0, 1]),
        };
        let plain = self.arp.frame(dst, self.arp.sha);
        let mut frame = plain[..12].to_vec();
        for vid in &self.tags {
            frame.extend([0x81, 0x00]);
            frame.extend(vid.to_be_bytes());
        }
        frame.extend(ETHERTYPE_ARP.to_be_bytes());
        let start = frame.len();
        frame.extend(&plain[14..]);
        (frame[start + 4], frame[start + 5]) = self.lengths;
        frame.resize(start + self.len, 0);
        frame
    }
}

impl fmt::Display for Inquiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to = match self.to {
            To::Broadcast => "to everybody",
            To::Own => "to the interface's own MAC",
            To::Group => "to a group",
            To::Nobody => "to a MAC nobody has",
        };
        write!(f, "{} {to}, at {}", self.arp, self.dev)?;
        for vid in &self.tags {
            write!(f, ", VLAN {vid}")?;
        }
        let Arp { hrd, pro, .. } = self.arp;
        if (hrd, pro, self.lengths) != (1, ETHERTYPE_IPV4, (6, 4)) {
            write!(f, ", hardware {hrd}/{}, protocol {pro:#06x}/{}", self.lengths.0, self.lengths.1)?;
        }
        if self.len != crate::wire::ARP_LEN {
            write!(f, ", {} bytes", self.len)?;
        }
        if self.times > 1 {
            write!(f, ", {} times", self.times)?;
        }
        Ok(())
    }
}

/// The pairs of sender and target that conditions turn on.
fn pair() -> impl Strategy<Value = (Ipv4Addr, Ipv4Addr)> {
    let zero = Ipv4Addr::UNSPECIFIED;
    prop_oneof![
        10 => Just((POD, GATEWAY)),
        5 => (Just(POD), select(vec![OUTSIDE, NODE, NEIGHBOUR, POD])),
        1 => Just((POD, Ipv4Addr::new(198, 51, 100, 255))),
        1 => select(vec![GATEWAY, OUTSIDE]).prop_map(|ip| (Ipv4Addr::LOCALHOST, ip)),
        1 => select(vec![GATEWAY, OUTSIDE, POD]).prop_map(|ip| (ip, ip)),
        3 => (Just(POD), address()),
        2 => (address(), Just(GATEWAY)),
        2 => (Just(zero), address()),
        2 => address().prop_map(|ip| (ip, ip)),
        3 => (address(), address()),
    ]
}

/// A request: mostly the one every pod makes, sometimes another, sometimes one that is no good.
pub fn ask() -> impl Strategy<Value = Inquiry> {
    let dev = prop_oneof![12 => Just(CALI), 2 => Just(UP0), 1 => Just(UP1)];
    let to = prop_oneof![14 => Just(To::Broadcast), 8 => Just(To::Own), 1 => Just(To::Group), 1 => Just(To::Nobody)];
    let tags = prop_oneof![
        60 => Just(Vec::new()),
        1 => Just(vec![0]),
        1 => select(vec![vec![7], vec![0, 0], vec![0, 7]]),
    ];
    let op = prop_oneof![60 => Just(OP_REQUEST), 3 => Just(OP_REPLY), 1 => select(vec![0, 3, 8])];
    let types = prop_oneof![
        60 => Just((1, ETHERTYPE_IPV4, (6, 4))),
        4 => Just((6, ETHERTYPE_IPV4, (6, 4))),
        1 => select(vec![
            (2, ETHERTYPE_IPV4, (6, 4)),
            (1, 0x86dd, (6, 4)),
            (1, ETHERTYPE_IPV4, (8, 4)),
            (1, ETHERTYPE_IPV4, (6, 16)),
        ]),
    ];
    let len = prop_oneof![60 => Just(28), 4 => Just(46), 1 => 20..28usize];
    let sha =
        prop_oneof![20 => Just(Mac([2, 0, 0x0a, 0x2a, 0, 7])), 1 => select(vec![Mac::ZERO, Mac::BROADCAST])];
    let times = prop_oneof![8 => Just(1u8), 1 => 2..5u8];
    (dev, to, tags, op, types, len, (sha, times), pair()).prop_map(
        |(dev, to, tags, op, (hrd, pro, lengths), len, (sha, times), (spa, tpa))| {
            let arp = Arp { hrd, pro, op, ..Arp::request(sha, spa, tpa) };
            Inquiry { dev, to, tags, arp, lengths, len, times }
        },
    )
}
