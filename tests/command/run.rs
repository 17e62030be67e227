//! Runs the built command, and scenarios in the library.

use arplab::choice::Seeded;
use arplab::gateway::SmoltcpOutside;
use arplab::scenario::{Overrides, Scenario};
use arplab::sim::{self, Ended};
use arplab::trace::Trace;
use std::process::{Command, Output};
use std::sync::Arc;

/// The command, away from the colours and the language of who runs the tests.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_arplab"));
    command.args(args).env_clear().env("LC_ALL", "C.UTF-8");
    command
}

/// What it printed and how it ended.
pub(crate) fn arplab(args: &[&str]) -> Output {
    command(args).output().expect("the command starts")
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// Both outputs and the exit status, as a person sees them.
pub(crate) fn seen(args: &[&str]) -> String {
    let output = arplab(args);
    let code = output.status.code().expect("ended by itself");
    format!("{}{}exit status {code}\n", text(&output.stdout), text(&output.stderr))
}

/// Runs a scenario in the simulator.
pub(crate) fn simulate(scenario: &Scenario, overrides: &Overrides, seed: u64) -> (Ended, Trace) {
    let plan = Arc::new(scenario.plan(overrides).expect("it can be planned"));
    let outside = SmoltcpOutside::new(plan.outside.clone(), seed);
    let mut events = Trace::new(&plan);
    let ended = sim::run(plan, outside, &mut Seeded::new(seed), &mut events);
    (ended, events)
}
