//! What is said of a word that no scenario answers to.

use super::fail::Fail;
use crate::matrix::{Miss, Query, Searched, search};
use crate::near::meant;
use crate::scenario::{catalogue, codes, mechanism, mechanisms};

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

/// The error for a search in which nothing has all that was asked for.
pub(super) fn nothing_found(query: &Query, near: &[Miss<'_>]) -> Fail {
    for code in &query.reasons {
        if !codes().any(|known| known.eq_ignore_ascii_case(code)) {
            let near = meant(code, codes());
            return Fail::usage(format!(
                "no scenario is silent because of {code:?}{near}; `arplab schema --reasons` lists the reasons"
            ));
        }
    }
    let nearest = |m: &Miss<'_>| format!("{} (without {})", m.scenario.id(), m.lacks.join(" and "));
    let named: Vec<String> = near.iter().take(NEAREST_MAX).map(nearest).collect();
    let more = near.len().saturating_sub(named.len());
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let nearest =
        if named.is_empty() { String::new() } else { format!(" The nearest: {}{more}.", named.join(", ")) };
    match &query.words[..] {
        [word] if near.is_empty() && catalogue::issue(word).is_some() => no_scenario(word),
        [word] if near.is_empty() => {
            let near = near_text(word);
            Fail::usage(format!(
                "no scenario answers to {word:?}{near}, and none has it in its text; `arplab list` shows all"
            ))
        }
        [] | [_] => Fail::usage(format!("no scenario has all of it; `arplab list` shows all.{nearest}")),
        words => {
            let slips: Vec<String> = words.iter().map(|w| format!("{w:?}{}", near_text(w))).collect();
            let slips = slips.join(", ");
            Fail::usage(format!("no scenario has all of {slips} in it; `arplab list` shows all.{nearest}"))
        }
    }
}

/// Scenarios that are offered where none has all.
const NEAREST_MAX: usize = 3;

/// Names, or words of the scenarios' texts, that the word is near to; nothing for one that is in them.
fn near_text(word: &str) -> String {
    let all = catalogue::all().unwrap_or_default();
    let query = Query { words: vec![word.to_owned()], ..Query::default() };
    if matches!(search(&all, &query), Ok(Searched::Found(_))) {
        return String::new();
    }
    let named = near(word);
    if !named.is_empty() {
        return named;
    }
    let texts = all.iter().flat_map(|s| [&s.file().title, &s.file().story, &s.file().mechanism]);
    let letters = |c: char| !(c.is_alphanumeric() || c == '_' || c == '-');
    meant(word, texts.flat_map(|t| t.split(letters)).filter(|w| w.chars().count() >= 4))
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
pub(super) fn is_number(word: &str) -> bool {
    let digits = word.strip_prefix(['M', 'm']).unwrap_or_default();
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}
