//! Where output goes, and how it looks there.

use super::capture::OutFile;
use super::fail::Fail;
use crate::trace::Style;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Standard output belongs to a file of the command (`--pcap -`), not to its report.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Takes standard output for a file; false when it has been taken before.
pub(super) fn take_stdout() -> bool {
    !TAKEN.swap(true, Ordering::Relaxed)
}

/// Where a report goes.
pub(super) enum Report {
    Stdout,
    /// A file of the command goes to standard output.
    Stderr,
    /// `-o`: written when the command is over.
    File(OutFile, Vec<u8>),
}

impl Report {
    /// To a file if one is named, else to standard output, unless that is taken. Ask when every file of
    /// the command is known.
    pub(super) fn to(file: Option<&Path>) -> Result<Report, Fail> {
        match file.filter(|path| *path != Path::new("-")) {
            Some(path) => Ok(Report::File(OutFile::at(path, "report")?, Vec::new())),
            None if TAKEN.load(Ordering::Relaxed) => Ok(Report::Stderr),
            None => Ok(Report::Stdout),
        }
    }

    /// As [`Report::to`], without a file.
    pub(super) fn new() -> Report {
        if TAKEN.load(Ordering::Relaxed) { Report::Stderr } else { Report::Stdout }
    }

    /// How it looks there.
    pub(super) fn style(&self, full: bool) -> Style {
        let terminal = match self {
            Report::Stdout => io::stdout().is_terminal(),
            Report::Stderr => io::stderr().is_terminal(),
            Report::File(..) => false,
        };
        style_on(terminal, full)
    }

    /// The whole of it is there: a file is written now.
    pub(super) fn close(self) -> Result<(), Fail> {
        match self {
            Report::File(file, bytes) => file.write(&bytes),
            Report::Stdout => Ok(io::stdout().flush()?),
            Report::Stderr => Ok(()),
        }
    }
}

impl Write for Report {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Report::Stdout => io::stdout().write(bytes),
            Report::Stderr => io::stderr().write(bytes),
            Report::File(_, all) => all.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Report::Stdout => io::stdout().flush(),
            Report::Stderr | Report::File(..) => Ok(()),
        }
    }
}

/// How the report of a command looks that has no `-o`.
pub(super) fn style(full: bool) -> Style {
    Report::new().style(full)
}

/// Colours on a terminal, unless NO_COLOR is set; box-drawing where the locale speaks UTF-8.
fn style_on(terminal: bool, full: bool) -> Style {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    Style { color: terminal && !no_color, unicode: !terminal || speaks_utf8(), full }
}

/// What the locale says; a pipe gets UTF-8, as files are UTF-8.
fn speaks_utf8() -> bool {
    let set = |name| std::env::var(name).ok().filter(|v: &String| !v.is_empty());
    let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG"));
    locale.is_none_or(|l| {
        let l = l.to_ascii_lowercase();
        l.contains("utf-8") || l.contains("utf8")
    })
}

/// Columns of the terminal: what `COLUMNS` says, else what the terminal says, else eighty; enough for a
/// time and a word, and no more than are good to read.
pub(super) fn width() -> usize {
    let said = std::env::var("COLUMNS").ok().and_then(|c| c.trim().parse::<usize>().ok());
    let has = || terminal_size::terminal_size().map(|(w, _)| usize::from(w.0));
    said.or_else(has).unwrap_or(80).clamp(40, 100)
}

/// Text folded to so many columns, every paragraph indented.
pub(super) fn fold(text: &str, indent: usize, width: usize) -> String {
    let mut out = String::new();
    for (i, paragraph) in text.trim().split("\n\n").enumerate() {
        if i > 0 {
            out.push('\n');
        }
        let mut column = 0;
        for word in paragraph.split_whitespace() {
            let len = word.chars().count();
            if column > 0 && column + 1 + len > width {
                out.push('\n');
                column = 0;
            }
            if column == 0 {
                out.push_str(&" ".repeat(indent));
                column = indent;
            } else {
                out.push(' ');
                column += 1;
            }
            out.push_str(word);
            column += len;
        }
        out.push('\n');
    }
    out
}

/// A line that shows how far something is, if standard error is a terminal.
#[cfg(all(feature = "live", feature = "proptest"))]
pub(super) fn bar(len: u64) -> indicatif::ProgressBar {
    if std::io::stderr().is_terminal() {
        indicatif::ProgressBar::new(len)
    } else {
        indicatif::ProgressBar::hidden()
    }
}

/// A line for a piece of work of unknown length, if standard error is a terminal.
pub(super) fn spinner() -> Option<indicatif::ProgressBar> {
    std::io::stderr().is_terminal().then(|| {
        let target = indicatif::ProgressDrawTarget::stderr();
        let bar = indicatif::ProgressBar::with_draw_target(None, target);
        if let Ok(style) = indicatif::ProgressStyle::with_template("{spinner} {elapsed}  {msg}") {
            bar.set_style(style);
        }
        bar
    })
}
