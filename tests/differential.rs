//! Random host states, staged in namespaces and asked with real frames: kernel and model agree.
//!
//! `ARPLAB_DIFFERENTIAL_STATES` and `ARPLAB_DIFFERENTIAL_SEED` change how many and which.
#![cfg(all(feature = "live", feature = "proptest"))]

use arplab::differential::{Options, run};
use std::time::{SystemTime, UNIX_EPOCH};

/// States of an ordinary run.
const STATES: u64 = 300;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|e| panic!("{name}={text} is no number: {e}")))
}

#[test]
fn the_model_of_the_host_is_this_kernel() {
    if !netns_lab::testing::require_netns() {
        return;
    }
    let fresh = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |t| t.subsec_nanos().into());
    let seed = number("ARPLAB_DIFFERENTIAL_SEED").unwrap_or_else(fresh);
    let states = number("ARPLAB_DIFFERENTIAL_STATES").unwrap_or(STATES);
    eprintln!("seed {seed}");
    let options = Options { seed, first: 0, states, keep_going: false };
    let summary = run(&options, &mut |_| {}).expect("the lab");
    eprintln!("{summary}");
    if let Some(disagreement) = summary.disagreements.first() {
        panic!("{disagreement}");
    }
    assert_eq!(summary.agreed, states);
    // a run in which nothing is answered, or nothing silent, would prove nothing
    let tally = &summary.tally;
    assert!(tally.answered > states / 4, "{summary}");
    assert!(tally.silent.len() > 5, "{summary}");
    assert!(tally.healed > states / 10, "{summary}");
}
