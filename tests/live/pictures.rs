//! Pages of live runs: each run that is drawn is the one whose name stands above it.

use crate::process::{Run, events, nothing_left};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

crate::live_tests! {
    a_page_of_a_comparison_draws_the_runs_that_were_compared,
    a_page_of_a_live_run_draws_it_above_the_simulators,
}

/// What is drawn, run by run.
fn drawn(file: &Path) -> Vec<Value> {
    let html = std::fs::read_to_string(file).expect("the page");
    let (_, rest) = html.split_once("id=\"data\">").expect("data");
    let (data, _) = rest.split_once("</script>").expect("an end of the data");
    let page: Value = serde_json::from_str(data).expect("JSON");
    page["runs"].as_array().expect("runs").clone()
}

/// Marks in the lane of that kind.
fn marks(run: &Value, kind: &str) -> usize {
    let lanes = run["lanes"].as_array().expect("lanes");
    let lane = lanes.iter().position(|l| l["kind"] == kind).expect("the lane");
    let marks = run["marks"].as_array().expect("marks");
    marks.iter().filter(|m| m["lane"].as_u64() == u64::try_from(lane).ok()).count()
}

/// From when to when the pod asks in vain, in nanoseconds.
fn window(run: &Value) -> Option<(u64, u64)> {
    let window = run["windows"].as_array().expect("windows").first()?;
    Some((window["from"].as_u64().expect("a time"), window["to"].as_u64().expect("a time")))
}

fn says(run: &Value, key: &str, what: &str) {
    let text = run[key].as_str().expect("text");
    assert!(text.contains(what), "{key}: {text}");
}

fn a_page_of_a_comparison_draws_the_runs_that_were_compared() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("compared.html");
    let path = file.to_str().expect("UTF-8");
    let run = Run::start(&["compare", "8689", "--hold", "felix.iface-seen=2s", "--json", "--html", path]);
    let (output, mark) = run.end();
    nothing_left(&mark, &BTreeSet::new());
    let compared: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let runs = drawn(&file);
    let headline = |corner: &str| match corner {
        "live-smoltcp" => "the host side played by arplab",
        "live-kernel" => "a real pod and a real host side",
        other => panic!("{other}"),
    };
    let corners = compared["corners"].as_array().expect("corners");
    assert!(!corners.is_empty());
    let mut named = BTreeSet::new();
    for corner in corners {
        let live = &corner["live"];
        let name = live["corner"].as_str().expect("a corner");
        let model = format!("sim, seed {}", corner["model"]["seed"]);
        for (told, name, says_so) in [(live, name, headline(name)), (&corner["model"], &model, "simulated")] {
            let at = runs.iter().find(|r| r["name"].as_str().is_some_and(|n| n.starts_with(name)));
            let run = at.unwrap_or_else(|| panic!("{name} is not drawn"));
            named.insert(run["name"].as_str().expect("a name").to_owned());
            says(run, "headline", says_so);
            // the moment that the run itself gives for its window's end is the moment that is drawn
            let (from, to) = window(run).expect("a window");
            assert_eq!(told["seen"]["window_end_ns"].as_u64(), Some(to), "{name}");
            let first = &told["seen"]["asked"][0]["t_ns"];
            assert_eq!(first.as_u64(), Some(from), "{name}: {first}");
        }
    }
    assert_eq!(named.len(), runs.len(), "each run that is drawn was compared");
}

fn a_page_of_a_live_run_draws_it_above_the_simulators() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("live.html");
    let path = file.to_str().expect("UTF-8");
    let args = ["run", "8689", "--live", "--responder", "kernel", "--hold", "felix.iface-seen=2s", "--json"];
    let beside = ["--html", path, "--beside", "sim", "--beside", "plugin-configures-host"];
    let run = Run::start(&[&args[..], &beside].concat());
    let (output, mark) = run.end();
    nothing_left(&mark, &BTreeSet::new());
    let (events, _) = events(&output);
    let runs = drawn(&file);
    let names: Vec<&str> = runs.iter().map(|r| r["name"].as_str().expect("a name")).collect();
    assert_eq!(names[1..], ["simulated", "simulated, --fix plugin-configures-host"]);
    says(&runs[0], "headline", "a real pod and a real host side");
    let frames = events.iter().filter(|e| e["event"] == "frame").count();
    assert!(frames > 0);
    assert_eq!(marks(&runs[0], "wire"), frames);
    // the hold of the command line holds for the simulator's run as well; the fix opens no window
    for run in &runs[1..] {
        says(run, "headline", "simulated, seed 1");
    }
    let (from, to) = window(&runs[1]).expect("a window");
    assert!((1_000_000_000..3_000_000_000).contains(&(to - from)), "{from} to {to}");
    assert_eq!(window(&runs[2]), None);
}
