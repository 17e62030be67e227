//! What is remembered of a container between two calls: a file below /run, which does not outlive
//! the machine's start, as no namespace does.

use super::call::Call;
use super::failure::Failure;
use super::job::Job;
use crate::addr::{IfName, Mac};
use crate::control::{Setting, Side};
use crate::host::Mutation;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Where the files are, a folder for each network.
pub(super) const FOLDER: &str = "/run/arplab-cni";

/// A process, and when it was started, in ticks since the machine was: numbers come again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) started: u64,
}

/// A step that was done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Step {
    /// When, since ADD began.
    pub(super) at_ms: u64,
    #[serde(rename = "step")]
    pub(super) name: String,
    /// What it changed, and where.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) did: Vec<(Side, Mutation)>,
    /// Why it was not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) refused: Option<String>,
}

/// A step that is kept back, or was.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Window {
    pub(super) step: String,
    /// Since when and until when, since ADD began.
    pub(super) from_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) until_ms: Option<u64>,
}

/// All that is remembered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) network: String,
    pub(super) container: String,
    pub(super) ifname: IfName,
    pub(super) netns: PathBuf,
    pub(super) cali: IfName,
    /// The number of the host end, once ADD has succeeded.
    pub(super) cali_index: Option<u32>,
    pub(super) pod_mac: Mac,
    /// Who does what comes after ADD.
    pub(super) worker: Option<Process>,
    pub(super) steps: Vec<Step>,
    pub(super) windows: Vec<Window>,
}

impl State {
    /// What there is to remember before anything is made or asked for: so much that DEL and GC find what an
    /// ADD leaves that is cut off.
    pub(super) fn begun(job: &Job, setting: &Setting) -> State {
        State {
            network: job.network.clone(),
            container: job.container.clone(),
            ifname: job.ifname,
            netns: job.netns.clone(),
            cali: setting.cali,
            cali_index: None,
            pod_mac: setting.pod_mac,
            worker: None,
            steps: Vec::new(),
            windows: Vec::new(),
        }
    }

    fn path(network: &str, container: &str, ifname: &str) -> PathBuf {
        Path::new(FOLDER).join(network).join(format!("{container}@{ifname}.json"))
    }

    /// That of a call's container; `None` if there is none, or nothing that can be read.
    pub(super) fn of(call: &Call, network: &str) -> Option<State> {
        read(&State::path(network, &call.container, call.ifname.as_str()))
    }

    /// All of a network.
    pub(super) fn all(network: &str) -> Vec<State> {
        let Ok(files) = std::fs::read_dir(Path::new(FOLDER).join(network)) else { return Vec::new() };
        let paths = files.flatten().map(|file| file.path());
        paths
            .filter(|path| path.extension().is_some_and(|it| it == "json"))
            .filter_map(|path| read(&path))
            .collect()
    }

    /// The containers of a network, by ID and interface, of which no more is known than a file that was not
    /// written to its end.
    pub(super) fn half_written(network: &str) -> Vec<(String, String)> {
        let Ok(files) = std::fs::read_dir(Path::new(FOLDER).join(network)) else { return Vec::new() };
        let paths = files.flatten().map(|file| file.path());
        let half = paths.filter(|path| path.extension().is_some_and(|it| it == "new"));
        half.filter(|path| !path.with_extension("json").exists())
            .filter_map(|path| {
                let (container, ifname) = path.file_stem()?.to_str()?.rsplit_once('@')?;
                Some((container.to_owned(), ifname.to_owned()))
            })
            .collect()
    }

    /// Writes it, whole or not at all. One process at a time does.
    pub(super) fn save(&self) -> Result<(), Failure> {
        let path = State::path(&self.network, &self.container, self.ifname.as_str());
        let write = || {
            let new = half_written(&path);
            let text = serde_json::to_vec_pretty(self)?;
            loop {
                std::fs::create_dir_all(path.parent().unwrap_or(Path::new(FOLDER)))?;
                match std::fs::write(&new, &text) {
                    // the network's last container has gone meanwhile, and with it the folder
                    Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                    done => break done?,
                }
            }
            std::fs::rename(&new, &path)
        };
        write().map_err(|e: std::io::Error| {
            Failure::io(format!("the state of the container cannot be written to {}", path.display()), e)
        })
    }

    /// Removes the file of a container, and the folders if it was the last.
    pub(super) fn forget(network: &str, container: &str, ifname: &str) -> Result<(), Failure> {
        let path = State::path(network, container, ifname);
        for file in [&half_written(&path), &path] {
            match std::fs::remove_file(file) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    let what = format!("the state of the container cannot be removed: {}", file.display());
                    return Err(Failure::io(what, e));
                }
                _ => {}
            }
        }
        // not empty as long as there are others
        for folder in path.ancestors().skip(1).take(2) {
            let _ = std::fs::remove_dir(folder);
        }
        Ok(())
    }
}

/// What a process that was killed while it wrote leaves.
fn half_written(path: &Path) -> PathBuf {
    path.with_extension("new")
}

fn read(path: &Path) -> Option<State> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

impl Process {
    /// The process of that number, if it is there and no zombie.
    pub(super) fn of(pid: u32) -> Option<Process> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // behind the name, which may have anything in it
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?;
        let started = fields.nth(18)?.parse().ok()?;
        (!matches!(state, "Z" | "X")).then_some(Process { pid, started })
    }

    /// Whether it is still there.
    pub(super) fn is_alive(self) -> bool {
        Process::of(self.pid) == Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_number_and_start() {
        let own = Process::of(std::process::id()).expect("this one");
        assert!(own.is_alive());
        assert!(!Process { started: own.started + 1, ..own }.is_alive());
    }
}
