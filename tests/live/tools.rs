//! Commands that the model has no term for, carried out by a kernel.

use crate::process::{Run, events, nothing_left};
use serde_json::Value;

crate::live_tests! {
    a_kernel_carries_out_what_the_model_does_not_know,
    a_program_that_complains_is_heard,
    a_set_up_can_be_a_kernels,
    the_node_of_the_software_gateway_is_no_kernel,
}

fn file(steps: &str) -> tempfile::NamedTempFile {
    let text = format!(
        "id = \"tool\"\ntitle = \"A command for a kernel\"\n{steps}\n[[client]]\nkind = \"ping\"\nto = \"203.0.113.8\"\ncount = 4\n"
    );
    let file = tempfile::Builder::new().suffix(".toml").tempfile().expect("a file");
    std::fs::write(file.path(), text).expect("written");
    file
}

fn run(file: &tempfile::NamedTempFile, responder: &str) -> (Option<i32>, Vec<Value>, Value, String) {
    let path = file.path().to_str().expect("UTF-8");
    let run = Run::start(&["run", path, "--live", "--responder", responder, "--json"]);
    let (output, mark) = run.end();
    nothing_left(&mark, &std::collections::BTreeSet::new());
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.stdout.is_empty() {
        return (output.status.code(), Vec::new(), Value::Null, errors);
    }
    let (events, verdict) = events(&output);
    (output.status.code(), events, verdict, errors)
}

fn of<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|e| e["event"] == kind).collect()
}

/// The kernel answers ARP no longer, and nobody says that this differs from the model.
fn a_kernel_carries_out_what_the_model_does_not_know() {
    let file = file(
        "[[step]]\nid = \"operator.nexthop\"\nafter = \"felix.endpoint-status\"\ndelay = \"1500ms\"\n\
         node = [\"ip nexthop add id 7 blackhole\", \"ip route replace default nhid 7\"]\n\
         pod = [\"ip neigh flush dev eth0\"]\n",
    );
    let (code, events, verdict, errors) = run(&file, "kernel");
    assert_eq!(code, Some(0), "{errors}{verdict:#}");
    let commands: Vec<&str> =
        of(&events, "unmodelled").iter().filter_map(|e| e["command"].as_str()).collect();
    assert_eq!(commands, ["ip nexthop add id 7 blackhole", "ip route replace default nhid 7"]);
    assert!(of(&events, "differs").is_empty(), "{events:#?}");
    let routes = of(&events, "kernel").iter().find(|e| e["side"] == "host").map(|e| e["routes"].clone());
    assert!(routes.expect("its routes").to_string().contains("blackhole default"), "{events:#?}");
    let reasons = &verdict["seen"]["reasons"];
    assert_eq!(*reasons, serde_json::json!(["unmodelled"]), "{verdict:#}");
    assert!(verdict["seen"]["clients"]["ping"]["answered"].as_u64() < Some(4), "{verdict:#}");
}

fn a_program_that_complains_is_heard() {
    let file = file(
        "[[step]]\nid = \"operator.wrong\"\nafter = \"felix.endpoint-status\"\nnode = [\"ip route add 10.0.0.0/8 frobnicate\"]\n",
    );
    let (code, events, _, errors) = run(&file, "kernel");
    assert_eq!(code, Some(0), "{errors}");
    let step = of(&events, "step").into_iter().find(|e| e["step"] == "operator.wrong").expect("it came");
    let said = step["refused"].as_str().expect("refused");
    assert!(said.contains("exit status") && said.contains("frobnicate"), "{said}");
}

/// What is made by a command that the model does not know is used by one that it would know.
fn a_set_up_can_be_a_kernels() {
    let file = file(
        "[node]\nsetup = [\"ip link add br7 type bridge stp_state 0\", \"ip link set br7 up\", \"ip addr add 203.0.113.1/24 dev br7\"]\n",
    );
    let (code, events, _, errors) = run(&file, "kernel");
    assert_eq!(code, Some(0), "{errors}");
    assert_eq!(of(&events, "unmodelled").len(), 3);
    let routes = of(&events, "kernel").iter().find(|e| e["side"] == "host").map(|e| e["routes"].to_string());
    assert!(routes.is_some_and(|r| r.contains("203.0.113.0/24 dev br7")), "{events:#?}");
}

fn the_node_of_the_software_gateway_is_no_kernel() {
    let file = file(
        "[[step]]\nid = \"operator.nexthop\"\nafter = \"felix.endpoint-status\"\nnode = [\"ip nexthop add id 7 blackhole\"]\n",
    );
    let (code, _, _, errors) = run(&file, "smoltcp");
    assert_eq!(code, Some(2), "{errors}");
    assert!(errors.contains("--responder kernel"), "{errors}");
}
