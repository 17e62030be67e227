//! A device of a namespace and who reads its wire: a TAP, or a veth with a packet socket at its far end.

use crate::addr::Mac;
use crate::namespace::mac_of;
use netns_lab::rtnl::VethEnd;
use netns_lab::{
    AsyncPacketSocket, AsyncTap, Netns, PacketError, PacketOptions, PacketSocket, RecvBatch, Rtnl, Tap,
    TapError,
};
use serde::Serialize;

/// How `eth0` is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PodLinkKind {
    /// A TAP device.
    Tap,
    /// A veth, its far end in a namespace of its own, read and written by a packet socket.
    Veth,
}

/// Why the link could not be made, or broke.
#[derive(Debug, thiserror::Error)]
#[error("the pod's link: {0}")]
pub struct LinkFault(pub(super) String);

fn fault(e: impl core::fmt::Display) -> LinkFault {
    LinkFault(e.to_string())
}

/// The longest frame that is read: the MTU with link header and a tag.
const FRAME_MAX: usize = 1500 + 18 + 64;

/// The link as the gateway sees it.
pub(super) enum PodWire {
    Tap(AsyncTap, Box<[u8; FRAME_MAX]>),
    Veth { socket: AsyncPacketSocket, batch: RecvBatch, next: usize, far: Netns, rtnl: Rtnl },
}

const FAR_END: &str = "far0";

impl PodWire {
    /// Makes `eth0` in the pod's namespace, down, with that MAC. A TAP if it can be had and
    /// `prefer` does not say otherwise; why none could be had, where one was wanted.
    pub(super) async fn make(
        pod: &Netns,
        rtnl: &Rtnl,
        name: &str,
        mac: Mac,
        prefer: Option<PodLinkKind>,
    ) -> Result<(PodWire, Option<String>), LinkFault> {
        if prefer != Some(PodLinkKind::Veth) {
            match Tap::open(pod, name) {
                Ok(tap) => {
                    let change = netns_lab::rtnl::LinkChange::new().mac(mac_of(mac));
                    rtnl.change_link(name, &change).await.map_err(fault)?;
                    let tap = tap.into_async().map_err(fault)?;
                    return Ok((PodWire::Tap(tap, Box::new([0; FRAME_MAX])), None));
                }
                Err(e) if prefer == Some(PodLinkKind::Tap) => return Err(fault(e)),
                Err(e) => {
                    let link = Self::veth(pod, rtnl, name, mac).await?;
                    return Ok((link, Some(e.to_string())));
                }
            }
        }
        Ok((Self::veth(pod, rtnl, name, mac).await?, None))
    }

    async fn veth(pod: &Netns, rtnl: &Rtnl, name: &str, mac: Mac) -> Result<PodWire, LinkFault> {
        let far = Netns::new("gateway").map_err(fault)?;
        // the far end is never spoken to by its own kernel
        far.sysctl().poke("net.ipv6.conf.default.disable_ipv6", 1).map_err(fault)?;
        let _ = pod;
        let near = VethEnd::new(name).mac(mac_of(mac));
        rtnl.add_veth(&near, &VethEnd::new(FAR_END).in_netns(&far)).await.map_err(fault)?;
        let far_rtnl = far.rtnl().map_err(fault)?;
        far_rtnl
            .change_link(FAR_END, &netns_lab::rtnl::LinkChange::new().arp(false).up(true))
            .await
            .map_err(fault)?;
        let options = PacketOptions::new().ignore_outgoing(true).promiscuous(true);
        let socket = PacketSocket::open(&far, FAR_END, &options).map_err(fault)?;
        let socket = socket.into_async().map_err(fault)?;
        Ok(PodWire::Veth { socket, batch: RecvBatch::default(), next: 0, far, rtnl: far_rtnl })
    }

    /// The next frame that the pod sent; `None` when the link is gone for good.
    pub(super) async fn recv(&mut self) -> Option<Vec<u8>> {
        match self {
            PodWire::Tap(tap, buffer) => match tap.recv(&mut buffer[..]).await {
                Ok(n) => Some(buffer[..n].to_vec()),
                Err(e) => {
                    tracing::debug!(%e, "the TAP is gone");
                    None
                }
            },
            PodWire::Veth { socket, batch, next, .. } => loop {
                if *next < batch.len() {
                    *next += 1;
                    return batch.frames().nth(*next - 1).map(|f| {
                        let mut bytes = f.bytes.to_vec();
                        if f.checksum_missing {
                            crate::wire::fill_checksum(&mut bytes);
                        }
                        bytes
                    });
                }
                *next = 0;
                match socket.recv(batch).await {
                    Ok(_) => {}
                    // the far end was set down: frames come again when it is up
                    Err(PacketError::LinkDown { .. } | PacketError::Dropped { .. }) => batch_clear(batch),
                    Err(e) => {
                        tracing::debug!(%e, "the far end is gone");
                        return None;
                    }
                }
            },
        }
    }

    /// Gives the pod a frame. False when its end is down, so that the frame is lost.
    pub(super) async fn send(&self, frame: &[u8]) -> Result<bool, LinkFault> {
        match self {
            PodWire::Tap(tap, _) => match tap.send(frame).await {
                Ok(()) => Ok(true),
                Err(TapError::LinkDown { .. } | TapError::Deleted { .. }) => Ok(false),
                Err(e) => Err(fault(e)),
            },
            PodWire::Veth { socket, .. } => match socket.send(frame).await {
                Ok(()) => Ok(true),
                Err(e) if e.is_link_event() => Ok(false),
                Err(e) => Err(fault(e)),
            },
        }
    }

    /// The host end goes up or down: the pod's end gains or loses its carrier.
    pub(super) async fn set_carrier(&self, on: bool) -> Result<(), LinkFault> {
        match self {
            PodWire::Tap(tap, _) => match tap.set_carrier(on) {
                Err(e) if !e.is_link_event() => Err(fault(e)),
                _ => Ok(()),
            },
            PodWire::Veth { rtnl, far, .. } => {
                let _ = far;
                let done = if on { rtnl.set_up(FAR_END).await } else { rtnl.set_down(FAR_END).await };
                done.map_err(fault)
            }
        }
    }
}

fn batch_clear(batch: &mut RecvBatch) {
    *batch = RecvBatch::default();
}
