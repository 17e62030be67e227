//! Policy rules added and deleted (net/core/fib_rules.c).

use super::Fault;
use super::mutation::{Errno, Family, Op, RuleSpec};
use crate::host::state::HostState;
use crate::host::state::route::{Rule, RuleAction, Rules, TABLE_MAIN};

/// `IPTOS_TOS_MASK`.
const TOS_MASK: u8 = 0x1e;

impl HostState {
    pub(super) fn rule_change(&mut self, op: Op, spec: &RuleSpec) -> Result<(), Fault> {
        if !spec.more.are_valid() {
            return Err((Errno::Einval, "the kernel takes no such range"));
        }
        let rules = self.rules_of(spec.family);
        // a deletion that names no place is given that of a new rule, and is refused for it
        let priority = spec.priority.unwrap_or_else(|| rules.next_priority());
        if matches!(spec.action, Some(RuleAction::Goto(to)) if to <= priority) {
            return Err((Errno::Einval, "a goto leads forward only"));
        }
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
            more: spec.more,
            suppress_prefixlength: spec.suppress_prefixlength,
            suppress_ifgroup: spec.suppress_ifgroup,
            ..Rule::plain(priority, action)
        };
        if rules.has(&rule) {
            return Err((Errno::Eexist, "a rule exists that these words cannot be told from"));
        }
        // fib4_rule_configure(); IPv6 takes every dsfield
        if spec.family == Family::Inet && spec.more.tos & !TOS_MASK != 0 {
            return Err((Errno::Einval, "a rule of IPv4 asks for no more than the old TOS bits"));
        }
        rules.add(rule);
        // fib6_rule_configure(); in IPv4 a table comes with its first route
        if let (Family::Inet6, RuleAction::Lookup(table)) = (spec.family, action) {
            self.keep_table6(table);
        }
        Ok(())
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
