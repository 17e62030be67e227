//! The scenarios built into the program: the files of `scenarios/`.

use super::citation::Citation;
use super::compile::Scenario;
use super::error::ScenarioError;
use super::mechanism::{Mechanism, mechanism, mechanisms};
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

/// A word fits a scenario.
fn fits(scenario: &Scenario, word: &str) -> bool {
    scenario.id() == word || has_alias(scenario, word)
}

fn has_alias(scenario: &Scenario, word: &str) -> bool {
    scenario.file().aliases.iter().any(|a| a.eq_ignore_ascii_case(word))
}

/// The number of the issue of Calico's that a word cites, whichever way.
#[must_use]
pub fn issue(word: &str) -> Option<&str> {
    Citation::read(word).filter(Citation::is_calicos).map(|c| c.what())
}

/// The word cites an issue, a pull request or a commit of some project.
#[must_use]
pub fn is_citation(word: &str) -> bool {
    Citation::read(word).is_some()
}

/// The word is an address on the web or names a project's issue, and is no path.
#[must_use]
pub fn is_address(word: &str) -> bool {
    word.contains("://") || Citation::read(word).is_some_and(|c| c.names_project())
}

/// The scenarios that an id or an alias names: one, or every candidate for an issue. An issue may
/// be cited as people do: `#8689`, `projectcalico/calico#8689`, its address or that of a comment on it.
/// One of another project leads to the scenarios that cite it among their sources.
pub fn find(word: &str) -> Result<Vec<Scenario>, ScenarioError> {
    let cited = Citation::read(word);
    if let Some(cited) = cited.as_ref().filter(|c| c.names_project()) {
        return of_project(cited);
    }
    let word = cited.map_or(word, |c| c.what());
    let mut found = read(named(word))?;
    found.retain(|s| fits(s, word));
    // an id beats an alias
    if let Some(at) = found.iter().position(|s| s.id() == word) {
        found = vec![found.swap_remove(at)];
    }
    Ok(found)
}

/// What has the word in its text: an id, an alias or a reference stands in its file as it is, so the
/// others need not be read.
fn named(word: &str) -> impl Fn(&str) -> bool {
    let needle = word.to_ascii_lowercase();
    move |text| text.to_ascii_lowercase().contains(&needle)
}

/// The scenarios about an issue of a project that was named.
fn of_project(cited: &Citation<'_>) -> Result<Vec<Scenario>, ScenarioError> {
    let mut found = read(named(cited.needle()))?;
    found.retain(|s| is_about(s, cited));
    Ok(found)
}

/// One of its sources is what is cited; or it is among its aliases, of which the sources of its
/// mechanisms say whose number that is, and where none does it is Calico's.
fn is_about(scenario: &Scenario, cited: &Citation<'_>) -> bool {
    let file = scenario.file();
    let own = || file.sources.iter().map(|source| source.reference.as_str());
    if own().any(|reference| cited.is_of(reference)) {
        return true;
    }
    if !has_alias(scenario, cited.what()) {
        return false;
    }
    let staged = file.aliases.iter().filter_map(|alias| mechanism(alias));
    let all = own().chain(staged.flat_map(|m| m.sources.iter().map(String::as_str)));
    let numbered = |reference: &&str| Citation::read(reference).is_some_and(|c| c.what() == cited.what());
    let known: Vec<&str> = all.filter(numbered).collect();
    known.iter().any(|reference| cited.is_of(reference)) || (known.is_empty() && cited.is_calicos())
}

/// The mechanisms that cite what the word cites.
pub fn citing(word: &str) -> impl Iterator<Item = &'static Mechanism> {
    let cited = Citation::read(word).filter(Citation::names_project);
    mechanisms().iter().filter(move |m| cited.as_ref().is_some_and(|c| m.sources.iter().any(|s| c.is_of(s))))
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
