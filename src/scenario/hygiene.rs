//! What the types of a scenario file cannot refuse: texts that steer a terminal, and names in
//! expectations that nothing will ever have.

use super::error::Flaw;
use crate::host::Reason;
use crate::neigh::Nud;
use toml::de::{DeTable, DeValue};

/// The condition of a request that never reached the host.
pub(crate) const LOST_ON_LINK: &str = "lost-on-link";

/// The condition of a request that a kernel left unanswered after it was told something that the
/// model has no term for.
pub(crate) const UNMODELLED: &str = "unmodelled";

/// Every code that `reasons` can name.
pub(crate) fn codes() -> impl Iterator<Item = &'static str> {
    Reason::CODES.iter().copied().chain([LOST_ON_LINK, UNMODELLED])
}

/// Looks through all texts of a file.
pub(super) fn flaws(text: &str) -> Vec<Flaw> {
    let mut found = Vec::new();
    // what is no TOML was refused before
    if let Ok(table) = DeTable::parse(text) {
        walk(table.get_ref(), &mut Vec::new(), &mut found);
    }
    found
}

fn walk<'a>(table: &'a DeTable<'_>, path: &mut Vec<&'a str>, found: &mut Vec<Flaw>) {
    for (key, value) in table {
        path.push(key.get_ref());
        look(value.get_ref(), value.span(), path, found);
        path.pop();
    }
}

fn look<'a>(
    value: &'a DeValue<'_>,
    span: core::ops::Range<usize>,
    path: &mut Vec<&'a str>,
    found: &mut Vec<Flaw>,
) {
    match value {
        DeValue::Table(table) => walk(table, path, found),
        DeValue::Array(items) => {
            for item in items {
                look(item.get_ref(), item.span(), path, found);
            }
        }
        DeValue::String(text) => {
            if let Some(c) = text.chars().find(|c| steers(*c)) {
                let message = format!("the text holds U+{:04X}, which would steer a terminal", u32::from(c));
                found.push(Flaw { span: span.clone(), message, help: None });
            }
            if path.iter().any(|k| matches!(*k, "expect" | "expect-in" | "healthy")) {
                found.extend(expected(path.last().copied().unwrap_or_default(), text, span));
            }
        }
        _ => {}
    }
}

/// Control characters but for those of plain text, and what turns the direction of writing.
fn steers(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\t' | '\r'))
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn expected(key: &str, text: &str, span: core::ops::Range<usize>) -> Option<Flaw> {
    let (known, what): (Vec<&str>, _) = match key {
        "reasons" => (codes().collect(), "reason of silence"),
        "entry" => (Nud::ALL.iter().map(|n| n.name()).chain(["absent"]).collect(), "state of an entry"),
        _ => return None,
    };
    if known.iter().any(|k| k.eq_ignore_ascii_case(text)) {
        return None;
    }
    let near = crate::near::meant(text, known.iter().copied());
    let message = format!("there is no {what} {text:?}{near}");
    Some(Flaw { span, message, help: Some(format!("one of {}", known.join(", "))) })
}
