//! The `arplab-cni` plugin.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    arplab::plugin::main()
}
