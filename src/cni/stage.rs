//! Where a plugin runs: a node and a pod of the lab, with folders of their own in the places that
//! plugins insist on.

use crate::namespace::StageError;
use crate::time::Span;
use ipnet::{IpNet, Ipv4Net};
use netns_lab::rtnl::{Address, Route, VethEnd};
use netns_lab::supervise::{Command, Room};
use netns_lab::{Netns, NetnsId};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Where the pod's namespace is mounted, as the plugin sees it.
const POD_FILE: &str = "/run/netns/pod";
/// Where namespaces of further pods are.
const NETNS_FOLDER: &str = "/run/netns";
/// Folders of the machine that are covered, so that nothing is written there: locks and mounted
/// namespaces in the one, leases and results in the other.
const COVERED: [&str; 2] = ["/run", "/var/lib"];
/// Where plugins are looked for if nobody says.
const USUAL_FOLDERS: [&str; 3] = ["/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni"];

/// A node with an uplink `eth0` (192.0.2.10/24) to a network that answers ARP for every address,
/// a pod without interfaces but `lo`, and folders in memory. All of it goes when this is dropped or
/// the process ends.
/// Clones are the same place.
#[derive(Clone, Debug)]
pub struct PluginStage {
    /// The namespace that the plugin runs in.
    pub node: Arc<Netns>,
    /// The namespace that it is to wire.
    pub pod: Arc<Netns>,
    /// What is behind the node's uplink.
    pub lan: Arc<Netns>,
    pod_file: Arc<str>,
    room: Arc<Room>,
}

impl PluginStage {
    /// Sets it up.
    pub fn new() -> Result<PluginStage, StageError> {
        PluginStage::with_pod_called("pod")
    }

    /// The same with another name for the pod.
    pub(super) fn with_pod_called(pod: &str) -> Result<PluginStage, StageError> {
        let make = |name: &str| Netns::new(name).map(Arc::new);
        let (node, pod, lan) = (make("node")?, make(pod)?, make("lan")?);
        uplink(&node, &lan)?;
        PluginStage::among(node, pod, lan)
    }

    /// A node and a pod that are there already, and a third namespace that plugins may name, with
    /// folders of their own.
    pub fn among(node: Arc<Netns>, pod: Arc<Netns>, lan: Arc<Netns>) -> Result<PluginStage, StageError> {
        let room = Room::new(&COVERED.map(Path::new))?;
        place_for(&room, POD_FILE)?;
        Ok(PluginStage { node, pod, lan, pod_file: POD_FILE.into(), room: Arc::new(room) })
    }

    /// The same node and folders with another pod.
    #[must_use]
    pub fn with_pod(&self, pod: Arc<Netns>) -> PluginStage {
        PluginStage { pod, ..self.clone() }
    }

    /// The same node and folders with a pod more, whose namespace has a file of its own, so that
    /// plugins of several pods can run at once.
    pub fn beside(&self, pod: Arc<Netns>) -> Result<PluginStage, StageError> {
        let pod_file = format!("{NETNS_FOLDER}/{}", pod.label());
        place_for(&self.room, &pod_file)?;
        Ok(PluginStage { pod, pod_file: pod_file.into(), ..self.clone() })
    }

    /// Where the pod's namespace is for a plugin (`CNI_NETNS`).
    #[must_use]
    pub fn pod_file(&self) -> &str {
        &self.pod_file
    }

    /// The content of a file below /run or /var/lib, as plugins see it.
    pub fn read(&self, path: impl Into<PathBuf>) -> std::io::Result<Vec<u8>> {
        let path = path.into();
        self.room.exec(|| std::fs::read(path)).and_then(|done| done)
    }

    /// All files below /run and /var/lib, as plugins see them.
    pub fn files(&self) -> std::io::Result<BTreeMap<PathBuf, Vec<u8>>> {
        fn walk(folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) -> std::io::Result<()> {
            for entry in std::fs::read_dir(folder)? {
                let path = entry?.path();
                let kind = path.symlink_metadata()?.file_type();
                if kind.is_dir() {
                    walk(&path, files)?;
                } else {
                    // of a socket or a pipe the name says enough
                    let content = if kind.is_file() { std::fs::read(&path)? } else { Vec::new() };
                    files.insert(path, content);
                }
            }
            Ok(())
        }
        let walked = self.room.exec(|| {
            let mut files = BTreeMap::new();
            COVERED.iter().try_for_each(|folder| walk(Path::new(folder), &mut files))?;
            Ok(files)
        });
        walked.and_then(|done| done)
    }

    /// Takes a file below /run or /var/lib away.
    pub fn remove(&self, path: impl Into<PathBuf>) -> std::io::Result<()> {
        let path = path.into();
        self.room.exec(|| std::fs::remove_file(path)).and_then(|done| done)
    }

    /// A program to be run on the node.
    pub fn command(&self, program: &Path, timeout: Span) -> std::io::Result<Command> {
        Command::new(program)
            .timeout(Duration::from_nanos(timeout.as_ns()))
            .room(&self.room)?
            .name(&self.lan)
            .netns_file(&self.pod, &*self.pod_file)?
            .netns(&self.node)
    }

    /// What a namespace is called.
    #[must_use]
    pub fn name_of(&self, netns: NetnsId) -> String {
        let known = [&self.node, &self.pod, &self.lan].into_iter().find(|it| it.id() == netns);
        known.map_or_else(|| netns.to_string(), |it| it.label().to_owned())
    }
}

/// Makes the file that a pod's namespace is mounted on.
fn place_for(room: &Room, file: &str) -> Result<(), StageError> {
    let file = file.to_owned();
    let done = room.exec(move || {
        std::fs::create_dir_all(NETNS_FOLDER)?;
        std::fs::write(file, "")
    });
    Ok(done.and_then(|it| it)?)
}

fn uplink(node: &Netns, lan: &Netns) -> Result<(), StageError> {
    let [own, router, anywhere] = [([192, 0, 2, 10], 24), ([192, 0, 2, 1], 24), ([0; 4], 0)]
        .map(|(ip, len)| IpNet::V4(Ipv4Net::new_assert(ip.into(), len)));
    node.loopback_up()?;
    lan.loopback_up()?;
    node.blocking().add_veth(&VethEnd::new("eth0").up(), &VethEnd::new("eth0").in_netns(lan))?;
    lan.blocking().set_up("eth0")?;
    node.blocking().add_address(&Address::new("eth0", own))?;
    lan.blocking().add_address(&Address::new("eth0", router))?;
    node.blocking().add_route(&Route::unicast(anywhere).via(router.addr()).dev("eth0"))?;
    // proxy ARP is for what goes out by another interface
    lan.blocking().add_veth(&VethEnd::new("beyond").up(), &VethEnd::new("far"))?;
    lan.blocking().set_up("far")?;
    lan.blocking().add_route(&Route::unicast(anywhere).dev("beyond"))?;
    for (key, value) in [
        ("net.ipv4.ip_forward", "1"),
        ("net.ipv4.conf.all.rp_filter", "0"),
        ("net.ipv4.conf.eth0.rp_filter", "0"),
        ("net.ipv4.conf.eth0.proxy_arp", "1"),
        ("net.ipv4.neigh.eth0.proxy_delay", "0"),
    ] {
        lan.sysctl().write(key, value)?;
    }
    Ok(())
}

/// The folders to look for plugins in: those given, else those of `CNI_PATH`, else the usual ones.
#[must_use]
pub fn plugin_folders(given: &[PathBuf], cni_path: Option<&str>) -> Vec<PathBuf> {
    if !given.is_empty() {
        return given.to_vec();
    }
    match cni_path.filter(|path| !path.is_empty()) {
        Some(path) => path.split(':').filter(|part| !part.is_empty()).map(PathBuf::from).collect(),
        None => USUAL_FOLDERS.map(PathBuf::from).to_vec(),
    }
}

/// The plugin of that name in the first of the folders that has it.
#[must_use]
pub fn find_plugin(name: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file())
}
