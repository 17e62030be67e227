//! Every scenario of the catalogue, and every fix of each, shows in the simulator what its file
//! says, whatever the seed.

use arplab::matrix::{Played, judge, play};
use arplab::scenario::file::FixEffect;
use arplab::scenario::{Corner, Overrides, Scenario, catalogue};
use arplab::trace::check;
use std::collections::BTreeSet;

/// Seeds 1 to this; `ARPLAB_SEEDS` sets another number.
const SEEDS: u64 = 6;

fn seeds() -> u64 {
    std::env::var("ARPLAB_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(SEEDS)
}

fn all() -> Vec<Scenario> {
    catalogue::all().unwrap_or_else(|e| panic!("{e}"))
}

/// What of a run is not as the file says.
fn differences(scenario: &Scenario, fix: Option<&str>, seed: u64) -> Vec<String> {
    let overrides = Overrides { fixes: fix.map(str::to_owned).into_iter().collect(), ..Overrides::default() };
    let run = play(scenario, &overrides, seed).unwrap_or_else(|e| panic!("{}: {e}", scenario.id()));
    let expect = scenario.expectations(&overrides, Corner::Sim);
    let place = format!("{} {} seed {seed}", scenario.id(), fix.unwrap_or("as it is"));
    check(&expect, &run.seen, false)
        .into_iter()
        .filter(|c| !c.ok)
        .map(|c| format!("{place}: {}: expected {}, seen {}", c.what, c.expected, c.seen))
        .collect()
}

#[test]
fn every_scenario_and_every_fix_shows_what_its_file_says() {
    let mut wrong = Vec::new();
    for scenario in all() {
        let fixes = scenario.file().fixes.iter().map(|x| Some(x.name.get_ref().as_str()));
        for fix in std::iter::once(None).chain(fixes) {
            for seed in 1..=seeds() {
                wrong.extend(differences(&scenario, fix, seed));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Files in `cases`: each once made the simulator say other than a kernel did.
#[test]
fn what_a_kernel_showed_in_odd_places_the_simulator_shows() {
    let (mut wrong, mut files) = (Vec::new(), 0);
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/model/cases")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|e| e == "toml") {
            let text = std::fs::read_to_string(&path).unwrap();
            let scenario =
                Scenario::parse(&path.display().to_string(), &text).unwrap_or_else(|e| panic!("{e}"));
            for seed in 1..=seeds() {
                wrong.extend(differences(&scenario, None, seed));
            }
            files += 1;
        }
    }
    assert!(files >= 9, "{files} files");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_scenario_says_what_helps_and_what_does_not() {
    for scenario in all() {
        let f = scenario.file();
        let has = |effects: &[FixEffect]| f.fixes.iter().any(|x| effects.contains(&x.effect));
        assert!(
            has(&[FixEffect::Nothing, FixEffect::Breaks]),
            "{}: nothing that does not help",
            scenario.id()
        );
        // what is no fault at all has nothing to cure
        let faultless =
            ["null-entry-on-vxlan", "gateway-is-no-host", "felix-pass-blocked", "container-settings"];
        if !faultless.contains(&scenario.id()) {
            assert!(has(&[FixEffect::Cures, FixEffect::Shortens]), "{}: nothing that helps", scenario.id());
        }
        assert!(!f.sources.is_empty(), "{}: no source", scenario.id());
        assert!(!f.seen.is_empty(), "{}: nothing that a person sees", scenario.id());
    }
}

#[test]
fn the_effect_that_a_file_claims_for_a_fix_is_what_its_runs_show() {
    let runs = |s: &Scenario, fixes: Vec<String>| -> Vec<Played> {
        let overrides = Overrides { fixes, ..Overrides::default() };
        (1..=3).map(|seed| play(s, &overrides, seed).unwrap()).collect()
    };
    let mut wrong = Vec::new();
    for scenario in all() {
        let base = runs(&scenario, Vec::new());
        for fix in &scenario.file().fixes {
            let name = fix.name.get_ref();
            let cell = judge(&scenario, &base, &runs(&scenario, vec![name.clone()]), name);
            if cell.effect != fix.effect {
                wrong.push(format!("{} {name}: claimed {:?}, {cell:?}", scenario.id(), fix.effect));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_mechanism_of_the_catalogue_has_a_scenario() {
    // M14 is a panic of the kernel, M20 needs two stations behind one bridge, M34 and M35 are not
    // about a pod and its gateway
    let left_out = [14, 20, 34, 35];
    let aliases: BTreeSet<String> = all().iter().flat_map(|s| s.file().aliases.clone()).collect();
    for number in (1..=38).filter(|n| !left_out.contains(n)) {
        assert!(aliases.contains(&format!("M{number:02}")), "M{number:02}");
    }
}

#[test]
fn an_unfixed_scenario_differs_from_its_cure() {
    // a scenario whose fault shows nowhere would pass with expectations too wide
    for scenario in all() {
        let Some(cure) = scenario.file().fixes.iter().find(|x| x.effect == FixEffect::Cures) else {
            continue;
        };
        let with = Overrides { fixes: vec![cure.name.get_ref().clone()], ..Overrides::default() };
        let plain = play(&scenario, &Overrides::default(), 1).unwrap();
        let cured = play(&scenario, &with, 1).unwrap();
        assert_ne!(plain.seen, cured.seen, "{}", scenario.id());
    }
}

#[test]
fn the_same_seed_gives_the_same_events() {
    for scenario in all().into_iter().step_by(5) {
        let run = || play(&scenario, &Overrides::default(), 7).unwrap().events.events;
        assert_eq!(run(), run(), "{}", scenario.id());
    }
}
