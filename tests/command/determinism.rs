//! Same scenario, same seed: the same bytes of every output.

use crate::run::{arplab, command};
use arplab::scenario::catalogue;

fn ids() -> Vec<String> {
    catalogue::all().expect("valid").iter().map(|s| s.id().to_owned()).collect()
}

#[test]
fn every_output_is_the_same_twice() {
    let dir = tempfile::tempdir().expect("a directory");
    for id in ids() {
        for args in [&["run", &id][..], &["run", &id, "--full"], &["run", &id, "--json"]] {
            assert_eq!(arplab(args), arplab(args), "{args:?}");
        }
        let capture = |name: &str| {
            let file = dir.path().join(name);
            let output = arplab(&["run", &id, "--pcap", file.to_str().expect("UTF-8")]);
            assert_eq!(output.status.code(), Some(0), "{output:?}");
            std::fs::read(file).expect("written")
        };
        let one = capture("one.pcapng");
        assert_eq!(one, capture("two.pcapng"), "{id}");
        assert!(one.len() > 500, "{id}");
    }
}

#[test]
fn the_environment_changes_nothing() {
    let args = ["run", "8689", "--json"];
    let plain = arplab(&args);
    let mut odd = command(&args);
    odd.env("TZ", "Asia/Kathmandu").env("LANG", "de_DE").env("TERM", "xterm").env("COLUMNS", "40");
    assert_eq!(plain, odd.current_dir("/").output().expect("it starts"));
}

#[test]
fn another_seed_is_another_run() {
    let one = arplab(&["run", "8689", "--json", "--seed", "1"]);
    let two = arplab(&["run", "8689", "--json", "--seed", "2"]);
    assert_ne!(one.stdout, two.stdout);
}
