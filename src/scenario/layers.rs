//! Scenario, fixes and command line put together into a [`Plan`].

use super::actors::actors;
use super::clients::{client_of, default_clients};
use super::compile::{Checker, DURATION_DEFAULT, Scenario};
use super::error::{PlanError, ScenarioError};
use super::expect::{Corner, Expect};
use super::faults::fault_of;
use super::file::{CalicoFile, ChangeFile, ClientKind, HoldFile, Located, MonitorFile, StepFile, WaitFile};
use super::monitor::monitor;
use super::overrides::{MITIGATION, Overrides};
use super::plan::{ClientPlan, InFront, Plan, Target};
use super::plugin::{Rehearsal, step_fault_of};
use super::setup::{SetUp, node};
use super::steps::{acts_of, apply_hold_overrides, holds_of, script_step};
use super::text::CommandText;
use super::wait::{from_first_container, waiter};
use crate::control::{
    ActorName, Actors, CalicoVersion, Gate, Hold, RealSteps, ScriptStep, Setting, Side, StepTable, Until,
};
use crate::gateway::OutsideSpec;
use crate::host::command::{CommandError, Tool};
use crate::host::conf::{Global, SysctlKey};
use crate::host::{HostState, Mutation};
use crate::time::{Span, Time};
use std::sync::Arc;

/// Everything the layers say, the last word last.
pub(super) struct Layers<'a> {
    pub(super) calico: Vec<&'a CalicoFile>,
    node: Vec<&'a CommandText>,
    pod: Vec<&'a CommandText>,
    before_start: Vec<&'a CommandText>,
    pub(super) waits: Option<WaitFile>,
    monitor: Option<MonitorFile>,
    steps: Vec<&'a StepFile>,
    holds: Vec<&'a HoldFile>,
    faults: bool,
    responder: Option<InFront>,
}

/// A step's name, or the beginning of one with a star behind it.
pub(super) fn names(pattern: &str, step: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == step, |start| step.starts_with(start))
}

impl<'a> Layers<'a> {
    fn of(scenario: &'a Scenario) -> Layers<'a> {
        let f = &scenario.file;
        Layers {
            calico: vec![&f.calico],
            node: f.node.setup.iter().collect(),
            pod: f.pod.setup.iter().collect(),
            before_start: f.pod.before_start.iter().collect(),
            waits: f.pod.wait_for_gateway,
            monitor: None,
            steps: f.steps.iter().collect(),
            holds: f.holds.iter().collect(),
            faults: true,
            responder: None,
        }
    }

    fn change(&mut self, change: &'a ChangeFile) {
        self.calico.push(&change.calico);
        self.node.extend(&change.node);
        self.pod.extend(&change.pod);
        self.before_start.extend(&change.pod_before_start);
        self.waits = change.pod_wait_for_gateway.or(self.waits);
        self.monitor = change.arp_monitor.or(self.monitor);
        self.steps.retain(|s| !change.drop_steps.iter().any(|d| names(d.get_ref(), s.id.get_ref())));
        // what waited for a step that no longer happens does not happen either
        for _ in 0..self.steps.len() {
            let kept: Vec<&str> = self.steps.iter().map(|s| s.id.get_ref().as_str()).collect();
            let can_come = |gate: &str| StepTable::is_built_in(gate) || kept.contains(&gate);
            self.steps.retain(|s| s.after.as_ref().is_none_or(|a| can_come(a.get_ref())));
        }
        self.holds.retain(|h| {
            let same = |d: &super::file::Located| names(d.get_ref(), h.step.get_ref());
            !change.drop_holds.iter().any(same) && !change.holds.iter().any(|x| same(&x.step))
        });
        self.responder = change.responder.or(self.responder);
        self.steps.extend(&change.steps);
        self.holds.extend(&change.holds);
        self.faults &= !change.drop_faults;
    }

    /// The last layer that says something says it.
    pub(super) fn last<T>(&self, pick: impl Fn(&'a CalicoFile) -> Option<T>) -> Option<T> {
        self.calico.iter().rev().find_map(|c| pick(c))
    }

    pub(super) fn version(&self) -> CalicoVersion {
        let parse = |v: &super::file::Located| v.get_ref().parse::<CalicoVersion>().ok();
        self.calico.iter().fold(CalicoVersion::V3_26, |so_far, c| {
            let named = c.version.as_ref().and_then(parse).unwrap_or(so_far);
            c.at_least.as_ref().and_then(parse).map_or(named, |least| named.max(least))
        })
    }
}

impl Scenario {
    /// Makes the scenario ready to run, with fixes and the command line's changes.
    ///
    /// # Errors
    /// [`PlanError`], also for one with a real plugin, of which [`Scenario::plan_with_plugin`] makes a plan.
    pub fn plan(&self, overrides: &Overrides) -> Result<Plan, PlanError> {
        self.without_plugin()?;
        self.plan_of(overrides, Layers::of(self), self.setting(), None)
    }

    /// As [`Scenario::plan`], for a pod with other names and addresses than the file's.
    pub fn plan_for(&self, setting: Setting) -> Result<Plan, PlanError> {
        self.without_plugin()?;
        self.plan_of(&Overrides::default(), Layers::of(self), setting, None)
    }

    /// The same for a scenario with a real plugin. Without a rehearsal the plan is good for a rehearsal:
    /// what its steps are is not known, nor the pod's address.
    pub fn plan_with_plugin(
        &self,
        overrides: &Overrides,
        rehearsal: Option<&Rehearsal>,
    ) -> Result<Plan, PlanError> {
        let mut setting = self.setting();
        if let Some(rehearsal) = rehearsal {
            setting.pod_ip = rehearsal.pod_ip.unwrap_or(setting.pod_ip);
            setting.gateway = rehearsal.gateway.unwrap_or(setting.gateway);
        }
        self.plan_of(overrides, Layers::of(self), setting, rehearsal)
    }

    fn without_plugin(&self) -> Result<(), PlanError> {
        match &self.file.cni {
            Some(cni) => {
                let others = if cni.others() > 0 { ", and other pods beside its own (others)" } else { "" };
                Err(PlanError::RealPlugin(self.id().to_owned(), others))
            }
            None => Ok(()),
        }
    }

    /// As [`Scenario::plan`], in the shorter form that `[live]` describes; and what that changed.
    /// Holds set by the command line stay as they are.
    pub fn short_plan(&self, overrides: &Overrides) -> Result<(Plan, Vec<String>), PlanError> {
        self.without_plugin()?;
        let mut layers = Layers::of(self);
        let before_start = &self.file.live.pod_before_start;
        layers.before_start.extend(before_start);
        let mut plan = self.plan_of(overrides, layers, self.setting(), None)?;
        let setting = Arc::clone(&plan.setting);
        let said =
            before_start.iter().map(|c| format!("the pod begins with `{}`", setting.expand(c.as_str())));
        let mut said: Vec<String> = said.collect();
        said.extend(self.shorten(&mut plan, overrides));
        Ok((plan, said))
    }

    fn plan_of<'a>(
        &'a self,
        overrides: &Overrides,
        mut layers: Layers<'a>,
        setting: Setting,
        rehearsal: Option<&Rehearsal>,
    ) -> Result<Plan, PlanError> {
        let f = &self.file;
        for name in &overrides.fixes {
            layers.change(self.change_named(name).ok_or_else(|| self.no_fix(name))?);
        }
        let mut c = Checker { flaws: Vec::new() };
        let mut steps = StepTable::default();
        for step in &layers.steps {
            let actor = ActorName::of_step(step.id.get_ref()).unwrap_or(ActorName::Operator);
            steps.add(step.id.get_ref(), actor, &step.title);
        }
        let real = self.plugin_steps(overrides, rehearsal, &mut steps)?;
        let before_start = self.before_start(&layers, &setting, &mut steps)?;
        let monitor = layers.monitor.map(|m| monitor(m, &mut steps));
        let script: Vec<(ActorName, ScriptStep)> = layers
            .steps
            .iter()
            .filter_map(|s| script_step(s, &steps, &setting, &mut c))
            .map(|(actor, step)| (actor, from_first_container(step, actor, layers.waits)))
            .chain(before_start)
            .collect();
        let mut holds: Vec<Hold> = layers.holds.iter().flat_map(|h| holds_of(h, &steps, &mut c)).collect();
        apply_hold_overrides(&mut holds, overrides, &steps)?;
        let mut clients: Vec<ClientPlan> = if f.clients.is_empty() {
            default_clients()
        } else {
            f.clients.iter().filter_map(|x| client_of(x, &steps, &mut c)).collect()
        };
        for (client, ident) in clients.iter_mut().zip(1..) {
            client.ident = ident;
        }
        let (of_steps, of_frames): (Vec<_>, Vec<_>) =
            f.faults.iter().filter(|_| layers.faults).partition(|x| x.get_ref().step.is_some());
        let faults = of_frames.into_iter().filter_map(|x| fault_of(x, &mut c)).collect();
        let of_steps = of_steps.into_iter().filter_map(|x| step_fault_of(x, &steps, &mut c)).collect();
        let plugin = f.cni.as_ref().map(|cni| Arc::new(cni.plugin(&self.origin, rehearsal, of_steps)));
        if let Some(flaw) = c.flaws.first() {
            return Err(PlanError::Flawed(format!("{}: {}", self.origin, flaw.message)));
        }
        let node = node(&layers.node, &setting)?;
        let pod = self.pod(&layers, &setting, &node.state)?;
        let tools: Vec<(Side, Tool)> = node.tools.into_iter().chain(pod.tools).collect();
        self.only_known(&script, &tools, overrides.corner)?;
        let mut actors = actors(&layers, &setting, &node.state, &script, real);
        actors.extend(monitor);
        let gateway = setting.gateway;
        Ok(Plan {
            version: layers.version(),
            outside: self.outside(&clients, &setting),
            setting: Arc::new(setting),
            steps: Arc::new(steps),
            holds,
            actors,
            host: node.state,
            pod: pod.state,
            host_setup: node.changes,
            pod_setup: pod.changes,
            tools,
            eth_is_plain: false,
            queue_purged_by_all: f.kernel.before_6_0,
            plugin,
            responder: layers.responder.unwrap_or_default(),
            icmp_errors_filtered: f.pod.icmp_errors_filtered,
            clients,
            waiter: layers.waits.map(|w| waiter(w, gateway)),
            faults,
            duration: f.duration.as_ref().map_or(DURATION_DEFAULT, |d| *d.get_ref()),
            own_responder: None,
            until_clients_done: f.duration.is_none(),
            hz: f.kernel.hz.as_ref().map_or(crate::neigh::HZ_DEFAULT, |hz| *hz.get_ref()),
        })
    }

    fn shorten(&self, plan: &mut Plan, overrides: &Overrides) -> Vec<String> {
        let live = &self.file.live;
        let mut said = Vec::new();
        for hold in &mut plan.holds {
            let name = &plan.steps.info(hold.step).name;
            let (Some(to), false) = (live.hold.get(name), overrides.holds.iter().any(|h| h.step == *name))
            else {
                continue;
            };
            let whole = match hold.until {
                Until::Elapsed(span) => span,
                Until::At(time) => time.since(Time::ZERO),
                Until::Done(_)
                | Until::Nth(..)
                | Until::Requests(_)
                | Until::Tries(_)
                | Until::Told
                | Until::Never => continue,
            };
            if *to < whole {
                hold.until = Until::Elapsed(*to);
                said.push(format!("{name} is held for {to} instead of {whole}"));
            }
        }
        for (name, to) in &live.delay {
            let scripts = plan.actors.iter_mut().filter_map(|a| match a {
                Actors::Script(script) => Some(script),
                _ => None,
            });
            let Some(step) = plan.steps.find(name) else { continue };
            for whole in scripts.filter_map(|s| s.shorten(step, *to)) {
                said.push(format!("{name} comes after {to} instead of {whole}"));
            }
        }
        for client in &mut plan.clients {
            if let Some(to) = live.client_delay.get(&client.name).filter(|to| **to < client.delay.1) {
                said.push(format!("{} begins after {to} instead of {}", client.name, client.delay.1));
                client.delay = (*to, *to);
            }
        }
        if let Some(duration) = live.duration.filter(|d| *d < plan.duration) {
            plan.duration = duration;
            said.push(format!("the run lasts at most {duration}"));
        }
        said
    }

    /// What is expected of a run in a corner: the scenario's own expectations, or those of the fix.
    /// Of several fixes together nothing is. On a real machine times may be a little later.
    #[must_use]
    pub fn expectations(&self, overrides: &Overrides, corner: Corner) -> Expect {
        let f = &self.file;
        let (expect, by_corner) = match &overrides.fixes[..] {
            [] => (&f.expect, &f.expect_in),
            [name] => match f.fixes.iter().find(|x| x.name.get_ref() == name) {
                Some(fix) => (&fix.expect, &fix.expect_in),
                None => return Expect::default(),
            },
            _ => return Expect::default(),
        };
        let expect = by_corner.get(&corner).map_or_else(|| expect.clone(), |over| expect.overridden(over));
        if corner == Corner::Sim { expect } else { expect.live() }
    }

    /// What a fix of the scenario changes, or a mitigation (see [`Overrides::with`]).
    fn change_named(&self, name: &str) -> Option<&ChangeFile> {
        if let Some(name) = name.strip_prefix(MITIGATION) {
            return super::mitigation::mitigation(name).map(|m| &m.change);
        }
        self.file.fixes.iter().find(|x| x.name.get_ref() == name).map(|x| &x.change)
    }

    fn no_fix(&self, name: &str) -> PlanError {
        let known: Vec<&str> = self.file.fixes.iter().map(|x| x.name.get_ref().as_str()).collect();
        let meant = crate::near::meant(name, known.iter().copied());
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        PlanError::NoFix { scenario: self.id().to_owned(), name: name.to_owned(), meant, known }
    }

    /// The steps of a real plugin: those of its rehearsal, or else those that the file names.
    fn plugin_steps(
        &self,
        overrides: &Overrides,
        rehearsal: Option<&Rehearsal>,
        steps: &mut StepTable,
    ) -> Result<Option<RealSteps>, PlanError> {
        let Some(cni) = &self.file.cni else { return Ok(None) };
        let others = cni.others();
        let real = RealSteps::declare(steps, others);
        let Some(rehearsal) = rehearsal else {
            super::plugin::placeholders(&self.file, steps);
            for hold in overrides.holds.iter().filter(|h| ActorName::of_step(&h.step) == Some(ActorName::Cni))
            {
                if steps.find(&hold.step).is_none() {
                    steps.add_request(&hold.step, "a request of the plugin", false);
                }
            }
            return Ok(Some(real));
        };
        let flaws = super::plugin::resolve(&self.file, overrides, rehearsal, steps);
        if flaws.is_empty() {
            return Ok(Some(real));
        }
        if let Some(it) = flaws.iter().find(|it| it.of_command_line) {
            let mut help = it.flaw.help.clone().unwrap_or_default();
            if help.starts_with(super::plugin::THERE_ARE) {
                help.insert_str(0, "of the plugin's requests ");
            }
            let meant = crate::near::meant(&it.name, rehearsal.requests.iter().map(|r| r.name.as_str()));
            return Err(PlanError::NoStep { step: it.name.clone(), meant, help });
        }
        let flaws = flaws.into_iter().map(|it| it.flaw).collect();
        let (origin, source) = (self.origin.clone(), self.source.clone());
        Err(PlanError::Misnamed(Box::new(ScenarioError { origin, source, flaws })))
    }

    pub(super) fn setting(&self) -> Setting {
        let p = &self.file.pod;
        let or = |name: &Option<Located>, usual: &str| {
            name.as_ref().map_or_else(|| usual.to_owned(), |n| n.get_ref().clone())
        };
        let mut setting = Setting::new(&or(&p.namespace, "default"), &or(&p.name, "web-0"));
        setting.pod_ip6 = p.ip6;
        setting
    }

    /// Commands in the pod between ADD and the start of its containers are a step of the pod's.
    fn before_start(
        &self,
        layers: &Layers<'_>,
        setting: &Setting,
        steps: &mut StepTable,
    ) -> Result<Option<(ActorName, ScriptStep)>, PlanError> {
        if layers.before_start.is_empty() {
            return Ok(None);
        }
        let step = steps.add("pod.before-start", ActorName::Pod, "an init container prepares the pod");
        let flawed = |e: CommandError| PlanError::Flawed(format!("{}: {e}", self.origin));
        let mut acts = Vec::new();
        for command in &layers.before_start {
            acts.extend(acts_of(Side::Pod, command, false, setting).map_err(flawed)?);
        }
        let gate = Gate::After(StepTable::built_in("cni.add-return"));
        let zero = (Span::ZERO, Span::ZERO);
        let script = ScriptStep { step, gate, delay: zero, every: None, times: 1, anew: true, acts };
        Ok(Some((ActorName::Pod, script)))
    }

    /// The pod's namespace, made on a node in that state.
    fn pod(&self, layers: &Layers<'_>, s: &Setting, node: &HostState) -> Result<SetUp, PlanError> {
        let mut commands: Vec<String> = node.handed_on().iter().map(ToString::to_string).collect();
        if self.file.pod.loopback {
            commands.push("ip link set lo up".to_owned());
        }
        if self.file.kernel.before_6_5 {
            let key = SysctlKey::Global(Global::TcpSynLinearTimeouts);
            commands.push(Mutation::Sysctl { key, value: 0 }.to_string());
        }
        commands.extend(layers.pod.iter().map(|c| c.as_str().to_owned()));
        let mut new = HostState::new();
        new.share_kernel(node);
        SetUp::of(new, &commands, s, Side::Pod)
    }

    /// The world that was described, and whoever the clients talk to when nothing was.
    fn outside(&self, clients: &[ClientPlan], setting: &Setting) -> OutsideSpec {
        let w = &self.file.world;
        let mut spec = OutsideSpec { hosts: w.hosts.clone(), tcp: w.tcp.clone(), udp: w.udp.clone() };
        if w.hosts.is_empty() && w.tcp.is_empty() && w.udp.is_empty() {
            // the pod is no part of the world, and the node finds it by its route
            for client in clients.iter().filter(|c| !(c.from == Side::Host && setting.is_pod(c.to.ip()))) {
                match (client.kind, client.to) {
                    (ClientKind::Ping, Target::Host(ip)) => spec.hosts.push(ip),
                    (ClientKind::TcpConnect | ClientKind::TcpStream, Target::Port(at)) => spec.tcp.push(at),
                    (ClientKind::Udp, Target::Port(at)) => spec.udp.push(at),
                    _ => {}
                }
            }
        }
        spec
    }
}
