//! The subtle rules of the decision, each as a state that would be decided otherwise without it.
//! All of them were seen on a 6.18 kernel.

use crate::common::{GATEWAY, Node, POD};
use arplab::host::{Errno, FibMiss, InputFault, Learn, Reason, RouteKind, SourceFault};

fn miss(node: &Node) -> FibMiss {
    match node.gateway() {
        Some(Reason::Unroutable(InputFault::NoRoute(miss))) => miss,
        other => panic!("{other:?}"),
    }
}

#[test]
fn local_and_main_are_one_trie_until_somebody_touches_a_rule() {
    // lo claims all of 10.65.0.0/24 for the host; the pod's host route is longer and wins
    let mut node = Node::calico().with(&["ip addr add 10.65.0.9/24 dev lo"]);
    assert_eq!(node.code(POD, "10.65.0.3"), "answered");
    assert_eq!(node.code("0.0.0.0", "10.65.0.3"), "probe-not-local");
    // any rule, even one that never matches, parts the tables for good: local is asked first
    node.run("ip rule add priority 100 from 8.8.8.8 lookup 100");
    node.run("ip rule del priority 100 lookup 100");
    assert_eq!(node.gateway(), Some(Reason::Unroutable(InputFault::Source(SourceFault::OwnAddress))));
}

#[test]
fn throw_ends_its_table_and_a_reject_route_ends_everything() {
    let node = Node::calico().with(&["ip route add throw 169.254.0.0/16"]);
    assert_eq!(miss(&node), FibMiss::NoRoute);
    let node = node.with(&["ip route add 169.254.0.0/16 dev up0 table default"]);
    assert_eq!(node.gateway(), None, "table default is asked after a throw");
    let node = Node::calico().with(&[
        "ip route add unreachable 169.254.0.0/16",
        "ip route add 169.254.0.0/16 dev up0 table default",
    ]);
    assert!(matches!(miss(&node), FibMiss::Rejected { kind: RouteKind::Unreachable, .. }));
}

#[test]
fn a_rule_passes_over_short_prefixes_and_an_empty_table() {
    let rule = "ip rule add priority 100 iif cali0 lookup 100";
    let node = Node::calico().with(&[rule]);
    assert_eq!(node.gateway(), None, "an empty table is fallen through");
    let node = node.with(&["ip route add unreachable default table 100"]);
    assert!(matches!(miss(&node), FibMiss::Rejected { table: 100, .. }));
    // a reject route is no result that could be suppressed
    let suppress = "ip rule add priority 90 lookup 101 suppress_prefixlength 0";
    let base = Node::calico().with(&[suppress, "ip route add default dev cali0 table 101"]);
    assert_eq!(base.gateway(), None, "the default route of table 101 is passed over");
    let long = base.with(&["ip route add 169.254.0.0/16 dev cali0 table 101"]);
    assert_eq!(long.gateway(), Some(Reason::Unroutable(InputFault::SameDevice)));
}

#[test]
fn rules_can_refuse_and_be_negated() {
    let node = Node::calico().with(&["ip rule add priority 50 not from 8.8.8.8 prohibit"]);
    assert!(matches!(miss(&node), FibMiss::Rule { priority: 50, .. }));
    assert_eq!(node.code("8.8.8.8", GATEWAY), "rp-filter-no-route");
    // the way back is looked up as if it came in by the way out: iif up0, not cali0
    let node = Node::calico().with(&["ip rule add priority 50 iif up0 unreachable"]);
    assert_eq!(node.code(POD, GATEWAY), "rp-filter-no-route");
    let node = Node::calico().with(&["ip rule add priority 50 iif lo unreachable"]);
    assert_eq!(node.code(POD, GATEWAY), "answered");
    assert_eq!(node.code(POD, "192.168.77.2"), "rp-filter-no-route", "for an own address it is lo");
}

#[test]
fn a_linkdown_hop_counts_unless_it_is_ignored() {
    let mut node = Node::calico().with(&["ip link set up0 carrier off"]);
    assert_eq!(node.gateway(), None);
    node.run("sysctl net.ipv4.conf.up0.ignore_routes_with_linkdown=1");
    assert_eq!(miss(&node), FibMiss::NoRoute);
    node.run("ip link set up0 carrier on");
    assert_eq!(node.gateway(), None);
}

#[test]
fn a_multipath_route_is_answered_by_one_leg_and_not_the_other() {
    let node =
        Node::calico().with(&["ip route replace default nexthop dev cali0 nexthop via 192.168.77.1 dev up0"]);
    let mut request = node.request(POD, GATEWAY);
    let by_leg: Vec<bool> = (0..4)
        .map(|leg| {
            request.leg = leg;
            arplab::host::decide(&node.0, &request).reason().is_none()
        })
        .collect();
    assert_eq!(by_leg, [false, true, false, true]);
    // a leg whose device goes down leaves the route with the other
    let node = node.with(&["ip link set up0 down"]);
    assert_eq!(node.gateway(), Some(Reason::Unroutable(InputFault::SameDevice)));
    let node = node.with(&["ip link set up0 up"]);
    assert!(node.routes(254).contains(&"unicast 0.0.0.0/0 cali0 up0".to_owned()));
}

#[test]
fn without_rp_filter_only_own_addresses_are_refused_unless_rules_are_custom() {
    let mut node = Node::calico().with(&[
        "sysctl net.ipv4.conf.cali0.rp_filter=0",
        "ip route del 10.65.0.2",
        "ip route add blackhole 10.65.0.2",
    ]);
    assert_eq!(node.code(POD, GATEWAY), "answered");
    assert_eq!(node.code("192.168.77.2", GATEWAY), "sender-is-host");
    // 192.168.77.255 is nobody's address in the list, so the short check lets it pass
    assert_eq!(node.code("192.168.77.255", GATEWAY), "answered");
    node.run("ip rule add priority 100 from 8.8.8.8 lookup 100");
    assert_eq!(node.code(POD, GATEWAY), "answered", "a lookup that fails is no objection at level 0");
    assert_eq!(node.code("192.168.77.255", GATEWAY), "sender-broadcast");
}

#[test]
fn a_hand_made_local_route_makes_the_check_a_full_one_too() {
    let node = Node::calico()
        .with(&["sysctl net.ipv4.conf.cali0.rp_filter=0", "ip route add local 203.0.113.9 dev lo"]);
    assert_eq!(node.code("203.0.113.9", GATEWAY), "sender-is-host");
    // one of another kind in the local table does not
    let node = Node::calico()
        .with(&["sysctl net.ipv4.conf.cali0.rp_filter=0", "ip route add 203.0.113.0/24 dev up0 table local"]);
    assert_eq!(node.code("192.168.77.255", GATEWAY), "answered");
}

#[test]
fn loose_is_strict_on_an_interface_without_an_address() {
    let node = Node::calico().with(&["ip route del 10.65.0.2", "sysctl net.ipv4.conf.cali0.rp_filter=2"]);
    assert_eq!(node.code(POD, GATEWAY), "rp-filter-other-device");
    let node = node.with(&["ip addr add 10.99.99.1/32 dev cali0"]);
    assert_eq!(node.code(POD, GATEWAY), "answered");
    let node = node.with(&["ip route del default", "ip route add 169.254.0.0/16 dev up0"]);
    assert_eq!(node.code(POD, GATEWAY), "rp-filter-no-route", "some way back there must be");
}

#[test]
fn redirects_make_the_source_check_full_where_the_way_leads_back() {
    let node = Node::calico().with(&[
        "sysctl net.ipv4.conf.cali0.rp_filter=0",
        "sysctl net.ipv4.conf.cali0.proxy_arp_pvlan=1",
        "ip route add 10.65.0.7 dev cali0",
    ]);
    // the way to 10.65.0.7 is cali0 itself: the broadcast sender is found out
    assert_eq!(node.code("192.168.77.255", "10.65.0.7"), "sender-broadcast");
    assert_eq!(node.code("192.168.77.255", GATEWAY), "answered");
    let off = ["sysctl net.ipv4.conf.cali0.send_redirects=0", "sysctl net.ipv4.conf.all.send_redirects=0"];
    assert_eq!(node.with(&off).code("192.168.77.255", "10.65.0.7"), "answered");
}

#[test]
fn pvlan_answers_for_the_same_interface_but_not_a_sender_for_itself() {
    let node = Node::calico().with(&["sysctl net.ipv4.conf.cali0.proxy_arp=0"]);
    assert_eq!(node.code("10.65.0.2", "10.65.0.2"), "same-interface");
    let node = node.with(&["sysctl net.ipv4.conf.all.proxy_arp_pvlan=1", "ip route add 10.65.0.7 dev cali0"]);
    assert_eq!(node.code("10.65.0.2", "10.65.0.2"), "pvlan-self");
    assert_eq!(node.code("10.65.0.2", "10.65.0.7"), "answered");
    assert_eq!(node.code("10.65.0.2", GATEWAY), "proxy-arp-off", "pvlan is for the same interface only");
}

#[test]
fn arp_filter_asks_for_the_way_back_to_the_sender() {
    let node = Node::calico().with(&[
        "sysctl net.ipv4.conf.cali0.arp_filter=1",
        "sysctl net.ipv4.conf.cali0.rp_filter=0",
        "ip addr add 169.254.1.1/32 dev lo",
    ]);
    assert_eq!(node.gateway(), None);
    assert_eq!(node.code("8.8.8.8", GATEWAY), "arp-filter");
    // all of 127/8 is the host's own, though only 127.0.0.1 is an address
    assert_eq!(node.code(POD, "127.1.2.3"), "answered");
    // proxied targets are not filtered
    assert_eq!(node.code("8.8.8.8", "8.8.4.4"), "answered");
}

#[test]
fn arp_ignore_and_its_scopes() {
    let on = |device: &str, scope: &str, level: u8| {
        Node::calico().with(&[
            &format!("ip addr add 169.254.1.1/32 scope {scope} dev {device}"),
            &format!("sysctl net.ipv4.conf.all.arp_ignore={level}"),
        ])
    };
    let code = |device, scope, level| on(device, scope, level).code(POD, GATEWAY);
    assert_eq!(code("lo", "global", 0), "answered");
    assert_eq!(code("lo", "global", 1), "arp-ignore");
    assert_eq!(code("cali0", "global", 1), "answered");
    assert_eq!(code("cali0", "global", 2), "arp-ignore", "a /32 holds no pod");
    assert_eq!(code("lo", "global", 3), "answered");
    assert_eq!(code("lo", "host", 3), "arp-ignore");
    assert_eq!(code("cali0", "global", 8), "arp-ignore");
    assert_eq!(code("cali0", "global", 5), "answered", "4 to 7 mean nothing");
    // with route_localnet a host address of that device counts as one of its link
    assert_eq!(code("cali0", "host", 3), "answered");
    let off = on("cali0", "host", 3).with(&["sysctl net.ipv4.conf.cali0.route_localnet=0"]);
    assert_eq!(off.code(POD, GATEWAY), "arp-ignore");
    // an address in the sender's subnet satisfies level 2
    let near = Node::calico()
        .with(&["ip addr add 10.65.0.1/24 dev cali0", "sysctl net.ipv4.conf.cali0.arp_ignore=2"]);
    assert_eq!(near.code(POD, "10.65.0.1"), "answered");
    assert_eq!(near.code("0.0.0.0", "10.65.0.1"), "answered", "a probe has no subnet to be in");
}

#[test]
fn accept_local_lets_the_hosts_own_addresses_ask() {
    let node = Node::calico().with(&["sysctl net.ipv4.conf.cali0.rp_filter=0"]);
    assert_eq!(node.code("192.168.77.2", GATEWAY), "sender-is-host");
    let node = node.with(&["sysctl net.ipv4.conf.all.accept_local=1"]);
    assert_eq!(node.code("192.168.77.2", GATEWAY), "answered");
    let strict = node.with(&["sysctl net.ipv4.conf.cali0.rp_filter=1"]);
    assert_eq!(strict.code("192.168.77.2", GATEWAY), "rp-filter-other-device");
}

#[test]
fn gratuitous_frames_are_dropped_when_told_so() {
    let node = Node::calico();
    assert!(matches!(node.outcome(POD, POD).learn, Learn::Update { gratuitous: true, .. }));
    let node = node.with(&["sysctl net.ipv4.conf.all.drop_gratuitous_arp=1"]);
    assert_eq!(node.asked(POD, POD), Some(Reason::GratuitousDropped));
    assert_eq!(node.outcome(POD, POD).learn, Learn::Nothing);
    assert_eq!(node.gateway(), None);
}

#[test]
fn medium_id_tells_media_apart() {
    for (here, there, answered) in [
        (0, 0, true),
        (0, -1, true),
        (1, 1, false),
        (1, 2, true),
        (1, 0, true),
        (1, -1, false),
        (-1, 2, false),
    ] {
        let node = Node::calico().with(&[
            &format!("sysctl net.ipv4.conf.cali0.medium_id={here}"),
            &format!("sysctl net.ipv4.conf.up0.medium_id={there}"),
        ]);
        assert_eq!(node.gateway().is_none(), answered, "{here} {there}");
        // an explicit entry does not care
        let node = node.with(&["ip neigh add proxy 169.254.1.1 dev cali0"]);
        assert_eq!(node.gateway(), None);
    }
}

#[test]
fn only_the_receiving_interfaces_forwarding_counts() {
    let node = Node::calico().with(&["sysctl net.ipv4.conf.up0.forwarding=0"]);
    assert_eq!(node.gateway(), None);
    // writing the value it has changes nothing; writing another overwrites every interface
    let node = node.with(&["sysctl net.ipv4.conf.cali0.forwarding=0", "sysctl net.ipv4.ip_forward=1"]);
    assert_eq!(node.code(POD, GATEWAY), "forwarding-off");
    let node = node.with(&["sysctl net.ipv4.ip_forward=0", "sysctl net.ipv4.ip_forward=1"]);
    assert_eq!(node.gateway(), None);
}

#[test]
fn a_broadcast_target_is_not_answered_and_its_route_may_be_main() {
    let node = Node::calico();
    assert_eq!(node.code(POD, "192.168.77.255"), "target-broadcast");
    assert_eq!(node.code(POD, "192.168.77.0"), "answered", "the all-zeros address is an ordinary one");
    assert_eq!(node.code(POD, "255.255.255.255"), "target-broadcast");
}

#[test]
fn a_write_to_default_reaches_the_host_ends_that_nobody_configured() {
    let untouched = Node::bare().with(&[
        "ip link set cali0 up",
        "ip link set up0 up",
        "ip addr add 192.168.77.2/24 dev up0",
        "sysctl net.ipv4.conf.cali0.proxy_arp=1",
        "sysctl net.ipv4.conf.default.rp_filter=1",
        "sysctl net.ipv4.conf.default.proxy_arp=0",
        "sysctl net.ipv4.conf.default.route_localnet=1",
    ]);
    let value = |key: &str| untouched.0.sysctl(&key.parse().unwrap()).unwrap();
    assert_eq!(value("net.ipv4.conf.cali0.rp_filter"), 1, "never written, never an address");
    assert_eq!(value("net.ipv4.conf.cali0.proxy_arp"), 1, "written before");
    assert_eq!(value("net.ipv4.conf.up0.rp_filter"), 0, "has an address");
    assert_eq!(value("net.ipv4.conf.cali0.route_localnet"), 0, "that key does not spread");
}

#[test]
fn a_rule_without_a_place_comes_before_the_second() {
    let places = |node: &Node| node.0.rules().iter().map(|r| r.priority).collect::<Vec<_>>();
    let mut node = Node::calico().with(&["ip rule add from 10.0.0.1 lookup 100", "ip rule add prohibit"]);
    assert_eq!(places(&node), [0, 32_764, 32_765, 32_766, 32_767]);
    assert!(matches!(miss(&node), FibMiss::Rule { priority: 32_764, .. }));
    // with words left out the first that fits goes
    node.run("ip rule del priority 32765");
    node.run("ip rule del prohibit");
    assert_eq!(places(&node), [0, 32_766, 32_767]);
    assert_eq!(node.try_run("ip rule del priority 32765").unwrap_err().errno, Errno::Enoent);
    // of the two in place 0 the one that was there first
    node.run("ip rule add priority 0 from 10.0.0.7 lookup 7");
    node.run("ip rule del priority 0");
    assert_eq!((places(&node), node.gateway()), (vec![0, 32_766, 32_767], None));
    assert!(node.0.rules()[0].from.is_some());
}

#[test]
fn a_flush_of_the_rules_spares_those_of_priority_0() {
    let node = Node::calico().with(&["ip rule flush"]);
    assert_eq!(node.0.rules().len(), 1);
    assert_eq!(miss(&node), FibMiss::NoRoute);
    let node = node.with(&["ip rule add lookup main"]);
    assert_eq!((node.0.rules()[1].priority, node.gateway()), (0, None));
}

#[test]
fn routes_of_one_prefix_stand_in_the_order_they_were_put() {
    let main = ["ip route add 10.9.0.0/16 dev up0", "ip route append 10.9.0.0/16 dev cali0"];
    let mut node = Node::calico().with(&main);
    assert_eq!(node.code(POD, "10.9.0.1"), "answered");
    for again in ["append", "prepend"] {
        let command = format!("ip route {again} 10.9.0.0/16 dev cali0");
        assert_eq!(node.try_run(&command).unwrap_err().errno, Errno::Eexist);
    }
    node.run("ip route prepend unreachable 10.9.0.0/16");
    assert_eq!(node.code(POD, "10.9.0.1"), "route-rejects");
    // the first of them goes, unless the new one stands behind it already
    assert_eq!(node.try_run("ip route replace 10.9.0.0/16 dev up0").unwrap_err().errno, Errno::Eexist);
    node.run("ip route replace 10.9.0.0/16 dev up0 proto bird");
    assert_eq!(node.code(POD, "10.9.0.1"), "answered");
    node.run("ip route del 10.9.0.0/16");
    node.run("ip route del 10.9.0.0/16");
    assert_eq!(node.code(POD, "10.9.0.1"), "same-interface");
}

#[test]
fn a_flush_takes_the_routes_of_one_way_out_of_the_main_table() {
    let mut node = Node::calico().with(&[
        "ip route add 10.7.0.0/16 nexthop dev up0 nexthop dev cali0",
        "ip route add 10.6.0.0/16 dev up0 table 100",
        "ip route flush dev up0",
    ]);
    assert_eq!(node.gateway(), Some(Reason::Unroutable(InputFault::NoRoute(FibMiss::NoRoute))));
    assert_eq!(node.code(POD, "192.168.77.2"), "answered", "the local table is another");
    assert!(node.0.table(254).iter().any(|r| r.hops.len() == 2));
    assert_eq!(node.0.table(100).len(), 1);
    node.run("ip route flush table 100");
    assert!(node.0.table(100).is_empty());
    assert_eq!(node.try_run("ip route flush dev up7").unwrap_err().errno, Errno::Enodev);
}

#[test]
fn a_flush_of_addresses_takes_those_that_are_promoted_too() {
    let mut node = Node::calico().with(&[
        "sysctl -w net.ipv4.conf.up0.promote_secondaries=1",
        "ip addr add 192.168.77.3/24 dev up0",
        "ip addr flush dev up0",
    ]);
    assert!(node.0.link_named("up0".parse().unwrap()).unwrap().addrs().is_empty());
    assert_eq!(node.gateway(), Some(Reason::Unroutable(InputFault::NoRoute(FibMiss::NoRoute))));
    node.run("ip addr flush dev up0");
}

#[test]
fn a_flush_of_a_table_that_nobody_ever_used_is_refused() {
    let mut node = Node::calico();
    for family in ["", "-6 "] {
        let flush = format!("ip {family}route flush table 100");
        assert_eq!(node.try_run(&flush).unwrap_err().errno, Errno::Enoent);
    }
    for command in [
        "ip route add 10.6.0.0/16 dev up0 table 100",
        "ip route flush table 100",
        "ip route flush table 100",
        // in IPv6 a rule makes its table
        "ip -6 rule add priority 9 lookup 100",
        "ip -6 route flush table 100",
    ] {
        node.run(command);
    }
}

#[test]
fn a_goto_leads_forward_to_the_first_rule_of_its_place() {
    let mut node = Node::calico().with(&[
        "ip rule add priority 100 iif cali0 goto 300",
        "ip rule add priority 200 unreachable",
        "ip rule add priority 150 nop",
    ]);
    assert!(matches!(miss(&node), FibMiss::Rule { priority: 200, .. }), "nobody is there to go to");
    // the way back comes in by up0, and still meets 200
    node.run("ip rule add priority 300 from 10.65.0.3 lookup main");
    node.run("ip rule del priority 200");
    node.run("ip rule add priority 200 iif cali0 unreachable");
    assert_eq!(node.gateway(), None);
    node.run("ip rule del priority 300");
    assert!(matches!(miss(&node), FibMiss::Rule { priority: 200, .. }));
    for command in ["ip rule add priority 300 goto 300", "ip rule del goto 7"] {
        assert_eq!(node.try_run(command).unwrap_err().errno, Errno::Einval, "{command}");
    }
    // where it leads to is not asked when a rule is deleted
    node.run("ip rule del goto 40000 priority 100");
}

#[test]
fn arp_has_no_dsfield_protocol_port_device_or_vrf_and_is_of_user_0() {
    for (selector, meant) in [
        ("tos 0x10", false),
        ("oif up0", false),
        ("ipproto tcp", false),
        ("sport 1-1000", false),
        ("dport 80", false),
        ("uidrange 1-1000", false),
        ("uidrange 0-0", true),
        ("not ipproto tcp", true),
        ("not oif up0", true),
    ] {
        let rule = format!("ip rule add priority 9 {selector} unreachable");
        let node = Node::calico().with(&[rule.as_str()]);
        assert_eq!(matches!(node.gateway(), Some(Reason::Unroutable(_))), meant, "{selector}");
    }
    let node = Node::calico().with(&["ip rule add priority 9 l3mdev"]);
    assert_eq!(node.gateway(), None);
    // all devices are of group 0: what main has is passed over
    let node = Node::calico()
        .with(&["ip rule add priority 9 lookup main suppress_ifgroup 0", "ip rule del priority 32766"]);
    assert_eq!(miss(&node), FibMiss::NoRoute);
    // neither the old TOS field of rules nor a port of 0 or 65535 is what the kernel takes
    let mut node = Node::calico();
    for selector in ["tos 0x20", "dport 0-80", "sport 80-65535"] {
        let rule = format!("ip rule add priority 9 {selector} unreachable");
        assert_eq!(node.try_run(&rule).unwrap_err().errno, Errno::Einval, "{selector}");
    }
}

#[test]
fn a_mark_of_0_and_a_mask_of_0_mean_any_in_a_deletion() {
    for family in ["", "-6 "] {
        let (add, del) = (
            format!("ip {family}rule add priority 9 fwmark 0x1/0x1 lookup 100"),
            format!("ip {family}rule del fwmark 0x0/0x1"),
        );
        let mut node = Node::calico().with(&[add.as_str()]);
        node.run(&del);
        assert_eq!(node.try_run(&del).unwrap_err().errno, Errno::Enoent);
    }
}

#[test]
fn an_address_with_a_far_end_puts_that_ones_prefix_on_the_link() {
    let mut node = Node::calico().with(&["ip addr add 10.0.0.1 peer 10.9.0.2/24 dev up0"]);
    let to = |node: &Node, dst: &str| {
        node.0.table(254).iter().find(|r| r.dst == dst.parse().unwrap()).map(|r| r.metric)
    };
    assert_eq!((to(&node, "10.9.0.0/24"), to(&node, "10.0.0.0/24")), (Some(0), None));
    assert_eq!(node.try_run("ip addr del 10.0.0.1/24 dev up0").unwrap_err().errno, Errno::Eaddrnotavail);
    node.run("ip addr del 10.0.0.1 peer 10.9.0.2/24 dev up0");
    assert_eq!(to(&node, "10.9.0.0/24"), None);
    // no length: the first that is this address
    node.run("ip addr add 10.0.0.1/24 metric 50 dev up0");
    assert_eq!(to(&node, "10.0.0.0/24"), Some(50));
    assert_eq!(node.try_run("ip addr add 10.0.0.1/24 dev up0").unwrap_err().errno, Errno::Eexist);
    node.run("ip addr replace 10.0.0.1/24 metric 60 dev up0");
    assert_eq!(to(&node, "10.0.0.0/24"), Some(60));
    node.run("ip addr del 10.0.0.1 dev up0");
    node.run("ip addr add 10.0.0.1/24 dev up0 noprefixroute");
    assert_eq!(to(&node, "10.0.0.0/24"), None);
}
