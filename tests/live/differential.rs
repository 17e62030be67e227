//! Random host states, staged in namespaces and asked with real frames: kernel and model agree.
//!
//! `ARPLAB_DIFFERENTIAL_STATES` and `ARPLAB_DIFFERENTIAL_SEED` change how many and which.

use arplab::differential::{DifferentialOptions, default_jobs, run};
use arplab::host::conf::{Conf4, Scope, SysctlKey};
use arplab::host::{AddrTerms, HostState, LinkKind, Mutation};
use netns_lab::Netns;
use netns_lab::rtnl::{Address, VethEnd};
use std::sync::atomic::AtomicBool;
use std::time::{SystemTime, UNIX_EPOCH};

crate::live_tests! {
    the_model_of_the_host_is_this_kernel,
    default_reaches_interfaces_without_an_address,
}

/// States of an ordinary run.
const STATES: u64 = 300;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|e| panic!("{name}={text} is no number: {e}")))
}

fn the_model_of_the_host_is_this_kernel() {
    let fresh = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |t| t.subsec_nanos().into());
    let seed = number("ARPLAB_DIFFERENTIAL_SEED").unwrap_or_else(fresh);
    let states = number("ARPLAB_DIFFERENTIAL_STATES").unwrap_or(STATES);
    eprintln!("seed {seed}");
    let options = DifferentialOptions { seed, first: 0, states, keep_going: false, jobs: default_jobs() };
    let summary = run(&options, &AtomicBool::new(false), &|_| {}).expect("the lab");
    eprintln!("{summary}");
    if let Some(disagreement) = summary.disagreements.first() {
        panic!("{disagreement}");
    }
    assert_eq!(summary.agreed, states);
    // a run in which nothing is answered, or nothing silent, would prove nothing
    let tally = &summary.tally;
    assert!(tally.answered > states / 4, "{summary}");
    assert!(tally.silent.len() > 5, "{summary}");
    assert!(tally.healed > states / 10, "{summary}");
}

/// A write to `net.ipv4.conf.default` also reaches interfaces that exist, if they never had an
/// IPv4 address and the key was never written: the host ends of pods. Some keys never spread.
fn default_reaches_interfaces_without_an_address() {
    let node = Netns::new("default").expect("a namespace");
    let mut model = HostState::new();
    let set = |model: &mut HostState, key: SysctlKey, value: i32| {
        node.sysctl().poke(key.path().as_str(), value).expect("a key that can be written");
        model.apply(&Mutation::Sysctl { key, value }).expect("a key of the model");
    };
    for name in ["bare", "numbered", "written"] {
        let far = format!("{name}1");
        node.blocking().add_veth(&VethEnd::new(name), &VethEnd::new(far)).expect("a veth");
        let name = name.parse().expect("a name");
        model.apply(&Mutation::LinkAdd { name, kind: LinkKind::Veth, mac: None }).expect("a link");
    }
    let net = "198.51.100.7/32".parse().expect("an address");
    node.blocking().add_address(&Address::new("numbered", net)).expect("an address");
    let dev = "numbered".parse().expect("a name");
    let address = Mutation::AddrAdd {
        dev,
        net,
        scope: None,
        nodad: false,
        broadcast: None,
        terms: AddrTerms::default(),
    };
    model.apply(&address).expect("an address");
    for &key in Conf4::ALL {
        let written = SysctlKey::Conf4(Scope::Dev("written".parse().expect("a name")), key);
        let default = SysctlKey::Conf4(Scope::Default, key);
        let value = |key: SysctlKey| -> i32 {
            node.sysctl()
                .read(key.path().as_str())
                .expect("a key that can be read")
                .parse()
                .expect("a number")
        };
        // where the machine's first namespace was given another value it was written, for good
        if value(default) != key.kernel_default() {
            continue;
        }
        set(&mut model, written, value(written));
        set(&mut model, default, i32::from(value(default) == 0));
        for name in ["bare", "numbered", "written"] {
            let key = SysctlKey::Conf4(Scope::Dev(name.parse().expect("a name")), key);
            assert_eq!(Some(value(key)), model.sysctl(&key), "{key}");
        }
    }
}
