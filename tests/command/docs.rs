//! What the documents show is what the program does.

use arplab::control::StepTable;
use arplab::matrix::{matrix, minutes};
use arplab::scenario::file::FixEffect;
use arplab::scenario::{catalogue, mitigation, mitigations};
use std::collections::BTreeSet;
use std::process::Command;

fn document(name: &str) -> String {
    let path = format!("{}/docs/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn arplab(args: &[&str]) -> (Option<i32>, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_arplab")).args(args).output().unwrap();
    (out.status.code(), String::from_utf8(out.stdout).unwrap())
}

/// The fenced blocks of that language, in order.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let open = format!("```{language}\n");
    text.split(&open).skip(1).filter_map(|rest| Some(rest.split_once("\n```")?.0.to_owned() + "\n")).collect()
}

/// `ARPLAB_WRITE_DOCS=1 cargo test --test command docs` writes the table anew.
#[test]
fn the_table_of_delays_is_what_the_command_prints() {
    let (code, table) = arplab(&["delays"]);
    assert_eq!(code, Some(0));
    let text = document("window-to-delay.md");
    let (open, close) = ("<!-- arplab delays -->\n", "<!-- end -->");
    let (before, rest) = text.split_once(open).expect("the mark before the table");
    let (shown, after) = rest.split_once(close).expect("the mark behind the table");
    if std::env::var("ARPLAB_WRITE_DOCS").is_ok() {
        let path = format!("{}/docs/window-to-delay.md", env!("CARGO_MANIFEST_DIR"));
        std::fs::write(path, format!("{before}{open}{table}{close}{after}")).unwrap();
        return;
    }
    assert_eq!(shown, table, "ARPLAB_WRITE_DOCS=1 writes it anew");
}

#[test]
fn the_list_of_steps_is_complete() {
    let text = document("scenario-format.md");
    let (_, list) = arplab(&["list", "--steps"]);
    assert!(text.contains(&format!("```text\n{list}```")), "the list of steps is not that of `list --steps`");
    let versions = document("calico-versions.md");
    for (_, step) in StepTable::default().iter() {
        assert!(versions.contains(&format!("`{}`", step.name)), "{} is not in calico-versions.md", step.name);
    }
}

#[test]
fn the_tutorial_can_be_typed() {
    let text = document("scenario-format.md");
    let parts = blocks(&text, "toml");
    assert_eq!(parts.len(), 3);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hardening-script.toml");
    let file = path.to_str().unwrap();
    let shown = |out: &str| {
        // the last lines that the page shows of a run
        let lines: Vec<&str> = out.lines().filter(|l| l.starts_with("ping ")).collect();
        assert!(lines.iter().all(|l| text.contains(l)), "not shown: {lines:?}");
    };
    for (done, want) in [(1, "Nothing is expected"), (2, "Nothing is expected"), (3, "8 of 8 checks.")] {
        std::fs::write(&path, parts[..done].join("\n")).unwrap();
        let (code, out) = arplab(&["run", file]);
        assert!(code == Some(0) && out.contains(want), "part {done}: {out}");
        shown(&out);
    }
    for seed in 2..12 {
        let (code, out) = arplab(&["run", file, "--seed", &seed.to_string()]);
        assert!(code == Some(0), "seed {seed}: {out}");
    }
    let (code, out) = arplab(&["run", file, "--fix", "spare-cali"]);
    assert!(code == Some(0) && out.contains("5 of 5 checks."), "{out}");
    let (code, out) = arplab(&["run", file, "--hold", "operator.repair=10s"]);
    assert!(
        code == Some(0) && text.contains(out.lines().find(|l| l.starts_with("As exp")).unwrap()),
        "{out}"
    );
}

#[test]
fn links_between_documents_lead_somewhere() {
    let root = env!("CARGO_MANIFEST_DIR");
    for page in [
        "README.md",
        "ARCHITECTURE.md",
        "docs/scenario-format.md",
        "docs/calico-versions.md",
        "docs/window-to-delay.md",
        "docs/why-a-minute.md",
        "docs/field-reports.md",
        "docs/mechanisms.md",
    ] {
        let path = std::path::Path::new(root).join(page);
        let text = std::fs::read_to_string(&path).unwrap();
        for link in text.split("](").skip(1).filter_map(|r| r.split(')').next()) {
            let (file, _) = link.split_once('#').unwrap_or((link, ""));
            let there =
                file.is_empty() || file.starts_with("https://") || path.parent().unwrap().join(file).exists();
            assert!(there, "{page} points at {link}");
        }
    }
}

/// The cells of the tables of a page, heads left out.
fn table_rows(text: &str) -> Vec<Vec<&str>> {
    let rows = text.lines().filter_map(|l| l.strip_prefix("| ")?.strip_suffix(" |"));
    rows.filter(|r| r.contains('`')).map(|r| r.split(" | ").collect()).collect()
}

/// What stands in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn the_page_of_the_minute_lists_what_the_command_finds() {
    let text = document("why-a-minute.md");
    let found = minutes(&catalogue::all().unwrap()).unwrap();
    let rows = table_rows(&text);
    let shown: BTreeSet<&str> = rows.iter().filter_map(|r| quoted(r[0]).next()).collect();
    assert_eq!(shown, found.iter().map(|m| m.scenario.as_str()).collect());
    let no_rules = [mitigation("no-udev-rules").unwrap().clone()];
    for row in rows {
        let id = quoted(row[0]).next().unwrap();
        let fits = found.iter().any(|m| m.scenario == id && m.fits_8689);
        assert_eq!(row[2].starts_with("yes"), fits, "{id}: {}", row[2]);
        let scenario = catalogue::find(id).unwrap();
        let effect = matrix(&scenario, &no_rules, 1).unwrap().rows[0].cells[0].effect;
        let word = if effect == FixEffect::Cures { "cures" } else { "nothing" };
        assert_eq!(row[3], word, "{id}: {effect:?}");
    }
}

#[test]
fn what_the_page_of_field_reports_names_exists() {
    let text = document("field-reports.md");
    let ids: Vec<String> = catalogue::all().unwrap().iter().map(|s| s.id().to_owned()).collect();
    let rows = table_rows(&text);
    assert!(rows.len() >= 20, "{} rows", rows.len());
    let named = rows.iter().flat_map(|r| r.iter().flat_map(|cell| quoted(cell)));
    let kebab = |w: &&str| w.contains('-') && w.bytes().all(|b| b == b'-' || b.is_ascii_alphanumeric());
    let named: BTreeSet<&str> = named.filter(kebab).collect();
    assert!(named.len() >= 20, "{named:?}");
    for name in named {
        assert!(ids.iter().any(|id| id == name) || mitigation(name).is_some(), "there is no {name}");
    }
}

/// What the page says of the attempts that changed nothing, and of the ones that changed a little.
#[test]
fn attempts_that_do_not_enter_the_arp_path_do_nothing_anywhere() {
    let idle = ["arp-intervals", "iptables-refresh-10s", "fewer-network-policies", "another-ip-pool"];
    let tried: Vec<_> = mitigations()
        .iter()
        .filter(|m| idle.contains(&m.name.as_str()) || m.name == "reported-tuning")
        .cloned()
        .collect();
    assert_eq!(tried.len(), 5);
    let m = matrix(&catalogue::all().unwrap(), &tried, 2).unwrap();
    let mut shortened = Vec::new();
    for row in &m.rows {
        for cell in &row.cells {
            if cell.mitigation == "reported-tuning" && row.scenario == "host-source-address" {
                // each comparison writes the node's permanent entry again: the probe is as lost as before,
                // and no longer hears why
                assert_eq!(cell.effect, FixEffect::Breaks, "{cell:?}");
                assert!(cell.reason.contains("ETIMEDOUT"), "{cell:?}");
            } else if cell.mitigation == "reported-tuning" && cell.effect != FixEffect::Nothing {
                assert_eq!(cell.effect, FixEffect::Shortens, "{} {cell:?}", row.scenario);
                // "ends within 10 s": nothing goes from 67 s to 52
                assert!(cell.after < arplab::time::Span::from_secs(12), "{} {cell:?}", row.scenario);
                shortened.push(row.scenario.as_str());
            } else {
                assert_eq!(cell.effect, FixEffect::Nothing, "{} {cell:?}", row.scenario);
            }
        }
    }
    assert_eq!(shortened, ["networkd-flushes-route", "rpf-blackhole-block"]);
}

#[test]
fn a_node_that_has_the_gateways_address_answers_a_ping_of_it() {
    let line = |args: &[&str]| {
        let (_, out) = arplab(args);
        out.lines().find(|l| l.starts_with("ping-gateway")).unwrap().to_owned()
    };
    assert!(line(&["run", "gateway-is-no-host"]).contains("no answer"));
    let with = line(&["run", "gateway-is-no-host", "--with", "gateway-address-on-host-end"]);
    assert!(with.contains("10 answered"), "{with}");
}

/// Every key that a file may have, from the schema that the types give.
fn keys(schema: &serde_json::Value, found: &mut BTreeSet<String>) {
    if let Some(properties) = schema.get("properties").and_then(|p| p.as_object()) {
        found.extend(properties.keys().cloned());
    }
    let inner: Vec<&serde_json::Value> = match schema {
        serde_json::Value::Object(map) => map.values().collect(),
        serde_json::Value::Array(items) => items.iter().collect(),
        _ => Vec::new(),
    };
    for v in inner {
        keys(v, found);
    }
}

#[test]
fn every_key_of_the_format_is_in_its_reference() {
    let (_, schema) = arplab(&["schema"]);
    let mut all = BTreeSet::new();
    keys(&serde_json::from_str(&schema).unwrap(), &mut all);
    assert!(all.len() > 80, "{} keys", all.len());
    let text = document("scenario-format.md");
    // in backticks, outside of the blocks of code
    let prose: Vec<&str> = text.split("```").step_by(2).flat_map(quoted).collect();
    let prose = prose.join(" ");
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_');
    let named: BTreeSet<&str> = prose.split(word).collect();
    let missing: Vec<&String> = all.iter().filter(|k| !named.contains(k.as_str())).collect();
    assert!(missing.is_empty(), "the page says nothing of {missing:?}");
}
