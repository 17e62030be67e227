//! What it costs a plugin to be watched: ADD and DEL of ptp, plain and supervised, in turn.
//!
//! `cargo bench --bench cni` prints the median of each, in milliseconds of wall time from the start
//! of the plugin's process to its end, and the ratio. Without the plugins it says so.

use arplab::cni::{self, Conflist, PluginStage, TraceOptions};
use arplab::time::Span;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PLUGINS: &str = "/usr/lib/cni";
const PAIRS: usize = 40;

fn main() {
    // cargo test runs benches too, to see that they do
    let pairs = if std::env::args().any(|it| it == "--test") { 1 } else { PAIRS };
    if !Path::new(PLUGINS).join("ptp").exists() || !netns_lab::rootless::privileged() {
        println!("skipped: it takes root and Debian's containernetworking-plugins");
        return;
    }
    let leases = tempfile::tempdir().unwrap();
    let text = format!(
        r#"{{"cniVersion":"1.0.0","name":"bench","type":"ptp","ipam":{{"type":"host-local","subnet":"10.88.0.0/24",
           "routes":[{{"dst":"0.0.0.0/0"}}],"dataDir":"{}"}}}}"#,
        leases.path().display()
    );
    let list = Conflist::parse("bench", text.as_bytes()).unwrap();
    let (mut plain, mut supervised) = (Vec::new(), Vec::new());
    for pair in 0..pairs {
        // who goes first takes turns as well
        if pair % 2 == 0 {
            plain.push(run_plain(&text));
            supervised.push(run_supervised(&list));
        } else {
            supervised.push(run_supervised(&list));
            plain.push(run_plain(&text));
        }
    }
    let ratio = median(&supervised) / median(&plain);
    println!("ADD and DEL of ptp, median of {pairs} pairs:");
    println!("plain      {:7.2} ms", median(&plain));
    println!("supervised {:7.2} ms ({ratio:.2} times)", median(&supervised));
}

fn median(times: &[Duration]) -> f64 {
    let mut times: Vec<f64> = times.iter().map(|it| it.as_secs_f64() * 1000.0).collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn run_supervised(list: &Conflist) -> Duration {
    let options = TraceOptions {
        folders: vec![PLUGINS.into()],
        args: None,
        capability_args: serde_json::Map::new(),
        ifname: "eth0".into(),
        timeout: Span::from_secs(60),
        patience: Span::ZERO,
        gateway: None,
        check: false,
        del: true,
    };
    let stage = PluginStage::new().unwrap();
    let trace = cni::trace(&stage, list, &options).unwrap();
    let invocations = trace.operations.iter().flat_map(|it| &it.invocations);
    invocations.fold(Duration::ZERO, |sum, it| {
        assert!(it.answer.is_ok(), "{:?}", it.answer);
        sum + Duration::from_nanos(it.ended_ns - it.began_ns)
    })
}

fn run_plain(configuration: &str) -> Duration {
    let stage = PluginStage::new().unwrap();
    let pod = format!("/proc/{}/fd/{}", std::process::id(), stage.pod.as_fd().as_raw_fd());
    let run = |verb: &str| {
        let begun = Instant::now();
        let mut child = Command::new(Path::new(PLUGINS).join("ptp"))
            .env("CNI_COMMAND", verb)
            .env("CNI_CONTAINERID", "arplab-pod")
            .env("CNI_NETNS", &pod)
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", PLUGINS)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(configuration.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
        begun.elapsed()
    };
    stage.node.exec(|| run("ADD") + run("DEL")).unwrap()
}
