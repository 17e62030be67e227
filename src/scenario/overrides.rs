//! What the command line changes about a scenario.

use super::compile::Scenario;
use super::expect::Corner;
use crate::control::CalicoVersion;
use crate::time::Span;
use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `--hold STEP=DURATION`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HoldOverride {
    /// Which step.
    pub step: String,
    /// For how long; zero lifts a hold of the scenario.
    pub length: Span,
}

/// Why a text is no hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no hold: STEP=DURATION is wanted, such as felix.iface-seen=5s ({why})")]
pub struct HoldOverrideError {
    text: String,
    why: String,
}

impl FromStr for HoldOverride {
    type Err = HoldOverrideError;
    fn from_str(text: &str) -> Result<Self, HoldOverrideError> {
        let fail = |why: String| HoldOverrideError { text: text.to_owned(), why };
        let (step, length) = text.split_once('=').ok_or_else(|| fail("there is no =".into()))?;
        let length = length.parse().map_err(|e: crate::time::SpanError| fail(e.to_string()))?;
        Ok(HoldOverride { step: step.trim().to_owned(), length })
    }
}

impl fmt::Display for HoldOverride {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.step, self.length)
    }
}

impl Serialize for HoldOverride {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HoldOverride {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// All that the command line changes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Overrides {
    /// Holds set, or lifted.
    pub holds: Vec<HoldOverride>,
    /// Fixes applied, by name, in this order.
    pub fixes: Vec<String>,
    /// Where it is to run: commands that the model has no term for want a kernel that carries them
    /// out.
    pub corner: Corner,
}

/// Stands before the name of a mitigation among the fixes of a run.
pub(super) const MITIGATION: &str = "with ";

impl Overrides {
    /// Adds a mitigation, which any scenario can have, to the fixes.
    pub fn with(&mut self, mitigation: &str) {
        self.fixes.push(format!("{MITIGATION}{mitigation}"));
    }

    /// The mitigations among the fixes, by name, in their order.
    pub fn mitigations(&self) -> impl Iterator<Item = &str> {
        self.fixes.iter().filter_map(|name| name.strip_prefix(MITIGATION))
    }

    /// The fixes of the scenario's own, by name, in their order.
    pub fn own_fixes(&self) -> impl Iterator<Item = &str> {
        self.fixes.iter().map(String::as_str).filter(|name| !name.starts_with(MITIGATION))
    }
}

impl Scenario {
    /// The scenario with the programs of another release of Calico's; its settings stay.
    #[must_use]
    pub fn with_calico(&self, version: CalicoVersion) -> Scenario {
        let mut moved = self.clone();
        moved.file.calico.version = Some(toml::Spanned::new(0..0, version.name().to_owned()));
        moved
    }
}
