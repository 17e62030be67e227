//! Real CNI plugins disturbed step by step: what is right is found right, what was broken by hand is
//! caught, and what fails fails again when it is played again.
//!
//! Without root or the plugins the tests say so and pass; with `ARPLAB_REQUIRE_CNI=1` they fail instead.

use crate::cni::processes;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

crate::live_tests! {
    a_plugin_that_is_right_keeps_everything,
    a_plugin_broken_by_hand_is_caught_each_time,
    ptp_is_explored_and_what_fails_fails_again,
    what_cannot_be_explored_is_said_and_leaves_nothing,
    a_killed_search_leaves_nothing,
}

const PLUGINS: &str = "/usr/lib/cni";

/// Whether there is what it takes.
fn ready(files: &[&str]) -> bool {
    let missing = files.iter().find(|file| !Path::new(file).exists());
    let why = match missing {
        Some(file) => format!("{file} is not installed"),
        None if !crate::is_real_root() => "it takes root".into(),
        None => return true,
    };
    assert!(std::env::var("ARPLAB_REQUIRE_CNI").as_deref() != Ok("1"), "ARPLAB_REQUIRE_CNI=1, but {why}");
    eprintln!("skipped: {why}");
    false
}

fn arplab(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_arplab")).args(args).output().unwrap()
}

fn own_plugins() -> String {
    format!("{}/tests/live/plugins", env!("CARGO_MANIFEST_DIR"))
}

/// A configuration of the shell's plugin, broken in this way or not at all.
fn network(folder: &Path, broken: &str) -> String {
    let path = folder.join(format!("net-{broken}.conflist"));
    let text = format!(
        r#"{{"cniVersion":"1.0.0","name":"net","plugins":[{{"type":"shell-veth","broken":"{broken}"}}]}}"#
    );
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// The cases of `--json`: what was done, and which properties were not kept.
fn cases(out: &Output) -> Vec<(String, Vec<String>)> {
    let text = String::from_utf8_lossy(&out.stdout);
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines
        .filter(|it| it["event"] == "case")
        .map(|it| {
            let text = |key: &str| it[key].as_str().unwrap_or_default().to_owned();
            let what = format!("{} {}: {}", text("verb"), text("action"), text("step"));
            let verdicts = it["properties"].as_object().unwrap().iter();
            let lacks = verdicts.filter(|(_, it)| it["kept"] == false).map(|(name, _)| name.clone());
            (what, lacks.collect())
        })
        .collect()
}

fn failing(out: &Output) -> Vec<(String, Vec<String>)> {
    cases(out).into_iter().filter(|(_, lacks)| !lacks.is_empty()).collect()
}

fn a_plugin_that_is_right_keeps_everything() {
    if !ready(&["/usr/sbin/ip"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let network = network(folder.path(), "");
    let junit = folder.path().join("junit.xml").display().to_string();
    let out = arplab(&["cni", "explore", &network, "--bin-dir", &own_plugins(), "--json", "--junit", &junit]);
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert_eq!(failing(&out), [], "{stderr}");
    assert_eq!(out.status.code(), Some(0), "{stderr}");
    let all = cases(&out);
    for action in ["fail ENOBUFS", "kill-before", "kill-after", "hold", "other-first", "undo"] {
        let wanted = format!("ADD {action}: ip route add ");
        assert!(all.iter().any(|(what, _)| what.starts_with(&wanted)), "{wanted}: {all:#?}");
    }
    assert!(all.iter().any(|(what, _)| what.starts_with("DEL kill-after: ip rule del")), "{all:#?}");
    let xml = std::fs::read_to_string(&junit).unwrap();
    assert!(xml.contains(r#"<testsuite name="clean" "#) && xml.contains(r#"failures="0""#), "{xml}");
}

fn a_plugin_broken_by_hand_is_caught_each_time() {
    if !ready(&["/usr/sbin/ip"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // how it is broken, what shows it, and which property it lacks then
    let wrong = [
        ("leaves-out", " : ", "gateway"),
        ("swaps", "ADD kill-after: ip link add", "clean"),
        ("forgets", " : ", "clean"),
    ];
    for (broken, shows, lacks) in wrong {
        let network = network(folder.path(), broken);
        let case = folder.path().join(format!("{broken}.toml")).display().to_string();
        let test = folder.path().join(format!("{broken}.sh")).display().to_string();
        let out = arplab(&[
            "cni",
            "explore",
            &network,
            "--bin-dir",
            &own_plugins(),
            "--json",
            "--within",
            "200ms",
            "--save",
            &case,
            "--save-test",
            &test,
            "--budget",
            "60",
        ]);
        let stderr = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(1), "{broken}: {stderr}");
        let failing = failing(&out);
        let caught = failing.iter().any(|(what, which)| {
            (what.starts_with(shows) || what == " : ") && which.contains(&lacks.to_owned())
        });
        assert!(caught, "{broken}: {failing:#?}");
        // the one of which nothing can be seen but by a kill must be right when nothing is done
        assert_eq!(failing.iter().any(|(what, _)| what == " : "), shows == " : ", "{broken}: {failing:#?}");
        assert_eq!(arplab(&["cni", "replay", &case]).status.code(), Some(0), "{broken}");
        assert_eq!(arplab(&["cni", "replay", "--holds", &case]).status.code(), Some(1), "{broken}");
        let script = |test: &str| {
            let arplab = env!("CARGO_BIN_EXE_arplab");
            Command::new("/bin/sh").arg(test).env("ARPLAB", arplab).output().unwrap().status.code()
        };
        assert_eq!(script(&test), Some(1), "{broken}");
        // the same test with the plugin mended
        let mended = std::fs::read_to_string(&test).unwrap().replace(broken, "");
        std::fs::write(&test, mended).unwrap();
        assert_eq!(script(&test), Some(0), "{broken}");
    }
}

fn ptp_is_explored_and_what_fails_fails_again() {
    if !ready(&["/usr/lib/cni/ptp"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let all = folder.path().join("cases").display().to_string();
    let begun = Instant::now();
    let out = arplab(&["cni", "explore", "ptp", "--bin-dir", PLUGINS, "--json", "--save-all", &all]);
    eprintln!("ptp: {} cases in {:?}", cases(&out).len(), begun.elapsed());
    assert_eq!(out.status.code(), Some(1), "{}", String::from_utf8_lossy(&out.stderr));
    let failing = failing(&out);
    // as in docs/real-plugins.md, of version 1.1.1
    let lease = |(what, lacks): &(String, Vec<String>)| {
        what.starts_with("ADD kill-after: open /var/lib/cni/networks/") && lacks.contains(&"clean".to_owned())
    };
    assert!(failing.iter().any(lease), "{failing:#?}");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&all).unwrap().map(|it| it.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), failing.len());
    for file in files {
        let out = arplab(&["cni", "replay", &file.display().to_string()]);
        let text = String::from_utf8_lossy(&out.stdout);
        assert_eq!(out.status.code(), Some(0), "{}: {text}", std::fs::read_to_string(&file).unwrap());
        assert!(text.contains("NOT kept") && text.contains("As recorded."), "{text}");
    }
}

fn what_cannot_be_explored_is_said_and_leaves_nothing() {
    if !ready(&[]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let script = |name: &str, content: &str, mode: u32| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path.display().to_string()
    };
    let mark = folder.path().display().to_string();
    let result = r#"echo '{"cniVersion":"1.0.0"}'"#;
    let cases = [
        (script("closed", "#!/bin/sh\n", 0o644), "not executable", 2),
        (script("text", "hello", 0o755), "neither an ELF file", 2),
        (script("garbage", "#!/bin/sh\necho hello\n", 0o755), "begins with \"hello", 2),
        (script("silent", "#!/bin/sh\n", 0o755), "printed nothing", 2),
        (script("chatty", "#!/bin/sh\nhead -c 100000000 /dev/zero\n", 0o755), "printed 100000000 bytes", 2),
        (script("endless", "#!/bin/sh\nwhile :; do :; done\n", 0o755), "did not end within its time", 2),
        (
            script("away", &format!("#!/bin/sh\n(setsid sh -c 'sleep 1000; : {mark}' &)\n{result}\n"), 0o755),
            "left processes behind",
            2,
        ),
        (
            script("refuses", "#!/bin/sh\necho '{\"code\":7,\"msg\":\"no\"}'; exit 1\n", 0o755),
            "(code 7): no",
            1,
        ),
        (folder.path().join("none").display().to_string(), "there is no plugin", 2),
        ("no-such-plugin".into(), "--bin-dir", 2),
        (script("a.conflist", "{\n\"cniVersion\": 1.0.0}", 0o644), "a.conflist:2:18: no JSON", 2),
    ];
    for (target, wanted, code) in cases {
        let timeout = if wanted.starts_with("did not end") { "500ms" } else { "60s" };
        let save = folder.path().join("case.toml");
        let saved = save.display().to_string();
        let out = arplab(&["cni", "explore", &target, "--timeout", timeout, "--save", &saved]);
        let stderr = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(code), "{target}: {stderr}");
        assert!(stderr.contains(wanted), "{target}: {stderr}");
        assert!(!save.exists(), "{target}: a case was kept");
        assert_eq!(processes(&mark), Vec::<String>::new(), "{target}");
    }
    let file = script("case", "format = 1", 0o644);
    for (args, wanted) in [
        (["cni", "replay", &file], "it is no case of arplab cni explore"),
        (["cni", "replay", "/dev/zero"], "larger than"),
        (["cni", "replay", "/no/such"], "reading the case /no/such failed"),
    ] {
        let out = arplab(&args);
        assert_eq!(out.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&out.stderr).contains(wanted), "{out:?}");
    }
}

fn a_killed_search_leaves_nothing() {
    if !ready(&["/usr/sbin/ip"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // plugins by a path that nobody else has
    let plugins = folder.path().join("plugins");
    std::fs::create_dir(&plugins).unwrap();
    std::fs::copy(format!("{}/shell-veth", own_plugins()), plugins.join("shell-veth")).unwrap();
    let (network, mark) = (network(folder.path(), ""), plugins.display().to_string());
    for round in 0..6_u64 {
        let mut search = Command::new(env!("CARGO_BIN_EXE_arplab"))
            .args(["cni", "explore", &network, "--bin-dir", &mark])
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // somewhere else in the search each time
        std::thread::sleep(Duration::from_millis(200 + 370 * round));
        search.kill().unwrap();
        search.wait().unwrap();
        let begun = Instant::now();
        while !processes(&mark).is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", processes(&mark));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    let file = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!file.contains(&mark), "{file}");
}
