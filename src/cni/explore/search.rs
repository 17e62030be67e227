//! All cases, some at a time.

use super::case::{self, CutOutcome};
use super::step::{self, Cut, CutStep};
use super::{CutError, CutOptions, PluginProperty};
use crate::cni::Conflist;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

/// How far a search is.
#[derive(Debug, Default)]
pub struct CutProgress {
    /// Cases that were played.
    pub played: AtomicUsize,
    /// Cases that there are; 0 while the steps are still looked for.
    pub all: AtomicUsize,
}

/// A case that was played.
#[derive(Clone, Debug)]
pub struct PlayedCut {
    /// What was done; `None` for the run that nothing disturbed.
    pub cut: Option<Cut>,
    /// What came of it. What was wrong was so twice.
    pub outcome: CutOutcome,
    /// Properties that it lacked once, and once not.
    pub wavering: Vec<PluginProperty>,
}

/// What a search showed.
#[derive(Clone, Debug)]
pub struct CutReport {
    /// The steps, in their order within ADD, CHECK and DEL.
    pub steps: Vec<CutStep>,
    /// The cases, in the order of steps; the undisturbed one is the first.
    pub played: Vec<PlayedCut>,
    /// Cases that the budget did not reach to.
    pub left_out: usize,
}

impl CutReport {
    /// Whether every property was kept in every case.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.smallest().is_none()
    }

    /// The first failing case in the order of steps: one that needs no disturbance, if there is
    /// one.
    #[must_use]
    pub fn smallest(&self) -> Option<&PlayedCut> {
        self.played.iter().find(|it| it.outcome.lacks().next().is_some())
    }
}

/// Plays every case.
pub fn explore(list: &Conflist, options: &CutOptions, progress: &CutProgress) -> Result<CutReport, CutError> {
    let begun = Instant::now();
    let (first, second) = (case::record(list, options)?, case::record(list, options)?);
    let steps: Vec<CutStep> =
        first.iter().zip(&second).flat_map(|(a, b)| step::steps(a, b, super::checks(list))).collect();
    let cuts = steps.iter().flat_map(|step| {
        step.actions.iter().map(|action| Some(Cut { step: step.name.clone(), action: *action }))
    });
    let mut cuts: Vec<Option<Cut>> = std::iter::once(None).chain(cuts).collect();
    let all = cuts.len();
    cuts.truncate(options.budget.unwrap_or(all).max(1));
    progress.all.store(cuts.len(), Ordering::Relaxed);
    let plain = play(list, options, None, &[])?;
    let known: Vec<PluginProperty> = plain.outcome.lacks().collect();
    progress.played.fetch_add(1, Ordering::Relaxed);
    let queue = Queue { next: AtomicUsize::new(1), over: AtomicBool::new(false), done: Mutex::default() };
    let late = || options.budget_time.is_some_and(|it| begun.elapsed().as_nanos() >= u128::from(it.as_ns()));
    std::thread::scope(|scope| {
        for _ in 0..options.threads.clamp(1, cuts.len()) {
            scope.spawn(|| {
                while let Some((place, cut)) = queue.take(&cuts).filter(|_| !late()) {
                    queue.put(place, play(list, options, cut.as_ref(), &known));
                    progress.played.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let mut done = queue.done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_by_key(|(place, _)| *place);
    let rest = done.into_iter().map(|(_, played)| played);
    let played = std::iter::once(Ok(plain)).chain(rest).collect::<Result<Vec<_>, _>>()?;
    Ok(CutReport { steps, left_out: all - played.len(), played })
}

type Done = (usize, Result<PlayedCut, CutError>);

struct Queue {
    next: AtomicUsize,
    over: AtomicBool,
    done: Mutex<Vec<Done>>,
}

impl Queue {
    fn take<'c>(&self, cuts: &'c [Option<Cut>]) -> Option<(usize, &'c Option<Cut>)> {
        let place = self.next.fetch_add(1, Ordering::Relaxed);
        cuts.get(place).filter(|_| !self.over.load(Ordering::Relaxed)).map(|cut| (place, cut))
    }

    /// After an error there is no use in going on.
    fn put(&self, place: usize, played: Result<PlayedCut, CutError>) {
        if played.is_err() {
            self.over.store(true, Ordering::Relaxed);
        }
        self.done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((place, played));
    }
}

/// Plays a case, and once more if something was wrong: what a busy machine did alone is not
/// counted. What is `known` to be lacking anyway is not asked twice.
pub(super) fn play(
    list: &Conflist,
    options: &CutOptions,
    cut: Option<&Cut>,
    known: &[PluginProperty],
) -> Result<PlayedCut, CutError> {
    let mut outcome = case::run(list, options, cut)?;
    let mut wavering = Vec::new();
    if outcome.lacks().any(|property| !known.contains(&property)) {
        let again = case::run(list, options, cut)?;
        for property in PluginProperty::ALL {
            let (one, other) = (outcome.verdicts.get(&property), again.verdicts.get(&property));
            if matches!((one, other), (Some(Err(_)), Some(Ok(())))) {
                outcome.verdicts.insert(property, Ok(()));
                wavering.push(property);
            }
        }
    }
    Ok(PlayedCut { cut: cut.cloned(), outcome, wavering })
}
