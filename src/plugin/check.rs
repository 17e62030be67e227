//! CHECK: is everything as ADD, and what came after it, has made it?
//!
//! What is looked for is what was done: the changes that the state has, the later in place of the
//! earlier. The switches of the container's own namespace are the container's.

use super::failure::Failure;
use super::hands::Space;
use super::state::State;
use crate::addr::{IfName, Mac, Side};
use crate::host::conf::SysctlKey;
use crate::host::{LinkChange, Mutation, Op, RouteSpec};
use ipnet::IpNet;
use netns_lab::rtnl::{Address, Link, Neighbour, Route, table};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What one change decides about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Matter {
    Up(IfName),
    Mac(IfName),
    Address(IfName, IpNet),
    Route(IpNet),
    Neighbour(IfName, IpAddr),
    Switch(SysctlKey),
}

fn matter(change: &Mutation) -> Option<Matter> {
    match change {
        Mutation::LinkSet { dev, change: LinkChange::Up(_) } => Some(Matter::Up(*dev)),
        Mutation::LinkSet { dev, change: LinkChange::Address(_) } => Some(Matter::Mac(*dev)),
        Mutation::AddrAdd { dev, net, .. } | Mutation::AddrDel { dev, net, .. } => {
            Some(Matter::Address(*dev, *net))
        }
        Mutation::Route { spec, .. } => Some(Matter::Route(spec.dst)),
        Mutation::Neigh { dev, ip, .. } => Some(Matter::Neighbour(*dev, *ip)),
        Mutation::Sysctl { key, .. } => Some(Matter::Switch(*key)),
        _ => None,
    }
}

/// The last word on each matter.
fn wanted(state: &State) -> BTreeMap<(Side, Matter), &Mutation> {
    let changes = state.steps.iter().flat_map(|step| &step.did);
    let last = changes.filter_map(|(side, change)| Some(((*side, matter(change)?), change)));
    // the host end's time in the container's namespace is over, and its switches began anew
    let stays = |side: Side, matter: &Matter| match matter {
        Matter::Switch(_) => side == Side::Host,
        Matter::Up(dev) | Matter::Mac(dev) => side == Side::Host || *dev != state.cali,
        _ => true,
    };
    last.filter(|((side, matter), _)| stays(*side, matter)).collect()
}

/// One namespace as it is.
struct Found {
    links: Vec<Link>,
    addresses: Vec<Address>,
    routes: Vec<Route>,
    neighbours: Vec<Neighbour>,
}

impl Found {
    async fn look(space: &Space) -> Result<Found, Failure> {
        let rtnl = &space.rtnl;
        let look = async {
            Ok(Found {
                links: rtnl.links().await?,
                addresses: rtnl.addresses().await?,
                routes: rtnl.routes().await?,
                neighbours: rtnl.neighbours().await?,
            })
        };
        look.await.map_err(|e: netns_lab::RtnlError| Failure::io("a namespace cannot be looked at", e))
    }

    fn link(&self, dev: IfName) -> Option<&Link> {
        self.links.iter().find(|link| link.name == dev.as_str())
    }

    fn has_route(&self, spec: &RouteSpec) -> bool {
        let over = |route: &Route| {
            spec.hops.iter().all(|hop| {
                let fits = |way: &netns_lab::rtnl::NextHop| {
                    way.gateway == hop.via
                        && hop
                            .dev
                            .is_none_or(|dev| way.dev.as_ref().and_then(|it| it.name()) == Some(dev.as_str()))
                };
                route.next_hops.iter().any(fits)
            })
        };
        let table = spec.table.unwrap_or(table::MAIN);
        self.routes.iter().any(|route| route.table == table && route.destination == spec.dst && over(route))
    }

    /// Whether that change still holds.
    fn holds(&self, change: &Mutation, space: &Space) -> bool {
        match change {
            Mutation::LinkSet { dev, change: LinkChange::Up(up) } => {
                self.link(*dev).is_some_and(|link| link.up == *up)
            }
            Mutation::LinkSet { dev, change: LinkChange::Address(mac) } => {
                self.link(*dev).and_then(|link| link.mac).is_some_and(|found| Mac(found.octets()) == *mac)
            }
            Mutation::AddrAdd { dev, net, .. } => self.has_address(*dev, *net),
            Mutation::AddrDel { dev, net, .. } => !self.has_address(*dev, *net),
            Mutation::Route { op, spec } => self.has_route(spec) != (*op == Op::Del),
            Mutation::Neigh { op, dev, ip, .. } => {
                let fits = |n: &Neighbour| n.address == *ip && n.dev.name() == Some(dev.as_str());
                self.neighbours.iter().any(fits) != (*op == Op::Del)
            }
            Mutation::Sysctl { key, value } => {
                let found = space.netns.sysctl().read(key.path().as_str());
                found.is_ok_and(|found| found == value.to_string())
            }
            _ => true,
        }
    }

    fn has_address(&self, dev: IfName, net: IpNet) -> bool {
        self.addresses.iter().any(|a| a.net == net && a.dev.name() == Some(dev.as_str()))
    }
}

/// Looks at both sides, and says what is no longer as it was made.
pub(super) async fn check(node: &Space, pod: &Space, state: &State) -> Result<(), Failure> {
    let (on_node, in_pod) = (Found::look(node).await?, Found::look(pod).await?);
    let mut undone = Vec::new();
    if in_pod.link(state.ifname).is_none() {
        undone.push(format!("the container has no interface {}", state.ifname));
    }
    if on_node.link(state.cali).is_none_or(|link| Some(link.index) != state.cali_index) {
        undone.push(format!("the node has no host end {} of this container", state.cali));
    }
    for ((side, _), change) in wanted(state) {
        let (found, space) = if side == Side::Host { (&on_node, node) } else { (&in_pod, pod) };
        if !found.holds(change, space) {
            let place = if side == Side::Host { "on the node" } else { "in the container" };
            undone.push(format!("{place}, `{change}` no longer holds"));
        }
    }
    if undone.is_empty() {
        return Ok(());
    }
    Err(Failure::undone("the container is not connected as ADD has left it", undone.join("; ")))
}
