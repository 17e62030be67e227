//! Fixes and mitigations as runs of the program.

use arplab::scenario::{Scenario, catalogue, mitigations};

/// Each mitigation with a scenario that it is about.
const ABOUT: [(&str, &str); 35] = [
    ("proxy-delay-0", "proxy-delay"),
    ("write-order", "proxy-delay"),
    ("plugin-configures-host", "late-responder"),
    ("mac-read-back", "udev-mac-race"),
    ("dad-off", "v6-dad"),
    ("index-check", "ifindex-mixup"),
    ("longer-grace", "route-withheld"),
    ("keep-external-routes", "route-withheld"),
    ("endpoint-status-wait", "udev-sysctl-rp-filter"),
    ("static-arp-refresh", "static-arp-lost"),
    ("calico-arp-table", "proxy-claims-pod-address"),
    ("gateway-address-on-host-end", "no-default-route"),
    ("proxy-neighbour-and-dummy-route", "no-default-route"),
    ("gratuitous-arp-when-ready", "late-responder"),
    ("default-route", "no-default-route"),
    ("shorter-felix-refresh", "networkd-flushes-route"),
    ("reported-tuning", "networkd-flushes-route"),
    ("arp-intervals", "late-responder"),
    ("iptables-refresh-10s", "networkd-flushes-route"),
    ("fewer-network-policies", "late-responder"),
    ("another-ip-pool", "rpf-blackhole-block"),
    ("upgrade-to-v3-26", "late-responder"),
    ("upgrade-to-v3-31", "udev-sysctl-late"),
    ("rp-filter-0", "route-withheld"),
    ("rp-filter-loose", "route-withheld"),
    ("unmanaged-interfaces", "link-local-on-cali"),
    ("no-udev-rules", "udev-sysctl-minute"),
    ("pod-restart", "late-add"),
    ("arp-monitor", "late-responder"),
    ("restart-calico-node", "sysctls-clobbered"),
    ("static-gateway-entry", "static-entry-stale"),
    ("more-requests", "error-never-arrives"),
    ("wait-for-gateway", "late-responder"),
    ("cilium-like-responder", "no-default-route"),
    ("antrea-like-responder", "no-default-route"),
];

fn file_of(scenario: &str) -> String {
    format!("{}/scenarios/{scenario}.toml", env!("CARGO_MANIFEST_DIR"))
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

fn fixes(scenario: &Scenario) -> impl Iterator<Item = &str> {
    scenario.file().fixes.iter().map(|fix| fix.name.get_ref().as_str())
}

/// Every fix, and every mitigation once, in the shorter form.
pub(crate) fn each() -> Vec<Vec<String>> {
    let missing = mitigations().iter().find(|m| ABOUT.iter().all(|(name, _)| *name != m.name));
    assert!(missing.is_none(), "ABOUT has no scenario for {:?}", missing.map(|m| &m.name));
    let scenarios = catalogue::all().unwrap();
    let fix = |s: &Scenario, name: &str| words(["compare", &file_of(s.id()), "--fix", name]);
    let fixed = scenarios.iter().flat_map(|s| fixes(s).map(|name| fix(s, name)));
    let with = ABOUT.iter().map(|(name, id)| words(["compare", &file_of(id), "--with", name]));
    fixed.chain(with).collect()
}

/// Every fix as its file describes it, in both live corners.
pub(crate) fn fixes_in_full() -> Vec<Vec<String>> {
    let mut runs = Vec::new();
    for scenario in catalogue::all().unwrap() {
        let file = file_of(scenario.id());
        for fix in fixes(&scenario) {
            for responder in ["smoltcp", "kernel"] {
                runs.push(words(["run", &file, "--fix", fix, "--live", "--responder", responder]));
            }
        }
    }
    runs
}

/// Every mitigation with every scenario, in the shorter form.
pub(crate) fn everywhere() -> Vec<Vec<String>> {
    let scenarios = catalogue::all().unwrap();
    let with = |s: &Scenario, name: &str| words(["compare", &file_of(s.id()), "--with", name]);
    scenarios.iter().flat_map(|s| mitigations().iter().map(|m| with(s, &m.name))).collect()
}
