//! Policy rules added and deleted (net/core/fib_rules.c).

use super::Fault;
use super::mutation::{Errno, Family, Op, RuleSpec};
use crate::host::state::HostState;
use crate::host::state::route::{Rule, RuleAction, Rules, TABLE_MAIN};

impl HostState {
    pub(super) fn rule_change(&mut self, op: Op, spec: &RuleSpec) -> Result<(), Fault> {
        let rules = self.rules_of(spec.family);
        if op == Op::Del {
            let gone = rules.remove(|rule| spec.selects(rule));
            return if gone { Ok(()) } else { Err((Errno::Enoent, "no such rule")) };
        }
        let action = spec.action.unwrap_or(RuleAction::Lookup(TABLE_MAIN));
        let rule = Rule {
            invert: spec.invert,
            from: spec.from,
            to: spec.to,
            iif: spec.iif,
            fwmark: spec.fwmark,
            suppress_prefixlength: spec.suppress_prefixlength,
            ..Rule::plain(spec.priority.unwrap_or_else(|| rules.next_priority()), action)
        };
        let new = rules.add(rule);
        if new { Ok(()) } else { Err((Errno::Eexist, "a rule exists that these words cannot be told from")) }
    }

    /// `ip rule flush`: a rule of priority 0 has no priority in the kernel's list, and iproute2 leaves
    /// it alone.
    pub(super) fn flush_rules(&mut self, family: Family) {
        let rules = self.rules_of(family);
        while rules.remove(|rule| rule.priority != 0) {}
    }

    fn rules_of(&mut self, family: Family) -> &mut Rules {
        if family == Family::Inet6 { &mut self.rules6 } else { &mut self.rules }
    }
}
