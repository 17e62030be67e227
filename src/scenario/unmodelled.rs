//! Commands that the model has no term for: where they may stand, and where they do.

use super::compile::{Scenario, find_word};
use super::error::PlanError;
use super::error::{Flaw, ScenarioError};
use super::expect::Corner;
use super::setup::FOLLOWS;
use super::text::CommandText;
use crate::control::{Act, ActorName, ScriptStep, Side};
use crate::host::command::{Command, Tool};

impl Scenario {
    /// Refuses them, unless a kernel is there to carry them out.
    pub(super) fn only_known(
        &self,
        script: &[(ActorName, ScriptStep)],
        tools: &[(Side, Tool)],
        corner: Corner,
    ) -> Result<(), PlanError> {
        let of_steps = script.iter().flat_map(|(_, step)| &step.acts).filter_map(|act| match act {
            Act::Tool { side, tool, .. } => Some((*side, tool)),
            _ => None,
        });
        let of_setup = tools.iter().map(|(side, tool)| (*side, tool)).filter(|(_, t)| t.why() != FOLLOWS);
        let real = |side: Side| match corner {
            Corner::Sim => false,
            Corner::LiveSmoltcp => side == Side::Pod,
            Corner::LiveKernel => true,
        };
        let mut flaws: Vec<Flaw> = of_steps
            .chain(of_setup)
            .filter(|(side, _)| !real(*side))
            .map(|(_, tool)| Flaw {
                span: self.place_of(&tool.to_string()),
                message: format!("the model does not know `{tool}`: {}", tool.why()),
                help: Some("a real kernel does: `arplab run FILE --live --responder kernel`".into()),
            })
            .collect();
        if flaws.is_empty() {
            return Ok(());
        }
        flaws.sort_by_key(|f| f.span.start);
        flaws.dedup();
        let (origin, source) = (self.origin().to_owned(), self.source().to_owned());
        Err(PlanError::Unmodelled(ScenarioError { origin, source, flaws }))
    }

    /// Where a command stands in the file, before the run's names were put into it.
    fn place_of(&self, expanded: &str) -> core::ops::Range<usize> {
        let f = &self.file;
        let setting = self.setting();
        let changes = || f.fixes.iter().map(|x| &x.change);
        let steps = f.steps.iter().chain(changes().flat_map(|c| &c.steps));
        let of_steps = steps.flat_map(|s| s.node.iter().chain(&s.pod));
        let of_pod = f.pod.setup.iter().chain(&f.pod.before_start).chain(&f.live.pod_before_start);
        let of_fixes = changes().flat_map(|c| c.node.iter().chain(&c.pod).chain(&c.pod_before_start));
        let is_it = |c: &&CommandText| {
            let command = c.command(&setting);
            matches!(&command, Ok(Command::Unknown(tool)) if tool.to_string() == expanded)
        };
        let found = f.node.setup.iter().chain(of_steps).chain(of_pod).chain(of_fixes).find(is_it);
        found.map_or(0..0, |c| find_word(self.source(), c.as_str()))
    }
}
