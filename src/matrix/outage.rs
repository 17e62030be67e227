//! How long each client was without the world.

use super::Played;
use crate::pod::ClientId;
use crate::time::{Span, Time};
use crate::trace::{ClientNews, Event, What};
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
        .map(|(at, (name, interval))| outage(&run.events, (ClientId(at as u32), name), *interval))
        .collect()
}

fn outage(events: &[Event], (id, name): (ClientId, &str), interval: u64) -> Outage {
    // nothing is late that is within a tenth of the interval of being on time
    let slack = Span::from_ns(interval + interval / 10);
    let mut o = Outage {
        client: name.to_owned(),
        longest: Span::ZERO,
        from: Time::ZERO,
        to: Time::ZERO,
        served: false,
        at_the_end: false,
    };
    let (mut last, mut tried) = (None::<Time>, Time::ZERO);
    for event in events {
        let What::Client { client, news } = &event.what else { continue };
        if *client != id {
            continue;
        }
        match news {
            ClientNews::Start => {
                last.get_or_insert(event.t_ns);
            }
            ClientNews::Success { .. } => {
                o.spell(last.unwrap_or(event.t_ns), event.t_ns, slack);
                (last, o.served) = (Some(event.t_ns), true);
            }
            ClientNews::End { .. } if o.served => {}
            _ => tried = event.t_ns,
        }
    }
    let start = last.unwrap_or(tried);
    if tried > start {
        o.at_the_end = o.spell(start, tried, slack);
    }
    if o.at_the_end || !o.served {
        (o.longest, o.from, o.to) = (FOR_GOOD, start, tried);
    }
    o
}

impl Outage {
    /// Takes a spell without a success in; after the first success it counts beyond the interval
    /// only.
    fn spell(&mut self, from: Time, to: Time, slack: Span) -> bool {
        let length = to.since(from);
        let counts = !self.served || length > slack;
        if counts && length > self.longest {
            (self.longest, self.from, self.to) = (length, from, to);
        }
        counts
    }
}
