//! The model against recordings of a real kernel: the host's side of ARP.

use arplab::vectors::{self, ReplayReport, Replayed};

fn replay(file: &str) -> Vec<ReplayReport> {
    let path = format!("{}/tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    let file = std::io::BufReader::new(std::fs::File::open(path).unwrap());
    vectors::read(file).unwrap().iter().map(vectors::replay).collect()
}

/// Every record agrees; where the kernel reported another state than the commands led to, it is
/// one of those whose last steps were not recorded.
fn all_agree(file: &str, at_least: usize, unrecorded: &[&str]) {
    let reports = replay(file);
    assert!(reports.len() >= at_least, "{} records", reports.len());
    let wrong: Vec<String> =
        reports.iter().filter(|r| r.verdict != Replayed::Agrees).map(ToString::to_string).collect();
    assert!(wrong.is_empty(), "{} of {} differ\n{}", wrong.len(), reports.len(), wrong.join("\n"));
    for report in reports.iter().filter(|r| !r.adjusted.is_empty()) {
        assert!(unrecorded.contains(&report.name.as_str()), "{}: {:?}", report.name, report.adjusted);
    }
}

#[test]
fn decisions_are_those_of_the_kernel() {
    // the uplink's far end was taken down by a step that is not among the commands
    all_agree("host-decision.jsonl", 100, &["uplink-nocarrier"]);
}

#[test]
fn malformed_frames_are_treated_as_the_kernel_treats_them() {
    all_agree("malformed.jsonl", 29, &[]);
}

#[test]
fn delayed_answers_are_spread_queued_and_lost_as_in_the_kernel() {
    all_agree("proxy-delay.jsonl", 14, &[]);
}

/// Random states and random questions: a sample of thousands that were compared when the model
/// was made.
#[test]
fn random_states_are_answered_as_the_kernel_answered_them() {
    all_agree("random-states.jsonl", 300, &[]);
}
