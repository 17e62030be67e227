//! Who comes to a lab that is up: to go into its namespaces, to let steps go, to read what happened.

use super::super::fail::Fail;
use super::super::{AS_EXPECTED, CANNOT, output};
use super::{check_name, user};
use crate::addr::Side;
use crate::live::{self, Answer, Wish};
use core::fmt::Write as _;
use netns_lab::Netns;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::unistd::Pid;
use std::ffi::OsString;
use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// So long a lab may take to answer: it does so at once, unless it is stopped.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest answer.
const ANSWER_MAX: u64 = 1 << 16;

/// Which lab.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct NameArgs {
    /// Which lab [default: the only one that is up]
    #[arg(short, long, value_name = "NAME")]
    name: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct DownArgs {
    #[command(flatten)]
    lab: NameArgs,
    /// Every lab of yours
    #[arg(long, conflicts_with = "name")]
    all: bool,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ExecArgs {
    #[command(flatten)]
    lab: NameArgs,
    /// In whose namespace
    #[arg(value_enum)]
    place: Place,
    /// The command with its arguments
    #[arg(required = true, last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ShellArgs {
    #[command(flatten)]
    lab: NameArgs,
    /// In whose namespace
    #[arg(value_enum)]
    place: Place,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ReleaseArgs {
    #[command(flatten)]
    lab: NameArgs,
    /// The step that is held [default: the only one that is]
    step: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct HoldArgs {
    #[command(flatten)]
    lab: NameArgs,
    /// The step that is to come
    step: String,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct LogArgs {
    #[command(flatten)]
    lab: NameArgs,
    /// Go on until the lab ends
    #[arg(short, long)]
    follow: bool,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct CaptureArgs {
    #[command(flatten)]
    lab: NameArgs,
    /// Where to: `-` is standard output, for a pipe into Wireshark or tshark
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    write: std::path::PathBuf,
}

/// A namespace of the lab.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Place {
    /// The pod's
    Pod,
    /// The node's
    Node,
}

impl Place {
    fn side(self) -> Side {
        match self {
            Place::Pod => Side::Pod,
            Place::Node => Side::Host,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Place::Pod => "pod",
            Place::Node => "node",
        }
    }
}

/// A visit to a lab's desk.
pub(super) struct Visit {
    name: String,
    /// The process at the desk.
    pub(super) owner: i32,
    stream: UnixStream,
}

impl Visit {
    pub(super) fn of(name: &str) -> Result<Visit, Fail> {
        check_name(name)?;
        let stream = live::visit(user(), name).map_err(|e| match e.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {
                Fail::usage(format!("no lab named {name} is up: {}", others()))
            }
            _ => Fail::cannot(format!("the lab {name} cannot be reached: {e}")),
        })?;
        let who = getsockopt(&stream, PeerCredentials)
            .map_err(|e| Fail::cannot(format!("whose the lab {name} is cannot be seen: {e}")))?;
        // an abstract address is whoever's takes it first
        if who.uid() != user() {
            return Err(Fail::usage(format!(
                "the name {name} is taken by another user (uid {}), and what he has there is no lab of yours",
                who.uid()
            )));
        }
        Ok(Visit { name: name.to_owned(), owner: who.pid(), stream })
    }

    /// To the lab that is named, or to the only one there is.
    fn to(lab: &NameArgs) -> Result<Visit, Fail> {
        if let Some(name) = &lab.name {
            return Visit::of(name);
        }
        let names = labs()?;
        match &names[..] {
            [] => Err(Fail::usage("no lab is up: `arplab up 8689` brings one up")),
            [name] => Visit::of(name),
            several => {
                Err(Fail::usage(format!("several labs are up: {}; say which by --name", several.join(", "))))
            }
        }
    }

    /// Says what it wants; what follows the answer is in the reader.
    pub(super) fn ask(&self, wish: &Wish) -> Result<(Answer, BufReader<&UnixStream>), Fail> {
        let gone = |e: io::Error| Fail::cannot(format!("the lab {} went away: {e}", self.name));
        let mut line = serde_json::to_vec(wish)?;
        line.push(b'\n');
        self.stream.set_read_timeout(Some(PATIENCE)).map_err(gone)?;
        (&self.stream).write_all(&line).map_err(gone)?;
        let mut reader = BufReader::new(&self.stream);
        let mut line = String::new();
        (&mut reader).take(ANSWER_MAX).read_line(&mut line).map_err(|e| match e.kind() {
            io::ErrorKind::WouldBlock => Fail::cannot(format!(
                "the lab {} does not answer for {} s: is its process stopped?",
                self.name,
                PATIENCE.as_secs()
            )),
            _ => gone(e),
        })?;
        // what follows comes when it comes
        self.stream.set_read_timeout(None).map_err(gone)?;
        if line.is_empty() {
            return Err(Fail::cannot(format!("the lab {} went away", self.name)));
        }
        let answer: Answer = serde_json::from_str(&line).map_err(|e| {
            Fail::cannot(format!("the lab {} was brought up by another arplab: {e}", self.name))
        })?;
        match answer.refused {
            Some(why) => Err(Fail::usage(why)),
            None => Ok((answer, reader)),
        }
    }
}

fn labs() -> Result<Vec<String>, Fail> {
    live::names(user()).map_err(|e| Fail::cannot(format!("looking for labs: {e}")))
}

fn others() -> String {
    match labs().unwrap_or_default() {
        names if names.is_empty() => "none is".to_owned(),
        names => format!("{} {}", names.join(", "), if names.len() == 1 { "is" } else { "are" }),
    }
}

/// What can be done with a lab, as lines to type.
pub(super) fn way_in(name: &str, node: bool) -> Result<String, Fail> {
    let several = labs()?.len() > 1;
    let name = if several { format!(" --name {name}") } else { String::new() };
    let mut out = String::new();
    for (line, what) in [
        (
            format!("arplab shell{name} pod"),
            if node { "into the pod; `node` for the node" } else { "into the pod" },
        ),
        (format!("arplab exec{name} pod -- ip neigh"), "one command there"),
        (format!("arplab status{name}"), "what the model expects and what is held"),
        (format!("arplab release{name} [STEP]"), "lets a held step go"),
        (format!("arplab log{name} -f"), "the story as it goes on"),
        (format!("arplab down{name}"), "ends it"),
    ] {
        let _ = writeln!(out, "  {line:<36} {what}");
    }
    Ok(out)
}

pub(in crate::cli) fn ps() -> Result<u8, Fail> {
    let mut out = output::Report::new();
    for name in labs()? {
        let said = Visit::of(&name).and_then(|visit| Ok(visit.ask(&Wish::Status)?.0.text));
        let of = |said: &str, key: &str| {
            let line = said.lines().find(|l| l.starts_with(key));
            line.map_or_else(String::new, |l| l[key.len()..].trim().to_owned())
        };
        match said {
            Ok(said) => {
                let held = of(&said, "held");
                let held = if held.is_empty() { held } else { format!("; held: {held}") };
                writeln!(
                    out,
                    "{name:<28} up for {}; gateway {}{held}",
                    of(&said, "time"),
                    of(&said, "gateway")
                )?;
            }
            Err(e) => writeln!(out, "{name:<28} {e}")?,
        }
    }
    Ok(AS_EXPECTED)
}

pub(in crate::cli) fn status(lab: &NameArgs) -> Result<u8, Fail> {
    said(lab, &Wish::Status)
}

pub(in crate::cli) fn release(args: &ReleaseArgs) -> Result<u8, Fail> {
    said(&args.lab, &Wish::Release { step: args.step.clone() })
}

pub(in crate::cli) fn hold(args: &HoldArgs) -> Result<u8, Fail> {
    said(&args.lab, &Wish::Hold { step: args.step.clone() })
}

fn said(lab: &NameArgs, wish: &Wish) -> Result<u8, Fail> {
    let visit = Visit::to(lab)?;
    let (answer, _) = visit.ask(wish)?;
    let mut out = output::Report::new();
    writeln!(out, "{}", answer.text.trim_end())?;
    Ok(AS_EXPECTED)
}

pub(in crate::cli) fn log(args: &LogArgs) -> Result<u8, Fail> {
    let visit = Visit::to(&args.lab)?;
    let (_, mut reader) = visit.ask(&Wish::Log { follow: args.follow })?;
    pass_on(&mut reader, &mut output::Report::new())
}

pub(in crate::cli) fn capture(args: &CaptureArgs) -> Result<u8, Fail> {
    let file = super::super::capture::CaptureFile::at(&args.write)?;
    let visit = Visit::to(&args.lab)?;
    let (_, mut reader) = visit.ask(&Wish::Capture)?;
    if file.flows() {
        return pass_on(&mut reader, &mut *file.open()?);
    }
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes)?;
    file.put_bytes(&bytes)?;
    Ok(AS_EXPECTED)
}

pub(in crate::cli) fn down(args: &DownArgs) -> Result<u8, Fail> {
    if !args.all {
        return take_down(&Visit::to(&args.lab)?);
    }
    for name in labs()? {
        // one that went by itself is down
        if let Ok(visit) = Visit::of(&name) {
            take_down(&visit)?;
        }
    }
    Ok(AS_EXPECTED)
}

fn take_down(visit: &Visit) -> Result<u8, Fail> {
    let (_, mut reader) = visit.ask(&Wish::Down)?;
    pass_on(&mut reader, &mut output::Report::new())
}

/// Writes what comes, when it comes.
fn pass_on(from: &mut dyn Read, to: &mut dyn Write) -> Result<u8, Fail> {
    let mut some = vec![0; 1 << 16];
    loop {
        match from.read(&mut some) {
            Ok(0) => return Ok(AS_EXPECTED),
            Ok(n) => {
                to.write_all(&some[..n])?;
                to.flush()?;
            }
            // the lab ended before all was read
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => return Ok(AS_EXPECTED),
            Err(e) => return Err(e.into()),
        }
    }
}

pub(in crate::cli) fn exec(args: &ExecArgs) -> Result<u8, Fail> {
    let (program, rest) = args.command.split_first().ok_or_else(|| Fail::usage("no command is given"))?;
    let mut command = Command::new(program);
    command.args(rest);
    run_inside(&args.lab, args.place, command, &program.to_string_lossy())
}

/// What the runbook of a pod without its gateway begins with.
const RUNBOOK: &str = "ip neigh; ip route; ip route get 169.254.1.1; ip rule; arping; tcpdump -eni";

pub(in crate::cli) fn shell(args: &ShellArgs) -> Result<u8, Fail> {
    let visit = Visit::to(&args.lab)?;
    let name = visit.name.clone();
    drop(visit);
    let program = std::env::var_os("SHELL").filter(|s| !s.is_empty()).unwrap_or_else(|| "/bin/sh".into());
    let place = args.place.word();
    if io::stdin().is_terminal() {
        let _ = writeln!(
            io::stderr(),
            "In the {place} of {name}: routes, neighbours and switches are its own, files are the machine's.\n\
             The usual questions: {RUNBOOK} ...\n\
             `exit` leaves; the lab stays up."
        );
    }
    let mut command = Command::new(&program);
    command.env("PS1", format!("[{name} {place}]# ")).env("ARPLAB_LAB", &name).env("ARPLAB_PLACE", place);
    if program.to_string_lossy().ends_with("/bash") {
        // the prompt of a user's own files would hide where this is
        command.arg("--norc");
    }
    let lab = NameArgs { name: Some(name) };
    run_inside(&lab, args.place, command, &program.to_string_lossy())
}

/// Runs a command in a namespace of the lab, and ends it when the lab does.
fn run_inside(lab: &NameArgs, place: Place, mut command: Command, word: &str) -> Result<u8, Fail> {
    let visit = Visit::to(lab)?;
    let (answer, _) = visit.ask(&Wish::Enter { side: place.side() })?;
    let Some((pid, descriptor)) = answer.namespace else {
        return Err(Fail::cannot(format!(
            "the lab {} does not say where its {} is",
            visit.name,
            place.word()
        )));
    };
    // before there are threads
    netns_lab::rootless::join(pid).map_err(|e| Fail::cannot(e.to_string()))?;
    let path = format!("/proc/{pid}/fd/{descriptor}");
    let cannot = |e: &dyn core::fmt::Display| {
        Fail::cannot(format!("the {} of the lab {} cannot be entered: {e}", place.word(), visit.name))
    };
    let file = std::fs::File::open(path).map_err(|e| cannot(&e))?;
    let netns = Netns::attach(place.word(), file.into()).map_err(|e| cannot(&e))?;
    // Ctrl-C on a terminal reaches the command by itself; what is sent to this process alone is passed on
    let passer = Arc::new(Passer::default());
    let (heard, on_terminal) = (Arc::clone(&passer), io::stdin().is_terminal());
    live::on_interrupt(move |by| match by {
        live::Interrupt::Int if on_terminal => {}
        live::Interrupt::Int => heard.hear(Signal::SIGINT),
        live::Interrupt::Term => heard.hear(Signal::SIGTERM),
    })
    .map_err(|e| cannot(&e))?;
    let child = netns.exec(move || command.spawn()).map_err(|e| cannot(&e))?;
    let mut child = child.map_err(|e| Fail::usage(format!("`{word}` cannot be run: {e}")))?;
    passer.to(child.id());
    let code = attend(&mut child, &visit);
    if code.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    code
}

/// Passes signals on to a command, those too that come before it is there.
#[derive(Default)]
struct Passer(Mutex<Passed>);

#[derive(Default)]
struct Passed {
    command: Option<Pid>,
    waiting: Vec<Signal>,
}

impl Passer {
    fn hear(&self, signal: Signal) {
        let mut passed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match passed.command {
            // one that has ended wants none
            Some(pid) => drop(kill(pid, signal)),
            None => passed.waiting.push(signal),
        }
    }

    fn to(&self, command: u32) {
        let mut passed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pid = Pid::from_raw(command.cast_signed());
        passed.command = Some(pid);
        for signal in passed.waiting.drain(..) {
            let _ = kill(pid, signal);
        }
    }
}

/// Waits for the command, or for the lab's end, which ends the command.
fn attend(child: &mut Child, visit: &Visit) -> Result<u8, Fail> {
    let pid = Pid::from_raw(child.id().cast_signed());
    let stream = visit.stream.try_clone()?;
    let (tx, rx) = std::sync::mpsc::channel();
    let told = tx.clone();
    std::thread::spawn(move || {
        let mut nothing = [0];
        // nothing comes but the end
        while matches!((&stream).read(&mut nothing), Ok(n) if n > 0) {}
        let _ = told.send(true);
    });
    std::thread::spawn(move || {
        let _ = nix::sys::wait::waitid(
            nix::sys::wait::Id::Pid(pid),
            nix::sys::wait::WaitPidFlag::WEXITED | nix::sys::wait::WaitPidFlag::WNOWAIT,
        );
        let _ = tx.send(false);
    });
    if rx.recv().unwrap_or(true) {
        child.kill()?;
        child.wait()?;
        return Err(Fail::cannot(format!("the lab {} has ended, and what ran in it", visit.name)));
    }
    let status = child.wait()?;
    let by_signal = status.signal().and_then(|s| u8::try_from(s).ok()).map(|s| 128 + s);
    Ok(status.code().and_then(|c| u8::try_from(c).ok()).or(by_signal).unwrap_or(CANNOT))
}
