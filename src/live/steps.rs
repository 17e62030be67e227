//! What the actors do, done: each act on the real namespaces, and on the model beside them.

use super::engine::Lab;
use super::mirror::Mirror;
use super::node::{PairNow, Real};
use super::space::{Space, refusal};
use super::terms::LiveError;
use super::watch::KnownEntries;
use crate::addr::Side;
use crate::control::Refusal;
use crate::host::command::Tool;
use crate::host::conf::{Global, SysctlKey};
use crate::host::{Link, LinkChange, Mutation};
use crate::pair::Devices as _;
use crate::run::{Came, Deed, Doing, Order};
use crate::time::Time;
use crate::trace::{Sink, What};
use std::sync::Arc;

/// What a change came to; the error is the kernel's refusal, which the actor hears of.
type Done = Result<(), Refusal>;

impl Lab {
    pub(super) async fn carry_out(&mut self, mut doing: Doing) -> Result<(), LiveError> {
        loop {
            let now = self.now();
            let Some(order) = self.run.next_order(&mut doing, now, self.node.state(), &mut self.chooser)
            else {
                break;
            };
            if let Deed::Request(number) = order.deed {
                // the kernel's answer comes as news
                return self.let_go(number, doing).await;
            }
            let came = self.obey(&order).await?;
            self.run.came(&mut doing, came, self.now(), self.node.state(), &mut self.chooser);
        }
        self.run.finish(doing, self.now(), self.node.state(), &mut self.chooser, &mut self.events);
        Ok(())
    }

    /// Carries an order out on what is real, and on the model beside it.
    pub(super) async fn obey(&mut self, order: &Order<'_>) -> Result<Came, LiveError> {
        let begin = self.now();
        let done = match &order.deed {
            Deed::Change(side, change) => self.change(*side, change).await?,
            Deed::Tool(side, tool) => self.run_tool(*side, tool).await?,
            Deed::Create { host_end, pod_up } => self.create_pair(*host_end, *pod_up).await?,
            Deed::Move => self.move_host_end().await?,
            Deed::Delete(from) => {
                let s = &self.plan.setting;
                let dev = if *from == Side::Host { s.cali } else { s.eth };
                self.change(*from, &Mutation::LinkDel { dev }).await?
            }
            Deed::Reset => {
                self.reset_pod().await?;
                Ok(())
            }
            Deed::Send(frame) => return self.send_by_hand(frame).await.map(Came::from),
            Deed::LookAtEntry => return Ok(self.look_for_monitor().await),
            Deed::DownElsewhere => return Ok(Came::Done),
            Deed::Plugin(errand) => return self.run_plugin(order.pod, *errand).await,
            Deed::Request(_) => return Ok(Came::Refused(Refusal::NoPlugin)),
            Deed::Start(client) => {
                self.start_client(*client);
                return Ok(Came::Done);
            }
            Deed::Stop(client) => {
                if self.plan.client(client.0 as usize).is_some_and(|c| c.from == Side::Host) {
                    let there = self.plan.number_there(*client);
                    self.node.stop_client(begin, there, &mut self.chooser);
                }
                if let Some(client) = self.clients.get_mut(client.0 as usize) {
                    (client.running, client.finished) = (None, true);
                }
                return Ok(Came::Done);
            }
            Deed::Renew(client) => {
                if let Some(client) = self.clients.get_mut(client.0 as usize) {
                    client.renew();
                }
                return Ok(Came::Done);
            }
        };
        if let Deed::Change(Side::Host, change) = &order.deed
            && change.takes_down()
        {
            self.node.purged(begin);
        }
        self.node_turned(begin);
        Ok(done.into())
    }

    /// `ip neigh show 169.254.1.1` in the pod, for whoever watches it.
    async fn look_for_monitor(&mut self) -> Came {
        let entries = match self.pod.rtnl.neighbours().await {
            Ok(entries) => entries,
            Err(e) => return Came::Refused(refusal(e.errno().map(netns_lab::Errno::raw), &e)),
        };
        let gateway = entries.iter().find(|n| n.address == std::net::IpAddr::V4(self.plan.setting.gateway));
        Came::Entry(gateway.and_then(|n| super::watch::nud_of(n.state)))
    }

    /// A frame out of the host end, as a program on the node sends it.
    async fn send_by_hand(&mut self, frame: &[u8]) -> Result<Done, LiveError> {
        match self.node.send_by_hand(frame, self.plan.setting.cali) {
            None => self.send_to_pod(frame).await.map(Ok),
            Some(Real::Refused(why)) => Ok(Err(why)),
            Some(_) => Ok(Ok(())),
        }
    }

    /// A change on either side: on what is real there, and on the model of it.
    async fn change(&mut self, side: Side, change: &Mutation) -> Result<Done, LiveError> {
        if let Mutation::LinkDel { dev } = change
            && let Some(link) = self.state(side).link_named(*dev)
            && self.mirror.veth.is_end(side, link.index())
        {
            return self.delete_pair().await;
        }
        if side == Side::Pod {
            // what nobody has told of is gone afterwards
            self.look_for_untold_entry().await;
        }
        let real = self.node.change(&mut self.pod, side, change, &self.plan.setting).await?;
        let done = match real {
            // whether an entry is there only a neighbour table knows, and this model is without
            Real::Refused(why) if matches!(change, Mutation::Neigh { .. }) => Err(why),
            real => self.follow(real, &|model, now, by| model.change(now, side, change, by)),
        };
        self.align().await?;
        Ok(done)
    }

    /// What of a set-up the model does not know. None of it may be refused.
    pub(super) async fn set_up_by_tools(&mut self, side: Side) -> Result<(), LiveError> {
        let plan = Arc::clone(&self.plan);
        for (_, tool) in plan.tools.iter().filter(|(of, _)| *of == side) {
            let done = self.run_tool(side, tool).await?;
            done.map_err(|e| LiveError::Build(format!("the {side}'s set-up: {e}")))?;
        }
        Ok(())
    }

    /// A command that the model has no term for, by its own program. What it did only the kernel
    /// knows, so from here on the model is no judge.
    async fn run_tool(&mut self, side: Side, tool: &Tool) -> Result<Done, LiveError> {
        let space = if side == Side::Pod { Some(&self.pod) } else { self.node.space() };
        let Some(space) = space else { return Ok(Err(Refusal::Unmodelled)) };
        let done = super::tool::run(space, tool).await?;
        let now = self.now();
        self.run.go_beyond(now);
        self.events.take(now, What::Unmodelled { side, command: tool.to_string() });
        Ok(done)
    }

    async fn create_pair(&mut self, born: Side, pod_up: bool) -> Result<Done, LiveError> {
        let real = self.node.create(&self.pod, born, &self.plan.setting).await?;
        let done = self.follow(real, &|model, now, by| model.create(now, born, false, by));
        self.align().await?;
        if done.is_ok() && pod_up {
            let up = Mutation::LinkSet { dev: self.plan.setting.eth, change: LinkChange::Up(true) };
            return self.change(Side::Pod, &up).await;
        }
        Ok(done)
    }

    async fn move_host_end(&mut self) -> Result<Done, LiveError> {
        let real = self.node.move_host_end(&self.pod, &self.plan.setting).await?;
        let done = self.follow(real, &|model, now, by| model.move_host_end(now, by));
        self.align().await?;
        Ok(done)
    }

    /// Either end goes and takes the other along, whatever they are called by now.
    async fn delete_pair(&mut self) -> Result<Done, LiveError> {
        let Some(eth) = self.mirror.veth.near(&self.mirror.pod).map(Link::name) else { return Ok(Ok(())) };
        let real = self.node.delete(&self.pod, eth).await?;
        let done = self.follow(real, &|model, now, by| {
            model.remove(now, by);
            Ok(())
        });
        self.align().await?;
        Ok(done)
    }

    /// What is real is brought up to what the model made of the pair, and the actors hear of it.
    async fn align(&mut self) -> Result<(), LiveError> {
        let veth = &self.mirror.veth;
        let (there, carries) = (veth.host_end.is_some(), veth.carries());
        let now = PairNow { there, carries, host_up: self.far_end_up() };
        if let Some(why) = self.node.align(&self.pod, now, &self.plan.setting).await? {
            let now = self.now();
            self.events.take(now, What::NoTap { why });
        }
        self.tell_links();
        Ok(())
    }

    fn tell_links(&mut self) {
        for event in self.node.heard(core::mem::take(&mut self.mirror.news)) {
            self.run.link(self.now(), event, self.node.state(), &mut self.chooser);
        }
    }

    /// The modelled host (and the model of the pod) notice the carrier; a real pod does by itself.
    pub(super) fn notice_carrier(&mut self, now: Time) {
        let Mirror { pod, veth, .. } = &mut self.mirror;
        for (side, change) in veth.take_notice(now, self.node.state(), pod).into_iter().flatten() {
            // an end that is gone by now has no carrier to notice
            let _ = self.model(&|model, now, by| model.change(now, side, &change, by));
            self.tell_links();
        }
    }

    async fn reset_pod(&mut self) -> Result<(), LiveError> {
        if self.mirror.veth.host_end.is_some() {
            let _ = self.delete_pair().await?;
        }
        let plan = Arc::clone(&self.plan);
        for (client, of) in self.clients.iter_mut().zip(plan.every_client()) {
            if of.from == Side::Pod {
                client.renew();
            }
        }
        self.pod = Space::new(Side::Pod, &self.plan.pod)?;
        self.known = KnownEntries::default();
        self.mirror.pod = plan.pod.clone();
        self.pod.set_up(&plan.pod_setup).await?;
        self.pod.serve(&plan.pod_ports()).map_err(super::terms::broke)?;
        if plan.icmp_errors_filtered {
            // no credit for errors is as good as a filter for those that the pod's kernel sends
            for key in [Global::IcmpMsgsPerSec, Global::IcmpMsgsBurst].map(SysctlKey::Global) {
                self.pod.set_up(&[Mutation::Sysctl { key, value: 0 }]).await?;
            }
        }
        self.set_up_by_tools(Side::Pod).await
    }
}
