//! An init container that waits for the gateway, and a monitor that restarts the pod: what they do
//! in the simulator. That a real pod does the same is among the live tests.

use arplab::matrix::{Played, matrix, outages, play};
use arplab::scenario::file::FixEffect;
use arplab::scenario::{Overrides, Scenario, WAITER, catalogue, mitigation};
use arplab::time::Time;
use arplab::trace::{JsonLine, LineNews, LineWhat, What};
use std::time::Duration;

/// The plugin writes no route, and Felix is late by the length of the hold.
const LATE: &str = "id = \"late\"\ntitle = \"late\"\nduration = \"400s\"\n\
    [calico]\nversion = \"felix-only\"\n[[hold]]\nstep = \"felix.iface-seen\"\n";

fn run(text: &str, overrides: &Overrides, seed: u64) -> Played {
    let scenario = Scenario::parse("test.toml", text).unwrap_or_else(|e| panic!("{e}"));
    play(&scenario, overrides, seed).unwrap()
}

fn plain(text: &str) -> Played {
    run(text, &Overrides::default(), 1)
}

fn seconds(t: Time) -> f64 {
    Duration::from_nanos(t.0).as_secs_f64()
}

/// The times of a step, in seconds.
fn times(run: &Played, name: &str) -> Vec<f64> {
    let id = run.events.plan.steps.find(name).unwrap();
    let is = |w: &What| matches!(w, What::Step { step, .. } if *step == id);
    run.events.iter().filter(|e| is(&e.what)).map(|e| seconds(e.t_ns)).collect()
}

#[test]
fn the_containers_start_when_the_gateway_has_answered_and_lose_nothing() {
    for seed in 1..=8 {
        let text = format!("{LATE}for = \"20s\"\n[pod.wait-for-gateway]\n");
        let run = run(&text, &Overrides::default(), seed);
        let (init, start) = (times(&run, "kubelet.init-start"), times(&run, "kubelet.container-start"));
        assert!(init.len() == 1 && start.len() == 1, "{init:?} {start:?}");
        let waiter = &run.seen.clients[WAITER];
        assert!(waiter.sent >= 19 && waiter.answered == 1 && waiter.failures == 0, "{waiter:?}");
        let answered = seconds(waiter.first_success_ns.unwrap());
        assert!(answered > 20.0 && start[0] - answered >= 0.15 && start[0] - answered < 1.451, "{start:?}");
        // its requests are the pod's, but it is nobody whose outage counts
        assert!(run.seen.unanswered() >= 19, "{}", run.seen.unanswered());
        let lost = outages(&run);
        assert!(lost.iter().all(|o| o.client != WAITER && o.served && o.longest.as_ns() < 1_000_000));
        assert_eq!(lost.len(), 2);
    }
}

#[test]
fn an_answer_to_the_init_container_makes_no_entry_for_the_next_one() {
    let run = plain(&format!("{LATE}for = \"5s\"\n[pod.wait-for-gateway]\n"));
    let start = times(&run, "kubelet.container-start")[0];
    let made = seconds(run.seen.states.first().unwrap().0);
    assert!(made >= start, "the pod has an entry at {made}, before its containers start at {start}");
    let asked = run.seen.asked.last().unwrap();
    assert!(seconds(asked.t_ns) >= start && asked.answered_ns.is_some(), "{asked:?}");
}

#[test]
fn one_that_gives_up_is_started_again_with_a_back_off_that_doubles() {
    for seed in 1..=4 {
        let text = format!("{LATE}never = true\n[pod.wait-for-gateway]\nlimit = \"3s\"\n");
        let run = run(&text, &Overrides::default(), seed);
        assert!(times(&run, "kubelet.container-start").is_empty());
        let (init, fail) = (times(&run, "kubelet.init-start"), times(&run, "kubelet.init-fail"));
        let waits = [0.0, 10.0, 20.0, 40.0, 80.0, 160.0];
        assert_eq!(init.len(), waits.len() + 1, "{init:?}");
        for (at, wait) in waits.into_iter().enumerate() {
            let (ran, pause) = (fail[at] - init[at], init[at + 1] - fail[at]);
            assert!((3.0..=4.0).contains(&ran), "the limit and the kubelet's relist: {ran}");
            assert!((wait + 0.15..=wait + 0.45).contains(&pause), "after failure {}: {pause}", at + 1);
        }
        // three requests in three seconds, and nothing of a container ever ran
        assert_eq!(run.seen.clients[WAITER].sent, 3 * init.len() as u32);
        assert_eq!(run.seen.clients.len(), 1);
    }
}

#[test]
fn a_pod_made_anew_has_an_init_container_of_its_own() {
    // the pod is deleted in the back-off of the second failure, which would end in the next pod's life
    let text = format!(
        "{LATE}nth = 1\nfor = \"300s\"\n[pod.wait-for-gateway]\nlimit = \"2s\"\n\
         [[step]]\nid = \"operator.delete\"\ntitle = \"delete\"\nafter = \"kubelet.init-start\"\ndelay = \"8s\"\n\
         ask = \"pod-recreate\"\n"
    );
    let run = plain(&text);
    let created = times(&run, "kubelet.sandbox-create");
    assert_eq!(created.len(), 2, "{created:?}");
    let fail = times(&run, "kubelet.init-fail");
    let (old, new): (Vec<f64>, Vec<f64>) = fail.into_iter().partition(|t| *t < created[1]);
    assert!(old.len() == 2 && new.len() >= 2, "{old:?} {new:?}");
    let again: Vec<f64> = times(&run, "kubelet.init-start").into_iter().filter(|t| *t > created[1]).collect();
    // the first failure of the new pod is followed at once, as if the old one had never been
    assert!(again[1] - new[0] < 0.451, "{again:?} {new:?}");
}

#[test]
fn a_client_may_not_take_the_init_containers_name() {
    let text = format!(
        "{LATE}for = \"1s\"\n[[client]]\nname = \"{WAITER}\"\nkind = \"ping\"\nto = \"203.0.113.8\"\n\
         [pod.wait-for-gateway]\nlimit = \"0s\"\n"
    );
    let error = Scenario::parse("test.toml", &text).unwrap_err().to_string();
    assert!(error.contains("init container's") && error.contains("`limit`"), "{error}");
}

#[test]
fn the_matrix_says_of_every_scenario_what_waiting_does() {
    let scenarios = catalogue::all().unwrap();
    let waits = [mitigation("wait-for-gateway").unwrap().clone()];
    let m = matrix(&scenarios, &waits, 2).unwrap();
    let cell = |id: &str| &m.rows.iter().find(|r| r.scenario == id).unwrap().cells[0];
    // silent from the start and healed in time: nobody loses anything, and everybody starts later
    for id in
        ["late-responder", "udev-sysctl-minute", "no-default-route", "arp-filtered", "networkd-flushes-route"]
    {
        let cell = cell(id);
        let also = cell.also.as_deref().unwrap_or_default();
        assert!(cell.effect == FixEffect::Cures && also.contains("the containers start"), "{id}: {cell:?}");
    }
    // the answer comes, and is not what is missing or does not last
    for id in ["return-path-late", "host-mac-changes", "late-del", "stale-host-entry", "static-arp-lost"] {
        let cell = cell(id);
        assert!(cell.effect == FixEffect::Nothing && cell.also.is_none(), "{id}: {cell:?}");
    }
    for (scenario, row) in scenarios.iter().zip(&m.rows) {
        let mut with = Overrides::default();
        with.with("wait-for-gateway");
        let starts =
            (1..=3).map(|seed| times(&play(scenario, &with, seed).unwrap(), "kubelet.container-start"));
        let never = starts.into_iter().any(|t| t.is_empty());
        let cell = &row.cells[0];
        if never {
            assert!(
                !matches!(cell.effect, FixEffect::Cures | FixEffect::Shortens),
                "{}: {cell:?}",
                row.scenario
            );
        } else {
            // a second later, the first packet of that one meets the switch that udev has turned off;
            // before, the pod had an entry by then, and lost it half a minute later
            let later_is_too_late = row.scenario == "udev-sysctl-late";
            assert!(later_is_too_late || cell.effect != FixEffect::Breaks, "{}: {cell:?}", row.scenario);
        }
    }
}

fn looks(run: &Played) -> (Vec<f64>, Vec<f64>) {
    (times(run, "operator.monitor-look"), times(run, "operator.monitor-alarm"))
}

fn monitored(text: &str) -> Played {
    let text = format!(
        "{text}\n[[fix]]\nname = \"watched\"\ntitle = \"watched\"\neffect = \"nothing\"\n\
         change.arp-monitor = {{ every = \"5s\", looks = 2 }}\n"
    );
    run(&text, &Overrides { fixes: vec!["watched".to_owned()], ..Overrides::default() }, 1)
}

#[test]
fn the_monitor_restarts_a_pod_that_asks_in_vain_after_two_bad_looks() {
    let run = monitored(&format!("{LATE}nth = 1\nfor = \"300s\"\n"));
    let (looks, alarms) = looks(&run);
    let start = times(&run, "kubelet.container-start")[0];
    assert!((looks[0] - start - 5.0).abs() < 0.001 && (looks[1] - start - 10.0).abs() < 0.001, "{looks:?}");
    assert!((alarms[0] - looks[1]).abs() < 0.001, "{alarms:?}");
    // Felix is late once more: the hold that is left keeps its one lane for everybody
    assert!(times(&run, "kubelet.sandbox-create").len() >= 2);
}

#[test]
fn no_entry_is_no_alarm_and_a_good_one_is_none_either() {
    // nobody asks for the first minute, while the gateway would be silent
    let idle = monitored(&format!(
        "{LATE}for = \"40s\"\n[[client]]\nkind = \"ping\"\nto = \"203.0.113.8\"\ndelay = \"60s\"\ncount = 30\n"
    ));
    let (seen, alarms) = looks(&idle);
    assert!(seen.len() >= 10 && alarms.is_empty(), "{seen:?} {alarms:?}");
    assert_eq!(times(&idle, "kubelet.sandbox-create").len(), 1);
}

#[test]
fn the_runs_events_tell_of_every_start_of_the_init_container() {
    let run = plain(&format!("{LATE}for = \"5s\"\n[pod.wait-for-gateway]\nlimit = \"2s\"\n"));
    let is = |w: &LineWhat| {
        matches!(w, LineWhat::Client { client, from: None, news: LineNews::Start { title } }
            if client == WAITER && title == "arping 169.254.1.1")
    };
    let starts = run.events.iter().filter(|e| is(&JsonLine::of(&run.events, e).what)).count();
    assert_eq!(starts, times(&run, "kubelet.init-start").len());
    assert!(starts >= 2, "{starts}");
}
