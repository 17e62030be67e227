//! `--html`: runs as a page to look at.

use super::capture::{CaptureFile, OutFile};
use super::fail::Fail;
use super::matrix;
use crate::choice::Seeded;
use crate::gateway::SmoltcpOutside;
use crate::scenario::{Corner, Overrides, Plan, Scenario};
use crate::sim;
use crate::time::Time;
use crate::trace::{Shown, Sink as _, Start, Trace, What, title, write_html};
use std::path::Path;
use std::sync::Arc;

/// What `--beside` calls the simulator.
const SIM: &str = "sim";

/// A page to be written when the run is over, and the runs that stand below it.
pub(super) struct PictureFile {
    file: OutFile,
    beside: Vec<(String, Trace)>,
}

impl PictureFile {
    /// As [`OutFile::at`].
    pub(super) fn at(path: &Path) -> Result<PictureFile, Fail> {
        Ok(PictureFile { file: OutFile::at(path, "page")?, beside: Vec::new() })
    }

    /// A run to stand below the page's own.
    pub(super) fn add(&mut self, name: String, trace: Trace) {
        self.beside.push((name, trace));
    }

    /// Writes the page, with `events` on top.
    pub(super) fn write(&self, name: &str, events: &Trace) -> Result<(), Fail> {
        let own = Shown { name, trace: events };
        let beside = self.beside.iter().map(|(name, trace)| Shown { name, trace });
        let runs: Vec<Shown<'_>> = core::iter::once(own).chain(beside).collect();
        let mut bytes = Vec::new();
        write_html(&title(events), &runs, &mut bytes).map_err(|e| self.file.fail(&e))?;
        self.file.write(&bytes)
    }
}

/// The files that a run leaves behind.
#[derive(Default)]
pub(super) struct Files {
    capture: Option<CaptureFile>,
    picture: Option<PictureFile>,
}

impl Files {
    /// Looks whether both can be written.
    pub(super) fn at(capture: Option<&Path>, picture: Option<&Path>) -> Result<Files, Fail> {
        Ok(Files {
            capture: capture.map(CaptureFile::at).transpose()?,
            picture: picture.map(PictureFile::at).transpose()?,
        })
    }

    /// Makes the simulator's runs that `--beside` asks for: of a fix, of a mitigation, or of the same
    /// plan.
    pub(super) fn beside(
        &mut self,
        wanted: &[String],
        scenario: &Scenario,
        overrides: &Overrides,
        seed: u64,
    ) -> Result<(), Fail> {
        let Some(picture) = &mut self.picture else { return Ok(()) };
        for name in wanted {
            let mut overrides = overrides.clone();
            let own = scenario.file().fixes.iter().any(|fix| fix.name.get_ref() == name);
            let heading = match name.as_str() {
                SIM => "simulated".to_owned(),
                name if own => {
                    overrides.fixes.push(name.to_owned());
                    format!("simulated, --fix {name}")
                }
                name => {
                    overrides.with(&matrix::find(name).map_err(|_| nothing(name, scenario))?.name);
                    format!("simulated, --with {name}")
                }
            };
            let plan = Arc::new(scenario.plan(&overrides)?);
            let mut trace = begun(scenario, &plan, &overrides, Corner::Sim, seed);
            let outside = SmoltcpOutside::new(plan.outside.clone(), seed);
            sim::run(plan, outside, &mut Seeded::new(seed), &mut trace);
            picture.add(heading, trace);
        }
        Ok(())
    }

    /// A capture that somebody reads while it is written: it is not this one's to write any more.
    #[cfg(feature = "live")]
    pub(super) fn flowing(&mut self) -> Option<CaptureFile> {
        self.capture.take_if(|c| c.flows())
    }

    /// Writes them.
    pub(super) fn write(&self, name: &str, events: &Trace) -> Result<(), Fail> {
        self.capture.as_ref().map_or(Ok(()), |c| c.write(events))?;
        self.picture.as_ref().map_or(Ok(()), |p| p.write(name, events))
    }
}

fn nothing(name: &str, scenario: &Scenario) -> Fail {
    let fixes: Vec<&str> = scenario.file().fixes.iter().map(|fix| fix.name.get_ref().as_str()).collect();
    let fixes = if fixes.is_empty() { String::new() } else { format!(", a fix ({})", fixes.join(", ")) };
    Fail::usage(format!(
        "--beside {name}: there is no such run of {}; it takes {SIM}{fixes} or a mitigation (`arplab list --mitigations`)",
        scenario.id()
    ))
}

/// A run that begins: its first event says what it is.
pub(super) fn begun(
    scenario: &Scenario,
    plan: &Arc<Plan>,
    overrides: &Overrides,
    corner: Corner,
    seed: u64,
) -> Trace {
    let mut trace = Trace::new(plan);
    let start = Start {
        scenario: scenario.id().to_owned(),
        title: scenario.file().title.clone(),
        corner,
        seed,
        fixes: overrides.fixes.clone(),
        holds: overrides.holds.iter().map(|h| format!("{}={}", h.step, h.length)).collect(),
    };
    trace.take(Time::ZERO, What::Start(Box::new(start)));
    trace
}
