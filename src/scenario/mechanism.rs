//! The catalogue of mechanisms: what the numbers M01 to M38 stand for, from
//! `mechanisms/mechanisms.toml`. Which scenarios stage one follows from their aliases.

use super::catalogue;
use super::compile::Scenario;
use super::error::ScenarioError;
use super::file::Certainty;
use serde::Deserialize;
use std::sync::LazyLock;

/// A way in which a pod's question for its gateway fails, is late, or is answered wrongly.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Mechanism {
    /// Its number, such as `M15`.
    pub number: String,
    /// A few words for it, as in lists.
    pub name: String,
    /// What fails, and why.
    pub fails: String,
    /// In which releases of Calico, or of whatever else decides.
    pub versions: String,
    /// How sure it is that this happens to people.
    pub certainty: Certainty,
    /// Where it was reported, read or mended, such as `projectcalico/felix#806`.
    pub sources: Vec<String>,
}

impl Mechanism {
    /// The scenarios that stage it: those that have its number among their aliases, by id.
    pub fn scenarios(&self) -> Result<Vec<Scenario>, ScenarioError> {
        catalogue::find(&self.number)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MechanismsFile {
    mechanism: Vec<Mechanism>,
}

const TEXT: &str = include_str!("../../mechanisms/mechanisms.toml");

static ALL: LazyLock<Vec<Mechanism>> = LazyLock::new(|| match toml::from_str::<MechanismsFile>(TEXT) {
    Ok(file) => file.mechanism,
    Err(e) => unreachable!("mechanisms/mechanisms.toml is part of the program and is tested: {e}"),
});

/// Every mechanism, by number.
#[must_use]
pub fn mechanisms() -> &'static [Mechanism] {
    &ALL
}

/// The mechanism of that number, however it is written: `M15`, `m15`.
#[must_use]
pub fn mechanism(number: &str) -> Option<&'static Mechanism> {
    // the file is not read for a word that is no such number
    number.starts_with(['M', 'm']).then_some(())?;
    mechanisms().iter().find(|m| m.number.eq_ignore_ascii_case(number))
}

#[cfg(test)]
mod tests {
    use super::super::citation::Citation;
    use super::*;

    #[test]
    fn the_numbers_run_from_1_to_38_and_everything_is_said_of_each() {
        for (m, at) in mechanisms().iter().zip(1..) {
            assert_eq!(m.number, format!("M{at:02}"));
            let texts = [&m.name, &m.fails, &m.versions, &m.certainty.why];
            assert!(texts.iter().all(|t| !t.trim().is_empty()) && !m.sources.is_empty(), "{}", m.number);
            for source in &m.sources {
                let cited = Citation::read(source).is_some_and(|c| c.names_project());
                assert!(cited || source == "torvalds/linux", "{}: {source}", m.number);
            }
        }
        assert_eq!(mechanisms().len(), 38);
        let mut names: Vec<&str> = mechanisms().iter().map(|m| m.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 38);
    }

    /// A scenario's number is one of the catalogue.
    #[test]
    fn every_number_that_a_scenario_stages_is_there() {
        for scenario in catalogue::all().unwrap() {
            let number =
                |a: &&String| a.strip_prefix('M').is_some_and(|d| d.bytes().all(|b| b.is_ascii_digit()));
            for alias in scenario.file().aliases.iter().filter(number) {
                let found = mechanism(alias).unwrap_or_else(|| panic!("{}: {alias}", scenario.id()));
                assert!(found.scenarios().unwrap().iter().any(|s| s.id() == scenario.id()), "{alias}");
            }
        }
    }
}
