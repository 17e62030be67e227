//! Captures and traces of real kernels lead back to their scenarios too.

use super::{arplab, best};

/// Short ones, of different kinds.
const SCENARIOS: [&str; 5] =
    ["udev-mac-race", "proxy-claims-pod-address", "felix-pass-blocked", "static-entry-stale", "v6-dad"];

#[test]
fn live_runs_lead_back_to_their_scenarios() {
    if !netns_lab::testing::require_netns() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    for responder in ["smoltcp", "kernel"] {
        for id in SCENARIOS {
            let file = dir.path().join(format!("{id}-{responder}"));
            let (pcap, trace) = (file.with_extension("pcapng"), file.with_extension("jsonl"));
            let (pcap, trace) = (pcap.to_str().unwrap(), trace.to_str().unwrap());
            let run = arplab(&["run", id, "--live", "--responder", responder, "--json", "--pcap", pcap]);
            if run.status.code() == Some(3) {
                println!("{id} {responder}: {}", String::from_utf8_lossy(&run.stderr).trim());
                continue;
            }
            std::fs::write(trace, &run.stdout).unwrap();
            for (flag, path) in [("--pcap", pcap), ("--trace", trace)] {
                let found = best(&arplab(&["identify", flag, path, "--json"]).stdout);
                println!("{id} {responder} {flag}: {found:?}");
                if !found.iter().any(|f| f == id) {
                    let text = arplab(&["identify", flag, path]).stdout;
                    wrong.push(format!("{id} {responder} {flag}: {}", String::from_utf8_lossy(&text)));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
