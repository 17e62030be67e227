//! The matrix of scenarios and mitigations.

use arplab::matrix::{Matrix, matrix, symptoms, write_csv, write_html, write_json, write_text};
use arplab::scenario::file::FixEffect;
use arplab::scenario::{Mitigation, Scenario, catalogue, mitigation};

fn scenario(id: &str) -> Scenario {
    catalogue::find(id).unwrap().into_iter().find(|s| s.id() == id).unwrap()
}

fn small(ids: &[&str], names: &[&str], threads: usize) -> Matrix {
    let scenarios: Vec<Scenario> = ids.iter().map(|id| scenario(id)).collect();
    let mitigations: Vec<Mitigation> = names.iter().map(|n| mitigation(n).unwrap().clone()).collect();
    matrix(&scenarios, &mitigations, threads).unwrap()
}

fn effect(id: &str, name: &str) -> FixEffect {
    small(&[id], &[name], 1).rows[0].cells[0].effect
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let ids = ["late-responder", "no-default-route", "networkd-flushes-route", "host-mac-changes"];
    let names = ["plugin-configures-host", "shorter-felix-refresh", "static-gateway-entry", "default-route"];
    let text = |threads| {
        let mut out = Vec::new();
        write_json(&small(&ids, &names, threads), &mut out).unwrap();
        out
    };
    assert_eq!(text(1), text(4));
}

#[test]
fn cells_are_what_the_mechanisms_say() {
    assert_eq!(effect("late-responder", "plugin-configures-host"), FixEffect::Cures);
    assert_eq!(effect("late-responder", "fewer-network-policies"), FixEffect::Nothing);
    assert_eq!(effect("no-default-route", "proxy-neighbour-and-dummy-route"), FixEffect::Breaks);
    assert_eq!(effect("networkd-flushes-route", "unmanaged-interfaces"), FixEffect::Cures);
    assert_eq!(effect("networkd-flushes-route", "shorter-felix-refresh"), FixEffect::Shortens);
    assert_eq!(effect("proxy-delay", "proxy-delay-0"), FixEffect::Cures);
    assert_eq!(effect("udev-sysctl-minute", "upgrade-to-v3-26"), FixEffect::Nothing);
}

#[test]
fn settings_that_no_release_knows_do_nothing_anywhere_and_are_named() {
    let m = mitigation("arp-intervals").unwrap();
    assert!(m.unknown_settings.contains(&"ArpReachableTime".to_owned()));
    for id in ["late-responder", "networkd-flushes-route", "host-mac-changes"] {
        assert_eq!(effect(id, "arp-intervals"), FixEffect::Nothing, "{id}");
    }
}

#[test]
fn an_address_on_the_host_end_is_seen_to_end_in_the_local_branch() {
    let m = small(&["no-default-route"], &["gateway-address-on-host-end"], 1);
    let also = m.rows[0].cells[0].also.clone().unwrap();
    assert!(also.contains("local branch"), "{also}");
}

#[test]
fn a_responder_that_answers_everything_claims_the_pods_own_address() {
    let m = small(&["late-responder"], &["antrea-like-responder", "cilium-like-responder"], 1);
    assert!(m.rows[0].cells[0].also.as_ref().is_some_and(|a| a.contains("own address")));
    assert_eq!(m.rows[0].cells[1].also, None);
}

#[test]
fn every_cell_gives_a_reason_in_one_line_in_every_format() {
    let m = small(&["late-responder", "pod-flap"], &["default-route", "pod-restart"], 2);
    let own: usize = m.rows.iter().map(|r| r.own.len()).sum();
    assert!(own > 2);
    for cell in m.rows.iter().flat_map(|r| r.cells.iter().chain(&r.own)) {
        assert!(!cell.reason.is_empty() && !cell.reason.contains('\n'), "{cell:?}");
    }
    let (mut text, mut csv, mut html) = (Vec::new(), Vec::new(), Vec::new());
    write_text(&m, &mut text).unwrap();
    write_csv(&m, &mut csv).unwrap();
    write_html(&m, &mut html).unwrap();
    let csv = String::from_utf8(csv).unwrap();
    assert_eq!(csv.lines().count(), 1 + 4 + own);
    assert!(csv.lines().all(|l| l.matches(',').count() >= 6), "{csv}");
    let html = String::from_utf8(html).unwrap();
    assert!(html.starts_with("<!doctype html>") && html.matches("<tr>").count() == 3);
    assert!(!html.contains("<script") && !html.contains("http"), "self-contained");
    assert!(String::from_utf8(text).unwrap().contains("late-responder"));
}

#[test]
fn what_issue_8689_established_is_read_off_the_runs() {
    let late = symptoms(&scenario("udev-sysctl-minute")).unwrap();
    for fits in [late.entry_absent, late.about_a_minute, late.heals_alone, late.routes_right] {
        assert_eq!(fits.to_string(), "yes", "{late:?}");
    }
    // there the entry was absent; a changed MAC leaves a wrong one
    let mac = symptoms(&scenario("host-mac-changes")).unwrap();
    assert_eq!(mac.entry_absent.to_string(), "no", "{mac:?}");
    assert_eq!(mac.heals_alone.to_string(), "yes", "{mac:?}");
}

#[test]
fn each_scenario_is_among_the_best_for_what_its_own_outage_looks_like() {
    use arplab::matrix::{Observation, identify, signature};
    let all = catalogue::all().unwrap();
    for id in ["late-responder", "host-mac-changes", "pod-flap", "neighbour-table-full", "static-entry-stale"]
    {
        let sig = signature(&scenario(id)).unwrap().unwrap();
        let only = |set: &std::collections::BTreeSet<bool>| set.first().copied();
        let seen = Observation {
            entry: sig.entry.first().cloned(),
            asked: only(&sig.asked),
            heard: only(&sig.heard),
            answered: only(&sig.answered),
            error: sig.errors.first().cloned(),
            ..Observation::default()
        };
        let found = identify(&all, &seen).unwrap();
        let best = found[0].against.len();
        let own = found.iter().find(|c| c.signature.scenario == id).unwrap();
        assert_eq!(own.against.len(), best, "{id}: {own:?}");
    }
}

/// What is no fault at all has nothing to cure.
const FAULTLESS: [&str; 4] =
    ["null-entry-on-vxlan", "gateway-is-no-host", "felix-pass-blocked", "container-settings"];

#[test]
fn every_fault_has_a_cure_and_something_that_does_not_help_and_the_matrix_says_why() {
    let scenarios = catalogue::all().unwrap();
    let names = ["plugin-configures-host", "proxy-delay-0", "fewer-network-policies", "arp-intervals"];
    let mitigations: Vec<Mitigation> = names.iter().map(|n| mitigation(n).unwrap().clone()).collect();
    let whole = matrix(&scenarios, &mitigations, 2).unwrap();
    let mut text = Vec::new();
    write_text(&whole, &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    for row in &whole.rows {
        let all = || row.cells.iter().chain(&row.own);
        assert!(all().all(|c| !c.reason.is_empty()), "{}: {:?}", row.scenario, row.own);
        assert!(all().any(|c| c.effect == FixEffect::Nothing), "{}: all help", row.scenario);
        if FAULTLESS.contains(&row.scenario.as_str()) {
            continue;
        }
        let cures: Vec<_> = row.own.iter().filter(|c| c.effect == FixEffect::Cures).collect();
        let by_column = row.cells.iter().any(|c| c.effect == FixEffect::Cures);
        assert!(by_column || !cures.is_empty(), "{}: nothing cures it", row.scenario);
        if !by_column {
            let line = text.lines().find(|l| l.starts_with(&format!("{} ", row.scenario))).unwrap();
            assert!(cures.iter().all(|c| line.contains(&c.mitigation)), "{line}");
        }
    }
}
