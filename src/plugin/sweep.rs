//! Taking away what ADD made, whole or in part.

use super::call::Call;
use super::failure::Failure;
use super::hands::Space;
use super::job::pod_mac;
use super::state::{Process, State};
use netns_lab::rtnl::Link;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::time::{Duration, Instant};

/// How long a killed process may take to go.
const PATIENCE: Duration = Duration::from_secs(2);

/// Ends the process that does what comes after ADD, if it is still there.
pub(super) fn end_worker(worker: Process) -> Result<(), Failure> {
    if !worker.is_alive() {
        return Ok(());
    }
    let pid = i32::try_from(worker.pid).map_err(|e| Failure::io("a process number", e))?;
    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    let begin = Instant::now();
    while worker.is_alive() {
        if begin.elapsed() > PATIENCE {
            return Err(Failure::io(format!("process {pid} does not end"), "it does what comes after ADD"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Whether the host end is there that an ADD has made.
pub(super) async fn has_host_end(node: &Space, state: &State) -> bool {
    let Some(index) = state.cali_index else { return false };
    node.rtnl.link(index).await.is_ok_and(|link| link.name == state.cali.as_str())
}

/// Deletes the host end that ADD has made, and with it the container's interface. One of the same name
/// that another call has made since is left alone.
pub(super) async fn host_end(node: &Space, state: &State) -> Result<(), Failure> {
    let Some(index) = state.cali_index else { return Ok(()) };
    let fail = |e: &dyn core::fmt::Display| {
        Failure::refused(format!("{} cannot be deleted", state.cali), e.to_string())
    };
    match node.rtnl.link(index).await {
        Ok(link) if link.name == state.cali.as_str() => match node.rtnl.delete_link(index).await {
            Err(e) if !e.not_found() => Err(fail(&e)),
            _ => Ok(()),
        },
        Ok(_) => Ok(()),
        Err(e) if e.not_found() => Ok(()),
        Err(e) => Err(fail(&e)),
    }
}

/// Deletes the container's interface, if it is one that this plugin has made: known by its MAC, or by
/// that of an ADD that did not come to its end.
pub(super) async fn pod_end(call: &Call, node: &Space, state: Option<&State>) -> Result<(), Failure> {
    let Some(path) = call.netns.as_deref().filter(|path| path.exists()) else { return Ok(()) };
    let Ok(pod) = Space::pod(path, node.netns.id()) else { return Ok(()) };
    let name = call.ifname.as_str();
    let own = pod_mac(call)?;
    let is_own = |link: &Link| {
        let mac = link.mac.map(|mac| crate::addr::Mac(mac.octets()));
        link.kind.as_deref() == Some("veth")
            && (mac == Some(own) || mac.is_some() && mac == state.map(|it| it.pod_mac))
    };
    match pod.rtnl.link(name).await {
        Ok(link) if is_own(&link) => match pod.rtnl.delete_link(name).await {
            Err(e) if !e.not_found() => {
                Err(Failure::refused(format!("{name} of the container cannot be deleted"), e.to_string()))
            }
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}
