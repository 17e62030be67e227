//! A node namespace, the far ends of its interfaces, and changes made to kernel and model alike.

use super::heard::Port;
use super::reaper::Reaper;
use super::start::start;
use crate::addr::IfName;
use crate::host::conf::{Conf6, Scope, SysctlKey};
use crate::host::{HostState, LinkChange, Mutation};
use crate::namespace::{ApplyError, RealNamespace, StageError, apply};
use crate::strategies::Offer;
use netns_lab::capabilities::{self, Feature};
use netns_lab::nft::InstalledArpDrop;
use netns_lab::rtnl::VethEnd;
use netns_lab::{MacAddr, Netns, Rtnl, RtnlError};
use std::sync::Arc;
use tokio::runtime::Runtime;

/// ENODEV: there is no such interface.
const ENODEV: i32 = 19;

/// What lasts from one state to the next.
pub(super) struct KernelLab {
    runtime: Runtime,
    /// Where the far ends are. Its interface numbers only grow and so differ from those of the
    /// node: the kernel handles the carrier of a veth with equal numbers a second late.
    far: Netns,
    far_rtnl: Rtnl,
    start: Vec<Mutation>,
    serial: u32,
    reaper: Reaper,
    pub(super) offer: Offer,
}

/// Interfaces made in the far namespace first, so that its numbers are ahead.
const AHEAD: u32 = 6;

impl KernelLab {
    pub(super) fn new() -> Result<KernelLab, StageError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let far = Netns::new("far")?;
        let key = "net.ipv6.conf.default.disable_ipv6";
        far.sysctl().poke(key, 1)?;
        for n in 0..AHEAD {
            let (a, b) = (format!("ahead{n}"), format!("ahead{n}b"));
            far.blocking().add_veth(&VethEnd::new(a.as_str()), &VethEnd::new(b))?;
            far.blocking().delete_link(a.as_str())?;
        }
        let far_rtnl = {
            let _in = runtime.enter();
            far.rtnl()?
        };
        let hooks = capabilities::detect().has(Feature::NftArp);
        Ok(KernelLab {
            runtime,
            far,
            far_rtnl,
            start: start()?,
            serial: 0,
            reaper: Reaper::new(),
            offer: Offer { hooks },
        })
    }
}

impl KernelLab {
    /// Takes a namespace down in the background.
    pub(super) fn reap(&self, netns: Arc<Netns>) {
        self.reaper.take(netns);
    }
}

/// One state being staged: the namespace and the model, side by side.
pub(super) struct StagedNode<'a> {
    lab: &'a mut KernelLab,
    netns: Arc<Netns>,
    rtnl: Rtnl,
    filters: Vec<(Mutation, InstalledArpDrop)>,
    ports: Vec<Port>,
    pub(super) model: HostState,
}

/// What one of the two said to a change: done, or the number of its error.
pub(super) type Said = Result<(), i32>;

/// What kernel and model said to a change.
pub(super) struct Verdicts {
    pub(super) kernel: Said,
    pub(super) model: Said,
    /// What the kernel said, in words.
    pub(super) words: String,
}

impl<'a> StagedNode<'a> {
    /// Call it on the namespace's own thread.
    pub(super) fn new(
        lab: &'a mut KernelLab,
        netns: &Arc<Netns>,
        six: bool,
    ) -> Result<StagedNode<'a>, StageError> {
        let netns = Arc::clone(netns);
        let rtnl = {
            let _in = lab.runtime.enter();
            netns.rtnl()?
        };
        let mut model = HostState::new();
        for change in &lab.start {
            model.apply(change)?;
        }
        if !six {
            let key = SysctlKey::Conf6(Scope::Default, Conf6::DisableIpv6);
            netns.sysctl().poke(key.path().as_str(), 1)?;
            model.apply(&Mutation::Sysctl { key, value: 1 })?;
        }
        Ok(StagedNode { lab, netns, rtnl, filters: Vec::new(), ports: Vec::new(), model })
    }

    /// The interface's two ends, with sockets on them from now on.
    pub(super) fn open(&mut self, dev: IfName) -> Result<Option<&Port>, StageError> {
        let Some(port) = self.ports.iter_mut().find(|p| p.dev == dev) else { return Ok(None) };
        port.open(&self.netns, &self.lab.far)?;
        Ok(Some(port))
    }

    fn port(&self, dev: IfName) -> Option<&Port> {
        self.ports.iter().find(|p| p.dev == dev)
    }

    /// Runs something on the namespace's own thread.
    pub(super) fn exec<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, StageError> {
        Ok(self.netns.exec(work)?)
    }

    /// What the kernel lists.
    pub(super) fn routes(&self) -> Result<Vec<netns_lab::rtnl::Route>, StageError> {
        Ok(self.lab.runtime.block_on(self.rtnl.routes())?)
    }

    /// What the kernel lists.
    pub(super) fn addresses(&self) -> Result<Vec<netns_lab::rtnl::Address>, StageError> {
        Ok(self.lab.runtime.block_on(self.rtnl.addresses())?)
    }

    /// What the kernel lists.
    pub(super) fn neighbours(&self) -> Result<Vec<netns_lab::rtnl::Neighbour>, StageError> {
        Ok(self.lab.runtime.block_on(self.rtnl.neighbours())?)
    }

    /// Makes a change in both. The error is one of the lab.
    pub(super) fn change(&mut self, change: &Mutation) -> Result<Verdicts, StageError> {
        if let Mutation::LinkSet { dev, change: LinkChange::Carrier(on) } = change {
            return self.far_end(*dev, *on);
        }
        let said = match change {
            Mutation::LinkAdd { name, mac, .. } if self.port(*name).is_none() => {
                self.plug(*name, *mac).map(|()| (Ok(()), String::new()))?
            }
            _ => self.kernel(change)?,
        };
        let model = self.model.apply(change).map(drop).map_err(|e| e.errno.number());
        if let Mutation::LinkDel { dev } = change {
            let gone = said.0.is_ok();
            for port in self.ports.extract_if(.., |p| gone && p.dev == *dev) {
                self.lab.reaper.take(port);
            }
        }
        if matches!(change, Mutation::LinkSet { change: LinkChange::Up(_), .. }) {
            self.settle()?;
        }
        Ok(Verdicts { kernel: said.0, model, words: said.1 })
    }

    fn kernel(&mut self, change: &Mutation) -> Result<(Said, String), StageError> {
        let mut place = RealNamespace { netns: &self.netns, rtnl: &self.rtnl, filters: &mut self.filters };
        match self.lab.runtime.block_on(apply(&mut place, change)) {
            Ok(()) => Ok((Ok(()), "done".into())),
            Err(e @ (ApplyError::NotHere { .. } | ApplyError::Filter { .. })) => Err(e.into()),
            Err(e) => match e.errno() {
                Some(errno) => Ok((Err(errno), e.to_string())),
                None => Err(e.into()),
            },
        }
    }

    /// A veth pair with its other end far away, which is up.
    fn plug(&mut self, dev: IfName, mac: Option<crate::addr::Mac>) -> Result<(), StageError> {
        self.lab.serial += 1;
        let peer = format!("f{}", self.lab.serial);
        let mut near = VethEnd::new(dev.as_str());
        if let Some(mac) = mac {
            near = near.mac(MacAddr::new(mac.0));
        }
        let far = VethEnd::new(peer.as_str()).in_netns(&self.lab.far);
        let (rtnl, far_rtnl) = (&self.rtnl, &self.lab.far_rtnl);
        let made = self.lab.runtime.block_on(async {
            rtnl.add_veth(&near, &far).await?;
            let still = netns_lab::rtnl::LinkChange::new().arp(false).up(true);
            far_rtnl.change_link(peer.as_str(), &still).await
        });
        made?;
        self.ports.push(Port::new(dev, peer));
        Ok(())
    }

    /// The carrier of an interface follows its far end.
    fn far_end(&mut self, dev: IfName, on: bool) -> Result<Verdicts, StageError> {
        let Some(at) = self.ports.iter().position(|p| p.dev == dev) else {
            let model = self.model.link_named(dev).map_or(Err(ENODEV), |_| Ok(()));
            return Ok(Verdicts { kernel: Err(ENODEV), model, words: "there is no such interface".into() });
        };
        let change = netns_lab::rtnl::LinkChange::new().up(on);
        let rtnl = &self.lab.far_rtnl;
        self.lab.runtime.block_on(rtnl.change_link(self.ports[at].peer.as_str(), &change))?;
        self.ports[at].far_up = on;
        self.settle()?;
        Ok(Verdicts { kernel: Ok(()), model: Ok(()), words: "done".into() })
    }

    /// The kernel handles carrier changes in the background; asking for a link makes it do so at
    /// once (linkwatch_sync_dev in rtnl_getlink, since 6.8). The model is told what follows.
    fn settle(&mut self) -> Result<(), StageError> {
        for port in &mut self.ports {
            let (rtnl, far) = (&self.rtnl, &self.lab.far_rtnl);
            let looked = self.lab.runtime.block_on(async {
                let near = rtnl.link(port.dev.as_str()).await?;
                Ok::<_, RtnlError>((near, far.link(port.peer.as_str()).await?))
            });
            let (near, far) = looked?;
            port.carries = near.up && far.up && near.carrier == Some(true);
            let Some(link) = self.model.link_named(port.dev) else { continue };
            let carries = link.is_up() && port.far_up;
            if link.has_carrier() != carries {
                let change = LinkChange::Carrier(carries);
                self.model.apply(&Mutation::LinkSet { dev: port.dev, change })?;
            }
        }
        Ok(())
    }
}

impl Drop for StagedNode<'_> {
    fn drop(&mut self) {
        for port in self.ports.drain(..) {
            let (near, far) = port.into_sockets();
            self.lab.reaper.take(near);
            self.lab.reaper.take(far);
        }
        self.lab.reaper.take(std::mem::take(&mut self.filters));
    }
}
