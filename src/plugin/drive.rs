//! A run in real time: the actors' steps when they are due, and what the node says meanwhile.

use super::failure::Failure;
use super::hands::Hands;
use super::job::{Job, Ready};
use super::state::{Process, State, Step, Window};
use super::view::look;
use crate::addr::{Mac, Side};
use crate::choice::First;
use crate::control::{Actors, LinkEvent, StepId, StepTable};
use crate::host::{HostState, Mutation};
use crate::run::{Came, Deed, Doing, Run};
use crate::scenario::Plan;
use crate::time::{Span, Time};
use crate::trace::{Kinds, Sink, Undone, What};
use netns_lab::{AsyncMonitor, Change, Monitor};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Below this the runtime's timer, which counts milliseconds, is too coarse.
const SHORT: Duration = Duration::from_millis(2);

/// What ADD came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Added {
    pub(super) cali_index: u32,
    pub(super) cali_mac: Mac,
}

/// News of steps and holds.
#[derive(Default)]
struct Notes(Vec<(Time, What)>);

impl Sink for Notes {
    const WANTS: Kinds = Kinds::STEP.and(Kinds::HOLD);
    fn take(&mut self, t: Time, what: What) {
        self.0.push((t, what));
    }
}

/// A run that is under way.
pub(super) struct Drive {
    plan: Arc<Plan>,
    run: Run,
    hands: Hands,
    /// The node as the actors see it.
    seen: HostState,
    /// News of links, where something comes after ADD.
    monitor: Option<AsyncMonitor>,
    /// Felix is one of the actors.
    felix: bool,
    /// Whether the host end runs, as last told; `None` without one.
    running: Option<bool>,
    /// The host end went after ADD had returned: the container is gone, or its interface.
    gone: bool,
    began: Instant,
    limit: Span,
    /// A step is repeated, so there is no end but the container's.
    repeats: bool,
    notes: Notes,
    /// Why ADD fails.
    refused: Option<String>,
    state: State,
    /// The state has something new.
    unwritten: bool,
}

impl Drive {
    /// Makes everything ready. `worker` is this process where it goes on after ADD.
    pub(super) fn new(job: &Job, ready: Ready, worker: Option<Process>) -> Result<Drive, Failure> {
        let Ready { plan, wanted } = ready;
        let hands = Hands::new(&job.netns, wanted.mtu_bytes)?;
        let felix = plan.actors.iter().any(|actor| matches!(actor, Actors::Felix(_)));
        let watch = |e: netns_lab::MonitorError| Failure::io("the node cannot be watched", e);
        let monitor =
            if worker.is_some() { Some(Monitor::open(&hands.node.netns).map_err(watch)?) } else { None };
        let monitor = monitor.map(Monitor::into_async).transpose();
        let monitor = monitor.map_err(|e| Failure::io("the node cannot be watched", e))?;
        let plan = Arc::new(plan);
        let state = State { worker, ..State::begun(job, &plan.setting) };
        Ok(Drive {
            run: Run::new(Arc::clone(&plan)),
            plan,
            hands,
            seen: HostState::new(),
            monitor,
            felix,
            running: None,
            gone: false,
            began: Instant::now(),
            limit: wanted.limit,
            repeats: wanted.scenario.file().steps.iter().any(|step| step.every.is_some()),
            notes: Notes::default(),
            refused: None,
            state,
            unwritten: false,
        })
    }

    fn now(&self) -> Time {
        Time::ZERO + Span::from(self.began.elapsed())
    }

    /// Runs until ADD returns.
    pub(super) async fn add(&mut self) -> Result<Added, Failure> {
        self.state.save()?;
        let (now, seen) = (self.now(), &self.seen);
        self.run.start(now, seen, &mut First);
        let returned = StepTable::built_in("cni.add-return");
        let failed = StepTable::built_in("cni.add-fail");
        self.until(|it| it.is_done(returned) || it.is_done(failed)).await?;
        if !self.is_done(returned) {
            let limit = || format!("ADD was not done within {}, the limit", self.limit);
            let why = self.refused.clone().unwrap_or_else(limit);
            return Err(Failure::refused("a step of the container's wiring failed", why));
        }
        let cali = self.plan.setting.cali;
        let link = self.hands.node.rtnl.link(cali.as_str()).await;
        let link =
            link.map_err(|e| Failure::refused(format!("the host end {cali} is gone"), e.to_string()))?;
        self.state.cali_index = Some(link.index);
        self.state.save()?;
        self.hands.let_go();
        let cali_mac = link.mac.map_or(Mac::ZERO, |mac| Mac(mac.octets()));
        Ok(Added { cali_index: link.index, cali_mac })
    }

    /// Runs on until nothing is left to do, or the host end is gone.
    pub(super) async fn go_on(&mut self) -> Result<(), Failure> {
        let status = StepTable::built_in("felix.endpoint-status");
        self.until(|it| {
            let settled = !it.felix || it.is_done(status);
            it.gone || (settled && !it.repeats && it.run.control().is_idle())
        })
        .await?;
        self.state.save()
    }

    fn is_done(&self, step: StepId) -> bool {
        self.run.control().done_count(step) > 0
    }

    async fn until(&mut self, over: impl Fn(&Drive) -> bool) -> Result<(), Failure> {
        loop {
            self.look().await?;
            let now = self.now();
            let doing = self.run.take_due(now, &self.seen, &mut First);
            let idle = doing.is_none();
            if let Some(doing) = doing {
                self.carry_out(doing).await;
            }
            self.run.report(self.now(), |_| None, &mut self.notes);
            self.write_down()?;
            if over(self) || self.now() > Time::ZERO + self.limit {
                return Ok(());
            }
            if idle {
                self.wait().await?;
            }
        }
    }

    /// Looks at the node where an actor is about to: the plugin at the host end's MAC or address,
    /// Felix at its interface, and at routes when a pass begins.
    async fn look(&mut self) -> Result<(), Failure> {
        let control = self.run.control();
        let now = self.now();
        let due = |names: &[&str]| {
            let named = |step| names.iter().any(|name| StepTable::built_in(name) == step);
            control.under_way().any(|it| it.from <= now && named(it.step))
        };
        let felix = self.felix && control.poll_timeout().is_some_and(|at| at <= now);
        if felix || due(&["cni.host-mac-check", "cni.pod-ipv6"]) {
            let routes = due(&["felix.apply"]);
            self.seen = self.see(routes).await?;
        }
        Ok(())
    }

    async fn see(&self, routes: bool) -> Result<HostState, Failure> {
        let seen = look(&self.hands.node.rtnl, &self.plan.setting, routes).await;
        seen.map_err(|e| Failure::io("the node cannot be looked at", e))
    }

    async fn carry_out(&mut self, mut doing: Doing) {
        let mut did: Vec<(Side, Mutation)> = Vec::new();
        loop {
            let now = self.now();
            let Some(order) = self.run.next_order(&mut doing, now, &self.seen, &mut First) else { break };
            let change = match &order.deed {
                Deed::Change(side, change) => Some((*side, (*change).clone())),
                _ => None,
            };
            let came = self.hands.obey(&order.deed, &self.plan.setting).await;
            if came == Came::Done {
                did.extend(change);
            }
            let now = self.now();
            self.run.came(&mut doing, came, now, &self.seen, &mut First);
        }
        let (now, before) = (self.now(), self.state.steps.len());
        self.run.finish(doing, now, &self.seen, &mut First, &mut self.notes);
        self.take_notes();
        if let Some(step) = self.state.steps.get_mut(before) {
            step.did = did;
        }
    }

    fn take_notes(&mut self) {
        for (at, what) in core::mem::take(&mut self.notes.0) {
            let at_ms = at.since(Time::ZERO).as_ms();
            self.unwritten = true;
            match what {
                What::Step { step, undone, .. } => {
                    let step = self.plan.steps.info(step).name.clone();
                    let refused = match undone {
                        Some(Undone::Refused(why)) => Some(why.to_string()),
                        _ => None,
                    };
                    if step.starts_with("cni.") && self.refused.is_none() {
                        self.refused = refused.as_ref().map(|why| format!("{step}: {why}"));
                    }
                    self.state.steps.push(Step { at_ms, name: step, did: Vec::new(), refused });
                }
                What::Held { step, .. } => {
                    let step = self.plan.steps.info(step).name.clone();
                    self.state.windows.push(Window { step, from_ms: at_ms, until_ms: None });
                }
                What::Released { step } => {
                    let name = &self.plan.steps.info(step).name;
                    let open = self.state.windows.iter_mut().rev().find(|it| it.step == *name);
                    if let Some(open) = open {
                        open.until_ms = Some(at_ms);
                    }
                }
                _ => {}
            }
        }
    }

    /// Others can see what a process is at that goes on after ADD, or that waits within it.
    fn write_down(&mut self) -> Result<(), Failure> {
        let before = self.state.windows.len();
        self.take_notes();
        let opened = self.state.windows.len() > before;
        if self.unwritten && (opened || self.state.cali_index.is_some()) {
            self.unwritten = false;
            return self.state.save();
        }
        Ok(())
    }

    /// Waits for a step, or for news of the node.
    async fn wait(&mut self) -> Result<(), Failure> {
        let due = self.run.control().poll_timeout().unwrap_or(Time::ZERO + self.limit);
        let due = due.min(Time::ZERO + self.limit + Span::from_ms(1));
        let left = Duration::from(due.since(self.now().min(due)));
        let Some(monitor) = &mut self.monitor else {
            if left < SHORT {
                std::thread::sleep(left);
            } else {
                tokio::time::sleep(left.saturating_sub(SHORT / 2)).await;
            }
            return Ok(());
        };
        let change = tokio::select! {
            () = tokio::time::sleep(left) => return Ok(()),
            event = monitor.next() => event.map_err(|e| Failure::io("the node cannot be watched", e))?.change,
        };
        self.hear(&change).await
    }

    /// Felix's interface monitor hears of the host end.
    async fn hear(&mut self, change: &Change) -> Result<(), Failure> {
        let cali = self.plan.setting.cali;
        let now = match change {
            Change::Link(link) if link.name == cali.as_str() => Some(link.running),
            Change::LinkGone(link) if link.name == cali.as_str() => {
                self.gone |= self.state.cali_index == Some(link.index);
                None
            }
            // what was lost may have been about it
            Change::Overrun => {
                let link = self.hands.node.rtnl.link(cali.as_str()).await.ok();
                self.gone |= link.is_none() && self.state.cali_index.is_some();
                link.map(|link| link.running)
            }
            _ => return Ok(()),
        };
        let event = match (core::mem::replace(&mut self.running, now), now) {
            (None, Some(_)) => LinkEvent::New,
            (Some(_), None) => LinkEvent::Gone,
            (Some(false), Some(true)) => LinkEvent::Running,
            (Some(true), Some(false)) => LinkEvent::Stopped,
            _ => return Ok(()),
        };
        self.seen = self.see(false).await?;
        let at = self.now();
        self.run.link(at, event, &self.seen, &mut First);
        if event == LinkEvent::New && now == Some(true) {
            self.run.link(at, LinkEvent::Running, &self.seen, &mut First);
        }
        Ok(())
    }
}
