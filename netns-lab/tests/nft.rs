//! ARP filters, in real namespaces.

mod common;

use std::net::Ipv4Addr;

use common::{PATIENCE, joined};
use netns_lab::{
    Errno, MacAddr, Netns, PacketOptions, PacketSocket, RecvBatch,
    nft::{ArpDrop, ArpHook, ArpOperation, NftError, delete, objects, ruleset},
    rtnl::Address,
};

lab_tests! {
    input_rule_drops_until_removed,
    output_rule_selects_by_operation_and_address,
    other_interfaces_are_left_alone,
    removing_twice_is_refused,
    what_is_there_is_listed,
    a_chain_goes_with_what_jumps_to_it,
}

const HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);

/// A host that answers for two addresses, and a pod end to ask by.
fn asked_host() -> (Netns, Netns, PacketSocket) {
    let (node, pod) = joined();
    for ip in [HOST, OTHER] {
        node.blocking()
            .add_address(&Address::new("host0", format!("{ip}/32").parse().expect("a prefix")))
            .expect("ip");
    }
    node.sysctl().write("net.ipv4.conf.all.rp_filter", 0).expect("no reverse path filter");
    node.sysctl().write("net.ipv4.conf.host0.rp_filter", 0).expect("no reverse path filter");
    node.sysctl().write("net.ipv4.conf.host0.arp_ignore", 0).expect("answers for all addresses");
    let socket = PacketSocket::open(&pod, "pod0", &PacketOptions::new().ethertype(0x0806)).expect("a socket");
    (node, pod, socket)
}

fn request(target: Ipv4Addr) -> Vec<u8> {
    let mut frame = [[0xff; 6], MAC.octets()].concat();
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(MAC.octets());
    frame.extend([10, 0, 0, 9]);
    frame.extend([0; 6]);
    frame.extend(target.octets());
    frame
}

/// Asks for all of `targets` and says who answered. The kernel answers in order, so the last
/// one, for which no rule is ever made, ends the waiting.
fn answered(socket: &PacketSocket, first: Ipv4Addr, last: Ipv4Addr) -> Vec<Ipv4Addr> {
    for target in [first, last] {
        socket.send(&request(target)).expect("sent");
    }
    let mut batch = RecvBatch::default();
    let mut answers = Vec::new();
    while answers.last() != Some(&last) {
        assert!(socket.recv(&mut batch, Some(PATIENCE)).expect("frames") > 0, "no answer from {last}");
        answers.extend(batch.frames().filter(|frame| frame.bytes[20..22] == [0, 2]).map(|frame| {
            let octets: [u8; 4] = frame.bytes[28..32].try_into().expect("an address");
            Ipv4Addr::from(octets)
        }));
    }
    answers
}

fn input_rule_drops_until_removed() {
    let (node, _pod, socket) = asked_host();
    assert_eq!(answered(&socket, HOST, OTHER), [HOST, OTHER]);
    let rule = ArpDrop::new(ArpHook::Input, "host0").target(HOST).install(&node).expect("a rule");
    assert_eq!(answered(&socket, HOST, OTHER), [OTHER]);
    rule.remove(&node).expect("removed");
    assert_eq!(answered(&socket, HOST, OTHER), [HOST, OTHER]);
}

fn output_rule_selects_by_operation_and_address() {
    let (node, _pod, socket) = asked_host();
    let replies = ArpDrop::new(ArpHook::Output, "host0").operation(ArpOperation::Reply).sender(HOST);
    let rule = replies.install(&node).expect("a rule");
    assert_eq!(answered(&socket, HOST, OTHER), [OTHER]);
    rule.remove(&node).expect("removed");
    let requests = ArpDrop::new(ArpHook::Output, "host0").operation(ArpOperation::Request);
    let _rule = requests.install(&node).expect("a rule");
    assert_eq!(answered(&socket, HOST, OTHER), [HOST, OTHER]);
}

fn other_interfaces_are_left_alone() {
    let (node, _pod, socket) = asked_host();
    for dev in ["host", "host00", "eth0"] {
        ArpDrop::new(ArpHook::Input, dev).install(&node).expect("a rule");
        ArpDrop::new(ArpHook::Output, dev).install(&node).expect("a rule");
    }
    assert_eq!(answered(&socket, HOST, OTHER), [HOST, OTHER]);
}

fn removing_twice_is_refused() {
    let (node, pod, _socket) = asked_host();
    let rule = ArpDrop::new(ArpHook::Input, "host0").install(&node).expect("a rule");
    let table = rule.table().to_owned();
    let elsewhere = rule.remove(&pod).expect_err("not there");
    assert!(matches!(elsewhere, NftError::Refused { errno: Errno::ENOENT, .. }), "{elsewhere}");
    assert!(elsewhere.to_string().contains(&table), "{elsewhere}");
    let bad = ArpDrop::new(ArpHook::Input, "no/name").install(&node).expect_err("no name");
    assert!(matches!(bad, NftError::Invalid { .. }), "{bad}");
}

fn what_is_there_is_listed() {
    let (node, pod, _socket) = asked_host();
    assert_eq!(ruleset(&node).expect("a list"), Vec::<String>::new());
    let rule = ArpDrop::new(ArpHook::Input, "host0").install(&node).expect("a rule");
    let table = rule.table().to_owned();
    let there = ruleset(&node).expect("a list");
    let has = |text: String| assert!(there.iter().any(|line| line.starts_with(&text)), "{text}: {there:?}");
    has(format!("table arp {table}"));
    has(format!("chain arp {table} "));
    has(format!("rule arp {table} "));
    assert_eq!((there.len(), ruleset(&pod).expect("a list").len()), (3, 0));
    rule.remove(&node).expect("removed");
    assert_eq!(ruleset(&node).expect("a list"), Vec::<String>::new());
}

/// The kernel does not delete a chain that a rule jumps to, and deletes its own rules with it.
fn a_chain_goes_with_what_jumps_to_it() {
    let (node, pod, _socket) = asked_host();
    ArpDrop::new(ArpHook::Input, "host0").install(&node).expect("a rule");
    let one = objects(&node).expect("objects");
    let words: Vec<_> = one.iter().map(ToString::to_string).collect();
    assert!(words[0].starts_with("table arp netns-lab-") && words[2].contains(" drop handle "), "{words:?}");
    assert!(one[1].is_within(&one[0]) && one[2].is_within(&one[1]) && !one[0].is_within(&one[2]));
    let elsewhere = delete(&pod, &one[2..]).expect_err("not there");
    assert!(matches!(elsewhere, NftError::Refused { errno: Errno::ENOENT, .. }), "{elsewhere}");
    delete(&node, &one[2..]).expect("the rule");
    assert_eq!(objects(&node).expect("objects"), one[..2]);
    delete(&node, &one[..1]).expect("the table");
    assert_eq!(objects(&node).expect("objects"), []);
    let iptables = |line: &str| {
        let mut command = std::process::Command::new("iptables-nft");
        command.args(["-t", "nat"]).args(line.split(' '));
        node.exec(move || command.output().is_ok_and(|out| out.status.success())).expect("a thread")
    };
    if !iptables("-N OWN") {
        eprintln!("no iptables-nft here, so no chain to jump to");
        return;
    }
    assert!(iptables("-A OWN -j ACCEPT") && iptables("-A POSTROUTING -s 198.51.100.2 -j OWN"));
    let there = objects(&node).expect("objects");
    let own = there.iter().find(|it| it.to_string() == "chain ip nat OWN").expect("the chain");
    let busy = delete(&node, std::slice::from_ref(own)).expect_err("a rule jumps to it");
    assert!(matches!(busy, NftError::Refused { errno: Errno::EBUSY, .. }), "{busy}");
    let with = own.with_what_needs_it(&there);
    assert!(with[0].to_string().starts_with("rule ip nat POSTROUTING handle "), "{with:?}");
    delete(&node, &with).expect("both");
    let left: Vec<_> = objects(&node).expect("objects").iter().map(ToString::to_string).collect();
    assert_eq!(left, ["table ip nat", "chain ip nat POSTROUTING"]);
}
