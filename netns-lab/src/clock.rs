//! One clock for every event: `CLOCK_MONOTONIC`, in nanoseconds.
//!
//! The kernel stamps packets with `CLOCK_REALTIME`, which can be set; netlink notifications
//! carry no stamp at all. Everything here is therefore brought to `CLOCK_MONOTONIC`, the clock
//! of `std::time::Instant` (see clock_gettime(2)), so that frames, neighbour changes and the
//! caller's own steps fall on one line.

use nix::time::{ClockId, clock_gettime};

const NS_PER_S: u64 = 1_000_000_000;

/// Now, on `CLOCK_MONOTONIC`, in nanoseconds. The origin is some time near boot.
#[must_use]
pub fn monotonic_ns() -> u64 {
    read_ns(ClockId::CLOCK_MONOTONIC)
}

fn read_ns(clock: ClockId) -> u64 {
    // Both clocks exist on every kernel since 2.6 and after 1970 neither is negative.
    clock_gettime(clock).map_or(0, |now| timespec_ns(now.tv_sec(), now.tv_nsec()))
}

pub(crate) fn timespec_ns(seconds: i64, nanoseconds: i64) -> u64 {
    u64::try_from(seconds).unwrap_or(0) * NS_PER_S + u64::try_from(nanoseconds).unwrap_or(0)
}

/// The distance from `CLOCK_REALTIME` to `CLOCK_MONOTONIC`, measured now.
///
/// Taken anew for every batch of frames: a step of the wall clock (NTP, an operator) between a
/// frame's arrival and its reading shifts that batch by the step, and no later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RealtimeOffset {
    /// Realtime minus monotonic, in nanoseconds.
    pub offset_ns: i64,
    /// Half the time that the measurement took: the error of `offset_ns`, in nanoseconds.
    pub uncertainty_ns: u32,
}

impl RealtimeOffset {
    /// Reads monotonic, realtime, monotonic, and takes the middle.
    #[must_use]
    pub fn sample() -> Self {
        let before = monotonic_ns();
        let real = read_ns(ClockId::CLOCK_REALTIME);
        let after = monotonic_ns();
        let half = (after - before) / 2;
        Self {
            offset_ns: real.cast_signed() - (before + half).cast_signed(),
            uncertainty_ns: u32::try_from(half).unwrap_or(u32::MAX),
        }
    }

    /// The monotonic time of a realtime stamp, both in nanoseconds; 0 if before the origin.
    #[must_use]
    pub fn to_monotonic_ns(self, realtime_ns: u64) -> u64 {
        u64::try_from(realtime_ns.cast_signed() - self.offset_ns).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn realtime_now_is_monotonic_now() {
        let before = monotonic_ns();
        let offset = RealtimeOffset::sample();
        let real = read_ns(ClockId::CLOCK_REALTIME);
        let after = monotonic_ns();
        let mono = offset.to_monotonic_ns(real);
        let slack = u64::from(offset.uncertainty_ns);
        assert!(mono + slack >= before && mono <= after + slack, "{before} {mono} {after}");
    }

    #[test]
    fn a_stamp_before_the_origin_is_zero() {
        let offset = RealtimeOffset { offset_ns: 1000, uncertainty_ns: 0 };
        assert_eq!(offset.to_monotonic_ns(999), 0);
        assert_eq!(offset.to_monotonic_ns(1001), 1);
    }
}
