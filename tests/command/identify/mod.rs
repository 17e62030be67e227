//! From what a person sees to the mechanism: captures and traces of every scenario lead back to
//! it, and what is tied with it cannot be told from it.

mod bad;
mod blocks;
mod captures;
mod table;
mod ties;

use arplab::matrix::Library;
use arplab::scenario::{Scenario, catalogue};
use std::process::{Command, Output};
use std::sync::LazyLock;

static ALL: LazyLock<Vec<Scenario>> = LazyLock::new(|| catalogue::all().unwrap());
static LIBRARY: LazyLock<Library> = LazyLock::new(|| Library::new(&ALL).unwrap());

fn arplab(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_arplab")).args(args).output().unwrap()
}

/// The scenarios of `identify --json` that fit best.
fn best(lines: &[u8]) -> Vec<String> {
    let lines: Vec<serde_json::Value> = String::from_utf8_lossy(lines)
        .lines()
        .map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}")))
        .collect();
    let misfits = |v: &serde_json::Value| v["against"].as_array().unwrap().len();
    let least = lines.first().map_or(0, misfits);
    let tied = lines.iter().take_while(|v| misfits(v) == least);
    tied.map(|v| v["signature"]["scenario"].as_str().unwrap().to_owned()).collect()
}
