//! The blocks of a pcapng file. Read by pcap-parser, which takes options that end with their block, as
//! the format lets them; pcap-file, which writes the captures, refuses these.

use super::capture::{CUT_OFF, CaptureError, CaptureRead, Gather};
use super::frames::{FrameTells, is_gateway, is_probe, read};
use pcap_file::DataLink;
use pcap_parser::pcapng::{Block, InterfaceDescriptionBlock, SimplePacketBlock};
use pcap_parser::traits::{PcapNGPacketBlock, PcapReaderIterator};
use pcap_parser::{PcapBlockOwned, PcapError, PcapNGReader};
use std::io::{Cursor, Read};

/// Room for blocks, to begin with.
const ROOM: usize = 1 << 16;
/// No block is longer than this: Wireshark takes the same for a broken file.
const LONGEST: usize = 1 << 28;

/// Reads a file to its end, or to where it breaks off.
pub(super) fn pcapng(mut input: impl Read) -> Result<CaptureRead, CaptureError> {
    let head = first_block(&mut input)?;
    let mut reader = PcapNGReader::new(ROOM.max(head.len()), Cursor::new(head).chain(input))
        .map_err(|e| CaptureError::Broken(reason(&e)))?;
    let mut file = File::default();
    loop {
        let why = match reader.next() {
            Ok((length, block)) => {
                let more = file.take(&block);
                reader.consume(length);
                if more {
                    continue;
                }
                return file.finish();
            }
            Err(PcapError::Eof) => return file.finish(),
            Err(why) => why.to_owned_vec(),
        };
        let wants_more = matches!(why, PcapError::Incomplete(_) | PcapError::BufferTooSmall);
        if wants_more && reader.data().len() < LONGEST {
            fill(&mut reader)?;
        } else if reader.data().is_empty() {
            return file.finish();
        } else {
            file.all.broken(reason(&why))?;
            return file.finish();
        }
    }
}

/// The section's header, which the reader wants at once: as much of it as there is.
fn first_block(input: &mut impl Read) -> Result<Vec<u8>, CaptureError> {
    let mut head = Vec::new();
    input.by_ref().take(12).read_to_end(&mut head)?;
    let number =
        |at: usize| head.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes);
    // its own byte-order magic stands behind its length
    let length = if number(8) == 0x1a2b_3c4d { number(4) } else { number(4).swap_bytes() };
    let rest = u64::from(length).min(LONGEST as u64).saturating_sub(head.len() as u64);
    input.by_ref().take(rest).read_to_end(&mut head)?;
    Ok(head)
}

/// More of the file; twice the room, when a block does not fit.
fn fill<R: Read>(reader: &mut PcapNGReader<R>) -> Result<(), CaptureError> {
    let had = reader.data().len();
    reader.refill().map_err(|e| CaptureError::Broken(reason(&e)))?;
    if reader.data().len() == had && !reader.reader_exhausted() {
        reader.grow(had.max(ROOM) * 2);
    }
    Ok(())
}

fn reason<I: core::fmt::Debug>(why: &PcapError<I>) -> String {
    match why {
        PcapError::UnexpectedEof | PcapError::Incomplete(_) => CUT_OFF.to_owned(),
        PcapError::BufferTooSmall => "a block claims to be longer than any is".to_owned(),
        PcapError::ReadError => "it cannot be read".to_owned(),
        // the crate's own text holds the block's bytes
        _ => "a block does not make sense".to_owned(),
    }
}

/// What was read so far.
#[derive(Default)]
struct File {
    all: Gather,
    interfaces: Vec<Interface>,
    other: Option<DataLink>,
    /// Frames that have no time and would tell something.
    timeless: usize,
    asked: usize,
    replies: usize,
}

/// An interface of the section.
#[derive(Clone, Copy)]
struct Interface {
    /// How it counts time, or that it is not Ethernet.
    clock: Result<Clock, DataLink>,
    /// The most of a frame that is kept; 0 for all.
    snaplen: u32,
}

impl File {
    /// Takes a block; false when there is no room for more.
    fn take(&mut self, block: &PcapBlockOwned<'_>) -> bool {
        let PcapBlockOwned::NG(block) = block else { return true };
        match block {
            Block::SectionHeader(_) => self.interfaces.clear(),
            Block::InterfaceDescription(i) => {
                self.interfaces.push(Interface { clock: Clock::of(i), snaplen: i.snaplen });
            }
            Block::EnhancedPacket(p) => match self.interfaces.get(p.if_id as usize).map(|i| i.clock) {
                Some(Ok(clock)) => {
                    let ticks = u64::from(p.ts_high) << 32 | u64::from(p.ts_low);
                    return self.all.take(clock.ns(ticks), p.packet_data());
                }
                Some(Err(link)) => self.other = Some(link),
                None => {}
            },
            Block::SimplePacket(p) => self.simple(p),
            _ => {}
        }
        true
    }

    /// A frame of the section's first interface, without a time.
    fn simple(&mut self, p: &SimplePacketBlock<'_>) {
        let Some(first) = self.interfaces.first() else { return };
        if let Err(link) = first.clock {
            self.other = Some(link);
            return;
        }
        let kept = if first.snaplen == 0 { usize::MAX } else { first.snaplen as usize };
        let data = p.packet_data();
        match read(0, &data[..data.len().min(kept)]).map(|f| f.kind) {
            Some(FrameTells::Ask { sender, target }) if is_gateway(target) && !is_probe(sender) => {
                self.asked += 1;
            }
            Some(FrameTells::Tell { about, .. }) if is_gateway(about) => self.replies += 1,
            Some(_) => {}
            None => return,
        }
        self.timeless += 1;
    }

    fn finish(self) -> Result<CaptureRead, CaptureError> {
        let File { all, other, timeless: frames, asked, replies, .. } = self;
        // left out they would make a silence of what was answered
        if frames > 0 {
            return Err(CaptureError::Timeless { frames, asked, replies });
        }
        match other {
            Some(link) if !all.any => Err(CaptureError::Link(link)),
            _ => Ok(all.finish()),
        }
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
        let link = DataLink::from(interface.linktype.0.unsigned_abs());
        if link != DataLink::ETHERNET {
            return Err(link);
        }
        // if_tsresol: a power of ten, or of two when the highest bit is set
        let rate = match interface.if_tsresol {
            r if r & 0x80 != 0 => 1u128 << (r & 0x7f).min(63),
            r => 10u128.pow(u32::from(r).min(19)),
        };
        Ok(Clock { rate })
    }

    fn ns(self, ticks: u64) -> u64 {
        u64::try_from(u128::from(ticks) * 1_000_000_000 / self.rate).unwrap_or(u64::MAX)
    }
}
