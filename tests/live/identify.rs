//! Captures and traces of real kernels lead back to their scenarios too.

use crate::program::arplab;
use arplab::matrix::{Library, Observation, Sight};
use arplab::scenario::catalogue;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};

crate::live_tests! {
    live_runs_lead_back_to_their_scenarios,
}

static LIBRARY: LazyLock<Library> = LazyLock::new(|| Library::new(&catalogue::all().unwrap()).unwrap());

/// Of different kinds, and those in which a real kernel once showed what no run of the simulator did: a
/// TAP that carries on for a second (`cali-set-down`), a router solicitation that leaves an entry on the
/// host (`container-settings`), programs that ask at the same moment (`proxy-queue-overflow`), a delay
/// that happens to be short (`delayed-replies-purged`).
const SCENARIOS: [&str; 9] = [
    "delayed-replies-purged",
    "cali-set-down",
    "proxy-queue-overflow",
    "container-settings",
    "udev-mac-race",
    "proxy-claims-pod-address",
    "felix-pass-blocked",
    "static-entry-stale",
    "v6-dad",
];

/// Runs at once: they wait for the most part.
const AT_ONCE: usize = 6;

/// How often a run may lead elsewhere, less one: what depends on which of two processors is first may
/// fall otherwise on a busy machine.
const TRIES: usize = 3;

/// What of so many runs in a row does not lead back.
fn wrong_of(dir: &Path, id: &str, responder: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for _ in 0..TRIES {
        wrong = wrong_of_run(dir, id, responder);
        if wrong.is_empty() {
            break;
        }
    }
    wrong
}

/// What of a run does not lead back.
fn wrong_of_run(dir: &Path, id: &str, responder: &str) -> Vec<String> {
    let file = dir.join(format!("{id}-{responder}"));
    let (pcap, trace) = (file.with_extension("pcapng"), file.with_extension("jsonl"));
    let path = pcap.to_str().unwrap();
    let run =
        arplab(&["run", id, "--live", "--responder", responder, "--json", "--pcap", path]).output().unwrap();
    if run.status.code() == Some(3) {
        println!("{id} {responder}: {}", String::from_utf8_lossy(&run.stderr).trim());
        return Vec::new();
    }
    std::fs::write(&trace, &run.stdout).unwrap();
    let sights = [
        Sight::from_capture(File::open(&pcap).unwrap(), None).unwrap(),
        Sight::from_trace(BufReader::new(File::open(&trace).unwrap())).unwrap(),
    ];
    let mut wrong = Vec::new();
    for sight in sights {
        let trace = sight.is_trace();
        let features = sight.features();
        let found = LIBRARY.identify(&Observation { sight: Some(sight), ..Observation::default() });
        let least = found[0].against.len();
        let own = found.iter().find(|c| c.signature.scenario == id).unwrap();
        let best: Vec<&str> = found
            .iter()
            .take_while(|c| c.against.len() == least)
            .map(|c| c.signature.scenario.as_str())
            .collect();
        println!("{id} {responder} trace {trace}: {best:?}");
        if own.against.len() > least {
            let against = &own.against;
            wrong.push(format!("{id} {responder} trace {trace}: {against:?}; first {best:?}; {features:#?}"));
        }
    }
    wrong
}

fn live_runs_lead_back_to_their_scenarios() {
    let dir = tempfile::tempdir().unwrap();
    let runs: Vec<(&str, &str)> =
        SCENARIOS.iter().flat_map(|id| ["smoltcp", "kernel"].map(|responder| (*id, responder))).collect();
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((id, responder)) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = wrong_of(dir.path(), id, responder);
                    wrong.lock().unwrap().extend(found);
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
