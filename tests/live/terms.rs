//! Commands that culprits issue, one a scenario: what the model has a term for is the same in the simulator
//! and on the kernel; the rest is refused by the one with the way out, and done live by the other, with the
//! model's ignorance said. Nothing is answered as if the command had not been there.

use crate::process::{Run, events, nothing_left};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Mutex;

crate::live_tests! {
    the_model_has_a_term_or_says_that_it_has_none,
    a_run_in_which_model_and_kernel_differ_is_no_success,
}

/// Whose command it is, and what becomes of three pings (to 203.0.113.8) and a connect (to another, port 80).
struct Term {
    side: &'static str,
    commands: &'static [&'static str],
    answered: (u64, u64),
    modelled: bool,
}

const fn known(side: &'static str, commands: &'static [&'static str], answered: (u64, u64)) -> Term {
    Term { side, commands, answered, modelled: true }
}

const fn unknown(commands: &'static [&'static str], answered: (u64, u64)) -> Term {
    Term { side: "node", commands, answered, modelled: false }
}

const ALL: (u64, u64) = (3, 1);
const NONE: (u64, u64) = (0, 0);

const TERMS: &[Term] = &[
    known("node", &["ip rule add priority 100 iif {cali} ipproto icmp unreachable"], (0, 1)),
    known("node", &["ip rule add priority 100 iif {cali} ipproto tcp dport 80 unreachable"], (3, 0)),
    known("node", &["ip rule add priority 100 iif {cali} ipproto tcp dport 81-90 unreachable"], ALL),
    known(
        "node",
        &["ip rule add priority 100 iif {cali} goto 300", "ip rule add priority 200 unreachable"],
        NONE,
    ),
    known("node", &["ip rule add priority 100 uidrange 0-0 iif {cali} unreachable"], NONE),
    known("node", &["ip rule add priority 100 tos 0x10 unreachable"], ALL),
    known(
        "node",
        &["ip rule add priority 1 lookup main suppress_ifgroup 0", "ip rule del priority 32766"],
        NONE,
    ),
    known("node", &["ip rule add priority 1 l3mdev", "ip rule add priority 2 nop"], ALL),
    known("pod", &["ip rule add priority 100 ipproto icmp unreachable"], (0, 1)),
    known("node", &["ip addr add 10.9.0.1 peer 203.0.113.8 dev {cali}"], (0, 1)),
    known("node", &["ip addr add 203.0.113.1/24 dev {cali} noprefixroute"], ALL),
    known("node", &["ip addr add 203.0.113.1/24 dev {cali} metric 50"], NONE),
    known("pod", &["ip addr replace {pod_ip}/32 dev {eth}"], ALL),
    known("pod", &["ip addr del {pod_ip} dev {eth}"], NONE),
    known("node", &["ip route flush table 77"], ALL),
    known("node", &["ip route prepend blackhole default"], NONE),
    known("node", &["ip route append blackhole default"], ALL),
    known("node", &["ip -6 rule add priority 100 fwmark 0x1 unreachable"], ALL),
    unknown(&["ip route add anycast 203.0.113.8 dev {uplink}"], (0, 1)),
    unknown(&["ip route add 203.0.113.0/24 dev {cali} realm 4"], NONE),
    unknown(&["ip route add 203.0.113.0/24 dev {cali} tos 0x10"], ALL),
    unknown(&["ip nexthop add id 1 via {router} dev {uplink}", "ip route replace default nhid 1"], ALL),
    unknown(
        &[
            "ip nexthop add id 1 via {router} dev {uplink}",
            "ip route replace default nhid 1",
            "ip nexthop del id 1",
        ],
        NONE,
    ),
    unknown(&["ip link set {cali} mtu 1279"], ALL),
    // a veth refuses less than 68 bytes, so that its IPv4 stays
    unknown(&["ip link set {cali} mtu 67"], ALL),
    unknown(&["ip route replace default via {router} dev {uplink} mtu 1400"], ALL),
    unknown(&["ip route replace default via inet6 fe80::1 dev {uplink}"], ALL),
    unknown(&["ip route add multicast 203.0.113.8 dev {uplink}"], (0, 1)),
    unknown(&["ip link set {cali} addrgenmode none"], ALL),
    unknown(&["ip link set {cali} group 7", "ip link set group 7 down"], NONE),
    unknown(&["sysctl -w net.ipv6.conf.{cali}.keep_addr_on_down=1"], ALL),
    unknown(&["ip link add mv0 link {cali} type macvlan mode bridge", "ip link set mv0 up"], ALL),
    unknown(
        &[
            "ip link add br0 type bridge",
            "ip link set br0 up",
            "ip link set {cali} master br0",
            "bridge link set dev {cali} isolated on neigh_suppress on",
        ],
        NONE,
    ),
];

/// Runs at once: they wait for the most part.
const AT_ONCE: usize = 8;

fn the_model_has_a_term_or_says_that_it_has_none() {
    let (next, wrong) = (Mutex::new(TERMS.iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(term) = next.lock().expect("no panic").next() else { return };
                    if let Err(why) = check(term) {
                        wrong.lock().expect("no panic").push(format!("{:?}: {why}", term.commands));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().expect("no panic");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().expect("a file");
    std::fs::write(file.path(), text).expect("written");
    file
}

fn run(file: &tempfile::NamedTempFile, more: &[&str]) -> (Option<i32>, Vec<Value>, Value, String) {
    let path = file.path().to_str().expect("UTF-8");
    let (output, mark) = Run::start(&[&["run", path, "--json"], more].concat()).end();
    nothing_left(&mark, &BTreeSet::new());
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.stdout.is_empty() {
        return (output.status.code(), Vec::new(), Value::Null, errors);
    }
    let (events, verdict) = events(&output);
    (output.status.code(), events, verdict, errors)
}

fn answered(verdict: &Value) -> (u64, u64) {
    let of = |client: &str| verdict["seen"]["clients"][client]["answered"].as_u64().unwrap_or(u64::MAX);
    (of("ping"), of("tcp-connect"))
}

fn count(events: &[Value], kind: &str) -> usize {
    events.iter().filter(|e| e["event"] == kind).count()
}

fn check(term: &Term) -> Result<(), String> {
    let file = file(&format!(
        "id = \"term\"\ntitle = \"One command\"\n\
         [[step]]\nid = \"operator.term\"\nafter = \"felix.endpoint-status\"\ndelay = \"200ms\"\n{} = {}\n\
         [[client]]\nkind = \"ping\"\nto = \"203.0.113.8\"\ncount = 3\ninterval = \"300ms\"\ndelay = \"1s\"\n\
         [[client]]\nkind = \"tcp-connect\"\nto = \"203.0.113.9:80\"\ndelay = \"1s\"\ntimeout = \"1500ms\"\n",
        term.side,
        json!(term.commands)
    ));
    let told = |(code, events, verdict, errors): &(Option<i32>, Vec<Value>, Value, String)| {
        let differs: Vec<&Value> = events.iter().filter(|e| e["event"] == "differs").collect();
        format!(
            "exit {code:?}, {:?}, {differs:?}, {}, {errors}",
            answered(verdict),
            verdict["seen"]["reasons"]
        )
    };
    let sim = run(&file, &[]);
    let live = run(&file, &["--live", "--responder", "kernel"]);
    if live.0 != Some(0) || answered(&live.2) != term.answered || count(&live.1, "differs") > 0 {
        return Err(format!("the kernel: {}", told(&live)));
    }
    if term.modelled {
        let same = sim.0 == Some(0) && answered(&sim.2) == term.answered;
        let quiet = count(&live.1, "unmodelled") == 0;
        return if same && quiet { Ok(()) } else { Err(format!("the simulator: {}", told(&sim))) };
    }
    let way_out = sim.0 == Some(2) && sim.3.contains("--responder kernel");
    let said = count(&live.1, "unmodelled") > 0;
    if way_out && said { Ok(()) } else { Err(format!("not said: {} / {}", told(&sim), told(&live))) }
}

/// Somebody beside arplab takes proxy ARP away on the node: the kernel is silent, and the model, which
/// knows nothing of it, would answer.
fn a_run_in_which_model_and_kernel_differ_is_no_success() {
    let file = file(
        "id = \"differs\"\ntitle = \"Somebody else\"\n\
         [[step]]\nid = \"operator.ask\"\nafter = \"felix.endpoint-status\"\ndelay = \"2s\"\n\
         pod = [\"ip neigh flush dev {eth}\"]\n\
         [[client]]\nkind = \"ping\"\nto = \"203.0.113.8\"\ncount = 12\ninterval = \"500ms\"\n",
    );
    let path = file.path().to_str().expect("UTF-8").to_owned();
    for json in [true, false] {
        let mut args = vec!["run", path.as_str(), "--live", "--responder", "kernel"];
        args.extend(json.then_some("--json"));
        let run = Run::start(&args);
        run.pod_made();
        std::thread::sleep(std::time::Duration::from_millis(2200));
        for pid in run.processes() {
            take_proxy_arp_away(pid);
        }
        let (output, mark) = run.end();
        nothing_left(&mark, &BTreeSet::new());
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{text}");
        if json {
            let (events, verdict) = events(&output);
            assert!(count(&events, "differs") > 0, "{verdict:#}");
            assert_eq!(verdict["result"], "unexpected");
        } else {
            assert!(text.contains("differ"), "{text}");
        }
    }
}

/// In every namespace that a process is in, of every interface that is a pod's host end.
fn take_proxy_arp_away(pid: u32) {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    for task in tasks {
        let namespace = task.path().join("ns/net");
        let script = "for f in /proc/sys/net/ipv4/conf/cali*/proxy_arp; do [ -e $f ] && echo 0 > $f; done; :";
        let enter = std::process::Command::new("nsenter")
            .arg(format!("--net={}", namespace.display()))
            .args(["sh", "-c", script])
            .output()
            .expect("nsenter of util-linux");
        // a thread may have ended meanwhile
        if !enter.status.success() {
            eprintln!("{}", String::from_utf8_lossy(&enter.stderr));
        }
    }
}
