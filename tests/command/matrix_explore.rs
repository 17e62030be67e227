//! The matrix over schedules: verdicts, what tells them from those of single runs, formats, and that
//! threads change nothing.

use arplab::explore::Effort;
use arplab::matrix::{Cell, Matrix, settled_matrix, write_csv, write_html, write_json, write_text};
use arplab::scenario::file::FixEffect;
use arplab::scenario::{Mitigation, Scenario, catalogue, mitigation};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

fn small(ids: &[&str], names: &[&str], threads: usize) -> Matrix {
    let all = catalogue::all().unwrap();
    let scenarios: Vec<Scenario> = ids
        .iter()
        .map(|id| all.iter().find(|s| s.id() == *id).unwrap_or_else(|| panic!("{id}")).clone())
        .collect();
    let mitigations: Vec<Mitigation> = names.iter().map(|n| mitigation(n).unwrap().clone()).collect();
    settled_matrix(&scenarios, &mitigations, &Effort::default(), threads, &|_, _| {}).unwrap()
}

fn cell(id: &str, name: &str) -> Cell {
    small(&[id], &[name], 2).rows[0].cells[0].clone()
}

fn arplab(args: &[&str]) -> (Option<i32>, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_arplab")).args(args).output().unwrap();
    (out.status.code(), String::from_utf8(out.stdout).unwrap())
}

#[test]
fn cells_say_what_holds_of_every_schedule() {
    let cured = cell("late-responder", "plugin-configures-host");
    assert_eq!(cured.effect, FixEffect::Cures, "{cured:?}");
    let s = cured.schedules.unwrap();
    assert!(s.fails == "0" && s.lacks.is_empty() && s.runs == FixEffect::Cures, "{s:?}");
    // it touches nothing, so nothing is searched twice
    let none = cell("late-responder", "fewer-network-policies");
    assert_eq!((none.effect, none.before), (FixEffect::Nothing, none.after), "{none:?}");
    // it answers at once and then is silent for the same minute: a wait is a wait
    let as_long = cell("udev-sysctl-minute", "gateway-address-on-host-end");
    assert_eq!(as_long.effect, FixEffect::Nothing, "{as_long:?}");
    assert!(as_long.schedules.unwrap().lacks.contains(&"no-silence-longer-than=3s".to_owned()));
    assert_eq!(cell("udev-sysctl-minute", "no-udev-rules").effect, FixEffect::Cures);
}

#[test]
fn the_number_of_threads_changes_no_byte_of_any_format() {
    let ids = ["late-responder", "udev-sysctl-minute", "host-mac-changes"];
    let names = ["plugin-configures-host", "static-gateway-entry", "shorter-felix-refresh"];
    let bytes = |threads| {
        let m = small(&ids, &names, threads);
        let mut out = Vec::new();
        for write in [write_text, write_csv, write_json, write_html] {
            write(&m, &mut out).unwrap();
        }
        out
    };
    let one = bytes(1);
    assert!(one == bytes(3), "other bytes on three threads");
    let text = String::from_utf8(one).unwrap();
    assert!(text.starts_with("Each cell: every schedule with at most 1 step late by up to 2s"), "{text}");
    assert!(text.contains(",effect,before_ms,after_ms,reason,also,runs,schedules,fails,within\n"), "{text}");
}

#[test]
fn equal_plans_are_settled_once() {
    let scenarios: Vec<Scenario> =
        catalogue::all().unwrap().into_iter().filter(|s| s.id() == "udev-sysctl-minute").collect();
    // neither changes anything in this scenario
    let names = ["write-order", "fewer-network-policies"];
    let mitigations: Vec<Mitigation> = names.iter().map(|n| mitigation(n).unwrap().clone()).collect();
    let most = AtomicUsize::new(0);
    let told = |_, of| _ = most.fetch_max(of, Ordering::Relaxed);
    let m = settled_matrix(&scenarios, &mitigations, &Effort::default(), 1, &told).unwrap();
    let cells = 1 + mitigations.len() + scenarios[0].file().fixes.len();
    assert!(most.load(Ordering::Relaxed) < cells, "{most:?} of {cells}");
    assert!(m.rows[0].cells[0].reason.starts_with("nothing that runs is different"), "{m:?}");
}

/// The command that `--why` prints settles the cell again, alone, and comes to the same.
#[test]
fn the_reason_names_a_command_that_shows_the_schedule() {
    let (scenario, with) = ("udev-sysctl-minute", "gateway-address-on-host-end");
    let (code, why) = arplab(&["matrix", "--explore", "--why", scenario, with]);
    assert_eq!(code, Some(0), "{why}");
    let command = why.lines().find_map(|l| l.strip_prefix("The shortest that fails: arplab ")).unwrap();
    let (code, shown) = arplab(&command.split(' ').collect::<Vec<_>>());
    assert_eq!(code, Some(1), "{command}: {shown}");
    let c = cell(scenario, with).schedules.unwrap();
    let count: String = shown.lines().find_map(|l| l.split_once(" schedules through ")).unwrap().0.into();
    assert_eq!(count.replace(' ', ""), c.count, "{command}");
    assert!(shown.contains("failing schedule has"), "{shown}");
}

/// The example of the page is what the program says.
#[test]
fn what_cures_single_runs_only_is_told_from_a_cure() {
    let page = include_str!("../../docs/explore.md");
    let (code, why) = arplab(&["matrix", "--explore", "--why", "static-entry-stale", "mac-read-back"]);
    assert_eq!(code, Some(0), "{why}");
    let line = why.lines().next().unwrap();
    assert!(page.contains(&format!("```text\n{line}\n```")), "{line}");
    let c = cell("static-entry-stale", "mac-read-back");
    assert!(c.cures_only_runs() && c.effect != FixEffect::Cures, "{c:?}");
    let mut text = Vec::new();
    write_text(&small(&["static-entry-stale"], &["mac-read-back"], 1), &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.lines().any(|l| l.starts_with("static-entry-stale  ~  ")), "{text}");
    let broken = cell("proxy-delay", "proxy-delay-0");
    assert_eq!(broken.effect, FixEffect::Breaks, "{broken:?}");
    assert!(broken.reason.contains("now also no-divide-window") && broken.cures_only_runs(), "{broken:?}");
}
