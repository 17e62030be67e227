//! The pod's model against the recordings of a kernel; the rules of agreement stand at the head of
//! `arplab::vectors::pod`.

use arplab::vectors::pod::{PodVerdict, conform};

fn verdicts(file: &str) -> Vec<PodVerdict> {
    let path = format!("{}/tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    // ARPLAB_RECORD=name looks at one record
    let wanted = std::env::var("ARPLAB_RECORD").ok();
    conform(&text, |name| wanted.as_ref().is_none_or(|w| name.contains(w.as_str()))).unwrap()
}

#[track_caller]
fn all_agree(file: &str, records: usize, late: usize) {
    let verdicts = verdicts(file);
    let differ: Vec<_> = verdicts.iter().filter(|v| !v.agrees()).collect();
    for verdict in &differ {
        println!("{}: {:#?}", verdict.name, verdict.faults);
    }
    assert!(differ.is_empty(), "{} of {} records of {file} differ", differ.len(), verdicts.len());
    if std::env::var("ARPLAB_RECORD").is_err() {
        assert_eq!(verdicts.len(), records);
        // trials that are explained only by a late machine
        assert_eq!(verdicts.iter().map(|v| v.late).sum::<usize>(), late);
    }
}

#[test]
fn frames_by_state() {
    all_agree("pod-frame-by-state.jsonl", 253, 0);
}

#[test]
fn timers() {
    all_agree("pod-timers.jsonl", 41, 1);
}

#[test]
fn windows() {
    all_agree("pod-windows.jsonl", 49, 1);
}

#[test]
fn end_to_end() {
    all_agree("end-to-end.jsonl", 26, 1);
}

#[test]
fn queued_senders() {
    all_agree("queued-senders.jsonl", 8, 0);
}

/// What is told of a client is what the replay drives: a delay that the kernel drew, a number of echoes and
/// datagrams, an age of the entry, a later start, a route of two legs, a client on the node, IPv6 clients.
#[test]
fn clients_driven_as_recorded() {
    all_agree("driven.jsonl", 16, 0);
}

/// Recordings from elsewhere: `ARPLAB_VECTORS=FILE cargo test --test model other_recordings -- --ignored`.
#[test]
#[ignore = "wants a file of one's own"]
fn other_recordings() {
    let path = std::env::var("ARPLAB_VECTORS").expect("ARPLAB_VECTORS names a file");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let verdicts = conform(&text, |_| true).unwrap();
    for verdict in &verdicts {
        let late = if verdict.late > 0 { format!(" ({} late)", verdict.late) } else { String::new() };
        println!("{} {}{late} {:#?}", verdict.name, verdict.agrees(), verdict.faults);
    }
    assert!(verdicts.iter().all(PodVerdict::agrees));
}

/// What is changed of a record.
type Change = fn(&mut serde_json::Value);

/// A record of a file, with something changed.
fn altered(file: &str, name: &str, change: impl Fn(&mut serde_json::Value)) -> PodVerdict {
    let path = format!("{}/tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let records = text.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap());
    let mut record = records.into_iter().find(|r| r["name"] == name).unwrap();
    change(&mut record);
    let mut verdicts = conform(&record.to_string(), |_| true).unwrap();
    verdicts.remove(0)
}

/// The comparison notices what it is there for.
#[test]
fn an_altered_recording_is_noticed() {
    let frames = "pod-frame-by-state.jsonl";
    let name = "pod-STALE-reply-unicast";
    assert!(altered(frames, name, |_| {}).agrees());
    for change in [
        (|r| r["trials"][0]["got"][0] = "STALE".into()) as fn(&mut serde_json::Value),
        |r| r["trials"][1]["got"][1] = "02:de:ad:be:ef:01".into(),
        |r| r["trials"][2]["queued_packet_sent_to"] = serde_json::json!(["ee:ee:ee:ee:ee:ee"]),
        |r| r["params"]["prior"] = "PERMANENT".into(),
    ] {
        assert!(!altered(frames, name, change).agrees());
    }
    let windows = "pod-windows.jsonl";
    let name = "window-10-tcp-lodown";
    assert!(altered(windows, name, |_| {}).agrees());
    for change in [
        (|r| r["trials"][0]["client"]["connect_s"] = 11.9.into()) as fn(&mut serde_json::Value),
        |r| r["trials"][0]["client"]["err"] = "EHOSTUNREACH".into(),
        |r| r["trials"][0]["client"]["colour"] = "green".into(),
        |r| r["trials"][1]["arp_requests"][2] = 2.3.into(),
        |r| r["trials"][1]["arp_requests"].as_array_mut().unwrap().truncate(5),
        |r| r["trials"][1]["tcp_retransmits"].as_array_mut().unwrap().push(11.26.into()),
        |r| r["trials"][2]["syn_on_wire"] = serde_json::json!([]),
        |r| r["trials"][2]["neigh"][2]["state"] = "STALE".into(),
        |r| r["config"]["pod"]["sysctls"]["eth0.neigh.mcast_solicit"] = "2".into(),
        |r| r["config"]["pod"]["sysctls"]["tcp_syn_linear_timeouts"] = "0".into(),
        |r| r["name"] = "window-10-tcp".into(),
    ] {
        assert!(!altered(windows, name, change).agrees());
    }
    let driven = "driven.jsonl";
    let changes: [(&str, Change); 23] = [
        ("window-0-ping-delayed", |r| r["trials"][1]["arp_replies"][0] = 0.9.into()),
        ("window-0-ping-delayed", |r| r["trials"][1]["client"]["replies"][0]["rtt_ms"] = 900.0.into()),
        ("window-0-ping-delayed", |r| r["config"]["node"]["sysctls"]["cali0.neigh.proxy_delay"] = "0".into()),
        ("window-1.5-ping-three", |r| r["trials"][0]["client"]["lost"] = serde_json::json!([2])),
        ("window-1.5-udp-four", |r| r["params"]["count"] = 5.into()),
        ("window-1.5-udp-four", |r| r["trials"][2]["udp_on_wire"].as_array_mut().unwrap().truncate(2)),
        ("stale-old-udp", |r| r["params"]["count"] = 1.into()),
        ("stale-old-udp", |r| r["trials"][0]["arp_requests_unicast"] = serde_json::json!([5.2])),
        ("window-0-ping-legs", |r| {
            r["config"]["node"]["routes"].as_array_mut().unwrap().drain(..3);
        }),
        ("window-1.5-node-ping", |r| r["params"]["from"] = "pod".into()),
        ("window-1.5-node-ping", |r| r["trials"][0]["arp_requests"][1] = 1.3.into()),
        ("window-1.5-node-ping", |r| r["trials"][1]["events"] = serde_json::json!([])),
        ("window-1.5-node-tcp", |r| r["trials"][0]["client"]["connect_s"] = 3.05.into()),
        ("window-1.5-node-udp", |r| r["trials"][2]["client"]["sends"][3][1] = "sent".into()),
        ("never-node-tcp", |r| r["trials"][0]["client"]["err"] = "ETIMEDOUT".into()),
        ("never-node-ping", |r| r["trials"][0]["client"]["lost"] = serde_json::json!([1, 2, 3, 4])),
        ("never-node-ping", |r| {
            r["trials"][1]["client"]["unreachable"][0]["text"] = "Packet filtered".into();
        }),
        ("window-1.5-node-ping6", |r| r["params"]["family"] = 4.into()),
        ("window-1.5-ping6", |r| r["trials"][0]["events"][0]["t"] = 2.5.into()),
        ("window-1.5-tcp6", |r| {
            r["commands"]["pod"]
                .as_array_mut()
                .unwrap()
                .retain(|c| !c.as_str().unwrap().contains("via fe80"));
        }),
        ("window-1.5-udp6", |r| r["trials"][2]["nd_solicits"].as_array_mut().unwrap().truncate(2)),
        ("mac-stale-ping6", |r| r["params"]["prior"] = "PERMANENT".into()),
        ("mac-stale-ping6", |r| r["trials"][0]["nd_solicits_unicast"].as_array_mut().unwrap().truncate(2)),
    ];
    for (name, change) in changes {
        assert!(!altered(driven, name, change).agrees(), "{name}");
    }
    // words that say nothing are no agreement
    for (key, value) in [("from", "host".into()), ("family", 5.into())] {
        let verdict =
            altered(driven, "window-1.5-node-ping", |r| r["params"][key] = serde_json::Value::clone(&value));
        assert!(verdict.faults.iter().any(|f| f.to_string().contains("is neither")), "{:?}", verdict.faults);
    }
    let timers = "pod-timers.jsonl";
    let delivered: fn(&mut serde_json::Value) = |r| r["trials"][0]["client"]["delivered"] = 255.into();
    assert!(!altered(timers, "unres-default-32", delivered).agrees());
    let spread: fn(&mut serde_json::Value) = |r| {
        for sample in r["trials"][0]["samples"].as_array_mut().unwrap() {
            *sample = (sample.as_f64().unwrap() / 4.0 + 0.75).into();
        }
    };
    assert!(!altered(timers, "reachable-distribution", spread).agrees());
    let many = "queued-senders.jsonl";
    assert!(altered(many, "many-40-T10", |_| {}).agrees());
    assert!(
        !altered(many, "many-200-T40-noburst", |r| {
            r["trials"][0]["outcome_groups"] = serde_json::json!({"EHOSTUNREACH@3": 199});
        })
        .agrees()
    );
    assert!(
        !altered(many, "many-100-T10", |r| {
            r["trials"][0]["outcome_groups"]["EHOSTUNREACH@3"] = 80.into();
        })
        .agrees()
    );
    let gone: fn(&mut serde_json::Value) = |r| r["trials"][0]["client"]["err"] = "connected".into();
    assert!(!altered("end-to-end.jsonl", "e2e-proxy-arp-off-tcp", gone).agrees());
}
