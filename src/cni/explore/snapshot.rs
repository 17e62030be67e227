//! What a node and a pod have, as lines that can be compared.

use super::xtables;
use crate::cni::PluginStage;
use netns_lab::rtnl::{Neighbour, NudState};
use netns_lab::{Netns, nft};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Sysctls that change by themselves.
const RESTLESS: [&str; 4] = ["nf_conntrack_count", "flush", "stable_secret", "netdev_rss_key"];
/// Most sysctls are shorter than this, in bytes; the kernel makes room for as much as is asked for.
const VALUE_BYTES: usize = 256;
/// host-local's memory of the address that it gave last, so that the next one is another: it is
/// meant to stay.
const ROUND_ROBIN: &str = "last_reserved_ip.";

/// What there is at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Snapshot {
    things: BTreeSet<String>,
    /// Sysctls of the node, by path.
    sysctls: BTreeMap<String, String>,
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Snapshot {
    pub(super) fn take(stage: &PluginStage) -> io::Result<Snapshot> {
        let mut things = BTreeSet::new();
        for netns in [&stage.node, &stage.pod] {
            let label = netns.label().to_owned();
            let lines = of_netns(netns).map_err(io::Error::other)?;
            things.extend(lines.into_iter().map(|line| format!("{label}: {line}")));
            let rules = nft::ruleset(netns).map_err(io::Error::other)?;
            things.extend(rules.into_iter().map(|line| format!("{label}: nft {line}")));
            for v6 in [false, true] {
                for (name, table) in xtables::tables(netns, v6).map_err(io::Error::other)? {
                    let lines = table.commands(v6, &name);
                    things.extend(lines.into_iter().map(|line| format!("{label}: {line}")));
                }
            }
        }
        let sysctls = stage.node.exec(|| {
            let mut found = BTreeMap::new();
            for folder in ["ipv4", "ipv6", "netfilter", "bridge"] {
                walk(&Path::new("/proc/sys/net").join(folder), &mut found);
            }
            found
        });
        Ok(Snapshot { things, sysctls: sysctls.map_err(io::Error::other)?, files: stage.files()? })
    }

    pub(super) fn has_file(&self, path: &Path) -> bool {
        self.files.contains_key(path)
    }

    /// What is there and was not before, and what is gone.
    pub(super) fn since(&self, before: &Snapshot) -> Vec<String> {
        let mut lines: Vec<String> =
            self.things.difference(&before.things).map(|line| format!("left {line}")).collect();
        lines.extend(before.things.difference(&self.things).map(|line| format!("took {line}")));
        for (path, value) in &self.sysctls {
            // those of an interface come and go with it
            if let Some(was) = before.sysctls.get(path).filter(|was| *was != value) {
                lines.push(format!("left {path}={value}, which was {was}"));
            }
        }
        for (path, content) in &self.files {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            match before.files.get(path) {
                None => lines.push(format!("left file {}", path.display())),
                Some(was) if was != content && !name.starts_with(ROUND_ROBIN) => {
                    lines.push(format!("left file {} changed", path.display()));
                }
                Some(_) => {}
            }
        }
        let gone = before.files.keys().filter(|path| !self.files.contains_key(*path));
        lines.extend(gone.map(|path| format!("took file {}", path.display())));
        lines
    }
}

/// What a line of [`Snapshot::since`] is about, so that what comes with the state of a thing, or with its
/// turn, is no other thing: a bridge that is up is one that is down.
pub(super) fn subject(line: &str) -> String {
    let line = match line.split_once(", which was ") {
        Some((sysctl, _)) => sysctl.split('=').next().unwrap_or(sysctl),
        None => line,
    };
    if line.contains(": link ") {
        return line.trim_end_matches(" up").trim_end_matches(" down").to_owned();
    }
    let of_nft = line.contains(": nft chain ") || line.contains(": nft table ");
    match line.split_once(" handle ").filter(|_| of_nft) {
        Some((chain, _)) => chain.to_owned(),
        None => line.to_owned(),
    }
}

fn of_netns(netns: &Netns) -> Result<Vec<String>, netns_lab::RtnlError> {
    let rtnl = netns.blocking();
    let mut lines = Vec::new();
    let found = rtnl.links()?;
    for link in &found {
        let kind = link.kind.as_deref().map(|kind| format!(" type {kind}")).unwrap_or_default();
        let state = if link.up { "up" } else { "down" };
        lines.push(format!("link {}{kind} {state}", link.name));
    }
    // what the kernel makes by itself for a link that is up
    let of_kernel =
        |ip: IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local() || ip.is_multicast());
    for address in rtnl.addresses()?.iter().filter(|it| !of_kernel(it.net.addr())) {
        lines.push(format!("address {address}"));
    }
    for route in rtnl.routes()?.iter().filter(|it| !of_kernel(it.destination.addr())) {
        // the kernel notices a bridge without ports up to a second late
        lines.push(format!("route {route}").trim_end_matches(" linkdown").to_owned());
    }
    lines.extend(rtnl.rules()?.iter().map(|rule| format!("rule {rule}")));
    let made = |it: &Neighbour| it.state == NudState::Permanent && !it.address.is_multicast();
    lines.extend(rtnl.neighbours()?.iter().filter(|it| made(it)).map(|it| format!("neighbour {it}")));
    lines.extend(rtnl.proxies()?.iter().map(|it| format!("neighbour {it}")));
    Ok(lines)
}

/// Reads what can be read below a folder.
fn walk(folder: &Path, found: &mut BTreeMap<String, String>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&path, found);
        } else if !RESTLESS.contains(&name.to_string_lossy().as_ref())
            && let Ok(value) = value(&path)
        {
            let key = path.strip_prefix("/proc/sys").unwrap_or(&path).display().to_string();
            found.insert(key, value.trim_end().to_owned());
        }
    }
}

/// A sysctl's value, which the kernel gives in one read(2). There are hundreds.
fn value(path: &Path) -> io::Result<String> {
    let mut bytes = [0; VALUE_BYTES];
    let length = File::open(path)?.read(&mut bytes)?;
    if length == VALUE_BYTES {
        return std::fs::read_to_string(path);
    }
    Ok(String::from_utf8_lossy(&bytes[..length]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::subject;

    #[test]
    fn a_things_state_makes_it_no_other_thing() {
        let pairs = [
            ("left node: link cni0 type bridge up", "left node: link cni0 type bridge down"),
            ("left net/ipv4/ip_forward=1, which was 0", "left net/ipv4/ip_forward=2, which was 0"),
            (
                "left node: nft chain ip nat POSTROUTING handle 4",
                "left node: nft chain ip nat POSTROUTING handle 5",
            ),
        ];
        for (one, other) in pairs {
            assert_eq!(subject(one), subject(other));
        }
        assert_ne!(
            subject("left node: address 10.88.0.1/24 dev cni0"),
            subject("left node: link cni0 type bridge up")
        );
        assert_ne!(
            subject("left node: nft rule ip nat A handle 4"),
            subject("left node: nft rule ip nat A handle 5")
        );
    }
}
