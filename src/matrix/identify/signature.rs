//! What a scenario's outage looks like to a person who has no capture: read off its runs.

use super::sight::{Sight, Vantage, is_for_the_pod};
use crate::control::{GATEWAY, Side};
use crate::matrix::outage::{Outage, outages};
use crate::matrix::{FOR_GOOD, Played};
use crate::neigh::Nud;
use crate::scenario::Scenario;
use crate::stack::DropWhy;
use crate::time::{Span, Time};
use crate::trace::{Event, FrameFate, What};
use serde::Serialize;
use std::collections::BTreeSet;

/// What a scenario's outage looks like, over its runs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Signature {
    /// The scenario.
    pub scenario: String,
    /// States of the pod's entry during the outage.
    pub entry: BTreeSet<String>,
    /// Whether the pod asked.
    pub asked: BTreeSet<bool>,
    /// Whether requests reached the host end.
    pub heard: BTreeSet<bool>,
    /// Whether there were replies.
    pub answered: BTreeSet<bool>,
    /// Shortest and longest outage; an hour is for good.
    pub lasts: (Span, Span),
    /// MACs that the pod's entry held.
    pub macs: BTreeSet<String>,
    /// Whether the pod's packets went to a MAC that the host end did not have.
    pub wrong_mac: BTreeSet<bool>,
    /// Whether two MACs claimed one address.
    pub two_macs: BTreeSet<bool>,
    /// Whether replies were held back.
    pub held_back: BTreeSet<bool>,
    /// States of the host's entry for the pod during the outage.
    pub host_entry: BTreeSet<String>,
    /// What clients said.
    pub errors: BTreeSet<String>,
}

impl Signature {
    pub(super) fn new(scenario: &Scenario) -> Signature {
        Signature {
            scenario: scenario.id().to_owned(),
            entry: BTreeSet::new(),
            asked: BTreeSet::new(),
            heard: BTreeSet::new(),
            answered: BTreeSet::new(),
            lasts: (FOR_GOOD, Span::ZERO),
            macs: BTreeSet::new(),
            wrong_mac: BTreeSet::new(),
            two_macs: BTreeSet::new(),
            held_back: BTreeSet::new(),
            host_entry: BTreeSet::new(),
            errors: BTreeSet::new(),
        }
    }

    /// Reads the states of both entries during a run's worst outage: on a node that collects neighbour
    /// entries one that failed is soon gone, and the outage is the same.
    pub(super) fn take_states(&mut self, run: &Played) {
        let Some(worst) = outages(run).into_iter().max_by_key(|o| o.longest) else { return };
        self.entry.extend(states_during(&run.gateway_of(&worst.client).states, &worst));
        self.host_entry.extend(states_during(&host_states(run), &worst));
    }

    /// Reads one run's worst outage into the signature. False when no client did anything.
    pub(super) fn take(&mut self, run: &Played) -> bool {
        let all = outages(run);
        let Some(worst) = all.iter().max_by_key(|o| o.longest).cloned() else { return false };
        self.lasts = (self.lasts.0.min(worst.longest), self.lasts.1.max(worst.longest));
        self.take_states(run);
        // what is on the wire depends on whose trouble one watches: a connection waits for its next SYN
        // long after a ping is served
        for outage in all.iter().filter(|o| o.longest > Span::ZERO || o.longest == worst.longest) {
            let (asked, heard, answered) = questions(run, outage);
            self.asked.insert(asked);
            self.heard.insert(heard);
            self.answered.insert(answered);
        }
        self.macs.extend(run.seen.replies.iter().filter_map(|r| r.1).map(|m| m.to_string()));
        self.macs.extend(run.seen.lladdr.map(|m| m.to_string()));
        self.wrong_mac.insert(
            run.events
                .iter()
                .any(|e| matches!(&e.what, What::Dropped { side: Side::Host, why: DropWhy::OtherHost, .. })),
        );
        let on_the_wire = Sight::of_frames(&run.events, Vantage::Host);
        self.two_macs.insert(on_the_wire.two_macs());
        self.held_back.insert(on_the_wire.look().held_back);
        self.errors.extend(run.seen.clients.values().flat_map(|c| c.errors.keys().cloned()));
        true
    }
}

/// States of an entry during the outage, the one that it began with included.
fn states_during(changes: &[(Time, Option<Nud>)], worst: &Outage) -> BTreeSet<String> {
    let mut met = BTreeSet::new();
    let mut state = None;
    for (t, new) in changes {
        if *t > worst.from && *t <= worst.to {
            met.insert(name_of(state));
        }
        if *t <= worst.to {
            state = *new;
        }
    }
    met.insert(name_of(state));
    met
}

/// Changes of the host's entry for the pod.
fn host_states(run: &Played) -> Vec<(Time, Option<Nud>)> {
    let change = |e: &Event| match &e.what {
        What::Neigh { side: Side::Host, dev, ip, new, .. }
            if *ip != GATEWAY && is_for_the_pod(dev.as_str(), *ip) =>
        {
            Some((e.t_ns, *new))
        }
        _ => None,
    };
    run.events.iter().filter_map(change).collect()
}

/// A request that is answered at once ends an outage longer than this, and was not in vain.
const AT_ONCE: Span = Span::from_ms(10);
/// The reply that ends an outage is to a request at most this old: the kernel asks every second.
const LAST_REPLY: Span = Span::from_ms(1_100);

/// Whether during the outage the pod asked, the host heard it, and replies came. What counts are
/// requests for the gateway; where a pod never wants the gateway, its other questions over the
/// whole run do.
fn questions(run: &Played, worst: &Outage) -> (bool, bool, bool) {
    let by_gateway = !run.seen.asked.is_empty();
    let inside = |t: Time| !by_gateway || worst.from <= t && t < worst.to;
    // what ends the outage is not part of it
    let before = |t: Time, by: Span| !by_gateway || worst.at_the_end || worst.to.since(t) >= by;
    let (mut asked, mut heard, mut answered) = (false, false, false);
    for event in run.events.iter().filter(|e| inside(e.t_ns)) {
        let What::Frame { from, view, fate, .. } = &event.what else { continue };
        // a test for duplicates (::, 0.0.0.0) is no question of the pod's
        let question = match view.asks() {
            Some((sender, _)) if !by_gateway => !sender.is_unspecified(),
            _ => view.asks_gateway(GATEWAY),
        };
        if *from == Side::Pod && question {
            let in_vain = worst.longest <= AT_ONCE || before(event.t_ns, AT_ONCE);
            asked |= in_vain;
            heard |= in_vain && *fate == FrameFate::Delivered;
        }
        answered |= *from == Side::Host && view.answers().is_some() && before(event.t_ns, LAST_REPLY);
    }
    (asked, heard, answered)
}

fn name_of(state: Option<Nud>) -> String {
    match state {
        None | Some(Nud::None) => "ABSENT".to_owned(),
        Some(state) => state.name().to_owned(),
    }
}
