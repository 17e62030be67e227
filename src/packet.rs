//! Frames and packets as the model carries them: short byte strings kept inline.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// An Ethernet frame.
pub type Frame = SmallVec<[u8; 80]>;

/// A frame's number in its run, from 1, in the order they were sent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct FrameId(pub u32);

/// An IPv4 or IPv6 packet, without a link header.
pub type IpBytes = SmallVec<[u8; 80]>;

/// Who sent a packet and wants to hear of its fate: a number the owner of the stack gives out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Owner(pub u32);

/// A packet on its way out.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Packet {
    /// The IP packet.
    pub bytes: IpBytes,
    /// Its sender; `None` for what the kernel itself sends or forwards.
    pub owner: Option<Owner>,
}

impl Packet {
    /// What the kernel counts for the packet's buffer, in bytes (skb->truesize).
    ///
    /// A buffer is struct sk_buff (256) plus a head from one of a few caches that also holds
    /// struct skb_shared_info (320): up to 256 bytes of data a small head of 576, then powers of
    /// two. Measured on 6.18: 256 datagrams of 32 bytes, 92 of 1,400 bytes in the default
    /// `unres_qlen_bytes`.
    #[must_use]
    pub fn truesize(&self) -> u32 {
        const SK_BUFF: u32 = 256;
        const SHARED_INFO: u32 = 320;
        const SMALL_HEAD: u32 = 576;
        /// Link header and alignment in front of the packet (LL_RESERVED_SPACE and 15).
        const HEADROOM: u32 = 31;
        let data = HEADROOM + self.bytes.len() as u32 + SHARED_INFO;
        let head = if data <= SMALL_HEAD { SMALL_HEAD } else { data.next_power_of_two() };
        head + SK_BUFF
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_cost_what_the_kernel_counts() {
        let of =
            |payload: usize| Packet { bytes: SmallVec::from_elem(0, payload + 28), owner: None }.truesize();
        assert_eq!(212_992 / of(32), 256);
        assert_eq!(212_992 / of(1400), 92);
        assert_eq!(4096 / of(32), 4);
    }
}
