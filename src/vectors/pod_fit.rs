//! Runs the model over a trial, and finds the phase of the kernel's clock in which the trial was
//! recorded.
//!
//! A recording does not say where the timer wheel stood, but every timer that went off betrays it:
//! its tick lies on the border of its bucket. The search goes through the wheel's phases, and
//! gives a phase up at the first mark that is not in the recording. What else was random (who won
//! the race of a failing entry and a waking ping, how long REACHABLE was to last, when a lost
//! carrier was noticed) is searched or read off the recording too.

use super::error::PodMismatch;
use super::pod_plan::{BEFORE_S, PodPlan, armed_again};
use super::pod_record::{NeighMark, PodTrial};
use super::pod_trace::{MarkKind, Matcher, PodMarks, StateMark, Tolerance};
use crate::choice::{ChoiceKind, Chooser, Seeded};
use crate::gateway::ReflexOutside;
use crate::neigh::{Cause, HZ_DEFAULT, KernelClock, Nud};
use crate::pair::lab::{PORT, bench};
use crate::pair::{Input, PairOutput};
use crate::pod::{ClientEvent, Outcome, Ports};
use crate::stack::Note;
use crate::time::{Span, Time};
use core::ops::ControlFlow;

/// Zero of the recording in the model's time; preparations lie before it.
const ORIGIN: Time = Time(60_000_000_000);
/// States before this belong to the preparations.
const STATES_FROM_S: f64 = -0.45;
/// The wheel's phases a timer of less than two minutes can tell apart, in ticks.
const PHASES: u64 = 512;
/// The most runs one trial is tried with; reached only when nothing fits.
const RUNS_MAX: u32 = 20_000;

/// What one run of the model showed.
pub(super) struct FittedRun {
    pub(super) trace: PodMarks,
    pub(super) outcome: Outcome,
}

/// The tick of the recording machine.
pub(super) fn tick() -> Span {
    KernelClock::new(HZ_DEFAULT, 0).tick()
}

pub(super) fn at(seconds: f64) -> Time {
    let ns = (seconds * 1e9).round() as i64;
    Time(ORIGIN.0.saturating_add_signed(ns))
}

pub(super) fn rel(time: Time) -> f64 {
    (time.0 as f64 - ORIGIN.0 as f64) / 1e9
}

/// Runs a plan in one phase. With a matcher the run ends at the first mark that does not fit.
pub(super) fn simulate(
    plan: &PodPlan,
    phase_ns: u64,
    start: f64,
    chooser: &mut dyn Chooser,
    mut matcher: Option<&mut Matcher<'_>>,
) -> Result<FittedRun, PodMismatch> {
    let clock = KernelClock::new(HZ_DEFAULT, phase_ns);
    let world: ReflexOutside = plan.world.clone().into();
    let mut lab = bench(plan.setup.node.clone(), plan.setup.pod.clone(), world, clock, chooser);
    lab.answer_late(plan.late_answers);
    let client = lab.pair.add_client_at(plan.asked.by, plan.spec.clone());
    lab.pair.serve(Ports { tcp: [PORT].into_iter().collect(), ..Ports::default() });
    for (when, act) in &plan.acts {
        lab.at(at(*when), act.clone());
    }
    lab.at(at(start), Input::Start(client));
    let mut trace = PodMarks { asked: plan.asked, ..PodMarks::default() };
    let mut complaint = None;
    lab.run(at(plan.until.max(plan.client_until) + 0.02), chooser, &mut |now, output| {
        let found = watch(&mut trace, rel(now), output);
        if let (Some((kind, when)), Some(matcher)) = (found, matcher.as_deref_mut())
            && let Err(why) = matcher.mark(kind, when)
        {
            complaint = Some(why);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    match complaint {
        Some(why) => Err(why),
        None => Ok(FittedRun { trace, outcome: lab.pair.outcome(client).clone() }),
    }
}

/// Takes down what is seen; a mark that can be compared is given back.
pub(super) fn watch(trace: &mut PodMarks, at: f64, output: &PairOutput) -> Option<(MarkKind, f64)> {
    match output {
        PairOutput::Transmit { .. } if at < STATES_FROM_S => None,
        PairOutput::Transmit { from, frame } if *from == trace.asked.by => {
            trace.frame_out(at, frame).map(|k| (k, at))
        }
        PairOutput::Transmit { frame, .. } => trace.frame_in(at, frame).map(|k| (k, at)),
        PairOutput::Client(_, ClientEvent::Retransmit { .. }) => {
            trace.mark(MarkKind::Retransmit, at);
            Some((MarkKind::Retransmit, at))
        }
        PairOutput::Note(side, Note::Neigh { ip, new, lladdr, cause, .. }) if *side == trace.asked.by => {
            // an entry that fails because it may not ask passes by the tracepoints
            let traced = !(*new == Some(Nud::Failed) && *cause == Cause::Output);
            if *ip == trace.asked.ip && at > STATES_FROM_S && traced {
                let timer = *cause == Cause::Timer;
                trace.states.push(StateMark { at, state: *new, mac: *lladdr, timer });
            }
            None
        }
        _ => None,
    }
}

/// Chooses as the recording shows; the races as its script says.
struct Fitted {
    /// reachable_time, in ticks above half of its base.
    reachable: u64,
    notice_ms: u64,
    /// How long each proxied answer is to wait, in ticks.
    delays: std::vec::IntoIter<u64>,
    script: Vec<u64>,
    made: Vec<(u64, u64)>,
    rest: Seeded,
}

impl Chooser for Fitted {
    fn choose(&mut self, kind: ChoiceKind, options: u64) -> u64 {
        match kind {
            ChoiceKind::ReachableTime => self.reachable.min(options - 1),
            ChoiceKind::CarrierNotice => self.notice_ms.min(options - 1),
            // what was not recorded is as good as any
            ChoiceKind::ProxyDelay => match self.delays.next() {
                Some(ticks) => ticks.min(options - 1),
                None => self.rest.choose(kind, options),
            },
            _ => self.rest.choose(kind, options),
        }
    }

    fn weigh(&mut self, _: ChoiceKind, weights: &[u32]) -> u64 {
        let choice = self.script.get(self.made.len()).copied().unwrap_or(0);
        self.made.push((choice, weights.len() as u64));
        choice
    }
}

/// The script after the one that was made, in the order of counting; `None` after the last.
fn next_script(made: &[(u64, u64)]) -> Option<Vec<u64>> {
    let last = made.iter().rposition(|(choice, options)| choice + 1 < *options)?;
    let mut script: Vec<u64> = made[..=last].iter().map(|m| m.0).collect();
    script[last] += 1;
    Some(script)
}

/// Looks at a whole run.
pub(super) type RunJudge<'a> = dyn Fn(&FittedRun) -> Result<(), PodMismatch> + 'a;

/// Finds a phase in which the model does what was recorded, and in which no judge has a complaint
/// about the whole run. Else the complaint of the run that came furthest.
pub(super) fn fit(
    plan: &PodPlan,
    trial: &PodTrial,
    compared: [bool; 6],
    tolerance: Tolerance,
    judges: &[&RunJudge<'_>],
) -> Result<FittedRun, PodMismatch> {
    let recorded = PodMarks::recorded(trial);
    let mut furthest = (f64::MIN, PodMismatch::from(String::from("no phase was tried")));
    let mut runs = 0;
    for start in &plan.starts {
        for fraction in fractions(trial, *start) {
            for phase in 0..PHASES {
                let phase_ns = fraction + phase * tick().0;
                let mut script = Some(Vec::new());
                while let Some(current) = script.take() {
                    runs += 1;
                    let mut chooser = fitted(plan, trial, current);
                    let mut matcher = Matcher::new(&recorded, compared, plan.until, tolerance);
                    let run = simulate(plan, phase_ns, *start, &mut chooser, Some(&mut matcher));
                    let verdict = run.map_err(|why| (matcher.reached(), why)).and_then(|run| {
                        matcher.missing().map_err(|why| (plan.until, why))?;
                        for (stage, judge) in judges.iter().enumerate() {
                            judge(&run).map_err(|why| (plan.until + stage as f64 + 1.0, why))?;
                        }
                        Ok(run)
                    });
                    match verdict {
                        Ok(run) => return Ok(run),
                        Err((reached, why)) if reached > furthest.0 => furthest = (reached, why),
                        Err(_) => {}
                    }
                    script = next_script(&chooser.made);
                    if runs >= RUNS_MAX {
                        return Err(furthest.1);
                    }
                }
            }
        }
    }
    Err(furthest.1)
}

fn fitted(plan: &PodPlan, trial: &PodTrial, script: Vec<u64>) -> Fitted {
    Fitted {
        reachable: reachable(plan, trial),
        notice_ms: plan.carrier_notice_ms,
        delays: plan.delays.iter().map(|s| delay_ticks(*s)).collect::<Vec<_>>().into_iter(),
        script,
        made: Vec::new(),
        rest: Seeded::new(1),
    }
}

/// Where a tick begins, read off the first timers of a recording, or anywhere else within a tick;
/// or just after the start, between the arming of two timers.
fn fractions(trial: &PodTrial, start: f64) -> [u64; 3] {
    let states = trial.neigh.iter().filter(|n| n.via == "timer").map(|n| n.t);
    let first = trial.tcp_retransmits.iter().copied().chain(states).find(|t| *t > 0.0);
    let tick = tick().0;
    let read = first.map_or(0, |t| at(t - 0.0001).0 % tick);
    let between = at(start + 0.000_01).0 % tick;
    [read, read + tick / 2, between].map(|border| (2 * tick - border) % tick)
}

/// How long REACHABLE must have lasted, in ticks above half of its base, for the entry to leave
/// it when it did: in the middle of the bucket in which its timer was kept.
fn reachable(plan: &PodPlan, trial: &PodTrial) -> u64 {
    const NEVER: u64 = u64::MAX;
    let base_ms = base_reachable_ms(plan);
    let ticks = |s: f64| (s.max(0.0) * 1e9 / tick().0 as f64) as u64;
    let half = ticks(base_ms / 2000.0);
    if plan.before == Some(Nud::Reachable)
        && let Some((_, lasts)) = armed_again(trial)
    {
        return ticks(lasts).saturating_sub(half);
    }
    let left = trial.neigh.iter().find(|n| n.via == "timer" && matches!(&*n.state, "STALE" | "DELAY"));
    let Some(left) = left else { return NEVER };
    // what was REACHABLE before the recording was made so by the preparations
    let in_view = |n: &&NeighMark| (-0.1..left.t).contains(&n.t) && n.state == "REACHABLE";
    let entered = trial.neigh.iter().rfind(in_view).map(|n| n.t);
    let lasts = ticks(left.t - entered.unwrap_or(BEFORE_S));
    let bucket = if lasts < 504 {
        8
    } else if lasts < 4096 {
        64
    } else {
        512
    };
    lasts.saturating_sub(bucket / 2).saturating_sub(half)
}

/// The delay that was drawn for an answer that took so long: a timer is late by up to a bucket of the
/// wheel, so it lies in the middle of those that it may have been.
fn delay_ticks(seconds: f64) -> u64 {
    let lasted = (seconds.max(0.0) * 1e9 / tick().0 as f64) as u64;
    lasted.saturating_sub(if lasted < 63 { 0 } else { 4 })
}

fn base_reachable_ms(plan: &PodPlan) -> f64 {
    use crate::host::conf::NeighVar;
    let link = plan.setup.pod.link_named(crate::pair::lab::POD_END);
    link.map_or(30_000.0, |l| f64::from(l.neigh4().get(NeighVar::BaseReachableTimeMs)))
}

/// A run with everything drawn from a seed: the phase of the wheel, when the process started, and
/// what the kernel draws.
pub(super) fn draw(plan: &PodPlan, seed: u64) -> Result<FittedRun, PodMismatch> {
    let mut chooser = Seeded::new(seed);
    let phase = chooser.choose(ChoiceKind::WheelPhase, KernelClock::phases_ns(HZ_DEFAULT));
    let start = plan.starts[chooser.choose(ChoiceKind::ClientStart, plan.starts.len() as u64) as usize];
    simulate(plan, phase, start, &mut chooser, None)
}
