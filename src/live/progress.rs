//! A line on the terminal while a live run waits.

use crate::control::StepId;
use crate::trace::many;

/// The line, or nothing when nobody looks.
pub(super) struct StatusLine {
    line: Option<Line>,
    held: Vec<(StepId, String)>,
    unanswered: u32,
    entry: String,
}

impl StatusLine {
    /// Shown on standard error when that is a terminal.
    pub(super) fn new(wanted: bool) -> StatusLine {
        let line = if wanted { Line::on_terminal() } else { None };
        StatusLine { line, held: Vec::new(), unanswered: 0, entry: "no entry yet".into() }
    }

    /// The run begins: its clock is the line's.
    pub(super) fn begin(&self) {
        if let Some(line) = &self.line {
            line.begin();
        }
    }

    /// Does something that writes where the line may stand.
    pub(super) fn beside(&self, write: impl FnOnce()) {
        match &self.line {
            Some(line) => line.beside(write),
            None => write(),
        }
    }

    pub(super) fn held(&mut self, step: StepId, text: String) {
        self.held.push((step, text));
    }

    pub(super) fn released(&mut self, step: StepId) {
        self.held.retain(|(held, _)| *held != step);
    }

    pub(super) fn unanswered(&mut self) {
        self.unanswered += 1;
    }

    /// The pod's entry for its gateway, as last heard.
    pub(super) fn entry_now(&self) -> &str {
        &self.entry
    }

    pub(super) fn entry(&mut self, text: String) {
        self.entry = text;
    }

    /// Brings the line up to what is known.
    pub(super) fn show(&self) {
        let Some(line) = &self.line else { return };
        let held: Vec<&str> = self.held.iter().map(|(_, text)| text.as_str()).collect();
        let held = if held.is_empty() { String::new() } else { format!("{}; ", held.join(", ")) };
        line.show(format!(
            "{held}{} unanswered; the gateway: {}",
            many(self.unanswered as usize, "request"),
            self.entry
        ));
    }
}

/// What draws on the terminal.
#[cfg(feature = "cli")]
struct Line(indicatif::ProgressBar);

#[cfg(feature = "cli")]
impl Line {
    fn on_terminal() -> Option<Line> {
        use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
        use std::io::IsTerminal as _;
        let bar = std::io::stderr()
            .is_terminal()
            .then(|| ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()))?;
        if let Ok(style) = ProgressStyle::with_template("{spinner} {clock}  {msg}") {
            // the time goes on while nothing happens
            let clock = |state: &ProgressState, out: &mut dyn core::fmt::Write| {
                let _ = write!(out, "{:.1}s", state.elapsed().as_secs_f32());
            };
            bar.set_style(style.with_key("clock", clock));
        }
        bar.enable_steady_tick(std::time::Duration::from_millis(200));
        Some(Line(bar))
    }

    fn show(&self, text: String) {
        self.0.set_message(text);
    }

    fn begin(&self) {
        self.0.reset_elapsed();
    }

    fn beside(&self, write: impl FnOnce()) {
        self.0.suspend(write);
    }
}

#[cfg(feature = "cli")]
impl Drop for Line {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// The library alone draws nothing.
#[cfg(not(feature = "cli"))]
enum Line {}

#[cfg(not(feature = "cli"))]
impl Line {
    fn on_terminal() -> Option<Line> {
        None
    }

    fn show(&self, _: String) {
        match *self {}
    }

    fn begin(&self) {
        match *self {}
    }

    fn beside(&self, _: impl FnOnce()) {
        match *self {}
    }
}
