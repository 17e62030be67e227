//! The `arplab` command.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    arplab::cli::main()
}
