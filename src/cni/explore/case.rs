//! One run with at most one disturbance, and what a runtime does then.

use super::client::{Client, Vigil};
use super::cutter::{Cutter, Undoing};
use super::snapshot::Snapshot;
use super::{Cut, CutAction, CutError, CutOptions, PluginProperty};
use crate::cni::gateway::{self, Talk};
use crate::cni::{Chain, Conflist, Operation, PluginStage, Verb};
use crate::time::Span;
use netns_lab::supervise::{Lever, Then, watch};
use netns_lab::{Monitor, Netns};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, channel};

/// What one run showed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CutOutcome {
    /// The step came, so that something was done to it. Always so without a disturbance.
    pub reached: bool,
    /// For each property that the run is about: whether it was kept, or what was wrong.
    pub verdicts: BTreeMap<PluginProperty, Result<(), String>>,
    /// For how long a client that asked as soon as it could had no answer, while a step of ADD
    /// was held.
    pub window: Option<Span>,
}

impl CutOutcome {
    /// The properties that it lacks.
    pub fn lacks(&self) -> impl Iterator<Item = PluginProperty> {
        self.verdicts.iter().filter(|(_, kept)| kept.is_err()).map(|(property, _)| *property)
    }
}

/// Runs it on a stage of its own. Without a cut nothing is disturbed.
pub(super) fn run(list: &Conflist, options: &CutOptions, cut: Option<&Cut>) -> Result<CutOutcome, CutError> {
    let stage = PluginStage::new()?;
    let beside = stage.with_pod(another("pod2")?);
    let lever = Lever::new()?;
    let chain = Chain::new(&stage, list, &options.cni)?.lever(&lever);
    let (vigil, _) = wire(&beside, list, options)?;
    let before = Snapshot::take(&stage)?;
    let mut course = Course {
        stage: &stage,
        list,
        options,
        chain,
        lever,
        before,
        cut,
        outcome: CutOutcome { reached: cut.is_none(), ..CutOutcome::default() },
    };
    course.run()?;
    let mut outcome = course.outcome;
    if let Some(vigil) = vigil {
        note(&mut outcome.verdicts, PluginProperty::Others, vigil.end());
    }
    outcome.verdicts.retain(|property, _| options.properties.contains(property));
    Ok(outcome)
}

/// What ADD, CHECK and DEL do when nothing is disturbed, for a second pod of the node.
pub(super) fn record(list: &Conflist, options: &CutOptions) -> Result<Vec<Operation>, CutError> {
    let stage = PluginStage::new()?;
    let beside = stage.with_pod(another("pod2")?);
    let _kept = wire(&beside, list, options)?;
    let chain = Chain::new(&stage, list, &options.cni)?;
    let (add, result) = chain.add(&mut watch())?;
    let mut operations = vec![add];
    if super::checks(list) {
        operations.push(chain.again(Verb::Check, result.as_ref(), &mut watch())?);
    }
    operations.push(chain.again(Verb::Del, result.as_ref(), &mut watch())?);
    Ok(operations)
}

fn another(label: &str) -> Result<Arc<Netns>, CutError> {
    Ok(Arc::new(Netns::new(label).map_err(std::io::Error::other)?))
}

/// Wires a pod that nobody disturbs, and watches over it.
fn wire(
    stage: &PluginStage,
    list: &Conflist,
    options: &CutOptions,
) -> Result<(Option<Vigil>, Value), CutError> {
    let chain = Chain::new(stage, list, &options.cni)?;
    let (add, result) = chain.add(&mut watch())?;
    let Some(result) = result else { return Err(CutError::Undisturbed(fault(&add))) };
    if add.invocations.iter().any(|it| it.left_behind) {
        return Err(CutError::Undisturbed(fault(&add)));
    }
    let client = open(stage, options, &result).ok().flatten();
    // whose gateway does not answer anyway has none to lose
    let client = client.and_then(|mut it| it.reaches_within(options.within).ok().map(|()| it));
    Ok((client.map(Vigil::start).transpose()?, result))
}

fn open(stage: &PluginStage, options: &CutOptions, result: &Value) -> Result<Option<Client>, String> {
    Client::open(&stage.pod, &options.cni.ifname, result, options.cni.gateway)
}

/// What went wrong in an operation.
pub(super) fn fault(operation: &Operation) -> super::CutFault {
    let verb = operation.verb;
    let last = operation.invocations.last();
    let plugin = last.map(|it| it.plugin.clone()).unwrap_or_default();
    super::CutFault { verb, plugin, why: last.and_then(|it| it.answer.clone().err()) }
}

/// The first word on a property stands, unless it was good and a later one is not.
fn note(
    verdicts: &mut BTreeMap<PluginProperty, Result<(), String>>,
    property: PluginProperty,
    kept: Result<(), String>,
) {
    let known = verdicts.entry(property).or_insert(Ok(()));
    if known.is_ok() {
        *known = kept;
    }
}

struct Course<'a> {
    stage: &'a PluginStage,
    list: &'a Conflist,
    options: &'a CutOptions,
    chain: Chain<'a>,
    lever: Lever,
    before: Snapshot,
    cut: Option<&'a Cut>,
    outcome: CutOutcome,
}

impl Course<'_> {
    fn run(&mut self) -> Result<(), CutError> {
        let verb = self.cut.map_or(Verb::Add, |cut| cut.step.verb);
        let (added, undoing) = if verb == Verb::Add { self.add_cut()? } else { (self.add()?, None) };
        match (verb, undoing) {
            // what others take away is for CHECK to say, and for nothing else to be held against
            (Verb::Add, Some(undoing)) => return self.check_undone(&undoing, added.as_ref()),
            (Verb::Add, None) => self.check(added.as_ref(), "after ADD")?,
            (Verb::Check, _) => {
                self.disturbed(|chain, cutter| chain.again(Verb::Check, added.as_ref(), cutter))?;
                self.check(added.as_ref(), "after a CHECK that was disturbed")?;
                self.reaches(added.as_ref(), PluginProperty::Gateway);
            }
            _ => self.del_cut(added.as_ref())?,
        }
        self.aftermath(added.as_ref())
    }

    fn say(&mut self, property: PluginProperty, kept: Result<(), String>) {
        note(&mut self.outcome.verdicts, property, kept);
    }

    /// An ADD that nothing disturbs; it was seen to succeed for another pod.
    fn add(&mut self) -> Result<Option<Value>, CutError> {
        let (operation, result) = self.chain.add(&mut watch())?;
        if result.is_none() {
            return Err(CutError::Undisturbed(fault(&operation)));
        }
        Ok(result)
    }

    fn add_cut(&mut self) -> Result<(Option<Value>, Option<Undoing>), CutError> {
        let asks = self.cut.is_some_and(|cut| cut.action == CutAction::Hold);
        let talk = Talk::default();
        talk.suggest(self.options.cni.gateway);
        let (stage, options) = (self.stage, self.options);
        let (done, report) = std::thread::scope(|scope| {
            let asker = asks.then(|| Monitor::open(&stage.pod)).and_then(Result::ok).map(|monitor| {
                let talk = &talk;
                let ifname = &options.cni.ifname;
                scope.spawn(move || gateway::ask(monitor, &stage.pod, ifname, talk, options.within))
            });
            let done = self.disturbed(|chain, cutter| chain.add(cutter));
            talk.done.store(true, Ordering::SeqCst);
            (done, asker.and_then(|asker| asker.join().ok()))
        });
        let ((_, result), undoing) = done?;
        if let Some(report) = report {
            let spell = report.first_asked_ns.zip(report.first_answer_ns);
            self.outcome.window = spell.map(|(asked, answer)| Span::from_ns(answer.saturating_sub(asked)));
        }
        self.reaches(result.as_ref(), PluginProperty::Gateway);
        Ok((result, undoing))
    }

    /// DEL with the disturbance. One that says that it succeeded is not made again by anybody.
    fn del_cut(&mut self, added: Option<&Value>) -> Result<(), CutError> {
        let (operation, _) = self.disturbed(|chain, cutter| chain.again(Verb::Del, added, cutter))?;
        if operation.is_well() {
            let left = self.left()?;
            self.say(PluginProperty::Clean, left.map_err(|left| format!("DEL said success, and {left}")));
        }
        Ok(())
    }

    /// Runs something under the cutter, and another pod's ADD meanwhile if that is the cut.
    fn disturbed<T>(
        &mut self,
        work: impl FnOnce(&Chain<'_>, &mut Cutter<'_>) -> Result<T, crate::cni::PluginTraceError>,
    ) -> Result<(T, Option<Undoing>), CutError> {
        let (waits, told) = channel();
        let mut cutter = Cutter::new(self.cut, self.stage, self.options.hold, waits);
        let with_other = self.cut.is_some_and(|cut| cut.action == CutAction::OtherFirst);
        let other = with_other.then(|| another("pod3")).transpose()?.map(|pod| self.stage.with_pod(pod));
        let (list, options, lever) = (self.list, self.options, &self.lever);
        let (done, beside) = std::thread::scope(|scope| {
            let beside =
                other.as_ref().map(|other| scope.spawn(move || beside(other, list, options, &told, lever)));
            let done = work(&self.chain, &mut cutter);
            let undoing = cutter.undoing.take();
            let reached = cutter.reached;
            // so that the other does not wait for ever for a step that did not come
            drop(cutter);
            let beside = beside.and_then(|it| it.join().ok());
            (done.map(|done| (done, undoing, reached)), beside)
        });
        let (done, undoing, reached) = done?;
        self.outcome.reached |= reached;
        if let Some(kept) = beside.transpose()?.flatten() {
            self.say(PluginProperty::Others, kept);
        }
        Ok((done, undoing))
    }

    fn reaches(&mut self, result: Option<&Value>, property: PluginProperty) {
        let Some(result) = result else { return };
        let kept = match open(self.stage, self.options, result) {
            Ok(None) => return,
            Ok(Some(mut client)) => client.reaches_within(self.options.within),
            Err(why) => Err(why),
        };
        let after = if property == PluginProperty::Readd { "after ADD again, " } else { "" };
        self.say(property, kept.map_err(|why| format!("{after}{why}")));
    }

    fn check(&mut self, added: Option<&Value>, when: &str) -> Result<(), CutError> {
        if added.is_some() && super::checks(self.list) {
            let check = self.chain.again(Verb::Check, added, &mut watch())?;
            let kept = if check.is_well() { Ok(()) } else { Err(format!("{when}: {}", fault(&check))) };
            self.say(PluginProperty::Agrees, kept);
        }
        Ok(())
    }

    fn check_undone(&mut self, undoing: &Undoing, added: Option<&Value>) -> Result<(), CutError> {
        if added.is_none() || !undoing.has_effect(|path| !self.before.has_file(path)) {
            return Ok(());
        }
        // what went with something else cannot be undone alone
        let Ok(undone) = undoing.apply(self.stage) else { return Ok(()) };
        let check = self.chain.again(Verb::Check, added, &mut watch())?;
        let kept = if check.is_well() { Err(format!("CHECK says yes after `{undone}`")) } else { Ok(()) };
        self.say(PluginProperty::Notices, kept);
        Ok(())
    }

    /// What a runtime does after whatever happened: DEL, and ADD again. The second DEL asks
    /// whether there may be one.
    fn aftermath(&mut self, added: Option<&Value>) -> Result<(), CutError> {
        for property in [PluginProperty::Clean, PluginProperty::Again] {
            let del = self.chain.again(Verb::Del, added, &mut watch())?;
            let kept = if del.is_well() { self.left()? } else { Err(fault(&del).to_string()) };
            self.say(property, kept);
        }
        let (add, result) = self.chain.add(&mut watch())?;
        let kept = if result.is_some() { Ok(()) } else { Err(fault(&add).to_string()) };
        self.say(PluginProperty::Readd, kept);
        self.reaches(result.as_ref(), PluginProperty::Readd);
        self.check(result.as_ref(), "after ADD again")
    }

    fn left(&self) -> Result<Result<(), String>, CutError> {
        let left = Snapshot::take(self.stage)?.since(&self.before);
        Ok(if left.is_empty() { Ok(()) } else { Err(left.join(", ")) })
    }
}

/// Another pod's ADD while a step waits, and its DEL; how it fared.
fn beside(
    other: &PluginStage,
    list: &Conflist,
    options: &CutOptions,
    told: &Receiver<usize>,
    lever: &Lever,
) -> Result<Option<Result<(), String>>, CutError> {
    let Ok(number) = told.recv() else { return Ok(None) };
    let chain = Chain::new(other, list, &options.cni)?;
    let added = chain.add(&mut watch());
    lever.release(number, Then::LetGo);
    let (add, result) = added?;
    let kept = match &result {
        None => Err(format!("meanwhile, of another pod: {}", fault(&add))),
        Some(result) => match open(other, options, result) {
            Ok(Some(mut client)) => client.reaches_within(options.within),
            Ok(None) => Ok(()),
            Err(why) => Err(why),
        }
        .map_err(|why| format!("a pod that was added meanwhile: {why}")),
    };
    chain.again(Verb::Del, result.as_ref(), &mut watch())?;
    Ok(Some(kept))
}
