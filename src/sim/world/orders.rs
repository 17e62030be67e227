//! Orders of the run, carried out at once on the pair.

use super::World;
use crate::addr::Side;
use crate::choice::Chooser;
use crate::control::{GATEWAY, Refusal};
use crate::gateway::Outside;
use crate::host::{Mutation, Refused};
use crate::neigh::Entry;
use crate::pair::POD_DEV;
use crate::run::{Came, Deed, Order};
use std::net::IpAddr;
use std::sync::Arc;

impl<O: Outside> World<O> {
    pub(super) fn obey(&mut self, order: &Order<'_>, chooser: &mut dyn Chooser) -> Came {
        let now = self.now;
        let pair = &mut self.pair;
        let came = match &order.deed {
            Deed::Change(side, change) => pair.apply(now, *side, change, chooser).into(),
            // a plan with such a step is none for the simulator; see Overrides::corner
            Deed::Tool(..) => Came::Refused(Refusal::Unmodelled),
            Deed::Create { host_end, pod_up } => pair.create(now, *host_end, *pod_up, chooser).into(),
            Deed::Move => pair.move_host_end(now, chooser).into(),
            Deed::Delete(from) => pair.delete(now, *from, chooser).into(),
            Deed::Reset => {
                self.reset_pod(chooser);
                Came::Done
            }
            Deed::LookAtEntry => {
                let entry = pair.pod().stack().neighbours().get(POD_DEV, IpAddr::V4(GATEWAY));
                Came::Entry(entry.map(Entry::state))
            }
            Deed::Send(frame) => {
                pair.send_by_hand(frame.clone());
                Came::Done
            }
            Deed::DownElsewhere => {
                pair.down_elsewhere();
                Came::Done
            }
            Deed::Plugin(_) | Deed::Request(_) => Came::Refused(Refusal::NoPlugin),
            Deed::Start(client) => {
                pair.start_client(now, *client, chooser);
                Came::Done
            }
            Deed::Stop(client) => {
                pair.stop_client(now, *client, chooser);
                Came::Done
            }
            Deed::Renew(client) => {
                pair.renew_client(*client);
                Came::Done
            }
        };
        self.hear_links(chooser);
        came
    }

    /// One change of a namespace that nobody ordered.
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
            self.run.link(self.now, event, self.pair.state(Side::Host), chooser);
        }
    }

    fn reset_pod(&mut self, chooser: &mut dyn Chooser) {
        self.pair.end_pod(self.now, chooser);
        self.hear_links(chooser);
        let plan = Arc::clone(self.run.plan());
        self.pair.begin_pod(plan.pod.clone(), chooser);
    }
}
