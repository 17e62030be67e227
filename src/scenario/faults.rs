//! Faults of the link: the table `[[fault]]`, where it names no step of a plugin.

use super::compile::Checker;
use super::file::FaultFile;
use crate::pair::{FaultAction, FaultMatch, FaultRule, FrameKind};
use toml::Spanned;

pub(super) fn fault_of(fault: &Spanned<FaultFile>, c: &mut Checker) -> Option<FaultRule> {
    let (place, fault) = (fault.span(), fault.get_ref());
    if fault.step.is_some() || fault.fail.is_some() || fault.kill.is_some() {
        let message = "`step`, `fail` and `kill` belong together, and to a real plugin".to_owned();
        c.flaw(place, message, Some("`[cni] conflist` names one".into()));
        return None;
    }
    let mut actions = Vec::new();
    actions.extend(fault.drop.then_some(FaultAction::Drop));
    actions.extend(fault.delay.map(|d| FaultAction::Delay(d.from, d.to)));
    actions.extend(fault.duplicate.map(FaultAction::Duplicate));
    actions.extend(fault.reorder.then_some(FaultAction::Reorder));
    actions.extend(fault.corrupt.then_some(FaultAction::Corrupt));
    let [action] = actions[..] else {
        let message = format!("a fault does one thing, this one does {}", actions.len());
        let help = "one of `drop`, `delay`, `duplicate`, `reorder`, `corrupt`".to_owned();
        c.flaw(place, message, Some(help));
        return None;
    };
    let number = |n: &Option<Spanned<u32>>| n.as_ref().map(|n| *n.get_ref());
    let (per_mille, nth) = (number(&fault.per_mille).unwrap_or(1000), number(&fault.nth));
    let wrong = [
        (per_mille == 0 || per_mille > 1000, &fault.per_mille, "`per-mille` is 1 to 1000"),
        (nth == Some(0), &fault.nth, "`nth` counts from 1"),
    ];
    for (_, number, message) in wrong.iter().filter(|w| w.0) {
        c.flaw(number.as_ref().map_or(place.clone(), Spanned::span), (*message).to_owned(), None);
    }
    if wrong.iter().any(|w| w.0) {
        return None;
    }
    let which = FaultMatch {
        kind: fault.frame.unwrap_or(FrameKind::Any),
        from: fault.from,
        group: fault.group,
        first: nth.unwrap_or(1),
        count: fault.count.unwrap_or(if nth.is_some() { 1 } else { u32::MAX }),
        per_mille,
    };
    Some(FaultRule { which, action })
}
