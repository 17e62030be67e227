//! Every nondeterminism of the model goes through one door, [`Chooser`]: a run is a list of
//! choices, so it can be drawn from a seed, replayed from a file, or enumerated.

use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

/// What is being chosen.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChoiceKind {
    /// Which of several things due at the same moment goes first.
    Order,
    /// How long a step takes within its range.
    StepDelay,
    /// When a client starts.
    ClientStart,
    /// Where the kernel's tick and timer wheel stand at time zero.
    WheelPhase,
    /// reachable_time of a device, even over [0.5, 1.5) of its base (neigh_rand_reach_time).
    ReachableTime,
    /// How long a proxied answer waits, in jiffies below proxy_delay (pneigh_enqueue).
    ProxyDelay,
    /// How much of the ICMP burst one message costs, 0 to 2 (icmp_global_consume).
    IcmpCredit,
    /// Whether and how the link treats a frame badly.
    LinkFault,
    /// Which leg of a multipath route a flow takes.
    FlowHash,
    /// The random wait before duplicate address detection (addrconf_dad_kick).
    DadDelay,
    /// How long a carrier change stays unnoticed (linkwatch).
    CarrierNotice,
    /// Which of two processors is faster in one tick: a resolution that fails or a process that
    /// wakes up and sends.
    CpuRace,
    /// When the kernel next looks through its neighbour entries for unused ones.
    GarbageCollection,
}

impl core::fmt::Display for ChoiceKind {
    /// As files spell it: `wheel-phase`.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.serialize(f)
    }
}

impl core::str::FromStr for ChoiceKind {
    type Err = serde::de::value::Error;
    fn from_str(text: &str) -> Result<ChoiceKind, Self::Err> {
        ChoiceKind::deserialize(serde::de::value::StrDeserializer::new(text))
    }
}

/// Chooses.
pub trait Chooser {
    /// A number below `options`, which is at least 1. With one option there is no choice, and
    /// implementations neither draw nor record anything.
    fn choose(&mut self, kind: ChoiceKind, options: u64) -> u64;

    /// As [`Chooser::choose`] where some options are rarer than others. One that enumerates
    /// takes them all alike; one that draws heeds the weights.
    fn weigh(&mut self, kind: ChoiceKind, weights: &[u32]) -> u64 {
        self.choose(kind, weights.len() as u64)
    }
}

impl<C: Chooser + ?Sized> Chooser for &mut C {
    fn choose(&mut self, kind: ChoiceKind, options: u64) -> u64 {
        (**self).choose(kind, options)
    }
    fn weigh(&mut self, kind: ChoiceKind, weights: &[u32]) -> u64 {
        (**self).weigh(kind, weights)
    }
}

/// Draws from a seed. The generator is PCG XSL-RR 128/64 (MCG); the stream and the mapping to a
/// range are fixed by known-answer tests, so that a seed means the same in every release.
#[derive(Clone, Debug)]
pub struct Seeded(Pcg64Mcg);

impl Seeded {
    /// The stream of that seed.
    #[must_use]
    pub fn new(seed: u64) -> Seeded {
        // the generator forces its lowest state bit, so a seed put there as it is would mean the
        // same as its neighbour; SplitMix64 spreads it over all bits first
        let mut state = [0; 16];
        let mut z = seed;
        for half in state.chunks_exact_mut(8) {
            z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
            half.copy_from_slice(&mix(z).to_le_bytes());
        }
        let mut rng = Pcg64Mcg::from_seed(state);
        // an MCG starts close to its seed; a few steps part neighbouring seeds
        for _ in 0..4 {
            rng.next_u64();
        }
        Seeded(rng)
    }
}

/// The finalizer of SplitMix64: a bijection.
const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Chooser for Seeded {
    fn choose(&mut self, _: ChoiceKind, options: u64) -> u64 {
        if options <= 1 {
            return 0;
        }
        // multiply-shift: the bias is below options / 2^64, far under anything observable
        ((u128::from(self.0.next_u64()) * u128::from(options)) >> 64) as u64
    }

    fn weigh(&mut self, kind: ChoiceKind, weights: &[u32]) -> u64 {
        let mut drawn = self.choose(kind, weights.iter().map(|w| u64::from(*w)).sum());
        for (option, weight) in weights.iter().enumerate() {
            match drawn.checked_sub(u64::from(*weight)) {
                Some(rest) => drawn = rest,
                None => return option as u64,
            }
        }
        0
    }
}

/// Always the first option: no faults, shortest delays, first come first served.
#[derive(Clone, Copy, Debug, Default)]
pub struct First;

impl Chooser for First {
    fn choose(&mut self, _: ChoiceKind, _: u64) -> u64 {
        0
    }
}

/// Always the middle option: what a delay is on average.
#[derive(Clone, Copy, Debug, Default)]
pub struct Middle;

impl Chooser for Middle {
    fn choose(&mut self, _: ChoiceKind, options: u64) -> u64 {
        options / 2
    }
    // what is most likely, which is listed first
    fn weigh(&mut self, _: ChoiceKind, _: &[u32]) -> u64 {
        0
    }
}

/// Keeps what another chooser chose.
#[derive(Clone, Debug)]
pub struct Recorder<C> {
    inner: C,
    /// The choices so far, with their kinds and numbers of options.
    pub made: Vec<(ChoiceKind, u64, u64)>,
}

impl<C: Chooser> Recorder<C> {
    /// Listens to `inner`.
    pub fn new(inner: C) -> Self {
        Recorder { inner, made: Vec::new() }
    }
}

impl<C: Chooser> Chooser for Recorder<C> {
    fn choose(&mut self, kind: ChoiceKind, options: u64) -> u64 {
        if options <= 1 {
            return 0;
        }
        let choice = self.inner.choose(kind, options);
        self.made.push((kind, options, choice));
        choice
    }

    fn weigh(&mut self, kind: ChoiceKind, weights: &[u32]) -> u64 {
        let options = weights.len() as u64;
        if options <= 1 {
            return 0;
        }
        let choice = self.inner.weigh(kind, weights);
        self.made.push((kind, options, choice));
        choice
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_of_a_seed_never_changes() {
        let mut s = Seeded::new(1);
        let drawn: Vec<u64> = (0..6).map(|_| s.choose(ChoiceKind::Order, 1000)).collect();
        assert_eq!(drawn, KNOWN);
    }

    #[test]
    fn every_seed_has_a_stream_of_its_own() {
        let first: std::collections::BTreeSet<u64> =
            (0..1000).map(|seed| Seeded::new(seed).choose(ChoiceKind::Order, u64::MAX)).collect();
        assert_eq!(first.len(), 1000);
    }

    const KNOWN: [u64; 6] = [619, 217, 360, 942, 40, 543];

    #[test]
    fn weights_are_heeded_when_drawing_and_ignored_when_enumerating() {
        let mut s = Seeded::new(3);
        let mut seen = [0; 3];
        for _ in 0..4000 {
            seen[s.weigh(ChoiceKind::CpuRace, &[14, 1, 1]) as usize] += 1;
        }
        assert!((3300..3700).contains(&seen[0]) && seen[1] > 150 && seen[2] > 150, "{seen:?}");
        let mut r = Recorder::new(First);
        assert_eq!(r.weigh(ChoiceKind::CpuRace, &[14, 1, 1]), 0);
        assert_eq!(r.made, [(ChoiceKind::CpuRace, 3, 0)]);
    }

    #[test]
    fn one_option_is_no_choice() {
        let mut r = Recorder::new(Seeded::new(7));
        assert_eq!(r.choose(ChoiceKind::Order, 1), 0);
        assert!(r.made.is_empty());
    }
}
