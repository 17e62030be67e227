//! How long each client was without the world.

use super::Played;
use crate::pod::ClientId;
use crate::time::{Span, Time};
use crate::trace::{Spell, spells};
use serde::Serialize;

/// An outage without an end within the run, whose length says more about the client's patience
/// than about the fault.
pub const FOR_GOOD: Span = Span::from_secs(3600);

/// What a client lost.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Outage {
    /// The client.
    pub client: String,
    /// The longest spell without a success beyond its interval: before the first, between two,
    /// or after the last until it stopped trying.
    pub longest: Span,
    /// From when
    pub from: Time,
    /// to when.
    pub to: Time,
    /// It had a success.
    pub served: bool,
    /// It was without the world when it stopped.
    pub at_the_end: bool,
}

/// The outage of each client of a run.
///
/// A client that was never served, or not any more at its end, has lost [`FOR_GOOD`].
#[must_use]
pub fn outages(run: &Played) -> Vec<Outage> {
    run.intervals
        .iter()
        .enumerate()
        .map(|(at, (name, interval))| {
            let id = ClientId(at as u32);
            outage(name, &spells(&run.events, id, Span::from_ns(*interval)))
        })
        .collect()
}

fn outage(client: &str, spells: &[Spell]) -> Outage {
    let client = client.to_owned();
    let served = spells.iter().any(|s| !s.open);
    if let Some(last) = spells.last().filter(|s| s.open) {
        let (from, to) = (last.from, last.to);
        return Outage { client, longest: FOR_GOOD, from, to, served, at_the_end: to > from };
    }
    let mut longest =
        Outage { client, longest: Span::ZERO, from: Time::ZERO, to: Time::ZERO, served, at_the_end: false };
    for spell in spells.iter().filter(|s| !s.open) {
        if spell.length() > longest.longest {
            (longest.longest, longest.from, longest.to) = (spell.length(), spell.from, spell.to);
        }
    }
    longest
}
