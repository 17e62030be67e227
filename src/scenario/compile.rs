//! From a file to a scenario: what types cannot say is checked here, with places.

use super::clients::{client_name, client_of, default_clients};
use super::error::{Flaw, ScenarioError};
use super::faults::fault_of;
use super::file::{CalicoFile, Located, ScenarioFile};
use super::layers::names;
use super::plan::WAITER;
use super::plugin::step_fault_of;
use super::steps::{check_step, declare, gate, hold_of};
use crate::control::{CalicoVersion, StepTable};
use crate::time::Span;
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
    pub(super) fn at(&mut self, place: &Located, message: String, help: Option<String>) {
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

    /// The file's `id`.
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
        if let Some(cni) = &f.cni {
            super::plugin::check(f, cni, c);
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
            [] => default_clients().into_iter().map(|c| c.name).collect(),
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

fn version(calico: &CalicoFile, c: &mut Checker) {
    for text in [&calico.version, &calico.at_least].into_iter().flatten() {
        if let Err(e) = text.get_ref().parse::<CalicoVersion>() {
            c.at(text, format!("{e}"), None);
        }
    }
}
