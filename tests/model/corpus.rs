//! The fuzz targets' corpora, through the same code, without a fuzzer.

use arplab::fuzzing;
use std::path::Path;

fn replay(target: &str, body: impl Fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut count = 0;
    for file in std::fs::read_dir(&dir).expect("a corpus") {
        let bytes = std::fs::read(file.expect("an entry").path()).expect("readable");
        body(&bytes);
        // and every beginning of it, as a broken pipe or a short read leaves it
        for len in 0..bytes.len().min(600) {
            body(&bytes[..len]);
        }
        count += 1;
    }
    assert!(count >= 5, "{} holds {count} files", dir.display());
}

#[test]
fn frames_into_the_gateway() {
    replay("gateway_frames", fuzzing::gateway_frames);
}

#[test]
fn scenario_files() {
    replay("scenario_file", fuzzing::scenario_file);
}
