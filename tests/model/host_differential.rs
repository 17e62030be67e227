//! What the differential test found the model to have wrong, each kept as a case of its own.

use crate::common::{GATEWAY, Node, POD};
use arplab::host::Errno;

fn errno(node: &mut Node, command: &str) -> Option<Errno> {
    node.try_run(command).err().map(|e| e.errno)
}

#[test]
fn nobodys_rule_repeats_one_of_the_kernels_own() {
    let mut node = Node::calico();
    // rule_exists() compares the protocol too, and the kernel's own are of protocol `kernel`
    assert_eq!(errno(&mut node, "ip rule add priority 32766 lookup main"), None);
    assert_eq!(errno(&mut node, "ip rule add priority 32766 lookup main"), Some(Errno::Eexist));
    assert_eq!(errno(&mut node, "ip rule add priority 32767 not lookup default"), None);
    node.run("ip rule del priority 32766 lookup main");
    assert_eq!(node.0.rules().iter().filter(|r| r.priority == 32_766).count(), 1);
    assert_eq!(errno(&mut node, "ip rule add priority 32766 lookup main"), Some(Errno::Eexist));
}

#[test]
fn a_filter_knows_interfaces_by_name() {
    let mut node = Node::bare();
    let later = "nft add rule arp filter input iifname cali7 drop";
    assert_eq!(errno(&mut node, later), None, "the interface may come later");
    assert_eq!(node.0.hooks().len(), 1);
    node.run("ip link add cali7 type veth");
    node.run("ip link del cali7");
    assert_eq!(node.0.hooks().len(), 1, "and go again");
}

#[test]
fn a_filter_counts_as_often_as_it_was_added() {
    let drop = "rule arp filter input iifname cali0 drop";
    let mut node = Node::calico();
    for verb in ["add", "add", "delete"] {
        node.run(&format!("nft {verb} {drop}"));
    }
    assert_eq!(node.code(POD, GATEWAY), "filtered-input");
    node.run(&format!("nft delete {drop}"));
    assert_eq!(node.gateway(), None);
}

#[test]
fn onlink_is_said_of_a_gateway() {
    let mut node = Node::calico();
    assert_eq!(errno(&mut node, "ip route add 10.9.0.0/16 dev up0 onlink"), Some(Errno::Einval));
    // and wants a device, that is up, before the gateway is looked at
    assert_eq!(errno(&mut node, "ip route add 10.9.0.0/16 via 8.8.8.8 onlink"), Some(Errno::Enodev));
    node.run("ip link set up0 down");
    let own = "ip route add 10.9.0.0/16 via 127.0.0.1 dev up0 onlink";
    assert_eq!(errno(&mut node, own), Some(Errno::Enetdown));
    node.run("ip link set up0 up");
    assert_eq!(errno(&mut node, own), Some(Errno::Einval));
}

#[test]
fn a_gateway_is_refused_with_the_error_of_its_own_route() {
    for (reject, wanted) in [
        ("prohibit", Errno::Eacces),
        ("blackhole", Errno::Einval),
        ("unreachable", Errno::Ehostunreach),
        ("throw", Errno::Enetunreach),
    ] {
        let mut node = Node::calico().with(&[&format!("ip route add {reject} 172.16.0.0/12 scope link")]);
        let found = errno(&mut node, "ip route add 10.9.0.0/16 via 172.16.0.1");
        assert_eq!(found, Some(wanted), "{reject}");
    }
    for (action, wanted) in
        [("prohibit", Errno::Eacces), ("blackhole", Errno::Einval), ("unreachable", Errno::Enetunreach)]
    {
        let mut node = Node::calico().with(&[&format!("ip rule add priority 9 to 172.16.0.0/12 {action}")]);
        let found = errno(&mut node, "ip route add 10.9.0.0/16 via 172.16.0.1");
        assert_eq!(found, Some(wanted), "{action}");
    }
}

#[test]
fn a_route_over_a_device_without_ipv6_is_refused_for_that() {
    let mut node = Node::bare().with(&["sysctl net.ipv6.conf.up0.disable_ipv6=1"]);
    assert_eq!(errno(&mut node, "ip -6 route add default dev up0"), Some(Errno::Eacces));
    node.run("ip link set up0 up");
    assert_eq!(errno(&mut node, "ip -6 route add default dev up0"), Some(Errno::Eacces));
}

#[test]
fn a_gateway_of_zeros_is_none() {
    let node = Node::calico().with(&["ip route add 10.9.0.0/16 via 0.0.0.0 dev up0"]);
    assert!(node.routes(254).contains(&"unicast 10.9.0.0/16 up0".to_owned()));
    let mut node = node;
    assert_eq!(errno(&mut node, "ip route add 10.8.0.0/16 dev up0 src 0.0.0.0"), None, "nor a source");
}

#[test]
fn an_address_that_is_a_broadcast_elsewhere_brings_no_subnet() {
    // 192.168.77.255 is a broadcast of up0's subnet already, so no route can prefer it as a source
    let node = Node::calico().with(&["ip addr add 192.168.77.255/28 dev cali1"]);
    assert!(node.routes(255).contains(&"local 192.168.77.255/32 cali1".to_owned()));
    assert!(!node.routes(254).iter().any(|r| r.contains("192.168.77.240/28")));
}

#[test]
fn a_source_of_the_destinations_label_is_preferred() {
    // ::1 and the link-local address of another interface are of one scope; ::1 has a label alone
    let up = ["ip link set lo up", "ip link set up0 up", "ip link set cali0 up"];
    let dad = ["sysctl net.ipv6.conf.all.accept_dad=0", "sysctl net.ipv6.conf.up0.accept_dad=0"];
    let mut node = Node::bare().with(&dad).with(&["sysctl net.ipv6.conf.cali0.accept_dad=0"]).with(&up);
    let cali = node.index("cali0");
    let own = node.0.link_local6(cali).expect("a link-local address");
    node.run(&format!("ip addr del {own}/64 dev cali0"));
    let other = node.0.link_local6(node.index("up0"));
    assert!(other.is_some());
    assert_eq!(node.0.select_src6(cali, "2001:db8:42::7".parse().unwrap()), other);
}

/// ipv6_dev_get_saddr() does not ask whether a device is up.
#[test]
fn a_source_may_stand_on_a_link_that_is_down() {
    let mut node = Node::bare();
    for command in ["ip link set cali0 up", "ip addr add 2001:db8:0:a::b/126 dev up0 nodad"] {
        assert_eq!(errno(&mut node, command), None, "{command}");
    }
    let dev = node.0.link_named("cali0".parse().unwrap()).unwrap().index();
    let source = node.0.select_src6(dev, "2001:db8:42::1".parse().unwrap());
    assert_eq!(source, Some("2001:db8:0:a::b".parse().unwrap()));
}
