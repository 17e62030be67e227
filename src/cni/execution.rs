//! What a plugin is given, and what it prints: sections 3 to 5 of the specification.

use super::Conflist;
use serde_json::{Map, Value};

/// The error that a plugin reports by the specification.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{name}{msg}{}", .details.as_deref().map(|d| format!(" ({d})")).unwrap_or_default())]
pub struct PluginError {
    /// The specification's `code`: below 100 it is reserved.
    pub code: u64,
    /// What the specification calls that code, with a colon; empty for a plugin's own (from 100).
    name: String,
    /// `msg`, a short word for people.
    pub msg: String,
    /// `details`, where the plugin gives any.
    pub details: Option<String>,
}

/// What a plugin did that is no answer by the specification.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CniFault {
    /// It reported an error.
    #[error("{0}")]
    Reported(PluginError),
    /// It succeeded and printed nothing where a result is due.
    #[error("it ended with success and printed nothing, where the specification wants a result")]
    Nothing,
    /// What it printed is no result or error.
    #[error("what it printed is no {what}: {why}; it begins with {begin:?}")]
    Garbage {
        /// A result, or an error.
        what: &'static str,
        /// What is wrong with the output.
        why: String,
        /// The first bytes.
        begin: String,
    },
    /// It printed more than anybody reads.
    #[error("it printed {0} bytes; a result has at most a megabyte")]
    TooMuch(u64),
    /// It was ended by a signal.
    #[error("it was ended by signal {0}")]
    Signal(i32),
    /// It did not end.
    #[error("it did not end within its time")]
    TimedOut,
}

/// The configuration that the plugin in this place of the list is given.
pub(super) fn configuration(
    list: &Conflist,
    place: usize,
    capability_args: &Map<String, Value>,
    previous: Option<&Value>,
) -> Value {
    let mut plugin = list.plugins[place].clone();
    let declared = match plugin.remove("capabilities") {
        Some(Value::Object(flags)) => flags,
        _ => Map::new(),
    };
    plugin.insert("cniVersion".into(), list.version.clone().into());
    plugin.insert("name".into(), list.name.clone().into());
    let wanted: Map<String, Value> = capability_args
        .iter()
        .filter(|(name, _)| declared.get(*name) == Some(&Value::Bool(true)))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if !wanted.is_empty() {
        plugin.insert("runtimeConfig".into(), Value::Object(wanted));
    }
    if let Some(previous) = previous {
        plugin.insert("prevResult".into(), previous.clone());
    }
    Value::Object(plugin)
}

/// Reads the result of a successful ADD.
pub(super) fn result(stdout: &[u8]) -> Result<Value, CniFault> {
    if stdout.trim_ascii().is_empty() {
        return Err(CniFault::Nothing);
    }
    let what = "result";
    match serde_json::from_slice::<Value>(stdout) {
        Ok(value @ Value::Object(_)) if value.get("cniVersion").is_some_and(Value::is_string) => Ok(value),
        Ok(Value::Object(_)) => Err(garbage(what, "`cniVersion` is missing", stdout)),
        Ok(_) => Err(garbage(what, "it is no JSON object", stdout)),
        Err(e) => Err(garbage(what, &e.to_string(), stdout)),
    }
}

/// Reads the error of a plugin that failed.
pub(super) fn error(stdout: &[u8], stderr: &[u8]) -> CniFault {
    let what = "error";
    let value: Value = match serde_json::from_slice(stdout) {
        Ok(value) => value,
        Err(e) => {
            let printed = if stdout.trim_ascii().is_empty() { stderr } else { stdout };
            return garbage(what, &e.to_string(), printed);
        }
    };
    let Some(code) = value.get("code").and_then(Value::as_u64) else {
        return garbage(what, "`code` is missing", stdout);
    };
    let text =
        |key: &str| value.get(key).and_then(Value::as_str).filter(|t| !t.is_empty()).map(str::to_owned);
    let name =
        code_name(code).map_or_else(|| format!("code {code}: "), |name| format!("{name} (code {code}): "));
    let msg = text("msg").unwrap_or_else(|| "(without a message)".into());
    CniFault::Reported(PluginError { code, name, msg, details: text("details") })
}

fn garbage(what: &'static str, why: &str, printed: &[u8]) -> CniFault {
    let begin = String::from_utf8_lossy(&printed[..printed.len().min(60)]).into_owned();
    CniFault::Garbage { what, why: why.to_owned(), begin }
}

/// The error codes of section 5, and of STATUS.
fn code_name(code: u64) -> Option<&'static str> {
    Some(match code {
        1 => "incompatible CNI version",
        2 => "unsupported field in network configuration",
        3 => "container unknown or does not exist",
        4 => "invalid necessary environment variables",
        5 => "I/O failure",
        6 => "failed to decode content",
        7 => "invalid network config",
        11 => "try again later",
        50 => "the plugin is not available",
        51 => "the plugin is not available, and existing containers have limited connectivity",
        _ => return None,
    })
}

/// The gateway of the pod's first IPv4 address that has one, in a result.
pub(crate) fn gateway_of(result: &Value) -> Option<std::net::Ipv4Addr> {
    let ips = result.get("ips")?.as_array()?;
    ips.iter().find_map(|ip| ip.get("gateway")?.as_str()?.parse().ok())
}

/// The pod's addresses in a result.
pub(crate) fn addresses_of(result: &Value) -> Vec<String> {
    let ips = result.get("ips").and_then(Value::as_array);
    ips.into_iter().flatten().filter_map(|ip| Some(ip.get("address")?.as_str()?.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_declared_capabilities_are_handed_on() {
        let list = r#"{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"a","capabilities":{"mac":true,"ips":false}}]}"#;
        let list = Conflist::parse("a", list.as_bytes()).expect("a list");
        let args = serde_json::json!({"mac": "02:00:00:00:00:01", "ips": ["10.0.0.1/24"], "other": 1});
        let args = args.as_object().expect("an object");
        let previous = serde_json::json!({"cniVersion": "1.0.0"});
        let given = configuration(&list, 0, args, Some(&previous));
        assert_eq!(given["runtimeConfig"], serde_json::json!({"mac": "02:00:00:00:00:01"}));
        assert_eq!((&given["name"], &given["prevResult"]), (&"n".into(), &previous));
        assert!(given.get("capabilities").is_none());
    }

    #[test]
    fn errors_are_read_by_their_code() {
        let reported = error(br#"{"cniVersion":"1.0.0","code":7,"msg":"m","details":"d"}"#, b"");
        assert_eq!(reported.to_string(), "invalid network config (code 7): m (d)");
        let own = error(br#"{"code":100,"msg":"m"}"#, b"");
        assert_eq!(own.to_string(), "code 100: m");
        assert!(error(b"", b"panic: x").to_string().contains("\"panic: x\""));
        assert!(result(b" \n").is_err() && result(b"[]").is_err() && result(b"{}").is_err());
        assert!(result(br#"{"cniVersion":"1.0.0"}"#).is_ok());
    }
}
