//! A scene on a real kernel: a node's namespace with the pod's host end, its uplink and all that
//! the scenario's steps did to it, and at the other end of the veth nobody but the prober.

use super::scene::{Scene, SceneStep};
use super::wire::WireAnswerer;
use crate::namespace::{RealNamespace, StageError, apply};
use netns_lab::nft::InstalledArpDrop;
use netns_lab::rtnl::{LinkChange, VethEnd};
use netns_lab::{MacAddr, Netns, Rtnl};

/// A staged scene. The namespaces go when it is dropped, or when the process ends.
pub struct SceneStage {
    wire: WireAnswerer,
    /// Changes that this kernel refused, or that cannot be made from outside.
    pub refused: Vec<String>,
    _pod: Netns,
    _node: Netns,
    _filters: Vec<(crate::host::Mutation, InstalledArpDrop)>,
}

impl SceneStage {
    /// Makes the namespaces and plays the scene's way into them.
    pub fn new(scene: &Scene) -> Result<SceneStage, StageError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(SceneStage::build(scene))
    }

    async fn build(scene: &Scene) -> Result<SceneStage, StageError> {
        let (node, pod) = (Netns::new("node")?, Netns::new("pod")?);
        // the pod's kernel has nothing to say here
        pod.sysctl().poke("net.ipv6.conf.default.disable_ipv6", 1)?;
        let rtnl = node.rtnl()?;
        let (mut filters, mut refused) = (Vec::new(), Vec::new());
        for step in &scene.way {
            match step {
                SceneStep::Veth => veth(scene, &rtnl, &pod).await?,
                SceneStep::Change(change) => {
                    let mut place = RealNamespace { netns: &node, rtnl: &rtnl, filters: &mut filters };
                    if let Err(e) = apply(&mut place, change).await {
                        refused.push(e.to_string());
                    }
                }
            }
        }
        let wire = WireAnswerer::open(&pod, scene.setting.eth.as_str())?;
        Ok(SceneStage { wire, refused, _pod: pod, _node: node, _filters: filters })
    }

    /// The wire to the host end.
    pub fn wire(&mut self) -> &mut WireAnswerer {
        &mut self.wire
    }
}

async fn veth(scene: &Scene, rtnl: &Rtnl, pod: &Netns) -> Result<(), StageError> {
    let s = &scene.setting;
    let far = VethEnd::new(s.eth.as_str()).mac(MacAddr::new(s.pod_mac.0)).in_netns(pod);
    rtnl.add_veth(&VethEnd::new(s.cali.as_str()), &far).await?;
    let change = LinkChange::new().arp(false).up(scene.pod_up);
    pod.rtnl()?.change_link(s.eth.as_str(), &change).await?;
    Ok(())
}
