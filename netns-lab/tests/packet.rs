//! Packet sockets on a veth, in real namespaces.

mod common;

use std::time::{Duration, Instant};

use common::{PATIENCE, joined};
use netns_lab::{
    Netns, PacketError, PacketOptions, PacketSocket, RecvBatch, monotonic_ns,
    packet::{Direction, Frame},
};

lab_tests! {
    frames_arrive_whole_and_stamped,
    stripped_vlan_tags_are_put_back,
    ignore_outgoing_hides_own_frames,
    batches_keep_their_order,
    long_frames_are_cut_and_say_so,
    ethertype_selects,
    down_is_told_once_and_up_goes_on,
    deletion_is_told,
    deletion_while_down_is_told,
    async_forms_work_and_tell_events,
    unsendable_frames_are_named,
    losses_are_counted,
    opening_says_what_is_wrong,
}

/// Local experimental ethertype: nobody else on the link uses it.
const OURS: u16 = 0x88b5;

fn frame_of(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 1]);
    frame.extend(OURS.to_be_bytes());
    frame.extend(payload);
    frame
}

fn tagged(tags: &[[u8; 4]], payload: &[u8]) -> Vec<u8> {
    let plain = frame_of(payload);
    let mut frame = plain[..12].to_vec();
    frame.extend(tags.as_flattened());
    frame.extend(&plain[12..]);
    frame
}

fn is_ours(frame: &Frame<'_>) -> bool {
    frame.bytes.windows(2).skip(12).step_by(4).take(3).any(|pair| pair == OURS.to_be_bytes())
}

/// Receives until one of our frames is there, and hands it to `look`.
fn next_ours<T>(socket: &PacketSocket, look: impl Fn(Frame<'_>) -> T) -> T {
    let mut batch = RecvBatch::new(1, 2048);
    loop {
        let received = socket.recv(&mut batch, Some(PATIENCE)).expect("frames");
        assert!(received > 0, "no frame in time");
        if let Some(frame) = batch.frames().find(is_ours) {
            return look(frame);
        }
    }
}

fn open(netns: &Netns, dev: &str) -> PacketSocket {
    PacketSocket::open(netns, dev, &PacketOptions::new()).expect("a socket")
}

fn frames_arrive_whole_and_stamped() {
    let (node, pod) = joined();
    let (host_end, pod_end) = (open(&node, "host0"), open(&pod, "pod0"));
    let sent = frame_of(&[7; 100]);
    let before = monotonic_ns();
    pod_end.send(&sent).expect("sent");
    next_ours(&host_end, |frame| {
        let after = monotonic_ns();
        assert_eq!(frame.bytes, sent);
        assert_eq!((frame.wire_bytes, frame.vlan_restored), (sent.len(), false));
        assert_eq!(frame.direction, Direction::Broadcast);
        let stamp = frame.time.expect("a time");
        let slack = u64::from(stamp.uncertainty_ns);
        assert!(
            (before - slack..=after + slack).contains(&stamp.monotonic_ns),
            "{before} <= {stamp:?} <= {after}"
        );
    });
}

fn stripped_vlan_tags_are_put_back() {
    const VLAN_100: [u8; 4] = [0x81, 0x00, 0x60, 100];
    const SERVICE: [u8; 4] = [0x88, 0xa8, 0x00, 7];
    let (node, pod) = joined();
    let (host_end, pod_end) = (open(&node, "host0"), open(&pod, "pod0"));
    for tags in [&[VLAN_100][..], &[SERVICE, VLAN_100], &[VLAN_100, VLAN_100]] {
        let sent = tagged(tags, &[9; 60]);
        pod_end.send(&sent).expect("sent");
        next_ours(&host_end, |frame| {
            assert_eq!(frame.bytes, sent, "{tags:02x?}");
            assert_eq!(frame.wire_bytes, sent.len());
            assert!(frame.vlan_restored, "the kernel leaves tags in now: the test shows nothing");
        });
    }
}

fn ignore_outgoing_hides_own_frames() {
    let (node, pod) = joined();
    let everything = open(&node, "host0");
    let options = PacketOptions::new().ignore_outgoing(true);
    let incoming = PacketSocket::open(&node, "host0", &options).expect("a socket");
    let pod_end = open(&pod, "pod0");
    everything.send(&frame_of(b"out")).expect("sent");
    incoming.send(&frame_of(b"out")).expect("sent");
    pod_end.send(&frame_of(b"in")).expect("sent");
    let seen =
        |socket| next_ours(socket, |frame| (frame.bytes[14..].to_vec(), frame.direction.is_outgoing()));
    // A socket does not see its own frames leave; it sees those of others.
    assert_eq!(seen(&everything), (b"out".to_vec(), true));
    assert_eq!(seen(&everything), (b"in".to_vec(), false));
    assert_eq!(seen(&incoming), (b"in".to_vec(), false));
}

fn batches_keep_their_order() {
    let (node, pod) = joined();
    let (host_end, pod_end) = (open(&node, "host0"), open(&pod, "pod0"));
    let frames: Vec<_> = (0..200_u8).map(|number| frame_of(&[number])).collect();
    let mut rest = &frames[..];
    while !rest.is_empty() {
        rest = &rest[pod_end.try_send(rest).expect("sent")..];
    }
    let mut batch = RecvBatch::default();
    let mut numbers = Vec::new();
    let mut calls = 0;
    while numbers.len() < frames.len() {
        assert!(host_end.recv(&mut batch, Some(PATIENCE)).expect("frames") > 0, "{numbers:?}");
        numbers.extend(batch.frames().filter(is_ours).map(|frame| frame.bytes[14]));
        calls += 1;
    }
    assert_eq!(numbers, (0..200).collect::<Vec<_>>());
    assert!(calls < 100, "{calls} system calls for 200 frames are no batches");
}

fn long_frames_are_cut_and_say_so() {
    let (node, pod) = joined();
    let (host_end, pod_end) = (open(&node, "host0"), open(&pod, "pod0"));
    pod_end.send(&tagged(&[[0x81, 0, 0, 5]], &[1; 1000])).expect("sent");
    let mut batch = RecvBatch::new(1, 100);
    loop {
        assert!(host_end.recv(&mut batch, Some(PATIENCE)).expect("frames") > 0);
        if let Some(frame) = batch.frames().find(is_ours) {
            assert!(frame.is_truncated());
            assert_eq!((frame.wire_bytes, frame.bytes.len()), (1018, 104));
            return;
        }
    }
}

fn ethertype_selects() {
    let (node, pod) = joined();
    let ours = PacketSocket::open(&node, "host0", &PacketOptions::new().ethertype(OURS)).expect("a socket");
    let pod_end = open(&pod, "pod0");
    let mut other = frame_of(b"other");
    other[13] ^= 1;
    pod_end.send(&other).expect("sent");
    pod_end.send(&frame_of(b"ours")).expect("sent");
    let mut batch = RecvBatch::default();
    assert_eq!(ours.recv(&mut batch, Some(PATIENCE)).expect("frames"), 1);
    assert!(batch.frames().all(|frame| frame.bytes.ends_with(b"ours")));
}

/// Reads on until there is an event.
fn next_event(socket: &PacketSocket) -> PacketError {
    let mut batch = RecvBatch::default();
    loop {
        match socket.recv(&mut batch, Some(PATIENCE)) {
            Ok(received) => assert!(received > 0, "neither frame nor event in time"),
            Err(event) => return event,
        }
    }
}

fn down_is_told_once_and_up_goes_on() {
    let (node, pod) = joined();
    let (host_end, pod_end) = (open(&node, "host0"), open(&pod, "pod0"));
    node.blocking().set_down("host0").expect("down");
    let event = next_event(&host_end);
    assert!(matches!(&event, PacketError::LinkDown { dev } if dev == "host0"), "{event}");
    let mut batch = RecvBatch::default();
    // Told once: what is read now is what came before, and then nothing.
    while host_end.recv(&mut batch, Some(Duration::from_millis(1))).expect("no second event") > 0 {}
    let refused = host_end.send(&frame_of(b"x")).expect_err("down");
    assert!(matches!(refused, PacketError::LinkDown { .. }), "{refused}");
    node.blocking().set_up("host0").expect("up");
    pod_end.send(&frame_of(b"again")).expect("sent");
    assert_eq!(next_ours(&host_end, |frame| frame.bytes[14..].to_vec()), b"again");
    host_end.send(&frame_of(b"back")).expect("up again");
    assert_eq!(next_ours(&pod_end, |frame| frame.bytes[14..].to_vec()), b"back");
}

fn deletion_is_told() {
    let (node, _pod) = joined();
    let host_end = open(&node, "host0");
    node.blocking().delete_link("host0").expect("a deletion");
    // An interface that is up goes down before it goes away.
    let first = next_event(&host_end);
    assert!(matches!(first, PacketError::LinkDown { .. }), "{first}");
    let second = next_event(&host_end);
    assert!(matches!(second, PacketError::LinkGone { .. }), "{second}");
    let refused = host_end.send(&frame_of(b"x")).expect_err("gone");
    assert!(matches!(refused, PacketError::LinkGone { .. }) && refused.is_link_event(), "{refused}");
}

fn deletion_while_down_is_told() {
    let (node, _pod) = joined();
    let host_end = open(&node, "host0");
    node.blocking().set_down("host0").expect("down");
    assert!(matches!(next_event(&host_end), PacketError::LinkDown { .. }));
    // The reader waits while the interface goes, of which the kernel says nothing.
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| next_event(&host_end));
        node.blocking().delete_link("host0").expect("a deletion");
        let event = reader.join().expect("the reader");
        assert!(matches!(event, PacketError::LinkGone { .. }), "{event}");
    });
}

fn async_forms_work_and_tell_events() {
    let (node, pod) = joined();
    common::block_on(async {
        let host_end = open(&node, "host0").into_async().expect("registered");
        let pod_end = open(&pod, "pod0").into_async().expect("registered");
        let reader = tokio::spawn(async move {
            let mut batch = RecvBatch::default();
            let mut seen = 0;
            loop {
                match host_end.recv(&mut batch).await {
                    Ok(_) => seen += batch.frames().filter(is_ours).count(),
                    Err(event @ PacketError::LinkGone { .. }) => return (seen, event),
                    Err(PacketError::LinkDown { .. }) => {}
                    Err(other) => panic!("{other}"),
                }
            }
        });
        let frames: Vec<_> = (0..200_u8).map(|number| frame_of(&[number])).collect();
        pod_end.send_all(&frames).await.expect("sent");
        pod_end.send(&frame_of(b"last")).await.expect("sent");
        // All that was received comes before the word of the deletion.
        let rtnl = node.rtnl().expect("a handle");
        rtnl.set_down("host0").await.expect("down");
        rtnl.delete_link("host0").await.expect("a deletion");
        let (seen, event) = tokio::time::timeout(PATIENCE, reader).await.expect("in time").expect("the task");
        assert_eq!(seen, 201, "before {event}");
        assert!(pod_end.send(b"a frame without an interface").await.is_err());
    });
}

fn unsendable_frames_are_named() {
    let (node, pod) = joined();
    let host_end = open(&node, "host0");
    let long = host_end.send(&frame_of(&[0; 3000])).expect_err("too long");
    assert!(matches!(long, PacketError::Length { length: 3014, .. }), "{long}");
    let short = host_end.send(&[1, 2, 3]).expect_err("too short");
    assert!(matches!(short, PacketError::Length { length: 3, .. }), "{short}");
    pod.blocking().set_down("pod0").expect("down");
    let dropped = host_end.send(&frame_of(b"x")).expect_err("nobody there");
    assert!(matches!(dropped, PacketError::Dropped { .. }), "{dropped}");
}

fn losses_are_counted() {
    let (node, pod) = joined();
    let options = PacketOptions::new().receive_buffer_bytes(1).ethertype(OURS);
    let small = PacketSocket::open(&node, "host0", &options).expect("a socket");
    let pod_end = open(&pod, "pod0");
    for _ in 0..100 {
        pod_end.send(&frame_of(&[0; 1000])).expect("sent");
    }
    let mut batch = RecvBatch::default();
    let (mut received, mut seen, mut dropped) = (0, 0, 0);
    let begun = Instant::now();
    // The frames cross the veth in the background.
    while seen < 100 {
        assert!(begun.elapsed() < PATIENCE, "{seen} frames seen");
        received += small.recv(&mut batch, Some(Duration::from_millis(1))).expect("frames");
        let counts = small.statistics().expect("counts");
        seen += counts.seen;
        dropped += counts.dropped as usize;
    }
    received += small.recv(&mut batch, Some(Duration::ZERO)).expect("frames");
    assert_eq!(received + dropped, 100);
    assert!(dropped > 0);
    assert_eq!(small.statistics().expect("counts").seen, 0, "asking resets");
}

fn opening_says_what_is_wrong() {
    let empty = Netns::new("empty").expect("a namespace");
    let error = PacketSocket::open(&empty, "eth9", &PacketOptions::new()).expect_err("no eth9");
    let text = error.to_string();
    for part in ["eth9", "`empty`", "looking up the interface", "no such interface"] {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
    // lo exists and is down.
    let down = open(&empty, "lo");
    assert!(matches!(next_event(&down), PacketError::LinkDown { .. }));
}
