//! Scenario files: a scenario or an error with a place, and a plan that ends.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| arplab::fuzzing::scenario_file(data));
