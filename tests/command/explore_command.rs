//! `arplab explore` and `run --replay` as a person meets them: what they print, what they keep, and
//! what they say to input that makes no sense.

use std::path::Path;
use std::process::Command;

fn arplab(args: &[&str]) -> (Option<i32>, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_arplab")).args(args).output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap() + &String::from_utf8(out.stderr).unwrap();
    (out.status.code(), text)
}

#[test]
fn the_command_tells_keeps_and_replays() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("late.toml");
    let base = ["explore", "8689", "--hold", "felix.iface-seen=0s", "--late-max", "4s", "--horizon", "20s"];
    let path = file.to_str().unwrap();
    let (code, text) =
        arplab(&[&base[..], &["--property", "first-packet-within=2s", "--out", path]].concat());
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("fails in") && text.contains("one step late") && text.contains("--replay"),
        "{text}"
    );
    assert!(text.contains("is held by this schedule"), "the timeline names the late step: {text}");
    for command in [["explore", "--replay", path], ["run", "--replay", path]] {
        let (code, text) = arplab(&command);
        assert_eq!(code, Some(0), "{text}");
        assert!(text.contains("As recorded."), "{text}");
    }
    let (code, text) = arplab(&[&base[..], &["--fix", "plugin-configures-host"]].concat());
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("holds in all"), "{text}");
    let (code, text) = arplab(&["explore", "8689", "--property", "always-right"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("there is no property"), "{text}");
}

/// A search that ends at once and keeps its schedule.
const QUICK: [&str; 10] = [
    "explore",
    "late-responder",
    "--no-holds",
    "--late-max",
    "4s",
    "--horizon",
    "10s",
    "--property",
    "first-packet-within=1500ms",
    "--no-shrink",
];

fn kept(dir: &Path) -> String {
    let file = dir.join("kept.toml");
    let (code, text) = arplab(&[&QUICK[..], &["--out", file.to_str().unwrap()]].concat());
    assert_eq!(code, Some(1), "{text}");
    file.to_str().unwrap().to_owned()
}

#[test]
fn a_schedule_file_keeps_the_holds_that_were_lifted() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("held.toml");
    let path = file.to_str().unwrap();
    let base = ["explore", "late-responder", "--hold", "felix.iface-seen=0s", "--horizon", "10s"];
    let rest = ["--property", "first-packet-within=1500ms", "--late-max", "4s", "--out", path];
    assert_eq!(arplab(&[&base[..], &rest[..]].concat()).0, Some(1));
    assert!(std::fs::read_to_string(&file).unwrap().contains("holds = [\"felix.iface-seen=0s\"]"));
    let (code, text) = arplab(&["explore", "--replay", path]);
    assert!(code == Some(0) && !text.contains("do not fit"), "{text}");
}

#[test]
fn a_replay_prints_json_and_a_capture() {
    let dir = tempfile::tempdir().unwrap();
    let path = kept(dir.path());
    let (code, text) = arplab(&["explore", "--replay", &path, "--json"]);
    assert_eq!(code, Some(0), "{text}");
    let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(last["result"], "as recorded");
    assert_eq!(last["lacks"][0], "first-packet-within=1.5s");
    let capture = dir.path().join("frames.pcapng");
    let (code, text) = arplab(&["run", "--replay", &path, "--pcap", capture.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{text}");
    assert!(std::fs::metadata(&capture).unwrap().len() > 1_000);
}

#[test]
fn a_schedule_that_comes_out_otherwise_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let path = kept(dir.path());
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("within=1.5s", "within=9s")).unwrap();
    let (code, text) = arplab(&["explore", "--replay", &path]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("It has every property") && text.contains("NOT as recorded."), "{text}");
    // and one that a changed program cannot follow says so
    let text = std::fs::read_to_string(kept(dir.path())).unwrap();
    std::fs::write(&path, text.replace("felix.host-route-add", "felix.no-such-step")).unwrap();
    let (_, text) = arplab(&["explore", "--replay", &path]);
    assert!(text.contains("the program has changed since") && text.contains("do not fit"), "{text}");
}

#[test]
fn senseless_options_are_refused_with_what_to_do() {
    for (option, value, part) in [
        ("--property", "always-right", "there is no property \"always-right\"; there are: resolves-within"),
        ("--property", "first-packet-within=soon", "first-packet-within"),
        ("--property", "never-wrong-mac=3s", "it takes no time"),
        ("--budget", "0", "1 at least is wanted"),
        ("--budget-time", "0s", "more than 0s is wanted"),
        ("--horizon", "0s", "more than 0s is wanted"),
        ("--threads", "0", "1 to 1024 is wanted"),
        ("--shard", "3/2", "with I from 0 to N-1, such as 0/4"),
        ("--shard", "0/0", "with I from 0 to N-1, such as 0/4"),
        ("--late", "few", "a number or \"any\" is wanted"),
        ("--grid", "cpu-race=0", "1 to 4096 values"),
        ("--grid", "luck=2", "unknown variant `luck`"),
        ("--grid", "order=2", "see --late and --instant"),
        ("--fix", "magic", "magic"),
        ("--hold", "felix.nothing=1s", "felix.nothing"),
        ("--out", "/no/such/directory/file", "there is no directory /no/such/directory"),
        ("--out", "/", "it is a directory"),
    ] {
        let (code, text) = arplab(&["explore", "late-responder", option, value]);
        assert_eq!(code, Some(2), "{option} {value}: {text}");
        assert!(text.contains(part), "{option} {value}: {part:?} is not in {text}");
    }
    let (code, text) = arplab(&["explore"]);
    assert!(code == Some(2) && text.contains("SCENARIO"), "{text}");
    let (code, text) = arplab(&["explore", "no-such-scenario"]);
    assert!(code == Some(2) && text.contains("`arplab list` shows all"), "{text}");
}

#[test]
fn files_that_are_no_schedules_are_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bad.toml");
    let head = "format = \"arplab-schedule\"\nversion = 1\n";
    let rest =
        "properties = [\"never-wrong-mac\"]\noutcome = \"fails\"\nhorizon = \"1s\"\ninstant = \"1s\"\n";
    for (text, part) in [
        (String::new(), "missing field"),
        ("]".to_owned(), "the file is no schedule"),
        ("format = \"arplab-schedule\"\nversion = 99".to_owned(), "reads up to 1"),
        (format!("{head}{rest}moves = [\"... x2000000\"]"), "is no move"),
        (format!("{head}{rest}moves = [{}]", "\"... x1000000\",".repeat(5)), "which no run makes"),
        (format!("{head}{rest}moves = []\ndraws = [\"order 5/3\"]"), "is no draw"),
        (format!("{head}{rest}moves = []\nluck = 3"), "unknown field `luck`"),
        (format!("{head}{rest}moves = []"), "names no scenario"),
        (format!("{head}scenario = \"no-such\"\n{rest}moves = []"), "no scenario answers to"),
        (
            format!(
                "{head}scenario = \"8689\"\n{}moves = []",
                rest.replace("never-wrong-mac", "always-right")
            ),
            "there is no property",
        ),
        (format!("{head}{}moves = []", rest.replace("\"never-wrong-mac\"", "")), "held against no property"),
    ] {
        std::fs::write(&path, &text).unwrap();
        for command in ["explore", "run"] {
            let (code, said) = arplab(&[command, "--replay", path.to_str().unwrap()]);
            assert_eq!(code, Some(2), "{text}: {said}");
            assert!(said.contains(part), "{text}: {part:?} is not in {said}");
        }
    }
    for (place, part) in [
        ("/dev/zero", "no regular file"),
        ("/", "failed"),
        ("/no/such/file", "No such file"),
        ("/dev/null", "no regular file"),
    ] {
        let (code, said) = arplab(&["explore", "--replay", place]);
        assert_eq!(code, Some(2), "{place}: {said}");
        assert!(said.contains(part), "{place}: {said}");
    }
}

/// Nothing but the result goes to a pipe: the line that shows how far a search is needs a terminal.
#[test]
fn a_pipe_gets_the_result_and_nothing_else() {
    let out = Command::new(env!("CARGO_BIN_EXE_arplab")).args(QUICK).output().unwrap();
    assert!(out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(!out.stdout.contains(&0x1b), "{}", String::from_utf8_lossy(&out.stdout));
}

/// The parts of a search have every schedule once between them.
#[test]
fn shards_of_a_search_add_up() {
    let counted = |more: &[&str]| -> u64 {
        let (_, text) = arplab(&[&QUICK[..], &["--json"], more].concat());
        let report: serde_json::Value = serde_json::from_str(&text).unwrap();
        report["schedules"].as_str().unwrap().parse().unwrap()
    };
    let whole = counted(&[]);
    let parts: u64 = (0..3).map(|i| counted(&["--shard", &format!("{i}/3")])).sum();
    assert_eq!(parts, whole);
    assert_eq!(counted(&["--threads", "1"]), whole);
}

/// The help, whole. It is folded to the width of no terminal.
#[test]
fn the_help_says_what_there_is() {
    let (code, text) = arplab(&["explore", "--help"]);
    assert_eq!(code, Some(0));
    insta::with_settings!({ prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("help_of_explore", text);
    });
}

/// The sample in the document is a schedule file, and its options are options.
#[test]
fn the_document_shows_what_there_is() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/explore.md");
    let text = std::fs::read_to_string(path).unwrap();
    let sample = text.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    arplab::explore::Case::parse(sample).unwrap();
    let help = arplab(&["explore", "--help"]).1 + &arplab(&["matrix", "--help"]).1;
    let named: Vec<&str> = text.split('`').filter(|w| w.starts_with("--") && !w.contains('\n')).collect();
    assert!(named.len() > 10, "{named:?}");
    for option in named {
        let name = option.split_whitespace().next().unwrap();
        assert!(help.contains(name), "{name} is no option of explore or matrix");
    }
}

#[test]
fn the_matrix_is_settled_over_schedules() {
    let cells = ["--with", "plugin-configures-host", "--with", "dad-off"];
    let (code, text) = arplab(&[&["matrix", "late-responder", "--explore"], &cells[..]].concat());
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with("Each cell: every schedule with at most 1 step late by up to 2s"), "{text}");
    let row = text.lines().find(|l| l.starts_with("late-responder ")).unwrap();
    assert!(row.starts_with("late-responder  + .  every one of "), "{row}");
    assert!(row.contains("schedules fails: first-packet-within=2s; the worst is 61 s"), "{row}");
}

#[test]
fn a_mitigation_is_explored_kept_and_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("with.toml");
    let path = file.to_str().unwrap();
    let with = ["--with", "fewer-network-policies"];
    let (code, text) = arplab(&[&QUICK[..], &with, &["--out", path]].concat());
    assert_eq!(code, Some(1), "{text}");
    assert!(text.starts_with("late-responder with fewer-network-policies: "), "{text}");
    let kept = std::fs::read_to_string(&file).unwrap();
    assert!(kept.contains("with = [\"fewer-network-policies\"]") && !kept.contains("fixes"), "{kept}");
    for command in [["explore", "--replay", path], ["run", "--replay", path]] {
        let (code, text) = arplab(&command);
        assert!(code == Some(0) && text.contains("As recorded.") && !text.contains("do not fit"), "{text}");
    }
    // with another mitigation in its place the same moves come out otherwise
    std::fs::write(&file, kept.replace("fewer-network-policies", "plugin-configures-host")).unwrap();
    let (code, text) = arplab(&["explore", "--replay", path]);
    assert!(code == Some(1) && text.contains("NOT as recorded."), "{text}");
    std::fs::write(&file, kept.replace("fewer-network-policies", "prayer")).unwrap();
    let (code, text) = arplab(&["explore", "--replay", path]);
    assert!(code == Some(2) && text.contains("there is no mitigation \"prayer\"; there are: "), "{text}");
    // it goes together with a fix, and cures what it cures
    let both = ["--with", "plugin-configures-host", "--fix", "shorter-interface-refresh"];
    let (code, text) = arplab(&[&QUICK[..], &both].concat());
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = arplab(&[&QUICK[..], &["--with", "shorter-interface-refresh"]].concat());
    assert!(code == Some(2) && text.contains("--fix shorter-interface-refresh"), "{text}");
}

#[test]
fn nothing_is_called_kept_that_nobody_could_lack_or_look_at() {
    let many: Vec<String> = (1..=33).map(|n| format!("first-packet-within={n}s")).collect();
    let mut args = vec!["explore", "late-responder"];
    args.extend(many.iter().flat_map(|p| ["--property", p.as_str()]));
    let (code, text) = arplab(&args);
    assert!(code == Some(2) && text.contains("at most 32"), "{text}");
    // the same one again is no other
    let twice = ["--property", "first-packet-within=1500ms"];
    let (code, text) = arplab(&[&QUICK[..], &twice].concat());
    assert!(code == Some(1) && text.matches("fails in").count() == 1, "{text}");
    let (code, text) =
        arplab(&["explore", "8689", "--horizon", "1s", "--property", "first-packet-within=1500ms"]);
    assert!(code == Some(2) && text.contains("raise --horizon"), "{text}");
    let dir = tempfile::tempdir().unwrap();
    let file = kept(dir.path());
    let (code, text) = arplab(&["explore", "--replay", &file, "--property", "first-packet-within=10s"]);
    assert!(code == Some(2) && text.contains("cannot be used with"), "{text}");
    // narrower bounds than asked for are told, and with --strict no success
    let narrow = ["explore", "8689", "--fix", "plugin-configures-host", "--no-holds", "--budget", "300"];
    let (code, text) = arplab(&narrow);
    assert!(code == Some(0) && text.contains("do not fit into the budget"), "{text}");
    let (code, _) = arplab(&[&narrow[..], &["--strict"]].concat());
    assert_eq!(code, Some(1));
}

#[test]
fn the_basic_race_has_as_many_orders_as_are_counted() {
    let args = ["explore", "basic-race", "--late", "any", "--late-max", "60s", "--to-rest"];
    let (code, text) = arplab(&[&args[..], &["--property", "never-wrong-mac"]].concat());
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("\n1 050 schedules through"), "{text}");
    let (code, text) = arplab(&["explore", "basic-race", "--with", "pod-restart"]);
    assert!(code == Some(2) && text.contains("made in code"), "{text}");
}

#[test]
fn a_renamed_step_costs_a_replay_that_step_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let file = kept(dir.path());
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("\"cni.pod-sysctls\""), "{text}");
    std::fs::write(&file, text.replace("\"cni.pod-sysctls\"", "\"cni.pod-sysctl-tuning\"")).unwrap();
    let (code, said) = arplab(&["explore", "--replay", &file]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("2 recorded moves or draws do not fit; the first: cni.pod-sysctls"), "{said}");
    for (from, to, why) in [
        ("without-holds = [\"felix.iface-seen\"]", "without-holds = [\"felix.nothing\"]", "felix.iface-seen"),
        (
            "lacks = [\"first-packet-within=1.5s\"]",
            "lacks = [\"never-wrong-mac\"]",
            "not among its properties",
        ),
    ] {
        assert!(text.contains(from), "{text}");
        std::fs::write(&file, text.replace(from, to)).unwrap();
        let (code, said) = arplab(&["explore", "--replay", &file]);
        assert!(code == Some(2) && said.contains(why), "{said}");
    }
}
