//! Captures as tcpdump and Wireshark write them: pcap and pcapng. Nothing of them is used but the
//! frames and their times; comments are not.

use super::frames::{HeardFrame, read};
use pcap_file::pcap::PcapReader;
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::pcapng::{Block, PcapNgReader};
use pcap_file::{DataLink, TsResolution};
use std::io::{BufRead, BufReader, Read};

/// More telling frames than this of one capture are not looked at.
pub const MOST_FRAMES: usize = 2_000_000;

/// Why a capture cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The file itself.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// No bytes.
    #[error("it is empty; was the capture ended with Ctrl-C, so that tcpdump could write it?")]
    Empty,
    /// Neither pcap nor pcapng.
    #[error("it is neither pcap nor pcapng{0}")]
    Format(&'static str),
    /// It breaks off before the first frame, or does not make sense.
    #[error("nothing of it can be read: {0}")]
    Broken(String),
    /// Not Ethernet.
    #[error(
        "its frames are not Ethernet ({0:?}); `tcpdump -i any` leaves out whom a frame was sent to: capture \
         on the interface itself, `tcpdump -ni eth0 -w FILE` in the pod or on its cali interface"
    )]
    Link(DataLink),
}

/// A capture's telling frames.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct CaptureRead {
    pub(super) frames: Vec<HeardFrame>,
    /// Time of the last frame of any kind.
    pub(super) end: u64,
    /// What a person should know about the reading.
    pub(super) warnings: Vec<String>,
}

/// Frames as they come, with absolute times.
#[derive(Default)]
struct Gather {
    seen: Vec<HeardFrame>,
    first: Option<u64>,
    last: u64,
    any: bool,
    warnings: Vec<String>,
}

impl Gather {
    /// False when there is no room for more.
    fn take(&mut self, t: u64, frame: &[u8]) -> bool {
        self.any = true;
        self.first = Some(self.first.map_or(t, |f| f.min(t)));
        self.last = self.last.max(t);
        self.seen.extend(read(t, frame));
        if self.seen.len() >= MOST_FRAMES {
            self.warnings.push(format!("only its first {MOST_FRAMES} frames are looked at"));
            return false;
        }
        true
    }

    /// What is before a break is used.
    fn broken(&mut self, why: &pcap_file::PcapError) -> Result<(), CaptureError> {
        let why = reason(why);
        if !self.any {
            return Err(CaptureError::Broken(why));
        }
        self.warnings.push(format!("one of its frames cannot be read ({why}); what is before it is used"));
        Ok(())
    }

    fn finish(mut self) -> CaptureRead {
        let base = self.first.unwrap_or(0);
        // several interfaces, or a merged file
        self.seen.sort_by_key(|f| f.t);
        for f in &mut self.seen {
            f.t -= base;
        }
        CaptureRead { frames: self.seen, end: self.last.saturating_sub(base), warnings: self.warnings }
    }
}

fn reason(why: &pcap_file::PcapError) -> String {
    match why {
        pcap_file::PcapError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            "the file ends in the middle of a block".to_owned()
        }
        pcap_file::PcapError::IoError(e) => e.to_string(),
        other => other.to_string(),
    }
}

/// Reads either format.
pub(super) fn capture(input: impl Read) -> Result<CaptureRead, CaptureError> {
    let mut input = BufReader::new(input);
    let head = input.fill_buf()?;
    let magic: Option<[u8; 4]> = head.get(..4).and_then(|b| b.try_into().ok());
    match magic {
        _ if head.is_empty() => Err(CaptureError::Empty),
        Some([0x0a, 0x0d, 0x0d, 0x0a]) => pcapng(input),
        Some(
            [0xa1, 0xb2, 0xc3, 0xd4]
            | [0xd4, 0xc3, 0xb2, 0xa1]
            | [0xa1, 0xb2, 0x3c, 0x4d]
            | [0x4d, 0x3c, 0xb2, 0xa1],
        ) => pcap(input),
        Some([0x1f, 0x8b, ..]) => Err(CaptureError::Format("; it is compressed: gunzip it first")),
        Some([b'{', ..]) => Err(CaptureError::Format("; it looks like JSON: give it with --trace")),
        _ => Err(CaptureError::Format("")),
    }
}

fn pcap(input: impl Read) -> Result<CaptureRead, CaptureError> {
    let mut reader = PcapReader::new(input).map_err(|e| CaptureError::Broken(reason(&e)))?;
    let header = reader.header();
    if header.datalink != DataLink::ETHERNET {
        return Err(CaptureError::Link(header.datalink));
    }
    let unit = if header.ts_resolution == TsResolution::NanoSecond { 1 } else { 1_000 };
    let mut all = Gather::default();
    // raw: the checked form refuses frames that were cut short (tcpdump -s)
    while let Some(packet) = reader.next_raw_packet() {
        match packet {
            Ok(p) => {
                let t = u64::from(p.ts_sec) * 1_000_000_000 + u64::from(p.ts_frac) * unit;
                if !all.take(t, &p.data) {
                    break;
                }
            }
            Err(e) => {
                all.broken(&e)?;
                break;
            }
        }
    }
    Ok(all.finish())
}

fn pcapng(input: impl Read) -> Result<CaptureRead, CaptureError> {
    let mut reader = PcapNgReader::new(input).map_err(|e| CaptureError::Broken(reason(&e)))?;
    let mut all = Gather::default();
    let mut clocks: Vec<Result<Clock, DataLink>> = Vec::new();
    let mut other = None;
    while let Some(block) = reader.next_block() {
        let more = match block {
            Ok(Block::SectionHeader(_)) => {
                clocks.clear();
                true
            }
            Ok(Block::InterfaceDescription(i)) => {
                clocks.push(Clock::of(&i));
                true
            }
            Ok(Block::EnhancedPacket(p)) => match clocks.get(p.interface_id as usize) {
                // the crate hands the count of ticks on as nanoseconds
                Some(Ok(clock)) => all.take(clock.ns(p.timestamp.as_nanos()), &p.data),
                Some(Err(link)) => {
                    other = Some(*link);
                    true
                }
                None => true,
            },
            Ok(_) => true,
            Err(e) => {
                all.broken(&e)?;
                false
            }
        };
        if !more {
            break;
        }
    }
    match other {
        Some(link) if !all.any => Err(CaptureError::Link(link)),
        _ => Ok(all.finish()),
    }
}

/// How an interface counts time.
#[derive(Clone, Copy)]
struct Clock {
    /// Ticks in a second.
    rate: u128,
}

impl Clock {
    fn of(interface: &InterfaceDescriptionBlock<'_>) -> Result<Clock, DataLink> {
        if interface.linktype != DataLink::ETHERNET {
            return Err(interface.linktype);
        }
        let resolution = interface.options.iter().find_map(|o| match o {
            InterfaceDescriptionOption::IfTsResol(r) => Some(*r),
            _ => None,
        });
        // if_tsresol: a power of ten, or of two when the highest bit is set; microseconds else
        let rate = match resolution.unwrap_or(6) {
            r if r & 0x80 != 0 => 1u128 << (r & 0x7f).min(63),
            r => 10u128.pow(u32::from(r).min(19)),
        };
        Ok(Clock { rate })
    }

    fn ns(self, ticks: u128) -> u64 {
        u64::try_from(ticks.saturating_mul(1_000_000_000) / self.rate).unwrap_or(u64::MAX)
    }
}
