//! The round trip's estimate and the timeout that follows from it (RFC 6298, with Linux's bounds).

use crate::time::Span;

/// TCP_RTO_MIN.
pub(super) const RTO_MIN: Span = Span::from_ms(200);

/// The round trip's estimate, in the kernel's scale (tcp_rtt_estimator).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Rtt {
    /// Eight times the smoothed round trip, microseconds.
    srtt8_us: u64,
    /// Four times the mean deviation, microseconds.
    mdev4_us: u64,
}

impl Rtt {
    pub(super) fn sample(&mut self, rtt: Span) {
        let m = (rtt.as_ns() / 1_000).max(1);
        if self.srtt8_us == 0 {
            (self.srtt8_us, self.mdev4_us) = (m << 3, m << 1);
            return;
        }
        let error = m.abs_diff(self.srtt8_us >> 3);
        self.srtt8_us = self.srtt8_us - (self.srtt8_us >> 3) + m;
        self.mdev4_us = self.mdev4_us - (self.mdev4_us >> 2) + error;
    }

    /// The timeout before any back-off; `None` before the first measurement.
    pub(super) fn rto(&self) -> Option<Span> {
        let deviation = Span::from_us(self.mdev4_us).0.max(RTO_MIN.0);
        (self.srtt8_us > 0).then(|| Span::from_us(self.srtt8_us >> 3) + Span(deviation))
    }

    pub(super) fn twice(&self) -> Span {
        Span::from_us(self.srtt8_us >> 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_round_trip_gives_the_smallest_timeout() {
        let mut rtt = Rtt::default();
        assert_eq!(rtt.rto(), None);
        for _ in 0..20 {
            rtt.sample(Span::from_us(50));
        }
        assert_eq!(rtt.rto(), Some(Span::from_us(200_050)));
        assert_eq!(rtt.twice(), Span::from_us(100));
        rtt.sample(Span::from_secs(2));
        assert!(rtt.rto().unwrap() > Span::from_secs(2));
    }
}
