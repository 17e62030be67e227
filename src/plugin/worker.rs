//! The process that does a run in which something comes after ADD.
//!
//! The process that the runtime has started waits for its one line, the result of ADD, and ends; until
//! then its end is the worker's end. From then on the worker is on its own, with no descriptor of the
//! runtime's: a runtime waits until nobody holds its pipes.

use super::drive::{Added, Drive};
use super::failure::Failure;
use super::job::Job;
use super::state::Process;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, ExitCode, Stdio};

/// What the worker is started with.
pub(super) const FLAG: &str = "--worker";

/// What the worker is told.
#[derive(Serialize, Deserialize)]
struct Order {
    job: Job,
    /// Who has started it.
    parent: u32,
}

/// Does the ADD in this process.
pub(super) fn here(job: &Job) -> Result<Added, Failure> {
    let ready = job.ready()?;
    run(async { Drive::new(job, ready, None)?.add().await })
}

/// Does the ADD in a process that goes on with what comes after it.
pub(super) fn start(job: &Job) -> Result<Added, Failure> {
    let fail = |e: &dyn core::fmt::Display| Failure::io("the process for what comes after ADD failed", e);
    let program = std::env::current_exe().map_err(|e| fail(&e))?;
    let mut command = Command::new(program);
    command.arg(FLAG).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).current_dir("/");
    let mut worker = command.spawn().map_err(|e| fail(&e))?;
    let order = Order { job: job.clone(), parent: std::process::id() };
    let order = serde_json::to_vec(&order).map_err(|e| fail(&e))?;
    let said = (|| {
        worker.stdin.take().map(|mut stdin| stdin.write_all(&order)).transpose()?;
        let mut line = String::new();
        if let Some(stdout) = worker.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        Ok(line)
    })();
    let said: String = said.map_err(|e: std::io::Error| fail(&e))?;
    match serde_json::from_str::<Result<Added, Failure>>(&said) {
        Ok(Ok(added)) => Ok(added),
        Ok(Err(failure)) => {
            let _ = worker.wait();
            Err(failure)
        }
        Err(_) => {
            let _ = worker.kill();
            let status = worker.wait().map_err(|e| fail(&e))?;
            Err(fail(&format!("it ended before ADD was done ({status})")))
        }
    }
}

/// The worker's own life.
pub(super) fn main() -> ExitCode {
    let order: Order = match serde_json::from_reader(std::io::stdin().lock()) {
        Ok(order) => order,
        Err(e) => {
            let _ = writeln!(std::io::stderr(), "arplab-cni {FLAG} is for arplab-cni itself: {e}");
            return ExitCode::FAILURE;
        }
    };
    // whoever kills the plugin wants nothing more to happen
    let bound = set_pdeathsig(Some(Signal::SIGKILL));
    if bound.is_err() || u32::try_from(nix::unistd::getppid().as_raw()) != Ok(order.parent) {
        return ExitCode::FAILURE;
    }
    let _ = nix::unistd::setsid();
    let done = run(async {
        let job = &order.job;
        let ready = job.ready()?;
        let mut drive = Drive::new(job, ready, Process::of(std::process::id()))?;
        let added = drive.add().await?;
        // who hears it ends at once, and must not take this process along
        let free = set_pdeathsig(None).is_ok();
        if free && say(&Ok(added)) {
            drive.go_on().await
        } else {
            Err(Failure::io("nobody waits for the result", ""))
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say(&Err(failure));
            ExitCode::FAILURE
        }
    }
}

/// False if nobody listens.
fn say(what: &Result<Added, Failure>) -> bool {
    let Ok(line) = serde_json::to_string(what) else { return false };
    writeln!(std::io::stdout(), "{line}").is_ok()
}

pub(super) fn run<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::io("no runtime", e))?;
    runtime.block_on(work)
}
