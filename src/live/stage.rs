//! What of a scenario no live run can stage, found before it begins.

use super::terms::{LiveError, LiveNode};
use crate::control::{Act, Actors};
use crate::host::command::Tool;
use crate::host::{LinkChange, Mutation};
use crate::scenario::Plan;

/// Refuses a plan with parts that a live run has no means for; a run without them would show
/// something else.
pub(super) fn check(plan: &Plan, responder: LiveNode) -> Result<(), LiveError> {
    let mut why: Vec<String> = Vec::new();
    if !plan.faults.is_empty() {
        why.push("it has faults of the link, and a live link has none (the simulator does)".into());
    }
    if responder == LiveNode::Kernel {
        why.extend(in_front(plan).map(|what| {
            format!(
                "{what} answers in the place of the node's kernel; --responder smoltcp plays it to a real pod"
            )
        }));
    }
    let steps = plan.actors.iter().filter_map(|a| match a {
        Actors::Script(script) => Some(script.all_acts()),
        _ => None,
    });
    for act in steps.flatten() {
        if matches!(act, Act::DownElsewhere) && plan.queue_purged_by_all {
            why.push("kernels since 6.0 do not throw away what waits in other namespaces".into());
        }
        if let Act::Tool { tool, .. } = act {
            why.extend(no_such_program(tool));
        }
        if let Act::Change(_, change) | Act::Try(_, change) = act
            && let Some(reason) = no_such_change(plan, responder, change)
        {
            why.push(format!("`{change}`: {reason}"));
        }
    }
    why.extend(plan.tools.iter().filter_map(|(_, tool)| no_such_program(tool)));
    let setup = plan.pod_setup.iter().chain(&plan.host_setup);
    why.extend(
        setup.filter_map(|c| no_such_change(plan, responder, c).map(|reason| format!("`{c}`: {reason}"))),
    );
    if why.is_empty() { Ok(()) } else { Err(LiveError::NotHere(why.join("; "))) }
}

fn no_such_program(tool: &Tool) -> Option<String> {
    let program = tool.program();
    let missing = super::tool::path_of(program).is_none();
    missing.then(|| format!("`{tool}`: there is no program `{program}` on this machine"))
}

/// Who answers before the kernel would.
fn in_front(plan: &Plan) -> Option<&'static str> {
    if plan.responder != crate::scenario::InFront::Kernel {
        return Some("a program of the datapath");
    }
    plan.own_responder.as_ref().map(|_| "a responder of one's own")
}

/// A change that is the kernel's own doing, or another machine's.
fn no_such_change(plan: &Plan, responder: LiveNode, change: &Mutation) -> Option<&'static str> {
    match change {
        // the far end of a real node's uplink is in the lab's hands
        Mutation::LinkSet { dev, change: LinkChange::Carrier(_) }
            if responder == LiveNode::Smoltcp || *dev == plan.setting.uplink =>
        {
            None
        }
        Mutation::LinkSet { change: LinkChange::Carrier(_), .. } => {
            Some("the carrier of a real device follows from its other end")
        }
        Mutation::NeighboursElsewhere(_) => Some("the lab does not fill other namespaces' tables"),
        Mutation::Kernel(_) => Some("a real kernel does it itself"),
        _ => None,
    }
}
