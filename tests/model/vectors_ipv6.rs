//! The model against recordings of a real kernel: neighbour discovery, on the host and by the
//! state of the pod's entry.

use arplab::vectors::{self, Replayed};

/// Records that need a program in the pod (connect, ping, bind): they wait for the pod's clients.
const NEED_CLIENTS: [&str; 8] = [
    "ndp-pod-dad",
    "ndp-pod-nodad",
    "ndp-window-0-tcp",
    "ndp-window-1.5-tcp",
    "ndp-window-1.5-ping",
    "ndp-window-2.5-ping",
    "ndp-window-5-tcp",
    "ndp-window-5-ping",
];

#[test]
fn neighbour_discovery_is_that_of_the_kernel() {
    let path = format!("{}/tests/vectors/ipv6.jsonl", env!("CARGO_MANIFEST_DIR"));
    let file = std::io::BufReader::new(std::fs::File::open(path).unwrap());
    let mut wrong = Vec::new();
    let mut agreed = 0;
    for record in vectors::read(file).unwrap() {
        let report = vectors::replay(&record);
        match report.verdict {
            Replayed::Agrees => agreed += 1,
            Replayed::NotReplayed(_) if NEED_CLIENTS.contains(&record.name.as_str()) => {}
            _ => wrong.push(report.to_string()),
        }
        // the route was taken away by a step that is not among the commands
        let unrecorded = record.name == "ndp-proxy-noroute";
        assert!(report.adjusted.is_empty() || unrecorded, "{}: {:?}", record.name, report.adjusted);
    }
    assert!(wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong.join("\n"));
    assert!(agreed >= 57, "{agreed} records agree");
}

#[test]
fn random_states_are_answered_as_the_kernel_answered_them() {
    let path = format!("{}/tests/vectors/random-states6.jsonl", env!("CARGO_MANIFEST_DIR"));
    let file = std::io::BufReader::new(std::fs::File::open(path).unwrap());
    let reports: Vec<_> = vectors::read(file).unwrap().iter().map(vectors::replay).collect();
    let wrong: Vec<String> =
        reports.iter().filter(|r| r.verdict != Replayed::Agrees).map(ToString::to_string).collect();
    assert!(wrong.is_empty() && reports.len() >= 120, "{}", wrong.join("\n"));
}
