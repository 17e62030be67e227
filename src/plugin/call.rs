//! What a runtime says: variables of the environment, and a configuration on standard input.

use super::failure::Failure;
use crate::addr::IfName;
use crate::cni::VERSIONS;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Read as _};
use std::path::PathBuf;

/// The longest configuration that is read, in bytes: a valid-attachments list of GC has one entry for
/// each container of a node.
const CONFIGURATION_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What is asked for (`CNI_COMMAND`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verb {
    Add,
    Check,
    Del,
    Gc,
    Status,
    Version,
}

impl Verb {
    const ALL: [(&'static str, Verb); 6] = [
        ("ADD", Verb::Add),
        ("CHECK", Verb::Check),
        ("DEL", Verb::Del),
        ("GC", Verb::Gc),
        ("STATUS", Verb::Status),
        ("VERSION", Verb::Version),
    ];

    /// The version of the specification that brought it.
    fn since(self) -> &'static str {
        match self {
            Verb::Check => "0.4.0",
            Verb::Gc | Verb::Status => "1.1.0",
            Verb::Add | Verb::Del | Verb::Version => "0.3.1",
        }
    }
}

/// One call of the plugin.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) verb: Verb,
    /// `CNI_CONTAINERID`; empty where the verb has none.
    pub(super) container: String,
    /// `CNI_NETNS`, if it is there.
    pub(super) netns: Option<PathBuf>,
    /// `CNI_IFNAME`.
    pub(super) ifname: IfName,
    /// `CNI_ARGS`.
    pub(super) args: BTreeMap<String, String>,
    /// `CNI_PATH`.
    pub(super) path: Vec<PathBuf>,
    /// The configuration, as it came.
    pub(super) config: Map<String, Value>,
}

impl Call {
    /// Reads it all, and refuses what does not hold together.
    pub(super) fn read() -> Result<Call, Failure> {
        let verb = verb()?;
        let mut missing = Vec::new();
        let mut need = |name: &'static str, needed: bool| {
            let value = std::env::var(name).unwrap_or_default();
            if needed && value.is_empty() {
                missing.push(name);
            }
            value
        };
        let attached = matches!(verb, Verb::Add | Verb::Check | Verb::Del);
        let container = need("CNI_CONTAINERID", attached);
        let netns = need("CNI_NETNS", matches!(verb, Verb::Add | Verb::Check));
        let ifname = need("CNI_IFNAME", attached);
        let path = need("CNI_PATH", verb != Verb::Version);
        if !missing.is_empty() {
            let names = missing.join(", ");
            let msg = format!("required variables are missing from the environment: {names}");
            return Err(Failure::environment(
                msg,
                "a container runtime sets them; see section 2 of the CNI specification",
            ));
        }
        if attached && !is_container(&container) {
            let rule = "it begins with a letter or digit, and goes on with those, `_`, `.` and `-`";
            return Err(Failure::environment(
                format!("CNI_CONTAINERID {container:?} is no container ID"),
                rule,
            ));
        }
        let ifname = match ifname.parse() {
            Ok(name) => name,
            Err(_) if !attached => IfName::literal("eth0"),
            Err(e) => return Err(Failure::environment(format!("CNI_IFNAME: {e}"), "")),
        };
        let args = arguments(&std::env::var("CNI_ARGS").unwrap_or_default())?;
        let config = configuration(verb)?;
        let path = path.split(':').filter(|part| !part.is_empty()).map(PathBuf::from).collect();
        let netns = Some(netns).filter(|it| !it.is_empty()).map(PathBuf::from);
        let call = Call { verb, container, netns, ifname, args, path, config };
        call.check_version()?;
        Ok(call)
    }

    /// The version of the answer: that of the configuration, as far as it is spoken here.
    pub(super) fn version(&self) -> &str {
        let said = self.config.get("cniVersion").and_then(Value::as_str);
        let known = VERSIONS.into_iter().find(|v| Some(*v) == said);
        known.unwrap_or(VERSIONS[VERSIONS.len() - 1])
    }

    /// Whether the configuration is of that version or later.
    pub(super) fn is_at_least(&self, version: &str) -> bool {
        let place = |version: &str| VERSIONS.iter().position(|v| *v == version);
        place(self.version()) >= place(version)
    }

    fn check_version(&self) -> Result<(), Failure> {
        let known = format!("spoken here: {}", VERSIONS.join(", "));
        match self.config.get("cniVersion") {
            _ if self.verb == Verb::Version => return Ok(()),
            Some(Value::String(said)) if VERSIONS.contains(&said.as_str()) => {}
            Some(said) => {
                let msg = format!("cniVersion {said} of the configuration is not supported");
                return Err(Failure::version(msg, known));
            }
            None => return Err(Failure::version("the configuration has no cniVersion", known)),
        }
        if self.is_at_least(self.verb.since()) {
            return Ok(());
        }
        let msg = format!("{:?} came with version {} of the specification", self.verb, self.verb.since());
        Err(Failure::version(msg, format!("the configuration is of version {}", self.version())))
    }
}

fn verb() -> Result<Verb, Failure> {
    let word = std::env::var("CNI_COMMAND").unwrap_or_default();
    let found = Verb::ALL.into_iter().find(|(name, _)| *name == word);
    let known = Verb::ALL.map(|(name, _)| name).join(", ");
    found.map(|(_, verb)| verb).ok_or_else(|| match word.as_str() {
        "" => Failure::environment("required variables are missing from the environment: CNI_COMMAND", known),
        _ => Failure::environment(format!("CNI_COMMAND {word:?} is not known"), known),
    })
}

fn is_container(id: &str) -> bool {
    id.starts_with(|c: char| c.is_ascii_alphanumeric())
        && id.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
        && id.len() <= 200
}

/// Arguments that are heeded.
const ARGUMENTS: [&str; 7] = [
    "ARPLAB_CALICO",
    "ARPLAB_HOLD",
    "IgnoreUnknown",
    "K8S_POD_INFRA_CONTAINER_ID",
    "K8S_POD_NAME",
    "K8S_POD_NAMESPACE",
    "K8S_POD_UID",
];

fn arguments(text: &str) -> Result<BTreeMap<String, String>, Failure> {
    let mut args = BTreeMap::new();
    for pair in text.split(';').filter(|pair| !pair.is_empty()) {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(Failure::environment(format!("CNI_ARGS: {pair:?} is not KEY=VALUE"), text));
        };
        args.insert(key.to_owned(), value.to_owned());
    }
    let lenient =
        args.get("IgnoreUnknown").is_some_and(|v| matches!(v.as_str(), "1" | "true" | "TRUE" | "True"));
    match args.keys().find(|key| !ARGUMENTS.contains(&key.as_str())) {
        Some(key) if !lenient => {
            let known = format!("known: {}; IgnoreUnknown=1 lets others pass", ARGUMENTS.join(", "));
            Err(Failure::environment(format!("CNI_ARGS has an unknown key {key:?}"), known))
        }
        _ => Ok(args),
    }
}

fn configuration(verb: Verb) -> Result<Map<String, Value>, Failure> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        if verb == Verb::Version {
            return Ok(Map::new());
        }
        return Err(Failure::decode(
            "no configuration: standard input is a terminal",
            "a runtime writes it there",
        ));
    }
    let mut text = Vec::new();
    let read = stdin.lock().take(CONFIGURATION_BYTES_MAX + 1).read_to_end(&mut text);
    read.map_err(|e| Failure::io("the configuration cannot be read from standard input", e))?;
    if text.len() as u64 > CONFIGURATION_BYTES_MAX {
        return Err(Failure::decode(
            format!("the configuration is longer than {CONFIGURATION_BYTES_MAX} bytes"),
            "",
        ));
    }
    if text.trim_ascii().is_empty() {
        // VERSION is asked without one too
        return match verb {
            Verb::Version => Ok(Map::new()),
            _ => {
                Err(Failure::decode("no configuration: standard input is empty", "a runtime writes it there"))
            }
        };
    }
    match serde_json::from_slice(&text) {
        Ok(Value::Object(config)) => Ok(config),
        Ok(_) => Err(Failure::decode("the configuration is no JSON object", "")),
        Err(e) => {
            let begin = String::from_utf8_lossy(&text[..text.len().min(60)]).into_owned();
            Err(Failure::decode(
                format!("the configuration is no JSON: {e}"),
                format!("it begins with {begin:?}"),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_arguments_are_refused_unless_the_runtime_says_otherwise() {
        assert_eq!(arguments("K8S_POD_NAME=web-0;X=1").expect_err("X").code, 4);
        assert_eq!(arguments("IgnoreUnknown=1;X=a=b").expect("lenient")["X"], "a=b");
        assert_eq!(arguments("nonsense").expect_err("no pair").code, 4);
        assert!(arguments("").expect("none").is_empty());
    }

    #[test]
    fn container_ids_are_file_names() {
        assert!(
            is_container("0a_b.c-d") && !is_container("../x") && !is_container("") && !is_container("-x")
        );
    }
}
