//! `arplab show`.

use super::fail::Fail;
use super::output::fold;
use crate::scenario::file::FixEffect;
use crate::scenario::{Scenario, catalogue};
use std::fmt::Write as _;
use std::io::Write;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Id, issue number, catalogue number, or a scenario file
    scenario: String,
    /// The file as it is written
    #[arg(long)]
    source: bool,
}

/// Columns of prose.
const WIDTH: usize = 96;

/// The scenario that a word or a path names.
pub(super) fn load(word: &str) -> Result<Scenario, Fail> {
    let path = std::path::Path::new(word);
    let is_path = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("toml")) || word.contains('/');
    if is_path {
        let text = std::fs::read(path)
            .map_err(|e| Fail::usage(format!("reading the scenario file {word} failed: {e}")))?;
        let text = String::from_utf8(text)
            .map_err(|e| Fail::usage(format!("the scenario file {word} is not UTF-8 text: {e}")))?;
        return Ok(Scenario::parse(word, &text)?);
    }
    let mut found = catalogue::find(word)?;
    match found.len() {
        0 => Err(Fail::usage(format!(
            "no scenario answers to {word:?}; `arplab list` shows all, and a path to a file ends in .toml"
        ))),
        1 => Ok(found.swap_remove(0)),
        _ => Ok(pick(found, word)),
    }
}

/// Of several candidates for an issue, the one that tells the report's own story comes first in
/// its list of aliases.
fn pick(found: Vec<Scenario>, word: &str) -> Scenario {
    let word = word.trim_start_matches('#');
    let rank = |s: &Scenario| {
        s.file().aliases.iter().position(|a| a.eq_ignore_ascii_case(word)).unwrap_or(usize::MAX)
    };
    let best = found.iter().enumerate().min_by_key(|(i, s)| (rank(s), *i)).map_or(0, |(i, _)| i);
    let mut found = found;
    found.swap_remove(best)
}

pub(super) fn run(args: &Args) -> Result<u8, Fail> {
    let scenario = load(&args.scenario)?;
    let mut out = std::io::stdout().lock();
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
    let _ = writeln!(o, "Answers to: {}", f.aliases.join(", "));
    let _ = writeln!(o, "\nStory\n{}", fold(&f.story, 2, WIDTH));
    let _ = writeln!(o, "Mechanism\n{}", fold(&f.mechanism, 2, WIDTH));
    if !f.seen.is_empty() {
        let _ = writeln!(o, "What a person sees");
        for line in &f.seen {
            let _ = write!(o, "{}", fold(&format!("- {line}"), 2, WIDTH));
        }
        o.push('\n');
    }
    let _ =
        writeln!(o, "Certainty\n{}", fold(&format!("{}: {}", f.certainty.level, f.certainty.why), 2, WIDTH));
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
