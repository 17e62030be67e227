//! A command that the model has no term for, carried out by its own program in a namespace.

use super::space::{Space, refusal};
use super::terms::{LiveError, broke};
use crate::control::Refusal;
use crate::host::command::Tool;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where administrators' programs are, whatever the user's PATH says.
const PLACES: &str = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin";
/// A command that changes something is done at once; one that takes longer waits for something.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a running program is looked at.
const LOOK: Duration = Duration::from_millis(2);
/// So much of what a program complains is passed on.
const WORDS_MAX: u64 = 2000;

/// The file of a program.
pub(super) fn path_of(program: &str) -> Option<PathBuf> {
    let own = std::env::var("PATH").unwrap_or_default();
    let mut places = own.split(':').chain(PLACES.split(':')).filter(|place| place.starts_with('/'));
    places.find_map(|place| Some(PathBuf::from(place).join(program)).filter(|p| p.is_file()))
}

/// Runs it to its end. The inner error is what it says when it fails, which the actor hears.
pub(super) async fn run(space: &Space, tool: &Tool) -> Result<Result<(), Refusal>, LiveError> {
    let program = tool.program();
    let path = path_of(program)
        .ok_or_else(|| LiveError::NotHere(format!("there is no program `{program}` on this machine")))?;
    let mut command = Command::new(path);
    command.args(tool.args()).env("LC_ALL", "C");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    // a child belongs to the namespace of the thread that starts it
    let child = space.netns.exec(move || command.spawn()).map_err(broke)?;
    let mut child = child.map_err(|e| broke(format!("`{tool}` could not be started: {e}")))?;
    let begun = Instant::now();
    loop {
        match child.try_wait().map_err(broke)? {
            Some(status) if status.success() => return Ok(Ok(())),
            Some(status) => {
                let words = format!("`{tool}` ended with {status}: {}", complaint(&mut child));
                return Ok(Err(refusal(None, &words)));
            }
            None if begun.elapsed() > PATIENCE => {
                child.kill().map_err(broke)?;
                child.wait().map_err(broke)?;
                let words = format!("`{tool}` was not done after {} s", PATIENCE.as_secs());
                return Ok(Err(refusal(None, &words)));
            }
            None => tokio::time::sleep(LOOK).await,
        }
    }
}

/// What it wrote to standard error, in one line.
fn complaint(child: &mut Child) -> String {
    let mut bytes = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        // a program that says less is no reason to fail
        let _ = stderr.take(WORDS_MAX).read_to_end(&mut bytes);
    }
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    if lines.is_empty() { "it gives no reason".to_owned() } else { lines.join("; ") }
}
