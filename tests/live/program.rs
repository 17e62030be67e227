//! Running the program in tests.

use crate::process;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Far more than the kernel takes to take namespaces down, on a loaded machine too.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long a row of the truth table lasts, broken and then repaired, in milliseconds.
const ROW_MS: u64 = 700;
/// Of that, the first part is not looked at: the change is under way.
const SETTLE_NS: u64 = 60_000_000;

/// The program with these arguments.
pub(crate) fn arplab(args: &[&str]) -> Command {
    process::prepare(process::program(), args).0
}

/// Says that a test is skipped.
pub(crate) fn skipped(why: &str) {
    assert!(std::env::var("ARPLAB_REQUIRE_NETNS").as_deref() != Ok("1"), "ARPLAB_REQUIRE_NETNS=1, but {why}");
    eprintln!("skipped: {why}");
}

/// What a run of the program came to.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the program.
pub(crate) fn told(args: &[&str]) -> Run {
    let out = arplab(args).output().unwrap();
    Run {
        code: out.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&out.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
    }
}

impl Run {
    /// A run with the kernel as responder, as JSON lines.
    pub(crate) fn of(args: &[&str]) -> Run {
        told(&[&["run", "--live", "--responder", "kernel", "--json"], args].concat())
    }

    /// The machine cannot do it, and the tests need not insist.
    pub(crate) fn is_skipped(&self) -> bool {
        let no_netns = self.code == 3 && self.stderr.contains("namespace") && !self.stderr.contains("staged");
        if no_netns {
            skipped(&self.stderr);
        }
        no_netns
    }

    /// The events of that kind.
    pub(crate) fn events(&self, kind: &str) -> Vec<Value> {
        let lines = self.stdout.lines().map(|l| serde_json::from_str::<Value>(l).unwrap());
        lines.filter(|e| e["event"] == kind).collect()
    }

    pub(crate) fn verdict(&self) -> Value {
        self.events("verdict").pop().unwrap()
    }

    /// States of the pod's entry for its gateway.
    pub(crate) fn states(&self) -> Vec<String> {
        let entries = self.events("neigh").into_iter();
        let gateway = entries.filter(|e| e["side"] == "pod" && e["ip"] == "169.254.1.1");
        gateway.filter_map(|e| e["new"].as_str().map(str::to_owned)).collect()
    }

    /// When a step was done, nanoseconds.
    pub(crate) fn time_of(&self, step: &str) -> u64 {
        let event = self.events("step").into_iter().find(|e| e["step"] == step);
        event.unwrap_or_else(|| panic!("no step {step}"))["t_ns"].as_u64().unwrap()
    }

    /// Requests for the gateway in a span, its edges aside.
    pub(crate) fn asked_between(&self, from_ns: u64, to_ns: u64) -> Vec<Value> {
        let asked = self.verdict()["seen"]["asked"].as_array().unwrap().clone();
        let inside = |a: &Value| {
            let t = a["t_ns"].as_u64().unwrap();
            from_ns + SETTLE_NS < t && t + SETTLE_NS < to_ns
        };
        asked.into_iter().filter(inside).collect()
    }
}

/// The steps that were done, in order.
pub(crate) fn stepped(run: &Run) -> Vec<String> {
    run.events("step").iter().map(|e| e["step"].as_str().unwrap().to_owned()).collect()
}

/// How long a row of the truth table is repaired, nanoseconds.
pub(crate) fn lasts() -> u64 {
    ROW_MS * 1_000_000
}

/// A scenario file of these parts.
pub(crate) fn scenario(parts: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    let head = "id = \"a-test\"\ntitle = \"a test\"\nstory = \"-\"\nmechanism = \"-\"\n";
    let certainty = "\n[certainty]\nlevel = \"confirmed\"\nwhy = \"-\"\n";
    // keys of the top come first in TOML
    let (top, rest) = parts.split_once("\n[").map_or(("", parts.to_owned()), |(t, r)| (t, format!("[{r}")));
    let (top, rest) = if parts.starts_with('[') { ("", parts.to_owned()) } else { (top, rest) };
    write!(file, "{head}{top}\n{certainty}\n{rest}").unwrap();
    file
}

/// A row: its name, the commands that break, those that repair, whether it is answered in between.
pub(crate) type Row = (&'static str, &'static [&'static str], &'static [&'static str], bool);

const DEFAULT: &str = "ip route add default via {router} dev {uplink}";
const NO_DEFAULT: &str = "ip route del default";
const POD: &str = "ip route replace {pod_ip} dev {cali} scope link";
const NO_POD: &str = "ip route del {pod_ip} dev {cali} scope link";

/// What was measured on the kernel (its conditions in arp_process() and fib_validate_source()).
pub(crate) const ROWS: &[Row] = &[
    ("no default route", &[NO_DEFAULT], &[DEFAULT], false),
    (
        "a /32 route to 0.0.0.0 only",
        &[NO_DEFAULT, "ip route add 0.0.0.0 via {router} dev {uplink}"],
        &["ip route del 0.0.0.0 via {router} dev {uplink}", DEFAULT],
        false,
    ),
    (
        "a link-local route on the uplink",
        &[NO_DEFAULT, "ip route add 169.254.0.0/16 dev {uplink}"],
        &["ip route del 169.254.0.0/16 dev {uplink}", DEFAULT],
        true,
    ),
    (
        "a link-local route on the host end",
        &["ip route add 169.254.0.0/16 dev {cali}"],
        &["ip route del 169.254.0.0/16 dev {cali}"],
        false,
    ),
    (
        "a link-local blackhole",
        &["ip route add blackhole 169.254.0.0/16"],
        &["ip route del blackhole 169.254.0.0/16"],
        false,
    ),
    (
        "link-local addresses prohibited",
        &["ip route add prohibit 169.254.0.0/16"],
        &["ip route del prohibit 169.254.0.0/16"],
        false,
    ),
    ("the uplink down", &["ip link set {uplink} down"], &["ip link set {uplink} up", DEFAULT], false),
    (
        "the uplink without carrier",
        &["ip link set {uplink} carrier off"],
        &["ip link set {uplink} carrier on"],
        true,
    ),
    (
        "a rule to an unreachable default",
        &["ip route add unreachable default table 100", "ip rule add priority 100 from {pod_ip} lookup 100"],
        &["ip rule del priority 100 from {pod_ip} lookup 100", "ip route del unreachable default table 100"],
        false,
    ),
    (
        "a rule to an empty table",
        &["ip rule add priority 100 from {pod_ip} lookup 101"],
        &["ip rule del priority 100 from {pod_ip} lookup 101"],
        true,
    ),
    (
        "proxy_arp off",
        &["sysctl -w net.ipv4.conf.{cali}.proxy_arp=0"],
        &["sysctl -w net.ipv4.conf.{cali}.proxy_arp=1"],
        false,
    ),
    (
        "proxy_arp off here and on in all",
        &["sysctl -w net.ipv4.conf.all.proxy_arp=1", "sysctl -w net.ipv4.conf.{cali}.proxy_arp=0"],
        &["sysctl -w net.ipv4.conf.{cali}.proxy_arp=1", "sysctl -w net.ipv4.conf.all.proxy_arp=0"],
        true,
    ),
    (
        "forwarding off here",
        &["sysctl -w net.ipv4.conf.{cali}.forwarding=0"],
        &["sysctl -w net.ipv4.conf.{cali}.forwarding=1"],
        false,
    ),
    (
        "forwarding off but here",
        &["sysctl -w net.ipv4.ip_forward=0", "sysctl -w net.ipv4.conf.{cali}.forwarding=1"],
        &["sysctl -w net.ipv4.ip_forward=1"],
        true,
    ),
    ("ip_forward off", &["sysctl -w net.ipv4.ip_forward=0"], &["sysctl -w net.ipv4.ip_forward=1"], false),
    ("rp_filter 1 and no route to the pod", &[NO_POD], &[POD], false),
    (
        "rp_filter 2 and no route to the pod",
        &[NO_POD, "sysctl -w net.ipv4.conf.{cali}.rp_filter=2"],
        &["sysctl -w net.ipv4.conf.{cali}.rp_filter=1", POD],
        false,
    ),
    (
        "rp_filter 0 and no route to the pod",
        &["sysctl -w net.ipv4.conf.{cali}.rp_filter=0", NO_POD],
        &[POD, "sysctl -w net.ipv4.conf.{cali}.rp_filter=1"],
        true,
    ),
    (
        "rp_filter 0 here and 1 in all, no route to the pod",
        &["sysctl -w net.ipv4.conf.{cali}.rp_filter=0", "sysctl -w net.ipv4.conf.all.rp_filter=1", NO_POD],
        &[POD, "sysctl -w net.ipv4.conf.all.rp_filter=0", "sysctl -w net.ipv4.conf.{cali}.rp_filter=1"],
        false,
    ),
    ("the pod's route on the uplink", &["ip route replace {pod_ip} dev {uplink} scope link"], &[POD], false),
    (
        "a blackhole for the pod",
        &[NO_POD, "ip route add blackhole {pod_ip}"],
        &["ip route del blackhole {pod_ip}", POD],
        false,
    ),
    (
        "arp_ignore 1",
        &["sysctl -w net.ipv4.conf.{cali}.arp_ignore=1"],
        &["sysctl -w net.ipv4.conf.{cali}.arp_ignore=0"],
        true,
    ),
    (
        "arp_ignore 8",
        &["sysctl -w net.ipv4.conf.{cali}.arp_ignore=8"],
        &["sysctl -w net.ipv4.conf.{cali}.arp_ignore=0"],
        true,
    ),
    (
        "arp_filter 1",
        &["sysctl -w net.ipv4.conf.{cali}.arp_filter=1"],
        &["sysctl -w net.ipv4.conf.{cali}.arp_filter=0"],
        true,
    ),
    (
        "the gateway local and arp_ignore 1",
        &["ip addr add {gateway}/32 dev lo", "sysctl -w net.ipv4.conf.{cali}.arp_ignore=1"],
        &["sysctl -w net.ipv4.conf.{cali}.arp_ignore=0", "ip addr del {gateway}/32 dev lo"],
        false,
    ),
    (
        "the gateway local and proxy_arp off",
        &["ip addr add {gateway}/32 dev lo", "sysctl -w net.ipv4.conf.{cali}.proxy_arp=0"],
        &["sysctl -w net.ipv4.conf.{cali}.proxy_arp=1", "ip addr del {gateway}/32 dev lo"],
        true,
    ),
    (
        "the pod's address local too",
        &["ip addr add {pod_ip}/32 dev lo"],
        &["ip addr del {pod_ip}/32 dev lo"],
        false,
    ),
    ("the host end down", &["ip link set {cali} down"], &["ip link set {cali} up", POD], false),
    ("no ARP on the host end", &["ip link set {cali} arp off"], &["ip link set {cali} arp on"], false),
    (
        "medium_id -1",
        &["sysctl -w net.ipv4.conf.{cali}.medium_id=-1"],
        &["sysctl -w net.ipv4.conf.{cali}.medium_id=0"],
        false,
    ),
    (
        "a filter for requests",
        &["nft add rule arp filter input iifname {cali} arp operation request drop"],
        &["nft delete rule arp filter input iifname {cali} arp operation request drop"],
        false,
    ),
    (
        "a filter for replies",
        &["nft add rule arp filter output oifname {cali} arp operation reply drop"],
        &["nft delete rule arp filter output oifname {cali} arp operation reply drop"],
        false,
    ),
    (
        "an explicit proxy entry instead of proxy_arp",
        &["sysctl -w net.ipv4.conf.{cali}.proxy_arp=0", "ip neigh add proxy {gateway} dev {cali}"],
        &["ip neigh del proxy {gateway} dev {cali}", "sysctl -w net.ipv4.conf.{cali}.proxy_arp=1"],
        true,
    ),
];

/// The rows as one scenario: a pod that asks ten times a second, an operator that breaks and
/// repairs one thing after the other.
pub(crate) fn truth_table() -> String {
    let quoted = |commands: &[&str]| {
        let list: Vec<String> = commands.iter().map(|c| format!("{c:?}")).collect();
        list.join(", ")
    };
    let mut text = format!("duration = \"{}ms\"\n", 3_000 + ROW_MS * 5 / 2 * ROWS.len() as u64);
    text.push_str("[calico]\nversion = \"v3.26\"\nno-felix = true\n");
    text.push_str("[[client]]\nkind = \"arping\"\nto = \"169.254.1.1\"\ninterval = \"100ms\"\n");
    let mut after = "kubelet.container-start".to_owned();
    for (at, (name, broken, repaired, _)) in ROWS.iter().enumerate() {
        for (verb, commands) in [("break", broken), ("repair", repaired)] {
            let id = format!("operator.{verb}-{at}");
            let commands = quoted(commands);
            text += "[[step]]\n";
            text += &[
                format!("id = {id:?}\ntitle = {name:?}\nafter = {after:?}\n"),
                format!("delay = \"{ROW_MS}ms\"\nnode = [{commands}]\n"),
            ]
            .concat();
            after = id;
        }
    }
    text
}

/// Interfaces of this process's own namespace.
pub(crate) fn links() -> BTreeSet<String> {
    let text = fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    text.lines().skip(2).filter_map(|l| l.split(':').next()).map(|l| l.trim().to_owned()).collect()
}

/// The network namespaces of a process, but its parent's.
fn namespaces_of(pid: u32) -> BTreeSet<String> {
    let own = process::own_namespace();
    process::namespaces_of(pid).into_iter().filter(|n| *n != own).collect()
}

/// Starts the program, sends it a signal after a while, and returns its end and the namespaces
/// it had, of which nothing is left.
pub(crate) fn killed(args: &[&str], signal: &str, after: Duration) -> (ExitStatus, BTreeSet<String>) {
    let (mut command, mark) = process::prepare(process::program(), args);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let pid = child.id();
    let begun = Instant::now();
    // before its lab is built no handler is there yet, and the signal's default is right
    while signal != "KILL" && namespaces_of(pid).len() < 2 && begun.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(after);
    let namespaces = namespaces_of(pid);
    let sent = Command::new("sh").args(["-c", "kill -$0 $1", signal, &pid.to_string()]).status().unwrap();
    assert!(sent.success(), "SIG{signal} could not be sent");
    let begun = Instant::now();
    let status = child.wait().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(10), "SIG{signal} took {:?}", begun.elapsed());
    process::nothing_left(&mark, &namespaces);
    (status, namespaces)
}
