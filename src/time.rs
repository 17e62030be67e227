//! Time as integer nanoseconds: a point ([`Time`]) and a length ([`Span`]).
//!
//! Nothing here reads a clock. In the simulator a `Time` is virtual; in live runs it is the
//! monotonic clock less the start of the run.

use core::fmt;
use core::ops::{Add, AddAssign, Sub};
use core::str::FromStr;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time, in nanoseconds since the run's zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(pub u64);

/// A length of time in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(pub u64);

impl Time {
    /// The run's zero.
    pub const ZERO: Time = Time(0);
    /// Later than every event.
    pub const FOREVER: Time = Time(u64::MAX);

    /// The length from `earlier` to this point; zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Time) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span(0);

    /// So many nanoseconds.
    #[must_use]
    pub const fn from_ns(ns: u64) -> Span {
        Span(ns)
    }
    /// So many microseconds.
    #[must_use]
    pub const fn from_us(us: u64) -> Span {
        Span(us * 1_000)
    }
    /// So many milliseconds.
    #[must_use]
    pub const fn from_ms(ms: u64) -> Span {
        Span(ms * 1_000_000)
    }
    /// So many seconds.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Span {
        Span(secs * 1_000_000_000)
    }
    /// The length in whole nanoseconds.
    #[must_use]
    pub const fn as_ns(self) -> u64 {
        self.0
    }
    /// The length in whole milliseconds, rounded down.
    #[must_use]
    pub const fn as_ms(self) -> u64 {
        self.0 / 1_000_000
    }
}

impl Add<Span> for Time {
    type Output = Time;
    fn add(self, d: Span) -> Time {
        Time(self.0.saturating_add(d.0))
    }
}
impl AddAssign<Span> for Time {
    fn add_assign(&mut self, d: Span) {
        *self = *self + d;
    }
}
impl Add for Span {
    type Output = Span;
    fn add(self, o: Span) -> Span {
        Span(self.0.saturating_add(o.0))
    }
}
impl Sub for Span {
    type Output = Span;
    fn sub(self, o: Span) -> Span {
        Span(self.0.saturating_sub(o.0))
    }
}
impl From<Span> for core::time::Duration {
    fn from(s: Span) -> Self {
        core::time::Duration::from_nanos(s.0)
    }
}
impl From<core::time::Duration> for Span {
    fn from(d: core::time::Duration) -> Self {
        Span(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// Seconds with milliseconds, such as `3.072s`: for timelines.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = self.0 / 1_000;
        f.pad(&format!("{}.{:03}s", us / 1_000_000, us / 1_000 % 1_000))
    }
}
impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}s", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

/// The shortest exact form, such as `250ms`, `1.5s`, `60s`, `2min`; parses back to the same value.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 4] = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us"), (1, "ns")];
        if self.0 == 0 {
            return f.pad("0s");
        }
        let (unit, name) = UNITS.into_iter().find(|(u, _)| self.0 >= *u).unwrap_or((1, "ns"));
        let (whole, rest) = (self.0 / unit, self.0 % unit);
        if rest == 0 {
            return f.pad(&format!("{whole}{name}"));
        }
        let width = unit.ilog10() as usize;
        let digits = format!("{rest:0width$}");
        f.pad(&format!("{whole}.{}{name}", digits.trim_end_matches('0')))
    }
}
impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Why a text is not a length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a length of time: a number with a unit is wanted (ns, us, ms, s, min, h), such as 250ms, 1.5s or 10s, and at most ten days"
)]
pub struct SpanError(String);

/// The longest time a text may ask for: ten days. A longer one is a slip of the pen, and
/// sums of such times stay far from the end of `u64`.
pub const SPAN_MAX: Span = Span::from_secs(10 * 24 * 3600);

impl FromStr for Span {
    type Err = SpanError;
    fn from_str(s: &str) -> Result<Span, SpanError> {
        let bad = || SpanError(s.to_owned());
        let text = s.trim();
        let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).ok_or_else(bad)?;
        let (number, unit) = text.split_at(split);
        let unit: u64 = match unit.trim() {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" | "sec" => 1_000_000_000,
            "m" | "min" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return Err(bad()),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() || (number.contains('.') && fraction.is_empty()) || fraction.contains('.') {
            return Err(bad());
        }
        let whole: u64 = whole.parse().map_err(|_| bad())?;
        let mut total = whole.checked_mul(unit).ok_or_else(bad)?;
        let mut scale = unit;
        for digit in fraction.bytes() {
            scale /= 10;
            total = total.checked_add(scale * u64::from(digit - b'0')).ok_or_else(bad)?;
        }
        if total > SPAN_MAX.0 { Err(bad()) } else { Ok(Span(total)) }
    }
}

crate::addr::schema_as_text!(
    Span,
    "Span",
    r"^[0-9]+(\.[0-9]+)? ?(ns|us|ms|s|sec|m|min|h)$",
    "A length of time with its unit, such as 250ms, 1.5s, 2min"
);

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Span, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_print_shortest_and_parse_back() {
        for (ns, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5us"),
            (250_000_000, "250ms"),
            (3_072_000_000, "3.072s"),
            (60_000_000_000, "60s"),
            (1_000_000_001, "1.000000001s"),
        ] {
            assert_eq!(Span(ns).to_string(), text);
            assert_eq!(text.parse::<Span>().unwrap(), Span(ns));
        }
        assert_eq!("2min".parse::<Span>().unwrap(), Span::from_secs(120));
        for bad in [
            "",
            "5",
            "s",
            "-1s",
            "1..2s",
            "1.s",
            ".5s",
            "1e3s",
            "99999999999999999999s",
            "9999h",
            "1 fortnight",
        ] {
            assert!(bad.parse::<Span>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Time::FOREVER + Span::from_secs(1), Time::FOREVER);
        assert_eq!(Time::ZERO.since(Time(5)), Span::ZERO);
    }
}
