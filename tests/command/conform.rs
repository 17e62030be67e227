//! `arplab conform`: agreement is 0, disagreement 1, what is no recording 2.

use std::io::Write;
use std::process::{Command, Output};

fn vectors(file: &str) -> String {
    format!("{}/tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"))
}

fn conform(args: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_arplab")).arg("conform").args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn recordings_of_every_kind_agree() {
    let files = ["host-decision.jsonl", "malformed.jsonl", "pod-windows.jsonl", "ipv6.jsonl"].map(vectors);
    let args: Vec<&str> = files.iter().map(String::as_str).chain(["--only", "5"]).collect();
    let (code, out, err) = conform(&args);
    assert_eq!(code, Some(0), "{out}{err}");
    let last = out.lines().last().unwrap();
    assert!(last.contains(" agree, 0 differ, "), "{last}");
    assert!(out.contains("agrees   window-"), "{out}");
}

/// A file with one record in it, changed.
fn altered(file: &str, name: &str, change: impl Fn(&mut serde_json::Value)) -> tempfile::NamedTempFile {
    let text = std::fs::read_to_string(vectors(file)).unwrap();
    let mut records = text.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap());
    let mut record = records.find(|r| r["name"] == name).unwrap();
    change(&mut record);
    let mut out = tempfile::NamedTempFile::new().unwrap();
    writeln!(out, "{record}").unwrap();
    out
}

#[test]
fn a_recording_of_another_behaviour_is_a_disagreement() {
    let host = altered("malformed.jsonl", "bad-hrd-6", |r| r["trials"][0]["n_replies"] = 0.into());
    let (code, out, _) = conform(&[host.path().to_str().unwrap()]);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.starts_with("DIFFERS  ") && out.contains("number of answers"), "{out}");
    let pod = altered("pod-frame-by-state.jsonl", "pod-STALE-reply-unicast", |r| {
        r["trials"][0]["got"][0] = "STALE".into();
    });
    let (code, out, _) = conform(&[pod.path().to_str().unwrap(), "--json"]);
    assert_eq!(code, Some(1), "{out}");
    let first: serde_json::Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
    assert_eq!(first["result"], "differs");
    let last: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!(last, serde_json::json!({ "agree": 0, "differ": 1, "not_replayed": 0 }));
}

#[test]
fn what_cannot_be_replayed_is_said_and_is_no_disagreement() {
    let file = vectors("ipv6.jsonl");
    let (code, out, _) = conform(&[&file, "--only", "ndp-pod-dad"]);
    assert_eq!(code, Some(3), "nothing was checked: {out}");
    assert!(out.starts_with("skipped  ndp-pod-dad\n         it needs the pod's clients"), "{out}");
}

#[test]
fn wrong_input_is_named_with_its_place() {
    let file = vectors("malformed.jsonl");
    let (code, _, err) = conform(&[&file, "--only", "no such record"]);
    assert_eq!((code, err.contains("no such recording")), (Some(2), true), "{err}");
    let (code, _, err) = conform(&["/nonexistent.jsonl"]);
    assert_eq!((code, err.contains("/nonexistent.jsonl")), (Some(2), true), "{err}");
    let mut broken = tempfile::NamedTempFile::new().unwrap();
    write!(broken, "\n{{\"name\": 3}}\n").unwrap();
    let (code, _, err) = conform(&[broken.path().to_str().unwrap()]);
    assert_eq!((code, err.contains(":2 is no recording")), (Some(2), true), "{err}");
    let (code, _, _) = conform(&[]);
    assert_eq!(code, Some(2));
}
