//! Jiffies and the timer wheel: why a retransmission "after one second" leaves after 1.024 s.
//!
//! The kernel's timers are kept in a hierarchy of coarser and coarser buckets and fire at the end
//! of their bucket, so always late, by up to an eighth of their length (kernel/time/timer.c,
//! "The timer wheel"). A timer re-armed from a tick that lies on a bucket's border is late by the
//! full bucket: that is the 1.024 s.
//!
//! Many timers go off in one tick, and their order matters: the SYN of "three seconds" either
//! joins the queue just before its resolution fails, and dies with it, or comes just after and
//! starts the next one. Coarser buckets are emptied first, and within a bucket the timer that was
//! armed last goes first ([`KTimer`]).

use crate::time::{Span, Time};

/// The tick of the kernel whose timers are modelled.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct KernelClock {
    tick_ns: u64,
    phase_ns: u64,
}

/// Ticks a second of the kernels in the field: 250 (Debian, Ubuntu), 1000 (Fedora, RHEL), 100.
pub const HZ_DEFAULT: u32 = 250;

/// The widest bucket that matters to timers of a few minutes; phases repeat after so many ticks.
pub const WHEEL_PHASES: u64 = 4096;

/// The tick number at time zero, less the phase. Far from zero, because "long before now" is a
/// tick number too; a multiple of every bucket's width, so that it shifts no bucket.
const EPOCH: u64 = 1 << 40;

impl KernelClock {
    /// A kernel of `hz` ticks a second, whose tick counter stands `phase_ns` past a multiple of
    /// [`WHEEL_PHASES`] at time zero.
    #[must_use]
    pub fn new(hz: u32, phase_ns: u64) -> KernelClock {
        let hz = hz.clamp(1, 100_000);
        KernelClock { tick_ns: 1_000_000_000 / u64::from(hz), phase_ns }
    }

    /// How many different phases there are, in nanoseconds.
    #[must_use]
    pub fn phases_ns(hz: u32) -> u64 {
        WHEEL_PHASES * (1_000_000_000 / u64::from(hz.clamp(1, 100_000)))
    }

    /// The length of a tick.
    #[must_use]
    pub const fn tick(&self) -> Span {
        Span(self.tick_ns)
    }

    /// The tick counter at a moment.
    #[must_use]
    pub const fn jiffies(&self, now: Time) -> u64 {
        EPOCH + now.0.saturating_add(self.phase_ns) / self.tick_ns
    }

    /// The moment of a tick.
    #[must_use]
    pub const fn at(&self, jiffy: u64) -> Time {
        Time(jiffy.saturating_sub(EPOCH).saturating_mul(self.tick_ns).saturating_sub(self.phase_ns))
    }

    /// A length in ticks, rounded up as msecs_to_jiffies() does.
    #[must_use]
    pub const fn ticks(&self, span: Span) -> u64 {
        span.as_ns().div_ceil(self.tick_ns)
    }

    /// A number of 1/100 s (USER_HZ, the unit of `proxy_delay` and `locktime`) in ticks.
    #[must_use]
    pub const fn user_hz_ticks(&self, centiseconds: u64) -> u64 {
        self.ticks(Span::from_ms(centiseconds * 10))
    }

    /// When a timer armed now for `delay` ticks goes off (calc_wheel_index).
    #[must_use]
    pub const fn fires(&self, now: Time, delay: u64) -> Time {
        self.fires_at(now, self.jiffies(now) + delay)
    }

    /// When a timer armed now for the tick `expires` goes off.
    #[must_use]
    pub const fn fires_at(&self, now: Time, expires: u64) -> Time {
        let bucket = bucket_ticks(level(expires.saturating_sub(self.jiffies(now))));
        self.at((expires / bucket + 1) * bucket)
    }

    /// As [`KernelClock::fires_at`], with the timer's turn among those of the same tick; `armed`
    /// counts the timers armed so far.
    #[must_use]
    pub const fn arm_at(&self, now: Time, expires: u64, armed: u64) -> KTimer {
        let level = level(expires.saturating_sub(self.jiffies(now)));
        let turn = (LEVEL_MAX - level) << TURN_BITS | (TURN_MAX - armed);
        KTimer { at: self.fires_at(now, expires), turn }
    }
}

/// A pending timer of the kernel. Timers compare in the order in which they go off.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct KTimer {
    /// When it goes off.
    pub at: Time,
    /// Its turn among the timers of that tick: coarse buckets first, then last armed first.
    turn: u64,
}

impl KTimer {
    /// After every timer of the kernel that is due at the same moment: a process that wakes up.
    #[must_use]
    pub const fn last(at: Time) -> KTimer {
        KTimer { at, turn: u64::MAX }
    }
}

const LEVEL_MAX: u64 = 7;
const TURN_BITS: u32 = 60;
const TURN_MAX: u64 = (1 << TURN_BITS) - 1;

/// The level of the wheel that keeps a timer of that many ticks (LVL_START).
const fn level(delay: u64) -> u64 {
    match delay {
        0..63 => 0,
        63..504 => 1,
        504..4032 => 2,
        4032..32_256 => 3,
        32_256..258_048 => 4,
        _ => 5,
    }
}

/// Width of a level's buckets (LVL_GRAN).
const fn bucket_ticks(level: u64) -> u64 {
    1 << (3 * level)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(hz: u32, secs: u64) -> (u64, u64) {
        let phases = (0..KernelClock::phases_ns(hz)).step_by(999_983);
        let late = phases.map(|p| {
            let c = KernelClock::new(hz, p);
            c.fires(Time::ZERO, c.ticks(Span::from_secs(secs))).0 / 1_000_000
        });
        late.fold((u64::MAX, 0), |(lo, hi), x| (lo.min(x), hi.max(x)))
    }

    #[test]
    fn lateness_is_as_measured() {
        // the table of measured ranges: free phase, in milliseconds
        assert_eq!(range(250, 1), (1000, 1031));
        assert_eq!(range(250, 5), (5000, 5255));
        assert_eq!(range(250, 32).0 / 10, 3200);
        assert_eq!(range(250, 32).1, 34_047);
        assert_eq!(range(1000, 1), (1000, 1063));
    }

    #[test]
    fn a_timer_rearmed_by_its_own_tick_is_late_by_a_whole_bucket() {
        let c = KernelClock::new(250, 1_234_567);
        let first = c.fires(Time::ZERO, 250);
        let second = c.fires(first, 250);
        let third = c.fires(second, 250);
        assert_eq!(second.since(first), Span::from_ms(1024));
        assert_eq!(third.since(second), Span::from_ms(1024));
    }

    #[test]
    fn within_a_tick_coarse_buckets_go_first_and_then_the_last_armed() {
        let c = KernelClock::new(250, 0);
        // 63 ticks end a bucket of 8 at tick 64, where a timer of 500 armed at tick 12 ends too
        let early = c.arm_at(c.at(c.jiffies(Time::ZERO)), c.jiffies(Time::ZERO) + 512, 1);
        let late = c.arm_at(Time::ZERO, c.jiffies(Time::ZERO) + 512, 2);
        assert_eq!(early.at, late.at);
        assert!(late < early);
        let fine = c.arm_at(c.at(c.jiffies(late.at) - 1), c.jiffies(late.at) - 1, 3);
        assert_eq!(fine.at, late.at);
        assert!(early < fine, "a coarser bucket goes first, however early it was armed");
        assert!(fine < KTimer::last(fine.at));
    }
}
