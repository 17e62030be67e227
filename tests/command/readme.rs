//! What the README shows is what the command prints.

use crate::run::{arplab, text};

const README: &str = include_str!("../../README.md");
const MINUTE: &str = include_str!("../../docs/why-a-minute.md");

/// Stands for lines left out.
const GAP: &str = "[...]";

#[test]
fn the_pasted_run_is_a_run() {
    let (_, rest) = README.split_once("```text\n").expect("a pasted output");
    let (pasted, _) = rest.split_once("\n```").expect("its end");
    let output = text(&arplab(&["run", "8689"]).stdout);
    let lines: Vec<&str> = pasted.lines().collect();
    shows(&lines, &output).unwrap_or_else(|e| panic!("{e}"));
}

/// Whether these lines are what was printed, in order and with nothing left out but at a gap.
fn shows(pasted: &[&str], output: &str) -> Result<(), String> {
    let mut printed = output.trim_end().lines();
    let mut gap = false;
    for line in pasted {
        if *line == GAP {
            gap = true;
            continue;
        }
        let found = if gap { printed.find(|p| p == line) } else { printed.next() };
        if found != Some(*line) {
            return Err(format!("shown {line:?}, printed {found:?}"));
        }
        gap = false;
    }
    match printed.next() {
        Some(more) if !gap => Err(format!("the command prints more: {more:?}")),
        _ => Ok(()),
    }
}

#[test]
fn pasted_sessions_are_what_the_commands_print() {
    let mut commands = 0;
    for page in [README, MINUTE] {
        let blocks = page.split("```console\n").skip(1).filter_map(|rest| rest.split("```").next());
        for session in blocks.flat_map(|b| b.split("$ arplab ").skip(1)) {
            let lines: Vec<&str> = session.trim_end().lines().collect();
            let (words, pasted) = lines.split_first().expect("a command");
            let output = arplab(&words.split(' ').collect::<Vec<_>>());
            assert_eq!(output.status.code(), Some(0), "{words}");
            shows(pasted, &text(&output.stdout)).unwrap_or_else(|e| panic!("{words}: {e}"));
            commands += 1;
        }
    }
    assert!(commands >= 9, "{commands}");
}

#[test]
fn a_pasted_session_that_is_not_real_is_noticed() {
    assert!(shows(&["a", GAP, "c"], "a\nb\nc\n").is_ok());
    assert!(shows(&["a", "c"], "a\nb\nc\n").is_err());
    assert!(shows(&["a", GAP, "d"], "a\nb\nc\n").is_err());
    assert!(shows(&["a"], "a\nb\n").is_err());
    assert!(shows(&["a", GAP], "a\nb\n").is_ok());
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
