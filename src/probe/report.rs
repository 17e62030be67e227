//! What a probe found, one answerer or several side by side.

use super::{Clause, ProbeError, Rank};
use crate::addr::Mac;
use crate::time::Span;
use core::fmt;
use serde::Serialize;
use std::collections::BTreeMap;

/// What was found for a clause.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "finding", content = "why", rename_all = "kebab-case")]
pub enum Finding {
    /// It holds.
    Holds,
    /// It does not; what was seen.
    Broken(String),
    /// It could not be shown, and why.
    NotShown(String),
}

/// The findings about one answerer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Findings {
    found: BTreeMap<Clause, Finding>,
    /// The MAC that answers.
    pub mac: Option<Mac>,
    /// The slowest of the answers to plain requests.
    pub slowest: Option<Span>,
}

impl Findings {
    /// A finding. Of two about one clause the worse one counts.
    pub(super) fn add(&mut self, clause: Clause, finding: Finding) {
        let kept = self.found.entry(clause).or_insert(Finding::Holds);
        if !matches!(kept, Finding::Broken(_)) {
            *kept = finding;
        }
    }

    /// What was found for a clause; nothing when it was not asked.
    #[must_use]
    pub fn of(&self, clause: Clause) -> Option<&Finding> {
        self.found.get(&clause)
    }

    /// The clauses that do not hold.
    pub fn broken(&self) -> impl Iterator<Item = (Clause, &str)> {
        self.found.iter().filter_map(|(c, f)| match f {
            Finding::Broken(why) => Some((*c, why.as_str())),
            _ => None,
        })
    }

    /// True when every clause holds that binds; with `strict` also where Linux alone is the measure.
    #[must_use]
    pub fn conforms(&self, strict: bool) -> bool {
        !self.found.is_empty() && self.broken().all(|(c, _)| c.rank() == Rank::Linux && !strict)
    }
}

/// One answerer of a table.
#[derive(Debug)]
pub struct ReportColumn {
    /// Who it is.
    pub name: String,
    /// What was found, or why it could not be asked.
    pub report: Result<Findings, ProbeError>,
}

/// Reports side by side.
#[derive(Debug, Default)]
pub struct ReportTable {
    /// One column for each answerer, in the order in which they were asked.
    pub columns: Vec<ReportColumn>,
}

#[derive(Serialize)]
struct Line<'a> {
    clause: &'static str,
    title: &'static str,
    rank: Rank,
    source: &'static str,
    found: BTreeMap<&'a str, &'a Finding>,
}

impl ReportTable {
    /// True when every answerer that could be asked conforms, and all of them alike.
    #[must_use]
    pub fn conforms(&self, strict: bool) -> bool {
        let asked = || self.columns.iter().filter_map(|c| c.report.as_ref().ok());
        asked().all(|r| r.conforms(strict)) && self.differences().next().is_none()
    }

    /// The clauses that hold for one answerer and not for another.
    pub fn differences(&self) -> impl Iterator<Item = Clause> {
        Clause::ALL.iter().copied().filter(|clause| {
            let mut marks =
                self.columns.iter().filter_map(|c| c.report.as_ref().ok()).map(|r| mark(r, *clause));
            let first = marks.next();
            marks.any(|m| Some(m) != first)
        })
    }

    /// The table as JSON: one object a clause.
    pub fn json(&self) -> impl Iterator<Item = serde_json::Value> {
        Clause::ALL.iter().map(|clause| {
            let found = self
                .columns
                .iter()
                .filter_map(|c| Some((c.name.as_str(), c.report.as_ref().ok()?.of(*clause)?)));
            let line = Line {
                clause: clause.code(),
                title: clause.title(),
                rank: clause.rank(),
                source: clause.source(),
                found: found.collect(),
            };
            serde_json::to_value(line).unwrap_or_default()
        })
    }
}

fn mark(report: &Findings, clause: Clause) -> &'static str {
    match report.of(clause) {
        Some(Finding::Holds) => "holds",
        Some(Finding::Broken(_)) if clause.rank() == Rank::Linux => "differs",
        Some(Finding::Broken(_)) => "BROKEN",
        Some(Finding::NotShown(_)) | None => "-",
    }
}

impl fmt::Display for ReportTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let asked: Vec<(&str, &Findings)> =
            self.columns.iter().filter_map(|c| Some((c.name.as_str(), c.report.as_ref().ok()?))).collect();
        let wide = |name: &str| name.len().max(7);
        for (name, _) in &asked {
            write!(f, "{name:<width$}  ", width = wide(name))?;
        }
        writeln!(f, "clause")?;
        let shown = |clause: &Clause| {
            asked.iter().any(|(_, r)| !matches!(r.of(*clause), None | Some(Finding::NotShown(_))))
        };
        for clause in Clause::ALL.iter().filter(|c| shown(c)) {
            for (name, report) in &asked {
                write!(f, "{:<width$}  ", mark(report, *clause), width = wide(name))?;
            }
            writeln!(f, "{:<25} {} [{}]", clause.code(), clause.title(), clause.source())?;
            for (name, report) in &asked {
                let Some(Finding::Broken(why)) = report.of(*clause) else { continue };
                let pad: usize = asked.iter().map(|(n, _)| wide(n) + 2).sum();
                writeln!(f, "{:pad$}{:<25} {name}: {why}", "", "")?;
            }
        }
        match Clause::ALL.iter().filter(|c| !shown(c)).count() {
            0 => {}
            n => writeln!(f, "{n} clauses are not shown: where nobody answers, silence means nothing.")?,
        }
        writeln!(f)?;
        for column in &self.columns {
            match &column.report {
                Ok(report) => summary(f, &column.name, report)?,
                Err(why) => writeln!(f, "{}: not asked: {why}", column.name)?,
            }
        }
        Ok(())
    }
}

fn summary(f: &mut fmt::Formatter<'_>, name: &str, report: &Findings) -> fmt::Result {
    let count = |rank| report.broken().filter(|(c, _)| c.rank() == rank).count();
    let held = report.found.values().filter(|x| **x == Finding::Holds).count();
    write!(f, "{name}: {held} of {} clauses hold", report.found.len())?;
    let (broken, differs) = (count(Rank::Required), count(Rank::Linux));
    if broken > 0 {
        write!(f, ", {broken} required ones are broken")?;
    }
    if differs > 0 {
        write!(f, ", {differs} differ from Linux")?;
    }
    if let (Some(mac), Some(slowest)) = (report.mac, report.slowest) {
        write!(f, "; {mac} answers within {slowest}")?;
    }
    writeln!(f)
}
