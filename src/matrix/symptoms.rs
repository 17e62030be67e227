//! What a scenario looks like to the person who has it, read off its runs.

use super::outage::{Outage, outages};
use super::{Played, SEEDS, play};
use crate::addr::Mac;
use crate::control::ActorName;
use crate::neigh::Nud;
use crate::scenario::{Overrides, PlanError, Scenario};
use crate::time::{Span, Time};
use crate::trace::What;
use serde::Serialize;
use std::collections::BTreeSet;

/// "About a minute", as people say it.
const MINUTE: (Span, Span) = (Span::from_secs(45), Span::from_secs(90));
/// A step of a person's this close to the end of an outage ended it: the pod's next request comes
/// within a second or two.
const ENDED_WITHIN: Span = Span::from_ms(2_500);

/// In how many of the runs something was so.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Fits {
    /// So many
    pub runs: usize,
    /// of so many.
    pub of: usize,
}

impl core::fmt::Display for Fits {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(match self.runs {
            0 => "no",
            n if n == self.of => "yes",
            _ => "sometimes",
        })
    }
}

/// What a scenario looks like.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Symptoms {
    /// For most of the outage the pod has no valid entry for its gateway.
    pub entry_absent: Fits,
    /// The outage lasts about a minute.
    pub about_a_minute: Fits,
    /// It ends without anybody's doing.
    pub heals_alone: Fits,
    /// The pod's routes are right.
    pub routes_right: Fits,
    /// The outage, from and to over the runs.
    pub outage: (Span, Span),
    /// Reasons of the host's silence.
    pub reasons: BTreeSet<String>,
    /// What to look at, to know it from the others.
    pub look_at: Vec<String>,
}

/// Runs a scenario without any fix and reads what it looks like.
pub fn symptoms(scenario: &Scenario) -> Result<Symptoms, PlanError> {
    let runs = SEEDS
        .iter()
        .map(|seed| play(scenario, &Overrides::default(), *seed))
        .collect::<Result<Vec<Played>, _>>()?;
    let worst: Vec<Outage> =
        runs.iter().filter_map(|r| outages(r).into_iter().max_by_key(|o| o.longest)).collect();
    let count = |f: &dyn Fn(&Played, &Outage) -> bool| Fits {
        runs: runs.iter().zip(&worst).filter(|(r, o)| f(r, o)).count(),
        of: runs.len(),
    };
    let lengths = worst.iter().map(|o| o.longest);
    Ok(Symptoms {
        entry_absent: count(&|r, o| entry_absent(r, o)),
        about_a_minute: count(&|_, o| MINUTE.0 <= o.longest && o.longest <= MINUTE.1),
        heals_alone: count(&|r, o| heals_alone(r, o)),
        routes_right: count(&|r, _| r.pod_routes_right),
        outage: (lengths.clone().min().unwrap_or(Span::ZERO), lengths.max().unwrap_or(Span::ZERO)),
        reasons: runs.iter().flat_map(|r| r.seen.reasons.iter().map(|r| (*r).to_owned())).collect(),
        look_at: look_at(&runs, &worst),
    })
}

/// Less than half of the outage with an entry that holds a MAC.
fn entry_absent(run: &Played, o: &Outage) -> bool {
    let mut held = Span::ZERO;
    let mut since: Option<Time> = None;
    for (t, state) in &run.gateway_of(&o.client).states {
        let valid = state.is_some_and(|s| {
            matches!(s, Nud::Reachable | Nud::Stale | Nud::Delay | Nud::Probe | Nud::Permanent | Nud::Noarp)
        });
        let at = (*t).clamp(o.from, o.to);
        match (since, valid) {
            (None, true) => since = Some(at),
            (Some(from), false) => {
                held = Span::from_ns(held.as_ns() + at.since(from).as_ns());
                since = None;
            }
            _ => {}
        }
    }
    if let Some(from) = since {
        held = Span::from_ns(held.as_ns() + o.to.since(from.clamp(o.from, o.to)).as_ns());
    }
    o.longest > Span::ZERO && held.as_ns() * 2 < o.longest.as_ns()
}

/// It ended, and no person did anything just before.
fn heals_alone(run: &Played, o: &Outage) -> bool {
    let helped = run.events.iter().any(|e| match &e.what {
        What::Step { actor: ActorName::Operator, .. } => {
            e.t_ns <= o.to && o.to.since(e.t_ns) <= ENDED_WITHIN && e.t_ns > o.from
        }
        _ => false,
    });
    o.served && !o.at_the_end && !helped && o.longest > Span::ZERO
}

/// What tells it from its neighbours, in the order in which a person would look.
fn look_at(runs: &[Played], worst: &[Outage]) -> Vec<String> {
    let mut lines = Vec::new();
    let asked = runs.iter().any(|r| !r.seen.asked.is_empty());
    let unanswered = runs.iter().any(|r| r.seen.unanswered() > 0);
    let codes: BTreeSet<&str> = runs.iter().flat_map(|r| r.seen.reasons.iter().copied()).collect();
    lines.extend(codes.iter().map(|code| format!("{code}: {}", command_for(code))));
    let other_mac =
        runs.iter().flat_map(|r| &r.seen.replies).any(|(_, mac)| mac.is_some_and(|m| m != Mac::CALICO));
    if other_mac {
        lines.push("the gateway's MAC is not ee:ee:ee:ee:ee:ee: `ip link show CALI` on the host, `ip neigh` in the pod".into());
    }
    if asked && runs.iter().zip(worst).all(|(r, o)| mute(r, o)) {
        lines.push(
            "while it lasts the pod sends no request: `ip link show` in the pod (carrier) and of CALI on the \
             host, `ip neigh` in the pod, `dmesg` on the node"
                .into(),
        );
    } else if !asked {
        lines.push(
            "the pod sends no request: `ip route`, `ip link` (NOARP) and `ip neigh show nud all` in the pod, \
             `dmesg` on the node"
                .into(),
        );
    } else if !unanswered {
        lines.push(
            "every request is answered: it is not the gateway's ARP; `ip route get POD_IP` on the host"
                .into(),
        );
    } else if codes.is_empty() {
        lines.push("requests do not reach the host: `ip link show CALI` (state, carrier)".into());
    }
    lines
}

/// The pod has no entry, and yet it does not ask in the first half of the outage.
fn mute(run: &Played, o: &Outage) -> bool {
    let early = |t: Time| t >= o.from && t.since(o.from).as_ns() < o.longest.as_ns() / 2;
    o.longest > ENDED_WITHIN
        && entry_absent(run, o)
        && !run.gateway_of(&o.client).asked.iter().any(|a| early(a.t_ns))
}

/// Where a person sees a condition.
fn command_for(code: &str) -> &'static str {
    match code {
        "no-route" | "route-rejects" => "`ip route get 169.254.1.1 from POD_IP iif CALI` on the host",
        "rule-rejects" => "`ip rule` on the host",
        "same-interface" => "`ip route get 169.254.1.1` on the host names the cali interface itself",
        "forwarding-off" => "`sysctl net.ipv4.conf.CALI.forwarding` is 0",
        "proxy-arp-off" => "`sysctl net.ipv4.conf.CALI.proxy_arp` is 0",
        "rp-filter-no-route" | "rp-filter-other-device" => {
            "`ip route get POD_IP` on the host does not name the cali interface, and rp_filter is not 0"
        }
        "arp-ignore" => "`ip route get 169.254.1.1` on the host says local, and arp_ignore is not 0",
        "filtered-input" | "filtered-output" => "`nft list ruleset` on the host has a table of family arp",
        "queue-purged" => "`sysctl net.ipv4.neigh.CALI.proxy_delay` is not 0, and `ip monitor link` is busy",
        "queue-full" => "proxy_delay is not 0, and many requests come at once",
        "other-host" => "frames on the cali interface to a MAC that it does not have",
        "not-listening" => "`ip -6 addr show CALI` lacks the address that the pod's default route names",
        "no-interface" => "`ip link show CALI`: there is none",
        "link-down" | "no-carrier" => "`ip link show CALI` is down, or the pod's eth0 is",
        _ => "`arplab show` tells where the kernel tests it",
    }
}
