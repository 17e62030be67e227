//! Settings below /proc/sys/net, in a namespace.

use std::{fmt, fs, io, path::PathBuf, str::FromStr};

use crate::{ExecError, Netns};

/// Where the kernel shows its settings.
const ROOT: &str = "/proc/sys";

/// The name of a setting below `net`.
///
/// Written as sysctl(8) takes it: with dots, where a dot that belongs to an interface's name is
/// a slash (`net.ipv4.conf.eth0/100.proxy_arp` is the VLAN interface `eth0.100`), or as a path,
/// where slashes separate and dots are themselves (`net/ipv4/conf/eth0.100/proxy_arp`).
/// Whichever of the two comes first in the text decides. The constructors spare the thought.
///
/// Nothing outside `net` is accepted: other settings belong to the machine and not to a
/// namespace.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SysctlKey {
    /// The parts between the separators.
    parts: Vec<String>,
}

impl SysctlKey {
    /// `net.ipv4.conf.DEV.NAME`, such as `proxy_arp`; `all` and `default` are devices too.
    #[must_use]
    pub fn ipv4_conf(dev: &str, name: &str) -> Self {
        Self::of(&["net", "ipv4", "conf", dev, name])
    }

    /// `net.ipv6.conf.DEV.NAME`, such as `accept_dad`.
    #[must_use]
    pub fn ipv6_conf(dev: &str, name: &str) -> Self {
        Self::of(&["net", "ipv6", "conf", dev, name])
    }

    /// `net.ipv4.neigh.DEV.NAME`, such as `retrans_time_ms` or `proxy_delay`.
    #[must_use]
    pub fn ipv4_neigh(dev: &str, name: &str) -> Self {
        Self::of(&["net", "ipv4", "neigh", dev, name])
    }

    /// `net.ipv6.neigh.DEV.NAME`.
    #[must_use]
    pub fn ipv6_neigh(dev: &str, name: &str) -> Self {
        Self::of(&["net", "ipv6", "neigh", dev, name])
    }

    fn of(parts: &[&str]) -> Self {
        Self { parts: parts.iter().map(|part| (*part).to_owned()).collect() }
    }

    /// Its file.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("{ROOT}/{}", self.parts.join("/")))
    }

    fn fault(&self) -> Option<&'static str> {
        if self.parts.first().is_none_or(|first| first != "net") || self.parts.len() < 2 {
            Some("only keys below net belong to a namespace")
        } else if self.parts.iter().any(|part| matches!(part.as_str(), "" | "." | "..")) {
            Some("it has an empty part")
        } else if self.parts.iter().any(|part| part.contains(['/', '\0'])) {
            Some("an interface's name has no slash")
        } else {
            None
        }
    }
}

/// With dots, as sysctl(8) shows it.
impl fmt::Display for SysctlKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<_> = self.parts.iter().map(|part| part.replace('.', "/")).collect();
        f.write_str(&parts.join("."))
    }
}

impl FromStr for SysctlKey {
    type Err = SysctlError;

    fn from_str(text: &str) -> Result<Self, SysctlError> {
        let path = text.strip_prefix("/proc/sys/").unwrap_or(text);
        let key = if path.find(['.', '/']).is_some_and(|at| path[at..].starts_with('/')) {
            Self::of(&path.split('/').collect::<Vec<_>>())
        } else {
            Self { parts: path.split('.').map(|part| part.replace('/', ".")).collect() }
        };
        match key.fault() {
            Some(why) => Err(SysctlError::Key { key: text.to_owned(), why }),
            None => Ok(key),
        }
    }
}

/// A setting could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SysctlError {
    /// The key is none.
    #[error("`{key}` is no key of a network namespace: {why}")]
    Key {
        /// As it was given.
        key: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Reading failed.
    #[error("cannot read sysctl {key} in namespace `{label}`: {source}; {}", advice(.source))]
    Read {
        /// The key with its dots, as sysctl(8) takes it.
        key: String,
        /// The namespace's label.
        label: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// Writing failed.
    #[error("cannot write {value} to sysctl {key} in namespace `{label}`: {source}; {}", advice(.source))]
    Write {
        /// The key with its dots, as sysctl(8) takes it.
        key: String,
        /// The value that was to be written.
        value: String,
        /// The namespace's label.
        label: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel took the value and shows another.
    #[error(
        "sysctl {key} in namespace `{label}` is {found} after {value} was written to it; the kernel rounds \
         times to its clock ticks, clamps some values and takes a leading 0 for octal, or somebody else wrote \
         to it as well"
    )]
    Changed {
        /// The key with its dots, as sysctl(8) takes it.
        key: String,
        /// The value that was written.
        value: String,
        /// What was read back.
        found: String,
        /// The namespace's label.
        label: String,
    },
    /// The namespace's thread could not do it.
    #[error(transparent)]
    Exec(#[from] ExecError),
}

impl From<std::convert::Infallible> for SysctlError {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

impl TryFrom<&str> for SysctlKey {
    type Error = SysctlError;

    fn try_from(text: &str) -> Result<Self, SysctlError> {
        text.parse()
    }
}

impl TryFrom<&SysctlKey> for SysctlKey {
    type Error = SysctlError;

    fn try_from(key: &SysctlKey) -> Result<Self, SysctlError> {
        Ok(key.clone())
    }
}

pub(crate) fn advice(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::ENOENT) => {
            "is the interface there, in this namespace? a dot in its name is written as a slash; \
             some keys exist in the initial namespace only"
        }
        Some(libc::EACCES | libc::EPERM) => "it takes root in the user namespace that owns this one",
        Some(libc::EROFS) => "/proc/sys is mounted read-only, as containers do unless privileged",
        Some(libc::EINVAL) => "the kernel does not take this value",
        _ => "see proc(5)",
    }
}

/// The settings of one namespace; from [`Netns::sysctl`].
///
/// Each call visits the namespace's thread, because the kernel resolves `/proc/sys/net` by the
/// task that opens it. Writing is not without consequences of its own: `net.ipv4.ip_forward` and
/// `conf.all.forwarding` set every interface and `default`, and drop redirects.
#[derive(Clone, Copy, Debug)]
pub struct Sysctl<'ns> {
    netns: &'ns Netns,
}

impl<'ns> Sysctl<'ns> {
    pub(crate) fn new(netns: &'ns Netns) -> Self {
        Self { netns }
    }

    /// The value, without the newline; several are separated by tabs.
    ///
    /// # Errors
    /// [`SysctlError::Read`], with `ENOENT` if there is no such interface.
    pub fn read<K>(self, key: K) -> Result<String, SysctlError>
    where
        K: TryInto<SysctlKey>,
        SysctlError: From<K::Error>,
    {
        let key = checked(key)?;
        self.netns.exec(|| self.read_here(&key))?
    }

    /// Writes a value and reads it back. The kernel reads numbers as C does: `0x40` is 64, and
    /// `064` is 52.
    ///
    /// # Errors
    /// [`SysctlError::Write`]; [`SysctlError::Changed`] if the kernel shows another value than
    /// was written, white space aside. Keys that cannot be read need [`Sysctl::poke`].
    pub fn write<K>(self, key: K, value: impl fmt::Display) -> Result<(), SysctlError>
    where
        K: TryInto<SysctlKey>,
        SysctlError: From<K::Error>,
    {
        let key = checked(key)?;
        let value = value.to_string();
        let found = self.netns.exec(|| {
            self.write_here(&key, &value)?;
            self.read_here(&key)
        })??;
        if value.split_whitespace().eq(found.split_whitespace()) {
            return Ok(());
        }
        let label = self.netns.label().to_owned();
        Err(SysctlError::Changed { key: key.to_string(), value, found, label })
    }

    /// Writes a value without reading it back, for keys that are commands, such as
    /// `net.ipv4.route.flush`, or that the kernel rounds.
    ///
    /// # Errors
    /// [`SysctlError::Write`].
    pub fn poke<K>(self, key: K, value: impl fmt::Display) -> Result<(), SysctlError>
    where
        K: TryInto<SysctlKey>,
        SysctlError: From<K::Error>,
    {
        let key = checked(key)?;
        let value = value.to_string();
        self.netns.exec(|| self.write_here(&key, &value))?
    }

    fn read_here(self, key: &SysctlKey) -> Result<String, SysctlError> {
        let text = fs::read_to_string(key.path()).map_err(|source| SysctlError::Read {
            key: key.to_string(),
            label: self.netns.label().to_owned(),
            source,
        })?;
        Ok(text.trim_end_matches('\n').to_owned())
    }

    fn write_here(self, key: &SysctlKey, value: &str) -> Result<(), SysctlError> {
        // Without O_CREAT: a missing file is ENOENT and not EACCES.
        let write = || {
            io::Write::write_all(&mut fs::OpenOptions::new().write(true).open(key.path())?, value.as_bytes())
        };
        write().map_err(|source| SysctlError::Write {
            key: key.to_string(),
            value: value.to_owned(),
            label: self.netns.label().to_owned(),
            source,
        })
    }
}

fn checked<K>(key: K) -> Result<SysctlKey, SysctlError>
where
    K: TryInto<SysctlKey>,
    SysctlError: From<K::Error>,
{
    let key = key.try_into()?;
    match key.fault() {
        Some(why) => Err(SysctlError::Key { key: key.to_string(), why }),
        None => Ok(key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> String {
        let key: SysctlKey = text.parse().expect("a key");
        key.path().display().to_string()
    }

    #[test]
    fn both_spellings_name_the_same_file() {
        let dotted = "/proc/sys/net/ipv4/conf/eth0.100/proxy_arp";
        assert_eq!(path("net.ipv4.conf.eth0/100.proxy_arp"), dotted);
        assert_eq!(path("net/ipv4/conf/eth0.100/proxy_arp"), dotted);
        assert_eq!(path(dotted), dotted);
        let key = SysctlKey::ipv4_conf("eth0.100", "proxy_arp");
        assert_eq!(key.path().display().to_string(), dotted);
        assert_eq!(key.to_string(), "net.ipv4.conf.eth0/100.proxy_arp");
        assert_eq!(key.to_string().parse::<SysctlKey>().expect("a key"), key);
    }

    #[test]
    fn nothing_outside_net_is_reached() {
        for text in [
            "kernel.hostname",
            "net",
            "",
            "net/../kernel/hostname",
            "net.ipv4.conf.//.x",
            "net..x",
            "/etc/passwd",
            "net/ipv4/conf/../../../kernel/panic",
        ] {
            assert!(text.parse::<SysctlKey>().is_err(), "{text}");
        }
        assert!(checked(SysctlKey::ipv4_conf("..", "x")).is_err());
        assert!(checked(SysctlKey::ipv4_conf("a/b", "x")).is_err());
    }
}
