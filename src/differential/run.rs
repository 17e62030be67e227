//! A run over many states, and what is left of a state that disagrees.

use super::check::{CheckStop, check};
use super::report::{ComparedCounts, Contrast, Disagreement, Summary, Where};
use super::rig::KernelLab;
use crate::addr::IfName;
use crate::namespace::StageError;
use crate::strategies::{HostCase, Inquiry, host_case, host_case6};
use netns_lab::PacketError;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long is listened where a difference showed, for replies that are only late.
const PATIENCE: Duration = Duration::from_millis(150);
/// A difference is believed if it shows so often again.
const CONFIRMED_BY: usize = 2;
/// Threads beyond this only wait for each other.
const JOBS_MAX: usize = 64;
/// One state of so many is of IPv6.
const SIX_EVERY: u64 = 5;
/// Trials spent on making a failure small.
const SHRINK_MAX: usize = 400;

/// What is to be run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DifferentialOptions {
    /// Seed of the states.
    pub seed: u64,
    /// Number of the first state.
    pub first: u64,
    /// How many states.
    pub states: u64,
    /// Go on after a disagreement.
    pub keep_going: bool,
    /// Threads that work, at most 64. Most of a state's time is spent waiting for the kernel.
    pub jobs: usize,
}

/// Twice the processors: a thread mostly waits.
#[must_use]
pub fn default_jobs() -> usize {
    2 * std::thread::available_parallelism().map_or(1, usize::from)
}

/// The lab cannot be built here, or broke: no verdict on kernel or model.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A namespace could not be made, changed or asked.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// A frame of the lab's own was lost, so that nobody knows what the kernel has dealt with.
    #[error("a frame sent {way} {dev} did not come out at its other end")]
    Lost {
        /// The interface.
        dev: IfName,
        /// `into` or `out of` it.
        way: &'static str,
    },
    /// A thread of the run ended, which is a fault of the program.
    #[error("a thread of the run panicked")]
    Panicked,
    /// It was in a state that this happened.
    #[error("state {state} could not be staged: {why}")]
    State {
        /// Its number, for `--first`.
        state: u64,
        /// What happened.
        why: Box<LabError>,
    },
}

impl From<PacketError> for LabError {
    fn from(e: PacketError) -> LabError {
        LabError::Stage(e.into())
    }
}

/// Stages and asks the states, and tells after each one how many are done.
///
/// It ends early, with what was found until then, once `asked` is set. Call it in a process that may
/// make network namespaces; it makes and uses only its own.
pub fn run(
    options: &DifferentialOptions,
    asked: &AtomicBool,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Summary, LabError> {
    let begun = Instant::now();
    let course = Course { options, next: AtomicU64::new(0), stop: AtomicBool::new(false), asked, progress };
    let jobs = options.jobs.clamp(1, JOBS_MAX);
    let parts: Vec<Result<Summary, LabError>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs).map(|_| scope.spawn(|| course.work())).collect();
        threads.into_iter().map(|t| t.join().unwrap_or_else(|_| Err(LabError::Panicked))).collect()
    });
    let mut whole = Summary::new(options.seed);
    for part in parts {
        whole.add(part?);
    }
    whole.disagreements.sort_by_key(|d| d.state);
    whole.took = begun.elapsed();
    Ok(whole)
}

/// A run that several threads work off, each in a lab of its own.
struct Course<'a> {
    options: &'a DifferentialOptions,
    next: AtomicU64,
    stop: AtomicBool,
    /// The same from outside; then nothing is made smaller either.
    asked: &'a AtomicBool,
    progress: &'a (dyn Fn(u64) + Sync),
}

impl Course<'_> {
    fn work(&self) -> Result<Summary, LabError> {
        let done = self.states();
        if done.is_err() {
            self.stop.store(true, Ordering::Relaxed);
        }
        done
    }

    fn states(&self) -> Result<Summary, LabError> {
        let DifferentialOptions { seed, first, states, keep_going, .. } = *self.options;
        let mut tester = Tester::new()?;
        let mut part = Summary::new(seed);
        while !self.stop.load(Ordering::Relaxed) && !self.asked.load(Ordering::Relaxed) {
            let at = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(state) = first.checked_add(at).filter(|_| at < states) else { break };
            let case = tester.case(seed, state);
            match tester.trial(&case).map_err(|why| LabError::State { state, why: why.into() })? {
                CaseVerdict::Agrees => part.agreed += 1,
                CaseVerdict::Fleeting => (part.agreed, part.fleeting) = (part.agreed + 1, part.fleeting + 1),
                CaseVerdict::Differs(difference) => {
                    if !keep_going {
                        self.stop.store(true, Ordering::Relaxed);
                    }
                    tracing::warn!("state {state} of seed {seed} differs; it is made smaller now");
                    let (case, difference) = tester.shrink(case, difference, self.asked);
                    part.disagreements.push(Disagreement { seed, state, case, difference });
                }
            }
            (self.progress)(at + 1);
        }
        part.tally = tester.tally;
        Ok(part)
    }
}

enum CaseVerdict {
    Agrees,
    Fleeting,
    Differs(Contrast),
}

struct Tester {
    lab: KernelLab,
    tally: ComparedCounts,
    asker: u32,
}

impl Tester {
    fn new() -> Result<Tester, LabError> {
        let lab = KernelLab::new()?;
        Ok(Tester { lab, tally: ComparedCounts::default(), asker: 0 })
    }

    /// The state of that number, whatever came before.
    fn case(&self, seed: u64, state: u64) -> HostCase {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        bytes[8..16].copy_from_slice(&state.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let drawn = if state % SIX_EVERY == SIX_EVERY - 1 {
            host_case6().new_tree(&mut runner).map(|tree| tree.current())
        } else {
            host_case(self.lab.offer).new_tree(&mut runner).map(|tree| tree.current())
        };
        // filters that reject everything: there is no such state
        drawn.unwrap_or_else(|_| HostCase { changes: Vec::new(), asks: Vec::new(), solicits: Vec::new() })
    }

    fn trial(&mut self, case: &HostCase) -> Result<CaseVerdict, LabError> {
        let mut tally = self.tally.clone();
        let first = self.once(case, Duration::ZERO, &mut tally)?;
        self.tally = tally;
        if first.is_none() {
            return Ok(CaseVerdict::Agrees);
        }
        match self.confirmed(case)? {
            Some(difference) => Ok(CaseVerdict::Differs(difference)),
            None => Ok(CaseVerdict::Fleeting),
        }
    }

    fn once(
        &mut self,
        case: &HostCase,
        patience: Duration,
        tally: &mut ComparedCounts,
    ) -> Result<Option<Contrast>, LabError> {
        match check(&mut self.lab, case, patience, tally, &mut self.asker) {
            Ok(()) => Ok(None),
            Err(CheckStop::Differs(difference)) => Ok(Some(difference)),
            Err(CheckStop::Lab(why)) => Err(why),
        }
    }

    fn confirmed(&mut self, case: &HostCase) -> Result<Option<Contrast>, LabError> {
        let mut last = None;
        for _ in 0..CONFIRMED_BY {
            last = self.once(case, PATIENCE, &mut ComparedCounts::default())?;
            if last.is_none() {
                break;
            }
        }
        Ok(last)
    }

    /// Takes away what is not needed for the two to differ.
    fn shrink(
        &mut self,
        mut case: HostCase,
        mut difference: Contrast,
        asked: &AtomicBool,
    ) -> (HostCase, Contrast) {
        let mut trials = 0;
        loop {
            let before = (case.clone(), trials);
            for smaller in candidates(&case, &difference) {
                if smaller == case {
                    continue;
                }
                if trials >= SHRINK_MAX || asked.load(Ordering::Relaxed) {
                    return (case, difference);
                }
                trials += 1;
                // trouble in the lab is no difference
                if let Ok(Some(found)) = self.confirmed(&smaller) {
                    (case, difference) = (smaller, found);
                    break;
                }
            }
            if before.0 == case {
                return (case, difference);
            }
        }
    }
}

/// Cases with a little less in them, the boldest first.
fn candidates(case: &HostCase, difference: &Contrast) -> Vec<HostCase> {
    let mut all = Vec::new();
    if let Where::Change(at) = difference.at
        && (at + 1 < case.changes.len() || !case.asks.is_empty())
    {
        all.push(HostCase { changes: case.changes[..=at].to_vec(), ..case.clone() });
        all.push(HostCase { asks: Vec::new(), ..all[0].clone() });
    }
    if let Where::Ask(at) | Where::Repair { ask: at, .. } = difference.at
        && case.asks.len() > 1
    {
        all.push(HostCase { asks: vec![case.asks[at].clone()], ..case.clone() });
    }
    for at in (0..case.asks.len()).rev() {
        let mut smaller = case.clone();
        smaller.asks.remove(at);
        all.push(smaller);
    }
    // the last stays: with none the host has no IPv6
    for at in (0..case.solicits.len()).rev().filter(|_| case.solicits.len() > 1) {
        let mut smaller = case.clone();
        smaller.solicits.remove(at);
        all.push(smaller);
    }
    for at in (0..case.changes.len()).rev() {
        let mut smaller = case.clone();
        smaller.changes.remove(at);
        all.push(smaller);
    }
    for (at, ask) in case.asks.iter().enumerate() {
        let arp = ask.arp;
        let plain = Inquiry::broadcast(ask.dev, arp.sha, arp.spa, arp.tpa);
        if plain != *ask {
            let mut smaller = case.clone();
            smaller.asks[at] = plain;
            all.push(smaller);
        }
    }
    all
}
