//! Every scenario that is built in, and every fix of it, does what its file says, whatever is drawn.

use crate::run::{seen, simulate};
use arplab::scenario::{Corner, Overrides, Scenario, catalogue};
use arplab::sim::Ended;
use arplab::trace::{check, observe};

const SEEDS: u64 = 20;

fn holds(scenario: &Scenario, overrides: &Overrides) {
    let expect = scenario.expectations(overrides, Corner::Sim);
    for seed in 1..=SEEDS {
        let (ended, events) = simulate(scenario, overrides, seed);
        assert_ne!(ended, Ended::TooManyEvents);
        let checks = check(&expect, &observe(&events), false);
        let bad: Vec<_> = checks.iter().filter(|c| !c.ok).collect();
        assert!(bad.is_empty(), "{} {:?} seed {seed}: {bad:#?}", scenario.id(), overrides.fixes);
        assert!(!checks.is_empty(), "{} {:?} expects nothing", scenario.id(), overrides.fixes);
    }
}

#[test]
fn every_scenario_is_as_expected() {
    for scenario in catalogue::all().expect("the built-in files are valid") {
        holds(&scenario, &Overrides::default());
    }
}

#[test]
fn every_fix_has_the_effect_that_it_claims() {
    for scenario in catalogue::all().expect("the built-in files are valid") {
        let fixes = &scenario.file().fixes;
        assert!(!fixes.is_empty(), "{} has no fix", scenario.id());
        for fix in fixes {
            let overrides = Overrides { fixes: vec![fix.name.get_ref().clone()], ..Overrides::default() };
            holds(&scenario, &overrides);
        }
    }
}

#[test]
fn an_alias_leads_to_its_scenarios_and_an_id_to_one() {
    for scenario in catalogue::all().expect("the built-in files are valid") {
        let by_id = catalogue::find(scenario.id()).expect("valid");
        assert_eq!(by_id.len(), 1, "{}", scenario.id());
        for alias in &scenario.file().aliases {
            let found = catalogue::find(alias).expect("valid");
            assert!(found.iter().any(|s| s.id() == scenario.id()), "{alias}");
        }
    }
    assert!(catalogue::find("no-such-thing").expect("valid").is_empty());
}

/// As people cite an issue, so it is found, whichever command is asked.
#[test]
fn a_citation_leads_where_its_number_does() {
    let ids = |word: &str| -> Vec<String> {
        catalogue::find(word).expect("valid").iter().map(|s| s.id().to_owned()).collect()
    };
    let plain = ids("8689");
    assert!(plain.contains(&"late-responder".to_owned()), "{plain:?}");
    for cited in ["#8689", "projectcalico/calico#8689"] {
        assert_eq!(ids(cited), plain, "{cited}");
        for command in ["list", "show", "run"] {
            let (one, other) = (seen(&[command, "8689"]), seen(&[command, cited]));
            assert_eq!(one, other, "{command} {cited}");
            assert!(one.contains("late-responder"), "{command}: {one}");
        }
        let args = ["probe", cited, "--only", "model"];
        assert_eq!(seen(&args), seen(&["probe", "8689", "--only", "model"]), "{cited}");
    }
    // the citation of another project's issue is none of ours
    for other in ["kubernetes/kubernetes#8689", "projectcalico/calico8689"] {
        assert!(ids(other).is_empty(), "{other}");
    }
}

#[test]
fn every_scenario_tells_its_story_and_where_it_comes_from() {
    for scenario in catalogue::all().expect("the built-in files are valid") {
        let file = scenario.file();
        assert!(!file.story.is_empty() && !file.mechanism.is_empty(), "{}", scenario.id());
        assert!(!file.seen.is_empty() && !file.sources.is_empty(), "{}", scenario.id());
        assert!(file.certainty.as_ref().is_some_and(|c| !c.why.is_empty()), "{}", scenario.id());
        let plan = scenario.plan(&Overrides::default()).expect("a plan");
        assert!(!plan.clients.is_empty(), "{} has no client", scenario.id());
    }
}
