//! A namespace of the lab: pod or node, with the means to change it and to hear of it.

use super::terms::LiveError;
use crate::addr::IfName;
use crate::control::{Refusal, Side};
use crate::host::conf::{Conf4, Conf6, Global, NeighVar, Scope, SysctlKey};
use crate::host::{HostState, Mutation};
use crate::namespace::{ApplyError, RealNamespace, apply};
use netns_lab::nft::InstalledArpDrop;
use netns_lab::rtnl::{Neighbour, NudState, Route, Rule, table};
use netns_lab::{AsyncMonitor, Monitor, Netns, Rtnl};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a kernel's own tables hold.
pub(super) struct Tables {
    pub(super) routes: Vec<Route>,
    pub(super) rules: Vec<Rule>,
    pub(super) neighbours: Vec<Neighbour>,
}

/// A namespace with its handles.
pub(super) struct Space {
    side: Side,
    pub(super) netns: Arc<Netns>,
    pub(super) rtnl: Rtnl,
    pub(super) monitor: AsyncMonitor,
    filters: Vec<(Mutation, InstalledArpDrop)>,
    /// What listens here for clients of the other side.
    pub(super) served: super::serve::Served,
    /// Sysctls of the model that this kernel does not have here.
    absent: BTreeSet<String>,
    /// What was written so that the namespace begins as the model's does.
    pub(super) levelled: Vec<Mutation>,
    /// Neighbour parameters of the machine that every new device has to be rid of.
    neigh_levels: Vec<(SysctlKey, i32)>,
}

fn build(e: impl core::fmt::Display) -> LiveError {
    LiveError::Build(e.to_string())
}

impl Space {
    /// A new namespace whose switches are those of an untouched kernel: what it inherits from the
    /// machine is written over.
    /// Neighbour parameters are those of `begins`, as the machine would have handed them on.
    pub(super) fn new(side: Side, begins: &HostState) -> Result<Space, LiveError> {
        let label = if side == Side::Pod { "pod" } else { "node" };
        let netns = Netns::new(label).map_err(build)?;
        let rtnl = netns.rtnl().map_err(build)?;
        let monitor = Monitor::open(&netns).map_err(build)?.into_async().map_err(build)?;
        let netns = Arc::new(netns);
        let mut space = Space {
            side,
            netns,
            rtnl,
            monitor,
            filters: Vec::new(),
            served: super::serve::Served::default(),
            absent: BTreeSet::new(),
            levelled: Vec::new(),
            neigh_levels: Vec::new(),
        };
        space.level(begins)?;
        Ok(space)
    }

    /// Brings every switch that the model knows to the model's value for a new namespace. A key
    /// that has that value already is not written: a write to `default` is remembered by the
    /// kernel (ipv4_devconf_dflt.state), and then interfaces made later do not follow it.
    fn level(&mut self, begins: &HostState) -> Result<(), LiveError> {
        let fresh = HostState::new();
        let keys = model_keys();
        let read = self.netns.exec({
            let keys = keys.clone();
            move || keys.iter().map(read_here).collect::<Vec<_>>()
        });
        for (key, found) in keys.into_iter().zip(read.map_err(build)?) {
            let Some(found) = found else {
                self.absent.insert(wildcard(&key));
                continue;
            };
            if matches!(key, SysctlKey::Neigh4(..) | SysctlKey::Neigh6(..)) {
                self.neigh_levels.extend(begins.sysctl(&key).filter(|v| *v != found).map(|v| (key, v)));
                continue;
            }
            let Some(value) = fresh.sysctl(&key).filter(|v| *v != found) else { continue };
            // one that is machine-wide can be read here and not written
            if self.netns.sysctl().poke(key.path().as_str(), value).is_ok() {
                tracing::debug!(side = %self.side, %key, found, value, "the machine's value is written over");
                self.levelled.push(Mutation::Sysctl { key, value });
            } else {
                self.absent.insert(wildcard(&key));
            }
        }
        Ok(())
    }

    /// Brings a new device's neighbour parameters to the model's values. A namespace has no
    /// `neigh.default` of its own: the machine's hold for new devices everywhere (neigh_parms_alloc),
    /// and `lo` shows them.
    pub(super) fn level_device(&self, dev: IfName) -> Result<(), LiveError> {
        for (key, value) in &self.neigh_levels {
            let key = match key {
                SysctlKey::Neigh6(_, k) => SysctlKey::Neigh6(Scope::Dev(dev), *k),
                SysctlKey::Neigh4(_, k) => SysctlKey::Neigh4(Scope::Dev(dev), *k),
                _ => continue,
            };
            self.netns.sysctl().poke(key.path().as_str(), *value).map_err(build)?;
        }
        Ok(())
    }

    /// Makes one change. The inner error is the kernel's refusal, which the actor hears of; what
    /// this kernel has no means for ends the run.
    pub(super) async fn apply(&mut self, change: &Mutation) -> Result<Result<(), Refusal>, LiveError> {
        if let Mutation::Sysctl { key, .. } = change
            && self.absent.contains(&wildcard(key))
        {
            let why = format!("`{change}`: this kernel has no such switch in a namespace");
            return Err(LiveError::NotHere(why));
        }
        let mut place = RealNamespace { netns: &self.netns, rtnl: &self.rtnl, filters: &mut self.filters };
        match apply(&mut place, change).await {
            Ok(()) => Ok(Ok(())),
            Err(e @ (ApplyError::NotHere { .. } | ApplyError::Filter { .. })) => {
                Err(LiveError::NotHere(e.to_string()))
            }
            Err(e) => Ok(Err(refusal(e.errno(), &e))),
        }
    }

    /// Makes the changes of a set-up, none of which may be refused.
    pub(super) async fn set_up(&mut self, changes: &[Mutation]) -> Result<(), LiveError> {
        // the machine's `neigh.default` is not a namespace's to write; new devices are levelled to it
        let machines = |change: &Mutation| match change {
            Mutation::Sysctl { key, .. } => {
                let of_neigh = matches!(key, SysctlKey::Neigh4(..) | SysctlKey::Neigh6(..));
                of_neigh && self.absent.contains(&wildcard(key))
            }
            _ => false,
        };
        let changes: Vec<&Mutation> = changes.iter().filter(|change| !machines(change)).collect();
        for change in changes {
            let done = self.apply(change).await?;
            done.map_err(|e| LiveError::Build(format!("the {}'s set-up: {e}", self.side)))?;
        }
        Ok(())
    }

    /// The routes, rules and neighbours of IPv4 that ip(8) shows, as the kernel has them now.
    pub(super) async fn view(&self) -> Option<Tables> {
        let (routes, rules) = (self.rtnl.routes().await.ok()?, self.rtnl.rules().await.ok()?);
        let entries = self.rtnl.neighbours().await.ok()?;
        let v4 = |net: &ipnet::IpNet| matches!(net, ipnet::IpNet::V4(_));
        let main = routes.into_iter().filter(|r| r.table == table::MAIN && v4(&r.destination));
        // as `ip neigh` does without `nud all`
        let shown = |n: &Neighbour| n.address.is_ipv4() && n.state != NudState::NoArp;
        Some(Tables {
            routes: main.collect(),
            rules: rules.into_iter().filter(|r| !r.v6).collect(),
            neighbours: entries.into_iter().filter(shown).collect(),
        })
    }

    /// Switches with their values; those that are not there are left out.
    pub(super) fn sysctls(&self, keys: Vec<SysctlKey>) -> Vec<(SysctlKey, i32)> {
        let read = move || keys.into_iter().filter_map(|key| Some((key, read_here(&key)?))).collect();
        self.netns.exec(read).unwrap_or_default()
    }
}

/// A kernel's refusal, with its error number where it has told one.
pub(super) fn refusal(errno: Option<i32>, why: &impl core::fmt::Display) -> Refusal {
    Refusal::Kernel { errno, words: why.to_string() }
}

/// Every switch that the model reads, `all` first: writing one may set others.
fn model_keys() -> Vec<SysctlKey> {
    let mut keys: Vec<SysctlKey> = Global::ALL.iter().map(|g| SysctlKey::Global(*g)).collect();
    let lo = Scope::Dev(IfName::LO);
    for scope in [Scope::All, Scope::Default, lo] {
        keys.extend(Conf4::ALL.iter().map(|k| SysctlKey::Conf4(scope, *k)));
    }
    // the loopback device has values of its own in IPv6, and no neighbours
    for scope in [Scope::All, Scope::Default] {
        keys.extend(Conf6::ALL.iter().map(|k| SysctlKey::Conf6(scope, *k)));
    }
    keys.extend(NeighVar::ALL.iter().map(|k| SysctlKey::Neigh4(lo, *k)));
    keys.extend(NeighVar::ALL.iter().map(|k| SysctlKey::Neigh6(lo, *k)));
    keys.extend(NeighVar::ALL.iter().map(|k| SysctlKey::Neigh4(Scope::Default, *k)));
    keys.extend(NeighVar::ALL.iter().map(|k| SysctlKey::Neigh6(Scope::Default, *k)));
    keys
}

/// The switches that decide about packets, for all interfaces, new ones and these.
pub(super) fn watched_keys(devs: impl Iterator<Item = IfName>) -> Vec<SysctlKey> {
    let mut keys: Vec<SysctlKey> = Global::ALL.iter().map(|g| SysctlKey::Global(*g)).collect();
    let scopes =
        [Scope::All, Scope::Default].into_iter().chain(devs.filter(|d| *d != IfName::LO).map(Scope::Dev));
    for scope in scopes {
        keys.extend(Conf4::ALL.iter().map(|k| SysctlKey::Conf4(scope, *k)));
        keys.extend(Conf6::ALL.iter().map(|k| SysctlKey::Conf6(scope, *k)));
        if matches!(scope, Scope::Dev(_)) {
            keys.extend(NeighVar::ALL.iter().map(|k| SysctlKey::Neigh4(scope, *k)));
        }
    }
    keys
}

/// The key for any interface: whether the kernel has it does not depend on which.
fn wildcard(key: &SysctlKey) -> String {
    match key {
        SysctlKey::Conf4(_, k) => SysctlKey::Conf4(Scope::Default, *k).to_string(),
        SysctlKey::Conf6(_, k) => SysctlKey::Conf6(Scope::Default, *k).to_string(),
        // a namespace may have them for devices and not for `default`
        SysctlKey::Neigh4(Scope::Dev(_), k) => SysctlKey::Neigh4(Scope::Dev(IfName::LO), *k).to_string(),
        SysctlKey::Neigh6(Scope::Dev(_), k) => SysctlKey::Neigh6(Scope::Dev(IfName::LO), *k).to_string(),
        SysctlKey::Neigh4(..) | SysctlKey::Neigh6(..) => key.to_string(),
        SysctlKey::Global(g) => g.name().to_owned(),
    }
}

/// On the namespace's thread.
fn read_here(key: &SysctlKey) -> Option<i32> {
    std::fs::read_to_string(format!("/proc/sys/{}", key.path())).ok()?.trim().parse().ok()
}
