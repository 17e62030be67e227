//! What needs namespaces: real pods, real kernels, real time, and nothing left when it is over.
//!
//! An ordinary user gets a user namespace, which a process with threads cannot enter, and the standard
//! harness has threads before any test runs. So this program brings its own `main`, on libtest-mimic,
//! and `#[test]` does nothing here: each file names its tests in `live_tests!`.

mod agreement;
mod changes;
mod clients;
mod cni;
mod cni_explore;
mod cni_others;
mod cni_pods;
mod cni_steps;
mod differential;
mod explore_verdicts;
mod front;
mod identify;
mod kernel;
mod leftovers;
mod pictures;
mod plugin;
mod podman;
mod probe;
mod process;
mod program;
mod terms;
mod tools;
mod up;
mod view;
mod wait_for_gateway;

use libtest_mimic::{Arguments, Trial};

/// Tests at once, unless `--test-threads` says otherwise: they wait for the most part.
const AT_ONCE: usize = 6;

/// A test: its name, what it does, and whether it runs only when asked for by `--ignored`.
type Test = (&'static str, fn(), bool);

/// Names the tests of a file; those behind a semicolon run when asked for by `--ignored`.
macro_rules! live_tests {
    ($($name:ident),* $(,)? $(; $($ignored:ident),* $(,)?)?) => {
        pub(crate) const TESTS: &[crate::Test] = &[
            $((stringify!($name), $name, false),)*
            $($((stringify!($ignored), $ignored, true),)*)?
        ];
    };
}
pub(crate) use live_tests;

/// Root of the machine, and not of a user namespace only: there nobody is not mapped.
fn is_real_root() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").expect("a map");
    let count = map.split_whitespace().nth(2).and_then(|count| count.parse::<u32>().ok());
    nix::unistd::geteuid().is_root() && count.is_some_and(|count| count > 65_534)
}

fn main() {
    let entered = netns_lab::rootless::enter();
    let mut arguments = Arguments::from_args();
    if let (Err(error), false) = (&entered, arguments.list) {
        eprintln!("rootless: {error}");
    }
    arguments.test_threads.get_or_insert(AT_ONCE);
    // the longest first, so that none is left to run alone
    let timed = [
        ("kernel", kernel::TESTS),
        ("identify", identify::TESTS),
        ("explore_verdicts", explore_verdicts::TESTS),
        ("wait_for_gateway", wait_for_gateway::TESTS),
        ("cni", cni::TESTS),
        ("cni_others", cni_others::TESTS),
        ("cni_pods", cni_pods::TESTS),
        ("cni_steps", cni_steps::TESTS),
        ("plugin", plugin::TESTS),
        ("podman", podman::TESTS),
        ("probe", probe::TESTS),
        ("leftovers", leftovers::TESTS),
        ("agreement", agreement::TESTS),
        ("front", front::TESTS),
        ("pictures", pictures::TESTS),
        ("view", view::TESTS),
        ("up", up::TESTS),
        ("terms", terms::TESTS),
        ("tools", tools::TESTS),
        ("clients", clients::TESTS),
        ("differential", differential::TESTS),
    ];
    // they keep every processor and the kernel's rtnl lock busy, beside which nobody's times are right
    let busy = [("cni_explore", cni_explore::TESTS)];
    let first = libtest_mimic::run(&arguments, trials(&timed));
    let then = libtest_mimic::run(&arguments, trials(&busy));
    first.exit_if_failed();
    then.exit();
}

fn trials(files: &[(&'static str, &'static [Test])]) -> Vec<Trial> {
    let tests = files.iter().flat_map(|(file, tests)| tests.iter().map(move |test| (file, *test)));
    let trials = tests.map(|(file, (name, test, ignored))| {
        let run = move || {
            if netns_lab::testing::require_netns() {
                test();
            }
            Ok(())
        };
        Trial::test(format!("{file}::{name}"), run).with_ignored_flag(ignored)
    });
    trials.collect()
}
