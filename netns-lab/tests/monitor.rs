//! Notifications, in real namespaces.

mod common;

use std::net::{IpAddr, Ipv4Addr};

use common::{PATIENCE, joined};
use netns_lab::{
    Change, Event, MacAddr, Monitor, Netns, monotonic_ns,
    rtnl::{Address, LinkChange, Neighbour, NudState, Route, Rule, RuleAction, VethEnd},
};

lab_tests! {
    sees_neighbours_come_change_and_go,
    sees_links_addresses_routes_and_rules,
    sees_the_far_end_die_with_its_namespace,
    bridge_ports_do_not_look_deleted,
    overrun_is_an_event,
    async_stream_waits_for_what_comes,
    timeout_is_no_event,
}

const MAC: MacAddr = MacAddr([0x02, 0, 0, 0, 0, 9]);

fn gateway() -> IpAddr {
    Ipv4Addr::new(169, 254, 1, 1).into()
}

/// Reads on until `wanted` picks something out.
fn wait_for<T>(monitor: &mut Monitor, wanted: impl Fn(&Change) -> Option<T>) -> (u64, T) {
    loop {
        let event = monitor.next(Some(PATIENCE)).expect("an event").expect("an event in time");
        if let Some(found) = wanted(&event.change) {
            return (event.at_ns, found);
        }
    }
}

fn neighbour(change: &Change) -> Option<Neighbour> {
    match change {
        Change::Neighbour(one) | Change::NeighbourGone(one) if one.address == gateway() => Some(one.clone()),
        _ => None,
    }
}

fn sees_neighbours_come_change_and_go() {
    let (node, _pod) = joined();
    let mut monitor = Monitor::open(&node).expect("a monitor");
    let net = node.blocking();
    let before = monotonic_ns();
    let entry = Neighbour::new("host0", gateway(), MAC, NudState::Stale);
    net.add_neighbour(&entry).expect("an entry");
    let (at_ns, seen) = wait_for(&mut monitor, neighbour);
    assert_eq!((seen.state, seen.mac, seen.dev), (NudState::Stale, Some(MAC), "host0".into()));
    assert!((before..=monotonic_ns()).contains(&at_ns));
    let other = MacAddr([0x02, 0, 0, 0, 0, 10]);
    net.replace_neighbour(&Neighbour { mac: Some(other), ..entry.clone() }).expect("a change");
    let (later_ns, seen) = wait_for(&mut monitor, neighbour);
    assert_eq!(seen.mac, Some(other));
    assert!(later_ns >= at_ns);
    net.delete_neighbour(&entry).expect("a deletion");
    wait_for(&mut monitor, |change| matches!(change, Change::NeighbourGone(_)).then_some(()));
}

fn sees_links_addresses_routes_and_rules() {
    let (node, _pod) = joined();
    let mut monitor = Monitor::open(&node).expect("a monitor");
    let net = node.blocking();
    let address = Address::new("host0", "10.0.0.1/24".parse().expect("a prefix"));
    net.add_address(&address).expect("an address");
    wait_for(&mut monitor, |change| (*change == Change::Address(address.clone())).then_some(()));
    let route = Route::unicast("10.42.0.7/32".parse().expect("a prefix")).dev("host0").table(77);
    net.add_route(&route).expect("a route");
    let (_, seen) = wait_for(&mut monitor, |change| match change {
        Change::Route(seen) if seen.table == 77 => Some(seen.to_string()),
        _ => None,
    });
    assert_eq!(seen, "10.42.0.7 dev host0 table 77 scope link");
    net.delete_route(&route).expect("a deletion");
    wait_for(&mut monitor, |change| {
        matches!(change, Change::RouteGone(seen) if seen.table == 77).then_some(())
    });
    let rule = Rule::v4(RuleAction::Table(77)).priority(9);
    net.add_rule(&rule).expect("a rule");
    wait_for(&mut monitor, |change| (*change == Change::Rule(rule.clone())).then_some(()));
    net.delete_address(&address).expect("a deletion");
    wait_for(&mut monitor, |change| (*change == Change::AddressGone(address.clone())).then_some(()));
    net.change_link("host0", &LinkChange::new().mtu_bytes(1300)).expect("a change");
    wait_for(&mut monitor, |change| {
        matches!(change, Change::Link(link) if link.mtu_bytes == 1300).then_some(())
    });
}

fn sees_the_far_end_die_with_its_namespace() {
    let (node, pod) = joined();
    let mut monitor = Monitor::open(&node).expect("a monitor");
    drop(pod);
    wait_for(&mut monitor, |change| {
        matches!(change, Change::LinkGone(link) if link.name == "host0").then_some(())
    });
}

fn bridge_ports_do_not_look_deleted() {
    let (node, _pod) = joined();
    let net = node.blocking();
    net.add_bridge("br0").expect("a bridge");
    let mut monitor = Monitor::open(&node).expect("a monitor");
    net.change_link("host0", &LinkChange::new().master("br0")).expect("a port");
    net.change_link("host0", &LinkChange::new().no_master()).expect("no port");
    net.delete_link("br0").expect("a deletion");
    // The deletion of the bridge ends the sequence; up to there nothing else may seem deleted.
    let (_, first_gone) = wait_for(&mut monitor, |change| match change {
        Change::LinkGone(link) => Some(link.name.clone()),
        _ => None,
    });
    assert_eq!(first_gone, "br0");
}

fn overrun_is_an_event() {
    let (node, _pod) = joined();
    let mut monitor = Monitor::with_buffer_bytes(&node, 4096).expect("a monitor");
    let net = node.blocking();
    let entry =
        |last: u8| Neighbour::new("host0", Ipv4Addr::new(10, 0, 0, last).into(), MAC, NudState::Permanent);
    for last in 1..=100 {
        net.add_neighbour(&entry(last)).expect("an entry");
    }
    let mut kept = 0;
    wait_for(&mut monitor, |change| (*change == Change::Overrun).then_some(()));
    // After the gap the stream goes on: drain what was kept, then a new change comes through.
    while let Some(event) = monitor.try_next().expect("an event") {
        kept += usize::from(matches!(event.change, Change::Neighbour(_)));
    }
    assert!(kept < 100, "something was lost");
    net.add_neighbour(&entry(200)).expect("an entry");
    let wanted = entry(200);
    wait_for(&mut monitor, |change| {
        matches!(change, Change::Neighbour(one) if one.address == wanted.address).then_some(())
    });
}

fn async_stream_waits_for_what_comes() {
    let (node, _pod) = joined();
    common::block_on(async {
        let mut monitor = Monitor::open(&node).expect("a monitor").into_async().expect("registered");
        let rtnl = node.rtnl().expect("a handle");
        let watcher = tokio::spawn(async move {
            loop {
                let Event { change, .. } = monitor.next().await.expect("an event");
                if let Some(one) = neighbour(&change) {
                    return one;
                }
            }
        });
        // The watcher is asleep or not: it must be woken in either case.
        tokio::task::yield_now().await;
        let entry = Neighbour::new("host0", gateway(), MAC, NudState::Permanent);
        rtnl.add_neighbour(&entry).await.expect("an entry");
        let seen = tokio::time::timeout(PATIENCE, watcher).await.expect("in time").expect("the task");
        assert_eq!(seen.state, NudState::Permanent);
    });
}

fn timeout_is_no_event() {
    let quiet = Netns::new("quiet").expect("a namespace");
    let mut monitor = Monitor::open(&quiet).expect("a monitor");
    assert_eq!(monitor.next(Some(std::time::Duration::ZERO)).expect("no error"), None);
    quiet.blocking().add_veth(&VethEnd::new("a"), &VethEnd::new("b")).expect("a veth");
    let (_, link) = wait_for(&mut monitor, |change| match change {
        Change::Link(link) => Some(link.clone()),
        _ => None,
    });
    assert!(["a", "b"].contains(&link.name.as_str()), "{link}");
}
