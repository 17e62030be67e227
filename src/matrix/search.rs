//! Scenarios by what is in them: words of their texts, reasons of silence, what a person sees, a release
//! of Calico.

use super::{SEEDS, play};
use crate::control::CalicoVersion;
use crate::scenario::{Corner, Overrides, PlanError, Scenario};
use crate::trace::check;
use std::collections::BTreeSet;

/// What is looked for; all of it has to be there.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Query {
    /// Words anywhere in the texts of a scenario, each at the beginning of one of its words. A number
    /// is looked for as a whole.
    pub words: Vec<String>,
    /// Codes of reasons for which a request stays unanswered.
    pub reasons: Vec<String>,
    /// Words of one line of what a person sees: of the file's `seen`, or of what a client is told in
    /// its runs.
    pub symptoms: Vec<String>,
    /// A release that it happens in: the file is set in it, or its run with that release's programs is
    /// as expected, too.
    pub calico: Option<CalicoVersion>,
}

/// A scenario that has all of it.
#[derive(Clone, Debug)]
pub struct Hit<'a> {
    /// The scenario.
    pub scenario: &'a Scenario,
    /// Where it was found, in words, in the order in which a file is written.
    pub places: Vec<String>,
}

/// A scenario that has some of it.
#[derive(Clone, Debug)]
pub struct Miss<'a> {
    /// The scenario.
    pub scenario: &'a Scenario,
    /// What it has not, as it was asked for.
    pub lacks: Vec<String>,
}

/// What a search came to.
#[derive(Clone, Debug)]
pub enum Searched<'a> {
    /// The scenarios that have all of it: those first that have it in the more telling places, and
    /// among equals by id.
    Found(Vec<Hit<'a>>),
    /// None has all. These have the most of it.
    Nearest(Vec<Miss<'a>>),
}

/// One thing that was asked for.
enum Wanted<'q> {
    Word(&'q str),
    Reason(&'q str),
    Symptom(&'q str),
    Calico(CalicoVersion),
}

impl core::fmt::Display for Wanted<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Wanted::Word(word) => write!(f, "{word:?}"),
            Wanted::Reason(code) => write!(f, "--reason {code}"),
            Wanted::Symptom(words) => write!(f, "--symptom {words:?}"),
            Wanted::Calico(version) => write!(f, "--calico {version}"),
        }
    }
}

/// Where something was found, and how telling that is.
struct Places {
    weight: u32,
    names: Vec<String>,
}

/// The texts of a scenario, in the order in which its file is written, and how telling it is to find a
/// word there.
const FIELDS: [(&str, u32); 8] = [
    ("id", 8),
    ("title", 6),
    ("aliases", 6),
    ("story", 2),
    ("mechanism", 2),
    ("seen", 3),
    ("sources", 1),
    ("reasons", 4),
];

/// Looks through the scenarios.
pub fn search<'a>(all: &'a [Scenario], query: &Query) -> Result<Searched<'a>, PlanError> {
    let words = query.words.iter().map(|w| Wanted::Word(w));
    let reasons = query.reasons.iter().map(|r| Wanted::Reason(r));
    let symptoms = query.symptoms.iter().map(|s| Wanted::Symptom(s));
    let wanted: Vec<Wanted<'_>> =
        words.chain(reasons).chain(symptoms).chain(query.calico.map(Wanted::Calico)).collect();
    let mut hits: Vec<(u32, Hit<'a>)> = Vec::new();
    let mut misses: Vec<Miss<'a>> = Vec::new();
    for scenario in all {
        let (mut weight, mut places, mut lacks) = (0, Vec::new(), Vec::new());
        for want in &wanted {
            match want.find(scenario)? {
                Some(found) => {
                    weight += found.weight;
                    places.extend(found.names);
                }
                None => lacks.push(want.to_string()),
            }
        }
        if lacks.is_empty() {
            let mut seen = BTreeSet::new();
            places.retain(|p| seen.insert(p.clone()));
            let field = |p: &String| FIELDS.iter().position(|(name, _)| name == p).unwrap_or(FIELDS.len());
            places.sort_by_key(field);
            hits.push((weight, Hit { scenario, places }));
        } else if lacks.len() < wanted.len() {
            misses.push(Miss { scenario, lacks });
        }
    }
    if hits.is_empty() {
        let fewest = misses.iter().map(|m| m.lacks.len()).min().unwrap_or_default();
        misses.retain(|m| m.lacks.len() == fewest);
        return Ok(Searched::Nearest(misses));
    }
    hits.sort_by(|(w, a), (v, b)| v.cmp(w).then_with(|| a.scenario.id().cmp(b.scenario.id())));
    Ok(Searched::Found(hits.into_iter().map(|(_, hit)| hit).collect()))
}

impl Wanted<'_> {
    fn find(&self, scenario: &Scenario) -> Result<Option<Places>, PlanError> {
        let place = |weight, name: String| Some(Places { weight, names: vec![name] });
        Ok(match self {
            Wanted::Word(word) => word_in(scenario, word),
            Wanted::Reason(code) => {
                let met = reasons_of(scenario)?.iter().any(|r| r.eq_ignore_ascii_case(code));
                met.then(|| Places { weight: 0, names: vec![format!("silent because of {code}")] })
            }
            Wanted::Symptom(words) => match symptom_line(scenario, words)? {
                Some(line) => place(0, format!("seen: {line}")),
                None => None,
            },
            Wanted::Calico(version) => {
                let set_in = scenario.plan(&Overrides::default())?.version;
                if set_in == *version {
                    place(1, format!("set in {version}"))
                } else if happens_in(scenario, *version)? {
                    place(0, format!("set in {set_in}, and as expected with {version}"))
                } else {
                    None
                }
            }
        })
    }
}

fn word_in(scenario: &Scenario, word: &str) -> Option<Places> {
    let f = scenario.file();
    let sources = f.sources.iter().flat_map(|s| [&s.reference, &s.title, &s.says]).map(String::as_str);
    let texts: [String; FIELDS.len()] = [
        scenario.id().to_owned(),
        f.title.clone(),
        f.aliases.join("\n"),
        f.story.clone(),
        f.mechanism.clone(),
        f.seen.join("\n"),
        sources.collect::<Vec<_>>().join("\n"),
        f.expect.reasons.iter().flatten().cloned().collect::<Vec<_>>().join("\n"),
    ];
    let fields = FIELDS.iter().zip(&texts).filter(|(_, text)| has(text, word));
    let found: Vec<&(&str, u32)> = fields.map(|(field, _)| field).collect();
    (!found.is_empty()).then(|| Places {
        weight: found.iter().map(|f| f.1).sum(),
        names: found.iter().map(|f| f.0.to_owned()).collect(),
    })
}

/// The text has the word, at the beginning of a word of its own; a number as a whole.
fn has(text: &str, word: &str) -> bool {
    let (text, word) = (text.to_lowercase(), word.trim().to_lowercase());
    if word.is_empty() {
        return false;
    }
    text.match_indices(&word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let behind = text[at + word.len()..].chars().next();
        let number = word.ends_with(|c: char| c.is_ascii_digit());
        let begins = !before.is_some_and(char::is_alphanumeric);
        begins && !(number && behind.is_some_and(|c| c.is_ascii_digit()))
    })
}

/// The reasons for which requests stay unanswered: what the file expects, which its tests hold, and
/// where it expects nothing what runs show.
fn reasons_of(scenario: &Scenario) -> Result<BTreeSet<String>, PlanError> {
    if let Some(expected) = &scenario.file().expect.reasons {
        return Ok(expected.iter().cloned().collect());
    }
    let mut met = BTreeSet::new();
    for seed in SEEDS {
        let seen = play(scenario, &Overrides::default(), seed)?.seen;
        let other = seen.other.iter().flat_map(|g| &g.reasons);
        met.extend(seen.gateway.reasons.iter().chain(other).map(|r| (*r).to_owned()));
    }
    Ok(met)
}

/// The line of what a person sees that has all the words, those of the file first.
fn symptom_line(scenario: &Scenario, words: &str) -> Result<Option<String>, PlanError> {
    let all = |line: &String| words.split_whitespace().all(|word| has(line, word));
    if let Some(line) = scenario.file().seen.iter().find(|l| all(l)) {
        return Ok(Some(line.clone()));
    }
    for seed in SEEDS {
        let seen = play(scenario, &Overrides::default(), seed)?.seen;
        let told =
            seen.clients.iter().flat_map(|(name, c)| c.errors.keys().map(move |e| format!("{name}: {e}")));
        if let Some(line) = told.into_iter().find(all) {
            return Ok(Some(line));
        }
    }
    Ok(None)
}

/// With that release's programs its runs show all that the file expects.
fn happens_in(scenario: &Scenario, version: CalicoVersion) -> Result<bool, PlanError> {
    let moved = scenario.with_calico(version);
    let expect = moved.expectations(&Overrides::default(), Corner::Sim);
    for seed in SEEDS {
        let seen = play(&moved, &Overrides::default(), seed)?.seen;
        if check(&expect, &seen, false).iter().any(|c| !c.ok) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_where_one_begins_and_a_number_as_a_whole() {
        for (text, word) in [
            ("udev's queue", "udev"),
            ("a UDEV rule", "Udev"),
            ("net.ipv4.conf.all.rp_filter", "rp_filter"),
            ("the rp_filter", "filter"),
            ("\"No route to host\"", "no route"),
            ("projectcalico/calico#8689", "8689"),
            ("é169.254.1.1", "254.1.1"),
        ] {
            assert!(has(text, word), "{text}: {word}");
        }
        for (text, word) in
            [("sysudev", "udev"), ("86890", "8689"), ("18689", "8689"), ("anything", " "), ("", "a")]
        {
            assert!(!has(text, word), "{text}: {word}");
        }
    }
}
