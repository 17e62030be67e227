//! The pod's neighbour table, as the kernel reports it.
//!
//! rtnetlink announces REACHABLE, STALE, PROBE, FAILED and deletions. INCOMPLETE and DELAY pass
//! unannounced; a look at the table when the pod has just asked shows the former. An entry that is
//! made NOARP is not announced either; a look at the end shows it.

use crate::addr::{IfName, Mac};
use crate::neigh::Nud;
use netns_lab::Change;
use netns_lab::rtnl::{Neighbour, NudState};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A change of an entry.
#[derive(Clone, Copy)]
pub(super) struct EntryNews {
    pub(super) dev: IfName,
    pub(super) ip: IpAddr,
    pub(super) old: Option<Nud>,
    pub(super) new: Option<Nud>,
    pub(super) lladdr: Option<Mac>,
}

/// What was last known of each entry.
#[derive(Default)]
pub(super) struct KnownEntries(BTreeMap<(IfName, IpAddr), (Nud, Option<Mac>)>);

impl KnownEntries {
    /// Takes a notification in; `None` when it says nothing new, or nothing about neighbours.
    pub(super) fn take(&mut self, change: &Change) -> Option<EntryNews> {
        match change {
            Change::Neighbour(n) if !n.proxy => self.update(n, false),
            Change::NeighbourGone(n) if !n.proxy => self.update(n, true),
            _ => None,
        }
    }

    /// Something was heard of that entry, and not that it is gone.
    pub(super) fn knows(&self, n: &Neighbour) -> bool {
        let dev = n.dev.name().and_then(|name| name.parse().ok()).unwrap_or(IfName::literal("?"));
        self.0.contains_key(&(dev, n.address))
    }

    /// Takes an entry of a dump in.
    pub(super) fn see(&mut self, n: &Neighbour) -> Option<EntryNews> {
        if n.proxy { None } else { self.update(n, false) }
    }

    fn update(&mut self, n: &Neighbour, gone: bool) -> Option<EntryNews> {
        let name = n.dev.name().and_then(|name| name.parse().ok());
        let dev = name.unwrap_or(IfName::literal("?"));
        let key = (dev, n.address);
        let old = self.0.get(&key).copied();
        if gone {
            self.0.remove(&key)?;
            return Some(EntryNews { dev, ip: n.address, old: old.map(|o| o.0), new: None, lladdr: None });
        }
        let new = nud_of(n.state)?;
        let lladdr = n.mac.map(|m| Mac(m.octets())).filter(|_| new.is_valid());
        if old == Some((new, lladdr)) {
            return None;
        }
        self.0.insert(key, (new, lladdr));
        Some(EntryNews { dev, ip: n.address, old: old.map(|o| o.0), new: Some(new), lladdr })
    }
}

pub(super) fn nud_of(state: NudState) -> Option<Nud> {
    Some(match state {
        NudState::None => Nud::None,
        NudState::Incomplete => Nud::Incomplete,
        NudState::Reachable => Nud::Reachable,
        NudState::Stale => Nud::Stale,
        NudState::Delay => Nud::Delay,
        NudState::Probe => Nud::Probe,
        NudState::Failed => Nud::Failed,
        NudState::NoArp => Nud::Noarp,
        NudState::Permanent => Nud::Permanent,
        NudState::Other(_) => return None,
    })
}
