//! Routes and rules through rtnetlink, in real namespaces.

mod common;

use std::net::{IpAddr, Ipv4Addr};

use common::joined;
use ipnet::IpNet;
use netns_lab::{
    Errno, Netns, RtnlError,
    rtnl::{Address, NextHop, Route, RouteKind, RouteProtocol, Rule, RuleAction, Scope, table},
};

lab_tests! {
    every_kind_of_route_round_trips,
    multipath_round_trips,
    replace_overwrites_and_add_does_not,
    deletion_matches_what_is_given,
    link_down_flushes_routes,
    rules_round_trip,
    impossible_routes_say_why,
    dumps_read_as_ip_writes_them,
}

fn net(text: &str) -> IpNet {
    text.parse().expect("a prefix")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// A node with host0 at 10.0.0.1/24 and fd00::1/64.
fn node() -> (Netns, Netns) {
    let (node, pod) = joined();
    for address in ["10.0.0.1/24", "fd00::1/64"] {
        node.blocking().add_address(&Address::new("host0", net(address)).no_dad()).expect("an address");
    }
    (node, pod)
}

/// The route of this destination and table, as the kernel has it.
fn found(node: &Netns, like: &Route) -> Option<Route> {
    let routes = node.blocking().routes().expect("routes");
    routes.into_iter().find(|one| one.destination == like.destination && one.table == like.table)
}

fn every_kind_of_route_round_trips() {
    let (node, _pod) = node();
    node.loopback_up().expect("up");
    let routes = [
        Route::unicast(net("10.42.0.7/32")).dev("host0").scope(Scope::Link).protocol(RouteProtocol::BOOT),
        Route::unicast(net("0.0.0.0/0")).via(ip("169.254.1.1")).dev("host0").onlink(),
        Route::unicast(net("10.43.0.0/16")).via(ip("10.0.0.2")).preferred_source(ip("10.0.0.1")).metric(50),
        Route::unicast(net("10.44.0.0/16")).via(ip("fd00::2")).dev("host0").table(1000),
        Route::local(net("10.45.0.1/32")).dev("lo"),
        Route::new(RouteKind::Broadcast, net("10.46.0.255/32")).dev("host0"),
        Route::blackhole(net("10.47.0.0/26")).protocol(RouteProtocol(80)),
        Route::new(RouteKind::Unreachable, net("10.48.0.0/16")).metric(7),
        Route::new(RouteKind::Prohibit, net("10.49.0.0/16")),
        Route::new(RouteKind::Throw, net("10.50.0.0/16")).table(200),
        Route::unicast(net("fd42::7/128")).dev("host0").metric(1024),
        Route::unicast(net("::/0")).via(ip("fd00::2")).dev("host0").protocol(RouteProtocol::STATIC),
        Route::blackhole(net("fd43::/64")).table(1000),
        Route::new(RouteKind::Unreachable, net("fd44::/64")),
    ];
    for asked in &routes {
        node.blocking().add_route(asked).unwrap_or_else(|error| panic!("{error}"));
        let got = found(&node, asked).unwrap_or_else(|| panic!("{asked} is not there"));
        assert_eq!(
            (got.kind, got.preferred_source),
            (asked.kind, asked.preferred_source),
            "{asked} as {got}"
        );
        assert_eq!(got.protocol, asked.protocol.or(Some(RouteProtocol::BOOT)), "{got}");
        assert!(asked.scope.is_none() || asked.scope == got.scope, "{asked} as {got}");
        assert!(asked.metric.is_none() || asked.metric == got.metric, "{asked} as {got}");
        for (asked_hop, got_hop) in asked.next_hops.iter().zip(&got.next_hops) {
            assert_eq!((asked_hop.gateway, asked_hop.onlink), (got_hop.gateway, got_hop.onlink), "{got}");
            assert!(asked_hop.dev.is_none() || asked_hop.dev == got_hop.dev, "{asked} as {got}");
        }
        let twice = node.blocking().add_route(asked).expect_err("twice");
        assert!(twice.already_exists(), "{twice}");
    }
    for asked in &routes {
        node.blocking().delete_route(asked).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(found(&node, asked), None, "{asked}");
        let gone = node.blocking().delete_route(asked).expect_err("gone");
        assert!(gone.not_found(), "{gone}");
    }
}

fn multipath_round_trips() {
    let (node, _pod) = node();
    let route = Route::unicast(net("10.60.0.0/16"))
        .next_hop(NextHop::via(ip("10.0.0.2")).over("host0").weight(3))
        .next_hop(NextHop::via(ip("10.0.0.3")).over("host0").weight(1));
    node.blocking().add_route(&route).expect("a route");
    let got = found(&node, &route).expect("it is there");
    assert_eq!(got.next_hops, route.next_hops);
    assert_eq!(
        got.to_string(),
        "10.60.0.0/16 nexthop via 10.0.0.2 dev host0 weight 3 nexthop via 10.0.0.3 dev host0 weight 1"
    );
    let v6 = Route::unicast(net("fd60::/64"))
        .next_hop(NextHop::via(ip("fd00::2")).over("host0").weight(1))
        .next_hop(NextHop::via(ip("fd00::3")).over("host0").weight(2));
    node.blocking().add_route(&v6).expect("a route");
    assert_eq!(found(&node, &v6).expect("it is there").next_hops, v6.next_hops);
    node.blocking().delete_route(&v6).expect("a deletion");
}

fn replace_overwrites_and_add_does_not() {
    let (node, _pod) = node();
    let first = Route::unicast(net("10.42.0.0/24")).via(ip("10.0.0.2"));
    let second = Route::blackhole(net("10.42.0.0/24"));
    node.blocking().replace_route(&first).expect("made");
    assert!(node.blocking().add_route(&second).expect_err("taken").already_exists());
    node.blocking().replace_route(&second).expect("overwritten");
    assert_eq!(found(&node, &second).expect("it is there").kind, RouteKind::Blackhole);
}

fn deletion_matches_what_is_given() {
    let (node, _pod) = node();
    let to = |metric| Route::unicast(net("10.42.0.7/32")).dev("host0").metric(metric);
    for metric in [10, 20] {
        node.blocking().add_route(&to(metric)).expect("a route");
    }
    let other_protocol = to(20).protocol(RouteProtocol::BIRD);
    assert!(node.blocking().delete_route(&other_protocol).expect_err("not that one").not_found());
    node.blocking().delete_route(&to(20)).expect("a deletion");
    assert_eq!(found(&node, &to(10)).and_then(|route| route.metric), Some(10));
    // Nothing but the destination: whatever scope, protocol, metric and link.
    node.blocking().delete_route(&Route::unicast(net("10.42.0.7/32"))).expect("a deletion");
    assert_eq!(found(&node, &to(10)), None);
}

fn link_down_flushes_routes() {
    let (node, _pod) = node();
    let route = Route::unicast(net("10.42.0.7/32")).dev("host0");
    node.blocking().add_route(&route).expect("a route");
    node.blocking().set_down("host0").expect("down");
    assert_eq!(found(&node, &route), None);
    let down = node.blocking().add_route(&route).expect_err("down");
    assert_eq!(down.errno(), Some(Errno::ENETDOWN), "{down}");
}

fn rules_round_trip() {
    let (node, _pod) = node();
    let net_ops = node.blocking();
    let masked =
        Rule { mark: Some((0x10, 0xf0)), invert: true, ..Rule::v4(RuleAction::Table(200)).priority(103) };
    let rules = [
        Rule::v4(RuleAction::Table(1000)).priority(100).from(net("10.42.0.0/16")).iif("host0"),
        Rule::v4(RuleAction::Prohibit).priority(101).to(net("10.99.0.0/16")),
        Rule::v4(RuleAction::Goto(103)).priority(102).mark(7),
        masked,
        Rule::v4(RuleAction::Blackhole).priority(104).iif("not-there-yet"),
        Rule::v6(RuleAction::Table(table::MAIN)).priority(100).from(net("fd42::/64")),
        Rule::v6(RuleAction::Unreachable).priority(101),
    ];
    for rule in &rules {
        net_ops.add_rule(rule).unwrap_or_else(|error| panic!("{error}"));
        assert!(net_ops.add_rule(rule).expect_err("twice").already_exists());
    }
    let got = net_ops.rules().expect("rules");
    for rule in &rules {
        assert!(got.contains(rule), "{rule} is not among {got:#?}");
        net_ops.delete_rule(rule).unwrap_or_else(|error| panic!("{error}"));
        assert!(net_ops.delete_rule(rule).expect_err("gone").not_found());
    }
    let left: Vec<_> = net_ops.rules().expect("rules").iter().map(ToString::to_string).collect();
    let main = "32766: from all lookup main";
    let local = "0: from all lookup local";
    assert_eq!(left, [local, main, "32767: from all lookup default", local, main]);
}

fn impossible_routes_say_why() {
    let (node, _pod) = node();
    let far = Route::unicast(net("10.42.0.0/24")).via(ip("192.0.2.1")).dev("host0");
    let error = node.blocking().add_route(&far).expect_err("no way to the gateway");
    assert_eq!(error.errno(), Some(Errno::ENETUNREACH), "{error}");
    let text = error.to_string();
    for part in
        ["ip route add 10.42.0.0/24 via 192.0.2.1 dev host0", "\"Nexthop has invalid gateway\"", "onlink"]
    {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
    let mixed = Route::unicast(net("fd42::/64")).via(Ipv4Addr::LOCALHOST);
    assert!(matches!(node.blocking().add_route(&mixed), Err(RtnlError::Invalid { .. })));
    let nowhere = Route::unicast(net("10.42.0.0/24")).dev("eth9");
    assert!(matches!(node.blocking().add_route(&nowhere), Err(RtnlError::NoSuchDevice { .. })));
}

fn dumps_read_as_ip_writes_them() {
    let (node, _pod) = node();
    let texts: Vec<_> = node.blocking().routes().expect("routes").iter().map(ToString::to_string).collect();
    for wanted in [
        "10.0.0.0/24 dev host0 proto kernel scope link src 10.0.0.1",
        "local 10.0.0.1 dev host0 table local proto kernel scope host src 10.0.0.1",
        "fd00::/64 dev host0 proto kernel metric 256",
    ] {
        assert!(texts.iter().any(|text| text == wanted), "{wanted:?} is not among {texts:#?}");
    }
}
