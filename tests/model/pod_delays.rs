//! The table "window length → observed delay", row by row as it was measured.

#![allow(clippy::cast_precision_loss, clippy::cast_sign_loss)] // seconds, to be compared with a table

use arplab::pair::delay::{DelayCell, ToldFailure, delay_line, standard_cases};
use arplab::pod::Failure;
use arplab::time::Span;

const PHASES: u32 = 32;

fn line(name: &str, linear: i32, windows: &[f64]) -> Vec<DelayCell> {
    let cases = standard_cases();
    // "the same" stands for the case above it
    let at = cases.iter().position(|c| c.name == name).unwrap_or_else(|| panic!("{name}"));
    let case = if cases[at].linear_timeouts == linear { &cases[at] } else { &cases[at + 1] };
    assert_eq!(case.linear_timeouts, linear);
    let windows: Vec<Span> = windows.iter().map(|s| Span::from_us((s * 1e6) as u64)).collect();
    delay_line(case, &windows, PHASES)
}

/// Every phase was answered, between these seconds.
#[track_caller]
fn within(cell: &DelayCell, low: f64, high: f64) {
    let s = |t: Option<Span>| t.map(|t| t.as_ns() as f64 / 1e9);
    let (min, max) = (s(cell.min), s(cell.max));
    assert!(cell.answered == cell.runs, "{cell:?}");
    assert!(min.is_some_and(|t| t >= low) && max.is_some_and(|t| t <= high), "{low}..{high}: {cell:?}");
    assert!(cell.min <= cell.median && cell.median <= cell.max);
}

/// Every phase failed with that error, within these seconds.
#[track_caller]
fn fails(cell: &DelayCell, error: &str, low: f64, high: f64) {
    assert_eq!(cell.answered, 0, "{cell:?}");
    told(cell, error, low, high);
}

/// Who failed was told that error and no other, within these seconds.
#[track_caller]
fn told(cell: &DelayCell, error: &str, low: f64, high: f64) {
    let [ToldFailure { failure: failure @ Failure::Socket(_), min, max }] = cell.failures[..] else {
        panic!("{cell:?}")
    };
    assert_eq!(failure.name(), error);
    let s = |t: Span| t.as_ns() as f64 / 1e9;
    assert!(s(min) >= low && s(max) <= high, "{cell:?}");
}

#[test]
fn ping_connect_in_a_loop_and_an_open_connection_are_at_most_two_requests_late() {
    let windows = [0.5, 1.5, 2.5, 2.9, 3.5, 5.0, 10.0, 30.0, 60.0];
    for name in
        ["ping, one echo a second", "connect(), again at once after an error", "an open TCP connection"]
    {
        for cell in line(name, 4, &windows) {
            let window = cell.window.as_ns() as f64 / 1e9;
            within(&cell, window, window + 2.08);
            let median = cell.median.unwrap().as_ns() as f64 / 1e9;
            assert!(median <= window + 1.06, "{name}: {cell:?}");
        }
    }
}

#[test]
fn one_connect_lives_three_seconds() {
    let cells = line("one connect()", 4, &[0.5, 1.0, 1.5, 2.0, 2.5, 5.0, 40.0]);
    within(&cells[0], 1.0, 1.04);
    within(&cells[1], 1.0, 1.04);
    within(&cells[2], 2.02, 2.06);
    within(&cells[3], 2.02, 2.06);
    for cell in &cells[4..] {
        fails(cell, "EHOSTUNREACH", 3.04, 3.09);
    }
}

#[test]
fn a_pause_between_attempts_is_added_at_worst() {
    for (name, pause) in
        [("connect(), again 1 s after an error", 1.0), ("connect(), again 5 s after an error", 5.0)]
    {
        for cell in line(name, 4, &[2.5, 4.0, 7.0, 10.0, 15.0, 33.0]) {
            let window = cell.window.as_ns() as f64 / 1e9;
            within(&cell, window, window + 1.06 + pause);
        }
    }
}

#[test]
fn a_resolver_is_answered_at_its_requests() {
    // tries at 0, 5, 10 ... with requests 1.02 and 2.05 s later
    for (window, low, high) in [(0.5, 1.0, 1.04), (2.5, 5.0, 5.01), (5.5, 6.0, 6.04), (7.5, 10.0, 10.01)] {
        within(&line("UDP resolver, 5 s between tries", 4, &[window])[0], low, high);
    }
}

#[test]
fn without_its_error_a_connect_waits_for_its_syns() {
    let name = "one connect(), its error is lost";
    for (window, low, high) in [
        (2.5, 4.07, 4.11),
        (6.5, 11.1, 11.42),
        (10.0, 11.1, 11.42),
        (14.0, 19.3, 19.65),
        (22.0, 35.4, 35.8),
        (38.0, 67.5, 70.1),
        (60.0, 67.5, 70.1),
    ] {
        within(&line(name, 4, &[window])[0], low, high);
    }
    for (window, low, high) in
        [(2.5, 7.04, 7.31), (10.0, 15.2, 15.5), (18.0, 31.3, 31.7), (34.0, 63.6, 65.7), (60.0, 63.6, 65.7)]
    {
        within(&line(name, 0, &[window])[0], low, high);
    }
    fails(&line(name, 0, &[100.0])[0], "ETIMEDOUT", 129.0, 132.0);
}

/// Linux 6.18 was seen to give up after 133.27, 133.53 and 135.18 s: the last timer is rounded up by up to
/// an eighth of its length, and the phase of the wheel says by how much. The table tells both ends.
#[test]
fn the_end_of_a_connect_is_a_range() {
    for name in ["one connect(), its error is lost", "one connect(), ARP is answered, packets are not"] {
        let cell = &line(name, 4, &[100.0])[0];
        fails(cell, "ETIMEDOUT", 133.0, 135.5);
        for seen in [133.27, 133.53, 135.18] {
            fails_within_reach(cell, seen);
        }
    }
    let cell = &line("one connect()", 4, &[5.0])[0];
    assert!(cell.failures[0].min < cell.failures[0].max, "{cell:?}");
}

/// A time that a kernel was seen to take lies between the model's ends, or a jiffy or two beyond.
#[track_caller]
fn fails_within_reach(cell: &DelayCell, seen: f64) {
    let s = |t: Span| t.as_ns() as f64 / 1e9;
    let told = cell.failures[0];
    assert!((s(told.min) - 0.1..=s(told.max) + 0.1).contains(&seen), "{seen}: {cell:?}");
}

#[test]
fn with_a_dead_data_path_it_is_the_next_syn() {
    let name = "one connect(), ARP is answered, packets are not";
    for (window, low, high) in [
        (0.5, 1.0, 1.04),
        (2.5, 3.04, 3.09),
        (5.0, 5.0, 5.14),
        (6.0, 7.1, 7.17),
        (10.0, 11.1, 11.42),
        (15.0, 19.3, 19.6),
        (30.0, 35.4, 35.75),
        (40.0, 67.5, 70.0),
    ] {
        within(&line(name, 4, &[window])[0], low, high);
    }
    for (window, low, high) in
        [(0.5, 1.0, 1.04), (2.0, 3.0, 3.06), (5.0, 7.0, 7.31), (20.0, 31.2, 31.7), (40.0, 63.6, 65.7)]
    {
        within(&line(name, 0, &[window])[0], low, high);
    }
}

#[test]
fn a_changed_mac_costs_what_the_entry_needs_to_notice() {
    within(&line("ping, MAC changed while STALE", 4, &[0.0])[0], 8.0, 9.4);
    within(&line("one connect(), MAC changed while STALE", 4, &[0.0])[0], 11.1, 11.42);
    within(&line("ping, MAC changed while REACHABLE", 4, &[0.0])[0], 23.0, 57.0);
    // a connect() touches the entry only with its SYNs: some never come through
    let cell = &line("one connect(), MAC changed while REACHABLE", 4, &[0.0])[0];
    assert!(cell.answered > 0 && cell.answered < cell.runs, "{cell:?}");
    let (min, max) = (cell.min.unwrap().as_ms(), cell.max.unwrap().as_ms());
    assert!((35_400..=70_200).contains(&min) && max <= 70_200, "{cell:?}");
    told(cell, "ETIMEDOUT", 133.0, 135.5);
}
