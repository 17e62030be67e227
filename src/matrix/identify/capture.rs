//! Captures as tcpdump and Wireshark write them: pcap and pcapng. Nothing of them is used but the
//! frames and their times; comments are not.

use super::frames::{HeardFrame, read};
use super::pcapng::pcapng;
use pcap_file::pcap::PcapReader;
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
    /// Its frames are in Simple Packet Blocks.
    #[error(
        "its {frames} frames about this have no times (Simple Packet Blocks): {asked} requests for the gateway, \
         {replies} replies; how long nobody answered cannot be read from it. Capture with tcpdump or dumpcap, \
         which write times, or give what you saw with --asked, --heard and --answered"
    )]
    Timeless {
        /// Those that tell something: ARP, neighbour discovery, packets to one station.
        frames: usize,
        /// Requests for the gateway among them.
        asked: usize,
        /// Its replies.
        replies: usize,
    },
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
pub(super) struct Gather {
    seen: Vec<HeardFrame>,
    first: Option<u64>,
    last: u64,
    pub(super) any: bool,
    warnings: Vec<String>,
}

impl Gather {
    /// False when there is no room for more.
    pub(super) fn take(&mut self, t: u64, frame: &[u8]) -> bool {
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
    pub(super) fn broken(&mut self, why: String) -> Result<(), CaptureError> {
        if !self.any {
            return Err(CaptureError::Broken(why));
        }
        self.warnings.push(format!("one of its frames cannot be read ({why}); what is before it is used"));
        Ok(())
    }

    pub(super) fn finish(mut self) -> CaptureRead {
        let base = self.first.unwrap_or(0);
        // several interfaces, or a merged file
        self.seen.sort_by_key(|f| f.t);
        for f in &mut self.seen {
            f.t -= base;
        }
        CaptureRead { frames: self.seen, end: self.last.saturating_sub(base), warnings: self.warnings }
    }
}

/// Where a file breaks off.
pub(super) const CUT_OFF: &str = "the file ends in the middle of a block";

fn reason(why: &pcap_file::PcapError) -> String {
    match why {
        pcap_file::PcapError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            CUT_OFF.to_owned()
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
                all.broken(reason(&e))?;
                break;
            }
        }
    }
    Ok(all.finish())
}
