//! The files of `lessons/`, built into the program.

use super::condition::Condition;
use crate::scenario::HoldOverride;
use include_dir::{Dir, include_dir};
use serde::Deserialize;
use std::sync::LazyLock;

static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/lessons");

/// A lesson. Texts may have facts of the run in braces, see [`Facts`](super::Facts).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Lesson {
    /// Its place among the lessons, from 1: that of its file's name among theirs.
    #[serde(skip)]
    pub number: usize,
    /// Its name, such as `who-answers`.
    pub id: String,
    /// What it is about, as a heading.
    pub title: String,
    /// What one has to know to understand the question.
    pub before: String,
    /// The question.
    pub question: String,
    /// The run that answers it.
    pub run: RunOf,
    /// The frames of the run are part of the question.
    #[serde(default)]
    pub capture: bool,
    /// Lines of the timeline that have one of these in their text are worth a look.
    pub show: Vec<String>,
    /// The answers to choose from.
    #[serde(rename = "choice")]
    pub choices: Vec<Choice>,
    /// Why it is so; of these what fits the run.
    pub explain: Vec<Said>,
    /// Where that can be read.
    #[serde(rename = "source")]
    pub sources: Vec<Source>,
    /// Changes of the run after which another answer is right.
    #[serde(rename = "vary")]
    pub variations: Vec<Vary>,
    /// Commands to go on with.
    #[serde(rename = "try")]
    pub attempts: Vec<Attempt>,
}

/// A run of a built-in scenario in the simulator.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RunOf {
    /// The scenario's id.
    pub scenario: String,
    /// Fixes of its own, by name.
    #[serde(default)]
    pub fix: Vec<String>,
    /// Mitigations, by name.
    #[serde(default)]
    pub with: Vec<String>,
    /// Holds set or lifted.
    #[serde(default)]
    pub hold: Vec<HoldOverride>,
}

/// An answer to choose.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Choice {
    /// Its text.
    pub text: String,
    /// It is right when all of these hold.
    pub right_when: Vec<Condition>,
    /// What is said to who chose it when it is wrong: the first that fits the run.
    pub wrong: Vec<Said>,
}

/// A text that is said under conditions.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Said {
    /// When all of these hold.
    #[serde(default)]
    pub when: Vec<Condition>,
    /// The text.
    pub say: String,
}

/// Something to read.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Source {
    /// A kernel function, an RFC, a file of Calico's with its version, a page of this project's.
    #[serde(rename = "ref")]
    pub reference: String,
    /// What it says.
    pub says: String,
}

/// A change of the run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Vary {
    /// What is changed, in words.
    pub says: String,
    /// Fixes of the scenario's own, by name.
    #[serde(default)]
    pub fix: Vec<String>,
    /// Mitigations, by name.
    #[serde(default)]
    pub with: Vec<String>,
    /// Holds set or lifted.
    #[serde(default)]
    pub hold: Vec<HoldOverride>,
}

impl Vary {
    /// The change as options of `arplab learn`.
    #[must_use]
    pub fn options(&self) -> String {
        options(&self.fix, &self.with, &self.hold)
    }
}

/// Changes as options of a command, each with a blank before it.
pub(super) fn options(fix: &[String], with: &[String], hold: &[HoldOverride]) -> String {
    let fix = fix.iter().map(|name| format!(" --fix {name}"));
    let with = with.iter().map(|name| format!(" --with {name}"));
    fix.chain(with).chain(hold.iter().map(|hold| format!(" --hold {hold}"))).collect()
}

/// A command to go on with.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Attempt {
    /// As it is typed.
    pub command: String,
    /// What for.
    pub says: String,
}

static ALL: LazyLock<Vec<Lesson>> = LazyLock::new(|| {
    let mut files: Vec<_> = FILES.files().filter_map(|f| Some((f.path(), f.contents_utf8()?))).collect();
    files.sort_unstable();
    let read = |(at, (path, text)): (usize, (&std::path::Path, &str))| match toml::from_str::<Lesson>(text) {
        Ok(lesson) => Lesson { number: at + 1, ..lesson },
        Err(e) => unreachable!("lessons/{} is part of the program and is tested: {e}", path.display()),
    };
    files.into_iter().enumerate().map(read).collect()
});

/// Every lesson, in order.
#[must_use]
pub fn lessons() -> &'static [Lesson] {
    &ALL
}

/// The lesson of that number or name.
#[must_use]
pub fn lesson(word: &str) -> Option<&'static Lesson> {
    lessons().iter().find(|l| l.id == word || l.number.to_string() == word)
}
