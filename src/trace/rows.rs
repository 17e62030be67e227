//! The rows of a timeline as values, for who lays them out otherwise than in lanes.

use super::page::{LaneName, Style};
use super::stream::Trace;
use super::timeline::Timeline;
use crate::time::Time;

/// A row of a timeline.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// When.
    pub t: Time,
    /// Whose lane it stands in: an actor's name, or `pod`.
    pub lane: Option<&'static str>,
    /// What happened.
    pub text: String,
    /// Lines below it that belong to it, such as the reason of a silence.
    pub more: Vec<String>,
}

/// What [`Timeline::render`] draws, in its order.
#[must_use]
pub fn rows(trace: &Trace) -> Vec<Row> {
    let style = Style { color: false, unicode: true, full: false };
    Timeline::rows(trace, style)
        .into_iter()
        .map(|row| Row {
            t: row.t,
            lane: row.lane.map(LaneName::name),
            text: row.text,
            more: row.more.into_iter().map(|(_, text)| text).collect(),
        })
        .collect()
}
