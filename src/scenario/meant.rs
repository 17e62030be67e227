//! What a place of a faulty scenario file was probably meant to say.

use crate::control::StepTable;
use crate::near::meant;
use core::ops::Range;
use toml::de::{DeTable, DeValue};

/// Keys that name a step.
const NAMES_STEP: [&str; 5] = ["step", "until", "after", "drop-steps", "drop-holds"];

/// Where the text at that place should name a step, the steps that it is near to, as words to stand
/// behind a message; else empty.
pub(super) fn at(text: &str, place: &Range<usize>) -> String {
    let Ok(table) = DeTable::parse(text) else { return String::new() };
    let mut found = Found { place: place.clone(), word: None, steps: Vec::new() };
    found.table(table.get_ref());
    let Some(word) = found.word else { return String::new() };
    let built_in = StepTable::default();
    let all = found.steps.iter().map(String::as_str).chain(built_in.iter().map(|(_, i)| i.name.as_str()));
    meant(&word, all.filter(|step| *step != word))
}

struct Found {
    place: Range<usize>,
    word: Option<String>,
    steps: Vec<String>,
}

impl Found {
    fn table(&mut self, table: &DeTable<'_>) {
        for (key, value) in table {
            self.value(key.get_ref(), value.get_ref(), &value.span());
        }
    }

    fn value(&mut self, key: &str, value: &DeValue<'_>, span: &Range<usize>) {
        match value {
            DeValue::Table(table) => {
                // [[step]] of the file, or of a fix's change
                if let (true, Some(DeValue::String(id))) =
                    (key == "step", table.get("id").map(toml::Spanned::get_ref))
                {
                    self.steps.push(id.to_string());
                }
                self.table(table);
            }
            DeValue::Array(items) => {
                for item in items {
                    self.value(key, item.get_ref(), &item.span());
                }
            }
            DeValue::String(word) if NAMES_STEP.contains(&key) && span.start == self.place.start => {
                self.word = Some(word.to_string());
            }
            _ => {}
        }
    }
}
