//! What the explorer says of three mitigations, through the program: they do not hold, and the
//! shortest failing schedule of each is replayed in the simulator and against the running kernel
//! with both responders.

use crate::program::{skipped, told};
use std::path::{Path, PathBuf};

crate::live_tests! {
    of_three_insufficient_mitigations_the_shortest_failing_schedule_fails_live_too,
}

/// A scenario with a fix, the property it is held against, and how far the search goes.
#[derive(Clone, Copy)]
struct Question<'a> {
    scenario: &'a str,
    fix: &'a str,
    property: &'a str,
    late_max: &'a str,
}

/// route-withheld with its times made short, so that the wait of the plugin runs out in a test.
fn short_wait(dir: &Path) -> PathBuf {
    let text = told(&["show", "route-withheld", "--source"])
        .stdout
        .replace("version = \"v3.26\"", "version = \"v3.26\"\nroute-grace = \"2s\"")
        .replace("endpoint-status-wait = \"60s\"", "endpoint-status-wait = \"3s\"");
    assert!(text.contains("route-grace") && text.contains("= \"3s\""), "{text}");
    let path = dir.join("short-wait.toml");
    std::fs::write(&path, text).unwrap();
    path
}

/// Writes the schedule's file of a mitigation, and checks all that needs no kernel.
fn failing(q: Question<'_>, late: &str, file: &Path) {
    let file = file.to_str().unwrap();
    let Question { scenario, fix, property, late_max } = q;
    let base = ["explore", scenario, "--no-holds", "--fix", fix, "--property", property];
    let ran = told(&[&base[..], &["--late-max", late_max, "--horizon", "20s", "--out", file]].concat());
    assert_eq!(ran.code, 1, "{}: {}{}", q.fix, ran.stdout, ran.stderr);
    for part in [
        "The shortest failing schedule has one step late",
        &format!("{late} is held by this schedule"),
        &format!("Replay it: arplab explore --replay {file}"),
    ] {
        assert!(ran.stdout.contains(part), "{part:?} is not in {}", ran.stdout);
    }
    let replayed = told(&["explore", "--replay", file]);
    assert_eq!(replayed.code, 0, "{}{}", replayed.stdout, replayed.stderr);
    assert!(replayed.stderr.is_empty(), "it fits the program: {}", replayed.stderr);
    assert!(replayed.stdout.ends_with(&as_recorded(q.property)), "{}", replayed.stdout);
}

fn as_recorded(property: &str) -> String {
    format!("\nIt lacks {property}.\nAs recorded.\n")
}

/// How often a run may be other than recorded, less one.
const TRIES: usize = 3;

/// The same on the real clock. What depends on which of two processors is first may fall otherwise on a
/// busy machine; what does so [`TRIES`] times in a row is wrong.
fn live(file: &Path, property: &str, responder: &str) {
    let args = ["run", "--replay", file.to_str().unwrap(), "--live", "--responder", responder];
    let mut ran = told(&args);
    for _ in 1..TRIES {
        if ran.code != 1 {
            break;
        }
        eprintln!("{responder}: once more, since it came to\n{}", ran.stdout);
        ran = told(&args);
    }
    if ran.code == 3 {
        return skipped(&ran.stderr);
    }
    assert_eq!(ran.code, 0, "{responder}: {}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.ends_with(&as_recorded(property)), "{responder}: {}", ran.stdout);
}

fn of_three_insufficient_mitigations_the_shortest_failing_schedule_fails_live_too() {
    let dir = tempfile::tempdir().unwrap();
    let short = short_wait(dir.path());
    let refresh = Question {
        scenario: "late-responder",
        fix: "shorter-interface-refresh",
        property: "first-packet-within=1.5s",
        late_max: "4s",
    };
    let filter = Question {
        scenario: "route-withheld",
        fix: "rp-filter-off",
        property: "no-silence-longer-than=2.5s",
        late_max: "12s",
    };
    let wait = Question {
        scenario: short.to_str().unwrap(),
        fix: "endpoint-status-wait-too-short",
        late_max: "8s",
        ..refresh
    };
    let mut runs = Vec::new();
    for (q, late) in
        [(refresh, "felix.host-route-add"), (filter, "felix.endpoint-known"), (wait, "felix.endpoint-known")]
    {
        let file = dir.path().join(format!("{}.toml", q.fix));
        failing(q, late, &file);
        for responder in ["smoltcp", "kernel"] {
            let (file, property) = (file.clone(), q.property.to_owned());
            runs.push(std::thread::spawn(move || live(&file, &property, responder)));
        }
    }
    for run in runs {
        run.join().unwrap();
    }
}
