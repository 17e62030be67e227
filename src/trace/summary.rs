//! A run in a few lines.

use super::account::{Spell, account};
use super::event::What;
use super::observe::{ClientSeen, GatewaySeen, Observed, OtherSeen, others};
use super::stream::Trace;
use super::words::{self, Precision, many};
use crate::control::CalicoVersion;
use crate::control::Side;
use crate::neigh::Nud;
use crate::pod::ClientId;
use crate::scenario::Corner;
use crate::time::Time;
use core::fmt::Write as _;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

/// What was run, in one line.
#[must_use]
pub fn headline(trace: &Trace) -> String {
    let Some(What::Start(start)) = trace.first().map(|e| &e.what) else { return String::new() };
    let (plan, s) = (&trace.plan, &trace.plan.setting);
    let corner = match start.corner {
        Corner::Sim => "simulated",
        Corner::LiveSmoltcp => "live: a real pod, the host side played by arplab",
        Corner::LiveKernel => "live: a real pod and a real host side",
    };
    let era = if plan.version == CalicoVersion::FelixOnly {
        " (before April 2017: the plugin left the host side to Felix)"
    } else {
        ""
    };
    let plugin = plan.plugin.as_ref().map(|p| {
        let others = beside(&others(trace));
        format!("plugin {}{others}, Felix of ", p.names.join(" and "))
    });
    let mut line = format!(
        "{corner}, seed {}, {}Calico {}{era}, pod {}/{} at {}, host end {}",
        start.seed,
        plugin.unwrap_or_default(),
        plan.version,
        s.namespace,
        s.pod,
        s.pod_ip,
        s.cali
    );
    for fix in &start.fixes {
        // a mitigation says "with" itself
        let fix = if fix.starts_with("with ") { fix.clone() } else { format!("fix {fix}") };
        let _ = write!(line, ", {fix}");
    }
    for hold in &start.holds {
        let _ = write!(line, ", hold {hold}");
    }
    line
}

/// The other pods, in a few words.
fn beside(others: &[OtherSeen]) -> String {
    if others.is_empty() {
        return String::new();
    }
    let failed: Vec<&str> =
        others.iter().filter(|it| it.add_failed.is_some()).map(|it| it.pod.as_str()).collect();
    let failed = match failed[..] {
        [] => String::new(),
        ref pods => format!(" (ADD failed for {})", pods.join(", ")),
    };
    format!(" beside {}{failed}", many(others.len(), "other pod"))
}

/// What became of the other pods, a line each.
fn of_others(seen: &Observed, out: &mut String) {
    let took = seen.others.iter().filter_map(|it| Some(it.add_end_ns?.since(it.add_start_ns?)));
    let precision = Precision::of(took);
    for it in &seen.others {
        let begun = it.add_start_ns;
        let added = match (begun, it.add_end_ns, &it.add_failed) {
            (None, ..) => "ADD was not begun".to_owned(),
            (_, None, None) => "ADD was begun, and had not ended at the end of the run".to_owned(),
            (_, None, Some(why)) => format!("ADD FAILED: {why}"),
            (Some(begun), Some(end), None) => {
                format!("ADD returned after {}", precision.tell(end.since(begun)))
            }
            (Some(begun), Some(end), Some(why)) => {
                format!("ADD FAILED after {}: {why}", precision.tell(end.since(begun)))
            }
        };
        let deleted = match (&it.del_failed, it.deleted, &it.add_failed) {
            (Some(why), ..) => format!("; DEL FAILED: {why}"),
            (None, true, Some(_)) => "; taken away by DEL".to_owned(),
            (None, true, None) => "; taken away by DEL at the end".to_owned(),
            (None, false, _) => String::new(),
        };
        let _ = writeln!(out, "{:<12} {added}{deleted}", it.pod);
    }
}

/// What the real kernel of a live run had to say within the first window, if there was one, and at the
/// end; empty for the simulator.
#[must_use]
pub fn kernel_view(trace: &Trace) -> String {
    let mut out = String::new();
    let looks = trace.iter().filter_map(|e| match &e.what {
        What::Kernel(t) => Some((e.t_ns, t)),
        _ => None,
    });
    let looks: Vec<_> = looks.collect();
    let first_of = |side| looks.iter().position(|(_, t)| t.side == side);
    let last_of = |side| looks.iter().rposition(|(_, t)| t.side == side);
    let sides = [Side::Host, Side::Pod];
    for (look, heading) in
        [(&first_of as &dyn Fn(Side) -> Option<usize>, "within the window"), (&last_of, "at the end")]
    {
        let shown: Vec<usize> = sides.into_iter().filter_map(look).collect();
        let once = sides.into_iter().all(|side| first_of(side) == last_of(side));
        if once && heading != "at the end" {
            continue;
        }
        if let (false, Some((t, _))) = (once, shown.first().map(|at| looks[*at])) {
            let _ = writeln!(out, "{heading}, at {t}:");
        }
        for (_, t) in shown.into_iter().map(|at| looks[at]) {
            let shown = [
                ("ip route", words::routes(t)),
                ("ip rule", words::rules(t)),
                ("ip neigh", words::neighbours(t)),
                ("sysctl", words::sysctls(t)),
            ];
            for (command, lines) in shown.into_iter().filter(|(c, l)| *c != "sysctl" || !l.is_empty()) {
                let _ = writeln!(out, "{}# {command}", t.side);
                for line in lines {
                    let _ = writeln!(out, "{line}");
                }
            }
        }
    }
    out
}

/// What came of it: the gateway, the pod's entry, each client with every spell in which it was
/// without the world. Of a pod with two families both gateways are told.
#[must_use]
pub fn summary(trace: &Trace, seen: &Observed) -> String {
    let mut out = String::new();
    let precision = precision(seen);
    let none = GatewaySeen::default();
    let families: Vec<(&str, &GatewaySeen)> = if seen.dual {
        [("IPv4: ", false), ("IPv6: ", true)]
            .map(|(name, six)| (name, seen.family(six).unwrap_or(&none)))
            .into()
    } else {
        vec![("", &seen.gateway)]
    };
    for (at, (family, of)) in families.iter().enumerate() {
        let label = if at == 0 { "Gateway" } else { "" };
        let _ = writeln!(out, "{label:<12} {family}{}", gateway(of, precision));
        for code in &of.reasons {
            let _ = writeln!(out, "             because of {}", pointer(code));
        }
    }
    for (at, (family, of)) in families.iter().enumerate() {
        let label = if at == 0 { "Pod's entry" } else { "" };
        let _ = writeln!(out, "{label:<12} {family}{}", entry(of, trace.gateway4()));
    }
    if trace.plan.clients.iter().any(|c| c.from == Side::Host) {
        let _ = writeln!(out, "Node's entry {}", entry_of_node(trace));
    }
    let ids = trace.plan.every_client().enumerate();
    let id_of: BTreeMap<&str, ClientId> = ids.map(|(at, c)| (c.name.as_str(), ClientId(at as u32))).collect();
    for (name, client) in &seen.clients {
        let window_end = seen.gateway_of(client).window_end_ns;
        let id = id_of.get(name.as_str());
        let on_node =
            id.and_then(|id| trace.plan.client(id.0 as usize)).is_some_and(|c| c.from == Side::Host);
        let from = if on_node { "on the node: " } else { "" };
        let _ = writeln!(out, "{name:<12} {from}{}", client_line(client, window_end, precision));
        if let Some(id) = id {
            spells(&account(trace, *id), &mut out);
        }
    }
    of_others(seen, &mut out);
    out
}

/// The node's neighbour entry for the pod at the end, as last told.
fn entry_of_node(trace: &Trace) -> String {
    let pod = IpAddr::V4(trace.plan.setting.pod_ip);
    let last = trace.iter().rev().find_map(|e| match &e.what {
        What::Neigh { side: Side::Host, ip, new, lladdr, .. } if *ip == pod => Some((*new, *lladdr)),
        _ => None,
    });
    match last {
        None | Some((None | Some(Nud::None), _)) => "none".to_owned(),
        Some((Some(state), Some(mac))) => format!("{pod} lladdr {mac} {state}"),
        Some((Some(state), None)) => format!("{pod} {state}"),
    }
}

fn entry(of: &GatewaySeen, gateway: Ipv4Addr) -> String {
    let address = of.address.unwrap_or(IpAddr::V4(gateway));
    match (of.entry(), of.lladdr) {
        (None | Some(Nud::None), _) => "none".to_owned(),
        (Some(state), Some(mac)) => format!("{address} lladdr {mac} {state}"),
        (Some(state), None) => format!("{address} {state}"),
    }
}

/// So many spells are told one by one; a client can have thousands.
const SPELLS_TOLD: usize = 4;

fn spells(all: &[(Spell, String)], out: &mut String) {
    for (spell, cause) in all.iter().take(SPELLS_TOLD) {
        let to = if spell.open { "to the end".to_owned() } else { format!("to {}", spell.to) };
        let _ = writeln!(out, "             without the world from {} {to}: {cause}", spell.from);
    }
    if let Some(more) = all.len().checked_sub(SPELLS_TOLD).filter(|n| *n > 0) {
        let _ = writeln!(out, "             and {} more", many(more, "time"));
    }
}

/// That of all lengths in the summary.
fn precision(seen: &Observed) -> Precision {
    let waits = seen.clients.values().filter_map(|c| Some(c.first_success_ns?.since(c.start_ns?)));
    let gateways = [Some(&seen.gateway), seen.other.as_ref()].into_iter().flatten();
    let windows = gateways.filter(|g| g.unanswered() > 0).filter_map(|g| g.window);
    Precision::of(waits.chain(windows))
}

fn gateway(seen: &GatewaySeen, precision: Precision) -> String {
    let (asked, unanswered) = (seen.asked.len(), seen.unanswered());
    let since = seen.silent_since.filter(|_| asked > 0 && unanswered == 0);
    if let Some(since) = since {
        let so_far = gateway(&GatewaySeen { silent_since: None, ..seen.clone() }, precision);
        return format!("{so_far}, and is silent from {since} to the end, when nobody asked");
    }
    match seen.window {
        None => "the pod never asked for it".to_owned(),
        Some(_) if unanswered == 0 && asked == 1 => "answered the only request".to_owned(),
        Some(_) if unanswered == 0 => format!("answered each of {asked} requests"),
        Some(window) => {
            let (window, of) = (precision.tell(window), many(asked, "request"));
            let silent = match seen.window_end_ns {
                Some(_) => format!("silent for {window}"),
                None => format!("silent to the end, {window}"),
            };
            format!("{silent} after the pod's first request; {unanswered} of {of} unanswered")
        }
    }
}

/// A reason's code with where to read on.
#[must_use]
pub(crate) fn pointer(code: &str) -> String {
    match crate::host::Reason::pointer_of(code) {
        Some(p) => {
            let parts: Vec<String> = [("kernel ", p.kernel), ("", p.document), ("catalogue ", p.catalogue)]
                .into_iter()
                .filter(|(_, v)| !v.is_empty())
                .map(|(k, v)| format!("{k}{v}"))
                .collect();
            if parts.is_empty() { code.to_owned() } else { format!("{code} ({})", parts.join("; ")) }
        }
        None => code.to_owned(),
    }
}

fn client_line(c: &ClientSeen, window_end: Option<Time>, precision: Precision) -> String {
    let Some(start) = c.start_ns else { return "did not start".to_owned() };
    let mut line = match c.first_success_ns {
        None => "no answer".to_owned(),
        Some(t) => {
            let mut text = format!("first answer after {}", precision.tell(t.since(start)));
            if let Some(end) = window_end.filter(|e| *e <= t && *e > start) {
                let _ = write!(text, ", {} after the gateway began to answer", precision.tell(t.since(end)));
            }
            text
        }
    };
    let _ = write!(line, "; {} sent, {} answered", c.sent, c.answered);
    if c.lost > 0 {
        let _ = write!(line, ", {} lost without an error", c.lost);
    }
    for (error, n) in &c.errors {
        let _ = write!(line, ", {n} x {error}");
    }
    line
}
