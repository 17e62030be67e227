//! The pair of devices: made, moved and deleted as rtnetlink does it.

use super::Pair;
use crate::addr::{IfName, Mac, Side};
use crate::choice::Chooser;
use crate::gateway::Outside;
use crate::host::{Errno, HostState, LinkChange, LinkKind, Mutation, Refused};
use crate::time::Time;

impl<O: Outside> Pair<O> {
    /// Makes both ends or none (veth_newlink): the pod's in the pod's namespace, the host end in
    /// `born`, where it has the name that it keeps. With `pod_up` the pod's end is born up.
    pub fn create(
        &mut self,
        now: Time,
        born: Side,
        pod_up: bool,
        chooser: &mut dyn Chooser,
    ) -> Result<(), Refused> {
        let ends = self.veth.ends();
        let near = veth_end(ends.eth, Some(ends.pod_mac));
        let far = veth_end(ends.cali, None);
        let taken = |side, name| self.state(side).link_named(name).is_some();
        for (there, command) in [
            (taken(Side::Pod, ends.eth), &near),
            (taken(born, ends.cali) || (born == Side::Pod && ends.cali == ends.eth), &far),
        ] {
            if there {
                return Err(name_taken(command.to_string()));
            }
        }
        self.change(now, Side::Pod, &near, chooser)?;
        self.change(now, born, &far, chooser)?;
        self.place(born);
        if pod_up {
            let up = Mutation::LinkSet { dev: ends.eth, change: LinkChange::Up(true) };
            self.change(now, Side::Pod, &up, chooser)?;
        }
        Ok(())
    }

    /// Moves the host end from the pod's namespace to the node's (dev_change_net_namespace): it
    /// is closed, taken out, and put in anew with the other namespace's defaults; the MAC stays.
    pub fn move_host_end(&mut self, now: Time, chooser: &mut dyn Chooser) -> Result<(), Refused> {
        let cali = self.veth.ends().cali;
        let command = || format!("ip link set {cali} netns node");
        if !(self.veth.host_end == Some(Side::Pod) && self.is_end(Side::Pod, cali)) {
            let why = "the host end is not in the pod's namespace";
            return Err(Refused { command: command(), errno: Errno::Enodev, why });
        }
        if self.state(Side::Host).link_named(cali).is_some() {
            return Err(name_taken(command()));
        }
        let mac = self.state(Side::Pod).link_named(cali).map(crate::host::Link::mac);
        self.veth.host_end = None;
        self.change(now, Side::Pod, &Mutation::LinkDel { dev: cali }, chooser)?;
        self.change(now, Side::Host, &veth_end(cali, mac), chooser)?;
        self.place(Side::Host);
        Ok(())
    }

    /// Deletes, by the name of that side's end, the interface of that name in that side's
    /// namespace: the host end's in the node's, as ADD begins; `eth0` in the pod's, as DEL does.
    /// The module's documentation says what goes along with it. Refused with ENODEV where there
    /// is none of that name, which a plugin takes for a success.
    pub fn delete(&mut self, now: Time, from: Side, chooser: &mut dyn Chooser) -> Result<(), Refused> {
        let dev = match from {
            Side::Host => self.veth.ends().cali,
            Side::Pod => self.veth.ends().eth,
        };
        self.apply(now, from, &Mutation::LinkDel { dev }, chooser)
    }

    /// The pod's namespace ends, and with it the pair of devices, wherever the host end is.
    pub fn end_pod(&mut self, now: Time, chooser: &mut dyn Chooser) {
        if self.veth.host_end.is_some() {
            self.remove(now, chooser);
        }
    }

    /// The pod gets a new namespace in `state`, and new clients of the same kinds: processes end
    /// with their namespace. [`Pair::end_pod`] comes before it.
    pub fn begin_pod(&mut self, state: HostState, chooser: &mut dyn Chooser) {
        self.pod.reset_namespace(state, chooser);
        self.pod.reset_clients();
    }

    /// True when an interface of that name in that namespace is one of the two ends.
    pub(super) fn is_end(&self, side: Side, dev: IfName) -> bool {
        let Some(index) = self.state(side).link_named(dev).map(crate::host::Link::index) else {
            return false;
        };
        self.veth.is_end(side, index)
    }

    /// Both ends go, whatever they are called by now.
    pub(super) fn remove(&mut self, now: Time, chooser: &mut dyn Chooser) {
        let far = self.veth.host_end.zip(self.veth.far(self.state(Side::Host), self.state(Side::Pod)));
        let far = far.map(|(side, link)| (side, link.name()));
        let near = self.veth.near(self.state(Side::Pod)).map(|link| (Side::Pod, link.name()));
        self.veth.reset();
        for (side, dev) in far.into_iter().chain(near) {
            // both were there a moment ago, and nothing refuses to delete a veth
            let _ = self.change(now, side, &Mutation::LinkDel { dev }, chooser);
        }
    }

    fn place(&mut self, side: Side) {
        self.veth.place(side, self.gateway.state(), self.pod.stack().state());
    }
}

/// One end of a pair, as the model of its namespace adds it.
pub(crate) fn veth_end(name: IfName, mac: Option<Mac>) -> Mutation {
    Mutation::LinkAdd { name, kind: LinkKind::Veth, mac }
}

fn name_taken(command: String) -> Refused {
    Refused { command, errno: Errno::Eexist, why: "an interface of that name exists" }
}
