//! Schedules that proptest draws: they are among those that the search counts, they replay, and the
//! smallest that fails is the one that the search names.

use super::{minute, minute_bounds};
use arplab::explore::{Case, Explorer, Property, Runner, replay};
use arplab::strategies;
use arplab::time::Span;
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};

fn config(cases: u32) -> Config {
    Config { cases, failure_persistence: None, ..Config::default() }
}

fn prompt() -> Vec<Property> {
    vec![Property::first_packet_within(Span::from_ms(1500))]
}

#[test]
fn a_drawn_schedule_replays_to_the_same_facts_within_its_bounds() {
    let (plan, bounds) = (minute(&[]), minute_bounds(2));
    let mut runner = TestRunner::new(config(64));
    let drawn = strategies::schedule(plan.clone(), bounds.clone());
    let mut costs = std::collections::BTreeSet::new();
    let costs_seen = std::cell::RefCell::new(&mut costs);
    let checked = runner.run(&drawn, |tried| {
        let again = replay(plan.clone(), &tried.schedule, &bounds);
        proptest::prop_assert_eq!(again.misfits, 0);
        proptest::prop_assert_eq!(&again.facts, &tried.facts);
        proptest::prop_assert!(tried.cost.late <= 2, "{:?}", tried.cost);
        costs_seen.borrow_mut().insert(tried.cost.late);
        Ok(())
    });
    checked.unwrap_or_else(|e| panic!("{e}"));
    assert!(costs.len() > 1, "only {costs:?} steps late in any");
}

#[test]
fn the_smallest_that_fails_under_proptest_is_as_short_as_the_searchs() {
    let (plan, bounds, properties) = (minute(&[]), minute_bounds(1), prompt());
    let report = Explorer::new(plan.clone()).bounds(bounds.clone()).properties(properties.clone()).run();
    let shortest = report.failing.expect("one late step is enough").cost;
    let mut runner = TestRunner::new(config(4096));
    let failed = runner.run(&strategies::schedule(plan.clone(), bounds), |tried| {
        let lacks = tried.lacks(&properties);
        if lacks.is_empty() { Ok(()) } else { Err(TestCaseError::fail(lacks.join(", "))) }
    });
    let Err(TestError::Fail(_, smallest)) = failed else { panic!("it should fail: {failed:?}") };
    assert_eq!(smallest.cost.late, shortest.late, "{smallest:?}");
    let text = smallest.case(&properties).to_text().unwrap();
    let kept = Case::parse(&text).unwrap().check(plan, &properties).unwrap();
    assert_eq!(kept.misfits, 0);
}

#[test]
fn no_number_is_the_expected_course_and_every_number_is_a_schedule() {
    let runner = Runner::new(minute(&[]), minute_bounds(1));
    let expected = runner.run(&[], &[]);
    assert_eq!((expected.cost.late, expected.cost.detours), (0, 0));
    assert_eq!(expected.schedule, runner.run(&[0; 500], &[0; 500]).schedule);
    let wild = runner.run(&[u16::MAX; 500], &[u32::MAX; 500]);
    assert!(wild.cost.detours > 0 && wild.facts.ended.is_some());
}
