//! What is known of all the schedules from a state on.

use super::facts::Facts;
use super::node::Cost;
use super::property::Property;
use crate::time::Span;
use smallvec::SmallVec;

/// Upper ends of the classes into which observed delays are sorted, milliseconds; what is longer
/// than the last, and what never came, have classes of their own.
pub(super) const DELAY_CLASSES_MS: [u64; 15] =
    [1, 10, 100, 500, 1_000, 2_000, 3_000, 5_000, 7_500, 10_000, 15_000, 20_000, 30_000, 60_000, 120_000];

/// The class of "no answer at all", after those of [`DELAY_CLASSES_MS`] and of "longer".
pub(super) const NEVER: u8 = DELAY_CLASSES_MS.len() as u8 + 1;

/// How one schedule ended, as far as it is counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Key {
    /// Properties it lacks, by place: "always" ones that fail, "sometimes" ones not reached.
    pub(super) lacks: u32,
    /// The class of the delay of its first answer.
    pub(super) delay: u8,
}

/// The cheapest failing schedule from a state on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub(super) struct Best(pub(super) Cost);

/// The worst that any of some schedules showed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Worst {
    /// The longest that a first answer took, as [`Facts::first_delay`] counts; `None` when a schedule
    /// had no answer.
    pub first_answer: Option<Span>,
    /// The longest spell without an answer after the first one.
    pub silence: Span,
}

impl Default for Worst {
    /// That of no schedule at all.
    fn default() -> Worst {
        Worst { first_answer: Some(Span::ZERO), silence: Span::ZERO }
    }
}

impl Worst {
    fn add(&mut self, other: Worst) {
        self.first_answer = self.first_answer.zip(other.first_answer).map(|(a, b)| a.max(b));
        self.silence = self.silence.max(other.silence);
    }
}

/// Counts of schedules by how they end.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Tally {
    pub(super) counts: SmallVec<[(Key, u128); 2]>,
    pub(super) best: Option<Best>,
    pub(super) worst: Worst,
}

pub(super) fn delay_class(delay: Option<Span>) -> u8 {
    match delay {
        None => NEVER,
        Some(d) => DELAY_CLASSES_MS.partition_point(|ms| Span::from_ms(*ms) < d) as u8,
    }
}

impl Tally {
    /// A schedule that ends here.
    pub(super) fn leaf(facts: &Facts, properties: &[Property]) -> Tally {
        let mut lacks = 0;
        let mut fails = false;
        for (at, p) in properties.iter().enumerate() {
            if !p.test(facts) {
                lacks |= 1 << at;
                fails |= !p.is_sometimes();
            }
        }
        let worst = Worst { first_answer: facts.first_delay(), silence: facts.longest_silence };
        let key = Key { lacks, delay: delay_class(facts.first_delay()) };
        Tally { counts: SmallVec::from_iter([(key, 1)]), best: fails.then(Best::default), worst }
    }

    /// Adds what lies behind a decision that costs `cost`.
    pub(super) fn add(&mut self, other: &Tally, cost: Cost) {
        for (key, n) in &other.counts {
            match self.counts.binary_search_by_key(key, |c| c.0) {
                Ok(at) => self.counts[at].1 = self.counts[at].1.saturating_add(*n),
                Err(at) => self.counts.insert(at, (*key, *n)),
            }
        }
        self.worst.add(other.worst);
        if let Some(best) = other.best {
            let best = Best(best.0 + cost);
            if self.best.is_none_or(|b| best < b) {
                self.best = Some(best);
            }
        }
    }

    pub(super) fn schedules(&self) -> u128 {
        self.counts.iter().fold(0, |sum, c| sum.saturating_add(c.1))
    }

    /// Schedules that lack one of the properties of this mask.
    pub(super) fn lacking_any(&self, mask: u32) -> u128 {
        let lacks = |k: &Key| k.lacks & mask != 0;
        self.counts.iter().filter(|c| lacks(&c.0)).fold(0, |sum, c| sum.saturating_add(c.1))
    }

    /// Schedules that lack the property at this place.
    pub(super) fn lacking(&self, at: usize) -> u128 {
        self.lacking_any(1 << at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_fall_into_their_classes() {
        assert_eq!(delay_class(Some(Span::ZERO)), 0);
        assert_eq!(delay_class(Some(Span::from_ms(1))), 0);
        assert_eq!(delay_class(Some(Span::from_us(1_001))), 1);
        assert_eq!(delay_class(Some(Span::from_secs(60))), 13);
        assert_eq!(delay_class(Some(Span::from_secs(500))), NEVER - 1);
        assert_eq!(delay_class(None), NEVER);
    }
}
