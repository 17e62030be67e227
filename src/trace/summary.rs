//! A run in a few lines.

use super::event::{Trace, What};
use super::observe::{ClientSeen, Observed};
use super::words::{Precision, many};
use crate::control::CalicoVersion;
use crate::neigh::Nud;
use crate::scenario::Corner;
use crate::time::Time;
use core::fmt::Write as _;

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
    let mut line = format!(
        "{corner}, seed {}, Calico {}{era}, pod {}/{} at {}, host end {}",
        start.seed, plan.version, s.namespace, s.pod, s.pod_ip, s.cali
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

/// What the real kernel of a live run had to say at the end; empty for the simulator.
#[must_use]
pub fn kernel_view(trace: &Trace) -> String {
    let mut out = String::new();
    for event in trace.iter() {
        if let What::Kernel { side, routes, neighbours, sysctls } = &event.what {
            let shown = [("ip route", routes), ("ip neigh", neighbours), ("sysctl", sysctls)];
            for (command, lines) in shown.into_iter().filter(|(c, l)| *c != "sysctl" || !l.is_empty()) {
                let _ = writeln!(out, "{side}# {command}");
                for line in lines {
                    let _ = writeln!(out, "{line}");
                }
            }
        }
    }
    out
}

/// What came of it: the gateway, the pod's entry, each client.
#[must_use]
pub fn summary(seen: &Observed) -> String {
    let mut out = String::new();
    let precision = precision(seen);
    let _ = writeln!(out, "Gateway      {}", gateway(seen, precision));
    for code in &seen.reasons {
        let _ = writeln!(out, "             because of {}", pointer(code));
    }
    let entry = match (seen.entry(), seen.lladdr) {
        (None | Some(Nud::None), _) => "none".to_owned(),
        (Some(state), Some(mac)) => format!("169.254.1.1 lladdr {mac} {state}"),
        (Some(state), None) => format!("169.254.1.1 {state}"),
    };
    let _ = writeln!(out, "Pod's entry  {entry}");
    for (name, client) in &seen.clients {
        let _ = writeln!(out, "{name:<12} {}", client_line(client, seen.window_end_ns, precision));
    }
    out
}

/// That of all lengths in the summary.
fn precision(seen: &Observed) -> Precision {
    let waits = seen.clients.values().filter_map(|c| Some(c.first_success_ns?.since(c.start_ns?)));
    Precision::of(waits.chain(seen.window.filter(|_| seen.unanswered() > 0)))
}

fn gateway(seen: &Observed, precision: Precision) -> String {
    let (asked, unanswered) = (seen.asked.len(), seen.unanswered());
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
