//! Two runs of one scenario against each other: does the real one do what the model does?
//!
//! A live run is late by what the machine makes it wait, and each request is later than the last
//! by a little more; so the time of request number `i` may differ by [`BASE`] and `i` times
//! [`EACH`]. A request so near to the moment when the gateway begins or ceases to answer may fall
//! on either side of it, and then one more or less is no difference.

use super::event::{ClientNews, What};
use super::observe::{Asked, Observed, observe};
use super::stream::Trace;
use crate::control::StepTable;
use crate::neigh::Nud;
use crate::scenario::Corner;
use crate::time::{Span, Time};
use serde::Serialize;

/// How far two times may lie apart,
const BASE: Span = Span::from_ms(100);
/// and so much more for each request before.
const EACH: Span = Span::from_ms(30);
/// Sends, failures and answers of a client may differ by so many: one more or less at either end.
const COUNT: u32 = 1;
/// The queue of an entry holds the echoes of one resolution: they fail, or are answered, together.
const TOGETHER: u32 = 4;
/// Of many that fail at once fifty hear of it, and one more for each millisecond that the machine
/// takes for it (`icmp_msgs_burst`, `icmp_msgs_per_sec`): so one in so many may.
const CROWD: u32 = 16;
/// What becomes of a request is known after this at the latest.
const KNOWN: Span = Span::from_secs(2);
/// From a request to the next, and what a client takes to try again.
const STEP: Span = Span::from_ms(1_100);

fn tolerance(requests: usize) -> Span {
    Span::from_ns(BASE.as_ns() + EACH.as_ns() * requests as u64)
}

fn near(a: Time, b: Time, by: Span) -> bool {
    a.since(b).max(b.since(a)) <= by
}

/// A run as it is compared: times count from the start of the first container, an init container
/// or the pod's own.
#[derive(Clone, Debug, Serialize)]
pub struct Told {
    /// How it was run.
    pub corner: Corner,
    /// With which draws.
    pub seed: u64,
    /// When the first container started, from the run's start.
    pub container_start_ns: Time,
    /// How long it went on after that.
    pub end_ns: Time,
    /// Moments at which the gateway began, or ceased, to answer.
    pub edges_ns: Vec<Time>,
    /// What was seen; times from the run's start.
    pub seen: Observed,
}

impl Told {
    /// Reads a run.
    #[must_use]
    pub fn new(corner: Corner, seed: u64, trace: &Trace) -> Told {
        let starts = ["kubelet.init-start", "kubelet.container-start"].map(StepTable::built_in);
        let start = trace.iter().find_map(|e| match &e.what {
            What::Step { step, .. } if starts.contains(step) => Some(e.t_ns),
            _ => None,
        });
        let container_start_ns = start.unwrap_or(Time::ZERO);
        let edges = trace.iter().filter(|e| matches!(e.what, What::Gateway { .. }));
        let edges_ns = edges.map(|e| from(container_start_ns, e.t_ns)).collect();
        let end = trace.last().map_or(Time::ZERO, |e| e.t_ns);
        let end_ns = from(container_start_ns, end);
        Told { corner, seed, container_start_ns, end_ns, edges_ns, seen: observe(trace) }
    }

    /// Reads a run whose times count from the moment on which its first client starts, for programs
    /// that need unlike times for what comes before. What the gateway did before that is left out.
    #[must_use]
    pub fn from_first_client(corner: Corner, seed: u64, trace: &Trace) -> Told {
        let mut told = Told::new(corner, seed, trace);
        let start = trace.iter().find_map(|e| match &e.what {
            What::Client { news: ClientNews::Start, .. } => Some(e.t_ns),
            _ => None,
        });
        let Some(start) = start else { return told };
        let edges = trace.iter().filter(|e| matches!(e.what, What::Gateway { .. }) && e.t_ns >= start);
        told.edges_ns = edges.map(|e| from(start, e.t_ns)).collect();
        told.end_ns = from(start, trace.last().map_or(Time::ZERO, |e| e.t_ns));
        told.container_start_ns = start;
        told
    }

    /// A moment of the run, from the start of the containers.
    #[must_use]
    pub fn time(&self, t: Time) -> Time {
        from(self.container_start_ns, t)
    }

    /// The states of the pod's entry that a kernel announces, repetitions folded.
    #[must_use]
    pub fn states(&self) -> Vec<&'static str> {
        let announced = self.seen.states.iter().map(|s| s.1).filter(|s| s.is_none_or(Nud::is_notified));
        let mut states: Vec<&str> = announced.map(|s| s.map_or("absent", Nud::name)).collect();
        states.dedup();
        states
    }

    fn at_edge(&self, t: Time, by: Span) -> bool {
        self.edges_ns.iter().any(|e| near(*e, t, by))
    }
}

fn from(start: Time, t: Time) -> Time {
    Time(t.since(start).as_ns())
}

/// Something in which two runs differ beyond tolerance.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Difference {
    /// What the two were compared in.
    pub what: String,
    /// What the model did.
    pub model: String,
    /// What the live run did.
    pub live: String,
}

/// How two runs compare.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// Where they differ.
    pub differences: Vec<Difference>,
    /// By how much the times differ in all, to tell a better twin from a worse one.
    pub distance: u64,
    /// Requests that fell on different sides of an edge.
    flipped: u32,
}

/// Compares a live run with one of the model.
#[must_use]
pub fn compare(model: &Told, live: &Told) -> Comparison {
    let mut c = Comparison::default();
    c.requests(model, live);
    c.clients(model, live);
    let equal = [
        ("states of the pod's entry", model.states().join(" > "), live.states().join(" > ")),
        ("the pod's entry at the end", entry(model), entry(live)),
    ];
    for (what, a, b) in equal {
        if a != b {
            c.differ(what, a, b);
        }
    }
    for text in &live.seen.differs {
        c.differ("a change or an answer", "as the model says", text);
    }
    c
}

fn entry(run: &Told) -> String {
    let state = run.states().last().copied().unwrap_or("absent");
    run.seen.lladdr.map_or_else(|| state.to_owned(), |mac| format!("{mac} {state}"))
}

impl Comparison {
    #[expect(clippy::needless_pass_by_value, reason = "numbers, texts and references alike")]
    fn differ(&mut self, what: impl Into<String>, model: impl ToString, live: impl ToString) {
        let (model, live) = (model.to_string(), live.to_string());
        self.differences.push(Difference { what: what.into(), model, live });
    }

    fn requests(&mut self, model: &Told, live: &Told) {
        let (ours, theirs) = (&model.seen.asked, &live.seen.asked);
        let (mut i, mut j) = (0, 0);
        while i < ours.len() || j < theirs.len() {
            let by = tolerance(i.max(j));
            let times = (ours.get(i).map(|x| model.time(x.t_ns)), theirs.get(j).map(|x| live.time(x.t_ns)));
            match times {
                (Some(s), Some(t)) if near(s, t, by) => {
                    self.distance += s.since(t).max(t.since(s)).as_ns();
                    let at_edge = model.at_edge(s, by) || live.at_edge(t, by);
                    let end = model.end_ns.min(live.end_ns);
                    self.outcome((j + 1, t), &ours[i], &theirs[j], at_edge, end);
                    (i, j) = (i + 1, j + 1);
                }
                (Some(s), t) if t.is_none_or(|t| s < t) => {
                    self.alone(model, live, s, by, &format!("request {} of the model", i + 1), true);
                    i += 1;
                }
                (_, Some(t)) => {
                    self.alone(live, model, t, by, &format!("request {}", j + 1), false);
                    j += 1;
                }
                _ => return,
            }
        }
    }

    /// The outcome of one request.
    fn outcome(
        &mut self,
        (number, t): (usize, Time),
        ours: &Asked,
        theirs: &Asked,
        at_edge: bool,
        end: Time,
    ) {
        if ours.broadcast != theirs.broadcast {
            let cast = |asked: &Asked| if asked.broadcast { "broadcast" } else { "unicast" };
            self.differ(format!("request {number} at {t}"), cast(ours), cast(theirs));
        }
        let (model, live) = (outcome(ours), outcome(theirs));
        if model != live {
            let open = |asked: &Asked| asked.answered_ns.is_none() && asked.reason.is_none();
            if t + KNOWN >= end && (open(ours) || open(theirs)) {
                return;
            }
            if at_edge {
                self.flipped += 1;
            } else {
                self.differ(format!("request {number} at {t}"), model, live);
            }
        }
    }

    /// A request that only one of them sent.
    fn alone(&mut self, one: &Told, other: &Told, t: Time, by: Span, what: &str, in_model: bool) {
        let edge = by + STEP;
        let beyond_the_end = t + by >= other.end_ns;
        if beyond_the_end {
            return;
        }
        if one.at_edge(t, edge) || other.at_edge(t, edge) {
            self.flipped += 1;
            return;
        }
        let (sent, none) = (format!("sent at {t}"), "none near that time".to_owned());
        let (model, live) = if in_model { (sent, none) } else { (none, sent) };
        self.differ(what, model, live);
    }

    fn clients(&mut self, model: &Told, live: &Told) {
        let flips = self.flipped;
        for (name, b) in &live.seen.clients {
            let Some(a) = model.seen.clients.get(name) else {
                self.differ(name.as_str(), "not run", "run");
                continue;
            };
            let before = b
                .first_success_ns
                .map_or(live.seen.asked.len(), |s| live.seen.asked.iter().filter(|x| x.t_ns <= s).count());
            let by = tolerance(before) + Span::from_ns(STEP.as_ns() * u64::from(flips));
            let (s, t) =
                (a.first_success_ns.map(|t| model.time(t)), b.first_success_ns.map(|t| live.time(t)));
            let text = |t: Option<Time>| t.map_or("never".to_owned(), |t| t.to_string());
            match (s, t) {
                (Some(s), Some(t)) if near(s, t, by) => {
                    self.distance += s.since(t).max(t.since(s)).as_ns();
                }
                (None, None) => {}
                _ => self.differ(format!("{name}: first success"), text(s), text(t)),
            }
            // what fails or arrives together is one event
            let count = |n: u32, m: u32| n.abs_diff(m) <= COUNT + flips * TOGETHER + a.at_once / CROWD;
            let pairs = [
                ("sent", a.sent, b.sent),
                ("failed", a.failures, b.failures),
                ("answered", a.answered, b.answered),
            ];
            for (what, n, m) in pairs {
                if !count(n, m) {
                    self.differ(format!("{name}: {what}"), n, m);
                }
            }
            let errors = |e: &std::collections::BTreeMap<String, u32>| {
                let list: Vec<&str> = e.keys().map(String::as_str).collect();
                if list.is_empty() { "none".to_owned() } else { list.join("; ") }
            };
            if errors(&a.errors) != errors(&b.errors) && flips == 0 {
                self.differ(format!("{name}: errors"), errors(&a.errors), errors(&b.errors));
            }
        }
    }
}

/// What became of a request, in a word.
#[must_use]
pub fn outcome(asked: &Asked) -> &str {
    match (&asked.answered_ns, &asked.reason) {
        (Some(_), _) => "answered",
        (None, Some(reason)) => reason,
        (None, None) => "unanswered",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::GatewaySeen;

    fn told(times_ms: &[u64], open_from_ms: u64) -> Told {
        let at = |ms: u64| Time::ZERO + Span::from_ms(ms);
        let asked = times_ms.iter().map(|t| {
            let answered = *t >= open_from_ms;
            Asked {
                t_ns: at(*t),
                broadcast: true,
                answered_ns: answered.then(|| at(*t)),
                reason: (!answered).then_some("no-route"),
            }
        });
        let gateway = GatewaySeen { asked: asked.collect(), ..GatewaySeen::default() };
        let seen = Observed { gateway, ..Observed::default() };
        Told {
            corner: Corner::Sim,
            seed: 1,
            container_start_ns: Time::ZERO,
            end_ns: at(20_000),
            edges_ns: vec![at(open_from_ms)],
            seen,
        }
    }

    #[test]
    fn late_by_little_is_the_same() {
        let model = told(&[0, 1000, 2050, 4000], 3500);
        assert!(compare(&model, &told(&[0, 1020, 2090, 4150], 3500)).differences.is_empty());
        let model = told(&[0, 1000, 2050, 9000], 8000);
        let late = compare(&model, &told(&[0, 1020, 2400, 9000], 8000));
        assert_eq!(late.differences.len(), 2, "{:?}", late.differences);
    }

    #[test]
    fn one_more_at_the_windows_edge_is_the_same_and_elsewhere_is_not() {
        let model = told(&[0, 1000, 2050, 3480], 3500);
        assert!(compare(&model, &told(&[0, 1000, 2050, 3520], 3500)).differences.is_empty());
        let model = told(&[0, 1000, 2050, 9000], 8000);
        let more = compare(&model, &told(&[0, 1000, 2050, 5000, 9000], 8000));
        assert_eq!(more.differences.len(), 1, "{:?}", more.differences);
    }

    #[test]
    fn another_reason_is_a_difference() {
        let (model, mut live) = (told(&[0, 1000], 9000), told(&[0, 1000], 9000));
        live.seen.gateway.asked[1].reason = Some("proxy-arp-off");
        assert_eq!(compare(&model, &live).differences[0].live, "proxy-arp-off");
    }
}
