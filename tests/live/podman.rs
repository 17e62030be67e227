//! `arplab-cni` in somebody's own runtime: podman, on a node of its own.
//!
//! Without podman, crun or busybox the tests say so and pass; with `ARPLAB_REQUIRE_CNI=1` they fail
//! instead.

use std::path::Path;
use std::process::{Command, Stdio};

crate::live_tests! {
    a_container_of_podman_meets_the_window_and_leaves_nothing,
    an_add_that_is_killed_leaves_nothing_behind_del,
    adds_of_one_container_at_once_leave_one_that_is_whole,
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_arplab-cni");
const BUSYBOX: &str = "/bin/busybox";
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/arplab-cni/podman.sh");

fn ready(tools: &[&str]) -> bool {
    if !crate::cni::ready() {
        return false;
    }
    // one with libraries is of no use in a folder of its own
    let linked = |tool: &str| {
        let ldd = Command::new("ldd").arg(tool).stdout(Stdio::null()).stderr(Stdio::null()).status();
        tool == BUSYBOX && ldd.is_ok_and(|status| status.success())
    };
    let useless = |tool: &&&str| !Path::new(tool).exists() || linked(tool);
    let Some(missing) = tools.iter().find(useless) else { return true };
    let why = format!("{missing} is not there, or needs libraries");
    assert!(std::env::var("ARPLAB_REQUIRE_CNI").as_deref() != Ok("1"), "ARPLAB_REQUIRE_CNI=1, but {why}");
    eprintln!("skipped: {why}");
    false
}

/// The output of a program that succeeds.
fn output(command: &mut Command) -> String {
    let out = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(out.status.success(), "{}: {}{}", out.status, text(&out.stdout), text(&out.stderr));
    text(&out.stdout)
}

fn a_container_of_podman_meets_the_window_and_leaves_nothing() {
    if !ready(&["/usr/bin/podman", "/usr/bin/crun", BUSYBOX]) {
        return;
    }
    let folder = Path::new(PROGRAM).parent().unwrap();
    let said = output(Command::new("bash").arg(EXAMPLE).arg(folder).arg("5"));
    let parts: Vec<&str> = said.split("--- ").collect();
    let [_, inside, left, removed, left_again] = parts[..] else { panic!("{said}") };

    // `5.07 s  ping: answered, 169.254.1.1 lladdr ee:ee:ee:ee:ee:ee ... REACHABLE`
    let asked = inside.lines().filter_map(|line| {
        let (at, what) = line.trim_start().split_once(" s  ping: ")?;
        Some((at.parse::<f64>().unwrap(), what))
    });
    let (silent, answered): (Vec<_>, Vec<_>) = asked.partition(|(_, what)| what.starts_with("no answer"));
    assert!(silent.len() >= 3 && answered.len() == 3, "{inside}");
    // the answer may come between the end of the last one's second and the look at the table
    let unresolved = |what: &str| what.contains("INCOMPLETE") || what.contains("FAILED");
    assert!(silent.iter().rev().skip(1).all(|(_, what)| unresolved(what)), "{inside}");
    assert!(answered[0].1.contains("lladdr ee:ee:ee:ee:ee:ee"), "{inside}");
    // the window is open before the container's first process is; a ping lasts a second
    let begins = answered[0].0;
    assert!((3.5..30.0).contains(&begins), "{begins}: {inside}");
    assert!(silent.iter().all(|(at, _)| *at <= begins), "it answers for good: {inside}");

    assert!(left.contains("\nnothing\n"), "{left}");
    for what in
        ["> cali", "/run/arplab-cni/window/", "/var/lib/cni/networks/window/10.42.0.", "arplab-cni --worker"]
    {
        assert!(removed.contains(what), "while it is there, {what} is too: {removed}");
    }
    assert!(removed.contains("\"felix.iface-seen\"") && !removed.contains("until_ms"), "{removed}");
    assert!(left_again.contains("\nnothing\n"), "{left_again}");
}

/// How often.
const ROUNDS: usize = 25;

/// Kills the plugin at some moment of an ADD that has a worker, as a runtime does whose patience is
/// over, and calls DEL, in a node of its own. Prints a line for each round.
const KILLED: &str = r#"
set -eu
mount -n -t tmpfs run /run
mount -n -t tmpfs lib /var/lib
ip link set lo up
export CNI_CONTAINERID=c1 CNI_NETNS=/run/netns/pod CNI_IFNAME=eth0 CNI_PATH=/usr/lib/cni
config='{"cniVersion":"1.0.0","name":"net","type":"arplab-cni",
    "arplab":{"calico":"v3.26","windows":[{"hold":"felix.iface-seen","for":"100s"}]},
    "ipam":{"type":"host-local","ranges":[[{"subnet":"10.88.0.0/24"}]]}}'
for round in $(seq 1 "$2"); do
    ip netns add pod
    CNI_COMMAND=ADD "$1" <<<"$config" >/run/said 2>&1 &
    sleep "0.$(printf %03d $((round * 4)))"
    kill -KILL $! 2>/dev/null || true
    wait $! 2>/dev/null || true
    # a child of a killed plugin is the runtime's to wait for
    while pgrep -x host-local >/dev/null; do sleep 0.01; done
    CNI_COMMAND=DEL "$1" <<<"$config"
    left="$(pgrep -x arplab-cni || true)$(ip -br link | grep cali || true)$(ip netns exec pod ip -br link | grep eth0 || true)"
    left="$left$(find /run/arplab-cni /var/lib/cni -type f ! -name lock ! -name 'last_reserved_ip.*' 2>/dev/null || true)"
    echo "round $round: ${left:-nothing}"
    ip netns delete pod
done
# a container that goes without DEL takes its worker along
ip netns add pod
CNI_COMMAND=ADD "$1" <<<"$config" >/run/said
pgrep -x arplab-cni >/dev/null || echo "no worker"
ip netns delete pod
for try in $(seq 1 200); do pgrep -x arplab-cni >/dev/null || break; sleep 0.01; done
echo "without DEL: $(pgrep -x arplab-cni || echo nothing)"
CNI_COMMAND=DEL "$1" <<<"$config"
find /run/arplab-cni /var/lib/cni -type f ! -name lock ! -name 'last_reserved_ip.*' 2>/dev/null || true
"#;

fn an_add_that_is_killed_leaves_nothing_behind_del() {
    if !ready(&["/usr/bin/unshare"]) {
        return;
    }
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]);
    let said = output(command.args(["bash", "-c", KILLED, "killed", PROGRAM, &ROUNDS.to_string()]));
    let clean = said.lines().filter(|line| line.ends_with(": nothing")).count();
    assert_eq!(clean, ROUNDS + 1, "{said}");
    assert_eq!(said.lines().count(), ROUNDS + 1, "{said}");
}

/// Several ADDs of one container at once, some of them in another network, in a node of its own. Prints a
/// line for each round: the codes of those that failed, and what is there then and after DEL.
const AT_ONCE: &str = r#"
set -eu
mount -n -t tmpfs run /run
mount -n -t tmpfs lib /var/lib
ip link set lo up
export CNI_CONTAINERID=c1 CNI_IFNAME=eth0 CNI_PATH=/usr/lib/cni
config() { # network, what is in `arplab`
    echo '{"cniVersion":"1.0.0","name":"'"$1"'","type":"arplab-cni","arplab":{"calico":"v3.26"'"${2:-}"'},
        "ipam":{"type":"host-local","ranges":[[{"subnet":"10.88.0.0/24"}]]}}'
}
call() { CNI_COMMAND=$1 CNI_NETNS=/run/netns/$2 "$program" <<<"$3"; }
there() {
    ip -n pod -br link show type veth | cut -d @ -f 1
    ip -br link show type veth | cut -d @ -f 1
    ip -n pod -br address show eth0 2>/dev/null | grep -o '10[.]88[.]0[.][0-9]*' || true
    find /var/lib/cni -name '10.88.*' | sed 's,.*/,lease ,'
    find /run/arplab-cni -type f 2>/dev/null | sed 's,.*/,,'
    pgrep -x arplab-cni >/dev/null && echo worker || true
}
program=$1
for round in $(seq 1 "$2"); do
    case $((round % 3)) in
        0) more= second=net ;;
        1) more=',"windows":[{"hold":"felix.iface-seen","for":"100s"}]' second=net ;;
        2) more= second=other ;;
    esac
    ip netns add pod
    for add in 1 2 3 4; do
        name=net
        [ $add -lt 3 ] || name=$second
        (call ADD pod "$(config $name "$more")" >/run/said.$add || true) &
    done
    wait
    codes=$(cat /run/said.* | grep -o '"code":[0-9]*' | sort | tr '\n' ' ' || true)
    # an address that differs each time
    echo "round $((round % 3)): ${codes}then $(there | sed 's/10[.]88[.]0[.][0-9]*/ADDRESS/' | tr '\n' ' ')"
    for name in net other; do
        call DEL pod "$(config $name "$more")"
    done
    echo "after: $(there | tr '\n' ' ')"
    ip netns delete pod
done
# the same container again, for another namespace: the first has its link and address still
ip netns add pod
ip netns add pod2
call ADD pod "$(config net)" >/run/said
before=$(there)
call ADD pod2 "$(config net)" >/run/said || true
[ "$before" = "$(there)" ] && echo "elsewhere: $(grep -o '"code":[0-9]*' /run/said)"
# DEL does not wait for what an ADD holds back
call DEL pod "$(config net)"
(call ADD pod "$(config net ',"windows":[{"hold":"cni.host-up","for":"100s"}]')" >/run/said || true) &
for try in $(seq 1 500); do ip link show calic1 >/dev/null 2>&1 && break; sleep 0.01; done
call DEL pod "$(config net)"
wait
echo "held: $(grep -o '"code":[0-9]*' /run/said) $(there | tr '\n' ' ')"
"#;

fn adds_of_one_container_at_once_leave_one_that_is_whole() {
    if !ready(&["/usr/bin/unshare"]) {
        return;
    }
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]);
    let rounds = 9;
    let said = output(command.args(["bash", "-c", AT_ONCE, "at-once", PROGRAM, &rounds.to_string()]));
    let taken = "\"code\":101 \"code\":101 \"code\":101";
    let whole = "eth0 calic1 ADDRESS lease ADDRESS c1@eth0.json ";
    let mut expected = Vec::new();
    for round in 1..=rounds {
        let worker = if round % 3 == 1 { "worker " } else { "" };
        expected.push(format!("round {}: {taken} then {whole}{worker}", round % 3));
        expected.push("after: ".to_owned());
    }
    expected.push("elsewhere: \"code\":101".to_owned());
    expected.push("held: \"code\":5 ".to_owned());
    assert_eq!(said.lines().collect::<Vec<_>>(), expected, "{said}");
}
