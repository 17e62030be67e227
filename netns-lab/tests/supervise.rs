//! Commands whose requests are watched, held, failed and made their last.

mod common;

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use netns_lab::{
    Errno, Netns,
    rtnl::VethEnd,
    supervise::{
        Answer, Command, Ended, Fate, Kind, Lever, Outcome, Request, Room, Scope, SuperviseError, Then,
        Verdict, watch,
    },
};

fn main() {
    match common::child_task().as_deref() {
        None => common::run(&[
            ("every_kind_is_named_and_answered", every_kind_is_named_and_answered),
            ("namespaces_are_told_apart", namespaces_are_told_apart),
            ("a_failed_request_is_not_carried_out", a_failed_request_is_not_carried_out),
            ("a_held_request_waits", a_held_request_waits),
            ("a_kill_comes_before_or_after", a_kill_comes_before_or_after),
            ("a_kill_after_waits_for_nothing", a_kill_after_waits_for_nothing),
            ("a_request_can_be_undone", a_request_can_be_undone),
            ("a_child_alone_can_be_killed", a_child_alone_can_be_killed),
            ("what_cannot_be_decoded_is_still_seen", what_cannot_be_decoded_is_still_seen),
            ("every_message_of_a_call_is_seen_once", every_message_of_a_call_is_seen_once),
            ("a_verdict_is_for_all_messages_of_a_call", a_verdict_is_for_all_messages_of_a_call),
            ("what_would_not_be_seen_is_refused", what_would_not_be_seen_is_refused),
            ("nothing_that_is_no_program_starts", nothing_that_is_no_program_starts),
            ("output_is_kept_up_to_its_limit", output_is_kept_up_to_its_limit),
            ("a_room_is_shared_and_goes", a_room_is_shared_and_goes),
            ("time_is_up", time_is_up),
            ("who_forks_away_is_found", who_forks_away_is_found),
            ("signals_lose_and_repeat_nothing", signals_lose_and_repeat_nothing),
            ("a_panic_of_the_rules_leaves_nothing", a_panic_of_the_rules_leaves_nothing),
            ("nothing_outlives_a_killed_supervisor", nothing_outlives_a_killed_supervisor),
            ("nothing_outlives_a_killed_command", nothing_outlives_a_killed_command),
        ]),
        Some("supervise") => supervise_for_ever(),
        Some("odd") => odd_requests(),
        Some("several") => several_in_one_call(),
        Some("spin") => set_up_and_spin(),
        Some("signals") => requests_under_signals(),
        Some(other) => panic!("no such task: {other}"),
    }
}

const IP: &str = "ip";

/// A program of this machine.
fn find(name: &str) -> PathBuf {
    ["/usr/sbin", "/sbin", "/usr/bin", "/bin"]
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("{name} is not installed"))
}

/// A shell that does this in the namespace.
fn shell(netns: &Netns, script: &str) -> Command {
    Command::new(find("sh"))
        .args(["-ec", script])
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .netns(netns)
        .expect("a descriptor")
        .timeout(common::PATIENCE)
}

/// This program again, supervised, with a task.
fn own(netns: &Netns, task: &str) -> Command {
    Command::new(std::env::current_exe().expect("a path"))
        .env("NETNS_LAB_CHILD", task)
        .netns(netns)
        .expect("a descriptor")
        .timeout(common::PATIENCE)
}

/// The requests that change something, as text.
fn changes(outcome: &Outcome) -> Vec<String> {
    let kept = outcome.records.iter().filter(|record| {
        !record.request.is_question()
            && !matches!(record.request.kind, Kind::Exec { .. } | Kind::OpenSysctl { .. })
    });
    kept.map(|record| format!("{}: {}", record.request, record.answer)).collect()
}

fn links(netns: &Netns) -> Vec<String> {
    netns.blocking().links().expect("links").into_iter().map(|link| link.name).collect()
}

fn stderr(outcome: &Outcome) -> String {
    String::from_utf8_lossy(&outcome.stderr.bytes).into_owned()
}

/// Some iproute2 versions try how much the kernel can do.
fn is_probe(text: &str) -> bool {
    text.contains("(nothing)")
}

fn every_kind_is_named_and_answered() {
    let netns = Netns::new("lab").expect("a namespace");
    let script = "ip link add v0 type veth peer name v1
        ip link set v0 up
        ip address add 10.0.0.1/24 dev v0
        ip neighbour add proxy 10.0.0.9 dev v0
        ip route add 10.9.0.0/16 dev v0
        ip route add 10.8.0.0/16 via 192.0.2.1 || true
        echo 1 > /proc/sys/net/ipv4/conf/v0/proxy_arp
        echo 5 > /proc/sys/net/ipv4/conf/v0/no_such || true
        ip rule add from 10.0.0.0/8 lookup 100
        ip link set v1 name v2 mtu 1400
        ip link del v0";
    let outcome = shell(&netns, script).run(&mut watch()).expect("run");
    assert!(outcome.success(), "{:?} {}", outcome.status, stderr(&outcome));
    let seen: Vec<_> = changes(&outcome).into_iter().filter(|text| !is_probe(text)).collect();
    let wanted = [
        "ip link add v0 type veth peer name v1: ok",
        "ip link set v0 up: ok",
        "ip address add 10.0.0.1/24 scope global dev v0: ok",
        "ip neighbour add 10.0.0.9 dev v0 proxy: ok",
        "ip route add 10.9.0.0/16 dev v0 scope link: ok",
        "ip route add 10.8.0.0/16 via 192.0.2.1: ENETUNREACH (Network is unreachable): Nexthop has invalid gateway",
        "sysctl -w net.ipv4.conf.v0.proxy_arp=1: ok",
        "ip rule add 0: from 10.0.0.0/8 lookup 100: ok",
        "ip link set v1 mtu 1400 name v2: ok",
        "ip link del v0: ok",
    ];
    assert_eq!(seen, wanted);
    let opened =
        outcome.records.iter().filter(|record| matches!(record.request.kind, Kind::OpenSysctl { .. }));
    assert_eq!(opened.count(), 2, "one of them failed");
    assert!(outcome.records.iter().all(|record| record.request.netns == Some(netns.id())));
    assert!(outcome.records.iter().all(|record| record.fate == Fate::LetGo && record.decided_ns > 0));
    let numbers: Vec<_> = outcome.records.iter().map(|record| record.request.number).collect();
    assert_eq!(numbers, (1..=outcome.records.len()).collect::<Vec<_>>());
}

fn namespaces_are_told_apart() {
    let (node, pod) = (Netns::new("node").expect("a namespace"), Netns::new("pod").expect("a namespace"));
    let folder = std::env::temp_dir().join(format!("netns-lab-{}-names", std::process::id()));
    fs::create_dir(&folder).expect("a folder");
    let file = folder.join("pod");
    fs::write(&file, "").expect("a file");
    let text = file.display();
    let script = format!(
        "ip link add v0 type veth peer name v1
         ip link set v1 netns {text}
         nsenter --net={text} ip link set v1 up
         nsenter --net={text} sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'"
    );
    let outcome = shell(&node, &script).netns_file(&pod, &file).expect("a descriptor").run(&mut watch());
    let outcome = outcome.expect("run");
    fs::remove_dir_all(&folder).expect("nothing is mounted on it here");
    assert!(outcome.success(), "{}", stderr(&outcome));
    let of = |words: &str| {
        let found = outcome.records.iter().find(|record| record.request.to_string() == words);
        found.unwrap_or_else(|| panic!("{words} is not in {:?}", changes(&outcome)))
    };
    assert_eq!(of("ip link add v0 type veth peer name v1").request.netns, Some(node.id()));
    let moved = &of("ip link set v1 netns pod").request;
    assert_eq!((moved.netns, moved.other_netns().next()), (Some(node.id()), Some(pod.id())));
    assert_eq!(of("ip link set v1 up").request.netns, Some(pod.id()));
    assert_eq!(of("sysctl -w net.ipv4.ip_forward=1").request.netns, Some(pod.id()));
    let entered = outcome.records.iter().filter(|record| matches!(record.request.kind, Kind::Enter { .. }));
    let entered: Vec<_> = entered.map(|it| (it.request.other_netns().next(), it.answer.clone())).collect();
    assert_eq!(entered, vec![(Some(pod.id()), Answer::Done); 2]);
    assert!(links(&pod).contains(&"v1".to_owned()));
}

/// Rules for the first request that says this.
fn on(words: &'static str, verdict: Verdict) -> impl FnMut(&Request) -> Verdict {
    let mut over = false;
    move |request| {
        if !over && request.to_string().starts_with(words) {
            over = true;
            return verdict;
        }
        Verdict::LetGo
    }
}

fn a_failed_request_is_not_carried_out() {
    let netns = Netns::new("lab").expect("a namespace");
    let before = netns.sysctl().read("net.ipv4.ip_forward").expect("a value");
    let other = if before.trim() == "1" { "0" } else { "1" };
    let make = || shell(&netns, "ip link add br0 type bridge");
    let outcome = make().run(&mut on("ip link add", Verdict::Fail(Errno::EBUSY))).expect("run");
    assert!(!outcome.success());
    assert!(stderr(&outcome).contains("busy"), "{}", stderr(&outcome));
    let failed: Vec<_> = outcome.records.iter().filter(|it| it.fate == Fate::Failed(Errno::EBUSY)).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(links(&netns), ["lo"]);
    let write = shell(&netns, &format!("echo {other} > /proc/sys/net/ipv4/ip_forward"));
    let outcome = write.run(&mut on("sysctl", Verdict::Fail(Errno::EROFS))).expect("run");
    assert!(!outcome.success() && !stderr(&outcome).is_empty());
    assert_eq!(netns.sysctl().read("net.ipv4.ip_forward").expect("a value"), before);
    let outcome = shell(&netns, "ip link add br0 type bridge || ip link add br1 type bridge")
        .run(&mut on("exec", Verdict::Fail(Errno::EPERM)));
    assert!(matches!(outcome, Err(SuperviseError::Exec { errno: Errno::EPERM, .. })), "{outcome:?}");
}

fn a_held_request_waits() {
    let netns = Netns::new("lab").expect("a namespace");
    let pause = Duration::from_millis(150);
    let held = Verdict::Hold { at_most: Some(pause), then: Then::LetGo };
    let outcome =
        shell(&netns, "ip link add br0 type bridge").run(&mut on("ip link add", held)).expect("run");
    assert!(outcome.success(), "{}", stderr(&outcome));
    let waits = |it: &netns_lab::supervise::Record| Duration::from_nanos(it.decided_ns - it.request.at_ns);
    let longest = outcome.records.iter().map(waits).max().expect("records");
    assert!(longest >= pause && longest < common::PATIENCE, "{longest:?}");

    // until told, by whoever waits for the link that does not come
    let lever = Lever::new().expect("a lever");
    let told = lever.clone();
    let number = Arc::new(Mutex::new(None));
    let asked = number.clone();
    let mut first = on("ip link add", Verdict::Hold { at_most: None, then: Then::LetGo });
    let mut rules = move |request: &Request| {
        let verdict = first(request);
        if verdict != Verdict::LetGo {
            *asked.lock().expect("a lock") = Some(request.number);
        }
        verdict
    };
    let teller = thread::spawn(move || {
        let begun = Instant::now();
        let number = loop {
            if let Some(number) = *number.lock().expect("a lock") {
                break number;
            }
            assert!(begun.elapsed() < common::PATIENCE);
            thread::sleep(Duration::from_millis(1));
        };
        thread::sleep(Duration::from_millis(50));
        told.release(number, Then::Fail(Errno::ENOSPC));
        told.release(number, Then::LetGo);
        told.release(9999, Then::LetGo);
    });
    let outcome = shell(&netns, "ip link add br1 type bridge").lever(&lever).run(&mut rules).expect("run");
    teller.join().expect("told");
    assert!(stderr(&outcome).contains("No space left"), "{}", stderr(&outcome));
    assert!(!links(&netns).contains(&"br1".to_owned()));
}

fn a_kill_comes_before_or_after() {
    for (scope, name) in [(Scope::Process, "ip"), (Scope::All, "all")] {
        let netns = Netns::new("lab").expect("a namespace");
        let script = "ip link add br0 type bridge; ip link add br1 type bridge";
        let run = || Command::new(find(IP)).args(["link", "add", "br0", "type", "bridge"]).netns(&netns);
        let outcome = run().expect("a descriptor").run(&mut on("ip link add", Verdict::KillBefore(scope)));
        let outcome = outcome.expect("run");
        assert_eq!(links(&netns), ["lo"], "{name}");
        if scope == Scope::Process {
            assert_eq!(outcome.status.and_then(|status| status.signal()), Some(9), "{name}");
        } else {
            assert_eq!(outcome.ended, Ended::Told);
        }
        let outcome = run().expect("a descriptor").run(&mut on("ip link add", Verdict::KillAfter(scope)));
        let outcome = outcome.expect("run");
        assert_eq!(links(&netns), ["lo", "br0"], "{name}");
        let last = outcome.records.last().expect("records");
        assert_eq!((last.fate, &last.answer), (Fate::KilledAfter, &Answer::Done), "{name}: {}", last.request);
        assert!(!outcome.success());
        let write = shell(&netns, "echo 7 > /proc/sys/net/ipv4/conf/all/medium_id; ip link del br0");
        let outcome = write.run(&mut on("sysctl", Verdict::KillAfter(scope))).expect("run");
        assert_eq!(outcome.records.last().map(|it| it.fate), Some(Fate::KilledAfter));
        assert_eq!(netns.sysctl().read("net.ipv4.conf.all.medium_id").expect("a value").trim(), "7");
        assert_eq!(links(&netns), ["lo", "br0"], "{name}: {script}");
    }
}

/// In the child: one request, and then nothing that anybody could see.
fn set_up_and_spin() {
    use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, send, socket};
    use std::os::fd::AsRawFd;
    let protocol = SockProtocol::NetlinkRoute;
    let route = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::empty(), protocol).expect("a socket");
    // RTM_NEWLINK of interface 1, up, to be acknowledged
    let mut message = [0_u8; 32];
    message[..4].copy_from_slice(&32_u32.to_ne_bytes());
    message[4..6].copy_from_slice(&16_u16.to_ne_bytes());
    message[6..8].copy_from_slice(&5_u16.to_ne_bytes());
    message[20..24].copy_from_slice(&1_i32.to_ne_bytes());
    message[24..28].copy_from_slice(&1_u32.to_ne_bytes());
    message[28..32].copy_from_slice(&1_u32.to_ne_bytes());
    let _ = send(route.as_raw_fd(), &message, MsgFlags::empty());
    loop {
        std::hint::spin_loop();
    }
}

fn a_kill_after_waits_for_nothing() {
    for scope in [Scope::Process, Scope::All] {
        let netns = Netns::new("lab").expect("a namespace");
        let begun = Instant::now();
        let outcome = own(&netns, "spin").run(&mut on("ip link set lo up", Verdict::KillAfter(scope)));
        let outcome = outcome.expect("run");
        let last = outcome.records.last().expect("records");
        assert_eq!((last.fate, &last.answer), (Fate::KilledAfter, &Answer::Done), "{}", last.request);
        assert!(netns.blocking().link("lo").expect("lo").up);
        let took = Duration::from_nanos(outcome.ended_ns - last.request.at_ns);
        assert!(took < Duration::from_millis(800), "{took:?} after {:?}", begun.elapsed());
    }
}

fn a_request_can_be_undone() {
    let netns = Netns::new("lab").expect("a namespace");
    let script = "ip link add br0 type bridge; ip link add d0 type veth peer name d1; ip link set d0 up; \
                  ip link set d0 master br0; ip address add 10.0.0.1/24 dev d0; \
                  ip route add 10.1.0.0/16 via 10.0.0.2 dev d0; ip rule add from 10.0.0.1 lookup 7; \
                  ip neigh add 10.0.0.2 lladdr 02:00:00:00:00:01 dev d0";
    let outcome = shell(&netns, script).run(&mut watch()).expect("run");
    assert!(outcome.success(), "{}", stderr(&outcome));
    let undos: Vec<_> = outcome
        .records
        .iter()
        .filter_map(|record| match &record.request.kind {
            Kind::Netlink { messages, .. } => messages.iter().find_map(|message| message.undo.clone()),
            _ => None,
        })
        .collect();
    let words: Vec<_> = undos.iter().map(ToString::to_string).collect();
    assert_eq!(undos.len(), 8, "{words:?}");
    for (undo, words) in undos.iter().zip(&words).rev() {
        undo.apply(&netns).unwrap_or_else(|e| panic!("{words}: {e}"));
        assert!(undo.apply(&netns).is_err() || words.starts_with("ip link set"), "{words} had no effect");
    }
    assert_eq!(links(&netns), ["lo"]);
}

fn a_child_alone_can_be_killed() {
    let netns = Netns::new("lab").expect("a namespace");
    let script = "ip link add br0 type bridge || ip link add br1 type bridge";
    let outcome = shell(&netns, script).run(&mut on("ip link add", Verdict::KillBefore(Scope::Process)));
    assert!(outcome.expect("run").success());
    assert_eq!(links(&netns), ["lo", "br1"]);
}

/// In the child: requests of kinds that nobody decodes.
fn odd_requests() {
    use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, send, socket};
    use std::os::fd::AsRawFd;
    let open = |protocol| {
        socket(AddressFamily::Netlink, SockType::Raw, SockFlag::empty(), protocol).expect("a socket")
    };
    let generic = open(SockProtocol::NetlinkGeneric);
    let flags = MsgFlags::empty();
    let mut message = [0_u8; 24];
    message[..4].copy_from_slice(&24_u32.to_ne_bytes());
    message[4..6].copy_from_slice(&0x10_u16.to_ne_bytes());
    message[6] = 1;
    let _ = send(generic.as_raw_fd(), &message, flags);
    let route = open(SockProtocol::NetlinkRoute);
    let _ = send(route.as_raw_fd(), &[7; 5], flags);
    // write(2) and writev(2) do as well
    let _ = nix::unistd::write(&route, &message);
    // SAFETY: a structure of zeroes, which the kernel takes or refuses.
    let ring = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, [0_u64; 16].as_mut_ptr()) };
    println!("{ring} {}", nix::errno::Errno::last());
}

fn what_cannot_be_decoded_is_still_seen() {
    let netns = Netns::new("lab").expect("a namespace");
    let outcome = own(&netns, "odd").run(&mut watch()).expect("run");
    assert!(outcome.success(), "{}", stderr(&outcome));
    let seen: Vec<_> = outcome.records.iter().map(|record| record.request.to_string()).collect();
    for wanted in [
        "generic netlink message type 16, 24 bytes",
        "rtnetlink message of 5 bytes without a header",
        "RTM_NEWLINK, 24 bytes",
        "io_uring_setup",
    ] {
        assert_eq!(seen.iter().filter(|text| *text == wanted).count(), 1, "{wanted}: {seen:?}");
    }
}

/// A message about links in the kernel's own form, to be acknowledged. It ends where its last byte does, which need
/// not be a word of four bytes.
fn link_message(kind: u16, sequence: u32, index: i32, up: bool, name: &str) -> Vec<u8> {
    let mut attribute = Vec::new();
    if !name.is_empty() {
        // IFLA_IFNAME
        attribute.extend((4 + name.len() as u16 + 1).to_ne_bytes());
        attribute.extend(3_u16.to_ne_bytes());
        attribute.extend(name.as_bytes());
        attribute.push(0);
    }
    let mut message = (32 + attribute.len() as u32).to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend(5_u16.to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(index.to_ne_bytes());
    message.extend(u32::from(up).to_ne_bytes());
    message.extend(1_u32.to_ne_bytes());
    message.extend(attribute);
    message
}

/// In the child: one sendmmsg(2) with three datagrams, of which the second has no whole number of words.
fn several_in_one_call() {
    use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, socket};
    use std::os::fd::AsRawFd;
    let protocol = SockProtocol::NetlinkRoute;
    let route = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::empty(), protocol).expect("a socket");
    let datagrams = [
        link_message(16, 1, 1, true, ""),
        link_message(16, 2, 0, true, "no"),
        link_message(17, 3, 0, false, "gone"),
    ];
    let mut pieces = datagrams
        .each_ref()
        .map(|bytes| libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() });
    let mut headers = pieces.each_mut().map(|piece| {
        // SAFETY: made of integers and pointers, for which zeroes are valid.
        let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
        header.msg_hdr.msg_iov = piece;
        header.msg_hdr.msg_iovlen = 1;
        header
    });
    // SAFETY: the headers, the pieces and what they point to live to the end of this function.
    let sent = unsafe { libc::sendmmsg(route.as_raw_fd(), headers.as_mut_ptr(), 3, 0) };
    print!("{sent} {}", if sent < 0 { nix::errno::Errno::last().to_string() } else { String::new() });
    for _ in 0..sent.max(0) {
        let mut answer = [0_u8; 4096];
        let length = recv(route.as_raw_fd(), &mut answer, MsgFlags::empty()).expect("an answer");
        assert!(length >= 20);
        print!(" {}", i32::from_ne_bytes(answer[16..20].try_into().expect("four bytes")));
    }
    println!();
}

/// The three things that the child asks in one call.
const SEVERAL: &str = "ip link set lo up; ip link set no up; ip link del gone";

fn every_message_of_a_call_is_seen_once() {
    let netns = Netns::new("lab").expect("a namespace");
    let outcome = own(&netns, "several").run(&mut watch()).expect("run");
    assert!(outcome.success(), "{}", stderr(&outcome));
    // what the kernel said to each
    assert_eq!(String::from_utf8_lossy(&outcome.stdout.bytes), "3  0 -19 -19\n");
    assert!(netns.blocking().link("lo").expect("lo").up);
    let calls: Vec<_> = outcome
        .records
        .iter()
        .filter_map(|record| match &record.request.kind {
            Kind::Netlink { messages, .. } => Some((record, messages)),
            _ => None,
        })
        .collect();
    let [(record, messages)] = calls.as_slice() else { panic!("{calls:?}") };
    let seen: Vec<_> = messages.iter().map(|it| (it.sequence, it.length)).collect();
    assert_eq!(seen, [(1, 32), (2, 39), (3, 41)], "{messages:?}");
    assert_eq!(record.request.to_string(), SEVERAL);
    let Answer::Refused { errno: Errno::ENODEV, kernel_says: Some(says) } = &record.answer else {
        panic!("{:?}", record.answer)
    };
    assert!(says.starts_with("of `ip link set no up`"), "{says}");
}

fn a_verdict_is_for_all_messages_of_a_call() {
    let told = |outcome: &Outcome| String::from_utf8_lossy(&outcome.stdout.bytes).into_owned();
    let is_up = |netns: &Netns| netns.blocking().link("lo").expect("lo").up;
    let netns = Netns::new("lab").expect("a namespace");
    let failed = own(&netns, "several").run(&mut on(SEVERAL, Verdict::Fail(Errno::EBUSY))).expect("run");
    assert!(told(&failed).starts_with("-1 EBUSY") && !is_up(&netns), "{}", told(&failed));
    let pause = Duration::from_millis(150);
    let waits = Verdict::Hold { at_most: Some(pause), then: Then::LetGo };
    let held = own(&netns, "several").run(&mut on(SEVERAL, waits)).expect("run");
    let record = held.records.iter().find(|it| it.request.to_string() == SEVERAL).expect("the call");
    assert!(Duration::from_nanos(record.decided_ns - record.request.at_ns) >= pause);
    assert!(told(&held).starts_with("3 ") && is_up(&netns), "{}", told(&held));
    // done in the thread's place, the third message too
    for verdict in [Verdict::KillBefore(Scope::All), Verdict::KillAfter(Scope::All)] {
        let netns = Netns::new("lab").expect("a namespace");
        netns.blocking().add_veth(&VethEnd::new("gone"), &VethEnd::new("peer")).expect("a pair");
        let killed = own(&netns, "several").run(&mut on(SEVERAL, verdict)).expect("run");
        let after = verdict == Verdict::KillAfter(Scope::All);
        assert_eq!(told(&killed), "");
        assert_eq!(
            (is_up(&netns), links(&netns).contains(&"gone".to_owned())),
            (after, !after),
            "{verdict:?}"
        );
    }
}

fn what_would_not_be_seen_is_refused() {
    let netns = Netns::new("lab").expect("a namespace");
    let outcome = own(&netns, "odd").run(&mut watch()).expect("run");
    assert_eq!(String::from_utf8_lossy(&outcome.stdout.bytes).trim(), "-1 ENOSYS: Function not implemented");
}

fn nothing_that_is_no_program_starts() {
    let netns = Netns::new("lab").expect("a namespace");
    let folder = std::env::temp_dir().join(format!("netns-lab-{}-programs", std::process::id()));
    fs::create_dir(&folder).expect("a folder");
    let file = |name: &str, content: &str, mode: u32| {
        let path = folder.join(name);
        fs::write(&path, content).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
        path
    };
    let cases = [
        (folder.join("none"), Errno::ENOENT),
        (folder.clone(), Errno::EACCES),
        (file("closed", "#!/bin/sh\n", 0o644), Errno::EACCES),
        (file("text", "not a program", 0o755), Errno::from_raw(libc::ENOEXEC)),
        (file("empty", "", 0o755), Errno::from_raw(libc::ENOEXEC)),
        (file("orphan", "#!/no/such/interpreter\n", 0o755), Errno::ENOENT),
    ];
    for (program, wanted) in cases {
        let error = Command::new(&program)
            .netns(&netns)
            .expect("a descriptor")
            .run(&mut watch())
            .expect_err("no program");
        assert!(matches!(&error, SuperviseError::Exec { errno, .. } if *errno == wanted), "{error}");
        assert!(error.to_string().contains(&program.display().to_string()), "{error}");
    }
    fs::remove_dir_all(&folder).expect("removed");
    let error = Command::new("/bin/true").args(["a\0b"]).run(&mut watch()).expect_err("a zero");
    assert!(error.to_string().contains("an argument of `/bin/true` has a zero byte"), "{error}");
    let error = Command::new("/bin/true").directory("/no/such").run(&mut watch()).expect_err("no folder");
    assert!(error.to_string().contains("working directory"), "{error}");
}

fn output_is_kept_up_to_its_limit() {
    let netns = Netns::new("lab").expect("a namespace");
    let run = shell(&netns, "head -c 100000000 /dev/zero; echo end >&2").output_bytes_max(1000);
    let outcome = run.run(&mut watch()).expect("run");
    assert!(outcome.success());
    assert_eq!((outcome.stdout.bytes.len(), outcome.stdout.lost), (1000, 99_999_000));
    assert_eq!(stderr(&outcome), "end\n");
    // more than a pipe holds, to somebody who reads and to somebody who does not
    let long = vec![b'x'; 300_000];
    let echoed = shell(&netns, "cat").input(long.clone()).run(&mut watch()).expect("run");
    assert_eq!(echoed.stdout.bytes, long);
    assert!(shell(&netns, "exit 0").input(long).run(&mut watch()).expect("run").success());
}

fn a_room_is_shared_and_goes() {
    let netns = Netns::new("lab").expect("a namespace");
    let folder = std::env::temp_dir().join(format!("netns-lab-{}-room", std::process::id()));
    fs::create_dir(&folder).expect("a folder");
    fs::write(folder.join("before"), "").expect("a file");
    let room = Room::new(&[&folder]).expect("a room");
    let file = folder.join("made");
    let run = |script: String| shell(&netns, &script).room(&room).expect("a descriptor").run(&mut watch());
    let made = run(format!("echo hello > {}; test ! -e {}/before", file.display(), folder.display()));
    assert!(made.expect("run").success());
    let seen = run(format!("cat {}", file.display())).expect("run");
    assert_eq!(String::from_utf8_lossy(&seen.stdout.bytes), "hello\n");
    let read = file.clone();
    assert_eq!(room.exec(move || fs::read_to_string(read)).expect("done").expect("a file"), "hello\n");
    let failed: std::io::Result<()> = room.exec(|| panic!("as wanted"));
    assert!(failed.is_err());
    assert!(!file.exists() && folder.join("before").exists(), "nothing of it is outside");
    drop(room);
    fs::remove_dir_all(&folder).expect("removed");
}

fn time_is_up() {
    let netns = Netns::new("lab").expect("a namespace");
    for script in ["sleep 1000", "trap '' TERM INT; while :; do :; done", "kill -STOP $$"] {
        let begun = Instant::now();
        let run = shell(&netns, script).timeout(Duration::from_millis(100));
        let outcome = run.run(&mut watch()).expect("run");
        assert_eq!(outcome.ended, Ended::TimedOut, "{script}");
        assert!(begun.elapsed() < common::PATIENCE / 2);
    }
}

fn who_forks_away_is_found() {
    let netns = Netns::new("lab").expect("a namespace");
    let run = shell(&netns, "(setsid sleep 1000 &) ; echo begun");
    let outcome = run.linger(Duration::from_millis(50)).run(&mut watch()).expect("run");
    assert!(outcome.success() && outcome.left_behind);
    let outcome =
        shell(&netns, "(sleep 0.05; ip link add late type bridge) &").run(&mut watch()).expect("run");
    assert!(outcome.success() && !outcome.left_behind);
    assert!(links(&netns).contains(&"late".to_owned()), "what children ask is seen to its end");
}

/// In the child: many requests, while signals rain on the thread that makes them.
fn requests_under_signals() {
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
    extern "C" fn nothing(_: libc::c_int) {}
    let action = SigAction::new(SigHandler::Handler(nothing), SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler does nothing.
    unsafe { sigaction(Signal::SIGURG, &action).expect("a handler") };
    let target = nix::unistd::gettid().as_raw();
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let over = done.clone();
    let rain = thread::spawn(move || {
        while !over.load(std::sync::atomic::Ordering::SeqCst) {
            // SAFETY: takes no memory; the thread is in this process.
            unsafe { libc::syscall(libc::SYS_tgkill, std::process::id(), target, libc::SIGURG) };
        }
    });
    for value in 0..500 {
        fs::write("/proc/sys/net/ipv4/conf/all/medium_id", value.to_string()).expect("written");
    }
    done.store(true, std::sync::atomic::Ordering::SeqCst);
    rain.join().expect("over");
}

fn signals_lose_and_repeat_nothing() {
    let netns = Netns::new("lab").expect("a namespace");
    let outcome = own(&netns, "signals").run(&mut watch()).expect("run");
    assert!(outcome.success(), "{}", stderr(&outcome));
    let written: Vec<_> = outcome
        .records
        .iter()
        .filter_map(|record| match &record.request.kind {
            Kind::Sysctl { value, .. } => Some(value.clone()),
            _ => None,
        })
        .collect();
    let wanted: Vec<_> = (0..500).map(|value| value.to_string()).collect();
    assert_eq!(written, wanted);
}

fn a_panic_of_the_rules_leaves_nothing() {
    let netns = Netns::new("lab").expect("a namespace");
    let mark = mark("panic");
    let run = shell(&netns, "sleep 1000 & ip link add br0 type bridge; wait").env("MARK", &mark);
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        run.run(&mut |request: &Request| {
            assert!(!request.to_string().starts_with("ip link add"), "as wanted");
            Verdict::LetGo
        })
    }));
    assert!(outcome.is_err());
    assert_eq!(marked(&mark), Vec::<String>::new());
}

/// A word that no other test's processes have in their environment.
fn mark(name: &str) -> String {
    format!("netns-lab-{}-{name}", std::process::id())
}

/// Processes with this word in their environment.
fn marked(mark: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("/proc").flatten() {
        let environ = fs::read(entry.path().join("environ")).unwrap_or_default();
        if environ.windows(mark.len()).any(|word| word == mark.as_bytes()) {
            found.push(entry.path().display().to_string());
        }
    }
    found
}

/// Something with children, sessions, waits and requests in it.
const BUSY: &str = "(setsid sh -c 'while :; do ip link add x type dummy; ip link del x; done' &)
    while :; do ip link add br0 type bridge; echo 1 > /proc/sys/net/ipv4/ip_forward; ip link del br0; done";

/// In the child: a supervisor, until it is killed.
fn supervise_for_ever() {
    let netns = Netns::new("lab").expect("a namespace");
    println!("ready");
    let mark = std::env::var("MARK").expect("a mark");
    let hold = Verdict::Hold { at_most: Some(Duration::from_millis(3)), then: Then::LetGo };
    let mut count = 0;
    let outcome = shell(&netns, BUSY).env("MARK", mark).run(&mut |_: &Request| {
        count += 1;
        if count % 5 == 0 { hold } else { Verdict::LetGo }
    });
    println!("{outcome:?}");
}

fn nothing_outlives_a_killed_supervisor() {
    use std::io::{BufRead, BufReader};
    let program = std::env::current_exe().expect("a path");
    let mark = mark("supervisor");
    for moment in 0..70_u64 {
        let mut child = common::child(&program, "supervise")
            .env("MARK", &mark)
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        assert_eq!(lines.next().expect("a line").expect("text"), "ready");
        // from before the process namespace is there to some dozens of requests later
        thread::sleep(Duration::from_micros(moment * moment * 9));
        child.kill().expect("killed");
        child.wait().expect("reaped");
        gone(&mark);
    }
}

/// The kernel kills in the background: wait for it.
fn gone(mark: &str) {
    let begun = Instant::now();
    loop {
        let left = marked(mark);
        if left.is_empty() {
            return;
        }
        assert!(begun.elapsed() < common::PATIENCE, "left: {left:?}");
        thread::sleep(Duration::from_millis(1));
    }
}

fn nothing_outlives_a_killed_command() {
    let mark = mark("command");
    for moment in 0..130_u64 {
        let netns = Netns::new("lab").expect("a namespace");
        let run = shell(&netns, BUSY).env("MARK", &mark).linger(Duration::from_millis(5));
        // in turn the command itself, one of its children, and all of it
        let victim = moment % 3;
        let at = Duration::from_micros(moment * moment * 2);
        let begun = Instant::now();
        let (mut struck, mut main) = (false, None);
        let outcome = run.timeout(Duration::from_secs(20)).run(&mut |request: &Request| {
            let child = request.pid != *main.get_or_insert(request.pid);
            if struck || begun.elapsed() < at || (victim == 1) != child {
                // a child that was killed is not the end of it
                return if struck && victim == 1 { Verdict::KillBefore(Scope::All) } else { Verdict::LetGo };
            }
            struck = true;
            match (victim, moment % 2) {
                (2, 0) => Verdict::KillBefore(Scope::All),
                (2, _) => Verdict::KillAfter(Scope::All),
                (_, 0) => Verdict::KillBefore(Scope::Process),
                (_, _) => Verdict::KillAfter(Scope::Process),
            }
        });
        match outcome {
            Ok(outcome) => assert_ne!(outcome.ended, Ended::TimedOut, "{moment}"),
            // struck before it was a shell
            Err(error) => assert!(moment < 3, "{moment}: {error}"),
        }
        assert_eq!(marked(&mark), Vec::<String>::new(), "{moment}");
        let joined = netns.blocking().add_veth(&VethEnd::new("a"), &VethEnd::new("b"));
        joined.expect("the namespace is usable");
    }
}
