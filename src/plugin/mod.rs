//! The lab as a CNI plugin, `arplab-cni`: it wires a pod of somebody's own container runtime as
//! Calico does, step by step in the order of a version, and keeps steps back as a scenario does.
//!
//! # Theory of operation
//!
//! Nothing about Calico is written down here: the plugin's and Felix's programs are those of
//! [`crate::control`], made ready by [`crate::scenario`] from a scenario that `config` derives from
//! the network configuration, run by a [`crate::run::Run`] whose orders `hands` carries out through
//! [`crate::namespace`] on the runtime's own namespaces. So a window is a hold, and a step has the
//! name that it has everywhere.
//!
//! ADD without anything that comes after it is done by the process that the runtime started. Where
//! Felix or a script has a part, `worker` starts a process of its own, which does the whole run, says
//! when ADD is done, and goes on until nothing is left to do or the pod's interface is gone. It keeps
//! no reference to the pod's namespace after ADD. `state` has its number, so that DEL can end it.
//!
//! Calls for one container and interface take turns (`turn`), so an ADD that fails undoes only its own work.
//!
//! It is a program of its own, and not `arplab` under another name: a runtime starts it for every
//! pod, and it has no use for what draws and parses for people.

mod answer;
mod call;
mod check;
mod config;
mod drive;
mod failure;
mod hands;
mod ipam;
mod job;
mod state;
mod sweep;
mod turn;
mod verbs;
mod view;
mod worker;

use call::Call;
use std::io::Write as _;
use std::process::ExitCode;

/// What it says to a person, who started it by hand.
const ABOUT: &str = "\
arplab-cni is a CNI plugin (specification 0.3.1 to 1.1.0): a container runtime starts it, with CNI_COMMAND and
the other variables of the specification, and a network configuration on its standard input. It wires a
container as Calico does, and keeps steps of that back where the configuration asks for a window.

What to put into the configuration, and an example for podman and containerd: docs/arplab-cni.md.
To see what it does, step by step: 
    arplab cni trace arplab-cni --bin-dir FOLDER --bin-dir /usr/lib/cni
The first folder has arplab-cni, the second host-local, which gives the address.
";

/// Runs the plugin.
#[must_use]
pub fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some(worker::FLAG) => return worker::main(),
        Some("--version" | "-V") => return say(&format!("arplab-cni {}\n", env!("CARGO_PKG_VERSION"))),
        Some("--help" | "-h") => return say(ABOUT),
        _ if std::env::var_os("CNI_COMMAND").is_none() => {
            let _ = std::io::stderr().write_all(ABOUT.as_bytes());
        }
        _ => {}
    }
    let (version, done) = match Call::read() {
        Ok(call) => (call.version().to_owned(), verbs::run(&call)),
        Err(failure) => (cni_version_of_last_resort().to_owned(), Err(failure)),
    };
    match done {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(answer)) => say(&format!("{answer}\n")),
        Err(failure) => {
            let _ = writeln!(std::io::stdout(), "{}", failure.json(&version));
            ExitCode::FAILURE
        }
    }
}

/// The version of an error about a call in which no version could be read.
fn cni_version_of_last_resort() -> &'static str {
    crate::cni::VERSIONS[crate::cni::VERSIONS.len() - 1]
}

fn say(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
