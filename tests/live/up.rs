//! Labs that stay up, driven as people drive them: by the program.

use crate::process::{Run, nothing_left};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::process::Output;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

crate::live_tests! {
    a_held_window_is_opened_and_let_go_in_a_lab_that_stays,
    the_smoltcp_responder_has_a_pod_and_no_node,
    a_window_closed_by_hand_is_told_as_the_operators_doing,
    what_hands_do_on_either_side_is_noticed,
    nothing_is_told_as_hands_work_that_is_not,
    killed_at_any_moment_it_leaves_nothing,
    a_command_inside_ends_with_its_lab,
    a_lab_that_nobody_takes_down_ends_by_itself,
    a_stopped_lab_keeps_nobody_waiting_for_ever,
    many_changes_at_once_are_taken_in,
    what_was_left_running_inside_ends_with_the_lab,
    a_command_inside_hears_of_signals,
    of_two_of_one_name_at_once_one_is_up,
    a_hold_is_taken_back,
    wrong_words_are_refused,
    an_ordinary_user_brings_one_up,
}

static LABS: AtomicU32 = AtomicU32::new(0);

/// A lab that ends with its test.
struct Lab {
    name: String,
    mark: String,
}

impl Lab {
    fn up(args: &[&str]) -> Lab {
        let name = new_name();
        let (output, mark) = Run::start(&[&["up", "--name", &name], args].concat()).end();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(text(&output).contains(&format!("{name} is up: ")), "{output:?}");
        Lab { name, mark }
    }

    /// A command with this lab's name.
    fn run(&self, command: &str, args: &[&str]) -> Output {
        Run::start(&[&[command, "--name", &self.name], args].concat()).end().0
    }

    fn told(&self, command: &str, args: &[&str]) -> String {
        let output = self.run(command, args);
        assert_eq!(output.status.code(), Some(0), "{command} {args:?}: {output:?}");
        text(&output)
    }

    fn exec(&self, place: &str, command: &[&str]) -> String {
        self.told("exec", &[&[place, "--"], command].concat())
    }

    /// Waits until what the lab says has the word.
    fn until(&self, command: &str, word: &str) -> String {
        let begun = Instant::now();
        loop {
            let said = self.told(command, &[]);
            if said.contains(word) {
                return said;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "no {word:?} in {command}: {said}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn owner(&self) -> u32 {
        let processes: Vec<u32> = crate::process::marked(&self.mark);
        assert_eq!(processes.len(), 1, "one owner: {processes:?}");
        processes[0]
    }

    fn namespaces(&self) -> BTreeSet<String> {
        let own = crate::process::own_namespace();
        crate::process::namespaces_of(self.owner()).into_iter().filter(|n| *n != own).collect()
    }

    fn down(self) -> String {
        let namespaces = self.namespaces();
        let said = self.told("down", &[]);
        nothing_left(&self.mark, &namespaces);
        said
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for pid in crate::process::marked(&self.mark) {
            let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
        }
    }
}

fn new_name() -> String {
    format!("test-{}-{}", std::process::id(), LABS.fetch_add(1, Ordering::Relaxed))
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

const HELD: &[&str] = &["8689", "--hold", "felix.iface-seen=until-told"];

fn a_held_window_is_opened_and_let_go_in_a_lab_that_stays() {
    let lab = Lab::up(HELD);
    lab.until("status", "felix.iface-seen until told");
    assert!(lab.until("log", "\n\n").contains(", hold felix.iface-seen=until-told"));
    lab.until("log", "who-has 169.254.1.1");
    let status = lab.told("status", &[]);
    assert!(status.contains("is silent, says the model"), "{status}");
    let last = |status: &str| status.lines().find(|l| l.starts_with("last request")).map(str::to_owned);
    assert!(last(&status).is_some_and(|l| l.ends_with(": unanswered")), "{status}");
    assert!(lab.exec("node", &["ip", "-br", "link"]).contains("cali0d7763386da"));
    assert!(lab.exec("pod", &["ip", "route"]).contains("default via 169.254.1.1 dev eth0"));
    let listed = text(&Run::start(&["ps"]).end().0);
    assert!(
        listed.lines().any(|l| l.starts_with(&lab.name) && l.contains("held: felix.iface-seen")),
        "{listed}"
    );
    assert_eq!(lab.told("release", &[]).trim(), "felix.iface-seen goes on");
    lab.until("status", "answers, says the model");
    lab.until("log", "INCOMPLETE -> REACHABLE");
    let status = lab.told("status", &[]);
    assert!(last(&status).is_some_and(|l| l.ends_with(": answered")), "{status}");
    // the first request in vain is told at once, and not again as the only one of its resolution
    let told = lab.told("log", &[]);
    assert_eq!(told.matches("no reply yet").count(), 1, "{told}");
    // the kernel says so, too
    assert!(lab.exec("pod", &["ip", "neigh"]).contains("169.254.1.1 dev eth0 lladdr ee:ee:ee:ee:ee:ee"));
    // what has let go is no longer held, and what is to come can be
    assert_eq!(lab.run("release", &[]).status.code(), Some(2));
    assert!(lab.told("hold", &["felix.apply"]).contains("felix.apply is held from now on"));
    let told = lab.down();
    assert!(
        told.contains("Gateway      silent for ") && told.contains("the lab was taken down at "),
        "{told}"
    );
}

fn the_smoltcp_responder_has_a_pod_and_no_node() {
    let lab = Lab::up(&[HELD, &["--responder", "smoltcp"]].concat());
    lab.until("log", "who-has 169.254.1.1");
    let node = lab.run("exec", &["node", "--", "true"]);
    assert_eq!(node.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&node.stderr).contains("--responder kernel"), "{node:?}");
    assert!(lab.exec("pod", &["ip", "route"]).contains("default via 169.254.1.1"));
    assert!(lab.told("release", &["felix.iface-seen"]).contains("goes on"));
    lab.until("log", "INCOMPLETE -> REACHABLE");
    // hands in the pod, beside the modelled node
    lab.exec("pod", &["ip", "route", "del", "default"]);
    lab.until("log", "[pod] ip route del default");
    lab.down();
}

/// What Felix would have done, typed by an operator.
fn a_window_closed_by_hand_is_told_as_the_operators_doing() {
    let lab = Lab::up(HELD);
    lab.until("log", "who-has 169.254.1.1");
    lab.exec("node", &["sysctl", "-w", "net.ipv4.conf.cali0d7763386da.proxy_arp=1"]);
    lab.exec("node", &["ip", "route", "add", "10.42.0.123", "dev", "cali0d7763386da"]);
    lab.until("status", "answers, says the model");
    lab.until("log", "INCOMPLETE -> REACHABLE");
    let told = lab.told("log", &[]);
    let at = |word: &str| told.find(word).unwrap_or_else(|| panic!("no {word:?}: {told}"));
    assert!(
        at("ip route add 10.42.0.123 dev cali0d7763386da") < at("from here on the gateway answers"),
        "{told}"
    );
    assert!(told.contains("operator.by-hand"), "{told}");
    assert!(!told.contains("model and kernel differ"), "{told}");
    let end = lab.down();
    assert!(end.contains("Gateway      silent for ") && !end.contains("felix.iface-seen goes on"), "{end}");
}

fn what_hands_do_on_either_side_is_noticed() {
    let lab = Lab::up(&["8689", "--fix", "plugin-configures-host"]);
    lab.until("log", "REACHABLE");
    for (place, command, told) in [
        (
            "node",
            "ip rule add from 10.42.0.123 prohibit pref 100",
            "ip rule add priority 100 from 10.42.0.123 prohibit",
        ),
        ("node", "ip route add blackhole 203.0.113.0/24", "ip route add blackhole 203.0.113.0/24"),
        (
            "node",
            "ip neigh add proxy 169.254.1.1 dev cali0d7763386da",
            "ip neigh add proxy 169.254.1.1 dev cali0d7763386da",
        ),
        (
            "node",
            "sysctl -w net.ipv4.conf.cali0d7763386da.rp_filter=2",
            "sysctl -w net.ipv4.conf.cali0d7763386da.rp_filter=2",
        ),
        (
            "node",
            "ip addr add 192.0.2.1/32 dev cali0d7763386da",
            "ip addr add 192.0.2.1/32 dev cali0d7763386da",
        ),
        ("node", "ip link set cali0d7763386da arp off", "ip link set cali0d7763386da arp off"),
        (
            "pod",
            "ip link set eth0 address 02:00:00:00:00:99",
            "[pod] ip link set eth0 address 02:00:00:00:00:99",
        ),
        ("pod", "ip addr add 10.42.0.200/32 dev eth0", "[pod] ip addr add 10.42.0.200/32 dev eth0"),
        ("pod", "ip link set eth0 name eth9", "[pod] ip link set eth0 name eth9"),
        ("node", "ip link set cali0d7763386da down", "ip link set cali0d7763386da down"),
    ] {
        let words: Vec<&str> = command.split(' ').collect();
        lab.exec(place, &words);
        lab.until("log", told);
    }
    lab.exec("node", &["ip", "link", "del", "cali0d7763386da"]);
    lab.until("log", "operator.by-hand             ip link del cali0d7763386da");
    lab.until("status", "the host end of the veth does not exist");
    // what the kernel takes away with a link is not the operator's doing
    let told = lab.told("log", &[]);
    assert!(!told.contains("operator.by-hand             ip route del"), "{told}");
    assert!(!told.contains("[pod] ip link del"), "{told}");
    lab.down();
}

/// Every step of a scenario is its actor's, none the operator's.
fn nothing_is_told_as_hands_work_that_is_not() {
    for args in [
        &["8689", "--hold", "felix.iface-seen=1s"][..],
        &["sysctls-clobbered"],
        &["cali-set-down"],
        &["felix-removes-ipv6-route"],
    ] {
        let lab = Lab::up(args);
        std::thread::sleep(Duration::from_secs(4));
        let told = lab.told("log", &[]);
        assert!(told.lines().count() > 8 && !told.contains("operator.by-hand"), "{args:?}: {told}");
        lab.down();
    }
}

fn killed_at_any_moment_it_leaves_nothing() {
    let mut chance: u64 = 0x2545_f491;
    for _ in 0..50 {
        let lab = Lab::up(HELD);
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_micros(chance >> 46));
        let namespaces = lab.namespaces();
        assert!(!namespaces.is_empty());
        kill(Pid::from_raw(lab.owner().cast_signed()), Signal::SIGKILL).expect("it was told");
        nothing_left(&lab.mark, &namespaces);
        // 3 while the kernel still closes its socket
        let gone = lab.run("status", &[]);
        assert!(matches!(gone.status.code(), Some(2 | 3)), "{gone:?}");
    }
}

fn a_command_inside_ends_with_its_lab() {
    let lab = Lab::up(HELD);
    let mut inside =
        Run::start(&["exec", "--name", &lab.name, "pod", "--", "sh", "-c", "echo there; exec sleep 600"]);
    inside.lines_until("there");
    kill(Pid::from_raw(lab.owner().cast_signed()), Signal::SIGKILL).expect("it was told");
    let (output, mark) = inside.end();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("has ended"), "{output:?}");
    nothing_left(&mark, &BTreeSet::new());
    // the command's own status is passed on
    let lab = Lab::up(HELD);
    assert_eq!(lab.run("exec", &["pod", "--", "sh", "-c", "exit 7"]).status.code(), Some(7));
    lab.down();
}

fn a_lab_that_nobody_takes_down_ends_by_itself() {
    let lab = Lab::up(&[HELD, &["--ends-after", "1s"]].concat());
    let namespaces = lab.namespaces();
    let told = lab.told("log", &["--follow"]);
    assert!(told.contains("the lab ends after 1s (--ends-after)"), "{told}");
    nothing_left(&lab.mark, &namespaces);
}

fn a_stopped_lab_keeps_nobody_waiting_for_ever() {
    let lab = Lab::up(HELD);
    let owner = Pid::from_raw(lab.owner().cast_signed());
    kill(owner, Signal::SIGSTOP).expect("it was told");
    let output = lab.run("status", &[]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("does not answer"), "{output:?}");
    kill(owner, Signal::SIGCONT).expect("it was told");
    lab.until("status", "felix.iface-seen until told");
    lab.down();
}

fn many_changes_at_once_are_taken_in() {
    let lab = Lab::up(HELD);
    lab.until("log", "who-has 169.254.1.1");
    let routes = "for i in $(seq 1 1000); do echo route add blackhole 203.0.113.$((i % 256))/32 table $((100 + i / 256)); done | ip -batch -";
    lab.exec("node", &["sh", "-c", routes]);
    lab.until("log", "ip route add blackhole 203.0.113.232 table 103");
    // told once each
    let told = lab.told("log", &[]);
    assert_eq!(told.matches("ip route add blackhole").count(), 1000, "{}", told.len());
    lab.exec("node", &["ip", "route", "flush", "table", "101"]);
    lab.until("log", "ip route del blackhole 203.0.113.7 table 101");
    lab.down();
}

fn what_was_left_running_inside_ends_with_the_lab() {
    let lab = Lab::up(HELD);
    let (output, mark) = Run::start(&[
        "exec",
        "--name",
        &lab.name,
        "pod",
        "--",
        "sh",
        "-c",
        "setsid sleep 600 >&- 2>&- <&- &",
    ])
    .end();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(crate::process::marked(&mark).len(), 1, "it goes on when its starter has ended");
    lab.down();
    nothing_left(&mark, &BTreeSet::new());
}

fn a_command_inside_hears_of_signals() {
    let lab = Lab::up(HELD);
    for (signal, status) in [(Signal::SIGTERM, 128 + 15), (Signal::SIGINT, 128 + 2)] {
        let mut inside =
            Run::start(&["exec", "--name", &lab.name, "pod", "--", "sh", "-c", "echo there; exec sleep 600"]);
        inside.lines_until("there");
        inside.signal(signal);
        let (output, mark) = inside.end();
        assert_eq!(output.status.code(), Some(status), "{output:?}");
        nothing_left(&mark, &BTreeSet::new());
    }
    lab.down();
}

fn of_two_of_one_name_at_once_one_is_up() {
    for _ in 0..5 {
        let name = new_name();
        let up = |scenario: &str| Run::start(&["up", scenario, "--name", &name]);
        let runs = [up("8689"), up("cali-set-down")];
        let ended = runs.map(Run::end);
        let codes: Vec<Option<i32>> = ended.iter().map(|(output, _)| output.status.code()).collect();
        assert!(codes == [Some(0), Some(2)] || codes == [Some(2), Some(0)], "{ended:?}");
        let at = usize::from(codes[1] == Some(0));
        assert!(String::from_utf8_lossy(&ended[1 - at].0.stderr).contains("is up already"), "{ended:?}");
        Lab { name, mark: ended[at].1.clone() }.down();
    }
}

fn a_hold_is_taken_back() {
    let lab = Lab::up(HELD);
    lab.until("status", "felix.iface-seen until told");
    lab.told("hold", &["felix.static-arp"]);
    lab.until("status", "felix.static-arp when it comes, until told");
    assert!(lab.told("release", &["felix.static-arp"]).contains("felix.static-arp will not be held"));
    assert!(lab.told("hold", &["cni.host-up"]).contains("it has been done once already"));
    lab.told("release", &["felix.iface-seen"]);
    lab.until("log", "felix.endpoint-status ");
    assert!(!lab.told("log", &[]).contains("felix.static-arp is held"));
    lab.down();
}

fn wrong_words_are_refused() {
    let refused = |args: &[&str], word: &str| {
        let output = Run::start(args).end().0;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(word), "{args:?}: {output:?}");
        assert_eq!(said.lines().filter(|l| l.starts_with("arplab: ")).count().max(1), 1, "{said}");
    };
    refused(&["status", "--name", "no-such-lab"], "no lab named no-such-lab is up");
    refused(&["up", "8689", "--name", "a/b"], "is no name for a lab");
    refused(&["up", "8689", "--name", "-x"], "unexpected argument");
    refused(&["up", "8689", "--name=--all"], "is no name for a lab");
    refused(&["up", "8689", "--ends-after", "0s"], "--ends-after is at least 1s");
    refused(&["up", "no-such-scenario"], "no-such-scenario");
    refused(&["up", "8689", "--hold", "felix.iface-sen=until-told"], "felix.iface-seen");
    refused(&["up", "8689", "--hold", "felix.iface-seen=until"], "no hold");
    let lab = Lab::up(HELD);
    refused(&["up", "8689", "--name", &lab.name], "is up already");
    refused(&["release", "--name", &lab.name, "felix.iface-sen"], "did you mean felix.iface-seen");
    refused(&["release", "--name", &lab.name, "felix.apply"], "felix.apply is not held");
    refused(&["exec", "--name", &lab.name, "pod", "--", "/no/such/program"], "cannot be run");
    refused(&["capture", "--name", &lab.name, "-w", "/no/such/place"], "there is no directory");
    lab.down();
}

fn an_ordinary_user_brings_one_up() {
    let name = new_name();
    let up = ["up", "8689", "--name", &name, "--hold", "felix.iface-seen=until-told"];
    let script = format!(
        "{{}} {} && {{}} exec --name {name} pod -- ip route && {{}} exec --name {name} node -- id -u && {{}} down --name {name}",
        up.join(" ")
    );
    let Some(output) = crate::leftovers::script_as_nobody(&script) else { return };
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let told = text(&output);
    assert!(told.contains("default via 169.254.1.1") && told.contains("the lab was taken down"), "{told}");
}
