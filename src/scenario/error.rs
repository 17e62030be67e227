//! What is wrong with a scenario file, and where.

use crate::control::Side;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use core::fmt;
use core::ops::Range;

/// One thing that is wrong, with its place in the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Flaw {
    /// Bytes of the file it is about.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// A scenario file that cannot be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScenarioError {
    /// Where it came from.
    pub origin: String,
    /// The whole file, into which flaws point.
    pub source: String,
    /// What is wrong with it; at least one.
    pub flaws: Vec<Flaw>,
}

impl Flaw {
    pub(super) fn from_toml(error: &toml::de::Error) -> Flaw {
        let span = error.span().unwrap_or(0..0);
        // serde's word for a list
        let message = error.message().replace("expected a sequence", "a list is wanted, such as [\"...\"]");
        Flaw { span, message, help: None }
    }
}

impl ScenarioError {
    /// Line and column, from 1, of the first flaw.
    #[must_use]
    pub fn place(&self) -> (usize, usize) {
        let at = self.flaws.first().map_or(0, |f| f.span.start).min(self.source.len());
        let before = &self.source.as_bytes()[..at];
        let line = before.split(|b| *b == b'\n').count();
        let start = before.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        (line, at - start + 1)
    }
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let renderer = Renderer::plain();
        for (i, flaw) in self.flaws.iter().enumerate() {
            let span = clamp(&self.source, &flaw.span);
            let snippet = Snippet::source(&self.source)
                .path(&self.origin)
                .annotation(AnnotationKind::Primary.span(span).label(""));
            let title = format!("{}{}", flaw.message, super::meant::at(&self.source, &flaw.span));
            let mut group = Level::ERROR.primary_title(&title).element(snippet);
            if let Some(help) = &flaw.help {
                group = group.element(Level::HELP.message(help));
            }
            if i > 0 {
                f.write_str("\n")?;
            }
            f.write_str(&renderer.render(&[group]))?;
        }
        Ok(())
    }
}

/// A span that lies within the text and on character borders, whatever the parser said.
fn clamp(source: &str, span: &Range<usize>) -> Range<usize> {
    let border = |mut at: usize| {
        at = at.min(source.len());
        while !source.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = border(span.start);
    start..border(span.end).max(start)
}

impl std::error::Error for ScenarioError {}

/// Why a scenario cannot be made ready.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// There is no such fix.
    #[error("scenario {scenario} has no fix {name:?}{meant}; it has: {known}")]
    NoFix {
        /// The id of the scenario that was asked.
        scenario: String,
        /// What was asked for.
        name: String,
        /// What was probably meant, as words; empty where nothing is near.
        meant: String,
        /// What there is.
        known: String,
    },
    /// There is no such step.
    #[error("there is no step {step:?}{meant} to hold; {help}")]
    NoStep {
        /// What was asked for.
        step: String,
        /// What was probably meant, as words; empty where nothing is near.
        meant: String,
        /// What there is.
        help: String,
    },
    /// A command of the set-up is refused by the kernel's rules.
    #[error("the {side}'s set-up fails: {why}")]
    Setup {
        /// Whose namespace it was for.
        side: Side,
        /// The command, and what it is refused with.
        why: String,
    },
    /// A fix does not hold together.
    #[error("{0}")]
    Flawed(String),
    /// Steps with commands that the model has no term for, where no kernel can be asked.
    #[error("the scenario cannot be run here\n{0}")]
    Unmodelled(ScenarioError),
    /// A step of the plugin that it does not have.
    #[error("the scenario does not fit its plugin\n{0}")]
    Misnamed(Box<ScenarioError>),
    /// A real plugin where none can run.
    #[error(
        "scenario {0} has a real plugin ([cni]){1}, which a model cannot run: `arplab run FILE --live --responder \
         kernel` does, and `arplab compare FILE --model SCENARIO` holds it against one without"
    )]
    RealPlugin(String, &'static str),
}
