//! The `arplab` command.
#![forbid(unsafe_code)]
fn main() {}
