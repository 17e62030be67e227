//! A line on the terminal that shows how far a search is.

use crate::cli::output;
use crate::explore::{Explorer, Phase, Progress, Report};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// How often the line is drawn.
const EVERY: Duration = Duration::from_millis(200);

/// Runs a search, with a line on standard error if that is a terminal.
pub(super) fn watched(explorer: Explorer, budget: u64) -> Report {
    let Some(bar) = output::spinner() else { return explorer.run() };
    let progress = Arc::new(Progress::default());
    let explorer = explorer.progress(Arc::clone(&progress));
    let (over, is_over) = channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = is_over.recv_timeout(EVERY) {
                bar.set_message(line(&progress, budget));
                bar.tick();
            }
            bar.finish_and_clear();
        });
        let report = explorer.run();
        drop(over);
        report
    })
}

fn line(progress: &Progress, budget: u64) -> String {
    let n = progress.count();
    match progress.phase() {
        Phase::Exhaustive => format!("{n} of at most {budget} states looked at"),
        Phase::Drawing => format!("{n} of {budget} schedules drawn"),
        Phase::Shortening => format!("shortening the failing schedule: {n} states looked at"),
    }
}
