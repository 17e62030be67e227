//! States told apart by 128 bits.
//!
//! Two different states with one fingerprint would be taken for one. Over a million states the
//! chance is about 2^40 / 2^129, far below that of a bit flipping in memory, so states themselves
//! are not kept.

use core::hash::{Hash, Hasher};

/// A fast hasher of 128 bits that gives the same on every machine of 64 bits: two accumulators,
/// each folded by a wide multiplication. It resists chance, not malice.
#[derive(Clone, Copy, Debug)]
struct Folder {
    a: u64,
    b: u64,
}

/// Digits of pi, odd.
const KA: u64 = 0x243f_6a88_85a3_08d3;
const KB: u64 = 0x1319_8a2e_0370_7345;
const KC: u64 = 0xa409_3822_299f_31d1;
const KD: u64 = 0x082e_fa98_ec4e_6c89;

#[inline]
const fn fold(x: u64, y: u64) -> u64 {
    let wide = x as u128 * y as u128;
    (wide as u64) ^ ((wide >> 64) as u64)
}

impl Folder {
    #[inline]
    fn mix(&mut self, x: u64) {
        self.a = fold(self.a ^ x, KA).wrapping_add(KC);
        self.b = fold(self.b.rotate_left(29) ^ x, KB).wrapping_add(KD);
    }
}

impl Hasher for Folder {
    fn finish(&self) -> u64 {
        fold(self.a ^ KB, self.b ^ KA)
    }
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            let word: [u8; 8] = core::array::from_fn(|i| chunk[i]);
            self.mix(u64::from_le_bytes(word));
        }
        let rest = chunks.remainder();
        if !rest.is_empty() {
            let word: [u8; 8] = core::array::from_fn(|i| rest.get(i).copied().unwrap_or(0));
            self.mix(u64::from_le_bytes(word) ^ ((rest.len() as u64) << 56));
        }
    }
    #[inline]
    fn write_u8(&mut self, i: u8) {
        self.mix(u64::from(i));
    }
    #[inline]
    fn write_u16(&mut self, i: u16) {
        self.mix(u64::from(i));
    }
    #[inline]
    fn write_u32(&mut self, i: u32) {
        self.mix(u64::from(i));
    }
    #[inline]
    fn write_u64(&mut self, i: u64) {
        self.mix(i);
    }
    #[inline]
    fn write_usize(&mut self, i: usize) {
        self.mix(i as u64);
    }
}

/// The fingerprint of a value.
pub(super) fn fingerprint<T: Hash + ?Sized>(value: &T) -> u128 {
    let mut h = Folder { a: KD, b: KC };
    value.hash(&mut h);
    // one more round, so that the last word reaches every bit
    let (a, b) = (h.a, h.b);
    h.mix(a ^ b.rotate_left(32));
    u128::from(h.a) << 64 | u128::from(h.b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn near_values_have_far_fingerprints() {
        let mut seen = BTreeSet::new();
        for i in 0..20_000u64 {
            seen.insert(fingerprint(&i));
            seen.insert(fingerprint(&[0u8, (i & 255) as u8, (i >> 8) as u8]));
        }
        assert_eq!(seen.len(), 40_000);
        let differing = (fingerprint(&1u64) ^ fingerprint(&2u64)).count_ones();
        assert!((40..=88).contains(&differing), "{differing} bits differ");
    }

    #[test]
    fn trailing_zeros_count() {
        assert_ne!(fingerprint(&[1u8, 0][..]), fingerprint(&[1u8, 0, 0][..]));
    }
}
