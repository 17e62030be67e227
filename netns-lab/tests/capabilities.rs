//! What this machine allows, found out by doing.

mod common;

use std::{fs, os::unix::fs::PermissionsExt};

use netns_lab::capabilities::{Feature, Status, detect};

lab_tests! {
    everything_is_tried_where_namespaces_can_be_made,
    nothing_is_left_by_trying,
}

fn everything_is_tried_where_namespaces_can_be_made() {
    let found = detect();
    eprint!("{found}");
    for (feature, status) in found.iter() {
        assert!(!matches!(status, Status::Untried { .. }), "{feature}: {status}");
    }
    assert!(found.has(Feature::NetNamespaces));
    // A veth and a packet socket worked for the other tests, or they would not be run.
    assert!(found.has(Feature::Veth) && found.has(Feature::PacketSockets) && found.has(Feature::Sysctl));
    if let Status::Missing { reason, advice } = found.status(Feature::Tap) {
        let open_to_all =
            fs::metadata("/dev/net/tun").is_ok_and(|node| node.permissions().mode() & 0o006 == 0o006);
        assert!(!open_to_all, "{reason}");
        assert!(reason.contains("/dev/net/tun") && !advice.is_empty(), "{reason}; {advice}");
    }
}

fn nothing_is_left_by_trying() {
    let here = || fs::read_to_string("/proc/thread-self/net/dev").expect("a list").lines().count();
    let before = here();
    let _ = detect();
    assert_eq!(here(), before);
}
