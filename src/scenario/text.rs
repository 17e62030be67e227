//! Small values of the file format that check themselves while they are read, so that an error
//! points at the value.

use crate::control::Setting;
use crate::host::command::{Changes, Command, changes};
use core::fmt;
use schemars::JsonSchema;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize};

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
        full.parse::<Command>().map_err(|e| e.to_string())?;
        Ok(CommandText(text.to_owned()))
    }

    /// What it stands for in a run.
    pub fn command(&self, setting: &Setting) -> Result<Command, String> {
        setting.expand(&self.0).parse::<Command>().map_err(|e| e.to_string())
    }

    /// The changes it stands for in a run, where the model must know it.
    pub fn changes(&self, setting: &Setting) -> Result<Changes, String> {
        changes(&setting.expand(&self.0)).map_err(|e| e.to_string())
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for CommandText {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        // what a visitor refuses has the place of the one text, and not of the list around it
        d.deserialize_str(Reader)
    }
}

struct Reader;

impl Visitor<'_> for Reader {
    type Value = CommandText;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a command")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<CommandText, E> {
        CommandText::new(text).map_err(E::custom)
    }
}
