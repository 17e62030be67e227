//! What the pod's own kernel says.

use crate::process::{Run, events, nothing_left};
use serde_json::Value;
use std::collections::BTreeSet;

crate::live_tests! {
    incomplete_and_failed_then_reachable_on_a_tap,
    incomplete_and_failed_then_reachable_on_a_veth,
    a_fix_leaves_nothing_unanswered,
    progress_goes_to_stderr_and_the_story_to_stdout,
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
        events.iter().find(|e| e["event"] == "kernel" && e["side"] == "pod").expect("its kernel's view");
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
