//! A file read as far as it can be: what is wrong in one place is put out of the way, so that what
//! is wrong in others is found, too.

use super::error::Flaw;
use super::file::ScenarioFile;
use core::ops::Range;
use toml::de::{DeTable, DeValue};

/// So often a file is read anew, and so many flaws of it are told.
const FLAWS_MAX: usize = 50;

/// What came of reading.
pub(super) struct Read {
    /// The file, without what could not be read; `None` when too little is left.
    pub(super) file: Option<ScenarioFile>,
    /// What could not be read.
    pub(super) flaws: Vec<Flaw>,
}

/// Reads a file. Where its flaws took away what other parts speak of, the rest is no longer judged.
pub(super) fn read(text: &str) -> Read {
    let mut left = text.to_owned();
    let mut flaws = Vec::new();
    let mut gone: Vec<(usize, String)> = Vec::new();
    let mut harmless = true;
    for _ in 0..FLAWS_MAX {
        let error = match toml::from_str(&left) {
            Ok(file) => return Read { file: Some(file).filter(|_| harmless), flaws },
            Err(error) => error,
        };
        let flaw = Flaw::from_toml(&error);
        let unknown = flaw.message.starts_with("unknown field");
        let lacks = flaw.message.starts_with("missing field");
        let find = if lacks { table_at } else { in_table };
        let piece = DeTable::parse(&left).ok().and_then(|table| find(table.get_ref(), &flaw.span));
        // what was put out of the way is missed where it was
        let table = piece.as_ref().map_or(0, |p| p.span.start);
        let follows = gone.iter().any(|(at, key)| {
            let within = left.get(table + 1..*at).is_some_and(|between| !between.contains("\n[["));
            within && flaw.message.contains(&format!("missing field `{key}`"))
        });
        if !follows {
            flaws.push(flaw);
        }
        let Some(piece) = piece else { break };
        let Some(rest) = piece.without(&left) else { break };
        left = rest;
        harmless &= unknown || piece.key.is_none();
        gone.extend(piece.key.map(|key| (piece.span.start, key)));
    }
    Read { file: None, flaws }
}

/// A part of the file that can be left out.
struct Piece {
    span: Range<usize>,
    /// Its key; `None` for an item of a list.
    key: Option<String>,
}

/// The smallest part around a place.
fn in_table(table: &DeTable<'_>, place: &Range<usize>) -> Option<Piece> {
    for (key, value) in table {
        let whole = key.span().start.min(value.span().start)..key.span().end.max(value.span().end);
        let inner = match value.get_ref() {
            DeValue::Table(table) => in_table(table, place),
            DeValue::Array(items) => in_list(items.iter().map(|i| (i.span(), i.get_ref())), place),
            _ => None,
        };
        if inner.is_some() {
            return inner;
        }
        if covers(&key.span(), place) || covers(&value.span(), place) {
            return Some(Piece { span: whole, key: Some(key.get_ref().to_string()) });
        }
    }
    None
}

/// The table of a list of tables that begins at a place, with all that is in it.
fn table_at(table: &DeTable<'_>, place: &Range<usize>) -> Option<Piece> {
    table.iter().find_map(|(_, value)| match value.get_ref() {
        DeValue::Table(table) => table_at(table, place),
        DeValue::Array(items) => items.iter().find_map(|item| match item.get_ref() {
            DeValue::Table(_) if item.span() == *place => {
                let span = place.start..end_of(item.get_ref(), place.end);
                Some(Piece { span, key: Some(String::new()) })
            }
            DeValue::Table(table) => table_at(table, place),
            _ => None,
        }),
        _ => None,
    })
}

/// Where a value ends; a table in sections of its own ends with the last of them.
fn end_of(value: &DeValue<'_>, end: usize) -> usize {
    match value {
        DeValue::Table(table) => {
            table.iter().map(|(_, v)| end_of(v.get_ref(), v.span().end)).fold(end, usize::max)
        }
        DeValue::Array(items) => {
            items.iter().map(|i| end_of(i.get_ref(), i.span().end)).fold(end, usize::max)
        }
        _ => end,
    }
}

fn in_list<'a>(
    items: impl Iterator<Item = (Range<usize>, &'a DeValue<'a>)>,
    place: &Range<usize>,
) -> Option<Piece> {
    for (span, item) in items {
        if let DeValue::Table(table) = item {
            if let Some(piece) = in_table(table, place) {
                return Some(piece);
            }
        } else if covers(&span, place) {
            return Some(Piece { span, key: None });
        }
    }
    None
}

fn covers(span: &Range<usize>, place: &Range<usize>) -> bool {
    span.start <= place.start && place.end <= span.end && !place.is_empty()
}

impl Piece {
    /// The text with blanks in its place, so that all else stays where it is; `None` where that is no
    /// TOML any more.
    fn without(&self, text: &str) -> Option<String> {
        let span = if self.key.is_some() { self.with_its_path(text) } else { self.with_its_comma(text)? };
        let mut bytes = text.as_bytes().to_vec();
        for byte in bytes.get_mut(span)? {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        let rest = String::from_utf8(bytes).ok()?;
        DeTable::parse(&rest).is_ok().then_some(rest)
    }

    /// `a.b.key = value` from the beginning of its line on.
    fn with_its_path(&self, text: &str) -> Range<usize> {
        let before = &text[..self.span.start];
        let line = before.rfind('\n').map_or(0, |at| at + 1);
        let path = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '"' | ' ' | '\t');
        let start = if before[line..].chars().all(path) { line } else { self.span.start };
        start..self.span.end
    }

    fn with_its_comma(&self, text: &str) -> Option<Range<usize>> {
        let behind = text.get(self.span.end..)?;
        let blanks = behind.len() - behind.trim_start().len();
        if behind[blanks..].starts_with(',') {
            return Some(self.span.start..self.span.end + blanks + 1);
        }
        let before = text.get(..self.span.start)?.trim_end();
        let start = if before.ends_with(',') { before.len() - 1 } else { self.span.start };
        Some(start..self.span.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "id = \"mine\"\ntitle = \"Mine\"\n";

    fn told(rest: &str) -> Vec<String> {
        read(&format!("{HEAD}{rest}")).flaws.into_iter().map(|f| f.message).collect()
    }

    #[test]
    fn what_was_put_out_of_the_way_is_missed_nowhere_else() {
        let client = "[[client]]\nkind = \"ping\"\nto = \"203.0.113.8\"\n";
        let wrong = client.replace("ping", "pingg");
        let nameless = client.replace("kind = \"ping\"\n", "");
        let flaws = told(&format!("{wrong}{nameless}{client}"));
        assert_eq!(flaws.len(), 2, "{flaws:#?}");
        assert!(flaws[0].contains("pingg") && flaws[1].contains("missing field `kind`"), "{flaws:#?}");
    }

    #[test]
    fn a_file_that_is_all_wrong_comes_to_an_end() {
        let wrong = "[[client]]\nkind = 5\n".repeat(500);
        assert!((1..=FLAWS_MAX).contains(&told(&wrong).len()));
        assert!(read("id = ").file.is_none());
    }

    #[test]
    fn what_nothing_depends_on_is_left_out_and_the_rest_is_read() {
        let read = read(&format!("{HEAD}storry = 1\n[node]\nsetup = [\"rm x\", \"ip link set lo up\"]\n"));
        assert_eq!(read.flaws.len(), 2);
        assert_eq!(read.file.expect("the rest").node.setup.len(), 1);
    }
}
