//! What people do about a silent gateway, as changes that can be made to any scenario: the file
//! `mitigations/mitigations.toml`.

use super::file::ChangeFile;
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::LazyLock;

/// Whose idea a mitigation is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MitigationKind {
    /// A fix that Calico has, or that was proposed there.
    Upstream,
    /// A setting of Calico or of the node.
    Configuration,
    /// Something an operator does by hand.
    Operator,
    /// Something inside the pod.
    Pod,
    /// Something on the host end.
    Gateway,
    /// Another plugin's design.
    Design,
}

/// A mitigation.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Mitigation {
    /// Its name, for `--with`.
    pub name: String,
    /// One line.
    pub title: String,
    /// Whose idea it is.
    pub kind: MitigationKind,
    /// How it works, or why it does not.
    pub why: String,
    /// Settings that operators report and that no release knows.
    #[serde(default)]
    pub unknown_settings: Vec<String>,
    /// What it changes; nothing when there is nothing that could be changed.
    #[serde(default)]
    pub change: ChangeFile,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MitigationsFile {
    mitigation: Vec<Mitigation>,
}

const TEXT: &str = include_str!("../../mitigations/mitigations.toml");

static ALL: LazyLock<Vec<Mitigation>> = LazyLock::new(|| match toml::from_str::<MitigationsFile>(TEXT) {
    Ok(file) => file.mitigation,
    Err(e) => unreachable!("mitigations/mitigations.toml is part of the program and is tested: {e}"),
});

/// Every mitigation, in the order of the file.
#[must_use]
pub fn mitigations() -> &'static [Mitigation] {
    &ALL
}

/// The mitigation of that name.
#[must_use]
pub fn mitigation(name: &str) -> Option<&'static Mitigation> {
    mitigations().iter().find(|m| m.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_can_be_read_and_its_names_differ() {
        let mut names: Vec<&str> = mitigations().iter().map(|m| m.name.as_str()).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(count > 25);
    }
}
