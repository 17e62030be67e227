//! What is known of the mechanisms' signatures, as a floor: what each row sees, given as flags, leads
//! to every mechanism that it names, alone or in a tie.
//!
//! Mechanisms have the numbers that the scenarios give as aliases. What a row names and no scenario
//! plays is left out.

use super::{ALL, LIBRARY};
use arplab::matrix::{Candidate, Observation, next_looks};
use arplab::time::Span;

struct Row {
    seen: Observation,
    /// Mechanisms, or scenarios.
    leads_to: &'static [&'static str],
}

fn row(leads_to: &'static [&'static str], seen: Observation) -> Row {
    Row { seen, leads_to }
}

const YES: Option<bool> = Some(true);
const NO: Option<bool> = Some(false);

/// What is seen of the entry, of requests in the pod and on the host, and of replies.
fn seen(entry: &str, asked: Option<bool>, heard: Option<bool>, answered: Option<bool>) -> Observation {
    let entry = (!entry.is_empty()).then(|| entry.to_owned());
    Observation { entry, asked, heard, answered, ..Observation::default() }
}

fn error(text: &str, of: Observation) -> Observation {
    Observation { error: Some(text.to_owned()), ..of }
}

/// It ends after that time.
fn lasts(ms: u64, of: Observation) -> Observation {
    Observation { lasts: Some(Span::from_ms(ms)), ends: YES, ..of }
}

/// The pod cannot ask, or is not answered.
fn silences() -> Vec<Row> {
    let silent = |entry| seen(entry, YES, YES, NO);
    vec![
        row(&["M30"], error("buffer space", seen("absent", NO, NO, None))),
        row(&["M28"], error("unreachable", seen("absent", NO, NO, None))),
        row(&["M25"], seen("INCOMPLETE", YES, NO, NO)),
        row(&["M25"], seen("FAILED", YES, NO, NO)),
        // M27 belongs to that row when the host end is missing; but then the kernel has taken eth0
        // away with it, and the pod has no entry and nothing to ask by
        row(&["M27"], seen("absent", NO, NO, None)),
        row(
            &[
                "M01", "M02", "M03", "M04", "M05", "M06", "M07", "M08", "M09", "M10", "M13", "M15", "M18",
                "M29",
            ],
            silent("INCOMPLETE"),
        ),
        row(&["no-default-route", "forwarding-off", "arp-filtered", "link-local-rejected"], silent("FAILED")),
        // a node with more than 128 entries collects those that failed
        row(
            &["late-responder", "udev-sysctl-minute"],
            Observation { lasts: Some(Span::from_secs(60)), ..silent("absent") },
        ),
        row(&["M15", "M16"], Observation { ends: YES, ..silent("FAILED") }),
        // from ten seconds after the start until later
        row(&["M15", "M16"], lasts(66_000, silent("FAILED"))),
    ]
}

/// The pod is answered late, or with a MAC that is not right.
fn replies() -> Vec<Row> {
    let held = |of| Observation { held_back: YES, ends: YES, ..of };
    let other_mac = "02:00:00:00:00:99".parse().ok();
    let mut rows = vec![
        row(&["M11", "M12"], held(seen("INCOMPLETE", YES, YES, None))),
        row(&["M11"], lasts(600, held(seen("INCOMPLETE", YES, YES, None)))),
        row(&["M12"], lasts(58_000, held(seen("INCOMPLETE", YES, YES, None)))),
        row(&["M22"], Observation { wrong_mac: YES, ..seen("PERMANENT", NO, None, None) }),
        row(&["udev-mac-race"], Observation { mac: other_mac, ..seen("REACHABLE", YES, YES, None) }),
        row(&["M19"], Observation { two_macs: YES, ..seen("", YES, YES, YES) }),
        row(&["M21"], Observation { two_macs: YES, ..seen("REACHABLE", YES, YES, None) }),
    ];
    // a changed MAC costs what is left of the reachable time, five seconds of DELAY and three of PROBE
    rows.extend(
        [23_000, 30_000, 40_000, 53_000].map(|ms| row(&["M23"], lasts(ms, seen("PROBE", YES, None, NO)))),
    );
    rows
}

/// The pod's entry is fine.
fn ways_back() -> Vec<Row> {
    let host = |state: &str| Observation {
        host_entry: Some(state.to_owned()),
        ..seen("REACHABLE", None, None, None)
    };
    vec![
        row(&["M31", "M32", "M33"], seen("REACHABLE", None, None, None)),
        row(&["M31", "M32"], host("INCOMPLETE")),
        // the row names it with INCOMPLETE; an entry in writing never becomes that
        row(&["M33"], host("PERMANENT")),
        row(&["M36"], lasts(2_000, seen("INCOMPLETE", YES, YES, None))),
    ]
}

fn best(seen: &Observation) -> Vec<Candidate> {
    let found = LIBRARY.identify(seen);
    let rank = |c: &Candidate| (c.against.len(), usize::MAX - c.fits.len());
    let first = rank(&found[0]);
    found.into_iter().take_while(|c| rank(c) == first).collect()
}

/// The scenario is that one, or plays that mechanism.
fn is(scenario: &str, name: &str) -> bool {
    let aliases = |s: &arplab::scenario::Scenario| s.file().aliases.iter().any(|a| a == name);
    scenario == name || ALL.iter().any(|s| s.id() == scenario && aliases(s))
}

#[test]
fn the_known_signatures_lead_to_their_mechanisms() {
    let mut wrong = Vec::new();
    for Row { seen, leads_to } in silences().into_iter().chain(replies()).chain(ways_back()) {
        let best = best(&seen);
        for name in leads_to {
            if !best.iter().any(|c| is(&c.signature.scenario, name)) {
                let ids: Vec<&str> = best.iter().map(|c| c.signature.scenario.as_str()).collect();
                let found = LIBRARY.identify(&seen);
                let own: Vec<&Candidate> = found.iter().filter(|c| is(&c.signature.scenario, name)).collect();
                wrong.push(format!("{name} is not among {ids:?} for {seen:?}: {own:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_hosts_entry_tells_ways_back_apart_and_is_asked_for() {
    let host = "(--host-entry)";
    let open = seen("REACHABLE", None, None, None);
    let tied = best(&open);
    assert!(next_looks(&tied, &open).iter().any(|look| look.contains(host)), "{tied:?}");
    let told = Observation { host_entry: Some("incomplete".to_owned()), ..open };
    let left = best(&told);
    assert!(left.len() < tied.len(), "{left:?}");
    assert!(!left.iter().any(|c| is(&c.signature.scenario, "M33")), "{left:?}");
    assert!(!next_looks(&left, &told).iter().any(|look| look.contains(host)));
}
