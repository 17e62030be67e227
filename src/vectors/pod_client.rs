//! What the client saw, held against what it was recorded to have seen: key by key, and a key
//! that is not understood is a complaint.

use super::error::{PodMismatch, RecordError};
use super::pod_fit::{FittedRun, at, rel};
use super::pod_plan::PodPlan;
use super::pod_trace::{MarkKind, StateMark, Tolerance};
use crate::neigh::Nud;
use crate::pod::{Attempt, Failure, Fate};
use serde_json::Value;

/// Poll flags of a connection that failed and of one that stands: POLLOUT|POLLERR|POLLHUP, POLLOUT.
const POLL_FAILED: u64 = 28;
const POLL_CONNECTED: u64 = 4;
/// Times that were rounded to 10 ms before they were recorded.
const ROUNDED_S: f64 = 0.012;
/// Keys that are not the model's to answer: the machine's speed.
const IGNORED: [&str; 2] = ["reply_latency_s", "started_after_up_s"];

/// Whether one fact is as recorded; else what the model has in its place.
type Matches = Result<(), String>;

/// Compares every fact of the recorded client.
pub(super) fn same_client(
    plan: &PodPlan,
    recorded: &serde_json::Map<String, Value>,
    run: &FittedRun,
    tolerance: Tolerance,
) -> Result<(), PodMismatch> {
    let model = Model { plan, run, tolerance };
    for (key, value) in recorded {
        if IGNORED.contains(&&**key) {
            continue;
        }
        let check =
            model.time(key, value).or_else(|| model.count(key, value)).or_else(|| model.text(key, value));
        let check = check.or_else(|| model.list(key, value));
        match check {
            Some(Ok(())) => {}
            Some(Err(ours)) => return Err(format!("client {key}: {ours}, recorded {value}").into()),
            None => {
                return Err(RecordError::Value(format!("client {key} = {value} is not understood")).into());
            }
        }
    }
    Ok(())
}

struct Model<'a> {
    plan: &'a PodPlan,
    run: &'a FittedRun,
    tolerance: Tolerance,
}

impl Model<'_> {
    /// Attempts that ended while the recorder looked.
    fn ended(&self) -> impl Iterator<Item = &Attempt> {
        let until = at(self.plan.client_until);
        self.run.outcome.attempts.iter().filter(move |a| a.ended.is_some_and(|t| t <= until))
    }

    fn answered(&self) -> impl Iterator<Item = &Attempt> {
        self.ended().filter(|a| a.fate == Fate::Answered)
    }

    fn first_answered(&self) -> Option<&Attempt> {
        self.answered().min_by_key(|a| (a.ended, a.number))
    }

    fn failures(&self) -> impl Iterator<Item = (&Attempt, Failure)> {
        self.ended().filter_map(|a| match a.fate {
            Fate::Failed(failure) => Some((a, failure)),
            _ => None,
        })
    }

    fn end_of(attempt: &Attempt) -> Option<f64> {
        attempt.ended.map(rel)
    }

    fn state(&self, wanted: Nud, by_timer: bool) -> Option<f64> {
        let fits = |m: &&StateMark| m.at >= -0.01 && m.state == Some(wanted) && (m.timer || !by_timer);
        self.run.trace.states.iter().find(fits).map(|m| m.at)
    }

    /// Keys that hold a time, or null for never.
    fn time(&self, key: &str, value: &Value) -> Option<Matches> {
        let first = self.run.outcome.attempts.first();
        let ours = match key {
            "connect_s" | "poll_s" => first.and_then(Attempt::took).map(|t| t.as_ns() as f64 / 1e9),
            // "none within 9 s" has the recorder's patience for a time
            "result_s" => match first.and_then(|a| self.ended().find(|e| e.number == a.number)) {
                Some(attempt) => attempt.took().map(|t| t.as_ns() as f64 / 1e9),
                None => value.as_f64(),
            },
            "total_s" => self.first_answered().and_then(Model::end_of).map(|t| t - self.started()),
            "first_reply_s" | "delivered_s" => self.first_answered().and_then(Model::end_of),
            "reachable_to_stale_s" => {
                let began = self.state(Nud::Reachable, false);
                self.state(Nud::Stale, true).zip(began).map(|(end, begin)| end - begin)
            }
            "first_DELAY_s" => self.state(Nud::Delay, false),
            "first_PROBE_s" => self.state(Nud::Probe, false),
            "first_REACHABLE_s" => self.state(Nud::Reachable, false),
            "first_STALE_s" => self.state(Nud::Stale, false),
            "first_FAILED_s" => self.state(Nud::Failed, false),
            "failed_s" => self.state(Nud::Failed, true),
            "last_ok_s" => {
                return Some(self.rounded(self.answered().filter_map(Model::end_of).last(), value));
            }
            "first_unreachable_s" => {
                return Some(self.rounded(self.failures().find_map(|(a, _)| Model::end_of(a)), value));
            }
            _ => return None,
        };
        let ours = ours.filter(|t| *t <= self.plan.client_until);
        Some(match (ours, value.as_f64()) {
            (None, None) => Ok(()),
            (Some(t), Some(recorded)) if self.tolerance.fits(recorded, t) => Ok(()),
            (ours, _) => Err(format!("{ours:?}")),
        })
    }

    #[allow(clippy::unused_self)] // reads like its neighbours
    fn rounded(&self, ours: Option<f64>, value: &Value) -> Matches {
        match (ours, value.as_f64()) {
            (None, None) => Ok(()),
            (Some(t), Some(recorded)) if (recorded - t).abs() < ROUNDED_S => Ok(()),
            _ => Err(format!("{ours:?}")),
        }
    }

    fn took_the_same(&self, recorded: f64, ours: f64) -> bool {
        (recorded - ours).abs() < self.tolerance.length_s()
    }

    fn started(&self) -> f64 {
        self.run.outcome.started.map_or(0.0, rel)
    }

    /// Keys that hold a number of things.
    fn count(&self, key: &str, value: &Value) -> Option<Matches> {
        let recorded = value.as_u64();
        let ours = match key {
            "attempts" => Some(u64::from(self.run.outcome.sent)),
            "received" => Some(self.answered().count() as u64),
            "unreachable" if value.is_u64() => Some(self.failures().count() as u64),
            "first_seq_ok" | "first_ok_seq" => return Some(self.first_number(recorded)),
            "revents" => {
                let failed = self.failures().next().is_some();
                Some(if failed { POLL_FAILED } else { POLL_CONNECTED })
            }
            "requests_before_failed" => {
                let end = self.state(Nud::Failed, true).unwrap_or(f64::MAX);
                Some(self.run.trace.list(MarkKind::Broadcast).iter().filter(|t| **t < end).count() as u64)
            }
            _ => return None,
        };
        Some(if ours == recorded { Ok(()) } else { Err(format!("{ours:?}")) })
    }

    /// The echo that was answered first, or one that was answered in the same moment.
    fn first_number(&self, recorded: Option<u64>) -> Matches {
        let first = self.first_answered();
        let together = |a: &&Attempt| a.ended == first.and_then(|f| f.ended);
        let fits = match recorded {
            None => first.is_none(),
            Some(number) => self.answered().filter(together).any(|a| u64::from(a.number) == number),
        };
        if fits { Ok(()) } else { Err(format!("{:?}", first.map(|a| a.number))) }
    }

    /// Keys that hold words, a round trip, or yes and no.
    fn text(&self, key: &str, value: &Value) -> Option<Matches> {
        let recorded = value.as_str();
        let failure = self.failures().next().map(|(_, f)| f);
        let answered = self.first_answered();
        let ours = match key {
            "err" | "so_error" => match (failure, answered) {
                (Some(failure), None) => Some(failure.name().to_owned()),
                (_, Some(_)) if recorded == Some("connected") => Some("connected".into()),
                (_, Some(_)) => None,
                // still dialling when the recorder lost patience
                (None, None) => recorded.filter(|r| r.starts_with("none within")).map(str::to_owned),
            },
            "first" => Some("EINPROGRESS".to_owned()),
            "ok" => return Some(same(&answered.is_some(), &(value.as_bool() == Some(true)))),
            "text" => match (failure, answered) {
                (Some(failure), _) => Some(failure.name().to_owned()),
                (None, Some(_)) => None,
                (None, None) => Some("no message".to_owned()),
            },
            "text_from" => match failure {
                Some(Failure::Icmp { from, .. }) => Some(from.to_string()),
                _ => None,
            },
            "answered_by" => {
                self.run.trace.answered_by.first().map(|mac| format!("{mac} (spa {})", self.plan.asked.ip))
            }
            "state_after_100s" => {
                self.run.trace.states.last().and_then(|m| m.state).map(|s| s.name().to_owned())
            }
            "rtt_ms" | "first_rtt_ms" => return Some(self.round_trip(answered, value)),
            _ => return None,
        };
        Some(if ours.as_deref() == recorded { Ok(()) } else { Err(format!("{ours:?}")) })
    }

    #[allow(clippy::unused_self)] // reads like its neighbours
    fn round_trip(&self, attempt: Option<&Attempt>, value: &Value) -> Matches {
        let ours = attempt.and_then(Attempt::took).map(|t| t.as_ns() as f64 / 1e6);
        match (ours, value.as_f64()) {
            (None, None) => Ok(()),
            (Some(ours), Some(recorded)) if self.took_the_same(recorded / 1e3, ours / 1e3) => Ok(()),
            _ => Err(format!("{ours:?}")),
        }
    }

    /// Keys that hold a list.
    fn list(&self, key: &str, value: &Value) -> Option<Matches> {
        let recorded = value.as_array()?;
        Some(match key {
            "replies" => self.replies(recorded),
            "lost" => self.lost(recorded),
            "unreachable" => self.unreachable(recorded),
            "tries" => self.tries(recorded),
            "sends" => self.sends(recorded),
            _ => return None,
        })
    }

    /// Every recorded reply to an echo sent while we look, by its number, with its round trip.
    fn replies(&self, recorded: &[Value]) -> Matches {
        let sent = u64::from(self.run.outcome.sent);
        for reply in recorded.iter().filter(|r| r["seq"].as_u64().is_some_and(|n| n <= sent)) {
            let (seq, rtt) = (reply["seq"].as_u64(), reply["rtt_ms"].as_f64());
            let ours = self.run.outcome.attempts.iter().find(|a| Some(u64::from(a.number)) == seq);
            let took = ours.and_then(Attempt::took).map(|t| t.as_ns() as f64 / 1e6);
            let near = took.zip(rtt).is_some_and(|(ours, rtt)| self.took_the_same(rtt / 1e3, ours / 1e3));
            if !near {
                return Err(format!("icmp_seq {seq:?} took {took:?} ms"));
            }
        }
        Ok(())
    }

    /// The numbers of the echoes that nothing came back for; none is a fact, too.
    fn lost(&self, recorded: &[Value]) -> Matches {
        let answered: Vec<u32> = self.answered().map(|a| a.number).collect();
        let ours: Vec<u64> =
            (1..=self.run.outcome.sent).filter(|n| !answered.contains(n)).map(u64::from).collect();
        let theirs: Vec<u64> = recorded.iter().filter_map(Value::as_u64).collect();
        same(&ours, &theirs)
    }

    /// The lines a ping printed about what did not arrive.
    fn unreachable(&self, recorded: &[Value]) -> Matches {
        let ours: Vec<_> = self.failures().collect();
        let seen = |line: &&Value| line["t"].as_f64().is_some_and(|t| t <= self.plan.client_until);
        let recorded: Vec<&Value> = recorded.iter().filter(seen).collect();
        let fits = |((attempt, failure), line): (&(&Attempt, Failure), &Value)| {
            let same_number = Some(u64::from(attempt.number)) == line["seq"].as_u64();
            let when = Model::end_of(attempt).zip(line["t"].as_f64());
            same_number
                && line["text"].as_str() == Some(failure.name())
                && when.is_some_and(|(ours, recorded)| self.tolerance.fits(recorded, ours))
        };
        if ours.len() == recorded.len() && ours.iter().zip(recorded.iter().copied()).all(fits) {
            return Ok(());
        }
        let show: Vec<_> = ours.iter().map(|(a, f)| (Model::end_of(a), a.number, f.name())).collect();
        Err(format!("{show:?}"))
    }

    /// Each connect() of a client that tries again.
    fn tries(&self, recorded: &[Value]) -> Matches {
        let ours = &self.run.outcome.attempts;
        let fits = |(attempt, line): (&Attempt, &Value)| {
            let began = self
                .tolerance
                .fits(line["at"].as_f64().unwrap_or(f64::MAX), rel(attempt.began) - self.started());
            let took = attempt.took().map(|t| t.as_ns() as f64 / 1e9);
            let took =
                took.zip(line["dur"].as_f64()).is_some_and(|(ours, dur)| self.took_the_same(dur, ours));
            let error = match attempt.fate {
                Fate::Failed(failure) => Some(failure.name()),
                _ => None,
            };
            began && took && line["err"].as_str() == error
        };
        let wrong = ours.iter().zip(recorded).position(|pair| !fits(pair));
        if ours.len() == recorded.len() && wrong.is_none() {
            return Ok(());
        }
        Err(format!("{} tries, the first that differs is {wrong:?}", ours.len()))
    }

    /// What each send() returned.
    fn sends(&self, recorded: &[Value]) -> Matches {
        let ours: Vec<&str> = self
            .run
            .outcome
            .attempts
            .iter()
            .map(|a| match a.fate {
                // what an earlier datagram caused is the only error a sender sees at once
                Fate::Failed(Failure::Socket(error)) if a.ended == Some(a.began) => error.name(),
                _ => "sent",
            })
            .collect();
        let theirs: Vec<&str> = recorded.iter().filter_map(|s| s[1].as_str()).collect();
        same(&ours, &theirs)
    }
}

fn same<T: PartialEq + core::fmt::Debug + ?Sized>(ours: &T, recorded: &T) -> Matches {
    if ours == recorded { Ok(()) } else { Err(format!("{ours:?}")) }
}
