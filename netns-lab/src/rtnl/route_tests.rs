use std::net::Ipv4Addr;

use super::*;
use crate::rtnl::{Dev, table};

fn net(text: &str) -> IpNet {
    text.parse().expect("a prefix")
}

fn via(last: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, last).into()
}

#[test]
fn shows_as_ip_does() {
    let cases = [
        (
            Route::unicast(net("10.42.0.7/32")).dev("cali0").scope(Scope::Link),
            "10.42.0.7 dev cali0 scope link",
        ),
        (
            Route::unicast(net("0.0.0.0/0")).via(Ipv4Addr::new(169, 254, 1, 1)).dev("eth0").onlink(),
            "default via 169.254.1.1 dev eth0 onlink",
        ),
        (
            Route::blackhole(net("10.42.0.0/26")).protocol(RouteProtocol(80)),
            "blackhole 10.42.0.0/26 proto 80",
        ),
        (
            Route::local(net("10.0.0.1/32")).dev("lo").protocol(RouteProtocol::KERNEL).scope(Scope::Host),
            "local 10.0.0.1 dev lo table local proto kernel scope host",
        ),
        (
            Route::unicast(net("10.1.0.0/16"))
                .table(100)
                .preferred_source(via(1))
                .metric(7)
                .next_hop(NextHop::via(via(2)).over("a").weight(3))
                .next_hop(NextHop::dev("b")),
            "10.1.0.0/16 table 100 src 10.0.0.1 metric 7 nexthop via 10.0.0.2 dev a weight 3 nexthop dev b weight 1",
        ),
        (Route::unicast(net("fd00::/64")).dev(Dev::Index(9)).metric(1024), "fd00::/64 dev if9 metric 1024"),
    ];
    for (route, text) in cases {
        assert_eq!(route.to_string(), text);
    }
}

#[test]
fn a_message_becomes_the_route_it_was_made_from() {
    let names: Names = [(4, "a".to_owned()), (5, "b".to_owned())].into_iter().collect();
    let full = |route: Route| route.scope(Scope::Global).protocol(RouteProtocol::STATIC);
    let routes = [
        full(Route::unicast(net("0.0.0.0/0")).via(via(1)).dev("a").onlink().table(1000)),
        full(
            Route::unicast(net("10.0.0.0/8")).via("fe80::1".parse::<IpAddr>().expect("an address")).dev("b"),
        ),
        full(Route::new(RouteKind::Throw, net("fd00::/8")).metric(3)),
        full(Route::unicast(net("10.9.0.0/16")))
            .next_hop(NextHop::via(via(2)).over("a").weight(256))
            .next_hop(NextHop::dev("b").weight(1)),
    ];
    for route in routes {
        let hops: Vec<_> = route
            .next_hops
            .iter()
            .map(|hop| Hop { hop, index: Some(if hop.dev == Some("a".into()) { 4 } else { 5 }) })
            .collect();
        let message = route.message(Mode::Create, &hops);
        assert_eq!(Route::from_message(&message, &names).as_ref(), Some(&route));
    }
}

#[test]
fn contradictions_are_found_before_the_kernel_is_asked() {
    let v6: IpAddr = "fd00::1".parse().expect("an address");
    assert_eq!(Route::unicast(net("10.0.0.0/8")).via(v6).fault(), None);
    for route in [
        Route::unicast(net("fd00::/8")).via(via(1)),
        Route::unicast(net("10.0.0.0/8")).preferred_source(v6),
        Route::blackhole(net("10.0.0.0/8")).via(via(1)),
        Route::unicast(net("10.0.0.0/8")).next_hop(NextHop::dev("a").weight(257)),
    ] {
        assert!(route.fault().is_some(), "{route}");
    }
}

#[test]
fn defaults_are_those_of_ip() {
    assert_eq!(Route::local(net("10.0.0.1/32")).table, table::LOCAL);
    assert_eq!(Route::unicast(net("10.0.0.9/8")).destination, net("10.0.0.0/8"));
    assert_eq!(Route::unicast(net("10.0.0.0/8")).dev("a").usual_scope(), Scope::Link);
    assert_eq!(Route::unicast(net("10.0.0.0/8")).via(via(1)).usual_scope(), Scope::Global);
}
