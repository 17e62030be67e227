//! A verdict in a fraction of a second: a small search over the schedules around a plan's expected
//! course, for tables of many plans.

use super::bounds::Bounds;
use super::explorer::{Budget, Covered, Explorer};
use super::property::Property;
use crate::scenario::Plan;
use crate::time::Span;

/// How far such a search goes.
#[derive(Clone, Debug)]
pub struct Effort {
    /// Within these bounds. Where they do not fit `states`, with fewer late steps, which the verdict
    /// says.
    pub bounds: Bounds,
    /// What must hold.
    pub properties: Vec<Property>,
    /// States at most, of each plan.
    pub states: u64,
}

impl Default for Effort {
    /// One step late by up to two seconds and at most two choices that differ from the expected
    /// ones, in two thousand states; answers come in two seconds and never stop for three, no
    /// MAC is wrong, and somebody is served. The scenario's own holds stay.
    fn default() -> Effort {
        let bounds = Bounds {
            late: Some(1),
            late_max: Span::from_secs(2),
            detours: Some(2),
            horizon: Span::from_secs(180),
            ..Bounds::default()
        };
        let mut properties = Property::usual();
        properties.push(Property::no_silence_longer_than(Span::from_secs(3)));
        properties.push(Property::is_served());
        Effort { bounds, properties, states: 2_000 }
    }
}

/// What is known of all schedules of a plan within the bounds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settled {
    /// The bounds, as the search had to narrow them; `None` when nothing could be covered.
    pub within: Option<Bounds>,
    /// How many complete schedules the verdict speaks for.
    pub schedules: u128,
    /// Those that lack a property.
    pub fails: u128,
    /// The properties that some schedule lacks.
    pub lacks: Vec<String>,
    /// The longest that a first answer took in any of them; `None` when one of them had none.
    pub first_answer: Option<Span>,
    /// The longest spell without an answer after a first one, in any of them.
    pub silence: Span,
}

impl Settled {
    /// Every property holds of every schedule covered, and something was covered.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.within.is_some() && self.fails == 0
    }
}

impl core::fmt::Display for Settled {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match (&self.within, self.fails) {
            (None, _) => f.write_str("not settled: not even the narrowest bounds fit the budget"),
            (_, 0) => write!(f, "none of {} schedules fails", self.schedules),
            (_, n) if n == self.schedules => write!(f, "every one of {n} schedules fails"),
            (_, 1) => write!(f, "1 of {} schedules fails", self.schedules),
            (_, n) => write!(f, "{n} of {} schedules fail", self.schedules),
        }
    }
}

/// Settles a plan, on one thread.
#[must_use]
pub fn settle(plan: Plan, effort: &Effort) -> Settled {
    let report = Explorer::new(plan)
        .bounds(effort.bounds.clone())
        .properties(effort.properties.clone())
        .budget(Budget { count: effort.states, time: None })
        .threads(1)
        .shrink(false)
        .verdict_only()
        .run();
    let within = match report.covered {
        Covered::Every(bounds) => Some(bounds),
        Covered::Drawn(_) | Covered::Nothing => None,
    };
    let lacking = report.properties.iter().filter(|p| !p.ok());
    Settled {
        within,
        schedules: report.schedules,
        fails: report.fails,
        lacks: lacking.map(|p| p.property.clone()).collect(),
        first_answer: report.worst.first_answer,
        silence: report.worst.silence,
    }
}
