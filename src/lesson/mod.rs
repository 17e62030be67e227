//! Lessons: a question about a run, a prediction, the run itself, and why.
//!
//! A lesson is a file of `lessons/`. It names a run of a built-in scenario, and for each of its answers the
//! [`Condition`]s under which that one is right; which one it is follows from the [`Facts`] of the run when
//! it is played. So is what is said to a wrong prediction, and a run that is changed (another hold, a
//! mitigation) can have another right answer.

mod condition;
mod fact;
mod file;
mod page;
mod playing;

pub use condition::Condition;
pub use fact::{Facts, Value};
pub use file::{Attempt, Choice, Lesson, RunOf, Said, Source, Vary, lesson, lessons};
pub use page::{WriteError, file_name, write_index, write_lesson};
pub use playing::{Look, Playing, letter};

use crate::scenario::{PlanError, ScenarioError};

/// Why a lesson cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum LessonError {
    /// A condition that is none.
    #[error(
        "{condition:?} is no condition: `[not] FACT OP VALUE` is wanted, with is, has, <, <=, >, >= or about"
    )]
    Unread {
        /// Its text.
        condition: String,
    },
    /// Two values that cannot be compared so.
    #[error("{condition:?} compares what cannot be compared so")]
    Unfit {
        /// Its text.
        condition: String,
    },
    /// A name that no fact has.
    #[error("the run has no fact {name:?}")]
    NoSuchFact {
        /// The name.
        name: String,
    },
    /// A brace without its other one.
    #[error("there is no }} behind {text:?}")]
    Unclosed {
        /// What follows the brace.
        text: String,
    },
    /// The lesson's scenario is not there.
    #[error("there is no scenario {scenario:?}")]
    NoScenario {
        /// Its id.
        scenario: String,
    },
    /// The scenario cannot be read.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// The run cannot be changed so.
    #[error(transparent)]
    Plan(#[from] PlanError),
}
