//! pcapng files as other programs write them, built byte by byte.

use super::arplab;
use arplab::matrix::{CaptureError, Sight};

/// A section's byte order.
#[derive(Clone, Copy, PartialEq)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn two(self, n: u16) -> [u8; 2] {
        if self == Order::Little { n.to_le_bytes() } else { n.to_be_bytes() }
    }

    fn four(self, n: u32) -> [u8; 4] {
        if self == Order::Little { n.to_le_bytes() } else { n.to_be_bytes() }
    }

    fn block(self, kind: u32, body: &[u8]) -> Vec<u8> {
        let padded = body.len().next_multiple_of(4);
        let length = self.four(padded as u32 + 12);
        let mut bytes = [self.four(kind), length].concat();
        bytes.extend(body);
        bytes.resize(8 + padded, 0);
        bytes.extend(length);
        bytes
    }

    fn section(self) -> Vec<u8> {
        self.section_that_says(0)
    }

    /// A section with a comment of so many letters.
    fn section_that_says(self, letters: u16) -> Vec<u8> {
        let mut body = self.four(0x1a2b_3c4d).to_vec();
        body.extend([self.two(1), self.two(0)].concat());
        body.extend([0xff; 8]);
        if letters > 0 {
            body.extend([self.two(1), self.two(letters)].concat());
            body.resize(body.len() + usize::from(letters).next_multiple_of(4), b'a');
        }
        self.block(0x0a0d_0d0a, &body)
    }

    /// An Ethernet interface with that if_tsresol; its options end with the block, or as they used to.
    fn interface(self, resolution: u8, snaplen: u32, end: bool) -> Vec<u8> {
        let mut body = [self.two(1), self.two(0)].concat();
        body.extend(self.four(snaplen));
        body.extend([self.two(9), self.two(1)].concat());
        body.extend([resolution, 0, 0, 0]);
        if end {
            body.extend([0; 4]);
        }
        self.block(1, &body)
    }

    fn enhanced(self, ticks: u64, frame: &[u8]) -> Vec<u8> {
        let length = self.four(frame.len() as u32);
        let parts = [self.four(0), self.four((ticks >> 32) as u32), self.four(ticks as u32), length, length];
        let mut body = parts.concat();
        body.extend(frame);
        self.block(6, &body)
    }

    fn simple(self, frame: &[u8]) -> Vec<u8> {
        let mut body = self.four(frame.len() as u32).to_vec();
        body.extend(frame);
        self.block(3, &body)
    }
}

pub(super) const POD: [u8; 6] = [2, 0, 10, 66, 1, 9];
pub(super) const GATEWAY: [u8; 6] = [0xee; 6];

pub(super) fn arp(to: [u8; 6], from: [u8; 6], op: u8, sender: [u8; 4], target: [u8; 4]) -> Vec<u8> {
    let mut frame = [to, from].concat();
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, op]);
    frame.extend(from);
    frame.extend(sender);
    frame.extend(if op == 1 { [0; 6] } else { to });
    frame.extend(target);
    frame
}

pub(super) fn request() -> Vec<u8> {
    arp([0xff; 6], POD, 1, [10, 66, 1, 9], [169, 254, 1, 1])
}

pub(super) fn reply() -> Vec<u8> {
    arp(POD, GATEWAY, 2, [169, 254, 1, 1], [10, 66, 1, 9])
}

/// The pod asks for twenty seconds and is answered after that.
fn late(order: Order, resolution: u8, rate: u64, end: bool) -> Vec<u8> {
    let mut file = [order.section(), order.interface(resolution, 0, end)].concat();
    for second in 0..20 {
        file.extend(order.enhanced((1_700_000_000 + second) * rate, &request()));
    }
    file.extend(order.enhanced(1_700_000_019 * rate + rate / 2, &reply()));
    file
}

#[test]
fn options_may_end_with_their_block() {
    for order in [Order::Little, Order::Big] {
        let wordy = [order.section_that_says(u16::MAX), late(order, 6, 1_000_000, false)].concat();
        assert_eq!(Sight::from_capture(&wordy[..], None).unwrap().counts().asked, 20);
        for (resolution, rate) in [(6, 1_000_000), (9, 1_000_000_000), (0x8a, 1024)] {
            let [with, without] = [true, false].map(|end| {
                let file = late(order, resolution, rate, end);
                Sight::from_capture(&file[..], None).unwrap()
            });
            assert_eq!(with.counts().asked, 20);
            assert_eq!(with.watched().as_ms(), 19_500);
            assert_eq!((&with.warnings, with.features()), (&without.warnings, without.features()));
            assert!(without.warnings.is_empty(), "{:?}", without.warnings);
        }
    }
}

/// Left out, as they once were, the requests of such a file make a pod that does not even ask.
#[test]
fn frames_without_times_are_counted_and_nothing_is_made_of_them() {
    for order in [Order::Little, Order::Big] {
        let mut file = [order.section(), order.interface(6, 0, true)].concat();
        for _ in 0..7 {
            file.extend(order.simple(&request()));
        }
        file.extend(order.simple(&reply()));
        let why = Sight::from_capture(&file[..], None).unwrap_err();
        assert!(matches!(why, CaptureError::Timeless { frames: 8, asked: 7, replies: 1 }), "{why}");
        // some of them among others
        let some = [late(order, 6, 1_000_000, true), order.simple(&reply())].concat();
        let why = Sight::from_capture(&some[..], None).unwrap_err();
        assert!(matches!(why, CaptureError::Timeless { frames: 1, asked: 0, replies: 1 }), "{why}");
        // what tells nothing is not missed
        let other = [late(order, 6, 1_000_000, true), order.simple(&[0xff; 60])].concat();
        assert_eq!(Sight::from_capture(&other[..], None).unwrap().counts().asked, 20);
        // no more of a frame than the interface keeps
        let short = [order.section(), order.interface(6, 20, true), order.simple(&request())].concat();
        assert!(Sight::from_capture(&short[..], None).unwrap().is_empty());

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("it");
        std::fs::write(&path, &file).unwrap();
        let out = arplab(&["identify", "--pcap", path.to_str().unwrap()]);
        let text = String::from_utf8(out.stderr).unwrap();
        assert_eq!(out.status.code(), Some(2), "{text}");
        assert!(text.contains("no times") && text.contains("7 requests"), "{text}");
        assert!(out.stdout.is_empty());
    }
}

/// A block that is longer than a reader's first guess, a length that no block has, and a file that ends
/// within one.
#[test]
fn a_length_is_only_believed_as_far_as_the_file_goes() {
    let order = Order::Little;
    let long = order.block(0x0bad, &vec![7; 3 << 20]);
    let mut file = [order.section(), long, order.interface(6, 0, false)].concat();
    for second in 0..3u64 {
        file.extend(order.enhanced(second * 1_000_000, &request()));
    }
    let seen = Sight::from_capture(&file[..], None).unwrap();
    assert_eq!((seen.counts().asked, seen.warnings.len()), (3, 0));
    let whole = file.len();
    for wrong in [u32::MAX - 3, 1 << 29, 4, 0] {
        let mut odd = file.clone();
        odd.extend([order.four(6), order.four(wrong)].concat());
        odd.extend([0; 40]);
        let seen = Sight::from_capture(&odd[..], None).unwrap();
        assert_eq!((seen.counts().asked, seen.warnings.len()), (3, 1), "{wrong}");
    }
    let seen = Sight::from_capture(&file[..whole - 5], None).unwrap();
    assert_eq!(seen.counts().asked, 2);
    assert!(seen.warnings[0].contains("ends in the middle"), "{:?}", seen.warnings);
}
