//! Small values of the file format that check themselves while they are read, so that an error
//! points at the value.

use crate::control::Setting;
use crate::host::Mutation;
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use std::borrow::Cow;

/// A command with the run's names still to be put in, such as
/// `ip route del {pod_ip} dev {cali}`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct CommandText(String);

impl CommandText {
    /// Checks that it will be a command once the names are in.
    pub fn new(text: &str) -> Result<CommandText, String> {
        let probe =
            Setting { pod_ip6: Some(std::net::Ipv6Addr::LOCALHOST), ..Setting::new("default", "web-0") };
        let full = probe.expand(text);
        if let Some(open) = full.find('{') {
            let name = full[open..].split_inclusive('}').next().unwrap_or_default();
            return Err(format!(
                "`{text}`: {name} is no name of the run; there are {{cali}}, {{eth}}, {{pod_ip}}, {{pod_ip6}}, \
                 {{pod_mac}}, {{uplink}}, {{node_ip}}, {{router}}, {{router6}}, {{gateway}}"
            ));
        }
        full.parse::<Mutation>().map_err(|e| e.to_string())?;
        Ok(CommandText(text.to_owned()))
    }

    /// The change it stands for in a run.
    pub fn mutation(&self, setting: &Setting) -> Result<Mutation, String> {
        setting.expand(&self.0).parse::<Mutation>().map_err(|e| e.to_string())
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for CommandText {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(d)?;
        CommandText::new(&text).map_err(D::Error::custom)
    }
}
