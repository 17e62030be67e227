//! The rules under which a disturbed plugin runs, and how the work of a step is undone.

use super::xtables::{self, XtTable};
use super::{Cut, CutAction, action};
use crate::cni::PluginStage;
use crate::time::Span;
use netns_lab::nft::{self, NftObject};
use netns_lab::supervise::{Kind, Request, Rules, Scope, Then, Undo, Verdict};
use netns_lab::{Netns, NetnsId};
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::time::Duration;

/// How long a step waits for another pod at most: that pod may wait in turn for a lock.
const OTHER_WITHIN: Duration = Duration::from_millis(500);

/// Lets everything go up to one step.
pub(super) struct Cutter<'c> {
    cut: Option<&'c Cut>,
    stage: &'c PluginStage,
    hold: Duration,
    /// Plugins that were started.
    turns: usize,
    /// Requests that were of the step's words.
    met: usize,
    /// The step has come.
    pub(super) reached: bool,
    /// Where to say which request waits for another pod.
    waits: Option<Sender<usize>>,
    /// What would take back the step.
    pub(super) undoing: Option<Undoing>,
}

impl<'c> Cutter<'c> {
    pub(super) fn new(
        cut: Option<&'c Cut>,
        stage: &'c PluginStage,
        hold: Span,
        waits: Sender<usize>,
    ) -> Cutter<'c> {
        Cutter {
            cut,
            stage,
            hold: Duration::from_nanos(hold.as_ns()),
            turns: 0,
            met: 0,
            reached: false,
            waits: Some(waits),
            undoing: None,
        }
    }

    fn disturb(&mut self, action: CutAction, request: &Request) -> Verdict {
        match action {
            CutAction::Fail(errno) => Verdict::Fail(errno),
            CutAction::KillBefore => Verdict::KillBefore(Scope::All),
            CutAction::KillAfter | CutAction::Orphan => Verdict::KillAfter(Scope::All),
            CutAction::Hold => Verdict::Hold { at_most: Some(self.hold), then: Then::LetGo },
            CutAction::OtherFirst => {
                if let Some(waits) = self.waits.take() {
                    // if nobody listens it waits for its time
                    let _ = waits.send(request.number);
                }
                Verdict::Hold { at_most: Some(OTHER_WITHIN), then: Then::LetGo }
            }
            CutAction::Undo => {
                self.undoing = Undoing::of(self.stage, request);
                Verdict::LetGo
            }
        }
    }
}

impl Rules for Cutter<'_> {
    fn decide(&mut self, request: &Request) -> Verdict {
        if request.number == 1 {
            self.turns += 1;
            return Verdict::LetGo;
        }
        if let Some(undoing) = &mut self.undoing {
            undoing.look(self.stage);
        }
        let Some(cut) = self.cut.filter(|cut| !self.reached && cut.step.turn + 1 == self.turns) else {
            return Verdict::LetGo;
        };
        let netns = request.netns.map_or_else(|| "?".into(), |it| self.stage.name_of(it));
        if !cut.step.fits(&netns, &request.to_string()) {
            return Verdict::LetGo;
        }
        self.met += 1;
        if self.met < cut.step.nth {
            return Verdict::LetGo;
        }
        self.reached = true;
        self.disturb(cut.action, request)
    }
}

/// How the work of a step is undone.
#[derive(Debug)]
pub(super) enum Undoing {
    /// As netlink messages.
    Links(NetnsId, Vec<Undo>),
    /// With the value that was there before.
    Sysctl { netns: NetnsId, path: String, was: String, wrote: String },
    /// By deleting what was not there before: tables, chains and rules.
    Nft { netns: NetnsId, before: Vec<NftObject>, made: Vec<NftObject> },
    /// By putting a table of the old iptables back without what was not there before.
    Xtables { netns: NetnsId, v6: bool, table: String, before: XtTable, made: XtTable },
    /// By taking the file away.
    File(PathBuf),
}

impl Undoing {
    /// Looked at before the request is carried out.
    fn of(stage: &PluginStage, request: &Request) -> Option<Undoing> {
        let netns = request.netns?;
        match &request.kind {
            Kind::Netlink { protocol: action::NETFILTER, .. } => {
                let before = nft::objects(place(stage, netns)?).ok()?;
                Some(Undoing::Nft { netns, before, made: Vec::new() })
            }
            Kind::Netlink { messages, .. } => {
                let place = place(stage, netns)?;
                let undos = messages.iter().rev().filter_map(|it| it.undo.clone());
                Some(Undoing::Links(netns, undos.filter(|undo| is_new(place, undo)).collect()))
            }
            Kind::Sysctl { path, value } => {
                let file = format!("/proc/sys/{path}");
                let was = place(stage, netns)?.exec(|| std::fs::read_to_string(file)).ok()?.ok()?;
                let was = was.trim_end().to_owned();
                Some(Undoing::Sysctl { netns, path: path.clone(), was, wrote: value.clone() })
            }
            Kind::ReplaceTable { v6, table, .. } => {
                let before = table_of(stage, netns, *v6, table)?;
                let (v6, table) = (*v6, table.clone());
                Some(Undoing::Xtables { netns, v6, table, before, made: XtTable::default() })
            }
            Kind::Open { path, .. } => Some(Undoing::File(path.clone())),
            _ => None,
        }
    }

    /// What nf_tables or the old iptables got by the step is known when the next request comes: whoever makes that
    /// one has waited for the step.
    fn look(&mut self, stage: &PluginStage) {
        match self {
            Undoing::Nft { netns, before, made } if made.is_empty() => {
                if let Some(there) = place(stage, *netns).map(nft::objects) {
                    made.extend(there.unwrap_or_default().into_iter().filter(|it| !before.contains(it)));
                }
            }
            Undoing::Xtables { netns, v6, table, before, made } if made.is_empty() => {
                if let Some(there) = table_of(stage, *netns, *v6, table) {
                    *made = there.since(before);
                }
            }
            _ => {}
        }
    }

    /// Whether the step had changed anything that this would take back.
    pub(super) fn has_effect(&self, is_new: impl Fn(&std::path::Path) -> bool) -> bool {
        match self {
            Undoing::Links(_, undos) => !undos.is_empty(),
            Undoing::Nft { made, .. } => !made.is_empty(),
            Undoing::Xtables { made, .. } => !made.is_empty(),
            Undoing::Sysctl { was, wrote, .. } => was != wrote,
            Undoing::File(path) => is_new(path),
        }
    }

    /// Does it, and says what was done.
    pub(super) fn apply(&self, stage: &PluginStage) -> Result<String, String> {
        let gone = || "its namespace is not of this stage".to_owned();
        match self {
            Undoing::Links(netns, undos) => {
                let netns = place(stage, *netns).ok_or_else(gone)?;
                undos.iter().try_for_each(|undo| undo.apply(netns)).map_err(|e| e.to_string())?;
                let words: Vec<_> = undos.iter().map(ToString::to_string).collect();
                Ok(words.join("; "))
            }
            Undoing::Sysctl { netns, path, was, .. } => {
                let netns = place(stage, *netns).ok_or_else(gone)?;
                let file = format!("/proc/sys/{path}");
                let written = netns.exec(|| std::fs::write(file, was)).map_err(|e| e.to_string())?;
                written.map_err(|e| e.to_string())?;
                Ok(format!("sysctl -w {}={was}", path.replace('/', ".")))
            }
            Undoing::Nft { netns, made, .. } => {
                let netns = place(stage, *netns).ok_or_else(gone)?;
                let there = nft::objects(netns).map_err(|e| e.to_string())?;
                let alone = made.iter().filter(|it| !made.iter().any(|other| it.is_within(other)));
                let mut gone = Vec::new();
                for object in alone.flat_map(|it| it.with_what_needs_it(&there)) {
                    if !gone.contains(&object) {
                        gone.push(object);
                    }
                }
                nft::delete(netns, &gone).map_err(|e| e.to_string())?;
                let words: Vec<_> = gone.iter().map(|it| format!("nft delete {it}")).collect();
                Ok(words.join("; "))
            }
            Undoing::Xtables { netns, v6, table, before, made } => {
                let netns = place(stage, *netns).ok_or_else(gone)?;
                made.take_out(before, stage, netns, *v6, table).map_err(|e| e.to_string())
            }
            Undoing::File(path) => {
                stage.remove(path.clone()).map_err(|e| e.to_string())?;
                Ok(format!("rm {}", path.display()))
            }
        }
    }
}

/// Whether what would be taken back is not so already before the request, made by somebody else.
fn is_new(netns: &Netns, undo: &Undo) -> bool {
    let rtnl = netns.blocking();
    match undo {
        Undo::DeleteLink(name) => rtnl.link(name.as_str()).is_err(),
        Undo::SetDown(name) => rtnl.link(name.as_str()).is_ok_and(|link| !link.up),
        Undo::NoMaster(name) => rtnl.link(name.as_str()).is_ok_and(|link| link.master_index.is_none()),
        Undo::DeleteAddress(address) => !rtnl
            .addresses()
            .is_ok_and(|there| there.iter().any(|it| it.dev == address.dev && it.net == address.net)),
        _ => true,
    }
}

/// A table of the old iptables, empty where it is not there; `None` if it cannot be read.
fn table_of(stage: &PluginStage, netns: NetnsId, v6: bool, table: &str) -> Option<XtTable> {
    let mut there = xtables::tables(place(stage, netns)?, v6).ok()?;
    Some(there.remove(table).unwrap_or_default())
}

fn place(stage: &PluginStage, netns: NetnsId) -> Option<&Netns> {
    [&stage.node, &stage.pod].into_iter().map(AsRef::as_ref).find(|it: &&Netns| it.id() == netns)
}
