//! What the README shows is what the command prints.

use crate::run::{arplab, text};

const README: &str = include_str!("../../README.md");

/// Stands for lines left out.
const GAP: &str = "[...]";

#[test]
fn the_pasted_run_is_a_run() {
    let (_, rest) = README.split_once("```text\n").expect("a pasted output");
    let (pasted, _) = rest.split_once("\n```").expect("its end");
    let output = text(&arplab(&["run", "8689"]).stdout);
    let mut printed = output.trim_end().lines();
    let mut gap = false;
    for line in pasted.lines() {
        if line == GAP {
            gap = true;
            continue;
        }
        let found = if gap { printed.find(|p| *p == line) } else { printed.next() };
        assert_eq!(found, Some(line), "the README shows a line that the command does not print there");
        gap = false;
    }
    assert_eq!(printed.next(), None, "the command prints more than the README shows");
}

#[test]
fn every_command_of_the_table_is_understood() {
    let commands: Vec<&str> =
        README.lines().filter_map(|l| l.strip_prefix("| `arplab ")?.split('`').next()).collect();
    assert!(commands.len() >= 5, "{commands:?}");
    for words in commands {
        let args = std::iter::once("arplab").chain(words.split(' '));
        arplab::cli::command().try_get_matches_from(args).unwrap_or_else(|e| panic!("{words}: {e}"));
    }
}
