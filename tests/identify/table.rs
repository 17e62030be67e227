//! What is known of the mechanisms' signatures, as a floor: each row leads to a mechanism of its
//! group.

use super::LIBRARY;
use arplab::matrix::Observation;
use arplab::time::Span;

struct Row {
    seen: Observation,
    leads_to: &'static [&'static str],
}

fn row(seen: Observation, leads_to: &'static [&'static str]) -> Row {
    Row { seen, leads_to }
}

/// A changed MAC costs what is left of the reachable time, five seconds of DELAY and three of PROBE.
fn mac_changed(seconds: u64) -> Row {
    let seen = Observation {
        entry: Some("PROBE".to_owned()),
        asked: Some(true),
        answered: Some(false),
        lasts: Some(Span::from_secs(seconds)),
        ends: Some(true),
        ..Observation::default()
    };
    row(seen, &["host-mac-changes"])
}

fn rows() -> Vec<Row> {
    let none = Observation::default;
    let entry = |state: &str| Some(state.to_owned());
    let (yes, no) = (Some(true), Some(false));
    let failed = || Observation { entry: entry("FAILED"), asked: yes, ..none() };
    vec![
        row(
            Observation { asked: no, error: Some("buffer space".into()), ..none() },
            &["neighbour-table-full"],
        ),
        row(Observation { asked: no, error: Some("unreachable".into()), ..none() }, &["pod-flap"]),
        row(Observation { heard: no, answered: no, ..failed() }, &["cali-set-down"]),
        row(
            Observation { heard: yes, answered: no, ..failed() },
            &["no-default-route", "forwarding-off", "arp-filtered", "link-local-rejected"],
        ),
        row(
            Observation { heard: yes, asked: yes, lasts: Some(Span::from_ms(600)), ends: yes, ..none() },
            &["proxy-delay"],
        ),
        row(
            Observation { heard: yes, answered: no, ends: yes, ..failed() },
            &["route-withheld", "rpf-blackhole-block"],
        ),
        mac_changed(25),
        mac_changed(30),
        mac_changed(40),
        mac_changed(50),
        row(
            Observation { entry: entry("INCOMPLETE"), asked: yes, heard: yes, ends: yes, ..none() },
            &["delayed-replies-purged"],
        ),
        row(Observation { entry: entry("PERMANENT"), asked: no, ..none() }, &["static-entry-stale"]),
        row(
            Observation { mac: "02:00:00:00:00:99".parse().ok(), asked: yes, heard: yes, ..none() },
            &["udev-mac-race"],
        ),
        row(
            Observation { entry: entry("REACHABLE"), ..none() },
            &["stale-host-entry", "pod-rp-filter", "static-arp-lost"],
        ),
        row(
            Observation { entry: entry("INCOMPLETE"), lasts: Some(Span::from_secs(2)), ends: yes, ..none() },
            &["v6-dad"],
        ),
    ]
}

#[test]
fn the_known_signatures_lead_to_their_mechanisms() {
    let mut wrong = Vec::new();
    for Row { seen, leads_to } in rows() {
        let found = LIBRARY.identify(&seen);
        let rank = |c: &arplab::matrix::Candidate| (c.against.len(), usize::MAX - c.fits.len());
        let best: Vec<&str> = found
            .iter()
            .take_while(|c| rank(c) == rank(&found[0]))
            .map(|c| c.signature.scenario.as_str())
            .collect();
        for id in leads_to {
            if !best.contains(id) {
                let own = found.iter().find(|c| c.signature.scenario == *id);
                wrong.push(format!("{id} is not among {best:?} for {seen:?}: {own:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
