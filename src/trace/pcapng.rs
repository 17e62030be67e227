//! Frames as a pcapng capture: one interface per end of the veth, and on each frame one comment: the
//! steps since the frame before, and what became of this one.
//!
//! Wireshark and tshark show the comments; libpcap's readers pass over them.

use super::event::{Ruling, What};
use super::stream::{Event, Trace};
use super::words;
use crate::control::Side;
use crate::packet::FrameId;
use pcap_file::DataLink;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};
use pcap_file::pcapng::{PcapNgBlock, PcapNgWriter};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::ops::Range;
use std::time::Duration;

/// Why a capture could not be written.
#[derive(Debug, thiserror::Error)]
#[error("writing the capture failed: {0}")]
pub struct PcapError(#[from] pcap_file::PcapError);

impl PcapError {
    /// Whoever read it has gone: no error of ours.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        matches!(&self.0, pcap_file::PcapError::IoError(e) if e.kind() == std::io::ErrorKind::BrokenPipe)
    }
}

/// Timestamps count nanoseconds (if_tsresol 9).
const TSRESOL: u8 = 9;
/// Longest captured frame.
const SNAPLEN: u32 = 262_144;

/// Writes the frames of a run. Virtual time starts at the epoch, so two runs give the same bytes; a live
/// run's frames bear the machine's time. The section's comment says which.
pub fn write_pcapng<W: Write>(trace: &Trace, out: W) -> Result<(), PcapError> {
    Capture::begin(trace, out)?.go_on(trace, 0..trace.len())
}

/// What the times of a capture are.
const VIRTUAL: &str = "virtual time: the run begins at 1970-01-01T00:00:00Z";
const WALL_CLOCK: &str = "wall-clock time of the machine that the run was live on";

/// A capture that is written while its run goes on.
pub struct Capture<W: Write> {
    writer: PcapNgWriter<W>,
    /// Steps since the last frame.
    marks: Vec<String>,
}

impl<W: Write> Capture<W> {
    /// The section and its interfaces.
    pub fn begin(trace: &Trace, out: W) -> Result<Capture<W>, PcapError> {
        let clock = if trace.began.is_some() { WALL_CLOCK } else { VIRTUAL };
        let section = SectionHeaderBlock {
            options: vec![
                SectionHeaderOption::Comment(Cow::Borrowed(clock)),
                SectionHeaderOption::UserApplication(Cow::Borrowed(concat!(
                    "arplab ",
                    env!("CARGO_PKG_VERSION")
                ))),
            ],
            ..SectionHeaderBlock::default()
        };
        let mut writer = PcapNgWriter::with_section_header(out, section)?;
        for (name, description) in [("pod-eth0", "sent by the pod"), ("host-cali", "sent by the host end")] {
            let block = InterfaceDescriptionBlock {
                linktype: DataLink::ETHERNET,
                snaplen: SNAPLEN,
                options: vec![
                    InterfaceDescriptionOption::IfName(Cow::Borrowed(name)),
                    InterfaceDescriptionOption::IfDescription(Cow::Borrowed(description)),
                    InterfaceDescriptionOption::IfTsResol(TSRESOL),
                ],
            };
            writer.write_block(&block.into_block())?;
        }
        Ok(Capture { writer, marks: Vec::new() })
    }

    /// The frames among `trace.events[fresh]`, which follow those written before. What becomes known of a
    /// frame after it was written is told with the next.
    pub fn go_on(&mut self, trace: &Trace, fresh: Range<usize>) -> Result<(), PcapError> {
        let fresh = trace.get(fresh).unwrap_or_default();
        let verdicts = verdicts(fresh);
        let mut here = BTreeSet::new();
        for event in fresh {
            match &event.what {
                What::Frame { id, from, bytes, fate, .. } => {
                    let mut comments = core::mem::take(&mut self.marks);
                    comments.extend(fate.loss().map(|loss| format!("lost: {loss}")));
                    comments.extend(verdicts.get(id).into_iter().flatten().cloned());
                    let block = EnhancedPacketBlock {
                        interface_id: u32::from(*from == Side::Host),
                        timestamp: trace.began.unwrap_or_default() + Duration::from_nanos(event.t_ns.0),
                        original_len: bytes.len() as u32,
                        data: Cow::Borrowed(bytes),
                        options: comment(&comments)
                            .map(|c| EnhancedPacketOption::Comment(Cow::Owned(c)))
                            .into_iter()
                            .collect(),
                    };
                    self.writer.write_block(&block.into_block())?;
                    here.insert(*id);
                }
                What::Judged { frame: Some(id), side, ruling, .. } if !here.contains(id) => {
                    self.marks.push(format!("frame {}: {}", id.0, ruled(*side, *ruling)));
                }
                _ => self.marks.extend(mark(trace, event)),
            }
        }
        // somebody may read it now
        self.writer.get_mut().flush().map_err(pcap_file::PcapError::IoError)?;
        Ok(())
    }
}

/// The longest option of a block, whose length is a number of 16 bits. The crate that writes the
/// blocks lets it wrap, and the file cannot be read then.
const OPTION_MAX: usize = 65_535;

/// All that is said of a frame, as the one comment that every reader shows: a line for each, as the
/// format has it (opt_comment, draft-ietf-opsawg-pcapng). What does not fit is counted.
fn comment(lines: &[String]) -> Option<String> {
    let whole = lines.join("\n");
    if whole.is_empty() || whole.len() <= OPTION_MAX {
        return Some(whole).filter(|w| !w.is_empty());
    }
    let end = |left: usize| format!("\n({left} more bytes do not fit into a comment)");
    let room = OPTION_MAX - end(whole.len()).len();
    let cut = (0..=room).rev().find(|at| whole.is_char_boundary(*at)).unwrap_or(0);
    Some(format!("{}{}", &whole[..cut], end(whole.len() - cut)))
}

/// What was said of each frame after it arrived.
fn verdicts(events: &[Event]) -> BTreeMap<FrameId, Vec<String>> {
    let mut map: BTreeMap<FrameId, Vec<String>> = BTreeMap::new();
    for event in events {
        if let What::Judged { frame: Some(id), side, ruling, .. } = &event.what {
            map.entry(*id).or_default().push(ruled(*side, *ruling));
        }
    }
    map
}

fn ruled(side: Side, ruling: Ruling) -> String {
    match ruling {
        Ruling::Answered => "answered".to_owned(),
        Ruling::Delayed => "will be answered after proxy_delay".to_owned(),
        Ruling::Silent { why, inferred } => {
            format!("unanswered: {} [{}]", words::silence(side, why, inferred), why.pointer().code)
        }
    }
}

fn mark(trace: &Trace, event: &Event) -> Option<String> {
    let t = event.t_ns;
    match &event.what {
        What::Step { step, acts, undone, .. } => {
            let mut text = format!("{t} {}", trace.step_name(*step));
            let acts = words::commands(acts);
            if !acts.is_empty() {
                text = format!("{text}: {}", acts.join("; "));
            }
            Some(undone.as_ref().map_or(text.clone(), |e| format!("{text} (refused: {e})")))
        }
        What::Held { step, until } => {
            Some(format!("{t} {} is held {}", trace.step_name(*step), words::until(trace, *until)))
        }
        What::Released { step } => Some(format!("{t} {} goes on", trace.step_name(*step))),
        What::Gateway { silence: None } => {
            Some(format!("{t} from here on {} answers", words::gateway4(trace)))
        }
        What::Gateway { silence: Some(why) } => {
            Some(format!("{t} from here on {} is silent: {why}", words::gateway4(trace)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_one_comment_that_fits() {
        assert_eq!(comment(&[]), None);
        assert_eq!(comment(&["a".into(), "b".into()]).as_deref(), Some("a\nb"));
        // two bytes a letter, so that the place of the cut is inside one
        let long = vec!["x".to_owned(), "\u{e4}".repeat(40_000)];
        let told = comment(&long).unwrap();
        assert!(told.len() <= OPTION_MAX && told.len() > OPTION_MAX - 8, "{}", told.len());
        assert!(told.ends_with("more bytes do not fit into a comment)"), "{}", &told[told.len() - 60..]);
        let exact = "x".repeat(OPTION_MAX);
        assert_eq!(comment(std::slice::from_ref(&exact)), Some(exact.clone()));
    }
}
