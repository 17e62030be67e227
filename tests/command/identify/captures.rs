//! Captures that somebody might bring, frame by frame, and what must or must not be said of them.

use super::arplab;
use super::blocks::{GATEWAY, POD, arp, reply, request};
use pcap_file::pcap::{PcapPacket, PcapWriter};
use std::time::Duration;

const POD_IP: [u8; 4] = [10, 66, 1, 9];
const SERVER: [u8; 4] = [203, 0, 113, 8];
const NODE_IP: [u8; 4] = [198, 51, 100, 10];

/// A capture: milliseconds and frames.
#[derive(Default)]
struct Frames(Vec<(u64, Vec<u8>)>);

/// A datagram between those.
fn packet(to: [u8; 6], from: [u8; 6], src: [u8; 4], dst: [u8; 4]) -> Vec<u8> {
    let mut frame = [to, from].concat();
    frame.extend([8, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0]);
    frame.extend([src, dst].concat());
    frame.extend([0x9c, 0x40, 0, 53, 0, 8, 0, 0]);
    frame
}

impl Frames {
    /// The pod asks for its gateway and hears of it.
    fn resolved() -> Frames {
        Frames(vec![(0, request()), (1, reply())])
    }

    /// A packet a second from then until then, and its answer if there is one.
    fn packets(mut self, seconds: core::ops::Range<u64>, answered: bool) -> Frames {
        for s in seconds {
            self.0.push((s * 1000 + 500, packet(GATEWAY, POD, POD_IP, SERVER)));
            if answered {
                self.0.push((s * 1000 + 501, packet(POD, GATEWAY, SERVER, POD_IP)));
            }
        }
        self
    }

    /// `identify --pcap` of it, the scenarios that fit best, and whether they fit all of it.
    fn identified(mut self) -> (String, Vec<String>, bool) {
        self.0.sort_by_key(|f| f.0);
        let mut writer = PcapWriter::new(Vec::new()).unwrap();
        for (ms, frame) in &self.0 {
            let at = Duration::from_secs(1_700_000_000) + Duration::from_millis(*ms);
            writer.write_packet(&PcapPacket::new(at, frame.len() as u32, frame)).unwrap();
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("it.pcap");
        std::fs::write(&path, writer.into_writer()).unwrap();
        let out = arplab(&["identify", "--pcap", path.to_str().unwrap()]);
        assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
        let text = String::from_utf8(out.stdout).unwrap();
        let ids = |l: &str| l.split_once(": ").map(|(id, _)| id.to_owned());
        // its count stands above the candidates, whose titles are not indented
        let list = text.split_once("fit").map_or("", |t| t.1).lines().skip(1);
        let best = list.filter(|l| !l.starts_with(' ')).filter_map(ids).collect();
        (text.clone(), best, !text.contains("No mechanism fits"))
    }
}

#[test]
fn a_healthy_capture_fits_though_the_host_asks_for_the_pod() {
    let healthy = || Frames::resolved().packets(0..40, true);
    let (text, quiet, fits) = healthy().identified();
    assert!(fits && text.contains("Nothing fails in it"), "{text}");
    let mut asking = healthy();
    for ms in [502, 20_700, 33_100] {
        let host = |to| arp(to, GATEWAY, 1, NODE_IP, POD_IP);
        asking.0.push((ms, host(if ms < 1000 { [0xff; 6] } else { POD })));
        asking.0.push((ms, arp(GATEWAY, POD, 2, POD_IP, NODE_IP)));
    }
    let (text, best, fits) = asking.identified();
    assert!(fits && text.contains("Nothing fails in it"), "{text}");
    assert_eq!(best, quiet, "{text}");
    // one that is not answered is a sign
    let mut silent = healthy();
    silent.0.extend((0..18).map(|i| (600 + i * 1024, arp([0xff; 6], GATEWAY, 1, NODE_IP, POD_IP))));
    let (text, _, _) = silent.identified();
    assert!(text.contains("unanswered: never") && !text.contains("Nothing fails in it"), "{text}");
}

/// It works for a minute, then the gateway falls silent for good: the pod probes the one MAC that it ever
/// had, and then asks all.
#[test]
fn nothing_is_said_of_another_mac_where_there_was_one_only() {
    let mut frames = Frames::resolved().packets(0..60, true).packets(60..90, false);
    let to_all = request();
    let to_one = [&GATEWAY[..], &to_all[6..]].concat();
    frames.0.extend((0..3).map(|k| (86_000 + k * 1024, to_one.clone())));
    frames.0.extend((0..200).map(|k| (90_000 + k * 1024, to_all.clone())));
    let (text, best, _) = frames.identified();
    assert!(text.contains("unanswered requests to one MAC: known"), "{text}");
    let of_macs = ["host-mac-changes", "udev-mac-race", "static-entry-stale", "proxy-claims-pod-address"];
    assert!(!best.is_empty() && best.iter().all(|id| !of_macs.contains(&id.as_str())), "{text}");
    // packets were lost while the entry was valid, so that it is not proxy_arp alone. No other scenario takes
    // route and gateway from a pod that works, for good; causes that are there from a pod's start may come later
    assert_eq!(best, ["ifindex-mixup"], "{text}");
    let (_, later) = text.split_once("The gateway answered at first.").expect("a word about the others");
    for id in ["networkd-flushes-route", "ip-forward-rewritten", "main-rule-gone", "no-default-route"] {
        assert!(later.contains(id), "{id}: {text}");
    }
    // what stays answered, or shows more than that on the wire, is none of them
    for id in ["return-path-late", "proxy-delay", "v6-dad", "udev-mac-race", "local-rule-gone"] {
        assert!(!later.contains(id), "{id}: {text}");
    }
    for word in ["old MAC", "another MAC", "wrong MAC", "other MAC", "MAC: old"] {
        assert!(!text.contains(word), "{word}: {text}");
    }
}
