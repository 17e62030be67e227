//! What the actors' acts do to the two namespaces and to the pair between them.

use super::World;
use crate::choice::Chooser;
use crate::control::{Act, Happening, LinkEvent, Side};
use crate::gateway::Outside;
use crate::host::{LinkChange, LinkKind, Mutation};
use crate::time::Time;
use std::sync::Arc;

impl<O: Outside> World<O> {
    pub(super) fn act(&mut self, act: &Act, chooser: &mut dyn Chooser) -> Result<(), String> {
        let plan = Arc::clone(&self.plan);
        let s = &plan.setting;
        match act {
            Act::Mark => Ok(()),
            Act::Ask(ask) => {
                let what = Happening::Asked(*ask);
                self.control.notice(self.now, what, self.gateway.state(), chooser);
                Ok(())
            }
            Act::AnnounceGateway => self.announce_gateway(),
            Act::LookAtEntry => {
                self.look_at_entry(chooser);
                Ok(())
            }
            Act::DownElsewhere => {
                self.down_elsewhere();
                Ok(())
            }
            Act::Change(side, change) | Act::Try(side, change) => {
                if let Mutation::LinkDel { dev } = change
                    && (*dev == s.cali || *dev == s.eth)
                {
                    return self.delete_veth(chooser);
                }
                self.change(*side, change, chooser)
            }
            Act::VethCreate { host_end, pod_up } => self.create_veth(*host_end, *pod_up, chooser),
            Act::VethMove => self.move_veth(chooser),
            Act::VethDelete => {
                // deleting what is not there is what the plugin hopes for
                let _ = self.delete_veth(chooser);
                Ok(())
            }
            Act::PodReset => {
                let _ = self.delete_veth(chooser);
                self.pod.reset_namespace(plan.pod.clone(), chooser);
                // processes end with their namespace; the new containers start new ones
                self.pod.reset_clients();
                for start in &mut self.starts {
                    (start.due, start.begun) = (None, false);
                }
                Ok(())
            }
        }
    }

    /// One change of a namespace, with what the wire and the actors notice of it.
    pub(in crate::sim) fn change(
        &mut self,
        side: Side,
        change: &Mutation,
        chooser: &mut dyn Chooser,
    ) -> Result<(), String> {
        let before = self.host_running();
        let done = match side {
            Side::Host => self.gateway.apply(self.now, change, chooser),
            Side::Pod => self.pod.apply(self.now, change, chooser),
        };
        done.map_err(|e| e.to_string())?;
        if side == Side::Pod && change.takes_down() {
            self.down_elsewhere();
        }
        let plan = Arc::clone(&self.plan);
        self.veth.update(self.now, &plan.setting, self.gateway.state(), self.pod.stack().state(), chooser);
        self.tell_running(before, chooser);
        Ok(())
    }

    /// IFF_RUNNING of the host end; `None` when it is not in the host's namespace.
    fn host_running(&self) -> Option<bool> {
        self.gateway.state().link_named(self.plan.setting.cali).map(|l| l.is_up() && l.has_carrier())
    }

    fn tell_running(&mut self, before: Option<bool>, chooser: &mut dyn Chooser) {
        let event = match (before, self.host_running()) {
            (None, Some(_)) => LinkEvent::New,
            (Some(_), None) => LinkEvent::Gone,
            (Some(false), Some(true)) => LinkEvent::Running,
            (Some(true), Some(false)) => LinkEvent::Stopped,
            _ => return,
        };
        let what = Happening::Link(self.plan.setting.cali, event);
        self.control.notice(self.now, what, self.gateway.state(), chooser);
    }

    /// The carrier that the kernels notice now.
    pub(super) fn take_notice(&mut self, now: Time) -> Option<[(Side, Mutation); 2]> {
        let (host, pod) = (self.gateway.state(), self.pod.stack().state());
        self.veth.take_notice(now, &self.plan.setting, host, pod)
    }

    fn create_veth(&mut self, host_end: Side, pod_up: bool, chooser: &mut dyn Chooser) -> Result<(), String> {
        let plan = Arc::clone(&self.plan);
        let s = &plan.setting;
        let add = |name, mac| Mutation::LinkAdd { name, kind: LinkKind::Veth, mac };
        self.change(Side::Pod, &add(s.eth, Some(s.pod_mac)), chooser)?;
        if let Err(e) = self.change(host_end, &add(s.cali, None), chooser) {
            let _ = self.change(Side::Pod, &Mutation::LinkDel { dev: s.eth }, chooser);
            return Err(e);
        }
        let side = if host_end == Side::Host { self.gateway.state() } else { self.pod.stack().state() };
        self.veth.place(host_end, side, s);
        if pod_up {
            let change = LinkChange::Up(true);
            self.change(Side::Pod, &Mutation::LinkSet { dev: s.eth, change }, chooser)?;
        }
        Ok(())
    }

    /// dev_change_net_namespace(): closed, taken out, put in anew with the other namespace's
    /// defaults; the MAC stays.
    fn move_veth(&mut self, chooser: &mut dyn Chooser) -> Result<(), String> {
        let plan = Arc::clone(&self.plan);
        let cali = plan.setting.cali;
        let link =
            self.pod.stack().state().link_named(cali).ok_or("the host end is not in the pod's namespace")?;
        let mac = Some(link.mac());
        self.veth.host_end = None;
        self.change(Side::Pod, &Mutation::LinkDel { dev: cali }, chooser)?;
        self.change(Side::Host, &Mutation::LinkAdd { name: cali, kind: LinkKind::Veth, mac }, chooser)?;
        self.veth.place(Side::Host, self.gateway.state(), &plan.setting);
        Ok(())
    }

    /// Either end goes, and the other with it.
    fn delete_veth(&mut self, chooser: &mut dyn Chooser) -> Result<(), String> {
        let plan = Arc::clone(&self.plan);
        let s = &plan.setting;
        let Some(far) = self.veth.host_end else {
            // not this pod's, but somebody's of that name
            return self.change(Side::Host, &Mutation::LinkDel { dev: s.cali }, chooser);
        };
        self.veth.reset();
        self.change(far, &Mutation::LinkDel { dev: s.cali }, chooser)?;
        self.change(Side::Pod, &Mutation::LinkDel { dev: s.eth }, chooser)
    }
}
