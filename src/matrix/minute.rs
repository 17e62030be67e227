//! Why a minute? Every scenario and client that loses about one, from their runs.

use super::outage::{Outage, outages};
use super::{Played, SEEDS, play, symptoms};
use crate::scenario::file::ClientKind;
use crate::scenario::{ClientPlan, Overrides, PlanError, Scenario};
use crate::time::Span;
use serde::Serialize;
use std::collections::BTreeSet;

/// What counts as a minute here: the reports' mean delays are 62 to 68 s, single ones 52 to 75 s.
pub const ABOUT: (Span, Span) = (Span::from_secs(55), Span::from_secs(75));

/// A way to lose a minute.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Minute {
    /// The scenario.
    pub scenario: String,
    /// The client that lost it.
    pub client: String,
    /// What the client is.
    pub kind: ClientKind,
    /// How long it was without the world, over the seeds.
    pub outage: (Span, Span),
    /// What makes the length.
    pub timers: Vec<String>,
    /// Reasons of the host's silence.
    pub reasons: BTreeSet<String>,
    /// It has all that issue 8689 established: absent entry, heals alone, pod routes right.
    pub fits_8689: bool,
}

/// Every client of the scenarios that loses about a minute with each of [`SEEDS`].
pub fn minutes(scenarios: &[Scenario]) -> Result<Vec<Minute>, PlanError> {
    let mut found = Vec::new();
    for scenario in scenarios {
        let runs = SEEDS
            .iter()
            .map(|seed| play(scenario, &Overrides::default(), *seed))
            .collect::<Result<Vec<Played>, _>>()?;
        let plan = scenario.plan(&Overrides::default())?;
        let lost: Vec<Vec<Outage>> = runs.iter().map(outages).collect();
        for (at, client) in plan.clients.iter().enumerate() {
            let lengths: Vec<Span> = lost.iter().map(|l| l[at].longest).collect();
            let about =
                lost.iter().all(|l| (ABOUT.0..=ABOUT.1).contains(&l[at].longest) && !l[at].at_the_end);
            let (Some(least), Some(most)) = (lengths.iter().min(), lengths.iter().max()) else { continue };
            if !about {
                continue;
            }
            let looks = symptoms(scenario)?;
            let all = |f: super::Fits| f.runs == f.of;
            found.push(Minute {
                scenario: scenario.id().to_owned(),
                client: client.name.clone(),
                kind: client.kind,
                outage: (*least, *most),
                timers: timers(scenario, &runs[0], &lost[0][at], client),
                reasons: looks.reasons.clone(),
                fits_8689: all(looks.entry_absent) && all(looks.heals_alone) && all(looks.routes_right),
            });
        }
    }
    Ok(found)
}

/// What happened last before the client was served: that is what it had waited for.
fn timers(scenario: &Scenario, run: &Played, lost: &Outage, client: &ClientPlan) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for hold in &scenario.file().holds {
        let text = hold.length.map_or_else(|| "held up".to_owned(), |l| format!("held for {l}"));
        lines.push(format!("{}: {text}", hold.step.get_ref()));
    }
    for step in &scenario.file().steps {
        let long = |s: &Span| *s >= Span::from_secs(10);
        if let Some(delay) = step.delay.filter(|d| long(&d.to)) {
            lines.push(format!("{}: after {delay}", step.id.get_ref()));
        }
        if let (Some(every), Some(times)) = (step.every, step.times) {
            lines.push(format!("{}: every {every}, {times} times", step.id.get_ref()));
        }
    }
    let answered = run.gateway_of(&lost.client).window_end_ns.filter(|t| *t < lost.to && lost.from < *t);
    let waits = answered.map_or(Span::ZERO, |t| lost.to.since(t));
    let once = client.kind == ClientKind::TcpConnect && client.retry.is_none();
    let seconds = |s: Span| format!("{} s", s.as_ns() / 1_000_000_000);
    if once && waits > Span::from_secs(3) {
        lines.push(format!(
            "TCP: its SYN of {}; the gateway had answered for {} by then",
            seconds(lost.longest),
            seconds(waits)
        ));
    } else if once && run.gateway_of(&lost.client).unanswered() == 0 {
        lines.push(format!("TCP: its SYN of {}", seconds(lost.longest)));
    } else if let Some(pause) = client.retry.filter(|pause| waits > Span::from_secs(3) && *pause >= waits) {
        lines.push(format!(
            "the client's pause: it tries again {pause} after an error; the gateway had answered for {} by then",
            seconds(waits)
        ));
    } else if waits > Span::from_secs(3) {
        lines.push(format!("the client itself: {} after the gateway", seconds(waits)));
    }
    lines
}
