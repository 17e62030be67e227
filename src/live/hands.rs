//! What somebody changes by hand in the namespaces of a lab that stays up: noticed by looking, made by the
//! model too, and told as steps of the operator.
//!
//! The kernels are asked for their links, addresses, routes, rules, proxy entries and switches every
//! [`LOOK_EVERY`]. What the lab's own steps did is in the model before anybody looks; what is different
//! then all the same is not the work of hands.

use super::differences::{addresses, attributes, links, proxies, routes, rules};
use super::engine::Lab;
use super::look::Look;
use super::space::{Space, watched_keys};
use super::terms::LiveError;
use crate::addr::Side;
use crate::control::{Act, ActorName, StepId};
use crate::host::{HostState, LinkChange, Mutation, RtProto, RtScope};
use crate::pair::Devices as _;
use crate::time::{Span, Time};
use crate::trace::{Sink, What};
use std::collections::HashSet;

/// So often somebody looks.
const LOOK_EVERY: Span = Span::from_ms(30);
/// So soon after the lab itself has changed something.
const LOOK_AGAIN: Span = Span::from_ms(5);
/// So many times as long as a look took nobody looks again.
const LOOK_SHARE: u64 = 10;

/// What is compared at a time.
#[derive(Clone, Copy)]
enum Part {
    Links,
    Table(fn(&HostState, &Look) -> Vec<Mutation>),
    Switches,
}

/// In this order: with a link its addresses go, with them routes.
const PARTS: [Part; 7] = [
    Part::Links,
    Part::Table(attributes),
    Part::Table(addresses),
    Part::Table(routes),
    Part::Table(rules),
    Part::Table(proxies),
    Part::Switches,
];

/// Who looks, and what was different without anybody's hands.
pub(super) struct Hands {
    step: StepId,
    next: Time,
    /// The lab itself has changed something since.
    stale: bool,
    known: HashSet<(Side, Mutation)>,
}

impl Hands {
    pub(super) fn new(step: StepId) -> Hands {
        Hands { step, next: Time::ZERO, stale: true, known: HashSet::new() }
    }
}

impl Lab {
    /// When somebody looks next.
    pub(super) fn hands_timeout(&self) -> Option<Time> {
        self.hands.as_ref().map(|hands| hands.next)
    }

    /// Looks, if it is time, and takes in what hands have done.
    pub(super) async fn watch_hands(&mut self) -> Result<(), LiveError> {
        let now = self.now();
        if self.hands.as_ref().is_some_and(|hands| hands.next <= now) {
            self.look_at_hands().await
        } else {
            Ok(())
        }
    }

    /// Before the lab itself changes something: what is different until now is the work of hands, and
    /// what is different afterwards may not be.
    pub(super) async fn hands_before_own(&mut self) -> Result<(), LiveError> {
        if self.hands.as_ref().is_some_and(|hands| !hands.stale) {
            self.look_at_hands().await?;
        }
        let soon = self.now() + LOOK_AGAIN;
        if let Some(hands) = &mut self.hands {
            (hands.stale, hands.next) = (true, hands.next.min(soon));
        }
        Ok(())
    }

    async fn look_at_hands(&mut self) -> Result<(), LiveError> {
        let begin = self.now();
        let Some((step, stale)) = self.hands.as_ref().map(|h| (h.step, h.stale)) else { return Ok(()) };
        let looks = self.look_at_both().await?;
        if !stale {
            let known = self.hands.as_mut().map(|h| core::mem::take(&mut h.known)).unwrap_or_default();
            for part in PARTS {
                // what follows from a change the model does by itself: each table is compared when those
                // before it are level
                let found = self.different_in(part, &looks);
                let found: Vec<_> = found.into_iter().filter(|it| !known.contains(it)).collect();
                let any = !found.is_empty();
                for (side, change) in found {
                    self.take_in(begin, step, side, change);
                }
                if any {
                    self.node_turned(begin);
                }
            }
        }
        // what the model cannot take over stays different, and is no news
        let known = PARTS.into_iter().flat_map(|part| self.different_in(part, &looks)).collect();
        // a machine with long tables is not kept busy by it
        let end = self.now();
        let next = end + LOOK_EVERY.max(Span::from_ns(end.since(begin).as_ns() * LOOK_SHARE));
        if let Some(hands) = &mut self.hands {
            (hands.known, hands.next, hands.stale) = (known, next, false);
        }
        Ok(())
    }

    fn take_in(&mut self, begin: Time, step: StepId, side: Side, change: Mutation) {
        let now = self.now();
        // either end takes the other along
        let end = matches!(&change, Mutation::LinkDel { dev } if self.state(side).link_named(*dev)
            .is_some_and(|link| self.mirror.veth.is_end(side, link.index())));
        if matches!(&change, Mutation::LinkDel { dev } if self.state(side).link_named(*dev).is_none()) {
            return;
        }
        let done = self.model(&|model, now, by| {
            if end {
                model.remove(now, by);
                return Ok(());
            }
            model.change(now, side, &change, by)
        });
        if let Err(refused) = done {
            tracing::debug!(%change, %refused, "the model does not take what hands did");
        }
        if side == Side::Host && change.takes_down() {
            self.node.purged(begin);
        }
        let acts = smallvec::smallvec![Act::Change(side, as_typed(change))];
        self.events.take(now, What::Step { step, actor: ActorName::Operator, acts, undone: None });
    }

    async fn look_at_both(&self) -> Result<Vec<(Side, Look, Vec<Mutation>)>, LiveError> {
        let mut looks = Vec::new();
        let spaces = [(Side::Host, self.node.space()), (Side::Pod, Some(&self.pod))];
        for (side, space) in spaces.into_iter().filter_map(|(side, space)| Some((side, space?))) {
            looks.push((side, Look::at(space).await?, switches(space, self.state(side))));
        }
        Ok(looks)
    }

    /// What it would take to have a part of the model as the kernels are.
    fn different_in(&self, part: Part, looks: &[(Side, Look, Vec<Mutation>)]) -> Vec<(Side, Mutation)> {
        let mut found = Vec::new();
        for (side, look, switches) in looks {
            let state = self.state(*side);
            let changes = match part {
                Part::Links => renamed(state, links(state, look)),
                Part::Table(table) => table(state, look),
                Part::Switches => switches.iter().filter(|change| !has(state, change)).cloned().collect(),
            };
            // a carrier is noticed by the kernel itself, and by the model in its own time
            let own = |change: &Mutation| {
                matches!(change, Mutation::LinkSet { change: LinkChange::Carrier(_), .. })
                    || matches!(change, Mutation::LinkAdd { name, .. } if self.strange_links.contains(name))
            };
            found.extend(changes.into_iter().filter(|c| !own(c)).map(|change| (*side, change)));
        }
        found
    }
}

/// A link that went and one with its MAC that came are one with another name.
fn renamed(state: &HostState, mut changes: Vec<Mutation>) -> Vec<Mutation> {
    let goes = |change: &Mutation| match change {
        Mutation::LinkDel { dev } => state.link_named(*dev).map(|link| (*dev, link.mac())),
        _ => None,
    };
    let gone: Vec<_> = changes.iter().filter_map(goes).collect();
    for (dev, mac) in gone {
        let comes = |change: &Mutation| matches!(change, Mutation::LinkAdd { mac: Some(m), .. } if *m == mac);
        let Some(Mutation::LinkAdd { name, .. }) = changes.iter().find(|c| comes(c)).cloned() else {
            continue;
        };
        changes.retain(|change| !comes(change) && *change != Mutation::LinkDel { dev });
        changes.insert(0, Mutation::LinkSet { dev, change: LinkChange::Name(name) });
    }
    changes
}

/// Without what nobody types because it is so anyway.
fn as_typed(change: Mutation) -> Mutation {
    match change {
        Mutation::Route { op, mut spec } => {
            spec.table = spec.table.filter(|table| *table != netns_lab::rtnl::table::MAIN);
            spec.metric = spec.metric.filter(|metric| *metric != 0);
            spec.proto = spec.proto.filter(|proto| *proto != RtProto::BOOT);
            spec.scope = spec.scope.filter(|scope| *scope != RtScope::UNIVERSE);
            Mutation::Route { op, spec }
        }
        Mutation::AddrAdd { dev, net, scope, broadcast, terms, .. } => {
            let scope = scope.filter(|scope| *scope != RtScope::UNIVERSE);
            Mutation::AddrAdd { dev, net, scope, nodad: false, broadcast, terms }
        }
        change => change,
    }
}

fn has(state: &HostState, change: &Mutation) -> bool {
    matches!(change, Mutation::Sysctl { key, value } if state.sysctl(key) == Some(*value))
}

/// The switches that the kernel has otherwise than the model.
fn switches(space: &Space, state: &HostState) -> Vec<Mutation> {
    let keys = watched_keys(state.links().iter().map(crate::host::Link::name));
    let there = space.sysctls(keys).into_iter();
    let changes = there.map(|(key, value)| Mutation::Sysctl { key, value });
    changes.filter(|change| !has(state, change)).collect()
}
