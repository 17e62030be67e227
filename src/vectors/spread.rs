//! Drawn delays as distributions: do two samples come from one?

use crate::time::Span;
use core::fmt;

/// How much later than the model a busy machine may answer.
const LATE: Span = Span::from_ms(20);
/// How much earlier: clocks are read after the fact.
const EARLY: Span = Span::from_ms(1);

/// Moments that a machine cannot keep apart, in nanoseconds: what leaves in one tick of the
/// model is strewn over some microseconds there.
const GRAIN: u64 = 2_000_000;

/// A sample of times, in order, to the nearest [`GRAIN`].
#[derive(Clone, Debug, Default)]
pub(super) struct Spread(Vec<u64>);

impl Spread {
    pub(super) fn new(times: impl IntoIterator<Item = Span>) -> Spread {
        let mut ns: Vec<u64> = times.into_iter().map(|t| (t.as_ns() + GRAIN / 2) / GRAIN * GRAIN).collect();
        ns.sort_unstable();
        Spread(ns)
    }

    pub(super) fn of_seconds<'a>(times: impl IntoIterator<Item = &'a f64>) -> Spread {
        Spread::new(times.into_iter().map(|t| super::span(*t)))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn ends(&self) -> (u64, u64) {
        (self.0.first().copied().unwrap_or(0), self.0.last().copied().unwrap_or(0))
    }

    /// Some of it is longer than that.
    pub(super) fn exceeds(&self, limit: Span) -> bool {
        self.ends().1 > limit.as_ns()
    }

    /// Why `kernel` cannot be a sample of what the model draws.
    pub(super) fn contradicts(&self, kernel: &Spread) -> bool {
        if kernel.is_empty() || self.is_empty() {
            return kernel.is_empty() != self.is_empty();
        }
        self.leaves_out(kernel) || self.differs_from(kernel)
    }

    /// Some of the kernel's times lie outside of what the model can draw.
    pub(super) fn leaves_out(&self, kernel: &Spread) -> bool {
        let ((low, high), (least, most)) = (self.ends(), kernel.ends());
        // the ends of a sample are not those of what it is drawn from
        let margin = (high - low) / 16;
        least + EARLY.as_ns() + margin < low || most > high + LATE.as_ns() + margin
    }

    /// The two-sample test of Kolmogorov and Smirnov at one in a thousand: with D the greatest
    /// distance of the cumulated samples of sizes n and m, D² n m / (n + m) must not exceed 3.8.
    fn differs_from(&self, other: &Spread) -> bool {
        let (n, m) = (self.0.len() as u128, other.0.len() as u128);
        let mut greatest = 0u128;
        for x in self.0.iter().chain(&other.0) {
            let i = self.0.partition_point(|y| y <= x) as u128;
            let j = other.0.partition_point(|y| y <= x) as u128;
            greatest = greatest.max((i * m).abs_diff(j * n));
        }
        10 * greatest * greatest > 38 * n * m * (n + m)
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(last) = self.0.len().checked_sub(1) else { return f.write_str("none") };
        let at = |percent| Span::from_ns(self.0[last * percent / 100] / 1000 * 1000);
        write!(f, "{} of {} to {}, median {}", self.0.len(), at(0), at(100), at(50))
    }
}

/// True when `count` of `of` is too far from the share the model has: more than three and a third
/// standard deviations and one.
pub(super) fn unlikely(count: u64, of: u64, model_hits: u64, model_of: u64) -> bool {
    // |count/of - p| > 10/3 sqrt(p(1-p)/of) + 1/of with p = hits/model_of, kept in whole numbers
    let (count, of, hits, all) =
        (i128::from(count), i128::from(of), i128::from(model_hits), i128::from(model_of.max(1)));
    let off = (count * all - of * hits).abs() - all;
    off > 0 && 9 * off * off > 100 * of * hits * (all - hits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn even(n: u64, below_ms: u64) -> Spread {
        Spread::new((0..n).map(|i| Span::from_us(i * below_ms * 1000 / n)))
    }

    #[test]
    fn samples_of_one_distribution_agree_and_others_do_not() {
        assert!(!even(600, 800).contradicts(&even(100, 800)));
        assert!(even(600, 800).contradicts(&even(100, 400)));
        assert!(even(600, 800).contradicts(&even(100, 900)));
        assert!(even(600, 800).contradicts(&Spread::default()));
        let early_half = even(50, 400);
        assert!(!even(600, 800).leaves_out(&early_half));
    }

    #[test]
    fn shares_are_compared_with_their_chance() {
        assert!(!unlikely(12, 12, 400, 400));
        assert!(unlikely(9, 12, 400, 400));
        assert!(!unlikely(0, 12, 2, 400));
        assert!(unlikely(6, 12, 2, 400));
        assert!(!unlikely(13, 24, 200, 400));
    }
}
