//! What the explorer says of fixes, through the program: three of Calico's own hold within a bound,
//! three mitigations do not; the shortest failing schedule of each is replayed in the simulator
//! and, where there are namespaces, against the running kernel with both responders.
//!
//! Where there are no namespaces the live part says so and passes, unless
//! `ARPLAB_REQUIRE_NETNS` is 1.

use std::path::{Path, PathBuf};
use std::process::Command;

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

fn arplab(args: &[&str]) -> Ran {
    let out = Command::new(env!("CARGO_BIN_EXE_arplab")).args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: out.status.code(), out: text(out.stdout), err: text(out.stderr) }
}

/// A scenario with a fix, the property it is held against, and how far the search goes.
#[derive(Clone, Copy)]
struct Question<'a> {
    scenario: &'a str,
    fix: &'a str,
    property: &'a str,
    late_max: &'a str,
    horizon: &'a str,
}

impl Question<'_> {
    fn ask(&self, more: &[&str]) -> Ran {
        let Question { scenario, fix, property, late_max, horizon } = self;
        let base = ["explore", scenario, "--no-holds", "--fix", fix, "--property", property];
        let bounds = ["--late-max", late_max, "--horizon", horizon];
        arplab(&[&base[..], &bounds[..], more].concat())
    }
}

const CURED: [Question<'static>; 3] = [
    // cni-plugin PR #320: the plugin writes switches and route itself
    Question {
        scenario: "late-responder",
        fix: "plugin-configures-host",
        property: "first-packet-within=1.5s",
        late_max: "10s",
        horizon: "30s",
    },
    // calico v3.28: ADD waits for Felix's word
    Question {
        scenario: "route-withheld",
        fix: "endpoint-status-wait",
        property: "no-silence-longer-than=2.5s",
        late_max: "30s",
        horizon: "60s",
    },
    // felix PR #183: proxy_delay 0
    Question {
        scenario: "proxy-delay",
        fix: "proxy-delay-0",
        property: "first-packet-within=500ms",
        late_max: "5s",
        horizon: "20s",
    },
];

#[test]
fn of_three_upstream_fixes_no_schedule_fails_within_the_bound() {
    for q in CURED {
        let ran = q.ask(&["--json"]);
        assert_eq!(ran.code, Some(0), "{}: {}{}", q.fix, ran.out, ran.err);
        let report: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(report["ok"], true);
        assert!(report["covered"]["every"].as_str().unwrap().contains("at most 1 step late"), "{report}");
        let schedules: u64 = report["schedules"].as_str().unwrap().parse().unwrap();
        assert!(schedules > 10_000, "{}: {schedules} schedules", q.fix);
        // without the fix a narrower search finds a schedule that fails
        let base = ["explore", q.scenario, "--no-holds", "--property", q.property];
        let bounds = ["--late-max", "12s", "--horizon", "20s", "--no-shrink"];
        let bug = arplab(&[&base[..], &bounds[..]].concat());
        assert_eq!(bug.code, Some(1), "{} without its fix: {}{}", q.scenario, bug.out, bug.err);
    }
}

/// route-withheld with its times made short, so that the wait of the plugin runs out in a test.
fn short_wait(dir: &Path) -> PathBuf {
    let text = arplab(&["show", "route-withheld", "--source"])
        .out
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
    let ran = q.ask(&["--out", file]);
    assert_eq!(ran.code, Some(1), "{}: {}{}", q.fix, ran.out, ran.err);
    for part in [
        "The shortest failing schedule has one step late",
        &format!("{late} is held by this schedule"),
        &format!("Replay it: arplab explore --replay {file}"),
    ] {
        assert!(ran.out.contains(part), "{part:?} is not in {}", ran.out);
    }
    let replayed = arplab(&["explore", "--replay", file]);
    assert_eq!(replayed.code, Some(0), "{}{}", replayed.out, replayed.err);
    assert!(replayed.err.is_empty(), "it fits the program: {}", replayed.err);
    assert!(replayed.out.ends_with(&as_recorded(q.property)), "{}", replayed.out);
}

fn as_recorded(property: &str) -> String {
    format!("\nIt lacks {property}.\nAs recorded.\n")
}

/// The same on the real clock.
fn live(file: &Path, property: &str, responder: &str) {
    let ran = arplab(&["run", "--replay", file.to_str().unwrap(), "--live", "--responder", responder]);
    if ran.code == Some(3) {
        let required = std::env::var("ARPLAB_REQUIRE_NETNS").is_ok_and(|v| v == "1");
        assert!(!required, "this machine cannot: {}", ran.err);
        eprintln!("skipped: {}", ran.err);
        return;
    }
    assert_eq!(ran.code, Some(0), "{responder}: {}{}", ran.out, ran.err);
    assert!(ran.out.ends_with(&as_recorded(property)), "{responder}: {}", ran.out);
}

#[test]
fn of_three_insufficient_mitigations_the_shortest_failing_schedule_fails_live_too() {
    let dir = tempfile::tempdir().unwrap();
    let short = short_wait(dir.path());
    let refresh = Question {
        scenario: "late-responder",
        fix: "shorter-interface-refresh",
        property: "first-packet-within=1.5s",
        late_max: "4s",
        horizon: "20s",
    };
    let filter = Question {
        scenario: "route-withheld",
        fix: "rp-filter-off",
        property: "no-silence-longer-than=2.5s",
        late_max: "12s",
        ..refresh
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
