//! Real CNI plugins disturbed step by step: what is right is found right, what was broken by hand is
//! caught, and what fails fails again when it is played again.
//!
//! Without root or the plugins the tests say so and pass; with `ARPLAB_REQUIRE_CNI=1` they fail instead.

use crate::cni::processes;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

// the longest first
crate::live_tests! {
    bridge_is_explored_and_what_fails_fails_again,
    a_plugin_that_is_right_keeps_everything,
    ptp_is_explored_and_what_fails_fails_again,
    a_plugin_broken_by_hand_is_caught_each_time,
    the_walk_through_a_change_of_ptp_finds_what_it_breaks,
    a_killed_search_leaves_nothing,
    a_rule_of_either_iptables_that_is_left_is_caught,
    a_regression_test_in_rust_runs_in_an_empty_crate,
    what_cannot_be_explored_is_said_and_leaves_nothing,
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
        r#"{{"cniVersion":"1.1.0","name":"net","plugins":[{{"type":"shell-veth","broken":"{broken}"}}]}}"#
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
    for action in ["fail ENOBUFS", "kill-before", "kill-after", "orphan", "hold", "other-first", "undo"] {
        let wanted = format!("ADD {action}: ip route add ");
        assert!(all.iter().any(|(what, _)| what.starts_with(&wanted)), "{wanted}: {all:#?}");
    }
    for wanted in ["DEL kill-after: ip rule del", "GC fail EROFS: unlink ", "ADD orphan: ip rule add"] {
        assert!(all.iter().any(|(what, _)| what.starts_with(wanted)), "{wanted}: {all:#?}");
    }
    let xml = std::fs::read_to_string(&junit).unwrap();
    assert!(
        xml.contains(r#"<testsuite name="clean" "#)
            && xml.contains(r#"<testsuite name="gc" "#)
            && xml.contains(r#"failures="0""#),
        "{xml}"
    );
}

fn a_plugin_broken_by_hand_is_caught_each_time() {
    if !ready(&["/usr/sbin/ip"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // how it is broken, what shows it, which property it lacks then, and how many cases it takes to come there
    let wrong = [
        ("leaves-out", " : ", "gateway", "2"),
        ("swaps", "ADD kill-after: ip link add", "clean", "16"),
        ("forgets", " : ", "clean", "2"),
        ("gc-forgets", "ADD orphan: mkdir ", "gc", "16"),
        ("gc-harms", " : ", "gc", "2"),
        ("not-ready", " : ", "status", "2"),
    ];
    for (broken, shows, lacks, budget) in wrong {
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
            budget,
        ]);
        let stderr = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(1), "{broken}: {stderr}");
        let failing = failing(&out);
        let caught =
            failing.iter().any(|(what, which)| what.starts_with(shows) && which.contains(&lacks.to_owned()));
        assert!(caught, "{broken}: {failing:#?}");
        // the one of which nothing can be seen but by a kill must be right when nothing is done
        assert_eq!(failing.iter().any(|(what, _)| what == " : "), shows == " : ", "{broken}: {failing:#?}");
        let replayed = arplab(&["cni", "replay", "--holds", &case]);
        assert_eq!(replayed.status.code(), Some(1), "{broken}");
        assert!(String::from_utf8_lossy(&replayed.stdout).contains("As recorded."), "{broken}: {replayed:?}");
        let script = |test: &str| {
            let arplab = env!("CARGO_BIN_EXE_arplab");
            Command::new("/bin/sh").arg(test).env("ARPLAB", arplab).output().unwrap().status.code()
        };
        if broken == "forgets" {
            assert_eq!(script(&test), Some(1), "{broken}");
        }
        // the same test with the plugin mended
        let mended = std::fs::read_to_string(&test).unwrap().replace(broken, "");
        std::fs::write(&test, mended).unwrap();
        assert_eq!(script(&test), Some(0), "{broken}");
    }
}

/// Both kinds of iptables: what is left of their rules is left, and what is taken from them is missed.
fn a_rule_of_either_iptables_that_is_left_is_caught() {
    let folder = tempfile::tempdir().unwrap();
    // the request that makes the rule, beside another pod's, and how a rule that is left is told
    let both = [
        ("iptables-nft", "nft add rule ip nat POSTROUTING", "left node: nft rule ip nat POSTROUTING handle "),
        (
            "iptables-legacy",
            "iptables (legacy): replace table nat",
            "left node: iptables-legacy -t nat -A POSTROUTING -s 10.9.0.2/32 ",
        ),
    ];
    for (iptables, step, left) in both {
        if !ready(&["/usr/sbin/ip", &format!("/usr/sbin/{iptables}")]) {
            return;
        }
        let undo = format!(
            "[cut]\nverb = \"ADD\"\nturn = 0\nplugin = \"shell-veth\"\nnetns = \"node\"\nstep = \"{step}\"\n\
             nth = 1\naction = \"undo\"\n"
        );
        let missed = "notices    NOT kept: CHECK says yes after `";
        let cases = [
            ("leaves-rule", "undisturbed = true\n", Some(left)),
            ("", "undisturbed = true\n", None),
            ("blind", undo.as_str(), Some(missed)),
            ("", undo.as_str(), None),
        ];
        for (broken, cut, lacks) in cases {
            let case = folder.path().join("case.toml");
            let list = format!(
                r#"{{"cniVersion":"1.1.0","name":"net","plugins":[{{"type":"shell-veth","iptables":"{iptables}","broken":"{broken}"}}]}}"#
            );
            let text = format!(
                "format = \"arplab-cni-case\"\nversion = 1\nconflist = '{list}'\nbin-dirs = [\"{}\"]\n\
                 ifname = \"eth0\"\ntimeout = \"10s\"\nhold = \"100ms\"\nwithin = \"1s\"\nlacks = [\"clean\"]\n{cut}",
                own_plugins()
            );
            std::fs::write(&case, text).unwrap();
            let out = arplab(&["cni", "replay", "--holds", &case.display().to_string()]);
            let text = String::from_utf8_lossy(&out.stdout);
            assert_eq!(out.status.code(), Some(i32::from(lacks.is_some())), "{iptables} {broken}: {out:?}");
            assert!(lacks.is_none_or(|lacks| text.contains(lacks)), "{iptables} {broken}: {text}");
            assert!(
                !cut.contains("[cut]") || text.contains("notices "),
                "{iptables}: it was not undone: {text}"
            );
        }
    }
}

/// What docs/real-plugins.md says that a search prints, with the configuration that it names.
const DOC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/real-plugins.md");

/// The block of the document that begins with this line of its own, up to the line that ends such blocks.
fn block(text: &str, begin: &str) -> std::ops::Range<usize> {
    let from = text.find(begin).unwrap_or_else(|| panic!("{begin} is not in the document")) + begin.len();
    let length = text[from..].find("<!-- end -->").expect("an end");
    from..from + length
}

/// The version of the plugins that the document's tables are of. Debian's plugins themselves say "unknown".
const DOCUMENTED: &str = "1.1.1+ds1-3";

/// The version of Debian's package, if these plugins are from one.
pub(crate) fn version_of_plugins() -> Option<String> {
    let asked = ["-W", "-f", "${Version}", "containernetworking-plugins"];
    let out = Command::new("dpkg-query").args(asked).output().ok()?;
    out.status.success().then(|| String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Searches, and holds what it prints against the document; with `ARPLAB_WRITE_DOCS=1` the document gets it.
/// Every case that failed is kept in a folder.
fn as_documented(plugin: &str, target: &str, cases: &Path) {
    let begun = Instant::now();
    let cases = cases.display().to_string();
    let out = arplab(&["cni", "explore", target, "--bin-dir", PLUGINS, "--markdown", "--save-all", &cases]);
    eprintln!("{plugin}: explored in {:?}", begun.elapsed());
    assert_eq!(out.status.code(), Some(1), "{}", String::from_utf8_lossy(&out.stderr));
    let printed = format!("\n{}\n", String::from_utf8(out.stdout).unwrap());
    let mut text = std::fs::read_to_string(DOC).unwrap();
    let found = block(&text, &format!("<!-- found: {plugin} -->"));
    if std::env::var("ARPLAB_WRITE_DOCS").as_deref() == Ok("1") {
        text.replace_range(found, &printed);
        std::fs::write(DOC, text).unwrap();
        return;
    }
    let here = version_of_plugins();
    if !here.as_ref().is_some_and(|it| it.starts_with(DOCUMENTED)) {
        eprintln!(
            "here are plugins {here:?}, and {DOCUMENTED} in the document: what explore prints is not compared"
        );
        return;
    }
    assert!(
        text[found.clone()] == printed,
        "docs/real-plugins.md says\n{}\nand this run\n{printed}",
        &text[found]
    );
}

fn files_of(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).collect();
    files.sort();
    files
}

fn fails_again(file: &Path) {
    let out = arplab(&["cni", "replay", &file.display().to_string()]);
    let text = String::from_utf8_lossy(&out.stdout);
    assert_eq!(out.status.code(), Some(0), "{}: {text}", std::fs::read_to_string(file).unwrap());
    assert!(text.contains("NOT kept") && text.contains("As recorded."), "{text}");
}

fn ptp_is_explored_and_what_fails_fails_again() {
    if !ready(&["/usr/lib/cni/ptp"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    as_documented("ptp", "ptp", folder.path());
    let files = files_of(folder.path());
    let texts: Vec<String> = files.iter().map(|it| std::fs::read_to_string(it).unwrap()).collect();
    // as in the document, of version 1.1.1: a lease that nobody can take back
    let lease = |text: &String| text.contains("kill-after") && text.contains("open /var/lib/cni/networks/");
    assert!(texts.iter().any(lease), "{texts:#?}");
    assert!(texts.iter().any(|text| text.contains("first-pod = true")), "{texts:#?}");
    for file in &files {
        fails_again(file);
    }
}

/// The configuration that the document names for bridge.
fn bridge() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/examples/real-plugins/bridge.conflist").to_owned()
}

fn bridge_is_explored_and_what_fails_fails_again() {
    if !ready(&["/usr/lib/cni/bridge", "/usr/sbin/iptables"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let cases = folder.path().join("cases");
    as_documented("bridge", &bridge(), &cases);
    // one of each kind of disturbance and what it broke
    let mut kinds = std::collections::BTreeMap::new();
    for file in files_of(&cases) {
        let text = std::fs::read_to_string(&file).unwrap();
        let case: toml::Value = toml::from_str(&text).unwrap();
        let action = case["cut"]["action"].as_str().unwrap().split(' ').next().unwrap().to_owned();
        kinds.entry((action, case["lacks"].to_string())).or_insert(file);
    }
    for action in ["fail", "kill-before", "kill-after", "undo"] {
        assert!(kinds.keys().any(|(of, _)| of == action), "{action}: {kinds:#?}");
    }
    for file in kinds.values() {
        fails_again(file);
    }
}

fn a_regression_test_in_rust_runs_in_an_empty_crate() {
    if !ready(&["/usr/sbin/ip"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let crate_of_a_user = folder.path().join("user");
    std::fs::create_dir_all(crate_of_a_user.join("tests")).unwrap();
    std::fs::create_dir_all(crate_of_a_user.join("src")).unwrap();
    std::fs::write(crate_of_a_user.join("src/lib.rs"), "").unwrap();
    let manifest = "[package]\nname = \"user\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[workspace]\n";
    std::fs::write(crate_of_a_user.join("Cargo.toml"), manifest).unwrap();
    let test = crate_of_a_user.join("tests/case.rs");
    let network = network(folder.path(), "forgets");
    let shown = test.display().to_string();
    let out = arplab(&[
        "cni",
        "explore",
        &network,
        "--bin-dir",
        &own_plugins(),
        "--budget",
        "1",
        "--save-test",
        &shown,
    ]);
    assert_eq!(out.status.code(), Some(1), "{}", String::from_utf8_lossy(&out.stderr));
    let run = || {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
        let out = Command::new(cargo)
            .args(["test", "--offline", "--quiet"])
            .current_dir(&crate_of_a_user)
            .env("CARGO_TARGET_DIR", folder.path().join("target"))
            .env("ARPLAB", env!("CARGO_BIN_EXE_arplab"))
            .env_remove("RUSTFLAGS")
            .output()
            .unwrap();
        (out.status.success(), String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned())
    };
    let (passed, told) = run();
    assert!(!passed && told.contains("clean      NOT kept: left node: rule"), "{told}");
    // the same test with the plugin mended
    let mended = std::fs::read_to_string(&test).unwrap().replace("forgets", "");
    std::fs::write(&test, mended).unwrap();
    let (passed, told) = run();
    assert!(passed && told.contains("1 passed"), "{told}");
    let out = arplab(&["cni", "explore", &network, "--save-test", "/tmp/case.py"]);
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.code() == Some(2) && stderr.contains("ending in .sh or .rs"), "{stderr}");
}

/// The script of the document's walk: ptp with a DEL that is cleverer than it should be.
fn the_walk_through_a_change_of_ptp_finds_what_it_breaks() {
    if !ready(&["/usr/lib/cni/ptp", "/usr/sbin/ip"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(DOC).unwrap();
    let script =
        text.split("cat > plugins/ptp <<'EOF'\n").nth(1).expect("the script").split("EOF\n").next().unwrap();
    let plugin = folder.path().join("ptp");
    std::fs::write(&plugin, script).unwrap();
    std::fs::set_permissions(&plugin, std::fs::Permissions::from_mode(0o755)).unwrap();
    let target = plugin.display().to_string();
    let all = folder.path().join("cases");
    let shown = all.display().to_string();
    let out = arplab(&[
        "cni",
        "explore",
        &target,
        "--bin-dir",
        PLUGINS,
        "--property",
        "clean",
        // the steps of ADD up to the link and a little further
        "--budget",
        "40",
        "--json",
        "--save-all",
        &shown,
    ]);
    assert_eq!(out.status.code(), Some(1), "{}", String::from_utf8_lossy(&out.stderr));
    let failing = failing(&out);
    // the lease stays wherever ADD ends between host-local and the link
    let left = |(what, lacks): &(String, Vec<String>)| {
        what.starts_with("ADD kill-before: ip link add eth0 ") && lacks.contains(&"clean".to_owned())
    };
    assert!(failing.iter().any(left), "{failing:#?}");
    let files = files_of(&all);
    let text = |file: &PathBuf| std::fs::read_to_string(file).unwrap();
    let case = files
        .iter()
        .find(|file| text(file).contains("kill-before") && text(file).contains("ip link add eth0"));
    let case = case.expect("it was kept").display().to_string();
    assert_eq!(arplab(&["cni", "replay", "--holds", &case]).status.code(), Some(1));
    // the plugin mended: the same case holds
    std::fs::write(&plugin, "#!/bin/sh\nexec /usr/lib/cni/ptp\n").unwrap();
    let out = arplab(&["cni", "replay", "--holds", &case]);
    assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stdout));
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
        (["cni", "replay", "/dev/zero"], "no regular file"),
        (["cni", "replay", "/no/such"], "reading the case /no/such failed"),
    ] {
        let out = arplab(&args);
        assert_eq!(out.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&out.stderr).contains(wanted), "{out:?}");
    }
    let under_a_file = format!("{file}/cases");
    for (option, value, wanted) in [
        ("--save-all", file.as_str(), "it is no directory"),
        ("--save-all", under_a_file.as_str(), "Not a directory"),
        ("--within", "0s", "more than 0s is wanted"),
    ] {
        // a search would need a plugin
        let out = arplab(&["cni", "explore", "no-such-plugin", option, value]);
        assert_eq!(out.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&out.stderr).contains(wanted), "{out:?}");
    }
    // cut off before its last table, or without a fault to play
    let list = r#"{"cniVersion":"1.1.0","name":"net","type":"shell-veth"}"#;
    for (rest, wanted) in [
        ("lacks = [\"clean\"]\n", "neither `[cut]` nor `undisturbed = true`"),
        ("lacks = []\nundisturbed = true\n", "`lacks` names nothing"),
    ] {
        let text = format!(
            "format = \"arplab-cni-case\"\nversion = 1\nconflist = '{list}'\nbin-dirs = []\n\
             ifname = \"eth0\"\ntimeout = \"10s\"\nhold = \"100ms\"\nwithin = \"1s\"\n{rest}"
        );
        let out = arplab(&["cni", "replay", &script("cut.toml", &text, 0o644)]);
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
