//! Links, addresses and errors through rtnetlink, in real namespaces.

mod common;

use common::joined;
use netns_lab::{
    Errno, MacAddr, Netns, RtnlError,
    rtnl::{Address, LinkChange, OperState, Scope, VethEnd},
};

lab_tests! {
    veth_is_born_in_its_namespaces,
    link_changes_show_in_the_dump,
    bridge_takes_and_loses_a_port,
    link_moves_to_another_namespace,
    link_is_renamed_and_deleted,
    addresses_round_trip,
    errors_say_what_was_asked,
    async_handle_works_from_another_runtime,
    dead_runtime_is_an_error_and_not_success,
}

const HOST: MacAddr = MacAddr([0xee; 6]);
const POD: MacAddr = MacAddr([0x02, 0, 0, 0, 0, 7]);

fn veth_is_born_in_its_namespaces() {
    let node = Netns::new("node").expect("a namespace");
    let pod = Netns::new("pod").expect("a namespace");
    node.blocking()
        .add_veth(
            &VethEnd::new("cali0").mac(HOST).mtu_bytes(1400).up(),
            &VethEnd::new("eth0").mac(POD).in_netns(&pod),
        )
        .expect("a veth");
    pod.blocking().set_up("eth0").expect("up");
    let host_end = node.blocking().link("cali0").expect("the host end");
    let pod_end = pod.blocking().link("eth0").expect("the pod end");
    assert_eq!((host_end.mac, host_end.mtu_bytes, host_end.up), (Some(HOST), 1400, true), "{host_end}");
    assert_eq!((pod_end.mac, pod_end.up), (Some(POD), true), "{pod_end}");
    assert_eq!(host_end.peer_index, Some(pod_end.index));
    assert_eq!(pod_end.peer_index, Some(host_end.index));
    assert_eq!(host_end.kind.as_deref(), Some("veth"));
    assert_eq!((host_end.carrier, pod_end.carrier), (Some(true), Some(true)));
    assert!(node.blocking().link("eth0").is_err(), "the pod end was never in the node");
}

fn link_changes_show_in_the_dump() {
    let (node, pod) = joined();
    let net = node.blocking();
    let mac = MacAddr([0x02, 1, 2, 3, 4, 5]);
    let change = LinkChange::new().mac(mac).mtu_bytes(1280).arp(false).promiscuous(true);
    net.change_link("host0", &change).expect("a change");
    let find = || net.links().expect("links").into_iter().find(|link| link.name == "host0").expect("host0");
    let link = find();
    assert_eq!(
        (link.mac, link.mtu_bytes, link.no_arp, link.promiscuous),
        (Some(mac), 1280, true, true),
        "{link}"
    );
    net.change_link("host0", &LinkChange::new().arp(true).promiscuous(false)).expect("a change");
    let link = find();
    assert_eq!(
        (link.mtu_bytes, link.no_arp, link.promiscuous, link.up),
        (1280, false, false, true),
        "{link}"
    );
    net.set_down("host0").expect("down");
    let far = pod.blocking().link("pod0").expect("pod0");
    assert_eq!((far.up, far.carrier), (true, Some(false)), "{far}");
    assert!(!find().up);
}

fn bridge_takes_and_loses_a_port() {
    let (node, _pod) = joined();
    let net = node.blocking();
    net.add_bridge("br0").expect("a bridge");
    let bridge = net.link("br0").expect("br0");
    assert_eq!((bridge.kind.as_deref(), bridge.up), (Some("bridge"), false));
    net.change_link("host0", &LinkChange::new().master("br0")).expect("a port");
    assert_eq!(net.link("host0").expect("host0").master_index, Some(bridge.index));
    net.change_link("host0", &LinkChange::new().no_master()).expect("no port");
    assert_eq!(net.link("host0").expect("host0").master_index, None);
    let unknown = net.change_link("host0", &LinkChange::new().master("br9")).expect_err("no br9");
    assert!(matches!(&unknown, RtnlError::NoSuchDevice { dev, .. } if dev == "br9"), "{unknown}");
}

fn link_moves_to_another_namespace() {
    let (node, pod) = joined();
    let third = Netns::new("third").expect("a namespace");
    pod.blocking().move_link("pod0", &third).expect("a move");
    assert!(pod.blocking().link("pod0").expect_err("gone").not_found());
    let moved = third.blocking().link("pod0").expect("arrived");
    assert!(!moved.up, "links arrive down");
    assert_eq!(node.blocking().link("host0").expect("host0").peer_index, Some(moved.index));
}

fn link_is_renamed_and_deleted() {
    let (node, pod) = joined();
    let net = node.blocking();
    net.set_down("host0").expect("down");
    net.change_link("host0", &LinkChange::new().name("cali.1")).expect("a rename");
    let link = net.link("cali.1").expect("the new name");
    assert_eq!(link.oper_state, OperState::Down);
    net.delete_link(link.index).expect("a deletion");
    assert!(net.link("cali.1").expect_err("gone").not_found());
    assert!(pod.blocking().link("pod0").expect_err("gone with it").not_found());
}

fn addresses_round_trip() {
    let (node, _pod) = joined();
    let net = node.blocking();
    let wanted = [
        Address::new("host0", "10.42.0.7/32".parse().expect("a prefix")).scope(Scope::Link),
        Address::new("host0", "10.9.0.1/24".parse().expect("a prefix"))
            .broadcast("10.9.0.255".parse().expect("an address"))
            .no_prefix_route(),
        Address::new("host0", "10.8.0.1/32".parse().expect("a prefix"))
            .peer("10.8.0.2".parse().expect("an address")),
        Address::new("host0", "fd00::7/64".parse().expect("a prefix")).no_dad(),
    ];
    for address in &wanted {
        net.add_address(address).expect("an address");
        let again = net.add_address(address).expect_err("twice");
        assert!(again.already_exists(), "{again}");
    }
    let found = net.addresses().expect("addresses");
    for address in &wanted {
        assert!(found.contains(address), "{address} is not among {found:#?}");
        net.delete_address(address).expect("a deletion");
    }
    let left = net.addresses().expect("addresses");
    assert!(wanted.iter().all(|address| !left.contains(address)), "{left:#?}");
    let missing = net.delete_address(&wanted[0]).expect_err("gone");
    assert_eq!(missing.errno(), Some(Errno::EADDRNOTAVAIL), "{missing}");
}

fn errors_say_what_was_asked() {
    let (node, _pod) = joined();
    let net = node.blocking();
    let twice = net.add_veth(&VethEnd::new("host0"), &VethEnd::new("other")).expect_err("taken");
    let text = twice.to_string();
    assert!(twice.already_exists(), "{text}");
    for part in
        ["`ip link add host0 type veth peer name other`", "namespace `node`", "EEXIST", "delete it first"]
    {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
    let far_up = net.add_veth(&VethEnd::new("a"), &VethEnd::new("b").up()).expect_err("the kernel cannot");
    assert!(matches!(far_up, RtnlError::Invalid { .. }), "{far_up}");
    let long = net.add_bridge("a-name-that-is-too-long").expect_err("too long");
    assert!(matches!(long, RtnlError::Invalid { .. }), "{long}");
    let loopback = net.delete_link("lo").expect_err("lo stays");
    assert_eq!(loopback.errno(), Some(Errno::EOPNOTSUPP), "{loopback}");
    let outside = node.rtnl().expect_err("no runtime");
    assert!(matches!(outside, RtnlError::NoRuntime { .. }), "{outside}");
}

fn async_handle_works_from_another_runtime() {
    let (node, pod) = joined();
    let background = tokio::runtime::Runtime::new().expect("a runtime");
    let rtnl = background.block_on(async { pod.rtnl() }).expect("a handle");
    let names = common::block_on(async move {
        let task = tokio::spawn(async move { rtnl.links().await });
        task.await.expect("the task").expect("links")
    });
    let names: Vec<_> = names.into_iter().map(|link| link.name).collect();
    assert_eq!(names, ["lo", "pod0"]);
    drop((node, background));
}

fn dead_runtime_is_an_error_and_not_success() {
    let node = Netns::new("node").expect("a namespace");
    let short = tokio::runtime::Runtime::new().expect("a runtime");
    let rtnl = short.block_on(async { node.rtnl() }).expect("a handle");
    drop(short);
    let outcome = common::block_on(rtnl.set_up("lo"));
    assert!(matches!(outcome, Err(RtnlError::Closed { .. })), "{outcome:?}");
    assert!(!node.blocking().link("lo").expect("lo").up);
}
