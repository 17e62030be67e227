//! What the kernel does of its own accord when something changes: routes, addresses, proxy
//! entries coming and going with their interface.

use crate::common::{GATEWAY, Node, POD};
use arplab::host::Errno;

const MAIN: u32 = 254;
const LOCAL: u32 = 255;

#[test]
fn an_interface_that_goes_down_takes_its_routes_and_does_not_bring_them_back() {
    let mut node = Node::calico().with(&["ip link set cali0 down"]);
    assert_eq!(node.code(POD, GATEWAY), "link-down");
    node.run("ip link set cali0 up");
    assert!(!node.routes(MAIN).iter().any(|r| r.contains("10.65.0.2")));
    assert_eq!(node.code(POD, GATEWAY), "rp-filter-other-device");
    node.run("ip route add 10.65.0.2 dev cali0 scope link");
    assert_eq!(node.gateway(), None);
    // the subnet of an address comes back by itself, a route through a gateway does not
    node.run("ip link set up0 down");
    node.run("ip link set up0 up");
    assert!(node.routes(MAIN).contains(&"unicast 192.168.77.0/24 up0".to_owned()));
    assert_eq!(node.code(POD, GATEWAY), "no-route");
}

#[test]
fn routes_of_scope_host_outlive_their_device() {
    let node = Node::calico().with(&["ip route add 10.5.5.5 dev up0 scope host", "ip link set up0 down"]);
    assert_eq!(node.routes(MAIN).iter().filter(|r| r.ends_with(" up0")).count(), 1);
    assert!(node.routes(LOCAL).contains(&"local 192.168.77.2/32 up0".to_owned()));
    assert!(!node.routes(LOCAL).iter().any(|r| r.contains("192.168.77.255")));
}

#[test]
fn the_last_address_takes_every_route_of_its_interface() {
    let mut node = Node::calico().with(&["ip addr add 10.99.99.1/32 dev cali0"]);
    assert_eq!(node.gateway(), None);
    node.run("ip addr del 10.99.99.1/32 dev cali0");
    assert_eq!(node.code(POD, GATEWAY), "rp-filter-other-device");
}

#[test]
fn a_proxy_entry_is_lost_when_its_interface_goes_down_but_not_with_the_carrier() {
    let off = "sysctl net.ipv4.conf.cali0.proxy_arp=0";
    let mut node = Node::calico().with(&[off, "ip neigh add proxy 169.254.1.1 dev cali0"]);
    assert_eq!(node.gateway(), None);
    node.run("ip link set cali0 carrier off");
    assert_eq!(node.0.proxies().len(), 1);
    node.run("ip link set cali0 down");
    assert!(node.0.proxies().is_empty());
    // an entry counts only on its own interface, and only for a way that leads elsewhere
    let node = Node::calico().with(&[off, "ip neigh add proxy 169.254.1.1 dev up0"]);
    assert_eq!(node.code(POD, GATEWAY), "proxy-arp-off");
    let node = Node::calico().with(&[
        off,
        "ip neigh add proxy 10.65.0.7 dev cali0",
        "ip route add 10.65.0.7 dev cali0",
    ]);
    assert_eq!(node.code(POD, "10.65.0.7"), "same-interface");
}

#[test]
fn primaries_stand_from_narrow_to_wide_before_their_seconds() {
    let node = Node::calico().with(&[
        "ip addr add 192.168.77.5/24 dev up0",
        "ip addr add 10.1.0.1/24 dev up0",
        "ip addr add 10.2.0.1/24 scope link dev up0",
        "ip addr add 127.5.0.1/8 dev up0",
    ]);
    let link = node.0.link_named("up0".parse().unwrap()).unwrap();
    let order: Vec<String> = link.addrs().iter().map(|a| format!("{} {}", a.net, a.secondary)).collect();
    assert_eq!(
        order,
        [
            "127.5.0.1/8 false",
            "10.2.0.1/24 false",
            "192.168.77.2/24 false",
            "10.1.0.1/24 false",
            "192.168.77.5/24 true"
        ]
    );
}

#[test]
fn a_second_address_goes_with_its_primary_or_takes_its_place() {
    let second = "ip addr add 192.168.77.5/24 dev up0";
    let gone = Node::calico().with(&[second, "ip addr del 192.168.77.2/24 dev up0"]);
    assert!(gone.0.link_named("up0".parse().unwrap()).unwrap().addrs().is_empty());
    assert_eq!(gone.code(POD, GATEWAY), "no-route");
    let promoted = Node::calico().with(&[
        second,
        "sysctl net.ipv4.conf.all.promote_secondaries=1",
        "ip addr del 192.168.77.2/24 dev up0",
    ]);
    let link = promoted.0.link_named("up0".parse().unwrap()).unwrap();
    assert!(!link.addrs()[0].secondary);
    let subnet = promoted.0.table(MAIN).iter().find(|r| r.dst.to_string() == "192.168.77.0/24").unwrap();
    assert_eq!(subnet.src, Some(crate::common::ip("192.168.77.5")));
    assert_eq!(promoted.gateway(), None, "the default route has stayed");
}

#[test]
fn a_source_that_is_gone_takes_main_routes_along_and_no_others() {
    let node = Node::calico().with(&[
        "ip addr add 10.1.0.1/24 dev up0",
        "ip route add 10.9.0.0/24 dev up0 src 10.1.0.1",
        "ip route add unreachable 10.9.1.0/24 src 10.1.0.1",
        "ip route add 10.9.0.0/24 dev up0 src 10.1.0.1 table 100",
        "ip addr del 10.1.0.1/24 dev up0",
    ]);
    assert!(!node.routes(MAIN).iter().any(|r| r.contains("10.9.")));
    assert_eq!(node.routes(100), ["unicast 10.9.0.0/24 up0"]);
}

#[test]
fn what_the_kernel_refuses_is_refused_and_changes_nothing() {
    let node = Node::calico();
    for (command, errno) in [
        ("ip route add default dev cali0", Errno::Eexist),
        ("ip route add 10.0.0.0/8 via 10.65.0.9", Errno::Enetunreach),
        ("ip route add 10.0.0.0/8 dev up0 src 10.1.1.1", Errno::Einval),
        ("ip route add local 10.0.0.0/8 dev up0 scope link", Errno::Einval),
        ("ip route add 10.0.0.1 via 192.168.77.1 scope link", Errno::Enetunreach),
        ("ip route add broadcast 10.0.0.9 via 10.65.0.2 dev cali0 onlink", Errno::Einval),
        ("ip route add 10.0.0.1/8 dev up0", Errno::Einval),
        ("ip route del 10.65.0.2 dev up0", Errno::Esrch),
        ("ip route del default src 192.168.77.2", Errno::Esrch),
        ("ip addr add 192.168.77.2/24 dev up0", Errno::Eexist),
        ("ip addr add 192.168.77.9/24 scope host dev up0", Errno::Einval),
        ("ip addr del 192.168.77.9/24 dev up0", Errno::Eaddrnotavail),
        ("ip rule del priority 100 lookup 100", Errno::Enoent),
        ("ip neigh del proxy 10.0.0.1 dev cali0", Errno::Enoent),
        ("ip link set nope up", Errno::Enodev),
        ("ip link set cali0 address ff:ff:ff:ff:ff:ff", Errno::Eaddrnotavail),
        ("sysctl net.ipv4.conf.nope.forwarding=1", Errno::Enoent),
    ] {
        let mut tried = node.clone();
        assert_eq!(tried.try_run(command).unwrap_err().errno, errno, "{command}");
        assert_eq!(tried.0, node.0, "{command}");
    }
    // these look as if they should be refused
    for command in [
        "ip route add 10.0.0.0/8 via 192.168.77.2",
        "ip route add unreachable 10.0.0.0/8 src 10.1.1.1",
        "ip neigh add proxy 10.0.0.1 dev cali0",
    ] {
        node.clone().run(command);
    }
    let mut down = node.clone().with(&["ip link set up0 down"]);
    assert_eq!(down.try_run("ip route add 10.0.0.0/8 dev up0").unwrap_err().errno, Errno::Enetdown);
}

#[test]
fn a_rule_that_only_says_more_is_a_repetition() {
    let mut node = Node::calico().with(&["ip rule add priority 100 from 10.65.0.2 lookup 100"]);
    let refused = node.try_run("ip rule add priority 100 lookup 100").unwrap_err();
    assert_eq!(refused.errno, Errno::Eexist);
    node.run("ip rule add priority 100 from 10.65.0.3 lookup 100");
    // deleting is as blind: the first that fits goes
    node.run("ip rule del priority 100 lookup 100");
    assert_eq!(node.0.rules().iter().filter(|r| r.priority == 100).count(), 1);
}

#[test]
fn ipv6_starts_when_the_link_has_carrier_and_is_lost_with_the_link() {
    let mut node =
        Node::calico().with(&["ip link set cali0 down", "sysctl net.ipv6.conf.cali0.accept_dad=0"]);
    node.0.apply(&crate::common::change("ip link set cali0 up")).unwrap();
    let local = |node: &Node| node.0.link_local6(node.index("cali0")).map(|ip| ip.to_string());
    assert_eq!(local(&node), None, "the carrier has not been noticed yet");
    node.run("ip link set cali0 carrier on");
    assert_eq!(local(&node).as_deref(), Some("fe80::ecee:eeff:feee:eeee"));
    // the address keeps the MAC of that moment
    node.run("ip link set cali0 address 02:00:00:00:00:09");
    assert_eq!(local(&node).as_deref(), Some("fe80::ecee:eeff:feee:eeee"));
    node.run("sysctl net.ipv6.conf.cali0.disable_ipv6=1");
    assert_eq!(local(&node), None);
    assert_eq!(node.try_run("ip addr add fd00::1/64 dev cali0").unwrap_err().errno, Errno::Eacces);
}

#[test]
fn writing_all_forwarding_overwrites_even_with_the_same_value_in_ipv6() {
    let mut node = Node::calico().with(&["sysctl net.ipv6.conf.all.forwarding=1"]);
    node.run("sysctl net.ipv6.conf.cali0.forwarding=0");
    node.run("sysctl net.ipv6.conf.all.forwarding=1");
    assert_eq!(node.0.sysctl(&"net.ipv6.conf.cali0.forwarding".parse().unwrap()), Some(1));
}
