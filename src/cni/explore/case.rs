//! One run with at most one disturbance, and what a runtime does then.

use super::client::{Client, Vigil};
use super::cutter::{Cutter, Undoing};
use super::snapshot::{Snapshot, subject};
use super::{Cut, CutAction, CutError, CutOptions, PluginProperty, stale};
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

/// What all cases of a configuration have in common.
pub(super) struct Ground<'g> {
    pub(super) list: &'g Conflist,
    pub(super) options: &'g CutOptions,
    /// What an undisturbed ADD and DEL leave on a node that had no pod.
    pub(super) keeps: Vec<String>,
}

impl Ground<'_> {
    /// Without what is the node's, once it has had a pod.
    fn without_kept(&self, mut left: Vec<String>) -> Vec<String> {
        left.retain(|line| !self.keeps.iter().any(|kept| subject(kept) == subject(line)));
        left
    }
}

/// A pod that nobody disturbs.
pub(super) struct Wired<'a> {
    pub(super) stage: &'a PluginStage,
    pub(super) chain: Chain<'a>,
    pub(super) result: Value,
    vigil: Option<Vigil>,
}

/// Runs it on a stage of its own. Without a cut nothing is disturbed; `alone`: the node has no pod yet.
pub(super) fn run(ground: &Ground<'_>, cut: Option<&Cut>, alone: bool) -> Result<CutOutcome, CutError> {
    let (list, options) = (ground.list, ground.options);
    let stage = PluginStage::new()?;
    let other = stage.with_pod(another("pod2")?);
    let lever = Lever::new()?;
    let chain = Chain::new(&stage, list, &options.cni)?.lever(&lever);
    let gc = super::asks(list).gc;
    let bare = if alone || gc { Snapshot::take(&stage)? } else { Snapshot::default() };
    let wired = if alone { None } else { Some(wire(&other, list, options)?) };
    let before = if alone { bare.clone() } else { Snapshot::take(&stage)? };
    let mut course = Course {
        ground,
        stage: &stage,
        chain,
        lever,
        wired,
        bare,
        before,
        cut,
        outcome: CutOutcome { reached: cut.is_none(), ..CutOutcome::default() },
    };
    course.run()?;
    course.others();
    let mut outcome = course.outcome;
    outcome.verdicts.retain(|property, _| options.properties.contains(property));
    Ok(outcome)
}

/// What was seen of a pod that nobody disturbed.
pub(super) struct Recorded {
    /// ADD, CHECK, DEL, GC and STATUS, as far as the configuration has them.
    pub(super) operations: Vec<Operation>,
    /// What DEL left on a node that had no pod.
    pub(super) keeps: Vec<String>,
}

/// What the plugins do when nothing is disturbed, for a node's first pod or for its second.
pub(super) fn record(list: &Conflist, options: &CutOptions, alone: bool) -> Result<Recorded, CutError> {
    let stage = PluginStage::new()?;
    let other = stage.with_pod(another("pod2")?);
    let bare = if alone { Snapshot::take(&stage)? } else { Snapshot::default() };
    let _wired = if alone { None } else { Some(wire(&other, list, options)?) };
    let chain = Chain::new(&stage, list, &options.cni)?;
    let asks = super::asks(list);
    let (add, result) = chain.add(&mut watch())?;
    let mut operations = vec![add];
    if asks.check {
        operations.push(chain.again(Verb::Check, result.as_ref(), &mut watch())?);
    }
    operations.push(chain.again(Verb::Del, result.as_ref(), &mut watch())?);
    let keeps = if alone { Snapshot::take(&stage)?.since(&bare) } else { Vec::new() };
    if asks.gc {
        operations.push(record_gc(list, options, alone)?);
    }
    if asks.status {
        operations.push(chain.status(&mut watch())?);
    }
    Ok(Recorded { operations, keeps })
}

/// What an undisturbed ADD and DEL leave on a node that had no pod.
pub(super) fn keeps(list: &Conflist, options: &CutOptions) -> Result<Vec<String>, CutError> {
    let stage = PluginStage::new()?;
    let bare = Snapshot::take(&stage)?;
    let chain = Chain::new(&stage, list, &options.cni)?;
    let (_, result) = chain.add(&mut watch())?;
    chain.again(Verb::Del, result.as_ref(), &mut watch())?;
    Ok(Snapshot::take(&stage)?.since(&bare))
}

/// GC of a pod that went without a DEL, on a stage of its own: what an address is, is a matter of those
/// that were given before.
fn record_gc(list: &Conflist, options: &CutOptions, alone: bool) -> Result<Operation, CutError> {
    let stage = PluginStage::new()?;
    let other = stage.with_pod(another("pod2")?);
    let wired = if alone { None } else { Some(wire(&other, list, options)?) };
    let chain = Chain::new(&stage, list, &options.cni)?;
    chain.add(&mut watch())?;
    stale::vanish(&stage.pod)?;
    let valid: Vec<Value> = wired.iter().map(|it| it.chain.attachment()).collect();
    Ok(chain.gc(&valid, &mut watch())?)
}

fn another(label: &str) -> Result<Arc<Netns>, CutError> {
    Ok(Arc::new(Netns::new(label).map_err(std::io::Error::other)?))
}

/// Wires a pod that nobody disturbs, and watches over it.
fn wire<'a>(
    stage: &'a PluginStage,
    list: &'a Conflist,
    options: &'a CutOptions,
) -> Result<Wired<'a>, CutError> {
    let chain = Chain::new(stage, list, &options.cni)?;
    let (add, result) = chain.add(&mut watch())?;
    let Some(result) = result else { return Err(CutError::Undisturbed(fault(&add))) };
    if add.invocations.iter().any(|it| it.left_behind) {
        return Err(CutError::Undisturbed(fault(&add)));
    }
    let client = open(stage, options, &result).ok().flatten();
    // whose gateway does not answer anyway has none to lose
    let client = client.and_then(|mut it| it.reaches_within(options.within).ok().map(|()| it));
    Ok(Wired { stage, chain, result, vigil: client.map(Vigil::start).transpose()? })
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

pub(super) struct Course<'a> {
    pub(super) ground: &'a Ground<'a>,
    pub(super) stage: &'a PluginStage,
    pub(super) chain: Chain<'a>,
    lever: Lever,
    /// The pod that was there before, if any was.
    pub(super) wired: Option<Wired<'a>>,
    /// What there was before any pod, where somebody asks for that: the node is a first pod's, or there is GC.
    bare: Snapshot,
    /// What there was before this one.
    before: Snapshot,
    pub(super) cut: Option<&'a Cut>,
    outcome: CutOutcome,
}

impl Course<'_> {
    fn run(&mut self) -> Result<(), CutError> {
        let verb = self.cut.map_or(Verb::Add, |cut| cut.step.verb);
        match verb {
            Verb::Status => return self.status_cut(),
            Verb::Add if self.cut.is_some() => {}
            _ => self.asks_status("before ADD")?,
        }
        let (added, undoing) = if verb == Verb::Add { self.add_cut()? } else { (self.add()?, None) };
        let orphan = self.cut.is_some_and(|cut| cut.action == CutAction::Orphan);
        match (verb, undoing) {
            // what others take away is for CHECK to say, and for nothing else to be held against
            (Verb::Add, Some(undoing)) => return self.check_undone(&undoing, added.as_ref()),
            (Verb::Add, None) => self.check(added.as_ref(), "after ADD")?,
            (Verb::Check, _) => {
                self.disturbed(|chain, cutter| chain.again(Verb::Check, added.as_ref(), cutter))?;
                self.check(added.as_ref(), "after a CHECK that was disturbed")?;
                self.reaches(added.as_ref(), PluginProperty::Gateway, "");
            }
            (Verb::Gc, _) => {
                self.gc_cut()?;
                return self.stale();
            }
            _ => self.del_cut(added.as_ref())?,
        }
        if self.cut.is_none() {
            self.gc_of_the_living(added.as_ref())?;
        }
        if orphan && self.outcome.reached { self.stale() } else { self.aftermath(added.as_ref()) }
    }

    pub(super) fn say(&mut self, property: PluginProperty, kept: Result<(), String>) {
        note(&mut self.outcome.verdicts, property, kept);
    }

    /// Whether the pod that was there before always had its gateway; nobody asks for it after that.
    pub(super) fn others(&mut self) {
        if let Some(vigil) = self.wired.as_mut().and_then(|it| it.vigil.take()) {
            self.say(PluginProperty::Others, vigil.end());
        }
    }

    /// An ADD that nothing disturbs; it was seen to succeed for another pod.
    pub(super) fn add(&mut self) -> Result<Option<Value>, CutError> {
        let (operation, result) = self.chain.add(&mut watch())?;
        if result.is_none() {
            return Err(CutError::Undisturbed(fault(&operation)));
        }
        Ok(result)
    }

    fn add_cut(&mut self) -> Result<(Option<Value>, Option<Undoing>), CutError> {
        let asks = self.cut.is_some_and(|cut| cut.action == CutAction::Hold);
        let talk = Talk::default();
        talk.suggest(self.ground.options.cni.gateway);
        let (stage, options) = (self.stage, self.ground.options);
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
        self.reaches(result.as_ref(), PluginProperty::Gateway, "");
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
    pub(super) fn disturbed<T>(
        &mut self,
        work: impl FnOnce(&Chain<'_>, &mut Cutter<'_>) -> Result<T, crate::cni::PluginTraceError>,
    ) -> Result<(T, Option<Undoing>), CutError> {
        let (waits, told) = channel();
        let mut cutter = Cutter::new(self.cut, self.stage, self.ground.options.hold, waits);
        let with_other = self.cut.is_some_and(|cut| cut.action == CutAction::OtherFirst);
        let other = with_other.then(|| another("pod3")).transpose()?.map(|pod| self.stage.with_pod(pod));
        let (list, options, lever) = (self.ground.list, self.ground.options, &self.lever);
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

    pub(super) fn reaches(&mut self, result: Option<&Value>, property: PluginProperty, after: &str) {
        let Some(result) = result else { return };
        let kept = match open(self.stage, self.ground.options, result) {
            Ok(None) => return,
            Ok(Some(mut client)) => client.reaches_within(self.ground.options.within),
            Err(why) => Err(why),
        };
        self.say(property, kept.map_err(|why| format!("{after}{why}")));
    }

    pub(super) fn check(&mut self, added: Option<&Value>, when: &str) -> Result<(), CutError> {
        if added.is_some() && super::asks(self.ground.list).check {
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
    pub(super) fn aftermath(&mut self, added: Option<&Value>) -> Result<(), CutError> {
        for property in [PluginProperty::Clean, PluginProperty::Again] {
            let del = self.chain.again(Verb::Del, added, &mut watch())?;
            let kept = if del.is_well() { self.left()? } else { Err(fault(&del).to_string()) };
            self.say(property, kept);
        }
        self.readd()
    }

    /// ADD, once more, of a pod of which nothing should be left.
    pub(super) fn readd(&mut self) -> Result<(), CutError> {
        let ready = self.status()?;
        let (add, result) = self.chain.add(&mut watch())?;
        if let (Some(Err(no)), Some(_)) = (&ready, &result) {
            self.say(PluginProperty::Status, Err(format!("{no}; and the ADD after that succeeded")));
        }
        let kept = if result.is_some() { Ok(()) } else { Err(fault(&add).to_string()) };
        self.say(PluginProperty::Readd, kept);
        self.reaches(result.as_ref(), PluginProperty::Readd, "after ADD again, ");
        self.check(result.as_ref(), "after ADD again")
    }

    pub(super) fn left(&self) -> Result<Result<(), String>, CutError> {
        let left = Snapshot::take(self.stage)?.since(&self.before);
        // beside another pod the node has already what it keeps
        let left = if self.wired.is_none() { self.ground.without_kept(left) } else { left };
        Ok(nothing(&left))
    }

    /// What there is that was not there before any pod was.
    pub(super) fn left_of_all(&self) -> Result<Result<(), String>, CutError> {
        let left = Snapshot::take(self.stage)?.since(&self.bare);
        Ok(nothing(&self.ground.without_kept(left)))
    }
}

fn nothing(left: &[String]) -> Result<(), String> {
    if left.is_empty() { Ok(()) } else { Err(left.join(", ")) }
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
