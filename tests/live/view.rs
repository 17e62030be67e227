//! What the pod's own kernel says.

use crate::process::{Run, events, nothing_left};
use serde_json::Value;
use std::collections::BTreeSet;

crate::live_tests! {
    incomplete_and_failed_then_reachable_on_a_tap,
    incomplete_and_failed_then_reachable_on_a_veth,
    a_fix_leaves_nothing_unanswered,
    progress_goes_to_stderr_and_the_story_to_stdout,
    lines_are_told_while_the_run_goes_on,
    the_kernels_tables_are_shown_from_within_the_window,
    a_capture_flows_while_the_run_goes_on,
    a_capture_bears_the_machines_time,
}

/// The states of the pod's entry for the gateway, in order, as its kernel announced them.
fn states(events: &[Value]) -> Vec<&str> {
    let news =
        events.iter().filter(|e| e["event"] == "neigh" && e["side"] == "pod" && e["ip"] == "169.254.1.1");
    news.filter_map(|e| e["new"].as_str()).collect()
}

/// The window of 8689, five seconds long, on a link of that kind.
fn race(link: &str) {
    let run =
        Run::start(&["run", "8689", "--live", "--hold", "felix.iface-seen=7s", "--json", "--link", link]);
    let namespaces = run.pod_made();
    let (output, mark) = run.end();
    nothing_left(&mark, &namespaces);
    let (events, verdict) = events(&output);
    assert_eq!(output.status.code(), Some(0), "{verdict:#}");
    let states = states(&events);
    assert_eq!(states.last(), Some(&"REACHABLE"), "{states:?}");
    let failed = states.iter().filter(|s| **s == "FAILED").count();
    assert!((1..=3).contains(&failed), "{states:?}");
    let before = &states[..states.len() - 1];
    assert!(before.iter().all(|s| ["INCOMPLETE", "FAILED"].contains(s)), "{states:?}");
    let kernel =
        events.iter().rfind(|e| e["event"] == "kernel" && e["side"] == "pod").expect("its kernel's view");
    let lines = |key: &str| kernel[key].as_array().expect("lines").clone();
    assert_eq!(lines("routes"), ["default via 169.254.1.1 dev eth0", "169.254.1.1 dev eth0 scope link"]);
    assert_eq!(lines("neighbours"), ["169.254.1.1 dev eth0 lladdr ee:ee:ee:ee:ee:ee REACHABLE"]);
    let seen = &verdict["seen"];
    assert_eq!(seen["reasons"], serde_json::json!(["rp-filter-other-device"]));
    for client in ["ping", "tcp-connect"] {
        assert!(seen["clients"][client]["answered"].as_u64() >= Some(1), "{seen:#}");
        let errors = seen["clients"][client]["errors"].as_object().expect("errors");
        assert!(
            errors.keys().any(|e| e.contains("Host Unreachable") || e.contains("No route to host")),
            "{seen:#}"
        );
    }
}

fn incomplete_and_failed_then_reachable_on_a_tap() {
    if netns_lab::capabilities::detect().has(netns_lab::capabilities::Feature::Tap) {
        race("tap");
    }
}

fn incomplete_and_failed_then_reachable_on_a_veth() {
    race("veth");
}

fn a_fix_leaves_nothing_unanswered() {
    let run = Run::start(&["run", "8689", "--live", "--fix", "plugin-configures-host", "--json"]);
    let namespaces = run.pod_made();
    let (output, mark) = run.end();
    nothing_left(&mark, &namespaces);
    let (_, verdict) = events(&output);
    assert_eq!(output.status.code(), Some(0), "{verdict:#}");
    let asked = verdict["seen"]["asked"].as_array().expect("requests").clone();
    assert!(!asked.is_empty() && asked.iter().all(|a| !a["answered_ns"].is_null()), "{verdict:#}");
}

fn progress_goes_to_stderr_and_the_story_to_stdout() {
    let run = Run::start(&["run", "8689", "--live", "--hold", "felix.iface-seen=1s"]);
    let (output, mark) = run.end();
    nothing_left(&mark, &BTreeSet::new());
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(text.contains("169.254.1.1 dev eth0 lladdr ee:ee:ee:ee:ee:ee REACHABLE"), "{text}");
    assert!(text.contains("rp-filter-other-device"), "{text}");
    assert_eq!(output.status.code(), Some(0), "{text}");
}

/// A run whose window a hold keeps open for a time in which everything else of a test is done.
fn held_open(more: &[&str]) -> Run {
    Run::start(&[&["run", "8689", "--live", "--hold", "felix.iface-seen=5s"], more].concat())
}

/// A line that says of the step that it is held is there while it is held: the run has seconds to go.
fn lines_are_told_while_the_run_goes_on() {
    for (more, held, released) in [
        (&["--json"][..], r#""event":"held""#, r#""event":"released""#),
        (&[][..], "felix.iface-seen is held", "felix.iface-seen goes on"),
    ] {
        let mut run = held_open(more);
        let lines = run.lines_until(held);
        assert!(run.goes_on(), "it was over before it was told");
        assert!(!lines.iter().any(|l| l.contains(released)), "{lines:#?}");
        let rest = run.lines_until(released);
        assert!(rest.iter().any(|l| l.contains("who-has 169.254.1.1")), "{rest:#?}");
        let (output, mark) = run.end();
        nothing_left(&mark, &BTreeSet::new());
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

fn the_kernels_tables_are_shown_from_within_the_window() {
    let run = held_open(&["--json", "--responder", "kernel"]);
    let (output, mark) = run.end();
    nothing_left(&mark, &BTreeSet::new());
    let (events, _) = events(&output);
    let time = |e: &Value| e["t_ns"].as_u64().expect("a time");
    let at = |kind: &str| events.iter().find(|e| e["event"] == kind).map(time).expect("one");
    let host: Vec<&Value> = events.iter().filter(|e| e["event"] == "kernel" && e["side"] == "host").collect();
    let [within, end] = host[..] else { panic!("{host:#?}") };
    assert!((at("held")..at("released")).contains(&time(within)) && time(end) > at("released"), "{host:#?}");
    let route = |e: &Value| {
        e["routes"]
            .as_array()
            .expect("lines")
            .iter()
            .any(|l| l.as_str().is_some_and(|l| l.contains("10.42.0.123 dev cali")))
    };
    assert!(!route(within) && route(end), "{host:#?}");
    let local = serde_json::json!("0: from all lookup local");
    assert!(within["rules"].as_array().is_some_and(|rules| rules.contains(&local)), "{within:#}");
    // and in the text, both of them
    let text = String::from_utf8(held_open(&["--responder", "kernel"]).end().0.stdout).expect("UTF-8");
    let (at, end) = (text.find("within the window, at "), text.find("at the end, at "));
    assert!(at.is_some() && at < end, "{text}");
}

fn a_capture_flows_while_the_run_goes_on() {
    use pcap_file::pcapng::{Block, PcapNgReader};
    let mut run = held_open(&["--pcap", "-"]);
    let mut bytes = Vec::new();
    // the section, both interfaces, the first request: the window is open by then
    loop {
        let mut reader = PcapNgReader::new(&bytes[..]);
        let there = reader
            .as_mut()
            .is_ok_and(|r| (0..3).any(|_| matches!(r.next_block(), Some(Ok(Block::EnhancedPacket(_))))));
        if there {
            break;
        }
        assert!(run.read_more(&mut bytes), "it ended without a frame");
    }
    assert!(run.goes_on(), "it was over before it was written");
    let (output, mark) = run.end();
    nothing_left(&mark, &BTreeSet::new());
    bytes.extend(output.stdout);
    let mut reader = PcapNgReader::new(&bytes[..]).expect("a capture");
    let mut frames = 0;
    while let Some(block) = reader.next_block() {
        frames += usize::from(matches!(block.expect("sound"), Block::EnhancedPacket(_)));
    }
    let report = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(frames >= 3 && report.contains("As expected: "), "{frames} frames; {report}");
}

fn a_capture_bears_the_machines_time() {
    use pcap_file::pcapng::blocks::section_header::SectionHeaderOption::Comment;
    use pcap_file::pcapng::{Block, PcapNgReader};
    use std::time::SystemTime;
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("live.pcapng");
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let before = now();
    let run = Run::start(&[
        "run",
        "8689",
        "--live",
        "--fix",
        "plugin-configures-host",
        "--pcap",
        file.to_str().expect("UTF-8"),
        "--json",
    ]);
    let (output, mark) = run.end();
    nothing_left(&mark, &BTreeSet::new());
    let (events, _) = events(&output);
    let began = std::time::Duration::from_nanos(events[0]["unix_ns"].as_u64().expect("when it began"));
    let bytes = std::fs::read(file).expect("written");
    let mut reader = PcapNgReader::new(&bytes[..]).expect("a capture");
    let said = reader.section().options.iter().any(|o| matches!(o, Comment(c) if c.contains("wall-clock")));
    assert!(said, "{:?}", reader.section());
    let mut frames = events.iter().filter(|e| e["event"] == "frame");
    while let Some(block) = reader.next_block() {
        if let Block::EnhancedPacket(p) = block.expect("sound") {
            let told = frames.next().and_then(|e| e["t_ns"].as_u64()).expect("as many frames");
            assert_eq!(p.timestamp, began + std::time::Duration::from_nanos(told));
            assert!((before..now()).contains(&p.timestamp), "{:?}", p.timestamp);
        }
    }
}
