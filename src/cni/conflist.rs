//! Network configurations: a list of plugins, or one plugin alone.

use serde_json::{Map, Value};
use std::io::Read as _;
use std::path::Path;

/// The versions of the specification that are spoken here, oldest first.
pub const VERSIONS: [&str; 4] = ["0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// The longest configuration that is read, in bytes.
const CONFIGURATION_BYTES_MAX: u64 = 1024 * 1024;

/// A configuration that cannot be used. Shown with its place.
#[derive(Debug, thiserror::Error)]
#[error("{file}{place}: {why}")]
pub struct ConflistError {
    file: String,
    place: String,
    why: String,
}

/// A network configuration list (section 1 of the specification).
#[derive(Clone, PartialEq, Debug)]
pub struct Conflist {
    /// `name`: the network's, unique on a node.
    pub name: String,
    /// `cniVersion`: one of [`VERSIONS`].
    pub version: String,
    /// `disableCheck`: CHECK must not be asked.
    pub disable_check: bool,
    /// `disableGC`: GC must not be asked.
    pub disable_gc: bool,
    /// The plugins, each as it stands in the file.
    pub plugins: Vec<Map<String, Value>>,
}

impl Conflist {
    /// Reads a file.
    pub fn load(path: &Path) -> Result<Conflist, ConflistError> {
        let file = path.display().to_string();
        let fail = |why: String| ConflistError { file: file.clone(), place: String::new(), why };
        let cannot = |e| fail(format!("cannot be read: {e}"));
        let mut opened = crate::regular::open(path).map_err(cannot)?;
        let meta = opened.metadata().map_err(cannot)?;
        if meta.len() > CONFIGURATION_BYTES_MAX {
            return Err(fail(format!(
                "is {} bytes long, and a configuration has at most {CONFIGURATION_BYTES_MAX}",
                meta.len()
            )));
        }
        let mut bytes = Vec::new();
        opened.read_to_end(&mut bytes).map_err(cannot)?;
        Conflist::parse(&file, &bytes)
    }

    /// Reads the bytes of a file; `file` is for errors.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Conflist, ConflistError> {
        let fail = |place: String, why: String| ConflistError { file: file.into(), place, why };
        let value: Value = serde_json::from_slice(bytes)
            .map_err(|e| fail(format!(":{}:{}", e.line(), e.column()), format!("no JSON: {e}")))?;
        let Value::Object(top) = value else {
            return Err(fail(String::new(), format!("an object is wanted, not {}", kind(&value))));
        };
        read(top)
            .map_err(|(place, why)| fail(if place.is_empty() { place } else { format!(": {place}") }, why))
    }

    /// A list with one plugin and an address from host-local, for a plugin of which nothing is
    /// known but its name.
    #[must_use]
    pub fn usual(plugin: &str, version: &str) -> Conflist {
        let plugin = serde_json::json!({
            "type": plugin,
            "ipam": {
                "type": "host-local",
                "subnet": "10.88.0.0/24",
                "routes": [{ "dst": "0.0.0.0/0" }],
            },
        });
        let plugins = if let Value::Object(plugin) = plugin { vec![plugin] } else { Vec::new() };
        Conflist {
            name: "arplab".into(),
            version: version.into(),
            disable_check: false,
            disable_gc: false,
            plugins,
        }
    }

    /// As a file has it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut list = serde_json::json!({
            "cniVersion": self.version,
            "name": self.name,
            "disableCheck": self.disable_check,
            "plugins": self.plugins,
        });
        if self.disable_gc {
            list["disableGC"] = true.into();
        }
        list
    }

    /// The first of these values for capabilities that no plugin declares; a runtime tells it to none.
    #[must_use]
    pub fn undeclared<'a>(&self, values: &'a Map<String, Value>) -> Option<&'a str> {
        let declares = |name: &str| {
            self.plugins
                .iter()
                .any(|it| it.get("capabilities").and_then(|c| c.get(name)) == Some(&Value::Bool(true)))
        };
        values.keys().map(String::as_str).find(|name| !declares(name))
    }

    /// Whether its version has that verb (CHECK from 0.4.0, STATUS and GC from 1.1.0).
    #[must_use]
    pub fn is_at_least(&self, version: &str) -> bool {
        let place = |version: &str| VERSIONS.iter().position(|v| *v == version);
        place(&self.version) >= place(version)
    }
}

/// What is said of a value for a capability that [`Conflist::undeclared`] finds.
pub(crate) fn undeclared_words(name: &str) -> String {
    format!("no plugin of the list declares {name:?}, as \"capabilities\": {{{name:?}: true}} does")
}

type Fault = (String, String);

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn text<'a>(object: &'a Map<String, Value>, key: &str, place: &str) -> Result<&'a str, Fault> {
    let whole = place.trim_end_matches('.');
    match object.get(key) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text),
        Some(Value::String(_)) => Err((whole.into(), format!("`{key}` is empty"))),
        Some(other) => Err((format!("{place}{key}"), format!("a string is wanted, not {}", kind(other)))),
        None => Err((whole.into(), format!("`{key}` is missing"))),
    }
}

/// `true` or `false`, which is meant where nothing is said.
fn switch(object: &Map<String, Value>, key: &str) -> Result<bool, Fault> {
    match object.get(key) {
        None => Ok(false),
        Some(Value::Bool(yes)) => Ok(*yes),
        Some(other) => Err((key.into(), format!("true or false is wanted, not {}", kind(other)))),
    }
}

fn read(mut top: Map<String, Value>) -> Result<Conflist, Fault> {
    let version = text(&top, "cniVersion", "")?.to_owned();
    if !VERSIONS.contains(&version.as_str()) {
        let known = VERSIONS.join(", ");
        return Err((
            "cniVersion".into(),
            format!("version {version:?} is none of those spoken here: {known}"),
        ));
    }
    let name = text(&top, "name", "")?.to_owned();
    if !is_name(&name) {
        let rule = "a name begins with a letter or digit, and goes on with those, `_`, `.` and `-`";
        return Err(("name".into(), format!("{name:?} is no name: {rule}")));
    }
    let disable_check = switch(&top, "disableCheck")?;
    let disable_gc = switch(&top, "disableGC")?;
    let plugins = match top.remove("plugins") {
        Some(Value::Array(list)) if list.is_empty() => {
            return Err(("plugins".into(), "there is none".into()));
        }
        Some(Value::Array(list)) => list.into_iter().enumerate().map(plugin).collect::<Result<_, _>>()?,
        Some(other) => return Err(("plugins".into(), format!("a list is wanted, not {}", kind(&other)))),
        None if top.contains_key("type") => {
            check_plugin(&top, "")?;
            vec![top]
        }
        None => {
            return Err((
                String::new(),
                "neither `plugins` (a list) nor `type` (one plugin) is there".into(),
            ));
        }
    };
    Ok(Conflist { name, version, disable_check, disable_gc, plugins })
}

fn plugin((place, value): (usize, Value)) -> Result<Map<String, Value>, Fault> {
    let path = format!("plugins[{place}]");
    match value {
        Value::Object(plugin) => check_plugin(&plugin, &format!("{path}.")).map(|()| plugin),
        other => Err((path, format!("an object is wanted, not {}", kind(&other)))),
    }
}

fn check_plugin(plugin: &Map<String, Value>, place: &str) -> Result<(), Fault> {
    let file = text(plugin, "type", place)?;
    if file.contains('/') || file == "." || file == ".." {
        return Err((
            format!("{place}type"),
            format!("{file:?} is no file name; the folder is told by --bin-dir"),
        ));
    }
    match plugin.get("capabilities") {
        None => {}
        Some(Value::Object(flags)) => {
            if let Some((name, value)) = flags.iter().find(|(_, value)| !value.is_boolean()) {
                let why = format!("true or false is wanted, not {}", kind(value));
                return Err((format!("{place}capabilities.{name}"), why));
            }
        }
        Some(other) => {
            return Err((
                format!("{place}capabilities"),
                format!("an object is wanted, not {}", kind(other)),
            ));
        }
    }
    match plugin.get("ipam") {
        None => Ok(()),
        Some(Value::Object(ipam)) if ipam.is_empty() => Ok(()),
        Some(Value::Object(ipam)) => text(ipam, "type", &format!("{place}ipam.")).map(drop),
        Some(other) => Err((format!("{place}ipam"), format!("an object is wanted, not {}", kind(other)))),
    }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> String {
        Conflist::parse("a.conflist", text.as_bytes()).expect_err(text).to_string()
    }

    #[test]
    fn reads_a_list_and_a_single_plugin() {
        let list =
            r#"{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"ptp","x":[1]},{"type":"tuning"}]}"#;
        let list = Conflist::parse("a", list.as_bytes()).expect("a list");
        assert_eq!((list.name.as_str(), list.plugins.len(), list.disable_check), ("n", 2, false));
        assert_eq!(list.plugins[0]["x"][0], 1, "what nobody knows stays");
        let single = r#"{"cniVersion":"0.3.1","name":"n","type":"ptp","ipam":{}}"#;
        let single = Conflist::parse("a", single.as_bytes()).expect("one");
        assert_eq!(single.plugins.len(), 1);
        assert!(single.is_at_least("0.3.1") && !single.is_at_least("0.4.0"));
    }

    #[test]
    fn a_capability_is_declared_by_saying_yes() {
        let list = r#"{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"a","capabilities":{"x":true,"y":false}},{"type":"b"}]}"#;
        let list = Conflist::parse("a", list.as_bytes()).expect("a list");
        let values = |name: &str| Map::from_iter([(name.to_owned(), Value::Null)]);
        assert_eq!(list.undeclared(&values("x")), None);
        assert_eq!((list.undeclared(&values("y")), list.undeclared(&values("z"))), (Some("y"), Some("z")));
    }

    #[test]
    fn errors_have_a_place() {
        let cases = [
            ("{\n \"a\": }", "a.conflist:2:7: no JSON: "),
            ("[]", "a.conflist: an object is wanted, not a list"),
            ("{}", "a.conflist: `cniVersion` is missing"),
            (r#"{"cniVersion":"9"}"#, "a.conflist: cniVersion: version \"9\" is none of those"),
            (r#"{"cniVersion":"1.0.0"}"#, "a.conflist: `name` is missing"),
            (r#"{"cniVersion":"1.0.0","name":"a b"}"#, "a.conflist: name: \"a b\" is no name"),
            (r#"{"cniVersion":"1.0.0","name":"a"}"#, "a.conflist: neither `plugins`"),
            (r#"{"cniVersion":"1.0.0","name":"a","plugins":[]}"#, "a.conflist: plugins: there is none"),
            (
                r#"{"cniVersion":"1.0.0","name":"a","plugins":[{"type":"x"},3]}"#,
                "a.conflist: plugins[1]: an object",
            ),
            (
                r#"{"cniVersion":"1.0.0","name":"a","plugins":[{"type":"../x"}]}"#,
                "a.conflist: plugins[0].type: ",
            ),
            (
                r#"{"cniVersion":"1.0.0","name":"a","plugins":[{}]}"#,
                "a.conflist: plugins[0]: `type` is missing",
            ),
            (
                r#"{"cniVersion":"1.0.0","name":"a","plugins":[{"type":"x","ipam":{"t":1}}]}"#,
                "a.conflist: plugins[0].ipam: `type` is missing",
            ),
        ];
        for (text, wanted) in cases {
            assert!(fault(text).starts_with(wanted), "{}", fault(text));
        }
    }
}
