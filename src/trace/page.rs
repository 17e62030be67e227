//! The page on which a timeline is drawn: a column for each actor, the window beside them.

use crate::control::ActorName;
use crate::time::Time;
use core::fmt::Write as _;

/// How a timeline looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Style {
    /// ANSI colours.
    pub color: bool,
    /// Box-drawing characters; plain ASCII otherwise.
    pub unicode: bool,
    /// Every event on a line of its own.
    pub full: bool,
}

impl Style {
    pub(super) fn glyphs(self) -> &'static Glyphs {
        if self.unicode { &UNICODE } else { &ASCII }
    }
}

pub(super) struct Glyphs {
    pub(super) rail: &'static str,
    pub(super) dot: &'static str,
    pub(super) window: &'static str,
    pub(super) open: &'static str,
    pub(super) close: &'static str,
    pub(super) no: &'static str,
    pub(super) yes: &'static str,
}

const UNICODE: Glyphs =
    Glyphs { rail: "│", dot: "●", window: "┃", open: "┏", close: "┗", no: "✗", yes: "✓" };
const ASCII: Glyphs = Glyphs { rail: ".", dot: "*", window: "#", open: "#", close: "#", no: "x", yes: "v" };

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Dim,
    Good,
    Bad,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LaneName {
    Actor(ActorName),
    Pod,
}

impl LaneName {
    /// What stands above it.
    pub(super) fn name(self) -> &'static str {
        match self {
            LaneName::Actor(ActorName::Pod) => "init",
            LaneName::Actor(a) => a.name(),
            LaneName::Pod => "pod",
        }
    }
}

pub(super) struct PageRow {
    pub(super) t: Time,
    pub(super) lane: Option<LaneName>,
    pub(super) text: String,
    pub(super) tone: Tone,
    /// Lines below it that belong to it.
    pub(super) more: Vec<(Tone, String)>,
    /// Its place in the order in which rows came to be known.
    pub(super) number: usize,
}

/// A span in which the pod asks in vain.
pub(super) struct Window {
    /// The first request in vain.
    pub(super) from: Time,
    /// The number of rows when it began.
    pub(super) first: usize,
    /// When the gateway answers.
    pub(super) to: Time,
    /// The number of rows when it was over.
    pub(super) rows: usize,
}

/// What of a window is beside a line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Bar {
    Closed,
    Open,
    Opens,
    Closes,
}

/// Rows and windows, ready to be drawn.
pub(super) struct Page<'a> {
    style: Style,
    rows: &'a [PageRow],
    /// Of each family.
    windows: [&'a [Window]; 2],
    /// The columns, with what stands above each.
    lanes: Vec<(LaneName, &'static str)>,
}

/// A line's columns before the window and the text.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) time: &'a str,
    pub(super) lane: Option<LaneName>,
    pub(super) bar: Bar,
}

impl<'a> Page<'a> {
    /// A page with those rows, in the order of their times.
    pub(super) fn new(style: Style, rows: &'a [PageRow], windows: [&'a [Window]; 2]) -> Page<'a> {
        let lanes = rows.iter().filter_map(|r| r.lane).collect();
        Page { style, rows, windows, lanes: columns(lanes) }
    }

    /// A page whose rows are not known yet, with a column for each of these.
    pub(super) fn blank(style: Style, lanes: Vec<LaneName>) -> Page<'static> {
        Page { style, rows: &[], windows: [&[], &[]], lanes: columns(lanes) }
    }

    /// The line above the rows.
    pub(super) fn head(&self) -> String {
        let names: Vec<&str> = self.lanes.iter().map(|l| l.1).collect();
        format!("{:>10}  {}\n", "time", names.join("  "))
    }

    pub(super) fn draw(&self) -> String {
        let mut out = self.head();
        for at in 0..self.rows.len() {
            self.draw_row(at, &mut out);
        }
        out
    }

    /// Whether a row lies in a window. Those of a family follow one another, so only the last two
    /// that began before it can be its own.
    fn inside(&self, row: &PageRow) -> bool {
        self.windows.iter().any(|windows| {
            let begun = windows.partition_point(|w| w.from <= row.t);
            let near = &windows[begun.saturating_sub(2)..begun];
            let begun = |w: &&Window| w.from < row.t || w.first <= row.number;
            near.iter().filter(begun).any(|w| row.t < w.to || (row.t == w.to && row.number < w.rows))
        })
    }

    fn draw_row(&self, at: usize, out: &mut String) {
        let row = &self.rows[at];
        let inside = |at: usize| self.rows.get(at).is_some_and(|r| self.inside(r));
        let before = at.checked_sub(1).is_some_and(inside);
        let bar = match (before, inside(at), inside(at + 1)) {
            (_, false, _) => Bar::Closed,
            (false, true, _) => Bar::Opens,
            (_, true, true) => Bar::Open,
            (_, true, false) => Bar::Closes,
        };
        let time = row.t.to_string();
        self.draw_line(Line { time: &time, lane: row.lane, bar }, row.tone, &row.text, out);
        let bar = if inside(at + 1) { Bar::Open } else { Bar::Closed };
        for (tone, text) in &row.more {
            self.draw_line(Line { time: "", lane: None, bar }, *tone, text, out);
        }
    }

    pub(super) fn draw_line(&self, line: Line<'_>, tone: Tone, text: &str, out: &mut String) {
        let g = self.style.glyphs();
        let mut left = format!("{:>10}  ", line.time);
        for (lane, name) in &self.lanes {
            let mark = if line.lane == Some(*lane) { g.dot } else { g.rail };
            let half = name.len() / 2;
            let _ = write!(left, "{:half$}{mark}{:right$}  ", "", "", right = name.len() - half - 1);
        }
        let bar = match line.bar {
            Bar::Closed => " ",
            Bar::Open => g.window,
            Bar::Opens => g.open,
            Bar::Closes => g.close,
        };
        left.truncate(left.trim_end().len());
        let pad = 12 + self.lanes.iter().map(|l| l.1.len() + 2).sum::<usize>();
        let width = left.chars().count();
        let _ = write!(left, "{:fill$}", "", fill = pad.saturating_sub(width));
        let full = format!("{left}{} {}", self.paint(bar, Tone::Bad), self.paint(text, tone));
        out.push_str(full.trim_end());
        out.push('\n');
    }

    fn paint(&self, text: &str, tone: Tone) -> String {
        let code = match tone {
            _ if !self.style.color || text.trim().is_empty() => return text.to_owned(),
            Tone::Plain => return text.to_owned(),
            Tone::Dim => "2",
            Tone::Good => "32",
            Tone::Bad => "31",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// Each lane once, in the order of the page, with its name.
fn columns(mut lanes: Vec<LaneName>) -> Vec<(LaneName, &'static str)> {
    lanes.sort_by_key(|l| match l {
        LaneName::Actor(a) => ActorName::ALL.iter().position(|x| x == a).unwrap_or(99),
        LaneName::Pod => 100,
    });
    lanes.dedup();
    lanes.into_iter().map(|l| (l, l.name())).collect()
}
