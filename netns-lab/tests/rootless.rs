//! The way of an ordinary user: this program again, as nobody.
//!
//! Where the tests themselves run as an ordinary user, all other test programs take this way
//! (tests/common), and there is no other user to become: then these say so and are skipped.

mod common;

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::PathBuf,
    process::{Command, Output},
};

use netns_lab::{
    Monitor, Netns, PacketOptions, PacketSocket, RecvBatch,
    capabilities::{Feature, Status, detect},
    nft::{ArpDrop, ArpHook},
    rootless::{self, Entered, RootlessError},
    rtnl::{Address, Neighbour, Route, VethEnd},
    supervise,
};

/// The user and group nobody.
const NOBODY: u32 = 65534;

fn main() {
    match common::child_task().as_deref() {
        None => common::run(&[
            ("nobody_builds_a_lab", nobody_builds_a_lab),
            ("nobody_supervises_a_command", nobody_supervises_a_command),
            ("nobody_learns_what_is_missing", nobody_learns_what_is_missing),
            ("threads_are_refused_with_a_reason", threads_are_refused_with_a_reason),
            ("a_limit_of_zero_is_named", a_limit_of_zero_is_named),
            ("root_changes_nothing_by_entering", root_changes_nothing_by_entering),
        ]),
        Some("lab") => build_lab(),
        Some("supervise") => supervise_command(),
        Some("detect") => report_capabilities(),
        Some("threads") => enter_with_threads(),
        Some("limit") => meet_the_limit(),
        Some(other) => panic!("no such task: {other}"),
    }
}

/// This program, where nobody may read it.
struct Copy(PathBuf);

impl Copy {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("netns-lab-{}-{name}", std::process::id()));
        fs::create_dir(&folder).expect("a folder");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("permissions");
        // Written by another process: a descriptor open for writing here could be inherited by a
        // child that another test starts at that moment, and exec would fail with ETXTBSY.
        let copied = Command::new("install")
            .args(["-m", "0755"])
            .args([&std::env::current_exe().expect("a path"), &folder.join("rootless")])
            .status();
        assert!(copied.expect("install").success());
        Self(folder)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs a task as nobody and returns what it printed; `None` if there is nobody to become.
fn as_nobody(task: &str) -> Option<String> {
    if !common::is_real_root() {
        eprintln!("only root can become nobody; here, the other test programs take that way");
        return None;
    }
    let copy = Copy::new(task);
    let mut command = common::child(&copy.0.join("rootless"), task);
    let output = command.uid(NOBODY).gid(NOBODY).current_dir("/").output().expect("a child");
    let Output { status, stdout, stderr } = output;
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{status}\n{stdout}\n{stderr}");
    Some(stdout.into_owned())
}

fn nobody_builds_a_lab() {
    if let Some(output) = as_nobody("lab") {
        assert_eq!(output.trim(), "built by 65534");
    }
}

/// In the child, as nobody, before there are threads.
fn build_lab() {
    let entered = rootless::enter().expect("entered");
    let Entered::UserNamespace { outer_uid, outer_gid } = entered else { panic!("{entered:?}") };
    assert_eq!((outer_uid, outer_gid), (NOBODY, NOBODY));
    assert!(rootless::privileged());
    let (node, pod) = common::joined();
    let prefix = |text: &str| text.parse().expect("a prefix");
    node.sysctl().write("net.ipv4.conf.host0.proxy_arp", 1).expect("a sysctl");
    node.sysctl().write("net.ipv4.ip_forward", 1).expect("a sysctl");
    node.blocking().add_route(&Route::unicast(prefix("10.42.0.7/32")).dev("host0")).expect("a route");
    pod.blocking().add_address(&Address::new("pod0", prefix("10.42.0.7/32"))).expect("an address");
    node.blocking()
        .add_neighbour(&Neighbour::proxy("host0", "169.254.1.1".parse().expect("an address")))
        .expect("a proxy entry");
    ArpDrop::new(ArpHook::Input, "host0").install(&node).expect("a rule").remove(&node).expect("removed");
    let mut monitor = Monitor::open(&node).expect("a monitor");
    let options = PacketOptions::new().ignore_outgoing(true);
    let (host_end, pod_end) =
        (PacketSocket::open(&node, "host0", &options), PacketSocket::open(&pod, "pod0", &options));
    pod_end.expect("a socket").send(&[0xff; 60]).expect("sent");
    let mut batch = RecvBatch::default();
    assert!(host_end.expect("a socket").recv(&mut batch, Some(common::PATIENCE)).expect("frames") > 0);
    node.blocking().set_down("host0").expect("down");
    assert!(monitor.next(Some(common::PATIENCE)).expect("no error").is_some());
    let within = Netns::new("within").expect("a namespace");
    within.blocking().add_veth(&VethEnd::new("a"), &VethEnd::new("b")).expect("a veth");
    println!("built by {outer_uid}");
}

fn nobody_supervises_a_command() {
    if let Some(output) = as_nobody("supervise") {
        // Where /proc is covered in parts the kernel lets nobody mount another; then it says so.
        assert!(output.trim() == "saw br0" || output.contains("/proc is not covered"), "{output}");
    }
}

/// In the child, as nobody.
fn supervise_command() {
    rootless::enter().expect("entered");
    let netns = Netns::new("lab").expect("a namespace");
    let script = "ip link add br0 type bridge && echo 1 > /proc/sys/net/ipv4/ip_forward";
    let command =
        supervise::Command::new("/bin/sh").args(["-c", script]).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    match command.netns(&netns).expect("a descriptor").run(&mut supervise::watch()) {
        Ok(outcome) => {
            assert!(outcome.success(), "{}", String::from_utf8_lossy(&outcome.stderr.bytes));
            let answered = |words: &str| {
                let found = outcome.records.iter().find(|record| record.request.to_string() == words);
                found.map(|record| (record.request.netns, record.answer.clone()))
            };
            let done = Some((Some(netns.id()), supervise::Answer::Done));
            assert_eq!(answered("ip link add br0 type bridge"), done);
            assert_eq!(answered("sysctl -w net.ipv4.ip_forward=1"), done);
            println!("saw br0");
        }
        Err(error) => println!("{error}"),
    }
}

fn nobody_learns_what_is_missing() {
    let Some(output) = as_nobody("detect") else { return };
    eprint!("{output}");
    let tun = fs::metadata("/dev/net/tun").map(|node| node.permissions().mode());
    for line in output.lines() {
        let works = line.ends_with("yes");
        if line.starts_with("TAP devices") {
            let open_to_all = tun.as_ref().is_ok_and(|mode| mode & 0o006 == 0o006);
            assert_eq!(works, open_to_all, "{line}");
            assert!(works || line.contains("use a veth and netns_lab::PacketSocket"), "{line}");
        } else {
            assert!(works, "{line}");
        }
    }
}

fn report_capabilities() {
    let before = detect();
    assert!(before.has(Feature::UserNamespaces), "{before}");
    let Status::Missing { advice, .. } = before.status(Feature::NetNamespaces) else { panic!("{before}") };
    assert!(advice.contains("rootless::enter()"), "{advice}");
    assert!(matches!(before.status(Feature::Veth), Status::Untried { .. }), "{before}");
    rootless::enter().expect("trying has not made threads, nor entered");
    print!("{}", detect());
}

fn threads_are_refused_with_a_reason() {
    if let Some(output) = as_nobody("threads") {
        assert!(
            output.contains("the process has 2 threads") && output.contains("first of all in main"),
            "{output}"
        );
    }
}

fn enter_with_threads() {
    let (end, wait) = std::sync::mpsc::channel::<()>();
    let other = std::thread::spawn(move || wait.recv());
    let error = rootless::enter().expect_err("two threads");
    assert!(matches!(error, RootlessError::Threads { threads: 2 }), "{error}");
    println!("{error}");
    drop(end);
    let _ = other.join();
}

fn a_limit_of_zero_is_named() {
    if let Some(output) = as_nobody("limit") {
        assert!(output.contains("max_user_namespaces is 0"), "{output}");
        assert!(output.contains("sysctl -w user.max_user_namespaces"), "{output}");
    }
}

/// The limit can be lowered within a user namespace, for what is below it.
fn meet_the_limit() {
    rootless::enter().expect("entered");
    fs::write("/proc/sys/user/max_user_namespaces", "0").expect("lowered");
    print!("{}", detect().status(Feature::UserNamespaces));
}

fn root_changes_nothing_by_entering() {
    let here = || fs::read_link("/proc/self/ns/net").expect("a link");
    let before = here();
    if rootless::privileged() {
        assert!(matches!(rootless::enter(), Ok(Entered::Privileged)));
    }
    assert_eq!(here(), before);
}
