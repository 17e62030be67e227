//! How far a search goes.

use crate::choice::ChoiceKind;
use crate::time::Span;

/// Into how many points the range of a draw is cut.
///
/// A kernel with 250 ticks a second has 16 384 000 000 wheel phases; a search takes a few of
/// them, first and last included. What is not listed is not varied: the search takes the middle
/// of it, or the first where the first means "no fault", "at once".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grid(Vec<(ChoiceKind, u32)>);

impl Default for Grid {
    fn default() -> Self {
        use ChoiceKind::{CarrierNotice, FlowHash, LinkFault, ProxyDelay};
        Grid(vec![(CarrierNotice, 2), (FlowHash, 2), (LinkFault, 2), (ProxyDelay, 2)])
    }
}

impl Grid {
    /// A grid that varies nothing but the order of steps.
    #[must_use]
    pub fn none() -> Grid {
        Grid(Vec::new())
    }

    /// The grid with `points` points for a kind of draw; 1 does not vary it.
    #[must_use]
    pub fn with(mut self, kind: ChoiceKind, points: u32) -> Grid {
        self.0.retain(|g| g.0 != kind);
        self.0.push((kind, points.max(1)));
        self.0.sort_unstable();
        self
    }

    /// How many of `options` are tried.
    #[must_use]
    pub fn points(&self, kind: ChoiceKind, options: u64) -> u64 {
        let points = self.0.iter().find(|g| g.0 == kind).map_or(1, |g| u64::from(g.1));
        points.min(options)
    }

    /// The option at a point: ends included, evenly between.
    #[must_use]
    pub fn option(&self, kind: ChoiceKind, options: u64, point: u64) -> u64 {
        let points = self.points(kind, options);
        if points > 1 {
            let along = (u128::from(point) * u128::from(options - 1) / u128::from(points - 1)) as u64;
            // the expected course is the one without a fault
            return if kind == ChoiceKind::LinkFault { options - 1 - along } else { along };
        }
        match kind {
            // the middle of what has no better value
            ChoiceKind::ReachableTime | ChoiceKind::ProxyDelay | ChoiceKind::IcmpCredit => options / 2,
            // no fault: a rule that strikes in some cases compares with a low number
            ChoiceKind::LinkFault => options - 1,
            _ => 0,
        }
    }

    /// Every kind with more than one point.
    pub fn varied(&self) -> impl Iterator<Item = (ChoiceKind, u32)> + '_ {
        self.0.iter().copied().filter(|g| g.1 > 1)
    }
}

/// When a schedule is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Complete {
    /// When the plan says so: its clients are done, or its time is up.
    AsPlanned,
    /// When the clients are done and no actor has anything left to do.
    AtRest,
}

/// The bounds of a search. Within them it is exhaustive; beyond them nothing is claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How many steps may be late: take longer than their range says, or wait for their turn so
    /// long. `None` is any number.
    pub late: Option<u16>,
    /// How often the search may turn from an actor whose next step is ready to another one.
    /// `None` is any number.
    pub preemptions: Option<u16>,
    /// How many decisions and draws may go another way than the expected one. `None` is any number.
    /// A schedule that is drawn draws whatever it likes; its decisions keep to this.
    pub detours: Option<u32>,
    /// How late a step may be at most.
    pub late_max: Span,
    /// A step whose least duration is below this may as well take no time. The pod's clocks tick in
    /// seconds: with the default, time passes only where the pod can notice it, and orders of
    /// steps between two such moments that lead to the same state are one.
    pub instant: Span,
    /// A run ends at this moment at the latest.
    pub horizon: Span,
    /// When a schedule is complete.
    pub complete: Complete,
    /// Steps may come between a frame's leaving and its arrival.
    pub fine: bool,
    /// Values of everything that is drawn.
    pub grid: Grid,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            late: Some(1),
            preemptions: None,
            detours: None,
            late_max: Span::from_secs(15),
            instant: Span::from_secs(1),
            horizon: Span::from_secs(90),
            complete: Complete::AsPlanned,
            fine: false,
            grid: Grid::default(),
        }
    }
}

impl core::fmt::Display for Bounds {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.late {
            None => write!(f, "any number of steps late by up to {}", self.late_max)?,
            Some(0) => f.write_str("no step late")?,
            Some(n) => {
                write!(
                    f,
                    "at most {n} step{} late by up to {}",
                    if n == 1 { "" } else { "s" },
                    self.late_max
                )?;
            }
        }
        if let Some(n) = self.preemptions {
            write!(f, ", at most {n} preemptions")?;
        }
        if let Some(n) = self.detours {
            write!(f, ", at most {n} choices that differ from the expected ones")?;
        }
        write!(f, ", runs of up to {}", self.horizon)?;
        for (kind, points) in self.grid.varied() {
            write!(f, ", {points} values of {kind}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_has_both_ends_and_stays_inside() {
        let grid = Grid::none().with(ChoiceKind::CarrierNotice, 3);
        let kind = ChoiceKind::CarrierNotice;
        let points: Vec<u64> = (0..grid.points(kind, 1001)).map(|p| grid.option(kind, 1001, p)).collect();
        assert_eq!(points, [0, 500, 1000]);
        assert_eq!(grid.points(kind, 2), 2);
        assert_eq!(grid.points(ChoiceKind::CpuRace, 3), 1);
        assert_eq!(grid.option(ChoiceKind::CpuRace, 3, 0), 0);
    }
}
