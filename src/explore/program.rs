//! An actor's program written in code: steps, what each waits for, what each does.

use crate::control::{Act, Actor, ActorName, Actors, Cx, Happening, Lane, Side, StepId, Task, TaskResult};
use crate::host::Mutation;
use crate::scenario::Plan;
use crate::time::Span;
use smallvec::SmallVec;
use std::sync::Arc;

/// Steps of one program: a bit each.
const STEPS_MAX: usize = 64;

/// Why a program cannot be installed in a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// A command is none.
    #[error("step {step}: {why}")]
    Command {
        /// Which step.
        step: String,
        /// What is wrong with it.
        why: String,
    },
    /// A step waits for one that does not exist.
    #[error("step {step} waits for {needs:?}, which is no step of the plan or of the program")]
    NoStep {
        /// Which step.
        step: String,
        /// What it waits for.
        needs: String,
    },
    /// A step's name does not begin with an actor's.
    #[error("{0:?} is no name for a step: ACTOR.WHAT is wanted")]
    Name(String),
    /// It is too long.
    #[error("a program has at most {STEPS_MAX} steps")]
    TooLong,
}

#[derive(Clone, Debug)]
enum Does {
    Act(Act),
    Command(Side, String),
}

#[derive(Clone, Debug)]
struct Line {
    name: String,
    takes: (Span, Span),
    needs: Vec<String>,
    does: Vec<Does>,
}

/// A program for an actor: steps in order, each after the one before it unless said otherwise.
///
/// ```
/// use arplab::control::{Act, ActorName};
/// use arplab::explore::Program;
///
/// let felix = Program::new(ActorName::Felix)
///     .step("felix.iface-seen").after("cni.host-up")
///     .step("felix.sysctl.proxy_arp").host("sysctl -w net.ipv4.conf.{cali}.proxy_arp=1")
///     .step("felix.host-route-add").host("ip route add {pod_ip} dev {cali} scope link");
/// assert_eq!(felix.steps().count(), 3);
/// // the same with one rule less: the route may come before the switch
/// let mutant = felix.without_rule("felix.sysctl.proxy_arp", "felix.host-route-add");
/// assert_eq!(mutant.needs("felix.host-route-add"), ["felix.iface-seen"]);
/// ```
#[derive(Clone, Debug)]
pub struct Program {
    actor: ActorName,
    lines: Vec<Line>,
}

impl Program {
    /// An empty program for an actor.
    #[must_use]
    pub fn new(actor: ActorName) -> Program {
        Program { actor, lines: Vec::new() }
    }

    /// Adds a step, after the last one. It takes no time of its own and does nothing yet.
    #[must_use]
    pub fn step(mut self, name: &str) -> Program {
        let needs = self.lines.last().map(|l| l.name.clone()).into_iter().collect();
        let takes = (Span::ZERO, Span::ZERO);
        self.lines.push(Line { name: name.to_owned(), takes, needs, does: Vec::new() });
        self
    }

    fn last(mut self, change: impl FnOnce(&mut Line)) -> Program {
        if let Some(line) = self.lines.last_mut() {
            change(line);
        }
        self
    }

    /// The step waits for another one too, of this program or of another actor.
    #[must_use]
    pub fn after(self, step: &str) -> Program {
        self.last(|l| l.needs.push(step.to_owned()))
    }

    /// The step waits for these only, not for the one before it.
    #[must_use]
    pub fn only_after(self, steps: &[&str]) -> Program {
        self.last(|l| l.needs = steps.iter().map(|s| (*s).to_owned()).collect())
    }

    /// The step takes so long.
    #[must_use]
    pub fn takes(self, least: Span, most: Span) -> Program {
        self.last(|l| l.takes = (least, most.max(least)))
    }

    /// The step does this.
    #[must_use]
    pub fn act(self, act: Act) -> Program {
        self.last(|l| l.does.push(Does::Act(act)))
    }

    /// The step runs a command on the node; `{cali}` and the other names of scenario files are
    /// filled in.
    #[must_use]
    pub fn host(self, command: &str) -> Program {
        self.last(|l| l.does.push(Does::Command(Side::Host, command.to_owned())))
    }

    /// The step runs a command in the pod.
    #[must_use]
    pub fn pod(self, command: &str) -> Program {
        self.last(|l| l.does.push(Does::Command(Side::Pod, command.to_owned())))
    }

    /// The same program with one rule more: `later` waits for `earlier` too.
    #[must_use]
    pub fn rule(mut self, earlier: &str, later: &str) -> Program {
        if let Some(line) = self.lines.iter_mut().find(|l| l.name == later)
            && !line.needs.iter().any(|n| n == earlier)
        {
            line.needs.push(earlier.to_owned());
        }
        self
    }

    /// The same program without the rule that `later` waits for `earlier`; `later` then waits for
    /// what `earlier` waits for.
    #[must_use]
    pub fn without_rule(mut self, earlier: &str, later: &str) -> Program {
        let inherited: Vec<String> =
            self.lines.iter().find(|l| l.name == earlier).map(|l| l.needs.clone()).unwrap_or_default();
        if let Some(line) = self.lines.iter_mut().find(|l| l.name == later)
            && let Some(at) = line.needs.iter().position(|n| n == earlier)
        {
            line.needs.remove(at);
            line.needs.extend(inherited);
        }
        self
    }

    /// The steps' names.
    pub fn steps(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(|l| l.name.as_str())
    }

    /// What a step waits for.
    #[must_use]
    pub fn needs(&self, step: &str) -> Vec<&str> {
        let line = self.lines.iter().find(|l| l.name == step);
        line.map(|l| l.needs.iter().map(String::as_str).collect()).unwrap_or_default()
    }

    /// Puts the program in the place of the plan's actor of that name.
    pub fn install(&self, plan: &mut Plan) -> Result<(), ProgramError> {
        if self.lines.len() > STEPS_MAX {
            return Err(ProgramError::TooLong);
        }
        let table = Arc::make_mut(&mut plan.steps);
        for line in &self.lines {
            let actor =
                ActorName::of_step(&line.name).ok_or_else(|| ProgramError::Name(line.name.clone()))?;
            table.add(&line.name, actor, &line.name);
        }
        let mut steps = Vec::new();
        for line in &self.lines {
            steps.push(compile(line, plan)?);
        }
        let running =
            Running { actor: self.actor, steps: steps.into(), begun: 0, seen: 0, waited: [].into() };
        let running = running.waiting();
        plan.actors.retain(|a| a.name() != self.actor);
        plan.actors.push(Actors::Custom(Box::new(running)));
        Ok(())
    }
}

fn compile(line: &Line, plan: &Plan) -> Result<Compiled, ProgramError> {
    let missing = |needs: &String| ProgramError::NoStep { step: line.name.clone(), needs: needs.clone() };
    let find = |name: &String| plan.steps.find(name).ok_or_else(|| missing(name));
    let needs = line.needs.iter().map(find).collect::<Result<Vec<StepId>, _>>()?;
    let mut acts = Vec::new();
    for does in &line.does {
        acts.push(match does {
            Does::Act(act) => act.clone(),
            Does::Command(side, command) => {
                let change: Result<Mutation, _> = plan.setting.expand(command).parse();
                let change = change.map_err(|e: crate::host::command::CommandError| {
                    ProgramError::Command { step: line.name.clone(), why: e.to_string() }
                })?;
                Act::Change(*side, change)
            }
        });
    }
    if acts.is_empty() {
        acts.push(Act::Mark);
    }
    Ok(Compiled { step: find(&line.name)?, takes: line.takes, needs, acts })
}

#[derive(Debug)]
struct Compiled {
    step: StepId,
    takes: (Span, Span),
    needs: Vec<StepId>,
    acts: Vec<Act>,
}

/// A program at work.
#[derive(Clone, Debug)]
struct Running {
    actor: ActorName,
    steps: Arc<[Compiled]>,
    /// Steps that were begun, by place.
    begun: u64,
    /// Steps waited for that are done, by place in `waited`.
    seen: u64,
    waited: Arc<[StepId]>,
}

impl Running {
    fn waiting(mut self) -> Running {
        let mut waited: Vec<StepId> = self.steps.iter().flat_map(|s| s.needs.iter().copied()).collect();
        waited.sort_unstable();
        waited.dedup();
        waited.truncate(STEPS_MAX);
        self.waited = waited.into();
        self
    }

    fn begin_ready(&mut self, cx: &mut Cx<'_>) {
        let seen = |step: &StepId| self.waited.binary_search(step).is_ok_and(|at| self.seen & (1 << at) != 0);
        for (at, s) in self.steps.iter().enumerate() {
            if self.begun & (1 << at) == 0 && s.needs.iter().all(seen) {
                self.begun |= 1 << at;
                let (step, lane, takes) = (s.step, Lane(at as u8), s.takes);
                cx.push(Task { step, lane, arg: at as u32, takes, wait: None });
            }
        }
    }
}

impl Actor for Running {
    fn name(&self) -> ActorName {
        self.actor
    }
    fn notice(&mut self, what: Happening, cx: &mut Cx<'_>) {
        match what {
            Happening::Start => self.begin_ready(cx),
            Happening::Done(step) => {
                if let Ok(at) = self.waited.binary_search(&step) {
                    self.seen |= 1 << at;
                    self.begin_ready(cx);
                }
            }
            _ => {}
        }
    }
    fn acts(&self, task: &Task, _: &Cx<'_>) -> SmallVec<[Act; 2]> {
        self.steps.get(task.arg as usize).map(|s| s.acts.iter().cloned().collect()).unwrap_or_default()
    }
    fn done(&mut self, _: &Task, _: &TaskResult, _: &mut Cx<'_>) {}
    fn boxed(&self) -> Box<dyn Actor> {
        Box::new(self.clone())
    }
    fn fingerprint(&self, into: &mut Vec<u8>) {
        into.extend(self.begun.to_le_bytes());
        into.extend(self.seen.to_le_bytes());
    }
}
