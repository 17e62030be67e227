//! A namespace before anything happens: the model's state, and how a real one gets there.

use super::error::PlanError;
use super::text::CommandText;
use crate::control::{Setting, Side};
use crate::host::command::{Command, Tool};
use crate::host::{HostState, Mutation};

/// Why a command that the model knows is left to its program.
pub(super) const FOLLOWS: &str = "it follows one that the model does not know";

/// A namespace that is set up.
pub(super) struct SetUp {
    pub(super) state: HostState,
    /// The changes that lead there from a new one.
    pub(super) changes: Vec<Mutation>,
    /// What only a kernel can do, after them.
    pub(super) tools: Vec<(Side, Tool)>,
}

impl SetUp {
    /// A namespace in that state after these commands. From the first that the model does not know on
    /// all are left to a kernel: what they are about may be of its making.
    pub(super) fn of(
        mut state: HostState,
        commands: &[String],
        s: &Setting,
        side: Side,
    ) -> Result<SetUp, PlanError> {
        let fail = |why: String| PlanError::Setup { side, why };
        let (mut changes, mut tools) = (Vec::new(), Vec::new());
        for command in commands {
            let text = s.expand(command);
            match text.parse::<Command>().map_err(|e| fail(e.to_string()))? {
                Command::Unknown(tool) => tools.push((side, tool)),
                Command::Known(_) if !tools.is_empty() => {
                    tools.push((side, Tool::new(&text, FOLLOWS).map_err(|e| fail(e.to_string()))?));
                }
                Command::Known(known) => {
                    for change in known {
                        state.apply(&change).map_err(|e| fail(e.to_string()))?;
                        changes.push(change);
                    }
                }
            }
        }
        Ok(SetUp { state, changes, tools })
    }
}

/// The node before the pod: an uplink with an address and a default route, forwarding on, strict
/// reverse path check by default.
pub(super) fn node(commands: &[&CommandText], s: &Setting) -> Result<SetUp, PlanError> {
    let base = [
        "ip link set lo up".to_owned(),
        format!("ip link add {} address 02:00:c6:33:64:0a type ethernet", s.uplink),
        format!("ip link set {} up", s.uplink),
        format!("ip addr add {}/24 dev {}", s.node_ip, s.uplink),
        format!("ip route add default via {} dev {}", s.router, s.uplink),
        "sysctl -w net.ipv4.ip_forward=1".to_owned(),
        "sysctl -w net.ipv4.conf.default.rp_filter=1".to_owned(),
        "sysctl -w net.ipv6.conf.all.forwarding=1".to_owned(),
        format!("ip addr add {}/64 dev {} nodad", s.node_ip6, s.uplink),
        format!("ip -6 route add default via {} dev {}", s.router6, s.uplink),
    ];
    let own = commands.iter().map(|c| c.as_str().to_owned());
    let commands: Vec<String> = base.into_iter().chain(own).collect();
    SetUp::of(HostState::new(), &commands, s, Side::Host)
}
