//! From a file to a scenario: what types cannot say is checked here, with places.

use super::error::{Flaw, ScenarioError};
use super::file::{
    CalicoFile, ClientFile, ClientKind, FaultFile, HoldFile, Located, ScenarioFile, StepFile, VethFile,
};
use super::layers::names;
use super::plan::{ClientPlan, Target, WAITER};
use super::plugin::step_fault_of;
use super::text::CommandText;
use crate::control::{
    Act, ActorName, CalicoVersion, Gate, Hold, ScriptStep, Setting, Side, StepId, StepTable, Until,
};
use crate::host::command::{Command, CommandError};
use crate::pair::{FaultAction, FaultMatch, FaultRule, FrameKind};
use crate::time::{Span, Time};
use std::net::{IpAddr, SocketAddr};
use toml::Spanned;

/// The longest file that is read, bytes: fifty times the longest of the catalogue.
const FILE_MAX: usize = 1 << 20;
/// The longest run: the longest timer any mechanism waits for is a few minutes.
pub(super) const DURATION_MAX: Span = Span::from_secs(3600);

/// Patience with clients that are never done, when the file does not say how long a run lasts.
pub(super) const DURATION_DEFAULT: Span = Span::from_secs(600);
/// Steps, holds, faults, clients of one file with its fixes: far above what a person writes, and
/// few enough for the number of a script's lane.
const ITEMS_MAX: usize = 250;
/// Repetitions of a step.
const TIMES_MAX: u32 = 100_000;
/// Connections of one client at once; the kernel recordings go up to 500.
const PARALLEL_MAX: u32 = 1000;
/// The shortest interval of a client or a repeated step: below it a run is all events.
const INTERVAL_MIN: Span = Span::from_ms(1);
/// Most sends of one client.
const COUNT_MAX: u32 = 100_000;

/// A scenario that holds together.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub(super) origin: String,
    pub(super) source: String,
    pub(super) file: ScenarioFile,
}

/// Collects what is wrong.
pub(super) struct Checker {
    pub(super) flaws: Vec<Flaw>,
}

impl Checker {
    pub(super) fn flaw(&mut self, span: core::ops::Range<usize>, message: String, help: Option<String>) {
        self.flaws.push(Flaw { span, message, help });
    }
    fn at(&mut self, place: &Located, message: String, help: Option<String>) {
        self.flaw(place.span(), message, help);
    }
}

impl Scenario {
    /// Reads a scenario file. `origin` names it in errors.
    pub fn parse(origin: &str, text: &str) -> Result<Scenario, ScenarioError> {
        let whole = |message: String| ScenarioError {
            origin: origin.to_owned(),
            source: String::new(),
            flaws: vec![Flaw { span: 0..0, message, help: None }],
        };
        if text.len() > FILE_MAX {
            return Err(whole(format!("a file of {} bytes; at most {FILE_MAX} are read", text.len())));
        }
        let read = super::read::read(text);
        let mut check = Checker { flaws: super::hygiene::flaws(text) };
        check.flaws.extend(read.flaws);
        let (origin, source) = (origin.to_owned(), text.to_owned());
        let scenario =
            read.file.map(|file| Scenario { origin: origin.clone(), source: source.clone(), file });
        if let Some(scenario) = &scenario {
            scenario.check(&mut check);
        }
        match scenario {
            Some(scenario) if check.flaws.is_empty() => Ok(scenario),
            _ => {
                check.flaws.sort_by_key(|f| f.span.start);
                Err(ScenarioError { origin, source, flaws: check.flaws })
            }
        }
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &str {
        self.file.id.get_ref()
    }

    /// The file as it was read.
    #[must_use]
    pub fn file(&self) -> &ScenarioFile {
        &self.file
    }

    /// The text of the file.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Where it came from.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    fn check(&self, c: &mut Checker) {
        let f = &self.file;
        if !is_kebab(f.id.get_ref()) {
            c.at(&f.id, "an id is made of lower-case letters, digits and hyphens".into(), None);
        }
        if let Some(d) = &f.duration
            && *d.get_ref() > DURATION_MAX
        {
            c.flaw(d.span(), format!("a run lasts at most {DURATION_MAX}"), None);
        }
        let mut steps = StepTable::default();
        let declared = f.steps.iter().chain(f.fixes.iter().flat_map(|x| &x.change.steps));
        for step in declared.clone() {
            declare(step, &mut steps, c);
        }
        if f.cni.is_some() {
            super::plugin::placeholders(f, &mut steps);
        }
        for step in declared {
            gate(step.after.as_ref(), &steps, c);
            check_step(step, c);
        }
        version(&f.calico, c);
        for hold in &f.holds {
            let _ = hold_of(hold, &steps, c);
        }
        for name in f.live.hold.keys() {
            if !f
                .holds
                .iter()
                .chain(f.fixes.iter().flat_map(|x| &x.change.holds))
                .any(|h| h.step.get_ref() == name)
            {
                let help = Some("`[live]` shortens holds that the scenario has".to_owned());
                c.flaw(find_word(&self.source, name), format!("nothing holds {name:?}"), help);
            }
        }
        for name in f.live.delay.keys() {
            let mut own = f.steps.iter().chain(f.fixes.iter().flat_map(|x| &x.change.steps));
            if !own.any(|s| s.id.get_ref() == name && s.delay.is_some()) {
                let help = Some("`[live]` shortens the delays of steps that the file describes".to_owned());
                c.flaw(find_word(&self.source, name), format!("{name:?} has no delay"), help);
            }
        }
        for name in f.live.client_delay.keys() {
            if !f.clients.iter().any(|x| client_name(x) == *name && x.delay.is_some()) {
                let help = Some("`[live]` shortens the delays of clients that the file names".to_owned());
                c.flaw(find_word(&self.source, name), format!("no client {name:?} has a delay"), help);
            }
        }
        for client in &f.clients {
            let _ = client_of(client, &steps, c);
        }
        for fault in &f.faults {
            if f.cni.is_some() && fault.get_ref().step.is_some() {
                let _ = step_fault_of(fault, &steps, c);
            } else {
                let _ = fault_of(fault, c);
            }
        }
        too_many(f, c);
        c.sense(f, &self.source);
        self.check_names(c);
        self.check_fixes(&steps, c);
    }

    fn check_names(&self, c: &mut Checker) {
        let f = &self.file;
        // without clients the run has the default ones
        let mut seen: Vec<String> = match f.clients[..] {
            [] => super::layers::default_clients().into_iter().map(|c| c.name).collect(),
            _ => Vec::new(),
        };
        for client in &f.clients {
            let name = client_name(client);
            if name == WAITER {
                let place = client.name.as_ref().map_or(client.to.span(), Located::span);
                c.flaw(
                    place,
                    format!("{WAITER:?} is the init container's"),
                    Some("choose another name".into()),
                );
            }
            if seen.contains(&name) {
                let place = client.name.as_ref().map_or(client.to.span(), Located::span);
                c.flaw(
                    place,
                    format!("there are two clients named {name:?}"),
                    Some("give one a `name`".into()),
                );
            }
            seen.push(name);
        }
        let expects = [&f.expect].into_iter().chain(f.expect_in.values()).chain(&f.healthy);
        let fixes = f.fixes.iter().flat_map(|x| [&x.expect].into_iter().chain(x.expect_in.values()));
        for name in expects.chain(fixes).flat_map(|e| e.client.keys()) {
            if !seen.contains(name) {
                let span = find_word(&self.source, name);
                c.flaw(
                    span,
                    format!("something is expected of {name:?}, but there is no such client"),
                    Some(format!("clients are: {}", seen.join(", "))),
                );
            }
        }
    }

    fn check_fixes(&self, steps: &StepTable, c: &mut Checker) {
        let mut seen: Vec<&str> = Vec::new();
        for fix in &self.file.fixes {
            let name = fix.name.get_ref().as_str();
            if !is_kebab(name) {
                c.at(
                    &fix.name,
                    "a fix's name is made of lower-case letters, digits and hyphens".into(),
                    None,
                );
            }
            if seen.contains(&name) {
                c.at(&fix.name, format!("there are two fixes named {name:?}"), None);
            }
            seen.push(name);
            version(&fix.change.calico, c);
            for hold in &fix.change.holds {
                let _ = hold_of(hold, steps, c);
            }
            for step in &fix.change.drop_steps {
                let own: Vec<&str> = self.file.steps.iter().map(|s| s.id.get_ref().as_str()).collect();
                if !own.iter().any(|s| names(step.get_ref(), s)) {
                    let help = if own.is_empty() {
                        "it has no step of its own; a built-in one can be held with `never = true`".to_owned()
                    } else {
                        format!("it has: {}; a built-in one can be held with `never = true`", own.join(", "))
                    };
                    c.at(step, format!("the scenario has no step {:?} to drop", step.get_ref()), Some(help));
                }
            }
            for step in &fix.change.drop_holds {
                if !self.file.holds.iter().any(|h| names(step.get_ref(), h.step.get_ref())) {
                    c.at(step, format!("the scenario has no hold on {:?}", step.get_ref()), None);
                }
            }
        }
    }
}

fn is_kebab(s: &str) -> bool {
    !s.is_empty()
        && s.split('-')
            .all(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()))
}

pub(super) fn find_word(source: &str, word: &str) -> core::ops::Range<usize> {
    source.find(word).map_or(0..0, |at| at..at + word.len())
}

/// The first item beyond what a file may have is named.
fn too_many(f: &ScenarioFile, c: &mut Checker) {
    let changes = || f.fixes.iter().map(|x| &x.change);
    let steps = f.steps.iter().chain(changes().flat_map(|x| &x.steps)).map(|s| s.id.span());
    let holds = f.holds.iter().chain(changes().flat_map(|x| &x.holds)).map(|h| h.step.span());
    let others = f.faults.iter().map(Spanned::span).chain(f.clients.iter().map(|x| x.kind.span()));
    let mut places: Vec<_> = steps.chain(holds).chain(others).collect();
    places.sort_by_key(|span| span.start);
    if let Some(first) = places.get(ITEMS_MAX) {
        let message =
            format!("{} steps, holds, faults and clients; at most {ITEMS_MAX} are read", places.len());
        c.flaw(first.clone(), message, Some("this is the first one too many".into()));
    }
}

fn declare(step: &StepFile, steps: &mut StepTable, c: &mut Checker) {
    let name = step.id.get_ref();
    let Some(actor) = ActorName::of_step(name).filter(|a| name.len() > a.name().len() + 1) else {
        let actors = ActorName::ALL.map(ActorName::name).join(", ");
        return c.at(
            &step.id,
            format!("{name:?} names no actor"),
            Some(format!("`ACTOR.WHAT`, with one of {actors}")),
        );
    };
    if let Some(id) = steps.find(name)
        && id.0 < StepTable::default().len() as u16
    {
        return c.at(&step.id, format!("{name:?} is a built-in step"), Some("choose another name".into()));
    }
    steps.add(name, actor, &step.title);
}

fn check_step(step: &StepFile, c: &mut Checker) {
    if step.every.is_some_and(|e| e < INTERVAL_MIN) {
        c.at(&step.id, format!("repeated more often than every {INTERVAL_MIN}"), None);
    }
    if step.times.is_some_and(|t| t == 0 || t > TIMES_MAX) {
        c.at(&step.id, format!("`times` is 1 to {TIMES_MAX}"), None);
    }
    if step.times.is_some_and(|t| t > 1) && step.every.is_none() {
        c.at(&step.id, "`times` without `every`".into(), Some("say at which interval".into()));
    }
}

fn version(calico: &CalicoFile, c: &mut Checker) {
    for text in [&calico.version, &calico.at_least].into_iter().flatten() {
        if let Err(e) = text.get_ref().parse::<CalicoVersion>() {
            c.at(text, format!("{e}"), None);
        }
    }
}

/// The step of that name, or a flaw that lists the nearest ones.
pub(super) fn step_named(name: &Located, steps: &StepTable, c: &mut Checker) -> Option<StepId> {
    let found = steps.find(name.get_ref());
    if found.is_none() {
        let actor = name.get_ref().split('.').next().unwrap_or_default();
        let near: Vec<&str> =
            steps.iter().filter(|(_, i)| i.actor.name() == actor).map(|(_, i)| i.name.as_str()).collect();
        let help = if near.is_empty() {
            "steps are named ACTOR.WHAT; `arplab list --steps` lists them".to_owned()
        } else {
            format!("{actor} has: {}", near.join(", "))
        };
        c.at(name, format!("there is no step {:?}", name.get_ref()), Some(help));
    }
    found
}

fn gate(after: Option<&Located>, steps: &StepTable, c: &mut Checker) -> Option<Gate> {
    match after {
        None => Some(Gate::Start),
        Some(name) => step_named(name, steps, c).map(Gate::After),
    }
}

pub(super) fn hold_of(hold: &HoldFile, steps: &StepTable, c: &mut Checker) -> Option<Hold> {
    let step = step_named(&hold.step, steps, c)?;
    let mut ends: Vec<Until> = Vec::new();
    ends.extend(hold.length.map(Until::Elapsed));
    ends.extend(hold.until_time.map(|t| Until::At(Time::ZERO + t)));
    ends.extend(hold.until_requests.map(Until::Requests));
    ends.extend(hold.never.then_some(Until::Never));
    if let Some(name) = &hold.until {
        let until = step_named(name, steps, c)?;
        if until == step {
            c.at(name, "a step cannot wait for itself".into(), None);
            return None;
        }
        ends.push(Until::Done(until));
    }
    let [until] = ends[..] else {
        let help = "one of `for`, `until`, `until-time`, `until-requests`, `never`".to_owned();
        c.at(&hold.step, format!("a hold has one end, this one has {}", ends.len()), Some(help));
        return None;
    };
    if hold.every && hold.nth.is_some() {
        c.at(&hold.step, "`every` and `nth` exclude each other".into(), None);
        return None;
    }
    let nth = (!hold.every).then_some(hold.nth.unwrap_or(1));
    Some(Hold { step, nth, until })
}

pub(super) fn script_step(
    step: &StepFile,
    steps: &StepTable,
    setting: &Setting,
    c: &mut Checker,
) -> Option<(ActorName, ScriptStep)> {
    let id = steps.find(step.id.get_ref())?;
    let actor = ActorName::of_step(step.id.get_ref())?;
    let mut acts: Vec<Act> = match step.veth {
        Some(VethFile::Create) => vec![Act::VethCreate { host_end: Side::Host, pod_up: false }],
        Some(VethFile::Delete) => vec![Act::VethDelete { from: Side::Host }],
        None => Vec::new(),
    };
    for (side, commands) in [(Side::Host, &step.node), (Side::Pod, &step.pod)] {
        for command in commands {
            match acts_of(side, command, step.may_fail, setting) {
                Ok(more) => acts.extend(more),
                Err(e) => c.at(&step.id, e.to_string(), None),
            }
        }
    }
    acts.extend(step.ask.map(Act::Ask));
    acts.extend(step.down_elsewhere.then_some(Act::DownElsewhere));
    acts.extend(step.announce_gateway.then_some(Act::AnnounceGateway));
    if acts.is_empty() {
        acts.push(Act::Mark);
    }
    let delay = step.delay.map_or((Span::ZERO, Span::ZERO), |d| (d.from, d.to));
    let gate = gate(step.after.as_ref(), steps, c)?;
    // repeated without a number of times: until the end of the run
    let times = step.times.unwrap_or(if step.every.is_some() { TIMES_MAX } else { 1 });
    Some((actor, ScriptStep { step: id, gate, delay, every: step.every, times, anew: false, acts }))
}

/// What a command of a file does in a run.
pub(super) fn acts_of(
    side: Side,
    command: &CommandText,
    may_fail: bool,
    setting: &Setting,
) -> Result<Vec<Act>, CommandError> {
    let act = if may_fail { Act::Try } else { Act::Change };
    Ok(match command.command(setting)? {
        Command::Known(changes) => changes.into_iter().map(|change| act(side, change)).collect(),
        Command::Unknown(tool) => vec![Act::Tool { side, tool, may_fail }],
    })
}

pub(super) fn client_name(client: &ClientFile) -> String {
    client.name.as_ref().map_or_else(|| client.kind.get_ref().to_string(), |n| n.get_ref().clone())
}

pub(super) fn client_of(client: &ClientFile, steps: &StepTable, c: &mut Checker) -> Option<ClientPlan> {
    let kind = *client.kind.get_ref();
    let to = match kind {
        ClientKind::Ping => client.to.get_ref().parse::<IpAddr>().ok().map(Target::Host),
        ClientKind::Arping => client.to.get_ref().parse().ok().map(|ip| Target::Host(IpAddr::V4(ip))),
        _ => client.to.get_ref().parse::<SocketAddr>().ok().map(Target::Port),
    };
    if to.is_none() {
        let want = match kind {
            ClientKind::Ping => "an address, such as 203.0.113.8",
            ClientKind::Arping => "an IPv4 address, such as 169.254.1.1",
            _ => "an address and a port, such as 10.43.51.131:9004",
        };
        let help = client.to.get_ref().parse::<std::net::Ipv6Addr>().is_ok() && kind == ClientKind::Arping;
        let help = help.then(|| "ARP is of IPv4; `ping` makes the kernel solicit an IPv6 neighbour".into());
        c.at(&client.to, format!("{kind} goes to {want}"), help);
    }
    let not_for: [(&str, bool, &[ClientKind]); 4] = [
        ("retry", client.retry.is_some(), &[ClientKind::TcpConnect]),
        ("timeout", client.timeout.is_some(), &[ClientKind::TcpConnect, ClientKind::Udp]),
        ("parallel", client.parallel.is_some(), &[ClientKind::TcpConnect]),
        ("recverr", client.recverr, &[ClientKind::Udp]),
    ];
    for (key, given, kinds) in not_for {
        if given && !kinds.contains(&kind) {
            c.flaw(client.kind.span(), format!("`{key}` is nothing a {kind} client has"), None);
        }
    }
    let interval = client.interval.unwrap_or(Span::from_secs(1));
    if interval < INTERVAL_MIN {
        c.flaw(client.kind.span(), format!("an interval below {INTERVAL_MIN}"), None);
    }
    if client.timeout.is_some_and(|t| t < INTERVAL_MIN) {
        c.flaw(client.kind.span(), format!("a timeout below {INTERVAL_MIN}"), None);
    }
    let parallel = client.parallel.unwrap_or(1);
    if parallel == 0 || parallel > PARALLEL_MAX {
        c.flaw(client.kind.span(), format!("`parallel` is 1 to {PARALLEL_MAX}"), None);
    }
    if client.count.is_some_and(|n| n == 0 || n > COUNT_MAX) {
        c.flaw(client.kind.span(), format!("`count` is 1 to {COUNT_MAX}"), None);
    }
    let started = StepTable::built_in("kubelet.container-start");
    let gate = match &client.after {
        None => Gate::After(started),
        Some(name) => Gate::After(step_named(name, steps, c)?),
    };
    Some(ClientPlan {
        name: client_name(client),
        kind,
        to: to?,
        gate,
        delay: client.delay.map_or((Span::ZERO, Span::ZERO), |d| (d.from, d.to)),
        interval,
        count: client.count,
        ident: 1,
        stop_after: client.stop_after,
        deadline: client.deadline,
        retry: client.retry,
        timeout: client.timeout,
        parallel,
        recverr: client.recverr,
    })
}

pub(super) fn fault_of(fault: &Spanned<FaultFile>, c: &mut Checker) -> Option<FaultRule> {
    let (place, fault) = (fault.span(), fault.get_ref());
    if fault.step.is_some() || fault.fail.is_some() || fault.kill.is_some() {
        let message = "`step`, `fail` and `kill` belong together, and to a real plugin".to_owned();
        c.flaw(place, message, Some("`[cni] conflist` names one".into()));
        return None;
    }
    let mut actions = Vec::new();
    actions.extend(fault.drop.then_some(FaultAction::Drop));
    actions.extend(fault.delay.map(|d| FaultAction::Delay(d.from, d.to)));
    actions.extend(fault.duplicate.map(FaultAction::Duplicate));
    actions.extend(fault.reorder.then_some(FaultAction::Reorder));
    actions.extend(fault.corrupt.then_some(FaultAction::Corrupt));
    let [action] = actions[..] else {
        let message = format!("a fault does one thing, this one does {}", actions.len());
        let help = "one of `drop`, `delay`, `duplicate`, `reorder`, `corrupt`".to_owned();
        c.flaw(place, message, Some(help));
        return None;
    };
    let number = |n: &Option<Spanned<u32>>| n.as_ref().map(|n| *n.get_ref());
    let (per_mille, nth) = (number(&fault.per_mille).unwrap_or(1000), number(&fault.nth));
    let wrong = [
        (per_mille == 0 || per_mille > 1000, &fault.per_mille, "`per-mille` is 1 to 1000"),
        (nth == Some(0), &fault.nth, "`nth` counts from 1"),
    ];
    for (_, number, message) in wrong.iter().filter(|w| w.0) {
        c.flaw(number.as_ref().map_or(place.clone(), Spanned::span), (*message).to_owned(), None);
    }
    if wrong.iter().any(|w| w.0) {
        return None;
    }
    let which = FaultMatch {
        kind: fault.frame.unwrap_or(FrameKind::Any),
        from: fault.from,
        group: fault.group,
        first: nth.unwrap_or(1),
        count: fault.count.unwrap_or(if nth.is_some() { 1 } else { u32::MAX }),
        per_mille,
    };
    Some(FaultRule { which, action })
}
