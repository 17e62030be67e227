//! A line on the terminal while a live run waits.

use crate::control::StepId;
use crate::time::Time;
use crate::trace::many;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;

/// The line, or nothing when nobody looks.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    held: Vec<(StepId, String)>,
    unanswered: u32,
    entry: String,
}

impl Progress {
    /// Shown on standard error when that is a terminal.
    pub(super) fn new(wanted: bool) -> Progress {
        let bar = (wanted && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Progress { bar, held: Vec::new(), unanswered: 0, entry: "no entry yet".into() }
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

    pub(super) fn entry(&mut self, text: String) {
        self.entry = text;
    }

    /// Draws the line anew.
    pub(super) fn show(&self, now: Time) {
        let Some(bar) = &self.bar else { return };
        let held: Vec<&str> = self.held.iter().map(|(_, text)| text.as_str()).collect();
        let held = if held.is_empty() { String::new() } else { format!("{}; ", held.join(", ")) };
        let line = format!(
            "{now}  {held}{} unanswered; 169.254.1.1: {}",
            many(self.unanswered as usize, "request"),
            self.entry
        );
        bar.set_message(line);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
