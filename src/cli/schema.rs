//! `arplab schema`, `arplab completions`, `arplab man`.

use super::fail::Fail;
use crate::host::conf::{Conf4, Conf6, Global, NeighVar};
use crate::scenario::file::ScenarioFile;
use crate::trace::JsonLine;
use std::io::Write;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The schema of the events that `run --json` prints
    #[arg(long)]
    events: bool,
    /// The sysctls that the model knows
    #[arg(long, conflicts_with = "events")]
    sysctls: bool,
    /// The reasons of silence, by code, with where each is documented
    #[arg(long, conflicts_with_all = ["events", "sysctls"])]
    reasons: bool,
}

pub(super) fn run(args: &Args) -> Result<u8, Fail> {
    let mut out = std::io::stdout().lock();
    if args.sysctls {
        for key in Conf4::ALL {
            writeln!(out, "net.ipv4.conf.<all|default|interface>.{}", key.name())?;
        }
        for key in Conf6::ALL {
            writeln!(out, "net.ipv6.conf.<all|default|interface>.{}", key.name())?;
        }
        for key in NeighVar::ALL {
            writeln!(out, "net.<ipv4|ipv6>.neigh.<default|interface>.{}", key.name())?;
        }
        for key in Global::ALL {
            writeln!(out, "{}", key.name())?;
        }
        return Ok(super::AS_EXPECTED);
    }
    if args.reasons {
        for code in crate::scenario::codes() {
            writeln!(out, "{}", crate::trace::pointer(code))?;
        }
        return Ok(super::AS_EXPECTED);
    }
    let schema =
        if args.events { schemars::schema_for!(JsonLine) } else { schemars::schema_for!(ScenarioFile) };
    serde_json::to_writer_pretty(&mut out, &schema)?;
    writeln!(out)?;
    Ok(super::AS_EXPECTED)
}

pub(super) fn completions(shell: clap_complete::Shell) -> Result<u8, Fail> {
    // into memory first: clap_complete panics when its writer fails
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut super::command(), "arplab", &mut script);
    std::io::stdout().lock().write_all(&script)?;
    Ok(super::AS_EXPECTED)
}

/// The page of a command, or arplab's own; that one names the others.
pub(super) fn man(of: Option<&str>) -> Result<u8, Fail> {
    let mut all = super::command().disable_help_subcommand(true);
    // gives each command the name that its page has
    all.build();
    let command = match of {
        None => all,
        Some(name) => all.get_subcommands().find(|c| c.get_name() == name).cloned().ok_or_else(|| {
            let known: Vec<&str> = all.get_subcommands().map(clap::Command::get_name).collect();
            let near = crate::near::meant(name, known.iter().copied());
            Fail::usage(format!("there is no command {name:?}{near}; there are {}", known.join(", ")))
        })?,
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    std::io::stdout().lock().write_all(&page)?;
    Ok(super::AS_EXPECTED)
}
