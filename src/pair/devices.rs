//! The pair of devices: made, moved and deleted as rtnetlink does it.

use super::{Pair, Veth};
use crate::addr::{IfName, Mac, Side};
use crate::choice::Chooser;
use crate::gateway::Outside;
use crate::host::{Errno, HostState, LinkChange, LinkEvent, LinkKind, Mutation, Refused};
use crate::time::Time;
use smallvec::SmallVec;

/// What came of a change.
type Done = Result<(), Refused>;

/// What a listener on the node has yet to hear of interfaces of the host end's name.
pub(crate) type LinkNews = SmallVec<[LinkEvent; 2]>;

/// All that there is between two namespaces, apart.
pub(crate) struct Between<'a> {
    pub(crate) host: &'a HostState,
    pub(crate) pod: &'a HostState,
    pub(crate) veth: &'a mut Veth,
    pub(crate) news: &'a mut LinkNews,
}

/// Two namespaces between which a pair of devices is made, moved and deleted: a [`Pair`], or the
/// model that runs beside real ones.
pub(crate) trait Devices {
    /// The configuration of a namespace.
    fn state(&self, side: Side) -> &HostState;
    /// The wire between the two.
    fn veth(&self) -> &Veth;
    /// The same and the rest, to be changed.
    fn between(&mut self) -> Between<'_>;
    /// A change of one namespace, and of nothing else.
    fn set(&mut self, now: Time, side: Side, change: &Mutation, by: &mut dyn Chooser) -> Done;

    /// A change of one namespace that is no deletion of an end, with what the wire, and who listens,
    /// notice of it.
    fn change(&mut self, now: Time, side: Side, change: &Mutation, by: &mut dyn Chooser) -> Done {
        let cali = self.veth().ends().cali;
        let before = running(self.state(Side::Host), cali);
        self.set(now, side, change, by)?;
        let Between { host, pod, veth, news } = self.between();
        veth.update(now, host, pod, by);
        news.extend(LinkEvent::between(before, running(host, cali)));
        Ok(())
    }

    /// See [`Pair::apply`].
    fn apply(&mut self, now: Time, side: Side, change: &Mutation, by: &mut dyn Chooser) -> Done {
        if let Mutation::LinkDel { dev } = change
            && self.is_end(side, *dev)
        {
            self.remove(now, by);
            return Ok(());
        }
        self.change(now, side, change, by)
    }

    /// See [`Pair::create`].
    fn create(&mut self, now: Time, born: Side, pod_up: bool, by: &mut dyn Chooser) -> Done {
        let ends = self.veth().ends();
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
        self.change(now, Side::Pod, &near, by)?;
        self.change(now, born, &far, by)?;
        self.place(born);
        if pod_up {
            let up = Mutation::LinkSet { dev: ends.eth, change: LinkChange::Up(true) };
            self.change(now, Side::Pod, &up, by)?;
        }
        Ok(())
    }

    /// See [`Pair::move_host_end`].
    fn move_host_end(&mut self, now: Time, by: &mut dyn Chooser) -> Done {
        let cali = self.veth().ends().cali;
        let command = || format!("ip link set {cali} netns node");
        if !(self.veth().host_end == Some(Side::Pod) && self.is_end(Side::Pod, cali)) {
            let why = "the host end is not in the pod's namespace";
            return Err(Refused { command: command(), errno: Errno::Enodev, why });
        }
        if self.state(Side::Host).link_named(cali).is_some() {
            return Err(name_taken(command()));
        }
        let mac = self.state(Side::Pod).link_named(cali).map(crate::host::Link::mac);
        self.between().veth.host_end = None;
        self.change(now, Side::Pod, &Mutation::LinkDel { dev: cali }, by)?;
        self.change(now, Side::Host, &veth_end(cali, mac), by)?;
        self.place(Side::Host);
        Ok(())
    }

    /// True when an interface of that name in that namespace is one of the two ends.
    fn is_end(&self, side: Side, dev: IfName) -> bool {
        let index = self.state(side).link_named(dev).map(crate::host::Link::index);
        index.is_some_and(|index| self.veth().is_end(side, index))
    }

    /// Both ends go, whatever they are called by now.
    fn remove(&mut self, now: Time, by: &mut dyn Chooser) {
        let (host, pod) = (self.state(Side::Host), self.state(Side::Pod));
        let far = self.veth().host_end.zip(self.veth().far(host, pod));
        let far = far.map(|(side, link)| (side, link.name()));
        let near = self.veth().near(pod).map(|link| (Side::Pod, link.name()));
        self.between().veth.reset();
        for (side, dev) in far.into_iter().chain(near) {
            // both were there a moment ago, and nothing refuses to delete a veth
            let _ = self.change(now, side, &Mutation::LinkDel { dev }, by);
        }
    }

    /// The ends are under their names now, the host end in that namespace.
    fn place(&mut self, side: Side) {
        let Between { host, pod, veth, .. } = self.between();
        veth.place(side, host, pod);
    }
}

impl<O: Outside> Pair<O> {
    /// Makes both ends or none (veth_newlink): the pod's in the pod's namespace, the host end in
    /// `born`, where it has the name that it keeps. With `pod_up` the pod's end is born up.
    pub fn create(&mut self, now: Time, born: Side, pod_up: bool, by: &mut dyn Chooser) -> Done {
        Devices::create(self, now, born, pod_up, by)
    }

    /// Moves the host end from the pod's namespace to the node's (dev_change_net_namespace): it
    /// is closed, taken out, and put in anew with the other namespace's defaults; the MAC stays.
    pub fn move_host_end(&mut self, now: Time, by: &mut dyn Chooser) -> Done {
        Devices::move_host_end(self, now, by)
    }

    /// Deletes, by the name of that side's end, the interface of that name in that side's
    /// namespace: the host end's in the node's, as ADD begins; `eth0` in the pod's, as DEL does.
    /// The module's documentation says what goes along with it. Refused with ENODEV where there
    /// is none of that name, which a plugin takes for a success.
    pub fn delete(&mut self, now: Time, from: Side, by: &mut dyn Chooser) -> Done {
        let dev = match from {
            Side::Host => self.veth.ends().cali,
            Side::Pod => self.veth.ends().eth,
        };
        self.apply(now, from, &Mutation::LinkDel { dev }, by)
    }

    /// The pod's namespace ends, and with it the pair of devices, wherever the host end is.
    pub fn end_pod(&mut self, now: Time, by: &mut dyn Chooser) {
        if self.veth.host_end.is_some() {
            self.remove(now, by);
        }
    }

    /// The pod gets a new namespace in `state`, and new clients of the same kinds: processes end
    /// with their namespace. [`Pair::end_pod`] comes before it.
    pub fn begin_pod(&mut self, state: HostState, by: &mut dyn Chooser) {
        self.pod.reset_namespace(state, by);
        self.pod.reset_clients();
    }
}

/// One end of a pair, as the model of its namespace adds it.
pub(crate) fn veth_end(name: IfName, mac: Option<Mac>) -> Mutation {
    Mutation::LinkAdd { name, kind: LinkKind::Veth, mac }
}

/// IFF_RUNNING of the node's interface of the host end's name; `None` when it has none.
fn running(node: &HostState, cali: IfName) -> Option<bool> {
    node.link_named(cali).map(|link| link.is_up() && link.has_carrier())
}

fn name_taken(command: String) -> Refused {
    Refused { command, errno: Errno::Eexist, why: "an interface of that name exists" }
}

/// What is held here was seen on 6.18 with two namespaces and ip(8).
#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::VethEnds;
    use crate::choice::First;
    use crate::gateway::{OutsideSpec, SmoltcpOutside};
    use crate::neigh::KernelClock;
    use crate::pair::{LATENCY, PairSpec, Wire};
    use crate::time::Span;

    const CALI: IfName = IfName::literal("cali0");
    const ETH: IfName = IfName::literal("eth0");
    const NOW: Time = Time::ZERO;

    fn pair() -> Pair<SmoltcpOutside> {
        let spec = PairSpec {
            wire: Wire {
                ends: VethEnds { cali: CALI, eth: ETH, pod_mac: Mac([2, 0, 0, 0, 0, 1]) },
                latency: LATENCY,
                plain: false,
                purged_by_all: false,
                faults: Vec::new(),
            },
            node: HostState::new(),
            pod: HostState::new(),
            uplink: IfName::literal("up0"),
            rtt: Span::ZERO,
            clock: KernelClock::new(250, 0),
            icmp_errors_filtered: false,
        };
        Pair::new(spec, SmoltcpOutside::new(OutsideSpec::default(), 1), &mut First)
    }

    fn has(pair: &Pair<SmoltcpOutside>, side: Side, dev: IfName) -> bool {
        pair.state(side).link_named(dev).is_some()
    }

    fn news(pair: &mut Pair<SmoltcpOutside>) -> Vec<LinkEvent> {
        core::iter::from_fn(|| pair.poll_link_event()).collect()
    }

    #[test]
    fn a_refused_host_end_leaves_no_pod_end() {
        let mut pair = pair();
        pair.apply(NOW, Side::Host, &veth_end(CALI, None), &mut First).unwrap();
        let before = pair.state(Side::Pod).clone();
        let refused = pair.create(NOW, Side::Host, true, &mut First).unwrap_err();
        assert_eq!(refused.errno, Errno::Eexist);
        assert_eq!(*pair.state(Side::Pod), before, "not even a number is used up");
    }

    #[test]
    fn names_in_one_namespace_differ() {
        let mut pair = pair();
        pair.apply(NOW, Side::Pod, &veth_end(CALI, None), &mut First).unwrap();
        assert_eq!(pair.create(NOW, Side::Pod, false, &mut First).unwrap_err().errno, Errno::Eexist);
        assert!(!has(&pair, Side::Pod, ETH));
        assert_eq!(pair.create(NOW, Side::Host, false, &mut First), Ok(()));
    }

    #[test]
    fn a_move_onto_a_taken_name_changes_nothing() {
        let mut pair = pair();
        pair.create(NOW, Side::Pod, true, &mut First).unwrap();
        let up = Mutation::LinkSet { dev: CALI, change: LinkChange::Up(true) };
        pair.apply(NOW, Side::Pod, &up, &mut First).unwrap();
        pair.apply(NOW, Side::Host, &veth_end(CALI, None), &mut First).unwrap();
        assert_eq!(pair.move_host_end(NOW, &mut First).unwrap_err().errno, Errno::Eexist);
        assert!(pair.carries() && has(&pair, Side::Pod, CALI));
        // what has the name in the node's namespace is not the pair's
        pair.delete(NOW, Side::Host, &mut First).unwrap();
        assert!(has(&pair, Side::Pod, CALI) && !has(&pair, Side::Host, CALI));
        assert_eq!(pair.move_host_end(NOW, &mut First), Ok(()));
        assert!(has(&pair, Side::Host, CALI) && !has(&pair, Side::Pod, CALI) && !pair.carries());
    }

    #[test]
    fn deleting_the_pods_end_spares_a_stranger() {
        let mut pair = pair();
        pair.apply(NOW, Side::Host, &veth_end(CALI, None), &mut First).unwrap();
        assert_eq!(pair.delete(NOW, Side::Pod, &mut First).unwrap_err().errno, Errno::Enodev);
        pair.end_pod(NOW, &mut First);
        assert!(has(&pair, Side::Host, CALI));
        assert_eq!(pair.delete(NOW, Side::Host, &mut First), Ok(()));
        assert_eq!(news(&mut pair), [LinkEvent::New, LinkEvent::Gone]);
    }

    #[test]
    fn either_end_takes_the_other_along() {
        for from in [Side::Host, Side::Pod] {
            let mut pair = pair();
            pair.create(NOW, Side::Host, false, &mut First).unwrap();
            pair.delete(NOW, from, &mut First).unwrap();
            assert!(!has(&pair, Side::Host, CALI) && !has(&pair, Side::Pod, ETH));
        }
    }

    #[test]
    fn a_renamed_end_is_an_end_still() {
        let mut pair = pair();
        let other = IfName::literal("foo0");
        pair.create(NOW, Side::Host, true, &mut First).unwrap();
        let rename = Mutation::LinkSet { dev: CALI, change: LinkChange::Name(other) };
        pair.apply(NOW, Side::Host, &rename, &mut First).unwrap();
        assert_eq!(pair.delete(NOW, Side::Host, &mut First).unwrap_err().errno, Errno::Enodev);
        assert!(has(&pair, Side::Pod, ETH));
        pair.end_pod(NOW, &mut First);
        assert!(!has(&pair, Side::Host, other) && !has(&pair, Side::Pod, ETH));
    }
}
