//! Other pods that are added beside the one that a scenario is about: they compete with it for what a node's
//! plugins share, their steps can be held and made to fail, and nothing of them is left.

use crate::cni::ready;
use crate::cni_explore::version_of_plugins;
use crate::cni_steps::{CLIENT, File, PTP, agreed, lines, time, times};
use crate::process::{self, nothing_left};
use crate::program::{Run, told};
use serde_json::Value;
use std::time::{Duration, Instant};

crate::live_tests! {
    a_pod_waits_for_the_lock_that_another_holds,
    what_fails_for_another_pod_is_told,
    a_run_lasts_until_other_pods_are_added,
    an_add_that_never_ends_is_told,
    other_pods_stay_when_the_pod_is_made_anew,
    a_star_is_any_other_pod,
    portmap_fails_for_one_of_two_first_pods,
    what_is_no_other_pod_is_refused_with_its_place,
    a_run_with_other_pods_that_is_killed_leaves_nothing,
}

/// ptp beside so many pods.
fn ptp(others: &str, rest: &str) -> File {
    File::new(&format!("{PTP}\nothers = {others}"), rest)
}

/// The moments of a step's event, in milliseconds.
fn moments(lines: &[Value], event: &str, step: &str) -> Vec<u64> {
    let of = |line: &&Value| line["event"] == event && line["step"] == step;
    lines.iter().filter(of).map(|line| line["t_ns"].as_u64().unwrap() / 1_000_000).collect()
}

fn others(lines: &[Value]) -> &Vec<Value> {
    lines.last().unwrap()["seen"]["others"].as_array().expect("others in the verdict")
}

fn a_pod_waits_for_the_lock_that_another_holds() {
    if !ready() {
        return;
    }
    // host-local holds its lock from before the lease is made until it is written; the pod comes to it
    // when the other has it
    let rest = r#"
[[hold]]
step = "cni.pod2/open /var/lib/cni/networks/n/10.88.0.*"
for = "2s"

[[step]]
id = "operator.look"
title = "pod2 has the lock by now"
after = "cni.pod2/open /var/lib/cni/networks/n/lock"
delay = "300ms"

[[hold]]
step = "cni.open /var/lib/cni/networks/n/lock"
until = "operator.look"

[[client]]
kind = "tcp-connect"
to = "203.0.113.8:80"
after = "kubelet.sandbox-create"
retry = "100ms"
"#;
    let run = ptp("1", rest).run(&[]);
    if run.is_skipped() {
        return;
    }
    assert_eq!(run.code, 0, "{}", run.stderr);
    let told = lines(&run);
    agreed(&told);
    let lease = "cni.pod2/open node /var/lib/cni/networks/n/10.88.0.*";
    let (held, released) = (moments(&told, "held", lease), moments(&told, "released", lease));
    let ([held], [released]) = (&held[..], &released[..]) else { panic!("{held:?} {released:?}") };
    assert!(released - held >= 2_000, "{held} {released}");
    // the pod asks for the lock meanwhile, and goes on when the other has given it back
    assert!((*held..*released).contains(&time(&told, "cni.open node /var/lib/cni/networks/n/lock")));
    let own = time(&told, "cni.open node /var/lib/cni/networks/n/10.88.0.*");
    assert!(own >= *released, "{own} {released}");
    assert!(time(&told, "cni.add-return") > *released);
    let client = &told.last().unwrap()["seen"]["clients"]["tcp-connect"];
    let answered = client["first_success_ns"].as_u64().unwrap() / 1_000_000;
    assert!(answered > *released, "{answered} {released}");
    assert!(client["failures"].as_u64().unwrap() >= 5, "{client:#}");
    // the lock's holder has the first address
    let last = told.iter().rev().find(|line| line["event"] == "kernel" && line["side"] == "host").unwrap();
    assert!(last["routes"].to_string().contains("10.88.0.3 dev"), "{last}");
    let seen = others(&told);
    assert_eq!((seen.len(), &seen[0]["pod"], &seen[0]["deleted"]), (1, &"pod2".into(), &true.into()));
}

fn what_fails_for_another_pod_is_told() {
    if !ready() {
        return;
    }
    let fault = "\n[[fault]]\nstep = \"cni.pod3/addr-add pod\"\nfail = \"ENOBUFS\"\n";
    let file = ptp("2", &format!("{fault}{CLIENT}"));
    let run = file.run(&[]);
    if run.is_skipped() {
        return;
    }
    // of the pod itself nothing is wrong
    assert_eq!(run.code, 0, "{}", run.stderr);
    let told_lines = lines(&run);
    agreed(&told_lines);
    let [(_, Some(why))] = &times(&told_lines, "cni.pod3/addr-add pod eth0 10.88.0.*/24")[..] else {
        panic!("{told_lines:#?}")
    };
    assert!(why.contains("ENOBUFS"), "{why}");
    assert!(time(&told_lines, "cni.pod3/add-fail") <= time(&told_lines, "cni.pod3/del"));
    assert!(times(&told_lines, "cni.pod3/add-return").is_empty());
    let of_pod2 = (time(&told_lines, "cni.pod2/add-return"), time(&told_lines, "cni.pod2/del"));
    assert!(of_pod2.0 < of_pod2.1, "{of_pod2:?}");
    let [two, three] = &others(&told_lines)[..] else { panic!("{:?}", others(&told_lines)) };
    assert!(two["add_failed"].is_null() && two["deleted"] == true, "{two}");
    assert!(three["add_failed"].as_str().unwrap().contains("buffer space") && three["deleted"] == true);
    let note =
        |line: &&Value| line["text"].as_str().is_some_and(|t| t.starts_with("ADD of the plugin for pod3"));
    assert_eq!(told_lines.iter().filter(note).count(), 1);

    let path = file.path();
    let run = told(&["run", "--live", "--responder", "kernel", path.to_str().unwrap()]);
    let text = run.stdout;
    assert!(text.contains("plugin ptp beside 2 other pods, Felix"), "{text}");
    assert!(text.contains("ADD of the plugin for pod3 failed: `ptp`: "), "{text}");
    assert!(text.contains("\npod2         ADD returned after "), "{text}");
    assert!(text.contains("\npod3         ADD FAILED after "), "{text}");
    // of the other pods the short timeline has what begins, ends and fails
    assert!(text.contains("cni.pod3/addr-add") && !text.contains("cni.pod2/addr-add"), "{text}");
}

fn a_run_lasts_until_other_pods_are_added() {
    if !ready() {
        return;
    }
    let step = "cni.pod2/route-add node 10.88.0.* dev host-end";
    let with_hold = |end: &str| format!("\n[[hold]]\nstep = \"{step}\"\n{end}\n");
    let run = ptp("1", &format!("{}{CLIENT}", with_hold("for = \"3s\""))).run(&[]);
    if run.is_skipped() {
        return;
    }
    let told = lines(&run);
    agreed(&told);
    let client = &told.last().unwrap()["seen"]["clients"]["ping"];
    assert_eq!(client["answered"], 3, "{client}");
    let (held, released) = (moments(&told, "held", step), moments(&told, "released", step));
    let ([held], [released]) = (&held[..], &released[..]) else { panic!("{held:?} {released:?}") };
    assert!(released - held >= 3_000 && time(&told, "cni.pod2/add-return") >= *released);
    // what is held for ever nobody waits for
    let run = ptp("1", &format!("{}{CLIENT}", with_hold("never = true"))).run(&[]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let told = lines(&run);
    assert_eq!(moments(&told, "held", step).len(), 1);
    let other = &others(&told)[0];
    assert!(other["add_start_ns"].is_u64() && other["add_end_ns"].is_null() && other["deleted"] == true);
}

fn an_add_that_never_ends_is_told() {
    if !ready() {
        return;
    }
    let rest = r#"
[[step]]
id = "operator.nothing"
title = "what comes with a DEL that nobody asks for"
after = "cni.del"

[[hold]]
step = "cni.pod2/link-up pod eth0"
until = "operator.nothing"
"#;
    let file = ptp("2", &format!("{rest}{CLIENT}"));
    let begun = Instant::now();
    let path = file.path();
    let run = told(&["run", "--live", "--responder", "kernel", path.to_str().unwrap()]);
    if run.is_skipped() {
        return;
    }
    assert_eq!(run.code, 1, "{}{}", run.stdout, run.stderr);
    assert!(begun.elapsed() > Duration::from_secs(30));
    let said = "GIVEN UP: the clients were done, ADD of pod2 had not ended, and for 30 s no plugin asked for";
    assert!(run.stdout.contains(said), "{}", run.stdout);
    assert!(run.stdout.contains("\npod2         ADD was begun, and had not ended"), "{}", run.stdout);
}

fn other_pods_stay_when_the_pod_is_made_anew() {
    if !ready() {
        return;
    }
    let rest = r#"
[[step]]
id = "operator.recreate"
title = "somebody deletes the pod"
after = "kubelet.container-start"
ask = "pod-recreate"

[[client]]
kind = "ping"
to = "203.0.113.8"
after = "kubelet.container-start"
interval = "200ms"
count = 6
"#;
    let file = ptp("2", rest);
    let path = file.path();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("\n[cni]", "duration = \"12s\"\n\n[cni]", 1)).unwrap();
    let run = file.run(&[]);
    if run.is_skipped() {
        return;
    }
    let told = lines(&run);
    agreed(&told);
    assert_eq!(times(&told, "cni.add-start").len(), 2, "{told:#?}");
    assert_eq!(times(&told, "cni.add-return").len(), 2, "{told:#?}");
    for pod in ["pod2", "pod3"] {
        for step in ["add-start", "add-return", "del"] {
            assert_eq!(times(&told, &format!("cni.{pod}/{step}")).len(), 1, "{pod} {step}");
        }
        // at the end, and not with the pod
        let (gone, again) = (time(&told, &format!("cni.{pod}/del")), times(&told, "cni.add-return")[1].0);
        assert!(gone >= 12_000 && gone > again, "{gone} {again}");
    }
    // the second pod of that name meets the others' addresses
    let last = told.iter().rev().find(|line| line["event"] == "kernel" && line["side"] == "host").unwrap();
    let routes = last["routes"].to_string();
    assert_eq!(routes.matches(" dev veth").count(), 3, "{routes}");
}

fn a_star_is_any_other_pod() {
    if !ready() {
        return;
    }
    let rest = r#"
[[hold]]
step = "cni.*/link-add pod"
for = "500ms"

[[hold]]
step = "cni.*/addr-add node"
every = true
for = "300ms"

[[step]]
id = "operator.first"
title = "an operator sees the first"
after = "cni.*/add-return"
"#;
    let run = ptp("3", &format!("{rest}{CLIENT}")).run(&[]);
    if run.is_skipped() {
        return;
    }
    let told = lines(&run);
    agreed(&told);
    let held = |what: &str| {
        let of = |line: &&Value| line["event"] == "held" && line["step"].as_str().unwrap().contains(what);
        told.iter().filter(of).map(|line| line["step"].as_str().unwrap()).collect::<Vec<_>>()
    };
    // the first of any of them, and each of all: never the pod's own
    assert_eq!(held("link-add").len(), 1, "{:?}", held("link-add"));
    let mut all = held("addr-add");
    all.sort_unstable();
    let wanted = [2, 3, 4].map(|pod| format!("cni.pod{pod}/addr-add node host-end 10.88.0.1/32"));
    assert_eq!(all, wanted);
    let returned = [2, 3, 4].map(|pod| time(&told, &format!("cni.pod{pod}/add-return")));
    let first = time(&told, "operator.first");
    assert_eq!(returned.iter().filter(|at| **at <= first).count(), 1, "{returned:?} {first}");
}

/// What docs/real-plugins.md says of portmap, of the version that it says it of.
fn portmap_fails_for_one_of_two_first_pods() {
    if !ready() || version_of_plugins().as_deref() != Some("1.1.1+ds1-3+b5") {
        return;
    }
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/real-plugins/portmap-two-pods.toml");
    let run = Run::of(&[file]);
    if run.is_skipped() {
        return;
    }
    assert_eq!(run.code, 0, "{}", run.stderr);
    let told = lines(&run);
    agreed(&told);
    let failed =
        told.iter().filter_map(|line| line["text"].as_str()).find(|text| text.contains("File exists"));
    let failed = failed.unwrap_or_else(|| panic!("{told:#?}"));
    assert!(failed.starts_with("ADD of the plugin failed: `portmap`: code 999: "), "{failed}");
    assert!(failed.contains("exit status 4") && failed.contains("chain CNI-HOSTPORT-SETMARK"), "{failed}");
    // the kubelet tries again after ten seconds and up to half as long, and then the chain is there
    let (fails, returns) = (time(&told, "cni.add-fail"), time(&told, "cni.add-return"));
    assert!(returns - fails >= 10_000, "{fails} {returns}");
    assert_eq!(told.last().unwrap()["seen"]["clients"]["ping"]["answered"], 2);
}

fn what_is_no_other_pod_is_refused_with_its_place() {
    if !ready() {
        return;
    }
    for (others, why) in [
        ("0", "`others` is 0: 1 to 63 pods"),
        ("64", "`others` is 64"),
        ("65", "`others` is 65"),
        ("-1", "`others` is -1"),
        ("1.5", "invalid type: floating point"),
        ("\"2\"", "invalid type: string"),
    ] {
        let run = ptp(others, CLIENT).run(&[]);
        assert_eq!(run.code, 2, "{others}: {}", run.stderr);
        assert!(run.stderr.contains(why) && run.stderr.contains("real.toml:6:10"), "{}", run.stderr);
    }
    let hold = |step: &str| format!("\n[[hold]]\nstep = \"{step}\"\nfor = \"1s\"\n{CLIENT}");
    for (others, step, why) in [
        ("2", "cni.pod1/link-up", "pod1 is the pod that the run is about"),
        ("2", "cni.pod4/link-up", "the other pods are pod2 to pod3, and * is any of them"),
        ("2", "cni.pods/link-up", "there is no other pod \"pods\""),
        ("2", "cni.pod3/link-upp", "and those of other pods, cni.pod2/STEP to cni.pod3/STEP, or cni.*/STEP"),
        ("2", "cni.*/host-up", "\"cni.*/host-up\" is a step of the program that plays Calico's plugin"),
    ] {
        let run = ptp(others, &hold(step)).run(&[]);
        if run.is_skipped() {
            return;
        }
        assert_eq!(run.code, 2, "{step}: {}", run.stderr);
        assert!(run.stderr.contains(why) && run.stderr.contains("real.toml:12:8"), "{}", run.stderr);
    }
    let run = File::new(PTP, &hold("cni.pod2/link-up")).run(&[]);
    assert!(run.code == 2 && run.stderr.contains("`[cni] others = N` adds N other pods"), "{}", run.stderr);
    let run = ptp("1", CLIENT).run(&["--hold", "cni.pod3/link-up=1s"]);
    assert!(run.code == 2 && run.stderr.contains("the other pod is pod2"), "{}", run.stderr);
    // a file without a plugin has no pods beside its own
    let text = "id = \"x\"\ntitle = \"x\"\n\n[cni]\nothers = 2\n";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.toml");
    std::fs::write(&path, text).unwrap();
    let run = told(&["run", path.to_str().unwrap()]);
    assert!(run.code == 2 && run.stderr.contains("missing field `conflist`"), "{}", run.stderr);
    assert!(run.stderr.contains("x.toml:4:1"), "{}", run.stderr);
    // where no kernel is real
    let file = ptp("2", CLIENT);
    let path = file.path();
    for args in [&["run"][..], &["run", "--live"], &["explore"], &["compare"]] {
        let run = told(&[args, &[path.to_str().unwrap()]].concat());
        assert!(run.code == 2 && run.stderr.contains("other pods beside its own (others)"), "{}", run.stderr);
    }
}

fn a_run_with_other_pods_that_is_killed_leaves_nothing() {
    if !ready() {
        return;
    }
    let hold = |step: &str| format!("\n[[hold]]\nstep = \"{step}\"\nevery = true\nnever = true\n");
    let file = ptp("3", &[hold("cni.link-up pod"), hold("cni.*/link-up pod")].concat());
    let path = file.path();
    for signal in [nix::sys::signal::Signal::SIGTERM, nix::sys::signal::Signal::SIGKILL] {
        let args = ["run", path.to_str().unwrap(), "--live", "--responder", "kernel", "--json"];
        let run = process::Run::start(&args);
        // each of four plugins waits, with a process of the supervisor's that has the mark
        let begun = Instant::now();
        while run.processes().len() < 5 || begun.elapsed() < Duration::from_secs(2) {
            assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", run.processes());
            std::thread::sleep(Duration::from_millis(10));
        }
        let namespaces = run.namespaces();
        assert!(namespaces.len() >= 5, "{namespaces:?}");
        run.signal(signal);
        let (_, mark) = run.end();
        nothing_left(&mark, &namespaces);
    }
}
