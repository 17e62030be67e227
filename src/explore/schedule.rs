//! A schedule by names: what happened in which order, and what was drawn.

use super::draws::Draw;
use crate::choice::ChoiceKind;
use crate::near::WordError;
use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One move.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum ScheduleEntry {
    /// A step was done.
    Step {
        /// The step's name.
        step: String,
        /// Which occurrence of it, from 1.
        nth: u16,
    },
    /// The earliest of everything else happened: a frame, a timer, a client's start.
    Next,
}

/// A schedule: everything that was open in a run. With the plan it makes the same run again.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Schedule {
    /// The moves, in order.
    pub entries: Vec<ScheduleEntry>,
    /// The draws, in order.
    pub draws: Vec<Draw>,
}

/// So many moves of one kind in a row, as a file spells them: `felix.apply`, `felix.apply #2`,
/// `...` and `... x12` for what was not an actor's step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Repeated {
    pub(super) entry: ScheduleEntry,
    pub(super) times: u32,
}

/// The most repetitions a file may ask for: far above any run, and little memory.
const TIMES_MAX: u32 = 1_000_000;

impl fmt::Display for Repeated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.entry {
            ScheduleEntry::Step { step, nth: 1 } => f.write_str(step),
            ScheduleEntry::Step { step, nth } => write!(f, "{step} #{nth}"),
            ScheduleEntry::Next if self.times == 1 => f.write_str("..."),
            ScheduleEntry::Next => write!(f, "... x{}", self.times),
        }
    }
}

impl FromStr for Repeated {
    type Err = WordError;
    fn from_str(text: &str) -> Result<Repeated, WordError> {
        let bad = || WordError::from(format!("{text:?} is no move: STEP, STEP #2, ... or ... x12 is wanted"));
        let text = text.trim();
        if let Some(rest) = text.strip_prefix("...") {
            let times = match rest.trim() {
                "" => 1,
                rest => rest.strip_prefix('x').and_then(|n| n.parse().ok()).ok_or_else(bad)?,
            };
            if times == 0 || times > TIMES_MAX {
                return Err(bad());
            }
            return Ok(Repeated { entry: ScheduleEntry::Next, times });
        }
        let (step, nth) = match text.split_once(" #") {
            Some((step, nth)) => (step.trim(), nth.parse().map_err(|_| bad())?),
            None => (text, 1),
        };
        if step.is_empty() || !step.contains('.') || nth == 0 {
            return Err(bad());
        }
        Ok(Repeated { entry: ScheduleEntry::Step { step: step.to_owned(), nth }, times: 1 })
    }
}

impl Serialize for Repeated {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Repeated {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// So many equal draws in a row, as a file spells them: `wheel-phase 0/16384000000`,
/// `reachable-time 3750/7500 x12`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct DrawRun {
    pub(super) draw: Draw,
    pub(super) times: u32,
}

impl fmt::Display for DrawRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Draw { kind, options, choice } = self.draw;
        write!(f, "{kind} {choice}/{options}")?;
        if self.times > 1 { write!(f, " x{}", self.times) } else { Ok(()) }
    }
}

impl FromStr for DrawRun {
    type Err = WordError;
    fn from_str(text: &str) -> Result<DrawRun, WordError> {
        let bad = || {
            let wanted = "KIND CHOICE/OPTIONS or KIND CHOICE/OPTIONS x3 is wanted";
            WordError::from(format!("{text:?} is no draw: {wanted}"))
        };
        let mut words = text.split_whitespace();
        let (kind, value, times) = (words.next(), words.next(), words.next());
        let kind: ChoiceKind = kind.and_then(|k| k.parse().ok()).ok_or_else(bad)?;
        let (choice, options) = value.and_then(|v| v.split_once('/')).ok_or_else(bad)?;
        let number = |s: &str| s.parse::<u64>().map_err(|_| bad());
        let draw = Draw { kind, options: number(options)?, choice: number(choice)? };
        let times = match times {
            None => 1,
            Some(n) => n.strip_prefix('x').and_then(|n| n.parse().ok()).ok_or_else(bad)?,
        };
        if draw.choice >= draw.options || times == 0 || times > TIMES_MAX || words.next().is_some() {
            return Err(bad());
        }
        Ok(DrawRun { draw, times })
    }
}

impl Serialize for DrawRun {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DrawRun {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Schedule {
    /// The draws with repetitions counted.
    pub(super) fn draw_runs(&self) -> Vec<DrawRun> {
        let mut runs: Vec<DrawRun> = Vec::new();
        for draw in &self.draws {
            match runs.last_mut() {
                Some(run) if run.draw == *draw => run.times += 1,
                _ => runs.push(DrawRun { draw: *draw, times: 1 }),
            }
        }
        runs
    }

    /// The moves with repetitions counted.
    pub(super) fn runs(&self) -> Vec<Repeated> {
        let mut runs: Vec<Repeated> = Vec::new();
        for entry in &self.entries {
            match runs.last_mut() {
                Some(run) if run.entry == ScheduleEntry::Next && *entry == ScheduleEntry::Next => {
                    run.times += 1;
                }
                _ => runs.push(Repeated { entry: entry.clone(), times: 1 }),
            }
        }
        runs
    }

    pub(super) fn of_runs(runs: &[Repeated], draws: &[DrawRun]) -> Schedule {
        let draws = draws.iter().flat_map(|d| core::iter::repeat_n(d.draw, d.times as usize)).collect();
        let entries =
            runs.iter().flat_map(|r| core::iter::repeat_n(&r.entry, r.times as usize)).cloned().collect();
        Schedule { entries, draws }
    }

    /// The steps, in the order they were done.
    pub fn steps(&self) -> impl Iterator<Item = (&str, u16)> {
        self.entries.iter().filter_map(|e| match e {
            ScheduleEntry::Step { step, nth } => Some((step.as_str(), *nth)),
            ScheduleEntry::Next => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_print_and_parse_back() {
        for text in ["felix.apply", "felix.apply #2", "...", "... x12"] {
            assert_eq!(text.parse::<Repeated>().unwrap().to_string(), text);
        }
        for bad in ["", "x", "... x0", "... x99999999999", "felix.apply #0", "felix.apply #", "... 3"] {
            assert!(bad.parse::<Repeated>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn draws_print_and_parse_back() {
        for text in ["wheel-phase 0/16384000000", "reachable-time 3750/7500 x12"] {
            assert_eq!(text.parse::<DrawRun>().unwrap().to_string(), text);
        }
        for bad in ["", "luck 1/2", "order 2/2", "order 1", "order 0/1 x0", "order 0/1 3", "order 0/1 x2 x2"]
        {
            assert!(bad.parse::<DrawRun>().is_err(), "{bad:?}");
        }
    }
}
