//! The scenarios built into the program: the files of `scenarios/`.

use super::compile::Scenario;
use super::error::ScenarioError;
use include_dir::{Dir, include_dir};

static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/scenarios");

/// A built-in file: its name and its text.
pub fn files() -> impl Iterator<Item = (&'static str, &'static str)> {
    FILES.files().filter_map(|f| {
        let name = f.path().file_name()?.to_str()?;
        (f.path().extension()? == "toml").then_some((name, f.contents_utf8()?))
    })
}

/// Every built-in scenario, by id.
pub fn all() -> Result<Vec<Scenario>, ScenarioError> {
    read(|_| true)
}

/// The built-in scenarios whose text is wanted, by id.
fn read(wanted: impl Fn(&str) -> bool) -> Result<Vec<Scenario>, ScenarioError> {
    let mut all: Vec<Scenario> = files()
        .filter(|(_, text)| wanted(text))
        .map(|(name, text)| Scenario::parse(&format!("scenarios/{name}"), text))
        .collect::<Result<_, _>>()?;
    all.sort_by(|a, b| a.id().cmp(b.id()));
    Ok(all)
}

/// How well a word fits a scenario.
fn fits(scenario: &Scenario, word: &str) -> bool {
    scenario.id() == word || scenario.file().aliases.iter().any(|a| a.eq_ignore_ascii_case(word))
}

/// The word without the dress of a citation: of `projectcalico/calico#8689` and `#8689`, the
/// number.
pub(crate) fn bare(word: &str) -> &str {
    word.strip_prefix("projectcalico/calico")
        .filter(|rest| rest.starts_with('#'))
        .unwrap_or(word)
        .trim_start_matches('#')
}

/// The scenarios that an id or an alias names: one, or every candidate for an issue. An issue may
/// be cited as the upstream project does (`projectcalico/calico#8689`).
pub fn find(word: &str) -> Result<Vec<Scenario>, ScenarioError> {
    let word = bare(word);
    // an id or an alias stands in its file as it is; the others need not be read
    let needle = word.to_ascii_lowercase();
    let named = |text: &str| text.to_ascii_lowercase().contains(&needle);
    let mut found = read(named)?;
    found.retain(|s| fits(s, word));
    // an id beats an alias
    if let Some(at) = found.iter().position(|s| s.id() == word) {
        found = vec![found.swap_remove(at)];
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_and_alias_finds_what_reading_all_finds() {
        let all = all().unwrap();
        let names = |found: &[Scenario]| found.iter().map(|s| s.id().to_owned()).collect::<Vec<_>>();
        for scenario in &all {
            let aliases = scenario.file().aliases.iter().map(String::as_str);
            for word in aliases.chain([scenario.id()]) {
                let by_id: Vec<Scenario> = all.iter().filter(|s| s.id() == word).cloned().collect();
                let by_alias: Vec<Scenario> = all.iter().filter(|s| fits(s, word)).cloned().collect();
                let expected = if by_id.is_empty() { by_alias } else { by_id };
                assert_eq!(names(&find(word).unwrap()), names(&expected), "{word}");
            }
        }
    }
}
