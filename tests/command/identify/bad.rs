//! Files that are no captures, or not whole.

use super::{arplab, best};
use arplab::matrix::{Sight, play};
use arplab::scenario::{Overrides, catalogue};
use arplab::trace::write_pcapng;
use std::path::Path;

fn sound() -> Vec<u8> {
    let all = catalogue::find("udev-mac-race").unwrap();
    let mut bytes = Vec::new();
    write_pcapng(&play(&all[0], &Overrides::default(), 5).unwrap().events, &mut bytes).unwrap();
    bytes
}

/// The command's status and what it says on standard error.
fn told(dir: &Path, flag: &str, bytes: &[u8]) -> (Option<i32>, String) {
    let file = dir.join("it");
    std::fs::write(&file, bytes).unwrap();
    let out = arplab(&["identify", flag, file.to_str().unwrap()]);
    (out.status.code(), String::from_utf8(out.stderr).unwrap())
}

/// A classic header of that link type, and nothing else.
fn header(link: u8) -> Vec<u8> {
    let mut bytes = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0];
    bytes.extend([link, 0, 0, 0]);
    bytes
}

/// A classic capture of one frame.
fn one(link: u8, frame: &[u8]) -> Vec<u8> {
    let mut bytes = header(link);
    bytes.extend([1, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend((frame.len() as u32).to_le_bytes());
    bytes.extend((frame.len() as u32).to_le_bytes());
    bytes.extend(frame);
    bytes
}

#[test]
fn each_says_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let whole = sound();
    let cases: [(&str, &str, Vec<u8>); 10] = [
        ("--pcap", "is empty", Vec::new()),
        ("--pcap", "neither pcap nor pcapng", b"hello, world, this is no capture".to_vec()),
        ("--pcap", "gunzip", vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0]),
        ("--pcap", "--trace", b"{\"t_ns\":0}".to_vec()),
        ("--pcap", "ends in the middle", whole[..20].to_vec()),
        ("--pcap", "nothing to identify", header(1)),
        ("--pcap", "nothing to identify", one(1, &[0xff; 60])),
        ("--pcap", "not Ethernet", header(113)),
        ("--trace", "line 1", b"not json\n".to_vec()),
        ("--trace", "no events", Vec::new()),
    ];
    for (flag, says, bytes) in cases {
        let (code, text) = told(dir.path(), flag, &bytes);
        assert_eq!(code, Some(2), "{says}: {text}");
        assert!(text.contains(says), "wanted {says:?}: {text}");
        assert!(!text.contains("panicked"), "{text}");
    }
    let (code, text) = told(dir.path(), "--pcap", &whole[..whole.len() - 7]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("what is before it is used"), "{text}");
    let missing = dir.path().join("missing");
    for path in [missing.as_path(), dir.path()] {
        let out = arplab(&["identify", "--pcap", path.to_str().unwrap()]);
        assert_eq!(out.status.code(), Some(2));
    }
}

#[test]
fn no_break_and_no_wrong_byte_makes_it_panic() {
    let whole = sound();
    for len in (0..whole.len()).step_by(3) {
        let _ = Sight::from_capture(&whole[..len], None);
    }
    // a small generator of its own: which bytes, and what they become
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    for _ in 0..3_000 {
        let mut bytes = whole.clone();
        for _ in 0..=(next() % 4) {
            let at = next() % bytes.len();
            bytes[at] = next() as u8;
        }
        if let Ok(sight) = Sight::from_capture(&bytes[..], None) {
            let _ = sight.features();
        }
    }
}

#[test]
fn a_trace_comes_by_standard_input_too() {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let run = arplab(&["run", "udev-mac-race", "--json", "--seed", "9"]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_arplab"))
        .args(["identify", "--trace", "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&run.stdout).unwrap();
    let out = child.wait_with_output().unwrap();
    assert_eq!(best(&out.stdout), ["udev-mac-race"]);
}
