//! The network configuration: what it asks for, as a scenario.

use super::failure::Failure;
use crate::scenario::{Scenario, catalogue};
use crate::time::Span;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The capability by which containerd and CRI-O hand on a pod's annotations.
const ANNOTATIONS: &str = "io.kubernetes.cri.pod-annotations";
/// Keys of the configuration's `arplab`.
const KEYS: [&str; 6] = ["calico", "felix", "limit", "scenario", "steps", "windows"];
/// How long the part after ADD lasts at most, unless the configuration says so.
const LIMIT: Span = Span::from_secs(600);
/// What is taken of a scenario's file.
const KEPT: [&str; 5] = ["calico", "hold", "id", "step", "title"];
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
            own.contains_key("scenario") || alone || !holds.is_empty() || !steps.is_empty()
        }
    };
    calico.insert("no-felix".into(), (!felix).into());
    let goes_on = felix || !steps.is_empty();
    let file = json!({ "calico": calico, "hold": holds, "step": steps, "node": { "setup": node() } });
    let scenario = scenario(own.get("scenario"), &file)?;
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

/// What is asked for, on top of a scenario if one is named. The scenario's own reader checks it, so that
/// a wrong step is told with those there are.
fn scenario(named: Option<&Value>, asked: &Value) -> Result<Scenario, Failure> {
    let wrong = |why: String| Failure::config("`arplab` of the configuration cannot be used", why);
    let mut file = match named {
        None => toml::toml! { id = "cni" title = "a container of arplab-cni" },
        Some(Value::String(name)) => base(name)?,
        Some(other) => return Err(Failure::config("`arplab.scenario` is no name", other.to_string())),
    };
    let Ok(toml::Value::Table(asked)) = toml::Value::try_from(asked) else {
        return Err(wrong("a value is null, which a scenario has no word for".into()));
    };
    for (key, value) in asked {
        merge(&mut file, key, value);
    }
    let text = toml::to_string(&file).map_err(|e| wrong(e.to_string()))?;
    Scenario::parse("arplab", &text).map_err(|e| {
        let flaws = e.flaws.iter().map(|flaw| match &flaw.help {
            Some(help) => format!("{} ({help})", flaw.message),
            None => flaw.message.clone(),
        });
        let flaws: Vec<String> = flaws.collect();
        Failure::config(format!("`arplab` of the configuration cannot be used: {}", flaws.join("; ")), "")
    })
}

/// Tables take in keys, lists what is appended; a window takes the place of one at the same step.
fn merge(file: &mut toml::Table, key: String, value: toml::Value) {
    match (file.get_mut(&key), value) {
        (Some(toml::Value::Table(old)), toml::Value::Table(new)) => old.extend(new),
        (Some(toml::Value::Array(old)), toml::Value::Array(new)) => {
            let step = |hold: &toml::Value| hold.get("step").cloned();
            old.retain(|other| step(other).is_none() || !new.iter().any(|it| step(it) == step(other)));
            old.extend(new);
        }
        (_, value) => {
            file.insert(key, value);
        }
    }
}

/// A scenario of the catalogue, as far as a container can have it: who does what, and what is held. The
/// container has its own clients, addresses, kernel and node.
fn base(name: &str) -> Result<toml::Table, Failure> {
    let missing =
        |why: String| Failure::config(format!("`arplab.scenario`: there is no scenario {name:?}"), why);
    let found = catalogue::find(name).map_err(|e| missing(e.to_string()))?;
    let ids: Vec<&str> = found.iter().map(Scenario::id).collect();
    if ids.len() > 1 {
        let msg = format!("`arplab.scenario`: {name:?} leads to several scenarios");
        return Err(Failure::config(msg, ids.join(", ")));
    }
    let found = found.into_iter().next().ok_or_else(|| missing("`arplab list` lists them".into()))?;
    let file: toml::Table = found.source().parse().map_err(|e: toml::de::Error| missing(e.to_string()))?;
    let refuse = |what: &str| {
        Failure::config(
            format!("scenario {} cannot be played on a container: {what}", found.id()),
            "`arplab run` plays it",
        )
    };
    if !found.file().node.setup.is_empty() || !found.file().pod.setup.is_empty() {
        return Err(refuse("it wants a node or a pod of its own making"));
    }
    if !found.file().faults.is_empty() {
        return Err(refuse("its link loses or changes frames"));
    }
    let mut kept: toml::Table = file.into_iter().filter(|(key, _)| KEPT.contains(&key.as_str())).collect();
    let before: Vec<toml::Value> =
        found.file().pod.before_start.iter().map(|command| command.as_str().into()).collect();
    if !before.is_empty() {
        let pod = toml::Table::from_iter([("before-start".to_owned(), toml::Value::Array(before))]);
        kept.insert("pod".into(), pod.into());
    }
    Ok(kept)
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
    fn a_scenario_of_the_catalogue_is_taken_as_far_as_a_container_can_have_it() {
        let five =
            json!({ "scenario": "late-responder", "windows": [{ "hold": "felix.iface-seen", "for": "5s" }] });
        let wanted = read(&five, "").expect("late-responder");
        let plan = wanted.scenario.plan(&Overrides::default()).expect("a plan");
        assert_eq!((plan.version.name(), plan.holds.len(), wanted.goes_on), ("felix-only", 1, true));
        assert_eq!(plan.holds[0].until, crate::control::Until::Elapsed(Span::from_secs(5)));
        for wrong in ["no-such", "8689", "no-default-route"] {
            assert_eq!(read(&json!({ "scenario": wrong }), "").expect_err(wrong).code, 7);
        }
    }

    #[test]
    fn arguments_have_the_last_word_before_annotations_and_configuration() {
        let config = json!({
            "name": "n",
            "arplab": { "calico": "v3.13", "windows": [{ "hold": "felix.apply", "for": "1s" }] },
            "runtimeConfig": { ANNOTATIONS: { "arplab/calico": "v3.24", "arplab/hold": "felix.apply:2s, cni.host-up:1s" } },
        });
        let version = |args: &[(&str, &str)]| {
            let args = args.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            let wanted = wanted(config.as_object().expect("an object"), &args).expect("fine");
            let plan = wanted.scenario.plan(&Overrides::default()).expect("a plan");
            let held = plan.holds.iter().map(|h| format!("{} {:?}", plan.steps.info(h.step).name, h.until));
            (plan.version.name(), held.collect::<Vec<_>>())
        };
        let (name, held) = version(&[]);
        assert_eq!((name, held.len()), ("v3.24", 2), "{held:?}");
        assert!(held[0].contains("felix.apply") && held[0].contains("2s"), "{held:?}");
        let (name, held) = version(&[("ARPLAB_CALICO", "v3.27"), ("ARPLAB_HOLD", "cni.host-up:3s")]);
        assert_eq!((name, held.len()), ("v3.27", 2), "{held:?}");
        assert!(held[1].contains("cni.host-up") && held[1].contains("3s"), "{held:?}");
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
