//! A lesson with its run.

use super::LessonError;
use super::condition::all_hold;
use super::fact::{Facts, Value};
use super::file::{Lesson, Said, options};
use crate::matrix::{Played, play};
use crate::scenario::{Corner, Overrides, Scenario, catalogue};
use crate::time::{Span, Time};
use crate::trace::{Event, Row, Start, Trace, What, describe, rows};

/// Lines of the timeline, or of the wire, that are shown at most.
const MOST: usize = 14;
/// Of more than that, so many of the first are shown.
const FIRST: usize = 8;

/// What is to be looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Look {
    /// A line.
    Line(Row),
    /// So many lines are left out.
    Gap(usize),
}

/// A lesson, and the run that answers it.
pub struct Playing {
    /// The lesson.
    pub lesson: &'static Lesson,
    /// The run.
    pub trace: Trace,
    /// What it shows.
    pub facts: Facts,
    scenario: Scenario,
    /// What is changed about the scenario: by the lesson, and by whoever plays it.
    changes: Overrides,
}

/// The letter of a choice, by its place.
#[must_use]
pub fn letter(choice: usize) -> char {
    char::from(b'a' + choice as u8)
}

impl Playing {
    /// The scenario of a lesson.
    pub fn scenario(lesson: &Lesson) -> Result<Scenario, LessonError> {
        let id = &lesson.run.scenario;
        let found = catalogue::find(id)?.into_iter().find(|s| s.id() == id);
        found.ok_or_else(|| LessonError::NoScenario { scenario: id.clone() })
    }

    /// Plays a lesson's run, with these changes beside its own.
    pub fn of(lesson: &'static Lesson, more: &Overrides, seed: u64) -> Result<Playing, LessonError> {
        let scenario = Self::scenario(lesson)?;
        let (run, mut changes) = (&lesson.run, Overrides::default());
        changes.fixes.clone_from(&run.fix);
        run.with.iter().for_each(|name| changes.with(name));
        changes.fixes.extend(more.fixes.iter().cloned());
        let kept = run.hold.iter().filter(|own| more.holds.iter().all(|hold| hold.step != own.step));
        changes.holds = kept.chain(&more.holds).cloned().collect();
        let played = play(&scenario, &changes, seed)?;
        let facts = Facts::of(&played);
        let Played { events: mut trace, .. } = played;
        let start = Start {
            scenario: scenario.id().to_owned(),
            title: scenario.file().title.clone(),
            corner: Corner::Sim,
            seed,
            fixes: changes.fixes.clone(),
            holds: changes.holds.iter().map(ToString::to_string).collect(),
        };
        trace.events.insert(0, Event { t_ns: Time::ZERO, what: What::Start(Box::new(start)) });
        Ok(Playing { lesson, trace, facts, scenario, changes })
    }

    /// The choices that are right of this run, by their places: one, unless the run was changed so much
    /// that the lesson has no answer for it.
    pub fn right(&self) -> Result<Vec<usize>, LessonError> {
        let mut right = Vec::new();
        for (at, choice) in self.lesson.choices.iter().enumerate() {
            if all_hold(&choice.right_when, &self.facts)? {
                right.push(at);
            }
        }
        Ok(right)
    }

    /// Why a choice is wrong, in the words that fit the run.
    pub fn why_wrong(&self, choice: usize) -> Result<Option<String>, LessonError> {
        let Some(choice) = self.lesson.choices.get(choice) else { return Ok(None) };
        Ok(self.said(&choice.wrong)?.into_iter().next())
    }

    /// Why it is as it is.
    pub fn explanation(&self) -> Result<Vec<String>, LessonError> {
        self.said(&self.lesson.explain)
    }

    fn said(&self, all: &[Said]) -> Result<Vec<String>, LessonError> {
        let mut said = Vec::new();
        for one in all {
            // filled in even where it does not fit, so that a slip in a name shows
            let text = self.facts.fill(&one.say)?;
            if all_hold(&one.when, &self.facts)? {
                said.push(text);
            }
        }
        Ok(said)
    }

    /// The lines that the lesson wants looked at.
    #[must_use]
    pub fn look(&self) -> Vec<Look> {
        let wanted = |row: &Row| self.lesson.show.iter().any(|word| row.text.contains(word));
        shortened(rows(&self.trace).into_iter().filter(wanted).collect())
    }

    /// The frames between pod and host as a capture has them, each in a line; what a lesson about a
    /// capture shows before it asks.
    #[must_use]
    pub fn wire(&self) -> Vec<Look> {
        let frame = |e: &Event| match &e.what {
            What::Frame { bytes, .. } => {
                let text = describe(bytes).summary;
                Some(Row { t: e.t_ns, lane: None, text, more: Vec::new() })
            }
            _ => None,
        };
        shortened(self.trace.iter().filter_map(frame).collect())
    }

    /// The run as it is typed.
    #[must_use]
    pub fn command(&self) -> String {
        let own: Vec<String> = self.changes.own_fixes().map(str::to_owned).collect();
        let with: Vec<String> = self.changes.mitigations().map(str::to_owned).collect();
        format!("arplab run {}{}", self.scenario.id(), options(&own, &with, &self.changes.holds))
    }

    /// How long the run is.
    #[must_use]
    pub fn length(&self) -> Value {
        Value::Span(self.trace.last().map_or(Span::ZERO, |e| e.t_ns.since(Time::ZERO)))
    }

    /// The same with a real pod and a real kernel that answers, where that can be staged.
    #[must_use]
    pub fn live_command(&self) -> Option<String> {
        let refused = self.scenario.file().not_live.contains_key(&Corner::LiveKernel);
        (!refused).then(|| format!("{} --live --responder kernel", self.command()))
    }
}

/// The first and the last lines of many.
fn shortened(rows: Vec<Row>) -> Vec<Look> {
    let count = rows.len();
    let left_out = if count > MOST { FIRST..count - (MOST - FIRST) } else { 0..0 };
    let mut looks = Vec::with_capacity(MOST + 1);
    for (at, row) in rows.into_iter().enumerate() {
        if !left_out.contains(&at) {
            looks.push(Look::Line(row));
        } else if at == left_out.start {
            looks.push(Look::Gap(left_out.len()));
        }
    }
    looks
}
