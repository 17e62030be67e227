//! An init container that waits for the gateway, and a monitor that restarts the pod: model, software
//! gateway and kernel do the same.

use crate::program::{skipped, told};

crate::live_tests! {
    a_real_init_container_waits_as_the_models_does,
    a_real_one_gives_up_and_is_started_again_as_the_models_is,
    a_real_pod_is_watched_and_restarted_as_the_models_is,
}

/// The plugin writes no route, and Felix is late by the length of the hold.
const LATE: &str = "id = \"late\"\ntitle = \"late\"\nduration = \"400s\"\n\
    [calico]\nversion = \"felix-only\"\n[[hold]]\nstep = \"felix.iface-seen\"\n";

/// The model, a real pod with the software gateway and one with the kernel's own, side by side.
fn compared(args: &[&str]) {
    let mut tried = String::new();
    // what depends on which of two processors is first may fall otherwise on a busy machine
    for _ in 0..4 {
        let run = told(&[&["compare"], args].concat());
        match run.code {
            0 => {
                let said = "draws of the model the nearest to it is shown (seed ";
                assert!(run.stdout.contains(said), "{}", run.stdout);
                return assert!(run.stdout.contains("live-smoltcp and live-kernel agree"), "{}", run.stdout);
            }
            3 => return skipped(&run.stderr),
            _ => tried = format!("{}{}", run.stdout, run.stderr),
        }
    }
    panic!("{args:?}: {tried}");
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    std::fs::write(file.path(), text.replace("400s", "25s")).unwrap();
    file
}

fn a_real_init_container_waits_as_the_models_does() {
    compared(&["late-responder", "--with", "wait-for-gateway", "--hold", "felix.iface-seen=4s"]);
}

fn a_real_one_gives_up_and_is_started_again_as_the_models_is() {
    let file = file(&format!("{LATE}for = \"5s\"\n[pod.wait-for-gateway]\nlimit = \"2500ms\"\n"));
    compared(&[file.path().to_str().unwrap()]);
}

fn a_real_pod_is_watched_and_restarted_as_the_models_is() {
    let text = format!(
        "{LATE}nth = 1\nfor = \"11s\"\n[[client]]\nkind = \"ping\"\nto = \"203.0.113.8\"\nstop-after = 3\n\
         [[fix]]\nname = \"watched\"\ntitle = \"watched\"\neffect = \"nothing\"\n\
         change.arp-monitor = {{ every = \"2500ms\", looks = 2 }}\n"
    );
    let file = file(&text.replace("duration = \"400s\"\n", ""));
    compared(&[file.path().to_str().unwrap(), "--fix", "watched"]);
}
