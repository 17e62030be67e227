//! A test program that may enter a user namespace before it has threads.
//!
//! The standard harness starts threads before any test runs, and a process with threads cannot
//! enter a user namespace. So these tests bring their own `main`, on libtest-mimic, which
//! cargo test and cargo nextest take for the real thing.
#![allow(dead_code, reason = "each test program uses a part")]

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use libtest_mimic::{Arguments, Trial};
use netns_lab::{Netns, rtnl::VethEnd, testing};

/// Far more than anything here takes on a loaded machine: reaching it is a failure.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) type Test = (&'static str, fn());

/// Runs the tests that the command line asks for. Never returns.
pub(crate) fn run(tests: &[Test]) -> ! {
    // An unprivileged user gets a user namespace; failing that, each test says why it is skipped.
    let entered = netns_lab::rootless::enter();
    let arguments = Arguments::from_args();
    if let (Err(error), false) = (&entered, arguments.list) {
        eprintln!("rootless: {error}");
    }
    let trials = tests
        .iter()
        .map(|&(name, test)| {
            Trial::test(name, move || {
                if testing::require_netns() {
                    test();
                }
                Ok(())
            })
        })
        .collect();
    libtest_mimic::run(&arguments, trials).exit()
}

/// Names the tests of a program once.
#[macro_export]
macro_rules! lab_tests {
    ($($name:ident),* $(,)?) => {
        fn main() {
            common::run(&[$((stringify!($name), $name as fn())),*])
        }
    };
}

/// Two namespaces joined by a veth, both ends up: `host0` in the first, `pod0` in the second.
pub(crate) fn joined() -> (Netns, Netns) {
    let node = Netns::new("node").expect("a namespace");
    let pod = Netns::new("pod").expect("a namespace");
    node.blocking()
        .add_veth(&VethEnd::new("host0").up(), &VethEnd::new("pod0").in_netns(&pod))
        .expect("a veth");
    pod.blocking().set_up("pod0").expect("up");
    (node, pod)
}

/// A tokio runtime like that of a program.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(work)
}

/// Set for a child process that is this test program again, to what it shall do.
const CHILD_VARIABLE: &str = "NETNS_LAB_CHILD";

/// What this process shall do if it is a child of a test.
pub(crate) fn child_task() -> Option<String> {
    std::env::var(CHILD_VARIABLE).ok()
}

/// `program`, which is a copy of this one or this one itself, with a task.
pub(crate) fn child(program: &Path, task: &str) -> Command {
    let mut command = Command::new(program);
    command.env(CHILD_VARIABLE, task).stdin(Stdio::null());
    command
}

/// Root of the machine and not of a user namespace only: there nobody is not mapped.
pub(crate) fn is_real_root() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").expect("a map");
    map.split_whitespace().nth(2).and_then(|count| count.parse().ok()).is_some_and(|count: u32| count > 65534)
}
