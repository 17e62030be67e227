//! A TCP port that answers a segment by that segment alone.

use super::{Ends, Segment, SegmentFlag, tcp};
use crate::packet::IpBytes;

/// A connection without memory: the first sequence number of this side follows from the other
/// side's, and every later segment says itself where this side stands. A port that is open sends back
/// what it gets.
#[must_use]
pub fn answer_tcp(back: Ends, segment: &Segment<'_>, open: bool) -> Option<IpBytes> {
    let answer = Segment {
        src_port: segment.dst_port,
        dst_port: segment.src_port,
        control: SegmentFlag::None,
        seq: segment.ack.unwrap_or(0),
        ack: None,
        data: &[],
    };
    let length = segment.data.len() as u32;
    let answer = match segment.control {
        SegmentFlag::Rst => return None,
        // RFC 9293 3.10.7.1: with an ACK the reset takes its place, without one it says what it saw
        _ if !open && segment.ack.is_some() => Segment { control: SegmentFlag::Rst, ..answer },
        SegmentFlag::Syn if !open => {
            Segment { control: SegmentFlag::Rst, ack: Some(segment.seq.wrapping_add(1)), ..answer }
        }
        _ if !open => {
            Segment { control: SegmentFlag::Rst, ack: Some(segment.seq.wrapping_add(length)), ..answer }
        }
        SegmentFlag::Syn => Segment {
            control: SegmentFlag::Syn,
            seq: first_number(segment),
            ack: Some(segment.seq.wrapping_add(1)),
            ..answer
        },
        SegmentFlag::Fin => Segment {
            control: SegmentFlag::Fin,
            ack: Some(segment.seq.wrapping_add(length).wrapping_add(1)),
            ..answer
        },
        SegmentFlag::None if segment.data.is_empty() => return None,
        SegmentFlag::None => {
            Segment { ack: Some(segment.seq.wrapping_add(length)), data: segment.data, ..answer }
        }
    };
    Some(tcp(back, &answer))
}

/// The same for every copy of a SYN, different for most connections.
fn first_number(syn: &Segment<'_>) -> u32 {
    let ports = u32::from(syn.src_port) << 16 | u32::from(syn.dst_port);
    (syn.seq ^ ports).wrapping_mul(0x9e37_79b9)
}
