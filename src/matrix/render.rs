//! The matrix as text, CSV and JSON.

use super::{Cell, Matrix, Settling};
use crate::scenario::file::FixEffect;
use std::io::{self, Write};

/// One sign for an effect.
pub(super) fn sign(effect: FixEffect) -> char {
    match effect {
        FixEffect::Cures => '+',
        FixEffect::Shortens => '/',
        FixEffect::Nothing => '.',
        FixEffect::Breaks => '!',
    }
}

/// The sign of a cell: a cure that leaves something behind has one of its own, and what cures the
/// single runs but not every schedule.
pub(super) fn sign_of(cell: &Cell) -> char {
    match (&cell.schedules, cell.effect) {
        (Some(s), _) if s.within.is_none() => '?',
        (_, FixEffect::Nothing | FixEffect::Shortens) if cell.cures_only_runs() => '~',
        (_, FixEffect::Cures) if cell.also.is_some() => '*',
        (_, effect) => sign(effect),
    }
}

/// The bounds of the verdicts, as lines, where they are verdicts over schedules.
pub(super) fn bound(settling: &Settling) -> String {
    format!(
        "Each cell: every schedule with {},\nor with fewer steps late where these take more than {} states ('); held against\n{}.",
        settling.bounds,
        settling.states,
        settling.properties.join(", ")
    )
}

/// The word for an effect.
pub(super) fn word(effect: FixEffect) -> &'static str {
    match effect {
        FixEffect::Cures => "cures",
        FixEffect::Shortens => "shortens",
        FixEffect::Nothing => "nothing",
        FixEffect::Breaks => "breaks",
    }
}

/// A grid of signs, its columns numbered, with the numbers' meaning below.
pub fn write_text(matrix: &Matrix, out: &mut dyn Write) -> io::Result<()> {
    if let Some(settling) = &matrix.settled {
        writeln!(out, "{}\n", bound(settling))?;
    }
    let width = matrix.rows.iter().map(|r| r.scenario.len()).max().unwrap_or(0);
    let digits: &[usize] = if matrix.columns.len() < 10 { &[1] } else { &[10, 1] };
    for &digit in digits {
        write!(out, "{:width$} ", "")?;
        for n in 1..=matrix.columns.len() {
            let d = n / digit % 10;
            if digit == 10 && d == 0 { write!(out, "  ")? } else { write!(out, " {d}")? }
        }
        writeln!(out)?;
    }
    for row in &matrix.rows {
        write!(out, "{:width$} ", row.scenario)?;
        for cell in &row.cells {
            let narrowed = cell.schedules.as_ref().is_some_and(|s| s.narrowed);
            write!(out, "{}{}", if narrowed { '\'' } else { ' ' }, sign_of(cell))?;
        }
        write!(out, "  {}{}", if row.look_alike { "(not ARP) " } else { "" }, row.without)?;
        // what is particular to a scenario has no column; what cures it is told where no column does
        let cures = |c: &&Cell| c.effect == FixEffect::Cures;
        if !row.cells.iter().any(|c| cures(&c)) {
            let own: Vec<&str> = row.own.iter().filter(cures).map(|c| c.mitigation.as_str()).collect();
            if !own.is_empty() {
                write!(out, "; cured by --fix {}", own.join(", "))?;
            }
        }
        writeln!(out)?;
    }
    writeln!(
        out,
        "\n+ cures  * cures, and leaves something behind  / shortens  . nothing  ! breaks something else"
    )?;
    if matrix.settled.is_some() {
        writeln!(
            out,
            "~ cures the single runs, but not every schedule  ? not settled  ' before a sign: bound narrowed"
        )?;
    }
    writeln!(out)?;
    for (n, column) in matrix.columns.iter().enumerate() {
        writeln!(out, "{:>3} {:<32} {}", n + 1, column.name, column.title)?;
        if !column.unknown_settings.is_empty() {
            writeln!(out, "{:36} no release knows {}", "", column.unknown_settings.join(", "))?;
        }
    }
    let explore = if matrix.settled.is_some() { " --explore" } else { "" };
    writeln!(out, "\nWhy a cell is as it is: arplab matrix{explore} --why SCENARIO MITIGATION")
}

/// A line for each cell, those of the scenario's own fixes last: scenario, mitigation, effect, milliseconds before and after, reason, what else; of
/// verdicts over schedules also what the single runs say, how many schedules there are, how many fail,
/// and within which bounds.
pub fn write_csv(matrix: &Matrix, out: &mut dyn Write) -> io::Result<()> {
    let more = if matrix.settled.is_some() { ",runs,schedules,fails,within" } else { "" };
    writeln!(out, "scenario,mitigation,effect,before_ms,after_ms,reason,also{more}")?;
    for row in &matrix.rows {
        for c in row.cells.iter().chain(&row.own) {
            let ms = |s: crate::time::Span| s.as_ns() / 1_000_000;
            let also = c.also.as_deref().unwrap_or_default();
            let (scenario, mitigation) = (quoted(&row.scenario), quoted(&c.mitigation));
            let (before, after) = (ms(c.before), ms(c.after));
            write!(
                out,
                "{scenario},{mitigation},{},{before},{after},{},{}",
                word(c.effect),
                quoted(&c.reason),
                quoted(also)
            )?;
            match &c.schedules {
                Some(s) => {
                    let within = quoted(s.within.as_deref().unwrap_or_default());
                    writeln!(out, ",{},{},{},{within}", word(s.runs), s.count, s.fails)?;
                }
                // one that cannot be made has no schedules
                None => writeln!(out, "{}", if matrix.settled.is_some() { ",,,," } else { "" })?,
            }
        }
    }
    Ok(())
}

/// A CSV field (RFC 4180). A leading sign that a spreadsheet would take for a formula is disarmed.
fn quoted(text: &str) -> String {
    let text = if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

/// One JSON object.
pub fn write_json(matrix: &Matrix, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, matrix)?;
    writeln!(out)
}
