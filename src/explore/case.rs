//! A schedule in a file: to be replayed, and kept as a regression test.
//!
//! The file names steps, not numbers, and holds the choices and nothing that follows from them;
//! so it outlives releases in which programs or models change. Where it does not fit any more,
//! the replay says so.

use super::bounds::{Bounds, Complete};
use super::facts::Facts;
use super::property::{Property, PropertyError};
use super::replay::{Replayed, replay};
use super::schedule::{DrawRun, Repeated, Schedule};
use super::shrink::LeftOut;
use crate::control::Gate;
use crate::scenario::{HoldOverride, Overrides, Plan};
use crate::time::{Span, Time};
use serde::{Deserialize, Serialize};

/// What the files say they are.
const FORMAT: &str = "arplab-schedule";
/// The version that is written; older ones are read.
const VERSION: u32 = 1;
/// The longest file that is read, bytes: a thousand times the longest schedule met.
const FILE_MAX: usize = 8 << 20;

/// The most moves and draws of a file: far more than a run makes, and not much memory.
const LENGTH_MAX: u64 = 4_000_000;
/// How long a live run goes on after the end of its schedule: real steps take their time.
const AFTER: Span = Span::from_secs(2);

/// How a schedule stands to its properties.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stands {
    /// It lacks one of them: it shows a bug that is still there.
    Fails,
    /// It has them all: it shows that a bug is gone.
    Holds,
}

/// A schedule with all that is needed to run it again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Case {
    format: String,
    version: u32,
    /// The scenario: an id of the catalogue, or a file. Empty for a plan built in code.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub scenario: String,
    /// Its fixes that were applied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fixes: Vec<String>,
    /// The mitigations it was given, after the fixes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub with: Vec<String>,
    /// Holds that were set or lifted, such as `felix.iface-seen=0s`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<HoldOverride>,
    /// What was left out of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without_clients: Vec<String>,
    /// Holds left out, by step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without_holds: Vec<String>,
    /// Faults left out, by place, from 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without_faults: Vec<usize>,
    /// What the schedule is held against.
    pub properties: Vec<String>,
    /// How it stands to them.
    pub outcome: Stands,
    /// Which of them it lacks, where it fails; any where this is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacks: Vec<String>,
    horizon: Span,
    instant: Span,
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    to_rest: bool,
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    fine: bool,
    moves: Vec<Repeated>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    draws: Vec<DrawRun>,
}

impl core::fmt::Display for Stands {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Stands::Fails => "fails",
            Stands::Holds => "holds",
        })
    }
}

/// Why a file is no case, or a case does not come out as it says.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// It cannot be read.
    #[error("the file is no schedule: {0}")]
    Unreadable(String),
    /// It is of a version that this program does not know.
    #[error("the schedule is of format version {0}; this arplab reads up to {VERSION}")]
    Newer(u32),
    /// It names a property that does not exist.
    #[error(transparent)]
    Property(#[from] PropertyError),
    /// It comes out otherwise.
    #[error("by its file the schedule {wanted}, but {seen}")]
    Otherwise {
        /// What the file says.
        wanted: Stands,
        /// What was seen.
        seen: String,
    },
}

impl Case {
    /// A case of this schedule.
    #[must_use]
    pub fn new(schedule: &Schedule, bounds: &Bounds, properties: &[Property], outcome: Stands) -> Case {
        let always = properties.iter().filter(|p| !p.is_sometimes());
        Case {
            format: FORMAT.to_owned(),
            version: VERSION,
            scenario: String::new(),
            fixes: Vec::new(),
            with: Vec::new(),
            holds: Vec::new(),
            without_clients: Vec::new(),
            without_holds: Vec::new(),
            without_faults: Vec::new(),
            properties: always.map(ToString::to_string).collect(),
            outcome,
            lacks: Vec::new(),
            horizon: bounds.horizon,
            instant: bounds.instant,
            to_rest: bounds.complete == Complete::AtRest,
            fine: bounds.fine,
            moves: schedule.runs(),
            draws: schedule.draw_runs(),
        }
    }

    /// The same, which fails by lacking these.
    #[must_use]
    pub fn lacking_these(mut self, lacks: &[String]) -> Case {
        self.lacks = lacks.to_vec();
        self
    }

    /// The same, for this scenario with these fixes, mitigations and holds. A replay applies the
    /// fixes first, as the command line does.
    #[must_use]
    pub fn of_scenario(mut self, scenario: &str, overrides: &Overrides, left_out: &LeftOut) -> Case {
        scenario.clone_into(&mut self.scenario);
        self.fixes = overrides.own_fixes().map(str::to_owned).collect();
        self.with = overrides.mitigations().map(str::to_owned).collect();
        self.holds.clone_from(&overrides.holds);
        self.without_clients.clone_from(&left_out.clients);
        self.without_holds.clone_from(&left_out.holds);
        self.without_faults.clone_from(&left_out.faults);
        self
    }

    /// Reads a file's text.
    pub fn parse(text: &str) -> Result<Case, CaseError> {
        #[derive(Deserialize)]
        struct Head {
            format: String,
            version: u32,
        }
        if text.len() > FILE_MAX {
            return Err(CaseError::Unreadable(format!("it is longer than {FILE_MAX} bytes")));
        }
        // the head first, so that a newer file is told from a broken one
        let head: Head = toml::from_str(text).map_err(|e| CaseError::Unreadable(e.to_string()))?;
        if head.format != FORMAT {
            return Err(CaseError::Unreadable(format!("its format is {:?}, not {FORMAT:?}", head.format)));
        }
        if head.version > VERSION {
            return Err(CaseError::Newer(head.version));
        }
        let case: Case = toml::from_str(text).map_err(|e| CaseError::Unreadable(e.to_string()))?;
        if case.properties.is_empty() {
            return Err(CaseError::Unreadable("it is held against no property".to_owned()));
        }
        if let Some(name) = case.lacks.iter().find(|name| !case.properties.contains(name)) {
            return Err(CaseError::Unreadable(format!("it lacks {name}, which is not among its properties")));
        }
        let moves = case.moves.iter().map(|m| u64::from(m.times)).sum::<u64>();
        if moves + case.draws.iter().map(|d| u64::from(d.times)).sum::<u64>() > LENGTH_MAX {
            let why = format!("it has more than {LENGTH_MAX} moves and draws, which no run makes");
            return Err(CaseError::Unreadable(why));
        }
        Ok(case)
    }

    /// The text of a file.
    pub fn to_text(&self) -> Result<String, CaseError> {
        let body = toml::to_string_pretty(self).map_err(|e| CaseError::Unreadable(e.to_string()))?;
        let how = if self.scenario.is_empty() {
            "in the test that has its plan, with Case::check"
        } else {
            "arplab explore --replay FILE"
        };
        Ok(format!("# A schedule of events, to be replayed: {how}\n{body}"))
    }

    /// What is changed about the scenario.
    #[must_use]
    pub fn overrides(&self) -> Overrides {
        let mut overrides =
            Overrides { holds: self.holds.clone(), fixes: self.fixes.clone(), ..Overrides::default() };
        self.with.iter().for_each(|name| overrides.with(name));
        overrides
    }

    /// What was left out of the scenario.
    #[must_use]
    pub fn left_out(&self) -> LeftOut {
        LeftOut {
            clients: self.without_clients.clone(),
            holds: self.without_holds.clone(),
            faults: self.without_faults.clone(),
        }
    }

    /// The schedule that the file holds.
    #[must_use]
    pub fn schedule(&self) -> Schedule {
        Schedule::of_runs(&self.moves, &self.draws)
    }

    /// Runs it on a plan: that of its scenario, or one built in code.
    #[must_use]
    pub fn replay(&self, mut plan: Plan) -> Replayed {
        self.left_out().apply(&mut plan);
        let complete = if self.to_rest { Complete::AtRest } else { Complete::AsPlanned };
        let bounds = Bounds {
            horizon: self.horizon,
            instant: self.instant,
            fine: self.fine,
            complete,
            ..Bounds::default()
        };
        replay(plan, &self.schedule(), &bounds)
    }

    /// The plan with holds that bring about the order of the schedule where nobody decides about
    /// moves: on a real kernel.
    #[must_use]
    pub fn held(&self, mut plan: Plan) -> Plan {
        let replayed = self.replay(plan.clone());
        self.left_out().apply(&mut plan);
        let late =
            |h: &crate::control::Hold| replayed.holds.iter().any(|x| (x.step, x.nth) == (h.step, h.nth));
        plan.holds.retain(|h| !late(h));
        plan.holds.extend(replayed.holds);
        for client in &mut plan.clients {
            if let Some((_, step)) = replayed.clients.iter().find(|c| c.0 == client.name) {
                (client.gate, client.delay) = (Gate::After(*step), (Span::ZERO, Span::ZERO));
            }
        }
        // the run is as long as the schedule, so that it ends where the simulator's does
        if let (Some(end), false) = (replayed.facts.ended, self.to_rest) {
            plan.duration = plan.duration.min(end.since(Time::ZERO) + AFTER);
        }
        plan
    }

    /// Runs it and holds it against its properties and those given. An error when it comes out
    /// otherwise than the file says.
    pub fn check(&self, plan: Plan, own: &[Property]) -> Result<Replayed, CaseError> {
        let replayed = self.replay(plan);
        let lacking = self.lacking(&replayed, own)?;
        if self.is_as_recorded(&lacking) {
            return Ok(replayed);
        }
        let seen = match &lacking[..] {
            [] => "it has every property".to_owned(),
            _ => format!("it lacks {}", lacking.join(", ")),
        };
        let fit = replayed.unfit().map_or_else(String::new, |text| format!(" ({text})"));
        Err(CaseError::Otherwise { wanted: self.outcome, seen: seen + &fit })
    }

    /// Whether a run that lacks these properties came out as the file says.
    #[must_use]
    pub fn is_as_recorded(&self, lacking: &[String]) -> bool {
        match self.outcome {
            Stands::Holds => lacking.is_empty(),
            Stands::Fails if self.lacks.is_empty() => !lacking.is_empty(),
            Stands::Fails => lacking == self.lacks,
        }
    }

    /// The properties that a replay lacks. A name that is not known must be among `own`.
    pub fn lacking(&self, replayed: &Replayed, own: &[Property]) -> Result<Vec<String>, CaseError> {
        self.lacking_facts(&replayed.facts, own)
    }

    /// The properties that a run with these facts lacks, such as a live one.
    pub fn lacking_facts(&self, facts: &Facts, own: &[Property]) -> Result<Vec<String>, CaseError> {
        let mut lacking = Vec::new();
        for name in &self.properties {
            let property = match own.iter().find(|p| p.to_string() == *name) {
                Some(property) => property.clone(),
                None => name.parse()?,
            };
            if !property.test(facts) {
                lacking.push(name.clone());
            }
        }
        Ok(lacking)
    }
}
