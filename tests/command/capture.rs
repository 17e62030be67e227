//! The capture file, read by the crate that knows the format and by tshark.

use crate::run::{arplab, text};
use pcap_file::pcapng::{Block, PcapNgReader};
use std::path::Path;
use std::process::Command;

/// Turns a test that wants tshark and finds none into a failed one, if it is `1`.
const REQUIRE_TSHARK: &str = "ARPLAB_REQUIRE_TSHARK";

fn capture(dir: &Path, args: &[&str]) -> std::path::PathBuf {
    let file = dir.join("run.pcapng");
    let mut all = args.to_vec();
    all.extend(["--pcap", file.to_str().expect("UTF-8")]);
    assert_eq!(arplab(&all).status.code(), Some(0));
    file
}

fn json_frames(args: &[&str]) -> usize {
    let mut all = args.to_vec();
    all.push("--json");
    text(&arplab(&all).stdout).lines().filter(|l| l.contains(r#""event":"frame""#)).count()
}

#[test]
fn holds_every_frame_on_the_interface_that_sent_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let args = ["run", "8689"];
    let bytes = std::fs::read(capture(dir.path(), &args)).expect("written");
    let mut reader = PcapNgReader::new(&bytes[..]).expect("a capture");
    let (mut packets, mut interfaces) = (Vec::new(), 0);
    while let Some(block) = reader.next_block() {
        match block.expect("a sound block") {
            Block::EnhancedPacket(p) => packets.push((p.timestamp, p.interface_id)),
            Block::InterfaceDescription(_) => interfaces += 1,
            _ => {}
        }
    }
    assert_eq!(interfaces, 2);
    assert_eq!(packets.len(), json_frames(&args));
    assert!(packets.is_sorted_by_key(|p| p.0), "time runs backwards");
    assert!(packets.iter().any(|p| p.1 == 0) && packets.iter().any(|p| p.1 == 1));
}

/// Readers that keep one comment a frame (Scapy before 2.7, JSON of tshark) would lose the others.
#[test]
fn says_all_of_a_frame_in_one_comment() {
    use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption::Comment;
    let dir = tempfile::tempdir().expect("a directory");
    let bytes = std::fs::read(capture(dir.path(), &["run", "8689"])).expect("written");
    let mut reader = PcapNgReader::new(&bytes[..]).expect("a capture");
    let mut lines = Vec::new();
    while let Some(block) = reader.next_block() {
        if let Block::EnhancedPacket(p) = block.expect("a sound block") {
            let comments: Vec<&str> =
                p.options.iter().filter_map(|o| if let Comment(c) = o { Some(&**c) } else { None }).collect();
            assert!(comments.len() <= 1, "{comments:?}");
            lines.push(comments.first().map_or(0, |c| c.lines().count()));
        }
    }
    // the first frame has every step before it
    assert!(lines[0] > 10 && lines.contains(&1), "{lines:?}");
}

#[test]
fn tshark_reads_it_with_its_comments() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = capture(dir.path(), &["run", "8689"]);
    let fields = ["arp.opcode", "arp.dst.proto_ipv4", "arp.src.hw_mac", "_ws.malformed", "frame.comment"];
    let mut tshark = Command::new("tshark");
    tshark.arg("-r").arg(&file).args(["-T", "fields", "-E", "separator=|"]);
    for field in fields {
        tshark.args(["-e", field]);
    }
    let output = match tshark.output() {
        Ok(output) => output,
        Err(e) => {
            assert!(std::env::var(REQUIRE_TSHARK).as_deref() != Ok("1"), "{REQUIRE_TSHARK}=1, but {e}");
            return eprintln!("skipped: tshark does not start: {e}");
        }
    };
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines: Vec<Vec<String>> = text(&output.stdout)
        .lines()
        .map(|l| l.splitn(fields.len(), '|').map(str::to_owned).collect())
        .collect();
    assert_eq!(lines.len(), json_frames(&["run", "8689"]));
    assert!(lines.iter().all(|l| l[3].is_empty()), "malformed frames");
    let asked = |l: &&Vec<String>| l[0] == "1" && l[1] == "169.254.1.1";
    let (silent, answered): (Vec<_>, Vec<_>) =
        lines.iter().filter(asked).partition(|l| l[4].contains("unanswered"));
    assert_eq!(silent.len(), 58);
    assert!(silent.iter().all(|l| l[4].contains("rp-filter-other-device")), "{silent:?}");
    assert_eq!(answered.len(), 1);
    let replies: Vec<_> = lines.iter().filter(|l| l[0] == "2" && l[2] == "ee:ee:ee:ee:ee:ee").collect();
    assert_eq!(replies.len(), 1);
    assert!(lines.iter().any(|l| l[4].contains("felix.host-route-add")), "no step marks");
}

/// What is no file stays what it is; a link is followed; a file keeps its rights.
#[test]
fn only_a_file_is_replaced() {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
    let dir = tempfile::tempdir().expect("a directory");
    let (link, target, pipe) = (dir.path().join("link"), dir.path().join("target"), dir.path().join("pipe"));
    std::fs::write(&target, "old").expect("written");
    std::fs::set_permissions(&target, PermissionsExt::from_mode(0o640)).expect("set");
    symlink("target", &link).expect("a link");
    let run = |path: &Path| arplab(&["run", "8689", "--pcap", path.to_str().expect("UTF-8")]).status.code();
    assert_eq!(run(&link), Some(0));
    assert!(link.is_symlink());
    let there = std::fs::metadata(&target).expect("there");
    assert!(there.len() > 500 && there.permissions().mode() & 0o777 == 0o640, "{there:?}");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let reader = {
        let pipe = pipe.clone();
        std::thread::spawn(move || std::fs::read(pipe))
    };
    assert_eq!(run(&pipe), Some(0));
    assert_eq!(
        reader.join().expect("no panic").expect("readable"),
        std::fs::read(&target).expect("readable")
    );
    assert!(std::fs::metadata(&pipe).expect("there").file_type().is_fifo());
    assert_eq!(run(Path::new("/dev/full")), Some(2));
    assert_eq!(run(dir.path()), Some(2));
}

#[test]
fn a_capture_that_cannot_be_written_leaves_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let wanted = dir.path().join("no/such/directory/run.pcapng");
    let output = arplab(&["run", "8689", "--pcap", wanted.to_str().expect("UTF-8")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("no/such/directory/run.pcapng"));
    assert_eq!(std::fs::read_dir(dir.path()).expect("readable").count(), 0);
}

#[test]
fn says_that_its_time_is_virtual() {
    use pcap_file::pcapng::blocks::section_header::SectionHeaderOption::Comment;
    let dir = tempfile::tempdir().expect("a directory");
    let bytes = std::fs::read(capture(dir.path(), &["run", "8689"])).expect("written");
    let reader = PcapNgReader::new(&bytes[..]).expect("a capture");
    let said = reader.section().options.iter().any(|o| matches!(o, Comment(c) if c.contains("virtual time")));
    assert!(said, "{:?}", reader.section());
}

/// `-` is standard output, of which there is one.
#[test]
fn goes_to_standard_output() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = std::fs::read(capture(dir.path(), &["run", "8689"])).expect("written");
    let run = arplab(&["run", "8689", "--pcap", "-"]);
    assert_eq!((run.status.code(), &run.stdout), (Some(0), &file));
    assert_eq!(text(&run.stderr), text(&arplab(&["run", "8689"]).stdout));
    let page = arplab(&["run", "8689", "--html", "-"]);
    assert!(text(&page.stdout).starts_with("<!DOCTYPE html>"), "{}", text(&page.stdout));
    let both = arplab(&["run", "8689", "--pcap", "-", "--html", "-"]);
    assert_eq!(both.status.code(), Some(2));
    assert!(text(&both.stderr).contains("another file goes there already"), "{}", text(&both.stderr));
    assert!(both.stdout.is_empty());
}

#[test]
fn the_report_goes_to_a_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("report");
    let path = file.to_str().expect("UTF-8");
    for more in [&[][..], &["--json"]] {
        let run = arplab(&[&["run", "8689", "-o", path, "--pcap", "-"], more].concat());
        assert_eq!(run.status.code(), Some(0));
        assert!(run.stderr.is_empty() && PcapNgReader::new(&run.stdout[..]).is_ok());
        let told = arplab(&[&["run", "8689"], more].concat());
        assert_eq!(std::fs::read(&file).expect("written"), told.stdout);
    }
    let nowhere = arplab(&["run", "8689", "-o", "/no/such/place"]);
    assert_eq!(nowhere.status.code(), Some(2));
    assert!(text(&nowhere.stderr).contains("there is no directory /no/such"), "{}", text(&nowhere.stderr));
}
