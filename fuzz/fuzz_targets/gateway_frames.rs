//! Frames into the gateway: no panic, and nothing that it must never say.
//!
//! The input is a list of frames, each behind its length in two bytes, big end first.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| arplab::fuzzing::gateway_frames(data));
