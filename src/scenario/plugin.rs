//! `[cni]`: a real plugin in the place of the program that plays Calico's.

use super::compile::Checker;
use super::error::Flaw;
use super::file::{FaultFile, Located, ScenarioFile};
use super::overrides::Overrides;
use crate::control::{
    ActorName, Pattern, PodId, RealSteps, Shapes, StepId, StepOrigin, StepTable, pod_in_front,
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use toml::Spanned;

/// A real plugin, or a list of them.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CniFile {
    /// A network configuration: a path, from the file's own folder on, or the JSON itself.
    #[schemars(with = "String")]
    pub conflist: Located,
    /// Folders with plugins, from the file's own folder on; by default those of `CNI_PATH`, else the
    /// usual ones.
    #[serde(default)]
    pub bin_dir: Vec<String>,
    /// Added to `CNI_ARGS`, as `K=V;K=V`; the pod's namespace and name are there.
    pub args: Option<String>,
    /// Values for capabilities that plugins declare, as a JSON object.
    pub capability_args: Option<String>,
    /// So many other pods of the node are added at the moment at which the pod is, each with a network
    /// namespace and a container's name of its own: 1 to 63.
    #[schemars(with = "Option<u8>", range(min = 1, max = 63))]
    pub others: Option<Spanned<i64>>,
}

/// When a plugin is killed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KillFile {
    /// Its request is not carried out.
    Before,
    /// Its request is carried out first.
    After,
}

/// Where a network configuration is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConflistText {
    /// In a file of its own.
    File(PathBuf),
    /// In the scenario file.
    Inline {
        /// What it is called in errors.
        origin: String,
        /// The JSON.
        text: String,
    },
}

/// What a request of a plugin comes to in the place of what the kernel would do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StepFaultKind {
    /// It fails with this error (`EPERM`, `EEXIST`, ...).
    Fail(String),
    /// The process that made it is killed.
    Kill(KillFile),
}

/// A fault of a plugin's step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StepFault {
    /// Which step.
    pub step: StepId,
    /// From which of its occurrences in the run on, from 1.
    pub first: u32,
    /// How many of them.
    pub count: u32,
    /// What happens.
    pub what: StepFaultKind,
}

/// A real plugin as a plan has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RealPlugin {
    /// The plugins' names, once they are known.
    pub names: Vec<String>,
    /// Its configuration.
    pub conflist: ConflistText,
    /// Folders with plugins; none if the file names none.
    pub bin_dirs: Vec<PathBuf>,
    /// `CNI_ARGS`.
    pub args: Option<String>,
    /// Values for capabilities, as JSON.
    pub capability_args: Option<String>,
    /// What its requests meet.
    pub faults: Vec<StepFault>,
    /// How many other pods are added beside the one that the run is about.
    pub others: u16,
    /// What differs from pod to pod in the names of its requests, as its rehearsal has shown.
    pub shapes: Shapes,
}

/// A request of a plugin by its names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Requested {
    /// Its name, with its number if it is not the first of that name.
    pub name: String,
    /// The name without the number.
    pub plain: String,
    /// The same with the interfaces' own names.
    pub own: String,
    /// What is asked, as ip(8), sysctl(8) or a shell would take it.
    pub words: String,
    /// It changes nothing of the network.
    pub quiet: bool,
}

/// What a plugin did when it was run with nothing in its way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rehearsal {
    /// The plugins' names, in the list's order.
    pub plugins: Vec<String>,
    /// The requests of ADD and DEL, in order; with others, those that a second pod has are behind those of the first.
    pub requests: Vec<Requested>,
    /// With others, what differs from pod to pod in their names.
    pub shapes: Shapes,
    /// The pod's address.
    pub pod_ip: Option<Ipv4Addr>,
    /// Its gateway.
    pub gateway: Option<Ipv4Addr>,
}

/// Steps of the plugin's runs that are no requests, as of Calico's.
const KEPT: [&str; 4] = ["cni.add-return", "cni.add-fail", "cni.del", "cni.wep-write"];

impl CniFile {
    /// The plugin that the file describes; `origin` is the scenario file's path.
    pub(super) fn plugin(
        &self,
        origin: &str,
        rehearsal: Option<&Rehearsal>,
        faults: Vec<StepFault>,
    ) -> RealPlugin {
        let base = Path::new(origin).parent().unwrap_or(Path::new(""));
        let text = self.conflist.get_ref();
        let conflist = if text.trim_start().starts_with('{') {
            ConflistText::Inline { origin: format!("{origin}: [cni] conflist"), text: text.clone() }
        } else {
            ConflistText::File(base.join(text))
        };
        RealPlugin {
            names: rehearsal.map(|r| r.plugins.clone()).unwrap_or_default(),
            conflist,
            bin_dirs: self.bin_dir.iter().map(|folder| base.join(folder)).collect(),
            args: self.args.clone(),
            capability_args: self.capability_args.clone(),
            faults,
            others: self.others(),
            shapes: rehearsal.map(|r| r.shapes.clone()).unwrap_or_default(),
        }
    }

    /// How many other pods are added.
    pub(super) fn others(&self) -> u16 {
        let wanted = self.others.as_ref().map_or(0, |n| *n.get_ref());
        u16::try_from(wanted).unwrap_or(0).min(PodId::OTHERS_MAX)
    }
}

/// Whose step a name means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Whose {
    /// The pod's that the run is about.
    Judged,
    /// That other pod's.
    Of(PodId),
    /// Any other pod's.
    AnyOther,
}

/// Whose step a name means, and the name without its pod; or why it is nobody's, and what to do.
fn whose(name: &str, others: u16) -> Result<(Whose, String), (String, String)> {
    let (pod, step) = pod_in_front(name.strip_prefix("cni.").unwrap_or(name));
    let Some(pod) = pod else { return Ok((Whose::Judged, name.to_owned())) };
    let step = format!("cni.{step}");
    let there = match others {
        0 => "`[cni] others = N` adds N other pods, pod2 and so on".to_owned(),
        1 => "the other pod is pod2".to_owned(),
        n => format!("the other pods are pod2 to {}, and * is any of them", PodId(n)),
    };
    if pod == "*" && others > 0 {
        return Ok((Whose::AnyOther, step));
    }
    if pod == PodId::default().to_string() {
        let message = format!("{name:?}: {pod} is the pod that the run is about");
        return Err((message, format!("its steps have no pod in front: {step:?}; {there}")));
    }
    match PodId::of_other(pod).filter(|it| it.0 <= others) {
        Some(pod) => Ok((Whose::Of(pod), step)),
        None if pod == "*" => Err((format!("{name:?}: there is no other pod"), there)),
        None => Err((format!("{name:?}: there is no other pod {pod:?}"), there)),
    }
}

/// What of `[cni]` and of names of a plugin's steps types cannot say.
pub(super) fn check(f: &ScenarioFile, cni: &CniFile, c: &mut Checker) {
    if cni.conflist.get_ref().trim().is_empty() {
        let help = "a path of a network configuration is wanted, or the JSON itself";
        return c.flaw(cni.conflist.span(), "`conflist` is empty".into(), Some(help.into()));
    }
    if let Some(others) = &cni.others
        && !(1..=i64::from(PodId::OTHERS_MAX)).contains(others.get_ref())
    {
        let most = PodId::OTHERS_MAX;
        let message =
            format!("`others` is {}: 1 to {most} pods can be added beside the pod", others.get_ref());
        let help = "without `others` the pod is alone";
        return c.flaw(others.span(), message, Some(help.into()));
    }
    for (name, span) in names_in(f) {
        if let (Some(span), Err((message, help))) = (span, whose(name, cni.others()))
            && ActorName::of_step(name) == Some(ActorName::Cni)
        {
            c.flaw(span, message, Some(help));
        }
    }
}

/// A name of a step, and where it stands; nowhere for one of the command line.
type Named<'a> = (&'a str, Option<core::ops::Range<usize>>);

/// Every name of a step that a file uses.
fn names_in(f: &ScenarioFile) -> Vec<Named<'_>> {
    let fixes = || f.fixes.iter().map(|x| &x.change);
    let holds = f.holds.iter().chain(fixes().flat_map(|c| &c.holds));
    let of_holds = holds.flat_map(|h| [Some(&h.step), h.until.as_ref()]);
    let of_steps = f.steps.iter().chain(fixes().flat_map(|c| &c.steps)).map(|s| s.after.as_ref());
    let of_clients = f.clients.iter().map(|c| c.after.as_ref());
    let of_faults = f.faults.iter().map(|x| x.get_ref().step.as_ref());
    let all = of_holds.chain(of_steps).chain(of_clients).chain(of_faults).flatten();
    all.map(|name| (name.get_ref().as_str(), Some(name.span()))).collect()
}

/// Whether a name is left to the plugin: not one of a step that is there anyway.
fn is_plugins(name: &str, steps: &StepTable) -> bool {
    let of_file = steps.find(name).is_some_and(|id| steps.info(id).origin == StepOrigin::File);
    ActorName::of_step(name) == Some(ActorName::Cni) && !KEPT.contains(&name) && !of_file
}

/// Gives every name of a plugin's step in a file a number, before anybody knows what steps it has.
pub(super) fn placeholders(f: &ScenarioFile, steps: &mut StepTable) {
    let _ = RealSteps::declare(steps, f.cni.as_ref().map_or(0, CniFile::others));
    for (name, _) in names_in(f) {
        if is_plugins(name, steps) && Pattern::read(name).is_some() && steps.find(name).is_none() {
            steps.add_request(name, "a request of the plugin", false);
        }
    }
}

/// A name that means no step.
pub(super) struct Unmeant {
    /// The name.
    pub(super) name: String,
    /// It is the command line's, and has no place in the file.
    pub(super) of_command_line: bool,
    /// What is wrong, and what there is.
    pub(super) flaw: Flaw,
}

/// Gives every request a number, and every name in the file and on the command line the requests that
/// it means. Names that mean none come back.
pub(super) fn resolve(
    f: &ScenarioFile,
    overrides: &Overrides,
    rehearsal: &Rehearsal,
    steps: &mut StepTable,
) -> Vec<Unmeant> {
    let others = f.cni.as_ref().map_or(0, CniFile::others);
    let mut ids: Vec<Vec<StepId>> = Vec::new();
    for pod in (0..=others).map(PodId) {
        let add = |r: &Requested| steps.add_request_of(pod, &step_of(pod, &r.name), &r.words, r.quiet);
        ids.push(rehearsal.requests.iter().map(add).collect());
    }
    let of_command_line = overrides.holds.iter().map(|h| (h.step.as_str(), None));
    let mut meant: BTreeMap<String, Vec<StepId>> = BTreeMap::new();
    let mut flaws = Vec::new();
    for (name, span) in names_in(f).into_iter().chain(of_command_line) {
        if !is_plugins(name, steps) || meant.contains_key(name) {
            continue;
        }
        let (found, message, help) = match whose(name, others) {
            Ok((whose, step)) => {
                let pods: Vec<PodId> = match whose {
                    Whose::Judged => vec![PodId::default()],
                    Whose::Of(pod) => vec![pod],
                    Whose::AnyOther => (1..=others).map(PodId).collect(),
                };
                let found = pods.into_iter().flat_map(|pod| match steps.find(&step_of(pod, &step)) {
                    // what begins and ends its verbs is no request
                    Some(own) if pod.is_other() => vec![own],
                    _ => fitting(&step, rehearsal, &ids[usize::from(pod.0)]),
                });
                (found.collect(), no_such(name, &step), has(rehearsal, others))
            }
            Err((message, help)) => (Vec::new(), message, help),
        };
        if found.is_empty() {
            let (of_command_line, span) = (span.is_none(), span.unwrap_or(0..0));
            let flaw = Flaw { span, message, help: Some(help) };
            flaws.push(Unmeant { name: name.to_owned(), of_command_line, flaw });
        }
        meant.insert(name.to_owned(), found);
    }
    for (name, found) in meant {
        if steps.find(&name).is_some() {
            continue;
        }
        if name.starts_with("cni.*/") {
            let _ = steps.add_group(&name, found);
        } else {
            steps.alias(&name, found);
        }
    }
    flaws
}

/// What a step of the first pod is called where it is another pod's.
pub(crate) fn step_of(pod: PodId, name: &str) -> String {
    match name.strip_prefix("cni.") {
        Some(step) if pod.is_other() => format!("cni.{pod}/{step}"),
        _ => name.to_owned(),
    }
}

fn fitting(name: &str, rehearsal: &Rehearsal, ids: &[StepId]) -> Vec<StepId> {
    let exact = rehearsal.requests.iter().position(|r| r.name == name);
    if let Some(at) = exact {
        return vec![ids[at]];
    }
    let Some(pattern) = Pattern::read(name) else { return Vec::new() };
    let fits = |r: &Requested| pattern.fits(&r.plain) || pattern.fits(&r.own);
    let all = rehearsal.requests.iter().zip(ids).filter(|(r, _)| fits(r)).map(|(_, id)| *id);
    match pattern.nth {
        Some(nth) => all.skip(nth - 1).take(1).collect(),
        None => all.collect(),
    }
}

fn no_such(name: &str, step: &str) -> String {
    if StepTable::is_built_in(step) {
        return format!("{name:?} is a step of the program that plays Calico's plugin, and this one is real");
    }
    format!("the plugin makes no request {name:?}")
}

/// Begins a list of what there is.
pub(super) const THERE_ARE: &str = "there are these";

/// What there is, the quiet ones last.
pub(super) fn has(rehearsal: &Rehearsal, others: u16) -> String {
    let (quiet, loud): (Vec<&Requested>, Vec<&Requested>) = rehearsal.requests.iter().partition(|r| r.quiet);
    let names: Vec<&str> = loud.into_iter().chain(quiet).map(|r| r.name.as_str()).collect();
    let of_others = match others {
        0 => String::new(),
        n => {
            let last = if n > 1 { format!(" to cni.{}/STEP", PodId(n)) } else { String::new() };
            format!("\nand those of other pods, cni.pod2/STEP{last}, or cni.*/STEP for any of them")
        }
    };
    format!("{THERE_ARE}:\n  {}{of_others}", names.join("\n  "))
}

/// The fault of a plugin's step; `None`, with a flaw, if it does not hold together.
pub(super) fn step_fault_of(
    fault: &Spanned<FaultFile>,
    steps: &StepTable,
    c: &mut Checker,
) -> Option<StepFault> {
    let (place, fault) = (fault.span(), fault.get_ref());
    let name = fault.step.as_ref()?;
    let step = super::steps::step_named(name, steps, c)?;
    let what = match (&fault.fail, fault.kill) {
        (Some(errno), None) => {
            let text = errno.get_ref();
            if !(text.starts_with('E') && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()))
            {
                let message = format!("{text:?} is no error of the kernel");
                c.flaw(errno.span(), message, Some("such as EPERM, EEXIST or ENOSPC".into()));
                return None;
            }
            StepFaultKind::Fail(text.clone())
        }
        (None, Some(when)) => StepFaultKind::Kill(when),
        _ => {
            let message = "a fault of a step is one of `fail` and `kill`".to_owned();
            c.flaw(
                place,
                message,
                Some("`fail = \"EPERM\"`, `kill = \"before\"`, `kill = \"after\"`".into()),
            );
            return None;
        }
    };
    let nth = fault.nth.as_ref().map(|n| *n.get_ref());
    if nth == Some(0) {
        c.flaw(place, "`nth` counts from 1".into(), None);
        return None;
    }
    let count = fault.count.unwrap_or(if nth.is_some() { 1 } else { u32::MAX });
    Some(StepFault { step, first: nth.unwrap_or(1), count, what })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requested(plain: &str, own: &str, number: usize, quiet: bool) -> Requested {
        let name = if number > 1 { format!("{plain}#{number}") } else { plain.to_owned() };
        Requested { name, plain: plain.into(), own: own.into(), words: plain.into(), quiet }
    }

    #[test]
    fn a_name_means_the_requests_that_fit_in_their_order() {
        let up = ("cni.link-up node host-end", "cni.link-up node veth12");
        let rehearsal = Rehearsal {
            plugins: Vec::new(),
            requests: vec![
                requested("cni.setns pod", "cni.setns pod", 1, true),
                requested(up.0, up.1, 1, false),
                requested("cni.setns pod", "cni.setns pod", 2, true),
                requested("cni.link-up pod eth0", "cni.link-up pod eth0", 1, false),
            ],
            shapes: Shapes::default(),
            pod_ip: None,
            gateway: None,
        };
        let ids: Vec<StepId> = (0..4).map(StepId).collect();
        let means = |name: &str| fitting(name, &rehearsal, &ids).iter().map(|id| id.0).collect::<Vec<_>>();
        assert_eq!(means("cni.link-up"), [1, 3]);
        assert_eq!(means("cni.link-up#2"), [3]);
        assert_eq!(means("cni.link-up veth*"), [1]);
        assert_eq!(means("cni.setns pod#2"), [2]);
        assert_eq!(means("cni.setns pod#3"), Vec::<u16>::new());
        assert!(has(&rehearsal, 0).starts_with("there are these:\n  cni.link-up node host-end"));
    }
}
