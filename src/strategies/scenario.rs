//! Whole scenarios: a version of Calico, steps held up, clients, faults of the link.

use crate::control::CalicoVersion;
use crate::scenario::{Overrides, Plan, Scenario, ScenarioError};
use core::fmt;
use proptest::prelude::*;
use proptest::sample::select;

/// Steps of the plugin and of Felix that every version has.
const STEPS: [&str; 6] = [
    "cni.pod-address",
    "cni.add-return",
    "felix.iface-seen",
    "felix.endpoint-known",
    "felix.apply",
    "kubelet.container-start",
];

/// A scenario that was drawn.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Drawn {
    /// Calico's release line.
    pub version: CalicoVersion,
    /// Steps held up, with the seconds; no step twice.
    pub holds: Vec<(&'static str, u32)>,
    /// What runs in the pod: the kind, the seconds until it starts, and when it is content.
    pub clients: Vec<(DrawnClient, u32, u32)>,
    /// A frame that the link loses: of which kind, and which one of them, from 1.
    pub lost: Option<(&'static str, u32)>,
}

/// A kind of client.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DrawnClient {
    /// `ping`
    Ping,
    /// `arping`
    Arping,
    /// A connection, dialled again a second after it failed.
    TcpConnect,
}

impl fmt::Display for Drawn {
    /// As a scenario file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "id = \"drawn\"\ntitle = \"drawn\"\nstory = \"Drawn.\"\nmechanism = \"Drawn.\"")?;
        writeln!(f, "[certainty]\nlevel = \"plausible\"\nwhy = \"it is drawn\"")?;
        writeln!(f, "[calico]\nversion = \"{}\"", self.version)?;
        for (step, secs) in &self.holds {
            writeln!(f, "[[hold]]\nstep = \"{step}\"\nfor = \"{secs}s\"")?;
        }
        for (at, (kind, delay, enough)) in self.clients.iter().enumerate() {
            let what = match kind {
                DrawnClient::Ping => format!("kind = \"ping\"\nto = \"203.0.113.8\"\nstop-after = {enough}"),
                DrawnClient::Arping => format!("kind = \"arping\"\nto = \"169.254.1.1\"\ncount = {enough}"),
                DrawnClient::TcpConnect => {
                    "kind = \"tcp-connect\"\nto = \"10.43.51.131:9004\"\nretry = \"1s\"".to_owned()
                }
            };
            writeln!(f, "[[client]]\nname = \"client-{at}\"\ndelay = \"{delay}s\"\n{what}")?;
        }
        if let Some((frames, first)) = self.lost {
            writeln!(f, "[[fault]]\nframe = \"{frames}\"\nnth = {first}\ndrop = true")?;
        }
        Ok(())
    }
}

impl Drawn {
    /// The scenario, read from its file as any other.
    pub fn scenario(&self) -> Result<Scenario, ScenarioError> {
        Scenario::parse("drawn", &self.to_string())
    }

    /// Its plan.
    ///
    /// # Panics
    /// When what was drawn is no scenario, which would be a mistake of the strategy.
    #[must_use]
    pub fn plan(&self) -> Plan {
        let scenario = self.scenario().unwrap_or_else(|e| panic!("what is drawn is a scenario: {e}\n{self}"));
        scenario.plan(&Overrides::default()).unwrap_or_else(|e| panic!("it has a plan: {e}\n{self}"))
    }
}

/// A scenario in which some steps are late and one to three clients ask. It shrinks to the newest
/// version with one client, no hold and no fault.
pub fn scenario() -> impl Strategy<Value = Drawn> {
    let mut newest_first = CalicoVersion::ALL;
    newest_first.reverse();
    let version = select(newest_first.to_vec());
    let hold = (0..STEPS.len(), 1..20_u32);
    let holds = prop::collection::vec(hold, 0..3).prop_map(|drawn| {
        let mut holds: Vec<(&str, u32)> = Vec::new();
        for (at, secs) in drawn {
            if !holds.iter().any(|h| h.0 == STEPS[at]) {
                holds.push((STEPS[at], secs));
            }
        }
        holds
    });
    let kind = select(vec![DrawnClient::Ping, DrawnClient::Arping, DrawnClient::TcpConnect]);
    let clients = prop::collection::vec((kind, 0..10_u32, 1..4_u32), 1..4);
    let lost = prop::option::of((select(vec!["arp-request", "arp-reply", "ip"]), 1..4_u32));
    (version, holds, clients, lost).prop_map(|(version, holds, clients, lost)| Drawn {
        version,
        holds,
        clients,
        lost,
    })
}
