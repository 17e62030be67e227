//! Steps by name. A run numbers the steps it can meet, so that states stay small.

use core::fmt;
use serde::{Deserialize, Serialize};

/// Who does something.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum ActorName {
    /// Calico's CNI plugin.
    Cni,
    /// Calico's node agent.
    Felix,
    /// Starts and stops containers.
    Kubelet,
    /// The device manager, with systemd-sysctl behind it.
    Udev,
    /// The kernel, of its own accord.
    Kernel,
    /// A person, or what they installed: network managers, hardening scripts.
    Operator,
    /// Whatever runs inside the pod.
    Pod,
}

impl ActorName {
    /// Every actor, in the order their lanes are drawn.
    pub const ALL: [ActorName; 7] = [
        ActorName::Kubelet,
        ActorName::Cni,
        ActorName::Felix,
        ActorName::Udev,
        ActorName::Operator,
        ActorName::Kernel,
        ActorName::Pod,
    ];

    /// The word before the dot of a step's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            ActorName::Cni => "cni",
            ActorName::Felix => "felix",
            ActorName::Kubelet => "kubelet",
            ActorName::Udev => "udev",
            ActorName::Kernel => "kernel",
            ActorName::Operator => "operator",
            ActorName::Pod => "pod",
        }
    }

    /// The actor whose name stands before the dot.
    #[must_use]
    pub fn of_step(step: &str) -> Option<ActorName> {
        let word = step.split('.').next()?;
        Self::ALL.into_iter().find(|a| a.name() == word)
    }
}

impl fmt::Display for ActorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Which pod of the node. The first is the one that a run is about: its clients, its gateway, its verdict. The
/// others are pods whose ADDs a real plugin does beside it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct PodId(pub u16);

impl PodId {
    /// Most others of one run, so that no run has more pods than 64.
    pub const OTHERS_MAX: u16 = 63;

    /// It is one of the others.
    #[must_use]
    pub const fn is_other(self) -> bool {
        self.0 > 0
    }

    /// The other pod of that name.
    #[must_use]
    pub fn of_other(name: &str) -> Option<PodId> {
        let number = name.strip_prefix("pod")?;
        let number = Some(number).filter(|n| !n.starts_with(['0', '+']))?.parse::<u16>().ok()?;
        number.checked_sub(1).filter(|at| *at > 0).map(PodId)
    }
}

/// `pod1` is the one that a run is about.
impl fmt::Display for PodId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pod{}", self.0 + 1)
    }
}

/// A step's number in its run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StepId(pub u16);

/// What a step is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StepInfo {
    /// `actor.what`, such as `cni.host-route-add`.
    pub name: String,
    /// Who does it.
    pub actor: ActorName,
    /// What it does, in words.
    pub title: String,
    /// Where it comes from.
    pub origin: StepOrigin,
    /// For which pod it is done.
    pub pod: PodId,
}

/// Where a step comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StepOrigin {
    /// A program that is built in.
    BuiltIn,
    /// A scenario file.
    File,
    /// A real plugin, which asks the kernel for a change or runs another program.
    Request,
    /// A real plugin, which changes nothing of the network: it asks, opens a file, goes into a
    /// namespace.
    Question,
}

/// The built-in steps: name and meaning. Their numbers are their places here.
const BUILT_IN: &[(&str, &str)] = &[
    ("kubelet.sandbox-create", "the kubelet has the pod's network namespace made and calls CNI ADD"),
    ("kubelet.init-start", "ADD has returned; an init container starts, which waits for the gateway"),
    ("kubelet.init-fail", "the init container gave up; it is started again after the kubelet's back-off"),
    ("kubelet.container-start", "ADD has returned; the containers start"),
    ("kubelet.sandbox-delete", "the kubelet calls CNI DEL for the pod"),
    ("cni.delete-old-veth", "a link of that name left over from an earlier pod is deleted"),
    ("cni.veth-create", "the veth pair is made"),
    ("cni.host-mac", "the host end gets the MAC ee:ee:ee:ee:ee:ee"),
    ("cni.host-mac-check", "the host end's MAC is read back; when it is another, it is set again"),
    ("cni.host-up-in-pod-ns", "the host end is set up while still in the pod's namespace"),
    ("cni.pod-up", "the pod end is set up"),
    ("cni.pod-hwaddr", "the pod end gets the MAC asked for by annotation, while it is up"),
    ("cni.pod-gateway-route", "the pod gets its link route to 169.254.1.1"),
    ("cni.pod-default-route", "the pod gets its default route via 169.254.1.1"),
    ("cni.pod-address", "the pod gets its address"),
    ("cni.pod-sysctls", "forwarding inside the pod is set"),
    ("cni.pod-ipv6", "the pod's IPv6 is switched on and routed"),
    ("cni.move-host-end", "the host end is moved to the host's namespace; its switches start anew"),
    ("cni.sysctl.route_localnet", "route_localnet=1 on the host end"),
    ("cni.sysctl.proxy_delay", "proxy_delay=0 on the host end"),
    ("cni.sysctl.proxy_arp", "proxy_arp=1 on the host end"),
    ("cni.sysctl.forwarding", "forwarding=1 on the host end"),
    ("cni.sysctl.ipv6", "the IPv6 switches of the host end"),
    ("cni.host-up", "the host end is set up"),
    ("cni.host-route-add", "the host gets its route to the pod"),
    ("cni.wep-write", "the WorkloadEndpoint is written to the datastore"),
    ("cni.wait-endpoint-status", "ADD waits for Felix's word that the endpoint is up"),
    ("cni.add-return", "ADD returns with success"),
    ("cni.add-fail", "ADD returns with an error"),
    ("cni.del", "DEL removes the veth pair"),
    ("felix.iface-seen", "Felix's interface monitor handles a change of the interface"),
    ("felix.iface-gone", "Felix's interface monitor handles the end of an interface"),
    ("felix.restart", "Felix starts anew and lists what there is"),
    ("felix.endpoint-known", "the WorkloadEndpoint has reached Felix through datastore and Typha"),
    ("felix.apply", "Felix begins a pass over the dataplane"),
    ("felix.sysctl.ipv6", "Felix writes the IPv6 switches"),
    ("felix.sysctl.route_localnet", "Felix writes route_localnet=1"),
    ("felix.sysctl.proxy_delay", "Felix writes proxy_delay=0"),
    ("felix.sysctl.proxy_arp", "Felix writes proxy_arp=1"),
    ("felix.sysctl.forwarding", "Felix writes forwarding=1"),
    ("felix.sysctl.rp_filter", "Felix writes rp_filter, a copy of conf.default at its start"),
    ("felix.configure-skip", "Felix skips the configuration because the interface is oper down"),
    ("felix.host-route-add", "Felix programs the route to the pod"),
    ("felix.host-route-del", "Felix removes a route it knows no endpoint for, after its grace period"),
    ("felix.foreign-route-del", "Felix removes other routes out of the host end, whoever made them"),
    ("felix.static-arp", "Felix writes the host's permanent entry for the pod"),
    ("felix.endpoint-status", "Felix reports the endpoint as up"),
];

/// The steps of a run, by number and by name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StepTable {
    steps: Vec<StepInfo>,
    /// Other names, and the steps that they mean.
    aliases: Vec<(String, Vec<StepId>)>,
    /// Steps that happen whenever one of others does.
    groups: Vec<(StepId, Vec<StepId>)>,
}

impl Default for StepTable {
    fn default() -> Self {
        let steps = BUILT_IN
            .iter()
            .map(|(name, title)| StepInfo {
                name: (*name).to_owned(),
                actor: ActorName::of_step(name).unwrap_or(ActorName::Operator),
                title: (*title).to_owned(),
                origin: StepOrigin::BuiltIn,
                pod: PodId::default(),
            })
            .collect();
        StepTable { steps, aliases: Vec::new(), groups: Vec::new() }
    }
}

impl StepTable {
    /// The number of a built-in step.
    ///
    /// # Panics
    /// When there is no such step: the names are literals of this crate.
    #[must_use]
    pub fn built_in(name: &str) -> StepId {
        let at = BUILT_IN.iter().position(|(n, _)| *n == name);
        StepId(at.unwrap_or_else(|| panic!("no built-in step {name}")) as u16)
    }

    /// True for the name of a built-in step.
    #[must_use]
    pub fn is_built_in(name: &str) -> bool {
        BUILT_IN.iter().any(|(n, _)| *n == name)
    }

    /// The number of a step; of a name that means several, the first one's.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<StepId> {
        let own = self.steps.iter().position(|s| s.name == name).map(|i| StepId(i as u16));
        own.or_else(|| self.meant(name).first().copied())
    }

    /// The steps that another name means, in their order; none if it is no such name.
    #[must_use]
    pub fn meant(&self, name: &str) -> &[StepId] {
        self.aliases.iter().find(|(alias, _)| alias == name).map_or(&[], |(_, steps)| steps)
    }

    /// From now on that name means these steps.
    pub fn alias(&mut self, name: &str, steps: Vec<StepId>) {
        self.aliases.push((name.to_owned(), steps));
    }

    /// Adds a step of a scenario's own; the number of the one of that name if there is one.
    pub fn add(&mut self, name: &str, actor: ActorName, title: &str) -> StepId {
        self.add_of(StepOrigin::File, name, actor, title)
    }

    /// The same for a request of a real plugin.
    pub fn add_request(&mut self, name: &str, title: &str, quiet: bool) -> StepId {
        self.add_request_of(PodId::default(), name, title, quiet)
    }

    /// The same for a pod.
    pub fn add_request_of(&mut self, pod: PodId, name: &str, title: &str, quiet: bool) -> StepId {
        let origin = if quiet { StepOrigin::Question } else { StepOrigin::Request };
        let id = self.add_of(origin, name, ActorName::Cni, title);
        self.steps[id.0 as usize].pod = pod;
        id
    }

    fn add_of(&mut self, origin: StepOrigin, name: &str, actor: ActorName, title: &str) -> StepId {
        let own = self.steps.iter().position(|s| s.name == name).map(|i| StepId(i as u16));
        own.unwrap_or_else(|| {
            let (name, title, pod) = (name.to_owned(), title.to_owned(), PodId::default());
            self.steps.push(StepInfo { name, actor, title, origin, pod });
            StepId((self.steps.len() - 1) as u16)
        })
    }

    /// A step that is there whenever one of these is: each occurrence of theirs is one of its own.
    pub fn add_group(&mut self, name: &str, members: Vec<StepId>) -> StepId {
        let id = self.add_request(name, "one of several pods' steps", false);
        self.groups.push((id, members));
        id
    }

    /// The groups that a step is in.
    pub fn groups_of(&self, step: StepId) -> impl Iterator<Item = StepId> + '_ {
        self.groups.iter().filter(move |(_, members)| members.contains(&step)).map(|(group, _)| *group)
    }

    /// Whether an occurrence of `step` is one of `named`.
    #[must_use]
    pub fn is_of(&self, step: StepId, named: StepId) -> bool {
        step == named || self.groups_of(step).any(|group| group == named)
    }

    /// What a step is.
    #[must_use]
    pub fn info(&self, id: StepId) -> &StepInfo {
        &self.steps[id.0 as usize]
    }

    /// Every step.
    pub fn iter(&self) -> impl Iterator<Item = (StepId, &StepInfo)> {
        self.steps.iter().enumerate().map(|(i, s)| (StepId(i as u16), s))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Never true: the built-in steps are always there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_other_pod_is_named_by_its_number() {
        assert_eq!(PodId::of_other("pod2"), Some(PodId(1)));
        assert_eq!(PodId::of_other(&PodId(63).to_string()), Some(PodId(63)));
        for bad in ["pod1", "pod0", "pod02", "pod+2", "pod", "pods", "2", "pod2 ", "pod99999"] {
            assert_eq!(PodId::of_other(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_group_is_there_whenever_one_of_its_steps_is() {
        let mut steps = StepTable::default();
        let of = [1, 2]
            .map(|pod| steps.add_request_of(PodId(pod), &format!("cni.{}/link-up", PodId(pod)), "up", false));
        let own = steps.add_request("cni.link-up", "up", false);
        let any = steps.add_group("cni.*/link-up", of.into());
        assert_eq!(of.map(|step| steps.info(step).pod), [PodId(1), PodId(2)]);
        assert!(of.iter().all(|step| steps.is_of(*step, any) && !steps.is_of(*step, own)));
        assert!(!steps.is_of(own, any) && steps.is_of(own, own));
        assert_eq!(steps.groups_of(of[1]).collect::<Vec<_>>(), [any]);
    }
}
