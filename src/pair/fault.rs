//! What a link does to frames besides carrying them.

use crate::addr::Side;
use crate::time::Span;
use schemars::JsonSchema;
use serde::Deserialize;

/// Kinds of frame a link fault can pick.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FrameKind {
    /// Any frame.
    Any,
    /// An ARP request.
    ArpRequest,
    /// An ARP reply.
    ArpReply,
    /// IPv4.
    Ip,
    /// IPv6, neighbour discovery aside.
    Ip6,
    /// Neighbour solicitations and advertisements.
    Ndp,
}

/// Which frames a fault is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FaultMatch {
    /// Kind.
    pub kind: FrameKind,
    /// Sender.
    pub from: Option<Side>,
    /// To a group address, or not.
    pub group: Option<bool>,
    /// The first frame that counts, from 1.
    pub first: u32,
    /// How many count.
    pub count: u32,
    /// In how many of a thousand cases it strikes.
    pub per_mille: u32,
}

/// What a fault does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FaultAction {
    /// The frame is lost.
    Drop,
    /// It is late.
    Delay(Span, Span),
    /// It comes twice.
    Duplicate(Span),
    /// It comes behind the next frame of that direction.
    Reorder,
    /// One byte is changed.
    Corrupt,
}

/// A fault of the link.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FaultRule {
    /// Which frames.
    pub which: FaultMatch,
    /// What happens to them.
    pub action: FaultAction,
}
