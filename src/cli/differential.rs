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
    use crate::differential::{self, DifferentialOptions};
    use crate::live;
    use std::sync::Arc;
    // before anything else: it wants a process with one thread
    netns_lab::rootless::enter().map_err(|e| Fail::cannot(e.to_string()))?;
    let seed = args.seed.unwrap_or_else(fresh_seed);
    eprintln!("arplab: seed {seed}");
    let jobs = args.jobs.unwrap_or_else(differential::default_jobs);
    let Args { first, states, keep_going, .. } = *args;
    let options = DifferentialOptions { seed, first, states, keep_going, jobs };
    let interrupt = Arc::new(Interrupted::default());
    let heard = Arc::clone(&interrupt);
    live::on_interrupt(move |by| heard.come(by)).map_err(|e| Fail::cannot(e.to_string()))?;
    let bar = super::output::bar(args.states);
    let summary = differential::run(&options, &interrupt.stop, &|n| bar.set_position(n));
    bar.finish_and_clear();
    let summary = summary.map_err(|e| Fail::cannot(e.to_string()))?;
    for disagreement in &summary.disagreements {
        println!("{disagreement}\n");
    }
    println!("{summary}");
    if let Some(by) = interrupt.by.get() {
        return Err(Fail::interrupted(*by, "interrupted; what is above is what was seen until then"));
    }
    Ok(if summary.disagreements.is_empty() { super::AS_EXPECTED } else { super::UNEXPECTED })
}

/// What a signal leaves behind for a run that is under way.
#[cfg(all(feature = "live", feature = "proptest"))]
#[derive(Default)]
struct Interrupted {
    stop: std::sync::atomic::AtomicBool,
    by: std::sync::OnceLock<crate::live::Interrupt>,
}

#[cfg(all(feature = "live", feature = "proptest"))]
impl Interrupted {
    /// The states under way are still finished; who asks again does not wait for them.
    fn come(&self, by: crate::live::Interrupt) {
        if self.by.set(by).is_err() {
            std::process::exit(i32::from(super::interrupted(by)));
        }
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
    }
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
