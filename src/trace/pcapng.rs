//! Frames as a pcapng capture: one interface per end of the veth, a comment on each frame that
//! says what became of it, and steps as comments on the frame that follows them.
//!
//! Wireshark and tshark show the comments; libpcap's readers pass over them.

use super::event::{Event, Ruling, Trace, What};
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
use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

/// Why a capture could not be written.
#[derive(Debug, thiserror::Error)]
#[error("writing the capture failed: {0}")]
pub struct PcapError(#[from] pcap_file::PcapError);

/// Timestamps count nanoseconds (if_tsresol 9).
const TSRESOL: u8 = 9;
/// Longest captured frame.
const SNAPLEN: u32 = 262_144;

/// Writes the frames of a run. Virtual time starts at the epoch, so two runs give the same bytes.
pub fn write_pcapng<W: Write>(trace: &Trace, out: W) -> Result<(), PcapError> {
    let section = SectionHeaderBlock {
        options: vec![SectionHeaderOption::UserApplication(Cow::Borrowed(concat!(
            "arplab ",
            env!("CARGO_PKG_VERSION")
        )))],
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
    let verdicts = verdicts(trace);
    let mut marks: Vec<String> = Vec::new();
    for event in trace.iter() {
        match &event.what {
            What::Frame { id, from, bytes, fate, .. } => {
                let mut comments = core::mem::take(&mut marks);
                comments.extend(fate.loss().map(|loss| format!("lost: {loss}")));
                comments.extend(verdicts.get(id).into_iter().flatten().cloned());
                let block = EnhancedPacketBlock {
                    interface_id: u32::from(*from == Side::Host),
                    timestamp: Duration::from_nanos(event.t_ns.0),
                    original_len: bytes.len() as u32,
                    data: Cow::Borrowed(bytes),
                    options: comments
                        .into_iter()
                        .map(|c| EnhancedPacketOption::Comment(Cow::Owned(c)))
                        .collect(),
                };
                writer.write_block(&block.into_block())?;
            }
            _ => marks.extend(mark(trace, event)),
        }
    }
    Ok(())
}

/// What was said of each frame after it arrived.
fn verdicts(events: &[Event]) -> BTreeMap<FrameId, Vec<String>> {
    let mut map: BTreeMap<FrameId, Vec<String>> = BTreeMap::new();
    for event in events {
        if let What::Judged { frame: Some(id), ruling, .. } = &event.what {
            let text = match *ruling {
                Ruling::Answered => "answered".to_owned(),
                Ruling::Delayed => "will be answered after proxy_delay".to_owned(),
                Ruling::Silent { why, inferred } => {
                    format!("unanswered: {} [{}]", words::silence(why, inferred), why.pointer().code)
                }
            };
            map.entry(*id).or_default().push(text);
        }
    }
    map
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
        What::Gateway { silence: None } => Some(format!("{t} from here on the gateway answers")),
        What::Gateway { silence: Some(why) } => {
            Some(format!("{t} from here on the gateway is silent: {why}"))
        }
        _ => None,
    }
}
