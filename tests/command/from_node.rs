//! Clients that run on the node: what the pages say of them.

use crate::run::seen;

const NODE: &str = r#"
id = "from-node"
title = "the node asks in vain"
calico.version = "v3.26"
[[step]]
id = "operator.lose"
after = "kubelet.container-start"
node = ["ip neigh del {pod_ip} dev {cali}"]
[[step]]
id = "pod.deaf"
after = "kubelet.container-start"
pod = ["ip link set eth0 arp off"]
"#;

const CLIENTS: &str = r#"
[[client]]
name = "operator"
kind = "ping"
from = "node"
to = "10.42.0.123"
count = 4
[[client]]
name = "web"
kind = "ping"
to = "203.0.113.8"
count = 1
"#;

fn run(text: &str, options: &[&str]) -> String {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("from-node.toml");
    std::fs::write(&path, text).expect("written");
    seen(&[&["run", path.to_str().expect("UTF-8")][..], options].concat())
}

#[test]
fn a_client_on_the_node_is_told_apart_from_the_pods() {
    let page = run(&format!("{NODE}{CLIENTS}"), &[]);
    for line in [
        "operator starts: ping 10.42.0.123 from the node",
        "Node's entry 10.42.0.123 FAILED",
        "operator     on the node: no answer; 4 sent, 0 answered, 4 x Destination Host Unreachable",
        "the node asks for 10.42.0.123, and nobody answers it",
        "web starts: ping 203.0.113.8\n",
    ] {
        assert!(page.contains(line), "{line:?} in\n{page}");
    }
    let lines = run(&format!("{NODE}{CLIENTS}"), &["--json"]);
    let clients: Vec<&str> = lines.lines().filter(|l| l.contains(r#""event":"client""#)).collect();
    assert!(!clients.is_empty(), "{lines}");
    for line in clients {
        let on_node = line.contains(r#""from":"host""#);
        assert_eq!(on_node, line.contains(r#""client":"operator""#), "{line}");
    }
}

#[test]
fn a_client_on_the_node_outlives_the_pod() {
    let recreate = "[[step]]\nid = \"operator.delete-pod\"\nafter = \"kubelet.container-start\"\ndelay = \"2s\"\nask = \"pod-recreate\"\n";
    let client = "[[client]]\nname = \"operator\"\nkind = \"ping\"\nfrom = \"node\"\nto = \"10.42.0.123\"\ncount = 8\n";
    let page =
        run(&format!("id = \"again\"\ntitle = \"t\"\ncalico.version = \"v3.26\"\n{recreate}{client}"), &[]);
    assert_eq!(page.matches("operator starts").count(), 1, "{page}");
    assert!(page.contains("on the node: first answer") && page.contains("8 sent"), "{page}");
}

#[test]
fn what_no_client_on_the_node_can_be_is_refused_in_place() {
    let wrong = |client: &str| run(&format!("{NODE}[[client]]\n{client}"), &[]);
    let arping = wrong("kind = \"arping\"\nfrom = \"node\"\nto = \"10.42.0.123\"\n");
    assert!(arping.contains("arping runs in the pod") && arping.contains("exit status 2"), "{arping}");
    let nowhere = wrong("kind = \"ping\"\nfrom = \"cloud\"\nto = \"10.42.0.123\"\n");
    assert!(nowhere.contains("unknown variant `cloud`, expected `pod` or `node`"), "{nowhere}");
}

#[test]
fn what_a_client_on_the_node_hears_is_no_sign_of_the_pods() {
    let dir = tempfile::tempdir().expect("a directory");
    let trace = dir.path().join("trace.json");
    let trace = trace.to_str().expect("UTF-8");
    let told = seen(&["run", "probe-from-another-network", "--json"]);
    assert!(told.contains("i/o timeout"), "{told}");
    let lines: Vec<&str> = told.lines().filter(|l| l.starts_with('{')).collect();
    std::fs::write(trace, lines.join("\n")).expect("written");
    let page = seen(&["identify", "--trace", trace]);
    assert!(page.contains("Nothing fails in it"), "{page}");
}
