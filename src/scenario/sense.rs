//! What a file can say and nobody can mean: steps that wait for each other, a clock that no kernel has.

use super::compile::{Checker, find_word};
use super::file::{ClientFile, HoldFile, Located, ScenarioFile, StepFile};
use super::plan::WAITER;
use crate::time::Span;
use std::net::SocketAddr;

/// The frequencies that Linux can be built with (kernel/Kconfig.hz), on the architectures that
/// Calico runs on.
const HZ: [u32; 4] = [100, 250, 300, 1000];
/// The longest name of a pod or namespace (an RFC 1123 subdomain, as the API server checks it).
const NAME_MAX: usize = 253;
/// The shortest pause before somebody tries or looks again: below it a run is all events.
const PAUSE_MIN: Span = Span::from_ms(1);

impl Checker {
    /// Looks for what makes no sense.
    pub(super) fn sense(&mut self, f: &ScenarioFile, source: &str) {
        if let Some(hz) = f.kernel.hz.as_ref().filter(|hz| !HZ.contains(hz.get_ref())) {
            let message = format!("no kernel ticks {} times a second", hz.get_ref());
            self.flaw(hz.span(), message, Some("`hz` is 100, 250, 300 or 1000".into()));
        }
        for (what, name) in [("namespace", &f.pod.namespace), ("pod", &f.pod.name)] {
            if let Some(name) = name.as_ref().filter(|n| !is_subdomain(n.get_ref())) {
                let message = format!("no {what} can have this name");
                let help = "lower-case letters, digits, `-` and `.`, 253 at most, as Kubernetes wants it";
                self.flaw(name.span(), message, Some(help.into()));
            }
        }
        self.order(&f.steps.iter().collect::<Vec<_>>());
        for fix in &f.fixes {
            // a fix may describe a step of the scenario anew
            let added = &fix.change.steps;
            let anew = |s: &&StepFile| !added.iter().any(|x| x.id.get_ref() == s.id.get_ref());
            let all: Vec<&StepFile> = f.steps.iter().filter(anew).chain(added).collect();
            self.order(&all);
        }
        let holds = f.holds.iter().chain(f.fixes.iter().flat_map(|x| &x.change.holds));
        for hold in holds {
            self.hold(hold);
        }
        for client in &f.clients {
            self.client(client);
        }
        let waits = f.fixes.iter().map(|x| &x.change.pod_wait_for_gateway);
        for wait in waits.chain([&f.pod.wait_for_gateway]).flatten() {
            let short = |span: Option<Span>| span.is_some_and(|s| s < PAUSE_MIN);
            if short(wait.limit) || short(wait.interval) {
                let message = format!("`limit` and `interval` of {WAITER:?} are at least {PAUSE_MIN}");
                self.flaw(find_word(source, WAITER), message, None);
            }
        }
        for monitor in f.fixes.iter().filter_map(|x| x.change.arp_monitor) {
            if monitor.every < PAUSE_MIN || monitor.looks == 0 {
                let message =
                    format!("`every` of the monitor is at least {PAUSE_MIN}, and `looks` at least 1");
                self.flaw(find_word(source, "arp-monitor"), message, None);
            }
        }
    }

    /// Each step once, and none that waits for itself by way of others.
    fn order(&mut self, steps: &[&StepFile]) {
        let find = |name: &Located| steps.iter().find(|s| s.id.get_ref() == name.get_ref());
        for (at, step) in steps.iter().enumerate() {
            let name = step.id.get_ref();
            if steps[..at].iter().any(|s| s.id.get_ref() == name) {
                self.flaw(step.id.span(), format!("there are two steps {name:?}"), None);
                continue;
            }
            let mut chain = vec![name.as_str()];
            let mut next = step.after.as_ref();
            while let Some(after) = next.filter(|_| chain.len() <= steps.len()) {
                chain.push(after.get_ref());
                if after.get_ref() == name {
                    let message =
                        format!("a step that waits for itself is never done: {}", chain.join(" after "));
                    self.flaw(step.id.span(), message, None);
                    break;
                }
                next = find(after).and_then(|s| s.after.as_ref());
            }
        }
    }

    fn hold(&mut self, hold: &HoldFile) {
        if hold.nth == Some(0) {
            self.flaw(hold.step.span(), "`nth` counts from 1".into(), None);
        }
    }

    fn client(&mut self, client: &ClientFile) {
        if client.retry.is_some_and(|r| r < PAUSE_MIN) {
            self.flaw(client.kind.span(), format!("`retry` below {PAUSE_MIN}"), None);
        }
        if client.to.get_ref().parse::<SocketAddr>().is_ok_and(|to| to.port() == 0) {
            self.flaw(client.to.span(), "nobody listens on port 0".into(), None);
        }
    }
}

fn is_subdomain(name: &str) -> bool {
    let label = |l: &str| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        !l.is_empty() && l.bytes().all(inner) && !l.starts_with('-') && !l.ends_with('-')
    };
    name.len() <= NAME_MAX && name.split('.').all(label)
}
