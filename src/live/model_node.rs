//! A node that is modelled, in front of a real pod.

use super::link::{PodLinkKind, PodWire};
use super::node::{NodeEvent, PairNow, Real};
use super::space::Space;
use super::terms::{LiveError, broke};
use crate::addr::{IfName, Side};
use crate::control::Setting;
use crate::gateway::{Gateway, SmoltcpOutside};
use crate::host::Mutation;

/// The software gateway, with the wire to the pod.
pub(super) struct ModelNode {
    pub(super) gateway: Gateway<SmoltcpOutside>,
    pub(super) wire: Option<PodWire>,
    prefer: Option<PodLinkKind>,
    /// The pair is there, as the model last had it.
    there: bool,
    /// What the pod's end was last told.
    carrier: bool,
}

impl ModelNode {
    pub(super) fn new(gateway: Gateway<SmoltcpOutside>, prefer: Option<PodLinkKind>) -> ModelNode {
        ModelNode { gateway, wire: None, prefer, there: false, carrier: false }
    }

    pub(super) async fn next(&mut self) -> NodeEvent {
        match &mut self.wire {
            Some(wire) => wire.recv().await.map_or(NodeEvent::Gone, NodeEvent::FromPod),
            None => std::future::pending().await,
        }
    }

    /// All of the node is modelled, and the host end wherever it is; `None` for the rest of the pod.
    pub(super) fn change(side: Side, change: &Mutation, s: &Setting) -> Option<Real> {
        (side == Side::Host || names_device(change, s.cali)).then_some(Real::Modelled)
    }

    /// The pair goes. Dropping a TAP's descriptor deletes it; the far end of a veth goes with its
    /// namespace, which may take the near one along before it is asked for.
    pub(super) async fn delete(&mut self, pod: &Space, eth: IfName) -> Result<Real, LiveError> {
        self.there = false;
        if matches!(self.wire.take(), Some(PodWire::Veth { .. })) {
            match pod.rtnl.delete_link(eth.as_str()).await {
                Err(e) if !e.not_found() => return Err(broke(e)),
                _ => {}
            }
        }
        Ok(Real::Modelled)
    }

    /// The wire is there while the pair is, and its cable is out while the host end is down, whatever
    /// the pod does to its own end.
    pub(super) async fn align(
        &mut self,
        pod: &Space,
        now: PairNow,
        s: &Setting,
    ) -> Result<Option<String>, LiveError> {
        let mut no_tap = None;
        if now.there && !core::mem::replace(&mut self.there, now.there) {
            let made = PodWire::make(&pod.netns, &pod.rtnl, s.eth.as_str(), s.pod_mac, self.prefer).await;
            // this machine refuses, not the scenario
            let (wire, why) = made.map_err(|e| LiveError::Build(e.to_string()))?;
            pod.level_device(s.eth)?;
            wire.set_carrier(false).await?;
            (self.wire, self.carrier, no_tap) = (Some(wire), false, why);
        }
        if let Some(wire) = &self.wire {
            wire.set_carrier(now.host_up).await?;
            if core::mem::replace(&mut self.carrier, now.host_up) != now.host_up {
                // On a node the kernel handles a veth's carrier at once; that of a TAP, or of a pair
                // whose ends have the same number, at most once a second, and until then the pod's
                // requests leave (linkwatch_urgent_event). Who asks after one link has it handled
                // now (rtnl_getlink, since 6.7). The pod may have taken the link away.
                let _ = pod.rtnl.link(s.eth.as_str()).await;
            }
        }
        Ok(no_tap)
    }
}

/// True for a change of that device in particular.
fn names_device(change: &Mutation, dev: IfName) -> bool {
    match change {
        Mutation::LinkSet { dev: d, .. }
        | Mutation::LinkDel { dev: d }
        | Mutation::LinkAdd { name: d, .. } => *d == dev,
        Mutation::Sysctl { key, .. } => key.device() == Some(dev),
        _ => false,
    }
}
