//! `arplab differential`.

use super::fail::Fail;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How many random states
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    states: u64,
    /// Seed of the states [default: a fresh one, which is printed]
    #[arg(long)]
    seed: Option<u64>,
    /// Number of the first state, to see one again
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Go on after a disagreement
    #[arg(long)]
    keep_going: bool,
    /// How many states are staged at the same time [default: twice the processors]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
}

#[cfg(all(feature = "live", feature = "proptest"))]
pub(super) fn run(args: &Args) -> Result<u8, Fail> {
    use crate::differential::{self, Options};
    // before anything else: it wants a process with one thread
    netns_lab::rootless::enter().map_err(|e| Fail::cannot(e.to_string()))?;
    let seed = args.seed.unwrap_or_else(fresh_seed);
    eprintln!("arplab: seed {seed}");
    let jobs = args.jobs.unwrap_or_else(differential::default_jobs);
    let Args { first, states, keep_going, .. } = *args;
    let options = Options { seed, first, states, keep_going, jobs };
    let bar = super::output::bar(args.states);
    let summary =
        differential::run(&options, &|n| bar.set_position(n)).map_err(|e| Fail::cannot(e.to_string()))?;
    bar.finish_and_clear();
    for disagreement in &summary.disagreements {
        println!("{disagreement}\n");
    }
    println!("{summary}");
    Ok(if summary.disagreements.is_empty() { super::AS_EXPECTED } else { super::UNEXPECTED })
}

/// Short enough to be typed again.
#[cfg(all(feature = "live", feature = "proptest"))]
fn fresh_seed() -> u64 {
    use std::time::{SystemTime, UNIX_EPOCH};
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (now.as_nanos() as u64 ^ u64::from(std::process::id())) & 0xffff_ffff
}

#[cfg(not(all(feature = "live", feature = "proptest")))]
pub(super) fn run(_: &Args) -> Result<u8, Fail> {
    Err(Fail::cannot("this arplab was built without the features `live` and `proptest`"))
}
