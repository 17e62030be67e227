//! `arplab up` and what is done with a lab that is up.

mod owner;
mod visitor;

pub(super) use owner::{UpArgs, up};
pub(super) use visitor::{
    CaptureArgs, DownArgs, ExecArgs, HoldArgs, LogArgs, NameArgs, ReleaseArgs, ShellArgs, capture, down,
    exec, hold, log, ps, release, shell, status,
};

use super::fail::Fail;

/// The longest name: an abstract address has 107 bytes.
const NAME_MAX: usize = 64;

/// Whose labs these are, as the machine counts: ask before a user namespace is entered.
fn user() -> u32 {
    nix::unistd::getuid().as_raw()
}

/// A name that can stand in a list and in an address.
fn check_name(name: &str) -> Result<(), Fail> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !begins || name.len() > NAME_MAX || !name.chars().all(fits) {
        return Err(Fail::usage(format!(
            "{name:?} is no name for a lab: a letter or digit first, then letters, digits, `-`, `_` and `.`, {NAME_MAX} at most"
        )));
    }
    Ok(())
}
