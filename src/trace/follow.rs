//! A timeline that is written while its run goes on: each row when it is known, none of them moved
//! later.

use super::page::{Bar, LaneName, Line, Page, PageRow, Style, Window};
use super::stream::Trace;
use super::timeline::{Timeline, Told, answered6, took};
use super::words::Precision;
use crate::control::ActorName;
use crate::scenario::Plan;
use std::ops::Range;

/// Writes rows one after the other, as events come.
pub struct Follow {
    page: Page<'static>,
    style: Style,
    told: Told,
    drawn: usize,
    /// The row above lies in a window.
    open: bool,
}

impl Follow {
    /// With a column for each actor of the plan, for whoever may do a step of its own, and for the pod.
    #[must_use]
    pub fn new(plan: &Plan, style: Style) -> Follow {
        let actors = plan.actors.iter().map(|a| LaneName::Actor(a.name()));
        let init = plan.waiter.is_some().then_some(LaneName::Actor(ActorName::Pod));
        let page = Page::blank(style, actors.chain(init).chain([LaneName::Pod]).collect());
        Follow { page, style, told: Told::on_the_way(), drawn: 0, open: false }
    }

    /// The line above the rows.
    #[must_use]
    pub fn head(&self) -> String {
        self.page.head()
    }

    /// The rows of `trace.events[fresh]`, which follow those that were told before.
    #[must_use]
    pub fn hear(&mut self, trace: &Trace, fresh: Range<usize>) -> String {
        let known = &trace.events[..fresh.end];
        let mut timeline = self.resume(trace, Precision::of(took(known)));
        let fresh = &known[fresh.start..];
        timeline.told.answered.extend(answered6(fresh));
        for event in fresh {
            timeline.event(event);
        }
        self.told = timeline.told;
        self.draw()
    }

    /// What is left to tell when the run is over.
    #[must_use]
    pub fn end(&mut self, trace: &Trace) -> String {
        let Some(last) = trace.last() else { return String::new() };
        let mut timeline = self.resume(trace, Precision::of(took(trace)));
        timeline.flush_all(last.t_ns);
        self.told = timeline.told;
        self.draw()
    }

    fn resume<'a>(&mut self, trace: &'a Trace, precision: Precision) -> Timeline<'a> {
        Timeline { trace, style: self.style, precision, told: core::mem::take(&mut self.told) }
    }

    fn draw(&mut self) -> String {
        let mut out = String::new();
        let windows = || self.told.gates.iter().flat_map(|gate| &gate.windows);
        for row in &self.told.rows[self.drawn..] {
            let around: Vec<&Window> =
                windows().filter(|w| w.first <= row.number && row.number < w.rows).collect();
            let last = !around.is_empty() && around.iter().all(|w| row.number + 1 == w.rows && row.t == w.to);
            let bar = match (self.open, around.is_empty()) {
                (false, true) => Bar::Closed,
                (false, false) => Bar::Opens,
                (true, false) if !last => Bar::Open,
                (true, _) => Bar::Closes,
            };
            self.open = matches!(bar, Bar::Open | Bar::Opens) && !last;
            self.draw_row(row, bar, &mut out);
        }
        self.drawn = self.told.rows.len();
        out
    }

    fn draw_row(&self, row: &PageRow, bar: Bar, out: &mut String) {
        let time = row.t.to_string();
        // a row of its own has words
        if !row.text.is_empty() {
            self.page.draw_line(Line { time: &time, lane: row.lane, bar }, row.tone, &row.text, out);
        }
        let bar = if self.open { Bar::Open } else { Bar::Closed };
        for (tone, text) in &row.more {
            self.page.draw_line(Line { time: "", lane: None, bar }, *tone, text, out);
        }
    }
}
