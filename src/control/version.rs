//! Calico releases, as far as the order of their steps and their timers differ
//! (facts read from the tags named; see docs/calico-versions.md).

use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A Calico release line that the programs know.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum CalicoVersion {
    /// Before April 2017 (cni-plugin PR #320): the plugin wrote neither switches nor host routes.
    FelixOnly,
    /// v3.13.x
    V3_13,
    /// v3.24.x
    V3_24,
    /// v3.26.x
    V3_26,
    /// v3.27.x: the host end is born in the host's namespace (PR #7705).
    V3_27,
    /// v3.28.x: ADD can wait for the endpoint's status.
    V3_28,
    /// v3.29.x
    V3_29,
    /// v3.30.x
    V3_30,
    /// v3.31.x
    V3_31,
    /// v3.32.x: the MAC is read back and retried.
    V3_32,
    /// The development branch of August 2026.
    Master,
}

impl CalicoVersion {
    /// Every version, oldest first.
    pub const ALL: [CalicoVersion; 11] = [
        CalicoVersion::FelixOnly,
        CalicoVersion::V3_13,
        CalicoVersion::V3_24,
        CalicoVersion::V3_26,
        CalicoVersion::V3_27,
        CalicoVersion::V3_28,
        CalicoVersion::V3_29,
        CalicoVersion::V3_30,
        CalicoVersion::V3_31,
        CalicoVersion::V3_32,
        CalicoVersion::Master,
    ];

    /// Its name in scenario files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            CalicoVersion::FelixOnly => "felix-only",
            CalicoVersion::V3_13 => "v3.13",
            CalicoVersion::V3_24 => "v3.24",
            CalicoVersion::V3_26 => "v3.26",
            CalicoVersion::V3_27 => "v3.27",
            CalicoVersion::V3_28 => "v3.28",
            CalicoVersion::V3_29 => "v3.29",
            CalicoVersion::V3_30 => "v3.30",
            CalicoVersion::V3_31 => "v3.31",
            CalicoVersion::V3_32 => "v3.32",
            CalicoVersion::Master => "master",
        }
    }

    /// The plugin writes the host end's switches and the host's route itself.
    #[must_use]
    pub fn plugin_configures_host(self) -> bool {
        self > CalicoVersion::FelixOnly
    }

    /// Both ends are born in the pod's namespace, and the host end is moved (up to v3.26).
    #[must_use]
    pub fn moves_host_end(self) -> bool {
        self < CalicoVersion::V3_27
    }

    /// The plugin writes route_localnet (not in v3.13).
    #[must_use]
    pub fn writes_route_localnet(self) -> bool {
        self >= CalicoVersion::V3_24
    }

    /// A failed write of proxy_delay fails ADD (before v3.23).
    #[must_use]
    pub fn proxy_delay_is_fatal(self) -> bool {
        self < CalicoVersion::V3_24
    }
}

impl fmt::Display for CalicoVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Why a text names no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no Calico version the programs know; they know felix-only, v3.13, v3.24, v3.26 to v3.32 and master"
)]
pub struct VersionError(String);

impl FromStr for CalicoVersion {
    type Err = VersionError;
    /// A patch release stands for its line: `v3.26.1` is `v3.26`.
    fn from_str(s: &str) -> Result<Self, VersionError> {
        let plain = s.trim_start_matches('v');
        let line: Vec<&str> = plain.splitn(3, '.').take(2).collect();
        let line = if plain.starts_with(|c: char| c.is_ascii_digit()) {
            format!("v{}", line.join("."))
        } else {
            s.to_owned()
        };
        CalicoVersion::ALL.into_iter().find(|v| v.name() == line).ok_or_else(|| VersionError(s.to_owned()))
    }
}

impl Serialize for CalicoVersion {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for CalicoVersion {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
