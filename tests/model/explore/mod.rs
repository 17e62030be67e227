//! The explorer: what it counts, what it finds, and that nothing depends on who looks.

#[cfg(feature = "proptest")]
mod drawn;
mod order;

use arplab::choice::{ChoiceKind, Seeded};
use arplab::control::{ActorName, Hold, StepTable, Until};
use arplab::explore::{
    Bounds, Budget, Case, CaseError, Complete, Covered, Effort, Explorer, Facts, Grid, Program, Property,
    ReflexOutside, Report, Stands, Strategy, basic, settle,
};
use arplab::gateway::SmoltcpOutside;
use arplab::scenario::{Overrides, Plan, catalogue};
use arplab::sim;
use arplab::time::Span;
use arplab::trace::{Trace, observe};
use order::{Order, abstract_states};
use proptest::prelude::*;
use std::sync::Arc;

/// Every order, until nobody has anything left to do.
fn all() -> Bounds {
    Bounds {
        late: None,
        late_max: Span::from_secs(60),
        complete: Complete::AtRest,
        grid: Grid::none(),
        ..Bounds::default()
    }
}

fn in_vain() -> Vec<Property> {
    vec![Property::always("never-asked-in-vain", |f| !f.asked_in_vain)]
}

fn named(names: &[&str]) -> Vec<Property> {
    names.iter().map(|n| n.parse().unwrap()).collect()
}

fn plan_of(scenario: &str, fixes: &[&str]) -> Plan {
    let overrides =
        Overrides { fixes: fixes.iter().map(|f| (*f).to_owned()).collect(), ..Overrides::default() };
    catalogue::find(scenario).unwrap().remove(0).plan(&overrides).unwrap()
}

/// The scenario of the minute without the hold that makes it: the search has to find what is late.
fn minute(fixes: &[&str]) -> Plan {
    let mut plan = plan_of("late-responder", fixes);
    plan.holds.clear();
    plan
}

fn minute_bounds(late: u16) -> Bounds {
    Bounds {
        late: Some(late),
        late_max: Span::from_secs(4),
        horizon: Span::from_secs(20),
        grid: Grid::none(),
        ..Bounds::default()
    }
}

fn summary(r: &Report) -> impl PartialEq + core::fmt::Debug + use<> {
    let lacking: Vec<(String, u128)> = r.properties.iter().map(|p| (p.property.clone(), p.lacking)).collect();
    let steps =
        r.failing.as_ref().map(|f| f.schedule.steps().map(|(s, n)| format!("{s} {n}")).collect::<Vec<_>>());
    (r.schedules, r.states, r.avoided, lacking, steps)
}

#[test]
fn every_interleaving_of_the_basic_race_is_counted_rightly() {
    let (plugin, felix) = (basic::plugin(), basic::felix());
    for asks in [1, 2, 3] {
        let report = Explorer::new(basic::race(asks)).bounds(all()).properties(in_vain()).shrink(false).run();
        let order = Order::of(&[&plugin, &felix], asks);
        assert_eq!(report.schedules, order.linear_extensions(), "{asks} asks");
        assert!(matches!(report.covered, Covered::Every(_)));
    }
}

#[test]
fn running_schedules_one_by_one_counts_the_same() {
    let explorer = Explorer::new(basic::race(1)).bounds(all()).properties(in_vain()).shrink(false);
    let (once, each) = (explorer.clone().run(), explorer.merge_states(false).run());
    assert_eq!(once.schedules, each.schedules);
    assert_eq!(once.delays, each.delays);
    assert_eq!(once.properties, each.properties);
    assert!(once.states < each.states / 2 && once.avoided > 0, "{} of {}", once.states, each.states);
    // and where steps are late and time passes
    let mut plan = minute(&[]);
    plan.clients.truncate(1);
    plan.clients[0].stop_after = Some(1);
    let bounds = Bounds { late_max: Span::from_secs(2), ..minute_bounds(1) };
    let explorer = Explorer::new(plan).bounds(bounds).shrink(false);
    let (once, each) = (explorer.clone().run(), explorer.merge_states(false).run());
    assert_eq!((once.schedules, once.delays), (each.schedules, each.delays));
}

#[test]
fn an_independent_model_checker_reaches_the_same_states_and_verdicts() {
    let (plugin, felix) = (basic::plugin(), basic::felix());
    for asks in [1, 2] {
        let report = Explorer::new(basic::race(asks)).bounds(all()).properties(in_vain()).shrink(false).run();
        let seen = abstract_states(&Order::of(&[&plugin, &felix], asks), asks);
        assert_eq!(report.states, seen.decisions, "{asks} asks: states with a decision");
        assert_eq!(!report.ok(), seen.asked_in_vain, "{asks} asks: somebody asks in vain");
        assert_eq!(report.properties[0].kept > 0, seen.never_in_vain, "{asks} asks: nobody does");
    }
}

#[test]
fn the_result_does_not_depend_on_the_threads() {
    let all_of = |explorer: &Explorer| {
        let one = explorer.clone().threads(1).run();
        for threads in [2, 3] {
            let more = explorer.clone().threads(threads).run();
            assert_eq!(summary(&one), summary(&more), "{threads} threads");
            assert_eq!(one.delays, more.delays);
        }
    };
    all_of(&Explorer::new(minute(&[])).bounds(minute_bounds(1)));
    let budget = Budget { count: 300, time: None };
    for strategy in [Strategy::Random { seed: 7 }, Strategy::Pct { seed: 7, depth: 3 }] {
        all_of(&Explorer::new(minute(&[])).bounds(minute_bounds(2)).strategy(strategy).budget(budget));
    }
}

#[test]
fn shards_have_every_schedule_once() {
    let explorer = Explorer::new(basic::race(2)).bounds(all()).properties(in_vain()).shrink(false);
    let whole = explorer.clone().run();
    for of in [2, 5] {
        let parts: Vec<Report> = (0..of).map(|i| explorer.clone().shard(i, of).run()).collect();
        assert_eq!(parts.iter().map(|p| p.schedules).sum::<u128>(), whole.schedules);
        let lacking = |r: &Report| r.properties[0].lacking;
        assert_eq!(parts.iter().map(lacking).sum::<u128>(), lacking(&whole));
    }
}

#[test]
fn a_budget_narrows_the_bounds_and_says_so() {
    let explorer = Explorer::new(minute(&[])).bounds(minute_bounds(2)).shrink(false);
    let narrow = explorer.clone().budget(Budget { count: 1_000, time: None }).run();
    let Covered::Every(bounds) = &narrow.covered else { panic!("{:?}", narrow.covered) };
    assert!(bounds.late < Some(2) && narrow.states <= 1_000);
    let none = explorer.budget(Budget { count: 3, time: None }).run();
    assert_eq!(none.covered, Covered::Nothing);
    assert!(!none.ok(), "what was not covered is not fine");
}

#[test]
fn one_late_step_makes_the_old_race_and_none_the_new() {
    let properties = named(&["first-packet-within=2s", "add-waits-for-gateway"]);
    let old = Explorer::new(minute(&[])).bounds(minute_bounds(1)).properties(properties.clone()).run();
    assert!(!old.ok());
    let new = minute(&["plugin-configures-host"]);
    let new = Explorer::new(new).bounds(minute_bounds(1)).properties(properties).run();
    assert!(new.ok(), "{:?}", new.properties);
    assert!(new.schedules > 1_000, "{}", new.schedules);
}

#[test]
fn the_shortest_schedule_has_no_decision_that_can_be_dropped() {
    let properties = named(&["first-packet-within=2s"]);
    let explorer = |bounds| Explorer::new(minute(&[])).bounds(bounds).properties(properties.clone());
    let failing = explorer(minute_bounds(2)).run().failing.unwrap();
    assert_eq!(failing.cost.late, 1);
    assert_eq!(failing.left_out.clients.len(), 1, "one client is enough: {:?}", failing.left_out);
    let without_late = explorer(minute_bounds(0)).shrink(false).run();
    assert!(without_late.ok(), "the late step cannot be dropped");
    let fewer = Bounds { detours: Some(failing.cost.detours - 1), ..minute_bounds(1) };
    let fewer = Explorer::new(failing.plan).bounds(fewer).properties(properties.clone()).shrink(false).run();
    assert!(fewer.ok(), "no decision can be dropped");
}

/// Felix's rules, each with the property that breaks without it.
#[test]
fn a_rule_removed_from_a_program_is_found() {
    let properties = named(&["no-divide-window", "no-step-refused"]);
    let search = |plugin: &Program, felix: &Program| {
        let plan = basic::race_of(plugin, felix, 1).unwrap();
        Explorer::new(plan).bounds(all()).properties(properties.clone()).run()
    };
    let (plugin, felix) = (basic::plugin(), basic::felix());
    assert!(search(&plugin, &felix).ok(), "with all its rules nothing fails");
    let mutant = felix.clone().without_rule("felix.sysctl.proxy_delay", "felix.sysctl.proxy_arp");
    let report = search(&plugin, &mutant);
    let failing = report.failing.as_ref().expect("the write order matters");
    assert_eq!(failing.lacks, ["no-divide-window"]);
    // the steps of a trace tell the same
    let told = Facts::of_events(&failing.events);
    assert!(told.divide_window.is_some() && told.divide_window == failing.facts.divide_window, "{told:?}");
    // nothing in it can be dropped: with one decision less nothing fails
    assert!(failing.cost.detours > 0);
    let fewer = Bounds { detours: Some(failing.cost.detours - 1), ..all() };
    let plan = basic::race_of(&plugin, &mutant, 1).unwrap();
    assert!(Explorer::new(plan).bounds(fewer).properties(properties.clone()).run().ok());
    // a route through a gateway that is not there yet is refused
    let mutant = plugin.without_rule("cni.pod-gateway-route", "cni.pod-default-route");
    let report = search(&mutant, &felix);
    assert_eq!(report.failing.expect("the routes depend on each other").lacks, ["no-step-refused"]);
}

#[test]
fn a_case_survives_its_file_and_tells_when_it_does_not_fit() {
    let properties = named(&["first-packet-within=2s"]);
    let bounds = minute_bounds(1);
    let report =
        Explorer::new(minute(&[])).bounds(bounds.clone()).properties(properties.clone()).shrink(false).run();
    let failing = report.failing.unwrap();
    let case = Case::new(&failing.schedule, &bounds, &properties, Stands::Fails);
    let text = case.to_text().unwrap();
    let read = Case::parse(&text).unwrap();
    assert_eq!(read, case);
    let replayed = read.check(minute(&[]), &[]).unwrap();
    assert_eq!((replayed.misfits, &replayed.facts), (0, &failing.facts));
    assert_eq!(replayed.schedule, failing.schedule);
    // the order comes about by holds too, where nobody decides about moves
    let held = read.held(minute(&[]));
    assert!(!held.holds.is_empty());
    let held = Arc::new(held);
    let mut events = Trace::new(&held);
    let outside = SmoltcpOutside::new(held.outside.clone(), 1);
    sim::run(held, outside, &mut Seeded::new(1), &mut events);
    let facts = Facts::of_events(&events);
    assert!(!properties[0].test(&facts), "{facts:?}");
    // a program that has changed: followed as far as it goes, and said so
    let fixed = read.check(minute(&["plugin-configures-host"]), &[]);
    let Err(CaseError::Otherwise { seen, .. }) = fixed else { panic!("{fixed:?}") };
    assert!(seen.contains("do not fit"), "{seen}");
}

#[test]
fn files_that_are_no_cases_are_refused() {
    for (text, part) in [
        ("", "missing field"),
        ("format = \"other\"\nversion = 1", "its format is"),
        ("format = \"arplab-schedule\"\nversion = 99", "format version 99"),
        ("format = \"arplab-schedule\"\nversion = 1\nmoves = [\"x\"]", "no schedule"),
    ] {
        let error = Case::parse(text).unwrap_err().to_string();
        assert!(error.contains(part), "{text:?}: {error}");
    }
}

#[test]
fn searches_that_draw_find_it_too_and_shrink_it() {
    let properties = named(&["first-packet-within=2s"]);
    for strategy in [Strategy::Random { seed: 3 }, Strategy::Pct { seed: 3, depth: 3 }] {
        let report = Explorer::new(minute(&[]))
            .bounds(minute_bounds(3))
            .properties(properties.clone())
            .strategy(strategy)
            .budget(Budget { count: 500, time: None })
            .run();
        assert_eq!(report.covered, Covered::Drawn(500));
        let failing = report.failing.expect("it is not rare");
        assert_eq!(failing.cost.late, 1, "{strategy:?} {:?}", failing.cost);
    }
}

#[test]
fn what_is_meant_to_be_reached_is_reported() {
    let properties = named(&["sometimes-asked-in-vain", "sometimes-silent-again"]);
    let report = Explorer::new(minute(&[])).bounds(minute_bounds(1)).properties(properties).run();
    assert!(report.properties[0].ok() && !report.properties[1].ok(), "{:?}", report.properties);
}

#[test]
fn draws_are_varied_as_far_as_the_grid_says() {
    let mut plan = plan_of("proxy-delay", &[]);
    plan.clients.truncate(1);
    let at = |points| {
        let grid = Grid::none().with(ChoiceKind::ProxyDelay, points);
        let bounds = Bounds { grid, late: Some(0), ..minute_bounds(0) };
        Explorer::new(plan.clone()).bounds(bounds).shrink(false).run().schedules
    };
    assert!(at(1) < at(2) && at(2) < at(3), "{} {} {}", at(1), at(2), at(3));
}

#[test]
fn the_world_without_memory_answers_as_the_other_does() {
    for id in ["late-responder", "route-withheld"] {
        for seed in 1..4 {
            let plan = Arc::new(plan_of(id, &[]));
            let mut by = [Trace::new(&plan), Trace::new(&plan)];
            let (reflex, smoltcp) =
                (ReflexOutside::new(&plan.outside), SmoltcpOutside::new(plan.outside.clone(), seed));
            sim::run(Arc::clone(&plan), reflex, &mut Seeded::new(seed), &mut by[0]);
            sim::run(plan, smoltcp, &mut Seeded::new(seed), &mut by[1]);
            let [a, b] = by.map(|events| observe(&events));
            assert_eq!((&a.gateway.states, a.window), (&b.gateway.states, b.window), "{id} {seed}");
            assert_eq!(a.clients, b.clients, "{id} {seed}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever is late and whatever is lost, the kernel's gateway never lies.
    #[cfg(feature = "proptest")]
    #[test]
    fn a_drawn_scenario_is_explored_and_nobody_is_told_a_wrong_mac(drawn in arplab::strategies::scenario()) {
        let properties = named(&["never-wrong-mac", "never-answers-own", "no-step-refused"]);
        let bounds = Bounds { late: Some(0), detours: Some(3), horizon: Span::from_secs(40), ..Bounds::default() };
        let explorer = Explorer::new(drawn.plan()).bounds(bounds).properties(properties).shrink(false);
        let report = explorer.clone().run();
        prop_assert!(report.ok(), "{:?}\n{drawn}", report.properties);
        prop_assert!(report.schedules > 0);
        // states taken for one are one: running every schedule by itself comes to the same
        let each = explorer.merge_states(false).run();
        prop_assert_eq!((report.schedules, report.delays), (each.schedules, each.delays), "{}", drawn);
    }

    /// Any program whose rules do not put proxy_delay before proxy_arp has the window, and no
    /// other has it.
    #[test]
    fn the_window_is_there_exactly_when_no_rule_forbids_it(rules in prop::collection::vec((0usize..4, 0usize..4), 0..5)) {
        const STEPS: [&str; 4] = ["felix.sysctl.proxy_delay", "felix.sysctl.proxy_arp", "felix.sysctl.forwarding", "felix.host-route-add"];
        let commands = [
            "sysctl -w net.ipv4.neigh.{cali}.proxy_delay=0",
            "sysctl -w net.ipv4.conf.{cali}.proxy_arp=1",
            "sysctl -w net.ipv4.conf.{cali}.forwarding=1",
            "ip route add {pod_ip} dev {cali} scope link",
        ];
        let mut felix = Program::new(ActorName::Felix);
        for (step, command) in STEPS.iter().zip(commands) {
            felix = felix.step(step).only_after(&["cni.host-up"]).host(command);
        }
        let mut before = [[false; 4]; 4];
        for (a, b) in rules.into_iter().filter(|(a, b)| a < b) {
            felix = felix.rule(STEPS[a], STEPS[b]);
            before[a][b] = true;
        }
        for k in 0..4 { for a in 0..4 { for b in 0..4 { before[a][b] |= before[a][k] && before[k][b]; } } }
        let plan = basic::race_of(&basic::plugin(), &felix, 1).unwrap();
        let report = Explorer::new(plan).bounds(all()).properties(named(&["no-divide-window"])).shrink(false).run();
        prop_assert_eq!(report.ok(), before[0][1], "{:?}", before);
    }
}

/// A wider bound has all that a narrower one has.
#[test]
fn each_bound_bounds() {
    let of = |bounds: Bounds| Explorer::new(minute(&[])).bounds(bounds).shrink(false).run().schedules;
    let base = || Bounds { late_max: Span::from_secs(2), ..minute_bounds(1) };
    let wide = of(base());
    let [none, one, some] =
        [Some(0), Some(1), Some(3)].map(|preemptions| of(Bounds { preemptions, ..base() }));
    assert!(0 < none && none < one && one < some && some <= wide, "{none} {one} {some} {wide}");
    let [few, more] = [Some(1), Some(2)].map(|detours| of(Bounds { detours, ..base() }));
    assert!(1 < few && few < more && more < wide, "{few} {more} {wide}");
    assert!(of(Bounds { late_max: Span::from_secs(1), ..base() }) < wide);
    assert!(of(Bounds { late: Some(0), ..base() }) < wide);
    assert!(of(Bounds { instant: Span::ZERO, ..base() }) < wide);
    assert!(of(Bounds { fine: true, late: Some(0), ..base() }) > of(Bounds { late: Some(0), ..base() }));
}

/// A table of verdicts over every scenario and fix, as quickly as a table has to be.
#[test]
fn fixes_are_settled_within_a_small_bound() {
    let effort = Effort::default();
    for (scenario, fix, cured) in [
        ("late-responder", "plugin-configures-host", true),
        ("late-responder", "shorter-interface-refresh", false),
        ("route-withheld", "endpoint-status-wait", true),
        ("route-withheld", "rp-filter-off", false),
    ] {
        let bug = settle(plan_of(scenario, &[]), &effort);
        assert!(bug.fails > 0 && bug.within.is_some(), "{scenario}: {bug}");
        let with = settle(plan_of(scenario, &[fix]), &effort);
        assert_eq!(with.ok(), cured, "{scenario} with {fix}: {with} {:?}", with.lacks);
        assert!(with.schedules > 10, "{scenario} with {fix}: {with}");
    }
}

/// The schedules that were worth keeping still come out as they did.
#[test]
fn kept_schedules_come_out_as_recorded() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/schedules");
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        let case = Case::parse(&std::fs::read_to_string(&file).unwrap()).unwrap();
        let plan = catalogue::find(&case.scenario).unwrap().remove(0).plan(&case.overrides()).unwrap();
        let replayed = case.check(plan, &[]).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        assert_eq!(replayed.misfits, 0, "{}: replay it and keep it anew", file.display());
    }
}

/// A schedule costs what happens in it. How long nothing happens is not counted anywhere.
#[test]
fn a_schedule_costs_its_events_and_not_the_length_of_its_windows() {
    let expected = |plan: Plan| {
        let bounds = Bounds { detours: Some(0), horizon: Span::from_secs(7200), ..all() };
        let never = vec![Property::always("never", |_| false)];
        let report = Explorer::new(plan).bounds(bounds).properties(never).shrink(false).run();
        (report.states, report.failing.expect("it always fails").schedule.entries.len())
    };
    let window = |secs: u64| {
        let mut plan = basic::race(1);
        plan.duration = Span::from_secs(7200);
        let step = StepTable::built_in("cni.add-return");
        plan.holds = vec![Hold { step, nth: Some(1), until: Until::Elapsed(Span::from_secs(secs)) }];
        expected(plan)
    };
    assert_eq!(window(1), window(60));
    assert_eq!(window(1), window(3600));
    let asking = |asks: u32| expected(basic::race(asks)).1;
    let (one, ten, twenty) = (asking(1), asking(10), asking(20));
    assert_eq!((twenty - one) * 9, (ten - one) * 19, "each request costs the same: {one} {ten} {twenty}");
}

/// What a trace tells is what the search saw, so a live run is judged as the simulator's is.
#[test]
fn facts_of_a_trace_are_those_of_the_run() {
    for id in ["late-responder", "route-withheld", "proxy-delay", "no-default-route"] {
        let plan = plan_of(id, &[]);
        let report = Explorer::new(plan.clone())
            .bounds(Bounds { late: Some(0), horizon: Span::from_secs(100), ..Bounds::default() })
            .properties(vec![Property::always("never", |_| false)])
            .shrink(false)
            .run();
        let failing = report.failing.unwrap();
        let (seen, told) = (&failing.facts, Facts::of_events(&failing.events));
        let both = |f: &Facts| {
            (f.container_start, f.resolved, f.client_start, f.first_answer, f.last_answer, f.longest_silence)
        };
        assert_eq!(both(seen), both(&told), "{id}");
        let more = |f: &Facts| {
            (f.add_returned, f.wrong_mac, f.answered_own, f.divide_window, f.asked_in_vain, f.refused)
        };
        assert_eq!(more(seen), more(&told), "{id}");
    }
}

#[test]
fn built_in_steps_of_the_race_exist() {
    let table = StepTable::default();
    for name in basic::plugin().steps().chain(basic::felix().steps()) {
        assert!(table.find(name).is_some(), "{name}");
    }
}
