//! What the actors see of the node: the host end, and the route to the pod, as the kernel has them.

use crate::addr::Mac;
use crate::control::Setting;
use crate::host::{AddrTerms, HostState, LinkChange, LinkKind, Mutation, Op, RouteSpec};
use ipnet::IpNet;
use netns_lab::rtnl::{Address, Link, Route, table};
use netns_lab::{Rtnl, RtnlError};

/// Looks. `routes` are wanted by Felix only, and a node has thousands of them.
pub(super) async fn look(rtnl: &Rtnl, s: &Setting, routes: bool) -> Result<HostState, RtnlError> {
    let mut seen = HostState::new();
    let link = match rtnl.link(s.cali.as_str()).await {
        Err(e) if e.not_found() => return Ok(seen),
        link => link?,
    };
    show_link(&mut seen, s, &link);
    if s.pod_ip6.is_some() {
        for address in rtnl.addresses().await? {
            show_address(&mut seen, s, &address);
        }
    }
    if routes {
        for route in rtnl.routes().await? {
            show_route(&mut seen, s, &route);
        }
    }
    Ok(seen)
}

/// What a new state refuses is not to be seen in it.
fn show(seen: &mut HostState, change: &Mutation) {
    if let Err(e) = seen.apply(change) {
        tracing::debug!(%change, %e, "not shown to the actors");
    }
}

fn show_link(seen: &mut HostState, s: &Setting, link: &Link) {
    let mac = link.mac.map(|mac| Mac(mac.octets()));
    show(seen, &Mutation::LinkAdd { name: s.cali, kind: LinkKind::Veth, mac });
    if link.up {
        show(seen, &Mutation::LinkSet { dev: s.cali, change: LinkChange::Up(true) });
    }
    show(seen, &Mutation::LinkSet { dev: s.cali, change: LinkChange::Carrier(link.running) });
}

fn show_address(seen: &mut HostState, s: &Setting, address: &Address) {
    if let IpNet::V6(net) = address.net
        && address.dev.name() == Some(s.cali.as_str())
    {
        let (dev, net) = (s.cali, net.into());
        show(
            seen,
            &Mutation::AddrAdd {
                dev,
                net,
                scope: None,
                nodad: true,
                broadcast: None,
                terms: AddrTerms::default(),
            },
        );
    }
}

fn show_route(seen: &mut HostState, s: &Setting, route: &Route) {
    let own = |net: &IpNet| s.is_pod(net.addr()) && net.prefix_len() == net.max_prefix_len();
    let over =
        |hop: &netns_lab::rtnl::NextHop| hop.dev.as_ref().and_then(|dev| dev.name()) == Some(s.cali.as_str());
    if route.table == table::MAIN && own(&route.destination) && route.next_hops.iter().any(over) {
        show(seen, &Mutation::Route { op: Op::Add, spec: RouteSpec::direct(route.destination, s.cali) });
    }
}
