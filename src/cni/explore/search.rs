//! All cases, some at a time.

use super::case::{self, CutOutcome, Ground};
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
    /// What was done; `None` for a run that nothing disturbed.
    pub cut: Option<Cut>,
    /// It was a node's first pod; else another one was there before.
    pub alone: bool,
    /// What came of it. What was wrong was so twice.
    pub outcome: CutOutcome,
    /// Properties that it lacked once, and once not.
    pub wavering: Vec<PluginProperty>,
}

impl PlayedCut {
    /// What was done, and where.
    #[must_use]
    pub fn what(&self) -> String {
        match &self.cut {
            Some(cut) => cut.to_string(),
            None if self.alone => "nothing is done (a node's first pod)".into(),
            None => "nothing is done".into(),
        }
    }
}

/// What a search showed.
#[derive(Clone, Debug)]
pub struct CutReport {
    /// The steps, in their order within ADD, CHECK, DEL, GC and STATUS; after those of a pod beside another
    /// those that only a node's first pod takes.
    pub steps: Vec<CutStep>,
    /// The cases, in the order of steps; the undisturbed ones are the first.
    pub played: Vec<PlayedCut>,
    /// What an undisturbed ADD and DEL leave on a node that had no pod: it is the node's from then on.
    pub keeps: Vec<String>,
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
    let (beside, _) = steps(list, options, false)?;
    let (alone, keeps) = steps(list, options, true)?;
    let ground = Ground { list, options, keeps };
    let first = step::only_first(alone, &beside);
    let steps: Vec<CutStep> = beside.into_iter().chain(first).collect();
    let cuts = steps.iter().flat_map(|step| {
        let cut = |action: &_| Cut { step: step.name.clone(), action: *action };
        step.actions.iter().map(move |action| (Some(cut(action)), step.name.alone))
    });
    let mut cases: Vec<Case> = [(None, false), (None, true)].into_iter().chain(cuts).collect();
    let all = cases.len();
    cases.truncate(options.budget.unwrap_or(all).max(1));
    progress.all.store(cases.len(), Ordering::Relaxed);
    let plain = play(&ground, None, false, &[])?;
    let known: Vec<PluginProperty> = plain.outcome.lacks().collect();
    progress.played.fetch_add(1, Ordering::Relaxed);
    let queue = Queue { next: AtomicUsize::new(1), over: AtomicBool::new(false), done: Mutex::default() };
    let late = || options.budget_time.is_some_and(|it| begun.elapsed().as_nanos() >= u128::from(it.as_ns()));
    std::thread::scope(|scope| {
        for _ in 0..options.threads.clamp(1, cases.len()) {
            scope.spawn(|| {
                while let Some((place, (cut, alone))) = queue.take(&cases).filter(|_| !late()) {
                    queue.put(place, play(&ground, cut.as_ref(), *alone, &known));
                    progress.played.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let mut done = queue.done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_by_key(|(place, _)| *place);
    let rest = done.into_iter().map(|(_, played)| played);
    let played = std::iter::once(Ok(plain)).chain(rest).collect::<Result<Vec<_>, _>>()?;
    Ok(CutReport { steps, left_out: all - played.len(), played, keeps: ground.keeps })
}

/// A disturbance, if there is one, and whether the node has no other pod.
type Case = (Option<Cut>, bool);

/// The steps of all verbs, and what an ADD and its DEL leave on a node that had no pod.
fn steps(
    list: &Conflist,
    options: &CutOptions,
    alone: bool,
) -> Result<(Vec<CutStep>, Vec<String>), CutError> {
    let (first, second) = (case::record(list, options, alone)?, case::record(list, options, alone)?);
    let pairs = first.operations.iter().zip(&second.operations);
    let steps = pairs.flat_map(|(a, b)| step::steps(a, b, alone, super::asks(list)));
    Ok((steps.collect(), first.keeps))
}

/// Plays a case of a file. What the node keeps is asked of the plugins that are there now.
pub(super) fn replay(
    list: &Conflist,
    options: &CutOptions,
    cut: Option<&Cut>,
    alone: bool,
) -> Result<PlayedCut, CutError> {
    let keeps = case::keeps(list, options)?;
    play(&Ground { list, options, keeps }, cut, alone, &[])
}

type Done = (usize, Result<PlayedCut, CutError>);

struct Queue {
    next: AtomicUsize,
    over: AtomicBool,
    done: Mutex<Vec<Done>>,
}

impl Queue {
    fn take<'c>(&self, cases: &'c [Case]) -> Option<(usize, &'c Case)> {
        let place = self.next.fetch_add(1, Ordering::Relaxed);
        cases.get(place).filter(|_| !self.over.load(Ordering::Relaxed)).map(|case| (place, case))
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
fn play(
    ground: &Ground<'_>,
    cut: Option<&Cut>,
    alone: bool,
    known: &[PluginProperty],
) -> Result<PlayedCut, CutError> {
    let mut outcome = case::run(ground, cut, alone)?;
    let mut wavering = Vec::new();
    if outcome.lacks().any(|property| !known.contains(&property)) {
        let again = case::run(ground, cut, alone)?;
        for property in PluginProperty::ALL {
            let (one, other) = (outcome.verdicts.get(&property), again.verdicts.get(&property));
            if matches!((one, other), (Some(Err(_)), Some(Ok(())))) {
                outcome.verdicts.insert(property, Ok(()));
                wavering.push(property);
            }
        }
    }
    Ok(PlayedCut { cut: cut.cloned(), alone, outcome, wavering })
}
