//! The simulator and the live run tell the same story.
//!
//! Tolerances: request number i is sent within 0.1 s + 0.03 s * i of its time in the simulator,
//! both counted from the first request (the kernel's timers go off late on a busy machine, and
//! each request starts from the one before); the counts of unanswered requests differ by one at
//! most (the request at the window's edge). A ping of one second sends in the very tick in which
//! a resolution fails; whether its echo dies with the queue or begins the next resolution is a
//! race between processors, so with such a client every failed resolution may add one interval,
//! and take one request away.
//!
//! A machine that is busy with other tests can be later than all that; what differs [`TRIES`] times in
//! a row differs.

use crate::process::{Run, events, nothing_left};
use serde_json::Value;
use std::collections::BTreeSet;

crate::live_tests! {
    about_a_window_shorter_than_one_resolution,
    about_three_resolutions_without_a_race,
    about_a_window_of_three_resolutions,
    about_a_pod_without_its_default_route,
    about_a_proxy_delay,
}

fn run(args: &[&str]) -> Value {
    let run = Run::start(args);
    let (output, mark) = run.end();
    nothing_left(&mark, &BTreeSet::new());
    let (_, verdict) = events(&output);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {verdict:#}");
    verdict["seen"].clone()
}

/// Requests for the gateway: milliseconds since the first, and whether they were answered.
fn asked(seen: &Value) -> Vec<(u64, bool)> {
    let times = seen["asked"].as_array().expect("requests");
    let at = |a: &Value| a["t_ns"].as_u64().expect("a time") / 1_000_000;
    times.iter().map(|a| (at(a) - at(&times[0]), !a["answered_ns"].is_null())).collect()
}

/// How often a run may be other than it should be, less one.
const TRIES: usize = 3;

/// What a lost race costs: an interval of ping, as the timer wheel rounds it.
const RACE_MS: usize = 1024;

/// Requests of a resolution that fails.
const SOLICITS: usize = 3;

fn agree(args: &[&str], races: bool) {
    agree_but_for_draws(args, races, 0);
}

/// The same where an answer's time is drawn, up to so many milliseconds. What a live run draws is
/// its own: the draws of all actors come from one stream, in the order in which a busy machine gets
/// round to them.
fn agree_but_for_draws(args: &[&str], races: bool, drawn_ms: usize) {
    // what differs is printed each time
    let agreed = || std::panic::catch_unwind(|| agree_once(args, races, drawn_ms)).is_ok();
    assert!((0..TRIES).any(|_| agreed()), "{args:?}: never in {TRIES} tries");
}

fn agree_once(args: &[&str], races: bool, drawn_ms: usize) {
    let mut args = args.to_vec();
    args.push("--json");
    let sim = run(&args);
    args.push("--live");
    let live = run(&args);
    let (sim_asked, live_asked) = (asked(&sim), asked(&live));
    let silent = |all: &[(u64, bool)]| all.iter().filter(|a| !a.1).count();
    let (s, l) = (silent(&sim_asked), silent(&live_asked));
    let lost = if races { s.min(l) / SOLICITS } else { 0 };
    assert!(
        s.abs_diff(l) <= 1 + lost,
        "unanswered: {s} in the simulator, {l} live\n{sim_asked:?}\n{live_asked:?}"
    );
    for (i, (one, two)) in sim_asked.iter().zip(&live_asked).take(s.min(l)).enumerate() {
        let lost = if races { i / SOLICITS } else { 0 };
        let tolerance = 100 + 30 * i + RACE_MS * lost;
        let apart = one.0.abs_diff(two.0);
        assert!(apart <= tolerance as u64, "request {i} is {apart} ms off\n{sim_asked:?}\n{live_asked:?}");
    }
    assert_eq!(sim["reasons"], live["reasons"]);
    let clients = |seen: &Value| -> Vec<String> {
        seen["clients"].as_object().expect("clients").keys().cloned().collect()
    };
    assert_eq!(clients(&sim), clients(&live));
    for client in clients(&sim) {
        let first = |seen: &Value| {
            let c = &seen["clients"][&client];
            Some((c["first_success_ns"].as_u64()? - c["start_ns"].as_u64()?) / 1_000_000)
        };
        match (first(&sim), first(&live)) {
            (Some(one), Some(two)) => {
                let tolerance = 100 + 1100 * s.abs_diff(l) + 30 * s + drawn_ms;
                let apart = one.abs_diff(two);
                assert!(apart <= tolerance as u64, "{client}: {apart} ms apart");
            }
            (one, two) => assert_eq!(one.is_some(), two.is_some(), "{client}"),
        }
    }
}

fn about_a_window_shorter_than_one_resolution() {
    agree(&["run", "8689", "--hold", "felix.iface-seen=2s"], false);
}

fn about_three_resolutions_without_a_race() {
    agree(&["run", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/live/apart.toml")], false);
}

fn about_a_window_of_three_resolutions() {
    agree(&["run", "8689", "--hold", "felix.iface-seen=8s"], true);
}

fn about_a_pod_without_its_default_route() {
    agree(&["run", "no-default-route"], true);
}

fn about_a_proxy_delay() {
    // proxy_delay 80, in hundredths of a second
    agree_but_for_draws(&["run", "proxy-delay"], false, 800);
}
