//! What a real plugin did, for the model: both kernels are asked for their links, addresses, routes and
//! rules, and the model makes the changes that it takes to have the same.

use super::differences::{addresses, attributes, links, proxies, routes, rules};
use super::engine::Lab;
use super::mirror::Mirror;
use super::space::Space;
use super::terms::{LiveError, broke};
use crate::addr::{IfName, Mac, Side, VethEnds};
use crate::host::{LinkChange, Mutation, Refused};
use crate::pair::{Devices as _, Veth};
use netns_lab::rtnl;
use std::net::IpAddr;

/// So often the kernels are asked, if what they say does not fit together.
const LOOKS: usize = 3;

/// A kernel's tables.
pub(super) struct Look {
    pub(super) links: Vec<rtnl::Link>,
    pub(super) addresses: Vec<rtnl::Address>,
    pub(super) routes: Vec<rtnl::Route>,
    pub(super) rules: Vec<rtnl::Rule>,
    pub(super) proxies: Vec<rtnl::Neighbour>,
}

impl Look {
    /// As they are now.
    pub(super) async fn at(space: &Space) -> Result<Look, LiveError> {
        let rtnl = &space.rtnl;
        Ok(Look {
            links: rtnl.links().await.map_err(broke)?,
            addresses: rtnl.addresses().await.map_err(broke)?,
            routes: rtnl.routes().await.map_err(broke)?,
            rules: rtnl.rules().await.map_err(broke)?,
            proxies: rtnl.proxies().await.map_err(broke)?,
        })
    }

    fn link(&self, name: IfName) -> Option<&rtnl::Link> {
        self.links.iter().find(|l| l.name == name.as_str())
    }

    pub(super) fn indexed(&self, index: u32) -> Option<&rtnl::Link> {
        self.links.iter().find(|l| l.index == index)
    }

    /// The gateway of the default route.
    pub(super) fn gateway(&self) -> Option<std::net::Ipv4Addr> {
        let defaults = self.routes.iter().filter(|r| r.destination.prefix_len() == 0);
        defaults.flat_map(|r| &r.next_hops).find_map(|hop| match hop.gateway {
            Some(IpAddr::V4(ip)) => Some(ip),
            _ => None,
        })
    }
}

/// Where the other end of the pod's veth is, and its name.
fn far_end(node: &Look, pod: &Look, eth: IfName) -> Option<(Side, IfName, Mac)> {
    let near = pod.link(eth).filter(|l| l.kind.as_deref() == Some("veth"))?;
    let peer = near.peer_index?;
    let (side, look) = if near.peer_netns_id.is_none() { (Side::Pod, pod) } else { (Side::Host, node) };
    let far = look.indexed(peer).filter(|l| l.kind.as_deref() == Some("veth"))?;
    (far.peer_index == Some(near.index)).then_some(())?;
    Some((side, far.name.parse().ok()?, mac(near)))
}

/// A veth of the pod whose other end is in neither look.
fn is_half_seen(node: &Look, pod: &Look, eth: IfName) -> bool {
    let is_veth = pod.link(eth).is_some_and(|l| l.kind.as_deref() == Some("veth"));
    is_veth && far_end(node, pod, eth).is_none()
}

pub(super) fn mac(link: &rtnl::Link) -> Mac {
    link.mac.map_or(Mac::ZERO, |mac| Mac(mac.octets()))
}

pub(super) fn name(link: &rtnl::Link) -> Option<IfName> {
    link.name.parse().ok()
}

impl Lab {
    /// The pod's kernel, as it is.
    pub(super) async fn look_at_pod(&self) -> Result<Look, LiveError> {
        Look::at(&self.pod).await
    }

    /// Links of the node that the model does without: far ends of what the lab itself made.
    pub(super) async fn links_of_the_lab(&self) -> Result<Vec<IfName>, LiveError> {
        let Some(space) = self.node.space() else { return Ok(Vec::new()) };
        let links = space.rtnl.links().await.map_err(broke)?;
        let known = |name: &IfName| self.node.state().link_named(*name).is_some();
        Ok(links.iter().filter_map(name).filter(|n| !known(n)).collect())
    }

    /// Brings the model up to what the kernels have. What is changed while they are asked shows as
    /// something that cannot be: then they are asked again.
    pub(super) async fn catch_up(&mut self) -> Result<(), LiveError> {
        let mut refused = Vec::new();
        for more in (0..LOOKS).rev() {
            let Some(space) = self.node.space() else { return Ok(()) };
            let (node, pod) = (Look::at(space).await?, Look::at(&self.pod).await?);
            // a pair that was made between the two looks has one end so far
            if more > 0 && is_half_seen(&node, &pod, self.plan.setting.eth) {
                continue;
            }
            refused = self.catch_up_with(&node, &pod)?;
            if refused.is_empty() {
                return Ok(());
            }
        }
        let now = self.now();
        for e in refused {
            self.run.compare(now, &Ok(()), Err(e), &mut self.events);
        }
        Ok(())
    }

    fn catch_up_with(&mut self, node: &Look, pod: &Look) -> Result<Vec<Refused>, LiveError> {
        let mut refused: Vec<Refused> = self.catch_up_pair(node, pod)?.into_iter().collect();
        for (side, look) in [(Side::Host, node), (Side::Pod, pod)] {
            for part in [links, attributes, addresses, routes, rules, proxies] {
                for change in part(self.state(side), look) {
                    refused.extend(self.change_as_seen(side, &change).err());
                }
            }
        }
        Ok(refused)
    }

    fn change_as_seen(&mut self, side: Side, change: &Mutation) -> Result<(), Refused> {
        if let Mutation::LinkAdd { name, .. } = change
            && side == Side::Host
            && self.strange_links.contains(name)
        {
            return Ok(());
        }
        self.model(&|model, now, by| model.change(now, side, change, by))
    }

    /// The pair is made, moved, renamed or gone.
    fn catch_up_pair(&mut self, node: &Look, pod: &Look) -> Result<Option<Refused>, LiveError> {
        let eth = self.plan.setting.eth;
        let far = far_end(node, pod, eth);
        let there = self.mirror.veth.host_end;
        match (there, far) {
            (None, None) => self.other_eth(pod).map(|()| None),
            (Some(_), None) => {
                let _ = self.model(&|model, now, by| {
                    model.remove(now, by);
                    Ok(())
                });
                Ok(None)
            }
            (None, Some((side, cali, pod_mac))) => {
                self.learn(|s| (s.cali, s.pod_mac) = (cali, pod_mac));
                let ends = VethEnds { cali, eth, pod_mac };
                self.mirror.veth = Veth::new(ends, false);
                self.level_new_pair(side)?;
                Ok(self.model(&|model, now, by| model.create(now, side, false, by)).err())
            }
            (Some(Side::Pod), Some((Side::Host, ..))) => {
                self.level_new_pair(Side::Host)?;
                Ok(self.model(&|model, now, by| model.move_host_end(now, by)).err())
            }
            (Some(side), Some((_, cali, _))) => {
                let known =
                    self.mirror.veth.far(self.node.state(), &self.mirror.pod).map(crate::host::Link::name);
                if let Some(dev) = known.filter(|known| *known != cali) {
                    self.learn(|s| s.cali = cali);
                    let rename = Mutation::LinkSet { dev, change: LinkChange::Name(cali) };
                    return Ok(self.change_as_seen(side, &rename).err());
                }
                Ok(None)
            }
        }
    }

    /// New ends are watched, and have the neighbour parameters that the model's have.
    fn level_new_pair(&mut self, side: Side) -> Result<(), LiveError> {
        let s = &self.plan.setting;
        let (eth, cali) = (s.eth, s.cali);
        if self.mirror.veth.host_end.is_none() {
            self.pod.level_device(eth)?;
            self.node.watch(&self.pod, eth)?;
        }
        match (side, self.node.space()) {
            (Side::Host, Some(node)) => node.level_device(cali),
            _ => self.pod.level_device(cali),
        }
    }

    /// An interface of the pod that is no veth: what is at its other end the model has no term for.
    fn other_eth(&mut self, pod: &Look) -> Result<(), LiveError> {
        let eth = self.plan.setting.eth;
        let Some(link) = pod.link(eth).filter(|_| self.mirror.pod.link_named(eth).is_none()) else {
            return Ok(());
        };
        let kind = link.kind.clone().unwrap_or_else(|| "device".into());
        self.node.watch(&self.pod, eth)?;
        self.beyond_the_model(Side::Pod, &format!("ip link add {eth} type {kind}"));
        Ok(())
    }
}

impl Mirror {
    /// The pair is there.
    pub(super) fn has_pair(&self) -> bool {
        self.veth.host_end.is_some()
    }
}
