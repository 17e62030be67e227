//! Schedules by numbers from outside: what a property-based test draws and makes smaller.

use super::bounds::Bounds;
use super::case::{Case, Stands};
use super::facts::Facts;
use super::node::{Cost, Ground};
use super::path::{Path, PathDraws};
use super::property::Property;
use super::schedule::Schedule;
use crate::scenario::Plan;
use core::fmt;
use std::sync::Arc;

/// Runs schedules that are given as numbers: at each decision, which of the moves that the bounds
/// allow. Whatever the numbers, there is a schedule within the bounds.
#[derive(Clone, Debug)]
pub struct Runner {
    ground: Ground,
    decisions: usize,
}

/// A schedule that was run.
#[derive(Clone)]
pub struct Tried {
    /// The decisions that were made, in their order.
    pub schedule: Schedule,
    /// What it shows.
    pub facts: Facts,
    /// What it costs in steps late and decisions changed.
    pub cost: Cost,
    bounds: Bounds,
}

impl Runner {
    /// A runner of that plan's schedules within those bounds.
    #[must_use]
    pub fn new(plan: Plan, bounds: Bounds) -> Runner {
        let ground = Ground::new(Arc::new(plan), bounds);
        let expected = Path { decisions: Vec::new(), draws: PathDraws::Points(Vec::new()) };
        let decisions = ground.run(&expected, &mut ()).schedule.entries.len();
        Runner { ground, decisions }
    }

    /// Moves of the expected schedule: no decision comes later in it. Others may be a little longer.
    #[must_use]
    pub fn length(&self) -> usize {
        self.decisions
    }

    /// The schedule of these numbers. Decision 0 is the expected move, and so is every decision after
    /// the last number; a number beyond the moves allowed is the last of them. `points` are the values
    /// of what the [grid](super::Grid) varies, in the order of the draws.
    #[must_use]
    pub fn run(&self, decisions: &[u16], points: &[u32]) -> Tried {
        let path = Path { decisions: decisions.to_vec(), draws: PathDraws::Points(points.to_vec()) };
        let ran = self.ground.run(&path, &mut ());
        let bounds = self.ground.bounds.clone();
        Tried { schedule: ran.schedule, facts: ran.facts, cost: ran.cost, bounds }
    }
}

impl Tried {
    /// Which of the properties that must always hold it lacks.
    #[must_use]
    pub fn lacks(&self, properties: &[Property]) -> Vec<String> {
        let lacking = properties.iter().filter(|p| !p.is_sometimes() && !p.test(&self.facts));
        lacking.map(ToString::to_string).collect()
    }

    /// The schedule as a file that holds it against the properties as it stands to them now.
    #[must_use]
    pub fn case(&self, properties: &[Property]) -> Case {
        let lacks = self.lacks(properties);
        let outcome = if lacks.is_empty() { Stands::Holds } else { Stands::Fails };
        Case::new(&self.schedule, &self.bounds, properties, outcome).lacking_these(&lacks)
    }
}

impl fmt::Debug for Tried {
    /// Its steps in order, as a failing test prints them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cost { late, detours, .. } = self.cost;
        write!(f, "{late} late, {detours} unexpected:")?;
        for run in self.schedule.runs() {
            write!(f, " {run}")?;
        }
        Ok(())
    }
}
