//! Several pods of one node, whose plugins run at the same time.

use super::cni::{IPAM, PLUGINS, arplab, killed_leaves_nothing, list, options, ready};
use arplab::cni::{self, Conflist, Invocation, PluginStage, PodTrace, StepHold, TogetherTrace, Verb};
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

crate::live_tests! {
    two_pods_are_wired_and_taken_away,
    a_lock_that_one_pod_holds_keeps_the_other_waiting,
    a_held_step_of_one_pod_leaves_the_other_alone,
    pods_are_told_in_one_timeline_and_one_capture,
    what_is_no_pod_or_step_is_said,
    a_killed_trace_of_pods_leaves_nothing,
}

fn ptp() -> Conflist {
    list(&format!(r#"{{"type":"ptp",{IPAM}}}"#))
}

fn bridge() -> Conflist {
    list(&format!(r#"{{"type":"bridge","bridge":"cni0","isGateway":true,"ipMasq":true,{IPAM}}}"#))
}

fn traced(list: &Conflist, pods: usize, holds: &[&str]) -> TogetherTrace {
    let holds: Vec<StepHold> = holds.iter().map(|hold| hold.parse().unwrap()).collect();
    let trace = cni::trace_pods(pods, list, &options(vec![PLUGINS.into()]), &holds).unwrap();
    assert_eq!(trace.idle, []);
    trace
}

fn of(pod: &PodTrace, verb: Verb) -> &Invocation {
    let operation = pod.trace.operations.iter().find(|it| it.verb == verb).expect("the verb");
    assert!(operation.is_well(), "{} of {}: {operation:?}", verb.word(), pod.pod);
    &operation.invocations[0]
}

/// When a pod's first request of these words came in its ADD.
fn at(pod: &PodTrace, words: &str) -> u64 {
    let mut steps = of(pod, Verb::Add).steps.iter();
    let step = steps.find(|step| step.record.request.to_string().contains(words));
    step.unwrap_or_else(|| panic!("{}: no {words}", pod.pod)).record.request.at_ns
}

fn address(pod: &PodTrace) -> String {
    let result = pod.trace.result.as_ref().expect("a result");
    result["ips"][0]["address"].as_str().expect("an address").to_owned()
}

fn two_pods_are_wired_and_taken_away() {
    if !ready() {
        return;
    }
    let of_plugin = [("ptp", ptp(), vec!["eth0", "lo"]), ("bridge", bridge(), vec!["cni0", "eth0", "lo"])];
    for (what, list, links) in of_plugin {
        let trace = traced(&list, 2, &[]);
        let [one, two] = &trace.pods[..] else { panic!("{} pods", trace.pods.len()) };
        assert_eq!((one.pod.as_str(), two.pod.as_str()), ("pod1", "pod2"));
        assert_ne!(address(one), address(two), "{what}");
        for pod in [one, two] {
            let answered = pod.trace.gateway.first_answer_ns.expect("a gateway that answers");
            assert!(answered > pod.trace.began_ns, "{what}: {}", pod.pod);
            // every step is of this pod or the node, and none of the other's
            let places: BTreeSet<&str> =
                of(pod, Verb::Add).steps.iter().map(|step| step.place.netns.as_str()).collect();
            assert_eq!(places, BTreeSet::from(["node", &pod.pod]), "{what}");
        }
        nothing_left(&trace.stage, &links);
    }
}

/// No link, route, lease or rule of a pod is left on the node.
fn nothing_left(stage: &PluginStage, links: &[&str]) {
    let rtnl = stage.node.blocking();
    let there = rtnl.links().unwrap();
    let names: BTreeSet<&str> = there.iter().map(|link| link.name.as_str()).collect();
    assert_eq!(names, links.iter().copied().collect());
    let said = |program: &'static str, args: &'static [&'static str]| {
        let output = stage.node.exec(move || Command::new(program).args(args).output());
        String::from_utf8(output.unwrap().unwrap().stdout).unwrap()
    };
    let routes = said("ip", &["-4", "route"]);
    let of_pods = routes.lines().filter(|line| line.starts_with("10.88.0.") && !line.contains("dev cni0"));
    assert_eq!(of_pods.collect::<Vec<_>>(), Vec::<&str>::new());
    let files = stage.files().unwrap();
    let leases: Vec<_> = files.keys().filter(|file| file.to_string_lossy().contains("/10.88.0.")).collect();
    assert!(leases.is_empty(), "{leases:?}");
    let rules = said("/usr/sbin/iptables-save", &[]);
    assert!(!rules.contains("10.88.0.") && !rules.contains("-A CNI"), "{rules}");
}

fn a_lock_that_one_pod_holds_keeps_the_other_waiting() {
    if !ready() {
        return;
    }
    // host-local holds its lock from before the lease is made until it is written
    let lease = "open /var/lib/cni/networks/net/10.88.0.*";
    let trace = traced(&ptp(), 2, &[&format!("pod1/{lease}=400ms")]);
    let [one, two] = &trace.pods[..] else { panic!("{} pods", trace.pods.len()) };
    let held = of(one, Verb::Add).steps.iter().find(|step| step.held).expect("a held step");
    assert!(held.record.request.to_string().contains("10.88.0."), "{}", held.record.request);
    let length_ns = held.record.decided_ns - held.record.request.at_ns;
    assert!(length_ns >= 400_000_000, "held {length_ns} ns");
    // whichever was first at the lock had its lease first; the other's is never made meanwhile
    let leases = of(two, Verb::Add).steps.iter().filter(|step| {
        let request = step.record.request.to_string();
        request.starts_with("open /var/lib/cni/networks/net/10.88.0.")
    });
    let times: Vec<u64> = leases.map(|step| step.record.request.at_ns).collect();
    assert!(!times.is_empty());
    let within = held.record.request.at_ns..held.record.decided_ns;
    assert!(times.iter().all(|at| !within.contains(at)), "a lease was made under another's lock");
    if times[0] >= within.end {
        assert!(at(two, "networks/net/lock") < within.end, "pod2 came to the lock after the hold");
    }
}

fn a_held_step_of_one_pod_leaves_the_other_alone() {
    if !ready() {
        return;
    }
    let cases = [
        (ptp(), "pod2/link-up pod eth0=500ms", true),
        // the other pod's host end has the gateway's address by then, and an address of the node is
        // answered for on every link (arp_ignore 0)
        (ptp(), "pod2/addr-add node host-end=500ms", false),
        // two pods that are added at once wait for iptables' lock, and this is before
        (bridge(), "pod2/link-up pod eth0=500ms", true),
    ];
    for (list, hold, is_window) in cases {
        let trace = traced(&list, 2, &[hold]);
        let [one, two] = &trace.pods[..] else { panic!("{} pods", trace.pods.len()) };
        let (add, beside) = (of(two, Verb::Add), of(one, Verb::Add));
        let held: Vec<_> = add.steps.iter().filter(|step| step.held).collect();
        assert_eq!(held.len(), 1, "{hold}");
        assert!(beside.steps.iter().all(|step| !step.held), "{hold}");
        let window = held[0].record.request.at_ns..held[0].record.decided_ns;
        assert!(window.end - window.start >= 500_000_000, "{hold}");
        assert!(beside.ended_ns < window.end, "{hold}: pod1 waited too");
        assert!(add.ended_ns >= window.end, "{hold}");
        // the other's gateway answers in the middle of the hold
        let answered = |pod: &PodTrace| pod.trace.gateway.first_answer_ns.expect("a gateway that answers");
        assert!(answered(one) < window.end, "{hold}");
        assert_eq!(answered(two) >= window.end, is_window, "{hold}");
    }
}

fn pods_are_told_in_one_timeline_and_one_capture() {
    if !ready() {
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("pods.pcapng");
    let file = file.to_str().unwrap();
    let run = |more: &[&str]| {
        let usual = ["cni", "trace", "ptp", "--bin-dir", PLUGINS, "--pods", "3", "--check", "--del"];
        let out = arplab(&[&usual, more].concat(), temp.path());
        assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    };
    let text = run(&["--hold", "pod3/route-add node=50ms", "--pcap", file]);
    let line = text.lines().find(|line| line.contains("  (held ")).expect("a held line");
    assert!(line.contains("  pod3  node "), "{line}");
    for pod in ["pod1", "pod2", "pod3"] {
        assert!(text.contains(&format!("\n{pod}: Gateway 10.88.0.1: answers from ")), "{text}");
        assert!(text.contains(&format!("  {pod}  DEL of ptp returned after ")), "{text}");
    }
    assert!(text.contains("\npod1: That is ") && text.contains(" before ADD returned.\n"), "{text}");
    let times = text.lines().filter_map(|line| line.trim_start().split_once(" ms  pod"));
    let times: Vec<f64> = times.map(|(at, _)| at.parse().unwrap()).collect();
    assert!(times.len() > 60 && times.is_sorted(), "{text}");
    let capture = std::fs::read(file).unwrap();
    let holds = |what: &str| capture.windows(what.len()).any(|part| part == what.as_bytes());
    assert!(holds("pod1/eth0") && holds("pod3/eth0") && holds("ms  pod2  pod2  ptp"));

    let lines = run(&["--json"]);
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let pods: BTreeSet<&str> = lines.iter().map(|line| line["pod"].as_str().expect("a pod")).collect();
    assert_eq!(pods, BTreeSet::from(["pod1", "pod2", "pod3"]));
    assert_eq!(lines.iter().filter(|line| line["event"] == "gateway").count(), 3);
}

fn what_is_no_pod_or_step_is_said() {
    if !ready() {
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let cases: [(&[&str], &str); 19] = [
        (&["--hold", "pod9/link-up=1s"], "there is no pod9; the only pod is pod"),
        (&["--args", "x"], "\"x\" is no K=V"),
        (&["--args", "="], "is no CNI_ARGS"),
        (&["--args", ";;;"], "is no CNI_ARGS"),
        (&["--ifname", "%d"], "cannot name an interface"),
        (&["--ifname", "eth%d"], "cannot name an interface"),
        (&["--ifname", "lo"], "another name is wanted"),
        (&["--gateway", "0.0.0.0"], "no host's address"),
        (&["--gateway", "255.255.255.255"], "no host's address"),
        (&["--gateway", "224.0.0.1"], "no host's address"),
        (&["--gateway", "127.0.0.1"], "no host's address"),
        (&["--timeout", "0s"], "more than 0s is wanted"),
        (&["--capability-args", r#"{"portMappings":[]}"#], "declares \"portMappings\""),
        (&["--pods", "2", "--hold", "pod3/link-up=1s"], "there is no pod3; the pods are pod1, pod2"),
        (&["--pods", "2", "--hold", "pod2/link-upp=1s"], "there are these:\n  exec node ptp\n"),
        (&["--hold", "link-up#9=1s"], "  addr-add node host-end 10.88.0.1/32\n"),
        (&["--hold", "link-up"], "POD/STEP=DURATION is wanted"),
        (&["--pods", "0"], "0 is not in 1..=64"),
        (&["--pods", "65"], "65 is not in 1..=64"),
    ];
    for (args, wanted) in cases {
        let out = arplab(&[&["cni", "trace", "ptp", "--bin-dir", PLUGINS], args].concat(), temp.path());
        let stderr = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains(wanted), "{args:?}: {stderr}");
    }
    // what one of the pods meets is the run's end
    let script = temp.path().join("second");
    let refuses = "#!/bin/sh\ncase $CNI_CONTAINERID in *pod2) echo '{\"code\":7,\"msg\":\"no\"}'; exit 1;; esac\n\
                   echo '{\"cniVersion\":\"1.0.0\"}'\n";
    std::fs::write(&script, refuses).unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let out = arplab(&["cni", "trace", script.to_str().unwrap(), "--pods", "2"], temp.path());
    assert_eq!(out.status.code(), Some(1), "{out:?}");
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(text.contains("pod2  ADD of second returned") && text.contains("FAILED: invalid network config"));
}

fn a_killed_trace_of_pods_leaves_nothing() {
    if !ready() {
        return;
    }
    killed_leaves_nothing(
        "arplab-pods",
        &["bridge", "--pods", "3", "--patience", "10ms"],
        (20, Duration::from_millis(7)),
    );
}
