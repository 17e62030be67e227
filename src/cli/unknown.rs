//! What is said of a word that no scenario answers to.

use super::fail::Fail;
use crate::near::meant;
use crate::scenario::{catalogue, mechanism, mechanisms};

/// The error for a word that names no scenario; this, unlike a look-up, reads the whole catalogue.
pub(super) fn no_scenario(word: &str) -> Fail {
    if catalogue::is_address(word) {
        return Fail::usage(no_address(word));
    }
    if catalogue::issue(word).is_some() {
        let near = near(catalogue::issue(word).unwrap_or_default());
        return Fail::usage(format!(
            "no scenario answers to {word:?}{near}: none is about that issue. `arplab identify` ranks the mechanisms \
             that fit what is seen, `arplab list` shows all"
        ));
    }
    if mechanism(word).is_some() {
        return Fail::usage(format!("no scenario stages {word}; `arplab show {word}` says what it is"));
    }
    if is_number(word) {
        let last = mechanisms().last().map_or("", |m| &m.number);
        return Fail::usage(format!(
            "no scenario answers to {word:?}{}: the catalogue's mechanisms are M01 to {last}, and \
             `arplab list --mechanisms` lists them",
            near(word)
        ));
    }
    Fail::usage(format!(
        "no scenario answers to {word:?}{}; `arplab list` shows all, and a path to a file ends in .toml",
        near(word)
    ))
}

/// Ids and aliases that the word is near to, as words to stand behind it.
pub(super) fn near(word: &str) -> String {
    let all = catalogue::all().unwrap_or_default();
    let ids = all.iter().map(crate::scenario::Scenario::id);
    let numbers = mechanisms().iter().map(|m| m.number.as_str());
    let aliases = all.iter().flat_map(|s| s.file().aliases.iter().map(String::as_str));
    meant(word, ids.chain(aliases).chain(numbers))
}

fn no_address(word: &str) -> String {
    if catalogue::is_citation(word) {
        let citing: Vec<String> =
            catalogue::citing(word).map(|m| format!("`arplab show {}`", m.number)).collect();
        if !citing.is_empty() {
            let citing = citing.join(", ");
            return format!(
                "no scenario answers to {word:?}, but the catalogue of mechanisms cites it: {citing}"
            );
        }
        return format!(
            "no scenario answers to {word:?}: none is about it. `arplab identify` ranks the mechanisms that fit what \
             is seen, `arplab list` shows all"
        );
    }
    format!(
        "{word:?} is the address of no issue, pull request or commit, and addresses are not fetched; \
         `arplab list` shows all scenarios, and a file is named by its path"
    )
}

/// The word is of the form of a mechanism's number.
fn is_number(word: &str) -> bool {
    let digits = word.strip_prefix(['M', 'm']).unwrap_or_default();
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}
