//! GC and STATUS: what a runtime asks of version 1.1.0 of the specification without a container in hand.

use super::case::Course;
use super::{CutError, PluginProperty};
use crate::cni::{Operation, Verb};
use netns_lab::Netns;
use netns_lab::supervise::watch;
use serde_json::Value;

/// What the kernel does to the interfaces of a namespace that goes: they are deleted, and the other ends
/// of its veths with them.
pub(super) fn vanish(pod: &Netns) -> Result<(), CutError> {
    let rtnl = pod.blocking();
    let links = rtnl.links().map_err(std::io::Error::other)?;
    for link in links.iter().filter(|link| link.name != "lo") {
        // the kernel's own, as tunl0, cannot be deleted and reach nowhere
        let _ = rtnl.delete_link(link.name.as_str());
    }
    Ok(())
}

fn done(operation: &Operation) -> Result<(), String> {
    match operation.invocations.iter().find(|it| it.answer.is_err()) {
        None => Ok(()),
        Some(it) => {
            let why = it.answer.as_ref().err().map(ToString::to_string).unwrap_or_default();
            Err(format!("{} of plugin `{}`: {why}", operation.verb.word(), it.plugin))
        }
    }
}

impl Course<'_> {
    /// The pods that a runtime still knows, but for the one that is disturbed.
    fn valid(&self) -> Vec<Value> {
        self.wired.iter().map(|it| it.chain.attachment()).collect()
    }

    /// GC with the disturbance, when the pod has gone without a DEL.
    pub(super) fn gc_cut(&mut self) -> Result<(), CutError> {
        vanish(&self.stage.pod)?;
        let valid = self.valid();
        self.disturbed(|chain, cutter| chain.gc(&valid, cutter)).map(drop)
    }

    /// The pod has gone without a DEL, or with one that was cut, and GC is all that comes; after that all
    /// pods go.
    pub(super) fn stale(&mut self) -> Result<(), CutError> {
        vanish(&self.stage.pod)?;
        let gc = self.chain.gc(&self.valid(), &mut watch())?;
        let kept = match done(&gc) {
            Ok(()) => self.left()?.map_err(|left| format!("GC {left}")),
            no => no,
        };
        self.say(PluginProperty::Collects, kept);
        self.check_of_the_other("after a GC that named it")?;
        self.others();
        if let Some(wired) = &self.wired {
            vanish(&wired.stage.pod)?;
        }
        let gc = self.chain.gc(&[], &mut watch())?;
        let kept = match done(&gc) {
            Ok(()) => self.left_of_all()?.map_err(|left| format!("GC without valid attachments {left}")),
            no => no,
        };
        self.say(PluginProperty::Collects, kept);
        self.readd()
    }

    /// GC that names every pod there is.
    pub(super) fn gc_of_the_living(&mut self, added: Option<&Value>) -> Result<(), CutError> {
        if !super::asks(self.ground.list).gc {
            return Ok(());
        }
        let mut valid = self.valid();
        valid.push(self.chain.attachment());
        let gc = self.chain.gc(&valid, &mut watch())?;
        self.say(PluginProperty::Collects, done(&gc));
        self.reaches(added, PluginProperty::Collects, "after a GC that named the pod, ");
        if added.is_some() && super::asks(self.ground.list).check {
            let check = self.chain.again(Verb::Check, added, &mut watch())?;
            let kept = done(&check).map_err(|why| format!("after a GC that named the pod: {why}"));
            self.say(PluginProperty::Collects, kept);
        }
        self.check_of_the_other("after a GC that named it")
    }

    fn check_of_the_other(&mut self, when: &str) -> Result<(), CutError> {
        let Some(wired) = &self.wired else { return Ok(()) };
        if !super::asks(self.ground.list).check {
            return Ok(());
        }
        let check = wired.chain.again(Verb::Check, Some(&wired.result), &mut watch())?;
        let kept = done(&check).map_err(|why| format!("another pod, {when}: {why}"));
        self.say(PluginProperty::Others, kept);
        Ok(())
    }

    /// What STATUS says, where there is one.
    pub(super) fn status(&self) -> Result<Option<Result<(), String>>, CutError> {
        if !super::asks(self.ground.list).status {
            return Ok(None);
        }
        Ok(Some(done(&self.chain.status(&mut watch())?)))
    }

    /// STATUS before an ADD that nothing disturbs, which has succeeded for others: it must say yes, and
    /// change nothing.
    pub(super) fn asks_status(&mut self, when: &str) -> Result<(), CutError> {
        let Some(ready) = self.status()? else { return Ok(()) };
        let kept = match ready {
            Ok(()) => self.left()?.map_err(|left| format!("STATUS {left}")),
            Err(no) => Err(format!("{when}: {no}")),
        };
        self.say(PluginProperty::Status, kept);
        Ok(())
    }

    /// STATUS with the disturbance. It may say no then, and must have changed nothing.
    pub(super) fn status_cut(&mut self) -> Result<(), CutError> {
        self.disturbed(|chain, cutter| chain.status(cutter))?;
        let left = self.left()?.map_err(|left| format!("STATUS {left}"));
        self.say(PluginProperty::Status, left);
        self.asks_status("after a STATUS that was disturbed")?;
        let added = self.add()?;
        self.aftermath(added.as_ref())
    }
}
