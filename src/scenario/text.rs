//! Small values of the file format that check themselves while they are read, so that an error
//! points at the value.

use crate::control::Setting;
use crate::host::command::{Changes, Command, CommandError, changes};
use core::fmt;
use schemars::JsonSchema;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize};

/// A command with the run's names still to be put in, such as
/// `ip route del {pod_ip} dev {cali}`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct CommandText(String);

/// Why a text is no command of a scenario.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TextError {
    /// It names something that a run has not.
    #[error(
        "`{text}`: {name} is no name of the run; there are {{cali}}, {{eth}}, {{pod_ip}}, {{pod_ip6}}, \
         {{pod_mac}}, {{uplink}}, {{node_ip}}, {{router}}, {{router6}}, {{gateway}}"
    )]
    Name {
        /// The whole text.
        text: String,
        /// The name, in its braces.
        name: String,
    },
    /// With the names put in it is no command.
    #[error(transparent)]
    Command(#[from] CommandError),
}

impl CommandText {
    /// Checks that it will be a command once the names are in.
    pub fn new(text: &str) -> Result<CommandText, TextError> {
        let probe =
            Setting { pod_ip6: Some(std::net::Ipv6Addr::LOCALHOST), ..Setting::new("default", "web-0") };
        let full = probe.expand(text);
        if let Some(name) = full.match_indices('{').find_map(|(at, _)| a_name(&full[at..])) {
            return Err(TextError::Name { text: text.to_owned(), name: name.to_owned() });
        }
        full.parse::<Command>()?;
        Ok(CommandText(text.to_owned()))
    }

    /// What it stands for in a run.
    pub fn command(&self, setting: &Setting) -> Result<Command, CommandError> {
        setting.expand(&self.0).parse()
    }

    /// The changes it stands for in a run, where the model must know it.
    pub fn changes(&self, setting: &Setting) -> Result<Changes, CommandError> {
        changes(&setting.expand(&self.0))
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A word in braces; nft(8) has braces of its own, around more than a word.
fn a_name(text: &str) -> Option<&str> {
    let end = text.find('}')?;
    let word = &text[1..end];
    word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_').then_some(&text[..=end])
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_around_more_than_a_word_are_nfts() {
        assert!(CommandText::new("nft add chain ip f c '{ type filter hook forward priority 0; }'").is_ok());
        assert!(CommandText::new("ip link set {calli} up").unwrap_err().to_string().contains("{calli}"));
    }
}
