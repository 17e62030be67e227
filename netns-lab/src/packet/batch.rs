//! Room for frames, and the frames in it.

use super::control::{Aux, CONTROL_BYTES, Control};
use crate::clock::RealtimeOffset;

/// Before each frame, for a VLAN tag that is put back.
pub(super) const HEADROOM_BYTES: usize = 4;
/// Frames that one system call takes in at most.
pub(super) const FRAMES_MAX: usize = 64;
/// The two MAC addresses, after which a VLAN tag stands.
const ADDRESSES_BYTES: usize = 12;
/// Ethertype of a tag if the kernel does not say (before Linux 3.14): 802.1Q.
const TPID_DEFAULT: u16 = 0x8100;

/// Room for a batch of received frames, used again and again.
///
/// [`RecvBatch::default`] takes 64 frames of 2 KiB, which is any frame of an MTU up to 2000.
/// Between namespaces on one machine TCP segments travel unsplit, though, up to 64 KiB: a frame
/// that finds no room is cut, and says so.
pub struct RecvBatch {
    pub(super) slots: Vec<Slot>,
    /// How many slots hold a frame.
    filled: usize,
    clocks: RealtimeOffset,
}

/// Room for one frame.
pub(super) struct Slot {
    pub(super) buffer: Box<[u8]>,
    pub(super) control: [u8; CONTROL_BYTES],
    /// What the system call says of the frame that it put here.
    pub(super) taken: Taken,
    /// Where in `buffer` the finished frame lies.
    start: usize,
    end: usize,
    parsed: Control,
}

#[derive(Clone, Copy, Default)]
pub(super) struct Taken {
    pub(super) length: usize,
    pub(super) control_length: usize,
    pub(super) packet_type: u8,
}

impl Slot {
    fn new(frame_bytes: usize) -> Self {
        Self {
            buffer: vec![0; HEADROOM_BYTES + frame_bytes].into(),
            control: [0; CONTROL_BYTES],
            taken: Taken::default(),
            start: 0,
            end: 0,
            parsed: Control::default(),
        }
    }

    /// Reads what came with the frame, and puts back a tag that the kernel took out.
    fn finish(&mut self) {
        self.parsed = Control::parse(&self.control[..self.taken.control_length.min(CONTROL_BYTES)]);
        self.start = HEADROOM_BYTES;
        self.end = HEADROOM_BYTES + self.taken.length;
        if let Some(tag) = self.parsed.aux.and_then(tag)
            && self.taken.length >= ADDRESSES_BYTES
        {
            // The kernel (`skb_vlan_untag()`) moved the addresses over the tag; move them back.
            self.start = 0;
            self.buffer.copy_within(HEADROOM_BYTES..HEADROOM_BYTES + ADDRESSES_BYTES, 0);
            self.buffer[ADDRESSES_BYTES..ADDRESSES_BYTES + HEADROOM_BYTES].copy_from_slice(&tag);
        }
    }
}

/// The four bytes of a tag that is not in the frame any more.
fn tag(aux: Aux) -> Option<[u8; HEADROOM_BYTES]> {
    if aux.status & libc::TP_STATUS_VLAN_VALID == 0 {
        return None;
    }
    let named = aux.status & libc::TP_STATUS_VLAN_TPID_VALID != 0;
    let [tpid_high, tpid_low] = if named { aux.vlan_tpid } else { TPID_DEFAULT }.to_be_bytes();
    let [tci_high, tci_low] = aux.vlan_tci.to_be_bytes();
    Some([tpid_high, tpid_low, tci_high, tci_low])
}

impl RecvBatch {
    /// Room for `frames` frames (1 to 64) of `frame_bytes` bytes.
    ///
    /// # Panics
    /// If `frames` is 0 or `frame_bytes` less than an Ethernet header of 14.
    #[must_use]
    pub fn new(frames: usize, frame_bytes: usize) -> Self {
        assert!(frames > 0 && frame_bytes >= 14, "no room for any frame");
        let slots = (0..frames.min(FRAMES_MAX)).map(|_| Slot::new(frame_bytes)).collect();
        Self { slots, filled: 0, clocks: RealtimeOffset { offset_ns: 0, uncertainty_ns: 0 } }
    }

    /// Takes over what a system call has put into the first `filled` slots.
    pub(super) fn finish(&mut self, filled: usize) {
        self.filled = filled;
        self.slots[..filled].iter_mut().for_each(Slot::finish);
        if filled > 0 {
            self.clocks = RealtimeOffset::sample();
        }
    }

    pub(super) fn clear(&mut self) {
        self.filled = 0;
    }

    /// How many frames the last call received.
    #[must_use]
    pub fn len(&self) -> usize {
        self.filled
    }

    /// Whether the last call received none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// The frames that the last call received, in order.
    #[must_use]
    pub fn frames(&self) -> impl ExactSizeIterator<Item = Frame<'_>> {
        let clocks = self.clocks;
        self.slots[..self.filled].iter().map(move |slot| Frame::of(slot, clocks))
    }
}

impl Default for RecvBatch {
    fn default() -> Self {
        Self::new(FRAMES_MAX, 2048)
    }
}

impl std::fmt::Debug for RecvBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.frames()).finish()
    }
}

/// A received frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'batch> {
    /// The frame from its destination address on, a VLAN tag included.
    pub bytes: &'batch [u8],
    /// Its length on the wire, in bytes; more than `bytes` holds if it was cut.
    pub wire_bytes: usize,
    /// How it passed the interface.
    pub direction: Direction,
    /// When it did.
    pub time: Option<Stamp>,
    /// Whether the kernel had taken a VLAN tag out, which is now back in `bytes`.
    pub vlan_restored: bool,
    /// Whether the TCP or UDP checksum is still to be computed: a sender on the same machine
    /// leaves that to a device that, being virtual, never does it (`TP_STATUS_CSUMNOTREADY`).
    pub checksum_missing: bool,
}

impl<'batch> Frame<'batch> {
    fn of(slot: &'batch Slot, clocks: RealtimeOffset) -> Self {
        let bytes = &slot.buffer[slot.start..slot.end];
        let vlan_restored = slot.start == 0;
        let tag_bytes = if vlan_restored { HEADROOM_BYTES } else { 0 };
        let known = slot.parsed.aux.map(|aux| aux.wire_length as usize + tag_bytes);
        Self {
            bytes,
            wire_bytes: known.unwrap_or(bytes.len()).max(bytes.len()),
            direction: slot.taken.packet_type.into(),
            time: slot.parsed.realtime_ns.map(|realtime_ns| Stamp {
                realtime_ns,
                monotonic_ns: clocks.to_monotonic_ns(realtime_ns),
                uncertainty_ns: clocks.uncertainty_ns,
            }),
            vlan_restored,
            checksum_missing: slot
                .parsed
                .aux
                .is_some_and(|aux| aux.status & libc::TP_STATUS_CSUMNOTREADY != 0),
        }
    }

    /// Whether the end of the frame is missing for want of room.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.wire_bytes > self.bytes.len()
    }
}

/// When the kernel saw a frame at the interface: on its way in before any protocol did, on its
/// way out just before the device.
///
/// The kernel begins to stamp when the first socket asks for it, and a little in the background:
/// frames of the first moment may bear the time at which they were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// As the kernel gave it: `CLOCK_REALTIME`, nanoseconds since 1970. For capture files.
    pub realtime_ns: u64,
    /// The same on `CLOCK_MONOTONIC`, in nanoseconds; see [`RealtimeOffset`]. For comparison with
    /// everything else.
    pub monotonic_ns: u64,
    /// Error of the conversion, in nanoseconds.
    pub uncertainty_ns: u32,
}

/// How a frame passed the interface (`sll_pkttype`); see packet(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// In, to the interface's own address.
    ToHost,
    /// In, to everybody.
    Broadcast,
    /// In, to a group.
    Multicast,
    /// In, to another address: flooded by a bridge or sent in error.
    ToOther,
    /// Out.
    Outgoing,
    /// Something newer than this crate.
    Unknown(u8),
}

impl Direction {
    /// Whether the frame left by the interface.
    #[must_use]
    pub fn is_outgoing(self) -> bool {
        self == Self::Outgoing
    }
}

impl From<u8> for Direction {
    fn from(packet_type: u8) -> Self {
        match packet_type {
            libc::PACKET_HOST => Self::ToHost,
            libc::PACKET_BROADCAST => Self::Broadcast,
            libc::PACKET_MULTICAST => Self::Multicast,
            libc::PACKET_OTHERHOST => Self::ToOther,
            libc::PACKET_OUTGOING => Self::Outgoing,
            other => Self::Unknown(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot_with(frame: &[u8], aux: Option<Aux>) -> RecvBatch {
        let mut batch = RecvBatch::new(1, 64);
        let slot = &mut batch.slots[0];
        slot.buffer[HEADROOM_BYTES..HEADROOM_BYTES + frame.len()].copy_from_slice(frame);
        slot.taken.length = frame.len();
        batch.finish(1);
        // The control messages have tests of their own.
        batch.slots[0].parsed.aux = aux;
        batch
    }

    #[test]
    fn tag_names_its_own_ethertype_where_known() {
        let aux =
            Aux { status: libc::TP_STATUS_VLAN_VALID, wire_length: 60, vlan_tci: 0x2064, vlan_tpid: 0x88a8 };
        assert_eq!(tag(aux), Some([0x81, 0x00, 0x20, 0x64]));
        let named = Aux { status: aux.status | libc::TP_STATUS_VLAN_TPID_VALID, ..aux };
        assert_eq!(tag(named), Some([0x88, 0xa8, 0x20, 0x64]));
        assert_eq!(tag(Aux { status: 0, ..aux }), None);
    }

    #[test]
    fn a_cut_frame_says_so() {
        let aux = Aux { status: 0, wire_length: 1514, vlan_tci: 0, vlan_tpid: 0 };
        let batch = slot_with(&[7; 64], Some(aux));
        let frame = batch.frames().next().expect("a frame");
        assert!(frame.is_truncated());
        assert_eq!((frame.wire_bytes, frame.bytes.len()), (1514, 64));
        assert_eq!(frame.time, None);
    }

    #[test]
    fn an_untouched_frame_stays_as_it_is() {
        let batch = slot_with(&[1, 2, 3], None);
        let frame = batch.frames().next().expect("a frame");
        assert_eq!((frame.bytes, frame.is_truncated(), frame.vlan_restored), (&[1, 2, 3][..], false, false));
    }
}
