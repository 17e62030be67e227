//! The pod's model against the recordings of a kernel; the rules of agreement stand at the head of
//! `arplab::vectors::pod`.

use arplab::vectors::pod::{Verdict, conform};

fn verdicts(file: &str) -> Vec<Verdict> {
    let path = format!("{}/tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    // ARPLAB_RECORD=name looks at one record
    let wanted = std::env::var("ARPLAB_RECORD").ok();
    conform(&text, |name| wanted.as_ref().is_none_or(|w| name.contains(w.as_str()))).unwrap()
}

#[track_caller]
fn all_agree(file: &str, records: usize) {
    let verdicts = verdicts(file);
    let differ: Vec<_> = verdicts.iter().filter(|v| !v.agrees()).collect();
    for verdict in &differ {
        println!("{}: {:#?}", verdict.name, verdict.faults);
    }
    assert!(differ.is_empty(), "{} of {} records of {file} differ", differ.len(), verdicts.len());
    if std::env::var("ARPLAB_RECORD").is_err() {
        assert_eq!(verdicts.len(), records);
    }
}

#[test]
fn frames_by_state() {
    all_agree("pod-frame-by-state.jsonl", 253);
}

#[test]
fn timers() {
    all_agree("pod-timers.jsonl", 41);
}

#[test]
fn windows() {
    all_agree("pod-windows.jsonl", 49);
}

#[test]
fn end_to_end() {
    all_agree("end-to-end.jsonl", 26);
}

#[test]
fn queued_senders() {
    all_agree("queued-senders.jsonl", 8);
}
