//! Clients and devices that the catalogue's scenarios do not have: the model and the kernels do the
//! same with them.

use crate::process::{Run, events, nothing_left};
use serde_json::{Value, json};
use std::collections::BTreeSet;

crate::live_tests! {
    a_late_answer_to_a_datagram_counts_nowhere,
    arping_asks_whoever_answered_alone,
    a_client_on_the_node_hears_that_the_pod_is_not_found,
    a_client_on_the_node_waits_for_the_pods_way_back,
    devices_may_have_names_of_any_script,
}

const EVERYWHERE: [&[&str]; 3] = [&[], &["--live"], &["--live", "--responder", "kernel"]];

/// What the corners see of a scenario, each of which must find it as the file expects.
fn seen_everywhere(name: &str, scenario: &str) -> Vec<Value> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join(format!("{name}.toml"));
    std::fs::write(&path, format!("id = \"{name}\"\ntitle = \"t\"\n{scenario}")).expect("written");
    let path = path.to_str().expect("UTF-8");
    let run = |options: &&[&str]| {
        let (output, mark) = Run::start(&[&["run", path, "--json"][..], options].concat()).end();
        nothing_left(&mark, &BTreeSet::new());
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{name} {options:?}: {output:?} {stderr}");
        events(&output).1["seen"].clone()
    };
    EVERYWHERE.iter().map(run).collect()
}

/// Three datagrams of a client that waits a second and a half for each answer. The first two queue
/// up until the third request for the gateway is answered, at two seconds, and both are answered
/// then.
const IMPATIENT: &str = r#"
calico.version = "felix-only"
[[hold]]
step = "felix.iface-seen"
until-requests = 2
[[client]]
kind = "udp"
to = "10.43.0.10:53"
interval = "1500ms"
timeout = "1500ms"
count = 3
[expect]
unanswered = 2
[expect.client.udp]
failures = 1
lost = 0
errors = ["i/o timeout"]
"#;

fn a_late_answer_to_a_datagram_counts_nowhere() {
    for seen in seen_everywhere("impatient", IMPATIENT) {
        assert_eq!(seen["clients"]["udp"]["answered"], json!(2), "{seen:#}");
    }
}

/// A probe of the kubelet and a ping of an operator while the gateway is silent: the pod answers the node's
/// ARP requests, and its answers wait for 169.254.1.1.
const FROM_NODE: &str = r#"
calico.version = "v3.26"
[[step]]
id = "operator.proxy-off"
after = "kubelet.container-start"
node = ["sysctl -w net.ipv4.conf.{cali}.proxy_arp=0"]
[[step]]
id = "operator.proxy-on"
after = "operator.proxy-off"
delay = "5500ms"
node = ["sysctl -w net.ipv4.conf.{cali}.proxy_arp=1"]
[[client]]
name = "operator"
kind = "ping"
from = "node"
to = "10.42.0.123"
delay = "200ms"
interval = "700ms"
count = 14
[[client]]
name = "probe"
kind = "tcp-connect"
from = "node"
to = "10.42.0.123:8080"
delay = "250ms"
timeout = "1s"
retry = "1s"
count = 6
[expect.client.operator]
first-success = ["5s", "7s"]
[expect.client.probe]
errors = ["i/o timeout"]
"#;

fn a_client_on_the_node_waits_for_the_pods_way_back() {
    for seen in seen_everywhere("from-node", FROM_NODE) {
        let count = |client: &str, what: &str| seen["clients"][client][what].as_u64();
        assert_eq!(
            (count("operator", "sent"), count("operator", "failures")),
            (Some(14), Some(0)),
            "{seen:#}"
        );
        assert!(count("operator", "answered") >= Some(3), "what waited goes out: {seen:#}");
        assert_eq!(seen["reasons"], json!(["proxy-arp-off"]), "{seen:#}");
    }
}

/// The pod's end has ARP switched off, and the node has lost its permanent entry: the node asks in vain.
const DEAF: &str = r#"
calico.version = "v3.26"
[[step]]
id = "operator.lose"
after = "kubelet.container-start"
node = ["ip neigh del {pod_ip} dev {cali}"]
[[step]]
id = "pod.deaf"
after = "kubelet.container-start"
pod = ["ip link set eth0 arp off"]
[[client]]
name = "operator"
kind = "ping"
from = "node"
to = "10.42.0.123"
delay = "200ms"
count = 4
[[client]]
name = "probe"
kind = "tcp-connect"
from = "node"
to = "10.42.0.123:8080"
delay = "250ms"
count = 1
[expect.client.operator]
never = true
lost = 0
errors = ["Destination Host Unreachable"]
[expect.client.probe]
errors = ["EHOSTUNREACH (No route to host)"]
"#;

fn a_client_on_the_node_hears_that_the_pod_is_not_found() {
    for seen in seen_everywhere("deaf", DEAF) {
        assert_eq!(seen["asked"], json!([]), "the pod asks for nobody: {seen:#}");
        assert_eq!(seen["clients"]["operator"]["failures"], json!(4), "{seen:#}");
    }
}

const ARPING: &str = r#"
[[client]]
kind = "arping"
to = "169.254.1.1"
interval = "300ms"
count = 4
[expect.client.arping]
failures = 0
lost = 0
"#;

fn arping_asks_whoever_answered_alone() {
    for seen in seen_everywhere("arping", ARPING) {
        let asked = seen["asked"].as_array().expect("requests");
        let broadcast: Vec<&Value> = asked.iter().map(|a| &a["broadcast"]).collect();
        assert_eq!(seen["clients"]["arping"]["answered"], json!(4), "{seen:#}");
        assert_eq!(broadcast, [&json!(true), &json!(false), &json!(false), &json!(false)], "{seen:#}");
    }
}

/// Names are bytes to a kernel: these are as long as it allows, and alike in all but the last.
const FOREIGN: &str = r#"
[node]
setup = [
  "ip link add b\u00fcro\u2192\u2192\u2192a type ethernet",
  "ip link add b\u00fcro\u2192\u2192\u2192b type ethernet",
  "ip link set b\u00fcro\u2192\u2192\u2192a up",
  "ip link set b\u00fcro\u2192\u2192\u2192b up",
  "ip route add 203.0.113.77 dev b\u00fcro\u2192\u2192\u2192a",
  "ip route add 203.0.113.78 dev b\u00fcro\u2192\u2192\u2192b",
]
[[client]]
kind = "ping"
to = "203.0.113.8"
count = 1
[expect.client.ping]
failures = 0
lost = 0
"#;

fn devices_may_have_names_of_any_script() {
    seen_everywhere("foreign", FOREIGN);
}
