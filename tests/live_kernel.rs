//! The kernel's own proxy ARP as responder, through the program: it fails and heals as the
//! scenario says, every corner agrees with the model, and nothing is left behind.
//!
//! Where there are no namespaces the tests say so and pass, unless `ARPLAB_REQUIRE_NETNS` is 1.
#![cfg(feature = "live")]

#[path = "live_kernel/program.rs"]
mod program;

use program::{Run, arplab, lasts, skipped, stepped, told};
use serde_json::Value;
use std::time::Duration;

#[test]
fn the_kernels_own_gateway_is_silent_and_then_answers() {
    let run = Run::of(&["late-responder", "--hold", "felic.iface-seen=4s"]);
    assert_eq!(run.code, 2, "a step that does not exist: {}", run.stderr);
    let run = Run::of(&["late-responder", "--hold", "felix.iface-seen=4s"]);
    if run.is_skipped() {
        return;
    }
    assert_eq!(run.code, 0, "{}\n{}", run.stdout, run.stderr);
    let states = run.states();
    let at = |state: &str| states.iter().position(|s| s == state);
    assert!(at("INCOMPLETE") < at("FAILED") && at("FAILED") < at("REACHABLE"), "{states:?}");
    let verdict = run.verdict();
    let asked = verdict["seen"]["asked"].as_array().unwrap();
    let silent: Vec<&Value> = asked.iter().filter(|a| a["answered_ns"].is_null()).collect();
    assert!(silent.len() >= 3, "{asked:?}");
    assert!(silent.iter().all(|a| a["reason"] == "rp-filter-other-device"), "{silent:?}");
    assert_eq!(verdict["seen"]["replies"][0][1], "ee:ee:ee:ee:ee:ee");
    assert!(run.events("differs").is_empty(), "{:?}", run.events("differs"));
    let kernel = run.events("kernel").into_iter().find(|e| e["side"] == "host").unwrap();
    let text = kernel.to_string();
    for part in ["10.42.0.123 dev cali0d7763386da scope link", "cali0d7763386da.proxy_arp = 1"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

/// Each version's order of the plugin's steps, on the kernel.
#[test]
fn every_versions_plugin_ends_with_a_gateway_that_answers() {
    let versions = ["v3.13", "v3.24", "v3.26", "v3.27", "v3.28", "v3.31", "v3.32"];
    let runs = versions.map(|version| {
        let file = program::scenario(&format!(
            "[calico]\nversion = {version:?}\n[[client]]\nkind = \"ping\"\nto = \"203.0.113.8\"\nstop-after = 2\n\
             [expect]\nunanswered = 0\nreasons = []\nentry = \"REACHABLE\"\n"
        ));
        (version, std::thread::spawn(move || Run::of(&[file.path().to_str().unwrap()])))
    });
    for (version, run) in runs {
        let run = run.join().unwrap();
        if run.is_skipped() {
            continue;
        }
        assert_eq!(run.code, 0, "{version}: {}\n{}", run.stdout, run.stderr);
        assert!(run.events("differs").is_empty(), "{version}: {:?}", run.events("differs"));
        let steps = stepped(&run);
        let at = |step: &str| steps.iter().position(|s| s == step);
        let moved = at("cni.move-host-end");
        assert_eq!(moved.is_some(), version < "v3.27", "{version}: {steps:?}");
        // the switches are written where the host end is by then, and the route comes last
        assert!(moved < at("cni.sysctl.proxy_arp"), "{version}: {steps:?}");
        assert!(at("cni.sysctl.proxy_arp") < at("cni.host-up"), "{version}: {steps:?}");
        assert!(at("cni.host-up") < at("cni.host-route-add"), "{version}: {steps:?}");
        assert_eq!(at("cni.sysctl.route_localnet").is_some(), version > "v3.13", "{version}: {steps:?}");
    }
}

/// Every condition of the kernel that an operator can break, one after the other in one run, with
/// what was measured of it.
#[test]
fn the_truth_table_of_the_kernel_is_the_models() {
    let file = program::scenario(&program::truth_table());
    let run = Run::of(&[file.path().to_str().unwrap()]);
    if run.is_skipped() {
        return;
    }
    assert_eq!(run.code, 0, "{}\n{}", run.stdout, run.stderr);
    assert!(run.events("differs").is_empty(), "{:?}", run.events("differs"));
    let mut asked_in_all = 0;
    for (row, expected) in program::ROWS.iter().enumerate() {
        let (broken, repaired) =
            (run.time_of(&format!("operator.break-{row}")), run.time_of(&format!("operator.repair-{row}")));
        let inside = run.asked_between(broken, repaired);
        asked_in_all += inside.len();
        let answered = inside.iter().filter(|a| !a["answered_ns"].is_null()).count();
        let name = expected.0;
        if expected.3 {
            assert_eq!(answered, inside.len(), "{name} is answered: {inside:?}");
        } else {
            assert_eq!(answered, 0, "{name} is not answered: {inside:?}");
        }
        let next =
            run.events("step").into_iter().find(|e| e["step"] == format!("operator.break-{}", row + 1));
        let until = next.map_or(repaired + lasts(), |e| e["t_ns"].as_u64().unwrap());
        let after = run.asked_between(repaired, until);
        // on a loaded machine a span may pass without a request
        let healed = after.is_empty() || after.iter().any(|a| !a["answered_ns"].is_null());
        assert!(healed, "after {name}: {after:?}");
    }
    assert!(asked_in_all > program::ROWS.len() * 2, "the pod hardly asked: {asked_in_all}");
}

#[test]
fn what_cannot_be_staged_is_said_and_never_passed() {
    let fault = "[[client]]\nkind = \"ping\"\nto = \"203.0.113.8\"\nstop-after = 1\n\
                 [[fault]]\nframe = \"arp-reply\"\nnth = 1\ndrop = true\n";
    let machine_wide = "[node]\nsetup = [\"sysctl -w net.ipv4.neigh.default.gc_thresh3=1\"]\n";
    for (text, why) in [(fault, "faults of the link"), (machine_wide, "gc_thresh3")] {
        let file = program::scenario(text);
        let path = file.path().to_str().unwrap();
        let run = Run::of(&[path]);
        assert_eq!(run.code, 3, "{}\n{}", run.stdout, run.stderr);
        assert!(run.stderr.contains(why) || run.is_skipped(), "{}", run.stderr);
        let compared = told(&["compare", path]);
        assert!(compared.stdout.contains("NOT compared") || compared.code == 3, "{}", compared.stdout);
    }
}

#[test]
fn all_corners_agree_on_every_scenario() {
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios")).unwrap();
    let mut paths: Vec<String> = files.map(|f| f.unwrap().path().display().to_string()).collect();
    paths.retain(|p| std::path::Path::new(p).extension().is_some_and(|e| e == "toml"));
    paths.sort();
    // most of the time is waiting
    for some in paths.chunks(6) {
        let runs: Vec<_> = some
            .iter()
            .cloned()
            .map(|path| std::thread::spawn(move || (told(&["compare", &path]), path)))
            .collect();
        for run in runs {
            let (run, path) = run.join().unwrap();
            if run.code == 3 {
                // nothing here to compare with: by the machine, or by the scenario's own word
                let own = std::fs::read_to_string(&path).unwrap();
                if !own.contains("[not-live]") && !own.contains("[[fault]]") {
                    skipped(&run.stderr);
                }
                continue;
            }
            assert_eq!(run.code, 0, "{path}\n{}\n{}", run.stdout, run.stderr);
        }
    }
}

#[test]
fn nothing_is_left_behind() {
    let args = ["run", "late-responder", "--live", "--responder", "kernel", "--json", "--hold"];
    let long = [&args[..], &["felix.iface-seen=60s"]].concat();
    let links = program::links();
    let ended = arplab(&[&args[..], &["felix.iface-seen=500ms"]].concat()).output().unwrap();
    if ended.status.code() == Some(3) {
        return skipped(&String::from_utf8_lossy(&ended.stderr));
    }
    assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
    // moments before, in and after the building of the lab
    for (signal, delays) in [
        ("INT", &[700, 1500][..]),
        ("TERM", &[700, 1500]),
        ("KILL", &[0, 3, 6, 9, 13, 20, 40, 80, 300, 1100]),
    ] {
        for ms in delays {
            let (status, namespaces) = program::killed(&long, signal, Duration::from_millis(*ms));
            if signal == "KILL" {
                assert_eq!(status.code(), None, "{status}");
            } else {
                assert_eq!(status.code(), Some(130), "SIG{signal} after {ms} ms: {status}");
                assert!(!namespaces.is_empty(), "it had namespaces when the signal came");
            }
            program::all_gone(&namespaces);
        }
    }
    assert_eq!(program::links(), links, "interfaces of the caller's namespace");
}
