//! `arplab show`.

use super::fail::Fail;
use super::output::fold;
use crate::regular;
use crate::scenario::file::FixEffect;
use crate::scenario::{Scenario, catalogue, mechanism};
use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Id, issue (number or address), or a scenario file; a catalogue number (M01 to M38) prints
    /// the mechanism
    scenario: String,
    /// The file as it is written; of a catalogue number the scenario's that `run` would take
    #[arg(long)]
    source: bool,
}

/// Bytes of a scenario file at most.
const FILE_MAX: u64 = 1 << 20;

/// Columns of prose.
const WIDTH: usize = 96;

/// The scenario that a word or a path names.
pub(super) fn load(word: &str) -> Result<Scenario, Fail> {
    if is_path(word) {
        return Ok(Scenario::parse(word, &read(Path::new(word))?)?);
    }
    let mut found = catalogue::find(word)?;
    match found.len() {
        0 => Err(super::unknown::no_scenario(word)),
        1 => Ok(found.swap_remove(0)),
        _ => Ok(pick(found, word)),
    }
}

/// The word is a path to a scenario file, and no id and no address.
pub(super) fn is_path(word: &str) -> bool {
    if catalogue::is_address(word) {
        return false;
    }
    Path::new(word).extension().is_some_and(|e| e.eq_ignore_ascii_case("toml")) || word.contains('/')
}

/// The text of a scenario file.
fn read(path: &Path) -> Result<String, Fail> {
    let fail = |why| Fail::usage(format!("reading the scenario file {} failed: {why}", path.display()));
    regular::text(path, FILE_MAX).map_err(fail)
}

/// Of several candidates for an issue, the one that tells the report's own story comes first in
/// its list of aliases.
fn pick(found: Vec<Scenario>, word: &str) -> Scenario {
    let word = catalogue::issue(word).unwrap_or(word);
    let rank = |s: &Scenario| {
        s.file().aliases.iter().position(|a| a.eq_ignore_ascii_case(word)).unwrap_or(usize::MAX)
    };
    let best = found.iter().enumerate().min_by_key(|(i, s)| (rank(s), *i)).map_or(0, |(i, _)| i);
    let mut found = found;
    found.swap_remove(best)
}

pub(super) fn run(args: &Args) -> Result<u8, Fail> {
    let mut out = std::io::stdout().lock();
    if let (Some(mechanism), false) = (mechanism(&args.scenario), args.source) {
        out.write_all(super::mechanism::page(mechanism)?.as_bytes())?;
        return Ok(super::AS_EXPECTED);
    }
    let scenario = load(&args.scenario)?;
    let text = if args.source { scenario.source().to_owned() } else { render(&scenario) };
    out.write_all(text.as_bytes())?;
    Ok(super::AS_EXPECTED)
}

fn render(s: &Scenario) -> String {
    let f = s.file();
    let mut o = String::new();
    let _ = writeln!(o, "{}: {}", s.id(), f.title);
    if f.look_alike {
        let _ = writeln!(o, "A look-alike: it is not about ARP.");
    }
    if !f.aliases.is_empty() {
        let _ = writeln!(o, "Answers to: {}", f.aliases.join(", "));
    }
    o.push('\n');
    for (head, text) in [("Story", &f.story), ("Mechanism", &f.mechanism)] {
        if !text.is_empty() {
            let _ = writeln!(o, "{head}\n{}", fold(text, 2, WIDTH));
        }
    }
    if !f.seen.is_empty() {
        let _ = writeln!(o, "What a person sees");
        for line in &f.seen {
            let _ = write!(o, "{}", fold(&format!("- {line}"), 2, WIDTH));
        }
        o.push('\n');
    }
    if let Some(certainty) = &f.certainty {
        let line = format!("{}: {}", certainty.level, certainty.why);
        let _ = writeln!(o, "Certainty\n{}", fold(&line, 2, WIDTH));
    }
    if !f.sources.is_empty() {
        let _ = writeln!(o, "Sources");
        for source in &f.sources {
            let title =
                if source.title.is_empty() { String::new() } else { format!(" \"{}\"", source.title) };
            let _ = writeln!(o, "  {}{title}", source.reference);
            if !source.says.is_empty() {
                let _ = write!(o, "{}", fold(&source.says, 4, WIDTH));
            }
        }
        o.push('\n');
    }
    for (corner, why) in &f.not_live {
        let _ = writeln!(o, "Not in {corner}: {why}\n");
    }
    if !f.fixes.is_empty() {
        let _ = writeln!(o, "Fixes");
        for fix in &f.fixes {
            let _ = writeln!(o, "  --fix {:<28} {}", fix.name.get_ref(), effect(fix.effect));
            let _ = write!(o, "{}", fold(&fix.title, 8, WIDTH));
            if !fix.why.is_empty() {
                let _ = write!(o, "{}", fold(&format!("because {}", fix.why), 8, WIDTH));
            }
        }
    }
    o
}

/// What a fix does, in words.
pub(super) fn effect(effect: FixEffect) -> &'static str {
    match effect {
        FixEffect::Cures => "cures",
        FixEffect::Shortens => "shortens",
        FixEffect::Nothing => "does nothing",
        FixEffect::Breaks => "breaks something else",
    }
}
