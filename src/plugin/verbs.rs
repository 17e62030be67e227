//! The verbs of the specification.

use super::answer;
use super::call::{Call, Verb};
use super::check;
use super::config;
use super::failure::Failure;
use super::hands::Space;
use super::ipam::{Ipam, Lease};
use super::job::{Job, NOBODY, Ready};
use super::state::State;
use super::turn::{self, Turn};
use super::{sweep, worker};
use crate::cni::VERSIONS;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Does what is asked for; what is to be printed.
pub(super) fn run(call: &Call) -> Result<Option<Value>, Failure> {
    match call.verb {
        Verb::Add => add(call).map(Some),
        Verb::Check => check(call).map(|()| None),
        Verb::Del => del(call).map(|()| None),
        Verb::Gc => gc(call).map(|()| None),
        Verb::Status => status(call).map(|()| None),
        Verb::Version => Ok(Some(json!({ "cniVersion": call.version(), "supportedVersions": VERSIONS }))),
    }
}

fn netns(call: &Call) -> PathBuf {
    call.netns.clone().unwrap_or_default()
}

/// Without a lease it is made up of what the configuration says alone.
fn job(call: &Call, lease: Option<&Lease>) -> Result<Job, Failure> {
    Ok(Job {
        network: config::network(&call.config)?,
        container: call.container.clone(),
        netns: netns(call),
        ifname: call.ifname,
        args: call.args.clone(),
        config: call.config.clone(),
        ip: lease.map_or(Some(NOBODY), |it| it.ip),
        ip6: lease.and_then(|it| it.ip6),
    })
}

fn add(call: &Call) -> Result<Value, Failure> {
    if call.config.get("prevResult").is_some_and(|it| !it.is_null()) {
        let msg =
            "arplab-cni makes the interface, so it stands first in a list; there is a prevResult already";
        return Err(Failure::config(msg, ""));
    }
    // before anything is asked for or made
    let begun = job(call, None)?;
    let ready = begun.ready()?;
    let ipam = Ipam::of(call)?;
    let turn = Turn::take(call)?;
    let done = add_alone(call, &begun, &ready, &ipam);
    // a file that stays is in nobody's way, and DEL takes it along
    let _ = turn.end();
    done
}

/// ADD, while no other call is at work for the container's interface. What is there when it begins is
/// another ADD's, and is left alone.
fn add_alone(call: &Call, begun: &Job, ready: &Ready, ipam: &Ipam<'_>) -> Result<Value, Failure> {
    let goes_on = ready.wanted.goes_on;
    let network = config::network(&call.config)?;
    let old = State::of(call, &network);
    block_on(async {
        let node = Space::node()?;
        let pod = Space::pod(&netns(call), node.netns.id())?;
        let name = call.ifname;
        if let Some(old) = &old
            && sweep::has_host_end(&node, old).await
        {
            return Err(Failure::taken(
                format!("the container has {} on the node already, for {}", old.cali, old.netns.display()),
                "an ADD was done for it; DEL takes it away",
            ));
        }
        match pod.rtnl.link(name.as_str()).await {
            Ok(_) => Err(Failure::taken(
                format!("the container has an interface {name} already"),
                "an ADD for it may have been done; DEL takes it away",
            )),
            Err(e) if e.not_found() => Ok(()),
            Err(e) => Err(Failure::io("the container's interfaces cannot be looked at", e)),
        }
    })?;
    if let Some(process) = old.and_then(|old| old.worker) {
        sweep::end_worker(process)?;
    }
    State::begun(begun, &ready.plan.setting).save()?;
    let done = ipam.add().and_then(|lease| {
        let job = job(call, Some(&lease))?;
        let added = if goes_on { worker::start(&job) } else { worker::here(&job) }?;
        let ready = job.ready()?;
        Ok(answer::result(call, &job, &ready.plan.setting, &lease, &added))
    });
    if done.is_err() {
        // what cannot be taken away now, DEL finds
        let _ = take_away(call, &network, || ipam.del());
    }
    done
}

/// Takes away what was made for the container, then its addresses, and forgets it only then: what is cut off
/// before that is still known to DEL and GC.
fn take_away(
    call: &Call,
    network: &str,
    addresses: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let state = State::of(call, network);
    if let Some(process) = state.as_ref().and_then(|it| it.worker) {
        sweep::end_worker(process)?;
    }
    block_on(async {
        let node = Space::node()?;
        if let Some(state) = &state {
            sweep::host_end(&node, state).await?;
        }
        sweep::pod_end(call, &node, state.as_ref()).await
    })?;
    addresses()?;
    State::forget(network, &call.container, call.ifname.as_str())
}

fn del(call: &Call) -> Result<(), Failure> {
    let network = config::network(&call.config)?;
    take_away_alone(call, &network, || Ipam::of(call)?.del())
}

/// The same, while no other call is at work for the container's interface. An ADD that holds a step back
/// is not waited for: its worker is ended.
fn take_away_alone(
    call: &Call,
    network: &str,
    addresses: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    if let Some(process) = State::of(call, network).and_then(|it| it.worker) {
        sweep::end_worker(process)?;
    }
    let turn = Turn::take(call)?;
    let done = take_away(call, network, addresses);
    let ended = turn.end();
    done.and(ended)
}

fn check(call: &Call) -> Result<(), Failure> {
    let network = config::network(&call.config)?;
    if call.config.get("prevResult").is_none_or(Value::is_null) {
        return Err(Failure::config("CHECK wants the prevResult of ADD in the configuration", ""));
    }
    let state = State::of(call, &network).ok_or_else(|| {
        let msg = format!("nothing is known of container {} with {}", call.container, call.ifname);
        Failure::unknown(
            msg,
            "no ADD has succeeded for it since the machine was started, or DEL came after it",
        )
    })?;
    block_on(async {
        let node = Space::node()?;
        let pod = Space::pod(&netns(call), node.netns.id())?;
        check::check(&node, &pod, &state).await
    })?;
    Ipam::of(call)?.check()
}

/// Takes away everything of the network that is not among `cni.dev/valid-attachments`.
fn gc(call: &Call) -> Result<(), Failure> {
    let network = config::network(&call.config)?;
    let valid = match call.config.get("cni.dev/valid-attachments") {
        Some(Value::Array(list)) => list,
        Some(other) => {
            return Err(Failure::config("`cni.dev/valid-attachments` is no list", other.to_string()));
        }
        None => {
            return Err(Failure::config(
                "`cni.dev/valid-attachments` is missing: GC would take everything away",
                "",
            ));
        }
    };
    let is_valid = |container: &str, ifname: &str| {
        valid.iter().any(|it| {
            let is = |key: &str, text: &str| it.get(key).and_then(Value::as_str) == Some(text);
            is("containerID", container) && is("ifname", ifname)
        })
    };
    let ipam = Ipam::of(call)?;
    let mut failed = None;
    let all = State::all(&network).into_iter();
    for state in all.filter(|state| !is_valid(&state.container, state.ifname.as_str())) {
        let old = Call {
            container: state.container.clone(),
            ifname: state.ifname,
            netns: Some(state.netns.clone()),
            ..call.clone()
        };
        let addresses = || ipam.del_of(&state.container, state.ifname.as_str());
        let done = take_away_alone(&old, &network, addresses);
        // the others are gone all the same
        failed = failed.or(done.err());
    }
    let half = State::half_written(&network).into_iter();
    for (container, ifname) in half.filter(|(container, ifname)| !is_valid(container, ifname)) {
        failed = failed.or(State::forget(&network, &container, &ifname).err());
    }
    failed = failed.or(turn::sweep().err());
    match failed {
        Some(failure) => Err(failure),
        None => ipam.hand_on("GC"),
    }
}

/// Says whether an ADD could succeed.
fn status(call: &Call) -> Result<(), Failure> {
    config::network(&call.config)?;
    let no = |failure: Failure| Failure::unavailable(failure.msg, failure.details);
    config::wanted(&call.config, &call.args)?;
    let ipam = Ipam::of(call).map_err(no)?;
    block_on(async { Space::node().map(drop) }).map_err(no)?;
    let switch = std::path::Path::new("/proc/sys/net/ipv4/conf/default/proxy_arp");
    std::fs::OpenOptions::new().write(true).open(switch).map_err(|e| {
        Failure::unavailable(
            format!("{} cannot be written to: {e}", switch.display()),
            "the plugin needs root on the node",
        )
    })?;
    ipam.hand_on("STATUS")
}

fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    worker::run(work)
}
