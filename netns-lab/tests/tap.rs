//! TAP devices, in real namespaces.

mod common;

use std::time::Duration;

use common::{PATIENCE, is_real_root};
use netns_lab::{
    MacAddr, Netns, Tap, TapError,
    rtnl::{Address, LinkChange, Route},
    testing,
};

lab_tests! {
    frames_pass_in_both_directions,
    down_and_up_are_events,
    deletion_wakes_a_reader,
    drop_deletes_the_device,
    async_forms_work_and_tell_events,
    opening_says_what_is_wrong,
}

const POD: MacAddr = MacAddr([0x02, 0, 0, 0, 0, 7]);
const ARP: [u8; 2] = [0x08, 0x06];
const EACCES: i32 = 13;

/// A namespace with a TAP `eth0`, or `None` and a word on stderr where /dev/net/tun is closed.
fn with_tap() -> Option<(Netns, Tap)> {
    let pod = Netns::new("pod").expect("a namespace");
    match Tap::open(&pod, "eth0") {
        Ok(tap) => {
            pod.blocking().change_link("eth0", &LinkChange::new().mac(POD).up(true)).expect("up");
            Some((pod, tap))
        }
        // An ordinary user need not have it; root needs to.
        Err(TapError::Open { source, .. }) if source.raw_os_error() == Some(EACCES) && !is_real_root() => {
            eprintln!("skipped: this user may not open /dev/net/tun");
            None
        }
        Err(error) => {
            testing::skip(&error.to_string());
            None
        }
    }
}

/// An ARP request for 10.0.0.7 from 10.0.0.1.
fn request() -> Vec<u8> {
    let gateway = [2, 0, 0, 0, 0, 1];
    let mut frame = [[0xff; 6], gateway].concat();
    frame.extend(ARP);
    frame.extend([0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(gateway);
    frame.extend([10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 7]);
    frame
}

fn configure(pod: &Netns) {
    let net = pod.blocking();
    net.add_address(&Address::new("eth0", "10.0.0.7/32".parse().expect("a prefix"))).expect("an address");
    net.add_route(&Route::unicast("10.0.0.1/32".parse().expect("a prefix")).dev("eth0")).expect("a route");
}

fn is_answer(frame: &[u8]) -> bool {
    frame[12..14] == ARP && frame[20..22] == [0, 2] && frame[22..28] == POD.octets()
}

fn frames_pass_in_both_directions() {
    let Some((pod, tap)) = with_tap() else { return };
    configure(&pod);
    tap.send(&request()).expect("sent");
    let mut buffer = [0; 1600];
    loop {
        let length = tap.recv(&mut buffer, Some(PATIENCE)).expect("no event").expect("a frame in time");
        if is_answer(&buffer[..length]) {
            return;
        }
    }
}

fn down_and_up_are_events() {
    let Some((pod, tap)) = with_tap() else { return };
    pod.blocking().set_down("eth0").expect("down");
    let refused = tap.send(&request()).expect_err("down");
    assert!(matches!(&refused, TapError::LinkDown { name } if name == "eth0"), "{refused}");
    let mut buffer = [0; 1600];
    // Reading is quiet, once what was sent before is read.
    while tap.recv(&mut buffer, Some(Duration::from_millis(1))).expect("no event").is_some() {}
    pod.blocking().set_up("eth0").expect("up");
    tap.send(&request()).expect("up again");
}

fn deletion_wakes_a_reader() {
    let Some((pod, tap)) = with_tap() else { return };
    let event = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut buffer = [0; 1600];
            loop {
                match tap.recv(&mut buffer, Some(PATIENCE)) {
                    Ok(frame) => assert!(frame.is_some(), "neither frame nor event in time"),
                    Err(event) => return event,
                }
            }
        });
        pod.blocking().delete_link("eth0").expect("a deletion");
        reader.join().expect("the reader")
    });
    assert!(matches!(event, TapError::Deleted { .. }) && event.is_link_event(), "{event}");
    let refused = tap.send(&request()).expect_err("deleted");
    assert!(matches!(refused, TapError::Deleted { .. }), "{refused}");
}

fn drop_deletes_the_device() {
    let Some((pod, tap)) = with_tap() else { return };
    assert_eq!(pod.blocking().link("eth0").expect("eth0").kind.as_deref(), Some("tun"));
    drop(tap);
    assert!(pod.blocking().link("eth0").expect_err("gone").not_found());
}

fn async_forms_work_and_tell_events() {
    let Some((pod, tap)) = with_tap() else { return };
    configure(&pod);
    common::block_on(async {
        let tap = tap.into_async().expect("registered");
        tap.send(&request()).await.expect("sent");
        let reader = async {
            let mut buffer = [0; 1600];
            let mut answered = false;
            loop {
                match tap.recv(&mut buffer).await {
                    Ok(length) if is_answer(&buffer[..length]) => {
                        answered = true;
                        let rtnl = pod.rtnl().expect("a handle");
                        tokio::spawn(async move { rtnl.delete_link("eth0").await });
                    }
                    Ok(_) => {}
                    Err(event) => return (answered, event),
                }
            }
        };
        let (answered, event) = tokio::time::timeout(PATIENCE, reader).await.expect("in time");
        assert!(answered, "before {event}");
        assert!(matches!(event, TapError::Deleted { .. }), "{event}");
    });
}

fn opening_says_what_is_wrong() {
    let Some((pod, _tap)) = with_tap() else { return };
    let twice = Tap::open(&pod, "eth0").expect_err("taken").to_string();
    for part in ["TAP eth0", "`pod`", "is there already"] {
        assert!(twice.contains(part), "{part:?} is not in {twice:?}");
    }
    assert!(matches!(Tap::open(&pod, "no/name"), Err(TapError::Name { .. })));
    let numbered = Tap::open(&pod, "tap%d").expect("a tap");
    assert_eq!(numbered.name(), "tap0");
}
