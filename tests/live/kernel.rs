//! The kernel's own proxy ARP as responder, through the program: it fails and heals as the
//! scenario says, every corner agrees with the model, and nothing is left behind.

use crate::changes;
use crate::program::{self, Run, arplab, lasts, skipped, stepped, told};
use serde_json::Value;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

crate::live_tests! {
    the_kernels_own_gateway_is_silent_and_then_answers,
    every_versions_plugin_ends_with_a_gateway_that_answers,
    the_truth_table_of_the_kernel_is_the_models,
    what_cannot_be_staged_is_said_and_never_passed,
    the_nodes_own_address_answers_in_every_corner,
    all_corners_agree_on_every_fix_and_every_mitigation,
    all_corners_agree_on_every_scenario,
    nothing_is_left_behind,
    ;
    every_scenario_is_as_expected_in_both_live_corners,
    every_fix_is_as_expected_in_both_live_corners_and_every_mitigation_agrees_everywhere,
}

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
    let kernel = run.events("kernel").into_iter().rfind(|e| e["side"] == "host").unwrap();
    let text = kernel.to_string();
    for part in ["10.42.0.123 dev cali0d7763386da scope link", "cali0d7763386da.proxy_arp = 1"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

/// Each version's order of the plugin's steps, on the kernel.
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

/// So long a command that repairs something may take, from its effect to its end.
const COMMAND_MAX: Duration = Duration::from_millis(500);

/// Every condition of the kernel that an operator can break, one after the other in one run, with
/// what was measured of it.
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
            // a step is told when its command has ended, and the kernel may answer again before: nft(8)
            // comes back late on a busy machine
            let silent = inside.iter().take_while(|a| a["answered_ns"].is_null()).count();
            let early = inside.get(silent).map(|a| repaired - a["t_ns"].as_u64().unwrap());
            let in_time = early.is_none_or(|early| silent > 0 && early < COMMAND_MAX.as_nanos() as u64);
            assert!(silent + answered == inside.len() && in_time, "{name} is not answered: {inside:?}");
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

/// What the node itself answers does not come from the world, nor by the uplink.
fn the_nodes_own_address_answers_in_every_corner() {
    let file = program::scenario(
        "[node]\nsetup = [\"ip link add own0 type veth\", \"ip link set own0 up\", \
         \"ip addr add 198.51.100.77/32 dev own0\"]\n\
         [[client]]\nkind = \"ping\"\nto = \"198.51.100.77\"\ncount = 3\n\
         [expect]\nunanswered = 0\n[expect.client.ping]\nfirst-success = [\"0s\", \"100ms\"]\n",
    );
    let path = file.path().to_str().unwrap();
    let run = told(&["run", path]);
    assert_eq!(run.code, 0, "{}", run.stdout);
    let compared = told(&["compare", path]);
    if compared.code == 3 {
        skipped(&compared.stderr);
    } else {
        assert_eq!(compared.code, 0, "{}", compared.stdout);
    }
}

/// The files of the catalogue.
fn scenario_files() -> Vec<String> {
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios")).unwrap();
    let mut paths: Vec<String> = files.map(|f| f.unwrap().path().display().to_string()).collect();
    paths.retain(|p| std::path::Path::new(p).extension().is_some_and(|e| e == "toml"));
    paths.sort();
    paths
}

/// How often a run may be other than it should be, less one.
const TRIES: usize = 5;

/// Runs the program with each of these arguments, `workers` at a time, and returns what was other
/// than it should be. Most of the time is waiting. What depends on which of two processors is
/// first may fall otherwise on a busy machine, so a run that is not as it should be is repeated;
/// what is wrong [`TRIES`] times in a row is wrong.
fn all_as_they_should_be(runs: &[Vec<String>], workers: usize) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(args) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let words: Vec<&str> = args.iter().map(String::as_str).collect();
                    let tried: Vec<Run> = (0..TRIES)
                        .map(|_| told(&words))
                        .scan(false, |done, run| {
                            let go_on = !*done;
                            *done = run.code != 1;
                            go_on.then_some(run)
                        })
                        .collect();
                    let Some(last) = tried.last() else { continue };
                    if tried.len() > 1 {
                        eprintln!("{words:?}: {} times, then {}", tried.len(), last.code);
                    }
                    if last.code == 3 {
                        // nothing here to run it with: by the machine, or by the scenario's own word
                        let own = args.iter().find(|a| std::path::Path::new(a).is_file());
                        let own = own.map(|path| std::fs::read_to_string(path).unwrap());
                        if !own.is_some_and(|t| t.contains("[not-live]") || t.contains("[[fault]]")) {
                            skipped(&last.stderr);
                        }
                    } else if last.code != 0 {
                        wrong.lock().unwrap().push(format!("{words:?}\n{}\n{}", last.stdout, last.stderr));
                    }
                }
            });
        }
    });
    wrong.into_inner().unwrap()
}

fn all_corners_agree_on_every_scenario() {
    let runs: Vec<Vec<String>> = scenario_files().into_iter().map(|p| vec!["compare".into(), p]).collect();
    let wrong = all_as_they_should_be(&runs, 10);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Some seven minutes: `cargo test --test live -- --ignored`.
fn every_scenario_is_as_expected_in_both_live_corners() {
    let of = |responder: &'static str| {
        let words = move |p| vec!["run".into(), p, "--live".into(), "--responder".into(), responder.into()];
        scenario_files().into_iter().map(words)
    };
    let runs: Vec<Vec<String>> = of("smoltcp").chain(of("kernel")).collect();
    let wrong = all_as_they_should_be(&runs, 16);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every fix of every scenario, and every mitigation with one scenario that it is about, in the
/// shorter form that `compare` plays: what a change of the programs does to a real pod, and what
/// the simulator says of it.
fn all_corners_agree_on_every_fix_and_every_mitigation() {
    let wrong = all_as_they_should_be(&changes::each(), 24);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// About an hour and a half: `cargo test --test live -- --ignored`.
fn every_fix_is_as_expected_in_both_live_corners_and_every_mitigation_agrees_everywhere() {
    let mut runs = changes::fixes_in_full();
    runs.extend(changes::everywhere());
    let wrong = all_as_they_should_be(&runs, 16);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

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
                let code = if signal == "INT" { 130 } else { 143 };
                assert_eq!(status.code(), Some(code), "SIG{signal} after {ms} ms: {status}");
                assert!(!namespaces.is_empty(), "it had namespaces when the signal came");
            }
        }
    }
    assert_eq!(program::links(), links, "interfaces of the caller's namespace");
}
