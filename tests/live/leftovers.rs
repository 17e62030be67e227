//! Nothing outlives a live run, however it ends, and it needs no root.

use crate::process::{Run, events, nothing_left};
use nix::sys::signal::Signal;
use std::collections::BTreeSet;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

crate::live_tests! {
    an_interrupted_run_says_what_it_saw,
    whatever_asks_a_kernel_ends_with_a_word,
    a_run_that_never_rests_ends_in_time,
    a_killed_run_leaves_nothing_whatever_the_moment,
    a_refused_tap_is_said_with_what_to_do,
    an_ordinary_user_needs_no_root,
}

/// Who may do the least.
const NOBODY: u32 = 65_534;

const LONG: [&str; 4] = ["run", "8689", "--live", "--json"];

fn ended_by(signal: Signal) -> std::process::Output {
    let run = Run::start(&LONG);
    let namespaces = run.pod_made();
    std::thread::sleep(Duration::from_millis(700));
    run.signal(signal);
    let (output, mark) = run.end();
    nothing_left(&mark, &namespaces);
    output
}

fn an_interrupted_run_says_what_it_saw() {
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let output = ended_by(signal);
        assert_eq!(output.status.code(), Some(code), "{signal}: {output:?}");
        let (events, verdict) = events(&output);
        assert_eq!(verdict["result"], "interrupted");
        assert_eq!(verdict["checks"], serde_json::json!([]), "nothing is expected of a part");
        assert!(events.iter().any(|e| e["event"] == "frame"), "{signal}: nothing was seen");
        assert!(String::from_utf8_lossy(&output.stderr).contains("interrupted"));
    }
}

/// Commands that ask a kernel without a scenario's run end in the same way.
fn whatever_asks_a_kernel_ends_with_a_word() {
    let slow = ["probe", "no-default-route", "--only", "kernel", "--quiet", "10s"];
    let many = ["differential", "--states", "1000000", "--seed", "1"];
    for args in [&slow[..], &many] {
        for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
            let run = Run::start(args);
            let namespaces = run.pod_made();
            std::thread::sleep(Duration::from_millis(300));
            run.signal(signal);
            let (output, mark) = run.end();
            nothing_left(&mark, &namespaces);
            assert_eq!(output.status.code(), Some(code), "{args:?} {signal}: {output:?}");
            assert!(String::from_utf8_lossy(&output.stderr).contains("interrupted"), "{args:?}: {output:?}");
        }
    }
}

/// Steps that come faster than a kernel takes them do not keep a run from its end.
fn a_run_that_never_rests_ends_in_time() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut file = "id = \"busy\"\ntitle = \"Busy\"\nduration = \"2s\"\n".to_owned();
    for at in 0..60 {
        file += &["[[step]]\nid = \"operator.x", &at.to_string(), "\"\ntitle = \"t\"\n"].concat();
        file += "after = \"cni.add-return\"\n";
        file += "every = \"1ms\"\npod = [\"ip link set lo down\", \"ip link set lo up\"]\n";
    }
    let path = dir.path().join("busy.toml");
    std::fs::write(&path, file).expect("written");
    let begun = std::time::Instant::now();
    let run = Run::start(&["run", path.to_str().expect("UTF-8"), "--live", "--json"]);
    let (output, mark) = run.end();
    nothing_left(&mark, &BTreeSet::new());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

fn a_killed_run_leaves_nothing_whatever_the_moment() {
    for moment in 0..24_u64 {
        let run = Run::start(&LONG);
        // early moments fall into the making of the namespaces, later ones into the run
        std::thread::sleep(Duration::from_millis(moment * moment * 2));
        let namespaces = run.namespaces();
        run.signal(Signal::SIGKILL);
        let (_, mark) = run.end();
        nothing_left(&mark, &namespaces);
    }
}

/// A window of a moment instead of a minute.
const HOLD: &str = "felix.iface-seen=2s";

/// Runs the program as a user with no rights, if this one can become such a user.
fn run_as_nobody(args: &[&str]) -> Option<std::process::Output> {
    as_nobody(|program| (program.to_owned(), args.iter().map(|&a| a.to_owned()).collect()))
}

/// Runs a script so, in which `{}` is the program.
pub(crate) fn script_as_nobody(script: &str) -> Option<std::process::Output> {
    as_nobody(|program| {
        let script = script.replace("{}", program.to_str().expect("UTF-8"));
        ("/bin/sh".into(), vec!["-c".to_owned(), script])
    })
}

fn as_nobody(command: impl FnOnce(&Path) -> (PathBuf, Vec<String>)) -> Option<std::process::Output> {
    if !crate::is_real_root() {
        return None; // every other test of this program shows what an ordinary user can do
    }
    // the build directory may be closed to others
    let dir = tempfile::Builder::new().prefix("arplab").tempdir_in("/tmp").expect("a directory");
    let program = dir.path().join("arplab");
    let all = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(dir.path(), all).expect("opened");
    // Written by another process: a descriptor open for writing here could be inherited by a child
    // that another test starts at that moment, and exec would fail with ETXTBSY.
    let copied =
        Command::new("install").args(["-m", "0755", env!("CARGO_BIN_EXE_arplab")]).arg(&program).status();
    assert!(copied.expect("install").success());
    let (program, args) = command(&program);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let run = Run::start_as(&program, &args, |c| {
        c.uid(NOBODY).gid(NOBODY).current_dir("/");
    });
    let (output, mark) = run.end();
    nothing_left(&mark, &BTreeSet::new());
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.code() == Some(3) && why.contains("user namespace") && !why.contains("TAP") {
        netns_lab::testing::skip(&why);
        return None;
    }
    Some(output)
}

/// A TAP that was asked for by name and is refused ends the run at once: nothing is staged with
/// something else in its place.
fn a_refused_tap_is_said_with_what_to_do() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let open = std::fs::metadata("/dev/net/tun").is_ok_and(|m| {
        let (mode, owner) = (m.permissions().mode(), (m.uid(), m.gid()));
        mode & 0o006 == 0o006 || owner.0 == NOBODY || owner.1 == NOBODY
    });
    if open {
        return eprintln!("skipped: /dev/net/tun is open to everybody here");
    }
    let Some(output) = run_as_nobody(&["run", "8689", "--live", "--link", "tap", "--hold", HOLD]) else {
        return;
    };
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert_eq!(why.lines().count(), 1, "{why}");
    for part in ["cannot make TAP eth0 in namespace `pod`", "/dev/net/tun", "veth"] {
        assert!(why.contains(part), "{part}: {why}");
    }
    assert!(output.stdout.is_empty(), "nothing was run: {}", String::from_utf8_lossy(&output.stdout));
}

fn an_ordinary_user_needs_no_root() {
    let Some(output) = run_as_nobody(&["run", "8689", "--live", "--json", "--hold", HOLD]) else { return };
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let (_, verdict) = events(&output);
    assert!(verdict["seen"]["asked"].as_array().is_some_and(|a| a.len() >= 2), "{verdict:#}");
}
