//! A live run as a child process, and the search for what it leaves behind.

use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// In the environment of a run, so that its processes are found whoever their parent is.
const MARK: &str = "ARPLAB_TEST_RUN";

static RUNS: AtomicU32 = AtomicU32::new(0);

/// A live run.
pub(crate) struct Run {
    child: Child,
    mark: String,
}

/// The program, marked.
pub(crate) fn prepare(program: &Path, args: &[&str]) -> (Command, String) {
    let mark = format!("{}.{}", std::process::id(), RUNS.fetch_add(1, Ordering::Relaxed));
    let mut command = Command::new(program);
    command.args(args).env(MARK, &mark).env("LC_ALL", "C.UTF-8");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    (command, mark)
}

/// The built program.
pub(crate) fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_arplab"))
}

impl Run {
    pub(crate) fn start(args: &[&str]) -> Run {
        let (mut command, mark) = prepare(program(), args);
        Run { child: command.spawn().expect("it starts"), mark }
    }

    /// The command with another user's rights; the caller sets them.
    pub(crate) fn start_as(program: &Path, args: &[&str], set: impl FnOnce(&mut Command)) -> Run {
        let (mut command, mark) = prepare(program, args);
        set(&mut command);
        Run { child: command.spawn().expect("it starts"), mark }
    }

    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).expect("a pid"));
        nix::sys::signal::kill(pid, signal).expect("it was told");
    }

    /// Its processes.
    pub(crate) fn processes(&self) -> Vec<u32> {
        marked(&self.mark)
    }

    /// The network namespaces that its processes are in or keep open.
    pub(crate) fn namespaces(&self) -> BTreeSet<String> {
        let own = own_namespace();
        let held = self.processes().into_iter().flat_map(namespaces_of);
        held.filter(|name| *name != own).collect()
    }

    /// Waits until it has made its pod, and gives its namespaces.
    pub(crate) fn pod_made(&self) -> BTreeSet<String> {
        let begun = Instant::now();
        loop {
            let found = self.namespaces();
            if !found.is_empty() {
                return found;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "no namespace was made");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// True while it has not ended.
    pub(crate) fn goes_on(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// Adds what it has written since to `bytes`, waiting for it; false at its end.
    pub(crate) fn read_more(&mut self, bytes: &mut Vec<u8>) -> bool {
        let mut some = [0; 4096];
        let n = self.child.stdout.as_mut().expect("piped").read(&mut some).expect("readable");
        bytes.extend(&some[..n]);
        n > 0
    }

    /// Its lines, down to the one that has the word.
    pub(crate) fn lines_until(&mut self, word: &str) -> Vec<String> {
        let mut bytes = Vec::new();
        // byte by byte: what is behind the line is somebody else's
        let stdout = self.child.stdout.as_mut().expect("piped");
        loop {
            let mut byte = [0];
            assert!(
                stdout.read(&mut byte).expect("readable") > 0,
                "no line with {word}: {}",
                String::from_utf8_lossy(&bytes)
            );
            bytes.push(byte[0]);
            let last =
                bytes.strip_suffix(b"\n").map(|lines| lines.rsplit(|b| *b == b'\n').next().unwrap_or(lines));
            if last.is_some_and(|line| String::from_utf8_lossy(line).contains(word)) {
                return String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect();
            }
        }
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> (Output, String) {
        let mut output = Output { status: ExitStatus::default(), stdout: Vec::new(), stderr: Vec::new() };
        let mut err = self.child.stderr.take().expect("piped");
        let reader = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            err.read_to_end(&mut bytes).map(|_| bytes)
        });
        self.child.stdout.take().expect("piped").read_to_end(&mut output.stdout).expect("readable");
        output.stderr = reader.join().expect("no panic").expect("readable");
        output.status = self.child.wait().expect("it ends");
        (output, self.mark)
    }
}

/// Fails unless every process and every namespace of a run is gone.
pub(crate) fn nothing_left(mark: &str, namespaces: &BTreeSet<String>) {
    let begun = Instant::now();
    loop {
        let (processes, held) = (marked(mark), held_anywhere(namespaces));
        if processes.is_empty() && held.is_empty() {
            return;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "left: processes {processes:?}, namespaces {held:?}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The processes with that mark.
pub(crate) fn marked(mark: &str) -> Vec<u32> {
    numbers("/proc").into_iter().filter(|pid| mark_of(*pid).as_deref() == Some(mark)).collect()
}

/// Who holds one of these namespaces. The kernel gives a number that is free to the next namespace, so
/// this program and the other runs that it started are not looked at.
fn held_anywhere(namespaces: &BTreeSet<String>) -> Vec<(u32, String)> {
    let others = |pid: &u32| *pid != std::process::id() && mark_of(*pid).is_none();
    let strangers = numbers("/proc").into_iter().filter(others);
    let everywhere = strangers.flat_map(|pid| namespaces_of(pid).into_iter().map(move |n| (pid, n)));
    let mut held: Vec<(u32, String)> = everywhere.filter(|(_, n)| namespaces.contains(n)).collect();
    // a namespace can also be kept by a mount
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    held.extend(namespaces.iter().filter(|n| mounts.contains(n.as_str())).map(|n| (0, n.clone())));
    held
}

/// The mark of the run that a process belongs to.
fn mark_of(pid: u32) -> Option<String> {
    let all = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let mut variables = all.split(|b| *b == 0).filter_map(|v| std::str::from_utf8(v).ok());
    variables.find_map(|v| v.strip_prefix(MARK)?.strip_prefix('=').map(str::to_owned))
}

fn numbers(dir: &str) -> Vec<u32> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|e| e.file_name().to_str()?.parse().ok()).collect()
}

/// The namespace this program is in.
pub(crate) fn own_namespace() -> String {
    fs::read_link("/proc/self/ns/net").expect("a namespace").to_string_lossy().into_owned()
}

/// What `net:[...]` the threads and the descriptors of a process point to.
pub(crate) fn namespaces_of(pid: u32) -> Vec<String> {
    let threads = numbers(&format!("/proc/{pid}/task"));
    let paths = threads.iter().map(|t| format!("/proc/{pid}/task/{t}/ns/net"));
    let open = numbers(&format!("/proc/{pid}/fd")).into_iter().map(|fd| format!("/proc/{pid}/fd/{fd}"));
    let names = paths.chain(open).filter_map(|p| fs::read_link(p).ok());
    names.map(|n| n.to_string_lossy().into_owned()).filter(|n| n.starts_with("net:[")).collect()
}

/// The events and the verdict that a run with `--json` printed.
pub(crate) fn events(output: &Output) -> (Vec<Value>, Value) {
    let text = String::from_utf8(output.stdout.clone()).expect("UTF-8");
    let mut lines: Vec<Value> =
        text.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))).collect();
    let verdict =
        lines.pop().unwrap_or_else(|| panic!("no output: {}", String::from_utf8_lossy(&output.stderr)));
    (lines, verdict)
}
