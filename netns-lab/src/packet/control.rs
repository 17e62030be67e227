//! What the kernel tells about a frame besides its bytes (control messages, cmsg(3)).

use std::mem::size_of;

use crate::clock::timespec_ns;

/// Room for control messages of one frame: auxiliary data (36 bytes on 64-bit machines) and a
/// time (32), both rounded up, and some to spare.
pub(super) const CONTROL_BYTES: usize = 128;

/// A control message's header: length, level, type.
const HEADER_BYTES: usize = size_of::<usize>() + 8;

/// `PACKET_AUXDATA`; see `struct tpacket_auxdata` in include/uapi/linux/if_packet.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Aux {
    pub(super) status: u32,
    /// Length on the wire, without a tag that was taken out.
    pub(super) wire_length: u32,
    pub(super) vlan_tci: u16,
    pub(super) vlan_tpid: u16,
}

/// What came with a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Control {
    pub(super) aux: Option<Aux>,
    /// `CLOCK_REALTIME`, in nanoseconds.
    pub(super) realtime_ns: Option<u64>,
}

impl Control {
    /// Reads control messages; anything unknown or cut short is passed over.
    pub(super) fn parse(mut bytes: &[u8]) -> Self {
        let mut control = Self::default();
        while let Some((length, level, kind)) = header(bytes) {
            let Some(data) = bytes.get(HEADER_BYTES..length) else { break };
            match (level, kind) {
                (libc::SOL_PACKET, libc::PACKET_AUXDATA) => control.aux = aux(data),
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => control.realtime_ns = time(data),
                _ => {}
            }
            bytes = bytes.get(length.next_multiple_of(size_of::<usize>())..).unwrap_or_default();
        }
        control
    }
}

fn header(bytes: &[u8]) -> Option<(usize, i32, i32)> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (level, rest) = rest.split_first_chunk()?;
    let kind = rest.first_chunk()?;
    let length = usize::from_ne_bytes(*length);
    (length >= HEADER_BYTES).then_some((length, i32::from_ne_bytes(*level), i32::from_ne_bytes(*kind)))
}

fn aux(data: &[u8]) -> Option<Aux> {
    let u32_at = |at: usize| data.get(at..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes));
    let u16_at = |at: usize| data.get(at..)?.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes));
    Some(Aux { status: u32_at(0)?, wire_length: u32_at(4)?, vlan_tci: u16_at(16)?, vlan_tpid: u16_at(18)? })
}

/// A `struct timespec` of either width.
fn time(data: &[u8]) -> Option<u64> {
    if let Some((seconds, rest)) = data.split_first_chunk::<8>()
        && let Some(nanoseconds) = rest.first_chunk::<8>()
    {
        return Some(timespec_ns(i64::from_ne_bytes(*seconds), i64::from_ne_bytes(*nanoseconds)));
    }
    let (seconds, rest) = data.split_first_chunk::<4>()?;
    let nanoseconds = rest.first_chunk::<4>()?;
    Some(timespec_ns(i32::from_ne_bytes(*seconds).into(), i32::from_ne_bytes(*nanoseconds).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
        let length = HEADER_BYTES + data.len();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(level.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(data);
        bytes.resize(length.next_multiple_of(size_of::<usize>()), 0);
        bytes
    }

    fn auxdata() -> Vec<u8> {
        let mut data = Vec::new();
        for word in [0x51_u32, 60, 60] {
            data.extend(word.to_ne_bytes());
        }
        for half in [0_u16, 14, 100, 0x8100] {
            data.extend(half.to_ne_bytes());
        }
        data
    }

    #[test]
    fn reads_both_kinds_in_any_order() {
        let time: Vec<u8> = [5_i64, 7].iter().flat_map(|part| part.to_ne_bytes()).collect();
        let stamp = message(libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS, &time);
        let aux = message(libc::SOL_PACKET, libc::PACKET_AUXDATA, &auxdata());
        let wanted = Control {
            aux: Some(Aux { status: 0x51, wire_length: 60, vlan_tci: 100, vlan_tpid: 0x8100 }),
            realtime_ns: Some(5_000_000_007),
        };
        assert_eq!(Control::parse(&[stamp.clone(), aux.clone()].concat()), wanted);
        assert_eq!(Control::parse(&[aux.clone(), stamp.clone()].concat()), wanted);
        assert!(stamp.len() + aux.len() <= CONTROL_BYTES);
    }

    #[test]
    fn what_is_cut_short_is_passed_over() {
        let aux = message(libc::SOL_PACKET, libc::PACKET_AUXDATA, &auxdata());
        for length in 0..HEADER_BYTES + 20 {
            assert_eq!(Control::parse(&aux[..length]), Control::default(), "{length}");
        }
        let mut lies = aux.clone();
        lies[..size_of::<usize>()].copy_from_slice(&usize::MAX.to_ne_bytes());
        assert_eq!(Control::parse(&lies), Control::default());
        lies[..size_of::<usize>()].copy_from_slice(&0_usize.to_ne_bytes());
        assert_eq!(Control::parse(&lies), Control::default());
    }
}
