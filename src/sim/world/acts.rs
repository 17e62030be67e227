//! What the actors' acts do to the pair.

use super::World;
use crate::addr::Side;
use crate::choice::Chooser;
use crate::control::{Act, GATEWAY, Happening};
use crate::gateway::Outside;
use crate::host::{Mutation, Refused};
use std::sync::Arc;

impl<O: Outside> World<O> {
    pub(super) fn act(&mut self, act: &Act, chooser: &mut dyn Chooser) -> Result<(), String> {
        let now = self.now;
        let done = match act {
            Act::Mark => Ok(()),
            Act::Ask(ask) => {
                let what = Happening::Asked(*ask);
                self.control.notice(now, what, self.pair.state(Side::Host), chooser);
                Ok(())
            }
            Act::AnnounceGateway => {
                let said = self.pair.announce(GATEWAY, self.plan.setting.pod_ip);
                return if said { Ok(()) } else { Err("the host end does not exist".to_owned()) };
            }
            Act::LookAtEntry => {
                self.look_at_entry(chooser);
                Ok(())
            }
            Act::DownElsewhere => {
                self.pair.down_elsewhere();
                Ok(())
            }
            Act::Change(side, change) | Act::Try(side, change) => self.change(*side, change, chooser),
            Act::VethCreate { host_end, pod_up } => self.pair.create(now, *host_end, *pod_up, chooser),
            Act::VethMove => self.pair.move_host_end(now, chooser),
            Act::VethDelete { from } => {
                // deleting what is not there is what the plugin hopes for
                let _ = self.pair.delete(now, *from, chooser);
                Ok(())
            }
            Act::PodReset => {
                self.reset_pod(chooser);
                Ok(())
            }
        };
        self.hear_links(chooser);
        done.map_err(|e| e.to_string())
    }

    /// One change of a namespace, with what the wire and the actors notice of it.
    pub(super) fn change(
        &mut self,
        side: Side,
        change: &Mutation,
        chooser: &mut dyn Chooser,
    ) -> Result<(), Refused> {
        let done = self.pair.apply(self.now, side, change, chooser);
        self.hear_links(chooser);
        done
    }

    /// The actors on the node hear of what happened to the host end.
    fn hear_links(&mut self, chooser: &mut dyn Chooser) {
        while let Some(event) = self.pair.poll_link_event() {
            let what = Happening::Link(self.plan.setting.cali, event);
            self.control.notice(self.now, what, self.pair.state(Side::Host), chooser);
        }
    }

    fn reset_pod(&mut self, chooser: &mut dyn Chooser) {
        self.pair.end_pod(self.now, chooser);
        self.hear_links(chooser);
        let plan = Arc::clone(&self.plan);
        self.pair.begin_pod(plan.pod.clone(), chooser);
        for start in &mut self.starts {
            (start.due, start.begun) = (None, false);
        }
    }
}
