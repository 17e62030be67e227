//! The two namespaces of a recorded case, from its commands or its configuration.

use super::command::parse;
use super::error::RecordError;
use super::pod_record::{Commands, PodConfig, PodRecord, SideConfig};
use crate::addr::IfName;
use crate::host::{HostState, Mutation};
use crate::pair::lab::{HOST_END, POD_END, UPLINK, namespace};

/// A second pod's end, which some cases name.
const OTHER_END: IfName = IfName::literal("cali1");

/// The node's and the pod's state.
pub(super) struct Setup {
    pub(super) node: HostState,
    pub(super) pod: HostState,
    /// What could not be made as states: commands about neighbour entries, and links that go down
    /// when everything else stands.
    pub(super) node_late: Vec<Mutation>,
    pub(super) pod_late: Vec<Mutation>,
}

/// Builds the states of a record.
pub(super) fn build(record: &PodRecord) -> Result<Setup, RecordError> {
    match (&record.commands, &record.config) {
        (Some(commands), _) => from_commands(commands),
        (None, Some(config)) => from_config(config),
        (None, None) => Err(RecordError::Lacks("how its namespaces were made")),
    }
}

fn from_commands(commands: &Commands) -> Result<Setup, RecordError> {
    let mut setup = Setup {
        node: namespace(&[HOST_END, UPLINK, OTHER_END]),
        pod: namespace(&[POD_END]),
        node_late: Vec::new(),
        pod_late: Vec::new(),
    };
    let late = |m: &Mutation| {
        let down = "down".to_owned();
        matches!(m, Mutation::Neigh { .. }) || m.to_string().ends_with(&down)
    };
    for (list, state, later) in [
        (&commands.node, &mut setup.node, &mut setup.node_late),
        (&commands.pod, &mut setup.pod, &mut setup.pod_late),
    ] {
        for command in list {
            let change = parse(command)?;
            if late(&change) {
                later.push(change);
            } else {
                state.apply(&change)?;
            }
        }
    }
    Ok(setup)
}

fn from_config(config: &PodConfig) -> Result<Setup, RecordError> {
    let mut node = namespace(&[HOST_END, UPLINK, OTHER_END]);
    let mut pod = namespace(&[POD_END]);
    let base = |dev: &str| format!("link set {dev} up");
    let mut first = vec![format!("link set {HOST_END} address ee:ee:ee:ee:ee:ee")];
    first.extend(["lo", "cali0", "up0"].map(base));
    configure(&mut node, &first, &config.node)?;
    let mut first = vec![format!("link set {POD_END} address 02:00:0a:41:00:02")];
    first.extend(["lo", "eth0"].map(base));
    configure(&mut pod, &first, &config.pod)?;
    Ok(Setup { node, pod, node_late: Vec::new(), pod_late: Vec::new() })
}

fn configure(state: &mut HostState, first: &[String], config: &SideConfig) -> Result<(), RecordError> {
    let mut apply = |command: String| {
        let change = parse(&command)?;
        state.apply(&change).map(drop).map_err(RecordError::from)
    };
    for command in first {
        apply(command.clone())?;
    }
    for address in config.addresses.iter().filter(|a| !a.starts_with("lo ")) {
        let mut words = address.split_whitespace();
        let (dev, net) = (words.next(), words.nth(1));
        let (Some(dev), Some(net)) = (dev, net) else {
            return Err(RecordError::Value(format!("address {address:?}")));
        };
        apply(format!("addr add {net} dev {dev}"))?;
    }
    // iproute2 lists a default route first, before the route its gateway needs
    let (direct, through): (Vec<_>, Vec<_>) = config.routes.iter().partition(|r| !r.contains(" via "));
    for route in direct.into_iter().chain(through).filter(|r| !r.contains("proto kernel")) {
        apply(format!("route add {route}"))?;
    }
    for entry in &config.proxy_neigh {
        apply(format!("neigh add proxy {}", entry.trim_end_matches(" proxy")))?;
    }
    // ip_forward first: writing it sets every interface's own switch
    let mut sysctls: Vec<_> = config.sysctls.iter().collect();
    sysctls.sort_by_key(|(key, _)| *key != "ip_forward");
    for (key, value) in sysctls {
        if let Some(path) = sysctl_path(key) {
            apply(format!("sysctl {path}={value}"))?;
        }
    }
    Ok(())
}

/// The full name of a recorded switch; `None` for those the model does without.
fn sysctl_path(key: &str) -> Option<String> {
    let parts: Vec<&str> = key.split('.').collect();
    Some(match parts[..] {
        [
            "ip_forward"
            | "tcp_syn_linear_timeouts"
            | "tcp_syn_retries"
            | "icmp_msgs_per_sec"
            | "icmp_msgs_burst",
        ] => {
            format!("net.ipv4.{key}")
        }
        [dev, "neigh", var] => format!("net.ipv4.neigh.{dev}.{var}"),
        [dev, var] => format!("net.ipv4.conf.{dev}.{var}"),
        _ => return None,
    })
}
