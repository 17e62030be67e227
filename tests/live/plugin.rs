//! `arplab-cni`, the lab as a CNI plugin: the steps of its versions in their order, what it answers to
//! calls that make no sense, and nothing left of a container.

use crate::cni::ready;
use arplab::addr::{IfName, Mac};
use arplab::choice::First;
use arplab::cni::{self, Conflist, PluginStage, PluginTrace, TraceOptions};
use arplab::control::{Act, ActorName, CalicoVersion, Setting, Side};
use arplab::gateway::ReflexOutside;
use arplab::scenario::Scenario;
use arplab::sim;
use arplab::time::Span;
use arplab::trace::{Event, What};
use netns_lab::supervise::{Answer, Kind, watch};
use serde_json::{Value, json};
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

crate::live_tests! {
    every_version_has_its_own_steps_in_their_order,
    calls_that_make_no_sense_are_answered_by_the_specification,
    an_undone_step_fails_check_and_an_ipv6_pod_is_wired_too,
    a_container_with_ipv6_alone_is_wired_as_calico_does,
    gc_takes_away_what_is_not_valid_and_status_answers,
    a_step_that_the_kernel_refuses_fails_add_and_leaves_nothing,
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_arplab-cni");
const HOST_LOCAL: &str = "/usr/lib/cni";
/// The first address that host-local gives of its subnet.
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 2);

fn folders() -> Vec<PathBuf> {
    vec![Path::new(PROGRAM).parent().unwrap().to_owned(), HOST_LOCAL.into()]
}

/// A list with the plugin alone.
fn list(version: &str, own: &Value, ranges: &Value) -> Conflist {
    let plugin = json!({
        "type": "arplab-cni", "arplab": own, "ipam": { "type": "host-local", "ranges": ranges },
    });
    let text = json!({ "cniVersion": version, "name": "net", "plugins": [plugin] }).to_string();
    Conflist::parse("test", text.as_bytes()).unwrap()
}

fn v4() -> Value {
    json!([[{ "subnet": "10.88.0.0/24" }]])
}

fn traced(list: &Conflist) -> (PluginStage, PluginTrace) {
    let options = TraceOptions {
        folders: folders(),
        args: None,
        capability_args: serde_json::Map::new(),
        ifname: "eth0".into(),
        timeout: Span::from_secs(60),
        patience: Span::from_secs(5),
        gateway: None,
        check: true,
        del: true,
    };
    let stage = PluginStage::new().unwrap();
    let trace = cni::trace(&stage, list, &options).unwrap();
    for operation in &trace.operations {
        for invocation in &operation.invocations {
            assert!(invocation.answer.is_ok(), "{:?}: {:?}", operation.verb, invocation.answer);
            assert!(!invocation.left_behind, "{:?} left a process behind", operation.verb);
        }
    }
    (stage, trace)
}

/// Nothing is there that a new stage does not have.
fn assert_bare(stage: &PluginStage) {
    assert_eq!(stage.pod.blocking().links().unwrap().len(), 1);
    assert_eq!(stage.node.blocking().links().unwrap().len(), 2);
    let routes = stage.node.blocking().routes().unwrap();
    assert!(!routes.iter().any(|it| it.destination.addr() == FIRST), "{routes:?}");
    assert!(stage.node.blocking().neighbours().unwrap().iter().all(|it| it.address != FIRST));
    assert!(!routes.iter().any(|it| it.to_string().contains("fd00:88:")), "{routes:?}");
    let found = find(stage, "/run", &["-name", "*arplab*", "-o", "-name", "10.88.*"]);
    assert!(found.is_empty(), "{found}");
    let leases = find(stage, "/var/lib", &["-name", "10.88.*", "-o", "-name", "fd00:88:*"]);
    assert!(leases.is_empty(), "{leases}");
}

fn find(stage: &PluginStage, folder: &str, what: &[&str]) -> String {
    let program = Path::new("/usr/bin/find");
    let command = stage.command(program, Span::from_secs(10)).unwrap();
    let arguments = std::iter::once("find").chain([folder]).chain(what.iter().copied()).skip(1);
    let outcome = command.args(arguments).run(&mut watch()).unwrap();
    String::from_utf8(outcome.stdout.bytes).unwrap()
}

/// What the plugin of that version does, by the simulator.
fn program(version: CalicoVersion, setting: &Setting) -> Vec<String> {
    let text = format!("id = \"a\"\ntitle = \"a\"\n[calico]\nversion = \"{version}\"\nno-felix = true\n");
    let scenario = Scenario::parse("test", &text).unwrap();
    let plan = scenario.plan_for(setting.clone()).unwrap();
    let mut events: Vec<Event> = Vec::new();
    let outside = ReflexOutside::new(&plan.outside);
    sim::run(plan, outside, &mut First, &mut events);
    let steps = events.into_iter().filter_map(|event| match event.what {
        What::Step { actor: ActorName::Cni, acts, .. } => Some(acts),
        _ => None,
    });
    steps.flatten().flat_map(|act| words(&act, setting)).collect()
}

/// An act in the words of the trace.
fn words(act: &Act, s: &Setting) -> Vec<String> {
    let (cali, eth, mac) = (s.cali, s.eth, s.pod_mac);
    let born = |place| format!("{place} ip link add {cali} type veth peer name {eth} address {mac}");
    match act {
        Act::Change(side, change) | Act::Try(side, change) => {
            let place = if *side == Side::Host { "node" } else { "pod" };
            vec![format!(
                "{place} {}",
                change.to_string().replace("ip addr add", "ip address add").replace("ip -6 ", "ip ")
            )]
        }
        Act::VethCreate { host_end: Side::Host, .. } => vec![format!("{} netns pod", born("node"))],
        Act::VethCreate { pod_up: true, .. } => vec![born("pod"), format!("pod ip link set {eth} up")],
        Act::VethCreate { .. } => vec![born("pod")],
        Act::VethMove => vec![format!("pod ip link set {cali} netns node")],
        // nothing of that name is there
        Act::VethDelete { .. } | Act::Mark => Vec::new(),
        other => panic!("{other:?} is nothing that the plugin does"),
    }
}

fn every_version_has_its_own_steps_in_their_order() {
    if !ready() {
        return;
    }
    for version in CalicoVersion::ALL {
        let (stage, trace) = traced(&list("1.0.0", &json!({ "calico": version, "felix": false }), &v4()));
        let mut setting = Setting::new("default", "web-0");
        setting.pod_ip = FIRST;
        assert_steps_of(version, &trace, setting);
        let answers = trace.gateway.first_answer_ns.is_some();
        assert_eq!(answers, version.plugin_configures_host(), "{version}");
        assert_bare(&stage);
    }
}

/// What was done is what the simulator's program does, in its order.
fn assert_steps_of(version: CalicoVersion, trace: &PluginTrace, mut setting: Setting) {
    let changes =
        trace.operations[0].invocations[0].steps.iter().filter(|step| match &step.record.request.kind {
            Kind::Netlink { .. } => !step.record.request.is_question(),
            Kind::Sysctl { .. } => true,
            _ => false,
        });
    let changes: Vec<_> = changes.collect();
    assert!(changes.iter().all(|step| step.record.answer == Answer::Done), "{version}");
    let done: Vec<String> = changes
        .iter()
        .map(|step| {
            format!("{} {}", step.place.netns, step.record.request).replace(" scope global dev", " dev")
        })
        .collect();
    let result = trace.result.as_ref().unwrap();
    setting.cali = result["interfaces"][0]["name"].as_str().unwrap().parse().unwrap();
    setting.pod_mac = result["interfaces"][1]["mac"].as_str().unwrap().parse::<Mac>().unwrap();
    assert_eq!(done, program(version, &setting), "{version}");
    assert_eq!(setting.cali, "caliarplab-pod".parse::<IfName>().unwrap());
}

/// Calls it as a runtime would, outside of any stage: all of these fail before anything is made.
fn called(env: &[(&str, &str)], stdin: &str) -> (Option<i32>, Value) {
    let mut child = Command::new(PROGRAM)
        .env_clear()
        .envs(env.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // it may not read it all
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let out = child.wait_with_output().unwrap();
    (out.status.code(), serde_json::from_slice(&out.stdout).unwrap_or(Value::Null))
}

/// A call that would do, if there were such a namespace.
const CALL: [(&str, &str); 5] = [
    ("CNI_COMMAND", "ADD"),
    ("CNI_CONTAINERID", "c1"),
    ("CNI_NETNS", "/nowhere/netns"),
    ("CNI_IFNAME", "eth0"),
    ("CNI_PATH", HOST_LOCAL),
];
const CONFIG: &str =
    r#"{"cniVersion":"1.0.0","name":"net","ipam":{"type":"host-local"},"arplab":{},"mtu":0}"#;

/// What is wrong with the call: a variable, its value, the code, a word of the message.
const CALLS: &[(&str, &str, u64, &str)] = &[
    ("CNI_COMMAND", "", 4, "CNI_COMMAND"),
    ("CNI_COMMAND", "JUMP", 4, "JUMP"),
    ("CNI_COMMAND", "GC", 1, "1.1.0"),
    ("CNI_COMMAND", "CHECK", 7, "prevResult"),
    ("CNI_CONTAINERID", "", 4, "CNI_CONTAINERID"),
    ("CNI_CONTAINERID", "../c1", 4, "../c1"),
    ("CNI_IFNAME", "a/b", 4, "a/b"),
    ("CNI_ARGS", "X=1", 4, "\"X\""),
    ("CNI_NETNS", "", 4, "CNI_NETNS"),
    ("CNI_NETNS", "/nowhere/netns", 3, "/nowhere/netns"),
    ("CNI_NETNS", "/proc/self/ns/net", 4, "/proc/self/ns/net"),
    ("CNI_NETNS", "/dev/null", 4, "/dev/null"),
];

/// What is wrong with the configuration: a part of it, what stands there instead, the code, a word of
/// the message.
const CONFIGS: &[(&str, &str, u64, &str)] = &[
    (CONFIG, "", 6, "empty"),
    (CONFIG, "{\"cniVersion\": ", 6, "no JSON"),
    (CONFIG, "[1]", 6, "no JSON object"),
    (r#""cniVersion":"1.0.0","#, "", 1, "no cniVersion"),
    ("1.0.0", "9.9.9", 1, "9.9.9"),
    (r#""name":"net","#, "", 7, "`name`"),
    ("host-local", "", 7, "ipam.type"),
    ("host-local", "nobody", 5, "nobody"),
    ("host-local", "../x", 7, "../x"),
    (r#""mtu":0"#, r#""mtu":12"#, 7, "mtu"),
    (r#""mtu":0"#, r#""prevResult":{"cniVersion":"1.0.0"}"#, 7, "prevResult"),
    ("{}", r#"{"windwos":[]}"#, 2, "windwos"),
    ("{}", r#"{"calico":"v1.0"}"#, 7, "v3.13"),
    ("{}", r#"{"scenario":"no-such"}"#, 7, "no-such"),
    ("{}", r#"{"windows":[{"hold":"felix.x","for":"1s"}]}"#, 7, "felix.host-route-add"),
    ("{}", r#"{"windows":[{"hold":"cni.host-up"}]}"#, 7, "end"),
    ("{}", r#"{"windows":[{"hold":"cni.host-up","never":true}]}"#, 7, "cni.host-up"),
    ("{}", r#"{"windows":[{"hold":"felix.iface-seen","until-requests":3}]}"#, 7, "counts"),
    ("{}", r#"{"steps":[{"id":"operator.a","node":["ip route del default"]}]}"#, 7, "beyond"),
];

fn calls_that_make_no_sense_are_answered_by_the_specification() {
    let refused = |env: &[(&str, &str)], stdin: &str, code: u64, word: &str| {
        let (status, answer) = called(env, stdin);
        assert_eq!((status, &answer["code"]), (Some(1), &json!(code)), "{env:?} {stdin}: {answer}");
        assert!(answer["msg"].as_str().unwrap().contains(word), "{env:?} {stdin}: {answer}");
        assert!(answer["details"].is_string() && answer["cniVersion"].is_string(), "{answer}");
    };
    for (name, value, code, word) in CALLS {
        let mut env = CALL.to_vec();
        env.retain(|(known, _)| known != name);
        env.push((name, value));
        refused(&env, CONFIG, *code, word);
    }
    for (part, instead, code, word) in CONFIGS {
        assert!(CONFIG.contains(part), "{part}");
        refused(&CALL, &CONFIG.replace(part, instead), *code, word);
    }
    let all = "CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME, CNI_PATH";
    refused(&[("CNI_COMMAND", "ADD")], CONFIG, 4, all);
    for stdin in ["", r#"{"cniVersion":"0.4.0"}"#] {
        let (status, answer) = called(&[("CNI_COMMAND", "VERSION")], stdin);
        assert_eq!((status, &answer["supportedVersions"]), (Some(0), &json!(cni::VERSIONS)), "{answer}");
    }
}

/// Calls it on a stage, as a runtime calls it on a node.
fn on_stage(stage: &PluginStage, verb: &str, config: &Value) -> (bool, Value) {
    let path: Vec<_> = folders().iter().map(|folder| folder.display().to_string()).collect();
    let mut command = stage.command(Path::new(PROGRAM), Span::from_secs(30)).unwrap();
    if !["GC", "STATUS"].contains(&verb) {
        // those two are told of no container
        command =
            command.env("CNI_CONTAINERID", "c1").env("CNI_NETNS", stage.pod_file()).env("CNI_IFNAME", "eth0");
    }
    let outcome = command
        .env("CNI_COMMAND", verb)
        .env("CNI_PATH", path.join(":"))
        .input(config.to_string())
        .run(&mut watch())
        .unwrap();
    (outcome.success(), serde_json::from_slice(&outcome.stdout.bytes).unwrap_or(Value::Null))
}

fn config(version: &str, ranges: &Value) -> Value {
    json!({
        "cniVersion": version, "name": "net", "type": "arplab-cni", "arplab": { "calico": "v3.32" },
        "ipam": { "type": "host-local", "ranges": ranges },
    })
}

fn an_undone_step_fails_check_and_an_ipv6_pod_is_wired_too() {
    if !ready() {
        return;
    }
    let stage = PluginStage::new().unwrap();
    let mut config =
        config("0.4.0", &json!([[{ "subnet": "10.88.0.0/24" }], [{ "subnet": "fd00:88::/64" }]]));
    let (done, result) = on_stage(&stage, "ADD", &config);
    assert!(done, "{result}");
    assert_eq!(result["ips"][0]["version"], "4");
    assert_eq!(
        result["ips"][1],
        json!({
            "version": "6", "address": "fd00:88::2/128", "gateway": "fe80::ecee:eeff:feee:eeee", "interface": 1,
        })
    );
    let (again, refused) = on_stage(&stage, "ADD", &config);
    assert_eq!((again, &refused["code"]), (false, &json!(101)), "an interface of that name is there");

    config["prevResult"] = result;
    let check = |wanted: &str| {
        let (done, answer) = on_stage(&stage, "CHECK", &config);
        let details = answer["details"].as_str().unwrap_or_default();
        assert_eq!(done, wanted.is_empty(), "{answer}");
        assert!(details.contains(wanted), "{answer}");
    };
    check("");
    let (node, pod) = (&stage.node, &stage.pod);
    for (key, undone) in [("proxy_arp", "0"), ("forwarding", "0")] {
        let key = netns_lab::SysctlKey::ipv4_conf("calic1", key);
        node.sysctl().write(&key, undone).unwrap();
        check(&key.to_string());
        node.sysctl().write(&key, "1").unwrap();
    }
    let route = netns_lab::rtnl::Route::unicast("10.88.0.2/32".parse().unwrap()).dev("calic1");
    node.blocking().delete_route(&route).unwrap();
    check("ip route add 10.88.0.2 dev calic1");
    node.blocking().add_route(&route).unwrap();
    pod.blocking().set_down("eth0").unwrap();
    check("ip link set eth0 up");

    for _ in 0..2 {
        let (done, answer) = on_stage(&stage, "DEL", &config);
        assert!(done, "{answer}");
    }
    let (done, answer) = on_stage(&stage, "CHECK", &config);
    assert_eq!((done, &answer["code"]), (false, &json!(3)));
    assert_bare(&stage);
}

/// Whether the container learns the MAC of its IPv6 gateway, the host end's link-local address, when it sends there.
fn finds_its_gateway6(stage: &PluginStage) -> bool {
    let rtnl = stage.pod.blocking();
    let gateway = Mac::CALICO.link_local();
    let to = std::net::SocketAddrV6::new(gateway, 9, 0, rtnl.link("eth0").unwrap().index);
    let sent = stage.pod.exec(|| std::net::UdpSocket::bind("[::]:0").and_then(|it| it.send_to(b"x", to)));
    sent.unwrap().unwrap();
    let begun = std::time::Instant::now();
    while begun.elapsed() < std::time::Duration::from_secs(5) {
        let known = rtnl.neighbours().unwrap().into_iter().find(|it| it.address == gateway);
        if known.and_then(|it| it.mac).is_some_and(|mac| Mac(mac.octets()) == Mac::CALICO) {
            return true;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    false
}

fn a_container_with_ipv6_alone_is_wired_as_calico_does() {
    if !ready() {
        return;
    }
    let v6 = json!([[{ "subnet": "fd00:88::/64" }]]);
    for version in CalicoVersion::ALL {
        let (stage, trace) = traced(&list("1.0.0", &json!({ "calico": version, "felix": false }), &v6));
        let result = trace.result.as_ref().unwrap();
        let ip =
            json!({ "address": "fd00:88::2/128", "gateway": "fe80::ecee:eeff:feee:eeee", "interface": 1 });
        assert_eq!(result["ips"], json!([ip]), "{version}");
        assert_eq!(
            result["routes"],
            json!([{ "dst": "::/0", "gw": "fe80::ecee:eeff:feee:eeee" }]),
            "{version}"
        );
        let mut setting = Setting::new("default", "web-0");
        (setting.only_ip6, setting.pod_ip6) = (true, Some("fd00:88::2".parse().unwrap()));
        assert_steps_of(version, &trace, setting);
        assert_bare(&stage);
    }
    let stage = PluginStage::new().unwrap();
    let mut config = config("1.1.0", &v6);
    config["arplab"] =
        json!({ "calico": "v3.32", "windows": [{ "hold": "cni.sysctl.proxy_arp", "for": "1s" }] });
    let (done, answer) = on_stage(&stage, "ADD", &config);
    assert_eq!((done, &answer["code"]), (false, &json!(7)), "{answer}");
    assert!(answer["msg"].as_str().unwrap().contains("a step of IPv4"), "{answer}");
    assert_bare(&stage);

    let begun = std::time::Instant::now();
    config["arplab"] =
        json!({ "calico": "v3.32", "felix": false, "windows": [{ "hold": "cni.host-up", "for": "700ms" }] });
    let (done, result) = on_stage(&stage, "ADD", &config);
    assert!(done, "{result}");
    assert!(begun.elapsed() >= std::time::Duration::from_millis(700), "the window is a longer ADD");
    assert!(finds_its_gateway6(&stage));
    let (node, pod) = (&stage.node, &stage.pod);
    let own = |netns: &netns_lab::Netns| {
        let routes = netns.blocking().routes().unwrap();
        routes
            .iter()
            .filter(|it| it.destination.addr().is_ipv4())
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(own(pod), Vec::<String>::new(), "nothing of IPv4 is in the container");
    assert!(own(node).iter().all(|route| !route.contains("calic1")), "{:?}", own(node));

    config["prevResult"] = result;
    let check = |config: &Value, wanted: &str| {
        let (done, answer) = on_stage(&stage, "CHECK", config);
        assert_eq!(done, wanted.is_empty(), "{answer}");
        assert!(answer["details"].as_str().unwrap_or_default().contains(wanted), "{answer}");
    };
    check(&config, "");
    // the address before it went with the ADD that was refused
    let route = netns_lab::rtnl::Route::unicast("fd00:88::3/128".parse().unwrap()).dev("calic1");
    node.blocking().delete_route(&route).unwrap();
    check(&config, "route add fd00:88::3 dev calic1");
    node.blocking().add_route(&route).unwrap();
    check(&config, "");

    assert!(on_stage(&stage, "STATUS", &config).0);
    config["cni.dev/valid-attachments"] = json!([{ "containerID": "c1", "ifname": "eth0" }]);
    assert!(on_stage(&stage, "GC", &config).0);
    check(&config, "");
    config["cni.dev/valid-attachments"] = json!([]);
    assert!(on_stage(&stage, "GC", &config).0);
    assert_bare(&stage);
    assert!(on_stage(&stage, "DEL", &config).0);
}

fn gc_takes_away_what_is_not_valid_and_status_answers() {
    if !ready() {
        return;
    }
    let stage = PluginStage::new().unwrap();
    // host-local 1.1.1 does not speak 1.1.0, and is asked in the words of 1.0.0
    let mut config = config("1.1.0", &v4());
    let (done, answer) = on_stage(&stage, "STATUS", &config);
    assert!(done, "{answer}");
    let (done, answer) = on_stage(&stage, "ADD", &config);
    assert!(done, "{answer}");
    let (done, answer) = on_stage(&stage, "GC", &config);
    assert_eq!((done, &answer["code"]), (false, &json!(7)), "without a list nothing is taken away");
    config["cni.dev/valid-attachments"] = json!([{ "containerID": "c1", "ifname": "eth0" }]);
    assert!(on_stage(&stage, "GC", &config).0);
    assert_eq!(stage.node.blocking().links().unwrap().len(), 3, "it is valid");
    config["cni.dev/valid-attachments"] = json!([{ "containerID": "c1", "ifname": "eth1" }]);
    assert!(on_stage(&stage, "GC", &config).0);
    assert_bare(&stage);
    config["ipam"]["type"] = json!("nobody");
    let (done, answer) = on_stage(&stage, "STATUS", &config);
    assert_eq!((done, &answer["code"]), (false, &json!(50)), "{answer}");
}

fn a_step_that_the_kernel_refuses_fails_add_and_leaves_nothing() {
    if !ready() {
        return;
    }
    let stage = PluginStage::new().unwrap();
    // somebody has a route to that address already
    let route = netns_lab::rtnl::Route::unicast("10.88.0.2/32".parse().unwrap()).dev("eth0");
    stage.node.blocking().add_route(&route).unwrap();
    // the one address there is: it comes back each time
    let one = json!([[{ "subnet": "10.88.0.0/24", "rangeStart": FIRST, "rangeEnd": FIRST }]]);
    let mut config = config("1.0.0", &one);
    for felix in [false, true] {
        config["arplab"] = json!({ "calico": "v3.26", "felix": felix });
        let (done, answer) = on_stage(&stage, "ADD", &config);
        assert_eq!((done, &answer["code"]), (false, &json!(100)), "{answer}");
        let details = answer["details"].as_str().unwrap();
        assert!(details.starts_with("cni.host-route-add: `ip route add 10.88.0.2 dev calic1"), "{answer}");
        assert!(details.contains("EEXIST"), "{answer}");
    }
    stage.node.blocking().delete_route(&route).unwrap();
    assert_bare(&stage);
}
