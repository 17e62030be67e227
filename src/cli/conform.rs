//! `arplab conform`.

use super::fail::Fail;
use crate::vectors::{CaseResult, ConformCase, conform_line};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

/// The longest line that is read: a recording is a few hundred kilobytes at most.
const LINE_BYTES_MAX: u64 = 64 << 20;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Recordings, one JSON object a line, as in tests/vectors
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Only records whose name contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// One JSON object a record, and the counts as the last one
    #[arg(long)]
    json: bool,
}

#[derive(Default, serde::Serialize)]
struct Counts {
    agree: usize,
    differ: usize,
    not_replayed: usize,
}

pub(super) fn run(args: &Args) -> Result<u8, Fail> {
    let mut counts = Counts::default();
    let mut out = std::io::stdout().lock();
    for path in &args.files {
        file(path, args, &mut counts, &mut out)?;
    }
    if counts.agree + counts.differ + counts.not_replayed == 0 {
        return Err(Fail::usage("there is no such recording in these files"));
    }
    if args.json {
        serde_json::to_writer(&mut out, &counts)?;
        writeln!(out)?;
    } else {
        let Counts { agree, differ, not_replayed } = counts;
        writeln!(out, "{agree} agree, {differ} differ, {not_replayed} not replayed")?;
    }
    if counts.agree + counts.differ == 0 {
        return Err(Fail::cannot("none of these recordings can be replayed on the model as yet"));
    }
    Ok(if counts.differ > 0 { super::UNEXPECTED } else { super::AS_EXPECTED })
}

fn file(path: &Path, args: &Args, counts: &mut Counts, out: &mut dyn Write) -> Result<(), Fail> {
    let name = path.display();
    let fail = |e: std::io::Error| Fail::usage(format!("reading the recordings of {name} failed: {e}"));
    let mut reader = BufReader::new(crate::regular::open_or_stream(path).map_err(fail)?);
    let (mut line, mut number) = (String::new(), 0);
    loop {
        line.clear();
        number += 1;
        let read = (&mut reader).take(LINE_BYTES_MAX).read_line(&mut line).map_err(fail)?;
        if read == 0 {
            return Ok(());
        }
        if read as u64 == LINE_BYTES_MAX {
            return Err(Fail::usage(format!("{name}:{number} is longer than {LINE_BYTES_MAX} bytes")));
        }
        if !wanted(&line, args.only.as_deref()) {
            continue;
        }
        let case = conform_line(&line)
            .map_err(|why| Fail::usage(format!("{name}:{number} is no recording: {why}")))?;
        if let Some(case) = case {
            tell(&case, args.json, counts, out)?;
        }
    }
}

/// A replay can take a second: what nobody wants is passed over by its name.
fn wanted(line: &str, only: Option<&str>) -> bool {
    #[derive(serde::Deserialize)]
    struct Named {
        name: String,
    }
    let Some(only) = only else { return true };
    serde_json::from_str::<Named>(line).map_or(true, |n| n.name.contains(only))
}

fn tell(case: &ConformCase, json: bool, counts: &mut Counts, out: &mut dyn Write) -> Result<(), Fail> {
    let (count, word) = match case.result {
        CaseResult::Agrees => (&mut counts.agree, "agrees"),
        CaseResult::Differs => (&mut counts.differ, "DIFFERS"),
        CaseResult::NotReplayed => (&mut counts.not_replayed, "skipped"),
    };
    *count += 1;
    if json {
        serde_json::to_writer(&mut *out, case)?;
        writeln!(out)?;
        return Ok(());
    }
    writeln!(out, "{word:<8} {}", case.name)?;
    for why in &case.why {
        writeln!(out, "         {why}")?;
    }
    Ok(())
}
