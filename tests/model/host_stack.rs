//! The host at work: what it learns, what waits, what is lost.

use crate::common::{GATEWAY, Live, Node, POD, POD_MAC, ip};
use arplab::addr::Mac;
use arplab::host::Reason;
use arplab::host::hook::HookPoint;
use arplab::time::Span;
use arplab::wire::{Arp, OP_REPLY};

const SECOND: Span = Span::from_secs(1);
const OTHER: Mac = Mac([2, 0xde, 0xad, 0xbe, 0xef, 1]);

fn delayed() -> Node {
    Node::calico()
        .with(&["sysctl net.ipv4.neigh.cali0.proxy_delay=80", "sysctl net.ipv4.conf.cali0.rp_filter=0"])
}

/// With the first of every choice, waiting ends with the next tick.
fn held_back(node: Node, requests: u8) -> Live {
    let mut live = Live::new(node);
    for i in 1..=requests {
        live.ask(&format!("10.65.1.{i}"));
    }
    live
}

#[test]
fn one_more_than_the_limit_waits_and_the_rest_is_lost_without_a_word() {
    let node = delayed().with(&["sysctl net.ipv4.neigh.cali0.proxy_qlen=3"]);
    let mut live = held_back(node, 6);
    let (replies, reasons) = live.wait(SECOND);
    assert_eq!(replies.len(), 4);
    assert_eq!(reasons, [Reason::QueueFull { limit: 3 }; 2]);
    // what was lost was learned all the same
    assert_eq!(live.entry("10.65.1.6").as_deref(), Some("STALE 02:00:0a:41:00:02"));
    // and the queue has room again
    live.ask("10.65.1.9");
    assert_eq!(live.wait(SECOND).0.len(), 1);
}

#[test]
fn any_interface_going_down_empties_the_queue() {
    for command in ["ip link set up0 down", "ip link set cali1 carrier off", "ip link set lo down"] {
        let mut live = held_back(delayed(), 3);
        live.run(command);
        let (replies, reasons) = live.wait(SECOND);
        assert!(replies.is_empty(), "{command}");
        assert_eq!(reasons, [Reason::QueuePurged; 3], "{command}");
        assert_eq!(live.stack.state().link(live.dev).unwrap().delayed_requests(), 0);
    }
    // a carrier that is lost unheeded empties nothing
    let node = delayed().with(&["sysctl net.ipv4.conf.cali1.arp_evict_nocarrier=0"]);
    let mut live = held_back(node, 3);
    live.run("ip link set cali1 carrier off");
    assert_eq!(live.wait(SECOND).0.len(), 3);
    // nor does IPv6 going, whose queue is another
    let mut live = held_back(delayed(), 3);
    live.run("sysctl net.ipv6.conf.cali1.disable_ipv6=1");
    assert_eq!(live.wait(SECOND).0.len(), 3);
}

#[test]
fn what_waits_is_decided_again_but_not_filtered_again() {
    for (command, answered) in [
        ("sysctl net.ipv4.conf.cali0.proxy_arp=0", false),
        ("sysctl net.ipv4.conf.cali0.forwarding=0", false),
        ("ip route del default", false),
        ("ip link set cali0 arp off", false),
        ("nft add rule arp filter output oifname cali0 drop", false),
        ("nft add rule arp filter input iifname cali0 drop", true),
        ("sysctl net.ipv4.neigh.cali0.proxy_delay=0", true),
        ("ip addr add 169.254.1.1/32 dev lo", true),
    ] {
        let mut live = held_back(delayed(), 1);
        live.run(command);
        assert_eq!(live.wait(SECOND).0.len() == 1, answered, "{command}");
    }
    let mut live = held_back(delayed(), 1);
    live.run("ip link set cali0 address 02:de:ad:be:ef:01");
    assert_eq!(live.wait(SECOND).0[0].sha, OTHER, "a changed MAC is told");
}

#[test]
fn a_unicast_request_overtakes_the_broadcast_ones() {
    let mut live = held_back(delayed(), 2);
    live.arp(&Arp::request(POD_MAC, ip(POD), ip(GATEWAY)), Mac::CALICO);
    let now = live.now;
    let (replies, _) = live.wait(Span::ZERO);
    assert_eq!((replies.len(), replies[0].tpa), (1, ip(POD)));
    assert_eq!(live.now, now);
    assert_eq!(live.wait(SECOND).0.len(), 2);
}

#[test]
fn the_input_hook_hides_a_request_and_the_output_hook_only_the_answer() {
    for (point, entry) in [(HookPoint::Input, None), (HookPoint::Output, Some("STALE 02:00:0a:41:00:02"))] {
        let mut live = Live::new(Node::calico());
        live.run(&format!("nft add rule arp filter {point} drop"));
        live.ask(POD);
        assert_eq!(live.wait(SECOND).1, [Reason::Filtered(point)]);
        assert_eq!(live.entry(POD).as_deref(), entry);
    }
    // selectors: a rule for other addresses, or for replies coming in, hides nothing
    for rule in [
        "nft add rule arp filter output oifname cali0 arp saddr ip 10.65.0.2 drop",
        "nft add rule arp filter input arp operation reply drop",
        "nft add rule arp filter input iifname up0 drop",
    ] {
        let mut live = Live::new(Node::calico());
        live.run(rule);
        live.ask(POD);
        assert_eq!(live.wait(SECOND).0.len(), 1, "{rule}");
    }
}

#[test]
fn a_changed_mac_forgets_every_neighbour_even_permanent_ones() {
    let mut live = Live::new(Node::calico());
    live.run("ip neigh add 10.65.0.2 dev cali0 lladdr 02:00:0a:41:00:02 nud permanent");
    live.run("ip link set cali0 carrier off");
    assert!(live.entry(POD).is_some(), "losing the carrier spares it");
    live.run("ip link set cali0 address 02:de:ad:be:ef:01");
    assert_eq!(live.entry(POD), None);
}

#[test]
fn locktime_shields_an_entry_from_another_mac_but_not_from_the_sender_of_a_request() {
    let mut live = Live::new(Node::calico());
    live.ask(POD);
    live.wait(Span::from_ms(400));
    let reply = |sha| Arp { op: OP_REPLY, tha: Mac::CALICO, ..Arp::request(sha, ip(POD), ip(GATEWAY)) };
    live.arp(&reply(OTHER), Mac::CALICO);
    assert_eq!(live.entry(POD).as_deref(), Some("STALE 02:00:0a:41:00:02"));
    live.arp(&Arp::request(OTHER, ip(POD), ip(GATEWAY)), Mac::BROADCAST);
    assert_eq!(live.entry(POD).as_deref(), Some("STALE 02:de:ad:be:ef:01"));
    live.wait(Span::from_ms(1100));
    live.arp(&reply(POD_MAC), Mac::CALICO);
    assert_eq!(live.entry(POD).as_deref(), Some("REACHABLE 02:00:0a:41:00:02"));
}

#[test]
fn a_broadcast_sender_gets_an_entry_that_never_changes() {
    let mut live = Live::new(Node::calico().with(&["sysctl net.ipv4.conf.cali0.rp_filter=0"]));
    live.ask("192.168.77.255");
    assert_eq!(live.wait(SECOND).0.len(), 1);
    assert_eq!(live.entry("192.168.77.255").as_deref(), Some("NOARP ff:ff:ff:ff:ff:ff"));
}

#[test]
fn a_bridge_takes_its_ports_frames_and_answers_for_itself() {
    let mut live = Live::new(Node::calico());
    for command in ["ip link add br0 type bridge", "ip link set br0 up", "ip link set cali0 master br0"] {
        live.run(command);
    }
    live.ask(POD);
    let (replies, reasons) = live.wait(SECOND);
    assert!(replies.is_empty());
    // br0 forwards by default here, but nothing proxies on it
    assert_eq!(reasons, [Reason::BridgePort, Reason::ProxyArpOff]);
    live.run("ip addr add 169.254.1.1/32 dev br0");
    live.ask(POD);
    let (replies, _) = live.wait(SECOND);
    assert_eq!(replies[0].sha, Mac::CALICO, "the bridge has taken its port's MAC");
    live.run("ip link set br0 down");
    live.ask(POD);
    assert!(live.wait(SECOND).0.is_empty());
}

#[test]
fn neighbour_commands_know_what_is_there() {
    let mut live = Live::new(Node::calico());
    let add = crate::common::change("ip neigh add 10.65.0.2 dev cali0 lladdr 02:00:0a:41:00:02 nud stale");
    let del = crate::common::change("ip neigh del 10.65.0.2 dev cali0");
    let mut apply = |c| live.stack.apply(live.now, c, &mut arplab::choice::First).map_err(|e| e.errno);
    assert_eq!(apply(&del), Err(arplab::host::Errno::Enoent));
    assert_eq!(apply(&add), Ok(()));
    assert_eq!(apply(&add), Err(arplab::host::Errno::Eexist));
    assert_eq!(apply(&del), Ok(()));
}
