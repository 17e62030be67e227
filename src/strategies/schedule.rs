//! Schedules of a plan.

use crate::explore::{Bounds, Runner, Tried};
use crate::scenario::Plan;
use proptest::collection::vec;
use proptest::prelude::*;

/// Moves to choose between at one decision, at most: a step of each actor under way, and the rest.
const MOVES: u16 = 6;
/// Values of a draw, at most; the grid has fewer.
const POINTS: u32 = 8;
/// Draws that are varied, at most; those after them take the first value of the grid.
const DRAWS: usize = 32;

/// A schedule within the bounds, as it was run. It shrinks to the expected one: decisions go back to
/// the expected move, draws to the first value of the grid.
///
/// Where a search looks at every schedule once, this looks at as many as the test has cases; it is for
/// properties that are not of one schedule alone, and for tests that draw a scenario and a schedule of
/// it together.
///
/// ```
/// use arplab::explore::{Bounds, Case, Property, basic};
/// use arplab::strategies;
/// use arplab::time::Span;
/// use proptest::test_runner::{Config, TestError, TestRunner};
///
/// // nothing tells the plugin to wait for Felix
/// let plan = basic::race(1);
/// let bounds = Bounds { late_max: Span::from_secs(3), ..Bounds::default() };
/// let properties = vec![Property::first_packet_within(Span::from_ms(500))];
/// let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
/// let failed = runner.run(&strategies::schedule(plan.clone(), bounds), |tried| {
///     let lacks = tried.lacks(&properties);
///     proptest::prop_assert!(lacks.is_empty(), "lacks {lacks:?}");
///     Ok(())
/// });
/// let Err(TestError::Fail(_, smallest)) = failed else { panic!("some order keeps the pod waiting") };
///
/// // the smallest as a regression file
/// let text = smallest.case(&properties).to_text()?;
/// Case::parse(&text)?.check(plan, &properties)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn schedule(plan: Plan, bounds: Bounds) -> impl Strategy<Value = Tried> {
    let runner = Runner::new(plan, bounds);
    let decision = prop_oneof![2 => Just(0_u16), 1 => 1..MOVES];
    let decisions = vec(decision, 0..=runner.length());
    let points = vec(0..POINTS, 0..DRAWS);
    (decisions, points).prop_map(move |(decisions, points)| runner.run(&decisions, &points))
}
