//! Real CNI plugins, as Debian has them: every request that strace(1) shows is shown, once.
//!
//! Without the plugins, strace or root the tests say so and pass; with `ARPLAB_REQUIRE_CNI=1` they
//! fail instead.

use arplab::cni::{self, Conflist, PluginStage, PluginTrace, TraceOptions};
use arplab::time::Span;
use netns_lab::supervise::{Answer, Kind, Record};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

crate::live_tests! {
    all_that_strace_shows_is_shown_once,
    the_steps_of_ptp_are_told_in_place_and_words,
    what_is_no_plugin_is_said_and_leaves_nothing,
    a_killed_trace_leaves_nothing,
}

pub(crate) const PLUGINS: &str = "/usr/lib/cni";

/// Whether the plugins can be run here.
pub(crate) fn ready() -> bool {
    let tool = |name: &str| Path::new(name).exists();
    let missing = if !Path::new(PLUGINS).join("ptp").exists() {
        Some("containernetworking-plugins is not installed")
    } else if !tool("/usr/bin/strace") {
        Some("strace is not installed")
    } else if !tool("/usr/sbin/iptables") {
        Some("iptables is not installed")
    } else if !crate::is_real_root() {
        Some("it takes root")
    } else {
        None
    };
    let Some(why) = missing else { return true };
    assert!(std::env::var("ARPLAB_REQUIRE_CNI").as_deref() != Ok("1"), "ARPLAB_REQUIRE_CNI=1, but {why}");
    eprintln!("skipped: {why}");
    false
}

pub(crate) fn list(plugins: &str) -> Conflist {
    let text = format!(r#"{{"cniVersion":"1.0.0","name":"net","plugins":[{plugins}]}}"#);
    Conflist::parse("test", text.as_bytes()).unwrap()
}

pub(crate) const IPAM: &str =
    r#""ipam":{"type":"host-local","subnet":"10.88.0.0/24","routes":[{"dst":"0.0.0.0/0"}]}"#;

pub(crate) fn options(folders: Vec<PathBuf>) -> TraceOptions {
    let ports =
        serde_json::json!({"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]});
    TraceOptions {
        folders,
        args: None,
        capability_args: ports.as_object().unwrap().clone(),
        ifname: "eth0".into(),
        timeout: Span::from_secs(60),
        patience: Span::from_secs(5),
        gateway: None,
        check: true,
        del: true,
    }
}

/// The networks that are traced: each sort of plugin with what is chained to it.
fn networks() -> Vec<(&'static str, Conflist)> {
    let tuning = r#"{"type":"tuning","sysctl":{"net.ipv4.conf.eth0.arp_notify":"1"}}"#;
    let portmap = r#"{"type":"portmap","capabilities":{"portMappings":true}}"#;
    let bridge = format!(r#"{{"type":"bridge","bridge":"cni0","isGateway":true,"ipMasq":true,{IPAM}}}"#);
    vec![
        ("ptp", list(&format!(r#"{{"type":"ptp","ipMasq":true,{IPAM}}}"#))),
        ("bridge", list(&format!("{bridge},{portmap},{tuning}"))),
        ("macvlan", list(&format!(r#"{{"type":"macvlan","master":"eth0",{IPAM}}}"#))),
    ]
}

/// A folder with a script for each plugin, that runs the real one under strace.
fn straced(folder: &Path) {
    let calls = "sendto,sendmsg,sendmmsg,write,openat,setns,unshare,clone,execve,ioctl,unlink,unlinkat,mkdir,\
                 mkdirat,rmdir,rename,renameat,renameat2,link,linkat,symlink,symlinkat";
    for plugin in ["ptp", "bridge", "macvlan", "portmap", "tuning"] {
        let script = format!(
            "#!/bin/sh\nexec /usr/bin/strace -f -yy -v -s 200000 -o /run/strace.{plugin}.$CNI_COMMAND -e trace={calls} \
             {PLUGINS}/{plugin}\n"
        );
        let path = folder.join(plugin);
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

type Counts = BTreeMap<String, i32>;

fn count(counts: &mut Counts, what: String) {
    *counts.entry(what).or_default() += 1;
}

/// What strace shows, of the kinds that are named.
fn of_strace(text: &str) -> Counts {
    let mut counts = Counts::new();
    // calls that a signal broke off before anybody saw them are made again
    let mut begun: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for line in text.lines() {
        let (pid, rest) = line.split_once(' ').unwrap_or_default();
        let rest = rest.trim_start();
        if rest.starts_with("<...") {
            for what in begun.remove(pid).unwrap_or_default() {
                if !rest.contains("ERESTART") {
                    count(&mut counts, what);
                }
            }
        } else if !rest.contains("ERESTART") {
            let found = of_line(rest);
            if rest.ends_with("<unfinished ...>") {
                begun.insert(pid, found);
            } else {
                for what in found {
                    count(&mut counts, what);
                }
            }
        }
    }
    // one that was carried out and never came back, such as that of a thread that ended
    for what in begun.into_values().flatten() {
        count(&mut counts, what);
    }
    counts
}

fn of_line(line: &str) -> Vec<String> {
    let Some((call, rest)) = line.split_once('(') else { return Vec::new() };
    let first = rest.split(", ").next().unwrap_or_default();
    let quoted = |text: &str| text.split('"').nth(1).unwrap_or_default().to_owned();
    match call {
        "sendto" | "sendmsg" | "sendmmsg" if first.contains("<NETLINK:") => {
            let numbers = |key: &str| -> Vec<String> {
                let values = rest.split(key).skip(1);
                values.map(|it| it.split([',', '}']).next().unwrap_or_default().to_owned()).collect()
            };
            let (lengths, sequences) = (numbers("nlmsg_len="), numbers("nlmsg_seq="));
            let number = |text: &str| match text.strip_prefix("0x") {
                Some(hex) => u64::from_str_radix(hex, 16),
                None => text.parse(),
            };
            let pairs = lengths.iter().zip(&sequences);
            pairs.map(|(len, seq)| format!("netlink {len} {}", number(seq).unwrap())).collect()
        }
        "write" if first.contains("/proc/sys/") => {
            let path = first.split("/proc/sys/").nth(1).unwrap_or_default().trim_end_matches('>');
            vec![format!("write {path} {}", quoted(rest).replace("\\n", ""))]
        }
        "openat" if ["O_WRONLY", "O_RDWR", "O_CREAT"].iter().any(|flag| rest.contains(flag)) => {
            let path = quoted(rest);
            if path == "/dev/null" { Vec::new() } else { vec![format!("open {path}")] }
        }
        "setns" => vec!["setns".into()],
        "unshare" => vec!["unshare".into()],
        "clone" if rest.contains("CLONE_NEW") => vec!["clone".into()],
        "execve" => vec![format!("exec {}", quoted(rest))],
        "ioctl" if rest.contains(", SIOC") => vec!["ioctl".into()],
        "unlink" | "unlinkat" | "mkdir" | "mkdirat" | "rmdir" | "rename" | "renameat" | "renameat2"
        | "link" | "linkat" | "symlink" | "symlinkat" => {
            let paths: Vec<&str> = rest.split('"').skip(1).step_by(2).collect();
            vec![format!("name {}", paths.join(" "))]
        }
        _ => Vec::new(),
    }
}

/// What the supervisor shows, in the same words.
fn of_records<'a>(records: impl Iterator<Item = &'a Record>) -> Counts {
    let mut counts = Counts::new();
    // up to strace's own beginning it is the script
    let records = records.skip_while(
        |record| !matches!(&record.request.kind, Kind::Exec { program, .. } if program.ends_with("strace")),
    );
    for record in records.skip(1) {
        let own = record.request.program == "strace";
        match &record.request.kind {
            Kind::Exec { program, .. } => count(&mut counts, format!("exec {}", program.display())),
            _ if own => {}
            Kind::Netlink { messages, .. } => {
                for it in messages {
                    count(&mut counts, format!("netlink {} {}", it.length, it.sequence));
                }
            }
            Kind::Sysctl { path, value } => count(&mut counts, format!("write {path} {value}")),
            Kind::OpenSysctl { path } => count(&mut counts, format!("open /proc/sys/{path}")),
            Kind::Open { path, .. } => count(&mut counts, format!("open {}", path.display())),
            Kind::Enter { .. } => count(&mut counts, "setns".into()),
            Kind::DeviceIoctl { .. } => count(&mut counts, "ioctl".into()),
            Kind::Name { paths, .. } => {
                let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
                count(&mut counts, format!("name {}", paths.join(" ")));
            }
            Kind::NewNamespaces { call, .. } => count(&mut counts, (*call).to_owned()),
            _ => {}
        }
    }
    counts
}

fn run(list: &Conflist, folders: Vec<PathBuf>) -> (PluginStage, PluginTrace) {
    let stage = PluginStage::new().unwrap();
    let trace = cni::trace(&stage, list, &options(folders)).unwrap();
    (stage, trace)
}

fn all_that_strace_shows_is_shown_once() {
    if !ready() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    straced(folder.path());
    for (name, list) in networks() {
        let (stage, trace) = run(&list, vec![folder.path().into(), PLUGINS.into()]);
        let (mut compared, mut names) = (0, 0);
        for operation in &trace.operations {
            for invocation in &operation.invocations {
                let verb = operation.verb.word();
                let what = format!("{verb} of {} in {name}", invocation.plugin);
                // portmap 1.1.1 misses a chain of ip6tables that it made no use of: docs/real-plugins.md
                let known = verb == "CHECK" && invocation.plugin == "portmap";
                assert!(known || invocation.answer.is_ok(), "{what}: {:?}", invocation.answer);
                let log = stage.read(format!("/run/strace.{}.{verb}", invocation.plugin)).unwrap();
                let shown = of_strace(&String::from_utf8_lossy(&log));
                let seen = of_records(invocation.steps.iter().map(|step| &step.record));
                assert_eq!(seen, shown, "{what}");
                compared += shown.values().sum::<i32>();
                names += shown.keys().filter(|what| what.starts_with("name ")).count();
            }
        }
        eprintln!("{name}: {compared} requests are the same");
        assert!(compared > 40, "{name}: {compared}");
        assert!(names >= 4, "host-local makes its folders and takes its lease away: {names}");
    }
}

fn words(trace: &PluginTrace) -> Vec<String> {
    let invocations = trace.operations.iter().flat_map(|it| &it.invocations);
    let steps = invocations.flat_map(|it| &it.steps);
    steps.map(|step| format!("{} {}", step.place.netns, step.record.request)).collect()
}

fn the_steps_of_ptp_are_told_in_place_and_words() {
    if !ready() {
        return;
    }
    let (stage, trace) = run(&networks().remove(0).1, vec![PLUGINS.into()]);
    let words = words(&trace);
    let has = |text: &str| assert!(words.iter().any(|it| it.starts_with(text)), "{text}: {words:#?}");
    has("node sysctl -w net.ipv4.ip_forward=1");
    has("pod ip link add eth0 ");
    has("pod ip address add 10.88.0.2/24 ");
    has("pod ip route append default via 10.88.0.1 dev eth0");
    has("node ip address add 10.88.0.1/32 ");
    has("node ip route add 10.88.0.2 dev veth");
    has("pod setns node");
    has("node nft add table ip nat");
    let made = trace.operations[0].invocations[0]
        .steps
        .iter()
        .find(|it| it.record.request.to_string().starts_with("ip link add eth0 "));
    let made = made.unwrap();
    assert_eq!(made.record.request.other_netns().next(), Some(stage.node.id()));
    assert_eq!(made.record.answer, Answer::Done);
    let add = &trace.operations[0];
    let gateway = &trace.gateway;
    assert_eq!(gateway.gateway, Some([10, 88, 0, 1].into()));
    assert!(
        gateway.first_answer_ns.is_some_and(|at| at > trace.began_ns && at < add.ended_ns() + 5_000_000_000)
    );
    // all that was made is gone after DEL
    assert_eq!(stage.pod.blocking().links().unwrap().len(), 1);
    assert_eq!(stage.node.blocking().links().unwrap().len(), 2);
}

pub(crate) fn arplab(args: &[&str], temp: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_arplab")).args(args).env("TMPDIR", temp).output().unwrap()
}

/// Processes whose command line has this in it.
pub(crate) fn processes(mark: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(mark))
        .collect()
}

fn what_is_no_plugin_is_said_and_leaves_nothing() {
    if !ready() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let temp = tempfile::tempdir().unwrap();
    let script = |name: &str, content: &str, mode: u32| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path.display().to_string()
    };
    let result = r#"echo '{"cniVersion":"1.0.0"}'"#;
    let cases = [
        (script("closed", "#!/bin/sh\n", 0o644), "not executable", 2),
        (script("text", "hello", 0o755), "neither an ELF file", 2),
        (script("garbage", "#!/bin/sh\necho hello\n", 0o755), "begins with \"hello", 2),
        (script("failing", "#!/bin/sh\necho oops >&2; exit 1\n", 0o755), "begins with \"oops", 2),
        (script("silent", "#!/bin/sh\n", 0o755), "printed nothing", 2),
        (script("chatty", "#!/bin/sh\nhead -c 100000000 /dev/zero\n", 0o755), "printed 100000000 bytes", 2),
        (script("endless", "#!/bin/sh\nwhile :; do :; done\n", 0o755), "did not end within its time", 2),
        (script("sleepy", "#!/bin/sh\nexec sleep 1000\n", 0o755), "did not end within its time", 2),
        (
            script(
                "away",
                &format!(
                    "#!/bin/sh\n(setsid sh -c 'sleep 1000; : {}' &)\n{result}\n",
                    folder.path().display()
                ),
                0o755,
            ),
            "left processes behind",
            2,
        ),
        (script("killed", "#!/bin/sh\nkill -SEGV $$\n", 0o755), "ended by signal 11", 2),
        (folder.path().join("none").display().to_string(), "there is no plugin", 2),
        ("no-such-plugin".into(), "--bin-dir", 2),
        (script("a.conflist", "{\n\"cniVersion\": 1.0.0}", 0o644), "a.conflist:2:18: no JSON", 2),
        (
            script("b.conflist", "{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"plugins\":[{}]}", 0o644),
            "plugins[0]",
            2,
        ),
        (folder.path().join("c.conflist").display().to_string(), "cannot be read", 2),
    ];
    for (target, wanted, code) in cases {
        let begun = Instant::now();
        let timeout = if wanted.starts_with("did not end") { "500ms" } else { "60s" };
        let out = arplab(&["cni", "trace", &target, "--timeout", timeout, "--patience", "10ms"], temp.path());
        let stderr = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(code), "{target}: {stderr}");
        assert!(stderr.contains(wanted), "{target}: {stderr}");
        assert!(begun.elapsed() < Duration::from_mins(1), "{target}");
        assert_eq!(processes(&folder.path().display().to_string()), Vec::<String>::new(), "{target}");
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0, "{target}");
    }
    let refused = script("refuses", "#!/bin/sh\necho '{\"code\":7,\"msg\":\"no\"}'; exit 1\n", 0o755);
    let out = arplab(&["cni", "trace", &refused], temp.path());
    assert_eq!(out.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&out.stdout).contains("FAILED: invalid network config (code 7): no"));
}

fn a_killed_trace_leaves_nothing() {
    if ready() {
        killed_leaves_nothing("arplab-mark", &["ptp"], (40, Duration::from_millis(2)));
    }
}

/// `cni trace` with these arguments, killed so many times, each time so much later.
pub(crate) fn killed_leaves_nothing(mark: &str, args: &[&str], (times, later): (u32, Duration)) {
    let temp = tempfile::tempdir().unwrap();
    let mark = format!("{mark}-{}", std::process::id());
    for moment in 0..times {
        let mut child = Command::new(env!("CARGO_BIN_EXE_arplab"))
            .args(["cni", "trace", "--del", "--bin-dir", PLUGINS, "--args", &format!("K={mark}")])
            .args(args)
            .env("TMPDIR", temp.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(later * moment);
        child.kill().unwrap();
        child.wait().unwrap();
        let begun = Instant::now();
        while !marked(&mark).is_empty() {
            assert!(begun.elapsed() < Duration::from_mins(1), "left: {:?}", marked(&mark));
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0);
        assert!(!Path::new("/var/lib/cni/networks/arplab").exists(), "a lease on this machine");
    }
}

/// Processes that have this in their environment, or in their command line.
fn marked(mark: &str) -> Vec<String> {
    let holds = |path: PathBuf| {
        let bytes = std::fs::read(path).unwrap_or_default();
        bytes.windows(mark.len()).any(|part| part == mark.as_bytes())
    };
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let found = entries.filter(|it| holds(it.path().join("environ")) || holds(it.path().join("cmdline")));
    found.map(|it| it.path().display().to_string()).collect()
}
