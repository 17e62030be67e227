//! The model by itself, through the library: no program is started and no namespace is made.

mod common;
mod corpus;
mod explore;
mod host_differential;
mod host_explain;
mod host_ndisc;
mod host_rules;
mod host_stack;
mod host_state;
mod layers;
mod matrix;
mod pod_clients;
mod pod_delays;
mod pod_properties;
mod pod_vectors;
mod probe;
mod scenarios;
mod vectors_host;
mod vectors_ipv6;
mod vectors_tamper;
mod wait_for_gateway;

/// Test programs with a `main` of their own name their tests in a list: there the compiler leaves out
/// whatever is marked with the attribute of the standard harness.
#[test]
fn no_test_is_left_out_for_want_of_a_harness() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for dir in ["tests/live", "netns-lab/tests"] {
        for entry in std::fs::read_dir(root.join(dir)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                assert!(!text.contains("\n#[test]\n"), "{} marks a test that never runs", path.display());
            }
        }
    }
}
