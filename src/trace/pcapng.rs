//! Frames as a pcapng capture: one interface per end of the veth, a comment on each frame that
//! says what became of it, and steps as comments on the frame that follows them.
//!
//! Wireshark and tshark show the comments; libpcap's readers pass over them.

use super::event::{Event, Fate, What};
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
pub fn write_pcapng<W: Write>(events: &[Event], out: W) -> Result<(), PcapError> {
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
    let verdicts = verdicts(events);
    let mut marks: Vec<String> = Vec::new();
    for event in events {
        match &event.what {
            What::Frame { id, from, bytes, fate, .. } => {
                let mut comments = core::mem::take(&mut marks);
                if let Fate::Lost(why) = fate {
                    comments.push(format!("lost: {why}"));
                }
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
            other => marks.extend(mark(event, other)),
        }
    }
    Ok(())
}

/// What was said of each frame after it arrived.
fn verdicts(events: &[Event]) -> BTreeMap<FrameId, Vec<String>> {
    let mut map: BTreeMap<FrameId, Vec<String>> = BTreeMap::new();
    for event in events {
        if let What::Judged { frame: Some(id), answered, delayed, reason, why, .. } = &event.what {
            let text = match (answered, reason, why) {
                (true, ..) if *delayed => "will be answered after proxy_delay".to_owned(),
                (true, ..) => "answered".to_owned(),
                (false, Some(code), Some(why)) => format!("unanswered: {why} [{code}]"),
                _ => "unanswered".to_owned(),
            };
            map.entry(*id).or_default().push(text);
        }
    }
    map
}

fn mark(event: &Event, what: &What) -> Option<String> {
    let t = event.t_ns;
    match what {
        What::Step { step, acts, refused, .. } => {
            let mut text = format!("{t} {step}");
            if !acts.is_empty() {
                text = format!("{text}: {}", acts.join("; "));
            }
            Some(refused.as_ref().map_or(text.clone(), |e| format!("{text} (refused: {e})")))
        }
        What::Held { step, until } => Some(format!("{t} {step} is held {until}")),
        What::Released { step } => Some(format!("{t} {step} goes on")),
        What::Gateway { answers: true, .. } => Some(format!("{t} from here on the gateway answers")),
        What::Gateway { answers: false, why, .. } => {
            Some(format!("{t} from here on the gateway is silent: {}", why.as_deref().unwrap_or("")))
        }
        _ => None,
    }
}
