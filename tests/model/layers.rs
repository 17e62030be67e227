//! Dependencies point one way: a module uses what stands before it in ARCHITECTURE.md's code map, and
//! nothing behind it. A crate boundary would say so to the compiler; inside one crate this test says it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// From the bottom up. What stands in one line may not use each other.
const LAYERS: &[&[&str]] = &[
    &["addr", "near", "regular"],
    &["time", "packet"],
    &["choice"],
    &["wire"],
    &["host"],
    &["neigh", "namespace"],
    &["stack"],
    &["pod"],
    &["gateway", "control"],
    &["pair"],
    &["scenario"],
    &["trace"],
    &["run"],
    &["cni"],
    &["sim", "live"],
    &["explore"],
    &["matrix", "strategies"],
    &["vectors", "probe", "differential", "lesson"],
    &["fuzzing", "plugin"],
    &["cli"],
];

fn sources(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

/// The modules that a source names behind `crate::`, its comments and its unit tests left out.
fn used(text: &str) -> BTreeSet<String> {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines = code.lines().map(|l| l.split("//").next().unwrap_or_default());
    let code: String = lines.flat_map(|l| [l, "\n"]).collect();
    let name = |s: &str| s.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut found = BTreeSet::new();
    for behind in code.split("crate::").skip(1) {
        match behind.strip_prefix('{') {
            // use crate::{a::B, c}: what follows a brace or a comma at the outermost level
            Some(list) => {
                let (mut depth, mut fresh) = (0_usize, true);
                for (at, c) in list.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => fresh = true,
                        c if fresh && c.is_alphabetic() => {
                            found.insert(name(&list[at..]));
                            fresh = false;
                        }
                        _ => {}
                    }
                }
            }
            None => {
                found.insert(name(behind));
            }
        }
    }
    found
}

#[test]
fn a_list_of_uses_is_read() {
    let text = "use crate::{time::{Span, Time}, addr};\n// crate::cli\nfn f() { crate::host::decide() }\n\
                #[cfg(test)]\nmod tests { use crate::sim; }";
    let want = ["addr", "host", "time"].map(String::from);
    assert_eq!(used(text), BTreeSet::from(want));
}

#[test]
fn no_module_uses_one_that_stands_above_it() {
    let rank: BTreeMap<&str, usize> =
        LAYERS.iter().enumerate().flat_map(|(n, names)| names.iter().map(move |m| (*m, n))).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut wrong = Vec::new();
    for path in files {
        let place = path.strip_prefix(&root).unwrap();
        let first = place.iter().next().unwrap().to_str().unwrap();
        let own = first.strip_suffix(".rs").unwrap_or(first);
        if matches!(own, "bin" | "lib" | "main") {
            continue;
        }
        let at = rank.get(own).unwrap_or_else(|| panic!("{own} has no layer in this test's list"));
        for other in used(&std::fs::read_to_string(&path).unwrap()) {
            match rank.get(other.as_str()) {
                Some(n) if n < at || other == own => {}
                Some(_) => wrong.push(format!("{} uses {other}", place.display())),
                // an item at the crate's root, such as a macro
                None => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The code spans of a text.
fn spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn what_architecture_md_says_is_decided_somewhere_is_there() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(home.join("ARCHITECTURE.md")).unwrap();
    let mut files = Vec::new();
    sources(&home.join("src"), &mut files);
    sources(&home.join("netns-lab/src"), &mut files);
    let code: String = files.iter().map(|f| std::fs::read_to_string(f).unwrap()).collect();
    let (mut rows, mut wrong) = (0, Vec::new());
    let table = text.split("### Where is it decided?").nth(1).unwrap().split("\n## ").next().unwrap();
    for row in table.lines().filter(|l| l.starts_with("| ") && !l.starts_with("| what |")) {
        rows += 1;
        // a bare name stands in the folder of the path before it
        let mut folder = home.join("src");
        for span in spans(row.split(" | ").nth(1).unwrap()) {
            let path = [home.join("src").join(span), folder.join(span)].into_iter().find(|p| p.exists());
            if let Some(path) = path {
                folder = path.parent().unwrap().to_owned();
                continue;
            }
            // a type or a method of one
            let name = span.rsplit("::").next().unwrap().trim_end_matches('s');
            let kinds = ["fn", "struct", "enum", "trait"].map(|kind| format!("{kind} {name}"));
            let field = format!("pub {name}:");
            if !kinds.iter().chain([&field]).any(|item| code.contains(item.as_str())) {
                wrong.push(format!("{span} in: {row}"));
            }
        }
    }
    assert!(rows >= 10, "{rows} rows");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // and every module that the picture and the code map name
    let all = LAYERS.iter().flat_map(|names| names.iter());
    let lacking: Vec<_> = all.filter(|m| !text.contains(&format!("`{m}`"))).collect();
    assert!(lacking.is_empty(), "the code map says nothing of {lacking:?}");
}
