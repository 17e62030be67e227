//! A lab that stays up: what its plan has more than a run's, and what it answers at its desk.

use super::desk::{Answer, Asked, Wish};
use super::engine::Lab;
use crate::addr::Side;
use crate::control::{ActorName, StepId};
use crate::near;
use crate::pod::ClientId;
use crate::scenario::Plan;
use crate::trace::{HeldUntil, many, until};
use core::fmt::Write as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

/// The step that stands for whatever somebody does by hand.
pub(super) const BY_HAND: &str = "operator.by-hand";

/// The plan, with a step for what is done by hand.
pub(super) fn with_hands(plan: &Arc<Plan>) -> Arc<Plan> {
    let mut plan = Plan::clone(plan);
    let mut steps = (*plan.steps).clone();
    steps.add(BY_HAND, ActorName::Operator, "somebody at the lab changes something by hand");
    plan.steps = Arc::new(steps);
    Arc::new(plan)
}

impl Lab {
    /// Answers a visitor; true when the lab is to end.
    pub(super) fn attend(&mut self, asked: Asked) -> bool {
        let down = asked.wish == Wish::Down;
        let answer = match asked.wish {
            Wish::Status => Answer::told(self.status()),
            Wish::Enter { side } => self.way_into(side),
            Wish::Release { step } => self.release(step.as_deref()),
            Wish::Hold { step } => self.hold(&step),
            Wish::Down => Answer::default(),
            // the desk does that itself
            Wish::Log { .. } | Wish::Capture => Answer::refused("nobody asks the lab for that"),
        };
        // a visitor who has left wants no answer
        let _ = asked.answer.send(answer);
        down
    }

    fn way_into(&self, side: Side) -> Answer {
        let space = if side == Side::Pod { Some(&self.pod) } else { self.node.space() };
        let Some(space) = space else {
            return Answer::refused(
                "the node is played by arplab here and has no namespace; bring the lab up with --responder kernel",
            );
        };
        let namespace = Some((std::process::id(), space.netns.as_fd().as_raw_fd()));
        Answer { namespace, ..Answer::default() }
    }

    fn name(&self, step: StepId) -> String {
        self.plan.steps.info(step).name.clone()
    }

    fn find(&self, word: &str) -> Result<StepId, Answer> {
        self.plan.steps.find(word).ok_or_else(|| {
            let names = self.plan.steps.iter().map(|(_, info)| info.name.as_str());
            let meant = near::meant(word, names);
            Answer::refused(format!("there is no step {word:?}{meant}"))
        })
    }

    fn release(&mut self, word: Option<&str>) -> Answer {
        let held: Vec<StepId> = self.run.control().held().map(|(step, _)| step).collect();
        let names: Vec<String> = held.iter().map(|step| self.name(*step)).collect();
        let step = match (word, &held[..]) {
            (Some(word), _) => match self.find(word) {
                Ok(step) => step,
                Err(answer) => return answer,
            },
            (None, [step]) => *step,
            (None, []) => return Answer::refused("nothing is held"),
            (None, _) => {
                return Answer::refused(format!("several steps are held: {}; name one", names.join(", ")));
            }
        };
        let now = self.now();
        let took_back = self.run.control().will_hold(step);
        if self.run.let_go(step, now, &mut self.chooser) {
            return Answer::told(format!("{} goes on", self.name(step)));
        }
        if took_back {
            return Answer::told(format!("{} will not be held", self.name(step)));
        }
        let there =
            if names.is_empty() { "nothing is".to_owned() } else { format!("held: {}", names.join(", ")) };
        Answer::refused(format!("{} is not held ({there})", self.name(step)))
    }

    fn hold(&mut self, word: &str) -> Answer {
        match self.find(word) {
            Ok(step) => {
                self.run.hold_back(step);
                let done = match self.run.control().done_count(step) {
                    0 => String::new(),
                    n => format!("; it has been done {} already", times(n)),
                };
                let name = self.name(step);
                Answer::told(format!("{name} is held from now on, each time that it could start{done}"))
            }
            Err(answer) => answer,
        }
    }

    /// What the model expects, what the kernels do, and how the clients fare.
    fn status(&self) -> String {
        let mut out = String::new();
        let state = self.node.state();
        let silence = self.run.silence(state, self.mirror.veth.host_index(state), self.mirror.veth.carries());
        let s = &self.plan.setting;
        let gateway = match silence {
            _ if self.run.is_beyond() => {
                "unknown to the model: a kernel was told what it has no term for".to_owned()
            }
            None => "answers, says the model".to_owned(),
            Some(why) => format!("is silent, says the model: {why}"),
        };
        let _ = writeln!(out, "{:<13}{}", "time", self.now());
        let _ = writeln!(out, "{:<13}{}/{} at {}, host end {}", "pod", s.namespace, s.pod, s.pod_ip, s.cali);
        let _ = writeln!(out, "{:<13}{} {gateway}", "gateway", s.gateway);
        let last = self.in_vain.last_request().map_or_else(
            || "none yet".to_owned(),
            |(at, answered)| format!("at {at}: {}", if answered { "answered" } else { "unanswered" }),
        );
        let _ = writeln!(out, "{:<13}{last}", "last request");
        let _ = writeln!(out, "{:<13}{}", "pod's entry", self.progress.entry_now());
        for (id, plan) in self.plan.every_client().enumerate() {
            let client = &self.clients[id];
            let how = if client.finished { ", done" } else { "" };
            let name = self.events.client_name(ClientId(id as u32));
            let sent = many(client.sent as usize, &format!("{} attempt", plan.kind));
            let _ = writeln!(out, "{name:<13}{sent}, {} answered{how}", client.answered);
        }
        for (step, end) in self.run.control().held() {
            let end = until(&self.events, HeldUntil::Hold(end));
            let _ = writeln!(out, "{:<13}{} {end}", "held", self.name(step));
        }
        let held: Vec<StepId> = self.run.control().held().map(|(step, _)| step).collect();
        let told = self.run.control().told().filter(|step| !held.contains(step));
        for step in told {
            let _ = writeln!(out, "{:<13}{} when it comes, until told", "will be held", self.name(step));
        }
        out
    }

    /// Ends what visitors have left running in the lab's namespaces.
    pub(super) fn end_guests(&self) {
        let spaces = [Some(&self.pod), self.node.space()];
        let id = |path: &str| std::fs::metadata(path).map(|it| (it.dev(), it.ino())).ok();
        let own = spaces.into_iter().flatten().map(|space| space.netns.as_fd().as_raw_fd());
        let own: Vec<_> = own.filter_map(|fd| id(&format!("/proc/self/fd/{fd}"))).collect();
        let here = std::process::id();
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = processes.filter_map(|it| it.file_name().to_str()?.parse::<u32>().ok());
        for pid in pids.filter(|pid| *pid != here) {
            if id(&format!("/proc/{pid}/ns/net")).is_some_and(|it| own.contains(&it)) {
                let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
            }
        }
    }
}

fn times(n: u16) -> String {
    if n == 1 { "once".to_owned() } else { format!("{n} times") }
}
