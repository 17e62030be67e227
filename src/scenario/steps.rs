//! Steps, and what they wait for: the tables `[[step]]` and `[[hold]]`, and `--hold`.

use super::compile::Checker;
use super::error::PlanError;
use super::file::{HoldFile, Located, StepFile, VethFile};
use super::overrides::Overrides;
use super::text::CommandText;
use crate::control::{
    Act, ActorName, Announcement, Gate, Hold, ScriptStep, Setting, Side, StepId, StepTable, Until,
};
use crate::host::command::{Command, CommandError};
use crate::time::{Span, Time};

/// Repetitions of a step.
const TIMES_MAX: u32 = 100_000;
/// The shortest interval of a client or a repeated step: below it a run is all events.
pub(super) const INTERVAL_MIN: Span = Span::from_ms(1);

pub(super) fn declare(step: &StepFile, steps: &mut StepTable, c: &mut Checker) {
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

pub(super) fn check_step(step: &StepFile, c: &mut Checker) {
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

/// The steps that whoever wrote this name may have had in mind.
fn of_the_same_actor(name: &str, steps: &StepTable) -> String {
    let actor = name.split('.').next().unwrap_or_default();
    let own = steps.iter().filter(|(_, i)| i.actor.name() == actor);
    let own: Vec<&str> = own.map(|(_, i)| i.name.as_str()).collect();
    if own.is_empty() {
        "steps are named ACTOR.WHAT; `arplab list --steps` lists them".to_owned()
    } else {
        format!("{actor} has: {}", own.join(", "))
    }
}

/// The step of that name, or a flaw that lists the nearest ones.
pub(super) fn step_named(name: &Located, steps: &StepTable, c: &mut Checker) -> Option<StepId> {
    let found = steps.find(name.get_ref());
    if found.is_none() {
        c.at(
            name,
            format!("there is no step {:?}", name.get_ref()),
            Some(of_the_same_actor(name.get_ref(), steps)),
        );
    }
    found
}

pub(super) fn gate(after: Option<&Located>, steps: &StepTable, c: &mut Checker) -> Option<Gate> {
    match after {
        None => Some(Gate::Start),
        Some(name) => step_named(name, steps, c).map(Gate::After),
    }
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
    let how = Announcement { gratuitous: step.gratuitous, mac: step.announce_mac };
    if step.announce_gateway {
        acts.push(Act::AnnounceGateway(how));
    } else if how != Announcement::default() {
        let help = "announce-gateway = true announces";
        let message = "the step says how to announce the gateway, and does not announce it";
        c.at(&step.id, message.to_owned(), Some(help.to_owned()));
    }
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

/// The hold of a file's table: several, if it is on every occurrence of several steps.
pub(super) fn holds_of(hold: &HoldFile, steps: &StepTable, c: &mut Checker) -> Vec<Hold> {
    let Some(first) = hold_of(hold, steps, c) else { return Vec::new() };
    let others = steps.meant(hold.step.get_ref()).iter().skip(1).filter(|_| hold.every);
    let others: Vec<Hold> = others.map(|step| Hold { step: *step, ..first }).collect();
    [first].into_iter().chain(others).collect()
}

pub(super) fn apply_hold_overrides(
    holds: &mut Vec<Hold>,
    overrides: &Overrides,
    steps: &StepTable,
) -> Result<(), PlanError> {
    for over in &overrides.holds {
        let Some(step) = steps.find(&over.step) else {
            let help = of_the_same_actor(&over.step, steps);
            let meant = crate::near::meant(&over.step, steps.iter().map(|(_, i)| i.name.as_str()));
            return Err(PlanError::NoStep { step: over.step.clone(), meant, help });
        };
        holds.retain(|h| h.step != step);
        if over.length > Span::ZERO {
            holds.push(Hold { step, nth: Some(1), until: Until::Elapsed(over.length) });
        }
    }
    Ok(())
}
