//! Settings, in real namespaces.

mod common;

use common::joined;
use netns_lab::{Netns, SysctlError, SysctlKey, rtnl::VethEnd};

lab_tests! {
    ip_forward_reaches_every_interface,
    namespaces_do_not_share_settings,
    names_with_dots_are_found,
    unread_back_values_are_errors,
    errors_name_key_value_and_errno,
    command_keys_are_poked,
}

fn ip_forward_reaches_every_interface() {
    let (node, _pod) = joined();
    let sysctl = node.sysctl();
    let forwarding = |dev: &str| sysctl.read(SysctlKey::ipv4_conf(dev, "forwarding")).expect("a value");
    for value in ["0", "1"] {
        sysctl.write("net.ipv4.ip_forward", value).expect("written");
        for dev in ["all", "default", "lo", "host0"] {
            assert_eq!(forwarding(dev), value, "{dev}");
        }
    }
    node.blocking().add_bridge("later").expect("a bridge");
    assert_eq!(forwarding("later"), "1", "new interfaces follow `default`");
    sysctl.write(SysctlKey::ipv4_conf("host0", "forwarding"), 0).expect("written");
    assert_eq!((forwarding("host0"), forwarding("lo")), ("0".into(), "1".into()));
    assert_eq!(sysctl.read("net.ipv4.ip_forward").expect("a value"), "1");
}

fn namespaces_do_not_share_settings() {
    let (node, pod) = joined();
    node.sysctl().write("net.ipv4.conf.all.proxy_arp", 1).expect("written");
    pod.sysctl().write("net.ipv4.conf.all.proxy_arp", 0).expect("written");
    assert_eq!(node.sysctl().read("net.ipv4.conf.all.proxy_arp").expect("a value"), "1");
    assert!(pod.sysctl().read("net.ipv4.conf.host0.proxy_arp").is_err(), "host0 is in the node");
    assert!(pod.sysctl().read("net.ipv4.conf.pod0.proxy_arp").is_ok());
    node.sysctl().write(SysctlKey::ipv4_neigh("host0", "proxy_delay"), 0).expect("written");
    node.sysctl().write(SysctlKey::ipv6_conf("host0", "accept_dad"), 0).expect("written");
}

fn names_with_dots_are_found() {
    let netns = Netns::new("dots").expect("a namespace");
    netns.blocking().add_veth(&VethEnd::new("eth0.100"), &VethEnd::new("peer")).expect("a veth");
    let sysctl = netns.sysctl();
    sysctl.write("net.ipv4.conf.eth0/100.proxy_arp", 1).expect("dotted");
    assert_eq!(sysctl.read("net/ipv4/conf/eth0.100/proxy_arp").expect("as a path"), "1");
    assert_eq!(sysctl.read(SysctlKey::ipv4_conf("eth0.100", "proxy_arp")).expect("by parts"), "1");
    assert_eq!(sysctl.read("net.ipv4.conf.peer.proxy_arp").expect("the other"), "0");
}

fn unread_back_values_are_errors() {
    let netns = Netns::new("values").expect("a namespace");
    // The kernel reads numbers as C does, so a leading zero means octal.
    let error = netns.sysctl().write("net.ipv4.ip_default_ttl", "064").expect_err("changed");
    assert!(
        matches!(&error, SysctlError::Changed { value, found, .. } if value == "064" && found == "52"),
        "{error}"
    );
    netns
        .sysctl()
        .write("net.ipv4.ip_local_port_range", "40000 50000")
        .expect("white space is no difference");
    assert_eq!(netns.sysctl().read("net.ipv4.ip_local_port_range").expect("a value"), "40000\t50000");
}

fn errors_name_key_value_and_errno() {
    let netns = Netns::new("errors").expect("a namespace");
    let missing = netns.sysctl().write("net.ipv4.conf.cali0.proxy_arp", 1).expect_err("no cali0").to_string();
    for part in
        ["write 1 to", "net.ipv4.conf.cali0.proxy_arp", "`errors`", "os error 2", "is the interface there"]
    {
        assert!(missing.contains(part), "{part:?} is not in {missing:?}");
    }
    let bad = netns.sysctl().write("net.ipv4.ip_default_ttl", "many").expect_err("no number");
    assert!(bad.to_string().contains("does not take this value"), "{bad}");
    let outside = netns.sysctl().read("kernel.hostname").expect_err("not of a namespace");
    assert!(matches!(outside, SysctlError::Key { .. }), "{outside}");
}

fn command_keys_are_poked() {
    let netns = Netns::new("commands").expect("a namespace");
    netns.sysctl().poke("net.ipv4.route.flush", 1).expect("flushed");
}
