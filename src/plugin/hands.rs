//! Orders of a run, carried out on the runtime's namespaces.

use super::failure::Failure;
use crate::addr::Side;
use crate::control::{Refusal, Setting};
use crate::host::Mutation;
use crate::namespace::{ApplyError, RealNamespace, apply, mac_of};
use crate::run::{Came, Deed};
use netns_lab::rtnl::VethEnd;
use netns_lab::{Netns, NetnsId, PacketOptions, PacketSocket, Rtnl, RtnlError};
use std::fs::File;
use std::path::{Path, PathBuf};

/// A namespace with its netlink handle.
pub(super) struct Space {
    pub(super) netns: Netns,
    pub(super) rtnl: Rtnl,
}

impl Space {
    /// The namespace of this process: the node's.
    pub(super) fn node() -> Result<Space, Failure> {
        let fail = |e: &dyn core::fmt::Display| Failure::io("the node's namespace cannot be used", e);
        let netns = Netns::current("node").map_err(|e| fail(&e))?;
        let rtnl = netns.rtnl().map_err(|e| fail(&e))?;
        Ok(Space { netns, rtnl })
    }

    /// The container's; it must not be the node's own.
    pub(super) fn pod(path: &Path, node: NetnsId) -> Result<Space, Failure> {
        let file = File::open(path).map_err(|e| {
            Failure::unknown(
                format!("CNI_NETNS {} cannot be opened: {e}", path.display()),
                "is the container still there?",
            )
        })?;
        let fail = |e: &dyn core::fmt::Display| {
            Failure::environment(format!("CNI_NETNS {} cannot be entered", path.display()), e.to_string())
        };
        let netns = Netns::attach("pod", file.into()).map_err(|e| fail(&e))?;
        if netns.id() == node {
            let msg = format!("CNI_NETNS {} is the namespace that this plugin runs in", path.display());
            return Err(Failure::environment(msg, "the node and the container must not be the same"));
        }
        let rtnl = netns.rtnl().map_err(|e| fail(&e))?;
        Ok(Space { netns, rtnl })
    }
}

/// What changes namespaces.
pub(super) struct Hands {
    pub(super) node: Space,
    /// Open during ADD. Afterwards a held descriptor would keep a namespace that everybody else has
    /// left.
    pod: Option<Space>,
    pod_file: PathBuf,
    pod_id: NetnsId,
    mtu_bytes: Option<u32>,
}

impl Hands {
    pub(super) fn new(pod_file: &Path, mtu_bytes: Option<u32>) -> Result<Hands, Failure> {
        let node = Space::node()?;
        let pod = Space::pod(pod_file, node.netns.id())?;
        let pod_id = pod.netns.id();
        Ok(Hands { node, pod: Some(pod), pod_file: pod_file.to_owned(), pod_id, mtu_bytes })
    }

    /// From here on the container's namespace is opened for each change anew.
    pub(super) fn let_go(&mut self) {
        self.pod = None;
    }

    fn pod(&self) -> Result<Space, Refusal> {
        let gone = |words: String| Refusal::Kernel { errno: None, words };
        let pod = Space::pod(&self.pod_file, self.node.netns.id()).map_err(|e| gone(e.msg))?;
        if pod.netns.id() == self.pod_id {
            Ok(pod)
        } else {
            Err(gone(format!("{} is another namespace by now", self.pod_file.display())))
        }
    }

    /// Does one thing.
    pub(super) async fn obey(&self, deed: &Deed<'_>, s: &Setting) -> Came {
        let opened;
        let pod = match &self.pod {
            Some(pod) => Some(pod),
            None if touches_pod(deed) => match self.pod() {
                Ok(pod) => {
                    opened = pod;
                    Some(&opened)
                }
                Err(why) => return Came::Refused(why),
            },
            None => None,
        };
        let done = match (deed, pod) {
            (Deed::Change(Side::Host, change), _) => self.change(&self.node, change).await,
            (Deed::Change(Side::Pod, change), Some(pod)) => self.change(pod, change).await,
            (Deed::Create { host_end, pod_up }, Some(pod)) => self.create(pod, *host_end, *pod_up, s).await,
            (Deed::Move, Some(pod)) => {
                pod.rtnl.move_link(s.cali.as_str(), &self.node.netns).await.map_err(|e| netlink(&e))
            }
            (Deed::Delete(Side::Host), _) => {
                delete(&self.node.rtnl, s.cali.as_str()).await.map_err(|e| netlink(&e))
            }
            (Deed::Delete(Side::Pod), Some(pod)) => {
                delete(&pod.rtnl, s.eth.as_str()).await.map_err(|e| netlink(&e))
            }
            (Deed::Send(frame), _) => {
                PacketSocket::open(&self.node.netns, s.cali.as_str(), &PacketOptions::new())
                    .and_then(|socket| socket.send(frame))
                    .map_err(|e| Refusal::Kernel { errno: None, words: e.to_string() })
            }
            // the runtime has made the namespace, and runs what runs in it
            _ => Ok(()),
        };
        done.into()
    }

    async fn change(&self, space: &Space, change: &Mutation) -> Result<(), Refusal> {
        let mut filters = Vec::new();
        let mut place = RealNamespace { netns: &space.netns, rtnl: &space.rtnl, filters: &mut filters };
        apply(&mut place, change)
            .await
            .map_err(|e: ApplyError| Refusal::Kernel { errno: e.errno(), words: e.to_string() })
    }

    async fn create(&self, pod: &Space, born: Side, pod_up: bool, s: &Setting) -> Result<(), Refusal> {
        let mut far = VethEnd::new(s.cali.as_str());
        let mut near = VethEnd::new(s.eth.as_str()).mac(mac_of(s.pod_mac));
        if let Some(mtu) = self.mtu_bytes {
            far = far.mtu_bytes(mtu);
            near = near.mtu_bytes(mtu);
        }
        let made = match born {
            Side::Pod => pod.rtnl.add_veth(&far, &near).await,
            Side::Host => self.node.rtnl.add_veth(&far, &near.in_netns(&pod.netns)).await,
        };
        made.map_err(|e| netlink(&e))?;
        if pod_up { pod.rtnl.set_up(s.eth.as_str()).await.map_err(|e| netlink(&e)) } else { Ok(()) }
    }
}

fn touches_pod(deed: &Deed<'_>) -> bool {
    matches!(deed, Deed::Change(Side::Pod, _) | Deed::Create { .. } | Deed::Move | Deed::Delete(Side::Pod))
}

fn netlink(e: &RtnlError) -> Refusal {
    Refusal::Kernel { errno: e.errno().map(netns_lab::Errno::raw), words: e.to_string() }
}

/// Deletes a link; one that is not there is as good as deleted.
pub(super) async fn delete(rtnl: &Rtnl, name: &str) -> Result<(), RtnlError> {
    match rtnl.delete_link(name).await {
        Err(e) if e.not_found() => Ok(()),
        done => done,
    }
}
