//! The network configuration: what it asks for, as a scenario.

use super::failure::Failure;
use crate::scenario::Scenario;
use crate::time::Span;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The capability by which containerd and CRI-O hand on a pod's annotations.
const ANNOTATIONS: &str = "io.kubernetes.cri.pod-annotations";
/// Keys of the configuration's `arplab`.
const KEYS: [&str; 5] = ["calico", "felix", "limit", "steps", "windows"];
/// How long the part after ADD lasts at most, unless the configuration says so.
const LIMIT: Span = Span::from_secs(600);
/// The node's reverse path check for new interfaces, which Felix copies.
const DEFAULT_RP_FILTER: &str = "/proc/sys/net/ipv4/conf/default/rp_filter";

/// What a configuration asks for.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Version, windows and steps.
    pub(super) scenario: Scenario,
    /// Something has a part in it after ADD has returned.
    pub(super) goes_on: bool,
    /// How long that lasts at most.
    pub(super) limit: Span,
    /// Of both ends; the kernel's default if there is none.
    pub(super) mtu_bytes: Option<u32>,
}

/// The name of the network.
pub(super) fn network(config: &Map<String, Value>) -> Result<String, Failure> {
    let fine = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
    };
    match config.get("name").and_then(Value::as_str) {
        Some(name) if fine(name) => Ok(name.to_owned()),
        Some(name) => Err(Failure::config(
            format!("`name` {name:?} is no network's name"),
            "letters, digits, `_`, `.`, `-`",
        )),
        None => Err(Failure::config("`name` is missing from the configuration", "")),
    }
}

/// Reads what the configuration, the pod's annotations and `CNI_ARGS` ask for; the last has the last
/// word.
pub(super) fn wanted(
    config: &Map<String, Value>,
    args: &BTreeMap<String, String>,
) -> Result<Wanted, Failure> {
    let own = match config.get("arplab") {
        None => Map::new(),
        Some(Value::Object(own)) => own.clone(),
        Some(other) => return Err(Failure::config("`arplab` is no object", other.to_string())),
    };
    if let Some((key, value)) = own.iter().find(|(key, _)| !KEYS.contains(&key.as_str())) {
        let known = format!("known: {}", KEYS.join(", "));
        return Err(Failure::field(format!("`arplab.{key}` = {value} is not known"), known));
    }
    let annotation =
        |name: &str| config.get("runtimeConfig")?.get(ANNOTATIONS)?.get(name)?.as_str().map(str::to_owned);
    let said =
        |annotated: &str, arg: &str| [annotation(annotated), args.get(arg).cloned()].into_iter().flatten();

    let mut calico = match own.get("calico") {
        None => Map::new(),
        Some(Value::String(version)) => Map::from_iter([("version".to_owned(), json!(version))]),
        Some(Value::Object(calico)) => calico.clone(),
        Some(other) => {
            return Err(Failure::config(
                "`arplab.calico` is neither a version nor an object",
                other.to_string(),
            ));
        }
    };
    for version in said("arplab/calico", "ARPLAB_CALICO") {
        calico.insert("version".into(), version.into());
    }
    let mut holds = windows(own.get("windows"))?;
    for text in said("arplab/hold", "ARPLAB_HOLD") {
        for hold in asked(&text)? {
            holds.retain(|other| other.get("step") != hold.get("step"));
            holds.push(hold);
        }
    }
    let steps = steps(own.get("steps"))?;
    let felix = match own.get("felix") {
        Some(Value::Bool(felix)) => *felix,
        Some(other) => {
            return Err(Failure::config("`arplab.felix` is neither true nor false", other.to_string()));
        }
        None => {
            let alone = calico.get("version").and_then(Value::as_str) == Some("felix-only");
            alone || !holds.is_empty() || !steps.is_empty()
        }
    };
    calico.insert("no-felix".into(), (!felix).into());
    let goes_on = felix || !steps.is_empty();
    let scenario = scenario(&json!({
        "id": "cni",
        "title": "a container of arplab-cni",
        "calico": calico,
        "hold": holds,
        "step": steps,
        "node": { "setup": node() },
    }))?;
    Ok(Wanted { scenario, goes_on, limit: limit(own.get("limit"))?, mtu_bytes: mtu(config.get("mtu"))? })
}

/// Windows, in the words of `[[hold]]`.
fn windows(list: Option<&Value>) -> Result<Vec<Map<String, Value>>, Failure> {
    objects("windows", list)?
        .into_iter()
        .map(|mut window| match window.remove("hold") {
            Some(step) => {
                window.insert("step".into(), step);
                Ok(window)
            }
            None => Err(Failure::config(
                "a window has no `hold`, which names the step",
                json!(window).to_string(),
            )),
        })
        .collect()
}

/// Steps, as `[[step]]` has them; a title may be left out.
fn steps(list: Option<&Value>) -> Result<Vec<Map<String, Value>>, Failure> {
    let mut steps = objects("steps", list)?;
    for step in &mut steps {
        let title = step.get("id").cloned().unwrap_or_default();
        step.entry("title").or_insert(title);
    }
    Ok(steps)
}

fn objects(key: &str, list: Option<&Value>) -> Result<Vec<Map<String, Value>>, Failure> {
    let wrong = || {
        Failure::config(
            format!("`arplab.{key}` is no list of objects"),
            list.map(Value::to_string).unwrap_or_default(),
        )
    };
    match list {
        None => Ok(Vec::new()),
        Some(Value::Array(items)) => {
            items.iter().map(|item| item.as_object().cloned().ok_or_else(wrong)).collect()
        }
        Some(_) => Err(wrong()),
    }
}

/// Windows in one text, `STEP:DURATION` with commas between; `CNI_ARGS` has its own use for `=` and `;`.
fn asked(text: &str) -> Result<Vec<Map<String, Value>>, Failure> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| match part.split_once([':', '=']) {
            Some((step, length)) => Ok(Map::from_iter([
                ("step".into(), json!(step.trim())),
                ("for".into(), json!(length.trim())),
            ])),
            None => Err(Failure::config(
                format!("{part:?} is no window"),
                "STEP:DURATION is wanted, such as felix.iface-seen:5s",
            )),
        })
        .collect()
}

fn limit(value: Option<&Value>) -> Result<Span, Failure> {
    let Some(value) = value else { return Ok(LIMIT) };
    let text = value.as_str().unwrap_or_default();
    text.parse().map_err(|e| Failure::config(format!("`arplab.limit`: {e}"), value.to_string()))
}

fn mtu(value: Option<&Value>) -> Result<Option<u32>, Failure> {
    match value {
        None => Ok(None),
        Some(value) => match value.as_u64().and_then(|mtu| u32::try_from(mtu).ok()) {
            // some configurations write 0 for "not set"
            Some(0) => Ok(None),
            Some(mtu @ 68..=65_535) => Ok(Some(mtu)),
            _ => Err(Failure::config("`mtu` is no number of bytes from 68 to 65535", value.to_string())),
        },
    }
}

/// What of the node decides about a step: Felix writes the node's own default.
fn node() -> Vec<String> {
    let read = std::fs::read_to_string(DEFAULT_RP_FILTER).ok();
    let value = read.and_then(|text| text.trim().parse::<u8>().ok());
    value.map(|value| format!("sysctl -w net.ipv4.conf.default.rp_filter={value}")).into_iter().collect()
}

/// The scenario's own reader checks it, so that a wrong step is told with those there are.
fn scenario(file: &Value) -> Result<Scenario, Failure> {
    let wrong = |why: String| Failure::config("`arplab` of the configuration cannot be used", why);
    let text = toml::to_string(file).map_err(|e| wrong(e.to_string()))?;
    Scenario::parse("arplab", &text).map_err(|e| {
        let flaws = e.flaws.iter().map(|flaw| match &flaw.help {
            Some(help) => format!("{} ({help})", flaw.message),
            None => flaw.message.clone(),
        });
        let flaws: Vec<String> = flaws.collect();
        Failure::config(format!("`arplab` of the configuration cannot be used: {}", flaws.join("; ")), "")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Overrides;

    fn read(own: &Value, args: &str) -> Result<Wanted, Failure> {
        let config = json!({ "name": "n", "arplab": own });
        let args =
            args.split(';').filter_map(|p| p.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned()));
        wanted(config.as_object().expect("an object"), &args.collect())
    }

    #[test]
    fn a_window_is_a_hold_and_brings_felix_along() {
        let alone = read(&json!({"calico": "v3.27"}), "").expect("without a window");
        assert!(!alone.goes_on);
        let window = read(
            &json!({"calico": "felix-only", "windows": [{"hold": "felix.iface-seen", "for": "5s"}]}),
            "",
        );
        let window = window.expect("a window");
        assert!(window.goes_on);
        let plan = window.scenario.plan(&Overrides::default()).expect("a plan");
        assert_eq!(plan.holds.len(), 1);
        let other =
            read(&json!({"windows": [{"hold": "cni.host-up", "for": "5s"}]}), "ARPLAB_HOLD=cni.host-up:1s");
        let plan = other.expect("a window").scenario.plan(&Overrides::default()).expect("a plan");
        assert_eq!(plan.holds[0].until, crate::control::Until::Elapsed(Span::from_secs(1)));
    }

    #[test]
    fn what_is_wrong_is_said_by_the_codes() {
        let code = |own: Value| read(&own, "").expect_err("wrong").code;
        assert_eq!(code(json!({"windwos": []})), 2);
        assert_eq!(code(json!({"windows": {}})), 7);
        assert_eq!(code(json!({"calico": 3})), 7);
        assert_eq!(code(json!({"limit": "soon"})), 7);
        let wrong = read(&json!({"windows": [{"hold": "felix.route-add", "for": "5s"}]}), "")
            .expect_err("no such step");
        assert!(wrong.msg.contains("felix.host-route-add"), "{}", wrong.msg);
    }
}
