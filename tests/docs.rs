//! What the documents show is what the program does.

use arplab::control::StepTable;
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

/// `ARPLAB_WRITE_DOCS=1 cargo test --test docs` writes the table anew.
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
    for page in
        ["ARCHITECTURE.md", "docs/scenario-format.md", "docs/calico-versions.md", "docs/window-to-delay.md"]
    {
        let path = std::path::Path::new(root).join(page);
        let text = std::fs::read_to_string(&path).unwrap();
        for link in text.split("](").skip(1).filter_map(|r| r.split(')').next()) {
            let (file, _) = link.split_once('#').unwrap_or((link, ""));
            let there = file.is_empty() || path.parent().unwrap().join(file).exists();
            assert!(there, "{page} points at {link}");
        }
    }
}
