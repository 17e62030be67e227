//! One ADD, made ready: which pod, which steps, and whether all of them are the pod's own.

use super::call::Call;
use super::config::{self, Wanted};
use super::failure::Failure;
use crate::addr::{IfName, Mac};
use crate::control::{Act, ActorName, Actors, Ask, Setting, Side, Until};
use crate::host::{LinkChange, Mutation, Op, RouteKind, RouteSpec};
use crate::scenario::Plan;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha1::{Digest, Sha1};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

/// An address that nobody has, where there is none of the container's own.
pub(super) const NOBODY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// One ADD, as a worker is told of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) network: String,
    pub(super) container: String,
    pub(super) netns: PathBuf,
    pub(super) ifname: IfName,
    pub(super) args: BTreeMap<String, String>,
    pub(super) config: Map<String, Value>,
    /// None for a container with IPv6 alone.
    pub(super) ip: Option<Ipv4Addr>,
    pub(super) ip6: Option<Ipv6Addr>,
}

/// A job with its steps.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) plan: Plan,
    pub(super) wanted: Wanted,
}

/// The name of the host end, by Calico's rule: of a Kubernetes pod from its name, of any other
/// container from its ID (`VethNameForWorkload`; calico.go of the plugin). A second interface of a
/// container, which Calico does not know, has a name of its own.
pub(super) fn host_end(call: &Call) -> IfName {
    let known = |key: &str| call.args.get(key).filter(|value| !value.is_empty());
    if let (Some(namespace), Some(pod)) = (known("K8S_POD_NAMESPACE"), known("K8S_POD_NAME")) {
        return Setting::host_end(namespace, pod);
    }
    let begin: String = call.container.chars().take(11).collect();
    let plain = format!("cali{begin}").parse().ok().filter(|_| call.ifname.as_str() == "eth0");
    plain.unwrap_or_else(|| Setting::host_end(&call.container, call.ifname.as_str()))
}

/// The MAC of the pod end: the one that the runtime asks for, else one that follows from the
/// container, so that what is ours is known again.
pub(super) fn pod_mac(call: &Call) -> Result<Mac, Failure> {
    let asked = call.config.get("runtimeConfig").and_then(|it| it.get("mac")).and_then(Value::as_str);
    if let Some(text) = asked {
        return text.parse().map_err(|e| Failure::config(format!("`runtimeConfig.mac`: {e}"), text));
    }
    let sum = Sha1::digest(format!("{}.{}", call.container, call.ifname));
    Ok(Mac([0x02, sum[0], sum[1], sum[2], sum[3], sum[4]]))
}

impl Job {
    /// The call again, as the worker needs it.
    pub(super) fn call(&self) -> Call {
        Call {
            verb: super::call::Verb::Add,
            container: self.container.clone(),
            netns: Some(self.netns.clone()),
            ifname: self.ifname,
            args: self.args.clone(),
            path: Vec::new(),
            config: self.config.clone(),
        }
    }

    /// Puts its steps together.
    pub(super) fn ready(&self) -> Result<Ready, Failure> {
        let call = self.call();
        let known = |key: &str, or: &str| call.args.get(key).cloned().unwrap_or_else(|| or.to_owned());
        let mut setting =
            Setting::new(&known("K8S_POD_NAMESPACE", "default"), &known("K8S_POD_NAME", &self.container));
        setting.cali = host_end(&call);
        setting.eth = self.ifname;
        setting.pod_ip = self.ip.unwrap_or(NOBODY);
        setting.only_ip6 = self.ip.is_none();
        setting.pod_ip6 = self.ip6;
        setting.pod_mac = pod_mac(&call)?;
        let wanted = config::wanted(&self.config, &self.args)?;
        let plan = wanted.scenario.plan_for(setting);
        let plan =
            plan.map_err(|e| Failure::config("`arplab` of the configuration cannot be used", e.to_string()))?;
        if plan.setting.only_ip6 {
            check_only_ip6(&plan, wanted.scenario.source())?;
        }
        check(&plan)?;
        Ok(Ready { plan, wanted })
    }
}

/// Refuses what cannot be watched here, and what would reach beyond the pod: other containers and the
/// node itself live beside it.
fn check(plan: &Plan) -> Result<(), Failure> {
    for hold in &plan.holds {
        let info = plan.steps.info(hold.step);
        if hold.until == Until::Never && info.actor == ActorName::Cni {
            let msg = format!("the window at {} never ends, and so ADD would not", info.name);
            return Err(Failure::config(msg, "what the plugin does itself is done before ADD returns"));
        }
        if matches!(hold.until, Until::Requests(_) | Until::Tries(_)) {
            let step = &info.name;
            let msg = format!("the window at {step} waits for what the pod sends, which nobody counts here");
            return Err(Failure::config(msg, "`for`, `until-time`, `until` and `never` end a window"));
        }
    }
    let scripts = plan.actors.iter().filter_map(|actor| match actor {
        Actors::Script(script) => Some(script),
        _ => None,
    });
    for act in scripts.flat_map(crate::control::Script::all_acts) {
        if !is_of_pod(act, &plan.setting) {
            let msg = format!("a step of `arplab.steps` reaches beyond the container: {act}");
            let allowed = "on the node a step may change the host end, its switches, its neighbours and the routes to the container's own addresses";
            return Err(Failure::config(msg, allowed));
        }
    }
    Ok(())
}

/// Refuses what a container without an IPv4 address has no part in, so that a window is not asked for in vain.
fn check_only_ip6(plan: &Plan, source: &str) -> Result<(), Failure> {
    let refuse =
        |what: String| Err(Failure::config(what, "the IPAM plugin gave the container IPv6 addresses only"));
    let of_plugin = plan.actors.iter().find_map(|actor| match actor {
        Actors::Cni(cni) => Some(cni.steps()),
        _ => None,
    });
    let steps = of_plugin.unwrap_or_default();
    for hold in &plan.holds {
        let info = plan.steps.info(hold.step);
        let others = ["cni.del", "cni.add-fail"];
        if info.actor == ActorName::Cni
            && !steps.contains(&info.name.as_str())
            && !others.contains(&info.name.as_str())
        {
            return refuse(format!("the window at {} is at a step of IPv4", info.name));
        }
    }
    if source.contains("{pod_ip}") {
        return refuse("a step names {pod_ip}, which the container has not".into());
    }
    let announces = plan.actors.iter().any(|actor| match actor {
        Actors::Script(script) => script.all_acts().any(|act| matches!(act, Act::AnnounceGateway(_))),
        _ => false,
    });
    if announces {
        return refuse("a step announces the gateway by ARP, which the container does not use".into());
    }
    Ok(())
}

fn is_of_pod(act: &Act, s: &Setting) -> bool {
    match act {
        Act::Change(Side::Pod, _) | Act::Try(Side::Pod, _) | Act::Mark | Act::AnnounceGateway(_) => true,
        Act::Ask(ask) => *ask != Ask::PodRecreate,
        Act::Change(Side::Host, change) | Act::Try(Side::Host, change) => on_node(change, s),
        Act::Tool { .. }
        | Act::VethCreate { .. }
        | Act::VethMove
        | Act::VethDelete { .. }
        | Act::PodReset
        | Act::DownElsewhere
        | Act::LookAtEntry
        | Act::Plugin(_)
        | Act::Request { .. } => false,
    }
}

fn on_node(change: &Mutation, s: &Setting) -> bool {
    let own = |net: &IpNet| match net {
        IpNet::V4(net) => net.prefix_len() == 32 && net.addr() == s.pod_ip && !s.only_ip6,
        IpNet::V6(net) => net.prefix_len() == 128 && Some(net.addr()) == s.pod_ip6,
    };
    // any other outlives the host end, or takes more than the container's own packets
    let route = |op: Op, spec: &RouteSpec| {
        let over = spec.hops.iter().all(|hop| hop.dev == Some(s.cali));
        own(&spec.dst) && spec.kind == RouteKind::Unicast && over && (op == Op::Del || !spec.hops.is_empty())
    };
    match change {
        Mutation::Sysctl { key, .. } => key.device() == Some(s.cali),
        Mutation::LinkSet { dev, change } => {
            use LinkChange::{Address, Arp, Promisc, Up};
            *dev == s.cali && matches!(change, Up(_) | Address(_) | Arp(_) | Promisc(_))
        }
        // a wider one brings a route of its own
        Mutation::AddrAdd { dev, net, .. } => *dev == s.cali && net.prefix_len() == net.max_prefix_len(),
        Mutation::AddrDel { dev, .. }
        | Mutation::AddrFlush { dev, .. }
        | Mutation::Neigh { dev, .. }
        | Mutation::NeighFlush { dev }
        | Mutation::Proxy { dev, .. } => *dev == s.cali,
        Mutation::Route { op, spec } => route(*op, spec),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Scenario, catalogue};
    use serde_json::json;

    fn job(own: &Value) -> Job {
        let config = json!({ "name": "n", "arplab": own });
        Job {
            network: "n".into(),
            container: "c1".into(),
            netns: "/nowhere".into(),
            ifname: IfName::literal("eth0"),
            args: BTreeMap::new(),
            config: config.as_object().cloned().unwrap_or_default(),
            ip: Some(Ipv4Addr::new(10, 42, 0, 2)),
            ip6: None,
        }
    }

    #[test]
    fn the_document_lists_the_scenarios_that_a_container_can_have() {
        let all = catalogue::all().expect("the catalogue");
        let can = all.iter().map(Scenario::id).filter(|id| job(&json!({ "scenario": id })).ready().is_ok());
        let can: Vec<String> = can.map(|id| format!("`{id}`")).collect();
        let document = include_str!("../../docs/arplab-cni.md");
        let list = can.join(", ");
        let unfolded = document.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(unfolded.contains(&format!("be played: {list}.")), "be played: {list}.");
    }

    #[test]
    fn a_container_with_ipv6_alone_is_refused_what_is_of_ipv4() {
        let refused = |own: Value| {
            let mut job = job(&own);
            (job.ip, job.ip6) = (None, Some(Ipv6Addr::LOCALHOST));
            job.ready().err().map(|e| e.msg)
        };
        assert_eq!(refused(json!({ "windows": [{ "hold": "cni.sysctl.ipv6", "for": "1s" }] })), None);
        assert_eq!(refused(json!({ "windows": [{ "hold": "felix.sysctl.ipv6", "for": "1s" }] })), None);
        let window = refused(json!({ "windows": [{ "hold": "cni.sysctl.proxy_arp", "for": "1s" }] }));
        assert!(window.is_some_and(|msg| msg.contains("cni.sysctl.proxy_arp")));
        let step = json!({ "id": "operator.a", "node": ["ip route del {pod_ip}"] });
        assert!(refused(json!({ "steps": [step] })).is_some_and(|msg| msg.contains("{pod_ip}")));
        let announced = refused(json!({ "scenario": "announced-too-early" }));
        assert!(announced.is_some_and(|msg| msg.contains("by ARP")));
    }

    #[test]
    fn a_step_may_change_what_is_the_containers_own() {
        let refused = |command: &str| {
            let step = json!({ "id": "operator.a", "node": [command] });
            job(&json!({ "steps": [step] })).ready().err().map(|e| e.code)
        };
        for own in [
            "sysctl -w net.ipv4.conf.{cali}.proxy_arp=0",
            "ip route del {pod_ip}",
            "ip route replace {pod_ip} dev {cali}",
            "ip link set {cali} down",
            "ip neigh replace {pod_ip} dev {cali} lladdr 02:00:00:00:00:01 nud permanent",
        ] {
            assert_eq!(refused(own), None, "{own}");
        }
        for beyond in [
            "sysctl -w net.ipv4.ip_forward=0",
            "sysctl -w net.ipv4.conf.all.rp_filter=1",
            "ip route del default",
            "ip route replace default dev {cali}",
            "ip route add blackhole {pod_ip}",
            "ip addr add 10.0.0.1/8 dev {cali}",
            "ip link set {cali} name other",
            "ip link del {cali}",
            "ip link set eth0 down",
            "ip rule add from {pod_ip} table 7 priority 7",
            "nft add rule arp filter input drop",
        ] {
            assert_eq!(refused(beyond), Some(7), "{beyond}");
        }
    }
}
