//! What the explorer says of fixes, through the program: three of Calico's own hold within a bound.
//! That three mitigations do not is among the live tests.

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
