//! The clients in the pod and on the node: the table `[[client]]`.

use super::compile::Checker;
use super::file::{ClientFile, ClientFrom, ClientKind};
use super::plan::{ClientPlan, Target};
use super::steps::{INTERVAL_MIN, step_named};
use crate::control::{Gate, Side, StepTable};
use crate::time::Span;
use std::net::{IpAddr, SocketAddr};

/// Connections of one client at once; the kernel recordings go up to 500.
const PARALLEL_MAX: u32 = 1000;
/// Most sends of one client.
const COUNT_MAX: u32 = 100_000;

pub(super) fn client_name(client: &ClientFile) -> String {
    client.name.as_ref().map_or_else(|| client.kind.get_ref().to_string(), |n| n.get_ref().clone())
}

pub(super) fn client_of(client: &ClientFile, steps: &StepTable, c: &mut Checker) -> Option<ClientPlan> {
    let kind = *client.kind.get_ref();
    let to = match kind {
        ClientKind::Ping => client.to.get_ref().parse::<IpAddr>().ok().map(Target::Host),
        ClientKind::Arping => client.to.get_ref().parse().ok().map(|ip| Target::Host(IpAddr::V4(ip))),
        _ => client.to.get_ref().parse::<SocketAddr>().ok().map(Target::Port),
    };
    if to.is_none() {
        let want = match kind {
            ClientKind::Ping => "an address, such as 203.0.113.8",
            ClientKind::Arping => "an IPv4 address, such as 169.254.1.1",
            _ => "an address and a port, such as 10.43.51.131:9004",
        };
        let help = client.to.get_ref().parse::<std::net::Ipv6Addr>().is_ok() && kind == ClientKind::Arping;
        let help = help.then(|| "ARP is of IPv4; `ping` makes the kernel solicit an IPv6 neighbour".into());
        c.at(&client.to, format!("{kind} goes to {want}"), help);
    }
    let not_for: [(&str, bool, &[ClientKind]); 4] = [
        ("retry", client.retry.is_some(), &[ClientKind::TcpConnect]),
        ("timeout", client.timeout.is_some(), &[ClientKind::TcpConnect, ClientKind::Udp]),
        ("parallel", client.parallel.is_some(), &[ClientKind::TcpConnect]),
        ("recverr", client.recverr, &[ClientKind::Udp]),
    ];
    for (key, given, kinds) in not_for {
        if given && !kinds.contains(&kind) {
            c.flaw(client.kind.span(), format!("`{key}` is nothing a {kind} client has"), None);
        }
    }
    let from = match client.from.as_ref().map(|from| (*from.get_ref(), from.span())) {
        Some((ClientFrom::Node, place)) if kind == ClientKind::Arping => {
            let help = "a ping from the node makes its kernel ask for the pod".to_owned();
            c.flaw(place, "arping runs in the pod".to_owned(), Some(help));
            Side::Host
        }
        Some((ClientFrom::Node, _)) => Side::Host,
        Some((ClientFrom::Pod, _)) | None => Side::Pod,
    };
    let interval = client.interval.unwrap_or(Span::from_secs(1));
    if interval < INTERVAL_MIN {
        c.flaw(client.kind.span(), format!("an interval below {INTERVAL_MIN}"), None);
    }
    if client.timeout.is_some_and(|t| t < INTERVAL_MIN) {
        c.flaw(client.kind.span(), format!("a timeout below {INTERVAL_MIN}"), None);
    }
    let parallel = client.parallel.unwrap_or(1);
    if parallel == 0 || parallel > PARALLEL_MAX {
        c.flaw(client.kind.span(), format!("`parallel` is 1 to {PARALLEL_MAX}"), None);
    }
    if client.count.is_some_and(|n| n == 0 || n > COUNT_MAX) {
        c.flaw(client.kind.span(), format!("`count` is 1 to {COUNT_MAX}"), None);
    }
    let started = StepTable::built_in("kubelet.container-start");
    let gate = match &client.after {
        None => Gate::After(started),
        Some(name) => Gate::After(step_named(name, steps, c)?),
    };
    Some(ClientPlan {
        name: client_name(client),
        kind,
        from,
        to: to?,
        gate,
        delay: client.delay.map_or((Span::ZERO, Span::ZERO), |d| (d.from, d.to)),
        interval,
        count: client.count,
        ident: 1,
        stop_after: client.stop_after,
        deadline: client.deadline,
        retry: client.retry,
        timeout: client.timeout,
        parallel,
        recverr: client.recverr,
    })
}

/// What runs in the pod when a scenario names nothing: somebody who pings the world, and somebody
/// who retries a connection to a service, as in the reports.
pub(super) fn default_clients() -> Vec<ClientPlan> {
    let gate = Gate::After(StepTable::built_in("kubelet.container-start"));
    let base = ClientPlan {
        name: "ping".into(),
        kind: ClientKind::Ping,
        from: Side::Pod,
        to: Target::Host([203, 0, 113, 8].into()),
        gate,
        delay: (Span::ZERO, Span::ZERO),
        interval: Span::from_secs(1),
        count: None,
        ident: 1,
        stop_after: Some(3),
        deadline: None,
        retry: None,
        timeout: None,
        parallel: 1,
        recverr: false,
    };
    let service = SocketAddr::from(([10, 43, 51, 131], 9004));
    let tcp = ClientPlan {
        name: "tcp-connect".into(),
        kind: ClientKind::TcpConnect,
        to: Target::Port(service),
        retry: Some(Span::from_secs(1)),
        count: None,
        ..base.clone()
    };
    vec![base, tcp]
}
