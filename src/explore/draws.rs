//! The draws of a run that are no moves: a scripted chooser for the search, a strict one for
//! replays.

use super::bounds::Grid;
use crate::choice::{ChoiceKind, Chooser};

/// One draw: `choice` of `options`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Draw {
    /// What was drawn.
    pub kind: ChoiceKind,
    /// From how many.
    pub options: u64,
    /// The option that was taken, from 0.
    pub choice: u64,
}

/// How draws are made.
#[derive(Debug)]
pub(super) enum DrawSource<'a> {
    /// Points of the grid as the script says, the first one where it says nothing.
    Script(&'a [u32]),
    /// Any value, as another chooser draws it.
    Free(&'a mut dyn ChooserDebug),
    /// As they were.
    Recorded(&'a [Draw]),
}

/// A chooser that can be printed.
pub(super) trait ChooserDebug: Chooser + core::fmt::Debug {}
impl<T: Chooser + core::fmt::Debug> ChooserDebug for T {}

/// Makes draws and keeps them.
#[derive(Debug)]
pub(super) struct Draws<'a> {
    pub(super) grid: &'a Grid,
    pub(super) source: DrawSource<'a>,
    /// The draws made that were more than a formality.
    pub(super) made: &'a mut Vec<Draw>,
    /// Of each draw that the script decides: its point, and of how many.
    pub(super) points: &'a mut Vec<(u32, u32)>,
    /// Recorded draws that were used up, and those that did not fit.
    pub(super) used: usize,
    pub(super) misfits: u32,
}

impl<'a> Draws<'a> {
    pub(super) fn new(
        grid: &'a Grid,
        source: DrawSource<'a>,
        made: &'a mut Vec<Draw>,
        points: &'a mut Vec<(u32, u32)>,
    ) -> Draws<'a> {
        Draws { grid, source, made, points, used: 0, misfits: 0 }
    }

    fn recorded(&mut self, kind: ChoiceKind, options: u64) -> u64 {
        let DrawSource::Recorded(list) = &self.source else { return 0 };
        // a draw of another kind is left for later: this one is new, or that one is gone
        let next = list[self.used..].iter().position(|d| d.kind == kind);
        let Some(at) = next else {
            self.misfits += 1;
            return self.grid.option(kind, options, 0);
        };
        let draw = list[self.used + at];
        self.used += at + 1;
        self.misfits += u32::from(at > 0 || draw.options != options);
        draw.choice.min(options - 1)
    }

    fn script(&mut self, kind: ChoiceKind, options: u64) -> u64 {
        let DrawSource::Script(script) = &self.source else { return 0 };
        let points = self.grid.points(kind, options);
        if points <= 1 {
            return self.grid.option(kind, options, 0);
        }
        let point = script.get(self.points.len()).map_or(0, |p| u64::from(*p)).min(points - 1);
        self.points.push((point as u32, points as u32));
        self.grid.option(kind, options, point)
    }
}

impl Chooser for Draws<'_> {
    fn choose(&mut self, kind: ChoiceKind, options: u64) -> u64 {
        // durations are the schedule's: a step begins with its least, and may be late
        if options <= 1 || kind == ChoiceKind::StepDelay {
            return 0;
        }
        let choice = match &mut self.source {
            DrawSource::Script(_) => self.script(kind, options),
            DrawSource::Free(chooser) => chooser.choose(kind, options),
            DrawSource::Recorded(_) => self.recorded(kind, options),
        };
        self.made.push(Draw { kind, options, choice });
        choice
    }

    fn weigh(&mut self, kind: ChoiceKind, weights: &[u32]) -> u64 {
        if let DrawSource::Free(chooser) = &mut self.source {
            let options = weights.len() as u64;
            if options <= 1 {
                return 0;
            }
            let choice = chooser.weigh(kind, weights);
            self.made.push(Draw { kind, options, choice });
            return choice;
        }
        self.choose(kind, weights.len() as u64)
    }
}

/// Turns the points of a run into the script of the next one in which at most so many draws go
/// another way than the expected one; false after the last.
pub(super) fn next_script(points: &[(u32, u32)], detours: u32, script: &mut Vec<u32>) -> bool {
    script.clear();
    script.extend(points.iter().map(|p| p.0));
    for at in (0..points.len()).rev() {
        let before = script[..at].iter().filter(|p| **p > 0).count() as u32;
        if points[at].0 + 1 < points[at].1 && before < detours {
            script.truncate(at);
            script.push(points[at].0 + 1);
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_count_through_every_combination() {
        let grid = Grid::none().with(ChoiceKind::CpuRace, 3).with(ChoiceKind::FlowHash, 2);
        let mut script = Vec::new();
        let mut seen = Vec::new();
        loop {
            let (mut made, mut points) = (Vec::new(), Vec::new());
            let mut d = Draws::new(&grid, DrawSource::Script(&script), &mut made, &mut points);
            let first = d.choose(ChoiceKind::CpuRace, 3);
            // the second draw is made in one case only
            let second = if first == 1 { d.choose(ChoiceKind::FlowHash, 2) } else { 9 };
            seen.push((first, second));
            if !next_script(&points.clone(), u32::MAX, &mut script) {
                break;
            }
        }
        assert_eq!(seen, [(0, 9), (1, 0), (1, 1), (2, 9)]);
    }

    #[test]
    fn scripts_keep_to_the_detours_that_are_left() {
        for (detours, count) in [(0, 1), (1, 4), (2, 7), (3, 8), (u32::MAX, 8)] {
            let (mut script, mut seen) = (Vec::new(), 0);
            loop {
                seen += 1;
                let points: Vec<(u32, u32)> =
                    (0..3).map(|at| (script.get(at).copied().unwrap_or(0), 2)).collect();
                assert!(points.iter().filter(|p| p.0 > 0).count() as u32 <= detours);
                if !next_script(&points, detours, &mut script) {
                    break;
                }
            }
            assert_eq!(seen, count, "{detours} detours");
        }
    }
}
