//! Explanations and repairs: the first are the decision itself taken apart, the second remove what
//! they are for.

use crate::common::{CALICO, GATEWAY, Node, POD, POD_MAC, ip};
use arplab::choice::{ChoiceKind, Chooser, Seeded};
use arplab::host::{Condition, HostState, Reason, Request, Status, Term, decide, explain};
use arplab::wire::{Arp, Cast};

fn line(terms: &[Term]) -> Vec<String> {
    terms.iter().map(ToString::to_string).collect()
}

#[test]
fn an_answered_request_holds_every_condition_of_its_way() {
    let node = Node::calico();
    let terms = explain(&node.0, &node.request(POD, GATEWAY));
    assert_eq!(
        line(&terms),
        [
            "held    the interface exists: cali0",
            "held    the interface is up: cali0 is up",
            "held    no bridge takes its frames: cali0 is no port",
            "held    ARP is on: cali0 has ARP on",
            "held    the frame is for this interface or for everybody: to everybody",
            "held    no netfilter rule drops the request: 0 input rules concern cali0",
            "held    the header is Ethernet, IPv4, request or reply: hardware 1, protocol 0x0800, operation 1",
            "held    the target is no multicast or (without route_localnet) loopback address: target 169.254.1.1",
            "held    it is not gratuitous, or those are not dropped: 10.65.0.2 asks for 169.254.1.1",
            "held    it is a request: operation 1",
            "held    the sender address can be somebody's: sender 10.65.0.2",
            "held    the target address can be somebody's: target 169.254.1.1",
            "held    there is a route to the target: default via 192.168.77.1 dev up0 in table main",
            "held    the target is no broadcast address: 169.254.1.1 is none",
            "held    forwarding is on for the interface: net.ipv4.conf.cali0.forwarding is 1",
            "held    the reverse path check accepts the sender: rp_filter 1 (cali0 1, all 0); \
             back to 10.65.0.2: 10.65.0.2 dev cali0 in table main",
            "held    the route leaves by another interface, or proxy_arp_pvlan is on: \
             out of up0, proxy_arp_pvlan 0 (cali0 0, all 0)",
            "held    proxy_arp is on, or there is a proxy entry: proxy_arp 1 (cali0 1, all 0)",
            "held    medium_id allows it: medium_id 0 here, 0 on the way out",
            "held    the answer need not wait, or the queue has room: proxy_delay 0, answered at once",
            "held    no netfilter rule drops the reply: 0 output rules concern cali0",
        ]
    );
}

#[test]
fn what_fails_has_its_reason_and_what_follows_is_not_reached() {
    let node = Node::calico().with(&["ip route del 10.65.0.2"]);
    let terms = explain(&node.0, &node.request(POD, GATEWAY));
    let failed: Vec<&Term> = terms.iter().filter(|t| t.status == Status::Failed).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].condition, Condition::SenderCredible);
    assert_eq!(failed[0].reason, node.gateway());
    assert_eq!((failed[0].pointer.kernel, failed[0].pointer.catalogue), ("fib_validate_source", "M15 M16"));
    assert_eq!(
        failed[0].met,
        "rp_filter 1 (cali0 1, all 0); back to 10.65.0.2: default via 192.168.77.1 dev up0 in table main"
    );
    let after: Vec<Condition> =
        terms.iter().filter(|t| t.status == Status::NotReached).map(|t| t.condition).collect();
    let rest = [
        Condition::OtherInterface,
        Condition::Proxying,
        Condition::Medium,
        Condition::QueueRoom,
        Condition::OutputHook,
    ];
    assert_eq!(after, rest);
}

/// Changes that make states odd.
const ODD: [&str; 55] = [
    "ip route del default",
    "ip route del 10.65.0.2",
    "ip route add blackhole 169.254.1.1",
    "ip route add unreachable 169.254.0.0/16 metric 7",
    "ip route add prohibit default metric 9",
    "ip route add throw 169.254.0.0/16",
    "ip route add 169.254.0.0/16 dev cali0",
    "ip route add 169.254.1.1 dev cali1",
    "ip route replace 10.65.0.2 dev up0",
    "ip route replace blackhole 10.65.0.2",
    "ip route add broadcast 10.65.0.2 dev up0 table local",
    "ip route add local 10.65.0.2 dev lo",
    "ip route add default dev up0 table 100",
    "ip route add unreachable default table 100",
    "ip route add 10.65.0.2 dev cali0 table 100",
    "ip rule add priority 100 iif cali0 lookup 100",
    "ip rule add priority 110 to 10.65.0.0/24 lookup 100",
    "ip rule add priority 90 from 10.65.0.2 prohibit",
    "ip rule add priority 91 to 10.65.0.2 unreachable",
    "ip rule add priority 92 lookup main suppress_prefixlength 0",
    "ip rule add priority 95 not iif lo blackhole",
    "sysctl net.ipv4.conf.cali0.forwarding=0",
    "sysctl net.ipv4.ip_forward=0",
    "sysctl net.ipv4.conf.cali0.proxy_arp=0",
    "sysctl net.ipv4.conf.cali0.rp_filter=0",
    "sysctl net.ipv4.conf.all.rp_filter=2",
    "sysctl net.ipv4.conf.cali0.arp_ignore=1",
    "sysctl net.ipv4.conf.all.arp_ignore=8",
    "sysctl net.ipv4.conf.cali0.arp_filter=1",
    "sysctl net.ipv4.conf.all.arp_filter=1",
    "sysctl net.ipv4.conf.cali0.medium_id=-1",
    "sysctl net.ipv4.conf.cali0.route_localnet=0",
    "sysctl net.ipv4.conf.all.drop_gratuitous_arp=1",
    "sysctl net.ipv4.conf.all.proxy_arp_pvlan=1",
    "sysctl net.ipv4.conf.all.accept_local=1",
    "sysctl net.ipv4.conf.up0.ignore_routes_with_linkdown=1",
    "sysctl net.ipv4.neigh.cali0.proxy_delay=80",
    "ip addr add 169.254.1.1/32 dev lo",
    "ip addr add 169.254.1.1/32 dev cali0",
    "ip addr add 10.65.0.2/32 dev up0",
    "ip addr add 10.65.0.1/24 dev cali0",
    "ip addr del 192.168.77.2/24 dev up0",
    "ip link set cali0 down",
    "ip link set up0 down",
    "ip link set up0 carrier off",
    "ip link set cali0 arp off",
    "ip link set cali0 master br0",
    "ip neigh add proxy 169.254.1.1 dev cali0",
    "nft add rule arp filter input iifname cali0 drop",
    "nft add rule arp filter input arp operation request drop",
    "nft add rule arp filter output drop",
    "nft add rule arp filter output arp daddr ip 10.65.0.2 drop",
    "lab neighbours-elsewhere 1024",
    "ip rule del priority 32766 lookup main",
    "sysctl net.ipv4.conf.all.send_redirects=0",
];
const SENDERS: [&str; 7] = [POD, POD, POD, "0.0.0.0", "192.168.77.2", "127.0.0.1", "192.168.77.255"];
const TARGETS: [&str; 7] = [GATEWAY, GATEWAY, GATEWAY, "127.0.0.1", "192.168.77.2", "192.168.77.255", POD];

/// A state with up to five odd things about it, and a question.
fn odd(seed: u64) -> (Node, Request) {
    let mut draws = Seeded::new(seed);
    let mut draw = |n: usize| usize::try_from(draws.choose(ChoiceKind::Order, n as u64)).unwrap();
    let mut node = Node::bare().with(&CALICO).with(&["ip link add br0 type bridge"]);
    for _ in 0..draw(6) {
        // some do not go together
        let _ = node.try_run(ODD[draw(ODD.len())]);
    }
    let arp = Arp::request(POD_MAC, ip(SENDERS[draw(SENDERS.len())]), ip(TARGETS[draw(TARGETS.len())]));
    let cast = [Cast::Broadcast, Cast::Broadcast, Cast::Host, Cast::OtherHost][draw(4)];
    let dev = node.index("cali0");
    (node, Request { dev, cast, arp, sender_known: false, again: draw(8) == 0, leg: 0 })
}

#[test]
fn an_explanation_is_the_decision() {
    let mut codes = std::collections::BTreeSet::new();
    for seed in 0..4000 {
        let (node, request) = odd(seed);
        let (terms, reason) = (explain(&node.0, &request), decide(&node.0, &request).reason());
        let failed: Vec<Option<Reason>> =
            terms.iter().filter(|t| t.status == Status::Failed).map(|t| t.reason).collect();
        assert_eq!(failed, reason.iter().map(|r| Some(*r)).collect::<Vec<_>>(), "{seed}");
        // held ones first, then the failed one, then the rest; each condition once and in order
        assert!(terms.is_sorted_by_key(|t| t.status as u8), "{seed}");
        let order: Vec<Condition> = terms.iter().map(|t| t.condition).collect();
        let mut once = order.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), order.len(), "{seed}");
        for term in terms {
            assert_eq!(term.met.is_empty(), term.status == Status::NotReached, "{seed} {term:?}");
            let pointer = term.reason.map_or(term.condition.pointer(), |r| r.pointer());
            assert_eq!(term.pointer, pointer);
        }
        codes.insert(reason.map_or("answered", |r| r.pointer().code));
    }
    // the states must be odd enough for this to mean something
    assert!(codes.len() >= 22, "{codes:?}");
}

fn repaired(state: &HostState, request: &Request, reason: &Reason) -> Option<HostState> {
    let changes = reason.repair(state, request)?;
    assert!(!changes.is_empty(), "{reason:?}");
    let mut state = state.clone();
    for change in changes {
        let refused = state.apply(&change).err();
        assert_eq!(refused, None, "for {reason:?}");
    }
    Some(state)
}

#[test]
fn a_repair_removes_its_reason_and_repairs_lead_to_an_answer() {
    let (mut answered, mut mended) = (0, std::collections::BTreeSet::new());
    for seed in 0..4000 {
        let (node, mut request) = odd(seed);
        let mut state = node.0;
        for _ in 0..24 {
            let Some(reason) = decide(&state, &request).reason() else {
                answered += 1;
                break;
            };
            let code = reason.pointer().code;
            let Some(next) = repaired(&state, &request, &reason) else {
                let loopback = request.arp.spa.is_loopback();
                assert!(loopback || !mended.contains(code), "seed {seed}: {code} is mended elsewhere");
                break;
            };
            let after = decide(&next, &request).reason();
            assert_ne!(after, Some(reason), "seed {seed}: {code} is still there");
            mended.insert(code);
            // a host route may give way to the next thing in its place, but not for ever
            state = next;
            request.again = false;
        }
    }
    assert!(answered > 1500, "{answered}");
    for code in [
        "link-down",
        "bridge-port",
        "noarp",
        "filtered-input",
        "filtered-output",
        "no-route",
        "route-rejects",
        "rule-rejects",
        "forwarding-off",
        "rp-filter-no-route",
        "rp-filter-other-device",
        "sender-is-host",
        "sender-broadcast",
        "same-interface",
        "proxy-arp-off",
        "medium-id",
        "arp-ignore",
        "arp-filter",
        "table-full",
    ] {
        assert!(mended.contains(code), "{code} was never met");
    }
}

#[test]
fn repairs_are_what_an_operator_would_type() {
    for (odd, repair) in [
        ("sysctl net.ipv4.conf.cali0.forwarding=0", "sysctl -w net.ipv4.conf.cali0.forwarding=1"),
        ("sysctl net.ipv4.conf.cali0.proxy_arp=0", "sysctl -w net.ipv4.conf.cali0.proxy_arp=1"),
        ("ip route del 10.65.0.2", "ip route replace 10.65.0.2 dev cali0"),
        ("ip route del default", "ip route replace 169.254.1.1 dev up0"),
        ("ip route add blackhole 169.254.0.0/16", "ip route replace 169.254.1.1 dev up0"),
        ("ip link set cali0 down", "ip link set cali0 up"),
        ("ip link set cali0 arp off", "ip link set cali0 arp on"),
        (
            "nft add rule arp filter output oifname cali0 drop",
            "nft delete rule arp filter output oifname cali0 drop",
        ),
        ("ip rule add priority 50 prohibit", "ip rule del priority 50 prohibit"),
        ("ip addr add 10.65.0.2/32 dev lo", "ip addr del 10.65.0.2/32 dev lo"),
    ] {
        let node = Node::calico().with(&[odd]);
        let reason = node.gateway().unwrap_or_else(|| panic!("{odd} changes nothing"));
        let changes = reason.repair(&node.0, &node.request(POD, GATEWAY)).unwrap();
        let typed: Vec<String> = changes.iter().map(ToString::to_string).collect();
        assert_eq!(typed, [repair], "{odd}");
    }
}
